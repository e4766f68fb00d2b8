// The block formats of ggml: integers with a factor, and for some an offset, a group.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "graph/dtype.h"

namespace zoetrope {

// The numbers are GGUF's own.
enum class GgmlType : uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ4_1 = 3,
  kQ5_0 = 6,
  kQ5_1 = 7,
  kQ8_0 = 8,
  kQ2K = 10,
  kQ3K = 11,
  kQ4K = 12,
  kQ5K = 13,
  kQ6K = 14,
  kIq4Nl = 20,
  kI8 = 24,
  kI32 = 26,
  kI64 = 27,
  kF64 = 28,
  kBF16 = 30,
};

// A type of blocks: element i of a group is q_i · scale + offset.
struct GgmlBlock {
  GgmlType type;
  std::string_view name;
  int64_t elements, bytes;  // of a block
  int64_t group;            // elements that share a factor
  bool offset;
  // The integers are of 4 bits: 0 to 15 with an offset, else −8 to 7. Others are of 8.
  bool narrow;
  DType scale;  // which holds every factor (and offset) exactly
  // One block: integers of all its elements, factors and offsets (null: it has none) of its groups.
  void (*decode)(const uint8_t* block, int8_t* q, float* scale, float* offset);
};
// Null: no such type is read, or it is one of plain elements.
const GgmlBlock* find_ggml_block(uint32_t type);
// Of plain elements.
std::optional<DType> ggml_dtype(uint32_t type);
// "Q4_K", for messages about types that are not read too.
std::string_view ggml_type_name(uint32_t type);

}  // namespace zoetrope
