// Attention on the tensor cores of sm_80 and later, of f16 and bf16: every option; dims that are
// multiples of 8.
#pragma once

#include "backends/cuda/kernels/attention.h"

namespace zoetrope::cuda {

// Dims up to 128. `rows` queries a block: 64 or 128 (64 with a mask, whatever is asked).
inline constexpr int kAttentionMmaKeys = 64;
cudaError_t attention_mma(const AttentionParams& p, int rows, cudaStream_t stream);

// Dims up to 512, 64 queries a block; `stages` parts of 64 dims of 64 keys are on their way.
inline constexpr int kAttentionWideDims = 512;
int64_t attention_wide_bytes(int dim, int stages);  // shared memory of a block
cudaError_t attention_wide(const AttentionParams& p, int stages, cudaStream_t stream);

}  // namespace zoetrope::cuda
