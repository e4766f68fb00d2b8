// rms_norm, layer_norm and group_norm. Statistics are f32 or better whatever the dtype.
#include <cmath>

#include "graph/ops/common.h"

namespace zoetrope {
namespace ops {
namespace {

// x [..., C]; weight and bias [C] of any float dtype.
Result<Types> infer_norm(const OpContext& c) {
  ZT_RETURN_IF_ERROR(require_inputs(c, 1));
  ZT_RETURN_IF_ERROR(require_float(c, 0, "x"));
  ZT_RETURN_IF_ERROR(require_rank(c, 0, "x", 1, kMaxRank));
  ZT_RETURN_IF_ERROR(require_epsilon(c.attrs));
  const int64_t width = c.input(0).shape[-1];
  if (width == 0)
    return error(Code::kInvalidArgument, "nothing to normalise in ", c.input(0).to_string());
  ZT_RETURN_IF_ERROR(require_vector_or_absent(c, 1, "weight", width));
  ZT_RETURN_IF_ERROR(require_vector_or_absent(c, 2, "bias", width));
  return Types{c.input(0)};
}

Result<Types> infer_group_norm(const OpContext& c) {
  ZT_ASSIGN_OR_RETURN(Types out, infer_norm(c));
  ZT_RETURN_IF_ERROR(require_rank(c, 0, "x", 2, kMaxRank));
  const int64_t groups = c.attrs.get_int("groups"), width = c.input(0).shape[-1];
  if (groups < 1 || width % groups != 0)
    return error(Code::kInvalidArgument, "groups must divide the ", width, " channels; found ",
                 groups);
  return out;
}

double at_or(RefInputs in, size_t i, int64_t element, double fallback) {
  return i < in.size() && in[i] != nullptr ? in[i]->data[idx(element)] : fallback;
}

void reference_rms_norm(const OpContext& c, RefInputs in, std::span<const TensorType>,
                        RefOutputs out) {
  const double epsilon = c.attrs.get_float("epsilon");
  const int64_t width = in[0]->shape[-1];
  const auto n = static_cast<double>(width);
  for (int64_t row = 0; row < in[0]->shape.elements(); row += width) {
    const double* x = in[0]->data.data() + row;
    double squares = 0;
    for (int64_t i = 0; i < width; ++i) squares += x[i] * x[i];
    const double scale = 1 / std::sqrt(squares / n + epsilon);
    for (int64_t i = 0; i < width; ++i) out[0][idx(row + i)] = x[i] * scale * at_or(in, 1, i, 1);
  }
}

void reference_layer_norm(const OpContext& c, RefInputs in, std::span<const TensorType>,
                          RefOutputs out) {
  const double epsilon = c.attrs.get_float("epsilon");
  const int64_t width = in[0]->shape[-1];
  const auto n = static_cast<double>(width);
  for (int64_t row = 0; row < in[0]->shape.elements(); row += width) {
    const double* x = in[0]->data.data() + row;
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < width; ++i) sum += x[i];
    const double mean = sum / n;
    for (int64_t i = 0; i < width; ++i) squares += (x[i] - mean) * (x[i] - mean);
    const double scale = 1 / std::sqrt(squares / n + epsilon);
    for (int64_t i = 0; i < width; ++i)
      out[0][idx(row + i)] = (x[i] - mean) * scale * at_or(in, 1, i, 1) + at_or(in, 2, i, 0);
  }
}

void reference_group_norm(const OpContext& c, RefInputs in, std::span<const TensorType>,
                          RefOutputs out) {
  const Shape& shape = in[0]->shape;
  const double epsilon = c.attrs.get_float("epsilon");
  const int64_t groups = c.attrs.get_int("groups"), width = shape[-1], part = width / groups;
  const int64_t positions = extent(shape, 1, shape.rank() - 1);
  const auto n = static_cast<double>(positions * part);
  for (int64_t b = 0; b < shape[0]; ++b) {
    for (int64_t g = 0; g < groups; ++g) {
      const double* x = in[0]->data.data() + b * positions * width + g * part;
      double* y = out[0].data() + b * positions * width + g * part;
      double sum = 0, squares = 0;
      for (int64_t p = 0; p < positions; ++p)
        for (int64_t i = 0; i < part; ++i) sum += x[p * width + i];
      const double mean = sum / n;
      for (int64_t p = 0; p < positions; ++p)
        for (int64_t i = 0; i < part; ++i)
          squares += (x[p * width + i] - mean) * (x[p * width + i] - mean);
      const double scale = 1 / std::sqrt(squares / n + epsilon);
      for (int64_t p = 0; p < positions; ++p)
        for (int64_t i = 0; i < part; ++i)
          y[p * width + i] = (x[p * width + i] - mean) * scale * at_or(in, 1, g * part + i, 1) +
                             at_or(in, 2, g * part + i, 0);
    }
  }
}

template <int N>
double flops_norm(const OpContext&, std::span<const TensorType> out) {
  return N * static_cast<double>(out[0].shape.elements());
}

}  // namespace
}  // namespace ops

// x / √(mean(x²) + ε) · weight over the last axis (arXiv 1910.07467). Inputs: x, [weight].
const OpDef& rms_norm_op() {
  static const OpDef def{
      .kind = OpKind::kRmsNorm,
      .name = "rms_norm",
      .attrs = {{"epsilon", AttrType::kFloat}},
      .min_inputs = 1,
      .max_inputs = 2,
      .infer = ops::infer_norm,
      .flops = ops::flops_norm<4>,
      .reference = ops::reference_rms_norm,
      .tolerance = {1e-6, 5e-6},
      .inplace_inputs = 1,
  };
  return def;
}

// (x − mean) / √(var + ε) · weight + bias over the last axis, var biased (arXiv 1607.06450).
// Inputs: x, [weight], [bias].
const OpDef& layer_norm_op() {
  static const OpDef def{
      .kind = OpKind::kLayerNorm,
      .name = "layer_norm",
      .attrs = {{"epsilon", AttrType::kFloat}},
      .min_inputs = 1,
      .max_inputs = 3,
      .infer = ops::infer_norm,
      .flops = ops::flops_norm<7>,
      .reference = ops::reference_layer_norm,
      .tolerance = {2e-6, 5e-6},
      .inplace_inputs = 1,
  };
  return def;
}

// layer_norm over each group of C/groups channels and all positions of one sample
// (arXiv 1803.08494). x [B, spatial..., C]. Inputs: x, [weight], [bias].
const OpDef& group_norm_op() {
  static const OpDef def{
      .kind = OpKind::kGroupNorm,
      .name = "group_norm",
      .attrs = {{"groups", AttrType::kInt}, {"epsilon", AttrType::kFloat}},
      .min_inputs = 1,
      .max_inputs = 3,
      .infer = ops::infer_group_norm,
      .flops = ops::flops_norm<7>,
      .reference = ops::reference_group_norm,
      .tolerance = {5e-6, 1e-5},
      .inplace_inputs = 1,
  };
  return def;
}

}  // namespace zoetrope
