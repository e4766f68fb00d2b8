#include <limits>

#include "tests/conformance/case.h"

namespace zoetrope::conformance {
namespace {

void add_sources(std::vector<Case>* cases) {
  for (const char* dtype : {"f32", "bf16", "i32"}) {
    cases->push_back({OpKind::kFill,
                      "scalar",
                      {},
                      {{"dims", ints({})}, {"value", 3.0}, {"dtype", text(dtype)}}});
    cases->push_back({OpKind::kFill,
                      "tensor",
                      {},
                      {{"dims", ints({3, 1, 7})}, {"value", -2.0}, {"dtype", text(dtype)}}});
    cases->push_back(
        {OpKind::kIota,
         "counting",
         {},
         {{"length", Dim(37)}, {"start", 0.0}, {"step", 1.0}, {"dtype", text(dtype)}}});
  }
  cases->push_back(
      {OpKind::kIota,
       "fractions",
       {},
       {{"length", Dim(1025)}, {"start", -1.5}, {"step", 0.1}, {"dtype", text("f32")}}});
  cases->push_back({OpKind::kIota,
                    "empty",
                    {},
                    {{"length", Dim(0)}, {"start", 0.0}, {"step", 1.0}, {"dtype", text("f32")}}});
}

void add_transposes(std::vector<Case>* cases) {
  const auto add = [&](Shape shape, std::initializer_list<int64_t> order) {
    cases->push_back({OpKind::kTranspose, "", {in(shape)}, {{"permutation", ints(order)}}});
  };
  add({}, {});
  add({5}, {0});
  add({3, 7}, {1, 0});
  add({130, 67}, {1, 0});
  add({2, 3, 5}, {0, 2, 1});
  // Several tiles, with and without whole pairs of narrow elements, and dimensions around them.
  add({2, 96, 130}, {0, 2, 1});
  add({34, 3, 40}, {2, 1, 0});
  // Whole chunks on both sides, over several tiles.
  add({2, 136, 208}, {0, 2, 1});
  add({72, 3, 200}, {2, 1, 0});
  // Whole chunks of 16 bytes, of all elements or of the wide ones only.
  add({2, 96, 136}, {0, 2, 1});
  add({24, 3, 40}, {2, 1, 0});
  add({2, 72, 3, 16}, {3, 0, 2, 1});
  add({44, 20}, {1, 0});
  add({20, 5, 2, 33}, {3, 1, 0, 2});
  add({2, 3, 5}, {2, 0, 1});
  add({2, 3, 4, 5}, {0, 2, 1, 3});
  add({1, 2, 3, 4, 5}, {0, 4, 1, 2, 3});
  add({2, 3, 2, 3, 2, 3}, {0, 3, 1, 4, 2, 5});
  add({2, 3, 2, 3, 2, 3}, {5, 4, 3, 2, 1, 0});
  add({0, 3}, {1, 0});
}

void add_slices(std::vector<Case>* cases) {
  const auto add = [&](Shape shape, int64_t axis, int64_t start, int64_t end, int64_t step) {
    cases->push_back(
        {OpKind::kSlice,
         "",
         {in(shape)},
         {{"axis", Dim(axis)}, {"start", Dim(start)}, {"end", Dim(end)}, {"step", Dim(step)}}});
  };
  constexpr int64_t kRest = std::numeric_limits<int64_t>::max();
  add({9}, 0, 2, 7, 1);
  add({9}, 0, -4, -1, 1);
  add({9}, 0, 4, 4, 1);
  add({9}, 0, 1, kRest, 3);
  add({3, 5, 17}, 1, 1, kRest, 2);
  add({3, 5, 17}, -1, 0, 11, 1);
  add({3, 5, 17}, 0, 2, 3, 1);
  add({2, 3, 2, 3, 2, 7}, 3, 1, 3, 1);
  add({2, 6, 384}, 1, 5, 6, 1);
}

void add_concats(std::vector<Case>* cases) {
  cases->push_back({OpKind::kConcat, "one part", {in({3, 5})}, {{"axis", Dim(0)}}});
  cases->push_back(
      {OpKind::kConcat, "first axis", {in({3, 5}), in({1, 5}), in({4, 5})}, {{"axis", Dim(0)}}});
  cases->push_back(
      {OpKind::kConcat, "last axis", {in({3, 5}), in({3, 1}), in({3, 16})}, {{"axis", Dim(-1)}}});
  cases->push_back(
      {OpKind::kConcat, "an empty part", {in({2, 0, 3}), in({2, 5, 3})}, {{"axis", Dim(1)}}});
  cases->push_back({OpKind::kConcat,
                    "the same part twice is two inputs",
                    {in({2, 3, 2, 1, 2, 5}), in({2, 3, 2, 4, 2, 5})},
                    {{"axis", Dim(3)}}});
  std::vector<CaseInput> many;
  for (int i = 0; i < 40; ++i) many.push_back(in({2, 1, 3}));
  cases->push_back({OpKind::kConcat, "forty parts", many, {{"axis", Dim(1)}}});
}

void add_pads(std::vector<Case>* cases) {
  for (const char* mode : {"constant", "replicate", "reflect"}) {
    const auto add = [&](Shape shape, AttrValue lo, AttrValue hi) {
      cases->push_back({OpKind::kPad,
                        mode,
                        {in(shape)},
                        {{"lo", lo}, {"hi", hi}, {"mode", text(mode)}, {"value", 0.25}}});
    };
    add({5}, ints({2}), ints({3}));
    add({3, 7}, ints({0, 1}), ints({2, 0}));
    add({2, 3, 4, 5, 6}, ints({0, 2, 1, 1, 0}), ints({0, 0, 1, 2, 0}));
    add({1, 4, 3, 3, 17}, ints({0, 1, 0, 0, 0}), ints({0, 1, 0, 0, 0}));
    add({2, 3, 2, 2, 3, 3}, ints({1, 2, 1, 0, 1, 2}), ints({0, 1, 1, 1, 2, 0}));
    add({3, 2}, ints({}), ints({}));
  }
  cases->push_back(
      {OpKind::kPad,
       "replicate far",
       {in({2, 1, 5})},
       {{"lo", ints({0, 6, 0})}, {"hi", ints({0, 9, 0})}, {"mode", text("replicate")}}});
  cases->push_back({OpKind::kPad,
                    "an empty tensor",
                    {in({0, 3})},
                    {{"lo", ints({2, 1})}, {"hi", ints({1, 0})}}});
}

}  // namespace

std::vector<Case> layout_cases() {
  std::vector<Case> cases;
  add_sources(&cases);
  cases.push_back({OpKind::kReshape, "", {in({2, 3, 4})}, {{"dims", ints({-1, 6})}}});
  cases.push_back({OpKind::kReshape, "", {in({})}, {{"dims", ints({1, 1})}}});
  add_transposes(&cases);
  const auto broadcast = [&](Shape from, std::initializer_list<int64_t> to) {
    cases.push_back({OpKind::kBroadcast, "", {in(from)}, {{"dims", ints(to)}}});
  };
  broadcast({}, {3, 5});
  broadcast({17}, {4, 17});
  broadcast({4, 1}, {4, 17});
  broadcast({2, 1, 3, 1}, {5, 2, 7, 3, 4});
  broadcast({3, 5}, {3, 5});
  broadcast({1, 5}, {0, 5});
  add_slices(&cases);
  add_concats(&cases);
  add_pads(&cases);
  const auto repeat = [&](Shape shape, int64_t axis, int64_t times) {
    cases.push_back(
        {OpKind::kRepeat, "", {in(shape)}, {{"axis", Dim(axis)}, {"times", Dim(times)}}});
  };
  repeat({7}, 0, 1);
  repeat({7}, 0, 3);
  repeat({2, 3, 5}, 1, 2);
  repeat({2, 3, 5}, -1, 4);
  repeat({1, 2, 4, 4, 33}, 3, 2);
  repeat({2, 0, 5}, 2, 2);

  for (bool align : {false, true}) {
    const auto resize = [&](Shape shape, std::initializer_list<int64_t> sizes) {
      cases.push_back({OpKind::kResizeLinear,
                       align ? "aligned corners" : "half pixels",
                       {in(shape)},
                       {{"sizes", ints(sizes)}, {"align_corners", align}}});
    };
    resize({2, 5, 3}, {9});
    resize({1, 5, 7, 3}, {10, 13});
    resize({2, 8, 6, 17}, {3, 5});
    resize({1, 3, 4, 5, 2}, {5, 4, 9});
    resize({1, 1, 1, 4}, {3, 2});
    resize({2, 3, 5, 16}, {7, 9});
    resize({1, 4, 4, 3}, {1, 1});
  }

  for (DType index : {DType::kI32, DType::kI64}) {
    cases.push_back(
        {OpKind::kGather, "a table of rows", {weight({11, 7}), fixed(index, {2, 5}, 0, 10)}, {}});
    cases.push_back({OpKind::kGather, "scalars", {weight({11}), fixed(index, {3}, 0, 10)}, {}});
    cases.push_back({OpKind::kGather, "one row", {weight({5, 3, 4}), fixed(index, {}, 0, 4)}, {}});
    cases.push_back({OpKind::kGather,
                     "indices outside the table are clamped",
                     {weight({4, 3}), fixed_values(index, {6}, {-5, -1, 0, 3, 4, 2000000000})},
                     {}});
    cases.push_back({OpKind::kGather, "no indices", {weight({4, 3}), fixed(index, {0}, 0, 3)}, {}});
  }
  return cases;
}

}  // namespace zoetrope::conformance
