#include "graph/ops/common.h"

#include <cmath>

#include "graph/builder.h"
#include "graph/ops/elementwise.h"

namespace zoetrope::ops {

Status require_inputs(const OpContext& c, size_t count) {
  for (size_t i = 0; i < count; ++i)
    if (!c.has(i))
      return error(Code::kInvalidArgument, "expected ", count, " inputs; input ", i, " is absent");
  return Status();
}

Status require_float(const OpContext& c, size_t i, std::string_view name) {
  if (is_float(c.input(i).dtype)) return Status();
  return error(Code::kInvalidArgument, name, " must have a float dtype; found ",
               c.input(i).to_string());
}

Status require_number(const OpContext& c, size_t i, std::string_view name) {
  if (c.input(i).dtype != DType::kBool) return Status();
  return error(Code::kInvalidArgument, name, " must be numeric; found ", c.input(i).to_string());
}

Status require_same_dtype(const OpContext& c, size_t i, std::string_view name, DType expected) {
  if (c.input(i).dtype == expected) return Status();
  return error(Code::kInvalidArgument, name, " must be ", dtype_name(expected), "; found ",
               c.input(i).to_string());
}

Status require_rank(const OpContext& c, size_t i, std::string_view name, int min, int max) {
  const int rank = c.input(i).shape.rank();
  if (rank >= min && rank <= max) return Status();
  const std::string wanted = min == max ? str(min) : str(min, " to ", max);
  return error(Code::kInvalidArgument, name, " must have ", wanted, " dimensions; found ",
               c.input(i).to_string());
}

Status require_shape(const OpContext& c, size_t i, std::string_view name, const Shape& expected) {
  if (c.input(i).shape == expected) return Status();
  return error(Code::kInvalidArgument, name, " must have shape ", expected.to_string(), "; found ",
               c.input(i).to_string());
}

Status require_vector_or_absent(const OpContext& c, size_t i, std::string_view name,
                                int64_t length) {
  if (!c.has(i)) return Status();
  ZT_RETURN_IF_ERROR(require_float(c, i, name));
  return require_shape(c, i, name, Shape{length});
}

Status require_broadcastable_or_absent(const OpContext& c, size_t i, std::string_view name,
                                       const Shape& shape) {
  if (!c.has(i)) return Status();
  ZT_RETURN_IF_ERROR(require_float(c, i, name));
  const auto joined = broadcast_shapes(c.input(i).shape, shape);
  if (joined.ok() && *joined == shape) return Status();
  return error(Code::kInvalidArgument, name, " must broadcast to ", shape.to_string(), "; found ",
               c.input(i).to_string());
}

Status require_epsilon(const Attrs& attrs) {
  const double epsilon = attrs.get_float("epsilon");
  if (std::isfinite(epsilon) && epsilon >= 0) return Status();
  return error(Code::kInvalidArgument, "epsilon must be finite and not negative; found ", epsilon);
}

Status require_choice(const Attrs& attrs, std::string_view name,
                      std::span<const std::string_view> choices) {
  const std::string& found = attrs.get_string(name);
  std::string known;
  for (std::string_view choice : choices) {
    if (choice == found) return Status();
    known += (known.empty() ? "" : ", ") + std::string(choice);
  }
  return error(Code::kInvalidArgument, name, " must be one of ", known, "; found '", found, "'");
}

Result<Types> one_output(DType dtype, std::span<const int64_t> dims) {
  if (auto n = checked_elements(dims); !n.ok()) return n.status().with_context("output shape");
  return Types{TensorType{dtype, Shape(dims)}};
}

Result<std::vector<int64_t>> ints_or(const Attrs& attrs, std::string_view name, int count,
                                     int64_t fallback, int64_t min, int64_t max) {
  std::vector<int64_t> values = ints_or(attrs, name, count, fallback);
  if (values.size() != static_cast<size_t>(count))
    return error(Code::kInvalidArgument, name, " must have ", count, " entries; found ",
                 values.size());
  for (int64_t v : values)
    if (v < min || v > max)
      return error(Code::kInvalidArgument, name, " must lie in [", min, ", ", max, "]; found ", v);
  return values;
}

std::vector<int64_t> ints_or(const Attrs& attrs, std::string_view name, int count,
                             int64_t fallback) {
  std::vector<int64_t> values = attrs.get_ints(name);
  if (values.empty()) values.assign(static_cast<size_t>(count), fallback);
  return values;
}

DType dtype_attr(const Attrs& attrs) {
  const auto dtype = checked_dtype_attr(attrs);
  return dtype.ok() ? *dtype : DType::kF32;
}

Result<DType> checked_dtype_attr(const Attrs& attrs) {
  return parse_dtype(attrs.get_string("dtype"));
}

Strides strides_of(const Shape& shape) {
  Strides strides{};
  int64_t step = 1;
  for (int d = shape.rank() - 1; d >= 0; --d) {
    strides[static_cast<size_t>(d)] = step;
    step *= shape[d];
  }
  return strides;
}

Strides broadcast_strides(const Shape& from, const Shape& to) {
  const Strides own = strides_of(from);
  const int skip = to.rank() - from.rank();
  Strides strides{};
  for (int d = 0; d < from.rank(); ++d)
    if (from[d] != 1) strides[static_cast<size_t>(d + skip)] = own[static_cast<size_t>(d)];
  return strides;
}

int64_t extent(const Shape& shape, int begin, int end) {
  int64_t n = 1;
  for (int d = begin; d < end; ++d) n *= shape[d];
  return n;
}

Status require_activated(const OpContext& c) {
  ZT_RETURN_IF_ERROR(require_inputs(c, 1));
  ZT_RETURN_IF_ERROR(require_float(c, 0, "a"));
  ZT_RETURN_IF_ERROR(require_activation(c.attrs));
  if (!c.has(1)) return Status();
  ZT_RETURN_IF_ERROR(require_same_dtype(c, 1, "b", c.input(0).dtype));
  return require_shape(c, 1, "b", c.input(0).shape);
}

Status require_activation(const Attrs& attrs) {
  return require_choice(attrs, "activation", activation_names());
}

int32_t decompose_activation(Builder& builder, int32_t x, const Attrs& attrs) {
  const std::string& name = attrs.get_string("activation");
  return name == "none" ? x : builder.unary(find_op(name)->kind, x);
}

int32_t decompose_cast(Builder& builder, int32_t x, DType dtype) {
  return builder.graph().value(x).type.dtype == dtype ? x : builder.cast(x, dtype);
}

}  // namespace zoetrope::ops
