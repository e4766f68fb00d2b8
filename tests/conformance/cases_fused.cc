#include <cmath>

#include "graph/ops/elementwise.h"
#include "tests/conformance/case.h"

namespace zoetrope::conformance {
namespace {

double bound(int64_t depth) { return std::sqrt(3.0 / static_cast<double>(depth)); }

void add_linear(std::vector<Case>* cases) {
  const auto add = [&](const char* label, Shape x, Shape w, bool bias, bool transposed,
                       std::string_view activation) {
    std::vector<CaseInput> inputs{in(x, -2, 2), weight(w, bound(x[-1]))};
    if (bias) inputs.push_back(weight({transposed ? w[0] : w[1]}));
    cases->push_back({OpKind::kLinear,
                      str(label, ", ", activation),
                      inputs,
                      {{"transpose_b", transposed}, {"activation", text(activation)}}});
  };
  for (std::string_view activation : ops::activation_names()) {
    add("odd sizes", {2, 13, 37}, {19, 37}, true, true, activation);
    add("without bias", {5, 64}, {64, 96}, false, false, activation);
  }
  add("one row", {1, 65}, {130, 65}, true, true, "none");
  add("a block of a DiT", {1, 70, 96}, {384, 96}, true, true, "gelu_tanh");
  add("several tiles each way", {301, 611}, {1101, 611}, true, true, "silu");
  add("several tiles of whole eights", {301, 104}, {1104, 104}, true, true, "silu");
  add("not transposed", {3, 7, 20}, {20, 33}, true, false, "silu");
  add("no rows", {0, 8}, {4, 8}, true, true, "none");
}

void add_conv(std::vector<Case>* cases) {
  const auto add = [&](const char* label, Shape x, Shape w, std::initializer_list<int64_t> stride,
                       std::initializer_list<int64_t> lo, std::initializer_list<int64_t> hi,
                       std::initializer_list<int64_t> replicate, const char* activation,
                       int64_t groups = 1) {
    const int64_t depth = w.elements() / w[0];
    for (bool bias : {true, false}) {
      std::vector<CaseInput> inputs{in(x), weight(w, bound(depth))};
      if (bias) inputs.push_back(weight({w[0]}));
      cases->push_back({OpKind::kConvBias,
                        std::string(label) + (bias ? ", bias" : ""),
                        inputs,
                        {{"stride", ints(stride)},
                         {"pad_lo", ints(lo)},
                         {"pad_hi", ints(hi)},
                         {"replicate", ints(replicate)},
                         {"activation", text(activation)},
                         {"groups", Dim(groups)}}});
    }
  };
  add("1-D", {2, 11, 5}, {7, 3, 5}, {}, {1}, {1}, {}, "none");
  add("1-D silu", {2, 11, 5}, {7, 3, 5}, {2}, {1}, {1}, {}, "silu");
  add("1-D replicated", {1, 6, 16}, {16, 3, 16}, {}, {1}, {1}, {1}, "none");
  add("2-D", {1, 7, 6, 12}, {20, 3, 3, 12}, {1, 1}, {1, 1}, {1, 1}, {}, "gelu_tanh");
  add("2-D replicated on one side", {1, 5, 6, 4}, {8, 3, 3, 4}, {1, 1}, {2, 1}, {0, 1}, {1, 1},
      "none");
  add("3-D temporal, replicated", {1, 5, 3, 4, 16}, {16, 3, 1, 1, 16}, {1, 1, 1}, {1, 0, 0},
      {1, 0, 0}, {1, 0, 0}, "none");
  add("3-D temporal, one frame", {1, 1, 3, 4, 16}, {16, 3, 1, 1, 16}, {1, 1, 1}, {1, 0, 0},
      {1, 0, 0}, {1, 0, 0}, "none");
  add("3-D temporal stride, replicated", {1, 7, 2, 3, 8}, {8, 3, 1, 1, 8}, {2, 1, 1}, {1, 0, 0},
      {1, 0, 0}, {1, 0, 0}, "none");
  add("3-D replicated in time, zeros in space", {1, 4, 5, 4, 6}, {5, 3, 3, 3, 6}, {1, 1, 1},
      {1, 1, 1}, {1, 1, 1}, {1, 0, 0}, "silu");
  add("3-D temporal, larger", {1, 9, 16, 17, 48}, {48, 3, 1, 1, 48}, {1, 1, 1}, {1, 0, 0},
      {1, 0, 0}, {1, 0, 0}, "none");
  add("2-D grouped", {1, 6, 5, 8}, {12, 3, 3, 4}, {1, 1}, {1, 1}, {1, 1}, {}, "none", 2);
  add("3-D spatial", {1, 2, 9, 7, 24}, {40, 1, 3, 3, 24}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}, {},
      "none");
}

void add_modulations(std::vector<Case>* cases) {
  for (const char* norm : {"rms", "layer"}) {
    const Attrs attrs{{"norm", text(norm)}, {"epsilon", 1e-6}};
    const auto add = [&](const char* label, std::vector<CaseInput> inputs) {
      cases->push_back({OpKind::kNormModulate, std::string(norm) + ", " + label, inputs, attrs});
    };
    add("a vector a sample", {in({2, 9, 37}), in({2, 1, 37}), in({2, 1, 37})});
    add("a vector a token", {in({2, 9, 64}), in({2, 9, 64}), in({2, 9, 64})});
    add("one vector", {in({3, 5, 16}), in({16}), in({16})});
    add("f32 modulation",
        {in({1, 7, 384}), fixed(DType::kF32, {1, 1, 384}), fixed(DType::kF32, {1, 1, 384})});
    add("f32 modulation a token",
        {in({1, 7, 33}), fixed(DType::kF32, {1, 7, 33}), fixed(DType::kF32, {1, 7, 33})});
    for (const int64_t width : {33, 48}) {
      const CaseInput wide = fixed(DType::kF32, {2, 1, width});
      add("weighted, f32 modulation", {in({2, 3, width}), wide, wide, weight({width})});
    }
    add("no shift", {in({2, 3, 16}), in({2, 1, 16})});
    add("weighted", {in({2, 3, 33}), in({2, 1, 33}), in({2, 1, 33}), weight({33})});
    add("one sample's vector for all", {in({2, 5, 24}), in({1, 1, 24}), in({1, 1, 24})});
    add("two dimensions", {in({6, 24}), in({6, 24}), in({1, 24})});
    add("frames and space", {in({1, 2, 3, 4, 24}), in({1, 2, 1, 1, 24}), in({1, 2, 1, 1, 24})});
    add("no tokens", {in({2, 0, 8}), in({2, 1, 8}), in({2, 1, 8})});
  }
  cases->push_back({OpKind::kNormModulate,
                    "layer, affine",
                    {in({2, 3, 33}), in({2, 1, 33}), in({2, 1, 33}), weight({33}), weight({33})},
                    {{"norm", text("layer")}, {"epsilon", 1e-5}}});

  const auto gated = [&](const char* label, Shape x, CaseInput gate) {
    cases->push_back({OpKind::kGatedResidual, label, {in(x), in(x), std::move(gate)}, {}});
  };
  gated("a vector a sample", {2, 9, 37}, in({2, 1, 37}));
  gated("a vector a token", {2, 9, 37}, in({2, 9, 37}));
  gated("one vector", {2, 9, 64}, in({64}));
  gated("a scalar", {3, 5}, in({}));
  gated("f32 gate", {1, 7, 384}, fixed(DType::kF32, {1, 1, 384}));
  gated("f32 gate a token", {1, 7, 33}, fixed(DType::kF32, {1, 7, 33}));
  gated("no tokens", {2, 0, 8}, in({2, 1, 8}));
}

void add_norm_rope(std::vector<Case>* cases) {
  for (const char* mode : {"interleaved", "split"}) {
    for (bool full : {false, true}) {
      const auto add = [&](const char* label, Shape x, Shape table, bool weighted) {
        std::vector<CaseInput> inputs{in(x), fixed(DType::kF32, table), fixed(DType::kF32, table)};
        if (weighted) inputs.push_back(weight({full ? x[2] * x[3] : x[3]}));
        cases->push_back({OpKind::kNormRope,
                          std::string(mode) + (full ? ", full width, " : ", ") + label,
                          inputs,
                          {{"epsilon", 1e-6}, {"mode", text(mode)}, {"full_width", full}}});
      };
      add("head dim 64", {1, 11, 6, 64}, {1, 11, 1, 32}, true);
      add("head dim 128", {2, 5, 3, 128}, {1, 5, 1, 64}, true);
      add("many heads", {2, 7, 12, 128}, {2, 7, 1, 64}, true);
      add("head dim 96", {1, 7, 5, 96}, {1, 7, 1, 48}, true);
      add("lanes without a last unit", {1, 5, 5, 64}, {1, 5, 1, 32}, true);
      add("lanes of several heads' angles", {1, 7, 3, 96}, {1, 7, 1, 48}, true);
      add("a table a head", {1, 5, 5, 64}, {1, 5, 5, 32}, true);
      add("more than lanes hold", {1, 2, 80, 128}, {1, 2, 1, 64}, true);
      add("odd half, a table a head", {2, 5, 3, 6}, {2, 5, 3, 3}, true);
      add("no weight", {1, 7, 2, 16}, {1, 7, 1, 8}, false);
      add("no tokens", {1, 0, 2, 8}, {1, 0, 1, 4}, true);
    }
  }
}

void add_glu(std::vector<Case>* cases) {
  for (std::string_view activation : ops::activation_names()) {
    cases->push_back({OpKind::kGlu,
                      str("two inputs, ", activation),
                      {in({3, 37}, -4, 4), in({3, 37})},
                      {{"activation", text(activation)}}});
    for (bool second : {false, true})
      cases->push_back({OpKind::kGlu,
                        str("one input, ", activation),
                        {in({2, 5, 38}, -4, 4)},
                        {{"activation", text(activation)}, {"gate_second", second}}});
  }
  cases->push_back({OpKind::kGlu, "wide", {in({1, 9, 2048}), in({1, 9, 2048})}, {}});
  cases->push_back({OpKind::kGlu, "no tokens", {in({2, 0, 8})}, {}});
}

// x and y in one type; gate, scale, shift of any; weight and bias stored.
void add_residual_norms(std::vector<Case>* cases) {
  for (const char* norm : {"rms", "layer"}) {
    const Attrs attrs{{"norm", text(norm)}, {"epsilon", 1e-6}};
    const auto add = [&](const char* label, std::vector<CaseInput> inputs) {
      cases->push_back({OpKind::kResidualNorm, std::string(norm) + ", " + label, inputs, attrs});
    };
    const Shape x{2, 9, 37}, sample{2, 1, 37};
    add("plain", {in(x), in(x)});
    add("gated", {in(x), in(x), in(sample)});
    add("modulated", {in(x), in(x), absent(), in(sample), in(sample)});
    add("gated and modulated", {in(x), in(x), in(sample), in(sample), in(sample)});
    add("gate and modulation by token", {in(x), in(x), in({2, 9, 1}), in(x), in(x)});
    add("f32 modulation", {in(x), in(x), fixed(DType::kF32, sample), fixed(DType::kF32, sample),
                           fixed(DType::kF32, {37})});
    for (const int64_t width : {48, 6144}) {
      const CaseInput wide = fixed(DType::kF32, {1, width});
      add("weighted, f32 modulation",
          {in({5, width}), in({5, width}), wide, wide, wide, weight({width})});
    }
    add("scaled only", {in({3, 64}), in({3, 64}), in({1, 64}), in({64})});
    add("weighted", {in(x), in(x), in({}), absent(), absent(), weight({37})});
    add("a row", {in({40}), in({40}), in({40})});
    add("wide", {in({5, 6144}), in({5, 6144}), in({1, 6144}), in({1, 6144}), in({1, 6144})});
    add("wider than registers", {in({2, 50000}), in({2, 50000}), in({2, 1})});
    add("many narrow rows", {in({700, 24}), in({700, 24}), in({1, 24}), in({1, 24})});
    add("no rows", {in({0, 16}), in({0, 16})});
  }
  const Attrs layer{{"norm", text("layer")}, {"epsilon", 1e-5}};
  cases->push_back({OpKind::kResidualNorm,
                    "layer, affine",
                    {in({2, 7, 96}), in({2, 7, 96}), in({2, 1, 96}), absent(), absent(),
                     weight({96}), weight({96})},
                    layer});
  cases->push_back({OpKind::kResidualNorm,
                    "layer, everything",
                    {in({2, 7, 96}), in({2, 7, 96}), in({2, 1, 96}), in({2, 1, 96}), in({96}),
                     weight({96}), weight({96})},
                    layer});
}

struct PackedCase {
  const char* label;
  int64_t batch, queries, keys, heads, kv_heads, dim, v_dim;
  int64_t q_width, k_width, v_width, q_offset, k_offset, v_offset;
  bool causal = false;
};

void add_packed_attention(std::vector<Case>* cases) {
  const auto attrs = [](const PackedCase& c) {
    return Attrs{{"heads", Dim(c.heads)},       {"kv_heads", Dim(c.kv_heads)},
                 {"dim", Dim(c.dim)},           {"v_dim", Dim(c.v_dim)},
                 {"q_offset", Dim(c.q_offset)}, {"k_offset", Dim(c.k_offset)},
                 {"v_offset", Dim(c.v_offset)}, {"scale", 0.0},
                 {"causal", c.causal}};
  };
  const auto inputs = [](const PackedCase& c) {
    return std::vector<CaseInput>{in({c.batch, c.queries, c.q_width}, -2, 2),
                                  in({c.batch, c.keys, c.k_width}, -2, 2),
                                  in({c.batch, c.keys, c.v_width})};
  };
  for (const PackedCase& c : std::initializer_list<PackedCase>{
           {"side by side", 2, 19, 19, 3, 3, 16, 16, 144, 144, 144, 0, 48, 96},
           {"of a DiT", 2, 70, 70, 4, 4, 72, 72, 864, 864, 864, 0, 288, 576},
           {"head dim 64", 1, 150, 150, 2, 2, 64, 64, 384, 384, 384, 0, 128, 256},
           {"head dim 128, many tiles", 1, 300, 1100, 1, 1, 128, 128, 384, 384, 384, 256, 0, 128},
           {"odd offsets", 1, 9, 11, 2, 2, 5, 5, 13, 17, 11, 3, 7, 1},
           {"heads of 8, rows of no chunk", 1, 40, 70, 2, 2, 64, 64, 130, 131, 133, 1, 3, 5},
           {"heads of 8 at offsets of 4", 2, 33, 65, 2, 2, 32, 32, 72, 68, 136, 4, 4, 68},
           {"wide heads", 1, 70, 40, 2, 2, 160, 160, 960, 960, 960, 0, 320, 640},
           {"wide heads, odd offsets", 1, 9, 40, 1, 1, 160, 136, 161, 163, 144, 1, 3, 7},
           {"keys and values packed", 2, 7, 33, 2, 2, 32, 32, 64, 128, 128, 0, 0, 64},
           {"grouped queries", 1, 21, 21, 6, 2, 16, 16, 160, 160, 160, 0, 96, 128},
           {"values of another width", 1, 6, 7, 2, 2, 16, 24, 112, 112, 112, 0, 32, 64},
           {"causal", 1, 150, 150, 2, 2, 64, 64, 384, 384, 384, 0, 128, 256, true},
           {"no queries", 1, 0, 3, 1, 1, 8, 8, 24, 24, 24, 0, 8, 16}})
    cases->push_back({OpKind::kPackedAttention, c.label, inputs(c), attrs(c)});
  const PackedCase narrow{"8 bits", 1, 260, 300, 2, 2, 64, 64, 384, 384, 384, 0, 128, 256};
  Attrs in_8_bits = attrs(narrow);
  in_8_bits.set("bits", Dim(8));
  cases->push_back({OpKind::kPackedAttention, narrow.label, inputs(narrow), in_8_bits});
  const PackedCase c{"", 2, 75, 75, 2, 2, 32, 32, 192, 192, 192, 0, 64, 128};
  std::vector<CaseInput> with = inputs(c);
  with.push_back(fixed_values(DType::kI32, {2}, {75, 31}));
  cases->push_back({OpKind::kPackedAttention, "key lengths", with, attrs(c)});
  with.push_back(fixed(DType::kF32, {2, 1, 75, 75}, -3, 3));
  cases->push_back({OpKind::kPackedAttention, "mask and lengths", with, attrs(c)});
}

}  // namespace

std::vector<Case> fused_cases() {
  std::vector<Case> cases;
  add_residual_norms(&cases);
  add_packed_attention(&cases);
  add_linear(&cases);
  add_conv(&cases);
  add_modulations(&cases);
  add_norm_rope(&cases);
  add_glu(&cases);
  return cases;
}

std::vector<Case> all_cases() {
  std::vector<Case> all;
  for (auto list : {elementwise_cases(), layout_cases(), norm_cases(), contraction_cases(),
                    attention_cases(), fused_cases(), quantized_cases()})
    all.insert(all.end(), list.begin(), list.end());
  return all;
}

}  // namespace zoetrope::conformance
