// Time seen through windows: that they cover every latent once, and what loops and long clips of
// them are.
#include "runtime/engine/time_windows.h"

#include <algorithm>
#include <cmath>
#include <random>

#include "tests/pipelines/tiny_toybox.h"
#include "tests/pipelines/toybox_clip.h"

using namespace zoetrope;

namespace {

Recipe recipe_of(int first, int later) {
  Recipe r;
  r.clip = {16, 16000, 2, {64, 160, 16, 128}, {64, 160, 16, 128}, {1, 640, 1, 32}};
  r.latents = {{"video", Modality::kVideo, 1, {0}, {1}, 8, first, later, 1},
               {"audio", Modality::kSound, 1, {0}, {1}, 1, 1, 1, 640}};
  r.stages.push_back(Denoise());
  return r;
}

// Mean absolute difference of two frames, of 255.
double apart(const std::vector<uint8_t>& clip, int64_t frame, int64_t a, int64_t b) {
  double sum = 0;
  for (int64_t i = 0; i < frame; ++i)
    sum += std::abs(int{clip[static_cast<size_t>(a * frame + i)]} -
                    int{clip[static_cast<size_t>(b * frame + i)]});
  return sum / static_cast<double>(frame);
}

struct Seam {
  double last_to_first = 0, mean = 0, most = 0;
};
Seam seam_of(const std::vector<uint8_t>& clip, int64_t frame) {
  const auto count = static_cast<int64_t>(clip.size()) / frame;
  Seam s;
  s.last_to_first = apart(clip, frame, count - 1, 0);
  for (int64_t f = 1; f < count; ++f) {
    const double d = apart(clip, frame, f - 1, f);
    s.mean += d / static_cast<double>(count - 1);
    s.most = std::max(s.most, d);
  }
  return s;
}

}  // namespace

TEST_CASE("windows of a longer clip rise and fall over what they share") {
  const Recipe recipe = recipe_of(1, 1);
  ClipShape clip;
  clip.latent_frames = 9, clip.window = 4, clip.overlap = 2;
  CHECK(count_windows(clip) == 4);
  const auto windows = windows_of(recipe, recipe.latents[0], clip, 0);
  REQUIRE(windows.size() == 4);
  const int64_t starts[] = {0, 2, 4, 5};
  for (size_t i = 0; i < 4; ++i) CHECK(windows[i].start == starts[i]);
  // Latents 2 and 3 are the first two windows': centres of quarters.
  CHECK(windows[0].weights[1] == 1);
  CHECK(windows[0].weights[2] == doctest::Approx(0.75));
  CHECK(windows[1].weights[0] == doctest::Approx(0.25));
  CHECK(windows[0].weights[3] == doctest::Approx(0.25));
}

TEST_CASE("every latent of every stream counts once, whatever the windows") {
  std::mt19937 random(7);
  const auto draw = [&](int low, int high) {
    return std::uniform_int_distribution<int>(low, high)(random);
  };
  for (int i = 0; i < 400; ++i) {
    const bool loop = i % 2 == 0;
    const int later = draw(1, 8), first = loop || i % 3 == 0 ? later : 1;
    const Recipe recipe = recipe_of(first, later);
    ClipShape clip;
    clip.loop = loop;
    clip.latent_frames = draw(2, 40);
    clip.sound_latents = std::max<int64_t>(
        (frames_of_latents(recipe.latents[0], clip.latent_frames) * 25 + 15) / 16, 1);
    if (i % 5 != 0) clip.window = draw(1, static_cast<int>(clip.latent_frames) - 1);
    clip.overlap = clip.window > 1 ? draw(1, static_cast<int>(clip.window) - 1) : 0;
    if (clip.window == 1) clip.window = 0;
    CAPTURE(i);
    CAPTURE(clip.latent_frames);
    CAPTURE(clip.window);
    CAPTURE(clip.overlap);
    const ClipShape seen = seen_by_call(recipe, clip);
    for (const LatentSpec& spec : recipe.latents) {
      const bool sound = spec.media == Modality::kSound;
      const int64_t whole = sound ? clip.sound_latents : clip.latent_frames;
      const auto windows = windows_of(recipe, spec, clip, draw(0, 50));
      CHECK(static_cast<int64_t>(windows.size()) == count_windows(clip));
      std::vector<double> sums(static_cast<size_t>(whole));
      for (const TimeWindow& w : windows) {
        CHECK(static_cast<int64_t>(w.weights.size()) ==
              (sound ? seen.sound_latents : seen.latent_frames));
        CHECK(w.start >= 0);
        if (!loop) CHECK(w.start + static_cast<int64_t>(w.weights.size()) <= whole);
        for (size_t k = 0; k < w.weights.size(); ++k) {
          CHECK(w.weights[k] > 0);
          sums[(static_cast<size_t>(w.start) + k) % sums.size()] += w.weights[k];
        }
      }
      for (const double sum : sums) CHECK(sum == doctest::Approx(1).epsilon(1e-5));
    }
  }
}

TEST_CASE("a ring is cut open at every latent in turn") {
  const Recipe recipe = recipe_of(8, 8);
  ClipShape clip;
  clip.loop = true;
  clip.latent_frames = 5, clip.sound_latents = 63;
  std::vector<int> cuts(5);
  for (int step = 0; step < 30; ++step)
    ++cuts[static_cast<size_t>(windows_of(recipe, recipe.latents[0], clip, step)[0].start)];
  for (const int count : cuts) CHECK(count >= 5);
}

TEST_CASE("loops take whole latents, and models with a beginning make none") {
  const Recipe recipe = recipe_of(8, 8);
  const auto shape = resolve_clip_shape(recipe, {.loop = true});
  REQUIRE(shape.ok());
  CHECK(shape->frames == 32);
  CHECK(shape->loop);
  // 8 frames are 12.5 latents of sound.
  const auto odd = resolve_clip_shape(recipe, {.frames = 24, .loop = true});
  REQUIRE_FALSE(odd.ok());
  CHECK(odd.status().message().find("in steps of 16") != std::string::npos);
  const auto uneven = resolve_clip_shape(recipe_of(1, 4), {.loop = true});
  CHECK(uneven.status().code() == Code::kUnsupported);
}

TEST_CASE("with a window clips may be longer than the model knows") {
  Recipe recipe = recipe_of(8, 8);
  recipe.clip.frames = {1, 64, 1, 32};
  recipe.stages = {Denoise()};
  CHECK_FALSE(resolve_clip_shape(recipe, {.frames = 96}).ok());
  const auto longer = resolve_clip_shape(recipe, {.frames = 96, .window = 32});
  REQUIRE(longer.ok());
  CHECK(longer->latent_frames == 12);
  CHECK(longer->window == 4);
  CHECK(longer->overlap == 2);
  CHECK(resolve_clip_shape(recipe, {.frames = 32, .window = 32})->window == 0);
  CHECK_FALSE(resolve_clip_shape(recipe, {.frames = 96, .window = 65}).ok());
  CHECK_FALSE(resolve_clip_shape(recipe, {.frames = 64 * 64 + 1, .window = 32}).ok());
}

TEST_CASE("a loop's lengths are the recipe's, too") {
  Recipe recipe = recipe_of(8, 8);  // with this sound, steps of 16
  recipe.clip.frames = {8, 120, 24, 56, 8};
  const auto shape = resolve_clip_shape(recipe, {.loop = true});
  REQUIRE_MESSAGE(shape.ok(), shape.status().message());
  CHECK(shape->frames == 80);  // 32, 80: of 8, 32, 56, … the multiples of 16; 80 is as near as 32
  CHECK(resolve_clip_shape(recipe, {.frames = 32, .loop = true}).ok());
  for (const int frames : {16, 48, 56, 64, 112})
    CHECK_FALSE(resolve_clip_shape(recipe, {.frames = frames, .loop = true}).ok());
  recipe.clip.frames = {5, 119, 24, 53, 5};
  const auto none = resolve_clip_shape(recipe, {.loop = true});
  REQUIRE(none.status().code() == Code::kUnsupported);
  CHECK(none.status().message().find("in steps of 24 from 5") != std::string::npos);
}

TEST_CASE("latents that are made larger on the way are no loop's") {
  Recipe recipe = recipe_of(8, 8);
  recipe.stages.push_back(ResampleLatents{"video", "upsampler", "latents", "larger", 2});
  const auto shape = resolve_clip_shape(recipe, {.loop = true});
  REQUIRE(shape.status().code() == Code::kUnsupported);
  CHECK(shape.status().message().find("it takes nothing but words") != std::string::npos);
}

TEST_CASE("a request's window is of two latents at least and of the network's at most") {
  Recipe recipe = recipe_of(8, 8);
  std::get<Denoise>(recipe.stages[0]).windows = {14, 4};
  const auto of = [&](int64_t window) {
    return resolve_clip_shape(recipe, {.frames = 320, .window = window});
  };
  CHECK(of(14 * 8)->window == 14);
  CHECK(of(9)->window == 2);
  for (const auto& [window, nearest] : {std::pair{14 * 8 + 1, 112}, {320, 112}, {8, 9}, {1, 9}}) {
    const auto shape = of(window);
    REQUIRE_FALSE(shape.ok());
    CHECK_MESSAGE(shape.status().message().find(
                      str("sees 9 to 112 at once; the nearest is ", nearest)) != std::string::npos,
                  shape.status().message());
  }
  std::get<Denoise>(recipe.stages[0]).windows = {1, 0};
  CHECK(of(8).status().code() == Code::kUnsupported);
}

TEST_CASE("loops and windows of a tiny model, alone and with guidance in two calls") {
  tiny::Fixture fixture;
  fixture.model.recipe.clip.frames = {1, 640, 1, 32};
  const auto engine = fixture.engine("cpu");
  Request request = tiny::small_clip();
  request.clip.frames = 0;
  request.clip.loop = true;
  const tiny::Collect loop = tiny::run(*engine, request);
  const auto shape_of = resolve_clip_shape(fixture.model.recipe, request.clip);
  REQUIRE(shape_of.ok());
  const ClipShape shape = *shape_of;
  CHECK(static_cast<int64_t>(loop.video.size()) == shape.frames * loop.frame_bytes);
  CHECK(static_cast<int64_t>(loop.sound.size()) == 2 * shape.samples);
  CHECK(tiny::run(*engine, request).video == loop.video);
  Request plain = request;
  plain.clip.loop = false;
  plain.clip.frames = shape.frames;
  CHECK(tiny::run(*engine, plain).video != loop.video);
  // One window that holds the clip is the clip.
  Request window = plain;
  window.clip.window = shape.frames;
  CHECK(tiny::run(*engine, window).video == tiny::run(*engine, plain).video);
  RunHooks hooks;
  std::string notices;
  hooks.notice = [&](const std::string& text) { notices += text; };
  for (const Request* r : {&plain, &window}) {
    CHECK(notices.empty());
    tiny::Collect sink;
    REQUIRE(engine->run(*r, sink, hooks).ok());
  }
  CHECK(notices.find("a window of 32 frames has no effect") != std::string::npos);
  // Halves of a step one after the other take the same windows.
  window.clip.window = shape.frames / 2;
  const tiny::Collect batched = tiny::run(*engine, window);
  CHECK(batched.video != loop.video);
  window.guidance_mode = GuidanceMode::kSequential;
  const tiny::Collect sequential = tiny::run(*engine, window);
  CHECK(psnr(sequential.video, batched.video, 255) > 50);
  // What is known of a beginning has no place in a loop.
  request.known.first.frames = 1;
  CHECK(engine->plan(request).status().message().find("no beginning") != std::string::npos);
}

namespace {

// How often each kernel of a plan ran.
class Counts : public CallTrace {
 public:
  bool begin_run(const Plan& plan) override {
    runs.resize(plan.calls.size());
    return true;
  }
  Status call(const TracedCall& traced, const std::function<Status()>& run) override {
    ++runs[traced.index];
    return run();
  }
  std::vector<int> runs;
};

}  // namespace

TEST_CASE("what depends on words alone runs once for all windows, and plans count what runs") {
  tiny::Fixture fixture;
  fixture.model.recipe.clip.frames = {1, 640, 1, 32};
  const auto engine = fixture.engine("cpu");
  Request request = tiny::small_clip();
  request.clip.frames = 64;
  std::vector<Request> requests(4, request);
  requests[1].clip.window = requests[2].clip.window = 16;
  requests[2].guidance_mode = GuidanceMode::kSequential;
  requests[3].clip.loop = true;
  for (const Request& r : requests) {
    CAPTURE(r.clip.window);
    CAPTURE(r.clip.loop);
    Counts counts;
    Job job;
    RunHooks hooks;
    hooks.trace = [&](const Job& of) -> CallTrace* {
      if (of.component != fixture.stage<Denoise>().component) return nullptr;
      job = of;
      return &counts;
    };
    tiny::Collect sink;
    const auto ran = engine->run(r, sink, hooks);
    REQUIRE_MESSAGE(ran.ok(), ran.status().message());
    const int halves = r.guidance_mode == GuidanceMode::kSequential ? 2 : 1;
    CHECK(job.runs(Rate::kClip) == (halves == 2 ? 2 * r.steps : 1));
    CHECK(job.runs(Rate::kTimestep) == halves * r.steps);
    CHECK(job.runs(Rate::kStep) == halves * r.steps * (r.clip.window > 0 ? 7 : 1));
    std::set<Rate> rates;
    for (size_t i = 0; i < counts.runs.size(); ++i) {
      const Rate rate = job.plan->calls[i].rate;
      rates.insert(rate);
      CAPTURE(rate_name(rate));
      CHECK(counts.runs[i] == job.runs(rate));
    }
    CHECK(rates.contains(Rate::kClip));
  }
}

TEST_CASE("a loop of Toybox plays on from its last frame, and its sound from its last sample") {
  const auto engine = toybox_clip::open_toybox("cpu");
  Request request;
  request.prompt = "a small red star bounces on a blue floor";
  request.clip = {.width = 64, .height = 64, .frames = 32};
  request.steps = 10;
  request.seed = 3;
  const int64_t frame = 64 * 64 * 3;
  const auto make = [&](bool loop) {
    request.clip.loop = loop;
    toybox_clip::Collect sink(request.clip);
    const auto ran = engine->run(request, sink);
    REQUIRE_MESSAGE(ran.ok(), ran.status().message());
    return sink;
  };
  // Over several seeds the last frame is as far from the first as neighbours are from each other.
  constexpr int kSeeds = 6;
  double closed = 0, open = 0;
  for (int i = 0; i < kSeeds; ++i) {
    request.seed = 3 + static_cast<uint64_t>(i);
    const Seam of = seam_of(make(true).video, frame), without = seam_of(make(false).video, frame);
    CAPTURE(request.seed);
    CHECK(of.mean > 0.3);  // it moves
    CHECK(of.last_to_first <= of.most);
    closed += of.last_to_first / of.mean / kSeeds;
    open += without.last_to_first / without.mean / kSeeds;
  }
  MESSAGE("last to first ", closed, " times what neighbours differ by; without: ", open);
  CHECK(closed < 1.2);
  CHECK(open > 1.2);
  const toybox_clip::Collect loop = make(true);
  const auto step = [](const std::vector<float>& sound, size_t a, size_t b) {
    return std::abs(sound[2 * a] - sound[2 * b]);
  };
  float most = 0;
  const size_t samples = loop.sound.size() / 2;
  for (size_t i = 1; i < samples; ++i) most = std::max(most, step(loop.sound, i - 1, i));
  CHECK(step(loop.sound, samples - 1, 0) <= most);
}
