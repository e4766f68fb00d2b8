// DiT: class-conditional images in the latents of an autoencoder (Peebles & Xie, arXiv 2212.09748).
//   dit  latents [batch, height, width, channels], time [batch] (0..999), labels i32[batch]
//        (`classes`: none)
//        → output [batch, height, width, out_channels]: the prediction, then, where twice as many
//        as channels, raw variance
// Weights carry the names of the original checkpoints; where each block has embedders of its own,
// "blocks.N.t_embedder." and "blocks.N.y_embedder.". "blocks.N.output" is what a block gives.
#pragma once

#include "graph/graph.h"

namespace zoetrope {

struct DitConfig {
  int64_t layers = 28, width = 1152, heads = 16, patch = 2;
  int64_t hidden = 4608;  // of a block's MLP
  int64_t channels = 4, out_channels = 8;
  int64_t classes = 1000;  // the table has one row more: the null class
  int64_t time_features = 256;

  // Patches a side that the network was trained on: positions of any other grid are stretched to
  // this one, as diffusers does.
  int64_t base_grid = 16;
  bool stored_positions = false;  // a weight pos_embed [base_grid², width]; no other grid then

  enum class Activation { kGeluTanh, kGelu, kGeluSigmoid, kSilu, kGeglu, kSwiglu };
  Activation activation = Activation::kGeluTanh;
  bool qkv_bias = true;
  bool mlp_norm_affine = false;
  double mlp_norm_epsilon = 1e-6;  // of the norm before the MLP; 1e-6 of all others
  // diffusers divides the timestep frequencies' exponents by half − 1, the original by half.
  bool diffusers_time = false;
  bool embedders_per_block = false;
};

// size: 's', 'b', 'l' or 'x' (XL); patch 2, 4 or 8; trained on latents of 32×32.
DitConfig dit_config(char size, int64_t patch);
// Errors name the part of a configuration that contradicts another.
Result<Graph> build_dit(const DitConfig& config);

// The fixed position table of a grid of `grid`² patches, row by row: [grid², width], as a
// checkpoint stores it.
std::vector<float> dit_position_table(int64_t grid, int64_t width);

}  // namespace zoetrope
