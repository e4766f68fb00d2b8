// rope: rotary position embedding (arXiv 2104.09864, eq. 34). Pair (a, b) of a head becomes
// (a·cos − b·sin, a·sin + b·cos); pair i is (2i, 2i+1) in mode "interleaved" and (i, i + D/2) in
// mode "split" (GPT-NeoX, LTX-2).
#include "graph/ops/inference.h"

namespace zoetrope {
namespace ops {

Result<Types> infer_rope(const OpContext& c) {
  ZT_RETURN_IF_ERROR(require_inputs(c, 3));
  ZT_RETURN_IF_ERROR(require_float(c, 0, "x"));
  ZT_RETURN_IF_ERROR(require_rank(c, 0, "x", 4, 4));
  ZT_RETURN_IF_ERROR(require_choice(c.attrs, "mode", {"interleaved", "split"}));
  const Shape& x = c.input(0).shape;
  if (x[3] % 2 != 0)
    return error(Code::kInvalidArgument, "the head dimension must be even; found ",
                 c.input(0).to_string());
  constexpr std::string_view kNames[] = {"x", "cos", "sin"};
  for (size_t i = 1; i < 3; ++i) {
    ZT_RETURN_IF_ERROR(require_float(c, i, kNames[i]));
    ZT_RETURN_IF_ERROR(require_rank(c, i, kNames[i], 4, 4));
    const Shape& table = c.input(i).shape;
    const Shape expected{table[0] == 1 ? 1 : x[0], x[1], table[2] == 1 ? 1 : x[2], x[3] / 2};
    ZT_RETURN_IF_ERROR(require_shape(c, i, kNames[i], expected));
  }
  return Types{c.input(0)};
}

namespace {

void reference_rope(const OpContext& c, RefInputs in, std::span<const TensorType>, RefOutputs out) {
  const Shape& x = in[0]->shape;
  const int64_t half = x[3] / 2;
  const bool split = c.attrs.get_string("mode") == "split";
  const Shape pairs{x[0], x[1], x[2], half};
  const std::array strides{broadcast_strides(in[1]->shape, pairs),
                           broadcast_strides(in[2]->shape, pairs)};
  for_each_element(pairs, strides, [&](int64_t i, const auto& at) {
    const int64_t row = i / half * x[3], pair = i % half;
    const size_t ia = idx(row + (split ? pair : 2 * pair));
    const size_t ib = idx(row + (split ? pair + half : 2 * pair + 1));
    const double a = in[0]->data[ia], b = in[0]->data[ib];
    const double cos = in[1]->data[idx(at[0])], sin = in[2]->data[idx(at[1])];
    out[0][ia] = a * cos - b * sin;
    out[0][ib] = a * sin + b * cos;
  });
}

double flops_rope(const OpContext&, std::span<const TensorType> out) {
  return 3 * static_cast<double>(out[0].shape.elements());
}

}  // namespace
}  // namespace ops

// Inputs: x, cos, sin. cos and sin stay f32 whatever x's dtype.
const OpDef& rope_op() {
  static const OpDef def{
      .kind = OpKind::kRope,
      .name = "rope",
      .attrs = {{"mode", AttrType::kString, false, std::string("interleaved")}},
      .min_inputs = 3,
      .max_inputs = 3,
      .infer = ops::infer_rope,
      .flops = ops::flops_rope,
      .reference = ops::reference_rope,
      .tolerance = {1e-6, 1e-6},
      .inplace_inputs = 1,
  };
  return def;
}

}  // namespace zoetrope
