#include "bench/synthetic.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <set>

#include "graph/elements.h"
#include "graph/passes/pipeline.h"
#include "models/registry.h"
#include "models/toybox/toybox.h"
#include "runtime/plan/plan.h"

namespace zoetrope::bench {
namespace {

// The widths that models/toybox/train gives it; the default clip: 128x128, two seconds.
struct ToyboxPart {
  const char* name;
  Result<Graph> (*build)();
  int64_t batch;  // guidance doubles the denoiser's and the text's
};
constexpr ToyboxPart kToybox[] = {
    {"toybox-dit",
     [] {
       return build_toybox_dit({256, 6, 64, 640, 16, 32, 192, 256, 1e4, {12, 10, 10}, 100, 1e-6});
     },
     2},
    {"toybox-tae-decoder",
     [] {
       return build_toybox_tae_decoder(
           {16, {48, 96, 128}, {1, 1, 1}, 1, {64, 96, 128}, {2, 2, 1}, 1, 1e-6});
     },
     1},
    {"toybox-codec-decoder",
     [] {
       return build_toybox_codec_decoder({2,
                                          32,
                                          {4, 4, 5, 8},
                                          {24, 48, 64, 96, 128},
                                          {24, 48, 64, 96, 128},
                                          {{1, 3}, {1, 3}, {1, 3}, {1}},
                                          {{1, 3, 9}, {1, 3}, {1, 3}, {1, 3}}});
     },
     1},
    {"toybox-text-encoder",
     [] {
       return build_toybox_text_encoder({259, 256, 192, 3, 64, 384, 5, 1e4, 1e-6});
     },
     2},
};

struct Found {
  Graph graph;
  Bindings example;
};

Result<Found> find_network(const std::string& name) {
  for (const ToyboxPart& part : kToybox) {
    if (name != part.name) continue;
    ZT_ASSIGN_OR_RETURN(Graph graph, part.build());
    return Found{std::move(graph),
                 {{"batch", part.batch},
                  {"frames", 4},
                  {"height", 16},
                  {"width", 16},
                  {"audio_length", 50},
                  {"text_length", 64}}};
  }
  const size_t colon = name.find(':');
  const std::string wanted = colon == std::string::npos ? "" : name.substr(colon + 1);
  const auto model = find_builtin_model(name.substr(0, colon));
  if (!model.ok()) return error(Code::kNotFound, "no model '", name, "'; known: ", model_names());
  ZT_ASSIGN_OR_RETURN(std::vector<BuiltinPart> parts, (*model)->build());
  std::string components;
  for (BuiltinPart& part : parts)
    for (Graph& graph : part.components) {
      if (wanted.empty() || graph.name == wanted) return Found{std::move(graph), (*model)->example};
      components += str(components.empty() ? "" : ", ", graph.name);
    }
  return error(Code::kNotFound, (*model)->name, " has no component '", wanted,
               "'; it has: ", components);
}

Result<int64_t> longest_attention(const Graph& graph, const Bindings& symbols) {
  ZT_ASSIGN_OR_RETURN(const Graph bound, bind(graph, symbols));
  int64_t most = 0;
  for (const Node& node : bound.nodes)
    if (node.op == OpKind::kAttention)
      most = std::max(most, bound.value(node.inputs[0]).type.shape[1]);
  return most;
}

// The largest power of two, up to 8, that divides a and b: patches divide it too.
int64_t unit_of(int64_t a, int64_t b) {
  int64_t unit = 8;
  while (unit > 1 && (a % unit != 0 || b % unit != 0)) unit /= 2;
  return unit;
}

// Sizes of about `wanted` as many elements as the example's: frames as they are or fewer (more
// where one picture is not enough), then rows and columns. The least deviation wins, of the number
// first.
Bindings resize(const Bindings& example, const Bindings& set, double wanted) {
  const auto value = [&](const char* name) {
    const auto it = example.find(name);
    return it == example.end() ? int64_t{1} : it->second;
  };
  const int64_t frames = value("frames"), height = value("height"), width = value("width");
  const int64_t unit = unit_of(height, width);
  const double target = wanted * static_cast<double>(frames * height * width);
  Bindings best = example;
  double least = 1e300;
  const auto axis = [&](const char* name, int64_t now, int64_t step, int64_t most) {
    if (!example.contains(name) || set.contains(name)) return std::vector<int64_t>{now};
    std::vector<int64_t> values;
    for (int64_t v = step; v <= std::max(most, step); v += step) values.push_back(v);
    return values;
  };
  const auto off = [](double a, double b) { return std::abs(std::log(a / b)); };
  for (const int64_t f : axis("frames", frames, 1, 4 * frames))
    for (const int64_t h : axis("height", height, unit, 4 * height)) {
      // The width that fits best, and its neighbours.
      const double ideal = target / static_cast<double>(f * h);
      for (int64_t w : axis("width", width, unit, 4 * width)) {
        if (std::abs(static_cast<double>(w) - ideal) > static_cast<double>(unit) && w != width)
          continue;
        const double deviation = 4 * off(static_cast<double>(f * h * w), target) +
                                 0.1 * off(static_cast<double>(f), static_cast<double>(frames)) +
                                 0.2 * off(static_cast<double>(h), static_cast<double>(height)) +
                                 0.2 * off(static_cast<double>(w), static_cast<double>(width));
        if (deviation >= least) continue;
        least = deviation;
        if (best.contains("frames")) best["frames"] = f;
        if (best.contains("height")) best["height"] = h;
        if (best.contains("width")) best["width"] = w;
      }
    }
  return best;
}

}  // namespace

std::string Network::name() const {
  std::string text = model;
  for (const auto& [symbol, value] : symbols)
    text += str(text == model ? " " : ",", symbol, "=", value);
  return text;
}

bool Network::attends() const {
  return std::any_of(graph.nodes.begin(), graph.nodes.end(), [&](const Node& node) {
    return node.op == OpKind::kAttention && graph.value(node.outputs[0]).rate == Rate::kStep;
  });
}

std::string model_names() {
  std::string names;
  for (const ToyboxPart& part : kToybox) names += str(names.empty() ? "" : ", ", part.name);
  for (const BuiltinModel& model : builtin_models()) names += str(", ", model.name);
  return names + " (and MODEL:COMPONENT)";
}

Result<Network> make_network(const std::string& model, const Bindings& set, int64_t tokens) {
  ZT_ASSIGN_OR_RETURN(Found found, find_network(model));
  Network network{model, std::move(found.graph), {}, 0};
  const std::set<std::string> symbols = network.graph.symbols();
  for (const auto& [symbol, value] : set)
    if (!symbols.contains(symbol)) {
      std::string known;
      for (const std::string& s : symbols) known += str(known.empty() ? "" : ", ", s);
      return error(Code::kInvalidArgument, model, " has no symbol '", symbol, "'; it has: ", known);
    }
  std::string missing;
  for (const std::string& symbol : symbols) {
    const auto given = set.find(symbol);
    const auto example = found.example.find(symbol);
    if (given != set.end()) {
      network.symbols[symbol] = given->second;
    } else if (example != found.example.end()) {
      network.symbols[symbol] = example->second;
    } else {
      missing += str(missing.empty() ? "" : ", ", symbol);
    }
  }
  if (!missing.empty()) return error(Code::kInvalidArgument, model, " needs --set for: ", missing);
  ZT_ASSIGN_OR_RETURN(network.tokens, longest_attention(network.graph, network.symbols));
  if (tokens > 0 && network.tokens > 0 && tokens != network.tokens) {
    network.symbols = resize(network.symbols, set,
                             static_cast<double>(tokens) / static_cast<double>(network.tokens));
    ZT_ASSIGN_OR_RETURN(network.tokens, longest_attention(network.graph, network.symbols));
  }
  return network;
}

Result<std::vector<OpCase>> ops_of(const Network& network, DType compute) {
  PassOptions options;
  options.compute = compute;
  options.storage = [&](std::string_view) { return Result<DType>(compute); };
  ZT_ASSIGN_OR_RETURN(Graph bound, bind(network.graph, network.symbols));
  ZT_ASSIGN_OR_RETURN(const Graph graph, run_passes(std::move(bound), options));
  std::vector<OpCase> cases;
  std::set<std::string> seen;
  for (const Node& node : graph.nodes) {
    if (op_def(node.op).is_view || node.outputs.empty() ||
        graph.value(node.outputs[0]).rate < Rate::kTimestep)
      continue;
    OpCase c{node.op, {}, node.attrs, compute};
    for (const ValueId id : node.inputs) {
      if (id == kNone) {
        c.inputs.push_back({{}, false, false});
      } else {
        const Value& value = graph.value(id);
        c.inputs.push_back({value.type, value.kind == ValueKind::kWeight, true});
      }
    }
    if (seen.insert(case_name(c)).second) cases.push_back(std::move(c));
  }
  return cases;
}

NoiseWeights::NoiseWeights(const Graph& graph, DType dtype) : dtype_(dtype) {
  for (ValueId id : graph.weights()) {
    const Value& value = graph.value(id);
    Shape shape;
    for (const Dim& dim : value.dims) shape.push_back(dim.constant());
    const WeightInit init = initial_weight(value);
    const Key key{static_cast<int>(init.kind), init.value};
    most_[key] = std::max(most_[key], shape.elements());
    weights_[value.name] = {shape, key};
  }
}

Result<TensorType> NoiseWeights::type(std::string_view name) const {
  const auto it = weights_.find(name);
  if (it == weights_.end()) return error(Code::kNotFound, "no weight named ", name);
  return TensorType{dtype_, it->second.shape};
}

Result<WeightData> NoiseWeights::load(std::string_view name) const {
  ZT_ASSIGN_OR_RETURN(const TensorType wanted, type(name));
  const Key& key = weights_.find(name)->second.init;
  std::vector<char>& noise = noise_[key];
  if (noise.empty()) fill(key, &noise);
  return WeightData{wanted, noise.data(), nullptr};
}

// One block of noise over and over: its length is prime, so that no two rows of a matrix are equal.
void NoiseWeights::fill(const Key& init, std::vector<char>* noise) const {
  const int64_t count = most_.at(init);
  std::mt19937 random(1);
  std::normal_distribution<double> normal;
  std::vector<double> block(static_cast<size_t>(std::min<int64_t>(count, 1'000'003)));
  const bool constant = init.first == static_cast<int>(WeightInit::Kind::kConstant);
  for (double& v : block) v = constant ? init.second : init.second * normal(random);
  noise->resize(static_cast<size_t>(count * dtype_size(dtype_)));
  const auto bytes = block.size() * static_cast<size_t>(dtype_size(dtype_));
  store_elements(dtype_, noise->data(), static_cast<int64_t>(block.size()), block.data());
  for (size_t at = bytes; at < noise->size(); at += bytes)
    std::memcpy(noise->data() + at, noise->data(), std::min(bytes, noise->size() - at));
}

}  // namespace zoetrope::bench
