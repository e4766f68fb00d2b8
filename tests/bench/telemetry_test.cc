#include "bench/telemetry.h"

#include <doctest/doctest.h>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

#include "tests/support/temporary_folder.h"

namespace zoetrope::bench {
namespace {

void write(const std::filesystem::path& path, const std::string& text) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path) << text;
}

DeviceInfo host() {
  DeviceInfo info;
  info.backend = "cpu";
  return info;
}

TEST_CASE("the host's clock is the mean of its processors, in MHz") {
  const TemporaryFolder folder;
  const std::filesystem::path sys = folder.path();
  write(sys / "devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "3000000\n");
  write(sys / "devices/system/cpu/cpu1/cpufreq/scaling_cur_freq", "2000000\n");
  MeterOrReason found = find_meter(host(), sys.string());
  REQUIRE(found.meter != nullptr);
  CHECK(found.meter->read().clock_mhz == 2500);
  CHECK(found.meter->read().watts == 0);
  CHECK(found.text.find("power not told") != std::string::npos);
}

TEST_CASE("power is the energy between two readings over the time between them") {
  const TemporaryFolder folder;
  const std::filesystem::path sys = folder.path();
  const auto energy = sys / "class/powercap/intel-rapl:0/energy_uj";
  write(energy, "1000000\n");
  Telemetry telemetry(find_meter(host(), sys.string()).meter);
  const auto begin = std::chrono::steady_clock::now();
  telemetry.start();
  write(energy, "3000000\n");  // 2 J more
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  Reading sum, count;
  telemetry.stop(&sum, &count);
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  REQUIRE(count.watts >= 1);
  CHECK(sum.watts >= 2 / seconds);
  CHECK(sum.watts <= 2 / 0.005 * count.watts);  // it slept as long, at least
  CHECK(count.clock_mhz == 0);
}

TEST_CASE("where nobody tells, it says so") {
  const TemporaryFolder folder;
  const MeterOrReason none = find_meter(host(), folder.path());
  CHECK(none.meter == nullptr);
  CHECK(none.text.starts_with("not told"));
  DeviceInfo gpu;
  gpu.backend = "cuda";
  gpu.name = "a device that no library knows";
  const MeterOrReason unknown = find_meter(gpu);
  CHECK(unknown.meter == nullptr);
  CHECK(unknown.text.starts_with("not told"));
  Telemetry silent(nullptr);
  Reading sum, count;
  silent.start();
  silent.stop(&sum, &count);
  CHECK(count.clock_mhz == 0);
}

}  // namespace
}  // namespace zoetrope::bench
