// How the table is put together: each file of loops fills its part for the target that Highway's
// dispatch has been told to use.
#pragma once

#include "backends/cpu/simd/simd.h"

namespace zoetrope::cpu {

void fill_convert_for_chosen_target(Simd* simd);
void fill_unary_for_chosen_target(Simd* simd);
void fill_binary_for_chosen_target(Simd* simd);
void fill_rows_for_chosen_target(Simd* simd);
void fill_gemm_for_chosen_target(Simd* simd);
void fill_attention_for_chosen_target(Simd* simd);
void fill_integer_for_chosen_target(Simd* simd);

}  // namespace zoetrope::cpu
