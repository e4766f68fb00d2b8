// What a kernel of this backend is, and the table that finds one for a node. A kernel is data:
// which shaders run over which operands with which numbers. Everything else is the same for all of
// them.
#pragma once

#include <algorithm>
#include <bit>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "backends/vulkan/capabilities.h"
#include "graph/ops/elementwise.h"
#include "runtime/backend/kernel_table.h"

namespace zoetrope::vulkan {

using namespace kernel_table;

// An operand of a dispatch: a tensor of the node, or a part of the kernel's workspace.
struct Operand {
  enum Kind : uint8_t { kInput, kOutput, kWorkspace } kind = kInput;
  uint32_t index = 0;  // which input or output
  DType dtype = DType::kF32;
  int64_t offset = 0;  // workspace: bytes, a multiple of 256
  int64_t bytes = 0;   // workspace
  bool reads = true, writes = false;
};

// A shader's run. Operand k is OPERAND(k) in the shader.
struct Dispatch {
  std::string shader;               // shaders/NAME.comp; of matrices: see on_matrices_of
  std::vector<Operand> operands;    // at most 12
  std::vector<uint32_t> constants;  // specialization constants 16, 17, ...
  std::vector<uint32_t> params;     // param(0), param(1), ...
  uint32_t group_size = 64;
  int64_t groups = 0;        // group_id() runs over [0, groups)
  double flops = 0;          // of all groups: long dispatches are cut into pieces
  bool on_matrices = false;  // of cooperative matrices: many times the rate
};

// A weight that a kernel reads in an order of its own, made on the device.
struct Packing {
  PackedInput packed;
  DType dtype;  // of the parts: what is stored otherwise is cast first
  // Its first dimension goes to the device in parts of so many. For one: operand 0 is the part (an
  // input), operand 1 all of the packed weight (an output).
  int64_t rows_at_once = 0;
  std::function<Dispatch(int64_t first, int64_t rows)> dispatch;
};

struct KernelSpec {
  int32_t row = 0;   // of the table
  std::string name;  // "matmul_tiled"; the output's dtype is appended when it ends so
  int64_t workspace_bytes = 0;
  std::vector<Dispatch> dispatches;  // run in this order
  std::optional<Packing> packing;
};

// One line of the kernel table. The first row that matches a node wins.
struct TableRow {
  OpKind op;
  // Dtypes, shapes, attributes and features; null: all.
  bool (*accepts)(const KernelRequest& request, const Capabilities& caps);
  Result<KernelSpec> (*prepare)(const KernelRequest& request, const Capabilities& caps);
};

// The families, in the order in which the table lists them.
std::span<const TableRow> matmul_table();
std::span<const TableRow> conv_table();
std::span<const TableRow> attention_table();
std::span<const TableRow> norm_table();
std::span<const TableRow> fused_table();
std::span<const TableRow> reduce_table();
std::span<const TableRow> elementwise_table();
std::span<const TableRow> layout_table();
std::span<const TableRow> resample_table();
std::span<const TableRow> quantized_table();
std::span<const TableRow> dequantize_table();

// Every row: its op.
std::vector<std::string> kernel_rows();

// kUnsupported when no row matches.
Result<KernelSpec> prepare_kernel(const KernelRequest& request, const Capabilities& caps);

// Shorthands for rows.

// As compute_dtypes(), of ops whose outputs are of 8 bits.
inline bool compute_inputs(const KernelRequest& request) {
  return std::all_of(request.inputs.begin(), request.inputs.end(), [](const TensorType* t) {
    return t == nullptr || is_compute_dtype(t->dtype);
  });
}
inline Operand input(const KernelRequest& request, size_t i) {
  return {
      .kind = Operand::kInput, .index = static_cast<uint32_t>(i), .dtype = in(request, i).dtype};
}
inline Operand output(const KernelRequest& request, size_t i = 0) {
  return {.kind = Operand::kOutput,
          .index = static_cast<uint32_t>(i),
          .dtype = out(request, i).dtype,
          .reads = false,
          .writes = true};
}
inline Operand workspace(DType dtype, int64_t offset, int64_t bytes, bool writes) {
  return {.kind = Operand::kWorkspace,
          .dtype = dtype,
          .offset = offset,
          .bytes = bytes,
          .reads = !writes,
          .writes = writes};
}

// A shader of f16 matrices, for f16 or bf16 (bfloat16.h).
inline std::string on_matrices_of(DType dtype, std::string shader) {
  return dtype == DType::kBF16 ? shader + ":bf16" : shader;
}

inline uint32_t u32(int64_t value) { return static_cast<uint32_t>(value); }
// ACT_, UNARY_ or BINARY_NAME in shaders (numbers.glsl).
template <typename E>
uint32_t number_of(E e) {
  return static_cast<uint32_t>(e);
}
inline uint32_t activation_number(const KernelRequest& request) {
  return number_of(ops::parse_activation(attrs(request).get_string("activation")));
}
inline uint32_t float_bits(double value) {
  return std::bit_cast<uint32_t>(static_cast<float>(value));
}

}  // namespace zoetrope::vulkan
