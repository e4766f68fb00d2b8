// Networks without a checkpoint: built-in models at a size, with noise for weights.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "bench/op_case.h"
#include "graph/graph.h"
#include "graph/weights.h"

namespace zoetrope::bench {

// A component bound to a size.
struct Network {
  std::string model;  // "wan2.1-1.3b", or "wan2.1-1.3b:vae_decoder"
  Graph graph;        // symbolic
  Bindings symbols;
  int64_t tokens = 0;  // longest sequence of its attention; 0: it has none

  // "wan2.1-1.3b batch=1,frames=21,...": equal for equal work.
  std::string name() const;
  // Whether any attention is computed at every step, as those are that may be of 8 bits.
  bool attends() const;
};

// `model`: a built-in one (its denoiser), or MODEL:COMPONENT; and the parts of Toybox, which
// model_names() lists too. `set` decides symbols; `tokens` above 0 takes a size of about so many,
// close to the example's proportions.
Result<Network> make_network(const std::string& model, const Bindings& set, int64_t tokens);
std::string model_names();

// The distinct ops of a step of the network as it is fused for `compute`.
Result<std::vector<OpCase>> ops_of(const Network& network, DType compute);

// Weights that begin alike (models/registry.h) read the same noise, so that a model of any size
// needs no file and little time.
class NoiseWeights : public WeightSource {
 public:
  NoiseWeights(const Graph& graph, DType dtype);
  Result<TensorType> type(std::string_view name) const override;
  // Generates at the first call.
  Result<WeightData> load(std::string_view name) const override;

 private:
  using Key = std::pair<int, double>;  // WeightInit
  struct Weight {
    Shape shape;
    Key init;
  };
  void fill(const Key& init, std::vector<char>* noise) const;

  const DType dtype_;
  std::map<std::string, Weight, std::less<>> weights_;
  std::map<Key, int64_t> most_;  // elements of the largest tensor
  mutable std::map<Key, std::vector<char>> noise_;
};

}  // namespace zoetrope::bench
