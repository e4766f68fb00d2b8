// Matrix products: matmul and fused_linear.
#include "backends/cuda/products.h"

namespace zoetrope::cuda {
namespace {

enum Input : size_t { kA, kB, kBias };

bool accepts(const KernelRequest& request, const Capabilities&) {
  return is_compute_dtype(in(request, kA).dtype) && is_float(in(request, kB).dtype) &&
         (!has(request, kBias) || is_compute_dtype(in(request, kBias).dtype));
}

// One of kernels/matmul.h.
class OwnKernel : public ProductKernel {
 public:
  using Launcher = cudaError_t (*)(const MatmulParams&, cudaStream_t);
  OwnKernel(const Context& context, const KernelRequest& request, const MatmulParams& params,
            Launcher launcher)
      : ProductKernel(context, request, params, 0), launcher_(launcher) {}

  Status launch(const Call& call) const override {
    ZT_ASSIGN_OR_RETURN(const MatmulParams p, bind(call));
    return check(launcher_(p, call.stream), "launching");
  }

 private:
  const Launcher launcher_;
};

template <auto kLauncher>
Prepared prepare(const KernelRequest& request, const Context& context) {
  MatmulParams p = products_of(request);
  p.b_dtype = p.dtype;
  return std::unique_ptr<CudaKernel>(new OwnKernel(context, request, p, kLauncher));
}

// b is read as it is stored where that is no wider than a; else converted.
MatmulParams vector_params(const KernelRequest& request) {
  MatmulParams p = products_of(request);
  if (p.dtype != DType::kF32 || !is_compute_dtype(p.b_dtype)) p.b_dtype = p.dtype;
  return p;
}

bool accepts_vector(const KernelRequest& request, const Capabilities& caps) {
  return accepts(request, caps) && accepts_matmul_vector(vector_params(request));
}

Prepared prepare_vector(const KernelRequest& request, const Context& context) {
  const MatmulParams p = vector_params(request);
  return std::unique_ptr<CudaKernel>(new OwnKernel(context, request, p, matmul_vector));
}

bool accepts_mma(const KernelRequest& request, const Capabilities& caps) {
  return accepts(request, caps) && caps.mma() && in(request, kA).dtype != DType::kF32;
}

constexpr Row kRows[] = {
    {OpKind::kMatmul, "matmul_vector", accepts_vector, prepare_vector},
    {OpKind::kLinear, "matmul_vector", accepts_vector, prepare_vector},
    {OpKind::kMatmul, "matmul_mma", accepts_mma, prepare<matmul_mma>},
    {OpKind::kLinear, "matmul_mma", accepts_mma, prepare<matmul_mma>},
    {OpKind::kMatmul, "matmul_simt", accepts, prepare<matmul_simt>},
    {OpKind::kLinear, "matmul_simt", accepts, prepare<matmul_simt>},
};

}  // namespace

std::span<const Row> matmul_rows() { return kRows; }

}  // namespace zoetrope::cuda
