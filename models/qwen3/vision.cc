#include "models/qwen3/vision.h"

#include <algorithm>
#include <string>

#include "models/layers.h"

namespace zoetrope {
namespace {

class VisionBuilder {
 public:
  explicit VisionBuilder(const Qwen3VisionConfig& config) : c_(config), b_("vision") {}

  Result<Graph> build() {
    ZT_RETURN_IF_ERROR(check());
    const ValueId pixels =
        b_.input("pixels", DType::kF32, {1, h_ * c_.patch, w_ * c_.patch, 3}, Rate::kClip);
    ValueId x = b_.add(patches(pixels), positions());
    open_rope();
    std::vector<ValueId> features{kNone};
    for (int64_t i = 0; i < c_.layers; ++i) {
      x = block(x, i);
      const auto deep = std::find(c_.deep.begin(), c_.deep.end(), i);
      if (deep != c_.deep.end())
        features.push_back(
            merged("deepstack_merger_list." + std::to_string(deep - c_.deep.begin()), x, true));
    }
    features[0] = merged("merger", x, false);
    b_.output("features", b_.concat(features, 2));
    return b_.finish();
  }

 private:
  Status check() const {
    for (const int64_t size : {c_.layers, c_.width, c_.heads, c_.ffn, c_.patch, c_.frames, c_.merge,
                               c_.out_width, c_.grid})
      if (size < 1 || size > 1 << 20)
        return error(Code::kInvalidArgument, "sight of Qwen3-VL's with a size of ", size);
    if (c_.width % (4 * c_.heads) != 0 || c_.grid < 2 || c_.merge < 2)
      return error(Code::kInvalidArgument, "sight of ", c_.heads, " heads over ", c_.width,
                   " channels, of ", c_.grid, " positions a side and ", c_.merge,
                   " patches: expected heads of whole fours, and two or more of the others");
    for (size_t i = 0; i < c_.deep.size(); ++i)
      if (c_.deep[i] < 0 || c_.deep[i] >= c_.layers || (i > 0 && c_.deep[i] <= c_.deep[i - 1]))
        return error(Code::kInvalidArgument, "places are read behind block ", c_.deep[i],
                     "; expected rising numbers below ", c_.layers);
    return Status();
  }
  int64_t head_dim() const { return c_.width / c_.heads; }
  Dim patch_count() const { return h_ * w_; }

  // [1, patches, width], row by row.
  ValueId patches(ValueId pixels) {
    const Dim h = h_ * c_.patch, w = w_ * c_.patch;
    const ValueId still =
        b_.broadcast(b_.reshape(pixels, {1, 1, h, w, 3}), {1, c_.frames, h, w, 3});
    const auto scope = b_.scope("patch_embed.proj");
    const ValueId y =
        b_.conv(still, b_.weight("weight", {c_.width, c_.frames, c_.patch, c_.patch, 3}),
                {.stride = {c_.frames, c_.patch, c_.patch},
                 .dilation = {},
                 .pad_lo = {0, 0, 0},
                 .pad_hi = {0, 0, 0}});
    return b_.reshape(b_.add(y, b_.weight("bias", {c_.width})), {1, patch_count(), c_.width});
  }

  // How much of each of the table's rows (columns) the picture's take, corners on corners:
  // [n, grid].
  ValueId shares(const Dim& n) {
    const auto number = [&](double x) { return b_.scalar(x, DType::kF64); };
    const ValueId last = b_.slice(b_.iota(n, 0, 1, DType::kF64), 0, -1, Builder::kToEnd);
    const ValueId at = b_.mul(b_.div(b_.iota(n, 0, 1, DType::kF64), last),
                              number(static_cast<double>(c_.grid - 1)));
    const ValueId apart = b_.sub(b_.reshape(at, {n, 1}),
                                 b_.reshape(b_.iota(c_.grid, 0, 1, DType::kF64), {1, c_.grid}));
    const ValueId distance = b_.op(OpKind::kMax, {apart, b_.sub(number(0), apart)});
    return b_.cast(b_.op(OpKind::kMax, {b_.sub(number(1), distance), number(0)}), DType::kF32);
  }

  ValueId positions() {
    const int64_t g = c_.grid, width = c_.width;
    const ValueId table = b_.weight("pos_embed.weight", {g * g, width});
    const ValueId rows =
        b_.matmul(shares(h_), b_.reshape(table, {g, g * width}));  // [h, g · width]
    const ValueId columns = b_.broadcast(b_.reshape(shares(w_), {1, w_, g}), {h_, w_, g});
    return b_.reshape(b_.matmul(columns, b_.reshape(rows, {h_, g, width})),
                      {1, patch_count(), width});
  }

  // Half of a head's pairs of channels turns by row, half by column.
  void open_rope() {
    const int64_t pairs = head_dim() / 4;
    const ValueId frequencies = layers::rope_frequencies(b_, pairs, c_.theta);
    const std::vector<Dim> grid{1, h_, w_};
    std::vector<ValueId> angles;
    for (const int axis : {1, 2}) {
      const Dim n = grid[static_cast<size_t>(axis)];
      angles.push_back(layers::spread_over_grid(
          b_, layers::outer(b_, b_.iota(n), frequencies, n, pairs), axis, grid, pairs));
    }
    const ValueId all = b_.reshape(b_.concat(angles, 1), {1, patch_count(), 1, 2 * pairs});
    rope_ = {b_.cos(all), b_.sin(all)};
  }

  ValueId norm(const std::string& name, ValueId x, int64_t width) {
    return b_.layer_norm(x, b_.weight(name + ".weight", {width}),
                         b_.weight(name + ".bias", {width}), c_.epsilon);
  }

  ValueId attention(ValueId h) {
    const auto scope = b_.scope("attn");
    const ValueId all = b_.reshape(b_.linear("qkv", h, c_.width, 3 * c_.width),
                                   {1, patch_count(), 3 * c_.heads, head_dim()});
    const auto parts = b_.split(all, 2, c_.heads, 3);
    const auto turned = [&](ValueId x) { return b_.rope(x, rope_.cos, rope_.sin, "split"); };
    const ValueId y = b_.attention(turned(parts[0]), turned(parts[1]), parts[2]);
    return b_.linear("proj", b_.reshape(y, {1, patch_count(), c_.width}), c_.width, c_.width);
  }

  ValueId block(ValueId x, int64_t index) {
    const auto scope = b_.scope("blocks." + std::to_string(index));
    x = b_.add(x, attention(norm("norm1", x, c_.width)));
    const ValueId h = b_.linear("mlp.linear_fc1", norm("norm2", x, c_.width), c_.width, c_.ffn);
    const ValueId y = b_.linear("mlp.linear_fc2", b_.gelu_tanh(h), c_.ffn, c_.width);
    return b_.op(OpKind::kAdd, {x, y}, {}, "output");
  }

  // merge x merge patches are one place: normed one by one before, or together behind.
  ValueId merged(const std::string& name, ValueId x, bool together) {
    const auto scope = b_.scope(name);
    const int64_t m = c_.merge, inner = m * m * c_.width;
    if (!together) x = norm("norm", x, c_.width);
    x = b_.transpose(b_.reshape(x, {rows_, m, columns_, m * c_.width}), {0, 2, 1, 3});
    x = b_.reshape(x, {1, rows_ * columns_, inner});
    if (together) x = norm("norm", x, inner);
    x = b_.unary(OpKind::kGelu, b_.linear("linear_fc1", x, inner, inner));
    return b_.linear("linear_fc2", x, inner, c_.out_width);
  }

  const Qwen3VisionConfig& c_;
  Builder b_;
  const Dim rows_ = Dim::symbol("rows"), columns_ = Dim::symbol("columns");
  const Dim h_ = rows_ * c_.merge, w_ = columns_ * c_.merge;  // in patches
  layers::RopeTables rope_{kNone, kNone};
};

}  // namespace

Result<Graph> build_qwen3_vision(const Qwen3VisionConfig& config) {
  return VisionBuilder(config).build();
}

}  // namespace zoetrope
