// The text network of Gemma 3 and of the unified Gemma 4 (transformers' Gemma3TextModel,
// Gemma4UnifiedTextModel) as part of a graph: all its hidden states. Weights carry transformers'
// names, from "embed_tokens" down.
#pragma once

#include <vector>

#include "graph/builder.h"

namespace zoetrope {

struct GemmaConfig {
  int64_t vocabulary = 262208, width = 3840, layers = 48, ffn = 15360;
  int64_t heads = 16, key_heads = 8, head_dim = 256;
  double score_scale = 256;   // scores are divided by its square root
  int64_t window = 1024;      // tokens that a sliding layer looks back at, itself included
  std::vector<bool> sliding;  // by layer; empty: all but every sixth
  double epsilon = 1e-6;
  double theta = 1e6, sliding_theta = 1e4;
  double position_divisor = 8, sliding_position_divisor = 1;  // linear scaling of rotary positions
  // Gemma 4: norms multiply by their weight, not by one more, values are normed too, scores are as
  // they are, and a layer's result is multiplied by its own number.
  bool fourth = false;
  // Of layers that do not slide: 0 as above; values are keys before their norm; of a head's pairs
  // of channels this part turns, the first ones.
  int64_t full_head_dim = 0, full_key_heads = 0;
  bool values_are_keys = false;
  double partial_rotary_factor = 1;

  bool slides(int64_t layer) const {
    return sliding.empty() ? (layer + 1) % 6 != 0 : sliding[static_cast<size_t>(layer)];
  }
};

inline GemmaConfig gemma3_12b() { return {}; }

Status check_gemma(const GemmaConfig& config);

// ids i32 [batch, length], lengths i32 [batch]; ids at and beyond a row's length are not seen and
// what comes out there means nothing. layers + 1 values [batch, length, width]: the embeddings,
// each layer's output, of the last one its norm. Layers are "layers.N.output".
std::vector<ValueId> gemma_hidden_states(Builder& b, const GemmaConfig& config, ValueId ids,
                                         ValueId lengths, const Dim& batch, const Dim& length);

}  // namespace zoetrope
