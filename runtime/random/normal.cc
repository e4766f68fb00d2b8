#include "runtime/random/normal.h"

#include <array>
#include <cmath>

#include "graph/philox.h"
#include "runtime/random/portable_math.h"

// Built with -ffp-contract=off: a fused multiply-add would change the bits.

namespace zoetrope {
namespace {

// Two normals from two words: u in (0, 1] gives the radius, v in [0, 1) the angle.
void box_muller(uint32_t word0, uint32_t word1, float* out) {
  const double u = (word0 + 1.0) * 0x1p-32, v = word1 * 0x1p-32;
  const double radius = std::sqrt(-2.0 * portable_log(u));
  double sine, cosine;
  portable_sincos_turn(v, &sine, &cosine);
  out[0] = static_cast<float>(radius * cosine);
  out[1] = static_cast<float>(radius * sine);
}

}  // namespace

void fill_normal(uint64_t seed, uint64_t stream, uint64_t offset, std::span<float> out) {
  for (size_t i = 0; i < out.size();) {
    const uint64_t at = offset + i;
    const PhiloxBlock block = philox_block(seed, stream, at / 4);
    std::array<float, 4> four;
    box_muller(block[0], block[1], &four[0]);
    box_muller(block[2], block[3], &four[2]);
    for (uint64_t k = at % 4; k < 4 && i < out.size(); ++k) out[i++] = four[k];
  }
}

}  // namespace zoetrope
