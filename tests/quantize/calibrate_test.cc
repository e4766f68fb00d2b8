// Which runs of a model are looked at while it makes clips.
#include "runtime/quantize/calibrate.h"

#include <doctest/doctest.h>

#include <optional>

using namespace zoetrope;

TEST_CASE("runs are counted by what they compute, whatever plan they are of") {
  GatherMoments moments({});
  std::optional<Plan> plan;  // one place in memory for all
  const auto looked_at = [&](const char* component, int runs) {
    int looked = 0;
    for (int i = 0; i < runs; ++i) {
      plan.emplace();
      plan->component = component;
      looked += moments.begin_run(*plan) ? 1 : 0;
    }
    return looked;
  };
  // The first eight, then every fourth.
  CHECK(looked_at("denoiser", 24) == 8 + 4);
  CHECK(looked_at("text", 8) == 8);
  CHECK(looked_at("denoiser", 4) == 1);
  // What a clip's first runs compute is reused by its others.
  CHECK(looked_at("denoiser", 1) == 1);  // run 28
  CHECK(looked_at("denoiser", 1) == 0);
  moments.begin_clip();
  CHECK(looked_at("denoiser", 3) == 3);  // but for the new clip, 32 alone
}
