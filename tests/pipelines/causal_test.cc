// Causal autoencoders in the engine, against what diffusers computes with the same weights: chunk
// by chunk, with several latents a call, on several devices, in the memory that the plan says.
#include "tests/devices.h"
#include "tests/pipelines/tiny_wan.h"

using namespace zoetrope;
using namespace zoetrope::tiny_wan;

namespace {

const char* const kNames[] = {"vae_2_1", "vae_2_2", "vae_short", "vae_deep"};

Placement on(const std::string& device) {
  Placement placement;
  placement.device = device;
  return placement;
}

// Frames of the decoder, in [-1, 1].
std::vector<float> decode(const TinyWan& wan, OneStage* stage, const EvalTensor& latents) {
  std::vector<float> x = first_sample(latents), frames;
  normalize_latents(wan.latents(), x);
  const auto& s = std::get<DecodeVideo>(wan.model.recipe.stages[wan.index("decode_video")]);
  const Status ran = stage->run([&](RunContext* c) {
    return decode_causally(s, wan.latents(), x, c, [&](std::span<float> values) {
      frames.insert(frames.end(), values.begin(), values.end());
      return Status();
    });
  });
  REQUIRE_MESSAGE(ran.ok(), ran.message());
  return frames;
}

std::vector<float> encode(const TinyWan& wan, OneStage* stage, const EvalTensor& video) {
  const std::vector<float> all = first_sample(video);
  const int64_t frames = video.shape[1];
  const size_t frame = all.size() / static_cast<size_t>(frames);
  const auto& s = std::get<StartPicture>(wan.model.recipe.stages[wan.index("start_picture")]);
  std::vector<float> latents;
  const Status ran = stage->run([&](RunContext* c) -> Status {
    ZT_ASSIGN_OR_RETURN(latents,
                        encode_frames(
                            {s.component, s.input, s.output, s.first}, wan.latents(), frames,
                            [&](int64_t first, int64_t count, std::span<float> pixels) {
                              std::copy_n(all.begin() + first * static_cast<int64_t>(frame),
                                          static_cast<size_t>(count) * frame, pixels.begin());
                            },
                            c));
    return Status();
  });
  REQUIRE_MESSAGE(ran.ok(), ran.message());
  denormalize_latents(wan.latents(), latents);
  return latents;
}

void check_decoding(const char* name, const char* number, Placement placement, int64_t a_call,
                    double tolerance, DType compute = DType::kF32) {
  CAPTURE(name);
  CAPTURE(number);
  CAPTURE(a_call);
  const TinyWan wan(name);
  const EvalTensor latents = wan.saved.io.tensor(std::string(number) + ".in.latents");
  Request request = wan.request(latents.shape);
  request.decode_tile = a_call;
  request.compute = compute;
  OneStage stage(wan, "decode_video", std::move(placement), request);
  const Status planned = stage.plan();
  REQUIRE_MESSAGE(planned.ok(), planned.message());
  const double error =
      relative_error(decode(wan, &stage, latents),
                     first_sample(wan.saved.io.tensor(std::string(number) + ".out.video")));
  CHECK_MESSAGE(error <= tolerance, error);
}

void check_encoding(const char* name, const char* number, Placement placement, double tolerance) {
  CAPTURE(name);
  CAPTURE(number);
  const TinyWan wan(name);
  const EvalTensor video = wan.saved.io.tensor(std::string(number) + ".in.video");
  const EvalTensor mean = wan.saved.io.tensor(std::string(number) + ".out.mean");
  Request request = wan.request(mean.shape);
  request.start.frames = request.clip.frames;
  OneStage stage(wan, "start_picture", std::move(placement), request);
  const Status planned = stage.plan();
  REQUIRE_MESSAGE(planned.ok(), planned.message());
  const double error = relative_error(encode(wan, &stage, video), first_sample(mean));
  CHECK_MESSAGE(error <= tolerance, error);
}

}  // namespace

TEST_CASE("decoding equals diffusers' at any length and with any latents a call") {
  for (const char* name : kNames)
    for (const char* number : {"0", "1", "2"})
      for (int64_t a_call : {kAutomaticTile, int64_t{1}, int64_t{2}, int64_t{3}, kWholeClip})
        check_decoding(name, number, on("cpu"), a_call, 1e-4);
}

TEST_CASE("encoding equals diffusers'") {
  for (const char* name : kNames)
    for (const char* number : {"0", "1"}) check_encoding(name, number, on("cpu"), 1e-4);
}

TEST_CASE("states go from one device to another") {
  for (const char* first : {"reference", "cpu"}) {
    Placement apart = on(first == std::string("cpu") ? "reference" : "cpu");
    apart.entries = {{"decoder_first", {first}}, {"encoder_first", {first}}};
    check_decoding("vae_2_1", "0", apart, 1, 1e-4);
    check_encoding("vae_2_2", "0", apart, 1e-4);
  }
}

TEST_CASE("Vulkan decodes and encodes as diffusers does") {
  if (!needs_device("vulkan")) return;
  for (const char* name : {"vae_2_1", "vae_2_2"}) {
    check_decoding(name, "0", on("vulkan"), 1, 1e-4);
    check_decoding(name, "0", on("vulkan"), kWholeClip, 1e-4);
    check_encoding(name, "0", on("vulkan"), 1e-4);
  }
}

TEST_CASE("in bf16 states are as narrow as what reads them, and a session holds what was planned") {
  for (const char* device : {"cpu", "reference"})
    for (DType compute : {DType::kF32, DType::kBF16}) {
      CAPTURE(device);
      CAPTURE(dtype_name(compute));
      if (device == std::string("reference") && compute == DType::kBF16) continue;
      const TinyWan wan("vae_2_1");
      const EvalTensor latents = wan.saved.io.tensor("1.in.latents");
      Request request = wan.request(latents.shape);
      request.compute = compute;
      request.decode_tile = 1;
      OneStage stage(wan, "decode_video", on(device), request);
      REQUIRE(stage.plan().ok());
      const RequestPlan& plan = stage.made();
      REQUIRE(plan.jobs.size() == 2);
      for (const Job& job : plan.jobs) {
        CHECK(job.shares_arena);
        CHECK_FALSE(job.plan->states.empty());
        // The finest level's are most of all: they are written where they lie.
        for (const PlanState& s : job.plan->states)
          if (s.name.starts_with("decoder.up_blocks.3")) CHECK(s.state.offset == s.next.offset);
        for (const StatePair& pair : job.plan->graph.states)
          CHECK(job.plan->graph.value(pair.state).type.dtype == compute);
      }
      const double error = relative_error(decode(wan, &stage, latents),
                                          first_sample(wan.saved.io.tensor("1.out.video")));
      CHECK_MESSAGE(error <= (compute == DType::kF32 ? 1e-4 : 3e-2), error);
      CHECK(stage.peak_bytes <= plan.peak_bytes() + plan.peak_bytes() / 100 + 3 * 4096);
      CHECK(stage.peak_bytes >= plan.peak_bytes() - plan.peak_bytes() / 100);
    }
}

namespace {

EvalTensor noise(Shape shape, double seed) {
  EvalTensor x{shape, {}};
  for (int64_t i = 0; i < shape.elements(); ++i)
    x.data.push_back(1.5 * std::sin(seed + 12.9898 * static_cast<double>(i) +
                                    std::fmod(static_cast<double>(i * i), 977.0)));
  return x;
}

double decibels(const std::vector<float>& got, const std::vector<float>& expected) {
  double off = 0;
  for (size_t i = 0; i < got.size(); ++i) off += std::pow(double{got[i]} - expected[i], 2);
  return 10 * std::log10(4 * static_cast<double>(got.size()) / off);  // pixels span 2
}

class Pixels : public ClipSink {
 public:
  Status frames(const uint8_t* pixels, int64_t count) override {
    bytes.insert(bytes.end(), pixels, pixels + count * frame);
    return Status();
  }
  Status audio(const float*, int64_t) override { return error(Code::kInternal, "sound"); }
  int64_t frame = 0;
  std::vector<uint8_t> bytes;
};

Result<std::vector<uint8_t>> generate(Engine& engine, const Request& request,
                                      const RunHooks& hooks = {}) {
  Pixels sink;
  sink.frame = request.clip.width * request.clip.height * 3;
  ZT_RETURN_IF_ERROR(engine.run(request, sink, hooks).status());
  return sink.bytes;
}

}  // namespace

TEST_CASE("memory does not follow the length") {
  const TinyWan wan("vae_2_1");
  int64_t before = 0;
  for (int64_t latents : {5, 9, 25}) {
    Request request = wan.request({1, latents, 2, 3, 5});
    request.start.frames = request.clip.frames;
    for (const char* kind : {"decode_video", "start_picture"}) {
      OneStage stage(wan, kind, on("cpu"), request);
      REQUIRE(stage.plan().ok());
      if (kind != std::string("decode_video")) continue;
      if (before > 0) CHECK(stage.made().peak_bytes() == before);
      before = stage.made().peak_bytes();
    }
  }
}

TEST_CASE("parts may take turns, and a budget is kept by tiles") {
  const TinyWan wan("vae_2_1");
  const EvalTensor latents = noise({1, 3, 24, 26, 5}, 1);
  Request request = wan.request(latents.shape);
  request.decode_tile = 1;
  OneStage whole(wan, "decode_video", on("cpu"), request);
  REQUIRE(whole.plan().ok());
  const std::vector<float> expected = decode(wan, &whole, latents);

  // Where the plan says that only one of the two is there at a time, states go over the host.
  OneStage turns(wan, "decode_video", on("cpu"), request);
  REQUIRE(turns.plan().ok());
  for (Job& job : turns.made().jobs) job.shares_arena = false, job.beside_bytes = 0;
  CHECK(decode(wan, &turns, latents) == expected);

  request.memory_budget = whole.made().peak_bytes() * 2 / 3;
  OneStage tiled(wan, "decode_video", on("cpu"), request);
  REQUIRE(tiled.plan().ok());
  const Job& job = tiled.made().jobs[0];
  CHECK(job.rows.tiles.size() * job.columns.tiles.size() > 1);
  CHECK(tiled.made().peak_bytes() <= request.memory_budget);
  const double found = decibels(decode(wan, &tiled, latents), expected);
  MESSAGE(job.rows.tiles.size(), "x", job.columns.tiles.size(), " tiles of ", job.rows.length, ": ",
          found, " dB");
  CHECK(found >= 25);
  CHECK(tiled.peak_bytes <= request.memory_budget + request.memory_budget / 100 + 4096);
  const auto engine = wan.engine("cpu");
  const RequestPlan shown = require_ok(engine->plan(request));
  const std::string tiles = str(job.rows.tiles.size(), "x", job.columns.tiles.size(), " tiles of ",
                                job.rows.length, "x", job.columns.length);
  CHECK(request_plan_to_text(shown, false).find(tiles) != std::string::npos);
}

TEST_CASE("an encoder in tiles is close to the whole") {
  const TinyWan wan("vae_2_1");
  const EvalTensor video = noise({1, 9, 192, 208, 3}, 2);
  Request request = wan.request({1, 3, 24, 26, 5});
  request.start.frames = request.clip.frames;
  OneStage whole(wan, "start_picture", on("cpu"), request);
  REQUIRE(whole.plan().ok());
  const std::vector<float> expected = encode(wan, &whole, video);
  request.memory_budget = whole.made().peak_bytes() / 2;
  OneStage tiled(wan, "start_picture", on("cpu"), request);
  REQUIRE(tiled.plan().ok());
  CHECK(tiled.made().jobs[0].rows.tiles.size() > 1);
  const double error = relative_error(encode(wan, &tiled, video), expected);
  MESSAGE("relative error ", error);
  CHECK(error <= 0.2);
}

// make_wan_tiles.py says which part is diffusers' too. Frames are cut to [-1, 1] before they are
// blended here, and behind it there: some of these lie beyond.
TEST_CASE("tiles are blended as diffusers blends them, decoding and encoding") {
  TinyWan wan("vae_2_1");
  wan.stage<DecodeVideo>().tiles = {.length = 4, .overlap = 2, .reach = 0};
  const ParityFixture io("wan/tiles_io");
  for (const std::string name : {"rows", "columns"}) {
    CAPTURE(name);
    const EvalTensor latents = io.tensor(name + ".in.latents");
    Request request = wan.request(latents.shape);
    request.start.frames = request.clip.frames;
    const auto check = [&](const std::vector<float>& found, const Shape& shape,
                           const EvalTensor& expected, double tolerance) {
      // [1, time, rows, columns, channels], of which `expected` has the first rows and columns.
      const Shape& part = expected.shape;
      double off = 0, norm = 0;
      size_t i = 0;
      for (int64_t t = 0; t < part[1]; ++t)
        for (int64_t y = 0; y < part[2]; ++y)
          for (int64_t x = 0; x < part[3]; ++x)
            for (int64_t k = 0; k < part[4]; ++k, ++i) {
              const int64_t at = ((t * shape[2] + y) * shape[3] + x) * shape[4] + k;
              off += std::pow(found[static_cast<size_t>(at)] - expected.data[i], 2);
              norm += std::pow(expected.data[i], 2);
            }
      CHECK_MESSAGE(std::sqrt(off / norm) <= tolerance, std::sqrt(off / norm));
    };
    OneStage decoding(wan, "decode_video", on("cpu"), request);
    REQUIRE(decoding.plan().ok());
    const Job& job = decoding.made().jobs[0];
    CHECK(job.rows.tiles.size() + job.columns.tiles.size() == 4);
    const int64_t frame = request.clip.height * request.clip.width * 3;
    CHECK(job.host_bytes == request.clip.frames * frame * 4);
    CHECK(job.bytes() >= job.plan->memory.total_bytes() + job.host_bytes);
    check(decode(wan, &decoding, latents),
          {1, request.clip.frames, request.clip.height, request.clip.width, 3},
          io.tensor(name + ".tiled.video"), 2e-3);
    CHECK(decoding.peak_bytes >= job.host_bytes);
    OneStage encoding(wan, "start_picture", on("cpu"), request);
    REQUIRE(encoding.plan().ok());
    check(encode(wan, &encoding, io.tensor(name + ".in.video")), latents.shape,
          io.tensor(name + ".tiled.mean"), kForwardTolerance);
  }
}

TEST_CASE("requests do not see each other's states") {
  const TinyWan wan("vae_2_1");
  const auto engine = wan.engine("cpu", /*keep=*/true);
  Request request = wan.request({1, 5, 2, 3, 5}), single = wan.request({1, 1, 2, 3, 5});
  request.seed = 7;
  const auto first = require_ok(generate(*engine, request));
  const int64_t made = engine->sessions_made();
  request.seed = 8;
  CHECK(require_ok(generate(*engine, request)) != first);
  CHECK(engine->sessions_made() == made);
  CHECK(require_ok(generate(*engine, single)).size() == 16 * 24 * 3);  // a picture
  request.seed = 7;
  CHECK(require_ok(generate(*engine, request)) == first);
  CHECK(require_ok(generate(*wan.engine("cpu"), request)) == first);
}

TEST_CASE("a decoding is cancelled between calls, and the next one is whole") {
  const TinyWan wan("vae_2_1");
  const auto engine = wan.engine("cpu", /*keep=*/true);
  Request request = wan.request({1, 5, 2, 3, 5});
  request.decode_tile = 1;
  const auto whole = require_ok(generate(*engine, request));
  for (double stop : {0.0, 1.0, 5.0, 9.0}) {
    RunHooks hooks;
    hooks.progress = [&](std::string_view task, double done, double) {
      return task != "decode video" || done < stop;
    };
    const auto cancelled = generate(*engine, request, hooks);
    REQUIRE_FALSE(cancelled.ok());
    CHECK(cancelled.status().code() == Code::kCancelled);
    CHECK(require_ok(generate(*engine, request)) == whole);
  }
}

TEST_CASE("coders whose parts do not fit each other are refused") {
  const auto message = [](const TinyWan& wan) {
    const auto engine = Engine::create(wan.model);
    REQUIRE_FALSE(engine.ok());
    return std::string(engine.status().message());
  };
  TinyWan absent("vae_2_1");
  absent.stage<DecodeVideo>().first = "opener";
  CHECK(message(absent).find("'opener'") != std::string::npos);
  TinyWan wrong("vae_2_1");
  wrong.stage<DecodeVideo>().first = "decoder";
  CHECK(message(wrong).find("expected") != std::string::npos);
  TinyWan renamed("vae_2_1");
  Graph& graph = renamed.model.components.at("decoder_first");
  graph.value(graph.states[0].state).name += ".other";
  CHECK(message(renamed).find("same states") != std::string::npos);
  TinyWan retyped("vae_2_1");
  retyped.stage<KnownLatents>().required = true;
  const auto engine = retyped.engine("cpu");
  const auto plan = engine->plan(retyped.request({1, 3, 2, 3, 5}));
  REQUIRE_FALSE(plan.ok());
  CHECK(std::string(plan.status().message()).find("--image") != std::string::npos);
}

TEST_CASE("known frames become diffusers' condition and mask") {
  const ParityFixture io("wan/known");
  const std::map<std::string, KnownFrames KnownMedia::*> places = {{"first", &KnownMedia::first},
                                                                   {"last", &KnownMedia::last}};
  for (const char* name : {"vae_2_1", "vae_2_2"})
    for (const std::string which : {"first", "both"}) {
      CAPTURE(name);
      CAPTURE(which);
      const TinyWan wan(name, KnownLatents::Mask::kFrames, KnownLatents::Fill::kGrey);
      const std::string prefix = std::string(name) + "." + which + ".";
      const EvalTensor known = io.tensor(prefix + "known"), mask = io.tensor(prefix + "mask");
      Request request = wan.request(known.shape);
      const auto pixels = [&](const std::string& tensor) {
        const EvalTensor x = io.tensor(std::string(name) + "." + tensor);
        return KnownFrames{{x.data.begin(), x.data.end()}, 1};
      };
      request.known.first = pixels("first");
      if (which == "both") request.known.last = pixels("last");
      OneStage stage(wan, "known_latents", on("cpu"), request);
      const Status planned = stage.plan();
      REQUIRE_MESSAGE(planned.ok(), planned.message());
      const Status ran = stage.run([&](RunContext* c) -> Status {
        const Stage& s = wan.model.recipe.stages[c->stage];
        ZT_RETURN_IF_ERROR(stage_def(s).run(s, c));
        const auto found = std::as_const(c->values["known"]).as<float>();
        const auto marks = std::as_const(c->values["mask"]).as<float>();
        CHECK(relative_error({found.begin(), found.end()}, first_sample(known)) <= 1e-4);
        CHECK(std::vector<float>(marks.begin(), marks.end()) == first_sample(mask));
        return Status();
      });
      REQUIRE_MESSAGE(ran.ok(), ran.message());
    }
}
