// Matrix products: matmul and fused_linear.
#include "backends/vulkan/contraction.h"

namespace zoetrope::vulkan {
namespace {

// Up to as many rows b is worth reading once for all of them.
constexpr int64_t kVectorRows = 8;

bool accepts_vector(const KernelRequest& request, const Capabilities& caps) {
  return accepts_contraction(request, caps) && Contraction::of(request).m <= kVectorRows;
}

Result<KernelSpec> prepare_vector(const KernelRequest& request, const Capabilities&) {
  const Contraction c = Contraction::of(request);
  const int64_t columns = c.transpose_b ? 8 : 128;
  return KernelSpec{.name = str("matmul_vector_", c.m),
                    .dispatches = {c.dispatch(request, "matmul_vector", 128,
                                              std::max<int64_t>(c.m, 1), columns, 1)}};
}

constexpr TableRow kTable[] = {
    {OpKind::kMatmul, accepts_vector, prepare_vector},
    {OpKind::kLinear, accepts_vector, prepare_vector},
    {OpKind::kMatmul, accepts_packed, prepare_packed},
    {OpKind::kLinear, accepts_packed, prepare_packed},
    {OpKind::kMatmul, accepts_coopmat, prepare_coopmat},
    {OpKind::kLinear, accepts_coopmat, prepare_coopmat},
    {OpKind::kMatmul, accepts_contraction, prepare_tiled},
    {OpKind::kLinear, accepts_contraction, prepare_tiled},
};

}  // namespace

std::span<const TableRow> matmul_table() { return kTable; }

}  // namespace zoetrope::vulkan
