// What the parity tests of Wan's parts share: a network as its library saved it, and what the
// library computed with it (make_wan.py).
#pragma once

#include <fstream>

#include "tests/parity/fixture.h"

namespace zoetrope {

inline constexpr double kBlockTolerance = 1e-5, kForwardTolerance = 1e-4;

struct SavedNetwork {
  // tests/parity/data/wan/<name> and <name>_io.safetensors
  explicit SavedNetwork(const std::string& name)
      : folder(std::string(ZOETROPE_SOURCE_DIR) + "/tests/parity/data/wan/" + name),
        io("wan/" + name + "_io"),
        checkpoint(require_ok(open_checkpoint(folder))),
        json(nlohmann::json::parse(std::ifstream(folder + "/config.json"))) {}

  WeightMap weights(const Graph& graph) const {
    return require_ok(
        WeightMap::create(*checkpoint, {graph}, [](const std::string& n) { return n; }));
  }

  // Inputs "<number>.in.*" of a case.
  EvalTensors inputs(const std::string& number) const {
    EvalTensors found;
    for (const std::string& name : io.names(number + ".in."))
      found[name] = io.tensor(number + ".in." + name);
    return found;
  }

  EvalTensors evaluate(const Graph& symbolic, const Bindings& bindings, const EvalTensors& inputs,
                       const std::vector<std::string>& watch = {}) const {
    const Graph graph = require_ok(zoetrope::bind(symbolic, bindings));
    return require_ok(reference_evaluate(graph, inputs, weights(symbolic),
                                         {.round_to_dtype = false, .watch = watch}));
  }

  std::string folder;
  ParityFixture io;
  std::unique_ptr<Checkpoint> checkpoint;
  nlohmann::json json;
};

inline void check_within(double tolerance, const std::string& name, const EvalTensor& got,
                         const EvalTensor& expected) {
  CAPTURE(name);
  REQUIRE(got.shape == expected.shape);
  const double error = relative_error(got, expected);
  CHECK_MESSAGE(error <= tolerance, name, ": relative error ", error);
}

}  // namespace zoetrope
