// Denoising that stops after a step and goes on: in another engine, on another backend, with
// another prompt; and states that do not fit the request.
#include "tests/pipelines/resumed.h"

#include <algorithm>
#include <limits>

#include "graph/builder.h"
#include "tests/pipelines/tiny_toybox.h"
#include "tests/pipelines/tiny_wan.h"
#include "tests/support/psnr.h"

using namespace zoetrope;
using resumed::check_resumes;
using resumed::from;
using resumed::Output;
using resumed::Points;
using tiny::Fixture;
using tiny::small_clip;
using tiny_wan::TinyWan;

namespace {

std::shared_ptr<ResumePoint> copy(const std::shared_ptr<const ResumePoint>& point) {
  return std::make_shared<ResumePoint>(*point);
}

Request four_steps() {
  Request request = small_clip();
  request.steps = 4;
  return request;
}

void check_refused(Engine& engine, const Request& request, Code code, const std::string& word) {
  const Status status = engine.plan(request).status();
  CHECK(status.code() == code);
  CHECK_MESSAGE(status.message().find(word) != std::string::npos, status.message());
}

}  // namespace

TEST_CASE("with every solver a run goes on from any step as if it had never stopped") {
  const Fixture fixture;
  for (const char* solver : {"euler", "midpoint", "heun", "unipc", "dpmpp_2m", "dmd"})
    for (const auto mode : {GuidanceMode::kBatched, GuidanceMode::kSequential}) {
      CAPTURE(solver);
      Request request = four_steps();
      request.solver = solver;
      request.guidance_mode = mode;
      check_resumes([&] { return fixture.engine("cpu"); }, request, 4);
    }
}

TEST_CASE("UniPC of order 3 goes on with all that it remembers") {
  Fixture fixture;
  auto& sampler = std::get<FlowSampler>(fixture.stage<Denoise>().sampler);
  sampler.solver = FlowSolver::kUniPc;
  sampler.order = 3;
  Request request = small_clip();
  request.steps = 6;
  check_resumes([&] { return fixture.engine("cpu"); }, request, 6);
}

TEST_CASE("without guidance, in bf16 and in a living engine too") {
  const Fixture fixture;
  Request request = four_steps();
  request.solver = "unipc";
  request.guidance = 1;
  check_resumes([&] { return fixture.engine("cpu"); }, request, 4);
  request.compute = DType::kBF16;
  request.guidance = 3;
  check_resumes([&] { return fixture.engine("cpu"); }, request, 4);
  const auto living = fixture.engine("cpu", 0, "", /*keep=*/true);
  Points points;
  const Output whole = resumed::run(*living, request, &points);
  for (const auto& point : points) CHECK(resumed::run(*living, from(request, point)) == whole);
}

TEST_CASE("known frames and sound are those of the run that stopped, and are not encoded again") {
  const Fixture fixture;
  Request request = four_steps();
  request.known.first = {std::vector<uint8_t>(24 * 16 * 3, 200), 1};
  const auto shape = resolve_clip_shape(fixture.model.recipe, request.clip);
  REQUIRE(shape.ok());
  request.known.audio.assign(static_cast<size_t>(shape->samples) * 2, 0.25f);
  check_resumes([&] { return fixture.engine("cpu"); }, request, 4);

  const auto engine = fixture.engine("cpu");
  Points points;
  resumed::run(*engine, request, &points);
  const auto jobs = [&](const Request& r) {
    const auto plan = engine->plan(r);
    REQUIRE_MESSAGE(plan.ok(), plan.status().message());
    std::vector<std::string> names;
    for (const Job& job : plan->jobs) names.push_back(job.name);
    return names;
  };
  const auto has = [](const std::vector<std::string>& names, const std::string& part) {
    return std::any_of(names.begin(), names.end(),
                       [&](const auto& name) { return name.find(part) != std::string::npos; });
  };
  CHECK(has(jobs(request), "encode"));
  CHECK_FALSE(has(jobs(from(request, points[2])), "encode"));
  CHECK(has(jobs(from(request, points[2])), "denoise"));
  // After the last step nothing but decoding is left.
  CHECK_FALSE(has(jobs(from(request, points[4])), "denoise"));
  CHECK(has(jobs(from(request, points[4])), "decode"));
  auto bare = copy(points[2]);
  bare->values.clear();
  CHECK(has(jobs(from(request, bare)), "encode"));
}

TEST_CASE("a run that started from a clip, and a causal decoder") {
  TinyWan wan("vae_2_1");
  auto& denoise = wan.stage<Denoise>();
  denoise.steps = 6;
  for (const FlowSolver solver : {FlowSolver::kEuler, FlowSolver::kUniPc}) {
    std::get<FlowSampler>(denoise.sampler).solver = solver;
    Request request = wan.request({1, 3, 2, 3, 5});
    const auto pixels =
        static_cast<size_t>(request.clip.frames * request.clip.width * request.clip.height * 3);
    request.start = {std::vector<uint8_t>(pixels, 90), request.clip.frames};
    for (size_t i = 0; i < pixels; i += 7) request.start.pixels[i] = static_cast<uint8_t>(i);
    request.strength = 0.5;  // three of the six steps
    check_resumes([&] { return wan.engine("cpu"); }, request, 3);
  }
}

TEST_CASE("latents as they stand are decoded") {
  // The network's velocity is 0, so that latents after any Euler step are the noise, and their clip
  // is the whole run's.
  TinyWan wan("vae_2_2");
  wan.stage<Denoise>().steps = 3;
  const Request request = wan.request({1, 3, 2, 3, 5});
  const auto engine = wan.engine("cpu");
  Points points;
  const Output whole = resumed::run(*engine, request, &points);
  for (const auto& point : points) {
    auto decode = copy(point);
    decode->decode_only = true;
    Points states;
    CHECK(resumed::run(*engine, from(request, decode), &states) == whole);
    REQUIRE(states.size() == 1);
    CHECK(states[0]->state.step == point->state.step);
  }
  // Where it is not 0 they are what they are: neither the clip nor what comes a step later.
  const Fixture fixture;
  const auto toybox = fixture.engine("cpu");
  points.clear();
  const Output clip = resumed::run(*toybox, four_steps(), &points);
  std::vector<Output> seen;
  for (const auto& point : points) {
    auto decode = copy(point);
    decode->decode_only = true;
    seen.push_back(resumed::run(*toybox, from(four_steps(), decode)));
  }
  CHECK(seen[4] == clip);
  for (size_t i = 0; i < 4; ++i) CHECK_FALSE(seen[i] == seen[i + 1]);
}

TEST_CASE("another backend goes on within rounding") {
  const Fixture fixture;
  const auto cpu = fixture.engine("cpu"), reference = fixture.engine("reference");
  for (const char* solver : {"euler", "unipc"}) {
    Request request = four_steps();
    request.solver = solver;
    Points points;
    const Output whole = resumed::run(*cpu, request, &points);
    for (const size_t step : {size_t{0}, size_t{2}}) {
      const Output other = resumed::run(*reference, from(request, points[step]));
      CHECK(psnr(other.video, whole.video, 255) >= 50);
      CHECK(psnr(other.sound, whole.sound, 1) >= 60);
    }
  }
}

TEST_CASE("another prompt or guidance may take over at a step") {
  const Fixture fixture;
  const auto engine = fixture.engine("cpu");
  const Request request = four_steps();
  Points points;
  const Output whole = resumed::run(*engine, request, &points);
  Request other = request;
  other.prompt = "a green ring";
  const Output others = resumed::run(*engine, other);
  const auto branch = [&](size_t step, const Request& r) {
    auto point = copy(points[step]);
    point->values.clear();
    return resumed::run(*engine, from(r, point));
  };
  CHECK(branch(0, other) == others);  // from the first step it is simply the other clip
  CHECK_FALSE(branch(2, other) == others);
  CHECK_FALSE(branch(2, other) == whole);
  other = request;
  other.guidance = 1;
  CHECK(branch(0, other) == resumed::run(*engine, other));
  CHECK_FALSE(branch(2, other) == whole);
}

TEST_CASE("a state that this request cannot have come by is refused") {
  const Fixture fixture;
  const auto engine = fixture.engine("cpu");
  Request request = four_steps();
  request.solver = "unipc";
  Points points;
  resumed::run(*engine, request, &points);
  const auto refuse = [&](auto change, const std::string& word) {
    auto point = copy(points[2]);
    change(*point);
    check_refused(*engine, from(request, point), Code::kDataLoss, word);
  };
  using Point = ResumePoint;
  refuse([](Point& p) { p.state.step = 5; }, "step 5");
  refuse([](Point& p) { p.state.step = -1; }, "step -1");
  refuse(
      [](Point& p) {
        p.state.step = 3;
        p.state.first = 1;
      },
      "begins at 0");
  refuse([](Point& p) { p.state.latents.pop_back(); }, "latents");
  refuse([](Point& p) { p.state.latents.clear(); }, "latents");
  refuse([](Point& p) { p.state.solver = {}; }, "predictions");
  refuse([](Point& p) { p.state.solver.starts.emplace_back(); }, "predictions");
  refuse([](Point& p) { p.state.solver.before.clear(); }, "predictions");
  refuse([](Point& p) { p.state.solver.starts[1].pop_back(); }, "prediction of");
  refuse([](Point& p) { p.state.solver.before.pop_back(); }, "sample of");
  for (const auto& [name, value] : points[2]->values) {
    refuse([&](Point& p) { p.values[name].bytes.pop_back(); }, "'" + name + "'");
    refuse([&](Point& p) { p.values[name].type.shape[0] += 1; }, "'" + name + "'");
  }
  auto late = copy(points[1]);
  late->state.step = 2;  // with the memory of one step
  check_refused(*engine, from(request, late), Code::kDataLoss, "predictions");
  Request longer = request;
  longer.steps = 5;
  check_refused(*engine, from(longer, points[2]), Code::kInvalidArgument, "5");
  Request larger = request;
  larger.clip.frames = 24;
  check_refused(*engine, from(larger, points[2]), Code::kDataLoss, "latents");
  Request plain = request;
  plain.solver = "euler";
  check_refused(*engine, from(plain, points[2]), Code::kDataLoss, "predictions");
  auto broken = copy(points[4]);
  broken->state.latents[3] = std::numeric_limits<float>::quiet_NaN();
  Output sink(24 * 16 * 3);
  CHECK(engine->run(from(request, broken), sink).status().code() == Code::kDataLoss);
}

TEST_CASE("a hook that fails ends the run with its own error, and cancelling keeps the last step") {
  const Fixture fixture;
  const auto engine = fixture.engine("cpu");
  Output sink(24 * 16 * 3);
  RunHooks hooks;
  int states = 0;
  hooks.state = [&](const DenoiseState& state, const StageValues&) {
    ++states;
    return state.step == 2 ? error(Code::kResourceExhausted, "the disk is full") : Status();
  };
  CHECK(engine->run(four_steps(), sink, hooks).status().code() == Code::kResourceExhausted);
  CHECK(states == 3);
  CHECK(sink.video.empty());
  int last = -1;
  hooks.state = [&](const DenoiseState& state, const StageValues&) {
    last = state.step;
    return Status();
  };
  hooks.progress = [](std::string_view task, double done, double) {
    return task != "denoise" || done < 3;
  };
  CHECK(engine->run(four_steps(), sink, hooks).status().code() == Code::kCancelled);
  CHECK(last == 3);
}

TEST_CASE("a network that remembers its last call cannot be saved, and says so") {
  TinyWan wan("vae_2_1");
  Builder b("net");
  const Dim n = Dim::symbol("batch"), t = Dim::symbol("frames"), h = Dim::symbol("height"),
            w = Dim::symbol("width");
  const int64_t channels = wan.config.latent_channels;
  const ValueId x = b.input("x", DType::kF32, {n, t, h, w, channels});
  const ValueId time = b.input("t", DType::kF32, {n}, Rate::kTimestep);
  const ValueId known = b.input("known", DType::kF32, {n, t, h, w, channels}, Rate::kClip);
  const ValueId mask = b.input("mask", DType::kF32, {n, t, h, w, 1}, Rate::kClip);
  const ValueId memory = b.state_input("memory", DType::kF32, {n, t, h, w, channels});
  const ValueId nothing =
      b.mul(b.add(b.mul(known, mask), b.reshape(time, {n, 1, 1, 1, 1})), b.scalar(0));
  b.output("v", b.add(b.add(b.mul(x, b.scalar(0)), nothing), memory));
  b.state(memory, b.mul(x, b.scalar(0.5)));
  wan.model.components.at("net") = require_ok(b.finish());
  const auto engine = wan.engine("cpu");
  const Request request = wan.request({1, 2, 2, 3, 5});
  Output sink(request.clip.width * request.clip.height * 3);
  REQUIRE(engine->run(request, sink).ok());
  RunHooks hooks;
  hooks.state = [](const DenoiseState&, const StageValues&) { return Status(); };
  const Status status = engine->run(request, sink, hooks).status();
  CHECK(status.code() == Code::kUnsupported);
  CHECK_MESSAGE(status.message().find("'net'") != std::string::npos, status.message());
}
