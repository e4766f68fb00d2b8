// What the op definitions share: checks with messages, constant attributes, and index arithmetic of
// the references.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "graph/op.h"

namespace zoetrope::ops {

using Types = std::vector<TensorType>;
using RefInputs = std::span<const RefTensor* const>;
using RefOutputs = std::span<std::vector<double>>;

// Inputs 0..count-1 are present.
Status require_inputs(const OpContext& c, size_t count);
Status require_float(const OpContext& c, size_t i, std::string_view name);
// Floats and integers, not bool.
Status require_number(const OpContext& c, size_t i, std::string_view name);
Status require_same_dtype(const OpContext& c, size_t i, std::string_view name, DType expected);
Status require_rank(const OpContext& c, size_t i, std::string_view name, int min, int max);
Status require_shape(const OpContext& c, size_t i, std::string_view name, const Shape& expected);
// Absent, or a float vector of `length`.
Status require_vector_or_absent(const OpContext& c, size_t i, std::string_view name,
                                int64_t length);
// Absent, or a float tensor that broadcasts to `shape` without growing it.
Status require_broadcastable_or_absent(const OpContext& c, size_t i, std::string_view name,
                                       const Shape& shape);
Status require_epsilon(const Attrs& attrs);
// The string attribute is one of `choices`.
Status require_choice(const Attrs& attrs, std::string_view name,
                      std::span<const std::string_view> choices);
inline Status require_choice(const Attrs& attrs, std::string_view name,
                             std::initializer_list<std::string_view> choices) {
  return require_choice(attrs, name, std::span(choices.begin(), choices.size()));
}

// One output; refuses shapes beyond the element limit.
Result<Types> one_output(DType dtype, std::span<const int64_t> dims);
inline Result<Types> one_output(DType dtype, const Shape& shape) {
  return one_output(dtype, shape.dims());
}

// A kInts attribute with `count` entries in [min, max]; an empty list means `fallback` everywhere.
Result<std::vector<int64_t>> ints_or(const Attrs& attrs, std::string_view name, int count,
                                     int64_t fallback, int64_t min, int64_t max);
// For attributes that inference has accepted.
std::vector<int64_t> ints_or(const Attrs& attrs, std::string_view name, int count,
                             int64_t fallback);

// The dtype attribute, f32 when it does not parse (inference reports that).
DType dtype_attr(const Attrs& attrs);
Result<DType> checked_dtype_attr(const Attrs& attrs);

// Larger values of extents, paddings and counts are refused before any arithmetic on them.
inline constexpr int64_t kMaxExtent = int64_t{1} << 46;

// Row-major element strides.
using Strides = std::array<int64_t, kMaxRank>;
Strides strides_of(const Shape& shape);
// Strides that walk `from` along the dimensions of `to`: zero where it broadcasts.
Strides broadcast_strides(const Shape& from, const Shape& to);

// Calls f(i, offsets) for every element i of `shape` in row-major order, with one offset an
// operand.
template <size_t N, typename F>
void for_each_element(const Shape& shape, const std::array<Strides, N>& strides, F f) {
  std::array<int64_t, kMaxRank> at{};
  std::array<int64_t, N> offsets{};
  const int64_t count = shape.elements();
  for (int64_t i = 0; i < count; ++i) {
    f(i, offsets);
    for (int d = shape.rank() - 1; d >= 0; --d) {
      const auto axis = static_cast<size_t>(d);
      for (size_t n = 0; n < N; ++n) offsets[n] += strides[n][axis];
      if (++at[axis] < shape[d]) break;
      at[axis] = 0;
      for (size_t n = 0; n < N; ++n) offsets[n] -= strides[n][axis] * shape[d];
    }
  }
}

// Product of the dims in [begin, end).
int64_t extent(const Shape& shape, int begin, int end);

inline size_t idx(int64_t i) { return static_cast<size_t>(i); }

// The "activation" attribute is one of activation_names().
Status require_activation(const Attrs& attrs);
// Of ops that give activation(a), or activation(a)·b where b is given: shaped as a.
Status require_activated(const OpContext& c);
// Appends the activation of the "activation" attribute to a decomposition.
int32_t decompose_activation(Builder& builder, int32_t x, const Attrs& attrs);
// x, cast where its dtype is another: fused ops take weights and modulations of any float dtype.
int32_t decompose_cast(Builder& builder, int32_t x, DType dtype);

}  // namespace zoetrope::ops
