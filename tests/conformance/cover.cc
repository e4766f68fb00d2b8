#include "tests/conformance/cover.h"

#include <algorithm>
#include <map>
#include <set>
#include <sstream>

namespace zoetrope::conformance {
namespace {

// Cases of several tiles cost the reference most: they run in the two common variants only.
bool is_large(const Case& test) { return input_elements(test) > 100'000; }

// What the planner would ask for.
struct Question {
  Question(const Case& test, const Variant& variant) {
    node.op = test.op;
    node.name = "test";
    node.attrs = test.attrs;
    types.resize(test.inputs.size());
    for (size_t i = 0; i < test.inputs.size(); ++i) {
      const CaseInput& input = test.inputs[i];
      const bool absent = input.kind == InputKind::kAbsent;
      if (!absent) types[i] = {input_dtype(input, variant), input.shape};
      request.inputs.push_back(absent ? nullptr : &types[i]);
      request.is_weight.push_back(variant.packed && is_weight_kind(input.kind));
      node.inputs.push_back(absent ? kNone : static_cast<ValueId>(i));
      pattern +=
          absent ? "- " : str(request.is_weight[i] ? "@" : "", dtype_name(types[i].dtype), " ");
    }
    request.node = &node;
  }

  Status infer() {
    const OpDef& def = op_def(node.op);
    ZT_RETURN_IF_ERROR(verify_attrs(def, &node.attrs));
    ZT_ASSIGN_OR_RETURN(outputs, def.infer(OpContext{request.inputs, node.attrs}));
    for (const TensorType& type : outputs) request.outputs.push_back(&type);
    return Status();
  }

  Node node;
  std::vector<TensorType> types, outputs;
  KernelRequest request;
  std::string pattern;
};

int width(const Variant& variant) { return variant.compute == DType::kF32 ? 4 : 2; }

}  // namespace

bool has_kind(const Case& test, InputKind kind) {
  return std::any_of(test.inputs.begin(), test.inputs.end(),
                     [&](const CaseInput& input) { return input.kind == kind; });
}

int64_t input_elements(const Case& test) {
  int64_t elements = 0;
  for (const CaseInput& input : test.inputs) elements += input.shape.elements();
  return elements;
}

int64_t largest_bytes(const Case& test, const Variant& variant) {
  Question question(test, variant);
  int64_t most = 0;
  if (!question.infer().ok()) return most;
  for (const auto* list : {&question.types, &question.outputs})
    for (const TensorType& type : *list) most = std::max(most, type.bytes());
  return most;
}

std::vector<Variant> variants(const Case& test, bool thin) {
  if (thin) {
    std::vector<Variant> list = {{DType::kF32, DType::kF16, true}};
    if (has_kind(test, InputKind::kCompute) && !is_large(test))
      list.insert(list.end(),
                  {{DType::kBF16, DType::kBF16, true}, {DType::kF16, DType::kF16, true}});
    return list;
  }
  if (is_large(test)) return {{DType::kF32, DType::kF32, true}, {DType::kBF16, DType::kBF16, true}};
  const bool computes = has_kind(test, InputKind::kCompute);
  const bool stores = has_kind(test, InputKind::kStorage);
  const bool fixed = has_kind(test, InputKind::kFixedWeight);
  std::vector<Variant> list;
  for (DType compute : {DType::kF32, DType::kBF16, DType::kF16}) {
    if (!computes && compute != DType::kF32) break;
    if (!stores) list.push_back({compute, compute, false});
    if (!stores && fixed) list.push_back({compute, compute, true});
    for (DType storage : {DType::kF32, DType::kBF16, DType::kF16}) {
      if (!stores || (storage == DType::kF32 && compute != DType::kF32)) continue;
      list.push_back({compute, storage, true});
      if (storage == compute || !computes) list.push_back({compute, storage, false});
    }
  }
  return list;
}

std::vector<Run> list_runs(Device& device, std::span<const Case> cases, bool thin) {
  std::vector<Run> runs;
  for (const Case& test : cases)
    for (const Variant& variant : variants(test, thin)) {
      Question question(test, variant);
      Run run{
          .test = &test, .variant = variant, .kernel = "", .pattern = std::move(question.pattern)};
      if (op_def(test.op).is_view) {
        run.kernel = "view";
      } else if (question.infer().ok()) {
        // A case that is refused here is run all the same, and says what is wrong with it.
        const auto info = device.query_kernel(question.request);
        if (info.ok()) {
          run.kernel = info->name;
          run.row = info->row;
        }
      }
      runs.push_back(std::move(run));
    }
  return runs;
}

std::string without_dtype(const std::string& kernel) {
  const size_t last = kernel.rfind('_');
  return last != std::string::npos && parse_dtype(kernel.substr(last + 1)).ok()
             ? kernel.substr(0, last)
             : kernel;
}

namespace {

bool on_matrices(const std::string& kernel) {
  return kernel.find("coopmat") != std::string::npos || kernel.find("packed") != std::string::npos;
}

constexpr int64_t kSeveralTiles = 10'000;  // elements

// What a kernel may be compiled for: ("activation", "gelu"), ("input 2", "@f16"), ("output",
// "f32").
using Features = std::vector<std::pair<std::string, std::string>>;

Features features_of(const Run& run) {
  Features found;
  for (const auto& [name, value] : run.test->attrs.items())
    if (std::holds_alternative<bool>(value) || std::holds_alternative<std::string>(value))
      found.emplace_back(name, attr_to_string(value));
  std::istringstream dtypes(run.pattern);
  for (std::string dtype; dtypes >> dtype;) found.emplace_back(str("input ", found.size()), dtype);
  found.emplace_back("output", run.kernel.substr(without_dtype(run.kernel).size()));
  found.emplace_back("row", str(run.row));
  return found;
}

class Cover {
 public:
  Cover(std::span<const Run> all, bool full) : all_(all), full_(full), taken_(all.size()) {}

  std::vector<Run> choose() {
    for (size_t begin = 0; begin < all_.size(); ++turn_) {
      // By kernel and width, the runs of a case.
      std::map<std::pair<std::string, int>, std::vector<size_t>> groups;
      size_t end = begin;
      for (; end < all_.size() && all_[end].test == all_[begin].test; ++end)
        groups[{without_dtype(all_[end].kernel), full_ ? width(all_[end].variant) : 0}].push_back(
            end);
      for (const auto& [key, group] : groups)
        on_matrices(key.first) ? choose_on_matrices(key.first, group) : choose_of(group);
      begin = end;
    }
    std::vector<Run> chosen;
    for (size_t i = 0; i < all_.size(); ++i)
      if (taken_[i]) chosen.push_back(all_[i]);
    return chosen;
  }

 private:
  void choose_of(const std::vector<size_t>& group) {
    bool any = false;
    for (size_t i : group)
      if (patterns_.emplace(all_[i].kernel, all_[i].pattern).second) any = taken_[i] = true;
    // Where none of a group brings a new pattern, they take turns.
    if (!any) taken_[group[turn_ % group.size()]] = true;
  }

  void choose_on_matrices(const std::string& kernel, const std::vector<size_t>& group) {
    bool any = false;
    for (size_t i : group)
      if (brings_new(kernel, features_of(all_[i]))) any = taken_[i] = true;
    // Two shapes of each row, and over several tiles each.
    const Run& run = all_[group.front()];
    std::set<std::string>& shapes = shapes_[{kernel, run.row}];
    const bool wanted = shapes.size() < 2 || input_elements(*run.test) >= kSeveralTiles;
    const bool added = (any || (full_ && wanted)) && shapes.insert(run.test->label).second;
    if (any || !added) return;
    size_t chosen = group[turn_ % group.size()];
    for (size_t i : group)
      if (combinations_.contains({kernel, features_of(all_[i])})) chosen = i;
    taken_[chosen] = true;
  }

  // A value of an attribute that is new to all kernels on matrices or the second of this one; a
  // dtype or a row of the table that is new to this one.
  bool brings_new(const std::string& kernel, const Features& features) {
    bool any = false;
    for (const auto& [name, value] : features) {
      std::set<std::string>& own = values_[{kernel, name}];
      const bool every = name.starts_with("input") || name == "output" || name == "row";
      const bool first = !every && everywhere_.emplace(name, value).second;
      if (first || every || own.size() < 2) any |= own.insert(value).second;
    }
    if (any) combinations_.emplace(kernel, features);
    return any;
  }

  std::span<const Run> all_;
  const bool full_;
  std::vector<bool> taken_;
  size_t turn_ = 0;
  std::set<std::pair<std::string, std::string>> patterns_;  // by kernel
  // On matrices: values by kernel and name, values anywhere, what was taken together.
  std::map<std::pair<std::string, std::string>, std::set<std::string>> values_;
  std::set<std::pair<std::string, std::string>> everywhere_;
  std::set<std::pair<std::string, Features>> combinations_;
  // Labels of the cases taken, by kernel and row.
  std::map<std::pair<std::string, int32_t>, std::set<std::string>> shapes_;
};

}  // namespace

std::vector<Run> cover(std::span<const Run> all) { return Cover(all, true).choose(); }

std::vector<Run> cover_once(std::span<const Run> all) { return Cover(all, false).choose(); }

std::vector<Run> cover_kernels(std::span<const Run> all) {
  std::map<std::string, const Run*> smallest;
  for (const Run& run : all) {
    const int64_t elements = input_elements(*run.test);
    if (run.kernel.empty() || run.kernel == "view" || elements == 0) continue;
    const Run*& best = smallest[run.kernel];
    if (best == nullptr || elements < input_elements(*best->test)) best = &run;
  }
  std::vector<Run> chosen;
  for (const auto& [kernel, run] : smallest) chosen.push_back(*run);
  return chosen;
}

std::vector<Run> cover_rows(std::span<const Run> all) {
  // By row and kernel, the runs of the smallest case.
  std::map<std::pair<int32_t, std::string>, std::vector<const Run*>> smallest;
  for (const Run& run : all) {
    if (run.row < 0 || input_elements(*run.test) == 0) continue;
    std::vector<const Run*>& best = smallest[{run.row, without_dtype(run.kernel)}];
    if (!best.empty() && input_elements(*run.test) < input_elements(*best[0]->test)) best.clear();
    if (best.empty() || best[0]->test == run.test) best.push_back(&run);
  }
  std::vector<Run> chosen;
  for (const auto& [key, runs] : smallest) chosen.push_back(*runs[chosen.size() % runs.size()]);
  return chosen;
}

}  // namespace zoetrope::conformance
