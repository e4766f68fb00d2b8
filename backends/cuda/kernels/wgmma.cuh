// Matrix products of a warpgroup (four warps that begin at a multiple of four): compute capability
// 9.0 alone (sm_90a). Both operands lie in shared memory, in the 128-byte swizzle that the copy
// engine writes; sums are f32 in registers.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

namespace zoetrope::cuda {

// Orders the warpgroup's earlier register and shared memory accesses before its products.
__device__ inline void wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ inline void wgmma_commit() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
// Until at most `kPending` groups of products are under way.
template <int kPending>
__device__ inline void wgmma_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}
// A register that asynchronous products write may not be moved across this.
__device__ inline void wgmma_pin(float& value) { asm volatile("" : "+f"(value)::"memory"); }

template <int kRegisters>
__device__ inline void registers_raise() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}
template <int kRegisters>
__device__ inline void registers_lower() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

// An operand whose depth is contiguous in rows of kRowBytes (128 or 64, swizzled as wide), one
// after the other; the next 32 bytes of the depth are 32 further.
template <int kRowBytes>
__device__ inline uint64_t wgmma_operand_of(uint32_t address) {
  static_assert(kRowBytes == 128 || kRowBytes == 64);
  return static_cast<uint64_t>(address >> 4 & 0x3fff) | uint64_t{1} << 16 |
         uint64_t{8 * kRowBytes >> 4} << 32 | uint64_t{kRowBytes == 128 ? 1 : 2} << 62;
}

// Describes an operand at `address`, a multiple of 1024 but for steps along the depth.
// Depth contiguous: rows of 128 bytes (64 elements of the depth), one after the other; the next 16
// of the depth are 32 bytes further. Rows contiguous: 128 bytes are 64 rows, the next of the depth
// follow; `next_rows` bytes to the next 64 rows; the next 16 of the depth are 2048 bytes further.
__device__ inline uint64_t wgmma_operand(uint32_t address, uint32_t next_rows = 16) {
  return static_cast<uint64_t>(address >> 4 & 0x3fff) |
         static_cast<uint64_t>(next_rows >> 4) << 16 | uint64_t{1024 >> 4} << 32 |
         uint64_t{1} << 62;
}
// The same with the depth contiguous, `next_eight` bytes from eight rows to the next eight. Any
// multiple of 128 serves as their address: the swizzle depends on addresses alone.
__device__ inline uint64_t wgmma_operand_rows(uint32_t address, uint32_t next_eight) {
  return static_cast<uint64_t>(address >> 4 & 0x3fff) | uint64_t{1} << 16 |
         static_cast<uint64_t>(next_eight >> 4) << 32 | uint64_t{1} << 62;
}

// d [64, kN] (+)= a [64, 16] × b [16, kN] of 16-bit elements; of 8-bit ones (int8_t with sums in
// int, Fp8E4M3) 32 deep. Of thread t in the warpgroup, d[4·j + 2·h + i] is row 16·(t / 32) + 8·h +
// t % 32 / 4, column 8·j + 2·(t % 4) + i. a's depth is contiguous; b's is unless kRowsB (16 bits).
struct Fp8E4M3 {
  uint8_t bits;
};
template <typename T, int kN, bool kRowsB = false>
struct Wgmma;
// The same with a in registers: its 16 columns as four pairs, those of d's rows (h = 0, 1) at
// columns 2·(t % 4), then at 8 + 2·(t % 4). b's rows are contiguous.
template <typename T, int kN>
struct WgmmaRegisters;

// clang-format off
#define ZT_REGS_32 \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, " \
  "%19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define ZT_REGS_40 ZT_REGS_32 ", %32, %33, %34, %35, %36, %37, %38, %39"
#define ZT_REGS_64 ZT_REGS_32 \
  ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, " \
  "%49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define ZT_REGS_48 ZT_REGS_32 \
  ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47"
#define ZT_REGS_96 ZT_REGS_64 \
  ", %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, %80, " \
  "%81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95"
#define ZT_REGS_128 ZT_REGS_64 \
  ", %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, %80, " \
  "%81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, %96, %97, " \
  "%98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, " \
  "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, " \
  "%126, %127"
#define ZT_REGS_88 ZT_REGS_64 \
  ", %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, %80, " \
  "%81, %82, %83, %84, %85, %86, %87"
#define ZT_D4(i) ZT_C(d[i]), ZT_C(d[i + 1]), ZT_C(d[i + 2]), ZT_C(d[i + 3])
#define ZT_D16(i) ZT_D4(i), ZT_D4(i + 4), ZT_D4(i + 8), ZT_D4(i + 12)
#define ZT_D32 ZT_D16(0), ZT_D16(16)
#define ZT_D48 ZT_D32, ZT_D16(32)
#define ZT_D40 ZT_D32, ZT_D4(32), ZT_D4(36)
#define ZT_D64 ZT_D32, ZT_D16(32), ZT_D16(48)
#define ZT_D88 ZT_D64, ZT_D16(64), ZT_D4(80), ZT_D4(84)
#define ZT_D96 ZT_D64, ZT_D16(64), ZT_D16(80)
#define ZT_D128 ZT_D64, ZT_D16(64), ZT_D16(80), ZT_D16(96), ZT_D16(112)

#define ZT_C(x) "+f"(x)

// kN, the PTX type, kN / 2, and the numbers of the four operands after the sums.
#define ZT_WGMMA(T, type, n, regs, a_at, b_at, add_at, rows_at) \
  template <bool kRowsB> \
  struct Wgmma<T, n, kRowsB> { \
    static __device__ void multiply(float (&d)[regs], uint64_t a, uint64_t b, int add) { \
      asm volatile( \
          "{\n.reg .pred add;\nsetp.ne.b32 add, %" #add_at ", 0;\n" \
          "wgmma.mma_async.sync.aligned.m64n" #n "k16.f32." type "." type " {" ZT_REGS_##regs \
          "}, %" #a_at ", %" #b_at ", add, 1, 1, 0, %" #rows_at ";\n}" \
          : ZT_D##regs \
          : "l"(a), "l"(b), "r"(add), "n"(kRowsB ? 1 : 0) \
          : "memory"); \
    } \
  };
ZT_WGMMA(__half, "f16", 64, 32, 32, 33, 34, 35)
ZT_WGMMA(__half, "f16", 80, 40, 40, 41, 42, 43)
ZT_WGMMA(__half, "f16", 96, 48, 48, 49, 50, 51)
ZT_WGMMA(__half, "f16", 128, 64, 64, 65, 66, 67)
ZT_WGMMA(__half, "f16", 192, 96, 96, 97, 98, 99)
ZT_WGMMA(__half, "f16", 256, 128, 128, 129, 130, 131)
ZT_WGMMA(__half, "f16", 176, 88, 88, 89, 90, 91)
ZT_WGMMA(__nv_bfloat16, "bf16", 176, 88, 88, 89, 90, 91)
ZT_WGMMA(__nv_bfloat16, "bf16", 64, 32, 32, 33, 34, 35)
ZT_WGMMA(__nv_bfloat16, "bf16", 80, 40, 40, 41, 42, 43)
ZT_WGMMA(__nv_bfloat16, "bf16", 96, 48, 48, 49, 50, 51)
ZT_WGMMA(__nv_bfloat16, "bf16", 128, 64, 64, 65, 66, 67)
ZT_WGMMA(__nv_bfloat16, "bf16", 192, 96, 96, 97, 98, 99)
ZT_WGMMA(__nv_bfloat16, "bf16", 256, 128, 128, 129, 130, 131)
#undef ZT_WGMMA

#define ZT_WGMMA_REGISTERS(T, type, n, regs, a0, a1, a2, a3, b_at, add_at) \
  template <> \
  struct WgmmaRegisters<T, n> { \
    static __device__ void multiply(float (&d)[regs], const uint32_t* a, uint64_t b, int add) { \
      asm volatile( \
          "{\n.reg .pred add;\nsetp.ne.b32 add, %" #add_at ", 0;\n" \
          "wgmma.mma_async.sync.aligned.m64n" #n "k16.f32." type "." type " {" ZT_REGS_##regs \
          "}, {%" #a0 ", %" #a1 ", %" #a2 ", %" #a3 "}, %" #b_at ", add, 1, 1, 1;\n}" \
          : ZT_D##regs \
          : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(add) \
          : "memory"); \
    } \
  };
ZT_WGMMA_REGISTERS(__half, "f16", 64, 32, 32, 33, 34, 35, 36, 37)
ZT_WGMMA_REGISTERS(__half, "f16", 80, 40, 40, 41, 42, 43, 44, 45)
ZT_WGMMA_REGISTERS(__nv_bfloat16, "bf16", 80, 40, 40, 41, 42, 43, 44, 45)
ZT_WGMMA_REGISTERS(__half, "f16", 128, 64, 64, 65, 66, 67, 68, 69)
ZT_WGMMA_REGISTERS(__nv_bfloat16, "bf16", 64, 32, 32, 33, 34, 35, 36, 37)
ZT_WGMMA_REGISTERS(__nv_bfloat16, "bf16", 128, 64, 64, 65, 66, 67, 68, 69)
#undef ZT_WGMMA_REGISTERS

// 8-bit elements: the sums' type and its constraint, PTX types, and what follows the predicate.
#define ZT_WGMMA_8(T, Sum, n, regs, types, ones, a_at, b_at, add_at) \
  template <> \
  struct Wgmma<T, n, false> { \
    static __device__ void multiply(Sum (&d)[regs], uint64_t a, uint64_t b, int add) { \
      asm volatile( \
          "{\n.reg .pred add;\nsetp.ne.b32 add, %" #add_at ", 0;\n" \
          "wgmma.mma_async.sync.aligned.m64n" #n "k32." types " {" ZT_REGS_##regs \
          "}, %" #a_at ", %" #b_at ", add" ones ";\n}" \
          : ZT_D##regs \
          : "l"(a), "l"(b), "r"(add) \
          : "memory"); \
    } \
  };
ZT_WGMMA_8(Fp8E4M3, float, 64, 32, "f32.e4m3.e4m3", ", 1, 1", 32, 33, 34)
ZT_WGMMA_8(Fp8E4M3, float, 128, 64, "f32.e4m3.e4m3", ", 1, 1", 64, 65, 66)
#undef ZT_C
#define ZT_C(x) "+r"(x)
ZT_WGMMA_8(int8_t, int, 256, 128, "s32.s8.s8", "", 128, 129, 130)
#undef ZT_WGMMA_8
#undef ZT_C
#undef ZT_D128
#undef ZT_D88
#undef ZT_D96
#undef ZT_D64
#undef ZT_D48
#undef ZT_D40
#undef ZT_D32
#undef ZT_D16
#undef ZT_D4
#undef ZT_REGS_128
#undef ZT_REGS_96
#undef ZT_REGS_48
#undef ZT_REGS_88
#undef ZT_REGS_64
#undef ZT_REGS_40
#undef ZT_REGS_32
// clang-format on

}  // namespace zoetrope::cuda
