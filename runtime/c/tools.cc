// Quantising and verifying.
#include "runtime/backend/registry.h"
#include "runtime/c/arguments.h"
#include "runtime/c/errors.h"
#include "runtime/c/hooks.h"
#include "runtime/quantize/quantize_file.h"
#include "runtime/verify/verify.h"

namespace zoetrope {
namespace {

constexpr std::string_view kJudges[] = {"reference", "cpu"};
constexpr std::string_view kMeasures[] = {"clips", "weights"};
constexpr size_t kMany = 100000;
constexpr uint64_t kFirstSeed = 1;

struct QuantizeArgument {
  QuantizeFileOptions options;
};
template <typename V>
void fields(V& v, QuantizeArgument& a) {
  QuantizeFileOptions& o = a.options;
  DeviceRecord devices;
  std::string measure(kMeasures[0]);
  v.path("model", &o.model);
  v.path("output", &o.output);
  v.name("format", &o.format);
  v.integer("group", &o.group, 0, 1 << 20);
  v.texts("components", &o.components, kMany);
  v.texts("keep", &o.keep, kMany);
  v.texts("prompts", &o.prompts, kMany);
  v.texts("calibrate", &o.calibration, kMany);
  v.word("measure", &measure, kMeasures);
  o.measure_clips = measure == kMeasures[0];
  v.flag("nearest", &o.nearest);
  v.flag("rotate", &o.rotate);
  v.integer("attention_bits", &o.attention_bits, 0, 8);
  v.integer("steps", &o.steps, 0, 10000);
  v.integer("width", &o.clip.width, 0, int64_t{1} << 40);
  v.integer("height", &o.clip.height, 0, int64_t{1} << 40);
  v.integer("frames", &o.clip.frames, 0, int64_t{1} << 40);
  uint64_t seed = kFirstSeed;
  v.unsigned_integer("seed", &seed);
  if (seed != kFirstSeed) o.seed = seed;
  std::string compute(dtype_name(DType::kF32));
  v.word("compute", &compute, kComputeTypes);
  if (compute != dtype_name(DType::kF32)) o.compute = compute;
  v.name("device", &devices.device);
  v.optional_name("target", &devices.target);
  v.integer("threads", &devices.threads, 0, 1024);
  o.engine.placement.device = devices.device;
  o.engine.devices = {.threads = devices.threads, .force_target = devices.target};
  v.number("target_psnr", &o.targets.psnr, 0, 200);
  v.number("target_size", &o.targets.size, 0, 1);
  v.optional_number("max_loss", &o.max_loss, 0, 1e6);
  v.optional_number("max_attention_loss", &o.max_attention_loss, 0, 1e6);
  v.number("min_psnr", &o.min_psnr, 0, 200);
  v.flag("force", &o.force);
  v.require(!o.output.empty(), "output", "given");
}

struct VerifyArgument {
  VerifyOptions options;
  DeviceRecord devices;
};
template <typename V>
void fields(V& v, VerifyArgument& a) {
  VerifyOptions& o = a.options;
  std::string against(kJudges[0]);
  v.texts("devices", &o.devices, 64);
  v.word("against", &against, kJudges);
  o.by_cpu = against == kJudges[1];
  v.flag("judge_nodes", &o.judge_nodes);
  v.integer("calls", &o.calls, 0, 1 << 20);
  v.integer("parts", &o.parts.count, 1, 1 << 20);
  v.number("min_psnr", &o.least_psnr, -1, 200);
  v.number("min_snr", &o.least_snr, -1, 200);
  v.optional_name("target", &a.devices.target);
  v.integer("threads", &a.devices.threads, 0, 1024);
}

// The CPU judges, so it is among those that run.
void add_cpu(std::vector<std::string>* devices) {
  for (const std::string& device : *devices)
    if (device == "cpu" || device == "cpu:0") return;
  devices->insert(devices->begin(), "cpu");
}

Status verify(const char* model, const char* request, const char* text,
              const zoetrope_callbacks* given, char** out) {
  VerifyArgument a;
  ZT_RETURN_IF_ERROR(read_json(text, "options", &a));
  ZT_ASSIGN_OR_RETURN(Callbacks calls, Callbacks::create(given));
  ZT_ASSIGN_OR_RETURN(const std::string path, model_or_default(model));
  VerifyOptions& o = a.options;
  DeviceOptions device_options{.threads = a.devices.threads, .force_target = a.devices.target};
  if (o.devices.empty()) o.devices = devices_to_verify(device_options);
  if (o.by_cpu) add_cpu(&o.devices);
  if (o.devices.empty()) return error(Code::kUnavailable, "no device is usable here");
  const MakeEngine make_engine = [&](const std::string& device) -> Result<std::unique_ptr<Engine>> {
    EngineOptions options;
    options.devices = device_options;
    options.placement.device = device;
    options.keep_sessions = false;
    ZT_ASSIGN_OR_RETURN(auto engine, Engine::open(path, std::move(options)));
    ZT_ASSIGN_OR_RETURN(o.request, read_request(*engine, request, nullptr));
    return engine;
  };
  ZT_RETURN_IF_ERROR(make_engine(o.devices.front()).status());
  ZT_ASSIGN_OR_RETURN(const VerifyReport report, verify_devices(o, make_engine, calls.hooks()));
  if (out != nullptr) ZT_RETURN_IF_ERROR(give(verify_report_to_json(report), out));
  return verdict(report);
}

}  // namespace
}  // namespace zoetrope

using namespace zoetrope;

int zoetrope_quantize(const char* text, const zoetrope_callbacks* callbacks, char** report) {
  return guarded_work([&]() -> Status {
    ZT_RETURN_IF_ERROR(need(text, "options"));
    QuantizeArgument a;
    ZT_RETURN_IF_ERROR(read_json(text, "options", &a));
    ZT_ASSIGN_OR_RETURN(Callbacks calls, Callbacks::create(callbacks));
    ZT_ASSIGN_OR_RETURN(a.options.model, model_or_default(a.options.model.c_str()));
    QuantizeFileHooks hooks;
    hooks.progress = [&](std::string_view task, double done, double total) {
      return calls.progress(task, done, total);
    };
    hooks.notice = [&](const std::string& notice) { calls.notice(notice); };
    std::string costs;
    hooks.report = [&](const QuantizeReport& made, const std::string&) {
      costs = report_to_json(made);
      return Status();
    };
    const Status status = quantize_file(a.options, hooks);
    if ((status.ok() || status.code() == Code::kDiffers) && report != nullptr)
      ZT_RETURN_IF_ERROR(give(costs, report));
    return status;
  });
}

int zoetrope_verify(const char* model, const char* request, const char* options,
                    const zoetrope_callbacks* callbacks, char** report) {
  return guarded_work([&] { return verify(model, request, options, callbacks, report); });
}
