// Kernel by kernel, what the default run covers of what there is.
#include <doctest/doctest.h>

#include <cstdio>
#include <map>
#include <set>

#include "tests/conformance/ways.h"
#include "tests/devices.h"

using namespace zoetrope;
using namespace zoetrope::conformance;

namespace {

struct Covered {
  int by_default = 0, in_all = 0;
  std::set<std::string> cases;  // of the default run
};

// By backend and kernel.
std::map<std::string, Covered> coverage(const std::string& backend) {
  std::map<std::string, Covered> kernels;
  for (const std::string& test : tests_of(backend))
    for (const bool all : {false, true})
      for (const Way& way : ways(test, all))
        for (const Run& run : chosen_runs(way, {}, all)) {
          if (run.kernel.empty() || run.kernel == "view") continue;
          Covered& kernel = kernels[run.kernel];
          ++(all ? kernel.in_all : kernel.by_default);
          if (!all) kernel.cases.insert(str(op_def(run.test->op).name, " '", run.test->label, "'"));
        }
  return kernels;
}

void check_covered(const std::string& backend) {
  if (!needs_device(backend)) return;
  const auto kernels = coverage(backend);
  CHECK(kernels.size() > 10);
  for (const auto& [name, covered] : kernels)
    CHECK_MESSAGE(covered.by_default > 0, backend, ": no run of the default tests takes ", name);
}

}  // namespace

TEST_CASE("the default run takes every kernel of the reference backend") {
  check_covered("reference");
}
TEST_CASE("the default run takes every kernel of the cpu backend") { check_covered("cpu"); }
TEST_CASE("the default run takes every kernel of the vulkan backend") { check_covered("vulkan"); }
TEST_CASE("the default run takes every kernel of the cuda backend") { check_covered("cuda"); }

// Asked for by name; `./dev test --all` prints it.
TEST_CASE("print what the default run covers" * doctest::skip()) {
  for (const std::string backend : {"reference", "cpu", "vulkan", "cuda"}) {
    if (!needs_device(backend)) continue;
    int by_default = 0, in_all = 0;
    for (const auto& [name, covered] : coverage(backend)) {
      std::printf("%s %s: %d of %d:", backend.c_str(), name.c_str(), covered.by_default,
                  covered.in_all);
      for (const std::string& label : covered.cases) std::printf(" %s;", label.c_str());
      std::printf("\n");
      by_default += covered.by_default;
      in_all += covered.in_all;
    }
    std::printf("%s: the default run makes %d of %d runs\n\n", backend.c_str(), by_default, in_all);
    CHECK(by_default > 0);
  }
}
