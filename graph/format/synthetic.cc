#include <algorithm>
#include <array>
#include <cmath>
#include <system_error>
#include <vector>

#include "graph/format/model_file.h"
#include "graph/philox.h"
#include "graph/thread.h"

namespace zoetrope {
namespace {

// Sum of four uniform bytes' worth of bits, scaled: an Irwin-Hall approximation of a normal that
// needs no transcendental function. Good enough for weights, and the same on every machine.
float irwin_hall(int sum) {
  // Mean 4·127.5, variance 4·(256² − 1)/12.
  constexpr float kInverseDeviation = 1.0f / 147.80054127f;
  return (static_cast<float>(sum) - 510.0f) * kInverseDeviation;
}

// Every value of a normal tensor, by the sum of a word's bytes, already in the tensor's dtype:
// rounding to narrow floats costs more than all the rest.
constexpr int kSums = 4 * 255 + 1;

template <typename T>
std::array<T, kSums> normal_table(const SyntheticTensor& spec, DType dtype) {
  const auto mean = static_cast<float>(spec.a), deviation = static_cast<float>(spec.b);
  std::array<T, kSums> table;
  for (int sum = 0; sum < kSums; ++sum)
    store_element(dtype, table.data(), sum, mean + deviation * irwin_hall(sum));
  return table;
}

int byte_sum(uint32_t word) {
  return static_cast<int>((word & 0xff) + (word >> 8 & 0xff) + (word >> 16 & 0xff) + (word >> 24));
}

// Calls put(i, word) for begin <= i < end: element i uses word i % 4 of block i / 4.
template <typename Put>
void for_each_word(uint64_t seed, int64_t begin, int64_t end, const Put& put) {
  int64_t i = begin;  // a multiple of 4
  for (; i + 4 <= end; i += 4) {
    const PhiloxBlock block = philox_block(seed, 0, static_cast<uint64_t>(i) / 4);
    for (int64_t k = 0; k < 4; ++k) put(i + k, block[static_cast<size_t>(k)]);
  }
  if (i == end) return;
  const PhiloxBlock block = philox_block(seed, 0, static_cast<uint64_t>(i) / 4);
  for (int64_t k = 0; i + k < end; ++k) put(i + k, block[static_cast<size_t>(k)]);
}

template <typename T>
void generate_normal(const SyntheticTensor& spec, DType dtype, void* data, int64_t begin,
                     int64_t end) {
  const std::array<T, kSums> table = normal_table<T>(spec, dtype);
  for_each_word(spec.seed, begin, end, [&, to = static_cast<T*>(data)](int64_t i, uint32_t word) {
    to[i] = table[static_cast<size_t>(byte_sum(word))];
  });
}

void generate_range(const SyntheticTensor& spec, const TensorType& type, void* data, int64_t begin,
                    int64_t end) {
  const DType dtype = type.dtype;
  const auto a = static_cast<float>(spec.a), b = static_cast<float>(spec.b);
  switch (spec.distribution) {
    case Distribution::kConstant:
      for (int64_t i = begin; i < end; ++i) store_element(dtype, data, i, a);
      return;
    case Distribution::kUniform:
      return for_each_word(spec.seed, begin, end, [&](int64_t i, uint32_t word) {
        store_element(dtype, data, i, a + (b - a) * (static_cast<float>(word >> 8) * 0x1p-24f));
      });
    case Distribution::kNormal: break;
  }
  switch (dtype_size(dtype)) {
    case 1: return generate_normal<uint8_t>(spec, dtype, data, begin, end);
    case 2: return generate_normal<uint16_t>(spec, dtype, data, begin, end);
    case 4: return generate_normal<uint32_t>(spec, dtype, data, begin, end);
    default: return generate_normal<uint64_t>(spec, dtype, data, begin, end);
  }
}

}  // namespace

int synthetic_threads(const TensorType& type, int threads) {
  constexpr int64_t kFewest = 1 << 18;  // elements worth a thread
  return static_cast<int>(
      std::clamp<int64_t>(type.shape.elements() / kFewest, 1, std::max(threads, 1)));
}

void generate_synthetic(const SyntheticTensor& spec, const TensorType& type, void* data,
                        int threads) {
  const int64_t n = type.shape.elements();
  const int64_t parts = synthetic_threads(type, threads);
  const int64_t share = (n / parts + 3) / 4 * 4 + 4;
  std::vector<Thread> workers;
  workers.reserve(static_cast<size_t>(parts));
  for (int64_t begin = share; begin < n; begin += share) {
    const int64_t end = std::min(n, begin + share);
    try {
      workers.emplace_back([&, begin, end] { generate_range(spec, type, data, begin, end); });
    } catch (const std::system_error&) {  // no thread to be had: this one does it
      generate_range(spec, type, data, begin, end);
    }
  }
  generate_range(spec, type, data, 0, std::min(n, share));
  for (Thread& worker : workers) worker.join();
}

}  // namespace zoetrope
