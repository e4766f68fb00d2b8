#include "tests/fuzz/graph_changes.h"

#include <algorithm>
#include <optional>

#include "graph/builder.h"

namespace zoetrope {
namespace {

void number_producers(Graph* graph) {
  for (size_t n = 0; n < graph->nodes.size(); ++n)
    for (size_t k = 0; k < graph->nodes[n].outputs.size(); ++k) {
      Value& out = graph->value(graph->nodes[n].outputs[k]);
      out.producer = static_cast<NodeId>(n);
      out.producer_output = static_cast<int32_t>(k);
    }
}

// A place where a value is read: an input of a node, or an output of the graph.
struct Place {
  size_t node;   // nodes.size(): an output
  size_t input;  // of the node, or which output
};

ValueId& at(Graph* graph, const Place& place) {
  return place.node < graph->nodes.size() ? graph->nodes[place.node].inputs[place.input]
                                          : graph->outputs[place.input].value;
}

Place draw_place(Draw& draw, const Graph& graph) {
  if (!graph.outputs.empty() && draw.one_in(4))
    return {graph.nodes.size(), draw.below(graph.outputs.size())};
  for (int tries = 0; tries < 8 && !graph.nodes.empty(); ++tries) {
    const size_t node = draw.below(graph.nodes.size());
    const auto& inputs = graph.nodes[node].inputs;
    if (inputs.empty()) continue;
    const size_t input = draw.below(inputs.size());
    if (inputs[input] != kNone) return {node, input};
  }
  return {graph.nodes.size(), 0};
}

// Shapes where every symbol is 4; nothing where that cannot be.
std::optional<Graph> try_shapes(const Graph& graph) {
  Bindings bindings;
  for (const std::string& symbol : graph.symbols()) bindings[symbol] = 4;
  auto bound = zoetrope::bind(graph, bindings);
  if (!bound.ok()) return std::nullopt;
  return std::move(*bound);
}

// Values computed before `node`, inputs and weights.
std::vector<ValueId> values_before(const Graph& graph, size_t node) {
  std::vector<ValueId> ids;
  for (size_t i = 0; i < graph.values.size(); ++i)
    if (graph.values[i].producer < static_cast<NodeId>(node))
      ids.push_back(static_cast<ValueId>(i));
  return ids;
}

// What comes out again as it went in, for planners to see through; `rank` at least 1.
ValueId same_again(Draw& draw, Builder& b, ValueId x, int rank) {
  const int axis = static_cast<int>(draw.below(static_cast<size_t>(rank)));
  const auto n = static_cast<size_t>(rank);
  switch (draw.below(13)) {
    case 0: return b.slice(b.repeat(x, axis, 2), axis, 0, Builder::kToEnd, 2);
    case 1: return b.concat({b.slice(x, axis, 0, 1), b.slice(x, axis, 1, Builder::kToEnd)}, axis);
    case 2: {
      std::vector<int> order(n), back(n);
      for (size_t i = 0; i < n; ++i) order[i] = static_cast<int>(i);
      for (size_t i = n; i > 1; --i) std::swap(order[i - 1], order[draw.below(i)]);
      for (size_t i = 0; i < n; ++i) back[static_cast<size_t>(order[i])] = static_cast<int>(i);
      return b.transpose(b.transpose(x, order), back);
    }
    case 3: {
      std::vector<Dim> lo(n, 0), hi(n, 0);
      lo[static_cast<size_t>(axis)] = 1;
      static constexpr const char* kModes[] = {"constant", "replicate", "reflect"};
      return b.slice(b.pad(x, lo, hi, draw.pick(kModes)), axis, 1, Builder::kToEnd);
    }
    case 4: return b.cast(b.cast(x, draw.coin() ? DType::kBF16 : DType::kF16), DType::kF32);
    case 5: return b.mul(b.add(x, b.scalar(0)), b.scalar(1));
    case 6: return b.op(OpKind::kMax, {b.op(OpKind::kMin, {x, b.scalar(4)}), b.scalar(-4)});
    case 7:
      return b.slice(b.concat({b.slice(x, axis, 0, 0), x, x}, axis), axis, 0, Builder::kToEnd, 2);
    case 8: return b.add(b.mul(x, b.scalar(0.5)), b.div(x, b.scalar(2)));
    case 9: return b.select(b.op(OpKind::kLess, {x, b.scalar(0)}), x, x);
    case 10: return b.unary(OpKind::kNeg, b.unary(OpKind::kNeg, x));
    case 11: {
      std::vector<ValueId> parts(draw.below(40) + 1, x);
      return b.reduce(OpKind::kReduceMean,
                      b.reshape(b.concat(parts, 0), {static_cast<int64_t>(parts.size()), -1}), {0},
                      false);
    }
    default: return b.softmax(x, axis);
  }
}

// Another value of the same shape, mostly.
ValueId same_shape(Draw& draw, Builder& b, ValueId x, int rank) {
  static constexpr OpKind kUnary[] = {
      OpKind::kExp,  OpKind::kLog,  OpKind::kSqrt, OpKind::kRsqrt, OpKind::kSin, OpKind::kTanh,
      OpKind::kSilu, OpKind::kGelu, OpKind::kRelu, OpKind::kFloor, OpKind::kAbs, OpKind::kSigmoid};
  static constexpr OpKind kBinary[] = {OpKind::kAdd, OpKind::kSub, OpKind::kMul, OpKind::kDiv,
                                       OpKind::kMin, OpKind::kMax, OpKind::kPow, OpKind::kLess};
  static constexpr OpKind kReduce[] = {OpKind::kReduceSum, OpKind::kReduceMean, OpKind::kReduceMax};
  const int axis = static_cast<int>(draw.below(static_cast<size_t>(rank)));
  switch (draw.below(9)) {
    case 0: return b.unary(draw.pick(kUnary), x);
    case 1: return b.op(draw.pick(kBinary), {x, b.scalar(draw.number())});
    case 2: return b.op(draw.pick(kBinary), {b.scalar(draw.number()), x});
    case 3: return b.op(draw.pick(kBinary), {x, b.reduce(draw.pick(kReduce), x, {axis})});
    case 4: return b.rms_norm(x, kNone, draw.one_in(4) ? draw.number() : 1e-6);
    case 5: return b.layer_norm(x, kNone, kNone, draw.one_in(4) ? draw.number() : 1e-5);
    case 6: return b.sub(x, b.mul(x, b.scalar(draw.number())));
    case 7: return b.op(draw.pick(kBinary), {x, x});
    default: return same_again(draw, b, x, rank);
  }
}

ValueId other_shape(Draw& draw, Builder& b, ValueId x, int rank) {
  const int axis = static_cast<int>(draw.below(static_cast<size_t>(rank + 1))) - 1;
  const auto n = static_cast<size_t>(rank);
  switch (draw.below(9)) {
    case 0: return b.concat({x, x}, axis);
    case 1: return b.slice(x, axis, draw.whole(), draw.whole(), draw.one_in(3) ? draw.whole() : 1);
    case 2: return b.repeat(x, axis, draw.whole());
    case 3: return b.reduce(OpKind::kReduceSum, x, {axis}, draw.coin());
    case 4: return b.reshape(x, {-1});
    case 5: {
      std::vector<Dim> lo(n, 0), hi(n, 0);
      for (Dim& dim : draw.coin() ? lo : hi) dim = draw.one_in(2) ? draw.whole() : 0;
      static constexpr const char* kModes[] = {"constant", "replicate", "reflect", "circular"};
      return b.pad(x, lo, hi, draw.pick(kModes), draw.number());
    }
    case 6: return b.matmul(x, x, draw.coin());
    case 7: return b.cast(x, static_cast<DType>(draw.below(kDTypeCount)));
    default: {
      std::vector<int> order(n);
      for (size_t i = 0; i < n; ++i) order[i] = static_cast<int>(draw.below(n));
      return b.transpose(x, order);
    }
  }
}

// Puts nodes between a value and one of its readers.
std::string insert_nodes(Draw& draw, Graph* graph) {
  const Place place = draw_place(draw, *graph);
  if (place.node == graph->nodes.size() && graph->outputs.empty()) return "";
  const auto shapes = try_shapes(*graph);
  const ValueId x = at(graph, place);
  const int rank = shapes ? shapes->value(x).type.shape.rank() : 3;
  const size_t before = graph->nodes.size();
  ValueId y = x;
  {
    Builder b(graph);
    const uint32_t kind = draw.below(8);
    for (uint32_t i = draw.below(3) + 1; i > 0; --i)
      y = rank == 0   ? b.mul(y, b.scalar(draw.number()))
          : kind == 0 ? other_shape(draw, b, y, rank)
          : kind < 4  ? same_shape(draw, b, y, rank)
                      : same_again(draw, b, y, rank);
  }
  at(graph, {place.node == before ? graph->nodes.size() : place.node, place.input}) = y;
  std::rotate(graph->nodes.begin() + static_cast<int64_t>(place.node),
              graph->nodes.begin() + static_cast<int64_t>(before), graph->nodes.end());
  number_producers(graph);
  return str("nodes before ", place.node, " of ", graph->name);
}

Dim change_dim(Draw& draw, const Dim& dim, const Graph& graph) {
  const auto symbols = graph.symbols();
  const std::vector<std::string> names(symbols.begin(), symbols.end());
  const auto symbol = [&] {
    return names.empty() ? Dim(draw.whole()) : Dim::symbol(draw.pick(names));
  };
  switch (draw.below(11)) {
    case 0: return draw.whole();
    case 1: return dim + 1;
    case 2: return dim - 1;
    case 3: return dim * 2;
    case 4: return floor_div(dim, 2);
    case 5: return symbol();
    case 6: return min(dim, draw.whole());
    case 7: return max(dim, draw.whole());
    case 8: return dim * symbol();
    case 9: return ceil_div(dim, symbol());
    default: return mod(dim, draw.whole());
  }
}

std::string change_attr(Draw& draw, Graph* graph) {
  std::vector<Node*> nodes;
  for (Node& node : graph->nodes)
    if (!node.attrs.items().empty()) nodes.push_back(&node);
  if (nodes.empty()) return "";
  Node& node = *draw.pick(nodes);
  const auto [name, old] = draw.pick(node.attrs.items());
  AttrValue value = old;
  static const std::string kWords[] = {
      "constant", "replicate", "reflect", "interleaved", "split", "f32",  "f16",
      "bf16",     "i8",        "f64",     "silu",        "gelu",  "none", "rms",
      "layer",    "gelu_tanh", "f8e4m3",  "i32",         ""};
  if (auto* flag = std::get_if<bool>(&value)) *flag = !*flag;
  if (auto* dim = std::get_if<Dim>(&value)) *dim = change_dim(draw, *dim, *graph);
  if (auto* number = std::get_if<double>(&value)) *number = draw.number();
  if (auto* text = std::get_if<std::string>(&value)) *text = draw.pick(kWords);
  if (auto* dims = std::get_if<std::vector<Dim>>(&value)) {
    if (dims->empty() || draw.one_in(8))
      dims->insert(dims->begin() + draw.below(dims->size() + 1), draw.whole());
    else if (draw.one_in(8))
      dims->erase(dims->begin() + draw.below(dims->size()));
    else if (Dim& dim = draw.pick(*dims); true)
      dim = change_dim(draw, dim, *graph);
  }
  if (auto* numbers = std::get_if<std::vector<double>>(&value)) {
    if (numbers->empty() || draw.coin())
      numbers->push_back(draw.number());
    else
      draw.pick(*numbers) = draw.number();
  }
  node.attrs.set(name, std::move(value));
  return str(name, " of '", node.name, "' = ", attr_to_string(*node.attrs.find(name)));
}

std::string change_op(Draw& draw, Graph* graph) {
  if (graph->nodes.empty()) return "";
  Node& node = draw.pick(graph->nodes);
  const auto ops = all_ops();
  for (int tries = 0; tries < 40; ++tries) {
    const OpKind kind = ops[draw.below(ops.size())];
    const OpDef& def = op_def(kind);
    const auto count = static_cast<int>(node.inputs.size());
    if (def.output_count != static_cast<int>(node.outputs.size()) || count < def.min_inputs ||
        (def.max_inputs >= 0 && count > def.max_inputs))
      continue;
    Attrs attrs;
    for (const AttrSpec& spec : def.attrs)
      if (const AttrValue* value = node.attrs.find(spec.name);
          value != nullptr && attr_type(*value) == spec.type)
        attrs.set(spec.name, *value);
    if (!verify_attrs(def, &attrs).ok()) continue;
    node.op = kind;
    node.attrs = std::move(attrs);
    return str("'", node.name, "' becomes ", def.name);
  }
  return "";
}

std::string change_input(Draw& draw, Graph* graph) {
  const Place place = draw_place(draw, *graph);
  if (place.node == graph->nodes.size() && graph->outputs.empty()) return "";
  ValueId& read = at(graph, place);
  if (place.node < graph->nodes.size() && draw.one_in(10)) {
    auto& inputs = graph->nodes[place.node].inputs;
    if (draw.coin())
      inputs.push_back(read);
    else
      inputs[place.input] = kNone;
    return str("inputs of '", graph->nodes[place.node].name, "'");
  }
  // Of the same shape, where there is one: that gets furthest.
  const auto shapes = try_shapes(*graph);
  std::vector<ValueId> ids = values_before(*graph, place.node), alike;
  for (const ValueId id : ids)
    if (shapes && id != read && shapes->value(id).type == shapes->value(read).type)
      alike.push_back(id);
  if (!alike.empty() && !draw.one_in(6)) ids = alike;
  read = draw.pick(ids);
  return str("reads '", graph->value(read).name, "' at node ", place.node);
}

std::string change_value(Draw& draw, Graph* graph) {
  if (graph->inputs.empty()) return "";
  Value& value = graph->value(draw.pick(graph->inputs));
  switch (draw.below(5)) {
    case 0: value.type.dtype = static_cast<DType>(draw.below(kDTypeCount)); break;
    case 1: value.rate = static_cast<Rate>(draw.below(kRateCount)); break;
    case 2: value.name += "_"; break;
    case 3:
      if (value.dims.empty() || draw.coin())
        value.dims.insert(value.dims.begin() + draw.below(value.dims.size() + 1), draw.whole());
      else
        value.dims.erase(value.dims.begin() + draw.below(value.dims.size()));
      break;
    default:
      if (value.dims.empty()) return "";
      Dim& dim = draw.pick(value.dims);
      dim = change_dim(draw, dim, *graph);
  }
  return str("input '", value.name, "'");
}

std::string change_signature(Draw& draw, Graph* graph) {
  switch (draw.below(6)) {
    case 0:
      if (graph->outputs.empty()) return "";
      graph->outputs.push_back({"more", draw.pick(graph->outputs).value});
      return "one output more";
    case 1:
      if (graph->outputs.size() < 2) return "";
      std::swap(graph->outputs.front().value, graph->outputs.back().value);
      return "outputs change places";
    case 2:
      if (graph->inputs.size() < 2) return "";
      std::swap(draw.pick(graph->inputs), draw.pick(graph->inputs));
      return "inputs change places";
    case 3:
      if (graph->states.empty()) return "";
      graph->states.erase(graph->states.begin() + draw.below(graph->states.size()));
      return "a state less";
    case 4:
      if (graph->inputs.empty()) return "";
      graph->states.push_back(
          {draw.pick(graph->inputs), static_cast<ValueId>(draw.below(graph->values.size()))});
      return "a state more";
    default:
      if (graph->states.empty()) return "";
      draw.pick(graph->states).next = static_cast<ValueId>(draw.below(graph->values.size()));
      return "another next state";
  }
}

// A node goes; its readers read what it read.
std::string drop_node(Draw& draw, Graph* graph) {
  if (graph->nodes.empty()) return "";
  const size_t n = draw.below(graph->nodes.size());
  const Node node = graph->nodes[n];
  if (node.outputs.size() != 1 || node.inputs.empty() || node.inputs[0] == kNone) return "";
  const ValueId gone = node.outputs[0], instead = node.inputs[0];
  const auto moved = [&](ValueId id) {
    if (id == gone) id = instead;
    return id > gone ? id - 1 : id;
  };
  graph->nodes.erase(graph->nodes.begin() + static_cast<int64_t>(n));
  graph->values.erase(graph->values.begin() + gone);
  for (Node& other : graph->nodes) {
    for (ValueId& id : other.inputs) id = moved(id);
    for (ValueId& id : other.outputs) id = moved(id);
  }
  for (ValueId& id : graph->inputs) id = moved(id);
  for (GraphOutput& out : graph->outputs) out.value = moved(out.value);
  for (StatePair& pair : graph->states) pair = {moved(pair.state), moved(pair.next)};
  number_producers(graph);
  return str("without '", node.name, "'");
}

}  // namespace

std::string change_graph(Draw& draw, Graph* graph) {
  switch (draw.below(14)) {
    case 0:
    case 1: return change_attr(draw, graph);
    case 2: return change_op(draw, graph);
    case 3:
    case 4: return change_input(draw, graph);
    case 5: return change_value(draw, graph);
    case 6: return change_signature(draw, graph);
    case 7: return drop_node(draw, graph);
    default: return insert_nodes(draw, graph);
  }
}

}  // namespace zoetrope
