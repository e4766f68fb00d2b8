// Encoders of the T5 family: T5 (arXiv 1910.10683), T5 v1.1, UMT5 (arXiv 2304.09151), as
// transformers' T5EncoderModel and UMT5EncoderModel.
//   ids i32 [batch, text_length], lengths i32 [batch] → text [batch, text_length, width]
// Ids at and beyond a row's length are not seen; what comes out at their places means nothing.
// Weights carry transformers' names, and a block's result is "encoder.block.N.output".
#pragma once

#include "graph/graph.h"

namespace zoetrope {

struct T5Config {
  int64_t vocabulary = 256384, width = 4096, layers = 24, heads = 64, head_dim = 64, ffn = 10240;
  int64_t buckets = 32, max_distance = 128;  // of relative positions
  double epsilon = 1e-6;
  enum class Ffn { kRelu, kGatedGelu, kGatedSilu } ffn_kind = Ffn::kGatedGelu;  // T5; later; UL2
  bool bias_a_layer = true;  // UMT5; else the first layer's position bias serves all (T5)
};

inline T5Config umt5_xxl() { return {}; }

Result<Graph> build_t5_encoder(const T5Config& config);

// Bucket of a key `distance` places behind its query (negative: before), both ways.
int64_t t5_bucket(int64_t distance, int64_t buckets, int64_t max_distance);

}  // namespace zoetrope
