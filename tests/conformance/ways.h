// What each conformance test runs: on which devices, which part of the cases, and how much of it.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "tests/conformance/cover.h"

namespace zoetrope::conformance {

// Ops that are tested together: an entry of ctest each, of about the same length.
const std::map<std::string, std::set<OpKind>>& families();

// Which runs of a part (cover.h).
enum class Choice { kAll, kCover, kCoverOnce, kRows };

// Part of the cases; empty: all.
struct Part {
  std::set<OpKind> ops = {};
  std::set<DType> dtypes = {};
  int64_t least_elements = 0;                       // of the inputs
  int64_t least_bytes = 0, most_bytes = INT64_MAX;  // of the largest tensor
  bool thin = false;  // one variant a dtype, where another run has tried them all
  Choice choice = Choice::kAll;
  bool kernels = false;  // of these, each kernel once

  bool holds(const Case& test) const {
    return (ops.empty() || ops.contains(test.op)) && input_elements(test) >= least_elements;
  }
  bool holds(const Case& test, const Variant& variant) const {
    if (!dtypes.empty() && !dtypes.contains(variant.compute)) return false;
    const int64_t bytes = largest_bytes(test, variant);
    return bytes >= least_bytes && bytes <= most_bytes;
  }
};

// A device and what is run on it.
struct Way {
  std::string backend, target;
  Part part = {};
};

// What a test runs, by default or in `all`. Tests are called by the backend's name and what is
// special about its devices: "vulkan", "vulkan pieces".
std::vector<Way> ways(const std::string& test, bool all);
// All of them for a backend.
std::vector<std::string> tests_of(const std::string& backend);

// The runs of a way, of those that the environment asks for. An empty family: all ops.
std::vector<Run> chosen_runs(const Way& way, const std::set<OpKind>& family, bool all);

// ZOETROPE_TEST_ALL=1, as `./dev test --all` has it: every run, and those on Vulkan under the
// layers.
bool everything();

// ZOETROPE_TEST_OPS=matmul,conv runs only these, while a backend is being written;
// ZOETROPE_TEST_DTYPE=f16 runs only variants that compute in it.
bool wanted(OpKind op);
bool wanted(const Variant& variant);
bool filtered();  // whether any of the two is set

}  // namespace zoetrope::conformance
