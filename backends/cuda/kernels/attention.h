// softmax(scale · q kᵀ + mask) v for every head, without a matrix of scores in memory.
#pragma once

#include <cuda_runtime_api.h>

#include "backends/cuda/kernels/rows.h"

namespace zoetrope::cuda {

// Where a tensor [batch, tokens, heads, dim] lies: elements from sample to sample and from token to
// token; heads and dims follow one another.
struct AttentionTensor {
  const void* data = nullptr;
  int64_t batch_step = 0, token_step = 0;
  int64_t offset = 0;  // of data in its rows; data has been moved by it
};

struct AttentionParams {
  AttentionTensor q, k, v;
  void* out = nullptr;  // [batch, queries, heads, v_dim], contiguous
  DType dtype = DType::kF32;
  int64_t batch = 0, queries = 0, keys = 0;
  int heads = 0, kv_heads = 0, dim = 0, v_dim = 0;
  float scale = 1;
  bool causal = false;               // query i sees keys up to i + keys − queries
  const int32_t* lengths = nullptr;  // [batch]: keys at and beyond are not seen; null: all are
  SideParams mask;                   // added to the scores
  int64_t mask_steps[4] = {};        // batch, heads, queries, keys
};

// Any dtype, dims and options, on FMA units.
cudaError_t attention_plain(const AttentionParams& p, cudaStream_t stream);

}  // namespace zoetrope::cuda
