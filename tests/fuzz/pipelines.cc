#include "tests/fuzz/pipelines.h"

#include <chrono>
#include <cmath>
#include <new>

#include "graph/format/model_file.h"
#include "runtime/engine/check.h"
#include "runtime/engine/engine.h"
#include "tests/fuzz/heap_watch.h"
#include "tests/fuzz/model_changes.h"

namespace zoetrope {
namespace {

using Clock = std::chrono::steady_clock;

// What a request may take: its budget on the device, and as much again on the host.
constexpr int64_t kHeap = 64 << 20;
// A run is stopped after this, and not begun where its plan says more.
constexpr double kRunSeconds = 1;
constexpr double kMostFlops = 1e9;

double since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

// Counts what comes and looks at it.
class Counting : public ClipSink {
 public:
  explicit Counting(const RequestPlan& plan) : plan_(plan) {}
  Status frames(const uint8_t* pixels, int64_t count) override {
    if (count < 0) wrong = "a negative number of frames";
    uint64_t sum = 0;
    for (int64_t i = 0; i < count * plan_.shape.width * plan_.shape.height * 3; ++i)
      sum += pixels[i];
    seen_ += sum;
    frames_ += count;
    return Status();
  }
  Status audio(const float* samples, int64_t count) override {
    for (int64_t i = 0; i < count * plan_.clip.sound_channels; ++i)
      if (!std::isfinite(samples[i])) wrong = "sound that is not a number";
    samples_ += count;
    return Status();
  }
  void finish(const Recipe& recipe) {
    const LatentSpec* picture = recipe.picture();
    const int64_t expected = picture == nullptr                   ? 0
                             : picture->media == Modality::kImage ? plan_.samples
                                                                  : plan_.shape.frames;
    if (frames_ != expected) wrong = str(frames_, " frames came; the plan has ", expected);
    if (recipe.sound() != nullptr && samples_ != plan_.shape.samples)
      wrong = str(samples_, " samples came; the plan has ", plan_.shape.samples);
  }
  std::string wrong;

 private:
  const RequestPlan& plan_;
  int64_t frames_ = 0, samples_ = 0;
  uint64_t seen_ = 0;
};

double flops_of(const RequestPlan& plan) {
  double total = 0;
  for (const Job& job : plan.jobs)
    for (const Cost& cost : job.plan->phase_cost) total += cost.flops * std::max(job.calls, 1.0);
  return total;
}

std::string change_something(Draw& draw, TinyModel* model) {
  switch (draw.below(8)) {
    case 0:
    case 1: return change_recipe(draw, model);
    case 2: return change_tensors(draw, model);
    default: return change_components(draw, model);
  }
}

// oneDNN limits its instructions once a process: neighbouring cases have the same.
EngineOptions draw_options(Draw& draw, uint64_t number) {
  static constexpr const char* kTargets[] = {"", "", "avx2", "avx512"};
  EngineOptions options;
  options.devices.threads = 1;
  options.devices.force_target = kTargets[number / kCasesAProcess % 4];
  options.placement.device = draw.one_in(6) ? "reference" : "cpu";
  if (draw.one_in(10)) options.placement.entries = {{"denoise", {"cpu", "reference"}}};
  if (draw.one_in(10)) options.placement.entries = {{"decode", {"reference"}}};
  options.keep_sessions = draw.coin();
  return options;
}

class Case {
 public:
  Case(uint64_t number, const std::string& folder, bool tell)
      : draw_(number), path_(folder + "/m.zoe"), number_(number), tell_(tell) {}

  PipelineCase run() {
    const auto begin = Clock::now();
    static const TinyModel kModels[] = {tiny_clip(), tiny_causal(), tiny_picture()};
    model_ = kModels[number_ % 3];
    model_.info.recipe = recipe_to_json(model_.recipe);
    rewrite();
    if (tell_)
      for (const std::string& change : result_.changes)
        std::fprintf(stderr, "%s\n", change.c_str());
    limit_heap(kHeap, "a case");
    try {
      try_it();
    } catch (const std::bad_alloc&) {
      result_.wrong = "memory was asked for without an end";
    }
    result_.heap = heap_peak();
    limit_heap(0, "");
    result_.seconds = since(begin);
    return std::move(result_);
  }

 private:
  // Whether what is there now comes as far as the change was meant to.
  static bool good_enough(const TinyModel& changed, bool opens) {
    for (const Graph& graph : changed.info.components)
      if (!verify(graph).ok()) return false;
    auto recipe = parse_recipe(changed.info.recipe);
    if (!recipe.ok() || !opens) return recipe.ok();
    Model model;
    model.recipe = std::move(*recipe);
    for (const StoredTokenizer& t : changed.info.tokenizers)
      model.tokenizers[t.name] = {t.kind, nullptr};
    for (const Graph& graph : changed.info.components) model.components.emplace(graph.name, graph);
    return check_model(model).ok();
  }

  // Changes are drawn again where a reader alone would refuse them; most of them also where
  // opening would, so that planning and running see something.
  void rewrite() {
    for (uint32_t i = draw_.below(4) + 1; i > 0; --i) {
      const bool opens = !draw_.one_in(5);
      for (int tries = 0; tries < 10; ++tries) {
        TinyModel changed = model_;
        const std::string what = change_something(draw_, &changed);
        if (what.empty() || !good_enough(changed, opens)) continue;
        model_ = std::move(changed);
        result_.changes.push_back(what);
        break;
      }
    }
  }

  bool failed(const Status& status) {
    if (status.ok()) return false;
    result_.said = std::string(code_name(status.code())) + ": " + status.message();
    if (status.code() == Code::kInternal) result_.wrong = "an invariant of ours: " + result_.said;
    return true;
  }

  void try_it() {
    if (failed(model_.write(path_))) return;
    result_.reached = Reached::kRefused;
    auto engine = Engine::open(path_, draw_options(draw_, number_));
    if (failed(engine.status())) return;
    result_.reached = Reached::kOpened;
    const Request request = draw_request(draw_, (*engine)->model().recipe);
    const auto plan = (*engine)->plan(request);
    if (failed(plan.status())) return;
    result_.reached = Reached::kPlanned;
    if (flops_of(*plan) > kMostFlops) return;
    Counting sink(*plan);
    const auto begin = Clock::now();
    RunHooks hooks;
    hooks.progress = [&](std::string_view, double, double) { return since(begin) < kRunSeconds; };
    hooks.notice = [&](const std::string&) {};
    const auto stats = (*engine)->run(request, sink, hooks);
    if (!sink.wrong.empty()) result_.wrong = sink.wrong;
    if (failed(stats.status())) return;
    result_.reached = Reached::kRan;
    sink.finish((*engine)->model().recipe);
    if (!sink.wrong.empty()) result_.wrong = sink.wrong;
    // Allocations are rounded up, each weight's by less than 64 bytes.
    int64_t rounding = 0;
    for (const Job& job : plan->jobs)
      rounding += 64 * static_cast<int64_t>(job.plan->weights.size() + 8);
    if (request.memory_budget > 0 && stats->peak_bytes > request.memory_budget + rounding)
      result_.wrong =
          str(stats->peak_bytes, " bytes on the device; the budget was ", request.memory_budget);
  }

  Draw draw_;
  const std::string path_;
  const uint64_t number_;
  const bool tell_;
  TinyModel model_;
  PipelineCase result_;
};

}  // namespace

PipelineCase run_pipeline_case(uint64_t number, const std::string& folder, bool tell) {
  return Case(number, folder, tell).run();
}

}  // namespace zoetrope
