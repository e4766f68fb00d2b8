// Small Wan autoencoders, as diffusers saved them, in a model whose denoiser leaves latents as they
// are: what goes into the decoder, and what the encoder gives, is then in a test's hand.
#pragma once

#include "converters/wan_vae.h"
#include "graph/builder.h"
#include "runtime/engine/engine.h"
#include "runtime/engine/stage.h"
#include "runtime/engine/stages/decode.h"
#include "runtime/engine/stages/latents.h"
#include "tests/parity/wan_fixture.h"

namespace zoetrope::tiny_wan {

// The autoencoder's weights, as its file holds them.
class PartWeights : public WeightSource {
 public:
  explicit PartWeights(WanAutoencoder opened) : opened_(std::move(opened)) {}
  Result<TensorType> type(std::string_view name) const override {
    return opened_.part.weights.type(name);
  }
  Result<WeightData> load(std::string_view name) const override {
    return opened_.part.weights.load(name);
  }

 private:
  const WanAutoencoder opened_;
};

// One step of velocity 0: latents come out as they went in. Reads known latents and their mask.
inline Graph still_network(int64_t channels, int64_t mask_channels) {
  Builder b("net");
  const Dim n = Dim::symbol("batch"), t = Dim::symbol("frames"), h = Dim::symbol("height"),
            w = Dim::symbol("width");
  const ValueId x = b.input("x", DType::kF32, {n, t, h, w, channels});
  const ValueId time = b.input("t", DType::kF32, {n}, Rate::kTimestep);
  const ValueId known = b.input("known", DType::kF32, {n, t, h, w, channels}, Rate::kClip);
  const ValueId mask = b.input("mask", DType::kF32, {n, t, h, w, mask_channels}, Rate::kClip);
  const ValueId nothing = b.mul(
      b.add(b.mul(known, b.slice(mask, 4, 0, 1)), b.reshape(time, {n, 1, 1, 1, 1})), b.scalar(0));
  b.output("v", b.add(b.mul(x, b.scalar(0)), nothing));
  return require_ok(b.finish());
}

struct TinyWan {
  explicit TinyWan(const std::string& name, KnownLatents::Mask mask = KnownLatents::Mask::kLatent,
                   KnownLatents::Fill fill = KnownLatents::Fill::kZeros)
      : saved(name) {
    WanAutoencoder opened = require_ok(open_wan_autoencoder(saved.folder));
    config = opened.config;
    for (const Graph& graph : opened.part.graphs) model.components.emplace(graph.name, graph);
    const auto time = static_cast<int>(config.time());
    model.components.emplace("net", still_network(config.latent_channels,
                                                  mask == KnownLatents::Mask::kFrames ? time : 1));
    model.name = name;
    Recipe& r = model.recipe;
    const int64_t space = config.space();
    r.clip.fps = 16;
    r.clip.width = r.clip.height = {space, 64 * space, space, 2 * space};
    r.clip.frames = {1, 1 + 100 * time, time, 1 + 2 * time, time == 1 ? 0 : 1};
    r.latents = {{"video", Modality::kVideo, static_cast<int>(config.latent_channels), opened.mean,
                  opened.deviation, static_cast<int>(space), 1, time, 1}};
    KnownLatents known{"video", "encoder", "video", "mean", "known", "mask"};
    known.first = "encoder_first";
    known.mask = mask;
    known.fill = fill;
    StartPicture start{"video", "encoder", "video", "mean", "encoder_first"};
    Denoise denoise;
    denoise.component = "net";
    denoise.time = "t";
    denoise.streams = {{"video", "x", "v"}};
    denoise.conditions = {{"known", "known"}, {"mask", "mask"}};
    denoise.sampler = FlowSampler();
    denoise.steps = 1;
    DecodeVideo decode;
    decode.latents = "video", decode.component = "decoder", decode.first = "decoder_first";
    decode.input = "latents", decode.output = "video";
    decode.tiles.overlap = 4;
    r.stages = {start, known, denoise, decode};
    model.weights = std::make_shared<PartWeights>(std::move(opened));
  }

  template <typename S>
  S& stage() {
    for (Stage& s : model.recipe.stages)
      if (S* found = std::get_if<S>(&s)) return *found;
    FAIL("no such stage");
    return std::get<S>(model.recipe.stages.front());
  }
  size_t index(std::string_view kind) const {
    for (size_t i = 0; i < model.recipe.stages.size(); ++i)
      if (stage_kind(model.recipe.stages[i]) == kind) return i;
    FAIL("no such stage");
    return 0;
  }
  const LatentSpec& latents() const { return model.recipe.latents[0]; }

  std::unique_ptr<Engine> engine(const std::string& device, bool keep = false) const {
    EngineOptions options;
    options.placement.device = device;
    options.keep_sessions = keep;
    return require_ok(Engine::create(model, std::move(options)));
  }

  // A clip of the size that latents of this shape stand for, and the latents that come out of it.
  Request request(const Shape& latents) const {
    Request request;
    request.clip.frames = 1 + (latents[1] - 1) * config.time();
    request.clip.height = latents[2] * config.space();
    request.clip.width = latents[3] * config.space();
    return request;
  }

  SavedNetwork saved;
  WanVaeConfig config;
  Model model;
};

// Sample 0 of [B, ...] as floats.
inline std::vector<float> first_sample(const EvalTensor& x) {
  const auto n = static_cast<size_t>(x.shape.elements() / x.shape[0]);
  return {x.data.begin(), x.data.begin() + static_cast<int64_t>(n)};
}

inline double relative_error(const std::vector<float>& got, const std::vector<float>& expected) {
  REQUIRE(got.size() == expected.size());
  double off = 0, norm = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    off += std::pow(double{got[i]} - expected[i], 2);
    norm += std::pow(double{expected[i]}, 2);
  }
  return std::sqrt(off / norm);
}

class Nowhere : public ClipSink {
  Status frames(const uint8_t*, int64_t) override { return Status(); }
  Status audio(const float*, int64_t) override { return Status(); }
};

// One stage alone, planned and run as the engine does.
class OneStage {
 public:
  OneStage(const TinyWan& wan, std::string_view kind, Placement placement, const Request& request)
      : wan_(wan),
        request_(request),
        placement_(std::move(placement)),
        index_(wan.index(kind)),
        devices_({}, *wan.model.weights) {}

  Status plan() {
    ZT_ASSIGN_OR_RETURN(plan_.shape, resolve_clip_shape(wan_.model.recipe, request_.clip));
    plan_.clip = wan_.model.recipe.clip;
    PlanContext context(wan_.model, request_, placement_, devices_, observer_, &plan_);
    context.stage = index_;
    const Stage& stage = wan_.model.recipe.stages[index_];
    return stage_def(stage).plan(stage, &context);
  }
  // Calls `work(context)` as the stage would be run.
  template <typename Work>
  Status run(const Work& work) {
    RunContext context(wan_.model, request_, plan_, sink_, hooks_);
    context.stage = index_;
    const Status status = work(&context);
    peak_bytes = context.stats.peak_bytes;
    return status;
  }
  RequestPlan& made() { return plan_; }

  int64_t peak_bytes = 0;

 private:
  const TinyWan& wan_;
  const Request request_;
  const Placement placement_;
  const size_t index_;
  DeviceList devices_;
  RequestPlan plan_;
  Nowhere sink_;
  const RunHooks hooks_;
  const PassObserver observer_;
};

}  // namespace zoetrope::tiny_wan
