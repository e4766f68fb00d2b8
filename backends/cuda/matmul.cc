#include "backends/cuda/kernel.h"

namespace zoetrope::cuda {

std::span<const Row> matmul_rows() { return {}; }

}  // namespace zoetrope::cuda
