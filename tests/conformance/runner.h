// Runs one case on one device and compares with the double reference.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "graph/evaluate.h"
#include "runtime/backend/backend.h"
#include "tests/conformance/case.h"

namespace zoetrope::conformance {

enum class Outcome { kPassed, kUnsupported, kFailed };

struct CaseResult {
  Outcome outcome = Outcome::kPassed;
  std::string message;                     // why it failed or is not supported
  double worst = 0;                        // largest error as a fraction of what is allowed
  std::vector<std::vector<char>> outputs;  // the bytes, to compare runs
};

// The inputs of a run and what the reference makes of them, for any number of devices. They depend
// on `seed`, the case and the variant only. The case must outlive it.
struct Drawn {
  Drawn(const Case& test, const Variant& variant) : test(test), variant(variant) {}
  Drawn(const Drawn&) = delete;  // pointers into it

  const Case& test;
  const Variant variant;
  Attrs attrs;
  std::vector<TensorType> input_types, types;
  std::vector<EvalTensor> values, expected;
  std::vector<std::vector<char>> bytes;  // of the inputs
  std::vector<const TensorType*> input_pointers;
  std::vector<const EvalTensor*> value_pointers;

  void draw_inputs(uint64_t seed);
  Status evaluate();
};
Result<std::shared_ptr<const Drawn>> draw(const Case& test, const Variant& variant, uint64_t seed);

// Checked: outputs (filled with NaN before) against the reference; bytes around every buffer; that
// inputs are left alone; that a second run gives the same bytes; and the op's in-place forms.
CaseResult run_case(Device& device, const Drawn& drawn);

// Judges one output, given as bytes, as run_case() judges what the device gave.
Status judge(Device& device, const Drawn& drawn, size_t output, const std::vector<char>& bytes);

// "matmul 'odd sizes' f32[13, 67] f32[67, 35] {transpose_b=true}"
std::string describe(const Case& test, const Variant& variant);

}  // namespace zoetrope::conformance
