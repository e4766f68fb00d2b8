// Decoding in tiles: plans cover everything once, tiling changes what it says it changes, and
// memory stays that of a tile.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "runtime/engine/tile_plan.h"
#include "tests/devices.h"
#include "tests/pipelines/tiny_toybox.h"
#include "tests/support/psnr.h"

using namespace zoetrope;
using namespace zoetrope::tiny;

namespace {

TileSpec spec(int64_t length, int64_t overlap, int64_t reach) { return {length, overlap, reach}; }

const Job& job(const RequestPlan& plan, const std::string& component) {
  for (const Job& j : plan.jobs)
    if (j.component == component) return j;
  FAIL("no job of ", component);
  return plan.jobs.front();
}

int64_t decode_bytes(Engine& engine, const Request& options) {
  auto plan = engine.plan(options);
  REQUIRE_MESSAGE(plan.ok(), plan.status().message());
  return job(*plan, "tae_decoder").plan->memory.total_bytes();
}

// One denoising step: the latents are noise, the hardest thing to decode in pieces.
Request long_clip(int64_t frames) {
  Request options = small_clip();
  options.clip = {.width = 16, .height = 8, .frames = frames};
  options.steps = 1;
  options.guidance = 1;
  return options;
}

}  // namespace

TEST_CASE("tiles give every latent once and hold what they give") {
  for (int64_t count : {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 64, 101})
    for (const TileSpec& s : {spec(4, 2, 0), spec(4, 2, 7), spec(5, 2, 0), spec(1, 0, 0),
                              spec(2, 1, 1), spec(16, 14, 7), spec(24, 14, 7), spec(0, 0, 0),
                              spec(7, 6, 3), spec(9, 7, 3), spec(3, 2, 0), spec(60, 10, 5)}) {
      CAPTURE(count);
      CAPTURE(s.length);
      CAPTURE(s.overlap);
      const TilePlan plan = plan_tiles(count, s);
      REQUIRE(!plan.tiles.empty());
      CHECK(plan.length == (s.length == 0 ? count : std::min(count, s.length)));
      int64_t given = 0;  // latents that no later tile touches
      for (size_t i = 0; i < plan.tiles.size(); ++i) {
        const Tile& t = plan.tiles[i];
        const bool last = i + 1 == plan.tiles.size();
        CHECK(t.start >= 0);
        CHECK(t.start + plan.length <= count);
        CHECK(t.from == given);
        CHECK(t.from >= t.start);
        CHECK(t.to <= t.start + plan.length);
        given = t.to - (last ? 0 : plan.blend);
        CHECK(given > t.from);
        if (i > 0) CHECK(given >= t.from + plan.blend);  // two tiles at most meet
        if (!plan.exact || plan.tiles.size() == 1) continue;
        CHECK(plan.blend == 0);
        CHECK((t.start == 0 || t.from - t.start >= s.reach));
        CHECK((last || t.start + plan.length - t.to >= s.reach));
      }
      CHECK(given == count);
    }
  CHECK(plan_tiles(40, spec(16, 14, 7)).exact);
  CHECK_FALSE(plan_tiles(40, spec(16, 13, 7)).exact);
  CHECK_FALSE(plan_tiles(40, spec(16, 14, 0)).exact);
}

TEST_CASE("a tile that holds both receptive fields changes nothing but rounding") {
  Fixture fixture;
  fixture.model.recipe.clip.frames.max = 400;
  const int64_t reach = fixture.stage<DecodeVideo>().tiles.reach;
  REQUIRE(reach > 0);
  const auto engine = fixture.engine("cpu");
  Request options = long_clip((6 * reach + 1) * 8 - 3);
  options.decode_tile = kWholeClip;
  const Collect whole = run(*engine, options);
  options.decode_tile = 4 * reach;
  auto plan = engine->plan(options);
  REQUIRE(plan.ok());
  CHECK(job(*plan, "tae_decoder").tiles.exact);
  CHECK(job(*plan, "tae_decoder").tiles.tiles.size() == 3);
  CHECK(job(*plan, "codec_decoder").tiles.exact);
  CHECK(job(*plan, "codec_decoder").tiles.tiles.size() > 1);
  const Collect tiled = run(*engine, options);
  REQUIRE(tiled.video.size() == whole.video.size());
  REQUIRE(tiled.sound.size() == whole.sound.size());
  int worst = 0;
  for (size_t i = 0; i < whole.video.size(); ++i)
    worst = std::max(worst, std::abs(int{whole.video[i]} - tiled.video[i]));
  CHECK(worst <= 1);  // of 255: where rounding to 8 bits falls the other way
  double worst_sound = 0;
  for (size_t i = 0; i < whole.sound.size(); ++i)
    worst_sound = std::max(worst_sound, std::fabs(double{whole.sound[i]} - tiled.sound[i]));
  CHECK(worst_sound <= 1e-5);
}

TEST_CASE("blended tiles stay close to the whole") {
  const Fixture fixture;
  const auto engine = fixture.engine("cpu");
  Request options = long_clip(64);
  options.decode_tile = kWholeClip;
  const Collect whole = run(*engine, options);
  for (const auto& [tile, least] : {std::pair{2, 18.0}, {4, 26.0}, {6, 32.0}}) {
    options.decode_tile = tile;
    const Collect tiled = run(*engine, options);
    REQUIRE(tiled.video.size() == whole.video.size());
    const double found = psnr(tiled.video, whole.video, 255);
    MESSAGE("tiles of ", tile, " latents: ", found, " dB");
    CHECK(found >= least);
  }
}

TEST_CASE("a clip that fits a tile is decoded as before") {
  const Fixture fixture;
  const auto engine = fixture.engine("cpu");
  Request options = small_clip();
  const Collect automatic = run(*engine, options);
  options.decode_tile = kWholeClip;
  const Collect whole = run(*engine, options);
  CHECK(automatic.video == whole.video);
  CHECK(automatic.sound == whole.sound);
}

TEST_CASE("decoding takes the same memory for any length") {
  const Fixture fixture;
  const auto engine = fixture.engine("cpu");
  Request options = small_clip();
  options.decode_tile = 2;
  const int64_t few = decode_bytes(*engine, options);
  options.clip.frames = 40;
  CHECK(decode_bytes(*engine, options) == few);
  options.decode_tile = kAutomaticTile;
  const int64_t at_40 = decode_bytes(*engine, options);
  options.clip.frames = 64;
  CHECK(decode_bytes(*engine, options) == at_40);
  options.decode_tile = kWholeClip;
  CHECK(decode_bytes(*engine, options) > at_40);
}

TEST_CASE("a budget takes shorter tiles before it refuses") {
  const Fixture fixture;
  const auto engine = fixture.engine("cpu", kFewThreads);
  Request options = small_clip();
  options.clip = {.width = 64, .height = 64, .frames = 64};
  options.decode_tile = 1;
  const int64_t least = decode_bytes(*engine, options);
  options.decode_tile = kAutomaticTile;
  const int64_t most = decode_bytes(*engine, options);
  auto free = engine->plan(options);
  REQUIRE(free.ok());
  int64_t others = 0;
  for (const auto& p : free->jobs)
    if (p.component != "tae_decoder") others = std::max(others, p.plan->memory.total_bytes());
  REQUIRE(std::max(least, others) < most);
  options.memory_budget = (std::max(least, others) + most) / 2;
  auto tight = engine->plan(options);
  REQUIRE_MESSAGE(tight.ok(), tight.status().message());
  CHECK(tight->peak_bytes() <= options.memory_budget);
  CHECK(job(*tight, "tae_decoder").tiles.length < 4);
  options.decode_tile = 4;  // as told: refused rather than changed
  CHECK_FALSE(engine->plan(options).ok());
}

TEST_CASE("plans show their tiles") {
  const Fixture fixture;
  const auto engine = fixture.engine("cpu");
  Request options = small_clip();
  options.clip.frames = 64;
  auto plan = engine->plan(options);
  REQUIRE(plan.ok());
  CHECK(request_plan_to_text(*plan, false).find("3 tiles of 4 latents, blended over 2") !=
        std::string::npos);
  CHECK(request_plan_to_json(*plan, false).find("\"blend\": 2") != std::string::npos);
}

TEST_CASE("decoding is cancelled between frames of any tile") {
  const Fixture fixture;
  const auto engine = fixture.engine("cpu");
  Request options = long_clip(40);
  options.decode_tile = 2;
  for (int64_t stop : {1, 8, 9, 30}) {
    RunHooks hooks;
    hooks.progress = [&](std::string_view task, double done, double) {
      return task != "decode video" || done < static_cast<double>(stop);
    };
    Collect sink;
    sink.frame_bytes = options.clip.width * options.clip.height * 3;
    auto result = engine->run(options, sink, hooks);
    REQUIRE_FALSE(result.ok());
    CHECK(result.status().code() == Code::kCancelled);
    CHECK(static_cast<int64_t>(sink.video.size()) == stop * sink.frame_bytes);
  }
}
