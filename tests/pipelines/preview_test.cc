// What a preview costs beside a step: a promise of docs/serve.md. ZOETROPE_PREVIEW_MODEL=FILE
// measures another model, at its smallest size.
#include <doctest/doctest.h>

#include <ctime>

#include "runtime/engine/preview.h"
#include "tests/pipelines/toybox_clip.h"

using namespace zoetrope;
using namespace zoetrope::toybox_clip;

namespace {

// Of all threads: what others do on the machine does not count.
double processor_seconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

}  // namespace

TEST_CASE("a preview costs less than a hundredth of a step") {
  const char* const other = std::getenv("ZOETROPE_PREVIEW_MODEL");
  EngineOptions options;
  options.placement.device = "cpu";
  options.devices.threads = 1;
  std::unique_ptr<Engine> engine;
  Request request;
  request.prompt = "a red ball bounces";
  request.steps = 6;
  if (other != nullptr) {
    auto opened = Engine::open(other, options);
    REQUIRE_MESSAGE(opened.ok(), opened.status().message());
    engine = std::move(*opened);
    const ClipSpec& clip = engine->model().recipe.clip;
    request.clip.width = clip.width.min;
    request.clip.height = clip.height.min;
    request.clip.frames = clip.frames.min;
    request.steps = 3;
    request.memory_budget = int64_t{3} << 30;
  } else {
    engine = open_toybox(options);
  }
  const auto preview = Preview::fit(*engine);
  REQUIRE_MESSAGE(preview.ok(), preview.status().message());
  const auto plan = engine->plan(request);
  REQUIRE_MESSAGE(plan.ok(), plan.status().message());
  std::vector<double> steps, previews;
  double before = 0;
  RunHooks hooks;
  hooks.denoised = [&](std::span<const float> latents, int step, int) {
    const double begun = processor_seconds();
    if (step > 1) steps.push_back(begun - before);
    const PreviewFrames frames = preview->draw(*plan, latents, 4);
    before = processor_seconds();
    previews.push_back(before - begun);
    CHECK(frames.count > 0);
  };
  NoSink sink;
  const auto stats = engine->run(request, sink, hooks);
  REQUIRE_MESSAGE(stats.ok(), stats.status().message());
  REQUIRE(steps.size() + 1 == static_cast<size_t>(request.steps));
  const double step = median(steps), cost = median(previews);
  MESSAGE(engine->model().name, ", ", plan->shape.width, "x", plan->shape.height, "x",
          plan->shape.frames, ": a step ", 1e3 * step, " ms of processor, a preview ", 1e3 * cost,
          " ms, ", 100 * cost / step, "%");
  CHECK(cost < 0.01 * step);
}
