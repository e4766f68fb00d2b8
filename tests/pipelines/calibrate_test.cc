// What is measured once is known to the next engine, and only for the same hardware; a damaged file
// is none.
#include "runtime/engine/calibrate.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <fstream>

#include "tests/pipelines/tiny_toybox.h"
#include "tests/support/temporary_folder.h"

using namespace zoetrope;
using namespace zoetrope::tiny;

namespace {

class CacheFolder {
 public:
  CacheFolder() {
    const char* before = std::getenv("XDG_CACHE_HOME");
    before_ = before ? before : "";
    setenv("XDG_CACHE_HOME", folder_.path().c_str(), 1);
  }
  ~CacheFolder() {
    before_.empty() ? unsetenv("XDG_CACHE_HOME") : setenv("XDG_CACHE_HOME", before_.c_str(), 1);
  }
  std::string only_file() const {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder_.path()))
      if (entry.is_regular_file()) return entry.path().string();
    return "";
  }

 private:
  TemporaryFolder folder_;
  std::string before_;
};

Request small_request() {
  Request request;
  request.prompt = "a red ball";
  request.clip = {16, 16, 4, 0};
  request.steps = 3;
  return request;
}

std::unique_ptr<Engine> open_engine(const Fixture& fixture) {
  EngineOptions options;
  options.placement.device = "cpu";
  auto engine = Engine::create(fixture.model, std::move(options));
  REQUIRE_MESSAGE(engine.ok(), engine.status().message());
  return std::move(*engine);
}

std::vector<CalibrationWork> all_work(const RequestPlan& plan) {
  std::vector<CalibrationWork> work;
  for (const Job& job : plan.jobs) work.push_back({job.plan, job.calls});
  return work;
}

}  // namespace

TEST_CASE("a calibration covers the plan, is kept, and is believed only where it belongs") {
  const CacheFolder cache;
  const Fixture fixture;
  auto engine = open_engine(fixture);
  auto device = engine->device("cpu");
  REQUIRE(device.ok());
  CHECK_FALSE((*device)->times()->measured());
  const auto rough = engine->plan(small_request());
  REQUIRE_MESSAGE(rough.ok(), rough.status().message());
  CHECK_FALSE(rough->calibrated());

  CalibrationOptions options;
  options.seconds = 20;
  double last = 0;
  options.progress = [&](double done, double) {
    CHECK(done >= last);
    last = done;
  };
  const auto report = calibrate(**device, all_work(*rough), options);
  REQUIRE_MESSAGE(report.ok(), report.status().message());
  CHECK(report->saved);
  CHECK(report->measured > 20);
  CHECK(report->share > 0.99);

  const auto exact = engine->plan(small_request());
  REQUIRE(exact.ok());
  CHECK(exact->calibrated());
  CHECK(exact->estimated_seconds() > 0);
  double tasks = 0;
  for (const ExpectedTask& task : expected_tasks(*exact)) tasks += task.seconds;
  CHECK(tasks == doctest::Approx(exact->estimated_seconds()));
  // Every distinct kernel's own time is in the plan.
  for (const Job& job : exact->jobs)
    for (const PlanCall& call : job.plan->calls) CHECK(call.seconds > 0);

  // Another engine knows; asked again it measures nothing.
  auto second = open_engine(fixture);
  const auto device2 = second->device("cpu");
  REQUIRE(device2.ok());
  CHECK((*device2)->times()->points().size() == report->points);
  const auto again = calibrate(**device2, all_work(*rough), options);
  REQUIRE(again.ok());
  CHECK(again->measured == 0);

  DeviceInfo other = (*device)->info();
  other.name += " of another driver";
  CHECK_FALSE(load_device_times(other).measured());
  const std::string path = cache.only_file();
  REQUIRE(path != "");
  for (const char* bytes : {"", "zoetrope cache 1\n0000000000000000\n{}", "x"}) {
    std::ofstream(path, std::ios::trunc) << bytes;
    CHECK_FALSE(load_device_times((*device)->info()).measured());
  }
}

TEST_CASE("a calibration stops when it is asked to, and where its time is over") {
  const CacheFolder cache;
  const Fixture fixture;
  auto engine = open_engine(fixture);
  auto device = engine->device("cpu");
  REQUIRE(device.ok());
  const auto plan = engine->plan(small_request());
  REQUIRE(plan.ok());
  std::stop_source stop;
  CalibrationOptions options;
  options.stop = stop.get_token();
  options.progress = [&](double, double) { stop.request_stop(); };
  CHECK(calibrate(**device, all_work(*plan), options).status().code() == Code::kCancelled);
  CHECK_FALSE((*device)->times()->measured());
  options = {};
  options.seconds = 0.2;
  const auto report = calibrate(**device, all_work(*plan), options);
  REQUIRE(report.ok());
  CHECK(report->seconds < 5);
}
