// MiniMax-H3 from diffusers' folder to frames and sound, against diffusers' own pipeline from the
// same noise (make_minimax_h3_pipeline.py).
#include <cmath>
#include <filesystem>
#include <fstream>

#include "runtime/engine/engine.h"
#include "tests/devices.h"
#include "tests/parity/converted.h"
#include "tests/support/psnr.h"
#include "tests/support/temporary_folder.h"

using namespace zoetrope;
namespace fs = std::filesystem;

namespace {

const std::string kTests = ZOETROPE_SOURCE_DIR "/tests/";
constexpr size_t kStride = 7;  // every so many samples are kept
// Least dB of a clip with a picture: at which end it stands shows at 61 in so small a network.
constexpr double kShown = 75;

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
  std::vector<uint8_t> frame(int64_t i) const {
    return {pixels.begin() + i * frame_bytes_, pixels.begin() + (i + 1) * frame_bytes_};
  }
  std::vector<uint8_t> pixels;
  std::vector<float> sound;

 private:
  int64_t frame_bytes_;
};

struct Saved {
  Saved() {
    fs::copy(kTests + "parity/data/minimax_h3_pipeline", path(), fs::copy_options::recursive);
    fs::create_directory(path() + "/tokenizer");
    fs::copy(kTests + "text/data/qwen/tokenizer.json", path() + "/tokenizer/tokenizer.json");
  }
  std::string path() const { return folder.file("in"); }

  Status convert(std::string* notices = nullptr) const {
    ConvertOptions options{.input = path(), .output = folder.file("model.zoe")};
    options.notice = [&](const std::string& text) {
      if (notices != nullptr) *notices += text + "\n";
    };
    return zoetrope::convert(options);
  }
  std::unique_ptr<Engine> open(const std::string& device) const {
    const Status status = convert();
    REQUIRE_MESSAGE(status.ok(), status.message());
    EngineOptions options;
    options.placement.device = device;
    return require_ok(Engine::open(folder.file("model.zoe"), std::move(options)));
  }
  Request request(size_t index) const {
    const nlohmann::json c = cases().at(index);
    Request r;
    r.prompt = c.at("prompt");
    r.clip = {.width = c.at("width"), .height = c.at("height"), .frames = c.at("frames")};
    r.steps = c.at("steps");
    for (const double x : io.tensor(std::to_string(index) + ".in.noise").data)
      r.noise.push_back(static_cast<float>(x));
    r.known.first = picture(str(index, ".in.image"));
    r.known.last = picture(str(index, ".in.last_image"));
    return r;
  }
  KnownFrames picture(const std::string& name) const {
    const auto data = io.file().load(name);
    if (!data.ok()) return {};
    const auto* begin = static_cast<const uint8_t*>(data->data);
    return {{begin, begin + data->type.bytes()}, 1};
  }
  nlohmann::json cases() const { return nlohmann::json::parse(io.metadata("cases")); }

  TemporaryFolder folder;
  ParityFixture io{"minimax_h3_pipeline_io"};
};

struct Likeness {
  double picture, sound;  // dB
};

Likeness compare(const Saved& saved, size_t index, const Collect& out) {
  const std::string prefix = std::to_string(index) + ".out.";
  const WeightData frames = require_ok(saved.io.file().load(prefix + "frames"));
  const auto* begin = static_cast<const uint8_t*>(frames.data);
  const std::vector<uint8_t> expected(begin, begin + frames.type.bytes());
  std::vector<uint8_t> got;
  const nlohmann::json kept = saved.cases().at(index).at("kept");
  for (const int64_t frame : kept) {
    const auto one = out.frame(frame);
    got.insert(got.end(), one.begin(), one.end());
  }
  REQUIRE(got.size() == expected.size());
  double signal = 0, noise = 0;
  const EvalTensor sound = saved.io.tensor(prefix + "sound");
  REQUIRE(sound.data.size() / 2 == (out.sound.size() / 2 + kStride - 1) / kStride);
  for (size_t i = 0; i < sound.data.size(); ++i) {
    const double is = out.sound[i / 2 * kStride * 2 + i % 2];
    signal += sound.data[i] * sound.data[i];
    noise += (is - sound.data[i]) * (is - sound.data[i]);
  }
  return {psnr(got, expected, 255), 10 * std::log10(signal / std::max(noise, 1e-30))};
}

Likeness make(const Saved& saved, Engine& engine, size_t index, const Request& request) {
  Collect out(request.clip.width * request.clip.height * 3);
  const auto stats = engine.run(request, out);
  REQUIRE_MESSAGE(stats.ok(), stats.status().message());
  CHECK(out.pixels.size() ==
        static_cast<size_t>(request.clip.frames * request.clip.width * request.clip.height * 3));
  CHECK(out.sound.size() == static_cast<size_t>(request.clip.frames * 32000 / 24 * 2));
  return compare(saved, index, out);
}

}  // namespace

TEST_CASE("MiniMax-H3, text and pictures at its ends to video with sound") {
  const Saved saved;
  for (const char* device : {"cpu", "vulkan", "cuda"}) {
    if (!has_device(device)) continue;
    CAPTURE(std::string(device));
    const auto engine = saved.open(device);
    for (size_t i = 0; i < saved.cases().size(); ++i) {
      // Mesa's is slow: one of words, and one with a picture.
      if (i > 0 && i + 1 < saved.cases().size() && device == std::string("vulkan")) continue;
      const Likeness like = make(saved, *engine, i, saved.request(i));
      MESSAGE(std::string(device), " ", i, ": frames ", like.picture, " dB, sound ", like.sound,
              " dB");
      CHECK(like.picture >= (saved.request(i).known.has_frames() ? kShown : 60));
      CHECK(like.sound >= 60);
    }
  }
}

TEST_CASE("what MiniMax-H3's sampler is told shows in the clip") {
  const Saved saved;
  const auto engine = saved.open("cpu");
  Request request = saved.request(0);
  request.shift = 6;  // of the video's times; the sound keeps its own
  const Likeness other = make(saved, *engine, 0, request);
  CHECK(other.picture < 50);
  CHECK(other.sound < 60);  // it hears the video
  request = saved.request(5);
  request.known.first = {};  // and its noise, which is the last
  request.noise.resize(request.noise.size() - size_t{4} * 4 * 4);
  CHECK(make(saved, *engine, 5, request).picture < 50);
  request = saved.request(5);
  std::swap(request.known.first, request.known.last);
  CHECK(make(saved, *engine, 5, request).picture < kShown);
  request = saved.request(0);
  const auto refusal = [&] {
    const auto plan = engine->plan(request);
    REQUIRE_FALSE(plan.ok());
    return plan.status().message();
  };
  request.solver = "heun";
  CHECK(refusal().find("euler") != std::string::npos);
  request = saved.request(0);
  request.clip.frames = 125;
  CHECK(refusal().find("the nearest is 124") != std::string::npos);
  request = saved.request(0);
  request.decode_tile = 5;
  CHECK(refusal().find("pieces of 7 latents") != std::string::npos);
  request = saved.request(0);
  request.known.before = {std::vector<uint8_t>(22 * 64 * 64 * 3), 22};
  CHECK(refusal().find("a last frame (--last-image)") != std::string::npos);
  request = saved.request(5);
  request.known.first_strength = 0.5;
  CHECK(refusal().find("at the clip's ends alone") != std::string::npos);
}

TEST_CASE("encoding MiniMax-H3's pictures is told, and cancelled, tile by tile") {
  const Saved saved;
  const auto engine = saved.open("cpu");
  const auto encode = [&](size_t index, std::string_view stopped, double at) {
    std::string told;
    RunHooks hooks;
    hooks.progress = [&](std::string_view task, double done, double total) {
      const std::string step = str(done, "/", total, " ");  // told again once a model is loaded
      if (task == stopped && total > 1 && !told.ends_with(step)) told += step;
      return task != stopped || done < at;
    };
    const Request request = saved.request(index);
    Collect out(request.clip.width * request.clip.height * 3);
    const auto stats = engine->run(request, out, hooks);
    REQUIRE_FALSE(stats.ok());
    CHECK(stats.status().code() == Code::kCancelled);
    return told;
  };
  // Two pictures of a tile each; one of two tiles.
  CHECK(encode(3, "encode pictures", 2) == "0/2 1/2 2/2 ");
  CHECK(encode(4, "encode pictures", 2) == "0/2 1/2 2/2 ");
  CHECK(encode(4, "encode pictures", 1) == "0/2 1/2 ");
  CHECK(encode(3, "look at pictures", 2) == "0/2 1/2 2/2 ");
  CHECK(encode(3, "look at pictures", 1) == "0/2 1/2 ");
}

TEST_CASE("pictures that MiniMax-H3 cannot see are refused with the sizes that it can") {
  const Saved saved;
  const auto refusal = [&](const char* edge, int pixels) {
    const std::string path = saved.path() + "/processor/preprocessor_config.json";
    const nlohmann::json before = nlohmann::json::parse(std::ifstream(path));
    nlohmann::json after = before;
    after["size"][edge] = pixels;
    std::ofstream(path) << after.dump();
    const auto plan = saved.open("cpu")->plan(saved.request(5));
    std::ofstream(path) << before.dump();
    REQUIRE_FALSE(plan.ok());
    return std::string(plan.status().message());
  };
  const std::string less = refusal("shortest_edge", 8192), more = refusal("longest_edge", 4000);
  CHECK(less.find("--width and --height of at least 8192 pixels") != std::string::npos);
  CHECK(more.find("--width and --height of at most 4000 pixels") != std::string::npos);
  CHECK(more.find("leave out --image") != std::string::npos);
}

TEST_CASE("MiniMax-H3 at full size is planned on its released canvas, in its released pieces") {
  const TemporaryFolder folder;
  const std::string path = folder.file("h3.zoe");
  const Status made = convert({.input = "synthetic:minimax-h3", .output = path});
  REQUIRE_MESSAGE(made.ok(), made.message());
  EngineOptions options;
  options.placement.device = "cpu";
  const auto engine = require_ok(Engine::open(path, std::move(options)));
  Request request;
  request.prompt = "a red fox";
  const RequestPlan plan = require_ok(engine->plan(request));
  CHECK(plan.shape.width == 1344);
  CHECK(plan.shape.height == 768);
  CHECK(plan.shape.frames == 124);
  CHECK(plan.shape.latent_frames == 37);
  CHECK(plan.shape.sound_latents == 207);
  const auto decoder = std::find_if(plan.jobs.begin(), plan.jobs.end(),
                                    [](const Job& job) { return job.component == "decoder"; });
  REQUIRE(decoder != plan.jobs.end());
  CHECK(decoder->tiles.tiles.size() == 7);
  CHECK(decoder->rows.tiles.size() == 4);
  CHECK(decoder->columns.tiles.size() == 7);
  CHECK(decoder->calls == 7 * 4 * 7);
}

TEST_CASE("MiniMax-H3's folder is read as it says, or refused with what it says") {
  const Saved saved;
  std::string notices;
  REQUIRE(saved.convert(&notices).ok());
  CHECK(notices.empty());  // what is for references is not there
  fs::create_directory(saved.path() + "/transformer_ref");
  REQUIRE(saved.convert(&notices).ok());
  CHECK(notices.find("transformer_ref") != std::string::npos);
  const auto file = require_ok(ModelFile::open(saved.folder.file("model.zoe")));
  const Recipe recipe = require_ok(parse_recipe(file->info().recipe));
  CHECK(recipe.clip.width.min == 64);
  CHECK(recipe.clip.width.max == 288);
  CHECK(recipe.clip.frames.min == 124);
  CHECK(recipe.clip.frames.max == 345);
  CHECK(recipe.denoise()->streams[1].schedule->shift == 3);
  const auto changed = [&](const std::string& part, const char* key, nlohmann::json value) {
    const std::string path = saved.path() + "/" + part;
    const nlohmann::json before = nlohmann::json::parse(std::ifstream(path));
    nlohmann::json after = before;
    after[key] = std::move(value);
    std::ofstream(path) << after.dump();
    const Status status = saved.convert();
    std::ofstream(path) << before.dump();
    return std::string(status.message());
  };
  CHECK(changed("transformer/config.json", "patch_size", {2, 2, 2}).find("patch_size") !=
        std::string::npos);
  CHECK(changed("transformer/config.json", "rope_freq_dim", 3).find("head's") != std::string::npos);
  CHECK(changed("transformer/config.json", "guidance", 3).find("guidance") != std::string::npos);
  CHECK(changed("vae/config.json", "latents_std", {1, 1, 1}).find("latents_std") !=
        std::string::npos);
  CHECK(
      changed("audio_vae/config.json", "sampling_rate", 16000).find("latents of sound a second") !=
      std::string::npos);
  CHECK(changed("scheduler/scheduler_config.json", "eta", 1).find("eta") != std::string::npos);
  CHECK(changed("modular_model_index.json", "_class_name", "X").find("_class_name") !=
        std::string::npos);
  fs::remove_all(saved.path() + "/text_encoder");
  CHECK(saved.convert().ok());  // components alone
  const auto parts = require_ok(ModelFile::open(saved.folder.file("model.zoe")));
  const Recipe incomplete = require_ok(parse_recipe(parts->info().recipe));
  CHECK(incomplete.stages.empty());
  CHECK(incomplete.incomplete.find("text encoder") != std::string::npos);
}
