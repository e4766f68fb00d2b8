// The one layout of packed weights here: another dtype than the model file's.
#pragma once

#include "backends/cuda/kernel.h"

namespace zoetrope::cuda {

std::string layout_as(DType dtype);
Result<DType> dtype_of_layout(std::string_view layout);

// Uploads `weight`, any float dtype, and leaves it in device memory at `to` as `dtype` (f32, f16 or
// bf16). A few MiB at a time: needs little memory beside the result. Returns when it is done.
Status pack_weight(const Context& context, const HostTensor& weight, DType dtype, char* to);

}  // namespace zoetrope::cuda
