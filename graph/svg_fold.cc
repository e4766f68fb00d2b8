#include "graph/svg_fold.h"

#include <algorithm>
#include <map>
#include <set>

namespace zoetrope {
namespace {

constexpr size_t kMaxDepth = 8;  // of numbers in a name

struct Number {
  size_t begin = 0, end = 0;  // in the name
  int64_t value = 0;
};

// The whole components of a name, between dots, that are numbers; the last one is the node's own.
std::vector<Number> numbers_of(const std::string& name) {
  std::vector<Number> numbers;
  for (size_t begin = 0; begin < name.size() && numbers.size() < kMaxDepth;) {
    const size_t end = std::min(name.find('.', begin), name.size());
    const bool digits = end > begin && end - begin < 7 && end < name.size() &&
                        name.find_first_not_of("0123456789", begin) >= end;
    if (digits) numbers.push_back({begin, end, std::stoll(name.substr(begin, end - begin))});
    begin = end + 1;
  }
  return numbers;
}

class Finder {
 public:
  explicit Finder(const Graph& graph) : graph_(graph) {
    out_.stands_for.resize(graph.nodes.size());
    out_.fold_of.assign(graph.nodes.size(), -1);
    for (size_t i = 0; i < graph.nodes.size(); ++i) {
      out_.stands_for[i] = static_cast<NodeId>(i);
      numbers_.push_back(numbers_of(graph.nodes[i].name));
    }
  }

  Folding run() {
    for (size_t depth = 0; depth < kMaxDepth; ++depth) fold_at(depth);
    return std::move(out_);
  }

 private:
  using Scopes = std::map<int64_t, std::vector<NodeId>>;  // nodes by number, in order

  // Folds what repeats in the number `depth` of names, outer numbers first.
  void fold_at(size_t depth) {
    std::map<std::string, Scopes> families;
    for (size_t i = 0; i < graph_.nodes.size(); ++i) {
      if (out_.stands_for[i] != static_cast<NodeId>(i) || numbers_[i].size() <= depth) continue;
      const Number& n = numbers_[i][depth];
      families[graph_.nodes[i].name.substr(0, n.begin)][n.value].push_back(static_cast<NodeId>(i));
    }
    for (const auto& [prefix, scopes] : families) fold(prefix, scopes);
  }

  void fold(const std::string& prefix, const Scopes& scopes) {
    for (auto first = scopes.begin(); first != scopes.end();) {
      const std::string signature = signature_of(first->second);
      std::set<NodeId> run(first->second.begin(), first->second.end());
      auto last = std::next(first);
      for (int64_t n = first->first + 1; last != scopes.end() && last->first == n; ++n, ++last) {
        if (!follows(last->second, first->second.front(), run) ||
            signature_of(last->second) != signature)
          break;
        run.insert(last->second.begin(), last->second.end());
        for (size_t i = 0; i < last->second.size(); ++i)
          out_.stands_for[static_cast<size_t>(last->second[i])] = first->second[i];
      }
      const int64_t count = std::distance(first, last);
      if (count > 1) {
        const auto front = static_cast<size_t>(first->second.front());
        out_.folds.push_back({prefix, first->first, count, out_.fold_of[front]});
        for (NodeId id : first->second)
          out_.fold_of[static_cast<size_t>(id)] = static_cast<int>(out_.folds.size()) - 1;
      }
      first = last;
    }
  }

  // Whether the scope reads nothing but itself, its like before it, what was there before all of
  // them, and what sizes alone decide: else something stands between them.
  bool follows(const std::vector<NodeId>& scope, NodeId begin, const std::set<NodeId>& run) const {
    const std::set<NodeId> own(scope.begin(), scope.end());
    for (NodeId id : scope)
      for (ValueId input : graph_.nodes[static_cast<size_t>(id)].inputs) {
        if (input == kNone) continue;
        const Value& v = graph_.value(input);
        const bool fine = v.producer == kNone || v.producer < begin || v.rate <= Rate::kShape ||
                          own.contains(v.producer) || run.contains(v.producer);
        if (!fine) return false;
      }
    return true;
  }

  // Ops, attributes, dtypes, weights' shapes, and which nodes read which of the same scope.
  std::string signature_of(const std::vector<NodeId>& nodes) const {
    std::map<NodeId, size_t> place;
    std::string text;
    for (size_t i = 0; i < nodes.size(); ++i) {
      const Node& node = graph_.nodes[static_cast<size_t>(nodes[i])];
      place[nodes[i]] = i;
      text += str(op_def(node.op).name, '{');
      for (const auto& [name, value] : node.attrs.items())
        text += str(name, '=', attr_to_string(value), ' ');
      text += '}';
      for (ValueId id : node.inputs) text += input_text(id, place);
      for (ValueId id : node.outputs)
        text += str('>', rate_name(graph_.value(id).rate), graph_.value(id).type.to_string());
      text += '\n';
    }
    return text;
  }

  std::string input_text(ValueId id, const std::map<NodeId, size_t>& place) const {
    if (id == kNone) return " _";
    const Value& v = graph_.value(id);
    if (v.kind == ValueKind::kWeight)
      return str(" @", dtype_name(v.type.dtype), attr_to_string(v.dims));
    const auto inside = place.find(v.producer);
    if (inside != place.end()) return str(" %", inside->second, '.', v.producer_output);
    return str(" ~", dtype_name(v.type.dtype));
  }

  const Graph& graph_;
  std::vector<std::vector<Number>> numbers_;
  Folding out_;
};

}  // namespace

Folding find_folds(const Graph& graph) { return Finder(graph).run(); }

}  // namespace zoetrope
