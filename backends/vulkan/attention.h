// What the kernels of scaled_dot_product_attention share.
#pragma once

#include "backends/vulkan/kernel.h"
#include "graph/ops/attention.h"

namespace zoetrope::vulkan {

using enum ops::AttentionInput;

// How the work is cut: shaders/attention.glsl.
struct AttentionCut {
  int64_t rows = 0;            // of one sample and key head
  int64_t tile_rows = 32;      // of a group
  int64_t slice_columns = 32;  // of v, a group
  int64_t span = 0, parts = 1;

  int64_t tiles() const { return ceil_div(rows, tile_rows); }
};

// Where `groups` are too few to fill a GPU, keys are cut, too. Spans are multiples of `tile`.
void cut_keys(int64_t groups, int64_t keys, int64_t tile, AttentionCut* cut);

// Adds the constants CAUSAL, HAS_LENGTHS, HAS_MASK and IN_PARTS.
void add_forms(const KernelRequest& request, const AttentionCut& cut, Dispatch* d);

// The shader's run over all its groups, and the one that combines if keys are cut.
KernelSpec attention_spec(const KernelRequest& request, const AttentionCut& cut, Dispatch d);

bool accepts_attention(const KernelRequest& request, const Capabilities& caps);

// attention_coopmat.cc.
bool accepts_attention_coopmat(const KernelRequest& request, const Capabilities& caps);
Result<KernelSpec> prepare_attention_coopmat(const KernelRequest& request,
                                             const Capabilities& caps);

}  // namespace zoetrope::vulkan
