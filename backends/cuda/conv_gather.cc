#include "backends/cuda/kernels/conv_gather.h"

#include <algorithm>
#include <numeric>

namespace zoetrope::cuda {
namespace {

constexpr int64_t kLimit = int64_t{1} << 30;

int as_int(int64_t value) { return static_cast<int>(value); }
int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

ConvAxis axis_of(const ConvParams& p, int d, int64_t remainder) {
  ConvAxis a;
  const int64_t stride = p.stride[d], dilation = p.dilation[d];
  if (!p.transposed) {
    a.rows = as_int(p.out[d]);
    a.base = as_int(-p.pad[d]), a.row_step = as_int(stride), a.move = as_int(dilation);
    a.taps = as_int(p.kernel[d]);
  } else {
    const int64_t common = std::gcd(stride, dilation), tap_step = stride / common;
    a.first = as_int(remainder), a.step = as_int(stride);
    a.rows = remainder < p.out[d] ? as_int(ceil_div(p.out[d] - remainder, stride)) : 0;
    a.tap_step = as_int(tap_step), a.move = as_int(-dilation / common);
    for (int64_t k = 0; k < std::min(tap_step, p.kernel[d]); ++k) {
      const int64_t scaled = remainder + p.pad[d] - k * dilation;
      if (scaled % stride != 0) continue;
      a.tap_first = as_int(k), a.base = as_int(scaled / stride);
      a.taps = as_int(ceil_div(p.kernel[d] - k, tap_step));
      break;
    }
  }
  a.by_rows = Divider(a.rows), a.by_taps = Divider(a.taps);
  return a;
}

}  // namespace

bool accepts_conv_gather(const ConvParams& p) {
  bool small = p.batch * p.in[0] * p.in[1] * p.in[2] < kLimit && p.positions() < kLimit &&
               p.channels < kLimit && p.filters < kLimit && p.taps() * p.group_channels() < kLimit;
  for (int d = 0; d < 3; ++d) {
    const int64_t reach = p.kernel[d] * p.dilation[d];
    small = small && p.in[d] < kLimit && p.pad[d] < kLimit / 4 && reach < kLimit / 4 &&
            p.stride[d] < kLimit / 4 && p.out[d] * p.stride[d] < kLimit;
    if (p.transposed && p.stride[d] > kMostRemainders) return false;
  }
  return small;
}

ConvGather conv_gather(const ConvParams& p) {
  ConvGather g;
  g.p = p;
  g.width = as_int(p.group_channels());
  g.by_width = Divider(g.width);
  g.rows = p.batch, g.products = p.groups;
  for (int d = 0; d < 3; ++d) {
    g.remainders[d] = p.transposed ? as_int(p.stride[d]) : 1;
    g.products *= g.remainders[d];
    for (int remainder = 0; remainder < g.remainders[d]; ++remainder)
      g.axis[d][remainder] = axis_of(p, d, remainder);
    g.rows *= g.axis[d][0].rows;  // no remainder has more than the first
  }
  return g;
}

}  // namespace zoetrope::cuda
