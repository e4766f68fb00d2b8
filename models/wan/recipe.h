// How Wan's components make a clip: the recipe of a pipeline, from what its parts are.
#pragma once

#include <vector>

#include "graph/format/recipe.h"
#include "models/wan/vae.h"
#include "models/wan/wan.h"

namespace zoetrope {

// Statistics of the published latents with so many channels (16: 2.1's, 48: 2.2's); else empty.
struct LatentStatistics {
  std::vector<float> mean, deviation;  // a channel
};
LatentStatistics wan_latent_statistics(int64_t channels);

// The autoencoder that was published with so many latent channels.
WanVaeConfig published_wan_vae(const WanConfig& dit);

// What the projects' own scripts sample each kind of model with (wan/configs of Wan2.1 and Wan2.2).
struct WanSampling {
  double shift = 5;
  int steps = 50;
  double guidance = 5;
  double boundary = 0;      // of two experts: below it the second takes over
  double low_guidance = 0;  // the second's; 0: the same
  int fps = 16;
  int64_t width = 832, height = 480, frames = 81;
};
WanSampling published_wan_sampling(const WanConfig& dit, bool experts);

// UniPC of second order with the noise levels of diffusers' scheduler.
FlowSampler wan_sampler(double shift);
// Few steps without guidance. FastWan's three of distribution matching (FastVideo: 1000, 757 and
// 522 of 1000, at the nearest noise levels of a shift by 8), and lightx2v's four of Euler.
FlowSampler wan_dmd_sampler();
FlowSampler wan_distilled_sampler();

struct WanPipeline {
  WanConfig dit;
  WanVaeConfig vae;
  LatentStatistics latents;
  bool experts = false;  // components dit, and dit_low below sampling.boundary
  WanSampling sampling;
  FlowSampler sampler;
  int64_t positions = 1024;  // of the transformer's RoPE, along each axis
  EncodeText::Tokenizer tokenizer = EncodeText::Tokenizer::kSentencePiece;
  int text_length = 512;
  ImageFeatures picture{.size = 224};  // how the picture tower's input is made of a frame
};

// Components, and the scopes of their weights in a file. The autoencoder's four share one scope.
struct WanNames {
  static constexpr const char *kText = "text_encoder", *kDit = "dit", *kLow = "dit_low",
                              *kVision = "vision_encoder", *kVae = "vae", *kEncoder = "encoder",
                              *kFirstEncoder = "encoder_first", *kDecoder = "decoder",
                              *kFirstDecoder = "decoder_first";
};
Recipe wan_recipe(const WanPipeline& pipeline);

}  // namespace zoetrope
