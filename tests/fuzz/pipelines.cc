// Whole models rewritten, opened, planned and run. Cases come in chains: a model is drawn and
// opened, answers a few requests as an engine does that lives, then is changed further.
#include <cmath>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <optional>

#include "graph/format/model_file.h"
#include "runtime/engine/check.h"
#include "runtime/engine/engine.h"
#include "tests/fuzz/model_changes.h"
#include "tests/fuzz/watched.h"

namespace zoetrope {
namespace {

enum Reached : size_t { kUnwritten, kRefused, kOpened, kPlanned, kRan };
constexpr const char* kReachedNames[] = {"no file came of it", "refused at opening",
                                         "refused when planned",
                                         "planned; refused, too long or stopped when run", "ran"};

// Cases of a chain, and how many of them one model answers.
constexpr uint64_t kChain = 24;
constexpr int kRequests = 6;
constexpr uint64_t kBlock = 10 * kChain;

// What a request may take: its budget on the device, and as much again on the host.
constexpr int64_t kHeap = 64 << 20;
// A run is stopped after this much of the processor's time, and not begun where its plan says more.
constexpr double kRunSeconds = 0.5;
constexpr double kMostFlops = 1e8;

double cpu_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

// Counts what comes and looks at it.
class Counting : public ClipSink {
 public:
  explicit Counting(const RequestPlan& plan) : plan_(plan) {}
  Status frames(const uint8_t* pixels, int64_t count) override {
    if (count < 0) wrong = "a negative number of frames";
    add(pixels, count * plan_.shape.width * plan_.shape.height * 3);
    frames_ += count;
    return Status();
  }
  Status audio(const float* samples, int64_t count) override {
    for (int64_t i = 0; i < count * plan_.clip.sound_channels; ++i)
      if (!std::isfinite(samples[i])) wrong = "sound that is not a number";
    add(reinterpret_cast<const uint8_t*>(samples), count * plan_.clip.sound_channels * 4);
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
  uint64_t hash = 14695981039346656037u;  // FNV-1a of every byte

 private:
  void add(const uint8_t* bytes, int64_t count) {
    for (int64_t i = 0; i < count; ++i) hash = (hash ^ bytes[i]) * 1099511628211u;
  }
  const RequestPlan& plan_;
  int64_t frames_ = 0, samples_ = 0;
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

// oneDNN limits its instructions once a process, so a block has the same. Code that it makes looks
// like any other memory to a sanitizer: most blocks run ours.
EngineOptions draw_options(Draw& draw, uint64_t number) {
  static constexpr const char* kTargets[] = {"sse4", "", "sse4", "avx2", "sse4"};
  EngineOptions options;
  options.devices.threads = 1;
  const char* given = std::getenv("ZOETROPE_FUZZ_TARGET");
  options.devices.force_target =
      given != nullptr ? given : kTargets[number / kBlock % std::size(kTargets)];
  options.placement.device = draw.one_in(6) ? "reference" : "cpu";
  if (draw.one_in(10)) options.placement.entries = {{"denoise", {"cpu", "reference"}}};
  if (draw.one_in(10)) options.placement.entries = {{"decode", {"reference"}}};
  options.keep_sessions = !draw.one_in(4);
  return options;
}

bool verified(const ModelInfo& info) {
  for (const Graph& graph : info.components)
    if (!verify(graph).ok()) return false;
  return true;
}

// Whether what is there now comes as far as the change was meant to.
bool good_enough(const TinyModel& changed, bool opens) {
  if (!verified(changed.info)) return false;
  return opens ? check_model(changed.info).ok() : parse_recipe(changed.info.recipe).ok();
}

// The model of a chain as it is at one of its cases.
class Chain {
 public:
  Chain(uint64_t number, std::string folder)
      : next_(number / kChain * kChain), draw_(~next_), folder_(std::move(folder)) {
    static const TinyModel kModels[] = {tiny_clip(),   tiny_causal(),  tiny_picture(), tiny_ended(),
                                        tiny_edited(), tiny_refined(), tiny_sound()};
    good_ = kModels[next_ / kChain % std::size(kModels)];
    good_.info.recipe = recipe_to_json(good_.recipe);
  }

  uint64_t next() const { return next_; }  // number of the case that comes
  Engine* engine() const { return engine_.get(); }
  const std::vector<std::string>& changes() const { return changes_; }
  const EngineOptions& options() const { return options_; }
  std::string path() const { return folder_ + "/m.zoe"; }
  bool written() const { return written_; }

  // The model of the next case: the one that is open, or a new one where it has answered enough or
  // the last was refused. Says why there is none.
  Status advance() {
    const uint64_t number = next_++;
    if (engine_ != nullptr && answered_++ < kRequests) return Status();
    engine_.reset();
    answered_ = 1;
    written_ = false;
    TinyModel changed = good_;
    changes_ = good_changes_;
    rewrite(&changed, changes_.empty() ? draw_.below(3) + 1 : draw_.below(2) + 1);
    ZT_RETURN_IF_ERROR(changed.write(path()));
    written_ = true;
    options_ = draw_options(draw_, number);
    ZT_ASSIGN_OR_RETURN(engine_, Engine::open(path(), options_));
    good_ = std::move(changed);
    good_changes_ = changes_;
    return Status();
  }

 private:
  // Changes are drawn again where a reader alone would refuse them; most of them also where
  // opening would, so that planning and running see something.
  void rewrite(TinyModel* model, uint32_t count) {
    for (; count > 0; --count) {
      const bool opens = !draw_.one_in(5);
      for (int tries = 0; tries < 10; ++tries) {
        TinyModel changed = *model;
        const std::string what = change_something(draw_, &changed);
        if (what.empty() || !good_enough(changed, opens)) continue;
        *model = std::move(changed);
        changes_.push_back(what);
        break;
      }
    }
  }

  uint64_t next_;
  Draw draw_;
  const std::string folder_;
  TinyModel good_;  // the last that opened
  std::vector<std::string> changes_, good_changes_;
  EngineOptions options_;
  std::unique_ptr<Engine> engine_;
  int answered_ = 0;
  bool written_ = false;
};

class Case {
 public:
  Case(uint64_t number, bool tell) : draw_(number), tell_(tell) {}

  void try_it(Chain* chain) {
    const Status there = chain->advance();
    result_.changes = chain->changes();
    if (tell_)
      for (const std::string& change : chain->changes())
        std::fprintf(stderr, "%s\n", change.c_str());
    if (failed(there)) {
      result_.reached = chain->written() ? kRefused : kUnwritten;
      return;
    }
    result_.reached = kOpened;
    Engine& engine = *chain->engine();
    const Request request = draw_request(draw_, engine.model().recipe);
    const auto plan = engine.plan(request);
    if (failed(plan.status())) return;
    result_.reached = kPlanned;
    if (flops_of(*plan) > kMostFlops) return;
    const auto hash = run(engine, *plan, request);
    if (!hash) return;
    result_.reached = kRan;
    // Results do not depend on what ran before.
    if (!draw_.one_in(12) || !result_.wrong.empty()) return;
    auto fresh = Engine::open(chain->path(), chain->options());
    if (failed(fresh.status())) return;
    const auto again = run(**fresh, *plan, request);
    if (again && *again != *hash) result_.wrong = "a fresh engine gives another clip";
  }

  CaseResult take() { return std::move(result_); }

 private:
  bool failed(const Status& status) { return tell_failure(status, &result_); }

  // The hash of the clip; none where the run fails or is stopped.
  std::optional<uint64_t> run(Engine& engine, const RequestPlan& plan, const Request& request) {
    Counting sink(plan);
    const double end = cpu_seconds() + kRunSeconds;
    RunHooks hooks;
    hooks.progress = [&](std::string_view, double, double) { return cpu_seconds() < end; };
    hooks.notice = [&](const std::string&) {};
    const auto stats = engine.run(request, sink, hooks);
    if (!sink.wrong.empty()) result_.wrong = sink.wrong;
    if (failed(stats.status())) return std::nullopt;
    sink.finish(engine.model().recipe);
    if (!sink.wrong.empty()) result_.wrong = sink.wrong;
    // Allocations are rounded up, each weight's by less than 64 bytes.
    int64_t rounding = 0;
    for (const Job& job : plan.jobs)
      rounding += 64 * static_cast<int64_t>(job.plan->weights.size() + 8);
    if (request.memory_budget > 0 && stats->peak_bytes > request.memory_budget + rounding)
      result_.wrong =
          str(stats->peak_bytes, " bytes on the device; the budget was ", request.memory_budget);
    return sink.hash;
  }

  Draw draw_;
  const bool tell_;
  CaseResult result_;
};

std::string prepare() {
  // What is loaded now is not loaded again by every process.
  for (const char* device : {"cpu", "reference"})
    if (const auto found = resolve_device(device, {}); !found.ok()) return found.status().message();
  return "";
}

CaseResult run(uint64_t number, const std::string& folder, bool tell) {
  static std::unique_ptr<Chain> chain;
  Case one(number, tell);
  return watched(
      kHeap,
      [&] {
        if (chain == nullptr || chain->next() != number || number % kChain == 0) {
          chain = std::make_unique<Chain>(number, folder);
          while (chain->next() < number) (void)chain->advance().ok();
        }
        one.try_it(chain.get());
      },
      [&] { return one.take(); });
}

}  // namespace

constinit const CaseKind kPipelineCases{"pipelines", kReachedNames, 0.2, kBlock, prepare, run};

}  // namespace zoetrope
