#include "bench/telemetry.h"

#include <dlfcn.h>

#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

namespace zoetrope::bench {
namespace {

namespace fs = std::filesystem;

// The few functions of nvml.h that are needed, as NVIDIA documents them.
class Nvml {
 public:
  using Handle = void*;

  static std::shared_ptr<Nvml> open() {
    auto nvml = std::shared_ptr<Nvml>(new Nvml);
    nvml->library_ = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    if (nvml->library_ == nullptr) return nullptr;
    if (!nvml->find("nvmlInit_v2", &nvml->init_) || !nvml->find("nvmlShutdown", &nvml->shutdown_) ||
        !nvml->find("nvmlDeviceGetCount_v2", &nvml->count_) ||
        !nvml->find("nvmlDeviceGetHandleByIndex_v2", &nvml->handle_) ||
        !nvml->find("nvmlDeviceGetName", &nvml->name_) ||
        !nvml->find("nvmlDeviceGetClockInfo", &nvml->clock_) ||
        !nvml->find("nvmlDeviceGetPowerUsage", &nvml->power_))
      return nullptr;
    if (nvml->init_() != 0) return nullptr;
    nvml->ready_ = true;
    return nvml;
  }
  ~Nvml() {
    if (ready_) shutdown_();  // the library stays: the CUDA driver may use it too
  }

  // The devices whose name is a part of `text`.
  std::vector<std::pair<unsigned, Handle>> find_devices(const std::string& text) const {
    std::vector<std::pair<unsigned, Handle>> found;
    unsigned devices = 0;
    if (count_(&devices) != 0) return found;
    for (unsigned i = 0; i < devices; ++i) {
      Handle handle = nullptr;
      char name[96] = {};
      if (handle_(i, &handle) != 0 || name_(handle, name, sizeof(name)) != 0 || name[0] == 0)
        continue;
      if (text.find(name) != std::string::npos) found.emplace_back(i, handle);
    }
    return found;
  }

  Reading read(Handle handle) const {
    constexpr int kSmClock = 1;  // NVML_CLOCK_SM
    unsigned mhz = 0, milliwatts = 0;
    Reading reading;
    if (clock_(handle, kSmClock, &mhz) == 0) reading.clock_mhz = mhz;
    if (power_(handle, &milliwatts) == 0) reading.watts = milliwatts * 1e-3;
    return reading;
  }

 private:
  Nvml() = default;
  template <typename Function>
  bool find(const char* name, Function* function) {
    *function = reinterpret_cast<Function>(dlsym(library_, name));
    return *function != nullptr;
  }

  void* library_ = nullptr;
  bool ready_ = false;
  int (*init_)() = nullptr;
  int (*shutdown_)() = nullptr;
  int (*count_)(unsigned*) = nullptr;
  int (*handle_)(unsigned, Handle*) = nullptr;
  int (*name_)(Handle, char*, unsigned) = nullptr;
  int (*clock_)(Handle, int, unsigned*) = nullptr;
  int (*power_)(Handle, unsigned*) = nullptr;
};

class NvmlMeter : public Meter {
 public:
  NvmlMeter(std::shared_ptr<Nvml> nvml, Nvml::Handle handle)
      : nvml_(std::move(nvml)), handle_(handle) {}
  Reading read() override { return nvml_->read(handle_); }

 private:
  std::shared_ptr<Nvml> nvml_;
  Nvml::Handle handle_;
};

std::optional<double> number_in(const fs::path& path) {
  std::ifstream file(path);
  double value = 0;
  return file >> value ? std::optional(value) : std::nullopt;
}

// Mean frequency of the processors, and the package's power between two readings.
class HostMeter : public Meter {
 public:
  explicit HostMeter(const fs::path& sys) {
    std::error_code ec;
    for (int i = 0; i < 4096; ++i) {
      const fs::path cpu = sys / "devices/system/cpu" / ("cpu" + std::to_string(i));
      if (!fs::exists(cpu, ec)) break;
      if (number_in(cpu / "cpufreq/scaling_cur_freq"))
        clocks_.push_back(cpu / "cpufreq/scaling_cur_freq");
    }
    for (int i = 0; i < 64; ++i) {
      const fs::path zone = sys / "class/powercap" / ("intel-rapl:" + std::to_string(i));
      if (!fs::exists(zone, ec)) break;
      if (number_in(zone / "energy_uj")) energies_.push_back(zone);
    }
    joules_ = energy();
    at_ = std::chrono::steady_clock::now();
  }
  bool tells_clock() const { return !clocks_.empty(); }
  bool tells_power() const { return !energies_.empty(); }

  Reading read() override {
    Reading reading;
    int told = 0;
    for (const fs::path& path : clocks_)
      if (const auto khz = number_in(path)) reading.clock_mhz += *khz * 1e-3, ++told;
    if (told > 0) reading.clock_mhz /= told;
    const auto now = std::chrono::steady_clock::now();
    const double seconds = std::chrono::duration<double>(now - at_).count();
    const double joules = energy();
    // The counter wraps around; that reading says nothing.
    if (tells_power() && seconds > 1e-3 && joules >= joules_)
      reading.watts = (joules - joules_) / seconds;
    joules_ = joules, at_ = now;
    return reading;
  }

 private:
  double energy() const {
    double sum = 0;
    for (const fs::path& zone : energies_) sum += number_in(zone / "energy_uj").value_or(0) * 1e-6;
    return sum;
  }

  std::vector<fs::path> clocks_, energies_;
  double joules_ = 0;
  std::chrono::steady_clock::time_point at_;
};

}  // namespace

MeterOrReason find_meter(const DeviceInfo& info, const std::string& sys) {
  if (info.software || info.backend == "cpu" || info.backend == "reference") {
    auto host = std::make_unique<HostMeter>(sys);
    const bool clock = host->tells_clock(), power = host->tells_power();
    if (!clock && !power) return {nullptr, "not told: no cpufreq or RAPL in sysfs"};
    return {std::move(host), clock && power ? "clock and package power from sysfs"
                             : clock        ? "clock from sysfs; power not told"
                                            : "package power from sysfs; clock not told"};
  }
  const auto nvml = Nvml::open();
  if (nvml == nullptr) return {nullptr, "not told: no NVML here"};
  const auto found = nvml->find_devices(info.name);
  if (found.empty()) return {nullptr, "not told: NVML knows no such device"};
  // Libraries number devices each in an order of its own.
  if (found.size() > 1) return {nullptr, "not told: several devices have this name"};
  return {std::make_unique<NvmlMeter>(nvml, found[0].second),
          str("SM clock and board power from NVML, GPU ", found[0].first)};
}

struct Telemetry::State {
  std::unique_ptr<Meter> meter;
  std::mutex mutex;
  std::condition_variable changed;
  bool active = false, quit = false;
  Reading sum, count;
  std::thread thread;

  void take() {
    const Reading r = meter->read();
    if (r.clock_mhz > 0) sum.clock_mhz += r.clock_mhz, ++count.clock_mhz;
    if (r.watts > 0) sum.watts += r.watts, ++count.watts;
  }
  void watch() {
    constexpr auto kEvery = std::chrono::milliseconds(25);
    std::unique_lock lock(mutex);
    while (!quit) {
      if (!active) {
        changed.wait(lock);
      } else if (!changed.wait_for(lock, kEvery, [&] { return quit || !active; })) {
        take();
      }
    }
  }
};

Telemetry::Telemetry(std::unique_ptr<Meter> meter) {
  if (meter == nullptr) return;
  state_ = std::make_unique<State>();
  state_->meter = std::move(meter);
  state_->thread = std::thread([s = state_.get()] { s->watch(); });
}

Telemetry::~Telemetry() {
  if (state_ == nullptr) return;
  {
    const std::lock_guard lock(state_->mutex);
    state_->quit = true;
  }
  state_->changed.notify_all();
  state_->thread.join();
}

void Telemetry::start() {
  if (state_ == nullptr) return;
  const std::lock_guard lock(state_->mutex);
  state_->sum = state_->count = {};
  (void)state_->meter->read();  // energy counts from here
  state_->active = true;
  state_->changed.notify_all();
}

void Telemetry::stop(Reading* sum, Reading* count) {
  if (state_ == nullptr) return;
  const std::lock_guard lock(state_->mutex);
  state_->active = false;
  if (state_->count.clock_mhz == 0 && state_->count.watts == 0) state_->take();
  sum->clock_mhz += state_->sum.clock_mhz, sum->watts += state_->sum.watts;
  count->clock_mhz += state_->count.clock_mhz, count->watts += state_->count.watts;
}

}  // namespace zoetrope::bench
