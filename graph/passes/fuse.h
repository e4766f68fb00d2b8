// Fusions: naive subgraphs to the fused ops, each of which ships its decomposition. They fire only
// where nothing else reads what disappears. Bound graphs only.
#pragma once

#include "graph/graph.h"

namespace zoetrope {

class GraphView;

// The activation that makes `id`, of those that fused ops take in, or null; as
// GraphView::absorbable.
const Node* absorbable_activation(const GraphView& view, ValueId id);

// act(matmul(x, W) + bias) → fused_linear; act(conv(replicate-pad(x), W) + bias) → fused_conv;
// quantized_matmul + bias → quantized_matmul with bias.
Result<Graph> fuse_contractions(const Graph& graph);

// rope(rms_norm(x)·w) → norm_rope, also with the norm over the full width before the split in
// heads.
Result<Graph> fuse_norm_rope(const Graph& graph);

// norm(x)·(1 + scale) + shift → norm_modulate.
Result<Graph> fuse_norm_modulate(const Graph& graph);

// act(a)·b → glu.
Result<Graph> fuse_glu(const Graph& graph);

// x + gate·y → gated_residual.
Result<Graph> fuse_gated_residual(const Graph& graph);

// The sum of a residual (gated or not) and the norm that reads it first → residual_norm. After
// fuse_norm_modulate and fuse_gated_residual.
Result<Graph> fuse_residual_norm(const Graph& graph);

// quantize_rows of a norm (modulated, or with the residual before it) or of an activation (gated or
// not) that nothing else reads → norm_quantize, residual_norm_quantize, activate_quantize. After
// fuse_residual_norm and fuse_glu, before fuse_contractions.
Result<Graph> fuse_quantized_rows(const Graph& graph);

// Attention over slices of wider rows → packed_attention.
Result<Graph> fuse_packed_attention(const Graph& graph);

}  // namespace zoetrope
