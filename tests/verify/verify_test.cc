// `verify` on the tiny Toybox: nothing is found where nothing is wrong, and each planted fault is
// found and named.
#include "runtime/verify/verify.h"

#include <cmath>

#include "graph/builder.h"
#include "graph/evaluate.h"
#include "graph/passes/quantize.h"
#include "runtime/plan/session.h"
#include "runtime/plan/streaming.h"

#include "tests/devices.h"
#include "tests/pipelines/tiny_toybox.h"
#include "tests/verify/faulty_device.h"

using namespace zoetrope;

namespace {

const tiny::Fixture& fixture() {
  static const tiny::Fixture made;
  return made;
}

VerifyOptions options_for(std::vector<std::string> devices) {
  VerifyOptions options;
  options.request = tiny::small_clip();
  options.request.steps = 2;
  options.devices = std::move(devices);
  options.parts.whole_flops = INFINITY;
  options.calls = 0;
  return options;
}

VerifyReport verify_with(const VerifyOptions& options) {
  const MakeEngine make_engine = [&](const std::string& device) {
    EngineOptions engine;
    engine.placement.device = device;
    engine.keep_sessions = false;
    return Engine::create(fixture().model, std::move(engine));
  };
  auto report = verify_devices(options, make_engine);
  REQUIRE_MESSAGE(report.ok(), report.status().message());
  return std::move(*report);
}

struct Planted {
  Fault fault;
  std::string where;  // in the label of the broken call
  FindingKind found;
  std::string says;  // in the finding's text
  std::string victim = "";
};

void finds(const Planted& planted, const VerifyOptions& options) {
  auto cpu = open_device("cpu");
  REQUIRE(cpu.ok());
  auto device =
      std::make_unique<FaultyDevice>(std::move(*cpu), planted.fault, planted.where, planted.victim);
  const FaultyDevice& faulty = *device;
  VerifyOptions o = options;
  o.devices = {"faulty"};
  std::string broken;
  const MakeEngine make_engine = [&](const std::string& name) {
    EngineOptions engine;
    engine.placement.device = name;
    engine.keep_sessions = true;  // the device is asked below what it broke
    auto made = Engine::create(fixture().model, std::move(engine));
    if (made.ok()) (*made)->add_device(name, std::move(device));
    return made;
  };
  // The engine goes with the call: what was broken is noted at its last progress.
  RunHooks hooks;
  hooks.progress = [&](std::string_view, double, double) {
    broken = faulty.broken();
    return true;
  };
  const auto report = verify_devices(o, make_engine, hooks);
  REQUIRE_MESSAGE(report.ok(), report.status().message());
  REQUIRE_MESSAGE(!broken.empty(), "nothing was broken: no call has '", planted.where, "'");
  const DeviceReport& d = report->devices[0];
  REQUIRE_MESSAGE(!d.findings.empty(), "not found: ", broken);
  const Finding& first = d.findings.front();
  CHECK_MESSAGE(first.kind == planted.found, "found: ", finding_name(first.kind), ", ", first.text);
  if (planted.fault != Fault::kStaleSlot && planted.fault != Fault::kOverwrites)
    CHECK_MESSAGE(first.node.find(broken) != std::string::npos, "found at ", first.node,
                  ", broken was ", broken);
  CHECK_MESSAGE(first.text.find(planted.says) != std::string::npos, first.text);
  CHECK(!report->ok());
  const std::string text = verify_report_to_text(*report);
  CHECK(text.find("FIRST FAULT, " + std::string(finding_name(first.kind))) != std::string::npos);
  MESSAGE(finding_name(first.kind), " at ", first.node, " (", first.kernel, "): ", first.text);
}

}  // namespace

TEST_CASE("the CPU and the reference do what the model says, on every element") {
  const VerifyReport report = verify_with(options_for({"reference", "cpu"}));
  CHECK_MESSAGE(report.ok(), verify_report_to_text(report));
  for (const DeviceReport& d : report.devices) {
    for (const JobReport& job : d.jobs) {
      int64_t calls = 0;
      CHECK(!job.nodes.empty());
      for (const TracedNode& node : job.nodes) {
        CHECK(node.judged);
        CHECK(node.error.elements > 0);
        calls += node.run == 0;
      }
      CHECK(calls > 0);
    }
  }
  // The reference rounds an output once: by at most one unit.
  CHECK(report.devices[0].worst()->error.units <= 1);
  const ClipQuality& q = report.devices[1].quality;
  CHECK(q.compared);
  CHECK(q.psnr > 60);
  CHECK(q.ssim > 0.9999);
  CHECK(q.snr > 80);
  // Noise is the same everywhere, what networks give is not.
  for (const StageDifference& s : report.devices[1].stages) {
    if (s.name == "noise") CHECK(s.relative == 0);
    CHECK_MESSAGE(s.relative < 1e-4, s.stage, " ", s.name);
  }
  CHECK(report.devices[1].values.size() > 20);
}

TEST_CASE(
    "the CPU in bf16 and f16, with some calls of each kernel in parts, by the definition and by "
    "itself") {
  for (const DType compute : {DType::kBF16, DType::kF16}) {
    VerifyOptions options = options_for({"cpu"});
    options.request.compute = compute;
    options.calls = 2;
    options.parts.whole_flops = 0;  // everything that can be cut is
    const VerifyReport report = verify_with(options);
    CHECK_MESSAGE(report.ok(), verify_report_to_text(report));
    CHECK(report.devices[0].judged() > 20);
    options.by_cpu = true;
    const VerifyReport by_cpu = verify_with(options);
    CHECK_MESSAGE(by_cpu.ok(), verify_report_to_text(by_cpu));
    CHECK(by_cpu.devices[0].worst()->error.ratio == 0);
  }
}

TEST_CASE("Vulkan does what the model says") {
  if (!needs_device("vulkan")) return;
  for (const DType compute : {DType::kF32, DType::kF16}) {
    VerifyOptions options = options_for({"cpu", "vulkan"});
    options.request.compute = compute;
    options.calls = 2;
    const VerifyReport report = verify_with(options);
    CHECK_MESSAGE(report.ok(), verify_report_to_text(report));
  }
}

TEST_CASE("a kernel that is 1% off is found by its factor") {
  finds({Fault::kScaled, "fused_linear", FindingKind::kBeyondBound, "1.01 times"}, options_for({}));
}

TEST_CASE("one wrong tile is found with its corners") {
  finds({Fault::kTile, "norm_modulate", FindingKind::kBeyondBound, "[0, 0..7, 8..15]"},
        options_for({}));
}

TEST_CASE("a flipped bit of a weight is found with the weight's name") {
  finds({Fault::kWeightBit, "", FindingKind::kWeightDiffers, "1 of "}, options_for({}));
}

// Eight layers whose weights pass through slots.
TEST_CASE("a copy of a streamed weight that did not happen is found with the weight's name") {
  constexpr int64_t kWidth = 160;  // weights below 64 KiB are not streamed
  Builder b("layers");
  ValueId x = b.input("x", DType::kF32, {5, kWidth});
  for (int64_t i = 0; i < 8; ++i) x = b.linear("layer" + std::to_string(i), x, kWidth, kWidth);
  b.output("y", x);
  auto graph = b.finish();
  REQUIRE_MESSAGE(graph.ok(), graph.status().message());
  auto bound = bind(*graph, {});
  REQUIRE(bound.ok());
  MemoryWeights weights;
  double seed = 0;
  for (const ValueId id : bound->weights()) {
    EvalTensor tensor{bound->value(id).type.shape, {}};
    for (int64_t i = 0; i < tensor.shape.elements(); ++i)
      tensor.data.push_back(0.1 * std::sin(seed += 1.37));
    weights.add(bound->value(id).name, DType::kF32, tensor);
  }
  for (const bool broken : {false, true}) {
    auto cpu = open_device("cpu");
    REQUIRE(cpu.ok());
    FaultyDevice device(std::move(*cpu), broken ? Fault::kStaleSlot : Fault::kScaled,
                        "no such node");
    auto plan = make_plan(*bound, device, {});
    REQUIRE_MESSAGE(plan.ok(), plan.status().message());
    stream_weights(&*plan, device, 0);
    REQUIRE(plan->stream.groups.size() > 3);
    WeightStore store(device, weights);
    NodeTrace trace("layers", weights, {});
    auto session = Session::create(std::move(*plan), store);
    REQUIRE_MESSAGE(session.ok(), session.status().message());
    (*session)->set_trace(&trace);
    const std::vector<float> input(5 * kWidth, 0.5f);
    REQUIRE((*session)->set_input("x", std::span<const float>(input)).ok());
    const Status ran = (*session)->run();
    REQUIRE_MESSAGE(ran.ok(), ran.message());
    std::vector<Finding> findings;
    for (const TracedNode& node : trace.nodes())
      findings.insert(findings.end(), node.findings.begin(), node.findings.end());
    CHECK(trace.nodes().size() == 16);  // a product and a sum each
    if (!broken) {
      CHECK_MESSAGE(findings.empty(), findings.front().text);
      continue;
    }
    REQUIRE(!device.broken().empty());
    REQUIRE(!findings.empty());
    CHECK(findings[0].kind == FindingKind::kWeightDiffers);
    CHECK(findings[0].text.find("streamed through a slot") != std::string::npos);
    CHECK(findings[0].text.find("weight 'layer") != std::string::npos);
    MESSAGE(finding_name(findings[0].kind), " at ", findings[0].node, ": ", findings[0].text);
  }
}

TEST_CASE(
    "a weight of 4 bits that is expanded wrongly before its call, or not always the same, is "
    "found") {
  constexpr int64_t kWidth = 96;
  Builder b("layers");
  ValueId x = b.input("x", DType::kF32, {5, kWidth});
  for (int64_t i = 0; i < 3; ++i) x = b.linear("layer" + std::to_string(i), x, kWidth, kWidth);
  b.output("y", x);
  auto whole = b.finish();
  REQUIRE_MESSAGE(whole.ok(), whole.status().message());
  MemoryWeights weights;
  double seed = 0;
  for (const ValueId id : whole->weights()) {
    Shape shape;
    for (const Dim& d : whole->value(id).dims) shape.push_back(d.constant());
    EvalTensor tensor{shape, {}};
    for (int64_t i = 0; i < shape.elements(); ++i)
      tensor.data.push_back(0.1 * std::sin(seed += 1.37));
    weights.add(whole->value(id).name, DType::kF32, tensor);
  }
  auto made = quantize(*whole, [](const QuantizeSite& site) {
    return site.shape.rank() < 2 ? WeightChoice{} : WeightChoice{WeightFormat::kInt4, 32};
  });
  REQUIRE(made.ok());
  auto source = QuantizedWeights::create(weights, made->weights);
  REQUIRE(source.ok());
  auto bound = bind(made->graph, {});
  REQUIRE(bound.ok());
  // Broken: the second of three. Without `stays` they are expanded when they are loaded.
  for (const std::string way : {"whole", "broken", "changing", "at load"}) {
    CAPTURE(way);
    auto cpu = open_device("cpu");
    REQUIRE(cpu.ok());
    const bool changing = way == "changing";
    FaultyDevice device(std::move(*cpu), changing ? Fault::kNotDeterministic : Fault::kScaled,
                        changing || way == "broken" ? "layer1.weight.numbers" : "no such node");
    StaysEncoded stays;
    if (way != "at load") stays = [](const DerivedWeight&) { return true; };
    auto plan = make_plan(*bound, device, {}, nullptr, stays);
    REQUIRE_MESSAGE(plan.ok(), plan.status().message());
    CHECK(encoded_weights(*plan).count == (way == "at load" ? 0 : 3));
    WeightStore store(device, **source);
    NodeTrace trace("layers", **source, {});
    auto session = Session::create(std::move(*plan), store);
    REQUIRE_MESSAGE(session.ok(), session.status().message());
    (*session)->set_trace(&trace);
    const std::vector<float> input(5 * kWidth, 0.5f);
    REQUIRE((*session)->set_input("x", std::span<const float>(input)).ok());
    const Status ran = (*session)->run();
    REQUIRE_MESSAGE(ran.ok(), ran.message());
    std::vector<Finding> findings;
    for (const TracedNode& node : trace.nodes())
      findings.insert(findings.end(), node.findings.begin(), node.findings.end());
    if (!changing && way != "broken") {
      CHECK_MESSAGE(findings.empty(), findings.front().text);
      continue;
    }
    REQUIRE(!device.broken().empty());
    REQUIRE(!findings.empty());
    if (changing) {  // in bytes: it is in the layout of the call that reads it
      CHECK(findings[0].kind == FindingKind::kNotDeterministic);
      CHECK_MESSAGE(findings[0].text.find(" bytes packed as ") != std::string::npos,
                    findings[0].text);
      continue;
    }
    CHECK(findings[0].kind == FindingKind::kWeightDiffers);
    CHECK(findings[0].text.find("expanded before its call") != std::string::npos);
    CHECK(findings[0].text.find("weight 'layer1.weight.numbers'") != std::string::npos);
  }
}

TEST_CASE("a key that attention does not see is found") {
  finds({Fault::kMaskEdge, "attention", FindingKind::kBeyondBound, "elements"}, options_for({}));
}

TEST_CASE("rows that changed places are found as such") {
  finds({Fault::kSwappedRows, "norm_modulate", FindingKind::kBeyondBound, "holds what belongs"},
        options_for({}));
}

TEST_CASE("a last element that nobody wrote is found") {
  finds({Fault::kLostLast, "fused_linear", FindingKind::kReadsUnwritten, "1 of "}, options_for({}));
}

TEST_CASE("overflow to infinity is found") {
  VerifyOptions options = options_for({});
  finds({Fault::kOverflow, "fused_linear", FindingKind::kNotFinite, "inf"}, options);
}

TEST_CASE("a kernel that reads what nobody wrote into its workspace is found") {
  finds({Fault::kUnwritten, "fused_linear", FindingKind::kReadsUnwritten, "workspace"},
        options_for({}));
}

TEST_CASE("a result whose last bit is not the same every time is found") {
  finds({Fault::kNotDeterministic, "fused_linear", FindingKind::kNotDeterministic, "twice"},
        options_for({}));
}

TEST_CASE("a value that something wrote over is found where it is read next") {
  finds({Fault::kOverwrites, "node 'dit.silu'", FindingKind::kOverwritten, "dit.blocks.0.cross.v",
         "node 'dit.blocks.0.cross.v'"},
        options_for({}));
}

TEST_CASE("a kernel that writes into its input is found") {
  finds({Fault::kChangesInput, "fused_linear", FindingKind::kInputChanged, "input 0"},
        options_for({}));
}

TEST_CASE("a device that had no memory for the request differs in nothing") {
  VerifyReport report;
  report.devices.resize(1);
  report.devices[0].status = error(Code::kResourceExhausted, "no memory for a kernel");
  CHECK(verdict(report).code() == Code::kResourceExhausted);
  report.devices[0].status = error(Code::kInternal, "a kernel failed");
  CHECK(verdict(report).code() == Code::kDiffers);
}
