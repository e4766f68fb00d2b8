// packed_attention: scaled_dot_product_attention whose queries, keys and values are columns of
// wider rows, as one projection makes them (q, k and v side by side): read where they stand.
#include "graph/builder.h"
#include "graph/ops/common.h"

namespace zoetrope {
namespace ops {
namespace {

struct Packed {
  std::string_view source, offset, heads, dim;  // what each of q, k and v is called
};
constexpr Packed kPacked[] = {{"q", "q_offset", "heads", "dim"},
                              {"k", "k_offset", "kv_heads", "dim"},
                              {"v", "v_offset", "kv_heads", "v_dim"}};

// The type of q, k or v once it is cut out.
Result<TensorType> unpacked(const OpContext& c, size_t i) {
  const Packed& p = kPacked[i];
  ZT_RETURN_IF_ERROR(require_float(c, i, p.source));
  ZT_RETURN_IF_ERROR(require_rank(c, i, p.source, 3, 3));
  const Shape& shape = c.input(i).shape;
  const int64_t offset = c.attrs.get_int(p.offset), heads = c.attrs.get_int(p.heads),
                dim = c.attrs.get_int(p.dim);
  if (offset < 0 || offset > shape[2] || heads < 1 || dim < 1 || heads > (shape[2] - offset) / dim)
    return error(Code::kInvalidArgument, p.source, " has ", heads, " heads of ", dim,
                 " columns from ", offset, " on; the rows are ", c.input(i).to_string());
  return TensorType{c.input(i).dtype, Shape{shape[0], shape[1], heads, dim}};
}

// The attention that it is, over what its inputs hold.
struct Attention {
  TensorType types[3];
  std::vector<const TensorType*> inputs;
  Attrs attrs;

  explicit Attention(const OpContext& c)
      : attrs{{"scale", c.attrs.get_float("scale")},
              {"causal", c.attrs.get_bool("causal")},
              {"bits", Dim(c.attrs.get_int("bits"))}} {}
  Status read(const OpContext& c) {
    for (size_t i = 0; i < 3; ++i) {
      ZT_ASSIGN_OR_RETURN(types[i], unpacked(c, i));
      inputs.push_back(&types[i]);
    }
    for (size_t i = 3; i < c.inputs.size(); ++i) inputs.push_back(c.inputs[i]);
    return Status();
  }
  OpContext context() const { return {inputs, attrs}; }
};

Result<Types> infer_packed_attention(const OpContext& c) {
  ZT_RETURN_IF_ERROR(require_inputs(c, 3));
  Attention attention(c);
  ZT_RETURN_IF_ERROR(attention.read(c));
  return attention_op().infer(attention.context());
}

double flops_packed_attention(const OpContext& c, std::span<const TensorType> out) {
  Attention attention(c);
  return attention.read(c).ok() ? attention_op().flops(attention.context(), out) : 0;
}

std::vector<int32_t> decompose_packed_attention(Builder& builder, std::span<const int32_t> inputs,
                                                const Attrs& attrs) {
  std::vector<ValueId> now;
  for (size_t i = 0; i < 3; ++i) {
    const Shape shape = builder.graph().value(inputs[i]).type.shape;
    const int64_t offset = attrs.get_int(kPacked[i].offset),
                  heads = attrs.get_int(kPacked[i].heads), dim = attrs.get_int(kPacked[i].dim);
    ValueId x = inputs[i];
    if (heads * dim != shape[2]) x = builder.slice(x, 2, offset, offset + heads * dim);
    now.push_back(builder.reshape(x, {shape[0], shape[1], heads, dim}));
  }
  now.insert(now.end(), inputs.begin() + 3, inputs.end());
  return {builder.op(OpKind::kAttention, now,
                     {{"scale", attrs.get_float("scale")},
                      {"causal", attrs.get_bool("causal")},
                      {"bits", Dim(attrs.get_int("bits"))}})};
}

}  // namespace
}  // namespace ops

// Inputs: rows [B, N, Wq] of q, [B, M, Wk] of k, [B, M, Wv] of v (often one value), [key_lengths],
// [mask], the last two as scaled_dot_product_attention's. Output: [B, N, heads, v_dim].
const OpDef& packed_attention_op() {
  static const OpDef def{
      .kind = OpKind::kPackedAttention,
      .name = "packed_attention",
      .attrs = {{"heads", AttrType::kInt},
                {"kv_heads", AttrType::kInt},
                {"dim", AttrType::kInt},
                {"v_dim", AttrType::kInt},
                {"q_offset", AttrType::kInt},
                {"k_offset", AttrType::kInt},
                {"v_offset", AttrType::kInt},
                {"scale", AttrType::kFloat, false, 0.0},
                {"causal", AttrType::kBool, false, false},
                {"bits", AttrType::kInt, false, Dim(0)}},
      .min_inputs = 3,
      .max_inputs = 5,
      .infer = ops::infer_packed_attention,
      .flops = ops::flops_packed_attention,
      .decompose = ops::decompose_packed_attention,
      .tolerance = attention_op().tolerance,
  };
  return def;
}

}  // namespace zoetrope
