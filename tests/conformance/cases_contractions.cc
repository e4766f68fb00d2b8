#include <cmath>

#include "tests/conformance/case.h"

namespace zoetrope::conformance {
namespace {

// Drawn so that sums of `depth` products stay of order 1.
double bound(int64_t depth) {
  return std::sqrt(3.0 / static_cast<double>(std::max<int64_t>(depth, 1)));
}

void add_matmul(std::vector<Case>* cases, const char* label, Shape a, Shape b, bool transposed) {
  const Attrs attrs{{"transpose_b", transposed}};
  const double limit = bound(a[-1]);
  cases->push_back({OpKind::kMatmul, label, {in(a), in(b, -limit, limit)}, attrs});
  if (b.rank() == 2) cases->push_back({OpKind::kMatmul, label, {in(a), weight(b, limit)}, attrs});
}

struct ConvCase {
  const char* label;
  Shape x, weight;
  std::vector<int64_t> stride, dilation, pad_lo, pad_hi;
  int64_t groups = 1;
};

std::vector<Dim> dims(const std::vector<int64_t>& list) { return {list.begin(), list.end()}; }

Attrs conv_attrs(const ConvCase& c) {
  return {{"stride", dims(c.stride)},
          {"dilation", dims(c.dilation)},
          {"pad_lo", dims(c.pad_lo)},
          {"pad_hi", dims(c.pad_hi)},
          {"groups", Dim(c.groups)}};
}

int64_t conv_depth(const Shape& weight) {
  return weight.elements() / std::max<int64_t>(weight[0], 1);
}

const std::vector<ConvCase>& conv_table() {
  static const std::vector<ConvCase> table{
      {"1-D", {2, 11, 5}, {7, 3, 5}, {}, {}, {}, {}},
      {"1-D, padded", {1, 11, 3}, {4, 7, 3}, {1}, {1}, {3}, {3}},
      {"1-D, strided as an audio encoder", {2, 40, 6}, {9, 8, 6}, {4}, {1}, {2}, {2}},
      {"1-D, dilated", {1, 37, 4}, {4, 7, 4}, {1}, {9}, {27}, {27}},
      {"1-D, causal padding", {1, 9, 4}, {4, 3, 4}, {1}, {1}, {2}, {0}},
      {"1-D, one channel in and out", {1, 16, 1}, {1, 4, 1}, {2}, {1}, {1}, {0}},
      {"1-D, depthwise", {2, 13, 6}, {6, 3, 1}, {1}, {1}, {1}, {1}, 6},
      {"2-D 1x1", {1, 5, 4, 17}, {9, 1, 1, 17}, {}, {}, {}, {}},
      {"2-D 3x3", {2, 7, 5, 6}, {5, 3, 3, 6}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},
      {"2-D strided", {1, 9, 8, 3}, {8, 3, 3, 3}, {2, 2}, {1, 1}, {1, 1}, {1, 1}},
      {"2-D patches", {1, 8, 12, 4}, {24, 2, 2, 4}, {2, 2}, {1, 1}, {0, 0}, {0, 0}},
      {"2-D grouped", {1, 6, 6, 8}, {12, 3, 3, 2}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, 4},
      {"2-D uneven padding", {1, 5, 6, 4}, {3, 3, 2, 4}, {1, 2}, {2, 1}, {2, 0}, {1, 1}},
      {"3-D 3x3x3", {1, 4, 5, 6, 7}, {6, 3, 3, 3, 7}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}},
      {"3-D causal in time",
       {1, 5, 4, 4, 8},
       {8, 3, 3, 3, 8},
       {1, 1, 1},
       {1, 1, 1},
       {2, 1, 1},
       {0, 1, 1}},
      {"3-D temporal only",
       {2, 5, 3, 4, 16},
       {16, 3, 1, 1, 16},
       {1, 1, 1},
       {1, 1, 1},
       {1, 0, 0},
       {1, 0, 0}},
      {"3-D spatial only",
       {1, 3, 6, 5, 16},
       {16, 1, 3, 3, 16},
       {1, 1, 1},
       {1, 1, 1},
       {0, 1, 1},
       {0, 1, 1}},
      {"3-D strided patches",
       {1, 2, 8, 8, 16},
       {32, 1, 2, 2, 16},
       {1, 2, 2},
       {1, 1, 1},
       {0, 0, 0},
       {0, 0, 0}},
      {"3-D temporal stride",
       {1, 8, 3, 3, 12},
       {12, 3, 1, 1, 12},
       {2, 1, 1},
       {1, 1, 1},
       {1, 0, 0},
       {1, 0, 0}},
      {"larger than one tile", {1, 17, 19, 64}, {96, 3, 3, 64}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},
      {"larger than one tile, 3-D",
       {1, 5, 17, 18, 32},
       {80, 3, 3, 3, 32},
       {1, 1, 1},
       {1, 1, 1},
       {2, 1, 1},
       {0, 1, 1}},
      {"several tiles, 40 channels",
       {1, 13, 17, 40},
       {72, 3, 3, 40},
       {1, 1},
       {1, 1},
       {1, 1},
       {1, 1}},
      {"many rows, few filters",
       {1, 3, 40, 41, 24},
       {3, 1, 3, 3, 24},
       {1, 1, 1},
       {1, 1, 1},
       {0, 1, 1},
       {0, 1, 1}},
      {"no samples", {0, 5, 3}, {4, 3, 3}, {}, {}, {}, {}},
  };
  return table;
}

}  // namespace

std::vector<Case> contraction_cases() {
  std::vector<Case> cases;
  for (bool t : {false, true}) {
    const auto b = [t](int64_t k, int64_t n) { return t ? Shape{n, k} : Shape{k, n}; };
    add_matmul(&cases, "one element", {1, 1}, b(1, 1), t);
    add_matmul(&cases, "one row", {1, 37}, b(37, 19), t);
    add_matmul(&cases, "one column", {17, 5}, b(5, 1), t);
    add_matmul(&cases, "odd sizes", {13, 67}, b(67, 35), t);
    add_matmul(&cases, "a linear layer", {2, 65, 96}, b(96, 160), t);
    add_matmul(&cases, "several tiles each way", {301, 611}, b(611, 1101), t);
    add_matmul(&cases, "several tiles, odd edges", {150, 72}, b(72, 200), t);
    add_matmul(&cases, "several tiles, odd edges and depth", {140, 91}, b(91, 189), t);
    add_matmul(&cases, "many tiles, odd edges", {1030, 40}, b(40, 1064), t);
    add_matmul(&cases, "deep", {3, 4099}, b(4099, 17), t);
    add_matmul(&cases, "a stack of five dimensions", {1, 2, 3, 2, 5, 8}, b(8, 7), t);
    add_matmul(&cases, "no rows", {0, 8}, b(8, 5), t);
    add_matmul(&cases, "no depth", {3, 0}, b(0, 5), t);
    const auto stack = [t](Shape lead, int64_t k, int64_t n) {
      lead.push_back(t ? n : k);
      lead.push_back(t ? k : n);
      return lead;
    };
    add_matmul(&cases, "batched", {3, 7, 9}, stack({3}, 9, 5), t);
    add_matmul(&cases, "batches broadcast", {2, 1, 7, 9}, stack({4}, 9, 5), t);
    add_matmul(&cases, "batch of b only", {7, 9}, stack({2, 3}, 9, 5), t);
    add_matmul(&cases, "attention scores", {2, 3, 33, 64}, stack({2, 3}, 64, 31), t);
  }
  for (const ConvCase& c : conv_table()) {
    const double limit = bound(conv_depth(c.weight));
    cases.push_back({OpKind::kConv, c.label, {in(c.x), weight(c.weight, limit)}, conv_attrs(c)});
    if (c.x.elements() > 0 && c.x.elements() < 500)
      cases.push_back({OpKind::kConv,
                       std::string(c.label) + ", computed weight",
                       {in(c.x), in(c.weight, -limit, limit)},
                       conv_attrs(c)});
  }
  const auto transpose = [&](const char* label, Shape x, Shape w, std::vector<int64_t> stride,
                             std::vector<int64_t> lo, std::vector<int64_t> hi,
                             std::vector<int64_t> output_pad, int64_t groups = 1,
                             std::vector<int64_t> dilation = {}) {
    cases.push_back({OpKind::kConvTranspose,
                     label,
                     {in(x), weight(w, bound(conv_depth(w)))},
                     {{"stride", dims(stride)},
                      {"pad_lo", dims(lo)},
                      {"pad_hi", dims(hi)},
                      {"output_pad", dims(output_pad)},
                      {"dilation", dims(dilation)},
                      {"groups", Dim(groups)}}});
  };
  transpose("1-D", {2, 5, 4}, {3, 3, 4}, {}, {}, {}, {});
  transpose("1-D upsampling by 4", {1, 9, 6}, {5, 8, 6}, {4}, {2}, {2}, {});
  transpose("1-D odd", {1, 7, 3}, {4, 5, 3}, {3}, {1}, {2}, {1});
  transpose("1-D grouped, dilated", {1, 6, 8}, {4, 3, 4}, {2}, {1}, {1}, {}, 2, {2});
  transpose("1-D, strides between taps", {1, 5, 8}, {12, 2, 8}, {3}, {}, {}, {1});
  transpose("1-D, dilated across strides", {1, 7, 8}, {12, 4, 8}, {3}, {2}, {1}, {}, 1, {2});
  transpose("2-D upsampling", {1, 4, 5, 6}, {7, 2, 2, 6}, {2, 2}, {}, {}, {});
  transpose("2-D overlapping", {2, 3, 4, 5}, {4, 4, 3, 5}, {2, 1}, {1, 1}, {1, 1}, {1, 0});
  transpose("3-D", {1, 2, 3, 3, 4}, {3, 3, 2, 2, 4}, {1, 2, 2}, {1, 0, 0}, {1, 0, 0}, {});
  return cases;
}

}  // namespace zoetrope::conformance
