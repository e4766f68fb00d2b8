#include "graph/shape.h"

#include <algorithm>

namespace zoetrope {

std::string Shape::to_string() const {
  std::string text = "[";
  for (int i = 0; i < rank_; ++i) text += (i ? ", " : "") + std::to_string(dims_[i]);
  return text + "]";
}

std::string TensorType::to_string() const {
  return std::string(dtype_name(dtype)) + shape.to_string();
}

Result<int64_t> checked_elements(std::span<const int64_t> dims) {
  constexpr int64_t kLimit = int64_t{1} << 46;
  if (dims.size() > kMaxRank)
    return error(Code::kInvalidArgument, dims.size(), " dimensions; at most ", kMaxRank);
  int64_t product = 1;  // of the dims that are not zero: partial products must not overflow either
  bool empty = false;
  for (int64_t dim : dims) {
    if (dim < 0) return error(Code::kInvalidArgument, "negative dimension ", dim);
    empty |= dim == 0;
    if (dim == 0) continue;
    if (product > kLimit / dim) return error(Code::kInvalidArgument, "more than 2^46 elements");
    product *= dim;
  }
  return empty ? 0 : product;
}

Result<int> normalize_axis(int64_t axis, int rank) {
  if (axis < -rank || axis >= rank)
    return error(Code::kInvalidArgument, "axis ", axis, " is outside a tensor of rank ", rank);
  return static_cast<int>(axis < 0 ? axis + rank : axis);
}

Result<Shape> broadcast_shapes(const Shape& a, const Shape& b) {
  const int rank = std::max(a.rank(), b.rank());
  Shape out;
  for (int i = 0; i < rank; ++i) {
    const int ia = i - (rank - a.rank()), ib = i - (rank - b.rank());
    const int64_t da = ia < 0 ? 1 : a[ia], db = ib < 0 ? 1 : b[ib];
    if (da != db && da != 1 && db != 1)
      return error(Code::kInvalidArgument, "shapes ", a.to_string(), " and ", b.to_string(),
                   " do not broadcast");
    out.push_back(da == 1 ? db : da);
  }
  ZT_RETURN_IF_ERROR(checked_elements(out.dims()).status());
  return out;
}

}  // namespace zoetrope
