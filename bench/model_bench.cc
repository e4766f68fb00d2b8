// Times one call of a network with noise for weights, and says where the time goes:
//   zoetrope_bench_model --model=wan2.1-1.3b --set=frames=9 --dtype=bf16 --steps=5 --json=out.json
//   zoetrope_bench_model --model=wan2.1-14b --memory=12    (GiB: weights are streamed to keep it)
//   zoetrope_bench_model --model=dit|tae_decoder|codec_decoder|text_encoder --dtype=f32   (Toybox)
//   zoetrope_bench_model --model=moviegen-30b --set=frames=32,height=96   (any built-in model)
//   zoetrope_bench_model --model=moviegen-30b --plan-only
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <map>
#include <random>
#include <vector>

#include "bench/op_runner.h"
#include "graph/elements.h"
#include "graph/format/hash.h"
#include "models/registry.h"
#include "models/toybox/toybox.h"
#include "runtime/component.h"

namespace zoetrope::bench {
namespace {

struct Options {
  std::string model = "wan2.1-1.3b";
  DType dtype = DType::kBF16;
  Bindings symbols;  // of a built-in model, over those of its example
  int steps = 5;
  double memory_gib = 0;  // budget on the device; 0: none
  bool plan_only = false;
  std::string json;
};

// Weights that begin alike (models/registry.h) read the same noise, so that a model of any size
// needs no file and little time.
class NoiseWeights : public WeightSource {
 public:
  NoiseWeights(const Graph& graph, DType dtype) : dtype_(dtype) {
    std::map<const Bytes*, int64_t> most;
    for (ValueId id : graph.weights()) {
      const Value& value = graph.value(id);
      Shape shape;
      for (const Dim& dim : value.dims) shape.push_back(dim.constant());
      parameters_ += shape.elements();
      const WeightInit init = initial_weight(value);
      Bytes* noise = &noise_[{static_cast<int>(init.kind), init.value}];
      most[noise] = std::max(most[noise], shape.elements());
      weights_[value.name] = {shape, noise};
    }
    for (auto& [init, noise] : noise_) fill(init.first, init.second, most[&noise], &noise);
  }
  Result<TensorType> type(std::string_view name) const override {
    return TensorType{dtype_, weights_.at(std::string(name)).shape};
  }
  Result<WeightData> load(std::string_view name) const override {
    const Weight& weight = weights_.at(std::string(name));
    return WeightData{{dtype_, weight.shape}, weight.noise->data(), nullptr};
  }
  int64_t parameters() const { return parameters_; }

 private:
  using Bytes = std::vector<char>;
  struct Weight {
    Shape shape;
    const Bytes* noise;
  };

  // One block of noise over and over: its length is odd, so that no two rows of a matrix are equal.
  void fill(int kind, double scale, int64_t count, Bytes* noise) const {
    std::mt19937 random(1);
    std::normal_distribution<double> normal;
    std::vector<double> block(static_cast<size_t>(std::min<int64_t>(count, 1'000'003)));
    const bool constant = kind == static_cast<int>(WeightInit::Kind::kConstant);
    for (double& v : block) v = constant ? scale : scale * normal(random);
    noise->resize(static_cast<size_t>(count * dtype_size(dtype_)));
    const auto bytes = block.size() * static_cast<size_t>(dtype_size(dtype_));
    store_elements(dtype_, noise->data(), static_cast<int64_t>(block.size()), block.data());
    for (size_t at = bytes; at < noise->size(); at += bytes)
      std::memcpy(noise->data() + at, noise->data(), std::min(bytes, noise->size() - at));
  }

  DType dtype_;
  int64_t parameters_ = 0;
  std::map<std::string, Weight> weights_;
  std::map<std::pair<int, double>, Bytes> noise_;
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
  ZT_ASSIGN_OR_RETURN(const BuiltinModel* const model, find_builtin_model(options.model));
  ZT_ASSIGN_OR_RETURN(std::vector<BuiltinPart> parts, model->build());
  return std::move(parts.front().components.front());
}

// What the model is bound to.
Result<Bindings> bindings_of(const Options& options) {
  Bindings bindings;
  if (const auto model = find_builtin_model(options.model); model.ok()) {
    bindings = (*model)->example;
  } else {
    bindings = kToyboxClip;
    if (options.model == "tae_decoder" || options.model == "codec_decoder") bindings["batch"] = 1;
  }
  for (const auto& [symbol, value] : options.symbols) {
    if (!bindings.contains(symbol))
      return error(Code::kInvalidArgument, options.model, " has no symbol '", symbol, "'");
    bindings[symbol] = value;
  }
  return bindings;
}

// Seconds and number of the last step's calls, by op and kernel.
std::string profile_json(const Session& session) {
  std::map<std::string, std::pair<double, int>> profile;
  for (size_t i = 0; i < session.plan().calls.size(); ++i) {
    const PlanCall& call = session.plan().calls[i];
    if (call.rate != Rate::kStep) continue;
    const Node& node = session.plan().graph.nodes[static_cast<size_t>(call.node)];
    auto& [seconds, calls] = profile[str(op_def(node.op).name, " ", call.kernel.name)];
    seconds += session.call_seconds()[i];
    ++calls;
  }
  std::vector<std::pair<std::string, std::pair<double, int>>> sorted(profile.begin(),
                                                                     profile.end());
  std::sort(sorted.begin(), sorted.end(),
            [](const auto& a, const auto& b) { return a.second.first > b.second.first; });
  std::string json;
  for (const auto& [name, entry] : sorted)
    json += str(json.empty() ? "" : ",", "\n    \"", name, "\": {\"seconds\": ", entry.first,
                ", \"calls\": ", entry.second, "}");
  return json;
}

// Of every output: equal work gives equal numbers, streamed or not.
Result<uint64_t> hash_outputs(Session& session) {
  uint64_t hash = 0;
  for (const PlanBinding& output : session.plan().outputs) {
    std::vector<uint8_t> bytes(static_cast<size_t>(output.ref.bytes));
    ZT_RETURN_IF_ERROR(session.get_output(output.name, bytes.data(), output.ref.bytes));
    hash = hash * 31 + hash_bytes(bytes);
  }
  return hash;
}

Status run(const Options& options) {
  const double begin = now();
  ZT_ASSIGN_OR_RETURN(const Graph graph, build_graph(options));
  const NoiseWeights weights(graph, options.dtype);
  CompileOptions compile;
  compile.compute = options.dtype;
  ZT_ASSIGN_OR_RETURN(compile.bindings, bindings_of(options));
  compile.memory_budget = static_cast<int64_t>(options.memory_gib * 0x1p30);
  ZT_ASSIGN_OR_RETURN(Plan plan, compile_component(graph, weights, device(), compile));
  const double planned = now();
  const double flops = plan.phase_cost[static_cast<size_t>(Rate::kStep)].flops +
                       plan.phase_cost[static_cast<size_t>(Rate::kTimestep)].flops;
  const PlanMemory memory = plan.memory;
  if (options.plan_only) {
    std::printf(
        "planned in %.3f s: %zu calls, %.1f GFLOP a step; arena %.3f GiB (at least %.3f), "
        "weights %.3f GiB\n",
        planned - begin, plan.calls.size(), flops / 1e9,
        static_cast<double>(memory.arena_bytes) / 0x1p30,
        static_cast<double>(memory.lower_bound_bytes) / 0x1p30,
        static_cast<double>(memory.packed_bytes + memory.raw_weight_bytes) / 0x1p30);
    return Status();
  }
  if (compile.memory_budget > 0 && memory.total_bytes() > compile.memory_budget)
    return error(Code::kResourceExhausted, options.model, " needs at least ",
                 format_bytes(static_cast<double>(memory.total_bytes())), ", all weights streamed");
  const StreamPlan stream = plan.stream;
  std::string symbols_text;
  for (const auto& [symbol, value] : compile.bindings)
    symbols_text += str(symbols_text.empty() ? "" : ",", symbol, "=", value);
  WeightStore store(device(), weights);
  ZT_ASSIGN_OR_RETURN(auto session, Session::create(std::move(plan), store));
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
  ZT_ASSIGN_OR_RETURN(const uint64_t hash, hash_outputs(*session));
  session->enable_profile();
  ZT_RETURN_IF_ERROR(set_noise(*session, 99, Rate::kTimestep));
  ZT_RETURN_IF_ERROR(session->run());

  const double median = steps[steps.size() / 2];
  std::string json = str(
      "{\n  \"model\": \"", options.model, "\", \"parameters\": ", weights.parameters(),
      ", \"symbols\": \"", symbols_text, "\", \"dtype\": \"", dtype_name(options.dtype),
      "\",\n  \"device\": \"", device().info().name, "\",\n  \"step_seconds_median\": ", median,
      ", \"step_seconds_min\": ", steps.front(), ",\n  \"step_gflop\": ", flops / 1e9,
      ", \"gflops\": ", flops / median / 1e9, ",\n  \"plan_seconds\": ", planned - begin,
      ", \"load_seconds\": ", loaded - planned, ", \"first_run_seconds\": ", first - loaded,
      ",\n  \"arena_bytes\": ", memory.arena_bytes, ", \"packed_bytes\": ", memory.packed_bytes,
      ", \"raw_weight_bytes\": ", memory.raw_weight_bytes, ", \"slot_bytes\": ", memory.slot_bytes,
      ", \"streamed_bytes\": ", stream.step_bytes, ", \"pinned_bytes\": ", stream.host_bytes,
      ", \"output_hash\": ", hash, ",\n  \"planned_bytes\": ", memory.total_bytes(),
      ", \"held_bytes\": ", device().allocated_bytes(), ",\n  \"step_kernels\": {",
      profile_json(*session), "}\n}\n");
  std::fputs(json.c_str(), stdout);
  if (!options.json.empty()) std::ofstream(options.json) << json;
  return Status();
}

Status parse(int argc, char** argv, Options* options) {
  for (int i = 1; i < argc; ++i) {
    if (std::string_view(argv[i]) == "--plan-only") {
      options->plan_only = true;
      continue;
    }
    const char* value = std::strchr(argv[i], '=');
    const std::string_view name(argv[i], value ? static_cast<size_t>(value - argv[i]) : 0);
    if (value == nullptr) return error(Code::kInvalidArgument, "expected --NAME=VALUE: ", argv[i]);
    ++value;
    if (name == "--model") {
      options->model = value;
    } else if (name == "--memory") {
      options->memory_gib = std::atof(value);
    } else if (name == "--set") {
      for (std::string_view list = value; !list.empty();) {
        const std::string item(list.substr(0, list.find(',')));
        list.remove_prefix(std::min(list.size(), item.size() + 1));
        const size_t equals = item.find('=');
        if (equals == std::string::npos)
          return error(Code::kInvalidArgument, "expected --set=SYMBOL=NUMBER,...: ", item);
        options->symbols[item.substr(0, equals)] = std::atoll(item.c_str() + equals + 1);
      }
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
