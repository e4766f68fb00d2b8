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

  // Tensor cores align products of f8e4m3 to the largest and keep some 13 bits below its point. An
  // output may be 2^-11·√depth off, of the rms of all (Σ|a·b| of independent operands is about
  // √depth of that), or of itself where it is larger, as sums of one sign are: 2.2% at depth 2,048,
  // of which an H200 takes 1.6%.
  static double lost_by_tensor_cores(double depth, double rms, double expected);

 private:
  const Tolerance tolerance_;
  const bool exact_, sums_;
  const double narrow_, least_, rms_;
  const double inside_;       // unit of what attention in 8 bits rounds, or 0
  const double step_, part_;  // of 8-bit numbers: the next one, and of the number itself
};

}  // namespace zoetrope
