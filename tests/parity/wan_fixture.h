// What the parity tests of Wan's parts share: a network as its library saved it, and what the
// library computed with it (make_wan.py).
#pragma once

#include <fstream>

#include "graph/format/model_file.h"
#include "tests/parity/fixture.h"

namespace zoetrope {

inline constexpr double kBlockTolerance = 1e-5, kForwardTolerance = 1e-4;

struct SavedNetwork {
  // tests/parity/data/wan/<name> and <name>_io.safetensors
  explicit SavedNetwork(const std::string& name)
      : folder(std::string(ZOETROPE_SOURCE_DIR) + "/tests/parity/data/wan/" + name),
        io("wan/" + name + "_io"),
        json(nlohmann::json::parse(std::ifstream(folder + "/config.json"))) {}

  // Inputs "<number>.in.*" of a case.
  EvalTensors inputs(const std::string& number) const {
    EvalTensors found;
    for (const std::string& name : io.names(number + ".in."))
      found[name] = io.tensor(number + ".in." + name);
    return found;
  }

  std::string folder;
  ParityFixture io;
  nlohmann::json json;
};

// A transformer's symbols from its inputs.
inline Bindings bindings_of(const EvalTensors& inputs) {
  const Shape& video = inputs.at("video").shape;
  Bindings bindings{{"batch", video[0]},
                    {"frames", video[1]},
                    {"height", video[2]},
                    {"width", video[3]},
                    {"text_length", inputs.at("text").shape[1]}};
  if (inputs.contains("image")) bindings["image_length"] = inputs.at("image").shape[1];
  return bindings;
}

inline void check_within(double tolerance, const std::string& name, const EvalTensor& got,
                         const EvalTensor& expected) {
  CAPTURE(name);
  REQUIRE(got.shape == expected.shape);
  const double error = relative_error(got, expected);
  CHECK_MESSAGE(error <= tolerance, name, ": relative error ", error);
}

}  // namespace zoetrope
