#include "models/wan/recipe.h"

#include <algorithm>

#include "models/recipe_parts.h"

namespace zoetrope {
namespace {

// What its captions are like, in words of our own.
constexpr const char* kInstructions =
    "You rewrite short requests for a model that makes short silent videos. Answer with one "
    "paragraph in the request's language, 80 to 100 words, and nothing else. Say first who or what "
    "is in the middle, then what it does and how it moves, then the surroundings, the light, the "
    "style, and how far the camera is and how it moves. Keep everything that the request says, and "
    "text in quotation marks as it is. Invent nothing that contradicts it.";

using Conditioning = WanConfig::Conditioning;

// Of both projects' sources.
constexpr float kMean16[] = {-0.7571f, -0.7089f, -0.9113f, 0.1075f,  -0.1745f, 0.9653f,
                             -0.1517f, 1.5508f,  0.4134f,  -0.0715f, 0.5517f,  -0.3632f,
                             -0.1922f, -0.9497f, 0.2503f,  -0.2921f};
constexpr float kDeviation16[] = {2.8184f, 1.4541f, 2.3275f, 2.6558f, 1.2196f, 1.7708f,
                                  2.6052f, 2.0743f, 3.2687f, 2.1526f, 2.8652f, 1.5579f,
                                  1.6382f, 1.1253f, 2.8251f, 1.9160f};
constexpr float kMean48[] = {-0.2289f, -0.0052f, -0.1323f, -0.2339f, -0.2799f, 0.0174f,  0.1838f,
                             0.1557f,  -0.1382f, 0.0542f,  0.2813f,  0.0891f,  0.1570f,  -0.0098f,
                             0.0375f,  -0.1825f, -0.2246f, -0.1207f, -0.0698f, 0.5109f,  0.2665f,
                             -0.2108f, -0.2158f, 0.2502f,  -0.2055f, -0.0322f, 0.1109f,  0.1567f,
                             -0.0729f, 0.0899f,  -0.2799f, -0.1230f, -0.0313f, -0.1649f, 0.0117f,
                             0.0723f,  -0.2839f, -0.2083f, -0.0520f, 0.3748f,  0.0152f,  0.1957f,
                             0.1433f,  -0.2944f, 0.3573f,  -0.0548f, -0.1681f, -0.0667f};
constexpr float kDeviation48[] = {
    0.4765f, 1.0364f, 0.4514f, 1.1677f, 0.5313f, 0.4990f, 0.4818f, 0.5013f, 0.8158f, 1.0344f,
    0.5894f, 1.0901f, 0.6885f, 0.6165f, 0.8454f, 0.4978f, 0.5759f, 0.3523f, 0.7135f, 0.6804f,
    0.5833f, 1.4146f, 0.8986f, 0.5659f, 0.7069f, 0.5338f, 0.4889f, 0.4917f, 0.4069f, 0.4999f,
    0.6866f, 0.4093f, 0.5709f, 0.6065f, 0.6415f, 0.4944f, 0.5726f, 1.2042f, 0.5458f, 1.6887f,
    0.3971f, 1.0600f, 0.3943f, 0.5537f, 0.5444f, 0.4089f, 0.7468f, 0.7744f};

EncodeText encode_text(const WanPipeline& p) {
  EncodeText s = recipe_parts::encode_t5_text(WanNames::kText, "text", p.text_length);
  s.tokenizer = p.tokenizer;
  s.pad_to_max = s.clean = true;
  return s;
}

KnownLatents known_latents(const WanPipeline& p) {
  KnownLatents s = recipe_parts::known_latents("video", WanNames::kEncoder);
  s.first = WanNames::kFirstEncoder;
  if (p.dit.conditioning == Conditioning::kChannels) {
    s.fill = KnownLatents::Fill::kGrey;
    s.mask = KnownLatents::Mask::kFrames;
    s.required = true;
  }
  return s;
}

Denoise denoise(const WanPipeline& p) {
  Denoise s = recipe_parts::denoise({"video"}, {"text"});
  if (p.dit.conditioning != Conditioning::kNone)
    recipe_parts::add_conditions(&s, {"known", "known_mask"});
  if (p.dit.image_width > 0) recipe_parts::add_conditions(&s, {"image"});
  s.sampler = p.sampler;
  s.steps = p.sampling.steps;
  s.guidance = p.sampling.guidance;
  if (p.experts) {
    Denoise::Expert low{WanNames::kLow, p.sampling.boundary, std::nullopt};
    if (p.sampling.low_guidance > 0) low.guidance = p.sampling.low_guidance;
    s.experts = {std::move(low)};
  }
  return s;
}

}  // namespace

LatentStatistics wan_latent_statistics(int64_t channels) {
  if (channels == 16)
    return {{std::begin(kMean16), std::end(kMean16)},
            {std::begin(kDeviation16), std::end(kDeviation16)}};
  if (channels == 48)
    return {{std::begin(kMean48), std::end(kMean48)},
            {std::begin(kDeviation48), std::end(kDeviation48)}};
  return {};
}

WanVaeConfig published_wan_vae(const WanConfig& dit) {
  return dit.channels == 48 ? wan_vae_2_2() : wan_vae_2_1();
}

FlowSampler wan_sampler(double shift) {
  FlowSampler s;
  s.solver = FlowSolver::kUniPc;
  s.shift = shift;
  s.last = 0.001;
  s.train_steps = 1000;
  return s;
}

FlowSampler wan_dmd_sampler() {
  FlowSampler s;
  s.solver = FlowSolver::kDmd;
  s.schedule = FlowSchedule::kExplicit;
  s.shift = 8;
  s.times = {1, 0.28, 0.12, 0};
  s.told = {1, 0.757, 0.522};
  return s;
}

FlowSampler wan_distilled_sampler() {
  FlowSampler s;
  s.solver = FlowSolver::kEuler;
  s.schedule = FlowSchedule::kExplicit;
  s.shift = 5;
  s.times = {1, 0.75, 0.5, 0.25, 0};
  return s;
}

WanSampling published_wan_sampling(const WanConfig& dit, bool experts) {
  WanSampling s;
  if (dit.conditioning == Conditioning::kFrames) {  // TI2V
    s.fps = 24;
    s.width = 1280;
    s.height = 704;
    s.frames = 121;
  } else if (experts && dit.conditioning == Conditioning::kNone) {
    s.shift = 12;
    s.steps = 40;
    s.guidance = 4;
    s.low_guidance = 3;
    s.boundary = 0.875;
  } else if (experts) {
    s.steps = 40;
    s.guidance = 3.5;
    s.boundary = 0.9;
  } else if (dit.conditioning == Conditioning::kChannels && dit.image_positions == 0) {
    s.shift = 3;  // at 480p; 5 at 720p
    s.steps = 40;
  } else if (dit.image_positions > 0) {
    s.shift = 16;
    s.width = 1280;
    s.height = 720;
  }
  return s;
}

Recipe wan_recipe(const WanPipeline& p) {
  Recipe recipe;
  recipe.expansion = Expansion{.instructions = kInstructions};
  LatentSpec latents = recipe_parts::latents("video", Modality::kVideo, p.latents.mean,
                                             p.latents.deviation, p.dit.channels);
  latents.pixels = static_cast<int>(p.vae.space());
  latents.later_frames = static_cast<int>(p.vae.time());
  const int64_t step = 2 * latents.pixels, later = latents.later_frames;
  const auto side = [&](int64_t preferred) {
    const int64_t most = step * std::min<int64_t>(p.positions, 2048 / step);
    return Range{step, most, step, std::clamp(preferred / step * step, step, most)};
  };
  recipe.clip.fps = p.sampling.fps;
  recipe.clip.width = side(p.sampling.width);
  recipe.clip.height = side(p.sampling.height);
  const int64_t most_frames = 1 + later * (std::min<int64_t>(p.positions, 41) - 1);
  const int64_t preferred = 1 + (p.sampling.frames - 1) / later * later;
  recipe.clip.frames = {1, most_frames, later, std::min(preferred, most_frames), 1 % later};
  if (latents.mean.empty()) return recipe;
  recipe.latents = {std::move(latents)};
  recipe.stages.push_back(encode_text(p));
  if (p.dit.image_width > 0) {
    ImageFeatures features = p.picture;
    features.component = WanNames::kVision;
    features.input = "image";
    features.output = "features";
    features.gives = "image";
    features.pictures = p.dit.image_positions > 0 ? 2 : 1;
    recipe.stages.push_back(std::move(features));
  }
  if (p.dit.conditioning == Conditioning::kNone) {
    StartPicture start;
    start.latents = "video";
    start.first = WanNames::kFirstEncoder;
    start.component = WanNames::kEncoder;
    start.input = "video";
    start.output = "mean";
    recipe.stages.push_back(std::move(start));
  } else {
    recipe.stages.push_back(known_latents(p));
  }
  recipe.stages.push_back(denoise(p));
  auto decode = recipe_parts::decode<DecodeVideo>("video", WanNames::kDecoder);
  decode.first = WanNames::kFirstDecoder;
  // Norms see one place, attention a whole frame: tiles only where a frame does not fit.
  decode.tiles = {.length = 0, .overlap = 8, .reach = 0};
  recipe.stages.push_back(std::move(decode));
  return recipe;
}

}  // namespace zoetrope
