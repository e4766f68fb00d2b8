// Row by row of each backend's kernel table, what the default run covers of what there is.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <set>

#include "runtime/backend/registry.h"
#include "tests/conformance/ways.h"
#include "tests/devices.h"

using namespace zoetrope;
using namespace zoetrope::conformance;

namespace {

struct Covered {
  int by_default = 0, in_all = 0;
  std::set<std::string> cases;  // of the default run
};

struct Coverage {
  std::map<int32_t, Covered> rows;         // of the kernel table
  std::map<std::string, Covered> kernels;  // by name: rows in their tiles and dtypes
};

Coverage coverage(const std::string& backend) {
  Coverage found;
  for (const std::string& test : tests_of(backend))
    for (const bool all : {false, true})
      for (const Way& way : ways(test, all))
        for (const Run& run : chosen_runs(way, {}, all)) {
          if (run.row < 0) continue;
          const std::string label = str(op_def(run.test->op).name, " '", run.test->label, "'");
          for (Covered* covered : {&found.rows[run.row], &found.kernels[run.kernel]}) {
            ++(all ? covered->in_all : covered->by_default);
            if (!all) covered->cases.insert(label);
          }
        }
  return found;
}

// "scaled_dot_product_attention 2": the row's op and name, and its place among those of that op.
std::vector<std::string> row_names(const std::string& backend) {
  auto rows = kernel_rows(backend);
  REQUIRE_MESSAGE(rows.ok(), rows.status().message());
  std::map<std::string, int> seen;
  for (std::string& row : *rows) {
    const std::string op = row.substr(0, row.find(' '));
    row += str(" #", ++seen[op]);
  }
  return *rows;
}

// Rows that no run takes, and why. `feature`: only on devices that lack it.
struct Untaken {
  std::string backend, words, feature, reason;
};

const std::vector<Untaken> kUntaken{
    {"reference", "reshape", "", "a view: the planner never asks for a kernel"},
    // A row an op, for dtypes that its vector kernels do not take; cases have integers where models
    // do.
    {"cpu", " reference #", "", "the op is not used with such dtypes, or only passes make it"},
    {"cuda", "wgmma", "wgmma", "instructions of compute capability 9.0"},
};

bool may_be_untaken(const Device& device, const std::string& row) {
  const auto& features = device.info().features;
  return std::any_of(kUntaken.begin(), kUntaken.end(), [&](const Untaken& untaken) {
    return untaken.backend == device.info().backend &&
           row.find(untaken.words) != std::string::npos &&
           (untaken.feature.empty() ||
            std::find(features.begin(), features.end(), untaken.feature) == features.end());
  });
}

void check_covered(const std::string& backend) {
  if (!needs_device(backend)) return;
  if (filtered()) return skip("only some of the runs were asked for");
  const auto device = open_device(backend);
  REQUIRE_MESSAGE(device.ok(), device.status().message());
  const std::vector<std::string> names = row_names(backend);
  const Coverage found = coverage(backend);
  for (size_t row = 0; row < names.size(); ++row) {
    const auto covered = found.rows.find(static_cast<int32_t>(row));
    const bool taken = covered != found.rows.end() && covered->second.by_default > 0;
    CHECK_MESSAGE((taken || may_be_untaken(**device, names[row])), backend,
                  ": no run of the default tests takes the row ", names[row]);
  }
  for (const auto& [name, covered] : found.kernels)
    CHECK_MESSAGE(covered.by_default > 0, backend, ": no run of the default tests takes ", name);
}

void print(const std::string& backend, const std::string& name, const Covered& covered) {
  std::printf("%s %s: %d of %d:", backend.c_str(), name.c_str(), covered.by_default,
              covered.in_all);
  for (const std::string& label : covered.cases) std::printf(" %s;", label.c_str());
  std::printf("\n");
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
    const std::vector<std::string> names = row_names(backend);
    Coverage found = coverage(backend);
    Covered sum;
    for (size_t row = 0; row < names.size(); ++row) {
      const Covered& covered = found.rows[static_cast<int32_t>(row)];
      print(backend, names[row], covered);
      sum.by_default += covered.by_default;
      sum.in_all += covered.in_all;
    }
    std::printf("%s: the default run makes %d of %d runs\n\n", backend.c_str(), sum.by_default,
                sum.in_all);
    CHECK(sum.by_default > 0);
  }
}
