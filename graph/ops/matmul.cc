// matmul: a [..., M, K] × b [..., K, N] → [..., M, N]; leading dimensions broadcast (numpy.matmul).
// With transpose_b, b is [..., N, K], the layout of torch.nn.Linear's weight.
#include <algorithm>

#include "graph/ops/contraction.h"
#include "graph/ops/inference.h"
#include "graph/ops/matmul.h"

namespace zoetrope {
namespace ops {
namespace {

Shape batch_of(const Shape& shape) { return Shape(shape.dims().first(idx(shape.rank() - 2))); }

}  // namespace

MatmulShape matmul_shape(const Shape& a, const Shape& b, const Shape& c) {
  MatmulShape s{a[-2], a[-1], c[-1], Walk<2>(Shape(), {})};
  const int64_t rows = extent(c, 0, c.rank() - 1);
  if (extent(b, 0, b.rank() - 2) == 1 && (s.k == 0 || a.elements() == rows * s.k)) {
    s.m = rows;
    return s;
  }
  const Shape batch = batch_of(c);
  std::array strides{broadcast_strides(batch_of(a), batch), broadcast_strides(batch_of(b), batch)};
  for (int64_t& stride : strides[0]) stride *= s.m * s.k;
  for (int64_t& stride : strides[1]) stride *= s.n * s.k;
  s.products = Walk<2>(batch, strides);
  return s;
}

Result<Types> infer_matmul(const OpContext& c) {
  ZT_RETURN_IF_ERROR(require_inputs(c, 2));
  ZT_RETURN_IF_ERROR(require_float(c, 0, "a"));
  ZT_RETURN_IF_ERROR(require_float(c, 1, "b"));
  ZT_RETURN_IF_ERROR(require_rank(c, 0, "a", 2, kMaxRank));
  ZT_RETURN_IF_ERROR(require_rank(c, 1, "b", 2, kMaxRank));
  const Shape &a = c.input(0).shape, &b = c.input(1).shape;
  const bool transposed = c.attrs.get_bool("transpose_b");
  const int64_t depth = transposed ? b[-1] : b[-2];
  if (a[-1] != depth)
    return error(Code::kInvalidArgument, "a ", c.input(0).to_string(), " has ", a[-1],
                 " columns but b ", c.input(1).to_string(), transposed ? " (transposed)" : "",
                 " has ", depth, " rows");
  ZT_ASSIGN_OR_RETURN(Shape shape, broadcast_shapes(batch_of(a), batch_of(b)));
  shape.push_back(a[-2]);
  shape.push_back(transposed ? b[-2] : b[-1]);
  return one_output(c.input(0).dtype, shape);
}

double flops_matmul(const OpContext& c, std::span<const TensorType> out) {
  return 2.0 * static_cast<double>(out[0].shape.elements()) *
         static_cast<double>(c.input(0).shape[-1]);
}

namespace {

void reference_matmul(const OpContext& c, RefInputs in, std::span<const TensorType> types,
                      RefOutputs out) {
  const Shape &a = in[0]->shape, &b = in[1]->shape;
  const int64_t m = a[-2], k = a[-1], n = types[0].shape[-1];
  const bool transposed = c.attrs.get_bool("transpose_b");
  const Shape batch = batch_of(types[0].shape);
  std::vector<double> packed(transposed ? idx(k * n) : 0);
  int64_t packed_from = -1;
  std::fill(out[0].begin(), out[0].end(), 0.0);
  const std::array strides{broadcast_strides(batch_of(a), batch),
                           broadcast_strides(batch_of(b), batch)};
  for_each_element(batch, strides, [&](int64_t i, const auto& at) {
    const double* matrix = in[1]->data.data() + at[1] * k * n;
    if (transposed) {
      if (packed_from != at[1]) transpose_to(n, k, matrix, k, packed.data());
      packed_from = at[1];
      matrix = packed.data();
    }
    multiply_add(m, k, n, in[0]->data.data() + at[0] * m * k, matrix, out[0].data() + i * m * n);
  });
}

}  // namespace
}  // namespace ops

// Both inputs may have any float dtype; the output has a's. The tolerance is for outputs of
// order 1.
const OpDef& matmul_op() {
  static const OpDef def{
      .kind = OpKind::kMatmul,
      .name = "matmul",
      .attrs = {{"transpose_b", AttrType::kBool, false, false}},
      .min_inputs = 2,
      .max_inputs = 2,
      .infer = ops::infer_matmul,
      .flops = ops::flops_matmul,
      .reference = ops::reference_matmul,
      .tolerance = {1e-5, 1e-5},
  };
  return def;
}

}  // namespace zoetrope
