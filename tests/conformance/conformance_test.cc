// Op × backend × dtype × shape against the double reference, for every backend that this machine
// has.
#include <doctest/doctest.h>

#include <charconv>
#include <cstdlib>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <sstream>

#include "runtime/backend/registry.h"
#include "tests/conformance/exclusions.h"
#include "tests/conformance/runner.h"
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

bool has_kind(const Case& test, InputKind kind) {
  for (const CaseInput& input : test.inputs)
    if (input.kind == kind) return true;
  return false;
}

// Cases of several tiles cost the reference most: they run in the two common variants only.
bool is_large(const Case& test) {
  int64_t elements = 0;
  for (const CaseInput& input : test.inputs) elements += input.shape.elements();
  return elements > 100'000;
}

std::vector<Variant> variants(const Case& test, bool thin) {
  if (thin) {
    std::vector<Variant> list = {{DType::kF32, DType::kF16, true}};
    if (has_kind(test, InputKind::kCompute) && !is_large(test))
      list.insert(list.end(),
                  {{DType::kBF16, DType::kBF16, true}, {DType::kF16, DType::kF16, true}});
    return list;
  }
  if (is_large(test)) return {{DType::kF32, DType::kF32, true}, {DType::kBF16, DType::kBF16, true}};
  const bool computes = has_kind(test, InputKind::kCompute);
  const bool stores = has_kind(test, InputKind::kStorage);
  const bool fixed = has_kind(test, InputKind::kFixedWeight);
  std::vector<Variant> list;
  for (DType compute : {DType::kF32, DType::kBF16, DType::kF16}) {
    if (!computes && compute != DType::kF32) break;
    if (!stores) list.push_back({compute, compute, false});
    if (!stores && fixed) list.push_back({compute, compute, true});
    for (DType storage : {DType::kF32, DType::kBF16, DType::kF16}) {
      if (!stores || (storage == DType::kF32 && compute != DType::kF32)) continue;
      list.push_back({compute, storage, true});
      if (storage == compute || !computes) list.push_back({compute, storage, false});
    }
  }
  return list;
}

// The words of a list in the environment, each of which `parse` must know.
template <typename T, typename Parse>
std::optional<std::set<T>> asked_for(const char* variable, Parse parse) {
  const char* list = std::getenv(variable);
  if (list == nullptr) return std::nullopt;
  std::set<T> found;
  std::istringstream words(list);
  for (std::string word; std::getline(words, word, ',');) {
    const std::optional<T> value = parse(word);
    REQUIRE_MESSAGE(value.has_value(), std::string(variable), "=", std::string(list),
                    ": there is no '", word, "'");
    found.insert(*value);
  }
  REQUIRE_MESSAGE(!found.empty(), std::string(variable), " is empty");
  return found;
}

// ZOETROPE_TEST_OPS=matmul,conv runs only these, while a backend is being written.
bool wanted(OpKind op) {
  const auto named = [](const std::string& name) -> std::optional<OpKind> {
    for (OpKind kind : all_ops())
      if (op_def(kind).name == name) return kind;
    return std::nullopt;
  };
  static const auto asked = asked_for<OpKind>("ZOETROPE_TEST_OPS", named);
  return !asked || asked->contains(op);
}

// ZOETROPE_TEST_DTYPE=f16 runs only variants that compute in it.
bool wanted(const Variant& variant) {
  const auto named = [](const std::string& name) -> std::optional<DType> {
    for (DType dtype : {DType::kF32, DType::kBF16, DType::kF16})
      if (dtype_name(dtype) == name) return dtype;
    return std::nullopt;
  };
  static const auto asked = asked_for<DType>("ZOETROPE_TEST_DTYPE", named);
  return !asked || asked->contains(variant.compute);
}

bool filtered() {
  return std::getenv("ZOETROPE_TEST_OPS") != nullptr ||
         std::getenv("ZOETROPE_TEST_DTYPE") != nullptr;
}

// Part of the cases; empty: all.
struct Part {
  std::set<OpKind> ops;
  std::set<DType> dtypes;
  int64_t least_elements = 0;  // of the inputs
  bool thin = false;           // one variant a dtype, where another run has tried them all
  bool holds(const Case& test) const {
    int64_t elements = 0;
    for (const CaseInput& input : test.inputs) elements += input.shape.elements();
    return (ops.empty() || ops.contains(test.op)) && elements >= least_elements;
  }
  bool holds(DType dtype) const { return dtypes.empty() || dtypes.contains(dtype); }
};

Part thin_part() {
  Part part;
  part.thin = true;
  return part;
}

struct Tally {
  int ran = 0, unsupported = 0;
  double worst = 0;
  std::string worst_case;
};

void run_all(const std::string& backend, const DeviceOptions& options, Tally* tally,
             const Part& part = {}) {
  auto device = open_device(backend, options);
  REQUIRE_MESSAGE(device.ok(), device.status().message());
  std::map<OpKind, int> reported;
  std::map<const Exclusion*, int> excluded, needless;
  for (const Case& test : all_cases()) {
    if ((backend == "reference" && is_large(test)) || !wanted(test.op)) continue;
    if (!part.holds(test)) continue;
    for (const Variant& variant : variants(test, part.thin)) {
      if (!wanted(variant) || !part.holds(variant.compute)) continue;
      const CaseResult result = run_case(**device, test, variant, test_seed());
      const Exclusion* exclusion = find_exclusion(backend, test.op, variant.compute);
      if (exclusion != nullptr && has_kind(test, InputKind::kCompute)) {
        if (op_def(test.op).is_view) continue;  // has no kernel that could be missing
        ++excluded[exclusion];
        if (result.outcome == Outcome::kPassed) ++needless[exclusion];
        continue;
      }
      // A fused op without a kernel is decomposed by the planner: nothing is missing.
      if (result.outcome == Outcome::kUnsupported && op_def(test.op).is_fused()) {
        ++tally->unsupported;
        continue;
      }
      ++tally->ran;
      if (result.worst > tally->worst) {
        tally->worst = result.worst;
        tally->worst_case = describe(test, variant);
      }
      if (result.outcome == Outcome::kPassed || ++reported[test.op] > 5) continue;
      FAIL_CHECK(describe(test, variant), " on ", backend, " ", options.force_target, ": ",
                 result.message, " (ZOETROPE_TEST_SEED=", test_seed(), ")");
    }
  }
  for (const auto& [exclusion, count] : needless)
    CHECK_MESSAGE(count < excluded[exclusion], "the exclusion '", exclusion->reason, "' of ",
                  backend, " is needless: every excluded case passes");
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
      const CaseResult a = run_case(**one, test, variant, test_seed());
      const CaseResult b = run_case(**three, test, variant, test_seed());
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
std::string validated(const std::string& words = "") {
  static const bool there = has_device("vulkan", "validate");
  if (!there)
    skip("the validation layers: " + std::string(device_status("vulkan", "validate").message()));
  return there ? str(words, words.empty() ? "" : ",", "validate") : words;
}

void conform(const std::string& backend, const std::string& target = "", const Part& part = {}) {
  Tally tally;
  run_all(backend, {.threads = 0, .force_target = target}, &tally, part);
  if (tally.ran == 0 && filtered())
    skip(backend + " " + target + ": has none of the cases asked for");
  else
    CHECK_MESSAGE(tally.ran > 0, "no case was run");
  MESSAGE(backend, " ", target, ": ", tally.ran, " cases, ", tally.unsupported,
          " left to decompositions; largest error ", tally.worst, " of the tolerance in ",
          tally.worst_case, "; seed ", test_seed());
}

// ZOETROPE_TEST_TILES=3,14, else `some`, else 1 to `count`.
std::vector<int> tiles(int count, std::vector<int> some) {
  const auto number = [&](const std::string& word) -> std::optional<int> {
    int tile = 0;
    const auto [end, wrong] = std::from_chars(word.data(), word.data() + word.size(), tile);
    if (wrong != std::errc() || end != word.data() + word.size()) return std::nullopt;
    return tile < 1 || tile > count ? std::nullopt : std::optional(tile);
  };
  if (const auto asked = asked_for<int>("ZOETROPE_TEST_TILES", number))
    some.assign(asked->begin(), asked->end());
  if (!some.empty()) return some;
  for (int tile = 1; tile <= count; ++tile) some.push_back(tile);
  return some;
}

}  // namespace

TEST_CASE("every op has cases") {
  std::set<OpKind> covered;
  for (const Case& test : all_cases()) covered.insert(test.op);
  for (OpKind op : all_ops()) CHECK_MESSAGE(covered.contains(op), op_def(op).name);
}

TEST_CASE("the reference backend conforms") {
  REQUIRE(has_device("reference"));
  conform("reference");
}

TEST_CASE("the cpu backend conforms") {
  if (needs_device("cpu")) conform("cpu");
}

TEST_CASE("the cpu backend conforms on every instruction set of this machine") {
  if (!needs_device("cpu")) return;
  for (const char* target : {"avx512_bf16", "avx512", "avx2", "sse4"}) {
    const auto device = open_device("cpu", {.threads = 0, .force_target = target});
    if (device.ok())
      conform("cpu", target);
    else
      skip(std::string(device.status().message()));
  }
}

TEST_CASE("the cpu backend gives the same bytes with any number of threads") {
  if (needs_device("cpu")) compare_threads("cpu");
}

TEST_CASE("the vulkan backend conforms") {
  if (needs_device("vulkan")) conform("vulkan", validated());
}

TEST_CASE("the vulkan backend conforms with nothing but storage buffers") {
  if (needs_device("vulkan")) conform("vulkan", validated("baseline"), thin_part());
}

TEST_CASE("the vulkan backend conforms when memory comes in pieces") {
  if (!needs_device("vulkan")) return;
  conform("vulkan", "segment=16384,piece=3,rate=1000000", thin_part());
  // A tensor may have eight windows; matrix products have a case of four megabytes.
  Part small = thin_part(), large = thin_part();
  for (OpKind op : all_ops()) (op == OpKind::kMatmul ? large : small).ops.insert(op);
  conform("vulkan", validated("baseline,segment=524288,window=524288,piece=5,rate=1000000"), small);
  conform("vulkan", validated("baseline,segment=1048576,window=1048576,piece=5,rate=1000000"),
          large);
}

TEST_CASE("the vulkan backend conforms in every tile of its matrix products and attention") {
  if (!needs_device("vulkan")) return;
  const auto device = open_device("vulkan");
  REQUIRE(device.ok());
  const Part part{.ops = {OpKind::kMatmul, OpKind::kConv},
                  .dtypes = {DType::kF16, DType::kBF16},
                  .least_elements = 20'000};
  // Emulators take minutes to compile the large ones.
  const bool software = (*device)->info().software;
  for (int tile : tiles(23, software ? std::vector{4, 21} : std::vector<int>{}))
    conform("vulkan", str("tile=", tile), part);
  const Part attention{
      .ops = {OpKind::kAttention}, .dtypes = part.dtypes, .least_elements = 10'000};
  for (int tile : tiles(21, software ? std::vector{7, 13, 18, 21} : std::vector<int>{}))
    conform("vulkan", str("tile=", tile), attention);
}

TEST_CASE("the vulkan backend conforms in every tile of its products with packed weights") {
  if (!needs_device("vulkan")) return;
  const auto device = open_device("vulkan");
  REQUIRE(device.ok());
  const Part part{.ops = {OpKind::kMatmul, OpKind::kLinear, OpKind::kConv, OpKind::kConvBias},
                  .dtypes = {DType::kF16, DType::kBF16},
                  .least_elements = 10'000};
  // What emulators compile in time is their default.
  const bool software = (*device)->info().software;
  for (int tile : tiles(3, software ? std::vector{4} : std::vector<int>{}))
    conform("vulkan", str("packed=", tile), part);
}

TEST_CASE("the vulkan backend conforms with and without products of 8-bit matrices and words") {
  if (!needs_device("vulkan")) return;
  const Part part{.ops = {OpKind::kQuantizedMatmul}, .dtypes = {}, .least_elements = 0};
  for (const char* target : {"no-i8-coopmat", "no-coopmat,no-dot"}) conform("vulkan", target, part);
}

TEST_CASE("the vulkan backend conforms without arithmetic, packing and reductions of f16") {
  if (!needs_device("vulkan")) return;
  const Part part{.ops = {OpKind::kMatmul, OpKind::kConv, OpKind::kAttention},
                  .dtypes = {DType::kF16},
                  .least_elements = 10'000};
  for (const char* target : {"no-f16", "no-nearest-half,no-coopmat2-rows"})
    conform("vulkan", target, part);
}

TEST_CASE("the cuda backend conforms") {
  if (needs_device("cuda")) conform("cuda");
}

TEST_CASE("the cuda backend conforms without libraries, Hopper's instructions or matrix units") {
  if (!needs_device("cuda")) return;
  const Part part{.ops = {OpKind::kMatmul, OpKind::kLinear, OpKind::kConv, OpKind::kConvTranspose,
                          OpKind::kConvBias, OpKind::kAttention, OpKind::kPackedAttention,
                          OpKind::kQuantizedMatmul},
                  .dtypes = {},
                  .least_elements = 0};
  for (const char* target :
       {"any-size", "no-wgmma", "no-cublaslt", "no-cublaslt,no-wgmma", "no-cublaslt,no-mma"})
    conform("cuda", target, part);
}
