// Attention that may be of 8 bits: queries and keys as i8 for block kernels of bytes, each row with
// a factor of its own, after the mean of a head's keys was taken off them (arXiv 2411.10958), which
// softmax does not see.
#pragma once

#include "backends/cpu/gemm/gemm.h"

namespace zoetrope::cpu {

// Rows of one head: row r begins r · step bytes behind data.
struct HeadRows {
  const char* data;
  DType dtype;
  int64_t step;
};

// The keys of one head: panels of 64 keys, [depth / 4, 64, 4] each; what 128 more in every query
// adds to each key's sums; the keys' factors; their mean.
class Keys8 {
 public:
  Keys8() = default;
  Keys8(int64_t keys, int64_t dim) : keys_(keys), dim_(dim) {}

  int64_t depth() const { return (dim_ + 3) / 4 * 4; }  // zeros behind dim
  int64_t bytes() const { return mean_at() + align_up(dim_ * 4); }
  // Of a thread, for a row as f32 and as i8.
  int64_t line_bytes() const { return align_up(dim_ * 4) + align_up(depth()); }

  void take_mean(const Simd& simd, const HeadRows& keys, int64_t valid, char* line,
                 char* head) const;
  void pack(const Simd& simd, const HeadRows& keys, int64_t panel, char* line, char* head) const;

  const char* panel(const char* head, int64_t p) const { return head + p * panel_bytes(); }
  // Sums of a query with factor `row` and keys from `key` on become f32 in place.
  void scale(const Simd& simd, const char* head, int64_t key, int64_t keys, float row,
             float* scores) const;

  // Rows of queries plus 128, [rows, depth], and their factors.
  void narrow_queries(const Simd& simd, const HeadRows& queries, int64_t rows, char* line, char* to,
                      float* factors) const;

 private:
  static constexpr int64_t kColumns = PanelLayout::kColumns;
  int64_t columns() const { return (keys_ + kColumns - 1) / kColumns * kColumns; }
  int64_t panel_bytes() const { return kColumns * depth(); }
  int64_t less_at() const { return columns() * depth(); }
  int64_t factors_at() const { return less_at() + columns() * 4; }
  int64_t mean_at() const { return factors_at() + columns() * 4; }

  int64_t keys_ = 0, dim_ = 0;
};

}  // namespace zoetrope::cpu
