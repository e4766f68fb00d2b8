// Layers that several families share.
#pragma once

#include <initializer_list>
#include <span>
#include <string_view>
#include <vector>

#include "graph/builder.h"

namespace zoetrope::layers {

// Of autoencoders: refuses `sizes` of zero, no or too many levels, and levels of channels that the
// `groups` of their norms do not divide.
Status check_levels(std::span<const int64_t> levels, int64_t groups,
                    std::initializer_list<int64_t> sizes);

// down(silu(gate x) · (up x)) under scope `name`; no biases (arXiv 2002.05202).
ValueId swiglu(Builder& b, std::string_view name, ValueId x, int64_t width, int64_t hidden);

struct AttentionSpec {
  int64_t width, head_dim, context_width;
  double epsilon;
  ValueId cos = kNone, sin = kNone;  // [1, N, 1, head_dim/2]; absent: no rotation
  ValueId key_lengths = kNone;       // i32 [batch]
  Dim query_length, key_length;
  enum class QkNorm { kNone, kHead, kFullWidth } qk_norm = QkNorm::kHead;
  bool bias = false;  // of q, k, v and o
  // Names of the parts in the checkpoint.
  std::string_view q_norm = "q_norm", k_norm = "k_norm";
};
// Multi-head attention; RMSNorm of q and k as the spec says. x [B, N, C], context [B, M, Cc];
// weights q, k, v, o under scope `name`.
ValueId attention(Builder& b, std::string_view name, ValueId x, ValueId context,
                  const AttentionSpec& spec);

// theta^(−i / pairs) for i = 0..pairs−1: [pairs]
ValueId rope_frequencies(Builder& b, int64_t pairs, double theta);
// positions [N] × frequencies [P] → angles [N, P]
ValueId outer(Builder& b, ValueId positions, ValueId frequencies, Dim length, int64_t pairs);

// Values that depend on one axis of a [t, h, w] grid, spread over it: [n, C] → [t·h·w, C].
ValueId spread_over_grid(Builder& b, ValueId rows, int axis, const std::vector<Dim>& grid,
                         int64_t channels);

// Rotary tables of a (t, h, w) grid, each [1, t·h·w, 1, head_dim/2]: of a head's channels
// 2·⌊head_dim/6⌋ turn by row, as many by column, and the rest by time (Wan; Movie Gen as reviewed).
struct RopeTables {
  ValueId cos, sin;
};
RopeTables grid_rope(Builder& b, const std::vector<Dim>& grid, int64_t head_dim, double theta);

// [cos, sin] of scale·t·max_period^(−i/half): [batch] → [batch, width].
ValueId timestep_features(Builder& b, ValueId time, const Dim& batch, int64_t width,
                          double max_period, double scale);

// h · (1 + scale) + shift (adaLN, arXiv 2212.09748)
ValueId modulate(Builder& b, ValueId h, ValueId shift, ValueId scale);

// Patches of [B, T, H, W, C] by a strided convolution: [B, T/pt · H/ph · W/pw, width]; weight
// "<name>.weight" [width, pt, ph, pw, C] and bias.
ValueId patchify(Builder& b, std::string_view name, ValueId x, const std::vector<Dim>& dims,
                 int64_t channels, int64_t width, const std::vector<int64_t>& patch);

// Tokens [B, t·h·w, pt·ph·pw·C] back to [B, t·pt, h·ph, w·pw, C].
ValueId unpatchify(Builder& b, ValueId tokens, const Dim& batch, const std::vector<Dim>& grid,
                   int64_t channels, const std::vector<int64_t>& patch);

}  // namespace zoetrope::layers
