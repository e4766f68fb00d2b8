// How kernels that treat rows are laid out: shaders/rows.glsl.
#pragma once

#include "backends/vulkan/kernel.h"

namespace zoetrope::vulkan {

struct RowLayout {
  uint32_t chunk = 1, lanes = 8, keep = 0, group = 64;
  int64_t groups = 0;
};

// `units`: chunks a row. With `keep` lanes hold their part of a row where it is not too long: up to
// MOST_KEPT chunks of the shader.
constexpr uint32_t kMostKept = 4;
RowLayout lay_out_rows(int64_t rows, int64_t units, uint32_t chunk, bool keep,
                       const Capabilities& caps, uint32_t most_kept = kMostKept);

// The largest chunk, up to 16 bytes of `dtype`, that divides `width`.
uint32_t row_chunk(int64_t width, DType dtype);

// Rows (the dimensions of `shape` but the last) and how two operands broadcast to them: parameters
// of broadcast_row(). An operand that is absent stands still.
struct RowBroadcast {
  uint32_t rank = 0;             // RANK
  std::vector<uint32_t> params;  // extents, steps of one operand, steps of the other
  bool moves[2] = {};            // along the last dimension
};
RowBroadcast broadcast_rows(const Shape& shape, const Shape* a, const Shape* b);

// Begins a dispatch of one of these shaders: group, groups and the constants that all share.
Dispatch row_dispatch(const char* shader, const RowLayout& layout, uint32_t rank);

}  // namespace zoetrope::vulkan
