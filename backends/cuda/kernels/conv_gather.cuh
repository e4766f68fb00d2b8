// What kernels that gather the left side of a convolution share.
#pragma once

#include "backends/cuda/kernels/activation.cuh"
#include "backends/cuda/kernels/chunk.cuh"
#include "backends/cuda/kernels/conv_gather.h"

namespace zoetrope::cuda {

// Where x is read for a row: at tap (0, 0, 0), and before its batch's first position.
struct ConvRow {
  int t, h, w;
  int first;  // -1: no such row
};
// A tap and a channel: how far from the row's first tap, and where in a filter.
struct ConvTap {
  int t, h, w;
  int channel;
  int64_t weight;
  bool inside;
};

// A remainder of a group.
struct ConvProduct {
  const ConvGather& g;
  const ConvAxis &t, &h, &w;
  const int group;
  const int rows, depth;

  static __device__ ConvProduct of(const ConvGather& g, int64_t product) {
    auto rest = static_cast<int>(product);
    const int group = rest % static_cast<int>(g.p.groups);
    rest /= static_cast<int>(g.p.groups);
    const int w = rest % g.remainders[2];
    rest /= g.remainders[2];
    const int h = rest % g.remainders[1], t = rest / g.remainders[1];
    return ConvProduct(g, g.axis[0][t], g.axis[1][h], g.axis[2][w], group);
  }

  // Batch and indices of a row.
  struct Place {
    int b, t, h, w;
  };
  __device__ Place place(int row) const {
    const auto q2 = static_cast<int>(w.by_rows.quotient(static_cast<uint64_t>(row)));
    const auto q1 = static_cast<int>(h.by_rows.quotient(static_cast<uint64_t>(q2)));
    const auto q0 = static_cast<int>(t.by_rows.quotient(static_cast<uint64_t>(q1)));
    return {q0, q1 - q0 * t.rows, q2 - q1 * h.rows, row - q2 * w.rows};
  }

  __device__ ConvRow row(int row) const {
    if (row >= rows) return {0, 0, 0, -1};
    const Place at = place(row);
    const ConvParams& p = g.p;
    return {t.base + at.t * t.row_step, h.base + at.h * h.row_step, w.base + at.w * w.row_step,
            at.b * static_cast<int>(p.in[0] * p.in[1] * p.in[2])};
  }

  // Position of y of a row that is there.
  __device__ int64_t target(int row) const {
    if (!g.p.transposed) return row;
    const Place at = place(row);
    const ConvParams& p = g.p;
    return ((at.b * p.out[0] + t.first + at.t * t.step) * p.out[1] + h.first + at.h * h.step) *
               p.out[2] +
           w.first + at.w * w.step;
  }

  __device__ ConvTap tap(int at) const {
    const auto tap = static_cast<int>(g.by_width.quotient(static_cast<uint64_t>(at)));
    const auto q1 = static_cast<int>(w.by_taps.quotient(static_cast<uint64_t>(tap)));
    const auto jt = static_cast<int>(h.by_taps.quotient(static_cast<uint64_t>(q1)));
    const int jh = q1 - jt * h.taps, jw = tap - q1 * w.taps, channel = at - tap * g.width;
    const int64_t in_filter = (static_cast<int64_t>(t.tap_first + jt * t.tap_step) * g.p.kernel[1] +
                               h.tap_first + jh * h.tap_step) *
                                  g.p.kernel[2] +
                              w.tap_first + jw * w.tap_step;
    return {jt * t.move, jh * h.move, jw * w.move, channel, in_filter * g.width + channel,
            at < depth};
  }

  // Elements from the beginning of x; -1: zero.
  __device__ int64_t source(const ConvRow& row, const ConvTap& tap) const {
    const ConvParams& p = g.p;
    const auto in0 = static_cast<int>(p.in[0]), in1 = static_cast<int>(p.in[1]),
               in2 = static_cast<int>(p.in[2]);
    int t = row.t + tap.t, h = row.h + tap.h, w = row.w + tap.w;
    if (p.replicate != 0) {
      if (p.replicate & 1) t = min(max(t, 0), in0 - 1);
      if (p.replicate & 2) h = min(max(h, 0), in1 - 1);
      if (p.replicate & 4) w = min(max(w, 0), in2 - 1);
    }
    const bool inside = tap.inside && row.first >= 0 && static_cast<unsigned>(t) < in0 &&
                        static_cast<unsigned>(h) < in1 && static_cast<unsigned>(w) < in2;
    if (!inside) return -1;
    const int position = row.first + (t * in1 + h) * in2 + w;
    return static_cast<int64_t>(position) * p.channels + group * g.width + tap.channel;
  }

 private:
  __device__ ConvProduct(const ConvGather& g, const ConvAxis& t, const ConvAxis& h,
                         const ConvAxis& w, int group)
      : g(g),
        t(t),
        h(h),
        w(w),
        group(group),
        rows(static_cast<int>(g.p.batch) * t.rows * h.rows * w.rows),
        depth(t.taps * h.taps * w.taps * g.width) {}
};

}  // namespace zoetrope::cuda
