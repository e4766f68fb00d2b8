// quantize_rows and activate_quantize: a row's factor, then its numbers of 8 bits.

#include <algorithm>
#include <cmath>
#include <limits>

#include "backends/cpu/gemm/gemm.h"
#include "backends/cpu/kernel.h"
#include "backends/cpu/rows.h"

namespace zoetrope::cpu {

void quantize_row(const Simd& simd, const float* x, float most, int64_t n, bool integer, uint8_t* q,
                  float* scale) {
  const float largest = integer ? 127.0f : 448.0f;
  if (!std::isfinite(most)) {
    *scale = std::numeric_limits<float>::quiet_NaN();
    std::fill_n(q, n, uint8_t{0});
    return;
  }
  const bool nothing = most < 0x1p-100f;
  *scale = nothing ? 0 : most / largest;
  const float factor = nothing ? 0 : largest / most;
  if (integer) return simd.round_to_i8(x, factor, reinterpret_cast<int8_t*>(q), n);
  simd.round_to_f8e4m3(x, factor, q, n);
}

namespace {

Prepared prepare_quantize_rows(const KernelRequest& request, const Context& context) {
  const int64_t width = in(request, 0).shape[-1], rows = request.outputs[1]->shape.elements();
  const bool integer = out(request).dtype == DType::kI8;
  const bool rotates = attrs(request).get_int("rotation") != 0 && width > 0;
  WorkspaceLayout workspace;
  const RowIo io = RowIo::reserve(in(request, 0).dtype, width, context.threads(), &workspace);
  const int64_t line = align_up(width * 4);
  const int64_t turned = rotates ? workspace.add(line * context.threads()) : 0;
  return simple_kernel(context, workspace.bytes(), [=](const Call& call, const Context& c) {
    c.pool->run_ranges(rows, rows_per_task(width + 1), [&](int64_t begin, int64_t end, int worker) {
      for (int64_t row = begin; row < end; ++row) {
        const float* x = width > 0 ? io.read(call, *c.simd, call.input(0), row, worker) : nullptr;
        if (rotates) {
          auto* y = call.workspace<float>(turned + worker * line);
          c.simd->rotate(x, y, width);
          x = y;
        }
        quantize_row(*c.simd, x, c.simd->largest_magnitude(x, width), width, integer,
                     call.output<uint8_t>(0) + row * width, call.output<float>(1) + row);
      }
    });
  });
}

// activation(a), times b where there is one.
Prepared prepare_activate_quantize(const KernelRequest& request, const Context& context) {
  const DType dtype = in(request, 0).dtype;
  const int64_t width = in(request, 0).shape[-1], rows = request.outputs[1]->shape.elements();
  const bool integer = out(request).dtype == DType::kI8, gated = has(request, 1);
  const Activation activation = parse_activation(attrs(request).get_string("activation"));
  WorkspaceLayout workspace;
  const int64_t line = align_up(width * 4);
  const int64_t scratch = workspace.add(2 * line * context.threads());
  return simple_kernel(context, workspace.bytes(), [=](const Call& call, const Context& c) {
    const Simd& simd = *c.simd;
    const auto multiply = simd.binary[static_cast<int>(Binary::kMul)];
    const int64_t bytes = width * dtype_size(dtype);
    c.pool->run_ranges(rows, rows_per_task(width + 1), [&](int64_t begin, int64_t end, int worker) {
      auto* y = call.workspace<float>(scratch + 2 * worker * line);
      auto* other = call.workspace<float>(scratch + (2 * worker + 1) * line);
      for (int64_t row = begin; row < end; ++row) {
        widen(simd, dtype, call.input<char>(0) + row * bytes, y, width);
        activate(simd, activation, y, y, width);
        if (gated) {
          widen(simd, dtype, call.input<char>(1) + row * bytes, other, width);
          multiply(y, 1, other, 1, y, width);
        }
        quantize_row(simd, y, simd.largest_magnitude(y, width), width, integer,
                     call.output<uint8_t>(0) + row * width, call.output<float>(1) + row);
      }
    });
  });
}

bool accepts_activate_quantize(const KernelRequest& request) {
  return is_compute_dtype(in(request, 0).dtype) && out(request).shape.elements() > 0;
}

bool accepts_quantize_rows(const KernelRequest& request) {
  return is_compute_dtype(in(request, 0).dtype);
}

constexpr TableRow kTable[] = {
    {OpKind::kQuantizeRows, "quantize_rows", Isa::kSse4, accepts_quantize_rows,
     prepare_quantize_rows},
    {OpKind::kActivateQuantize, "activate_quantize", Isa::kSse4, accepts_activate_quantize,
     prepare_activate_quantize},
};

}  // namespace

std::span<const TableRow> quantize_rows_table() { return kTable; }

}  // namespace zoetrope::cpu
