// Published DiTs, converted: shared by the tests in double and those on devices.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "converters/convert.h"
#include "graph/format/recipe.h"
#include "tests/format/small_model.h"
#include "tests/parity/fixture.h"

namespace zoetrope {

inline std::string published_dit(const std::string& name) {
  return std::string(ZOETROPE_SOURCE_DIR) + "/tests/parity/data/dit/" + name;
}

// A published model as a model file.
struct Converted {
  explicit Converted(ConvertOptions options) {
    options.output = folder.file("model.zoe");
    const Status status = convert(options);
    REQUIRE_MESSAGE(status.ok(), status.message());
    file = require_ok(ModelFile::open(options.output));
    recipe = require_ok(parse_recipe(file->info().recipe));
  }

  const Graph& component(const std::string& name) const {
    for (const Graph& graph : file->info().components)
      if (graph.name == name) return graph;
    REQUIRE_MESSAGE(false, "no component ", name);
    return file->info().components.front();
  }

  // Sizes of the inputs, as a component's symbols.
  Bindings bindings(const std::string& name, const EvalTensors& inputs) const {
    Bindings bindings{{"batch", inputs.begin()->second.shape[0]}};
    for (const auto& [input, tensor] : inputs)
      if (tensor.shape.rank() == 4)
        bindings["height"] = tensor.shape[1], bindings["width"] = tensor.shape[2];
    const auto symbols = component(name).symbols();
    std::erase_if(bindings, [&](const auto& b) { return !symbols.contains(b.first); });
    return bindings;
  }

  EvalTensors evaluate(const std::string& name, const EvalTensors& inputs,
                       const std::vector<std::string>& watch = {}) const {
    const Graph graph = require_ok(zoetrope::bind(component(name), bindings(name, inputs)));
    return require_ok(
        reference_evaluate(graph, inputs, *file, {.round_to_dtype = false, .watch = watch}));
  }

  TemporaryFolder folder;
  std::unique_ptr<ModelFile> file;
  Recipe recipe;
};

inline std::vector<std::string> tensor_names(const ModelFile& file) {
  std::vector<std::string> names;
  for (const TensorEntry& tensor : file.tensors()) names.push_back(tensor.name);
  return names;
}

}  // namespace zoetrope
