// The same request gives the bits that it always gave: digests of every stage on the CPU backend,
// by instruction set. A change that is meant raises kNumericsVersion and writes new ones:
// CONTRIBUTING.md, "When bits change". That bits are right is held elsewhere: of products in 8 bits
// by conformance_test, "the cpu backend conforms on every..." (quantize_rows, quantized_matmul,
// their fused forms against the double reference) and of whole networks by parity_test, "quantised
// Wan...".
#include <doctest/doctest.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "graph/passes/quantize.h"
#include "runtime/verify/numerics.h"
#include "runtime/verify/stage_log.h"
#include "tests/devices.h"
#include "tests/pipelines/tiny_toybox.h"

using namespace zoetrope;
using Json = nlohmann::ordered_json;

namespace {

const std::string kTable = std::string(ZOETROPE_SOURCE_DIR) + "/tests/numerics/digests.json";

Json read_table() {
  std::ifstream in(kTable);
  REQUIRE_MESSAGE(in.good(), kTable);
  return Json::parse(in);
}

// What computes may depend on the compiler: products and sums are joined as it likes.
bool is_measured_build() {
#if defined(__GNUC__) && !defined(__clang__) && defined(__OPTIMIZE__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  return true;
#else
  return false;
#endif
}

// The denoiser's products of rows in 8 bits.
void quantize_products(WeightFormat format, Model* model) {
  Graph& graph = model->components.at("dit");
  auto made = quantize(graph, [&](const QuantizeSite& site) {
    const bool rows = site.product && site.rate == Rate::kStep;
    return WeightChoice{.format = rows ? format : WeightFormat::kKeep};
  });
  REQUIRE_MESSAGE(made.ok(), made.status().message());
  REQUIRE(!made->weights.empty());
  graph = std::move(made->graph);
  const std::shared_ptr<const WeightSource> base = model->weights;
  auto weights = QuantizedWeights::create(*base, std::move(made->weights));
  REQUIRE_MESSAGE(weights.ok(), weights.status().message());
  model->weights = {weights->release(), [base](const WeightSource* made) { delete made; }};
}

// Of what networks of one arithmetic compute, and with which weights.
struct Way {
  DType compute;
  WeightFormat format;

  std::string name() const {
    return str(dtype_name(compute), format == WeightFormat::kKeep ? "" : " ",
               format == WeightFormat::kKeep ? "" : format_name(format));
  }
};
constexpr Way kWays[] = {
    {DType::kF32, WeightFormat::kKeep}, {DType::kBF16, WeightFormat::kKeep},
    {DType::kF32, WeightFormat::kInt8}, {DType::kBF16, WeightFormat::kInt8},
    {DType::kF32, WeightFormat::kFp8},  {DType::kBF16, WeightFormat::kFp8},
};

Json digests_of(const std::string& isa, const Way& way) {
  tiny::Fixture fixture;
  if (way.format != WeightFormat::kKeep) quantize_products(way.format, &fixture.model);
  const auto engine = fixture.engine("cpu", /*threads=*/2, isa);
  Request request = tiny::small_clip();
  request.compute = way.compute;
  StageLog log(nullptr, 0, /*keep_clip=*/false);
  log.begin(request.clip.width * request.clip.height * 3, 2);
  RunHooks hooks;
  hooks.observe = [&](const Observation& made) { return log.observe(made); };
  const auto ran = engine->run(request, log, hooks);
  REQUIRE_MESSAGE(ran.ok(), ran.status().message());
  Json digests;
  for (const StageRecord& s : log.records()) digests[s.stage + ", " + s.name] = s.sketch.digest;
  return digests;
}

void check_bits(const std::string& isa) {
  if (!is_measured_build()) return skip("digests are of builds by GCC with optimisation");
  if (!needs_device("cpu", isa)) return;
  Json table = read_table();
  for (const Way& way : kWays) {
    const std::string key = str(isa, " ", way.name());
    const Json found = digests_of(isa, way);
    if (std::getenv("ZOETROPE_WRITE_NUMERICS") != nullptr) {
      table["version"] = kNumericsVersion;
      table["cpu"][key] = found;
      std::ofstream(kTable) << table.dump(1) << "\n";
      continue;
    }
    if (!table["cpu"].contains(key)) {
      skip("no digests of " + key + " are stored yet: CONTRIBUTING.md, When bits change");
      continue;
    }
    const Json& stored = table["cpu"][key];
    CHECK(stored.size() == found.size());
    for (const auto& [stage, digest] : found.items()) {
      const bool same = stored.contains(stage) && stored[stage] == digest;
      CHECK_MESSAGE(same, key, ": bits changed, first at '", stage,
                    "'. Where that is meant, CONTRIBUTING.md (When bits change) says what to do");
      if (!same) break;
    }
    MESSAGE("checked ", found.size(), " stages on ", key);
  }
}

}  // namespace

TEST_CASE("the table is of this numerics version, with the instruction sets of every machine") {
  const Json table = read_table();
  CHECK(table["version"] == kNumericsVersion);
  for (const char* isa : {"sse4", "avx2", "avx512", "avx512_bf16", "amx"})
    for (const Way& way : kWays)
      CHECK_MESSAGE(table["cpu"].contains(str(isa, " ", way.name())), isa, " ", way.name());
  std::ifstream in(std::string(ZOETROPE_SOURCE_DIR) + "/CHANGELOG.md");
  const std::string changes((std::istreambuf_iterator<char>(in)), {});
  CHECK_MESSAGE(changes.find(str("Numerics ", kNumericsVersion)) != std::string::npos,
                "CHANGELOG.md does not say what numerics ", kNumericsVersion, " changed");
}

TEST_CASE("bits on sse4") { check_bits("sse4"); }
TEST_CASE("bits on avx2") { check_bits("avx2"); }
TEST_CASE("bits on avx512") { check_bits("avx512"); }
TEST_CASE("bits on avx512_bf16") { check_bits("avx512_bf16"); }
TEST_CASE("bits on amx") { check_bits("amx"); }
