// Networks that take turns in denoising: which evaluates when, with what guidance, in which memory.
#include <doctest/doctest.h>

#include <algorithm>

#include "tests/pipelines/resumed.h"
#include "tests/pipelines/tiny_toybox.h"

using namespace zoetrope;
using namespace zoetrope::tiny;

namespace {

// The tiny Toybox whose own network hands over to its twin below `below`; 8 Euler steps.
struct Twins : Fixture {
  explicit Twins(double below, std::optional<double> guidance = {}) {
    Denoise& denoise = stage<Denoise>();
    Graph twin = *model.component(denoise.component);
    twin.name = "low";
    model.components.emplace("low", std::move(twin));
    denoise.experts = {{"low", below, guidance}};
  }
};

Request eight_steps() {
  Request request = small_clip();
  request.steps = 8;
  request.shift = 1;  // told 1, 0.875, 0.75, …, 0.125
  return request;
}

RequestPlan plan_of(Engine& engine, const Request& request) {
  auto plan = engine.plan(request);
  REQUIRE_MESSAGE(plan.ok(), plan.status().message());
  return std::move(*plan);
}

}  // namespace

TEST_CASE("an expert evaluates from the first time below its boundary on") {
  const struct {
    double below;
    int first, second;
  } cases[] = {{0.625, 4, 4}, {0.626, 3, 5}, {1, 1, 7}, {0.125, 8, 0}};
  for (const auto& c : cases) {
    CAPTURE(c.below);
    const Twins twins(c.below);
    const auto engine = twins.engine("cpu");
    const RequestPlan plan = plan_of(*engine, eight_steps());
    CHECK(plan.networks[0].evaluations == c.first);
    CHECK(plan.networks[1].evaluations == c.second);
    double calls = 0;
    for (const Job& job : plan.jobs)
      if (job.component == "low") calls += job.calls;
    CHECK(calls == c.second);

    Collect sink;
    sink.frame_bytes = 24 * 16 * 3;
    double done = 0, loaded = -1;
    RunHooks hooks;
    hooks.progress = [&](std::string_view task, double at, double) {
      if (task == "denoise") done = at;
      if (task == "load low" && loaded < 0) loaded = done;
      return true;
    };
    REQUIRE(engine->run(eight_steps(), sink, hooks).ok());
    CHECK(loaded == (c.second > 0 ? c.first : -1));
  }
}

TEST_CASE("twins make what one network makes, whatever the solver") {
  const Fixture alone;
  const Twins twins(0.6);
  const auto one = alone.engine("cpu"), two = twins.engine("cpu");
  for (const char* solver : {"euler", "heun", "unipc", "dpmpp_2m", "dmd"})
    for (const auto mode : {GuidanceMode::kBatched, GuidanceMode::kSequential}) {
      CAPTURE(solver);
      Request request = eight_steps();
      request.solver = solver;
      request.guidance_mode = mode;
      const Collect expected = run(*one, request), got = run(*two, request);
      CHECK(got.video == expected.video);
      CHECK(got.sound == expected.sound);
    }
}

TEST_CASE("each network has its own guidance, and none costs half the rows") {
  const Twins twins(0.6, 1.0);
  const auto engine = twins.engine("cpu");
  Request request = eight_steps();
  const RequestPlan plan = plan_of(*engine, request);
  CHECK(plan.networks[0].rows_a_call == 2);
  CHECK(plan.networks[1].rows_a_call == 1);
  const Collect own = run(*engine, request);
  // --guidance speaks for all, and --expert-guidance for the expert.
  request.guidance = plan.networks[0].guidance;
  const Collect all = run(*engine, request);
  CHECK(own.video != all.video);
  request.expert_guidance = {1};
  CHECK(run(*engine, request).video == own.video);
  // Without any expert, what only the first network had been guided by is all there is.
  const Twins never(0.01);
  const auto other = never.engine("cpu");
  request.expert_guidance = {1};
  const Collect guided = run(*other, request);
  request.expert_guidance.clear();
  CHECK(run(*other, request).video == guided.video);
  request.expert_guidance = {2, 3};
  CHECK(other->plan(request).status().message().find("this model has 1") != std::string::npos);
}

TEST_CASE("one network's memory is enough for both, one after the other") {
  const Twins twins(0.6);
  EngineOptions options;
  options.devices.threads = 4;  // whose memory is no number of whole pages
  options.placement.device = "cpu";
  options.keep_sessions = true;
  const auto engine = twins.make_engine(std::move(options));
  Request request = eight_steps();
  const RequestPlan plan = plan_of(*engine, request);
  const int64_t largest = plan.largest().bytes();
  request.memory_budget = largest + largest / 50;
  REQUIRE(request.memory_budget < plan.peak_bytes());
  RunStats stats;
  run(*engine, request, &stats);
  CHECK(stats.peak_bytes <= request.memory_budget);
  // All that stays would be more: the budget is what will be held at most.
  CHECK(stats.planned_peak_bytes == request.memory_budget);
}

TEST_CASE("a run is cancelled where the expert takes over") {
  const Twins twins(0.6);
  const auto engine = twins.engine("cpu");
  Collect sink;
  sink.frame_bytes = 24 * 16 * 3;
  RunHooks hooks;
  hooks.progress = [](std::string_view task, double, double) { return task != "load low"; };
  CHECK(engine->run(eight_steps(), sink, hooks).status().code() == Code::kCancelled);
  CHECK(engine->run(eight_steps(), sink).ok());
}

TEST_CASE("a run of two experts goes on from any step, before and after one hands over") {
  // With one guidance for each, and with an expert that is not guided: then what is left of the run
  // takes fewer rows than what came before.
  for (const std::optional<double> guidance : {std::optional<double>(), std::optional<double>(1)}) {
    const Twins twins(0.6, guidance);
    Request request = eight_steps();
    request.solver = "unipc";
    resumed::check_resumes([&] { return twins.engine("cpu"); }, request, 8);
  }
}

TEST_CASE("an expert that the file lacks is named at opening") {
  Twins twins(0.6);
  twins.model.components.erase("low");
  EngineOptions options;
  options.placement.device = "cpu";
  const auto engine = Engine::create(twins.model, std::move(options));
  REQUIRE_FALSE(engine.ok());
  CHECK(engine.status().message().find("'low'") != std::string::npos);
}
