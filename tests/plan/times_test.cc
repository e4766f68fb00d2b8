// Times of devices: between measured points a law is followed, hostile files are refused, streaming
// overlaps.
#include <doctest/doctest.h>

#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>

#include "graph/builder.h"
#include "graph/passes/pipeline.h"
#include "runtime/backend/registry.h"
#include "runtime/engine/remaining.h"
#include "runtime/plan/estimate.h"
#include "runtime/plan/measure.h"
#include "runtime/plan/planner.h"
#include "runtime/plan/streaming.h"
#include "tests/plan/lacking_device.h"

using namespace zoetrope;

namespace {

// A device of 1e11 FLOP/s and 1e10 bytes/s that needs a microsecond for each call.
double law(const KernelPoint& p) { return 1e-6 + std::max(p.flops / 1e11, p.bytes / 1e10); }

KernelPoint point(const std::string& op, double flops, double bytes, double inner = 64) {
  KernelPoint p;
  p.op = op;
  p.kernel = op + "_f32";
  p.types = "f32 f32 -> f32";
  p.flops = flops;
  p.bytes = bytes;
  p.inner = p.outer = inner;
  p.signature = std::hash<double>()(flops + 3 * bytes + inner);
  p.seconds = law(p);
  return p;
}

DeviceInfo untold() { return {}; }

DeviceTimes by_the_law() {
  DeviceTimes times(untold());
  for (double n = 1e4; n <= 1e10; n *= 10) {
    times.add(point("matmul", n * 40, n));
    times.add(point("matmul", n, n));
    times.add(point("add", n / 4, n));
  }
  return times;
}

// Products one after the other: weights of equal size, which pass through slots evenly.
Graph chain(int64_t width, int count, DType storage = DType::kF32) {
  Builder b("chain");
  ValueId x = b.input("x", DType::kF32, {4, width});
  for (int i = 0; i < count; ++i)
    x = b.matmul(x, b.weight("w" + std::to_string(i), {width, width}));
  b.output("y", x);
  auto graph = b.finish();
  REQUIRE(graph.ok());
  auto bound = bind(*graph, {});
  REQUIRE(bound.ok());
  PassOptions options;
  options.storage = [=](std::string_view) -> Result<DType> { return storage; };
  auto optimised = run_passes(*bound, options);
  REQUIRE(optimised.ok());
  return std::move(*optimised);
}

}  // namespace

TEST_CASE("a device of which nothing is known has no times") {
  CHECK(DeviceTimes(untold()).seconds(point("matmul", 1e9, 1e6)) == 0);
  CHECK(std::isinf(DeviceTimes(untold()).distance(point("matmul", 1, 1))));
}

TEST_CASE("without points a device's own rates count") {
  DeviceInfo info;
  info.flops_f32 = 1e10;
  info.flops_bf16 = 1e11;
  info.bytes_per_second = 1e9;
  const DeviceTimes times(info);
  CHECK(times.seconds(point("matmul", 1e10, 1e3)) == doctest::Approx(1));
  CHECK(times.seconds(point("add", 1e3, 1e9)) == doctest::Approx(1));
  KernelPoint narrow = point("matmul", 1e11, 1e3);
  narrow.types = "f32 bf16 -> bf16";
  CHECK(times.seconds(narrow) == doctest::Approx(1));
  CHECK_FALSE(times.measured());
}

TEST_CASE("between points the law of the points is followed") {
  const DeviceTimes times = by_the_law();
  for (double n = 3e4; n < 1e10; n *= 4.7) {
    for (const KernelPoint& asked :
         {point("matmul", n * 30, n), point("matmul", n * 2, n), point("add", n / 4, n)})
      CHECK(times.seconds(asked) == doctest::Approx(law(asked)).epsilon(0.15));
  }
  // A measured point is itself, and an op that was never seen is like what has its work and
  // traffic.
  CHECK(times.seconds(point("matmul", 4e7, 1e6)) == law(point("matmul", 4e7, 1e6)));
  CHECK(times.seconds(point("conv", 4e9, 1e8)) ==
        doctest::Approx(law(point("conv", 4e9, 1e8))).epsilon(0.2));
  CHECK(times.distance(point("matmul", 4e7, 1e6)) == 0);
}

TEST_CASE("a kernel that is slow at a size is slow near that size alone") {
  DeviceTimes times = by_the_law();
  KernelPoint slow = point("add", 1e6 / 4, 1e6);
  slow.seconds *= 5;
  times.add(slow);  // in place of the other
  const KernelPoint near = point("add", 1.1e6 / 4, 1.1e6), far = point("add", 1e9 / 4, 1e9);
  CHECK(times.seconds(near) > 3 * law(near));
  CHECK(times.seconds(far) == doctest::Approx(law(far)));
}

TEST_CASE("times come back from JSON as they were") {
  DeviceTimes times = by_the_law();
  times.set_rates({.start_seconds = 0.04,
                   .run_seconds = 1e-5,
                   .upload_seconds = 2e-6,
                   .download_seconds = 3e-6,
                   .stream = 3e9,
                   .pin = 2e9,
                   .make = 5e9});
  times.add_code("gemm", true, 0.5);
  times.add_code("gemm", false, 0.125);
  DeviceTimes read(untold());
  REQUIRE(read.parse(times.to_json()).ok());
  CHECK(read.points().size() == times.points().size());
  CHECK(read.rates().stream == 3e9);
  CHECK(read.rates().start_seconds == 0.04);
  CHECK(read.rates().pin == 2e9);
  CHECK(read.rates().run_seconds == 1e-5);
  CHECK(read.rates().make == 5e9);
  CHECK(read.rates().upload_seconds == 2e-6);
  CHECK(read.rates().download_seconds == 3e-6);
  CHECK(read.code_seconds("gemm", 3) == 0.75);
  const KernelPoint asked = point("matmul", 3e7, 4e5);
  CHECK(read.seconds(asked) == times.seconds(asked));
}

TEST_CASE("code is loaded once a process: the first kernel of a name pays, others share") {
  DeviceTimes times(untold());
  CHECK(times.code_seconds("gemm", 4) == 0);
  times.add_code("gemm", true, 0.5);
  times.add_code("gemm", false, 0.1);
  times.add_code("gemm", false, 0.3);
  times.add_code("rows", true, 0.1);
  times.add_code("conv", true, 0.2);
  CHECK(times.code_seconds("gemm", 0) == 0);
  CHECK(times.code_seconds("gemm", 1) == doctest::Approx(0.5));
  CHECK(times.code_seconds("gemm", 4) == doctest::Approx(0.5 + 3 * 0.2));
  CHECK(times.code_seconds("rows", 2) == doctest::Approx(0.1 + 0.2));        // others as usual
  CHECK(times.code_seconds("unheard of", 2) == doctest::Approx(0.2 + 0.2));  // medians
  times.add_code("gemm", true, 0.7);                                         // by another process
  CHECK(times.code_seconds("gemm", 1) == doctest::Approx(0.7));
}

TEST_CASE("hostile times are refused, and change nothing") {
  const std::string good = by_the_law().to_json();
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    const size_t at = text.find(from);
    REQUIRE(at != std::string::npos);
    return text.replace(at, from.size(), to);
  };
  DeviceTimes times = by_the_law();
  const double before = times.seconds(point("matmul", 3e7, 4e5));
  for (const std::string& bad :
       {std::string(), std::string("[]"), std::string("{"), good.substr(0, good.size() / 2),
        with("\"format\": 5", "\"format\": 4"), with("\"upload_seconds\"", "\"others\""),
        with("\"upload\": 0", "\"upload\": -1"), with("\"upload\": 0", "\"upload\": 1e999"),
        with("\"pin\": 0", "\"pin\": -1"), with("\"pack\": 0", "\"pack\": \"x\""),
        with("\"points\"", "\"others\""), with("\"op\": \"add\"", "\"op\": 7"),
        with("\"flops\"", "\"flips\""), with("\"seconds\": ", "\"seconds\": -"),
        with("\"signature\": ", "\"signature\": -"), std::string(100000, '[')}) {
    CHECK_FALSE(times.parse(bad).ok());
    CHECK(times.seconds(point("matmul", 3e7, 4e5)) == before);
  }
}

TEST_CASE("streamed steps take the longer of arithmetic and bus, and a resident one neither") {
  auto opened = open_device("reference", {});
  REQUIRE(opened.ok());
  Lacking device(std::move(*opened), {});  // as a card: two slots, filled beside the arithmetic
  auto made = make_plan(chain(256, 32), device, {});
  REQUIRE(made.ok());
  Plan resident = *made, streamed = *made;
  stream_weights(&streamed, device, made->memory.total_bytes() / 4);
  REQUIRE(streamed.stream.slots > 0);
  const auto step = [&](Plan& plan, double stream) {
    DeviceTimes times(untold());
    const Node& node = plan.graph.nodes[static_cast<size_t>(plan.calls[0].node)];
    KernelPoint one = kernel_point(kernel_request(plan.graph, node), plan.calls[0].kernel.name,
                                   plan.calls[0].cost);
    one.seconds = 1e-3;  // each product
    times.add(one);
    DeviceRates rates;
    rates.stream = rates.pack = stream;
    times.set_rates(rates);
    estimate_seconds(times, nullptr, device.info(), &plan);
    return plan.seconds.step();
  };
  const double alone = step(resident, 1e12);
  CHECK(alone == doctest::Approx(32e-3));
  CHECK(step(streamed, 1e15) == doctest::Approx(alone).epsilon(0.001));
  const auto bytes = static_cast<double>(streamed.stream.step_bytes);
  REQUIRE(bytes > 0);
  // The bus takes ten times as long as the arithmetic: little of that is hidden, and nothing takes
  // longer than both.
  const double slow = step(streamed, bytes / (10 * alone));
  CHECK(slow >= 10 * alone * 0.999);
  CHECK(slow <= 11 * alone * 1.001);
}

TEST_CASE("weights that are streamed are copied into pinned memory once, at its rate") {
  auto opened = open_device("reference", {});
  REQUIRE(opened.ok());
  Lacking device(std::move(*opened), {});
  auto made = make_plan(chain(256, 32), device, {});
  REQUIRE(made.ok());
  stream_weights(&*made, device, made->memory.total_bytes() / 4);
  double streamed = 0;
  for (const PlanWeight& weight : made->weights)
    if (weight.streamed) streamed += static_cast<double>(weight.bytes);
  REQUIRE(streamed > 0);
  DeviceTimes times = by_the_law();
  times.set_rates({.stream = 1e15, .pin = 1e6});
  estimate_seconds(times, nullptr, device.info(), &*made);
  CHECK(made->seconds.load == doctest::Approx(streamed / 1e6));
}

TEST_CASE("calls that share no written memory run side by side on a device of its own") {
  // Four products of one input that do not wait for each other, and a sum of them in a row.
  const auto wide = [](int64_t width) {
    Builder b("wide");
    const ValueId x = b.input("x", DType::kF32, {4, width});
    ValueId sum = kNone;
    for (int i = 0; i < 4; ++i) {
      const ValueId y = b.matmul(x, b.weight("w" + std::to_string(i), {width, width}));
      b.output("y" + std::to_string(i), y);
      sum = y;
    }
    b.output("last", b.matmul(sum, b.weight("v", {width, width})));
    auto graph = b.finish();
    REQUIRE(graph.ok());
    auto bound = bind(*graph, {});
    REQUIRE(bound.ok());
    return *bound;
  };
  auto opened = open_device("reference", {});
  REQUIRE(opened.ok());
  Lacking device(std::move(*opened), {});
  auto made = make_plan(wide(64), device, {});
  REQUIRE(made.ok());
  REQUIRE(made->calls.size() == 5);
  DeviceInfo beside = device.info();
  beside.side_by_side = true;
  const PlanCall& product = made->calls[0];
  KernelPoint one = kernel_point(
      kernel_request(made->graph, made->graph.nodes[static_cast<size_t>(product.node)]),
      product.kernel.name, product.cost);
  const auto total = [&](double seconds, double best) {
    DeviceTimes times(untold());
    one.seconds = seconds;
    times.add(one);
    KernelPoint efficient = point("matmul", 1e9 * one.flops, 1e9 * one.bytes);
    efficient.seconds = 1e9 * best;  // so much of the device does one of them need
    times.add(efficient);
    double sum = 0;
    for (const double s : call_seconds(times, nullptr, beside, *made)) sum += s;
    return sum;
  };
  // Each waits for itself alone: four take as long as one, and the fifth follows.
  CHECK(total(1e-5, 1e-9) == doctest::Approx(2e-5).epsilon(0.01));
  // Each fills half of the device: four take as long as two.
  CHECK(total(1e-5, 0.5e-5) == doctest::Approx(3e-5).epsilon(0.01));
  // Each fills it.
  CHECK(total(1e-5, 1e-5) == doctest::Approx(5e-5).epsilon(0.01));
  // A processor runs them one after the other.
  DeviceTimes times(untold());
  times.add(one);
  double sum = 0;
  for (const double s : call_seconds(times, nullptr, device.info(), *made)) sum += s;
  CHECK(sum == doctest::Approx(5e-5));
}

TEST_CASE("a network's calls take what they took in it at other sizes") {
  DeviceTimes times(untold());
  CHECK(times.sequence_factor(1, 1e-5) == 1);
  times.add_sequence({1, 1e-5, 0.5});
  times.add_sequence({2, 1e-5, 2});
  times.add_sequence({2, 1e-3, 1});
  DeviceTimes read(untold());
  REQUIRE(read.parse(times.to_json()).ok());
  CHECK(read.sequence_factor(1, 1e-5) == doctest::Approx(0.5));
  CHECK(read.sequence_factor(1, 1e-3) == doctest::Approx(0.5));
  CHECK(read.sequence_factor(2, 1e-5) == doctest::Approx(2).epsilon(0.01));
  CHECK(read.sequence_factor(2, 1e-3) == doctest::Approx(1).epsilon(0.01));
  // One that was never measured is like the others of that length.
  CHECK(read.sequence_factor(3, 1e-3) == doctest::Approx(1).epsilon(0.05));

  // Its sizes do not matter, its ops and types do.
  auto device = open_device("reference", {});
  REQUIRE(device.ok());
  const auto network = [&](Graph graph) {
    auto plan = make_plan(graph, **device, {});
    REQUIRE(plan.ok());
    return network_of(*plan, Rate::kStep);
  };
  CHECK(network(chain(64, 3)) == network(chain(128, 3)));
  CHECK(network(chain(64, 3)) != network(chain(64, 4)));
  CHECK(network(chain(64, 3)) != network(chain(64, 3, DType::kF16)));
}

TEST_CASE("no more points are kept than are read again") {
  auto json = nlohmann::json::parse(by_the_law().to_json());
  auto& points = json["points"];
  const nlohmann::json one = points[0];
  points = nlohmann::json::array();
  for (uint64_t i = 0; i < 20000; ++i) {
    points.push_back(one);
    points.back()["signature"] = i;
  }
  DeviceTimes times(untold()), read(untold());
  REQUIRE(times.parse(json.dump()).ok());
  KernelPoint more = times.points().front();
  more.signature = 1 << 20;
  times.add(more);
  CHECK(times.points().size() == 20000);
  CHECK(read.parse(times.to_json()).ok());
  KernelPoint known = times.points().front();
  known.seconds = 7;
  times.add(known);  // one that is known is replaced all the same
  CHECK(times.seconds(known) == 7);
}

TEST_CASE("a kernel is measured on operands of its own") {
  auto device = open_device("cpu", {});
  REQUIRE(device.ok());
  auto plan = make_plan(chain(64, 1), **device, {});
  REQUIRE(plan.ok());
  const KernelRequest request =
      kernel_request(plan->graph, plan->graph.nodes[static_cast<size_t>(plan->calls[0].node)]);
  const int64_t before = (*device)->allocated_bytes();
  const auto measured = measure_kernel(**device, request, {.seconds = 0.02});
  REQUIRE_MESSAGE(measured.ok(), measured.status().message());
  CHECK(measured->seconds > 1e-8);
  CHECK(measured->seconds < 0.1);
  CHECK((*device)->allocated_bytes() == before);
  const auto large = measure_kernel(**device, request, {.seconds = 0.02, .memory_bytes = 1000});
  CHECK(large.status().code() == Code::kResourceExhausted);
  DeviceRates rates;
  REQUIRE(measure_copies(**device, 1 << 20, &rates).ok());
  CHECK(rates.upload > 1e6);
  CHECK(rates.download > 1e6);
  CHECK(rates.upload_seconds > 0);
  CHECK(rates.upload_seconds < 0.1);
  CHECK(rates.download_seconds > 0);
}

TEST_CASE("what a process' first product takes longer is measured") {
  // A device whose first sequence takes a tenth of a second.
  class Slow : public ForwardingDevice {
   public:
    using ForwardingDevice::ForwardingDevice;
    Status submit(Sequence& sequence, const Order& order) override {
      if (std::exchange(first_, false)) std::this_thread::sleep_for(std::chrono::milliseconds(100));
      return ForwardingDevice::submit(sequence, order);
    }

   private:
    bool first_ = true;
  };
  auto inner = open_device("cpu", {});
  REQUIRE(inner.ok());
  Slow device(std::move(*inner));
  const auto seconds = measure_start(device);
  REQUIRE(seconds.ok());
  CHECK(*seconds > 0.02);  // others may keep the second one waiting
  CHECK(*seconds < 2);
}

// Copies beside other work happen when somebody waits for their fence, and no sooner.
class LateCopies : public ForwardingDevice {
 public:
  explicit LateCopies(std::unique_ptr<Device> inner) : ForwardingDevice(std::move(inner)) {
    info_.host_memory = false;
  }
  Status upload_beside(BufferView, BufferView, const Order& order) override {
    REQUIRE(order.sets != nullptr);
    ++*pending_;
    return Status();
  }
  Result<std::unique_ptr<Fence>> create_fence() override {
    struct Late : Fence {
      std::shared_ptr<int> pending;
      Status wait() override {
        *pending = 0;
        return Status();
      }
    };
    auto fence = std::make_unique<Late>();
    fence->pending = pending_;
    return std::unique_ptr<Fence>(std::move(fence));
  }
  int pending() const { return *pending_; }

 private:
  std::shared_ptr<int> pending_ = std::make_shared<int>(0);
};

TEST_CASE("no measured copy is under way any more when its memory is freed") {
  auto inner = open_device("reference", {});
  REQUIRE(inner.ok());
  LateCopies device(std::move(*inner));
  DeviceRates rates;
  REQUIRE(measure_copies(device, 1 << 16, &rates).ok());
  CHECK(device.pending() == 0);
  CHECK(rates.stream > 0);
}

TEST_CASE("time left begins with the estimate and goes over to the pace") {
  RemainingTime left({{"load a", 2}, {"work", 6}, {"load b", 0}, {"decode", 2}});
  CHECK(left.left(0) == doctest::Approx(10));
  CHECK(left.left(1) == doctest::Approx(9));  // the clock runs while nothing is told
  left.update("load a", 0.5, 1);
  CHECK(left.left(1) == doctest::Approx(9));
  left.update("something else", 1, 1.5);
  CHECK(left.left(1) == doctest::Approx(9));
  // Everything takes twice as long as was thought: 5 of 10 are done after 10 seconds, and 10 are
  // left by the pace, 5 by the estimate.
  left.update("work", 0.5, 10);
  CHECK(left.left(10) > 8);
  CHECK(left.left(10) < 10);
  left.update("work", 0.25, 11);  // a task begun anew does not turn time back
  CHECK(left.left(10) > 8);
  left.update("decode", 1, 20);
  CHECK(left.left(20) == 0);
  CHECK(left.left(25) == 0);
  CHECK(RemainingTime({}).left(3) < 0);
  CHECK(RemainingTime({{"work", 0}}).left(3) < 0);
}
