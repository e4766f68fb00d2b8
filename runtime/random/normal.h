// Noise: standard normals from Philox by Box and Muller's transform. The same bits on every machine
// and for any partition of the work: log, sine and cosine are our own, in exactly rounded double
// operations, and only the last step rounds to f32.
#pragma once

#include <cstdint>
#include <span>

namespace zoetrope {

// Elements [offset, offset + out.size()) of the infinite sequence (seed, stream).
void fill_normal(uint64_t seed, uint64_t stream, uint64_t offset, std::span<float> out);

}  // namespace zoetrope
