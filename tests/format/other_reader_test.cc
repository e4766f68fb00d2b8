// The format page is enough to write a reader: one in Python, written from it, sees what we wrote.
#include <doctest/doctest.h>
#include <sys/wait.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "graph/format/model_file.h"
#include "tests/format/small_model.h"
#include "tests/skip.h"

using namespace zoetrope;

namespace {

struct Output {
  int code = -1;
  std::string text;
};

Output run_reader(const std::string& path) {
  const std::string command =
      "python3 '" + std::string(ZOETROPE_SOURCE_DIR) + "/tests/format/read_zoe.py' '" + path + "'";
  Output out;
  FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return out;
  char buffer[4096];
  for (size_t n; (n = fread(buffer, 1, sizeof(buffer), pipe)) > 0;) out.text.append(buffer, n);
  const int status = pclose(pipe);
  out.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return out;
}

}  // namespace

TEST_CASE("a reader in another language sees the same model") {
  const TemporaryFolder folder;
  const std::string path = folder.file("m.zoe");
  REQUIRE(write_model(path, small_model_info(), small_model_tensors()).ok());
  const Output out = run_reader(path);
  if (out.code == 77 || out.code == 127) {
    skip("needs python3 and libxxhash");
    return;
  }
  REQUIRE(out.code == 0);
  const auto json = nlohmann::json::parse(out.text);
  const auto file = ModelFile::open(path);
  REQUIRE(file.ok());
  const ModelInfo& info = (*file)->info();
  CHECK(json["name"] == info.name);
  CHECK(json["family"] == info.family);
  CHECK(json["vocabulary"] == info.vocabulary);
  CHECK(json["captions"] == info.captions);
  REQUIRE(json["tokenizers"].size() == info.tokenizers.size());
  for (size_t i = 0; i < info.tokenizers.size(); ++i) {
    CHECK(json["tokenizers"][i]["name"] == info.tokenizers[i].name);
    CHECK(json["tokenizers"][i]["kind"] == info.tokenizers[i].kind);
    CHECK(json["tokenizers"][i]["data"] == info.tokenizers[i].data);
  }
  CHECK(json["recipe"] == info.recipe);
  CHECK(json["provenance"] == info.provenance);
  CHECK(json["licence"] == info.licence);
  CHECK(json["quantisation"] == info.quantisation);

  REQUIRE(json["components"].size() == info.components.size());
  for (size_t g = 0; g < info.components.size(); ++g) {
    const Graph& graph = info.components[g];
    const auto& got = json["components"][g];
    CHECK(got["name"] == graph.name);
    REQUIRE(got["nodes"].size() == graph.nodes.size());
    for (size_t n = 0; n < graph.nodes.size(); ++n) {
      CHECK(got["nodes"][n]["op"] == op_def(graph.nodes[n].op).name);
      CHECK(got["nodes"][n]["name"] == graph.nodes[n].name);
      for (size_t i = 0; i < graph.nodes[n].inputs.size(); ++i) {
        const ValueId id = graph.nodes[n].inputs[i];
        CHECK(got["nodes"][n]["inputs"][i] ==
              (id < 0 ? nlohmann::json() : nlohmann::json(graph.value(id).name)));
      }
    }
    CHECK(got["states"].size() == graph.states.size());
  }
  CHECK(json["components"][0]["inputs"][0]["dims"] == "batch;height * 2;6");

  REQUIRE(json["tensors"].size() == (*file)->tensors().size());
  for (size_t t = 0; t < (*file)->tensors().size(); ++t) {
    const TensorEntry& entry = (*file)->tensors()[t];
    const auto& got = json["tensors"][t];
    CAPTURE(entry.name);
    CHECK(got["name"] == entry.name);
    CHECK(got["dtype"] == dtype_name(entry.type.dtype));
    CHECK(got["synthetic"] == entry.synthetic.has_value());
    REQUIRE(got["values"].size() == static_cast<size_t>(entry.type.shape.elements()));
    const auto data = (*file)->load(entry.name);
    REQUIRE(data.ok());
    for (int64_t i = 0; i < entry.type.shape.elements(); ++i)
      REQUIRE(got["values"][static_cast<size_t>(i)].get<double>() ==
              load_element(entry.type.dtype, data->data, i));
  }
}

TEST_CASE("a reader in another language refuses a damaged file") {
  const TemporaryFolder folder;
  const std::string path = folder.file("m.zoe");
  REQUIRE(write_model(path, small_model_info(), small_model_tensors()).ok());
  auto bytes = read_bytes(path);
  bytes.back() ^= 1;
  write_bytes(path, bytes);
  CHECK(run_reader(path).code != 0);
}
