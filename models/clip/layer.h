// What both of CLIP's towers repeat: a transformer's layer before whose halves stand norms.
#pragma once

#include <string_view>

#include "graph/builder.h"
#include "models/clip/clip.h"

namespace zoetrope {

struct ClipLayers {
  Builder& b;
  int64_t width = 0, heads = 0, ffn = 0;
  double epsilon = 1e-5;
  ClipVisionConfig::Activation activation = ClipVisionConfig::Activation::kGelu;
  bool causal = false;
  Dim batch, tokens;

  // Under `name`.
  ValueId norm(std::string_view name, ValueId x) const;
  // x [batch, tokens, width] through layer `index`, whose weights and result are
  // "encoder.layers.N".
  ValueId layer(ValueId x, int64_t index) const;
};

}  // namespace zoetrope
