// The normals of torch.randn on the CPU, for parity with reference pipelines: torch's Mersenne
// twister and its two ways of turning words into normals.
#pragma once

#include <cstdint>
#include <optional>
#include <random>
#include <span>

namespace zoetrope {

// As torch.Generator("cpu").manual_seed(seed), of which torch uses the low 32 bits. Each call
// stands for one torch.randn(n, dtype=torch.float32) of a contiguous tensor. The words are torch's
// exactly; torch's vectorised logarithm and cosine are approximate, so values agree to 2e-6, not in
// every bit. Ours are the same bits on every machine.
class TorchGenerator {
 public:
  explicit TorchGenerator(uint64_t seed) : engine_(static_cast<uint32_t>(seed)) {}

  void fill_normal(std::span<float> out);

 private:
  float uniform24();   // [0, 1), 24 bits of one word
  double uniform53();  // [0, 1), 53 bits of two words
  void fill_sixteen(float* out);

  std::mt19937 engine_;
  std::optional<double> spare_;  // torch keeps the second normal of a pair for the next short call
};

}  // namespace zoetrope
