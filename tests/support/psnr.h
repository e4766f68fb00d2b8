// Peak signal to noise ratio.
#pragma once

#include <cmath>
#include <cstddef>

#include "graph/status.h"

namespace zoetrope {

// In decibels, over all values of two lists of one length; 200 where all are equal.
template <typename A, typename B>
double psnr(const A& a, const B& b, double peak) {
  ZT_CHECK(a.size() == b.size() && a.size() > 0);
  double squares = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double off = static_cast<double>(a[i]) - static_cast<double>(b[i]);
    squares += off * off;
  }
  const double mean = squares / static_cast<double>(a.size());
  return mean == 0 ? 200 : 10 * std::log10(peak * peak / mean);
}

}  // namespace zoetrope
