// DiT and its autoencoder on devices, against diffusers: in f32, and in bf16 no further from f32
// than PyTorch's own bf16 is.
#include "runtime/component.h"
#include "tests/devices.h"
#include "tests/format/published.h"
#include "tests/parity/converted.h"

using namespace zoetrope;

namespace {

EvalTensors run_on(Device& device, const Converted& model, const std::string& component,
                   const EvalTensors& inputs, DType compute) {
  CompileOptions options;
  options.bindings = model.bindings(component, inputs);
  options.compute = compute;
  Plan plan =
      require_ok(compile_component(model.component(component), *model.file, device, options));
  WeightStore store(device, *model.file);
  const auto session = require_ok(Session::create(std::move(plan), store));
  for (const auto& [name, tensor] : inputs) {
    const TensorType* type = session->input_type(name);
    REQUIRE(type != nullptr);
    std::vector<uint8_t> bytes(static_cast<size_t>(type->bytes()));
    for (size_t i = 0; i < tensor.data.size(); ++i)
      store_element(type->dtype, bytes.data(), static_cast<int64_t>(i), tensor.data[i]);
    REQUIRE(session->set_input(name, bytes.data(), type->bytes()).ok());
  }
  const Status status = session->run();
  REQUIRE_MESSAGE(status.ok(), status.message());
  EvalTensors outputs;
  for (const GraphOutput& output : model.component(component).outputs) {
    const TensorType* type = session->output_type(output.name);
    REQUIRE(type != nullptr);
    std::vector<uint8_t> bytes(static_cast<size_t>(type->bytes()));
    REQUIRE(session->get_output(output.name, bytes.data(), type->bytes()).ok());
    EvalTensor& tensor = outputs[output.name];
    tensor.shape = type->shape;
    for (int64_t i = 0; i < type->shape.elements(); ++i)
      tensor.data.push_back(load_element(type->dtype, bytes.data(), i));
  }
  return outputs;
}

void check_on(const std::string& backend) {
  if (!needs_device(backend)) return;
  const auto device = require_ok(open_device(backend, {}));
  const Converted model({.input = published_dit("pipeline"), .output = ""});
  struct Part {
    const char* component;
    std::vector<std::string> inputs;
    std::vector<std::pair<const char*, int>> fixtures;  // and how many cases they have
  };
  const Part parts[] = {{"dit", {"latents", "time", "labels"}, {{"pipeline_io", 3}}},
                        {"encoder", {"image"}, {{"vae_io", 2}}},
                        {"decoder", {"latents"}, {{"vae_io", 2}, {"decodings", 24}}}};
  for (const Part& part : parts) {
    const std::string component = part.component;
    CAPTURE(component);
    // Of a few hundred values each, so their roundings' luck is averaged.
    double ours = 0, theirs = 0;
    for (const auto& [file, cases] : part.fixtures) {
      const ParityFixture fixture(std::string("dit/") + file);
      CAPTURE(std::string(file));
      for (int i = 0; i < cases; ++i) {
        const std::string number = std::to_string(i);
        EvalTensors inputs;
        for (const std::string& name : part.inputs)
          inputs[name] = fixture.tensor(number + ".in." + name);
        const EvalTensors exact = run_on(*device, model, component, inputs, DType::kF32);
        const EvalTensors narrow = run_on(*device, model, component, inputs, DType::kBF16);
        for (const auto& [name, got] : exact) {
          CAPTURE(name);
          CAPTURE(i);
          const EvalTensor expected = fixture.tensor(number + ".out." + name);
          CHECK(relative_error(got, expected) <= 1e-4);
          ours += relative_error(narrow.at(name), expected);
          theirs += relative_error(fixture.tensor(number + ".bf16." + name), expected);
        }
      }
    }
    MESSAGE(component, " on ", backend, " in bf16: ", ours / theirs, " of PyTorch's error");
    CHECK(ours <= theirs);
  }
}

}  // namespace

TEST_CASE("a network with 8-bit weights runs") {
  const Published folder("parity/data/dit/plain");
  folder.edit_weights("", [](StoredTensors& t) {
    for (auto& [key, tensor] : t) {
      StoredTensor narrow = tensor;
      narrow.become(DType::kF8E4M3);
      for (size_t i = 0; i < narrow.bytes.size(); ++i)
        narrow.set(static_cast<int64_t>(i),
                   load_element(tensor.dtype, tensor.bytes.data(), static_cast<int64_t>(i)));
      tensor = narrow;
    }
  });
  const Converted model({.input = folder.path(), .output = ""});
  const ParityFixture fixture("dit/plain_io");
  EvalTensors inputs;
  for (const char* name : {"latents", "time", "labels"})
    inputs[name] = fixture.tensor(std::string("1.in.") + name);
  const auto device = require_ok(open_device("cpu", {}));
  CHECK(relative_error(run_on(*device, model, "dit", inputs, DType::kF32).at("output"),
                       model.evaluate("dit", inputs).at("output")) <= 1e-4);
}

TEST_CASE("DiT on the CPU equals diffusers'") { check_on("cpu"); }
TEST_CASE("DiT on Vulkan equals diffusers'") { check_on("vulkan"); }
TEST_CASE("DiT on CUDA equals diffusers'") { check_on("cuda"); }
