// Rows as 8-bit numbers, and products of such: quantize_rows, activate_quantize, quantized_matmul.
#include "backends/cuda/cublaslt.h"
#include "backends/cuda/kernel.h"
#include "backends/cuda/kernels/convert.h"
#include "backends/cuda/kernels/matmul_8bit.h"
#include "backends/cuda/kernels/matmul_wgmma.h"
#include "backends/cuda/kernels/quantize.h"
#include "backends/cuda/lt_rows.h"
#include "backends/cuda/tensor_map.h"
#include "graph/tolerance.h"

namespace zoetrope::cuda {
namespace {

enum Input : size_t { kA, kAScale, kB, kBScale, kBias };

bool accepts_rows(const KernelRequest& request, const Capabilities&) {
  return is_compute_dtype(in(request, 0).dtype);
}

Prepared prepare_rows(const KernelRequest& request, const Context& context) {
  const bool activated = request.node->op == OpKind::kActivateQuantize;
  QuantizeRowsParams p;
  if (activated)
    p.activation = parse_activation(attrs(request).get_string("activation"));
  else
    p.rotate = attrs(request).get_int("rotation") != 0;
  p.rows = out(request, 1).shape.elements();
  p.width = in(request, 0).shape[-1];
  p.dtype = in(request, 0).dtype;
  p.out = out(request).dtype;
  return simple_kernel(context, 0, [p](const Call& call) {
    QuantizeRowsParams q = p;
    q.x = call.input(0);
    q.b = call.input(1);
    q.q = call.output();
    q.scales = call.output<float>(1);
    return quantize_rows(q, call.stream);
  });
}

// Shapes and dtypes of a quantized_matmul; leading dimensions are rows.
Matmul8Params product_of(const KernelRequest& request) {
  Matmul8Params p;
  p.m = in(request, kAScale).shape.elements();
  p.k = in(request, kA).shape[-1];
  p.n = in(request, kB).shape[0];
  p.dtype = in(request, kA).dtype;
  p.out = out(request).dtype;
  if (has(request, kBias)) p.bias_dtype = in(request, kBias).dtype;
  return p;
}

Matmul8Params bind(Matmul8Params p, const Call& call) {
  p.a = call.input(kA), p.b = call.input(kB);
  p.a_scales = call.input<float>(kAScale), p.b_scales = call.input<float>(kBScale);
  p.bias = call.input(kBias);
  p.c = call.output();
  return p;
}

bool accepts(const KernelRequest& request, const Capabilities&) {
  return !has(request, kBias) || is_compute_dtype(in(request, kBias).dtype);
}

// Tensor cores add products of f8e4m3 with some 13 bits after the point of the largest.
bool accepts_matrix_units(const KernelRequest& request, const Capabilities& caps) {
  const Matmul8Params p = product_of(request);
  return accepts(request, caps) && caps.mma() && p.m > 0 && p.n > 0 && p.k > 0;
}

Prepared prepare_plain(const KernelRequest& request, const Context& context) {
  auto kernel = simple_kernel(context, 0, [p = product_of(request)](const Call& call) {
    return matmul_8bit(bind(p, call), call.stream);
  });
  kernel->info.name = str("matmul_", dtype_name(in(request, kA).dtype), "_simt");
  return kernel;
}

class WgmmaKernel : public CudaKernel {
 public:
  WgmmaKernel(const Context& context, const KernelRequest& request)
      : CudaKernel(context),
        params_(product_of(request)),
        tile_n_(params_.dtype == DType::kI8 ? 256 : 128) {
    info.name = str("matmul_", dtype_name(params_.dtype), "_wgmma_128x", tile_n_);
  }

  Status launch(const Call& call) const override {
    const Matmul8Params p = bind(params_, call);
    MatmulWgmmaParams w{};
    const auto map = [](const void* data, DType dtype, int64_t columns, int64_t rows,
                        int32_t box_rows, CUtensorMap* to) {
      const auto wide = static_cast<int32_t>(kWgmmaBoxBytes / dtype_size(dtype));
      return make_tensor_map({.data = data,
                              .dtype = dtype,
                              .rank = 3,
                              .extents = {columns, rows, 1},
                              .steps = {1, columns, rows * columns},
                              .box = {wide, box_rows, 1}},
                             to);
    };
    ZT_RETURN_IF_ERROR(map(p.a, p.dtype, p.k, p.m, kWgmmaTileM, &w.a));
    ZT_RETURN_IF_ERROR(map(p.b, p.dtype, p.k, p.n, tile_n_ / kWgmmaCluster, &w.b));
    ZT_RETURN_IF_ERROR(map(p.c, p.out, p.n, p.m, 64, &w.c));
    w.bias = p.bias;
    w.a_scales = p.a_scales, w.b_scales = p.b_scales;
    w.m = p.m, w.n = p.n, w.k = p.k;
    w.products = 1;
    w.tile_n = tile_n_;
    w.transpose_b = true;
    w.dtype = p.dtype, w.out = p.out, w.bias_dtype = p.bias_dtype;
    w.multiprocessors = context().caps.multiprocessors;
    return check(matmul_wgmma(w, call.stream), "launching");
  }

 private:
  const Matmul8Params params_;
  const int tile_n_;
};

// Rows of 16 bytes or a multiple, for the copy engine.
bool accepts_wgmma(const KernelRequest& request, const Capabilities& caps) {
  const Matmul8Params p = product_of(request);
  return accepts_matrix_units(request, caps) && caps.wgmma() && p.k % 16 == 0 &&
         p.n * dtype_size(p.out) % 16 == 0 && p.m < INT32_MAX && p.n < INT32_MAX;
}

Prepared prepare_wgmma(const KernelRequest& request, const Context& context) {
  return std::unique_ptr<CudaKernel>(new WgmmaKernel(context, request));
}

LtProblem problem_of(const Matmul8Params& p, DType out) {
  LtProblem problem{.m = p.m, .n = p.n, .k = p.k};
  problem.transpose_b = true;
  problem.dtype = p.dtype, problem.out = out;
  return problem;
}

// f8e4m3 on Hopper: cuBLASLt takes the factors itself, and keeps more of the sums than wgmma alone.
class LtScaledKernel : public CudaKernel {
 public:
  LtScaledKernel(const Context& context, const Matmul8Params& params, LtChoice* choice)
      : CudaKernel(context), params_(params), choice_(choice) {
    info.name = "matmul_f8e4m3_cublaslt";
    bias_at_ = align_up(choice->workspace_bytes);
    info.workspace_bytes = bias_at_;
    if (converts_bias()) info.workspace_bytes += params.n * dtype_size(params.out);
  }

  Status choose() override { return context().cublaslt->choose(*choice_, context().stream); }

  Status launch(const Call& call) const override {
    Matmul8Params p = bind(params_, call);
    if (converts_bias()) {
      ZT_RETURN_IF_ERROR(
          check(convert(p.bias_dtype, p.bias, p.out, call.workspace(bias_at_), p.n, call.stream),
                "converting a bias"));
      p.bias = call.workspace(bias_at_);
    }
    return context().cublaslt->run(*choice_,
                                   {.a = p.a,
                                    .b = p.b,
                                    .bias = p.bias,
                                    .a_scales = p.a_scales,
                                    .b_scales = p.b_scales,
                                    .c = p.c,
                                    .workspace = call.workspace()},
                                   call.stream);
  }

 private:
  bool converts_bias() const {
    return choice_->descriptors.problem.bias && params_.bias_dtype != params_.out;
  }

  const Matmul8Params params_;
  LtChoice* const choice_;
  int64_t bias_at_ = 0;
};

constexpr int kFirstWithRowScales = 120900;  // of cuBLASLt
// Sums no deeper than this stay in the tensor cores, a tenth to a sixth faster; deeper ones go in
// parts. Independent operands lose 0.2% of the rms there (rounding them to f8e4m3 puts it 3.7%
// off), an output of ten times the rms 0.6%, a sum of one sign 14.7%: weights have both signs.
constexpr int64_t kFastDepth = ErrorBound::kDeepestInTensorCores;

bool accepts_scaled(const KernelRequest& request, const Capabilities& caps) {
  const Matmul8Params p = product_of(request);
  return accepts_matrix_units(request, caps) && p.dtype == DType::kF8E4M3 &&
         caps.architecture == 90 && caps.cublaslt >= kFirstWithRowScales && p.k % 16 == 0 &&
         p.n % 16 == 0;
}

// cuBLASLt's sums, and our own end.
class LtRowsKernel : public CudaKernel {
 public:
  LtRowsKernel(const Context& context, const Matmul8Params& params, LtRows rows)
      : CudaKernel(context), params_(params), rows_(rows) {
    info.name = str("matmul_", dtype_name(params.dtype), "_cublaslt_rows");
    info.workspace_bytes = rows.workspace_bytes();
  }

  Status choose() override { return rows_.choose(context().stream); }

  Status launch(const Call& call) const override {
    const Matmul8Params p = bind(params_, call);
    return rows_.run(p.a, p.b,
                     {.out = p.c,
                      .row_scales = p.a_scales,
                      .column_scales = p.b_scales,
                      .bias = p.bias,
                      .dtype = p.out,
                      .bias_dtype = p.bias_dtype},
                     call.workspace(), call.stream);
  }

 private:
  const Matmul8Params params_;
  LtRows rows_;
};

bool accepts_lt_rows(const KernelRequest& request, const Capabilities& caps) {
  const Matmul8Params p = product_of(request);
  if (!accepts_matrix_units(request, caps) || caps.cublaslt == 0) return false;
  if (p.dtype == DType::kI8) return p.k % 4 == 0 && p.n % 4 == 0;
  return caps.architecture >= 89 && p.k % 16 == 0 && p.n % 16 == 0;
}

Prepared prepare_lt_rows(const KernelRequest& request, const Context& context) {
  const Matmul8Params p = product_of(request);
  const auto rows = LtRows::choice(
      *context.cublaslt, problem_of(p, p.dtype == DType::kI8 ? DType::kI32 : DType::kF32));
  if (rows.ok()) return std::unique_ptr<CudaKernel>(new LtRowsKernel(context, p, *rows));
  if (rows.status().code() != Code::kUnsupported) return rows.status();
  return prepare_plain(request, context);
}

Prepared prepare_scaled(const KernelRequest& request, const Context& context) {
  const Matmul8Params p = product_of(request);
  LtProblem problem = problem_of(p, p.out);
  problem.scales = true;
  problem.fast_sums = p.k <= kFastDepth;
  problem.bias = has(request, kBias);
  const Result<LtChoice*> choice = context.cublaslt->choice(problem);
  if (choice.ok()) return std::unique_ptr<CudaKernel>(new LtScaledKernel(context, p, *choice));
  if (choice.status().code() != Code::kUnsupported) return choice.status();
  return accepts_wgmma(request, context.caps) ? prepare_wgmma(request, context)
                                              : prepare_plain(request, context);
}

constexpr TableRow kTable[] = {
    {OpKind::kQuantizeRows, "quantize_rows", accepts_rows, prepare_rows},
    {OpKind::kActivateQuantize, "activate_quantize", accepts_rows, prepare_rows},
    {OpKind::kQuantizedMatmul, "quantized_matmul", accepts_scaled, prepare_scaled},
    {OpKind::kQuantizedMatmul, "quantized_matmul", accepts_wgmma, prepare_wgmma},
    {OpKind::kQuantizedMatmul, "quantized_matmul", accepts_lt_rows, prepare_lt_rows},
    {OpKind::kQuantizedMatmul, "quantized_matmul", accepts, prepare_plain},
};

}  // namespace

std::span<const TableRow> quantized_table() { return kTable; }

}  // namespace zoetrope::cuda
