// Parts of nodes: a part computed from its boxes gives what the whole has there.
#include "runtime/verify/part.h"

#include <doctest/doctest.h>

#include <cmath>
#include <random>
#include <set>

using namespace zoetrope;

namespace {

struct Whole {
  OpKind op;
  std::vector<TensorType> types;  // of inputs; rank 0 and no elements: absent
  Attrs attrs;
  bool integers = false;  // the last input counts keys
};

TensorType f32(std::initializer_list<int64_t> dims) { return {DType::kF32, Shape(dims)}; }

// The outputs of all parts must be the whole's, and parts must lie at both ends.
void check(const Whole& w, size_t expected_parts) {
  const OpDef& def = op_def(w.op);
  CAPTURE(def.name);
  Attrs attrs = w.attrs;
  REQUIRE(verify_attrs(def, &attrs).ok());
  std::mt19937_64 random(1);
  std::normal_distribution<double> normal;
  std::vector<std::vector<float>> bytes;
  std::vector<std::vector<int32_t>> ints;
  std::vector<EvalTensor> values;
  std::vector<const TensorType*> types;
  std::vector<const EvalTensor*> pointers;
  std::vector<const void*> data;
  values.reserve(w.types.size());
  for (const TensorType& type : w.types) {
    const auto n = static_cast<size_t>(type.shape.elements());
    EvalTensor value{type.shape, std::vector<double>(n)};
    std::vector<float> floats(n);
    std::vector<int32_t> counts(n);
    for (size_t i = 0; i < n; ++i) {
      floats[i] = static_cast<float>(normal(random));
      counts[i] = static_cast<int32_t>(3 + i);
      value.data[i] = type.dtype == DType::kI32 ? counts[i] : static_cast<double>(floats[i]);
    }
    bytes.push_back(std::move(floats));
    ints.push_back(std::move(counts));
    values.push_back(std::move(value));
  }
  for (size_t i = 0; i < w.types.size(); ++i) {
    types.push_back(&w.types[i]);
    pointers.push_back(&values[i]);
    data.push_back(w.types[i].dtype == DType::kI32 ? static_cast<const void*>(ints[i].data())
                                                   : static_cast<const void*>(bytes[i].data()));
  }
  const OpContext context{types, attrs};
  const auto outputs = def.infer(context);
  REQUIRE_MESSAGE(outputs.ok(), outputs.status().message());
  const auto whole = reference_evaluate_node(def, attrs, types, pointers);
  REQUIRE(whole.ok());
  const auto parts = parts_of(def, context, *outputs, {.count = 12, .whole_flops = 0, .seed = 7});
  CHECK(parts.size() == expected_parts);
  const Shape& y = (*outputs)[0].shape;
  for (size_t n = 0; n < parts.size(); ++n) {
    const NodePart& part = parts[n];
    CHECK(!part.whole);
    for (int d = 0; d < y.rank(); ++d) {
      if (n == 0) CHECK(part.output.begin[d] == 0);
      if (n == 1) CHECK(part.output.begin[d] + part.output.extent[d] == y[d]);
    }
    std::vector<TensorType> part_types(types.size());
    std::vector<EvalTensor> part_values(types.size());
    std::vector<const TensorType*> type_pointers(types.size());
    std::vector<const EvalTensor*> value_pointers(types.size());
    for (size_t i = 0; i < types.size(); ++i) {
      part_types[i] = {types[i]->dtype, part.inputs[i].extent};
      part_values[i] = load_box(*types[i], data[i], part.inputs[i]);
      type_pointers[i] = &part_types[i];
      value_pointers[i] = &part_values[i];
    }
    const auto found = reference_evaluate_node(def, part.attrs, type_pointers, value_pointers);
    REQUIRE_MESSAGE(found.ok(), found.status().message());
    for (size_t k = 0; k < found->size(); ++k) {
      REQUIRE((*found)[k].shape == part.output.extent);
      std::vector<float> all((*whole)[k].data.begin(), (*whole)[k].data.end());
      const EvalTensor expected =
          load_box({DType::kF32, (*whole)[k].shape}, all.data(), part.output);
      for (size_t i = 0; i < expected.data.size(); ++i)
        CHECK(static_cast<float>((*found)[k].data[i]) ==
              doctest::Approx(expected.data[i]).epsilon(1e-6));
    }
  }
}

}  // namespace

TEST_CASE("parts of products and attention") {
  check({OpKind::kMatmul, {f32({2, 9, 7}), f32({2, 7, 70})}, {}}, 12);
  check({OpKind::kMatmul, {f32({2, 9, 7}), f32({1, 70, 7})}, {{"transpose_b", true}}}, 12);
  check({OpKind::kLinear,
         {f32({2, 9, 7}), f32({70, 7}), f32({70})},
         {{"transpose_b", true}, {"activation", std::string("silu")}}},
        12);
  check({OpKind::kAttention, {f32({2, 9, 4, 5}), f32({2, 11, 2, 5}), f32({2, 11, 2, 3})}, {}}, 12);
  check({OpKind::kAttention,
         {f32({2, 9, 4, 5}), f32({2, 11, 2, 5}), f32({2, 11, 2, 3}), {DType::kI32, {2}}},
         {{"causal", true}}},
        12);
  check({OpKind::kAttention,
         {f32({2, 9, 4, 5}),
          f32({2, 11, 2, 5}),
          f32({2, 11, 2, 3}),
          {DType::kI32, {2}},
          f32({4, 1, 11})},
         {}},
        12);
  const Attrs packed{{"heads", Dim(3)},    {"kv_heads", Dim(3)}, {"dim", Dim(2)},
                     {"v_dim", Dim(2)},    {"q_offset", Dim(0)}, {"k_offset", Dim(6)},
                     {"v_offset", Dim(12)}};
  check({OpKind::kPackedAttention, {f32({2, 9, 18}), f32({2, 9, 18}), f32({2, 9, 18})}, packed},
        12);
}

TEST_CASE("parts of convolutions, at the edges too") {
  const std::vector<Dim> two{Dim(2), Dim(2)}, one{Dim(1), Dim(1)}, zero_one{Dim(0), Dim(1)};
  check({OpKind::kConv,
         {f32({2, 9, 8, 3}), f32({40, 3, 3, 3})},
         {{"stride", two}, {"pad_lo", one}, {"pad_hi", zero_one}}},
        12);
  check(
      {OpKind::kConvBias,
       {f32({1, 9, 8, 3}), f32({40, 3, 3, 3}), f32({40})},
       {{"pad_lo", one}, {"pad_hi", one}, {"replicate", one}, {"activation", std::string("silu")}}},
      12);
  check({OpKind::kConv, {f32({1, 9, 8, 4}), f32({6, 3, 3, 2})}, {{"groups", Dim(2)}}}, 12);
  check({OpKind::kConvTranspose, {f32({2, 5, 4, 3}), f32({6, 3, 3, 3})}, {{"stride", two}}}, 12);
}

TEST_CASE("parts of rows and elements") {
  check({OpKind::kAdd, {f32({2, 9, 6}), f32({9, 1})}, {}}, 12);
  check({OpKind::kSilu, {f32({2, 9, 6})}, {}}, 12);
  check({OpKind::kSoftmax, {f32({2, 9, 6})}, {{"axis", Dim(1)}}}, 12);
  check({OpKind::kLayerNorm, {f32({2, 9, 6}), f32({6}), f32({6})}, {{"epsilon", 1e-5}}}, 12);
  check({OpKind::kResidualNorm,
         {f32({2, 9, 6}), f32({2, 9, 6}), f32({2, 1, 6}), f32({2, 1, 6}), f32({2, 1, 6})},
         {{"norm", std::string("layer")}, {"epsilon", 1e-5}}},
        12);
  check({OpKind::kRope, {f32({2, 9, 3, 4}), f32({1, 9, 1, 2}), f32({1, 9, 1, 2})}, {}}, 12);
  check({OpKind::kNormRope,
         {f32({2, 9, 3, 4}), f32({1, 9, 3, 2}), f32({1, 9, 3, 2}), f32({12})},
         {{"epsilon", 1e-5}, {"full_width", true}}},
        12);
  check({OpKind::kGlu, {f32({2, 9, 6})}, {}}, 12);
  check({OpKind::kTranspose,
         {f32({2, 9, 6})},
         {{"permutation", std::vector<Dim>{Dim(2), Dim(0), Dim(1)}}}},
        12);
  check({OpKind::kSlice, {f32({2, 9, 6})}, {{"axis", Dim(1)}, {"start", Dim(-7)}, {"end", Dim(8)}}},
        12);
}

TEST_CASE("what cannot be cut is taken whole where it is small, and else left out") {
  const std::vector<TensorType> types{f32({2, 9, 6})};
  const std::vector<const TensorType*> pointers{&types[0]};
  const OpDef& def = op_def(OpKind::kReduceSum);
  Attrs attrs;
  REQUIRE(verify_attrs(def, &attrs).ok());
  const OpContext context{pointers, attrs};
  const auto outputs = def.infer(context);
  REQUIRE(outputs.ok());
  CHECK(parts_of(def, context, *outputs, {.count = 3, .whole_flops = 0, .seed = 0}).empty());
  const auto whole = parts_of(def, context, *outputs, {.count = 3, .whole_flops = 1e6, .seed = 0});
  REQUIRE(whole.size() == 1);
  CHECK(whole[0].whole);
}
