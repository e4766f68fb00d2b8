// Measures how long a device takes for what plans run on it, and keeps that between runs of the
// program.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <stop_token>

#include "runtime/engine/devices.h"
#include "runtime/plan/device_times.h"

namespace zoetrope {

// The times that the user's cache folder has for this hardware, driver and version; without, what
// the device tells of itself. A damaged or foreign file counts as none.
DeviceTimes load_device_times(const DeviceInfo& info);
// False where the folder cannot be written.
bool save_device_times(const DeviceInfo& info, const DeviceTimes& times);

// A plan whose kernels are worth knowing, and how often its steps run.
struct CalibrationWork {
  std::shared_ptr<const Plan> plan;
  double steps = 1;
};

struct CalibrationOptions {
  double seconds = 60;  // stops after about so many
  bool fresh = false;   // forgets what was measured before
  std::function<void(double done, double total)> progress;
  std::stop_token stop;
};

struct CalibrationReport {
  size_t kernels = 0;   // distinct ones of all the work
  size_t measured = 0;  // of those now
  size_t points = 0;    // known now, with earlier ones
  double share = 0;     // of the work's estimated time, what was measured exactly
  double seconds = 0;   // that it took
  bool saved = false;
};

// Those kernels first of which most time depends and whose like is known least. The device takes
// the new times, and plans afresh. Errors are the device's; a kernel that cannot be measured alone
// is left out.
Result<CalibrationReport> calibrate(EngineDevice& device, std::span<const CalibrationWork> work,
                                    const CalibrationOptions& options);

}  // namespace zoetrope
