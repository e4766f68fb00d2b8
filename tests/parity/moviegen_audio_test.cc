// Movie Gen Audio's pipelines against PyTorch written from the paper, in double
// (make_moviegen_audio_pipeline.py): words, a clip's frames, known sound at both ends, and windows.
#include <doctest/doctest.h>

#include <cmath>

#include "models/moviegen/audio_recipe.h"
#include "runtime/engine/time_windows.h"
#include "tests/devices.h"
#include "tests/parity/moviegen_fixture.h"

using namespace zoetrope;
using namespace zoetrope::moviegen_fixture;

namespace {

class Samples : public ClipSink {
 public:
  Status frames(const uint8_t*, int64_t) override { return Status(); }
  Status audio(const float* p, int64_t count) override {
    samples.insert(samples.end(), p, p + count * 2);
    return Status();
  }
  std::vector<float> samples;
};

// In decibels.
double snr(const std::vector<float>& got, const EvalTensor& expected) {
  REQUIRE(got.size() == expected.data.size());
  double signal = 0, noise = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    signal += expected.data[i] * expected.data[i];
    noise += (got[i] - expected.data[i]) * (got[i] - expected.data[i]);
  }
  return 10 * std::log10(signal / std::max(noise, 1e-30));
}

MovieGenAudioPipeline sound_pipeline(const nlohmann::json& c) {
  const nlohmann::json &dit = c.at("dit"), &codec = c.at("codec"), &t5 = c.at("t5"),
                       &clip = c.at("clip");
  MovieGenAudioPipeline p;
  p.dit = {.layers = dit.at("layers"),
           .width = dit.at("width"),
           .heads = dit.at("heads"),
           .ffn = dit.at("ffn"),
           .channels = dit.at("channels"),
           .text_width = dit.at("text"),
           .picture_width = dit.at("picture")};
  p.codec = {.channels = codec.at("channels"),
             .latent_channels = codec.at("latents"),
             .encoder_width = codec.at("encoder"),
             .decoder_width = codec.at("decoder"),
             .strides = codec.at("strides"),
             .dilations = codec.at("dilations")};
  p.text = {.vocabulary = t5.at("vocab_size"),
            .width = t5.at("d_model"),
            .layers = t5.at("num_layers"),
            .heads = t5.at("num_heads"),
            .head_dim = t5.at("d_kv"),
            .ffn = t5.at("d_ff"),
            .ffn_kind = T5Config::Ffn::kRelu,
            .bias_a_layer = false};
  p.vision = {.width = clip.at("hidden_size"),
              .layers = clip.at("num_hidden_layers"),
              .heads = clip.at("num_attention_heads"),
              .ffn = clip.at("intermediate_size"),
              .patch = clip.at("patch_size"),
              .image_size = clip.at("image_size"),
              .left_out = 0,
              .projection = clip.at("projection_dim")};
  p.sample_rate = c.at("rate");
  p.fps = c.at("fps");
  p.seconds = 1;
  p.longest = 10;
  p.text_ids = 40;
  p.encoder_tile = p.decoder_tile = 0;
  p.window = 100;
  p.overlap = 10;
  p.guidance = c.at("guidance");
  return p;
}

Model sound_model(const Stored& io, const MovieGenAudioPipeline& p) {
  Model model;
  model.name = "movie gen audio";
  // As a file has it.
  model.recipe = require_ok(parse_recipe(recipe_to_json(moviegen_audio_recipe(p))));
  model.tokenizers[""] = {"bytes", nullptr};
  add_components(io, &model,
                 {{"dit", "dit", build_moviegen_audio_dit(p.dit)},
                  {"codec", "sound_encoder", build_moviegen_sound_encoder(p.codec)},
                  {"codec", "sound_decoder", build_moviegen_sound_decoder(p.codec)},
                  {"text_encoder", "text_encoder", build_t5_encoder(p.text)},
                  {"vision_encoder", "vision_encoder", build_clip_vision(p.vision)}});
  return model;
}

template <typename T>
std::vector<T> values(const Stored& io, const std::string& name) {
  std::vector<T> all;
  for (const double x : io.tensor(name).data) all.push_back(static_cast<T>(x));
  return all;
}

Request case_of(const Stored& io, const std::string& name) {
  const nlohmann::json &c = io.config, &one = c.at("cases").at(name);
  Request request;
  request.prompt = one.at("prompt");
  request.negative = one.at("negative");
  request.clip.samples = one.at("samples");
  request.clip.width = c.at("width");
  request.clip.height = c.at("height");
  request.steps = c.at("steps");
  request.noise = values<float>(io, "in.noise." + name);
  if (one.at("video").get<bool>()) {
    const int64_t rate = c.at("rate"), fps = c.at("fps");
    KnownFrames& video = request.known.video;
    video.frames = (request.clip.samples * fps + rate - 1) / rate;
    video.pixels = values<uint8_t>(io, "in.video");
    video.pixels.resize(
        static_cast<size_t>(video.frames * request.clip.width * request.clip.height * 3));
  }
  if (one.at("known").get<bool>()) {
    request.known.before_sound = values<float>(io, "in.before");
    request.known.after_sound = values<float>(io, "in.after");
  }
  return request;
}

}  // namespace

TEST_CASE("Movie Gen Audio's pipelines, of words, frames, known sound, and by windows") {
  const Stored io("audio_pipeline");
  for (const char* name : {"words", "frames", "between", "long"}) {
    CAPTURE(std::string(name));
    const Request request = case_of(io, name);
    const EvalTensor expected = io.tensor(std::string("out.") + name);
    MovieGenAudioPipeline p = sound_pipeline(io.config);
    if (io.config.at("cases").at(name).at("windows").get<bool>()) {
      p.window = io.number("window");
      p.overlap = io.number("overlap");
      // In pieces that change nothing.
      p.encoder_tile = 2 * p.codec.encoder_reach() + 3;
      p.decoder_tile = 2 * p.codec.decoder_reach() + 2;
      CHECK(p.encoder_tile < 60);
      CHECK(p.decoder_tile < 60);
    }
    const Model model = sound_model(io, p);
    for (const char* device : {"cpu", "vulkan", "cuda"}) {
      if (!has_device(device)) continue;
      CAPTURE(std::string(device));
      EngineOptions options;
      options.placement.device = device;
      const auto engine = require_ok(Engine::create(model, std::move(options)));
      const RequestPlan plan = require_ok(engine->plan(request));
      CHECK(count_windows(plan.shape) == (p.window < 100 ? 10 : 1));
      Samples out;
      const auto ran = engine->run(request, out);
      REQUIRE_MESSAGE(ran.ok(), ran.status().message());
      const double decibels = snr(out.samples, expected);
      MESSAGE(std::string(name), " on ", std::string(device), ": ", decibels, " dB");
      CHECK(decibels >= 60);
      if (p.decoder_tile > 0) {  // tiles are cut where nothing reaches
        MovieGenAudioPipeline whole = p;
        whole.encoder_tile = whole.decoder_tile = 0;
        EngineOptions same;
        same.placement.device = device;
        const auto at_once = require_ok(Engine::create(sound_model(io, whole), std::move(same)));
        Samples all;
        REQUIRE(at_once->run(request, all).ok());
        CHECK(require_ok(at_once->plan(request)).jobs.back().tiles.tiles.size() == 1);
        CHECK(plan.jobs.back().tiles.tiles.size() > 1);
        double most = 0;
        for (size_t i = 0; i < all.samples.size(); ++i)
          most = std::max(most, double(std::abs(all.samples[i] - out.samples[i])));
        CHECK(most < 1e-5);
      }
      // One half of a step after the other: the same but for rounding.
      if (std::string(name) == "long") {
        Request sequential = request;
        sequential.guidance_mode = GuidanceMode::kSequential;
        Samples again;
        REQUIRE(engine->run(sequential, again).ok());
        CHECK(snr(again.samples, expected) >= 60);
      }
    }
  }
}

TEST_CASE("Movie Gen Audio's codec reaches as far as its strides and dilations say") {
  const MovieGenCodecConfig published;
  CHECK(published.encoder_reach() == 6);
  CHECK(published.decoder_reach() == 8);
}

TEST_CASE("Movie Gen Audio hears everything that it is given") {
  const Stored io("audio_pipeline");
  const auto engine = require_ok(Engine::create(sound_model(io, sound_pipeline(io.config))));
  const EvalTensor expected = io.tensor("out.between");
  const auto run = [&](Request request) {
    Samples out;
    const auto ran = engine->run(request, out);
    REQUIRE_MESSAGE(ran.ok(), ran.status().message());
    return snr(out.samples, expected);
  };
  const Request request = case_of(io, "between");
  CHECK(run(request) >= 60);
  Request other = request;
  other.prompt = "a drum";
  CHECK(run(other) < 60);
  other = request;
  other.known.video = case_of(io, "frames").known.video;
  CHECK(run(other) < 60);
  other = request;
  other.known.after_sound.clear();
  CHECK(run(other) < 60);
  // What it makes nothing of is refused.
  const auto refused = [&](const Request& r, const char* why) {
    const auto plan = engine->plan(r);
    REQUIRE_FALSE(plan.ok());
    CHECK_MESSAGE(plan.status().message().find(why) != std::string::npos, plan.status().message());
  };
  other = request;
  other.known.first.frames = 1;
  refused(other, "a clip that wants sound (--video)");
  other = request;
  other.known.audio.assign(342, 0.0f);
  refused(other, "makes no picture");
  other = request;
  other.clip.samples = 200 * 11;
  refused(other, "up to 10 s");
  other = request;
  other.known.video.frames = 3;
  refused(other, "the video has 3 frames; the clip has 14");
}
