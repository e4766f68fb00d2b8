#include "runtime/verify/sketch.h"

#include <algorithm>
#include <cmath>

#include "graph/elements.h"
#include "graph/format/hash.h"

namespace zoetrope {

Sketch make_sketch(const TensorType& type, const void* data, int64_t samples) {
  Sketch s;
  const auto* bytes = static_cast<const uint8_t*>(data);
  s.digest = digest_text(hash_bytes({bytes, static_cast<size_t>(type.bytes())}));
  s.elements = type.shape.elements();
  constexpr int64_t kPiece = 4096;
  std::vector<double> piece(static_cast<size_t>(std::min(kPiece, s.elements)));
  double squares = 0;
  for (int64_t at = 0; at < s.elements; at += kPiece) {
    const int64_t count = std::min(kPiece, s.elements - at);
    load_elements(type.dtype, bytes + at * dtype_size(type.dtype), count, piece.data());
    for (int64_t i = 0; i < count; ++i) {
      const double v = piece[static_cast<size_t>(i)];
      if (std::isfinite(v)) squares += v * v;
    }
  }
  s.rms = s.elements == 0 ? 0 : std::sqrt(squares / static_cast<double>(s.elements));
  const int64_t count = std::min(samples, s.elements);
  for (int64_t i = 0; i < count; ++i) {
    const int64_t at = count == 1 ? 0
                                  : static_cast<int64_t>(static_cast<double>(i) *
                                                         static_cast<double>(s.elements - 1) /
                                                         static_cast<double>(count - 1));
    s.samples.push_back(load_element(type.dtype, data, at));
  }
  return s;
}

double relative_difference(const Sketch& a, const Sketch& b) {
  if (a.digest == b.digest && a.elements == b.elements) return 0;
  if (a.elements != b.elements || a.samples.size() != b.samples.size()) return INFINITY;
  double off = 0, squares = 0;
  for (size_t i = 0; i < a.samples.size(); ++i) {
    off += (a.samples[i] - b.samples[i]) * (a.samples[i] - b.samples[i]);
    squares += b.samples[i] * b.samples[i];
  }
  if (!std::isfinite(off) || !std::isfinite(squares)) return INFINITY;
  if (off == 0) return 0;
  // Where the samples happen to be small, the whole tensor's size is the measure.
  const double size =
      std::max(squares, b.rms * b.rms * static_cast<double>(b.samples.size()) * 1e-3);
  return size > 0 ? std::sqrt(off / size) : INFINITY;
}

}  // namespace zoetrope
