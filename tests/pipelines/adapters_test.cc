// Requests with adapted weights, and requests within a budget: what is loaded, what is shared, and
// what the clips are.
#include <doctest/doctest.h>

#include <cmath>
#include <random>

#include "graph/elements.h"
#include "graph/low_rank.h"
#include "tests/pipelines/tiny_toybox.h"
#include "tests/pipelines/toybox_clip.h"

using namespace zoetrope;

namespace {

// Rank one, on every matrix of the denoiser's whose name ends so.
std::vector<LowRankUpdate> draw_updates(const Model& model, const std::string& ending,
                                        uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  std::vector<LowRankUpdate> updates;
  const Graph& graph = *model.component(model.recipe.denoise()->component);
  for (ValueId id : graph.weights()) {
    const Value& value = graph.value(id);
    if (!value.name.ends_with(ending) || value.dims.size() != 2) continue;
    LowRankUpdate u;
    u.tensor = value.name;
    u.rows = value.dims[0].constant();
    u.columns = value.dims[1].constant();
    u.rank = 1;
    for (int64_t i = 0; i < u.rows; ++i) u.up.push_back(0.1f * normal(random));
    for (int64_t i = 0; i < u.columns; ++i) u.down.push_back(normal(random));
    updates.push_back(std::move(u));
  }
  REQUIRE(updates.size() > 1);
  return updates;
}

std::shared_ptr<const WeightSource> adapt(const Model& model, uint64_t seed) {
  auto adapted = AdaptedWeights::create(*model.weights, draw_updates(model, "q.weight", seed),
                                        "test " + std::to_string(seed));
  REQUIRE_MESSAGE(adapted.ok(), adapted.status().message());
  return std::move(*adapted);
}

// The same sums in a model of their own, by the formula, with no adapter anywhere.
class Fused : public WeightSource {
 public:
  Fused(std::shared_ptr<const WeightSource> base, const std::vector<LowRankUpdate>& updates)
      : base_(std::move(base)), updates_(updates) {}
  Result<TensorType> type(std::string_view name) const override { return base_->type(name); }
  Result<WeightData> load(std::string_view name) const override {
    ZT_ASSIGN_OR_RETURN(WeightData data, base_->load(name));
    for (const LowRankUpdate& u : updates_) {
      if (u.tensor != name) continue;
      auto bytes = std::make_shared<std::vector<char>>(static_cast<size_t>(data.type.bytes()));
      for (int64_t i = 0; i < u.rows * u.columns; ++i) {
        const double sum = u.scale * (u.up[static_cast<size_t>(i / u.columns)] *
                                      u.down[static_cast<size_t>(i % u.columns)]);
        store_element(data.type.dtype, bytes->data(), i,
                      load_element(data.type.dtype, data.data, i) + sum);
      }
      return WeightData{data.type, bytes->data(), bytes};
    }
    return data;
  }

 private:
  const std::shared_ptr<const WeightSource> base_;
  const std::vector<LowRankUpdate>& updates_;
};

}  // namespace

TEST_CASE("adapters are exchanged between requests: only what they change is loaded again") {
  using namespace zoetrope::tiny;
  const Fixture fixture;
  const auto engine = fixture.engine("cpu", 0, "", /*keep=*/true);
  Request request = small_clip();
  const Collect plain = run(*engine, request);
  const int64_t sessions = engine->sessions_made(), held = engine->held_bytes();

  request.weights = adapt(fixture.model, 1);
  const Collect adapted = run(*engine, request);
  CHECK(adapted.video != plain.video);
  // One more session, of the denoiser, that shares every weight but the adapted ones.
  CHECK(engine->sessions_made() == sessions + 1);
  const auto plan = engine->plan(request);
  REQUIRE(plan.ok());
  const std::string& denoiser = fixture.model.recipe.denoise()->component;
  int64_t fresh = 0;
  for (const Job& job : plan->jobs) {
    if (job.component != denoiser) continue;
    fresh = job.plan->memory.arena_bytes;
    for (const PlanWeight& weight : job.plan->weights)
      if (job.plan->graph.value(weight.value).name.ends_with("q.weight")) fresh += weight.bytes;
  }
  constexpr int64_t kPages = 2 * 4096;  // that allocations are rounded up to
  CHECK(engine->held_bytes() - held <= fresh + kPages);

  // Another source with the same updates is the same session; the model's own is still there.
  request.weights = adapt(fixture.model, 1);
  CHECK(run(*engine, request).video == adapted.video);
  request.weights = nullptr;
  CHECK(run(*engine, request).video == plain.video);
  CHECK(engine->sessions_made() == sessions + 1);
  request.weights = adapt(fixture.model, 2);
  CHECK(run(*engine, request).video != adapted.video);
  CHECK(engine->sessions_made() == sessions + 2);

  const auto updates = draw_updates(fixture.model, "q.weight", 1);
  Fixture fused;
  fused.model.weights = std::make_shared<Fused>(fused.model.weights, updates);
  request.weights = nullptr;
  CHECK(run(*fused.engine("cpu"), request).video == adapted.video);
}

TEST_CASE("a clip within a budget is the clip without one, bit for bit, on every backend") {
  using namespace zoetrope::toybox_clip;
  int devices = 0;
  for (const std::string device : {"cpu", "vulkan", "cuda"}) {
    if (!open_device(device).ok()) continue;
    ++devices;
    CAPTURE(device);
    Request request;
    request.prompt = "a small red star bounces on a blue floor";
    request.clip = {.width = 64, .height = 64, .frames = 8};
    request.steps = 2;
    const auto engine = open_toybox(device);
    const Collect whole = make(*engine, request);
    const auto plan = engine->plan(request);
    REQUIRE(plan.ok());
    // The denoiser without a third of its weights: some must be streamed.
    const auto denoiser = std::find_if(plan->jobs.begin(), plan->jobs.end(), [&](const Job& job) {
      return job.component == engine->model().recipe.denoise()->component;
    });
    REQUIRE(denoiser != plan->jobs.end());
    const PlanMemory& memory = denoiser->plan->memory;
    const int64_t budget =
        memory.total_bytes() - (memory.packed_bytes + memory.raw_weight_bytes) / 3;
    request.memory_budget = budget;
    const auto small = engine->plan(request);
    REQUIRE_MESSAGE(small.ok(), small.status().message());
    CHECK(small->peak_bytes() <= budget);
    CHECK(std::any_of(small->jobs.begin(), small->jobs.end(),
                      [](const Job& job) { return job.plan->stream.slots > 0; }));
    const auto fresh = open_toybox(device);
    const Collect streamed = make(*fresh, request);
    CHECK(streamed.video == whole.video);
    CHECK(streamed.sound == whole.sound);
  }
  CHECK(devices > 0);
}
