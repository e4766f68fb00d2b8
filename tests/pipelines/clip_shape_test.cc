#include "runtime/engine/clip_shape.h"

#include <doctest/doctest.h>

using namespace zoetrope;

namespace {

Recipe toy_recipe() {
  Recipe r;
  r.clip = {16, 16000, 2, {64, 160, 16, 128}, {64, 160, 16, 128}, {1, 64, 1, 32}};
  r.latents = {{"video", Modality::kVideo, 1, {0}, {1}, 8, 8, 8, 1},
               {"audio", Modality::kSound, 1, {0}, {1}, 1, 1, 1, 640}};
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
  CHECK(shape->sound_latents == 50);
}

TEST_CASE("latents cover a clip that is no multiple of them") {
  auto shape = resolve_clip_shape(toy_recipe(), {.width = 96, .height = 160, .frames = 21});
  REQUIRE(shape.ok());
  CHECK(shape->latent_frames == 3);
  CHECK(shape->latent_height == 20);
  CHECK(shape->samples == 21000);
  CHECK(shape->sound_latents == 33);  // 21000 samples / 640 = 32.8
}

TEST_CASE("samples and frames of each other last as long, to one that is not whole") {
  CHECK(samples_of_frames(30, 48000, 30) == 48000);
  CHECK(samples_of_frames(1, 44100, 24) == 1837);  // of 1837.5
  CHECK(frames_of_samples(1837, 44100, 24) == 1);
  CHECK(frames_of_samples(1838, 44100, 24) == 2);  // a frame shows what is left
  CHECK(frames_of_samples(0, 44100, 24) == 0);
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

TEST_CASE("sound is as long as the picture at the rate of the clip that is made anew") {
  const auto shape = resolve_clip_shape(toy_recipe(), {.seconds = 4, .fps = 8});
  REQUIRE(shape.ok());
  CHECK(shape->frames == 32);
  CHECK(shape->samples == 4 * 16000);
  CHECK(shape->sound_latents == 100);
}

TEST_CASE("every length of a clip with a rate of its own is at that rate") {
  Recipe sound = toy_recipe();
  sound.latents.erase(sound.latents.begin());
  const auto alone = resolve_clip_shape(sound, {.frames = 32, .fps = 8});
  REQUIRE_MESSAGE(alone.ok(), alone.status().message());
  CHECK(alone->frames == 32);
  CHECK(alone->samples == 4 * 16000);
  // Latents of video are of 8 frames, of sound of 640 samples: 0.64 frames or 0.32.
  CHECK(frames_range(toy_recipe(), {.loop = true})->multiple == 16);
  CHECK(frames_range(toy_recipe(), {.loop = true, .fps = 8})->multiple == 8);
}

TEST_CASE("codecs whose first latent stands for fewer frames") {
  // 1 + 4 n, as Wan; 17 n + 5, as MiniMax-H3; 8 n.
  LatentSpec causal{"v", Modality::kVideo, 1, {0}, {1}, 8, 1, 4, 1};
  for (const auto& [frames, latents] : {std::pair{1, 1}, {2, 2}, {5, 2}, {6, 3}, {81, 21}}) {
    CHECK(latents_of_frames(causal, frames) == latents);
    CHECK(frames_of_latents(causal, latents) >= frames);
  }
  CHECK(frames_of_latents(causal, 21) == 81);
  LatentSpec five{"v", Modality::kVideo, 1, {0}, {1}, 16, 5, 17, 1};
  CHECK(latents_of_frames(five, 5) == 1);
  CHECK(latents_of_frames(five, 22) == 2);
  CHECK(frames_of_latents(five, 8) == 124);
  LatentSpec even{"v", Modality::kVideo, 1, {0}, {1}, 8, 8, 8, 1};
  CHECK(latents_of_frames(even, 1) == 1);
  CHECK(latents_of_frames(even, 17) == 3);
}

TEST_CASE("ranges in steps from an offset") {
  const Range range{5, 124, 17, 124, 5};
  for (const auto& [asked, nearest] :
       {std::pair{1, 5}, {13, 5}, {14, 22}, {22, 22}, {30, 22}, {31, 39}, {124, 124}, {5000, 124}})
    CHECK(nearest_in_range(range, asked) == nearest);
  CHECK(nearest_in_range({64, 160, 16, 128, 0}, 100) == 96);
  CHECK(nearest_in_range({1, 81, 4, 81, 1}, 50) == 49);
}

TEST_CASE("a model of pictures makes one frame of the asked size") {
  Recipe r;
  r.clip.width = r.clip.height = {16, 512, 16, 256};
  r.latents = {{"image", Modality::kImage, 4, {0, 0, 0, 0}, {1, 1, 1, 1}, 8, 1, 1, 1}};
  auto shape = resolve_clip_shape(r, {.width = 512});
  REQUIRE(shape.ok());
  CHECK(shape->frames == 1);
  CHECK(shape->latent_width == 64);
  CHECK(latent_shape(r.latents[0], *shape, 3) == Shape{3, 32, 64, 4});
  CHECK_FALSE(resolve_clip_shape(r, {.frames = 2}).ok());
  CHECK_FALSE(resolve_clip_shape(r, {.seconds = 1}).ok());
}
