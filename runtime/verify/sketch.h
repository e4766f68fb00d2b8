// A tensor in a few numbers: its digest, its size, and some of its elements, so that two devices'
// tensors can be compared when neither is kept.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "graph/shape.h"

namespace zoetrope {

struct Sketch {
  std::string digest;  // of the bytes: graph/format/hash.h
  int64_t elements = 0;
  double rms = 0;               // of all finite elements
  std::vector<double> samples;  // evenly spread, from the first element to the last
};

Sketch make_sketch(const TensorType& type, const void* data, int64_t samples);

// Root mean square of the difference by that of `b`, over the samples: an estimate, exact where all
// elements are samples. Infinite where one of them is not finite or they do not fit together; 0 for
// equal digests.
double relative_difference(const Sketch& a, const Sketch& b);

}  // namespace zoetrope
