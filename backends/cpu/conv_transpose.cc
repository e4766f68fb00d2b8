// conv_transpose by gathering: every output position sums the taps whose input position exists, one
// row of filters at a time. No model's hot path; kept simple.
#include <algorithm>
#include <vector>

#include "backends/cpu/gemm/gemm.h"
#include "backends/cpu/kernel.h"
#include "backends/cpu/rows.h"
#include "graph/ops/conv_shape.h"

namespace zoetrope::cpu {
namespace {

class ConvTransposeKernel : public CpuKernel {
 public:
  using CpuKernel::CpuKernel;

  static Prepared prepare(const KernelRequest& request, const Context& context);
  void pack(const HostTensor& weight, char* to) const override {
    pack(weight.data, reinterpret_cast<float*>(to));
  }
  Status run(const Call& call) const override;

 private:
  // [O, taps, C/groups] of any float dtype → f32 [groups, taps, C/groups, O/groups].
  void pack(const void* weight, float* packed) const;
  void position(const Call& call, const float* packed, int64_t row, int worker) const;
  void add_tap(const float* x, const float* packed, int64_t tap, float* y) const;
  int64_t taps() const { return g_.kernel[0] * g_.kernel[1] * g_.kernel[2]; }
  int64_t cg() const { return g_.channels / g_.groups; }
  int64_t og() const { return g_.filters / g_.groups; }

  ops::Conv3d g_{};
  bool weight_ = false;
  DType weight_dtype_{};
  RowIo in_, out_;
  int64_t packed_at_ = 0;
};

Prepared ConvTransposeKernel::prepare(const KernelRequest& request, const Context& context) {
  auto kernel = std::make_unique<ConvTransposeKernel>(context);
  ConvTransposeKernel& k = *kernel;
  const OpContext op{request.inputs, attrs(request)};
  k.g_ = ops::as_conv3d(op, in(request, 0).shape, in(request, 1).shape, out(request).shape);
  k.weight_ = request.is_weight[1];
  k.weight_dtype_ = in(request, 1).dtype;
  WorkspaceLayout workspace;
  k.in_ = RowIo::reserve(in(request, 0).dtype, k.g_.channels, context.threads(), &workspace);
  k.out_ = RowIo::reserve(in(request, 0).dtype, k.g_.filters, context.threads(), &workspace);
  const int64_t packed = align_up(in(request, 1).shape.elements() * 4);
  if (k.weight_) {
    k.info.packed.push_back(
        {1, packed, str("gathered_f32_", k.g_.groups, "x", k.taps(), "x", k.cg(), "x", k.og())});
  } else {
    k.packed_at_ = workspace.add(packed);
  }
  k.info.workspace_bytes = workspace.bytes();
  return std::unique_ptr<CpuKernel>(std::move(kernel));
}

void ConvTransposeKernel::pack(const void* weight, float* packed) const {
  pool().run(g_.filters, [&](int64_t o, int) {
    const int64_t group = o / og();
    for (int64_t t = 0; t < taps(); ++t)
      for (int64_t c = 0; c < cg(); ++c)
        packed[((group * taps() + t) * cg() + c) * og() + o % og()] =
            static_cast<float>(load_element(weight_dtype_, weight, (o * taps() + t) * cg() + c));
  });
}

void ConvTransposeKernel::add_tap(const float* x, const float* packed, int64_t tap,
                                  float* y) const {
  for (int64_t group = 0; group < g_.groups; ++group) {
    const float* w = packed + (group * taps() + tap) * cg() * og();
    float* to = y + group * og();
    for (int64_t c = 0; c < cg(); ++c)
      simd().multiply_add(to, x + group * cg() + c, 0, w + c * og(), to, og());
  }
}

void ConvTransposeKernel::position(const Call& call, const float* packed, int64_t row,
                                   int worker) const {
  int64_t at[3], rest = row;
  for (int d = 2; d >= 0; --d) {
    at[d] = rest % g_.out[d];
    rest /= g_.out[d];
  }
  float* y = out_.begin(call, call.output(), row, worker);
  std::fill_n(y, g_.filters, 0.0f);
  for (int64_t tap = 0; tap < taps(); ++tap) {
    const int64_t k[3] = {tap / (g_.kernel[1] * g_.kernel[2]), tap / g_.kernel[2] % g_.kernel[1],
                          tap % g_.kernel[2]};
    int64_t from = rest;
    bool exists = true;
    for (int d = 0; d < 3 && exists; ++d) {
      const int64_t p = at[d] + g_.pad_lo[d] - k[d] * g_.dilation[d];
      exists = p >= 0 && p % g_.stride[d] == 0 && p / g_.stride[d] < g_.in[d];
      from = from * g_.in[d] + p / g_.stride[d];
    }
    if (exists) add_tap(in_.read(call, simd(), call.input(0), from, worker), packed, tap, y);
  }
  out_.commit(simd(), y, call.output(), row);
}

Status ConvTransposeKernel::run(const Call& call) const {
  const float* packed = call.input<float>(1);
  if (!weight_) {
    pack(call.input(1), call.workspace<float>(packed_at_));
    packed = call.workspace<float>(packed_at_);
  }
  pool().run_ranges(g_.batch * g_.out[0] * g_.out[1] * g_.out[2], 16,
                    [&](int64_t begin, int64_t end, int worker) {
                      for (int64_t row = begin; row < end; ++row)
                        position(call, packed, row, worker);
                    });
  return Status();
}

bool accepts(const KernelRequest& request) {
  return is_compute_dtype(in(request, 0).dtype) && is_float(in(request, 1).dtype) &&
         in(request, 0).shape.elements() > 0 && out(request).shape.elements() > 0;
}

constexpr TableRow kTable[] = {
    {OpKind::kConvTranspose, "simd_conv_transpose", Isa::kSse4, accepts,
     ConvTransposeKernel::prepare},
};

}  // namespace

std::span<const TableRow> conv_transpose_table() { return kTable; }

}  // namespace zoetrope::cpu
