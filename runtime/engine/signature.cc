#include "runtime/engine/signature.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <set>

namespace zoetrope {
namespace {

std::vector<std::string> unbound_symbols(const Dim& dim, const Bindings& bindings) {
  std::set<std::string> symbols;
  dim.collect_symbols(&symbols);
  std::vector<std::string> left;
  for (const std::string& s : symbols)
    if (!bindings.contains(s)) left.push_back(s);
  return left;
}

// The value of `symbol` for which `dim` is `extent`, taking the dimension as linear and then
// checking it; none where it is not.
std::optional<int64_t> solve(const Dim& dim, const std::string& symbol, int64_t extent,
                             Bindings bindings) {
  const auto at = [&](int64_t value) {
    bindings[symbol] = value;
    return dim.evaluate(bindings);
  };
  // Far apart, so that a rounding division does not hide the slope.
  constexpr int64_t kLow = 1 << 10, kHigh = 1 << 20;
  const auto low = at(kLow), high = at(kHigh);
  if (!low.ok() || !high.ok() || *high <= *low) return std::nullopt;
  const double slope = static_cast<double>(*high - *low) / static_cast<double>(kHigh - kLow);
  const auto guess = kLow + static_cast<int64_t>(static_cast<double>(extent - *low) / slope);
  for (int64_t value : {guess, guess + 1, guess - 1}) {
    if (value < 0) continue;
    const auto found = at(value);
    if (found.ok() && *found == extent) return value;
  }
  return std::nullopt;
}

Status mismatch(const Graph& graph, const char* what, const std::string& name,
                const std::string& found, const std::string& expected) {
  return error(Code::kDataLoss, "component '", graph.name, "': ", what, " '", name, "' is ", found,
               "; expected ", expected);
}

std::string declared(const Value& input) {
  return str(dtype_name(input.type.dtype), attr_to_string(input.dims));
}

std::string list_names(const Graph& graph, bool inputs) {
  std::string names;
  const auto add = [&](const std::string& name) { names += (names.empty() ? "" : ", ") + name; };
  if (inputs)
    for (ValueId id : graph.inputs) add(graph.value(id).name);
  else
    for (const GraphOutput& out : graph.outputs) add(out.name);
  return names;
}

}  // namespace

const Value* find_input(const Graph& graph, std::string_view name) {
  for (ValueId id : graph.inputs)
    if (graph.value(id).name == name) return &graph.value(id);
  return nullptr;
}

bool is_state(const Graph& graph, ValueId input) {
  return std::any_of(graph.states.begin(), graph.states.end(),
                     [&](const StatePair& pair) { return pair.state == input; });
}

int64_t table_rows(const Graph& graph, std::string_view input) {
  std::vector<bool> carries(graph.values.size(), false);  // the input's values, in another shape
  for (ValueId id : graph.inputs)
    if (graph.value(id).name == input) carries[static_cast<size_t>(id)] = true;
  int64_t rows = INT64_MAX;
  for (const Node& node : graph.nodes) {
    const auto reads = [&](size_t i) {
      return i < node.inputs.size() && node.inputs[i] != kNone &&
             carries[static_cast<size_t>(node.inputs[i])];
    };
    if (node.op == OpKind::kReshape || node.op == OpKind::kTranspose || node.op == OpKind::kCast ||
        node.op == OpKind::kSlice)
      carries[static_cast<size_t>(node.outputs[0])] = reads(0);
    if (node.op != OpKind::kGather || !reads(1)) continue;
    const Value* table = &graph.value(node.inputs[0]);
    if (table->kind == ValueKind::kNode) {  // of fewer bits, or of another dtype
      const Node& made = graph.nodes[static_cast<size_t>(table->producer)];
      if (made.op != OpKind::kDequantize && made.op != OpKind::kCast) continue;
      table = &graph.value(made.inputs[0]);
    }
    if (table->kind == ValueKind::kWeight && !table->dims.empty() && table->dims[0].is_constant())
      rows = std::min(rows, table->dims[0].constant());
  }
  return rows;
}

bool fits(const TensorType& expected, const TensorType& found) {
  if (expected.dtype != found.dtype || expected.shape.rank() != found.shape.rank()) return false;
  for (int i = 0; i < found.shape.rank(); ++i)
    if (expected.shape[i] != kAnyExtent && expected.shape[i] != found.shape[i]) return false;
  return true;
}

std::string expected_to_string(const TensorType& expected) {
  std::string dims;
  for (int64_t d : expected.shape)
    dims += (dims.empty() ? "" : ", ") + (d == kAnyExtent ? std::string("any") : std::to_string(d));
  return str(dtype_name(expected.dtype), "[", dims, "]");
}

Result<Bindings> infer_bindings(const Graph& graph, const std::vector<NamedType>& inputs,
                                const Bindings& set) {
  Bindings bindings = set;
  std::string open;  // the first dimension that could not be solved yet
  for (bool progress = true; progress;) {
    progress = false;
    open.clear();
    for (const NamedType& given : inputs) {
      const Value* input = find_input(graph, given.name);
      if (input == nullptr)
        return error(Code::kDataLoss, "component '", graph.name, "' has no input '", given.name,
                     "'; it has ", list_names(graph, true));
      if (static_cast<size_t>(given.type.shape.rank()) != input->dims.size())
        return mismatch(graph, "input", given.name, declared(*input), given.type.shape.to_string());
      for (size_t i = 0; i < input->dims.size(); ++i) {
        const int64_t extent = given.type.shape[static_cast<int>(i)];
        const auto left = unbound_symbols(input->dims[i], bindings);
        if (left.size() > 1) open = input->dims[i].to_string();
        if (left.size() != 1) continue;
        const auto value = solve(input->dims[i], left[0], extent, bindings);
        if (!value)
          return error(Code::kDataLoss, "component '", graph.name, "': input '", given.name,
                       "': no ", left[0], " makes ", input->dims[i].to_string(), " equal ", extent);
        bindings[left[0]] = *value;
        progress = true;
      }
    }
  }
  for (const NamedType& given : inputs) {
    const Value* input = find_input(graph, given.name);
    for (size_t i = 0; i < input->dims.size(); ++i) {
      if (!unbound_symbols(input->dims[i], bindings).empty()) continue;
      const auto extent = input->dims[i].evaluate(bindings);
      if (!extent.ok() || *extent != given.type.shape[static_cast<int>(i)])
        return error(Code::kDataLoss, "component '", graph.name, "': input '", given.name, "' is ",
                     given.type.shape.to_string(), "; its dimensions are ",
                     attr_to_string(input->dims), " and dimension ", i, " does not fit");
    }
  }
  for (const std::string& symbol : graph.symbols())
    if (!bindings.contains(symbol))
      return error(Code::kInvalidArgument, "component '", graph.name,
                   "': no input's shape decides '", symbol, "'", open.empty() ? "" : ", of " + open,
                   "; set it");
  return bindings;
}

Result<Bindings> check_signature(const Graph& graph, const std::vector<NamedType>& inputs,
                                 const std::vector<NamedType>& outputs) {
  ZT_ASSIGN_OR_RETURN(Bindings bindings, infer_bindings(graph, inputs));
  for (const NamedType& given : inputs) {
    const Value* input = find_input(graph, given.name);
    if (input->type.dtype != given.type.dtype)
      return mismatch(graph, "input", given.name, declared(*input), given.type.to_string());
  }
  for (ValueId id : graph.inputs) {
    const std::string& name = graph.value(id).name;
    const bool given = std::any_of(inputs.begin(), inputs.end(),
                                   [&](const NamedType& type) { return type.name == name; });
    if (!given && !is_state(graph, id))
      return error(Code::kDataLoss, "component '", graph.name, "': nothing gives input '", name,
                   "'");
  }
  const auto bound = zoetrope::bind(graph, bindings);
  if (!bound.ok()) return bound.status().with_context(str("component '", graph.name, "'"));
  for (const NamedType& wanted : outputs) {
    const auto found =
        std::find_if(bound->outputs.begin(), bound->outputs.end(),
                     [&](const GraphOutput& out) { return out.name == wanted.name; });
    if (found == bound->outputs.end())
      return error(Code::kDataLoss, "component '", graph.name, "' has no output '", wanted.name,
                   "'; it has ", list_names(graph, false));
    const TensorType& type = bound->value(found->value).type;
    if (!fits(wanted.type, type))
      return mismatch(graph, "output", wanted.name, type.to_string(),
                      expected_to_string(wanted.type));
  }
  return bindings;
}

}  // namespace zoetrope
