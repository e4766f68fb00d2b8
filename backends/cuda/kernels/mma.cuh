// Tensor cores of sm_80 and later through one warp: asynchronous copies into shared memory, loads
// of 8×8 matrices, and the 16×8×16 product of f16 or bf16 with f32 sums.
#pragma once

#include "backends/cuda/kernels/common.cuh"

namespace zoetrope::cuda {

// Where `pointer` lies in the block's shared memory: what PTX's .shared operands take.
__device__ inline uint32_t shared_address(const void* pointer) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}

// 16 bytes from global to shared memory, past L1; both aligned to 16. Bytes from `valid` on are
// written as zeros, and nothing is read where valid is 0 (source must still be a valid pointer).
__device__ inline void copy_async_16(uint32_t to, const void* from, int valid = 16) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(valid)
               : "memory");
}
// Likewise 4 or 8 bytes, through L1, for rows that are aligned to no more.
template <int kBytes>
__device__ inline void copy_async_small(uint32_t to, const void* from, int valid = kBytes) {
  static_assert(kBytes == 4 || kBytes == 8);
  asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(to), "l"(from), "n"(kBytes),
               "r"(valid)
               : "memory");
}
__device__ inline void copy_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Until at most `kPending` of the thread's latest groups are under way. A barrier must follow
// before other threads read what was copied.
template <int kPending>
__device__ inline void copy_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

// Four 8×8 matrices of 16-bit elements. Lane l gives the address of row l % 8 of matrix l / 8; its
// r[i] gets elements 2·(l % 4) and the next of row l / 4 of matrix i.
__device__ inline void load_matrix_x4(uint32_t (&r)[4], uint32_t address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address)
               : "memory");
}
// The same, each matrix transposed.
__device__ inline void load_matrix_x4_transposed(uint32_t (&r)[4], uint32_t address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address)
               : "memory");
}

// d [16, 8] += a [16, 16] × b [16, 8], a row by row, b column by column. Of lane l (g = l / 4,
// t = l % 4):
//   a[0]: row g, columns 2t, 2t+1;  a[1]: row g+8;  a[2], a[3]: the same rows, columns 8 further
//   b[0]: column g, rows 2t, 2t+1;  b[1]: rows 8 further
//   d[0], d[1]: row g, columns 2t, 2t+1;  d[2], d[3]: row g+8
// load_matrix_x4 on a [16, 16] part of a row-major A gives a (addresses: row l % 16, column
// 8·(l / 16)); on a part of a B stored [N, K], 16 columns of b and 16 deep, it gives b of columns
// 0–7 in r[0], r[1] and of columns 8–15 in r[2], r[3] (addresses: row l / 16·8 + l % 8, column 8·(l
// / 8 % 2)). b0 and b1 should be neighbours so: others are moved to neighbouring registers first.
template <typename T>
__device__ inline void mma_16x8x16(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1);

template <>
__device__ inline void mma_16x8x16<__half>(float (&d)[4], const uint32_t (&a)[4], uint32_t b0,
                                           uint32_t b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

template <>
__device__ inline void mma_16x8x16<__nv_bfloat16>(float (&d)[4], const uint32_t (&a)[4],
                                                  uint32_t b0, uint32_t b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

}  // namespace zoetrope::cuda
