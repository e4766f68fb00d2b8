// Clocks and power while something runs, where the machine tells: NVIDIA's management library for
// its GPUs (loaded at run time), sysfs for the host's processor.
#pragma once

#include <memory>
#include <string>

#include "runtime/backend/backend.h"

namespace zoetrope::bench {

struct Reading {
  double clock_mhz = 0, watts = 0;  // 0: not told
};

// Who can be asked about a device.
class Meter {
 public:
  virtual ~Meter() = default;
  virtual Reading read() = 0;
};

struct MeterOrReason {
  std::unique_ptr<Meter> meter;  // null: `text` says why nobody tells
  std::string text;              // "NVML, GPU 0"
};
// `folder` stands for /sys in tests.
MeterOrReason find_meter(const DeviceInfo& info, const std::string& sys = "/sys");

// Means over the time between start() and stop(), again and again; a thread of its own reads now
// and then. One owner.
class Telemetry {
 public:
  explicit Telemetry(std::unique_ptr<Meter> meter);
  ~Telemetry();
  void start();
  // Adds what was read to the sums; reads once more where nothing was.
  void stop(Reading* sum, Reading* count);

 private:
  struct State;
  std::unique_ptr<State> state_;  // null: nobody tells
};

}  // namespace zoetrope::bench
