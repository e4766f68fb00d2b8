// Rounding weights to 4 bits so that what they multiply hides it: each column's error is made up
// for by the columns behind it in the row (GPTQ, Frantar et al., arXiv 2210.17323), then codes and
// factors are improved one by one for as long as that lowers the outputs' error; within blocks.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace zoetrope {

// Sums of xᵢ·xⱼ over rows x that a weight multiplies, i and j of one block of columns.
class RowMoments {
 public:
  // `block` columns are looked at together; the last block may be shorter.
  RowMoments(int64_t columns, int64_t block) : columns_(columns), block_(block) {}

  // `count` rows [count, columns], by as many threads as the machine has. Those with a value that
  // is not finite are left out.
  void add(const float* rows, int64_t count);

  int64_t columns() const { return columns_; }
  int64_t rows() const { return rows_; }
  int64_t block() const { return block_; }
  int64_t blocks() const { return (columns_ + block_ - 1) / block_; }
  // Columns of a block.
  int64_t width(int64_t index) const { return std::min(block_, columns_ - index * block_); }
  double sum(int64_t index, int64_t i, int64_t j) const {
    return i > j           ? sum(index, j, i)
           : sums_.empty() ? 0
                           : sums_[static_cast<size_t>((index * block_ + i) * block_ + j)];
  }
  static int64_t bytes(int64_t columns, int64_t block) {
    return (columns + block - 1) / block * block * block * 4;
  }

 private:
  int64_t columns_, block_, rows_ = 0;
  std::vector<float> sums_;  // [blocks, block, block], of j ≥ i; empty: no rows yet
};
// By weight; those that multiply the same rows share them.
using WeightMoments = std::map<std::string, std::shared_ptr<RowMoments>, std::less<>>;

class Compensation {
 public:
  // A hundredth of the mean square is added to every square, so that what was never seen is
  // neither trusted nor spoilt. Blocks of which fewer than two rows a column were seen are rounded
  // to the nearest: so few say more of themselves than of others.
  explicit Compensation(const RowMoments& moments);

  // Whether any block is: else every weight is rounded to the nearest.
  bool compensates() const {
    return std::any_of(blocks_.begin(), blocks_.end(),
                       [](const Block& block) { return !block.spread.empty(); });
  }

  // A row of int4 as encode_rows stores it. `group` divides the moments' block. Factors are of
  // least error weighted by the columns' mean squares; where more is known, no other factor of one
  // group and no other number of one column would give outputs of less error, unless
  // kImprovements did not suffice.
  void encode_row(int64_t group, const float* x, uint8_t* values, uint8_t* scale) const;

  static constexpr int kImprovements = 16;  // rounds over a block's columns

 private:
  struct Block {
    int64_t width = 0;
    std::vector<float> h;       // H, all of it; empty: nothing is known
    std::vector<float> spread;  // U of H⁻¹ = UᵀU, row by row; empty: there is none
  };
  struct Rounded;
  static void round_in_turn(const Block& block, const float* x, Rounded* rounded);
  static void improve(const Block& block, const float* x, Rounded* rounded);
  int64_t columns_, block_;
  std::vector<Block> blocks_;
};

}  // namespace zoetrope
