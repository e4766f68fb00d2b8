// Shape inference as the guard between model files and everything else: what it accepts must be
// safe.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <random>

#include "graph/builder.h"
#include "graph/evaluate.h"
#include "tests/conformance/case.h"

using namespace zoetrope;
using namespace zoetrope::conformance;

namespace {

struct Sample {
  const OpDef* def;
  std::vector<TensorType> types;
  std::vector<bool> present;
  Attrs attrs;

  std::vector<const TensorType*> pointers() const {
    std::vector<const TensorType*> list;
    for (size_t i = 0; i < types.size(); ++i) list.push_back(present[i] ? &types[i] : nullptr);
    return list;
  }
};

Sample sample_of(const Case& test) {
  Sample sample{&op_def(test.op), {}, {}, test.attrs};
  for (const CaseInput& input : test.inputs) {
    sample.types.push_back({input.dtype, input.shape});
    sample.present.push_back(input.kind != InputKind::kAbsent);
  }
  return sample;
}

using Random = std::mt19937_64;

template <typename T>
T pick(Random& random, std::initializer_list<T> list) {
  return list.begin()[random() % list.size()];
}

int64_t odd_int(Random& random) {
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  return pick<int64_t>(random,
                       {-kMax - 1, -kMax, -7, -2, -1, 0, 1, 2, 3, 4, 5, 1 << 20, int64_t{1} << 45,
                        int64_t{1} << 46, int64_t{1} << 47, kMax - 1, kMax});
}

void break_attr(Random& random, AttrValue* value) {
  if (auto* flag = std::get_if<bool>(value)) *flag = !*flag;
  if (auto* dim = std::get_if<Dim>(value)) *dim = odd_int(random);
  if (auto* number = std::get_if<double>(value))
    *number = pick(random, {0.0, -1.0, 1e308, double(NAN), double(INFINITY)});
  if (auto* name = std::get_if<std::string>(value))
    *name =
        pick<std::string>(random, {"", "x", "none", "f32", "i64", "bool", "reflect", "replicate"});
  if (auto* dims = std::get_if<std::vector<Dim>>(value)) {
    const uint64_t choice = random() % 4;
    if (choice == 0) dims->push_back(odd_int(random));
    if (choice == 1 && !dims->empty()) dims->pop_back();
    if (choice >= 2 && !dims->empty()) (*dims)[random() % dims->size()] = odd_int(random);
  }
}

Shape shorter(const Shape& shape) {
  return Shape(shape.dims().first(static_cast<size_t>(shape.rank() - 1)));
}

void break_input(Random& random, Sample* sample) {
  const size_t i = random() % sample->types.size();
  TensorType& type = sample->types[i];
  switch (random() % 6) {
    case 0: type.dtype = static_cast<DType>(random() % kDTypeCount); break;
    case 1: sample->present[i] = !sample->present[i]; break;
    case 2:
      sample->types.pop_back();
      sample->present.pop_back();
      break;
    case 3: {
      Shape longer = type.shape;
      if (longer.rank() < kMaxRank) longer.push_back(pick<int64_t>(random, {0, 1, 2, 5}));
      if (checked_elements(longer.dims()).ok()) type.shape = longer;
      break;
    }
    case 4:
      if (type.shape.rank() > 0) type.shape = shorter(type.shape);
      break;
    default: {
      if (type.shape.rank() == 0) break;
      Shape shape = type.shape;
      shape[static_cast<int>(random() % static_cast<uint64_t>(shape.rank()))] =
          pick<int64_t>(random, {0, 1, 2, 3, 8, 1 << 20, int64_t{1} << 40, int64_t{1} << 46});
      // Values of a bound graph have passed this check.
      if (checked_elements(shape.dims()).ok()) type.shape = shape;
    }
  }
}

// Evaluates what inference accepted, when it is small: the sanitizers watch.
void evaluate_if_small(const Sample& sample, std::span<const TensorType> outputs) {
  constexpr int64_t kSmall = 1 << 12;
  for (size_t i = 0; i < sample.types.size(); ++i)
    if (sample.types[i].shape.elements() > kSmall) return;
  for (const TensorType& out : outputs)
    if (out.shape.elements() > kSmall) return;
  std::vector<EvalTensor> values;
  for (const TensorType& type : sample.types)
    values.push_back(
        {type.shape, std::vector<double>(static_cast<size_t>(type.shape.elements()), 1)});
  std::vector<const EvalTensor*> inputs;
  for (size_t i = 0; i < values.size(); ++i)
    inputs.push_back(sample.present[i] ? &values[i] : nullptr);
  const auto result = reference_evaluate_node(*sample.def, sample.attrs, sample.pointers(), inputs);
  REQUIRE_MESSAGE(result.ok(), sample.def->name, ": ", result.status().message());
  for (size_t k = 0; k < outputs.size(); ++k)
    CHECK_MESSAGE((*result)[k].shape == outputs[k].shape, sample.def->name);
}

std::string infer_error(OpKind op, std::vector<TensorType> types, Attrs attrs = {}) {
  REQUIRE(verify_attrs(op_def(op), &attrs).ok());
  std::vector<const TensorType*> pointers;
  for (const TensorType& type : types) pointers.push_back(&type);
  const auto result = op_def(op).infer(OpContext{pointers, attrs});
  return result.ok() ? "accepted " + (*result)[0].to_string() : result.status().message();
}

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("inference survives any attributes and shapes, and so does what it accepts") {
  Random random(20260);
  int accepted = 0, refused = 0;
  for (const Case& test : all_cases()) {
    for (int round = 0; round < 300; ++round) {
      Sample sample = sample_of(test);
      REQUIRE(verify_attrs(*sample.def, &sample.attrs).ok());
      for (uint64_t changes = random() % 3 + 1; changes > 0; --changes) {
        const size_t count = sample.attrs.items().size();
        if (count > 0 && (sample.types.empty() || random() % 2 == 0)) {
          const auto& [name, value] = sample.attrs.items()[random() % count];
          AttrValue broken = value;
          break_attr(random, &broken);
          sample.attrs.set(std::string(name), broken);
        } else if (!sample.types.empty()) {
          break_input(random, &sample);
        }
      }
      const std::vector<const TensorType*> inputs = sample.pointers();
      const OpContext context{inputs, sample.attrs};
      const auto types = sample.def->infer(context);
      if (!types.ok()) {
        ++refused;
        CHECK_FALSE(types.status().message().empty());
        continue;
      }
      ++accepted;
      for (const TensorType& out : *types)
        CHECK_MESSAGE(checked_elements(out.shape.dims()).ok(), sample.def->name);
      const Cost cost = node_cost(*sample.def, context, *types);
      CHECK_MESSAGE((cost.flops >= 0 && std::isfinite(cost.flops)), sample.def->name);
      evaluate_if_small(sample, *types);
    }
  }
  MESSAGE(accepted, " accepted, ", refused, " refused");
  CHECK(accepted > 1000);
  CHECK(refused > 1000);
}

TEST_CASE("inference errors say what was expected and what was found") {
  const auto f32 = [](Shape shape) { return TensorType{DType::kF32, shape}; };
  CHECK(contains(infer_error(OpKind::kAdd, {f32({2, 3}), f32({4})}), "[2, 3] and [4]"));
  CHECK(contains(infer_error(OpKind::kAdd, {f32({2}), {DType::kBF16, {2}}}),
                 "b must be f32; found bf16[2]"));
  CHECK(contains(infer_error(OpKind::kMatmul, {f32({2, 3}), f32({4, 5})}), "3 columns"));
  CHECK(contains(infer_error(OpKind::kMatmul, {f32({2, 3})}), "input 1 is absent"));
  CHECK(contains(infer_error(OpKind::kConv, {f32({1, 8, 4}), f32({6, 3, 2})}),
                 "4 input channels a group; found f32[6, 3, 2]"));
  CHECK(contains(infer_error(OpKind::kConv, {f32({1, 2, 4}), f32({6, 3, 4})}), "kernel spans 3"));
  CHECK(contains(infer_error(OpKind::kRmsNorm, {f32({2, 8}), f32({4})}, {{"epsilon", 1e-6}}),
                 "weight must have shape [8]; found f32[4]"));
  CHECK(contains(
      infer_error(OpKind::kRope, {f32({1, 4, 2, 8}), f32({1, 4, 1, 8}), f32({1, 4, 1, 8})}),
      "cos must have shape [1, 4, 1, 4]"));
  CHECK(contains(
      infer_error(OpKind::kAttention, {f32({1, 4, 6, 8}), f32({1, 4, 4, 8}), f32({1, 4, 4, 8})}),
      "multiple"));
  CHECK(contains(infer_error(OpKind::kReshape, {f32({2, 3})}, {{"dims", ints({4, -1})}}),
                 "f32[2, 3] over 4"));
  CHECK(contains(infer_error(OpKind::kSlice, {f32({5})},
                             {{"axis", Dim(0)}, {"start", Dim(2)}, {"end", Dim(9)}}),
                 "slice [2, 9) lies outside axis 0 of [5]"));
  CHECK(contains(
      infer_error(OpKind::kFill, {}, {{"dims", ints({2})}, {"value", 0.0}, {"dtype", text("f33")}}),
      "unknown dtype 'f33'"));
}

TEST_CASE("costs count multiply and add as two") {
  const TensorType x{DType::kF32, {2, 10, 8}}, w{DType::kBF16, {16, 8}};
  const std::array inputs{&x, &w};
  const Attrs attrs{{"transpose_b", true}};
  const OpContext context{inputs, attrs};
  const auto types = op_def(OpKind::kMatmul).infer(context);
  const Cost cost = node_cost(op_def(OpKind::kMatmul), context, *types);
  CHECK(cost.flops == 2.0 * 2 * 10 * 8 * 16);
  CHECK(cost.bytes == 4.0 * 2 * 10 * 8 + 2.0 * 16 * 8 + 4.0 * 2 * 10 * 16);
}

TEST_CASE(
    "every decomposition holds core ops, or fused ones before it in the list, and keeps the "
    "types") {
  for (const Case& test : fused_cases()) {
    for (DType dtype : {DType::kF32, DType::kBF16}) {
      Graph graph;
      graph.bound = true;
      Builder builder(&graph);
      std::vector<ValueId> ids;
      Attrs attrs = test.attrs;
      REQUIRE(verify_attrs(op_def(test.op), &attrs).ok());
      std::vector<TensorType> types;
      for (const CaseInput& input : test.inputs)
        types.push_back({input.kind == InputKind::kFixed ? input.dtype : dtype, input.shape});
      std::vector<const TensorType*> pointers;
      for (size_t i = 0; i < types.size(); ++i) {
        const Shape& shape = types[i].shape;
        ids.push_back(builder.input(str(i), types[i].dtype, {shape.begin(), shape.end()}));
        graph.value(ids.back()).type = types[i];
        pointers.push_back(&types[i]);
      }
      const auto outputs = op_def(test.op).decompose(builder, ids, attrs);
      REQUIRE_MESSAGE(builder.status().ok(), builder.status().message());
      const auto expected = op_def(test.op).infer(OpContext{pointers, attrs});
      REQUIRE_MESSAGE(expected.ok(), expected.status().message());
      REQUIRE(outputs.size() == expected->size());
      for (size_t k = 0; k < outputs.size(); ++k)
        CHECK_MESSAGE(graph.value(outputs[k]).type == (*expected)[k], op_def(test.op).name);
      for (const Node& node : graph.nodes)
        CHECK((!op_def(node.op).is_fused() || node.op < test.op));
      CHECK(verify(graph).ok());
    }
  }
}

TEST_CASE("costs of convolutions count what meets the input, not its padding") {
  // A causal one: three frames of kernel on the first frame alone, and rows with a border.
  const TensorType x{DType::kF32, {1, 1, 5, 7, 4}}, w{DType::kF32, {6, 3, 3, 2, 4}};
  const std::array inputs{&x, &w};
  const Attrs attrs{{"stride", ints({1, 2, 1})},
                    {"dilation", ints({1, 1, 3})},
                    {"pad_lo", ints({2, 1, 0})},
                    {"pad_hi", ints({0, 1, 0})}};
  Attrs all = attrs;
  REQUIRE(verify_attrs(op_def(OpKind::kConv), &all).ok());
  const OpContext context{inputs, all};
  const auto types = op_def(OpKind::kConv).infer(context);
  REQUIRE_MESSAGE(types.ok(), types.status().message());
  const Shape& y = (*types)[0].shape;
  double products = 0;
  const auto inside = [&](int64_t out, int64_t k, int64_t stride, int64_t dilation, int64_t pad,
                          int64_t extent) {
    const int64_t at = out * stride + k * dilation - pad;
    return at >= 0 && at < extent;
  };
  for (int64_t t = 0; t < y[1]; ++t)
    for (int64_t i = 0; i < y[2]; ++i)
      for (int64_t j = 0; j < y[3]; ++j)
        for (int64_t a = 0; a < 3; ++a)
          for (int64_t b = 0; b < 3; ++b)
            for (int64_t c = 0; c < 2; ++c)
              if (inside(t, a, 1, 1, 2, 1) && inside(i, b, 2, 1, 1, 5) && inside(j, c, 1, 3, 0, 7))
                products += 6 * 4;
  CHECK(node_cost(op_def(OpKind::kConv), context, *types).flops == 2 * products);
}

TEST_CASE("costs of gathers and slices count what they read") {
  const TensorType table{DType::kBF16, {1000, 8}}, rows{DType::kI32, {3}};
  const std::array inputs{&table, &rows};
  Attrs attrs;
  REQUIRE(verify_attrs(op_def(OpKind::kGather), &attrs).ok());
  const OpContext context{inputs, attrs};
  const auto types = op_def(OpKind::kGather).infer(context);
  REQUIRE_MESSAGE(types.ok(), types.status().message());
  CHECK(node_cost(op_def(OpKind::kGather), context, *types).bytes == 2 * (2.0 * 3 * 8) + 4.0 * 3);
}
