// The rest of Movie Gen's video cast, as whole pipelines of three steps, against PyTorch written
// from the paper (make_moviegen_tasks.py).
#include <doctest/doctest.h>

#include <cstdlib>

#include "graph/format/model_writer.h"
#include "tests/parity/moviegen_fixture.h"
#include "tests/support/temporary_folder.h"

using namespace zoetrope;
using namespace zoetrope::moviegen_fixture;

namespace {

KnownFrames source_of(const Stored& io) {
  return {io.bytes("in.source"), io.tensor("in.source").shape[0]};
}

struct Pipeline {
  explicit Pipeline(const std::string& name)
      : io(name), p(pipeline_of(io)), request(request_of(io)) {
    p.fps = static_cast<int>(io.number("fps"));
    expected = io.bytes("out.frames");
    if (name == "upsampler") upsample();
    if (name == "edit") edit();
    if (name == "personalised") show();
  }
  void upsample() {
    p.dit.source = p.tae.frames_alone = true;
    p.window = static_cast<int>(io.number("window"));
    p.overlap = static_cast<int>(io.number("overlap"));
    p.scale = static_cast<int>(io.number("scale"));
    p.schedule = FlowSchedule::kLinear;
    p.frames = 200;
    request.known.source = source_of(io);
  }
  void edit() {
    p.dit.source = true;
    p.tasks = io.config.at("tasks").get<std::vector<std::string>>();
    p.dit.tasks = static_cast<int64_t>(p.tasks.size());
    p.source_guidance = io.config.at("source_guidance");
    request.known.source = source_of(io);
    request.clip.fps = p.fps;
    request.classes = {io.config.at("task").get<std::string>()};
  }
  void show() {
    const nlohmann::json& vision = io.config.at("vision");
    p.dit.reference_width = p.vision.width = vision.at("hidden_size");
    p.dit.references = 3;
    p.vision.layers = vision.at("num_hidden_layers");
    p.vision.heads = vision.at("num_attention_heads");
    p.vision.ffn = vision.at("intermediate_size");
    p.vision.patch = vision.at("patch_size");
    p.vision.image_size = vision.at("image_size");
    p.vision.left_out = 0;
    for (const char* name : {"in.reference.0", "in.reference.1"}) {
      const EvalTensor picture = io.tensor(name);
      request.known.references.push_back({io.bytes(name), picture.shape[1], picture.shape[0]});
    }
  }

  // Frames against those expected; `other` requests must give others.
  void check(const std::vector<std::pair<const char*, Request>>& others) const {
    on_each_device(model_of(io, p), [&](Engine& engine, const char* device) {
      const std::vector<uint8_t> made = frames_of(engine, request);
      REQUIRE(made.size() == expected.size());
      const double decibels = psnr(made, expected, 255);
      MESSAGE(std::string(device), ": ", decibels, " dB");
      CHECK(decibels >= 60);
      for (const auto& [what, other] : others) {
        CAPTURE(std::string(what));
        CHECK(psnr(frames_of(engine, other), expected, 255) < 50);
      }
    });
  }
  void refuse(Request wrong, const char* message) const {
    const auto engine = require_ok(Engine::create(model_of(io, p), {}));
    const auto plan = engine->plan(wrong);
    REQUIRE_FALSE(plan.ok());
    CHECK_MESSAGE(plan.status().message().find(message) != std::string::npos,
                  plan.status().message());
  }

  Stored io;
  MovieGenPipeline p;
  Request request;
  std::vector<uint8_t> expected;
};

}  // namespace

TEST_CASE("Movie Gen's spatial upsampler, in windows whose results are averaged") {
  Pipeline it("upsampler");
  Request prompt = it.request, darker = it.request, rate = it.request;
  prompt.prompt = "softer";
  for (uint8_t& x : darker.known.source.pixels) x /= 2;
  rate.clip.fps = 24;
  it.check({{"prompt", prompt}, {"source", darker}, {"rate", rate}});
  Request none = it.request;
  none.known.source = {};
  it.refuse(none, "--video");
  none.known.first = {{}, 1};
  it.refuse(none, "a clip to make anew (--video)");
}

TEST_CASE("Memory of the upsampler does not grow with the clip") {
  const Pipeline it("upsampler");
  const auto engine = require_ok(Engine::create(model_of(it.io, it.p), {}));
  int64_t peak = 0;
  for (const int64_t frames : {5, 9, 200}) {
    Request request = it.request;
    request.noise.clear();
    request.clip.frames = request.known.source.frames = frames;
    const RequestPlan plan = require_ok(engine->plan(request));
    CHECK(plan.find(plan.stage)->calls == 3.0 * std::ceil(static_cast<double>(frames - 2) / 2));
    if (peak == 0) peak = plan.peak_bytes();
    CHECK(plan.peak_bytes() == peak);
  }
}

TEST_CASE("Movie Gen Edit, guided by words and by the clip") {
  Pipeline it("edit");
  Request task = it.request, negative = it.request, darker = it.request, unguided = it.request;
  task.classes = {};  // the preset one
  negative.negative = "sharp";
  for (uint8_t& x : darker.known.source.pixels) x /= 2;
  unguided.guidance = 1;
  it.check({{"task", task}, {"negative", negative}, {"source", darker}, {"guidance", unguided}});
  // One term after the other is the same.
  it.request.guidance_mode = GuidanceMode::kSequential;
  it.check({});
  Request wrong = it.request;
  wrong.classes = {"juggle"};
  it.refuse(wrong, "juggle");
  wrong = it.request;
  wrong.known.source.frames = 20;
  it.refuse(wrong, "expected 21");
  MovieGenConfig odd = it.p.dit;
  odd.source = false;
  CHECK_FALSE(build_moviegen_dit(odd).ok());
}

TEST_CASE("Personalised Movie Gen, with pictures behind the words") {
  const Pipeline it("personalised");
  Request one = it.request, turned = it.request;
  one.known.references.pop_back();
  std::swap(turned.known.references[0], turned.known.references[1]);
  it.check({{"one", one}, {"turned", turned}});
  Request wrong = it.request;
  wrong.known.references.clear();
  it.refuse(wrong, "--reference");
  wrong.known.references.resize(4);
  it.refuse(wrong, "1 to 3");
}

TEST_CASE("Models that take no such clip or picture say what they take") {
  Pipeline it("personalised");
  it.p.dit.reference_width = 0;
  Request wrong = it.request;
  wrong.known.references.resize(1);
  it.refuse(wrong, "it takes nothing but words");
  wrong = it.request;
  wrong.known.references.clear();
  wrong.known.source.frames = 6;
  it.refuse(wrong, "it takes nothing but words");
  wrong.known.source.frames = 0;
  wrong.clip.fps = 30;
  it.refuse(wrong, "a rate of 30");
}

// Into the folder that ZOETROPE_WRITE_MODELS names (tests/cli/anew_test.py), else into one of its
// own.
TEST_CASE("Movie Gen's cast as model files") {
  const char* named = std::getenv("ZOETROPE_WRITE_MODELS");
  const TemporaryFolder own = TemporaryFolder::in_memory();
  const std::string folder = named != nullptr ? std::string(named) + "/" : own / "";
  for (const char* name : {"upsampler", "edit", "personalised"}) {
    const Pipeline it(name);
    const Model model = model_of(it.io, it.p);
    ModelInfo info;
    info.name = info.family = name;
    info.tokenizers = {{"", "bytes"}};
    info.recipe = recipe_to_json(model.recipe);
    std::vector<TensorSource> tensors;
    for (const auto& [component, graph] : model.components) {
      info.components.push_back(graph);
      for (const ValueId id : graph.weights()) {
        const std::string& weight = graph.values[static_cast<size_t>(id)].name;
        if (std::any_of(tensors.begin(), tensors.end(),
                        [&](const TensorSource& t) { return t.name == weight; }))
          continue;
        tensors.push_back({weight, require_ok(model.weights->type(weight)), std::nullopt,
                           [&model, weight] { return model.weights->load(weight); }});
      }
    }
    const std::string path = folder + name + ".zoe";
    const Status written = write_model(path, info, std::move(tensors));
    REQUIRE_MESSAGE(written.ok(), written.message());
    CHECK(require_ok(Engine::open(path, {}))->plan(it.request).ok());
  }
}
