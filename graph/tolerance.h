// How far a kernel's output may lie from the op's definition: the op's own tolerance, and what
// narrower dtypes add. Conformance judges drawn tensors by it, `zoetrope verify` a model's own.
#pragma once

#include "graph/op.h"

namespace zoetrope {

// u = 2^-p of a float dtype with p bits of significand: rounding changes a number by at most u of
// it. 0 for others.
double unit_roundoff(DType dtype);

// Whether an output element is a sum of products, so that its error follows what is summed.
bool sums_products(OpKind op);

class ErrorBound {
 public:
  // `rms`: of the expected output.
  ErrorBound(const OpDef& def, const Attrs& attrs, DType output, double rms);

  // |found − expected| may reach this. `weighed`: of attention, Σ probability·|value|: where few
  // probabilities count, their rounding to the compute dtype does not average. Of a sum of products
  // where they are known, `summed` is Σ|a·b| and `squares` Σ(a·b)²: terms much larger than their
  // sum leave larger errors in it, and more so where few of them count.
  double at(double expected, double weighed = 0, double summed = 0, double squares = 0) const;

  // Of many sums of random products, errors must not lean to one side, as they do where outputs or
  // operands are cut off instead of rounded (by 0.7 units): |Σ error·expected| may reach this times
  // Σ expected². 0: not judged.
  double lean() const;

  // Of outputs whose elements may each be far off, all must not be: √(Σ error² / Σ expected²) may
  // reach this. 0: not judged.
  double spread() const;

  // Tensor cores align products of f8e4m3 to the largest sum or product and cut off what is less
  // than 2^-13 of it. An output may be off by 2^-11·√depth of the rms of all, and by
  // 4.4e-9·depth²·(expected / summed)² of itself, where `summed` is Σ|a·b|: of a sum of one sign
  // 1.6% is cut off at depth 2,048 and 14.7% at 6,144, of an output of ten times the rms 0.2% and
  // 0.6%. Deeper sums than kDeepestInTensorCores are added up in f32 of parts of kPart.
  static constexpr int64_t kDeepestInTensorCores = 6144, kPart = 128;
  static double lost_by_tensor_cores(int64_t depth, double rms, double expected, double summed);
  // Of all outputs together, as spread(): cut-off parts of random signs make up for each other, so
  // that this is an eighth of what one output may be off by (a model of the cores has a sixteenth).
  // Of `of_one_sign`, √(Σ expected²·(expected / summed)⁴ / Σ expected²), which is 0 where signs are
  // random, as much as each output may.
  static double spread_by_tensor_cores(int64_t depth, double of_one_sign);

 private:
  const Tolerance tolerance_;
  const bool exact_, sums_;
  const double narrow_, least_, rms_;
  const double inside_;       // unit of what attention in 8 bits rounds, or 0
  const double step_, part_;  // of 8-bit numbers: the next one, and of the number itself
};

}  // namespace zoetrope
