// The ops that are timed by default. Each op of the list has a case here (a test looks).
#include <algorithm>
#include <cmath>

#include "bench/op_case.h"

namespace zoetrope::bench {
namespace {

class Cases {
 public:
  explicit Cases(DType dtype) : dtype_(dtype) {}

  Operand in(Shape shape) const { return {{dtype_, shape}, false}; }
  Operand weight(Shape shape) const { return {{dtype_, shape}, true}; }
  static Operand fixed(DType dtype, Shape shape, bool weight = false) {
    return {{dtype, shape}, weight};
  }
  static std::vector<Dim> ints(std::initializer_list<int64_t> list) {
    return {list.begin(), list.end()};
  }

  void add(OpKind op, std::vector<Operand> inputs, Attrs attrs = {}) {
    list_.push_back({op, std::move(inputs), std::move(attrs), dtype_});
  }
  void matmul(int64_t m, int64_t n, int64_t k) {
    add(OpKind::kMatmul, {in({m, k}), weight({n, k})}, {{"transpose_b", true}});
  }
  void attention(int64_t batch, int64_t queries, int64_t keys, int64_t heads, int64_t dim,
                 int64_t bits = 0) {
    Attrs attrs;
    if (bits > 0) attrs.set("bits", Dim(bits));
    add(OpKind::kAttention,
        {in({batch, queries, heads, dim}), in({batch, keys, heads, dim}),
         in({batch, keys, heads, dim})},
        attrs);
  }
  // Padded by half the kernel.
  void conv(Shape x, int64_t filters, std::initializer_list<int64_t> kernel) {
    Shape w{filters};
    std::vector<Dim> pad;
    for (const int64_t k : kernel) w.push_back(k), pad.emplace_back(k / 2);
    w.push_back(x[-1]);
    add(OpKind::kConvBias, {in(x), weight(w), weight({filters})},
        {{"pad_lo", pad}, {"pad_hi", pad}});
  }
  void of_curve(const std::string& family, int64_t tokens) {
    list_.back().family = family;
    list_.back().tokens = tokens;
  }
  DType dtype() const { return dtype_; }
  std::string dtype_text() const { return std::string(dtype_name(dtype_)); }
  std::vector<OpCase> take() { return std::move(list_); }

 private:
  const DType dtype_;
  std::vector<OpCase> list_;
};

bool is_quantized(DType dtype) { return dtype == DType::kI8 || dtype == DType::kF8E4M3; }

void add_elementwise(Cases* c, Shape x) {
  for (OpKind op : {
#define ZT_OP(kind, name, def)
#define ZT_UNARY(kind, name, def) OpKind::kind,
#define ZT_BINARY(kind, name, def)
#include "graph/ops/op_list.inc"
#undef ZT_OP
       })
    c->add(op, {c->in(x)});
  for (OpKind op : {
#define ZT_OP(kind, name, def)
#define ZT_UNARY(kind, name, def)
#define ZT_BINARY(kind, name, def) OpKind::kind,
#include "graph/ops/op_list.inc"
#undef ZT_OP
       })
    c->add(op, {c->in(x), c->in(x)});
  c->add(OpKind::kCast, {c->in(x)},
         {{"dtype", std::string(c->dtype() == DType::kF32 ? "bf16" : "f32")}});
  c->add(OpKind::kSelect, {Cases::fixed(DType::kBool, x), c->in(x), c->in(x)});
}

// `x` [1, rows, width]; `video` [1, frames, height, width, channels].
void add_layout(Cases* c, Shape x, Shape video) {
  const int64_t rows = x[1], width = x[2];
  c->add(OpKind::kFill, {},
         {{"dims", Cases::ints({rows, width})}, {"value", 1.0}, {"dtype", c->dtype_text()}});
  c->add(OpKind::kIota, {}, {{"length", Dim(rows * width)}, {"dtype", c->dtype_text()}});
  c->add(OpKind::kReshape, {c->in(x)}, {{"dims", Cases::ints({rows, width})}});
  c->add(OpKind::kTranspose, {c->in(x)}, {{"permutation", Cases::ints({0, 2, 1})}});
  c->add(OpKind::kBroadcast, {c->in({1, 1, width})}, {{"dims", Cases::ints({1, rows, width})}});
  c->add(OpKind::kSlice, {c->in(x)},
         {{"axis", Dim(2)}, {"start", Dim(0)}, {"end", Dim(width / 2)}, {"step", Dim(1)}});
  c->add(OpKind::kConcat, {c->in(x), c->in(x)}, {{"axis", Dim(1)}});
  c->add(OpKind::kPad, {c->in(video)},
         {{"lo", Cases::ints({0, 2, 1, 1, 0})},
          {"hi", Cases::ints({0, 0, 1, 1, 0})},
          {"mode", std::string("replicate")}});
  c->add(OpKind::kRepeat, {c->in(video)}, {{"axis", Dim(2)}, {"times", Dim(2)}});
  c->add(OpKind::kResizeLinear, {c->in({video[1], video[2], video[3], video[4]})},
         {{"sizes", Cases::ints({2 * video[2], 2 * video[3]})}});
  c->add(OpKind::kGather, {c->weight({rows, width}), Cases::fixed(DType::kI32, {rows})});
}

void add_rows(Cases* c, Shape x) {
  const int64_t width = x[2];
  for (OpKind op : {OpKind::kReduceSum, OpKind::kReduceMean, OpKind::kReduceMax})
    for (const int64_t axis : {1, 2}) c->add(op, {c->in(x)}, {{"axes", Cases::ints({axis})}});
  c->add(OpKind::kSoftmax, {c->in(x)});
  c->add(OpKind::kRmsNorm, {c->in(x), c->weight({width})}, {{"epsilon", 1e-6}});
  c->add(OpKind::kLayerNorm, {c->in(x)}, {{"epsilon", 1e-6}});
  c->add(OpKind::kGroupNorm, {c->in(x), c->weight({width}), c->weight({width})},
         {{"groups", Dim(width % 32 == 0 ? 32 : 1)}, {"epsilon", 1e-6}});
  const Operand row = Cases::fixed(DType::kF32, {1, 1, width});
  const Attrs layer{{"norm", std::string("layer")}, {"epsilon", 1e-6}};
  c->add(OpKind::kNormModulate, {c->in(x), row, row}, layer);
  c->add(OpKind::kResidualNorm, {c->in(x), c->in(x), row, row, row}, layer);
  c->add(OpKind::kGatedResidual, {c->in(x), c->in(x), row});
  c->add(OpKind::kGlu, {c->in(x), c->in(x)});
}

void add_heads(Cases* c, int64_t rows, int64_t heads, int64_t dim) {
  const Shape x{1, rows, heads, dim};
  const Operand table = Cases::fixed(DType::kF32, {1, rows, 1, dim / 2});
  c->add(OpKind::kRope, {c->in(x), table, table});
  c->add(OpKind::kNormRope, {c->in(x), table, table, c->weight({heads * dim})},
         {{"epsilon", 1e-6}, {"full_width", true}});
  c->attention(1, rows, rows, heads, dim);
  const int64_t width = heads * dim;
  const Operand packed = c->in({1, rows, 3 * width});
  c->add(OpKind::kPackedAttention, {packed, packed, packed},
         {{"heads", Dim(heads)},
          {"kv_heads", Dim(heads)},
          {"dim", Dim(dim)},
          {"v_dim", Dim(dim)},
          {"q_offset", Dim(0)},
          {"k_offset", Dim(width)},
          {"v_offset", Dim(2 * width)}});
}

void add_products(Cases* c, int64_t rows, int64_t width) {
  c->matmul(rows, width, width);
  c->add(OpKind::kLinear, {c->in({rows, width}), c->weight({width, width}), c->weight({width})},
         {{"transpose_b", true}, {"activation", std::string("gelu_tanh")}});
}

void add_convolutions(Cases* c, Shape video) {
  const int64_t channels = video[4];
  c->add(OpKind::kConv, {c->in(video), c->weight({channels, 3, 3, 3, channels})},
         {{"pad_lo", Cases::ints({1, 1, 1})}, {"pad_hi", Cases::ints({1, 1, 1})}});
  c->conv(video, channels, {3, 3, 3});
  const int64_t samples = video[1] * video[2] * video[3];
  c->add(
      OpKind::kConvTranspose, {c->in({1, samples, channels}), c->weight({channels, 8, channels})},
      {{"stride", Cases::ints({4})}, {"pad_lo", Cases::ints({2})}, {"pad_hi", Cases::ints({2})}});
}

void add_quantized_product(Cases* c, int64_t m, int64_t n, int64_t k) {
  c->add(OpKind::kQuantizedMatmul,
         {c->in({m, k}), Cases::fixed(DType::kF32, {m, 1}), c->weight({n, k}),
          Cases::fixed(DType::kF32, {n}, true)},
         {{"dtype", std::string("bf16")}});
}

void add_quantized(Cases* c, int64_t m, int64_t n, int64_t k) {
  c->add(OpKind::kQuantizeRows, {Cases::fixed(DType::kBF16, {m, k})}, {{"dtype", c->dtype_text()}});
  const auto bf16 = [](Shape shape) { return Cases::fixed(DType::kBF16, shape); };
  const Operand row = Cases::fixed(DType::kF32, {1, k});
  const Attrs layer{{"norm", std::string("layer")}, {"epsilon", 1e-6}, {"dtype", c->dtype_text()}};
  c->add(OpKind::kNormQuantize, {bf16({m, k}), row, row}, layer);
  c->add(OpKind::kResidualNormQuantize, {bf16({m, k}), bf16({m, k}), row, row, row}, layer);
  c->add(OpKind::kActivateQuantize, {bf16({m, k})},
         {{"activation", std::string("gelu_tanh")}, {"dtype", c->dtype_text()}});
  add_quantized_product(c, m, n, k);
}

}  // namespace

std::vector<OpCase> every_op(DType dtype, int64_t rows) {
  constexpr int64_t kHeads = 12, kDim = 128, kWidth = kHeads * kDim;
  Cases c(dtype);
  if (is_quantized(dtype)) {
    add_quantized(&c, rows, kWidth, kWidth);
    c.add(OpKind::kDequantize,
          {c.weight({kWidth, kWidth}), Cases::fixed(DType::kF32, {kWidth, 1}, true)},
          {{"dims", Cases::ints({kWidth, kWidth})},
           {"bits", Dim(8)},
           {"dtype", std::string("bf16")}});
    if (dtype == DType::kI8)  // the numbers of int4, which no dtype has
      c.add(OpKind::kDequantize,
            {Cases::fixed(DType::kU8, {kWidth, kWidth / 2}, true),
             Cases::fixed(DType::kF16, {kWidth, kWidth / 64}, true)},
            {{"dims", Cases::ints({kWidth, kWidth})},
             {"bits", Dim(4)},
             {"group", Dim(64)},
             {"dtype", std::string("bf16")}});
    return c.take();
  }
  const Shape x{1, rows, kWidth};
  // As many elements as x, about.
  const auto side = static_cast<int64_t>(std::sqrt(static_cast<double>(4 * rows)));
  const Shape video{1, 4, std::max<int64_t>(side, 4), std::max<int64_t>(side, 4), 96};
  add_elementwise(&c, x);
  add_layout(&c, x, video);
  add_rows(&c, x);
  add_heads(&c, rows, kHeads, kDim);
  add_products(&c, rows, kWidth);
  add_convolutions(&c, video);
  return c.take();
}

std::vector<OpCase> odd_cases(DType dtype) {
  Cases c(dtype);
  if (is_quantized(dtype)) {
    add_quantized(&c, 509, 387, 1153);
    return c.take();
  }
  const Shape x{1, 509, 1153};
  c.add(OpKind::kGeluTanh, {c.in(x)});
  c.add(OpKind::kAdd, {c.in(x), c.in(x)});
  c.add(OpKind::kTranspose, {c.in(x)}, {{"permutation", Cases::ints({0, 2, 1})}});
  add_rows(&c, x);
  add_heads(&c, 509, 5, 72);
  add_products(&c, 509, 1153);
  add_convolutions(&c, {1, 5, 29, 31, 37});
  return c.take();
}

std::vector<OpCase> special_cases(DType dtype) {
  Cases c(dtype);
  if (is_quantized(dtype)) {
    add_quantized(&c, 8192, 8192, 8192);
    add_quantized(&c, 32760, 8960, 1536);
    add_quantized_product(&c, 32760, 1536, 8960);
    add_quantized_product(&c, 8192, 3456, 1152);  // of DiT-XL/2
    add_quantized_product(&c, 8192, 1152, 4608);
    return c.take();
  }
  // The decoder of Toybox at 128x128, 32 frames; of Wan at 832x480.
  c.conv({1, 32, 64, 64, 64}, 64, {1, 3, 3});
  c.conv({1, 32, 64, 64, 64}, 64, {3, 1, 1});
  c.conv({1, 8, 16, 16, 128}, 128, {1, 3, 3});
  c.conv({1, 4, 64, 64, 192}, 192, {3, 3, 3});
  c.conv({1, 4, 480, 832, 96}, 96, {3, 3, 3});
  c.conv({1, 4, 240, 416, 192}, 192, {3, 3, 3});
  c.conv({1, 4, 120, 208, 384}, 384, {3, 3, 3});
  c.conv({1, 4, 480, 832, 96}, 3, {3, 3, 3});
  // Wan's, in 8 bits as well.
  c.attention(1, 32760, 32760, 12, 128, 8);
  c.attention(4, 6240, 6240, 1, 384);  // in the middle of that decoder
  c.attention(1, 16384, 16384, 16, 64);
  c.attention(2, 4096, 4096, 16, 72);     // DiT-XL/2 at 1024x1024
  c.attention(1, 73728, 73728, 12, 128);  // a quarter of Movie Gen's heads
  c.matmul(8192, 8192, 8192);
  c.matmul(1, 9216, 1536);  // of a time embedding
  c.matmul(2, 6912, 1152);
  return c.take();
}

std::vector<OpCase> curve_cases(DType dtype, int64_t tokens) {
  Cases c(dtype);
  if (is_quantized(dtype)) return {};
  c.attention(1, tokens, tokens, 12, 128);
  c.of_curve("attention 12x128", tokens);
  c.matmul(tokens, 1536, 1536);
  c.of_curve("matmul 1536x1536", tokens);
  c.add(OpKind::kRmsNorm, {c.in({1, tokens, 1536}), c.weight({1536})}, {{"epsilon", 1e-6}});
  c.of_curve("rms_norm 1536", tokens);
  return c.take();
}

}  // namespace zoetrope::bench
