// Times one call of a network with noise for weights, and says where the time goes:
//   zoetrope_bench_model --model=wan --tokens=512 --dtype=bf16 --steps=5 --json=out.json
//   zoetrope_bench_model --model=dit|tae_decoder|codec_decoder|text_encoder --dtype=f32   (Toybox)
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <map>
#include <random>
#include <vector>

#include "bench/op_runner.h"
#include "bench/wan_shape.h"
#include "graph/elements.h"
#include "models/toybox/toybox.h"
#include "runtime/component.h"

namespace zoetrope::bench {
namespace {

struct Options {
  std::string model = "wan";
  WanShape shape;
  DType dtype = DType::kBF16;
  int steps = 5;
  std::string json;
};

// Every weight reads the same noise, so that a model of any size needs no file and no time.
class NoiseWeights : public WeightSource {
 public:
  NoiseWeights(const Graph& graph, DType dtype) : dtype_(dtype) {
    int64_t most = 1;
    for (ValueId id : graph.weights()) {
      const Value& value = graph.value(id);
      Shape shape;
      for (const Dim& dim : value.dims) shape.push_back(dim.constant());
      most = std::max(most, shape.elements());
      parameters_ += shape.elements();
      shapes_[value.name] = shape;
    }
    noise_.resize(static_cast<size_t>(most * dtype_size(dtype)));
    std::mt19937 random(1);
    std::vector<double> block(65536);
    for (double& v : block) v = (static_cast<double>(random()) / 0x1p32 - 0.5) * 0.06;
    for (int64_t at = 0; at < most; at += static_cast<int64_t>(block.size()))
      store_elements(dtype, noise_.data() + at * dtype_size(dtype),
                     std::min<int64_t>(static_cast<int64_t>(block.size()), most - at),
                     block.data());
  }
  Result<TensorType> type(std::string_view name) const override {
    return TensorType{dtype_, shapes_.at(std::string(name))};
  }
  Result<WeightData> load(std::string_view name) const override {
    return WeightData{{dtype_, shapes_.at(std::string(name))}, noise_.data(), nullptr};
  }
  int64_t parameters() const { return parameters_; }

 private:
  DType dtype_;
  int64_t parameters_ = 0;
  std::map<std::string, Shape> shapes_;
  std::vector<char> noise_;
};

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// All inputs, or those that change with every step.
Status set_noise(Session& session, uint64_t seed, Rate slowest) {
  for (const PlanBinding& input : session.plan().inputs) {
    const Value& value = session.plan().graph.value(input.value);
    if (value.rate < slowest) continue;
    ZT_RETURN_IF_ERROR(
        session.set_input(input.name, random_tensor(value.type, seed).data(), value.type.bytes()));
  }
  return Status();
}

// The default Toybox clip: 128x128, two seconds, guidance in one batch.
const Bindings kToyboxClip = {{"batch", 2},  {"frames", 4},        {"height", 16},
                              {"width", 16}, {"audio_length", 50}, {"text_length", 64}};

Result<Graph> build_graph(const Options& options) {
  if (options.model == "wan") return build_wan_shape(options.shape);
  const ToyboxConfig::Tae tae{16, {48, 96, 128}, {1, 1, 1}, 1, {64, 96, 128}, {2, 2, 1}, 1, 1e-6};
  const ToyboxConfig::Codec codec{2,
                                  32,
                                  {4, 4, 5, 8},
                                  {24, 48, 64, 96, 128},
                                  {24, 48, 64, 96, 128},
                                  {{1, 3}, {1, 3}, {1, 3}, {1}},
                                  {{1, 3, 9}, {1, 3}, {1, 3}, {1, 3}}};
  const ToyboxConfig::Text text{259, 256, 192, 3, 64, 384, 5, 1e4, 1e-6};
  const ToyboxConfig::Dit dit{256, 6, 64, 640, 16, 32, 192, 256, 1e4, {12, 10, 10}, 100, 1e-6};
  if (options.model == "dit") return build_toybox_dit(dit);
  if (options.model == "tae_decoder") return build_toybox_tae_decoder(tae);
  if (options.model == "codec_decoder") return build_toybox_codec_decoder(codec);
  if (options.model == "text_encoder") return build_toybox_text_encoder(text);
  return error(Code::kNotFound, "no model ", options.model);
}

// Seconds of each op kind of the last steps.
std::map<std::string, double> by_op(const Session& session) {
  std::map<std::string, double> seconds;
  for (size_t i = 0; i < session.plan().calls.size(); ++i) {
    const PlanCall& call = session.plan().calls[i];
    const Node& node = session.plan().graph.nodes[static_cast<size_t>(call.node)];
    seconds[std::string(op_def(node.op).name)] += session.call_seconds()[i];
  }
  return seconds;
}

Status run(const Options& options) {
  const double begin = now();
  ZT_ASSIGN_OR_RETURN(const Graph graph, build_graph(options));
  const NoiseWeights weights(graph, options.dtype);
  CompileOptions compile;
  compile.compute = options.dtype;
  if (options.model != "wan") compile.bindings = kToyboxClip;
  if (options.model == "tae_decoder" || options.model == "codec_decoder")
    compile.bindings["batch"] = 1;
  ZT_ASSIGN_OR_RETURN(Plan plan, compile_component(graph, weights, device(), compile));
  const double planned = now();
  const double flops = plan.phase_cost[static_cast<size_t>(Rate::kStep)].flops +
                       plan.phase_cost[static_cast<size_t>(Rate::kTimestep)].flops;
  const PlanMemory memory = plan.memory;
  ZT_ASSIGN_OR_RETURN(auto session, Session::create(std::move(plan), device(), weights));
  const double loaded = now();
  ZT_RETURN_IF_ERROR(set_noise(*session, 7, Rate::kWeights));
  ZT_RETURN_IF_ERROR(session->run());  // the once-a-clip phases and the first step
  const double first = now();
  std::vector<double> steps;
  for (int i = 0; i < options.steps; ++i) {
    ZT_RETURN_IF_ERROR(set_noise(*session, static_cast<uint64_t>(i), Rate::kTimestep));
    const double start = now();
    ZT_RETURN_IF_ERROR(session->run());
    steps.push_back(now() - start);
  }
  std::sort(steps.begin(), steps.end());
  session->enable_profile();
  ZT_RETURN_IF_ERROR(set_noise(*session, 99, Rate::kTimestep));
  ZT_RETURN_IF_ERROR(session->run());

  const double median = steps[steps.size() / 2];
  std::string json =
      str("{\n  \"model\": \"", options.model, "\", \"parameters\": ", weights.parameters(),
          ", \"tokens\": ", options.shape.tokens, ", \"dtype\": \"", dtype_name(options.dtype),
          "\",\n  \"device\": \"", device().info().name, "\",\n  \"step_seconds_median\": ", median,
          ", \"step_seconds_min\": ", steps.front(), ",\n  \"step_gflop\": ", flops / 1e9,
          ", \"gflops\": ", flops / median / 1e9, ",\n  \"plan_seconds\": ", planned - begin,
          ", \"load_seconds\": ", loaded - planned, ", \"first_run_seconds\": ", first - loaded,
          ",\n  \"arena_bytes\": ", memory.arena_bytes, ", \"packed_bytes\": ", memory.packed_bytes,
          ",\n  \"seconds_by_op\": {");
  const char* comma = "";
  for (const auto& [op, seconds] : by_op(*session)) {
    if (seconds == 0) continue;
    json += str(comma, "\"", op, "\": ", seconds);
    comma = ", ";
  }
  json += "}\n}\n";
  std::fputs(json.c_str(), stdout);
  if (!options.json.empty()) std::ofstream(options.json) << json;
  return Status();
}

Status parse(int argc, char** argv, Options* options) {
  for (int i = 1; i < argc; ++i) {
    const char* value = std::strchr(argv[i], '=');
    const std::string_view name(argv[i], value ? static_cast<size_t>(value - argv[i]) : 0);
    if (value == nullptr) return error(Code::kInvalidArgument, "expected --NAME=VALUE: ", argv[i]);
    ++value;
    if (name == "--model") {
      options->model = value;
    } else if (name == "--tokens") {
      options->shape.tokens = std::atoll(value);
    } else if (name == "--layers") {
      options->shape.layers = std::atoll(value);
    } else if (name == "--steps") {
      options->steps = std::max(1, std::atoi(value));
    } else if (name == "--json") {
      options->json = value;
    } else if (name == "--dtype") {
      ZT_ASSIGN_OR_RETURN(options->dtype, parse_dtype(value));
    } else {
      return error(Code::kInvalidArgument, "unknown flag ", name);
    }
  }
  return Status();
}

}  // namespace
}  // namespace zoetrope::bench

int main(int argc, char** argv) {
  using namespace zoetrope;
  bench::init(&argc, argv);
  bench::Options options;
  Status status = bench::parse(argc, argv, &options);
  if (status.ok()) status = bench::run(options);
  if (!status.ok()) std::fprintf(stderr, "%s\n", status.message().c_str());
  bench::finish(status.ok() ? 0 : 1);
}
