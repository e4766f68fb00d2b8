// Ops that treat elements one by one, broadcasting, and the sources fill and iota.
#include <algorithm>
#include <cmath>

#include "backends/vulkan/kernel.h"
#include "backends/vulkan/walk.h"

namespace zoetrope::vulkan {
namespace {

Dispatch elementwise(const char* shader, int64_t count, uint32_t chunk = 1) {
  Dispatch d;
  d.shader = shader;
  d.params = {u32(count)};
  d.group_size = 128;
  d.groups = ceil_div(ceil_div(count, chunk), d.group_size);
  d.flops = static_cast<double>(count) * 16;
  return d;
}

// Elements that fill 16 bytes of the narrowest operand; 1 where some are not f32, f16 or bf16.
uint32_t widest_chunk(const KernelRequest& request) {
  if (!compute_dtypes(request)) return 1;
  const auto narrow = [](const TensorType* t) { return t->dtype != DType::kF32; };
  const bool any = narrow(request.outputs[0]) ||
                   std::any_of(request.inputs.begin(), request.inputs.end(), narrow);
  return any ? 8 : 4;
}

Result<KernelSpec> prepare_unary(const KernelRequest& request, const Capabilities&) {
  const uint32_t chunk = widest_chunk(request);
  Dispatch d = elementwise("unary", out(request).shape.elements(), chunk);
  d.operands = {input(request, 0), output(request)};
  d.constants = {chunk, number_of(ops::unary_of(request.node->op))};
  return KernelSpec{.name = "unary", .dispatches = {d}};
}

Result<KernelSpec> prepare_cast(const KernelRequest& request, const Capabilities&) {
  const uint32_t chunk = widest_chunk(request);
  Dispatch d = elementwise("cast", out(request).shape.elements(), chunk);
  d.operands = {input(request, 0), output(request)};
  d.constants = {chunk};
  return KernelSpec{.name = "cast", .dispatches = {d}};
}

Result<KernelSpec> prepare_binary(const KernelRequest& request, const Capabilities&) {
  const Shape& shape = out(request).shape;
  const Walk<2> walk(shape, {ops::broadcast_strides(in(request, 0).shape, shape),
                             ops::broadcast_strides(in(request, 1).shape, shape)});
  const uint32_t chunk = walk.chunk(widest_chunk(request));
  Dispatch d = elementwise("binary", shape.elements(), chunk);
  d.operands = {input(request, 0), input(request, 1), output(request)};
  d.constants = {chunk, number_of(ops::binary_of(request.node->op)), u32(walk.step(0)),
                 u32(walk.step(1)), u32(walk.rank())};
  append_walk(walk, &d.params);
  return KernelSpec{.name = "binary", .dispatches = {d}};
}

Result<KernelSpec> prepare_select(const KernelRequest& request, const Capabilities&) {
  const Shape& shape = out(request).shape;
  const Walk<3> walk(shape, {ops::broadcast_strides(in(request, 0).shape, shape),
                             ops::broadcast_strides(in(request, 1).shape, shape),
                             ops::broadcast_strides(in(request, 2).shape, shape)});
  Dispatch d = elementwise("select", shape.elements());
  d.operands = {input(request, 0), input(request, 1), input(request, 2), output(request)};
  d.constants = {u32(walk.rank()), u32(dtype_size(out(request).dtype))};
  append_walk(walk, &d.params);
  return KernelSpec{.name = "select", .dispatches = {d}};
}

Result<KernelSpec> prepare_source(const KernelRequest& request, const Capabilities&) {
  const int64_t count = out(request).shape.elements();
  const bool iota = request.node->op == OpKind::kIota, integer = !is_float(out(request).dtype);
  const double start = attrs(request).get_float(iota ? "start" : "value");
  const double step = iota ? attrs(request).get_float("step") : 0;
  Dispatch d = elementwise("source", count);
  d.operands = {output(request)};
  d.constants = {integer};
  const auto bits = [&](double v) {
    return integer ? u32(static_cast<int64_t>(v)) : float_bits(v);
  };
  d.params.insert(d.params.end(), {bits(start), bits(step)});
  return KernelSpec{.name = "source", .dispatches = {d}};
}

bool accepts_compute(const KernelRequest& request, const Capabilities&) {
  return compute_dtypes(request);
}

bool is_stored(DType dtype) { return is_compute_dtype(dtype) || (!is_float(dtype)); }

bool accepts_cast(const KernelRequest& request, const Capabilities&) {
  return in(request, 0).dtype != DType::kF64 && is_stored(out(request).dtype);
}

// Floats, and integers of at most 32 bits.
bool accepts_binary(const KernelRequest& request, const Capabilities&) {
  const DType dtype = in(request, 0).dtype;
  const bool number = is_compute_dtype(dtype) || (!is_float(dtype) && dtype != DType::kI64);
  const bool float_only = request.node->op == OpKind::kDiv || request.node->op == OpKind::kPow;
  return number && (!float_only || is_compute_dtype(dtype));
}

// Integers are stored exactly where their start and step are whole.
bool accepts_source(const KernelRequest& request, const Capabilities&) {
  const DType dtype = out(request).dtype;
  if (is_float(dtype)) return is_compute_dtype(dtype);
  const bool iota = request.node->op == OpKind::kIota;
  const auto whole = [&](const char* name) {
    const double v = attrs(request).get_float(name);
    return v == std::floor(v) && std::fabs(v) < 0x1p31;
  };
  return dtype != DType::kBool || !iota
             ? whole(iota ? "start" : "value") && (!iota || whole("step"))
             : false;
}

constexpr TableRow kTable[] = {
#define ZT_OP(kind, name, def)
#define ZT_UNARY(kind, name, def) {OpKind::kind, accepts_compute, prepare_unary},
#define ZT_BINARY(kind, name, def) {OpKind::kind, accepts_binary, prepare_binary},
#include "graph/ops/op_list.inc"
#undef ZT_OP
    {OpKind::kCast, accepts_cast, prepare_cast},
    {OpKind::kSelect, nullptr, prepare_select},
    {OpKind::kFill, accepts_source, prepare_source},
    {OpKind::kIota, accepts_source, prepare_source},
};

}  // namespace

std::span<const TableRow> elementwise_table() { return kTable; }

}  // namespace zoetrope::vulkan
