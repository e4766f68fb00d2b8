// Text and Graphviz views of a graph.
#include <map>

#include "graph/graph.h"

namespace zoetrope {
namespace {

std::string dims_to_string(const std::vector<Dim>& dims) { return attr_to_string(AttrValue(dims)); }

std::string reference(const Graph& graph, ValueId id) {
  if (id == kNone) return "_";
  const Value& v = graph.value(id);
  return (v.kind == ValueKind::kWeight ? "@" : "%") + v.name;
}

std::string type_text(const Graph& graph, const Value& v) {
  if (graph.bound) return v.type.to_string();
  std::string text(dtype_name(v.type.dtype));
  return v.kind == ValueKind::kNode ? text : text + dims_to_string(v.dims);
}

std::string attrs_text(const Attrs& attrs) {
  if (attrs.items().empty()) return "";
  std::string text = " {";
  for (size_t i = 0; i < attrs.items().size(); ++i) {
    const auto& [name, value] = attrs.items()[i];
    text += (i ? ", " : "") + name + "=" + attr_to_string(value);
  }
  return text + "}";
}

std::string escape(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

}  // namespace

std::string to_text(const Graph& graph) {
  std::string text = "graph " + graph.name + (graph.bound ? " (bound)" : "") + " {\n";
  for (ValueId id : graph.inputs) {
    const Value& v = graph.value(id);
    text += str("  input %", v.name, " : ", type_text(graph, v), " @", rate_name(v.rate), "\n");
  }
  for (ValueId id : graph.weights())
    text += str("  weight @", graph.value(id).name, " : ", type_text(graph, graph.value(id)), "\n");
  for (const Node& node : graph.nodes) {
    text += "  ";
    for (size_t k = 0; k < node.outputs.size(); ++k)
      text += (k ? ", " : "") + reference(graph, node.outputs[k]);
    text += str(" = ", op_def(node.op).name, "(");
    for (size_t i = 0; i < node.inputs.size(); ++i)
      text += (i ? ", " : "") + reference(graph, node.inputs[i]);
    const Value& first = graph.value(node.outputs[0]);
    text += str(")", attrs_text(node.attrs), " : ", type_text(graph, first));
    for (size_t k = 1; k < node.outputs.size(); ++k)
      text += ", " + type_text(graph, graph.value(node.outputs[k]));
    text += str(" @", rate_name(first.rate), "\n");
  }
  for (const StatePair& pair : graph.states)
    text +=
        str("  state ", reference(graph, pair.state), " <- ", reference(graph, pair.next), "\n");
  for (const GraphOutput& out : graph.outputs)
    text += str("  output ", out.name, " = ", reference(graph, out.value), "\n");
  return text + "}\n";
}

std::string to_dot(const Graph& graph) {
  std::string text = "digraph \"" + escape(graph.name) + "\" {\n  node [shape=box, fontsize=10];\n";
  for (ValueId id : graph.inputs)
    text += str("  v", id, " [shape=ellipse, label=\"", escape(graph.value(id).name), "\\n",
                escape(type_text(graph, graph.value(id))), "\"];\n");
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    const Node& node = graph.nodes[n];
    text += str("  n", n, " [label=\"", op_def(node.op).name, "\\n", escape(node.name), "\"];\n");
    for (ValueId id : node.inputs) {
      if (id == kNone || graph.value(id).kind == ValueKind::kWeight) continue;
      const Value& v = graph.value(id);
      text += v.kind == ValueKind::kInput ? str("  v", id) : str("  n", v.producer);
      text += str(" -> n", n, " [fontsize=8, label=\"",
                  escape(graph.bound ? type_text(graph, v) : ""), "\"];\n");
    }
  }
  for (size_t i = 0; i < graph.outputs.size(); ++i) {
    const Value& v = graph.value(graph.outputs[i].value);
    text += str("  o", i, " [shape=ellipse, label=\"", escape(graph.outputs[i].name), "\"];\n  ",
                v.producer == kNone ? str("v", graph.outputs[i].value) : str("n", v.producer),
                " -> o", i, ";\n");
  }
  return text + "}\n";
}

}  // namespace zoetrope
