// Matrix products: matmul and fused_linear.
#include <algorithm>

#include "backends/cuda/cublaslt.h"
#include "backends/cuda/kernels/convert.h"
#include "backends/cuda/kernels/matmul_wgmma.h"
#include "backends/cuda/lt_rows.h"
#include "backends/cuda/products.h"
#include "backends/cuda/tensor_map.h"

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
  auto kernel = std::make_unique<OwnKernel>(context, request, p, kLauncher);
  kernel->info.name =
      str(kLauncher == matmul_mma ? "matmul_mma_" : "matmul_simt_", dtype_name(p.dtype));
  return std::unique_ptr<CudaKernel>(std::move(kernel));
}

// b is read as it is stored where that is no wider than a; else converted.
MatmulParams vector_params(const KernelRequest& request) {
  MatmulParams p = products_of(request);
  if (p.dtype != DType::kF32 || !is_compute_dtype(p.b_dtype)) p.b_dtype = p.dtype;
  return p;
}

bool accepts_vector(const KernelRequest& request, const Capabilities& caps) {
  if (!accepts(request, caps)) return false;
  const MatmulParams p = vector_params(request);
  if (!accepts_matmul_vector(p)) return false;
  // Measured on an H100: from three rows on cuBLASLt is faster, unless b must be made wider for it.
  return caps.cublaslt == 0 || p.m <= 2 || p.b_dtype != p.dtype;
}

Prepared prepare_vector(const KernelRequest& request, const Context& context) {
  const MatmulParams p = vector_params(request);
  return std::unique_ptr<CudaKernel>(new OwnKernel(context, request, p, matmul_vector));
}

bool accepts_mma(const KernelRequest& request, const Capabilities& caps) {
  return accepts(request, caps) && caps.mma() && in(request, kA).dtype != DType::kF32;
}

int64_t wgmma_tiles(const MatmulParams& p, int64_t tile_n) {
  return ceil_div(p.m, kWgmmaTileM * kWgmmaCluster) * ceil_div(p.n, tile_n) * p.products();
}

// kernels/matmul_wgmma.h.
class WgmmaKernel : public ProductKernel {
 public:
  WgmmaKernel(const Context& context, const KernelRequest& request, const MatmulParams& params)
      : ProductKernel(context, request, params, 0) {
    // Narrow tiles, a little slower than half of a wide one each, where that shortens the last
    // wave.
    const int64_t clusters = std::max(context.caps.multiprocessors / kWgmmaCluster, 1);
    const int64_t wide = ceil_div(wgmma_tiles(params, 256), clusters);
    const int64_t narrow = ceil_div(wgmma_tiles(params, 128), clusters);
    if (11 * narrow < 20 * wide) tile_n_ = 128;
    info.name = str("matmul_wgmma_", dtype_name(params.dtype), "_128x", tile_n_);
  }

  Status launch(const Call& call) const override {
    ZT_ASSIGN_OR_RETURN(const MatmulParams p, bind(call));
    MatmulWgmmaParams w{};
    const auto map = [&](const void* data, int64_t columns, int64_t rows, int64_t step,
                         int32_t box_columns, int32_t box_rows, CUtensorMap* to) {
      return make_tensor_map({.data = data,
                              .dtype = p.dtype,
                              .rank = 3,
                              .extents = {columns, rows, step > 0 ? p.lead[3] : 1},
                              .steps = {1, columns, step > 0 ? step : rows * columns},
                              .box = {box_columns, box_rows, 1}},
                             to);
    };
    ZT_RETURN_IF_ERROR(map(p.a, p.k, p.m, p.lead_a[3], 64, kWgmmaTileM, &w.a));
    ZT_RETURN_IF_ERROR(p.transpose_b
                           ? map(p.b, p.k, p.n, p.lead_b[3], 64, tile_n_ / kWgmmaCluster, &w.b)
                           : map(p.b, p.n, p.k, p.lead_b[3], 64, 64, &w.b));
    ZT_RETURN_IF_ERROR(map(p.c, p.n, p.m, p.m * p.n, 64, 64, &w.c));
    w.bias = p.bias;
    w.m = p.m, w.n = p.n, w.k = p.k;
    w.products = static_cast<int>(p.lead[3]);
    w.step_a = p.lead_a[3] > 0, w.step_b = p.lead_b[3] > 0;
    w.tile_n = tile_n_;
    w.transpose_b = p.transpose_b;
    w.activation = p.activation;
    w.dtype = w.out = p.dtype, w.bias_dtype = p.bias_dtype;
    w.multiprocessors = context().caps.multiprocessors;
    return check(matmul_wgmma(w, call.stream), "launching");
  }

 private:
  int tile_n_ = 256;
};

bool accepts_wgmma(const KernelRequest& request, const Capabilities& caps) {
  if (!accepts_mma(request, caps) || !caps.wgmma()) return false;
  constexpr int64_t kLeastTiles = 16;  // fewer: small tiles of other kernels share the work better
  const MatmulParams p = products_of(request);
  return p.k > 0 && p.k % 8 == 0 && p.n % 8 == 0 && p.m < INT32_MAX && p.n < INT32_MAX &&
         p.k < INT32_MAX && p.products() < INT32_MAX && p.lead[3] == p.products() &&
         wgmma_tiles(p, 128) >= kLeastTiles;
}

Prepared prepare_wgmma(const KernelRequest& request, const Context& context) {
  MatmulParams p = products_of(request);
  p.b_dtype = p.dtype;
  return std::unique_ptr<CudaKernel>(new WgmmaKernel(context, request, p));
}

// What cuBLASLt does in its epilogue. Its GELU is an approximation, good enough where the result is
// rounded to 16 bits.
bool fuses(const MatmulParams& p) {
  return p.activation == Activation::kNone || p.activation == Activation::kRelu ||
         (p.activation == Activation::kGeluTanh && p.dtype != DType::kF32);
}

// cuBLASLt, with the bias and what it knows of activations in its epilogue.
class LtKernel : public ProductKernel {
 public:
  LtKernel(const Context& context, const KernelRequest& request, const MatmulParams& params,
           LtChoice* choice)
      : ProductKernel(context, request, params, choice->workspace_bytes), choice_(choice) {
    info.name = str("matmul_", dtype_name(params.dtype), "_cublaslt");
  }

  Status choose() override { return context().cublaslt->choose(*choice_, context().stream); }

  Status launch(const Call& call) const override {
    ZT_ASSIGN_OR_RETURN(const MatmulParams p, bind(call));
    const LtOperands operands{
        .a = p.a, .b = p.b, .bias = p.bias, .c = p.c, .workspace = call.workspace()};
    ZT_RETURN_IF_ERROR(context().cublaslt->run(*choice_, operands, call.stream));
    if (p.activation == choice_->descriptors.problem.activation) return Status();
    return check(
        activate_in_place(p.activation, p.dtype, p.c, p.products() * p.m * p.n, call.stream),
        "launching an activation");
  }

 private:
  LtChoice* const choice_;
};

// One stride a product is all that it knows.
bool accepts_cublaslt(const KernelRequest& request, const Capabilities& caps) {
  if (caps.cublaslt == 0 || !accepts(request, caps)) return false;
  const MatmulParams p = products_of(request);
  // Another activation comes after; 16 bits must not be rounded before it.
  if (!fuses(p) && p.dtype != DType::kF32) return false;
  return p.m > 0 && p.n > 0 && p.k > 0 && p.lead[3] > 0 && p.lead[3] == p.products();
}

Prepared prepare_cublaslt(const KernelRequest& request, const Context& context) {
  MatmulParams p = products_of(request);
  p.b_dtype = p.bias_dtype = p.dtype;
  LtProblem problem{.m = p.m,
                    .n = p.n,
                    .k = p.k,
                    .batch = p.lead[3],
                    .step_a = p.lead_a[3],
                    .step_b = p.lead_b[3],
                    .transpose_b = p.transpose_b,
                    .dtype = p.dtype,
                    .out = p.dtype,
                    .bias = has(request, kBias)};
  if (fuses(p)) problem.activation = p.activation;
  const Result<LtChoice*> choice = context.cublaslt->choice(problem);
  if (choice.ok()) return std::unique_ptr<CudaKernel>(new LtKernel(context, request, p, *choice));
  if (choice.status().code() != Code::kUnsupported) return choice.status();
  return accepts_mma(request, context.caps) ? prepare<matmul_mma>(request, context)
                                            : prepare<matmul_simt>(request, context);
}

// cuBLASLt in f32, and our own end.
class LtRowsKernel : public ProductKernel {
 public:
  LtRowsKernel(const Context& context, const KernelRequest& request, const MatmulParams& params,
               LtRows rows)
      : ProductKernel(context, request, params, rows.workspace_bytes()), rows_(rows) {
    info.name = str("matmul_", dtype_name(params.dtype), "_cublaslt_rows");
  }

  Status choose() override { return rows_.choose(context().stream); }

  Status launch(const Call& call) const override {
    ZT_ASSIGN_OR_RETURN(const MatmulParams p, bind(call));
    const FinishParams finish{.out = p.c,
                              .bias = p.bias,
                              .dtype = p.dtype,
                              .bias_dtype = p.bias_dtype,
                              .activation = p.activation};
    return rows_.run(p.a, p.b, finish, call.workspace(), call.stream);
  }

 private:
  LtRows rows_;
};

bool accepts_rows(const KernelRequest& request, const Capabilities& caps) {
  if (caps.cublaslt == 0 || !accepts_mma(request, caps)) return false;
  const MatmulParams p = products_of(request);
  return p.m > 0 && p.n > 0 && p.k > 0 && p.products() == 1;
}

Prepared prepare_rows(const KernelRequest& request, const Context& context) {
  MatmulParams p = products_of(request);
  p.b_dtype = p.dtype;
  LtProblem problem{.m = p.m, .n = p.n, .k = p.k};
  problem.transpose_b = p.transpose_b;
  problem.dtype = p.dtype;
  problem.out = DType::kF32;
  const Result<LtRows> rows = LtRows::choice(*context.cublaslt, problem);
  if (rows.ok()) return std::unique_ptr<CudaKernel>(new LtRowsKernel(context, request, p, *rows));
  if (rows.status().code() != Code::kUnsupported) return rows.status();
  return prepare<matmul_mma>(request, context);
}

constexpr TableRow kTable[] = {
    {OpKind::kMatmul, "matmul_vector", accepts_vector, prepare_vector},
    {OpKind::kLinear, "matmul_vector", accepts_vector, prepare_vector},
    {OpKind::kMatmul, "matmul", accepts_cublaslt, prepare_cublaslt},
    {OpKind::kLinear, "matmul", accepts_cublaslt, prepare_cublaslt},
    {OpKind::kMatmul, "matmul_wgmma", accepts_wgmma, prepare_wgmma},
    {OpKind::kLinear, "matmul_wgmma", accepts_wgmma, prepare_wgmma},
    {OpKind::kLinear, "matmul_rows", accepts_rows, prepare_rows},
    {OpKind::kMatmul, "matmul_mma", accepts_mma, prepare<matmul_mma>},
    {OpKind::kLinear, "matmul_mma", accepts_mma, prepare<matmul_mma>},
    {OpKind::kMatmul, "matmul_simt", accepts, prepare<matmul_simt>},
    {OpKind::kLinear, "matmul_simt", accepts, prepare<matmul_simt>},
};

}  // namespace

std::span<const TableRow> matmul_table() { return kTable; }

}  // namespace zoetrope::cuda
