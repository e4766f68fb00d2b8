// MiniMax-H3's autoencoder of video (diffusers' autoencoder_kl_minimax_h3.py): a causal network of
// convolutions to latents, a transformer back. With space() pixels and time() frames a latent, of
// every chunk() latents the first one stands for first_frames():
//   encoder  video [batch, 1 + time · frames, space · height, space · width, channels] in [−1, 1]
//            → mean and deviation [batch, 1 + frames, height, width, latent_channels], unnormalised
//            A clip goes in by clip_length frames, the last stretch filled with its last frame, and
//            the last token_drop latents are dropped; a picture goes in alone.
//   decoder  latents [batch, piece, height, width, latent_channels], unnormalised, piece() of them
//            → video [batch, piece_frames, space · height, space · width, channels]
// Weights carry diffusers' names, convolutions channels last; a block's result is "<block>.output".
#pragma once

#include <vector>

#include "graph/graph.h"

namespace zoetrope {

struct MiniMaxH3VaeConfig {
  int64_t channels = 3, latent_channels = 24;
  struct Level {
    int64_t channels, space, time;  // by which it divides the size
  };
  std::vector<Level> levels{{128, 2, 1}, {256, 2, 2}, {256, 2, 2},
                            {512, 2, 1}, {512, 1, 1}, {1024, 1, 1}};
  int64_t blocks = 2, groups = 32;  // of each level; of its norms
  double epsilon = 1e-6;
  bool reflects = true;  // at the borders of frames; else zeros
  // Of the decoder.
  int64_t layers = 36, heads = 32, head_dim = 64, registers = 4, ffn_factor = 4;
  double theta = 100, rope_dim_ratio = 0.75;  // part of a head's channels that positions turn
  double decoder_epsilon = 1e-5;
  // Pixels are normalised by these, from [0, 1].
  std::vector<double> pixel_mean{0.485, 0.456, 0.406}, pixel_deviation{0.229, 0.224, 0.225};
  int64_t clip_length = 17, token_drop = 3;

  int64_t space() const;
  int64_t time() const;
  // Latents of clip_length frames; frames that the first of them stands for; latents that
  // neighbouring pieces share; latents of a piece, and its frames.
  int64_t chunk() const { return (clip_length + time() - 1) / time(); }
  int64_t first_frames() const { return clip_length - (chunk() - 1) * time(); }
  int64_t overlap() const { return (chunk() - token_drop % chunk()) % chunk(); }
  int64_t piece() const { return chunk() + overlap(); }
  int64_t overlap_frames() const {
    return overlap() == 0 ? 0 : first_frames() + (overlap() - 1) * time();
  }
  int64_t piece_frames() const { return clip_length + overlap_frames(); }
};

Result<Graph> build_minimax_h3_video_encoder(const MiniMaxH3VaeConfig& config);
Result<Graph> build_minimax_h3_video_decoder(const MiniMaxH3VaeConfig& config);

}  // namespace zoetrope
