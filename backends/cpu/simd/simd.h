// The vector loops of the backend, all in f32 on contiguous rows; narrower types are widened when a
// row is loaded and narrowed when it is stored. One table of function pointers an instruction set,
// filled once when a device opens, so a kernel calls straight through. Pointers need no alignment;
// outputs may equal inputs unless noted. An element's result never depends on its place in the row.
#pragma once

#include <cstdint>
#include <string_view>

#include "backends/cpu/cpu_info.h"
#include "graph/dtype.h"
#include "graph/ops/elementwise.h"

namespace zoetrope::cpu {

using ops::Binary;
using ops::Unary;

// How a row is normalised. The mean is shift + rest: one f32 cannot hold it where it is far larger
// than the deviation.
struct RowStatistics {
  float shift = 0, rest = 0, scale = 1;
};

struct Simd {
  // Widening and narrowing (to nearest even).
  void (*bf16_to_f32)(const uint16_t* x, float* y, int64_t n);
  void (*f16_to_f32)(const uint16_t* x, float* y, int64_t n);
  void (*f32_to_bf16)(const float* x, uint16_t* y, int64_t n);
  void (*f32_to_f16)(const float* x, uint16_t* y, int64_t n);

  // By Unary and Binary; null: pow, less and equal, which are not made of vectors.
  void (*unary[ops::kUnaryCount])(const float* x, float* y, int64_t n);
  // A step of 0 reads a[0] (b[0]) for every element, 1 reads a row.
  void (*binary[ops::kBinaryCount])(const float* a, int a_step, const float* b, int b_step,
                                    float* y, int64_t n);

  // Reductions of a row, always in the same order.
  float (*sum)(const float* x, int64_t n);
  float (*max)(const float* x, int64_t n);  // NaN if any is; −inf when empty
  float (*sum_squares)(const float* x, int64_t n);
  // Of x − center, and of its squares.
  void (*sum_distances)(const float* x, float center, int64_t n, float* sum, float* squares);

  // y = (x − shift − rest)·scale·weight + bias; a null weight or bias is 1 or 0.
  void (*normalize)(const float* x, RowStatistics s, const float* weight, const float* bias,
                    float* y, int64_t n);
  // y = (x − shift − rest)·scale·(1 + gain) + bias
  void (*modulate)(const float* x, RowStatistics s, const float* gain, const float* bias, float* y,
                   int64_t n);
  // The same; returns the largest |y| as largest_magnitude() does.
  float (*modulate_largest)(const float* x, RowStatistics s, const float* gain, const float* bias,
                            float* y, int64_t n);
  // y = exp(x − max)·1; returns the sum. Used by softmax.
  float (*exp_sum)(const float* x, float max, float* y, int64_t n);
  void (*scale)(const float* x, float factor, float* y, int64_t n);
  // y = x + a·b
  void (*multiply_add)(const float* x, const float* a, int a_step, const float* b, float* y,
                       int64_t n);
  // The same of bf16, kept as f32 and rounded: sum may not overlap x or b, y may.
  void (*multiply_add_bf16)(const uint16_t* x, const float* a, int a_step, const uint16_t* b,
                            float* sum, uint16_t* y, int64_t n);
  // Rotates pairs of x [2·pairs] by angles whose cosines and sines are given [pairs].
  void (*rope_interleaved)(const float* x, const float* cos, const float* sin, float* y,
                           int64_t pairs);
  void (*rope_split)(const float* x, const float* cos, const float* sin, float* y, int64_t pairs);

  // C[m, n] = (accumulate ? C : 0) + Σ_b A_b[m, k]·B_b[k, n], for instruction sets without a
  // generated kernel. offsets holds a pair of byte offsets from a and b for each of the batch;
  // leading dimensions are in elements.
  void (*gemm_f32)(const float* a, int64_t lda, const float* b, int64_t ldb, const int64_t* offsets,
                   int64_t batch, float* c, int64_t ldc, int64_t m, int64_t n, int64_t k,
                   bool accumulate);

  // rotate_row() of graph/rotation.h, of x to y.
  void (*rotate)(const float* x, float* y, int64_t n);
  // The largest |x|; 0 when empty. Not finite where an x is not.
  float (*largest_magnitude)(const float* x, int64_t n);
  // x·factor, clamped to ±127 or ±448 and rounded to nearest even.
  void (*round_to_i8)(const float* x, float factor, int8_t* y, int64_t n);
  void (*round_to_f8e4m3)(const float* x, float factor, uint8_t* y, int64_t n);
  // x + 128, modulo 256.
  void (*i8_to_u8)(const uint8_t* x, uint8_t* y, int64_t n);
  // C[m, n] = (accumulate ? C : 0) + A[m, k]·B[k/2, ldb, 2] in i32, k even. Whole pairs of vectors:
  // B has, and C may take, columns beyond n up to a multiple of 32.
  void (*gemm_i16)(const int16_t* a, int64_t lda, const int16_t* b, int64_t ldb, int32_t* c,
                   int64_t ldc, int64_t m, int64_t n, int64_t k, bool accumulate);
  // y = (c − less)·row·columns + bias; a null less or bias is 0.
  void (*scale_i32)(const int32_t* c, const int32_t* less, float row, const float* columns,
                    const float* bias, float* y, int64_t n);
  void (*scale_f32)(const float* c, float row, const float* columns, const float* bias, float* y,
                    int64_t n);

  // One key block of attention for `rows` queries. scores [rows, ld] are raw products; columns
  // [0, valid) count, the rest up to `columns` become 0. Probabilities exp2(s·scale − max) against
  // the running max go to `half` as bf16, or over the scores where it is null; max, sum [rows] are
  // updated; correction [rows] is what earlier sums and outputs must be multiplied by.
  void (*softmax_block)(float* scores, uint16_t* half, int64_t ld, int64_t rows, int64_t columns,
                        const int32_t* valid, float scale, float* max, float* sum,
                        float* correction);
};

// The table for `isa`. Valid for the life of the process.
const Simd& simd_for(Isa isa);

// Contiguous conversion between float types by the table; other dtypes are not accepted.
void widen(const Simd& simd, DType dtype, const void* x, float* y, int64_t n);
void narrow(const Simd& simd, DType dtype, const float* x, void* y, int64_t n);

}  // namespace zoetrope::cpu
