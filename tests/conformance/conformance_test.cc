// Op × backend × dtype × shape against the double reference, for every backend that this machine
// has.
#include <doctest/doctest.h>

#include <charconv>
#include <cstdlib>
#include <map>
#include <random>
#include <set>

#include "runtime/backend/registry.h"
#include "tests/conformance/exclusions.h"
#include "tests/conformance/runner.h"
#include "tests/conformance/ways.h"
#include "tests/devices.h"

using namespace zoetrope;
using namespace zoetrope::conformance;

namespace {

// Fresh in every process; ZOETROPE_TEST_SEED repeats a run.
uint64_t test_seed() {
  static const uint64_t seed = [] {
    const char* given = std::getenv("ZOETROPE_TEST_SEED");
    if (given == nullptr) return uint64_t{std::random_device{}()};
    uint64_t value = 0;
    const std::string_view text = given;
    const auto [end, wrong] = std::from_chars(text.begin(), text.end(), value);
    REQUIRE_MESSAGE((wrong == std::errc() && end == text.end()), "ZOETROPE_TEST_SEED=", text,
                    ": expected a number");
    return value;
  }();
  return seed;
}

struct Tally {
  int ran = 0, unsupported = 0;
  double worst = 0;
  std::string worst_case;
};

// The runs on one device after the other, which are of one backend: each is drawn once.
Tally make_runs(const std::vector<Way>& ways, const std::vector<Run>& runs) {
  std::vector<std::unique_ptr<Device>> devices;
  for (const Way& way : ways) {
    auto device = open_device(way.backend, {.threads = 0, .force_target = way.target});
    REQUIRE_MESSAGE(device.ok(), device.status().message());
    devices.push_back(std::move(*device));
  }
  Tally tally;
  std::map<std::pair<OpKind, size_t>, int> reported;
  std::map<const Exclusion*, int> excluded, needless;
  for (const Run& run : runs) {
    const Case& test = *run.test;
    const auto drawn = draw(test, run.variant, test_seed());
    REQUIRE_MESSAGE(drawn.ok(), drawn.status().message());
    for (size_t d = 0; d < devices.size(); ++d) {
      const CaseResult result = run_case(*devices[d], **drawn);
      const Exclusion* exclusion = find_exclusion(ways[d].backend, test.op, run.variant.compute);
      if (exclusion != nullptr && (!exclusion->compute || has_kind(test, InputKind::kCompute))) {
        if (op_def(test.op).is_view) continue;  // has no kernel that could be missing
        ++excluded[exclusion];
        if (result.outcome == Outcome::kPassed) ++needless[exclusion];
        continue;
      }
      // A fused op without a kernel is decomposed by the planner: nothing is missing.
      if (result.outcome == Outcome::kUnsupported && op_def(test.op).is_fused()) {
        ++tally.unsupported;
        continue;
      }
      ++tally.ran;
      if (result.worst > tally.worst) {
        tally.worst = result.worst;
        tally.worst_case = describe(test, run.variant);
      }
      if (result.outcome == Outcome::kPassed || ++reported[{test.op, d}] > 5) continue;
      FAIL_CHECK(describe(test, run.variant), " on ", ways[d].backend, " ", ways[d].target, ": ",
                 result.message, " (ZOETROPE_TEST_SEED=", test_seed(), ")");
    }
  }
  for (const auto& [exclusion, count] : needless)
    CHECK_MESSAGE(count < excluded[exclusion], "the exclusion '", exclusion->reason, "' of ",
                  ways[0].backend, " is needless: every excluded case passes");
  return tally;
}

// Runs of every case with one and with three threads must agree bit by bit.
void compare_threads(const std::string& backend) {
  auto one = open_device(backend, {.threads = 1, .force_target = {}});
  auto three = open_device(backend, {.threads = 3, .force_target = {}});
  REQUIRE(one.ok());
  REQUIRE(three.ok());
  int reported = 0, ran = 0;
  for (const Case& test : all_cases()) {
    if (!wanted(test.op)) continue;
    for (DType compute : {DType::kF32, DType::kBF16}) {
      const Variant variant{compute, compute, true};
      if (find_exclusion(backend, test.op, compute) != nullptr) continue;
      const auto drawn = draw(test, variant, test_seed());
      REQUIRE_MESSAGE(drawn.ok(), drawn.status().message());
      const CaseResult a = run_case(**one, **drawn), b = run_case(**three, **drawn);
      ran += a.outcome == Outcome::kPassed;
      CHECK(a.outcome == b.outcome);
      if (a.outputs != b.outputs && ++reported < 10)
        FAIL_CHECK(describe(test, variant), " depends on the number of threads");
    }
  }
  CHECK_MESSAGE(ran > 0, "no case was run");
}

// The words, and Vulkan's validation layers where they are installed: a message of theirs fails the
// case.
std::string validated(const std::string& words) {
  static const Status there = device_status("vulkan", "validate");
  if (!there.ok()) skip("the validation layers: " + std::string(there.message()));
  if (!there.ok()) return words;
  return words.empty() ? "validate" : words + ",validate";
}

void conform(const std::string& test, const std::string& family = "") {
  if (!needs_device(test.substr(0, test.find(' ')))) return;
  const std::set<OpKind> ops = family.empty() ? std::set<OpKind>() : families().at(family);
  int ran = 0;
  for (Way& way : ways(test, everything())) {
    const std::vector<Run> runs = chosen_runs(way, ops, everything());
    const bool layers = test == "vulkan layers" ||
                        (everything() && way.backend == "vulkan" && test != "vulkan restricted");
    if (layers) way.target = validated(way.target);
    const Tally tally = make_runs({way}, runs);
    ran += tally.ran;
    MESSAGE(way.backend, " ", way.target, ": ", tally.ran, " cases, ", tally.unsupported,
            " left to decompositions; largest error ", tally.worst, " of the tolerance in ",
            tally.worst_case, "; seed ", test_seed());
  }
  if (ran == 0 && filtered())
    skip(test + ": has none of the cases asked for");
  else
    CHECK_MESSAGE(ran > 0, "no case was run");
}

}  // namespace

TEST_CASE("every op has cases") {
  std::set<OpKind> covered;
  for (const Case& test : all_cases()) covered.insert(test.op);
  for (OpKind op : all_ops()) CHECK_MESSAGE(covered.contains(op), op_def(op).name);
}

TEST_CASE("every op is of one family") {
  std::multiset<OpKind> all;
  for (const auto& [name, ops] : families()) all.insert(ops.begin(), ops.end());
  for (OpKind op : all_ops()) CHECK_MESSAGE(all.count(op) == 1, op_def(op).name);
}

TEST_CASE("the reference backend conforms") {
  REQUIRE(has_device("reference"));
  conform("reference");
}

TEST_CASE("the cpu backend conforms on every instruction set of this machine") {
  if (!needs_device("cpu")) return;
  std::vector<Way> targets;
  for (const char* target : {"avx512_bf16", "avx512", "avx2", "sse4"}) {
    const auto device = open_device("cpu", {.threads = 0, .force_target = target});
    if (device.ok())
      targets.push_back({"cpu", target});
    else
      skip(std::string(device.status().message()));
  }
  const Tally tally = make_runs(targets, chosen_runs({"cpu", ""}, {}, true));
  CHECK((tally.ran > 0 || filtered()));
}

TEST_CASE("the cpu backend gives the same bytes with any number of threads") {
  if (needs_device("cpu")) compare_threads("cpu");
}

#define FOR_EACH_FAMILY(name, test)                             \
  TEST_CASE(name ": matmul") { conform(test, "matmul"); }       \
  TEST_CASE(name ": conv") { conform(test, "conv"); }           \
  TEST_CASE(name ": attention") { conform(test, "attention"); } \
  TEST_CASE(name ": norms") { conform(test, "norms"); }         \
  TEST_CASE(name ": rows") { conform(test, "rows"); }           \
  TEST_CASE(name ": layout") { conform(test, "layout"); }       \
  TEST_CASE(name ": elementwise") { conform(test, "elementwise"); }

FOR_EACH_FAMILY("the vulkan backend conforms", "vulkan")
FOR_EACH_FAMILY("the vulkan backend conforms with nothing but storage buffers", "vulkan baseline")
FOR_EACH_FAMILY("the vulkan backend conforms when memory comes in pieces", "vulkan pieces")

TEST_CASE("the vulkan backend conforms in tiles and without features") {
  conform("vulkan restricted");
}

TEST_CASE("the validation layers have nothing to say about any kernel of the vulkan backend") {
  conform("vulkan layers");
}

TEST_CASE("the cuda backend conforms") { conform("cuda"); }

TEST_CASE("the cuda backend conforms without libraries, Hopper's instructions or matrix units") {
  conform("cuda restricted");
}
