// Whole buffers: from one float dtype to another, activated in place, or filled for measurements.
#pragma once

#include <cuda_runtime_api.h>

#include "backends/cuda/kernels/activation.h"
#include "graph/dtype.h"

namespace zoetrope::cuda {

// From any float dtype to f32, f16 or bf16.
cudaError_t convert(DType from_dtype, const void* from, DType to_dtype, void* to, int64_t count,
                    cudaStream_t stream);

// x = activation(x), of f32, f16 or bf16.
cudaError_t activate_in_place(Activation activation, DType dtype, void* x, int64_t count,
                              cudaStream_t stream);

// Values in ±1 (of i8: ±127) that look random: what multiplications cost depends on their operands.
// f32, f16, bf16, f8e4m3 or i8.
cudaError_t fill_random(DType dtype, uint32_t seed, void* to, int64_t count, cudaStream_t stream);

}  // namespace zoetrope::cuda
