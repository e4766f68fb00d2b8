#include <cmath>

#include "tests/conformance/case.h"

namespace zoetrope::conformance {
namespace {

constexpr const char* kActivations[] = {"none", "silu", "gelu_tanh", "gelu", "relu", "sigmoid"};

double bound(int64_t depth) { return std::sqrt(3.0 / static_cast<double>(depth)); }

void add_linear(std::vector<Case>* cases) {
  const auto add = [&](const char* label, Shape x, Shape w, bool bias, bool transposed,
                       const char* activation) {
    std::vector<CaseInput> inputs{in(x, -2, 2), weight(w, bound(x[-1]))};
    if (bias) inputs.push_back(weight({transposed ? w[0] : w[1]}));
    cases->push_back({OpKind::kLinear,
                      std::string(label) + ", " + activation,
                      inputs,
                      {{"transpose_b", transposed}, {"activation", text(activation)}}});
  };
  for (const char* activation : kActivations) {
    add("odd sizes", {2, 13, 37}, {19, 37}, true, true, activation);
    add("without bias", {5, 64}, {64, 96}, false, false, activation);
  }
  add("one row", {1, 65}, {130, 65}, true, true, "none");
  add("a block of a DiT", {1, 70, 96}, {384, 96}, true, true, "gelu_tanh");
  add("several tiles each way", {301, 611}, {1101, 611}, true, true, "silu");
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
      add("odd half, a table a head", {2, 5, 3, 6}, {2, 5, 3, 3}, true);
      add("no weight", {1, 7, 2, 16}, {1, 7, 1, 8}, false);
      add("no tokens", {1, 0, 2, 8}, {1, 0, 1, 4}, true);
    }
  }
}

void add_glu(std::vector<Case>* cases) {
  for (const char* activation : kActivations) {
    cases->push_back({OpKind::kGlu,
                      std::string("two inputs, ") + activation,
                      {in({3, 37}, -4, 4), in({3, 37})},
                      {{"activation", text(activation)}}});
    for (bool second : {false, true})
      cases->push_back({OpKind::kGlu,
                        std::string("one input, ") + activation,
                        {in({2, 5, 38}, -4, 4)},
                        {{"activation", text(activation)}, {"gate_second", second}}});
  }
  cases->push_back({OpKind::kGlu, "wide", {in({1, 9, 2048}), in({1, 9, 2048})}, {}});
  cases->push_back({OpKind::kGlu, "no tokens", {in({2, 0, 8})}, {}});
}

}  // namespace

std::vector<Case> fused_cases() {
  std::vector<Case> cases;
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
