// Wan's transformers of every kind, converted from diffusers' folders, against diffusers: block by
// block and whole. make_wan.py wrote the fixtures.
#include "converters/convert.h"
#include "models/wan/wan.h"
#include "tests/parity/converted.h"
#include "tests/parity/wan_fixture.h"

using namespace zoetrope;

TEST_CASE("Wan's transformers equal diffusers', block by block") {
  for (const char* name : {"t2v", "t2v_bare", "i2v", "flf2v", "i2v_a14b", "ti2v"}) {
    CAPTURE(name);
    const SavedNetwork saved(name);
    const Converted model({.input = saved.folder, .output = ""});
    const Graph& graph = model.component("dit");
    for (const char* number : {"0", "1"}) {
      CAPTURE(number);
      const EvalTensors inputs = saved.inputs(number);
      if (inputs.empty()) continue;  // a picture's text has the published length alone
      std::vector<std::string> watch;
      const std::string prefix = std::string(number) + ".block.0.";
      const std::vector<std::string> blocks = saved.io.names(prefix);
      CHECK(blocks.size() == saved.json["num_layers"].get<size_t>());
      for (const std::string& block : blocks) watch.push_back(block + ".output");
      const Graph bound = require_ok(zoetrope::bind(graph, bindings_of(inputs)));
      const EvalTensors got = require_ok(reference_evaluate(
          bound, inputs, *model.file, {.round_to_dtype = false, .watch = watch}));
      for (const std::string& block : blocks)
        check_within(kBlockTolerance, block, got.at(block + ".output"),
                     saved.io.tensor(prefix + block));
      check_within(kForwardTolerance, "video_velocity", got.at("video_velocity"),
                   saved.io.tensor(std::string(number) + ".out.video_velocity"));
    }
  }
}

TEST_CASE("published sizes of Wan's transformers are as many parameters as published") {
  // 14.3 billion, and 16.4 with a picture's projections; 1.42 and 5.0.
  struct Size {
    WanConfig config;
    double least, most;
  };
  const Size sizes[] = {{wan_1_3b(), 1.3e9, 1.5e9},       {wan_14b(), 14.0e9, 14.5e9},
                        {wan_i2v_14b(), 16.0e9, 16.6e9},  {wan_flf2v_14b(), 16.0e9, 16.6e9},
                        {wan_i2v_a14b(), 14.0e9, 14.5e9}, {wan_ti2v_5b(), 4.9e9, 5.1e9}};
  for (const Size& size : sizes) {
    const Graph graph = require_ok(build_wan_dit(size.config));
    double parameters = 0;
    for (const ValueId id : graph.weights()) {
      double n = 1;
      for (const Dim& dim : graph.value(id).dims) n *= static_cast<double>(dim.constant());
      parameters += n;
    }
    CHECK(parameters > size.least);
    CHECK(parameters < size.most);
  }
}
