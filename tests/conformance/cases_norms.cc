#include <limits>

#include "tests/conformance/case.h"

namespace zoetrope::conformance {

std::vector<Case> norm_cases() {
  std::vector<Case> cases;
  for (OpKind op : {OpKind::kReduceSum, OpKind::kReduceMean, OpKind::kReduceMax}) {
    for (bool keep : {true, false}) {
      const auto add = [&](Shape shape, std::initializer_list<int64_t> axes) {
        cases.push_back({op,
                         keep ? "kept dims" : "dropped dims",
                         {in(shape)},
                         {{"axes", ints(axes)}, {"keep_dims", keep}}});
      };
      add({17}, {0});
      add({3, 37}, {-1});
      add({3, 37}, {0});
      add({2, 3, 5, 7}, {1, 2});
      add({2, 3, 5, 7}, {0, 3});
      add({2, 3, 2, 3, 2, 19}, {5, 1, 3});
      add({3, 5}, {});
      add({2, 0, 5}, {2});
    }
    for (int64_t axis : {0, 1, 2})
      cases.push_back({op, "whole chunks", {in({3, 130, 72})}, {{"axes", ints({axis})}}});
    cases.push_back({op, "long columns of chunks", {in({2, 1203, 24})}, {{"axes", ints({1})}}});
    cases.push_back({op, "chunks between", {in({3, 70, 5, 16})}, {{"axes", ints({1})}}});
    cases.push_back({op, "many columns of chunks", {in({9, 5000})}, {{"axes", ints({0})}}});
    cases.push_back({op, "few results", {in({2, 2050, 6})}, {{"axes", ints({1})}}});
    cases.push_back({op, "one result", {in({2, 2050, 6})}, {{"axes", ints({})}}});
    cases.push_back({op, "long", {in({3, 5003})}, {{"axes", ints({1})}}});
  }
  cases.push_back({OpKind::kReduceSum, "nothing", {in({3, 0})}, {{"axes", ints({1})}}});

  constexpr double kInf = std::numeric_limits<double>::infinity();
  const auto softmax = [&](CaseInput x, int64_t axis, const char* label = "") {
    cases.push_back({OpKind::kSoftmax, label, {std::move(x)}, {{"axis", Dim(axis)}}});
  };
  softmax(in({1}), 0);
  softmax(in({3, 37}, -9, 9), -1);
  softmax(in({3, 37}, -9, 9), 0);
  softmax(in({2, 3, 5, 4099}, -4, 4), 3);
  softmax(in({2, 7, 5, 3}, -4, 4), 1);
  softmax(values({2, 19}, {1000, 999, 0, -1000}), 1, "large values");
  softmax(values({4, 8}, {-kInf, 0, 1, 2, -kInf, 3, -1, -kInf}), 1, "masked values");
  softmax(in({5, 1024}, -4, 4), 1, "whole chunks");
  softmax(in({3, 520}, -4, 4), 1, "chunks of some lanes");
  softmax(in({70, 72}, -4, 4), 1, "short rows of chunks");
  softmax(in({2, 14336}, -4, 4), 1, "long rows of chunks");
  softmax(values({2, 6152}, {-kInf, -kInf, -kInf, 3, -2}), 1, "long masked rows");
  softmax(in({3, 296}, -4, 4), 1, "lanes without a last chunk");
  softmax(in({2, 10400}, -4, 4), 1, "more than lanes hold");
  softmax(in({3, 300, 40}, -4, 4), 1, "long columns");
  softmax(in({0, 5}), 1, "no rows");

  for (double epsilon : {1e-6, 1e-5}) {
    for (const Shape& shape :
         {Shape{5}, Shape{3, 1}, Shape{2, 3, 64}, Shape{4, 129}, Shape{2, 1, 3, 2, 2, 37},
          Shape{3, 296}, Shape{2, 1536}, Shape{2, 10400}, Shape{0, 8}}) {
      const int64_t c = shape[-1];
      const Attrs attrs{{"epsilon", epsilon}};
      cases.push_back({OpKind::kRmsNorm, "plain", {in(shape)}, attrs});
      cases.push_back({OpKind::kRmsNorm, "weighted", {in(shape), weight({c})}, attrs});
      cases.push_back({OpKind::kLayerNorm, "plain", {in(shape)}, attrs});
      cases.push_back({OpKind::kLayerNorm, "weighted", {in(shape), weight({c})}, attrs});
      cases.push_back({OpKind::kLayerNorm, "affine", {in(shape), weight({c}), weight({c})}, attrs});
    }
  }
  cases.push_back({OpKind::kRmsNorm, "zeros", {values({3, 17}, {0})}, {{"epsilon", 1e-6}}});
  cases.push_back(
      {OpKind::kLayerNorm, "constant rows", {values({3, 17}, {2})}, {{"epsilon", 1e-5}}});
  // One-pass variance loses all digits here: the mean is 100 deviations away.
  cases.push_back(
      {OpKind::kLayerNorm, "far from zero", {in({4, 257}, 99, 101)}, {{"epsilon", 1e-5}}});

  const auto group = [&](Shape shape, int64_t groups, bool affine) {
    std::vector<CaseInput> inputs{in(shape)};
    if (affine) inputs.insert(inputs.end(), {weight({shape[-1]}), weight({shape[-1]})});
    cases.push_back({OpKind::kGroupNorm,
                     affine ? "affine" : "plain",
                     inputs,
                     {{"groups", Dim(groups)}, {"epsilon", 1e-5}}});
  };
  for (bool affine : {false, true}) {
    group({2, 6}, 3, affine);
    group({2, 5, 8}, 1, affine);
    group({1, 3, 5, 32}, 32, affine);
    group({2, 2, 3, 4, 48}, 4, affine);
    group({2, 23, 31, 64}, 32, affine);  // many blocks of positions
    group({1, 3, 1040}, 2, affine);      // many channels
    group({1, 37, 2336}, 4, affine);     // chunks of a group in parts
    group({3, 517, 96}, 3, affine);      // many positions at once
  }
  // One f32 rounds a mean by up to 2^-25 of it, and 1/√(variance + ε) makes that 300 times larger.
  const Attrs attrs{{"groups", Dim(3)}, {"epsilon", 1e-5}};
  cases.push_back({OpKind::kGroupNorm, "near pairs", {in({300, 6}, 0.99, 1)}, attrs});
  cases.push_back({OpKind::kGroupNorm, "far from zero", {in({2, 41, 24}, 99, 101)}, attrs});
  cases.push_back({OpKind::kGroupNorm, "far and odd", {in({2, 700, 15}, -101, -99)}, attrs});
  return cases;
}

}  // namespace zoetrope::conformance
