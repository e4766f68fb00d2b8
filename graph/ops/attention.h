// How every kernel sees scaled_dot_product_attention and packed_attention.
#pragma once

#include "graph/op.h"
#include "graph/ops/common.h"

namespace zoetrope::ops {

enum AttentionInput : size_t { kQ, kK, kV, kKeyLengths, kMask };

// Where one of q, k and v stands in its rows.
struct AttentionRows {
  int64_t columns = 0;  // elements from a token's row to the next one's
  int64_t offset = 0;   // elements before the first head's
};

struct AttentionShape {
  int64_t batch = 0, queries = 0, keys = 0, heads = 0, kv_heads = 0, dim = 0, value_dim = 0;
  AttentionRows q = {}, k = {}, v = {};
  double scale = 1;
  bool causal = false;
  int64_t bits = 0;  // 8: products may be of 8-bit numbers
  Strides mask{};  // over [batch, heads, queries, keys]; zero where it broadcasts or is absent

  int64_t group() const { return heads / kv_heads; }  // query heads that read one key head
};
// Of nodes that inference has accepted.
AttentionShape attention_shape(const OpContext& context, OpKind op);

}  // namespace zoetrope::ops
