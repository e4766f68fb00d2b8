// What Hopper's attention kernels share: one thread of the first warpgroup brings tiles of keys and
// values by the copy engine, the others multiply.
#pragma once

#include "backends/cuda/kernels/attention.cuh"
#include "backends/cuda/kernels/tma.cuh"
#include "backends/cuda/kernels/wgmma.cuh"

namespace zoetrope::cuda {

// Sums that products have written asynchronously may be read from here on.
template <typename T, int kCount>
__device__ void wgmma_pin(T (&values)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) wgmma_pin(values[i]);
}

// Barriers of the tiles of keys and values in shared memory: `readers` warps say when one is free.
template <typename Shared>
__device__ void init_stages(Shared& shared, uint32_t readers) {
  constexpr int kStages = sizeof(shared.k_full) / sizeof(shared.k_full[0]);
  for (int s = 0; s < kStages; ++s) {
    barrier_init(shared_address(&shared.k_full[s]), 1);
    barrier_init(shared_address(&shared.v_full[s]), 1);
    barrier_init(shared_address(&shared.k_empty[s]), readers);
    barrier_init(shared_address(&shared.v_empty[s]), readers);
  }
}

// Where a thread that multiplies stands.
struct Consumer {
  int group, thread, lane;  // of those that multiply; of its group; of its warp

  __device__ Consumer()
      // The same in all lanes, which the compiler cannot know of threadIdx.
      : group(__shfl_sync(0xffffffffu, static_cast<int>(threadIdx.x) / 128, 0) - 1),
        thread(static_cast<int>(threadIdx.x) % 128),
        lane(thread % 32) {}
};

// s [64, kKeys] = q·kᵀ of 16-bit rows. Operands are descriptors, which count in 16 bytes; a box of
// 64 dims of q and of k lies `q_box` and `k_box` bytes behind the one before.
template <typename T, int kDim, int kKeys>
__device__ void score_keys(float (&s)[kKeys / 2], uint64_t q, int q_box, uint64_t k, int k_box) {
  wgmma_fence();
#pragma unroll
  for (int step = 0; step < kDim / 16; ++step)
    Wgmma<T, kKeys>::multiply(s, q + step / 4 * (q_box / 16) + step % 4 * 2,
                              k + step / 4 * (k_box / 16) + step % 4 * 2, step > 0);
  wgmma_commit();
}

// o [64, kDim] (+)= weights [64, kKeys] · v.
template <typename T, int kDim, int kKeys>
__device__ void weigh_values(float (&o)[kDim / 2], uint32_t (&weights)[kKeys / 4], uint64_t v,
                             bool add) {
  wgmma_fence();
#pragma unroll
  for (int step = 0; step < kKeys / 16; ++step)
    WgmmaRegisters<T, kDim>::multiply(o, &weights[4 * step], v + step * 128, add || step > 0);
  wgmma_commit();
}

}  // namespace zoetrope::cuda
