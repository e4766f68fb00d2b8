// LTX-2's weights of text as its graph has them.
#pragma once

#include <algorithm>

#include "converters/joined_weights.h"

namespace zoetrope {

// The text's weights. Checkpoints order the projections' columns channel by channel, states within;
// graphs state by state.
class Ltx2TextWeights : public JoinedWeights {
 public:
  int64_t width = 0, states = 0;

  Result<WeightData> load(std::string_view name) const override {
    ZT_ASSIGN_OR_RETURN(WeightData data, JoinedWeights::load(name));
    if (!is_projection(name)) return data;
    const auto size = static_cast<size_t>(dtype_size(data.type.dtype));
    const int64_t rows = data.type.shape[0];
    auto turned = std::make_shared<std::vector<uint8_t>>(static_cast<size_t>(data.type.bytes()));
    const auto* from = static_cast<const uint8_t*>(data.data);
    uint8_t* to = turned->data();
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t s = 0; s < states; ++s)
        for (int64_t c = 0; c < width; ++c, to += size)
          std::copy_n(from + static_cast<size_t>((r * width + c) * states + s) * size, size, to);
    data.data = turned->data();
    data.owner = std::move(turned);
    return data;
  }
  std::optional<EncodedLayout> encoded(std::string_view name) const override {
    return is_projection(name) ? std::nullopt : JoinedWeights::encoded(name);
  }

  static bool is_projection(std::string_view name) { return name.ends_with("text_proj_in.weight"); }
};

// The same of adapters: states of the projections among the model's weights.
inline Result<int64_t> ltx2_column_groups(const std::string& tensor, const WeightSource& weights) {
  if (!Ltx2TextWeights::is_projection(tensor)) return 1;
  const std::string scope = tensor.substr(0, tensor.find('/') + 1);
  ZT_ASSIGN_OR_RETURN(const TensorType table, weights.type(scope + "gemma.embed_tokens.weight"));
  ZT_ASSIGN_OR_RETURN(const TensorType type, weights.type(tensor));
  if (type.shape[-1] % table.shape[-1] != 0)
    return error(Code::kDataLoss, "'", tensor, "' is ", type.to_string(),
                 ", no whole number of states of ", table.shape[-1]);
  return type.shape[-1] / table.shape[-1];
}

}  // namespace zoetrope
