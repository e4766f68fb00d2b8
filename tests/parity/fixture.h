// Fixtures of the parity tests: safetensors files with weights, inputs, outputs and intermediates
// that PyTorch computed.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "converters/checkpoint.h"
#include "converters/weight_map.h"
#include "graph/evaluate.h"

namespace zoetrope {

// Largest relative error, in the Euclidean norm, of a tensor against PyTorch's in f32.
inline constexpr double kParityTolerance = 1e-4;

class ParityFixture {
 public:
  // tests/parity/data/<name>.safetensors, or <folder>/<name>.safetensors
  explicit ParityFixture(const std::string& name,
                         const std::string& folder = ZOETROPE_SOURCE_DIR "/tests/parity/data") {
    auto opened = open_safetensors(folder + "/" + name + ".safetensors");
    REQUIRE_MESSAGE(opened.ok(), opened.status().message());
    file_ = std::move(*opened);
  }

  const Checkpoint& file() const { return *file_; }
  const std::string& metadata(const char* key) const { return file_->metadata().at(key); }

  EvalTensor tensor(const std::string& name) const {
    auto data = file_->load(name);
    REQUIRE_MESSAGE(data.ok(), data.status().message());
    EvalTensor out{data->type.shape, {}};
    for (int64_t i = 0; i < out.shape.elements(); ++i)
      out.data.push_back(load_element(data->type.dtype, data->data, i));
    return out;
  }

  // Names with this prefix, without it.
  std::vector<std::string> names(const std::string& prefix) const {
    std::vector<std::string> found;
    for (const std::string& name : file_->names())
      if (name.starts_with(prefix)) found.push_back(name.substr(prefix.size()));
    return found;
  }

  // Every weight of `graph` under its own name.
  WeightMap weights(const Graph& graph) const {
    auto map = WeightMap::create(*file_, {graph}, [](const std::string& n) { return n; });
    REQUIRE_MESSAGE(map.ok(), map.status().message());
    return std::move(*map);
  }

  // Outputs, and the values named in `watch`, in double.
  EvalTensors evaluate(const Graph& symbolic, const Bindings& bindings, const EvalTensors& inputs,
                       const std::vector<std::string>& watch = {}) const {
    auto graph = bind(symbolic, bindings);
    REQUIRE_MESSAGE(graph.ok(), graph.status().message());
    auto result = reference_evaluate(*graph, inputs, weights(symbolic),
                                     {.round_to_dtype = false, .watch = watch});
    REQUIRE_MESSAGE(result.ok(), result.status().message());
    return std::move(*result);
  }

 private:
  std::unique_ptr<Checkpoint> file_;
};

// |a − b| / |b| in the Euclidean norm.
inline double relative_error(const EvalTensor& a, const EvalTensor& b) {
  double difference = 0, norm = 0;
  for (size_t i = 0; i < b.data.size(); ++i) {
    difference += (a.data[i] - b.data[i]) * (a.data[i] - b.data[i]);
    norm += b.data[i] * b.data[i];
  }
  return std::sqrt(difference / std::max(norm, 1e-30));
}

inline void check_close(const std::string& name, const EvalTensors& got,
                        const EvalTensor& expected) {
  const auto it = got.find(name);
  REQUIRE_MESSAGE(it != got.end(), name, " was not computed");
  REQUIRE(it->second.data.size() == expected.data.size());
  const double error = relative_error(it->second, expected);
  CHECK_MESSAGE(error <= kParityTolerance, name, ": relative error ", error);
}

template <typename T>
T require_ok(Result<T> result) {
  REQUIRE_MESSAGE(result.ok(), result.status().message());
  return std::move(*result);
}

}  // namespace zoetrope
