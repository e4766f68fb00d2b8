#include "tests/conformance/cover.h"

#include <algorithm>
#include <map>
#include <set>

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
      Run run{&test, variant, "", std::move(question.pattern)};
      if (op_def(test.op).is_view) {
        run.kernel = "view";
      } else if (question.infer().ok()) {
        // A case that is refused here is run all the same, and says what is wrong with it.
        const auto info = device.query_kernel(question.request);
        if (info.ok()) run.kernel = info->name;
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

// What a kernel may be compiled for besides dtypes: ("activation", "gelu"), ("causal", "true").
using Switches = std::vector<std::pair<std::string, std::string>>;

Switches switches_of(const Case& test) {
  Switches found;
  for (const auto& [name, value] : test.attrs.items())
    if (std::holds_alternative<bool>(value) || std::holds_alternative<std::string>(value))
      found.emplace_back(name, attr_to_string(value));
  return found;
}

class Cover {
 public:
  Cover(std::span<const Run> all, bool full) : all_(all), full_(full), taken_(all.size()) {}

  std::vector<Run> choose() {
    for (size_t begin = 0; begin < all_.size(); ++turn_) {
      size_t end = begin;
      while (end < all_.size() && all_[end].test == all_[begin].test) ++end;
      choose_of_case(begin, end);
      begin = end;
    }
    std::vector<Run> chosen;
    for (size_t i = 0; i < all_.size(); ++i)
      if (taken_[i]) chosen.push_back(all_[i]);
    return chosen;
  }

 private:
  void choose_of_case(size_t begin, size_t end) {
    // By kernel and width, the runs of this case.
    std::map<std::pair<std::string, int>, std::vector<size_t>> groups;
    for (size_t i = begin; i < end; ++i) {
      taken_[i] = patterns_.emplace(all_[i].kernel, all_[i].pattern).second;
      groups[{without_dtype(all_[i].kernel), full_ ? width(all_[i].variant) : 0}].push_back(i);
    }
    for (const auto& [key, group] : groups) {
      const bool matrices = on_matrices(key.first);
      if (matrices && (!full_ || !is_new(key.first, *all_[begin].test))) continue;
      // Where none of a group brings a new pattern, they take turns.
      if (std::none_of(group.begin(), group.end(), [&](size_t i) { return taken_[i]; }))
        taken_[group[turn_ % group.size()]] = true;
    }
  }

  // Whether the case has a value of a switch that is new to all kernels on matrices, or one of the
  // first two of this kernel's; or only such as this kernel has had together.
  bool is_new(const std::string& kernel, const Case& test) {
    const Switches switches = switches_of(test);
    bool any = switches.empty();
    for (const auto& [name, value] : switches) {
      std::set<std::string>& own = values_[{kernel, name}];
      const bool first = everywhere_.emplace(name, value).second;
      any |= first || (own.size() < 2 && !own.contains(value));
      if (first || own.size() < 2) own.insert(value);
    }
    if (any) combinations_.emplace(kernel, switches);
    return combinations_.contains({kernel, switches});
  }

  std::span<const Run> all_;
  const bool full_;
  std::vector<bool> taken_;
  size_t turn_ = 0;
  std::set<std::pair<std::string, std::string>> patterns_;  // by kernel
  std::map<std::pair<std::string, std::string>, std::set<std::string>>
      values_;                                                // by kernel, switch
  std::set<std::pair<std::string, std::string>> everywhere_;  // switches and values
  std::set<std::pair<std::string, Switches>> combinations_;   // by kernel
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

}  // namespace zoetrope::conformance
