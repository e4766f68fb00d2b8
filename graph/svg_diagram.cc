#include "graph/svg_diagram.h"

#include <algorithm>
#include <map>

namespace zoetrope {
namespace {

std::string dims_text(const Attrs& attrs) {
  const AttrValue* dims = attrs.find("dims");
  return dims == nullptr ? "" : attr_to_string(*dims);
}

class Maker {
 public:
  explicit Maker(const Graph& graph) : graph_(graph), folding_(find_folds(graph)) {}

  Diagram run() {
    make_groups();
    look_at_readers();
    add_inputs();
    join_constants();
    for (size_t i = 0; i < graph_.nodes.size(); ++i)
      if (is_drawn(i)) add_node(i);
    for (DiagramBox& box : out_.boxes)
      if (box.kind == DiagramBox::kConstants) summarise(&box);
    add_outputs();
    return std::move(out_);
  }

 private:
  const Node& node(size_t i) const { return graph_.nodes[i]; }
  size_t like(NodeId id) const {
    return static_cast<size_t>(folding_.stands_for[static_cast<size_t>(id)]);
  }
  bool is_scalar(size_t i) const {
    return node(i).inputs.empty() && dims_text(node(i).attrs) == "[]" &&
           node(i).attrs.find("value") != nullptr;
  }
  bool is_drawn(size_t i) const { return like(static_cast<NodeId>(i)) == i && !is_scalar(i); }
  Rate rate(size_t i) const { return graph_.value(node(i).outputs[0]).rate; }
  bool is_constant(size_t i) const { return rate(i) <= Rate::kShape; }

  // The drawn node that makes a value, or -1: an input, a weight, a scalar, nothing.
  int maker(ValueId id) const {
    if (id == kNone || graph_.value(id).producer == kNone) return -1;
    const size_t i = like(graph_.value(id).producer);
    return is_drawn(i) ? static_cast<int>(i) : -1;
  }

  void make_groups() {
    out_.groups.push_back({graph_.name, -1, 0});
    for (const Fold& f : folding_.folds)
      out_.groups.push_back({str(f.prefix, f.first, " to ", f.prefix, f.first + f.count - 1,
                                 ", all alike: × ", f.count),
                             f.parent + 1, INT32_MAX});
    for (size_t i = 0; i < graph_.nodes.size(); ++i)
      for (int g = folding_.fold_of[i] + 1; g > 0; g = group(g).parent)
        group(g).order = std::min(group(g).order, static_cast<int>(i));
  }
  DiagramGroup& group(int g) { return out_.groups[static_cast<size_t>(g)]; }

  void look_at_readers() {
    readers_.resize(graph_.nodes.size());
    for (size_t i = 0; i < graph_.nodes.size(); ++i)
      for (ValueId id : node(i).inputs)
        if (const int from = maker(id); from >= 0)
          readers_[static_cast<size_t>(from)].insert(
              static_cast<int>(like(static_cast<NodeId>(i))));
    for (const GraphOutput& output : graph_.outputs)
      if (const int from = maker(output.value); from >= 0)
        readers_[static_cast<size_t>(from)].insert(-1);
  }

  std::string type_text(const Value& v) const {
    if (graph_.bound) return v.type.to_string();
    return str(dtype_name(v.type.dtype), v.dims.empty() ? "" : attr_to_string(v.dims));
  }

  int add(DiagramBox box) {
    out_.boxes.push_back(std::move(box));
    return static_cast<int>(out_.boxes.size()) - 1;
  }

  void add_inputs() {
    std::set<ValueId> read, drawn;
    for (size_t i = 0; i < graph_.nodes.size(); ++i)
      for (ValueId id : node(i).inputs) (is_drawn(i) ? drawn : read).insert(id);
    for (ValueId id : graph_.inputs) {
      if (read.contains(id) && !drawn.contains(id)) continue;  // of a scope that another stands for
      const Value& v = graph_.value(id);
      box_of_input_[id] =
          add({DiagramBox::kInput, v.name, {}, type_text(v), v.name, v.rate, 0, -1});
    }
  }

  void add_outputs() {
    for (const GraphOutput& output : graph_.outputs) {
      const Value& v = graph_.value(output.value);
      if (v.producer != kNone && like(v.producer) != static_cast<size_t>(v.producer)) {
        bool stands = false;  // does one of a scope alike end in an output of its own?
        for (const GraphOutput& other : graph_.outputs)
          stands = stands ||
                   (graph_.value(other.value).producer == static_cast<NodeId>(like(v.producer)));
        if (stands) continue;
      }
      const int box = add({DiagramBox::kOutput,
                           output.name,
                           {},
                           graph_.bound ? type_text(v) : "",
                           output.name,
                           v.rate,
                           0,
                           static_cast<int>(graph_.nodes.size())});
      const int from = source_box(output.value);
      if (from >= 0) out_.lines.emplace(from, box);
    }
  }

  // Nodes that depend on sizes and weights alone, joined along their values.
  void join_constants() {
    root_.resize(graph_.nodes.size());
    for (size_t i = 0; i < root_.size(); ++i) root_[i] = i;
    for (size_t i = 0; i < graph_.nodes.size(); ++i) {
      if (!is_drawn(i) || !is_constant(i)) continue;
      for (ValueId id : node(i).inputs) {
        const int from = maker(id);
        if (from < 0 || !is_constant(static_cast<size_t>(from)) ||
            folding_.fold_of[static_cast<size_t>(from)] != folding_.fold_of[i])
          continue;
        const size_t a = find(i), b = find(static_cast<size_t>(from));
        root_[std::max(a, b)] = std::min(a, b);
      }
    }
  }
  size_t find(size_t i) {
    while (root_[i] != i) i = root_[i] = root_[root_[i]];
    return i;
  }

  // The box that the node goes on in: that of the one node that it reads, if it alone reads that.
  int box_to_join(size_t i) {
    if (is_constant(i)) {
      const auto found = box_of_root_.find(find(i));
      return found == box_of_root_.end() ? -1 : found->second;
    }
    int from = -1;
    for (ValueId id : node(i).inputs) {
      if (box_of_input_.contains(id)) return -1;
      const int maker_of = maker(id);
      if (maker_of < 0 || maker_of == from) continue;
      if (from >= 0) return -1;
      from = maker_of;
    }
    if (from < 0) return -1;
    const auto f = static_cast<size_t>(from);
    const bool joins = !is_constant(f) && readers_[f].size() == 1 && rate(f) == rate(i) &&
                       folding_.fold_of[f] == folding_.fold_of[i];
    return joins ? box_of_[from] : -1;
  }

  void add_node(size_t i) {
    int box = box_to_join(i);
    if (box < 0) {
      DiagramBox b;
      b.title = scope_of(i);
      b.rate = rate(i);
      b.group = folding_.fold_of[i] + 1;
      b.order = static_cast<int>(i);
      box = add(std::move(b));
      if (is_constant(i)) box_of_root_[find(i)] = box;
    }
    box_of_[static_cast<int>(i)] = box;
    DiagramBox& b = out_.boxes[static_cast<size_t>(box)];
    if (is_constant(i) && !b.lines.empty()) b.kind = DiagramBox::kConstants;
    if (!named_by_weight_.contains(box)) {
      b.title = common_scope(b.title, scope_of(i));
      if (reads_weight(i) && !is_constant(i) && !scope_of(i).empty()) {
        b.title = scope_of(i);
        named_by_weight_.insert(box);
      }
    }
    b.lines.push_back(line_of(i));
    b.tip += str(b.tip.empty() ? "" : "\n", tip_of(i));
    b.shape = shape_of(i);
    for (ValueId id : node(i).inputs)
      if (const int from = source_box(id); from >= 0 && from != box) out_.lines.emplace(from, box);
  }

  int source_box(ValueId id) const {
    if (id == kNone) return -1;
    if (const auto input = box_of_input_.find(id); input != box_of_input_.end())
      return input->second;
    const auto made = box_of_.find(maker(id));
    return made == box_of_.end() ? -1 : made->second;
  }

  // A node's name within its group, without what only numbers it.
  std::string scope_of(size_t i) const {
    std::string name = node(i).name;
    if (const int f = folding_.fold_of[i]; f >= 0) {
      const Fold& fold = folding_.folds[static_cast<size_t>(f)];
      name = name.substr(std::min(name.size(), str(fold.prefix, fold.first, '.').size()));
    }
    const size_t dot = name.rfind('.');
    const size_t last = dot == std::string::npos ? 0 : dot + 1;
    if (name.compare(last, op_def(node(i).op).name.size(), op_def(node(i).op).name) == 0)
      name.resize(last == 0 ? 0 : last - 1);
    return name;
  }
  bool reads_weight(size_t i) const {
    return std::any_of(node(i).inputs.begin(), node(i).inputs.end(), [&](ValueId id) {
      return id != kNone && graph_.value(id).kind == ValueKind::kWeight;
    });
  }
  static std::string common_scope(const std::string& a, const std::string& b) {
    size_t end = 0;
    for (size_t i = 0; i <= std::min(a.size(), b.size()); ++i) {
      const bool a_ends = i == a.size() || a[i] == '.', b_ends = i == b.size() || b[i] == '.';
      if (a_ends && b_ends) end = i;
      if (i == a.size() || i == b.size() || a[i] != b[i]) break;
    }
    return a.substr(0, end);
  }

  std::string line_of(size_t i) const {
    const Node& n = node(i);
    std::string text(op_def(n.op).name);
    for (ValueId id : n.inputs) {
      if (id == kNone) continue;
      const Value& v = graph_.value(id);
      if (v.kind == ValueKind::kWeight) text += " " + attr_to_string(v.dims);
      if (v.kind == ValueKind::kNode && is_scalar(like(v.producer)))
        text += " " + attr_to_string(*node(like(v.producer)).attrs.find("value"));
    }
    if (const AttrValue* axis = n.attrs.find("axis"))
      if (const AttrValue* start = n.attrs.find("start"))
        if (const AttrValue* end = n.attrs.find("end"))
          text += str(" ", attr_to_string(*start), ":", attr_to_string(*end), " of axis ",
                      attr_to_string(*axis));
    return text;
  }

  std::string tip_of(size_t i) const {
    const Node& n = node(i);
    std::string text = str(n.name, " = ", op_def(n.op).name, "(");
    for (size_t k = 0; k < n.inputs.size(); ++k)
      text += str(k == 0 ? "" : ", ", n.inputs[k] == kNone ? "_" : graph_.value(n.inputs[k]).name);
    text += ")";
    for (const auto& [name, value] : n.attrs.items())
      text += str(" ", name, "=", attr_to_string(value));
    return text;
  }

  std::string shape_of(size_t i) const {
    const Value& out = graph_.value(node(i).outputs[0]);
    return graph_.bound ? out.type.to_string() : dims_text(node(i).attrs);
  }

  // "44 nodes: iota, exp, mul, ..."
  static void summarise(DiagramBox* box) {
    std::vector<std::string> kinds;
    for (const std::string& line : box->lines) {
      std::string op = line.substr(0, line.find(' '));
      if (std::find(kinds.begin(), kinds.end(), op) == kinds.end()) kinds.push_back(std::move(op));
    }
    std::string text;
    for (size_t i = 0; i < std::min<size_t>(kinds.size(), 5); ++i)
      text += (i == 0 ? "" : ", ") + kinds[i];
    if (kinds.size() > 5) text += ", ...";
    box->lines = {str(box->lines.size(), " nodes that sizes decide:"), text};
  }

  const Graph& graph_;
  const Folding folding_;
  Diagram out_;
  std::vector<std::set<int>> readers_;  // of drawn nodes; -1: an output
  std::vector<size_t> root_;
  std::map<size_t, int> box_of_root_;
  std::map<ValueId, int> box_of_input_;
  std::map<int, int> box_of_;      // by drawn node
  std::set<int> named_by_weight_;  // boxes that have the name of the first weight in them
};

}  // namespace

Diagram make_diagram(const Graph& graph) { return Maker(graph).run(); }

}  // namespace zoetrope
