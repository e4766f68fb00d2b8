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

std::vector<Run> cover(std::span<const Run> all, bool widths) {
  std::vector<bool> taken(all.size());
  std::set<std::pair<std::string, std::string>> patterns;
  for (size_t begin = 0, turn = 0; begin < all.size(); ++turn) {
    size_t end = begin;
    while (end < all.size() && all[end].test == all[begin].test) ++end;
    // By kernel and width, the runs of this case.
    std::map<std::pair<std::string, int>, std::vector<size_t>> groups;
    for (size_t i = begin; i < end; ++i) {
      taken[i] = patterns.emplace(all[i].kernel, all[i].pattern).second;
      groups[{without_dtype(all[i].kernel), widths ? width(all[i].variant) : 0}].push_back(i);
    }
    // Where none of a group brings a new pattern, they take turns.
    for (const auto& [key, group] : groups)
      if (std::none_of(group.begin(), group.end(), [&](size_t i) { return taken[i]; }))
        taken[group[turn % group.size()]] = true;
    begin = end;
  }
  std::vector<Run> chosen;
  for (size_t i = 0; i < all.size(); ++i)
    if (taken[i]) chosen.push_back(all[i]);
  return chosen;
}

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
