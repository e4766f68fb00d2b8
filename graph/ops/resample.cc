// pad and resize_linear: outputs that read x at computed positions.
#include <algorithm>
#include <cmath>

#include "graph/ops/common.h"

namespace zoetrope {
namespace ops {
namespace {

Result<Types> infer_pad(const OpContext& c) {
  ZT_RETURN_IF_ERROR(require_inputs(c, 1));
  ZT_RETURN_IF_ERROR(require_choice(c.attrs, "mode", {"constant", "replicate", "reflect"}));
  const std::string& mode = c.attrs.get_string("mode");
  Shape shape = c.input(0).shape;
  ZT_ASSIGN_OR_RETURN(const auto lo, ints_or(c.attrs, "lo", shape.rank(), 0, 0, kMaxExtent));
  ZT_ASSIGN_OR_RETURN(const auto hi, ints_or(c.attrs, "hi", shape.rank(), 0, 0, kMaxExtent));
  for (int d = 0; d < shape.rank(); ++d) {
    const int64_t most = std::max(lo[idx(d)], hi[idx(d)]);
    if (mode == "replicate" && most > 0 && shape[d] == 0)
      return error(Code::kInvalidArgument, "nothing to replicate along axis ", d, " of ",
                   c.input(0).to_string());
    if (mode == "reflect" && most > 0 && most >= shape[d])
      return error(Code::kInvalidArgument, "reflection by ", most, " needs more than ", most,
                   " elements along axis ", d, "; found ", c.input(0).to_string());
    shape[d] += lo[idx(d)] + hi[idx(d)];
  }
  return one_output(c.input(0).dtype, shape);
}

// For each output position along one axis, the source position, or -1 for the constant.
std::vector<int64_t> pad_sources(int64_t size, int64_t lo, int64_t total, const std::string& mode) {
  std::vector<int64_t> source(idx(total));
  for (int64_t i = 0; i < total; ++i) {
    int64_t s = i - lo;
    if (s < 0 || s >= size) {
      if (mode == "constant") s = -1;
      if (mode == "replicate") s = s < 0 ? 0 : size - 1;
      if (mode == "reflect") s = s < 0 ? -s : 2 * (size - 1) - s;
    }
    source[idx(i)] = s;
  }
  return source;
}

void reference_pad(const OpContext& c, RefInputs in, std::span<const TensorType> types,
                   RefOutputs out) {
  const Shape &x = in[0]->shape, &y = types[0].shape;
  const std::vector<int64_t> lo = ints_or(c.attrs, "lo", x.rank(), 0);
  const double value = c.attrs.get_float("value");
  const Strides walk = strides_of(x);
  std::vector<std::vector<int64_t>> sources;
  for (int d = 0; d < x.rank(); ++d)
    sources.push_back(pad_sources(x[d], lo[idx(d)], y[d], c.attrs.get_string("mode")));
  std::array<int64_t, kMaxRank> at{};
  for (double& element : out[0]) {
    int64_t offset = 0;
    bool inside = true;
    for (int d = 0; d < x.rank(); ++d) {
      const int64_t s = sources[idx(d)][idx(at[idx(d)])];
      inside &= s >= 0;
      offset += s * walk[idx(d)];
    }
    element = inside ? in[0]->data[idx(offset)] : value;
    for (int d = x.rank() - 1; d >= 0 && ++at[idx(d)] == y[d]; --d) at[idx(d)] = 0;
  }
}

Result<Types> infer_resize(const OpContext& c) {
  ZT_RETURN_IF_ERROR(require_inputs(c, 1));
  ZT_RETURN_IF_ERROR(require_float(c, 0, "x"));
  ZT_RETURN_IF_ERROR(require_rank(c, 0, "x", 3, kMaxRank));
  Shape shape = c.input(0).shape;
  const int spatial = shape.rank() - 2;
  const std::vector<int64_t> sizes = c.attrs.get_ints("sizes");
  if (sizes.size() != static_cast<size_t>(spatial))
    return error(Code::kInvalidArgument, "sizes must have one entry for each of the ", spatial,
                 " spatial dimensions of ", c.input(0).to_string(), "; found ", sizes.size());
  for (int d = 0; d < spatial; ++d) {
    if (sizes[idx(d)] < 1 || shape[d + 1] < 1)
      return error(Code::kInvalidArgument, "cannot resize dimension ", d + 1, " of ",
                   c.input(0).to_string(), " to ", sizes[idx(d)]);
    shape[d + 1] = sizes[idx(d)];
  }
  return one_output(c.input(0).dtype, shape);
}

struct Tap {
  int64_t low, high;
  double fraction;  // weight of `high`
};

std::vector<Tap> linear_taps(int64_t in, int64_t out, bool align_corners) {
  std::vector<Tap> taps(idx(out));
  for (int64_t i = 0; i < out; ++i) {
    const auto at = static_cast<double>(i);
    double source;
    if (align_corners)
      source = out == 1 ? 0 : at * static_cast<double>(in - 1) / static_cast<double>(out - 1);
    else
      source = std::max(0.0, (at + 0.5) * static_cast<double>(in) / static_cast<double>(out) - 0.5);
    const int64_t low = std::min(static_cast<int64_t>(source), in - 1);
    taps[idx(i)] = {low, std::min(low + 1, in - 1), source - static_cast<double>(low)};
  }
  return taps;
}

// One dimension after the other: linear interpolation is separable.
void reference_resize(const OpContext& c, RefInputs in, std::span<const TensorType> types,
                      RefOutputs out) {
  Shape shape = in[0]->shape;
  std::vector<double> data(in[0]->data.begin(), in[0]->data.end());
  const bool align_corners = c.attrs.get_bool("align_corners");
  for (int d = 1; d < shape.rank() - 1; ++d) {
    const int64_t from = shape[d], to = types[0].shape[d];
    const int64_t rows = extent(shape, 0, d), inner = extent(shape, d + 1, shape.rank());
    const std::vector<Tap> taps = linear_taps(from, to, align_corners);
    std::vector<double> next(idx(rows * to * inner));
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t i = 0; i < to; ++i) {
        const Tap& tap = taps[idx(i)];
        const double* low = data.data() + (r * from + tap.low) * inner;
        const double* high = data.data() + (r * from + tap.high) * inner;
        double* y = next.data() + (r * to + i) * inner;
        for (int64_t e = 0; e < inner; ++e)
          y[e] = (1 - tap.fraction) * low[e] + tap.fraction * high[e];
      }
    }
    data = std::move(next);
    shape[d] = to;
  }
  out[0] = std::move(data);
}

double flops_resize(const OpContext& c, std::span<const TensorType> out) {
  return 3.0 * (c.input(0).shape.rank() - 2) * static_cast<double>(out[0].shape.elements());
}

}  // namespace
}  // namespace ops

// lo[d] elements before and hi[d] after x along every dimension d; empty lists mean none. mode
// "constant" writes `value`, "replicate" the edge element, "reflect" mirrors without the edge
// (torch.nn.functional.pad).
const OpDef& pad_op() {
  static const OpDef def{
      .kind = OpKind::kPad,
      .name = "pad",
      .attrs = {{"lo", AttrType::kInts},
                {"hi", AttrType::kInts},
                {"mode", AttrType::kString, false, std::string("constant")},
                {"value", AttrType::kFloat, false, 0.0}},
      .infer = ops::infer_pad,
      .reference = ops::reference_pad,
      .tolerance = {0, 1e-7},
  };
  return def;
}

// x [B, spatial..., C] with its spatial dimensions linearly interpolated to `sizes`
// (torch.nn.functional.interpolate, linear / bilinear / trilinear, no antialiasing). Output i reads
// position max(0, (i + 1/2)·in/out − 1/2), or i·(in − 1)/(out − 1) with align_corners.
const OpDef& resize_linear_op() {
  static const OpDef def{
      .kind = OpKind::kResizeLinear,
      .name = "resize_linear",
      .attrs = {{"sizes", AttrType::kInts}, {"align_corners", AttrType::kBool, false, false}},
      .infer = ops::infer_resize,
      .flops = ops::flops_resize,
      .reference = ops::reference_resize,
      .tolerance = {1e-5, 1e-5},
  };
  return def;
}

}  // namespace zoetrope
