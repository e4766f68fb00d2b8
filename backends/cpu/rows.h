// Helpers of kernels that work on rows of the last axis: small vectors (weights, biases) widened
// once a call, and rows widened into scratch of the thread.
#pragma once

#include "backends/cpu/kernel.h"

namespace zoetrope::cpu {

// Lays a workspace out piece by piece.
class WorkspaceLayout {
 public:
  int64_t add(int64_t bytes) {
    const int64_t at = bytes_;
    bytes_ += align_up(bytes);
    return at;
  }
  int64_t bytes() const { return bytes_; }

 private:
  int64_t bytes_ = 0;
};

// An optional vector operand, read as f32.
struct VectorOperand {
  size_t input = 0;
  bool present = false;
  DType dtype = DType::kF32;
  int64_t length = 0, at = 0;

  static VectorOperand reserve(const KernelRequest& request, size_t input,
                               WorkspaceLayout* workspace) {
    VectorOperand v;
    v.input = input;
    v.present = has(request, input);
    if (!v.present) return v;
    v.dtype = in(request, input).dtype;
    v.length = in(request, input).shape.elements();
    if (v.dtype != DType::kF32) v.at = workspace->add(v.length * 4);
    return v;
  }
  // Call once, before the parallel loop.
  const float* load(const Call& call, const Simd& simd) const {
    if (!present) return nullptr;
    if (dtype == DType::kF32) return call.input<float>(input);
    auto* row = call.workspace<float>(at);
    widen(simd, dtype, call.input(input), row, length);
    return row;
  }
};

// Rows of one tensor for reading and writing as f32: in place for f32, else through scratch.
struct RowIo {
  DType dtype = DType::kF32;
  int64_t width = 0;
  int64_t at = 0;  // of the threads' scratch in the workspace

  static RowIo reserve(DType dtype, int64_t width, int threads, WorkspaceLayout* workspace) {
    RowIo io{dtype, width, 0};
    if (dtype != DType::kF32) io.at = workspace->add(align_up(width * 4) * threads);
    return io;
  }
  float* scratch(const Call& call, int worker) const {
    return call.workspace<float>(at + worker * align_up(width * 4));
  }
  const float* read(const Call& call, const Simd& simd, const void* data, int64_t row,
                    int worker) const {
    const char* x = static_cast<const char*>(data) + row * width * dtype_size(dtype);
    if (dtype == DType::kF32) return reinterpret_cast<const float*>(x);
    float* y = scratch(call, worker);
    widen(simd, dtype, x, y, width);
    return y;
  }
  // Where to compute an output row; commit() then stores it.
  float* begin(const Call& call, void* data, int64_t row, int worker) const {
    if (dtype == DType::kF32) return static_cast<float*>(data) + row * width;
    return scratch(call, worker);
  }
  void commit(const Simd& simd, const float* y, void* data, int64_t row) const {
    if (dtype == DType::kF32) return;
    narrow(simd, dtype, y, static_cast<char*>(data) + row * width * dtype_size(dtype), width);
  }
};

// Rows of `width` that make one task.
inline int64_t rows_per_task(int64_t width, int64_t elements = 16384) {
  return width >= elements ? 1 : (elements + width - 1) / width;
}

// 1/√(mean square + ε); the mean and 1/√(variance + ε).
RowStatistics rms_statistics(const Simd& simd, const float* x, int64_t n, double epsilon);
RowStatistics layer_statistics(const Simd& simd, const float* x, int64_t n, double epsilon);

// A row as numbers of 8 bits, i8 where `integer` and f8e4m3 else, and its factor: the definition in
// graph/ops/quantize_rows.cc, operation by operation. `most`: its largest magnitude.
void quantize_row(const Simd& simd, const float* x, float most, int64_t n, bool integer, uint8_t* q,
                  float* scale);

}  // namespace zoetrope::cpu
