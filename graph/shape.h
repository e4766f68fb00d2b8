// Concrete shapes: at most six dimensions, row major, channels last.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <span>
#include <string>

#include "graph/dtype.h"
#include "graph/status.h"

namespace zoetrope {

inline constexpr int kMaxRank = 6;

class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<int64_t> dims) : Shape(std::span(dims.begin(), dims.size())) {}
  explicit Shape(std::span<const int64_t> dims) {
    ZT_CHECK(dims.size() <= kMaxRank);
    rank_ = static_cast<int>(dims.size());
    for (int i = 0; i < rank_; ++i) dims_[i] = dims[i];
  }

  int rank() const { return rank_; }
  // A negative axis counts from the end.
  int64_t operator[](int axis) const { return dims_[axis < 0 ? axis + rank_ : axis]; }
  int64_t& operator[](int axis) { return dims_[axis < 0 ? axis + rank_ : axis]; }
  std::span<const int64_t> dims() const { return {dims_.data(), static_cast<size_t>(rank_)}; }
  const int64_t* begin() const { return dims_.data(); }
  const int64_t* end() const { return dims_.data() + rank_; }
  void push_back(int64_t dim) {
    ZT_CHECK(rank_ < kMaxRank);
    dims_[rank_++] = dim;
  }
  // Product of the dims. Only for shapes that checked_elements accepted.
  int64_t elements() const {
    int64_t n = 1;
    for (int64_t d : *this) n *= d;
    return n;
  }
  bool operator==(const Shape& other) const {
    if (rank_ != other.rank_) return false;
    for (int i = 0; i < rank_; ++i)
      if (dims_[i] != other.dims_[i]) return false;
    return true;
  }
  // "[1, 4, 16, 16, 16]"
  std::string to_string() const;

 private:
  std::array<int64_t, kMaxRank> dims_{};
  int rank_ = 0;
};

// Refuses negative dims and products beyond 2^46 elements, so that byte counts cannot overflow.
Result<int64_t> checked_elements(std::span<const int64_t> dims);

// Resolves a possibly negative axis; an error names the rank.
Result<int> normalize_axis(int64_t axis, int rank);

// NumPy broadcasting of two shapes.
Result<Shape> broadcast_shapes(const Shape& a, const Shape& b);

struct TensorType {
  DType dtype = DType::kF32;
  Shape shape;

  int64_t bytes() const { return shape.elements() * dtype_size(dtype); }
  bool operator==(const TensorType&) const = default;
  // "f32[1, 256, 1536]"
  std::string to_string() const;
};

}  // namespace zoetrope
