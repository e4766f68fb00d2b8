#include "backends/cuda/kernel.h"

namespace zoetrope::cuda {

std::span<const Row> norms_rows() { return {}; }

}  // namespace zoetrope::cuda
