#include <algorithm>
#include <array>
#include <cmath>
#include <thread>
#include <vector>

#include "graph/format/model_file.h"
#include "graph/philox.h"

namespace zoetrope {
namespace {

// Sum of four uniform bytes' worth of bits, scaled: an Irwin-Hall approximation of a normal that needs
// no transcendental function. Good enough for weights, and the same on every machine.
float irwin_hall(uint32_t word) {
  const int sum = static_cast<int>((word & 0xff) + (word >> 8 & 0xff) + (word >> 16 & 0xff) + (word >> 24));
  // Mean 4·127.5, variance 4·(256² − 1)/12.
  constexpr float kInverseDeviation = 1.0f / 147.80054127f;
  return (static_cast<float>(sum) - 510.0f) * kInverseDeviation;
}

void store(DType dtype, void* data, int64_t index, float value) {
  switch (dtype) {
    case DType::kF32: static_cast<float*>(data)[index] = value; return;
    case DType::kBF16: static_cast<uint16_t*>(data)[index] = f32_to_bf16(value); return;
    default: store_element(dtype, data, index, value);
  }
}

void generate_range(const SyntheticTensor& spec, const TensorType& type, void* data, int64_t begin,
                    int64_t end) {
  const auto a = static_cast<float>(spec.a), b = static_cast<float>(spec.b);
  if (spec.distribution == Distribution::kConstant) {
    for (int64_t i = begin; i < end; ++i) store(type.dtype, data, i, a);
    return;
  }
  // Element i uses word i % 4 of block i / 4; ranges begin at multiples of 4.
  for (int64_t i = begin; i < end;) {
    const PhiloxBlock block = philox_block(spec.seed, 0, static_cast<uint64_t>(i) / 4);
    for (int64_t k = 0; k < 4 && i < end; ++k, ++i) {
      const uint32_t word = block[static_cast<size_t>(k)];
      const float unit = spec.distribution == Distribution::kNormal
                             ? a + b * irwin_hall(word)
                             : a + (b - a) * (static_cast<float>(word >> 8) * 0x1p-24f);
      store(type.dtype, data, i, unit);
    }
  }
}

}  // namespace

void generate_synthetic(const SyntheticTensor& spec, const TensorType& type, void* data, int threads) {
  const int64_t n = type.shape.elements();
  constexpr int64_t kFewest = 1 << 18;  // elements worth a thread
  const int64_t parts = std::clamp<int64_t>(n / kFewest, 1, std::max(threads, 1));
  const int64_t share = (n / parts + 3) / 4 * 4 + 4;
  std::vector<std::thread> workers;
  for (int64_t begin = share; begin < n; begin += share)
    workers.emplace_back(generate_range, std::cref(spec), std::cref(type), data, begin,
                         std::min(n, begin + share));
  generate_range(spec, type, data, 0, std::min(n, share));
  for (std::thread& worker : workers) worker.join();
}

}  // namespace zoetrope
