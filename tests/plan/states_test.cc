// What a causal decoder's states cost: their bytes once, and no more.
#include <doctest/doctest.h>

#include "graph/passes/pipeline.h"
#include "models/wan/vae.h"
#include "runtime/plan/planner.h"
#include "tests/devices.h"

using namespace zoetrope;

namespace {

// Of decoder states in bytes: two frames before each causal convolution, in bf16.
int64_t state_bytes() {
  const auto one = [](int64_t channels, int64_t height, int64_t width) {
    return 2 * height * width * channels * 2;
  };
  // conv_in, two blocks in the middle, then a level's three blocks (the third level's first reads
  // what the second's upsampler has halved), two convolutions in time, conv_out.
  return one(16, 60, 104) + 4 * one(384, 60, 104) + 7 * one(384, 60, 104) + one(192, 120, 208) +
         6 * one(384, 120, 208) + 6 * one(192, 240, 416) + 7 * one(96, 480, 832);
}

}  // namespace

TEST_CASE("Wan's decoder at 832x480 takes less than 3 GiB in bf16, and each state its bytes once") {
  auto graph = build_wan_vae_decoder(wan_vae_2_1(), ClipPart::kLater);
  REQUIRE_MESSAGE(graph.ok(), graph.status().message());
  const Bindings sizes{{"batch", 1}, {"frames", 1}, {"height", 60}, {"width", 104}};
  for (const char* backend : {"cpu", "vulkan", "cuda"}) {
    if (!has_device(backend)) continue;
    CAPTURE(backend);
    auto bound = zoetrope::bind(*graph, sizes);
    REQUIRE_MESSAGE(bound.ok(), bound.status().message());
    PassOptions options;
    options.compute = DType::kBF16;
    options.storage = [](std::string_view) -> Result<DType> { return DType::kBF16; };
    options.narrow_states = narrowable_states(*graph);
    auto optimised = run_passes(std::move(*bound), options);
    REQUIRE_MESSAGE(optimised.ok(), optimised.status().message());
    auto device = open_device(backend);
    REQUIRE_MESSAGE(device.ok(), device.status().message());
    auto plan = make_plan(std::move(*optimised), **device, sizes);
    REQUIRE_MESSAGE(plan.ok(), plan.status().message());
    int64_t states = 0;
    for (const PlanState& state : plan->states) {
      CHECK(state.state.offset == state.next.offset);
      states += state.state.bytes;
    }
    CHECK(plan->states.size() == 1 + 4 + 7 + 7 + 6 + 7);
    CHECK(states == state_bytes());
    CHECK(plan->memory.total_bytes() <= int64_t{3} << 30);
  }
}
