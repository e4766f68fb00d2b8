// What wrong elements have in common, for people: where they lie, a factor, rows that changed
// places.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "graph/shape.h"
#include "runtime/verify/part.h"

namespace zoetrope {

// Gathers over the parts of one output.
class ErrorPattern {
 public:
  explicit ErrorPattern(const Shape& shape) : shape_(shape) {}

  // All elements of a part; `off` lists those beyond their bound, by index into the part.
  void add(const Box& box, const std::vector<double>& found, const std::vector<double>& expected,
           const std::vector<int64_t>& off);

  int64_t off() const { return off_; }
  // "12 of 64 elements, all within [0..3, 16..31]; on average 1.01 times what they should be".
  std::string describe() const;

 private:
  void find_exchanged_rows(const Box& box, const std::vector<double>& found,
                           const std::vector<double>& expected, const std::vector<int64_t>& off);

  Shape shape_;
  int64_t seen_ = 0, off_ = 0, scale_counted_ = 0;
  std::vector<int64_t> low_, high_;  // corners of what is off, in the whole tensor
  double along_ = 0, squares_ = 0, found_squares_ = 0;  // of what is off and finite
  std::string exchanged_;
};

}  // namespace zoetrope
