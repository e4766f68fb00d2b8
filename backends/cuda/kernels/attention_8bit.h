// Attention whose products are of 8-bit numbers (f8e4m3), on Hopper's tensor cores (sm_90a).
#pragma once

#include "backends/cuda/kernels/attention.h"

namespace zoetrope::cuda {

// What attention reads, in workspace: q, k and v in 8 bits, in the order in which blocks of the
// tensor cores' kernel hold them in shared memory, with their factors.
//   q: of each sample and head, parts of 64 rows [64, D]; rows beyond the last are zeros.
//   k: of each sample and key head, tiles of 128 keys [128, D]; a vector near the mean of all keys
//      is taken off first, which softmax does not see; keys beyond the last are zeros.
//   v: tiles [D, 128], a row a dim; their mean, near enough, is taken off and added to the result.
//      A key of number b6 b5 b4 b3 b2 b1 b0 stands at place b2 b1 b6 b5 b4 b3 b0 of its tile.
// D is the dims rounded up to 64 or 128; 16-byte pieces of rows are swizzled as the tensor cores
// expect rows of that many bytes.
struct Attention8Tensors {
  uint8_t *q = nullptr, *k = nullptr, *v = nullptr;
  float* q_scale = nullptr;  // [batch, heads, query parts · 64]: q ≈ q8 · scale
  float* k_scale = nullptr;  // [batch, kv_heads, tiles]
  // [batch, kv_heads, D]; v_most: max |v − mean|
  float *v_scale = nullptr, *v_most = nullptr, *k_mean = nullptr, *v_mean = nullptr;
  // Of parts of the keys: sums [tile, part, 192, D], their rows' maximum and Σ weights [.., 192].
  float *part_sums = nullptr, *part_most = nullptr, *part_total = nullptr;
};
inline constexpr int kAttention8Rows = 64, kAttention8Keys = 128, kAttention8BlockRows = 192;

// f16 and bf16, one dim of at most 128 for keys and values, a multiple of 8; no mask; scale > 0.
struct Attention8Params {
  AttentionParams p;
  Attention8Tensors t;
  // The last tiles of queries, which would not fill the device: so many blocks have parts of the
  // keys of each, and a kernel adds them up.
  int split_tiles = 0, parts = 1;
};
// Sets split_tiles and parts.
void attention_8bit_split(Attention8Params* a, int multiprocessors);

// Dims computed on.
constexpr int attention_8bit_dims(int dim) { return dim <= 64 ? 64 : 128; }
// Bytes of workspace; sets the tensors' places from `base` on where it is given.
int64_t attention_8bit_layout(Attention8Params* a, char* base);

// Fills the tensors.
cudaError_t attention_8bit_quantize(const Attention8Params& a, cudaStream_t stream);
cudaError_t attention_8bit_wgmma(const Attention8Params& a, cudaStream_t stream);
// Adds up the parts, if there are any.
cudaError_t attention_8bit_combine(const Attention8Params& a, cudaStream_t stream);

}  // namespace zoetrope::cuda
