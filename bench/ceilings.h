// What a device reaches at best: a plain copy, and a large product in each dtype. Measured beside
// the cases, so that a fraction is of what the machine could do in the same minutes.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "bench/op_timer.h"

namespace zoetrope::bench {

class Ceilings {
 public:
  // `quick`: smaller ones. `device` owns this.
  Ceilings(BenchDevice* device, bool quick) : device_(device), quick_(quick) {}

  // Bytes read and written a second, by the better of two ways: the device's own copying (on the
  // host, as many threads as the device has), and a kernel that streams as much: some drivers leave
  // copies to engines slower than memory.
  Result<double> sample_copy();
  // FLOP a second; of a dtype without products, kUnsupported.
  Result<double> sample_matmul(DType dtype);

  // The rates over all samples so far.
  std::vector<Ceiling> summary() const;
  // The median so far; 0 before the first sample.
  double copy_rate() const;
  double matmul_rate(DType dtype) const;

 private:
  struct Product {
    Status status;
    std::unique_ptr<OpTimer> timer;
    std::vector<double> rates;
  };
  Status prepare_copy();
  Status prepare_product(DType dtype, Product* product);

  BenchDevice* const device_;
  const bool quick_;
  std::unique_ptr<Buffer> from_, to_;
  int64_t copy_bytes_ = 0;
  std::unique_ptr<OpTimer> stream_;  // null: the device has no such kernel
  std::vector<double> copy_rates_;
  std::map<DType, Product> products_;
};

}  // namespace zoetrope::bench
