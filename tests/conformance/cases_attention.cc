#include <limits>
#include <utility>

#include "tests/conformance/case.h"

namespace zoetrope::conformance {
namespace {

struct AttentionCase {
  const char* label;
  int64_t batch, queries, keys, heads, key_heads, dim, value_dim;
  bool causal = false;
  double scale = 0;
};

std::vector<CaseInput> qkv(const AttentionCase& c) {
  return {in({c.batch, c.queries, c.heads, c.dim}, -2, 2),
          in({c.batch, c.keys, c.key_heads, c.dim}, -2, 2),
          in({c.batch, c.keys, c.key_heads, c.value_dim})};
}

Attrs attention_attrs(const AttentionCase& c) { return {{"scale", c.scale}, {"causal", c.causal}}; }

void add_attention(std::vector<Case>* cases) {
  for (const AttentionCase& c : std::initializer_list<AttentionCase>{
           {"one token", 1, 1, 1, 1, 1, 8, 8},
           {"odd sizes", 2, 7, 13, 3, 3, 20, 20},
           {"one query", 1, 1, 300, 2, 2, 64, 64},
           {"one key", 1, 9, 1, 2, 2, 16, 16},
           {"head dim 64", 1, 65, 65, 3, 3, 64, 64},
           {"head dim 128", 1, 33, 70, 2, 2, 128, 128},
           {"more keys than a tile", 1, 5, 1031, 1, 1, 32, 32},
           {"more tokens than a tile", 1, 259, 261, 1, 1, 64, 64},
           {"many tiles", 1, 700, 1100, 1, 1, 128, 128},
           {"head dim 72", 1, 70, 45, 2, 2, 72, 72},
           {"head dim 72 over tiles", 2, 210, 330, 2, 1, 72, 72, true},
           {"head dim 40 over tiles", 1, 150, 200, 2, 2, 40, 88},
           {"head dim 256", 1, 20, 50, 1, 1, 256, 256},
           {"head dim 384", 1, 40, 37, 1, 1, 384, 384},
           {"head dim 512 over tiles", 2, 70, 150, 2, 1, 512, 320, true},
           {"rows of a wide block", 1, 300, 130, 4, 2, 128, 104, true},
           {"grouped queries", 2, 9, 11, 6, 2, 16, 16},
           {"one key head", 1, 9, 11, 4, 1, 16, 16},
           {"more tiles than blocks", 2, 770, 130, 32, 8, 16, 16},
           {"few keys, more tiles than blocks", 1, 193, 150, 68, 4, 128, 128},
           {"values of another width", 1, 6, 7, 2, 2, 16, 24},
           {"given scale", 1, 6, 7, 2, 2, 16, 16, false, 0.5},
           {"scale below 0", 1, 70, 77, 2, 2, 16, 16, false, -0.25},
           {"causal", 1, 19, 19, 2, 2, 16, 16, true},
           {"causal, large", 1, 150, 150, 1, 1, 64, 64, true},
           {"causal over many tiles", 1, 420, 610, 2, 1, 120, 120, true},
           {"causal after a prefix", 2, 5, 12, 2, 2, 16, 16, true},
           {"causal after a long prefix", 1, 40, 777, 4, 2, 32, 48, true},
           {"causal, more queries than keys", 1, 9, 4, 1, 1, 8, 8, true},
           {"no queries", 1, 0, 3, 1, 1, 8, 8},
           {"no keys", 1, 3, 0, 1, 1, 8, 8}})
    cases->push_back({OpKind::kAttention, c.label, qkv(c), attention_attrs(c)});

  // Keys that weigh e^12 as much as those before, or e^-12, or e^6; few of them, too.
  for (const auto& [dim, keys] : {std::pair<int64_t, int64_t>{64, 1090}, {128, 1090}, {128, 490}}) {
    const AttentionCase c{"scores that rise", 1, 430, keys, 1, 1, dim, dim};
    std::vector<CaseInput> inputs = qkv(c);
    std::vector<double> q, k;
    for (double x : {1.0, -1.0, 0.5}) q.insert(q.end(), static_cast<size_t>(dim), x);
    for (int64_t key = 0; key < c.keys; ++key)
      k.insert(k.end(), static_cast<size_t>(dim), 1.5 * static_cast<double>(key / 97));
    inputs[0] = values(inputs[0].shape, q);
    inputs[1] = values(inputs[1].shape, k);
    cases->push_back({OpKind::kAttention,
                      c.label,
                      inputs,
                      {{"scale", 8.0 / static_cast<double>(dim)}, {"causal", false}}});
    cases->push_back(
        {OpKind::kAttention,
         "8 bits, scores that rise",
         inputs,
         {{"scale", 8.0 / static_cast<double>(dim)}, {"causal", false}, {"bits", Dim(8)}}});
  }

  // Products of 8-bit numbers, which every other backend may answer exactly.
  for (const AttentionCase& c : std::initializer_list<AttentionCase>{
           {"8 bits, one key", 1, 9, 1, 2, 2, 16, 16},
           {"8 bits, odd sizes", 2, 77, 131, 3, 3, 128, 128},
           {"8 bits, head dim 64", 1, 333, 277, 2, 2, 64, 64},
           {"8 bits, head dim 72, grouped queries", 2, 260, 300, 4, 2, 72, 72},
           {"8 bits, head dim of no whole words", 1, 260, 300, 2, 2, 66, 66},
           {"8 bits, sums of many tiles", 1, 200, 2300, 1, 1, 64, 64},
           {"8 bits, head dim 128, many tiles", 1, 390, 2200, 1, 1, 128, 128},
           {"8 bits, causal over many tiles", 1, 420, 610, 2, 1, 120, 120, true},
           {"8 bits, causal, more queries than keys", 1, 500, 300, 1, 1, 64, 64, true},
           {"8 bits, given scale", 1, 70, 77, 2, 2, 16, 16, false, 0.5},
           {"8 bits, wide heads", 1, 20, 50, 1, 1, 256, 256},
           {"8 bits, no keys", 1, 3, 0, 1, 1, 8, 8}}) {
    Attrs attrs = attention_attrs(c);
    attrs.set("bits", Dim(8));
    cases->push_back({OpKind::kAttention, c.label, qkv(c), attrs});
  }
  for (int64_t dim : {64, 128}) {  // keys and values far from zero, and lengths
    const AttentionCase c{"", 3, 300, 500, 2, 2, dim, dim};
    std::vector<CaseInput> inputs{
        in({c.batch, c.queries, c.heads, dim}, -2, 2), in({c.batch, c.keys, c.heads, dim}, 2, 6),
        in({c.batch, c.keys, c.heads, dim}, 3, 5), fixed_values(DType::kI32, {3}, {0, 17, 500})};
    cases->push_back({OpKind::kAttention,
                      "8 bits, offsets and lengths",
                      inputs,
                      {{"scale", 0.0}, {"causal", false}, {"bits", Dim(8)}}});
  }
  for (int64_t dim : {64, 128}) {  // column e is the weight of tile e mod 9 of the keys
    const AttentionCase c{"", 1, 150, 1100, 1, 1, dim, dim};
    constexpr int64_t kTile = 128, kTiles = 9;
    std::vector<double> v;
    for (int64_t key = 0; key < c.keys; ++key)
      for (int64_t e = 0; e < dim; ++e) v.push_back(e % kTiles == key / kTile ? 1 : 0);
    std::vector<CaseInput> inputs = qkv(c);
    inputs[2] = values(inputs[2].shape, v);
    cases->push_back({OpKind::kAttention,
                      "8 bits, values that name their tile",
                      inputs,
                      {{"scale", 0.0}, {"causal", false}, {"bits", Dim(8)}}});
  }

  constexpr double kInf = std::numeric_limits<double>::infinity();
  const AttentionCase plain{"", 3, 9, 13, 2, 2, 16, 16};
  const auto with = [&](const char* label, CaseInput lengths, CaseInput mask, bool causal = false) {
    std::vector<CaseInput> inputs = qkv(plain);
    inputs.push_back(std::move(lengths));
    if (mask.kind != InputKind::kAbsent) inputs.push_back(std::move(mask));
    cases->push_back({OpKind::kAttention, label, inputs, {{"scale", 0.0}, {"causal", causal}}});
  };
  for (const AttentionCase& tiled :
       {AttentionCase{"mask and lengths over tiles", 2, 75, 150, 4, 2, 32, 40},
        AttentionCase{"mask and lengths of wide heads", 2, 75, 150, 4, 2, 264, 136}})
    for (bool causal : {false, true}) {
      std::vector<CaseInput> inputs = qkv(tiled);
      inputs.push_back(fixed_values(DType::kI32, {2}, {149, 67}));
      inputs.push_back(fixed(DType::kF32, {2, 4, 75, 150}, -3, 3));
      cases->push_back(
          {OpKind::kAttention, tiled.label, inputs, {{"scale", 0.0}, {"causal", causal}}});
    }
  for (bool causal : {false, true}) {  // parts of the keys that one sample has and the other lacks
    std::vector<CaseInput> inputs = qkv({"", 2, 140, 1100, 2, 1, 64, 64});
    inputs.push_back(fixed_values(DType::kI32, {2}, {1100, 200}));
    cases->push_back({OpKind::kAttention,
                      "lengths over many tiles",
                      inputs,
                      {{"scale", 0.0}, {"causal", causal}}});
  }
  {
    std::vector<CaseInput> inputs = qkv({"", 3, 200, 20, 48, 48, 88, 88});
    inputs.push_back(fixed_values(DType::kI32, {3}, {20, 0, 7}));
    cases->push_back({OpKind::kAttention,
                      "lengths, more tiles than blocks",
                      inputs,
                      {{"scale", 0.0}, {"causal", false}}});
  }
  const CaseInput lengths = fixed_values(DType::kI32, {3}, {13, 5, 1});
  with("key lengths", lengths, absent());
  with("a sample without keys", fixed_values(DType::kI32, {3}, {13, 0, 7}), absent());
  with("lengths outside the keys are clamped", fixed_values(DType::kI32, {3}, {99, -4, 13}),
       absent());
  with("key lengths and causal", fixed_values(DType::kI32, {3}, {13, 6, 3}), absent(), true);
  with("full mask", absent(), fixed(DType::kF32, {3, 2, 9, 13}, -3, 3));
  with("mask of one row", absent(), fixed(DType::kF32, {3, 1, 1, 13}, -3, 3));
  with("mask of heads", absent(), fixed(DType::kF32, {2, 9, 13}, -3, 3));
  with("mask of the compute dtype", absent(), in({9, 13}, -3, 3));
  with("mask that hides keys", absent(),
       fixed_values(DType::kF32, {1, 1, 9, 13}, {0, -kInf, 0.5, 0, -kInf}));
  with("mask of the least number", absent(),
       fixed_values(DType::kF32, {1, 1, 9, 13}, {-3.4028234e38, 0, 0.5, -3.4028234e38, 0}));
  with("mask that hides every key", absent(), fixed_values(DType::kF32, {}, {-kInf}));
  with("mask and lengths", lengths, fixed(DType::kF32, {9, 13}, -3, 3));
}

void add_rope(std::vector<Case>* cases) {
  for (const char* mode : {"interleaved", "split"}) {
    const auto add = [&](const char* label, Shape x, Shape table) {
      cases->push_back({OpKind::kRope,
                        label,
                        {in(x), fixed(DType::kF32, table), fixed(DType::kF32, table)},
                        {{"mode", text(mode)}}});
    };
    add("one pair", {1, 1, 1, 2}, {1, 1, 1, 1});
    add("odd half", {2, 5, 3, 6}, {1, 5, 1, 3});
    add("head dim 64", {1, 19, 4, 64}, {1, 19, 1, 32});
    add("head dim 128", {2, 9, 2, 128}, {2, 9, 1, 64});
    add("many heads", {2, 7, 12, 128}, {2, 7, 1, 64});
    add("head dim 96", {1, 7, 5, 96}, {1, 7, 1, 48});
    add("a table a head", {2, 7, 3, 16}, {1, 7, 3, 8});
    add("a table a sample and head", {2, 7, 3, 16}, {2, 7, 3, 8});
    add("no tokens", {1, 0, 2, 8}, {1, 0, 1, 4});
  }
}

}  // namespace

std::vector<Case> attention_cases() {
  std::vector<Case> cases;
  add_attention(&cases);
  add_rope(&cases);
  return cases;
}

}  // namespace zoetrope::conformance
