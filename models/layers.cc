#include "models/layers.h"

#include <algorithm>
#include <cmath>

namespace zoetrope::layers {

Status check_levels(std::span<const int64_t> levels, int64_t groups,
                    std::initializer_list<int64_t> sizes) {
  if (groups < 1 || levels.empty() || levels.size() > 8 ||
      std::any_of(sizes.begin(), sizes.end(), [](int64_t size) { return size < 1; }))
    return error(Code::kInvalidArgument, "an autoencoder with a size of zero, or too many levels");
  for (const int64_t channels : levels)
    if (channels < 1 || channels % groups != 0)
      return error(Code::kInvalidArgument, "a level of ", channels,
                   " channels cannot be normed in ", groups, " groups");
  return Status();
}

ValueId swiglu(Builder& b, std::string_view name, ValueId x, int64_t width, int64_t hidden) {
  const auto scope = b.scope(name);
  const ValueId gate = b.silu(b.linear("gate", x, width, hidden, false));
  return b.linear("down", b.mul(gate, b.linear("up", x, width, hidden, false)), hidden, width,
                  false);
}

ValueId attention(Builder& b, std::string_view name, ValueId x, ValueId context,
                  const AttentionSpec& spec) {
  using QkNorm = AttentionSpec::QkNorm;
  const auto scope = b.scope(name);
  const Dim batch = Dim::symbol("batch");
  const int64_t heads = spec.width / spec.head_dim;
  const auto split_heads = [&](ValueId value, const Dim& length) {
    return b.reshape(value, {batch, length, heads, spec.head_dim});
  };
  // Projection, norm where there is one, split into heads, rotation where there is one.
  const auto project = [&](std::string_view which, std::string_view norm, ValueId from, int64_t in,
                           const Dim& length) {
    ValueId y = b.linear(which, from, in, spec.width, spec.bias);
    const auto normed = [&](int64_t width) {
      return b.rms_norm(y, b.weight(std::string(norm) + ".weight", {width}), spec.epsilon);
    };
    if (spec.qk_norm == QkNorm::kFullWidth) y = normed(spec.width);
    y = split_heads(y, length);
    if (spec.qk_norm == QkNorm::kHead) y = normed(spec.head_dim);
    return spec.cos == kNone ? y : b.rope(y, spec.cos, spec.sin, "interleaved");
  };
  const ValueId q = project("q", spec.q_norm, x, spec.width, spec.query_length);
  const ValueId k = project("k", spec.k_norm, context, spec.context_width, spec.key_length);
  const ValueId v = split_heads(b.linear("v", context, spec.context_width, spec.width, spec.bias),
                                spec.key_length);
  const ValueId y = b.attention(q, k, v, spec.key_lengths);
  return b.linear("o", b.reshape(y, {batch, spec.query_length, spec.width}), spec.width, spec.width,
                  spec.bias);
}

ValueId rope_frequencies(Builder& b, int64_t pairs, double theta) {
  const double step = -std::log(theta) / static_cast<double>(pairs);
  return b.exp(b.iota(pairs, 0, step));
}

ValueId outer(Builder& b, ValueId positions, ValueId frequencies, Dim length, int64_t pairs) {
  return b.mul(b.reshape(positions, {std::move(length), 1}), b.reshape(frequencies, {1, pairs}));
}

ValueId spread_over_grid(Builder& b, ValueId rows, int axis, const std::vector<Dim>& grid,
                         int64_t channels) {
  std::vector<Dim> place(grid.size(), 1), full = grid;
  place[static_cast<size_t>(axis)] = grid[static_cast<size_t>(axis)];
  place.push_back(channels);
  full.push_back(channels);
  Dim tokens = 1;
  for (const Dim& d : grid) tokens = tokens * d;
  return b.reshape(b.broadcast(b.reshape(rows, place), full), {tokens, channels});
}

RopeTables grid_rope(Builder& b, const std::vector<Dim>& grid, int64_t head_dim, double theta) {
  const int64_t third = 2 * (head_dim / 6);
  const int64_t pairs[] = {(head_dim - 2 * third) / 2, third / 2, third / 2};
  std::vector<ValueId> angles;
  Dim tokens = 1;
  for (int axis = 0; axis < 3; ++axis) {
    const auto a = static_cast<size_t>(axis);
    const ValueId of_axis =
        outer(b, b.iota(grid[a]), rope_frequencies(b, pairs[a], theta), grid[a], pairs[a]);
    angles.push_back(spread_over_grid(b, of_axis, axis, grid, pairs[a]));
    tokens = tokens * grid[a];
  }
  const ValueId all = b.concat(angles, 1);
  return {b.reshape(b.cos(all), {1, tokens, 1, head_dim / 2}),
          b.reshape(b.sin(all), {1, tokens, 1, head_dim / 2})};
}

ValueId timestep_features(Builder& b, ValueId time, const Dim& batch, int64_t width,
                          double max_period, double scale) {
  const int64_t half = width / 2;
  const double step = -std::log(max_period) / static_cast<double>(half);
  const ValueId frequencies = b.reshape(b.exp(b.iota(half, 0, step)), {1, half});
  ValueId t = b.reshape(time, {batch, 1});
  if (scale != 1) t = b.mul(t, b.scalar(scale));
  const ValueId angles = b.mul(t, frequencies);
  return b.concat({b.cos(angles), b.sin(angles)}, 1);
}

ValueId modulate(Builder& b, ValueId h, ValueId shift, ValueId scale) {
  return b.add(b.mul(h, b.add(scale, b.scalar(1))), shift);
}

ValueId patchify(Builder& b, std::string_view name, ValueId x, const std::vector<Dim>& dims,
                 int64_t channels, int64_t width, const std::vector<int64_t>& patch) {
  const auto scope = b.scope(name);
  std::vector<int64_t> shape{width};
  shape.insert(shape.end(), patch.begin(), patch.end());
  shape.push_back(channels);
  const ValueId y = b.add(b.conv(x, b.weight("weight", shape),
                                 {.stride = patch, .dilation = {}, .pad_lo = {}, .pad_hi = {}}),
                          b.weight("bias", {width}));
  Dim tokens = 1;
  for (size_t i = 0; i < patch.size(); ++i) tokens = tokens * floor_div(dims[i + 1], patch[i]);
  return b.reshape(y, {dims[0], tokens, width});
}

ValueId unpatchify(Builder& b, ValueId tokens, const Dim& batch, const std::vector<Dim>& grid,
                   int64_t channels, const std::vector<int64_t>& patch) {
  // Six dimensions at most: one axis after another. [B·t, h, w, pt·ph·pw·C] with the patch inside.
  const int64_t pt = patch[0], ph = patch[1], pw = patch[2];
  // Columns: (w, pw) become neighbours.
  ValueId x = b.reshape(tokens, {batch * grid[0] * grid[1], grid[2], pt * ph, pw * channels});
  x = b.transpose(x, {0, 2, 1, 3});  // [B·t·h, pt·ph, w, pw·C]
  // Rows: (h, ph).
  x = b.reshape(x, {batch * grid[0], grid[1], pt, ph, grid[2] * pw * channels});
  x = b.transpose(x, {0, 2, 1, 3, 4});  // [B·t, pt, h, ph, W·C]
  return b.reshape(x, {batch, grid[0] * pt, grid[1] * ph, grid[2] * pw, channels});
}

}  // namespace zoetrope::layers
