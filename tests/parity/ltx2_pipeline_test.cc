// Whole LTX-2 pipelines, from diffusers' folders and Lightricks' single files to frames and sound,
// against diffusers' own from the same noise (make_ltx2_pipelines.py).
#include <cmath>
#include <filesystem>

#include "runtime/engine/engine.h"
#include "tests/devices.h"
#include "tests/parity/converted.h"
#include "tests/support/psnr.h"
#include "tests/support/temporary_folder.h"

using namespace zoetrope;
namespace fs = std::filesystem;

namespace {

const std::string kData = ZOETROPE_SOURCE_DIR "/tests/parity/data/ltx2_pipelines/";

class Collect : public ClipSink {
 public:
  explicit Collect(int64_t frame_bytes) : frame_bytes_(frame_bytes) {}
  Status frames(const uint8_t* p, int64_t count) override {
    pixels.insert(pixels.end(), p, p + count * frame_bytes_);
    return Status();
  }
  Status audio(const float* samples, int64_t count) override {
    sound.insert(sound.end(), samples, samples + count * 2);
    return Status();
  }
  std::vector<uint8_t> pixels;
  std::vector<float> sound;

 private:
  int64_t frame_bytes_;
};

std::vector<uint8_t> bytes_of(const ParityFixture& io, const std::string& name) {
  const WeightData data = require_ok(io.file().load(name));
  REQUIRE(data.type.dtype == DType::kU8);
  const auto* begin = static_cast<const uint8_t*>(data.data);
  return {begin, begin + data.type.bytes()};
}

// A pipeline as diffusers saved it.
struct Saved {
  explicit Saved(const std::string& name) : name(name), io("ltx2_pipelines/" + name + "_io") {
    fs::copy(kData + name, path(), fs::copy_options::recursive);
    fs::copy(kData + "text_encoder", path() + "/text_encoder");
    fs::create_directory(path() + "/tokenizer");
    fs::copy(kData + "tokenizer.model", path() + "/tokenizer/tokenizer.model");
  }
  std::string path() const { return folder.file("in"); }

  std::unique_ptr<Engine> open(const std::string& device, ConvertOptions convert) const {
    convert.output = folder.file("model.zoe");
    const Status status = zoetrope::convert(convert);
    REQUIRE_MESSAGE(status.ok(), status.message());
    EngineOptions options;
    options.placement.device = device;
    return require_ok(Engine::open(convert.output, std::move(options)));
  }
  ConvertOptions whole(bool distilled) const {
    return {.input = path(), .output = "", .distilled = distilled};
  }
  ConvertOptions single(bool distilled) const {
    return {.input = kData + name + "_single.safetensors",
            .output = "",
            .text_encoder = path() + "/text_encoder",
            .tokenizer = path() + "/tokenizer",
            .distilled = distilled};
  }

  nlohmann::json cases() const { return nlohmann::json::parse(io.metadata("cases")); }

  Request request(size_t index) const {
    const nlohmann::json all = cases(), &c = all.at(index);
    Request r;
    r.prompt = c.at("prompt");
    r.negative = c.at("negative");
    r.clip.width = c.at("width");
    r.clip.height = c.at("height");
    r.clip.frames = c.at("frames");
    r.steps = c.at("steps");
    r.guidance = c.at("guidance");
    for (const double x : io.tensor(std::to_string(index) + ".in.noise").data)
      r.noise.push_back(static_cast<float>(x));
    return r;
  }

  std::string name;
  TemporaryFolder folder;
  ParityFixture io;
};

// Of what the reference made, in dB; what it did not make must be silence.
double signal_to_noise(const std::vector<float>& got, const EvalTensor& expected) {
  double signal = 0, noise = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    const double wanted = i < expected.data.size() ? std::clamp(expected.data[i], -1.0, 1.0) : 0;
    signal += wanted * wanted;
    noise += (got[i] - wanted) * (got[i] - wanted);
  }
  return 10 * std::log10(signal / std::max(noise, 1e-30));
}

void check_case(const Saved& saved, Engine& engine, size_t index) {
  const Request request = saved.request(index);
  Collect out(request.clip.width * request.clip.height * 3);
  const auto stats = engine.run(request, out);
  REQUIRE_MESSAGE(stats.ok(), stats.status().message());
  const std::string prefix = std::to_string(index) + ".out.";
  const auto frames = bytes_of(saved.io, prefix + "frames");
  REQUIRE(out.pixels.size() == frames.size());
  const double picture = psnr(out.pixels, frames, 255);
  const ClipSpec& clip = engine.model().recipe.clip;
  CHECK(out.sound.size() ==
        static_cast<size_t>(request.clip.frames * clip.sample_rate / clip.fps * 2));
  const double sound = signal_to_noise(out.sound, saved.io.tensor(prefix + "sound"));
  MESSAGE(saved.name, " ", index, ": frames ", picture, " dB, sound ", sound, " dB");
  CHECK(picture >= 60);
  CHECK(sound >= 60);
}

void check_pipeline(const std::string& name) {
  const Saved saved(name);
  const nlohmann::json cases = saved.cases();
  for (const char* device : {"cpu", "vulkan", "cuda"}) {
    if (!has_device(device)) continue;
    CAPTURE(std::string(device));
    for (const bool distilled : {false, true})
      for (const bool single : {false, true}) {
        CAPTURE(distilled);
        CAPTURE(single);
        // The same weights and graphs again: once is enough.
        if ((single || distilled) && device != std::string("cpu")) continue;
        std::unique_ptr<Engine> engine;
        for (size_t i = 0; i < cases.size(); ++i) {
          if (cases[i].at("distilled") != distilled) continue;
          CAPTURE(i);
          if (engine == nullptr)
            engine = saved.open(device, single ? saved.single(distilled) : saved.whole(distilled));
          check_case(saved, *engine, i);
        }
      }
  }
}

}  // namespace

TEST_CASE("LTX-2, text to video with sound") { check_pipeline("t2v"); }
TEST_CASE("LTX-2.3, text to video with sound") { check_pipeline("t2v_3"); }
