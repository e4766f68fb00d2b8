#include <algorithm>
#include <limits>

#include "graph/ops/elementwise.h"
#include "tests/conformance/case.h"

namespace zoetrope::conformance {
namespace {

void add_rows(std::vector<Case>* cases) {
  for (const char* dtype : {"i8", "f8e4m3"}) {
    const auto add = [&](const char* label, CaseInput x) {
      cases->push_back({OpKind::kQuantizeRows, label, {std::move(x)}, {{"dtype", text(dtype)}}});
    };
    for (const Shape& shape :
         {Shape{5}, Shape{3, 1}, Shape{7, 37}, Shape{2, 3, 64}, Shape{4, 129}, Shape{3, 516},
          Shape{2, 1, 3, 2, 2, 36}, Shape{2, 8960}, Shape{1, 16392}, Shape{0, 8}, Shape{3, 0}})
      add("uniform", in(shape, -3, 3));
    add("many rows", in({1027, 24}, -3, 3));
    for (int64_t width : {296, 768, 1040, 1536, 1544, 2056})
      add("many rows", in({4100, width}, -3, 3));
    add("zeros", values({3, 8}, {0, -0.0}));
    add("some rows of zeros", values({4, 4}, {0, 0, 0, 0, 1, -2, 3, 0.25}));
    add("ties", values({2, 8}, {127, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 63.5}));
    add("powers of two", values({3, 16}, {448, 1, 0.5, 0.125, -0.0625, 0x1p-7, 0x1p-9, -0x1p-10,
                                          0x1.8p-9, 17, 19, 21, -23, 432, 464, -447}));
    add("one large", values({3, 5}, {1e4, 1, -1, 30, 40}));
    add("small", in({5, 33}, -6e-5, 6e-5));
    // Below and about 2^-100, and as large as f32 goes; f16 makes zeros or infinities of them.
    const auto f32 = [](Shape shape, std::vector<double> list) {
      return fixed_values(DType::kF32, shape, std::move(list));
    };
    add("next to nothing", f32({4, 2}, {0x1p-100, -0x1p-101, 0x1.fffffep-101, 0x1p-120, 0x1p-140, 0,
                                        0x1.8p-99, 0x1p-106}));
    add("huge", f32({2, 3}, {0x1.fffffep127, -1e38, 1e30, 3e38, -2e38, 1e36}));

    constexpr double kInf = std::numeric_limits<double>::infinity();
    constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
    for (const double gap : {kNan, -kNan, kInf, -kInf})
      for (const int64_t width : {7, 24, 136, 4104}) {  // in one row of three, and not the first
        std::vector<double> list(static_cast<size_t>(3 * width), 0.5);
        list[static_cast<size_t>(2 * width - 3)] = gap;
        list[static_cast<size_t>(width + 1)] = 3;
        add("a number that is none", values({3, width}, list));
        if (width % 8 == 0) {
          add("turned, a number that is none", values({3, width}, list));
          cases->back().attrs.set("rotation", Dim(8));
        }
      }

    const auto turn = [&](const char* label, CaseInput x) {
      add(label, std::move(x));
      cases->back().attrs.set("rotation", Dim(8));
    };
    for (const Shape& shape : {Shape{8}, Shape{3, 24}, Shape{2, 3, 64}, Shape{5, 136},
                               Shape{2, 8960}, Shape{1, 16392}, Shape{0, 8}, Shape{3, 0}})
      turn("turned", in(shape, -3, 3));
    turn("turned, one large",
         values({2, 8}, {0, 0, 0, 0, 0, 1e4, 0, 0, 1, -1, 2, -2, 3, -3, 4, -4}));
    turn("turned zeros", values({2, 16}, {0, -0.0}));
  }
}

// Norms and activations fused with quantize_rows.
void add_fused_rows(std::vector<Case>* cases) {
  for (const char* dtype : {"i8", "f8e4m3"}) {
    for (const char* norm : {"rms", "layer"}) {
      const Attrs attrs{{"norm", text(norm)}, {"epsilon", 1e-6}, {"dtype", text(dtype)}};
      const auto add = [&](OpKind op, const char* label, std::vector<CaseInput> inputs) {
        cases->push_back({op, std::string(norm) + ", " + label, std::move(inputs), attrs});
      };
      const OpKind kAlone = OpKind::kNormQuantize, kSum = OpKind::kResidualNormQuantize;
      for (const Shape& x : {Shape{2, 9, 37}, Shape{2, 9, 48}, Shape{1, 70, 1536}}) {
        const int64_t width = x[2];
        const CaseInput row = in({x[0], 1, width});
        const CaseInput wide = fixed(DType::kF32, row.shape);
        add(kAlone, "plain", {in(x)});
        add(kAlone, "weighted", {in(x), absent(), absent(), weight({width})});
        add(kAlone, "modulated", {in(x, -3, 3), row, row});
        add(kAlone, "f32 modulation", {in(x), wide, wide});
        add(kAlone, "weighted, f32 modulation", {in(x), wide, wide, weight({width})});
        add(kAlone, "modulation by token", {in(x), in(x), in(x)});
        add(kAlone, "one scale a token", {in(x), in({x[0], x[1], 1}), row});
        add(kSum, "plain", {in(x), in(x)});
        add(kSum, "gated and modulated", {in(x), in(x), row, row, row});
        add(kSum, "f32 gate and modulation", {in(x), in(x), wide, wide, wide});
        add(kSum, "weighted, f32 gate and modulation",
            {in(x), in(x), wide, wide, wide, weight({width})});
        add(kSum, "weighted", {in(x), in(x), absent(), absent(), absent(), weight({width})});
        add(kSum, "one gate", {in(x), in(x), in({})});
      }
      add(kAlone, "more than lanes hold", {in({3, 6152}), in({1, 6152}), in({1, 6152})});
      add(kAlone, "many narrow rows", {in({1027, 24}), in({24}), in({24})});
      add(kAlone, "scaled only", {in({3, 64}), in({64})});
      add(kAlone, "no rows", {in({0, 16})});
      std::vector<double> list(size_t{3 * 48}, 0.5);
      list[50] = std::numeric_limits<double>::quiet_NaN();
      list[60] = 2;
      add(kAlone, "a number that is none", {values({3, 48}, list)});
      add(kSum, "a number that is none", {in({3, 48}), values({3, 48}, list)});
      add(kSum, "wide", {in({5, 6144}), in({5, 6144}), in({6144})});
      add(kSum, "no rows", {in({0, 16}), in({0, 16})});
    }
    const Attrs layer{{"norm", text("layer")}, {"epsilon", 1e-5}, {"dtype", text(dtype)}};
    cases->push_back({OpKind::kNormQuantize,
                      "layer, affine",
                      {in({2, 7, 96}), absent(), absent(), weight({96}), weight({96})},
                      layer});
    for (std::string_view activation : ops::activation_names()) {
      const auto add = [&](const char* label, std::vector<CaseInput> inputs) {
        cases->push_back({OpKind::kActivateQuantize,
                          str(activation, ", ", label),
                          std::move(inputs),
                          {{"activation", text(activation)}, {"dtype", text(dtype)}}});
      };
      add("alone", {in({3, 37}, -4, 4)});
      add("times another", {in({3, 40}, -4, 4), in({3, 40})});
      add("wide", {in({2, 8960}, -4, 4)});
      add("many rows of whole eights", {in({4100, 264}, -4, 4), in({4100, 264})});
      add("many rows that blocks share", {in({2100, 96}, -4, 4)});
      std::vector<double> list(size_t{2 * 40}, 0.5);
      list[45] = std::numeric_limits<double>::quiet_NaN();
      add("a number that is none", {values({2, 40}, list)});
    }
    cases->push_back({OpKind::kActivateQuantize,
                      "wider than registers",
                      {in({2, 20008}, -4, 4), in({2, 20008})},
                      {{"activation", text("silu")}, {"dtype", text(dtype)}}});
    cases->push_back({OpKind::kActivateQuantize,
                      "no rows",
                      {in({0, 8})},
                      {{"activation", text("silu")}, {"dtype", text(dtype)}}});
  }
}

void add_products(std::vector<Case>* cases) {
  struct Product {
    const char* label;
    Shape a;
    int64_t n;
  };
  const Product products[] = {
      {"one", {1, 1}, 1},
      {"odd sizes", {13, 67}, 35},
      {"aligned", {32, 64}, 48},
      {"whole quads", {17, 48}, 40},
      {"words", {19, 36}, 21},
      {"leading dimensions", {2, 3, 5, 40}, 24},
      {"one row", {1, 272}, 130},
      {"one column", {70, 80}, 1},
      {"many tiles", {300, 272}, 264},
      {"edges of stages", {77, 1168}, 260},
      {"bytes, edges of stages", {70, 1157}, 136},
      {"deep", {5, 8960}, 12},
      {"deep and aligned", {130, 2048}, 48},
      {"nothing to sum", {3, 0}, 4},
      {"no rows", {0, 16}, 8},
  };
  for (DType dtype : {DType::kI8, DType::kF8E4M3}) {
    const double reach = dtype == DType::kI8 ? 127 : 4;
    const auto add = [&](const Product& p, const char* out, CaseInput bias, double lo) {
      Shape scales = p.a;
      scales[-1] = 1;
      Case test{OpKind::kQuantizedMatmul,
                p.label,
                {fixed(dtype, p.a, lo, reach), fixed(DType::kF32, scales, 0.0, 0.01),
                 fixed_weight(dtype, {p.n, p.a[-1]}, lo, reach),
                 fixed_weight(DType::kF32, {p.n}, 0.001, 0.01)},
                {{"dtype", text(out)}}};
      if (bias.kind != InputKind::kAbsent) test.inputs.push_back(std::move(bias));
      cases->push_back(std::move(test));
    };
    for (const Product& p : products) {
      for (const char* out : {"f32", "f16", "bf16"}) add(p, out, absent(), -reach);
      add(p, "f32", weight({p.n}), -reach);
      add(p, "bf16", fixed_weight(DType::kBF16, {p.n}), -reach);
    }
    add({"sums of one sign", {33, 4096}, 20}, "f32", absent(), reach * 0.9);
    for (const int64_t depth : {2048, 6144, 8192})
      add({"sums of one sign, aligned", {33, depth}, 32}, "f32", absent(), reach * 0.9);
    for (const int64_t depth : {6144, 8192})
      add({"deep and aligned", {130, depth}, 48}, "f32", absent(), -reach);
  }
  // -128 too, and sums near 2^31.
  cases->push_back(
      {OpKind::kQuantizedMatmul,
       "largest sums",
       {fixed_values(DType::kI8, {3, 131071}, {-128}), fixed(DType::kF32, {3, 1}, 1e-9, 2e-9),
        fixed_values(DType::kI8, {2, 131071}, {-128, -128, -128, 127}),
        fixed(DType::kF32, {2}, 0.5, 1)},
       {{"dtype", text("f32")}}});
}

// Weights of 8 and 4 bits as numbers: groups, offsets, short last groups, odd rows.
void add_numbers(std::vector<Case>* cases) {
  struct Stored {
    const char* label;
    Shape dims;
    int64_t group;
  };
  const Stored list[] = {{"one", {1, 1}, 0},
                         {"odd row", {5, 33}, 0},
                         {"groups of 32", {7, 96}, 32},
                         {"short last group", {3, 70}, 32},
                         {"a filter", {6, 3, 3, 10}, 64},
                         {"one dimension", {9}, 2},
                         {"over pieces of memory", {100, 280}, 56},
                         {"no rows", {0, 8}, 4}};
  for (const Stored& s : list)
    for (const DType q : {DType::kU8, DType::kI8, DType::kF8E4M3})
      for (const bool offset : {false, true})
        for (const char* out : {"f32", "f16", "bf16"}) {
          const bool narrow = q == DType::kU8;
          const int64_t rows = s.dims[0], columns = rows ? s.dims.elements() / rows : 0;
          const int64_t group = s.group ? s.group : std::max<int64_t>(columns, 1);
          const Shape scales{rows, (columns + group - 1) / group};
          Case test{OpKind::kDequantize,
                    s.label,
                    {fixed_weight(q, {rows, narrow ? (columns + 1) / 2 : columns},
                                  narrow ? 0 : -127, narrow ? 255 : 127),
                     fixed_weight(narrow ? DType::kF16 : DType::kF32, scales, 0.001, 0.01)},
                    {{"dims", std::vector<Dim>(s.dims.begin(), s.dims.end())},
                     {"bits", Dim(narrow ? 4 : 8)},
                     {"group", Dim(s.group)},
                     {"dtype", text(out)}}};
          if (offset) test.inputs.push_back(fixed_weight(DType::kBF16, scales));
          cases->push_back(std::move(test));
        }
}

}  // namespace

std::vector<Case> quantized_cases() {
  std::vector<Case> cases;
  add_rows(&cases);
  add_fused_rows(&cases);
  add_products(&cases);
  add_numbers(&cases);
  return cases;
}

}  // namespace zoetrope::conformance
