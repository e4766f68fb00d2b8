// The released Toybox on every backend of this machine: from one seed, one clip.
#include "tests/devices.h"
#include "tests/pipelines/toybox_clip.h"

using namespace zoetrope;
using namespace zoetrope::toybox_clip;

namespace {

Collect make_on(const std::string& backend, const std::string& target, DType compute) {
  Request options = short_clip();
  options.compute = compute;
  return make(*open_toybox(backend, target), options);
}

void compare_with_cpu(const std::string& backend) {
  if (!needs_device(backend)) return;
  const Collect truth = make_on("cpu", "", DType::kF32);
  // With the validation layer where there is one: a message of it fails the run.
  const bool validates = backend == "vulkan" && has_device(backend, "validate");
  if (backend == "vulkan" && !validates)
    skip("the validation layers: " + std::string(device_status(backend, "validate").message()));
  for (DType compute : {DType::kF32, DType::kBF16, DType::kF16}) {
    const Collect clip = make_on(backend, validates ? "validate" : "", compute);
    const double picture = psnr(clip.video, truth.video, 255),
                 sound = psnr(clip.sound, truth.sound, 1);
    const std::string how = validates ? " (validated)" : "";
    MESSAGE(backend, how, " in ", dtype_name(compute), " against the CPU in f32: picture ", picture,
            " dB, sound ", sound, " dB");
    CHECK(picture >= (compute == DType::kF32 ? 50 : 35));
    CHECK(sound >= (compute == DType::kF32 ? 60 : 35));
    if (compute != DType::kF16) continue;
    const Collect again = make_on(backend, "", compute);
    CHECK(again.video == clip.video);
    CHECK(again.sound == clip.sound);
  }
}

}  // namespace

TEST_CASE(
    "Vulkan, the CPU and the reference make one clip together, halves of a step on two of them") {
  if (!needs_device("vulkan")) return;
  const Collect truth = make_on("cpu", "", DType::kF32);
  EngineOptions options;
  auto placement =
      parse_placement("text=reference,denoise=cpu+vulkan:0,decode_video=vulkan:0", "cpu");
  REQUIRE(placement.ok());
  options.placement = *placement;
  const auto engine = open_toybox(std::move(options));
  const auto plan = engine->plan(short_clip());
  REQUIRE_MESSAGE(plan.ok(), plan.status().message());
  CHECK(plan->networks[0].halves);
  Collect clip(short_clip().clip);
  const auto stats = engine->run(short_clip(), clip);
  REQUIRE_MESSAGE(stats.ok(), stats.status().message());
  const double picture = psnr(clip.video, truth.video, 255),
               sound = psnr(clip.sound, truth.sound, 1);
  MESSAGE("three devices against the CPU alone: picture ", picture, " dB, sound ", sound, " dB");
  CHECK(picture >= 50);
  CHECK(sound >= 60);
}

TEST_CASE("Vulkan makes the CPU's clip") { compare_with_cpu("vulkan"); }

TEST_CASE("CUDA makes the CPU's clip") { compare_with_cpu("cuda"); }
