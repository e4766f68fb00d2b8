#include "models/ltx2/rope.h"

#include <cmath>
#include <numbers>

namespace zoetrope::ltx2 {

layers::RopeTables rope_tables(Builder& b, const std::vector<ValueId>& positions, const Dim& tokens,
                               int64_t width, int64_t heads, double theta) {
  const auto axes = static_cast<int64_t>(positions.size());
  const int64_t count = width / (2 * axes);
  // In f64, as an error of the exponent in f32 would turn the fastest pairs by a hundredth.
  const double step = count > 1 ? std::log(theta) / static_cast<double>(count - 1) : 0;
  const ValueId frequencies = b.reshape(b.cast(b.mul(b.exp(b.iota(count, 0, step, DType::kF64)),
                                                     b.scalar(std::numbers::pi / 2, DType::kF64)),
                                               DType::kF32),
                                        {1, count});
  std::vector<ValueId> angles;
  for (const ValueId position : positions) {
    const ValueId centred = b.sub(b.mul(position, b.scalar(2)), b.scalar(1));
    angles.push_back(
        b.reshape(b.mul(b.reshape(centred, {tokens, 1}), frequencies), {tokens, count, 1}));
  }
  ValueId all = b.reshape(axes > 1 ? b.concat(angles, 2) : angles[0], {tokens, count * axes});
  if (const int64_t still = width / 2 - count * axes; still > 0)
    all = b.pad(all, {0, still}, {0, 0});
  const std::vector<Dim> shape{1, tokens, heads, width / heads / 2};
  return {b.reshape(b.cos(all), shape), b.reshape(b.sin(all), shape)};
}

}  // namespace zoetrope::ltx2
