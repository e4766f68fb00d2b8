// Ops that treat elements one by one, broadcasting, and the sources fill and iota.
#include "backends/cuda/kernels/elementwise.h"

#include <cmath>

#include "backends/cuda/walk.h"

namespace zoetrope::cuda {
namespace {

Prepared prepare_unary(const KernelRequest& request, const Context& context) {
  const auto op = ops::unary_of(request.node->op);
  const DType dtype = out(request).dtype;
  const int64_t count = out(request).shape.elements();
  return simple_kernel(context, 0, [=](const Call& call) {
    return unary(op, dtype, call.input(0), call.output(), count, call.stream);
  });
}

Prepared prepare_cast(const KernelRequest& request, const Context& context) {
  const DType from = in(request, 0).dtype, to = out(request).dtype;
  const int64_t count = out(request).shape.elements();
  return simple_kernel(context, 0, [=](const Call& call) {
    return cast(from, call.input(0), to, call.output(), count, call.stream);
  });
}

Prepared prepare_binary(const KernelRequest& request, const Context& context) {
  const Shape& shape = out(request).shape;
  const ops::Walk<2> walk(shape, {ops::broadcast_strides(in(request, 0).shape, shape),
                                  ops::broadcast_strides(in(request, 1).shape, shape)});
  BinaryParams p;
  p.op = ops::binary_of(request.node->op);
  p.dtype = in(request, 0).dtype;
  p.count = shape.elements();
  p.walk = walk_params(walk);
  p.chunk = static_cast<int>(walk.chunk(p.dtype == DType::kF32 ? 4 : 8));
  return simple_kernel(context, 0, [p](const Call& call) {
    BinaryParams now = p;
    now.a = call.input(0);
    now.b = call.input(1);
    now.out = call.output();
    return binary(now, call.stream);
  });
}

Prepared prepare_select(const KernelRequest& request, const Context& context) {
  const Shape& shape = out(request).shape;
  SelectParams p;
  p.element_bytes = static_cast<int>(dtype_size(out(request).dtype));
  p.count = shape.elements();
  p.walk = walk_params(ops::Walk<3>(shape, {ops::broadcast_strides(in(request, 0).shape, shape),
                                            ops::broadcast_strides(in(request, 1).shape, shape),
                                            ops::broadcast_strides(in(request, 2).shape, shape)}));
  return simple_kernel(context, 0, [p](const Call& call) {
    SelectParams now = p;
    now.condition = call.input<uint8_t>(0);
    now.a = call.input(1);
    now.b = call.input(2);
    now.out = call.output();
    return select(now, call.stream);
  });
}

Prepared prepare_source(const KernelRequest& request, const Context& context) {
  const bool iota = request.node->op == OpKind::kIota;
  const double start = attrs(request).get_float(iota ? "start" : "value");
  const double step = iota ? attrs(request).get_float("step") : 0;
  const DType dtype = out(request).dtype;
  const int64_t count = out(request).shape.elements();
  return simple_kernel(context, 0, [=](const Call& call) {
    return source(dtype, call.output(), count, start, step, call.stream);
  });
}

bool accepts_compute(const KernelRequest& request, const Capabilities&) {
  return compute_dtypes(request);
}

bool is_float8(DType dtype) { return dtype == DType::kF8E4M3 || dtype == DType::kF8E5M2; }

bool accepts_store(const KernelRequest& request, const Capabilities&) {
  return !is_float8(out(request).dtype);
}

// Integers, too, but for div and pow.
bool accepts_binary(const KernelRequest& request, const Capabilities&) {
  const DType dtype = in(request, 0).dtype;
  const bool float_only = request.node->op == OpKind::kDiv || request.node->op == OpKind::kPow;
  return is_compute_dtype(dtype) || (!float_only && !is_float(dtype));
}

constexpr TableRow kTable[] = {
#define ZT_OP(kind, name, def)
#define ZT_UNARY(kind, name, def) {OpKind::kind, "unary", accepts_compute, prepare_unary},
#define ZT_BINARY(kind, name, def) {OpKind::kind, "binary", accepts_binary, prepare_binary},
#include "graph/ops/op_list.inc"
#undef ZT_OP
    {OpKind::kCast, "cast", accepts_store, prepare_cast},
    {OpKind::kSelect, "select", nullptr, prepare_select},
    {OpKind::kFill, "source", accepts_store, prepare_source},
    {OpKind::kIota, "source", accepts_store, prepare_source},
};

}  // namespace

std::span<const TableRow> elementwise_table() { return kTable; }

}  // namespace zoetrope::cuda
