// What a model's file must still come from its disk is in the estimate, and what is loaded already
// is not.
#include "runtime/engine/file_reading.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "runtime/engine/engine.h"
#include "tests/pipelines/tiny_toybox.h"
#include "tests/skip.h"

using namespace zoetrope;
using namespace zoetrope::tiny;

namespace {

constexpr int64_t kPlenty = int64_t{1} << 40;  // bytes of memory

double load_seconds(const RequestPlan& plan) {
  double seconds = 0;
  for (const ExpectedTask& task : expected_tasks(plan))
    if (task.name.starts_with("load ")) seconds += task.seconds;
  return seconds;
}

// A copy of the released model of which the disk alone has every page.
class ColdModel {
 public:
  ColdModel() : path_(std::string(ZOETROPE_BINARY_DIR) + str("/cold-", getpid(), ".zoe")) {
    std::filesystem::copy_file(std::string(ZOETROPE_BINARY_DIR) + "/share/zoetrope/toybox.zoe",
                               path_);
  }
  ~ColdModel() { std::filesystem::remove(path_); }
  void evict() const {
    const int fd = open(path_.c_str(), O_RDONLY | O_CLOEXEC);
    REQUIRE(fd >= 0);
    CHECK(fsync(fd) == 0);
    CHECK(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0);
    close(fd);
  }
  const std::string& path() const { return path_; }

 private:
  const std::string path_;
};

}  // namespace

TEST_CASE("bytes of a file that are not in memory are counted, and once read they are") {
  const ColdModel cold;
  cold.evict();
  auto file = MappedFile::open(cold.path());
  REQUIRE(file.ok());
  const auto size = static_cast<int64_t>(file->bytes().size());
  if (file->absent_bytes(0, size) == 0) return skip("this file system keeps its pages in memory");
  CHECK(file->absent_bytes(0, size) == size);
  CHECK(file->absent_bytes(size - 1, 100) == 1);
  CHECK(file->absent_bytes(size, 0) == 0);
  unsigned sum = 0;
  for (const uint8_t byte : file->bytes()) sum += byte;
  CHECK(sum > 0);
  CHECK(file->absent_bytes(0, size) == 0);
}

TEST_CASE("a plan counts what must be read, once, and not what is little") {
  const ColdModel cold;
  EngineOptions options;
  options.placement.device = "cpu";
  auto engine = Engine::open(cold.path(), std::move(options));
  REQUIRE_MESSAGE(engine.ok(), engine.status().message());
  Request request;
  request.prompt = "a red ball";
  request.steps = 2;
  auto planned = (*engine)->plan(request);
  REQUIRE_MESSAGE(planned.ok(), planned.status().message());
  RequestPlan& plan = *planned;
  CHECK(plan.disk_rate == 0);  // less than kLeastRead
  const ModelFile& file = *(*engine)->model().file;
  cold.evict();
  const auto absent = [&] {
    int64_t bytes = 0;
    for (const TensorEntry& tensor : file.tensors()) bytes += file.absent_bytes(tensor);
    return bytes;
  };
  const int64_t all = absent();
  if (all == 0) return skip("this file system keeps its pages in memory");

  count_reading(file, kPlenty, &plan);
  CHECK(plan.read_bytes() > all / 2);
  CHECK(plan.read_bytes() <= all);  // each tensor once; some this request does not need
  const double before = plan.estimated_seconds();
  plan.disk_rate = 1e8;
  CHECK(plan.estimated_seconds() ==
        doctest::Approx(before + static_cast<double>(plan.read_bytes()) / 1e8));
  CHECK(plan.reading_seconds() == doctest::Approx(plan.estimated_seconds() - before));
  plan.disk_rate = 0;

  RequestPlan untold = plan;
  plan_reading(file, all + 1, kPlenty, &untold);
  CHECK(untold.disk_rate == 0);
  plan_reading(file, 1 << 20, kPlenty, &plan);
  CHECK(plan.disk_rate > 0);
}

TEST_CASE("weights that the machine cannot keep are read by each call") {
  const ColdModel cold;
  EngineOptions options;
  options.placement.device = "cpu";
  auto engine = Engine::open(cold.path(), std::move(options));
  REQUIRE_MESSAGE(engine.ok(), engine.status().message());
  Request request;
  request.prompt = "a red ball";
  request.steps = 5;
  request.compute = DType::kF16;  // as the file has them: those that are not packed stay there
  auto planned = (*engine)->plan(request);
  REQUIRE_MESSAGE(planned.ok(), planned.status().message());
  const ModelFile& file = *(*engine)->model().file;
  const auto find = [](const RequestPlan& plan) -> const Job& {
    return *std::find_if(plan.jobs.begin(), plan.jobs.end(),
                         [](const Job& job) { return job.task == "denoise"; });
  };
  count_reading(file, kPlenty, &*planned);
  CHECK(find(*planned).reread_bytes == 0);
  // Also of a request whose sessions are there.
  for (Job& job : planned->jobs) job.kept = true;
  cold.evict();
  plan_reading(file, 1 << 20, find(*planned).bytes(), &*planned);
  const Job& denoise = find(*planned);
  CHECK(denoise.reread_bytes > 0);
  CHECK(planned->read_bytes() == 0);
  if (planned->disk_rate == 0) skip("this file system keeps its pages in memory");
  CHECK(denoise.reread_bytes < file.file_bytes());
  planned->disk_rate = 1e6;
  double told = 0;
  for (const ExpectedTask& task : expected_tasks(*planned))
    if (task.name == denoise.task) told += task.seconds;
  CHECK(told == doctest::Approx(denoise.seconds +
                                denoise.calls * static_cast<double>(denoise.reread_bytes) / 1e6));
  CHECK(planned->reading_seconds() >= told - denoise.seconds);
}

TEST_CASE("what a request before has loaded is not told to be loaded again") {
  Fixture fixture;
  const auto engine = fixture.engine("cpu", 0, "", /*keep=*/true);
  const auto device = engine->device("cpu");
  REQUIRE(device.ok());
  DeviceTimes times((*device)->info());
  DeviceRates rates;
  rates.record_seconds = 1e-3;
  times.set_rates(rates);
  (*device)->set_times(std::move(times));
  Request request;
  request.prompt = "a red ball";
  request.clip = {16, 16, 4, 0};
  request.steps = 2;
  const auto first = engine->plan(request);
  REQUIRE_MESSAGE(first.ok(), first.status().message());
  CHECK(load_seconds(*first) > 0);
  Collect sink;
  sink.frame_bytes = 16 * 16 * 3;
  REQUIRE(engine->run(request, sink).ok());
  const auto second = engine->plan(request);
  REQUIRE(second.ok());
  CHECK(load_seconds(*second) == 0);
  CHECK(load_seconds(*first) > 0);  // as it was planned
  request.clip = {32, 16, 4, 0};
  const auto other = engine->plan(request);
  REQUIRE(other.ok());
  CHECK(load_seconds(*other) > 0);
}
