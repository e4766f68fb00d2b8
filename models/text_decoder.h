// Layers that decoder-only text networks share (Qwen3, Gemma): attention over what came before,
// with fewer heads of keys than of queries, both normed head by head and rotated, and a gated
// feed-forward network. Weights carry transformers' names. Each network says in which order.
#pragma once

#include <initializer_list>
#include <string_view>

#include "graph/builder.h"
#include "models/layers.h"

namespace zoetrope {

// Refuses sizes that are none; `name`, as in "a Qwen3", is for the message.
Status check_text_decoder(std::string_view name, std::initializer_list<int64_t> sizes,
                          int64_t heads, int64_t key_heads, int64_t head_dim);

class TextDecoder {
 public:
  struct Config {
    int64_t width, ffn;
    double epsilon;
    double norm_offset = 0;  // norms multiply by their weight and this
  };
  TextDecoder(Builder& b, const Config& config, Dim batch, Dim length);

  ValueId norm(std::string_view name, ValueId x, int64_t width);
  // Of positions 0, 1, ...; frequencies [pairs] → each [1, length, 1, pairs]
  layers::RopeTables rope(ValueId frequencies, int64_t pairs);

  // Of attention, in scope "self_attn": h [batch, length, width] → [batch, length, count,
  // head_dim],
  ValueId heads(std::string_view name, ValueId h, int64_t count, int64_t head_dim);
  // such heads normed and rotated,
  ValueId rotated(std::string_view norm_name, ValueId x, int64_t head_dim,
                  const layers::RopeTables& rope);
  // and heads joined and projected back to [batch, length, width].
  ValueId joined(ValueId heads, int64_t count, int64_t head_dim);

  // down(activation(gate h) · (up h)), in scope "mlp"
  ValueId feed_forward(ValueId h, OpKind activation);

 private:
  Builder& b_;
  const Config c_;
  const Dim batch_, length_;
};

}  // namespace zoetrope
