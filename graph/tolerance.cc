#include "graph/tolerance.h"

#include <algorithm>
#include <cmath>

namespace zoetrope {
namespace {

// Of the dtypes that kernels compute in beside f32.
double narrow_unit(DType dtype) {
  return dtype == DType::kBF16 || dtype == DType::kF16 ? unit_roundoff(dtype) : 0;
}

}  // namespace

double unit_roundoff(DType dtype) {
  switch (dtype) {
    case DType::kF64: return 0x1p-53;
    case DType::kF32: return 0x1p-24;
    case DType::kF16: return 0x1p-11;
    case DType::kBF16: return 0x1p-8;
    case DType::kF8E4M3: return 0x1p-4;
    case DType::kF8E5M2: return 0x1p-3;
    default: return 0;
  }
}

bool sums_products(OpKind op) {
  switch (op) {
    case OpKind::kMatmul:
    case OpKind::kConv:
    case OpKind::kConvTranspose:
    case OpKind::kAttention:
    case OpKind::kPackedAttention:
    case OpKind::kLinear:
    case OpKind::kConvBias: return true;
    default: return false;
  }
}

ErrorBound::ErrorBound(const OpDef& def, DType output, double rms)
    : tolerance_(def.tolerance),
      exact_(def.tolerance.absolute == 0 && def.tolerance.relative == 0),
      sums_(sums_products(def.kind)),
      narrow_(narrow_unit(output)),
      least_(output == DType::kF16 ? 0x1p-25 : 0),
      rms_(rms) {}

// Narrow outputs are rounded once; contractions may also round one operand to the compute dtype
// inside (weights stored wider, probabilities of attention): independent errors of each product,
// whose sum is about unit/√3·√Σ(a·b)², and unit/(2√3)·rms where products are as large as their sum.
// 3·unit·rms also covers activations that shrink the rms.
double ErrorBound::at(double expected, double weighed, double summed, double squares) const {
  if (exact_) return 0;
  const double inside = std::max(
      {sums_ ? 3 * narrow_ * rms_ : 0, narrow_ / 2 * weighed, 3 * narrow_ * std::sqrt(squares)});
  return tolerance_.absolute * std::max(1.0, rms_) +
         (tolerance_.relative + 1.01 * narrow_) * std::fabs(expected) + least_ + inside +
         tolerance_.relative * summed;
}

double ErrorBound::lost_by_tensor_cores(double depth, double rms) {
  return 0x1p-11 * std::sqrt(depth) * rms;
}

double ErrorBound::lean() const { return sums_ ? narrow_ / 8 : 0; }

}  // namespace zoetrope
