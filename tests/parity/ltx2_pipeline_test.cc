// Whole LTX-2 pipelines, from diffusers' folders and Lightricks' single files to frames and sound,
// against diffusers' own from the same noise (make_ltx2_pipelines.py).
#include <cmath>
#include <filesystem>
#include <set>

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
  explicit Saved(const std::string& name, const std::string& cases = "")
      : name(name), io("ltx2_pipelines/" + (cases.empty() ? name : cases) + "_io") {
    fs::copy(kData + name, path(), fs::copy_options::recursive);
    if (name == "t2v_5") {
      fs::copy(kData + "text_encoder_5", path() + "/text_encoder");
      fs::create_directory(path() + "/tokenizer");
      fs::copy(ZOETROPE_SOURCE_DIR "/tests/text/data/gemma/tokenizer.json",
               path() + "/tokenizer/tokenizer.json");
      return;
    }
    fs::copy(kData + "text_encoder", path() + "/text_encoder");
    fs::create_directory(path() + "/tokenizer");
    fs::copy(kData + "tokenizer.model", path() + "/tokenizer/tokenizer.model");
    fs::copy(kData + "text_encoder", path() + "/gemma");  // as Gemma's own folder has both
    fs::copy(kData + "tokenizer.model", path() + "/gemma/tokenizer.model");
  }
  std::string path() const { return folder.file("in"); }

  std::unique_ptr<Engine> open(const std::string& device, ConvertOptions convert,
                               int threads = 0) const {
    convert.output = folder.file("model.zoe");
    const Status status = zoetrope::convert(convert);
    REQUIRE_MESSAGE(status.ok(), status.message());
    EngineOptions options;
    options.devices.threads = threads;
    options.placement.device = device;
    return require_ok(Engine::open(convert.output, std::move(options)));
  }
  ConvertOptions whole(std::optional<bool> distilled) const {
    return {.input = path(), .output = "", .distilled = distilled};
  }
  ConvertOptions single(std::optional<bool> distilled) const {
    return {.input = kData + name + "_single.safetensors",
            .output = "",
            .text_encoder = path() + "/gemma",
            .distilled = distilled};
  }

  // Lightricks' file of one, alone.
  std::string upsampler() const {
    const std::string to = folder.file("upsampler.safetensors");
    fs::copy(kData + "upsampler/diffusion_pytorch_model.safetensors", to,
             fs::copy_options::overwrite_existing);
    return to;
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
    // Without one, all that the recipe has.
    if (!c.at("guidance").is_null()) r.guidance = c.at("guidance");
    for (const double x : io.tensor(std::to_string(index) + ".in.noise").data)
      r.noise.push_back(static_cast<float>(x));
    const std::string clip = std::to_string(index) + ".in.clip";
    if (c.contains("strength")) {
      r.start = {bytes_of(io, clip), r.clip.frames};
      r.strength = c.at("strength");
    }
    const std::string image = std::to_string(index) + ".in.image";
    if (io.file().type(image).ok()) r.known.first = {bytes_of(io, image), 1};
    const std::string audio = std::to_string(index) + ".in.audio";
    if (io.file().type(audio).ok())
      for (const double x : io.tensor(audio).data) r.known.audio.push_back(static_cast<float>(x));
    const nlohmann::json keys = c.value("keys", nlohmann::json::array());
    for (size_t k = 0; k < keys.size(); ++k) {
      std::vector<uint8_t> pixels = bytes_of(io, str(index, ".in.key.", k));
      const int64_t frame = keys[k].at("frame");
      if (frame == 0) {
        r.known.first = {std::move(pixels), 1};
        r.known.first_strength = keys[k].at("strength");
      } else {
        r.known.keys.push_back({std::move(pixels), frame, keys[k].at("strength")});
      }
    }
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

// Of a case: what the model is converted for.
struct Way {
  bool distilled, two_stages;
  bool operator==(const Way&) const = default;
};
Way way_of(const nlohmann::json& c) { return {c.at("distilled"), c.value("two_stages", false)}; }

void check_pipeline(const std::string& name) {
  const Saved saved(name);
  const nlohmann::json cases = saved.cases();
  for (const char* device : {"cpu", "vulkan", "cuda"}) {
    if (!has_device(device)) continue;
    CAPTURE(std::string(device));
    for (const Way way : {Way{false, false}, {true, false}, {true, true}, {false, true}})
      for (const bool single : {false, true}) {
        CAPTURE(way.distilled);
        CAPTURE(way.two_stages);
        CAPTURE(single);
        // The same weights and graphs again: once is enough.
        if ((single || (way.distilled && !way.two_stages)) && device != std::string("cpu"))
          continue;
        std::unique_ptr<Engine> engine;
        for (size_t i = 0; i < cases.size(); ++i) {
          if (way_of(cases[i]) != way) continue;
          CAPTURE(i);
          if (engine == nullptr) {
            ConvertOptions convert =
                single ? saved.single(way.distilled) : saved.whole(way.distilled);
            // A folder has the upsampler inside; to the single file it is given.
            const std::string inside = saved.path() + "/latent_upsampler";
            fs::remove_all(inside);
            if (way.two_stages && !way.distilled)
              convert.refining_lora = kData + "lora/refiner.safetensors";
            if (way.two_stages && single)
              convert.upsampler = saved.upsampler();
            else if (way.two_stages)
              fs::copy(kData + "upsampler", inside);
            engine = saved.open(device, convert);
          }
          check_case(saved, *engine, i);
        }
      }
  }
}

}  // namespace

TEST_CASE("LTX-2, text to video with sound") { check_pipeline("t2v"); }
TEST_CASE("LTX-2.3, text to video with sound") { check_pipeline("t2v_3"); }

TEST_CASE(
    "LTX-2.5's folder is distilled as its scheduler says, and reads words by tokenizer.json") {
  const Saved saved("t2v_5");
  for (const char* device : {"cpu", "vulkan", "cuda"}) {
    if (!has_device(device)) continue;
    CAPTURE(std::string(device));
    std::string notices;
    ConvertOptions options = saved.whole(/*distilled=*/std::nullopt);
    options.notice = [&](const std::string& text) { notices += text; };
    check_case(saved, *saved.open(device, options), 0);
    CHECK(notices.find("taken as distilled") != std::string::npos);
    fs::remove_all(saved.path() + "/latent_upsampler");
    fs::copy(kData + "upsampler", saved.path() + "/latent_upsampler");
    check_case(saved, *saved.open(device, options), 1);
    fs::remove_all(saved.path() + "/latent_upsampler");
  }
}

TEST_CASE(
    "LTX-2's first stage at two thirds of the size, where its upsampler makes half as much more") {
  const Saved saved("t2v", "t2v_rational");
  for (const char* device : {"cpu", "vulkan", "cuda"}) {
    if (!has_device(device)) continue;
    CAPTURE(std::string(device));
    ConvertOptions options = saved.whole(/*distilled=*/true);
    options.upsampler = kData + "upsampler_rational";
    const auto engine = saved.open(device, options);
    for (size_t i = 0; i < saved.cases().size(); ++i) check_case(saved, *engine, i);
    const RequestPlan plan = require_ok(engine->plan(saved.request(0)));
    CHECK(plan.denoise.reduced == Reduced{3, 2});
    CHECK(request_plan_to_text(plan, false).find("at 2/3 of the size") != std::string::npos);
  }
}

TEST_CASE("what a request asks of guidance shows in the clip") {
  const Saved saved("t2v");
  const auto engine = saved.open("cpu", saved.whole(false));
  const nlohmann::json cases = saved.cases();
  size_t published = 0;
  while (!cases[published].at("guidance").is_null()) ++published;
  Request request = saved.request(published);
  const auto frames = bytes_of(saved.io, std::to_string(published) + ".out.frames");
  const auto decibels = [&] {
    Collect out(request.clip.width * request.clip.height * 3);
    const auto stats = engine->run(request, out);
    REQUIRE_MESSAGE(stats.ok(), stats.status().message());
    return psnr(out.pixels, frames, 255);
  };
  CHECK(decibels() >= 60);
  // One part of a step after the other is the same clip.
  request.guidance_mode = GuidanceMode::kSequential;
  CHECK(decibels() >= 60);
  request.guidance = 7;
  CHECK(decibels() < 50);
  request.guidance = 1;
  CHECK(decibels() < 50);
}

TEST_CASE("LTX-2's clips are decoded in tiles of latents, blended where they meet") {
  const Saved saved("t2v");
  const auto engine = saved.open("cpu", saved.whole(false));
  Request request;
  request.prompt = "a small red fox";
  request.clip = {.width = 32, .height = 32, .frames = 21};
  request.steps = 2;
  request.guidance = 1;
  std::vector<float> latents;
  RunHooks hooks;
  hooks.observe = [&](const Observation& made) {
    if (made.stage == "denoise" && made.name == "video") {
      const auto* begin = static_cast<const float*>(made.data);
      latents.assign(begin, begin + made.type.shape.elements());
    }
    return Status();
  };
  Collect whole(32 * 32 * 3), tiled(32 * 32 * 3);
  const auto ran = engine->run(request, whole, hooks);
  REQUIRE_MESSAGE(ran.ok(), ran.status().message());
  request.decode_tile = 3;
  REQUIRE(engine->run(request, tiled).ok());
  REQUIRE(latents.size() == 6 * 4 * 4 * 6);
  // Of six latents, the first of one frame and the others of four, tiles begin at 0, 2 and 3.
  const auto file = require_ok(ModelFile::open(saved.folder.file("model.zoe")));
  const Recipe recipe = require_ok(parse_recipe(file->info().recipe));
  const LatentSpec& spec = *recipe.find_latents("video");
  const auto decoder = std::find_if(file->info().components.begin(), file->info().components.end(),
                                    [](const Graph& g) { return g.name == "decoder"; });
  const Graph bound =
      require_ok(bind(*decoder, {{"batch", 1}, {"frames", 3}, {"height", 4}, {"width", 4}}));
  std::vector<EvalTensor> tiles;
  for (const size_t start : {0, 2, 3}) {
    EvalTensor input{Shape{1, 3, 4, 4, 6}, {}};
    for (size_t i = 0; i < 3 * 96; ++i)
      input.data.push_back(latents[start * 96 + i] * double(spec.std[i % 6]) + spec.mean[i % 6]);
    tiles.push_back(
        require_ok(reference_evaluate(bound, {{"latents", input}}, *file, {})).at("video"));
  }
  std::vector<uint8_t> expected;
  for (int f = 0; f < 21; ++f)
    for (size_t i = 0; i < 32 * 32 * 3; ++i) {
      const auto at = [&](size_t tile, int frame) {
        return tiles[tile].data[static_cast<size_t>(frame) * 32 * 32 * 3 + i];
      };
      const double fade = (f - 13 + 0.5) / 4;
      const double value = f < 8    ? at(0, f)
                           : f == 8 ? (at(0, 8) + at(1, 0)) / 2
                           : f < 13 ? at(1, f - 8)
                           : f < 17 ? (1 - fade) * at(1, f - 8) + fade * at(2, f - 12)
                                    : at(2, f - 12);
      expected.push_back(
          static_cast<uint8_t>(std::lround(std::clamp((value + 1) * 127.5, 0.0, 255.0))));
    }
  REQUIRE(tiled.pixels.size() == expected.size());
  CHECK(psnr(tiled.pixels, expected, 255) >= 60);
  CHECK(psnr(whole.pixels, expected, 255) < 40);
  request.decode_tile = 1;
  const auto refused = engine->run(request, tiled);
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.status().message().find("at least 2") != std::string::npos);
}

TEST_CASE("where memory is short LTX-2's frames are decoded in blended tiles of rows and columns") {
  const Saved saved("t2v");
  const auto engine = saved.open("cpu", saved.whole(true), kFewThreads);
  Request request;
  request.prompt = "a small red fox";
  request.clip = {.width = 128, .height = 96, .frames = 5};
  request.steps = 8;
  Collect whole(128 * 96 * 3), tiled(128 * 96 * 3);
  const auto decoder = [&] {
    const RequestPlan plan = require_ok(engine->plan(request));
    const auto job = std::find_if(plan.jobs.begin(), plan.jobs.end(),
                                  [](const Job& j) { return j.component == "decoder"; });
    REQUIRE(job != plan.jobs.end());
    return *job;
  };
  const Job at_once = decoder();
  CHECK(at_once.rows.tiles.empty());
  const auto ran = engine->run(request, whole);
  REQUIRE_MESSAGE(ran.ok(), ran.status().message());
  // As much as the others take, which is too little for it.
  for (const Job& job : require_ok(engine->plan(request)).jobs)
    if (job.component != "decoder")
      request.memory_budget = std::max(request.memory_budget, job.bytes());
  REQUIRE(request.memory_budget < at_once.bytes());
  const Job in_tiles = decoder();
  CHECK(in_tiles.bytes() <= request.memory_budget);
  CHECK(in_tiles.rows.tiles.size() * in_tiles.columns.tiles.size() > 1);
  CHECK(in_tiles.columns.blend == 2);
  CHECK(in_tiles.tiles.tiles.size() == 1);  // time is short enough
  CHECK(in_tiles.calls == double(in_tiles.rows.tiles.size() * in_tiles.columns.tiles.size()));
  const auto again = engine->run(request, tiled);
  REQUIRE_MESSAGE(again.ok(), again.status().message());
  REQUIRE(tiled.pixels.size() == whole.pixels.size());
  CHECK(tiled.pixels != whole.pixels);
}

// diffusers begins a tile every 8 latents, so that of 20 its third sees 4; ours is a whole one that
// gives as many. Where four meet, its upper right tile fades twice along columns.
TEST_CASE("LTX-2's tiles of rows and columns are diffusers', and nearer to the whole at the end") {
  const Saved saved("t2v", "t2v_tiles");
  const auto engine = saved.open("cpu", saved.whole(true), kFewThreads);
  Request request = saved.request(0);
  const auto side = static_cast<size_t>(request.clip.width);
  Collect whole(request.clip.width * request.clip.height * 3), tiled = whole;
  REQUIRE(engine->run(request, whole).ok());
  const auto decoder = [&] {
    const RequestPlan plan = require_ok(engine->plan(request));
    return *std::find_if(plan.jobs.begin(), plan.jobs.end(),
                         [](const Job& j) { return j.component == "decoder"; });
  };
  request.memory_budget = decoder().bytes() - 1;
  const Job job = decoder();
  for (const TilePlan& plan : {job.rows, job.columns}) {
    REQUIRE(plan.length == 10);
    REQUIRE(plan.tiles.size() == 3);
    REQUIRE(plan.tiles[1].start == 8);
  }
  REQUIRE(engine->run(request, tiled).ok());
  const auto theirs = bytes_of(saved.io, "0.out.frames");
  REQUIRE(theirs.size() == tiled.pixels.size());
  // Both give the same up to pixel 128; what is shared by four is apart.
  std::vector<uint8_t> a, b;
  for (size_t k = 0; k < theirs.size(); ++k) {
    const size_t x = k / 3 % side, y = k / 3 / side % side;
    const auto shared = [](size_t at) { return at % 64 < 16 && at >= 64; };
    if (x >= 128 || y >= 128 || (shared(x) && shared(y))) continue;
    a.push_back(tiled.pixels[k]);
    b.push_back(theirs[k]);
  }
  const double same = psnr(a, b, 255), ours = psnr(tiled.pixels, whole.pixels, 255),
               reference = psnr(theirs, whole.pixels, 255);
  MESSAGE(same, " dB from diffusers' tiles; from the whole ", ours, " dB, diffusers' ", reference);
  CHECK(same >= 60);
  CHECK(ours >= reference);
}

TEST_CASE("what LTX-2 cannot take is refused with what it can") {
  const Saved saved("t2v");
  const auto engine = saved.open("cpu", saved.whole(true));
  Request request;
  request.prompt = "a small red fox";
  request.clip = {.width = 32, .height = 32, .frames = 9};
  const auto refusal = [&] {
    const auto plan = engine->plan(request);
    REQUIRE_FALSE(plan.ok());
    return plan.status().message();
  };
  request.known.keys = {{std::vector<uint8_t>(32 * 32 * 3), 9, 1}};
  CHECK(refusal().find("from 0, the first, to 8") != std::string::npos);
  request.known.keys[0].frame = 4;
  request.known.keys[0].strength = 1.5;
  CHECK(refusal().find("strength") != std::string::npos);
  request.known.keys.clear();
  request.known.after = {std::vector<uint8_t>(4 * 32 * 32 * 3), 4};
  const std::string can = refusal();
  for (const char* flag : {"--image", "--last-image", "--keyframe", "--extend", "--audio"})
    CHECK_MESSAGE(can.find(flag) != std::string::npos, can);
  CHECK(can.find("--lead-to)") == std::string::npos);
}

TEST_CASE("a run in two stages is seen step by step, and goes on from any step of the first") {
  const Saved saved("t2v");
  ConvertOptions convert = saved.whole(true);
  convert.upsampler = saved.upsampler();
  const auto engine = saved.open("cpu", convert);
  Request request;
  request.prompt = "a small red fox";
  request.clip = {.width = 64, .height = 64, .frames = 5};
  request.seed = 4;
  const RequestPlan plan = require_ok(engine->plan(request));
  CHECK(plan.denoise.reduced == Reduced{2, 1});
  REQUIRE(plan.later.size() == 1);
  CHECK(plan.later[0].denoise.steps == 3);
  CHECK(plan.later[0].points.sigmas[0] == doctest::Approx(0.909375));
  std::set<std::string> seen, tasks;
  auto point = std::make_shared<ResumePoint>();
  RunHooks hooks;
  hooks.observe = [&](const Observation& made) {
    CHECK_MESSAGE(seen.insert(std::string(made.stage) + ", " + made.name).second, made.name);
    return Status();
  };
  hooks.progress = [&](std::string_view task, double, double) {
    tasks.emplace(task);
    return true;
  };
  hooks.state = [&](const DenoiseState& state, const StageValues& values) {
    if (state.step == 5) *point = {state, values, false};
    return Status();
  };
  Collect whole(64 * 64 * 3), resumed(64 * 64 * 3), raw(64 * 64 * 3);
  const auto ran = engine->run(request, whole, hooks);
  REQUIRE_MESSAGE(ran.ok(), ran.status().message());
  for (const char* name : {"denoise, step 8", "denoise, video to refine", "resample_latents, video",
                           "denoise, refining, noise", "denoise, refining, step 3",
                           "denoise, video", "denoise, sound"})
    CHECK_MESSAGE(seen.contains(name), name);
  CHECK(tasks.contains("denoise"));
  CHECK(tasks.contains("refine"));
  REQUIRE(point->state.step == 5);
  request.resume = point;
  REQUIRE(engine->run(request, resumed).ok());
  CHECK(resumed.pixels == whole.pixels);
  CHECK(resumed.sound == whole.sound);
  // As they stand: larger, not refined.
  auto stands = std::make_shared<ResumePoint>(*point);
  stands->decode_only = true;
  request.resume = stands;
  const auto decoded = engine->run(request, raw);
  REQUIRE_MESSAGE(decoded.ok(), decoded.status().message());
  CHECK(raw.pixels.size() == whole.pixels.size());
  CHECK(raw.pixels != whole.pixels);
}
