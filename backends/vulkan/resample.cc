// Outputs that read x at computed positions: padding and linear resampling.
#include <array>
#include <cstring>

#include "backends/vulkan/kernel.h"
#include "backends/vulkan/rows.h"
#include "backends/vulkan/walk.h"
#include "graph/elements.h"

namespace zoetrope::vulkan {
namespace {

struct PadDim {
  int64_t out, before, in;
};

// Neighbours without padding become one dimension.
std::vector<PadDim> merged_dims(const Shape& x, const Shape& y, const std::vector<int64_t>& lo) {
  std::vector<PadDim> dims;
  bool plain = false;  // the last of dims has no padding
  for (int d = 0; d < x.rank(); ++d) {
    const bool same = x[d] == y[d];
    if (same && plain) {
      dims.back().out *= x[d];
      dims.back().in *= x[d];
    } else {
      dims.push_back({y[d], same ? 0 : lo[static_cast<size_t>(d)], x[d]});
    }
    plain = same;
  }
  if (dims.empty()) dims.push_back({1, 0, 1});
  return dims;
}

// One element, repeated to fill eight bytes.
std::array<uint32_t, 2> repeated(DType dtype, double value) {
  std::array<char, 8> bytes{};
  const int64_t size = dtype_size(dtype);
  for (int64_t i = 0; i < 8 / size; ++i) store_element(dtype, bytes.data(), i, value);
  std::array<uint32_t, 2> words;
  std::memcpy(words.data(), bytes.data(), 8);
  return words;
}

Result<KernelSpec> prepare_pad(const KernelRequest& request, const Capabilities&) {
  const Shape &x = in(request, 0).shape, &y = out(request).shape;
  std::vector<int64_t> lo = attrs(request).get_ints("lo");
  lo.resize(static_cast<size_t>(x.rank()), 0);
  std::vector<PadDim> dims = merged_dims(x, y, lo);
  // Whole runs move where the last dimension is not padded.
  const int64_t size = dtype_size(out(request).dtype);
  int64_t run = 1;
  if (dims.back().out == dims.back().in && dims.back().before == 0)
    for (run = 16 / size; dims.back().in % run != 0;) run /= 2;
  dims.back().out /= run;
  dims.back().in /= run;
  const std::string& mode = attrs(request).get_string("mode");
  const int64_t count = y.elements() / run;
  const auto value = repeated(out(request).dtype, attrs(request).get_float("value"));
  Dispatch d;
  d.shader = "pad";
  d.operands = {input(request, 0), output(request)};
  d.constants = {u32(static_cast<int64_t>(dims.size())), u32(size * run),
                 mode == "constant"    ? 0u
                 : mode == "replicate" ? 1u
                                       : 2u};
  d.params = {u32(count), value[0], value[1]};
  for (const PadDim& dim : dims) {
    append_divisor(dim.out, &d.params);
    d.params.insert(d.params.end(), {u32(dim.before), u32(dim.in)});
  }
  d.group_size = 128;
  d.groups = ceil_div(count, d.group_size);
  d.flops = static_cast<double>(count) * 32;
  return KernelSpec{.name = "pad", .dispatches = {d}};
}

Result<KernelSpec> prepare_resize(const KernelRequest& request, const Capabilities&) {
  const Shape &x = in(request, 0).shape, &y = out(request).shape;
  const bool align = attrs(request).get_bool("align_corners");
  const int64_t spatial = x.rank() - 2, chunk = row_chunk(x[-1], out(request).dtype);
  const int64_t count = y.elements() / chunk;
  Dispatch d;
  d.shader = "resize_linear";
  d.operands = {input(request, 0), output(request)};
  d.constants = {u32(chunk), u32(spatial), align};
  d.params = {u32(count)};
  append_divisor(x[-1] / chunk, &d.params);
  for (int s = 1; s <= spatial; ++s) {
    append_divisor(y[s], &d.params);
    d.params.push_back(u32(x[s]));
    append_divisor(align ? y[s] - 1 : 2 * y[s], &d.params);
  }
  d.group_size = 128;
  d.groups = ceil_div(count, d.group_size);
  d.flops = static_cast<double>(count) * 64;
  return KernelSpec{.name = "resize_linear", .dispatches = {d}};
}

// Positions are products of two extents in 32 bits.
bool accepts_resize(const KernelRequest& request, const Capabilities&) {
  for (int d = 1; d < in(request, 0).shape.rank() - 1; ++d)
    if (2 * out(request).shape[d] * in(request, 0).shape[d] >= int64_t{1} << 32) return false;
  return compute_dtypes(request);
}

constexpr TableRow kTable[] = {
    {OpKind::kPad, nullptr, prepare_pad},
    {OpKind::kResizeLinear, accepts_resize, prepare_resize},
};

}  // namespace

std::span<const TableRow> resample_table() { return kTable; }

}  // namespace zoetrope::vulkan
