#include <cmath>
#include <cstdio>
#include <cstring>

#include "converters/checkpoint.h"
#include "runtime/cli/command.h"
#include "runtime/cli/lora_flags.h"
#include "runtime/cli/output_files.h"
#include "runtime/cli/progress.h"
#include "runtime/cli/safetensors_writer.h"
#include "runtime/engine/engine.h"

namespace zoetrope {
namespace {

struct Options {
  std::string model, input, output, compute = "f32";
  ComponentCall call;
  std::vector<std::string> set;
  bool no_fusion = false, quiet = false;
  LoraFlags lora;
  DeviceFlags device;
};

// Integers to integers that hold them, floats to floats.
Result<std::vector<uint8_t>> convert(const std::string& name, const WeightData& from, DType to) {
  const int64_t count = from.type.shape.elements();
  std::vector<uint8_t> out(static_cast<size_t>(count * dtype_size(to)));
  if (from.type.dtype == to) {
    if (!out.empty()) std::memcpy(out.data(), from.data, out.size());
    return out;
  }
  if (is_float(from.type.dtype) != is_float(to))
    return error(Code::kInvalidArgument, "input '", name, "' is ", dtype_name(from.type.dtype),
                 "; expected ", dtype_name(to));
  for (int64_t i = 0; i < count; ++i) {
    const double value = load_element(from.type.dtype, from.data, i);
    store_element(to, out.data(), i, value);
    if (!is_float(to) && load_element(to, out.data(), i) != value)
      return error(Code::kInvalidArgument, "input '", name, "' holds ", value, ", which ",
                   dtype_name(to), " cannot");
  }
  return out;
}

Status run_component(Options& o) {
  ZT_ASSIGN_OR_RETURN(o.call.compute, parse_dtype(o.compute));
  o.call.fuse = !o.no_fusion;
  ZT_RETURN_IF_ERROR(parse_bindings(o.set, &o.call.set));
  OutputFiles files;
  for (const std::string& input : {o.model, o.input}) files.read(input);
  ZT_RETURN_IF_ERROR(files.write("--output", o.output));
  ZT_ASSIGN_OR_RETURN(const OutputClaim claim, files.claim());
  EngineOptions options;
  options.devices = o.device.options();
  options.placement.device = o.device.device;
  ZT_ASSIGN_OR_RETURN(const auto engine, Engine::open(o.model, std::move(options)));
  ZT_ASSIGN_OR_RETURN(o.call.weights, open_adapters(engine->model(), o.lora.read(engine->model())));
  ZT_ASSIGN_OR_RETURN(const auto given, open_safetensors(o.input));
  const Graph* graph = engine->model().component(o.call.component);
  std::vector<std::vector<uint8_t>> data;
  for (const std::string& name : given->names()) {
    const Value* input = graph == nullptr ? nullptr : find_input(*graph, name);
    if (graph != nullptr && input == nullptr)
      return error(Code::kInvalidArgument, o.input, ": '", name, "' is no input of '",
                   o.call.component, "'");
    ZT_ASSIGN_OR_RETURN(const WeightData tensor, given->load(name));
    const DType dtype = input == nullptr ? tensor.type.dtype : input->type.dtype;
    ZT_ASSIGN_OR_RETURN(data.emplace_back(), convert(name, tensor, dtype));
    o.call.inputs.push_back({name, {dtype, tensor.type.shape}});
  }
  for (const auto& bytes : data) o.call.data.push_back(bytes.data());
  ProgressBar bar(o.quiet);
  RunHooks hooks;
  hooks.progress = [&](std::string_view task, double done, double total) {
    bar.update(task, done, total);
    return !interrupted();
  };
  ZT_ASSIGN_OR_RETURN(const auto outputs, engine->run_component(o.call, hooks));
  bar.end();
  std::vector<TensorToWrite> tensors;
  for (const ComponentOutput& out : outputs)
    tensors.push_back({out.name, out.type, out.bytes.data()});
  ZT_RETURN_IF_ERROR(write_safetensors(o.output, tensors));
  if (!o.quiet)
    for (const ComponentOutput& out : outputs)
      std::fprintf(stderr, "%s %s\n", out.name.c_str(), out.type.to_string().c_str());
  return Status();
}

}  // namespace

void add_run(CLI::App* root, Run* run) {
  auto options = std::make_shared<Options>();
  Options& o = *options;
  CLI::App* app = root->add_subcommand("run", "Run one component on given tensors");
  app->footer(
      "Inputs are the input file's tensors by name; symbols follow from their shapes. States that\n"
      "are not given are zero; their next values are written under the states' names, so that the\n"
      "output file holds them for the next call. `zoetrope inspect` lists components and inputs.\n"
      "Examples:\n"
      "  zoetrope run model.zoe COMPONENT --input in.safetensors --output out.safetensors\n"
      "  zoetrope run model.zoe COMPONENT --input a.safetensors --output b.safetensors --dump "
      "blocks.0.attn --device vulkan");
  app->add_option("model", o.model, "A .zoe file")->required();
  app->add_option("component", o.call.component, "One of its components")->required();
  app->add_option("--input", o.input, "Tensors (.safetensors), named as the inputs")->required();
  app->add_option("--output", o.output, "Where to write outputs, states and dumps (.safetensors)")
      ->required();
  app->add_option("--set", o.set, "NAME=INTEGER: a symbol that no input's shape decides");
  app->add_option("--dump", o.call.dump, "Nodes (or values) whose results are written too")
      ->delimiter(',');
  app->add_option("--compute", o.compute, "Arithmetic: f32, bf16 or f16")
      ->check(CLI::IsMember({"f32", "bf16", "f16"}))
      ->capture_default_str();
  app->add_flag("--no-fusion", o.no_fusion, "Node by node, without fused operations: to compare");
  app->add_flag("-q,--quiet", o.quiet, "Print nothing but errors");
  o.lora.add_to(app);
  o.device.add_to(app);
  app->callback([=] { *run = [=] { return run_component(*options); }; });
}

}  // namespace zoetrope
