// Toybox: the embedded model. Graphs of its six components, after models/toybox/train/*.py, which
// is the specification. Names and shapes of inputs and outputs (symbols in brackets):
//   text_encoder   ids i32[batch, text_length], lengths i32[batch]
//                  → text [batch, text_length, text.width]
//   dit            video, video_known [batch, frames, height, width, Cv], video_mask [.., 1],
//                  audio, audio_known [batch, audio_length, Ca], audio_mask [.., 1], time [batch],
//                  text [batch, text_length, text.width], text_lengths i32[batch]
//                  → video_velocity, audio_velocity, shaped as video and audio
//   tae_encoder    video [batch, frames, height, width, 3], height and width multiples of 8
//                  → latents [batch, ceil(frames / 8), height / 8, width / 8, Cv]
//   tae_decoder    latents [batch, frames, height, width, Cv]
//                  → video [batch, 8·frames, 8·height, 8·width, 3]
//   codec_encoder  audio [batch, 640·audio_length, 2] → latents [batch, audio_length, Ca]
//   codec_decoder  latents [batch, audio_length, Ca] → audio [batch, 640·audio_length, 2]
// Weights are named as the checkpoint's keys. Linear weights are [out, in]; convolution weights are
// [out, kernel..., in] (2-D spatial [O, 3, 3, I]; temporal [O, 3, 1, I]; 1-D [O, k, I]).
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "graph/format/recipe.h"
#include "graph/graph.h"

namespace zoetrope {

struct ToyboxConfig {
  struct Tae {
    int64_t latent_channels;
    std::vector<int64_t> encoder_widths, encoder_blocks;
    int64_t encoder_mid_blocks;
    std::vector<int64_t> decoder_widths, decoder_blocks;
    int64_t decoder_mid_blocks;
    double norm_epsilon;
  } tae;
  struct Codec {
    int64_t channels, latent_channels;
    std::vector<int64_t> strides, encoder_widths, decoder_widths;
    std::vector<std::vector<int64_t>> encoder_dilations, decoder_dilations;
  } codec;
  struct Text {
    int64_t vocabulary_size, max_length, width, layers, head_dim, ffn, conv_kernel;
    double rope_theta, norm_epsilon;
  } text;
  struct Dit {
    int64_t width, layers, head_dim, ffn, video_channels, audio_channels, text_width, time_features;
    double time_max_period;
    std::vector<int64_t> rope_pairs;
    double rope_theta, norm_epsilon;
  } dit;
  Recipe recipe;
};

// The `config` JSON of the checkpoint's header. Bounds every number: the text may be hostile.
Result<ToyboxConfig> parse_toybox_config(std::string_view json);

Result<std::vector<Graph>> build_toybox(const ToyboxConfig& config);

// Latents on either side of a latent that its decoded frames (samples) depend on.
int64_t toybox_tae_reach(const ToyboxConfig::Tae& config);
int64_t toybox_codec_reach(const ToyboxConfig::Codec& config);

// One file each.
Result<Graph> build_toybox_text_encoder(const ToyboxConfig::Text& config);
Result<Graph> build_toybox_dit(const ToyboxConfig::Dit& config);
Result<Graph> build_toybox_tae_encoder(const ToyboxConfig::Tae& config);
Result<Graph> build_toybox_tae_decoder(const ToyboxConfig::Tae& config);
Result<Graph> build_toybox_codec_encoder(const ToyboxConfig::Codec& config);
Result<Graph> build_toybox_codec_decoder(const ToyboxConfig::Codec& config);

}  // namespace zoetrope
