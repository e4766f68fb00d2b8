#include "models/t5/t5.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "graph/builder.h"

namespace zoetrope {
namespace {

class T5Builder {
 public:
  explicit T5Builder(const T5Config& config) : c_(config), b_("text_encoder") {}

  Result<Graph> build() {
    ZT_RETURN_IF_ERROR(check());
    const ValueId ids = b_.input("ids", DType::kI32, {batch_, length_}, Rate::kClip);
    lengths_ = b_.input("lengths", DType::kI32, {batch_}, Rate::kClip);
    ValueId x = b_.gather(b_.weight("shared.weight", {c_.vocabulary, c_.width}), ids);
    make_distances();
    const auto scope = b_.scope("encoder");
    for (int64_t i = 0; i < c_.layers; ++i) x = block(x, i);
    b_.output("text", norm("final_layer_norm", x));
    return b_.finish();
  }

 private:
  Status check() const {
    for (const int64_t size :
         {c_.vocabulary, c_.width, c_.layers, c_.heads, c_.head_dim, c_.ffn, c_.max_distance})
      if (size < 1 || size > 1 << 24)
        return error(Code::kInvalidArgument, "a text encoder with a size of ", size);
    // A half has exact buckets, then at least one that grows with the logarithm.
    if (c_.buckets < 4 || c_.buckets % 2 != 0 || c_.buckets > 1 << 12 ||
        c_.max_distance <= c_.buckets / 4 || c_.max_distance > 1 << 16)
      return error(Code::kInvalidArgument, c_.buckets, " buckets of positions up to ",
                   c_.max_distance,
                   " cannot be: expected an even number of at least 4, and distances beyond a "
                   "quarter of it");
    return Status();
  }

  // From every query to every key, cut to ±max_distance, from 0 up: [N, N]. Adding nothing of the
  // lengths makes this, and each layer's bias [1, heads, N, N], a thing of the clip: otherwise all
  // layers' would be kept, 1.6 GB for UMT5-XXL's 512 tokens.
  void make_distances() {
    const ValueId nothing = b_.mul(
        b_.reduce(OpKind::kReduceMax, b_.cast(lengths_, DType::kF32), {0}, false), b_.scalar(0));
    const ValueId places = b_.add(b_.iota(length_), nothing);
    const ValueId far = b_.sub(b_.reshape(places, {1, length_}), b_.reshape(places, {length_, 1}));
    const auto most = static_cast<double>(c_.max_distance);
    const ValueId cut =
        b_.op(OpKind::kMin, {b_.op(OpKind::kMax, {far, b_.scalar(-most)}), b_.scalar(most)});
    distances_ = b_.cast(b_.add(cut, b_.scalar(most)), DType::kI32);
  }

  // Buckets of distances −max … max, as runs of equal ones.
  ValueId buckets() {
    std::vector<ValueId> runs;
    for (int64_t from = -c_.max_distance; from <= c_.max_distance;) {
      const int64_t bucket = t5_bucket(from, c_.buckets, c_.max_distance);
      int64_t to = from + 1;
      while (to <= c_.max_distance && t5_bucket(to, c_.buckets, c_.max_distance) == bucket) ++to;
      runs.push_back(b_.fill(static_cast<double>(bucket), {to - from}, DType::kI32));
      from = to;
    }
    return b_.concat(std::move(runs), 0);
  }

  // [1, heads, N, N], added to the scores.
  ValueId position_bias() {
    const ValueId table = b_.weight("relative_attention_bias.weight", {c_.buckets, c_.heads});
    const ValueId spread = b_.gather(b_.gather(table, buckets()), distances_);
    return b_.op(OpKind::kReshape, {b_.transpose(spread, {2, 0, 1})},
                 {{"dims", std::vector<Dim>{1, c_.heads, length_, length_}}}, "bias");
  }

  ValueId norm(std::string_view name, ValueId x) {
    return b_.rms_norm(x, b_.weight(std::string(name) + ".weight", {c_.width}), c_.epsilon);
  }

  ValueId attention(ValueId x, int64_t index) {
    const auto scope = b_.scope("layer.0");
    const ValueId h = norm("layer_norm", x);
    const auto inner = b_.scope("SelfAttention");
    const int64_t width = c_.heads * c_.head_dim;
    const auto head = [&](std::string_view name) {
      return b_.reshape(b_.linear(name, h, c_.width, width, false),
                        {batch_, length_, c_.heads, c_.head_dim});
    };
    const ValueId q = head("q"), k = head("k"), v = head("v");
    if (index == 0 || c_.bias_a_layer) bias_ = position_bias();
    const ValueId y = b_.attention(q, k, v, lengths_, bias_, 1);
    return b_.add(x,
                  b_.linear("o", b_.reshape(y, {batch_, length_, width}), width, c_.width, false));
  }

  ValueId feed_forward(ValueId x) {
    const ValueId h = norm("layer_norm", x);
    const auto scope = b_.scope("DenseReluDense");
    const auto in = [&](std::string_view name) {
      return b_.linear(name, h, c_.width, c_.ffn, false);
    };
    const auto gate = [&](ValueId x) {
      return c_.ffn_kind == T5Config::Ffn::kGatedSilu ? b_.silu(x) : b_.gelu_tanh(x);
    };
    const ValueId y = c_.ffn_kind == T5Config::Ffn::kRelu ? b_.unary(OpKind::kRelu, in("wi"))
                                                          : b_.mul(gate(in("wi_0")), in("wi_1"));
    return b_.linear("wo", y, c_.ffn, c_.width, false);
  }

  ValueId block(ValueId x, int64_t index) {
    const auto scope = b_.scope("block." + std::to_string(index));
    x = attention(x, index);
    ValueId h = kNone;
    {
      const auto inner = b_.scope("layer.1");
      h = feed_forward(x);
    }
    return b_.op(OpKind::kAdd, {x, h}, {}, "output");
  }

  const T5Config& c_;
  Builder b_;
  const Dim batch_ = Dim::symbol("batch"), length_ = Dim::symbol("text_length");
  ValueId lengths_ = kNone, distances_ = kNone, bias_ = kNone;
};

}  // namespace

// In the references' f32: where the logarithm comes out whole, a rounding decides the bucket.
int64_t t5_bucket(int64_t distance, int64_t buckets, int64_t max_distance) {
  const int64_t half = buckets / 2, exact = half / 2, n = std::abs(distance);
  const int64_t behind = distance > 0 ? half : 0;
  if (n < exact) return behind + n;
  const float ratio =
      std::log(static_cast<float>(n) / static_cast<float>(exact)) /
      static_cast<float>(std::log(static_cast<double>(max_distance) / static_cast<double>(exact)));
  const auto steps = static_cast<int64_t>(ratio * static_cast<float>(half - exact));
  return behind + std::min(exact + steps, half - 1);
}

Result<Graph> build_t5_encoder(const T5Config& config) { return T5Builder(config).build(); }

}  // namespace zoetrope
