// The released Toybox on every backend of this machine: from one seed, one clip.
#include <doctest/doctest.h>

#include <cmath>

#include "runtime/backend/registry.h"
#include "runtime/cli/load_model.h"
#include "runtime/pipeline/generate.h"

using namespace zoetrope;

namespace {

class Collect : public ClipSink {
 public:
  explicit Collect(const ClipRequest& clip) : frame_bytes_(clip.width * clip.height * 3) {}
  Status frames(const uint8_t* pixels, int64_t count) override {
    video.insert(video.end(), pixels, pixels + count * frame_bytes_);
    return Status();
  }
  Status audio(const float* samples, int64_t count) override {
    sound.insert(sound.end(), samples, samples + count * 2);
    return Status();
  }
  std::vector<uint8_t> video;
  std::vector<float> sound;

 private:
  const int64_t frame_bytes_;
};

// Peak signal to noise ratio in dB; 200 where all is equal.
template <typename T>
double psnr(const std::vector<T>& a, const std::vector<T>& b, double peak) {
  REQUIRE(a.size() == b.size());
  double square = 0;
  for (size_t i = 0; i < a.size(); ++i) square += std::pow(double(a[i]) - double(b[i]), 2);
  return square == 0 ? 200 : 10 * std::log10(peak * peak * static_cast<double>(a.size()) / square);
}

GenerateOptions short_clip(DType compute) {
  GenerateOptions options;
  options.prompt = "a small red star bounces on a blue floor";
  options.clip = {.width = 64, .height = 64, .frames = 9};
  options.steps = 2;
  options.seed = 5;
  options.compute = compute;
  return options;
}

Collect make(const Model& model, const std::string& backend, const std::string& target,
             DType compute) {
  auto device = open_device(backend, {.threads = 0, .force_target = target});
  REQUIRE_MESSAGE(device.ok(), device.status().message());
  const GenerateOptions options = short_clip(compute);
  Collect clip(options.clip);
  const auto stats = generate(model, options, **device, clip);
  REQUIRE_MESSAGE(stats.ok(), stats.status().message());
  CHECK(std::llabs(stats->peak_bytes - stats->planned_peak_bytes) * 100 <=
        stats->planned_peak_bytes);
  return clip;
}

bool available(const std::string& backend, const std::string& target = "") {
  for (const BackendStatus& status : list_backends({.threads = 0, .force_target = target}))
    if (status.name == backend && status.status.ok() && !status.devices.empty()) return true;
  return false;
}

}  // namespace

TEST_CASE("Vulkan and CUDA make the CPU's clip") {
  const std::string path = std::string(ZOETROPE_BINARY_DIR) + "/share/zoetrope/toybox.zoe";
  auto loaded = load_model(path);
  REQUIRE_MESSAGE(loaded.ok(), loaded.status().message());
  const Collect truth = make(loaded->model, "cpu", "", DType::kF32);
  for (const std::string backend : {"vulkan", "cuda"}) {
    if (!available(backend)) {
      MESSAGE("skipped: no ", backend);
      continue;
    }
    // With the validation layer where there is one: a message of it fails the run.
    const bool validates = backend == "vulkan" && available(backend, "validate");
    for (DType compute : {DType::kF32, DType::kBF16, DType::kF16}) {
      const Collect clip = make(loaded->model, backend, validates ? "validate" : "", compute);
      const double picture = psnr(clip.video, truth.video, 255),
                   sound = psnr(clip.sound, truth.sound, 1);
      const std::string how = validates ? " (validated)" : "";
      MESSAGE(backend, how, " in ", dtype_name(compute), " against the CPU in f32: picture ",
              picture, " dB, sound ", sound, " dB");
      CHECK(picture >= (compute == DType::kF32 ? 50 : 35));
      CHECK(sound >= (compute == DType::kF32 ? 60 : 35));
      if (compute != DType::kF16) continue;
      const Collect again = make(loaded->model, backend, "", compute);
      CHECK(again.video == clip.video);
      CHECK(again.sound == clip.sound);
    }
  }
}
