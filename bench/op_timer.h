// Times one op of a device: makes the node, packs random weights, and submits it again and again.
// On the host a sample is a sequence of calls by the wall clock, on operands that stay where caches
// hold them. On a device it is the median of many calls by the device's own clock, on operands that
// take turns so that no cache holds them, right after the same load has brought the clocks up.
#pragma once

#include <memory>
#include <vector>

#include "bench/op_case.h"
#include "bench/subject.h"

namespace zoetrope::bench {

class OpTimer {
 public:
  // kUnsupported where the device has no kernel for it. Allocates nothing yet.
  static Result<std::unique_ptr<OpTimer>> create(Device& device, bool on_host, const OpCase& c);

  // On the device, once prepared.
  int64_t bytes() const;
  Status prepare();
  Result<double> sample();

  const KernelInfo& info() const { return info_; }
  Cost cost() const { return case_->cost(); }
  int64_t calls() const { return static_cast<int64_t>(calls_); }

 private:
  // Operands of one call.
  struct Set {
    std::vector<std::unique_ptr<Buffer>> buffers;
    std::vector<BufferView> inputs, outputs;
    BufferView workspace;
  };
  OpTimer(Device& device, bool on_host, std::unique_ptr<BoundCase> c)
      : device_(device), on_host_(on_host), case_(std::move(c)) {}
  int64_t set_bytes() const;
  Status add_set();
  Status record(size_t calls);
  Status run();

  Device& device_;
  const bool on_host_;
  std::unique_ptr<BoundCase> case_;
  KernelInfo info_;
  std::vector<std::unique_ptr<Set>> sets_;
  std::unique_ptr<Kernel> kernel_;
  std::unique_ptr<Sequence> sequence_;
  std::vector<double> seconds_;  // of a device: by call, where the sequence adds
  size_t calls_ = 0;             // of the sequence
};

class OpSubject : public Subject {
 public:
  OpSubject(BenchDevice* device, const OpCase& c);
  Result<int64_t> bytes() override;
  Status prepare() override;
  Result<double> sample() override;
  void release() override { timer_.reset(); }

 private:
  Status create();
  const OpCase case_;
  std::unique_ptr<OpTimer> timer_;
};

// A row about an op, without times.
Row op_row(const OpCase& c, const std::string& program, const std::string& device);

}  // namespace zoetrope::bench
