#include "tests/conformance/ways.h"

#include <doctest/doctest.h>

#include <charconv>
#include <cstdlib>
#include <optional>
#include <sstream>

#include "runtime/backend/registry.h"

namespace zoetrope::conformance {
namespace {

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

// ZOETROPE_TEST_TILES=3,14, else `some`, else 1 to `count`.
std::vector<int> tiles(int count, std::vector<int> some) {
  constexpr int kMost = 23;  // of any list
  const auto number = [](const std::string& word) -> std::optional<int> {
    int tile = 0;
    const auto [end, wrong] = std::from_chars(word.data(), word.data() + word.size(), tile);
    if (wrong != std::errc() || end != word.data() + word.size()) return std::nullopt;
    return tile < 1 || tile > kMost ? std::nullopt : std::optional(tile);
  };
  if (const auto asked = asked_for<int>("ZOETROPE_TEST_TILES", number))
    return {asked->begin(), asked->upper_bound(count)};
  if (some.empty())
    for (int tile = 1; tile <= count; ++tile) some.push_back(tile);
  return some;
}

// Memory in pieces, far smaller than a driver's.
constexpr const char* kSegments = "segment=16384,piece=3,rate=1000000";
constexpr int64_t kSegment = 16384;

// Windows of so many bytes. A tensor may have eight; of more than seven is what the next larger
// windows are for.
Way windows(int64_t bytes, Part part) {
  part.most_bytes = 7 * bytes;
  part.thin = true;
  return {"vulkan", str("baseline,segment=", bytes, ",window=", bytes, ",piece=5,rate=1000000"),
          part};
}

std::vector<Way> pieces(bool all) {
  const Part crossing{.least_bytes = kSegment + 1, .thin = true, .choice = Choice::kRows};
  std::vector<Way> list = {{"vulkan", kSegments, crossing}, windows(kSegment, crossing)};
  if (!all) return list;
  list[0].part.least_bytes = 0;
  int64_t least = 0;
  for (const int64_t bytes : {int64_t{512} << 10, int64_t{2} << 20, int64_t{8} << 20}) {
    list.push_back(windows(bytes, {.least_bytes = least}));
    least = 7 * bytes + 1;
  }
  return list;
}

// Tiles that are taken only when asked for, and what runs where features are missing.
std::vector<Way> restricted_vulkan() {
  const auto device = open_device("vulkan");
  REQUIRE(device.ok());
  // Emulators take minutes to compile the large ones.
  const bool software = (*device)->info().software;
  std::vector<Way> list;
  using enum OpKind;
  const std::set<DType> narrow{DType::kF16, DType::kBF16};
  const auto add = [&](const std::string& target, Part part) {
    part.choice = Choice::kCoverOnce;  // of shapes, tiles have those of their kernel
    list.push_back({"vulkan", target, part});
  };
  for (int tile : tiles(23, software ? std::vector{4, 21} : std::vector<int>{}))
    add(str("tile=", tile), {.ops = {kMatmul, kConv}, .dtypes = narrow, .least_elements = 20'000});
  for (int tile : tiles(21, software ? std::vector{7, 13, 18, 21} : std::vector<int>{}))
    add(str("tile=", tile), {.ops = {kAttention}, .dtypes = narrow, .least_elements = 10'000});
  // Of those with packed weights, the one that is made for emulators beside their default.
  for (int tile : tiles(4, software ? std::vector{4} : std::vector{1, 2, 3}))
    add(str("packed=", tile), {.ops = {kMatmul, kLinear, kConv, kConvBias},
                               .dtypes = narrow,
                               .least_elements = 10'000,
                               .kernels = software});
  for (int tile : tiles(4, software ? std::vector{3} : std::vector{1, 2}))
    add(str("packed=", tile), {.ops = {kQuantizedMatmul}});
  for (const char* target : {"no-packed", "no-i8-coopmat", "no-coopmat,no-dot"})
    add(target, {.ops = {kQuantizedMatmul}});
  for (const char* target : {"no-f16", "no-nearest-half,no-coopmat2-rows"})
    add(target,
        {.ops = {kMatmul, kConv, kAttention}, .dtypes = {DType::kF16}, .least_elements = 10'000});
  return list;
}

std::vector<Way> restricted_cuda() {
  using enum OpKind;
  std::vector<Way> list;
  for (const char* target :
       {"any-size", "no-wgmma", "no-cublaslt", "no-cublaslt,no-wgmma", "no-cublaslt,no-mma"})
    list.push_back({"cuda",
                    target,
                    {.ops = {kMatmul, kLinear, kConv, kConvTranspose, kConvBias, kAttention,
                             kPackedAttention, kQuantizedMatmul}}});
  return list;
}

}  // namespace

const std::map<std::string, std::set<OpKind>>& families() {
  using enum OpKind;
  static const std::map<std::string, std::set<OpKind>> kFamilies{
      {"matmul", {kMatmul, kLinear, kQuantizedMatmul}},
      {"conv", {kConv, kConvTranspose, kConvBias}},
      {"attention", {kAttention, kPackedAttention}},
      {"norms",
       {kReduceSum, kReduceMean, kReduceMax, kSoftmax, kRmsNorm, kLayerNorm, kGroupNorm,
        kQuantizeRows}},
      {"rows",
       {kRope, kNormModulate, kGatedResidual, kNormRope, kGlu, kResidualNorm, kNormQuantize,
        kResidualNormQuantize, kActivateQuantize}},
      {"layout",
       {kFill, kIota, kCast, kSelect, kReshape, kTranspose, kBroadcast, kSlice, kConcat, kPad,
        kRepeat, kResizeLinear, kGather, kDequantize}},
      {"elementwise",
       {kNeg,  kAbs,  kExp,   kLog, kSqrt, kRsqrt, kSin, kCos, kTanh, kSigmoid, kSilu, kGeluTanh,
        kGelu, kRelu, kFloor, kAdd, kSub,  kMul,   kDiv, kMin, kMax,  kPow,     kLess, kEqual}},
  };
  return kFamilies;
}

bool wanted(OpKind op) {
  const auto named = [](const std::string& name) -> std::optional<OpKind> {
    for (OpKind kind : all_ops())
      if (op_def(kind).name == name) return kind;
    return std::nullopt;
  };
  static const auto asked = asked_for<OpKind>("ZOETROPE_TEST_OPS", named);
  return !asked || asked->contains(op);
}

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

bool everything() {
  static const bool all = std::getenv("ZOETROPE_TEST_ALL") != nullptr;
  return all;
}

std::vector<Run> chosen_runs(const Way& way, const std::set<OpKind>& family, bool all) {
  auto device = open_device(way.backend, {.threads = 0, .force_target = way.target});
  REQUIRE_MESSAGE(device.ok(), device.status().message());
  static const std::vector<Case> kCases = all_cases();
  std::vector<Run> runs;
  for (Run& run : list_runs(**device, kCases, way.part.thin)) {
    if (!wanted(run.test->op) || !wanted(run.variant)) continue;
    if (!family.empty() && !family.contains(run.test->op)) continue;
    if (way.backend == "reference" && input_elements(*run.test) > 100'000) continue;
    if (way.part.holds(*run.test) && way.part.holds(*run.test, run.variant))
      runs.push_back(std::move(run));
  }
  if (all || way.part.choice == Choice::kAll) return runs;
  runs = way.part.choice == Choice::kCover       ? cover(runs)
         : way.part.choice == Choice::kCoverOnce ? cover_once(runs)
                                                 : cover_rows(runs);
  return way.part.kernels ? cover_kernels(runs) : runs;
}

std::vector<Way> ways(const std::string& test, bool all) {
  const Part baseline{.thin = true, .choice = Choice::kCoverOnce};
  if (test == "vulkan") return {{"vulkan", "", {.choice = Choice::kCover}}};
  if (test == "vulkan baseline") return {{"vulkan", "baseline", baseline}};
  if (test == "vulkan pieces") return pieces(all);
  if (test == "vulkan restricted") return restricted_vulkan();
  if (test == "vulkan layers") {  // on every way to memory; shaders that other tests compiled
    std::vector<Way> list;
    for (const char* other : {"vulkan", "vulkan baseline", "vulkan pieces"})
      for (Way& way : ways(other, false)) list.push_back(std::move(way));
    for (Way& way : list) way.part.kernels = true;
    return list;
  }
  if (test == "cuda restricted") return restricted_cuda();
  return {{test, ""}};
}

std::vector<std::string> tests_of(const std::string& backend) {
  if (backend == "vulkan")
    return {"vulkan", "vulkan baseline", "vulkan pieces", "vulkan restricted", "vulkan layers"};
  if (backend == "cuda") return {"cuda", "cuda restricted"};
  return {backend};
}

}  // namespace zoetrope::conformance
