// Kernel tables of backends: how the row for a node is found, and shorthands for rows. A backend's
// table is a list of families, each a list of rows; a row begins with the op that it is for.
#pragma once

#include <algorithm>
#include <span>
#include <string_view>

#include "runtime/backend/backend.h"

namespace zoetrope::kernel_table {

inline const TensorType& in(const KernelRequest& request, size_t i) { return *request.inputs[i]; }
inline bool has(const KernelRequest& request, size_t i) {
  return i < request.inputs.size() && request.inputs[i] != nullptr;
}
inline const TensorType& out(const KernelRequest& request, size_t i = 0) {
  return *request.outputs[i];
}
inline const Attrs& attrs(const KernelRequest& request) { return request.node->attrs; }
// The node as its op sees it.
inline OpContext context_of(const KernelRequest& request) {
  return {request.inputs, attrs(request)};
}

// f32, f16 or bf16: what kernels compute on.
constexpr bool is_compute_dtype(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16;
}
// Inputs and outputs that are present are f32, f16 or bf16.
inline bool compute_dtypes(const KernelRequest& request) {
  const auto good = [](const TensorType* t) { return t == nullptr || is_compute_dtype(t->dtype); };
  return std::all_of(request.inputs.begin(), request.inputs.end(), good) &&
         std::all_of(request.outputs.begin(), request.outputs.end(), good);
}

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

template <typename Row>
using Family = std::span<const Row> (*)();

template <typename Row>
struct Found {
  const Row* row = nullptr;
  int32_t index = 0;  // of all rows, as list_rows() gives them
};

// The first row for the node that takes it: `accepts(row)`. kUnsupported when there is none.
template <typename Row, size_t N, typename Accepts>
Result<Found<Row>> find_row(std::string_view backend, const Family<Row> (&families)[N],
                            const KernelRequest& request, const Accepts& accepts) {
  int32_t index = 0;
  for (const Family<Row> family : families) {
    for (const Row& row : family()) {
      if (row.op == request.node->op && accepts(row)) return Found<Row>{&row, index};
      ++index;
    }
  }
  return error(Code::kUnsupported, "the ", backend, " backend has no kernel for op ",
               op_def(request.node->op).name, " with these types");
}

// Every row, as `describe(row)` says it.
template <typename Row, size_t N, typename Describe>
std::vector<std::string> list_rows(const Family<Row> (&families)[N], const Describe& describe) {
  std::vector<std::string> rows;
  for (const Family<Row> family : families)
    for (const Row& row : family()) rows.push_back(describe(row));
  return rows;
}

// What a kernel is called that has no name of its own.
inline std::string name_of(std::string_view row, const KernelRequest& request) {
  return str(row, "_", dtype_name(out(request).dtype));
}

}  // namespace zoetrope::kernel_table
