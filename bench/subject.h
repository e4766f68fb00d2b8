// Something that can be timed: an op, a network's step, a pipeline; ours or a peer's.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "bench/result.h"
#include "bench/telemetry.h"
#include "runtime/backend/registry.h"

namespace zoetrope::bench {

class Ceilings;

// A device that takes part, opened once.
struct BenchDevice {
  std::string id, spec;  // "cuda", and what open_device() takes
  std::unique_ptr<Device> device;
  std::unique_ptr<Telemetry> telemetry;
  std::unique_ptr<Ceilings> ceilings;
  std::string telemetry_text;
  int threads = 0;  // of the host's; 0 elsewhere

  BenchDevice();
  ~BenchDevice();
  // Timed from outside, call by call: the host's own processor, or software upon it.
  bool on_host() const;
};

class Subject {
 public:
  virtual ~Subject() = default;

  Row row;  // who and what; the runner adds times
  BenchDevice* device = nullptr;

  // Bytes that it takes on its device, and the least seconds of a call at `flops` and `bytes` a
  // second; asked before anything is allocated.
  virtual Result<int64_t> bytes() = 0;
  virtual double estimate(double flops_per_second, double bytes_per_second) const {
    return std::max(flops_per_second > 0 ? row.flops / flops_per_second : 0,
                    bytes_per_second > 0 ? row.bytes / bytes_per_second : 0);
  }
  // Ready to run, everything loaded. kUnsupported: the device cannot; the row says so.
  virtual Status prepare() = 0;
  // Seconds of one call. The first sample after prepare() is a warm-up.
  virtual Result<double> sample() = 0;
  // After the last sample: what else is known, and rows of parts.
  virtual Status finish(std::vector<Row>* more) {
    (void)more;
    return Status();
  }
  virtual void release() = 0;
};

// What is timed interleaved: the same work by several devices, dtypes and programs.
struct Group {
  std::string name;
  int index = 0;
  std::vector<std::unique_ptr<Subject>> subjects;
};

double now_seconds();

}  // namespace zoetrope::bench
