// Elementwise ops and activations as the numbers that kernels switch on. Light: kernels of every
// kind include it.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace zoetrope {

enum class OpKind : uint16_t;

namespace ops {

enum class Unary : uint8_t {
#define ZT_OP(kind, name, def)
#define ZT_UNARY(kind, name, def) kind,
#define ZT_BINARY(kind, name, def)
#include "graph/ops/op_list.inc"
#undef ZT_OP
};
enum class Binary : uint8_t {
#define ZT_OP(kind, name, def)
#define ZT_UNARY(kind, name, def)
#define ZT_BINARY(kind, name, def) kind,
#include "graph/ops/op_list.inc"
#undef ZT_OP
};
enum class Activation : uint8_t {
  kNone,
#define ZT_ACTIVATION(kind, name) kind,
#include "graph/ops/activation_list.inc"
#undef ZT_ACTIVATION
};

inline constexpr int kUnaryCount = 0
#define ZT_OP(kind, name, def)
#define ZT_UNARY(kind, name, def) +1
#define ZT_BINARY(kind, name, def)
#include "graph/ops/op_list.inc"
#undef ZT_OP
    ;
inline constexpr int kBinaryCount = 0
#define ZT_OP(kind, name, def)
#define ZT_UNARY(kind, name, def)
#define ZT_BINARY(kind, name, def) +1
#include "graph/ops/op_list.inc"
#undef ZT_OP
    ;

// `op` is one of them.
Unary unary_of(OpKind op);
Binary binary_of(OpKind op);
// By Activation.
std::span<const std::string_view> activation_names();
// Of an op's attribute, whose verification has refused other names.
Activation parse_activation(std::string_view name);
// Of all but kNone.
Unary unary_of(Activation activation);

}  // namespace ops
}  // namespace zoetrope
