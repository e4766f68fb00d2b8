// Which runs of the cases a test makes. All of them are every case in every dtype, storage and form
// of its weights; a cover is as few of them as meet every kernel with every shape.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "runtime/backend/backend.h"
#include "tests/conformance/runner.h"

namespace zoetrope::conformance {

// A case in one variant, and the kernel that a device takes for it.
struct Run {
  const Case* test = nullptr;
  Variant variant;
  std::string kernel;   // "matmul_tiled_64x64_f32"; empty: none, "view": needs none
  int32_t row = -1;     // of the backend's kernel table
  std::string pattern;  // dtypes of the inputs, and which are weights: "f32 @f16"
};

bool has_kind(const Case& test, InputKind kind);
int64_t input_elements(const Case& test);                         // of all
int64_t largest_bytes(const Case& test, const Variant& variant);  // of an input or output

// Every variant of a case; thin: one a dtype, for ways to memory that were tried with all of them.
std::vector<Variant> variants(const Case& test, bool thin);

// Asks the device. It is no longer fit for running afterwards: it may prepare what was asked for.
std::vector<Run> list_runs(Device& device, std::span<const Case> cases, bool thin);

// Of a list, in its order:
// - every kernel with every pattern of dtypes, once;
// - every case on every kernel that any of its variants takes, in 4 and in 2 bytes an element.
// Of kernels on matrices, a software driver takes 2 to 13 seconds to compile one. These have every
// dtype of each operand and two values of each attribute that they are compiled for (an activation,
// a transposition) once, not every combination; every value is had by one of them; and two shapes
// for each row of the table, with all that span several tiles.
std::vector<Run> cover(std::span<const Run> all);

// Less: every case on every kernel in one dtype, kernels on matrices by patterns alone. Where only
// the way to memory is new.
std::vector<Run> cover_once(std::span<const Run> all);

// Every kernel of every row once, by the smallest case that takes it, in dtypes that take turns.
std::vector<Run> cover_rows(std::span<const Run> all);

// Every kernel once, by the smallest case that takes it.
std::vector<Run> cover_kernels(std::span<const Run> all);

// "matmul_tiled_64x64" of "matmul_tiled_64x64_f32".
std::string without_dtype(const std::string& kernel);

}  // namespace zoetrope::conformance
