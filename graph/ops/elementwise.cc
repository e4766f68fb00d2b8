#include "graph/ops/elementwise.h"

#include <algorithm>

#include "graph/op.h"

namespace zoetrope::ops {
namespace {

constexpr OpKind kUnaryOps[] = {
#define ZT_OP(kind, name, def)
#define ZT_UNARY(kind, name, def) OpKind::kind,
#define ZT_BINARY(kind, name, def)
#include "graph/ops/op_list.inc"
#undef ZT_OP
};
constexpr OpKind kBinaryOps[] = {
#define ZT_OP(kind, name, def)
#define ZT_UNARY(kind, name, def)
#define ZT_BINARY(kind, name, def) OpKind::kind,
#include "graph/ops/op_list.inc"
#undef ZT_OP
};
constexpr std::string_view kActivationNames[] = {
    "none",
#define ZT_ACTIVATION(kind, name) name,
#include "graph/ops/activation_list.inc"
#undef ZT_ACTIVATION
};
constexpr Unary kActivationOps[] = {
#define ZT_ACTIVATION(kind, name) Unary::kind,
#include "graph/ops/activation_list.inc"
#undef ZT_ACTIVATION
};

template <typename E, typename T>
E place_of(std::span<const T> list, T wanted) {
  const auto at = std::find(list.begin(), list.end(), wanted);
  ZT_CHECK(at != list.end());
  return static_cast<E>(at - list.begin());
}

}  // namespace

Unary unary_of(OpKind op) { return place_of<Unary>(std::span<const OpKind>(kUnaryOps), op); }
Binary binary_of(OpKind op) { return place_of<Binary>(std::span<const OpKind>(kBinaryOps), op); }

std::span<const std::string_view> activation_names() { return kActivationNames; }

Activation parse_activation(std::string_view name) {
  return place_of<Activation>(activation_names(), name);
}

Unary unary_of(Activation activation) {
  ZT_CHECK(activation != Activation::kNone);
  return kActivationOps[static_cast<size_t>(activation) - 1];
}

}  // namespace zoetrope::ops
