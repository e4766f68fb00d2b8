#include "graph/tolerance.h"

#include <algorithm>
#include <cmath>
#include <variant>

namespace zoetrope {
namespace {

// See ErrorBound::lost_by_tensor_cores().
constexpr double kLostAtRandom = 0x1p-11, kLostOfOneSign = 4.4e-9;

double depth_in_tensor_cores(int64_t depth) {
  return static_cast<double>(depth <= ErrorBound::kDeepestInTensorCores ? depth
                                                                        : ErrorBound::kPart);
}

// Of the dtypes that kernels compute in beside f32.
double narrow_unit(DType dtype) {
  return dtype == DType::kBF16 || dtype == DType::kF16 ? unit_roundoff(dtype) : 0;
}

bool in_8_bits(OpKind op, const Attrs& attrs) {
  if (op != OpKind::kAttention && op != OpKind::kPackedAttention) return false;
  const AttrValue* bits = attrs.find("bits");
  return bits != nullptr && std::get<Dim>(*bits).constant() == 8;
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

ErrorBound::ErrorBound(const OpDef& def, const Attrs& attrs, DType output, double rms)
    : tolerance_(def.tolerance),
      exact_(def.tolerance.absolute == 0 && def.tolerance.relative == 0),
      sums_(sums_products(def.kind)),
      narrow_(narrow_unit(output)),
      least_(output == DType::kF16 ? 0x1p-25 : 0),
      rms_(rms),
      inside_(in_8_bits(def.kind, attrs) ? unit_roundoff(DType::kF8E4M3) : 0),
      step_(!def.is_fused()            ? 0
            : output == DType::kI8     ? 1
            : output == DType::kF8E4M3 ? 0x1p-10
                                       : 0),
      part_(def.is_fused() && output == DType::kF8E4M3 ? 1.01 * unit_roundoff(output) : 0) {}

// Narrow outputs are rounded once; contractions may also round one operand to the compute dtype
// inside (weights stored wider, probabilities of attention): independent errors of each product,
// whose sum is about unit/√3·√Σ(a·b)², and unit/(2√3)·rms where products are as large as their sum.
// 8-bit numbers of fused ops, which do not round what they quantise, may be the next one.
// 3·unit·rms also covers activations that shrink the rms. Of attention, each probability is off by
// at most a unit of itself, the output therefore by unit·Σ probability·|value|, which it may reach
// where a query sees few keys.
double ErrorBound::at(double expected, double weighed, double summed, double squares) const {
  if (exact_) return 0;
  // Attention in 8 bits rounds each probability and value by up to a unit of f8e4m3, and scores, on
  // which probabilities depend, by less: many independent errors, seen at 0.6 units of the rms in
  // all and normally distributed; or, where few probabilities count, three units of what is
  // weighed.
  const double inside =
      std::max({sums_ ? 3 * narrow_ * rms_ : 0, narrow_ * weighed, 3 * narrow_ * std::sqrt(squares),
                5 * inside_ * rms_, 3 * inside_ * weighed});
  return tolerance_.absolute * std::max(1.0, rms_) +
         (tolerance_.relative + 1.01 * narrow_ + part_) * std::fabs(expected) + least_ + step_ +
         inside + tolerance_.relative * summed;
}

double ErrorBound::lost_by_tensor_cores(int64_t depth, double rms, double expected, double summed) {
  const double deep = depth_in_tensor_cores(depth);
  const double of_one_sign = summed > 0 ? std::fabs(expected) / summed : 0;
  return kLostAtRandom * std::sqrt(deep) * rms +
         kLostOfOneSign * deep * deep * of_one_sign * of_one_sign * std::fabs(expected);
}

double ErrorBound::spread_by_tensor_cores(int64_t depth, double of_one_sign) {
  const double deep = depth_in_tensor_cores(depth);
  return kLostAtRandom / 8 * std::sqrt(deep) + kLostOfOneSign * deep * deep * of_one_sign;
}

// Scores that are off make weights more even: 8 bits take up to a hundredth off what is drawn.
double ErrorBound::lean() const { return sums_ ? std::max(narrow_ / 8, inside_ / 2) : 0; }

// Attention in 8 bits: 0.56 units seen on an H200, and 1.02 where scores are large and everything
// is rounded to f8e4m3 that may be. What forgets one tile of keys in 20 is 3 units off.
double ErrorBound::spread() const { return 1.25 * inside_; }

}  // namespace zoetrope
