// What an engine promises: lies of a model file are found at opening, a second request loads
// nothing, requests are cancelled from outside, and threads may do as they like.
#include <doctest/doctest.h>

#include <atomic>
#include <cmath>
#include <fstream>
#include <functional>
#include <thread>

#include "converters/convert.h"
#include "graph/builder.h"
#include "models/registry.h"
#include "runtime/text/sentencepiece.h"
#include "tests/devices.h"
#include "tests/pipelines/tiny_toybox.h"
#include "tests/plan/lacking_device.h"
#include "tests/support/temporary_folder.h"

using namespace zoetrope;
using namespace zoetrope::tiny;

namespace {

// Opening the fixture after a change fails, with these words, before any device is opened.
void check_refused(const std::function<void(Fixture&)>& change, const std::string& words,
                   Code code = Code::kDataLoss) {
  Fixture fixture;
  change(fixture);
  EngineOptions options;
  options.placement.device = "no such device";
  auto engine = Engine::create(fixture.model, std::move(options));
  REQUIRE_MESSAGE(!engine.ok(), words);
  CHECK_MESSAGE(engine.status().code() == code, engine.status().message());
  CHECK_MESSAGE(engine.status().message().find(words) != std::string::npos,
                engine.status().message());
}

Graph retyped(Graph graph, const std::string& input, DType dtype) {
  for (ValueId id : graph.inputs)
    if (graph.value(id).name == input) graph.value(id).type.dtype = dtype;
  return graph;
}

// A graph of one input and one output with any relation of their shapes.
Graph lying_codec(const std::string& name, const std::string& in, std::vector<Dim> in_dims,
                  const std::string& out, std::vector<Dim> out_dims, DType dtype = DType::kF32) {
  Builder b(name);
  b.input(in, DType::kF32, std::move(in_dims));
  b.output(out, b.fill(0, std::move(out_dims), dtype));
  auto graph = b.finish();
  REQUIRE_MESSAGE(graph.ok(), graph.status().message());
  return std::move(*graph);
}

const Dim kB = Dim::symbol("batch"), kT = Dim::symbol("frames"), kH = Dim::symbol("height"),
          kW = Dim::symbol("width"), kA = Dim::symbol("audio_length");

}  // namespace

TEST_CASE("an honest model opens without any device") {
  const Fixture fixture;
  EngineOptions options;
  options.placement.device = "no such device";
  CHECK(Engine::create(fixture.model, std::move(options)).ok());
}

TEST_CASE("every built-in model with a recipe opens: its components are what the recipe says") {
  int opened = 0;
  for (const BuiltinModel& builtin : builtin_models()) {
    if (builtin.recipe == nullptr) continue;
    CAPTURE(std::string(builtin.name));
    const TemporaryFolder folder;
    const std::string path = folder.file("m.zoe");
    const Status converted =
        convert({.input = "synthetic:" + std::string(builtin.name), .output = path});
    REQUIRE_MESSAGE(converted.ok(), converted.message());
    EngineOptions options;
    options.placement.device = "no such device";
    const auto engine = Engine::open(path, std::move(options));
    CHECK_MESSAGE(engine.ok(), engine.status().message());
    ++opened;
  }
  CHECK(opened >= 9);
}

TEST_CASE("a recipe that its components do not bear out is refused at opening") {
  const auto video = [](Fixture& f) -> LatentSpec& { return f.model.recipe.latents[0]; };
  const auto sound = [](Fixture& f) -> LatentSpec& { return f.model.recipe.latents[1]; };
  check_refused([&](Fixture& f) { video(f).pixels = 16; }, "tae_encoder");
  check_refused([&](Fixture& f) { video(f).first_frames = 1; }, "tae_encoder");
  check_refused(
      [&](Fixture& f) {
        video(f).later_frames = 4;
        f.stage<DecodeVideo>().tiles = {};
      },
      "tae_");
  check_refused([&](Fixture& f) { sound(f).samples = 320; }, "codec_encoder");
  check_refused([&](Fixture& f) { f.model.recipe.clip.sound_channels = 1; }, "codec_encoder");
  check_refused(
      [&](Fixture& f) {
        video(f).channels = 3;
        video(f).mean.assign(3, 0);
        video(f).std.assign(3, 1);
      },
      "tae_encoder");
  check_refused([](Fixture& f) { f.stage<Denoise>().time = "when"; }, "no input 'when'");
  check_refused([](Fixture& f) { f.stage<Denoise>().streams[0].output = "noise"; },
                "no output 'noise'");
  check_refused([](Fixture& f) { f.stage<Denoise>().conditions.pop_back(); },
                "nothing gives input 'text_lengths'");
  check_refused(
      [](Fixture& f) {
        std::swap(f.stage<Denoise>().conditions[0].input, f.stage<Denoise>().conditions[1].input);
      },
      "dit");
  check_refused([](Fixture& f) { f.stage<Denoise>().guidance_channels = 4000; }, "4000");
  check_refused([](Fixture& f) { f.stage<DecodeVideo>().component = "decoder"; },
                "no component 'decoder'");
  check_refused([](Fixture& f) { f.stage<EncodeText>().output = "ids"; }, "no output 'ids'");
  check_refused([](Fixture& f) { f.stage<EncodeText>().tokenizer_name = "other"; },
                "no tokenizer 'other'");
  check_refused(
      [](Fixture& f) {
        f.stage<EncodeText>().pooled = "whole";
        f.stage<EncodeText>().gives_pooled = "pooled";
      },
      "no output 'whole'");
  check_refused([](Fixture& f) { f.model.tokenizers[""].kind = "sentencepiece"; }, "tokenizer");
  check_refused(
      [](Fixture& f) {
        f.model.tokenizers[""].kind = "sentencepiece";
        f.stage<EncodeText>().tokenizer = EncodeText::Tokenizer::kSentencePiece;
      },
      "holds no sentencepiece model");
  check_refused(
      [](Fixture& f) { f.stage<Denoise>().sampler = DiffusionSpec(); },  // learned variance
      "video_velocity");
}

TEST_CASE("components that lie about shapes and types are refused at opening") {
  const auto replace = [](Graph graph) {
    return [graph = std::move(graph)](Fixture& f) { f.model.components.at(graph.name) = graph; };
  };
  // Fewer frames than the recipe says; pixels of another type; more latents wanted than there are.
  const Fixture f;
  const int64_t c = f.model.recipe.latents[0].channels, s = f.model.recipe.latents[1].channels;
  check_refused(replace(lying_codec("tae_decoder", "latents", {kB, kT, kH, kW, c}, "video",
                                    {kB, kT, kH * 8, kW * 8, 3})),
                "output 'video'");
  check_refused(replace(lying_codec("tae_decoder", "latents", {kB, kT, kH, kW, c}, "video",
                                    {kB, kT * 8, kH * 8, kW * 8, 3}, DType::kF64)),
                "f64");
  check_refused(replace(lying_codec("tae_decoder", "latents", {kB, kT, kH, kW, c}, "video",
                                    {kB, kT * 8, kH * 8, kW * 8, 3}, DType::kI8)),
                "i8");
  check_refused(replace(lying_codec("tae_decoder", "latents", {kB, kT * 4096, kH, kW, c}, "video",
                                    {kB, kT * 8, kH * 8, kW * 8, 3})),
                "tae_decoder");
  check_refused(replace(lying_codec("tae_encoder", "video", {kB, kT, kH, kW, 3}, "latents",
                                    {kB, 1, 1, 1, c})),
                "output 'latents'");
  check_refused(replace(lying_codec("codec_decoder", "latents", {kB, kA, s}, "audio", {kB, kA, 2})),
                "output 'audio'");
  check_refused(
      [](Fixture& x) {
        Graph& dit = x.model.components.at("dit");
        dit = retyped(dit, "text_lengths", DType::kF32);
      },
      "text_lengths");
}

TEST_CASE("a second request makes no session, loads nothing and gives the same bits") {
  const Fixture fixture;
  const auto engine = fixture.engine("cpu", 0, "", /*keep=*/true);
  Request request = small_clip();
  const Collect first = run(*engine, request);
  const int64_t made = engine->sessions_made(), held = engine->held_bytes();
  CHECK(made == 4);
  std::vector<std::string> tasks;
  RunHooks hooks;
  hooks.progress = [&](std::string_view task, double, double) {
    if (tasks.empty() || tasks.back() != task) tasks.emplace_back(task);
    return true;
  };
  Collect second;
  second.frame_bytes = request.clip.width * request.clip.height * 3;
  REQUIRE(engine->run(request, second, hooks).ok());
  std::string joined;
  for (const std::string& task : tasks) joined += task + ";";
  CHECK(joined == "encode text;denoise;decode sound;decode video;");
  CHECK(engine->sessions_made() == made);
  CHECK(engine->held_bytes() == held);
  CHECK(second.video == first.video);
  CHECK(second.sound == first.sound);
  // What ran between does not matter.
  Request other = request;
  other.prompt = "a blue ring";
  other.known.first = {std::vector<uint8_t>(24 * 16 * 3, 90), 1};
  run(*engine, other);
  CHECK(engine->sessions_made() > made);  // the encoder of one frame, a longer or shorter text
  CHECK(run(*engine, request).video == first.video);
  engine->release();
  CHECK(engine->held_bytes() < held / 10);
  CHECK(run(*engine, request).sound == first.sound);
}

TEST_CASE("what kept sessions hold in all is planned") {
  const Fixture fixture;
  for (const bool keep : {false, true}) {
    const auto engine = fixture.engine("cpu", 0, "", keep);
    for (int again = 0; again < 2; ++again) {
      RunStats stats;
      run(*engine, small_clip(), &stats);
      // Small tensors are rounded up to the device's alignment.
      CHECK(stats.peak_bytes >= stats.planned_peak_bytes);
      CHECK(stats.peak_bytes <= stats.planned_peak_bytes + stats.planned_peak_bytes / 200);
    }
  }
}

TEST_CASE("sessions that a budget has no room for make place for the next") {
  const Fixture fixture;
  const auto engine = fixture.engine("cpu", 0, "", /*keep=*/true);
  Request request = small_clip();
  auto plan = engine->plan(request);
  REQUIRE(plan.ok());
  request.memory_budget = plan->largest().bytes() * 11 / 10;
  REQUIRE(request.memory_budget < plan->peak_bytes());
  RunStats stats;
  run(*engine, request, &stats);
  run(*engine, request, &stats);
  CHECK(stats.peak_bytes <= request.memory_budget);
}

TEST_CASE("a request is cancelled from another thread at its next step, and while it waits") {
  const Fixture fixture;
  const auto engine = fixture.engine("cpu");
  Request request = small_clip();
  request.steps = 10000;
  std::stop_source first, second;
  std::atomic<int> steps{0};
  Status first_status, second_status;
  std::thread runs([&] {
    Collect sink;
    RunHooks hooks;
    hooks.stop = first.get_token();
    hooks.progress = [&](std::string_view task, double done, double) {
      if (task == "denoise") steps = static_cast<int>(done);
      return true;
    };
    first_status = engine->run(request, sink, hooks).status();
  });
  while (steps < 2) std::this_thread::yield();
  std::thread waits([&] {
    Collect sink;
    RunHooks hooks;
    hooks.stop = second.get_token();
    second_status = engine->run(request, sink, hooks).status();
  });
  second.request_stop();
  waits.join();
  CHECK(second_status.code() == Code::kCancelled);
  const int before = steps;
  first.request_stop();
  runs.join();
  CHECK(first_status.code() == Code::kCancelled);
  CHECK(steps < before + 1000);
  request.steps = 1;
  run(*engine, request);  // the queue goes on
}

TEST_CASE("threads plan and run at once, and each gets what it asked for") {
  const Fixture fixture;
  const auto engine = fixture.engine("cpu", 1, "", /*keep=*/true);
  Request request = small_clip();
  request.steps = 2;
  std::vector<Collect> expected;
  for (uint64_t seed : {1, 2}) {
    request.seed = seed;
    expected.push_back(run(*engine, request));
  }
  std::atomic<int> wrong{0}, plans{0};
  {
    std::vector<std::jthread> threads;
    for (size_t i = 0; i < 2; ++i)
      threads.emplace_back([&, i] {
        Request mine = request;
        mine.seed = i + 1;
        Collect sink;
        sink.frame_bytes = mine.clip.width * mine.clip.height * 3;
        if (!engine->run(mine, sink).ok() || sink.video != expected[i].video ||
            sink.sound != expected[i].sound)
          ++wrong;
      });
    threads.emplace_back([&] {
      for (int64_t frames : {3, 9, 17}) {
        Request mine = request;
        mine.clip.frames = frames;
        if (engine->plan(mine).ok()) ++plans;
      }
    });
    threads.emplace_back([&] {
      for (int i = 0; i < 3; ++i) engine->release();
    });
  }
  CHECK(wrong == 0);
  CHECK(plans == 3);
}

TEST_CASE("parts of a clip run on devices of different kinds, halves of a step on two at once") {
  const Fixture fixture;
  const Request request = small_clip();
  const Collect whole = run(*fixture.engine("cpu"), request);
  EngineOptions options;
  auto placement =
      parse_placement("text=reference,denoise=cpu+reference,decode_sound=reference", "cpu");
  REQUIRE(placement.ok());
  options.placement = *placement;
  const auto engine = fixture.make_engine(std::move(options));
  const auto plan = engine->plan(request);
  REQUIRE_MESSAGE(plan.ok(), plan.status().message());
  CHECK(plan->networks[0].halves);
  const std::string text = request_plan_to_text(*plan, false);
  for (const char* words : {"encode text (1 call) on reference", "denoise, wanted (3 calls) on cpu",
                            "denoise, unwanted (3 calls) on reference",
                            "decode sound (1 call) on reference", "decode video (1 call) on cpu"})
    CHECK_MESSAGE(text.find(words) != std::string::npos, text);
  const Collect placed = run(*engine, request);
  REQUIRE(placed.sound.size() == whole.sound.size());
  double worst = 0;
  for (size_t i = 0; i < whole.sound.size(); ++i)
    worst = std::max<double>(worst, std::fabs(whole.sound[i] - placed.sound[i]));
  CHECK(worst < 1e-4);
  for (size_t i = 0; i < whole.video.size(); ++i)
    REQUIRE(std::abs(int{whole.video[i]} - placed.video[i]) <= 1);

  for (const char* bad : {"nose=cpu", "decode=cpu+reference", "denoise=cpu+cpu", "denoise", "=cpu",
                          "text=cpu,text=cpu"}) {
    EngineOptions wrong;
    auto parsed = parse_placement(bad, "cpu");
    if (parsed.ok()) wrong.placement = *parsed;
    const bool refused = !parsed.ok() || !Engine::create(fixture.model, std::move(wrong)).ok();
    CHECK_MESSAGE(refused, bad);
  }
}

TEST_CASE(
    "a smaller budget drops what earlier requests left, also where its own sessions are kept") {
  const Fixture fixture;
  const auto engine = fixture.engine("cpu", 0, "", /*keep=*/true);
  Request large = small_clip(), small = small_clip();
  large.clip = {.width = 64, .height = 48, .frames = 24};
  run(*engine, small);
  const auto plan = engine->plan(small);
  REQUIRE_MESSAGE(plan.ok(), plan.status().message());
  run(*engine, large);
  small.memory_budget = plan->largest().bytes();
  REQUIRE(engine->held_bytes() > 2 * small.memory_budget);
  run(*engine, small);
  CHECK(engine->held_bytes() <= small.memory_budget + small.memory_budget / 100 + 4096);
}

TEST_CASE("what a device has no kernel for runs on the CPU, and plan and run say so") {
  const Fixture fixture;
  const Request request = small_clip();
  const Collect whole = run(*fixture.engine("cpu"), request);
  EngineOptions options;
  options.placement.device = "lacking";
  const auto engine = fixture.make_engine(std::move(options));
  auto reference = open_device("reference");
  REQUIRE(reference.ok());
  engine->add_device("lacking", std::make_unique<Lacking>(std::move(*reference),
                                                          std::set<OpKind>{OpKind::kAttention}));
  const auto plan = engine->plan(request);
  REQUIRE_MESSAGE(plan.ok(), plan.status().message());
  CHECK(request_plan_to_text(*plan, false).find("run on cpu:") != std::string::npos);
  std::string notices;
  RunHooks hooks;
  hooks.notice = [&](const std::string& text) { notices += text + "\n"; };
  Collect placed;
  placed.frame_bytes = request.clip.width * request.clip.height * 3;
  const auto stats = engine->run(request, placed, hooks);
  REQUIRE_MESSAGE(stats.ok(), stats.status().message());
  CHECK_MESSAGE(notices.find("'denoise': lacking has no kernel for") != std::string::npos, notices);
  CHECK_MESSAGE(notices.find("attention") != std::string::npos, notices);
  REQUIRE(placed.video.size() == whole.video.size());
  for (size_t i = 0; i < whole.video.size(); ++i)
    REQUIRE(std::abs(int{whole.video[i]} - placed.video[i]) <= 1);
}

TEST_CASE("prompts are cleaned and cut into pieces by the tokenizer that the file holds") {
  Fixture fixture;
  std::vector<uint8_t> bytes;
  {
    std::ifstream file(std::string(ZOETROPE_SOURCE_DIR) + "/tests/text/data/identity.model",
                       std::ios::binary);
    bytes.assign(std::istreambuf_iterator<char>(file), {});
  }
  auto opened = SentencePiece::open(bytes);
  REQUIRE_MESSAGE(opened.ok(), opened.status().message());
  // Beside the file's own, under a name.
  fixture.model.tokenizers["pieces"] = {"sentencepiece", std::move(*opened)};
  EncodeText& text = fixture.stage<EncodeText>();
  text.tokenizer = EncodeText::Tokenizer::kSentencePiece;
  text.tokenizer_name = "pieces";
  text.clean = true;
  text.bos = -1;
  text.eos = 1;
  text.pad = 0;
  const auto engine = fixture.engine("cpu");
  Request one = small_clip(), other = small_clip();
  one.steps = other.steps = 1;
  one.prompt = "fish &amp;  chips\n";
  other.prompt = "fish & chips";
  CHECK(run(*engine, one).video == run(*engine, other).video);
  const auto plan = engine->plan(one);
  REQUIRE_MESSAGE(plan.ok(), plan.status().message());
  const auto ids =
      fixture.model.tokenizers["pieces"].data->encode("fish & chips", -1, 1, text.max_ids);
  REQUIRE(ids.ok());
  CHECK(plan->jobs[0].plan->bindings.at("text_length") == static_cast<int64_t>(ids->ids.size()));
  text.pad = 1 << 20;
  const auto beyond = Engine::create(fixture.model, {});
  REQUIRE_FALSE(beyond.ok());
  CHECK(beyond.status().message().find("beyond the tokenizer") != std::string::npos);
}

TEST_CASE("a component runs on given tensors, with dumps") {
  const Fixture fixture;
  const auto engine = fixture.engine("cpu");
  const std::vector<int32_t> ids{256, 'a', 'b', 257, 256, 'c', 257, 258}, lengths{4, 3};
  ComponentCall call;
  call.component = "text_encoder";
  call.inputs = {{"ids", {DType::kI32, {2, 4}}}, {"lengths", {DType::kI32, {2}}}};
  call.data = {ids.data(), lengths.data()};
  auto plain = engine->run_component(call);
  REQUIRE_MESSAGE(plain.ok(), plain.status().message());
  REQUIRE(plain->size() == 1);
  CHECK((*plain)[0].name == "text");
  const Graph& graph = *engine->model().component("text_encoder");
  // The node behind the output gives the same.
  for (const GraphOutput& out : graph.outputs)
    call.dump = {graph.nodes[static_cast<size_t>(graph.value(out.value).producer)].name};
  auto dumped = engine->run_component(call);
  REQUIRE_MESSAGE(dumped.ok(), dumped.status().message());
  REQUIRE(dumped->size() == 2);
  CHECK((*dumped)[0].bytes == (*plain)[0].bytes);
  CHECK((*dumped)[1].bytes == (*plain)[0].bytes);
  call.dump = {"nothing"};
  CHECK(engine->run_component(call).status().message().find("'nothing'") != std::string::npos);
  call.dump.clear();
  call.inputs[0].type.shape = {2, 5};
  call.inputs[1].type.shape = {3};
  CHECK(engine->run_component(call).status().code() == Code::kInvalidArgument);
  call.inputs.pop_back();
  CHECK(engine->run_component(call).status().message().find("'lengths'") != std::string::npos);
}
