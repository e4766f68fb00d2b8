// The references against PyTorch in float64: torch_ops.safetensors, made by make_torch_fixtures.py.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "graph/elements.h"
#include "graph/evaluate.h"

using namespace zoetrope;
using nlohmann::json;

namespace {

struct Fixtures {
  json cases;
  std::map<std::string, std::pair<TensorType, EvalTensor>> tensors;
};

Fixtures read_fixtures() {
  const std::string path = ZOETROPE_SOURCE_DIR "/tests/conformance/torch_ops.safetensors";
  std::ifstream file(path, std::ios::binary);
  REQUIRE_MESSAGE(file.good(), path);
  const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof(length));
  const json header = json::parse(bytes.substr(8, length));
  Fixtures fixtures;
  fixtures.cases = json::parse(header["__metadata__"]["cases"].get<std::string>());
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") continue;
    const DType dtype = entry["dtype"] == "F64" ? DType::kF64 : DType::kI32;
    const auto dims = entry["shape"].get<std::vector<int64_t>>();
    EvalTensor tensor{Shape(dims), {}};
    tensor.data.resize(static_cast<size_t>(tensor.shape.elements()));
    load_elements(dtype, bytes.data() + 8 + length + entry["data_offsets"][0].get<size_t>(),
                  tensor.shape.elements(), tensor.data.data());
    fixtures.tensors[name] = {{dtype, tensor.shape}, std::move(tensor)};
  }
  return fixtures;
}

Attrs parse_attrs(const OpDef& def, const json& values) {
  Attrs attrs;
  for (const AttrSpec& spec : def.attrs) {
    const std::string name(spec.name);
    if (!values.contains(name)) continue;
    const json& value = values[name];
    switch (spec.type) {
      case AttrType::kBool: attrs.set(name, value.get<bool>()); break;
      case AttrType::kInt: attrs.set(name, Dim(value.get<int64_t>())); break;
      case AttrType::kFloat: attrs.set(name, value.get<double>()); break;
      case AttrType::kString: attrs.set(name, value.get<std::string>()); break;
      case AttrType::kInts: {
        const auto list = value.get<std::vector<int64_t>>();
        attrs.set(name, std::vector<Dim>(list.begin(), list.end()));
        break;
      }
      case AttrType::kFloats: attrs.set(name, value.get<std::vector<double>>()); break;
    }
  }
  CHECK_MESSAGE(attrs.items().size() == values.size(), def.name, ": an attribute is not ours");
  REQUIRE(verify_attrs(def, &attrs).ok());
  return attrs;
}

// Both sides compute in double. Fused ops go through their decompositions.
void check_case(const Fixtures& fixtures, const std::string& name, const json& entry) {
  const OpDef* def = find_op(entry["op"].get<std::string>());
  REQUIRE_MESSAGE(def != nullptr, name);
  const Attrs attrs = parse_attrs(*def, entry["attrs"]);
  std::vector<const TensorType*> types;
  std::vector<const EvalTensor*> inputs;
  for (size_t i = 0; i < entry["inputs"].get<size_t>(); ++i) {
    const auto it = fixtures.tensors.find(name + "/" + std::to_string(i));
    types.push_back(it == fixtures.tensors.end() ? nullptr : &it->second.first);
    inputs.push_back(it == fixtures.tensors.end() ? nullptr : &it->second.second);
  }
  auto found = reference_evaluate_node(*def, attrs, types, inputs);
  REQUIRE_MESSAGE(found.ok(), name, ": ", found.status().message());
  const EvalTensor& expected = fixtures.tensors.at(name + "/out").second;
  REQUIRE_MESSAGE((*found)[0].shape == expected.shape, name, ": ", (*found)[0].shape.to_string());
  double worst = 0;
  for (size_t i = 0; i < expected.data.size(); ++i)
    worst = std::max(worst, std::fabs((*found)[0].data[i] - expected.data[i]) /
                                (1 + std::fabs(expected.data[i])));
  CHECK_MESSAGE(worst < 1e-12, name, ": off by ", worst);
}

}  // namespace

TEST_CASE("the references agree with PyTorch in double") {
  const Fixtures fixtures = read_fixtures();
  REQUIRE(fixtures.cases.size() > 100);
  for (const auto& [name, entry] : fixtures.cases.items()) check_case(fixtures, name, entry);
}
