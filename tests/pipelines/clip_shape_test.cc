#include "runtime/pipeline/clip_shape.h"

#include <doctest/doctest.h>

using namespace zoetrope;

namespace {

FlatRecipe toy_recipe() {
  FlatRecipe r;
  r.fps = 16;
  r.frames_per_latent = 8;
  r.pixels_per_latent = 8;
  r.sample_rate = 16000;
  r.audio_channels = 2;
  r.samples_per_latent = 640;
  r.width = {64, 160, 16, 128};
  r.height = {64, 160, 16, 128};
  r.frames = {1, 64, 1, 32};
  return r;
}

}  // namespace

TEST_CASE("defaults come from the recipe") {
  auto shape = resolve_clip_shape(toy_recipe(), {});
  REQUIRE(shape.ok());
  CHECK(shape->width == 128);
  CHECK(shape->frames == 32);
  CHECK(shape->latent_frames == 4);
  CHECK(shape->samples == 32000);
  CHECK(shape->audio_latents == 50);
}

TEST_CASE("latents cover a clip that is no multiple of them") {
  auto shape = resolve_clip_shape(toy_recipe(), {.width = 96, .height = 160, .frames = 21});
  REQUIRE(shape.ok());
  CHECK(shape->latent_frames == 3);
  CHECK(shape->latent_height == 20);
  CHECK(shape->samples == 21000);
  CHECK(shape->audio_latents == 33);  // 21000 samples / 640 = 32.8
}

TEST_CASE("errors name the nearest size that works") {
  auto bad = resolve_clip_shape(toy_recipe(), {.width = 100});
  REQUIRE_FALSE(bad.ok());
  CHECK(bad.status().message().find("nearest is 96") != std::string::npos);
  CHECK_FALSE(resolve_clip_shape(toy_recipe(), {.width = 1000000000}).ok());
  CHECK_FALSE(resolve_clip_shape(toy_recipe(), {.seconds = 1e9}).ok());
  CHECK_FALSE(resolve_clip_shape(toy_recipe(), {.seconds = -1}).ok());
  CHECK_FALSE(resolve_clip_shape(toy_recipe(), {.frames = 16, .seconds = 1}).ok());
}

TEST_CASE("seconds become frames") {
  CHECK(resolve_clip_shape(toy_recipe(), {.seconds = 1.5})->frames == 24);
  CHECK(resolve_clip_shape(toy_recipe(), {.seconds = 4})->frames == 64);
}
