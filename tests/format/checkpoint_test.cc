#include <doctest/doctest.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "converters/checkpoint.h"
#include "converters/pickle.h"
#include "converters/zip.h"
#include "tests/format/small_model.h"

using namespace zoetrope;

namespace {

std::string data_file(const char* name) {
  return std::string(ZOETROPE_SOURCE_DIR) + "/tests/format/data/" + name;
}

std::unique_ptr<Checkpoint> opened(Result<std::unique_ptr<Checkpoint>> result) {
  REQUIRE_MESSAGE(result.ok(), result.status().message());
  return std::move(*result);
}

std::vector<double> values(const Checkpoint& checkpoint, const std::string& name) {
  auto data = checkpoint.load(name);
  REQUIRE_MESSAGE(data.ok(), data.status().message());
  std::vector<double> out;
  for (int64_t i = 0; i < data->type.shape.elements(); ++i)
    out.push_back(load_element(data->type.dtype, data->data, i));
  return out;
}

bool mentions(const Status& status, const std::string& what) {
  return !status.ok() && status.message().find(what) != std::string::npos;
}

void write_text(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

std::string safetensors(const std::string& header, size_t data_bytes) {
  std::string out(8, '\0');
  const uint64_t length = header.size();
  std::memcpy(out.data(), &length, 8);
  out += header;
  for (size_t i = 0; i < data_bytes; ++i) out += static_cast<char>(i);
  return out;
}

}  // namespace

TEST_CASE("a PyTorch file gives its tensors, whatever their strides") {
  const auto file = opened(open_torch(data_file("tiny.pt")));
  CHECK(file->names() == std::vector<std::string>{"column", "empty", "flags", "half", "list.0",
                                                  "long", "parameter", "row", "scalar",
                                                  "state_dict.bias", "state_dict.weight",
                                                  "transposed"});
  CHECK(file->type("state_dict.weight")->to_string() == "f32[2, 3]");
  CHECK(file->type("parameter")->to_string() == "bf16[2, 2]");
  CHECK(file->type("transposed")->to_string() == "f32[4, 2, 3]");
  CHECK(values(*file, "state_dict.weight") == std::vector<double>{0, 1, 2, 3, 4, 5});
  CHECK(values(*file, "parameter") == std::vector<double>{0, 1, 2, 3});
  CHECK(values(*file, "row") == std::vector<double>{10, 11, 12, 13, 14});
  CHECK(values(*file, "column") == std::vector<double>{3, 8, 13, 18});
  CHECK(values(*file, "half") == std::vector<double>{0, 1, 2});
  CHECK(values(*file, "long") == std::vector<double>{0, 1, 2});
  CHECK(values(*file, "flags") == std::vector<double>{1, 0});
  CHECK(values(*file, "empty").empty());
  CHECK(values(*file, "scalar") == std::vector<double>{2.5});
  const auto transposed = values(*file, "transposed");  // [k][i][j] was [i][j][k]
  for (int k = 0; k < 4; ++k)
    for (int i = 0; i < 2; ++i)
      for (int j = 0; j < 3; ++j)
        CHECK(transposed[static_cast<size_t>((k * 2 + i) * 3 + j)] == (i * 3 + j) * 4 + k);
}

TEST_CASE("a damaged member of a PyTorch file is refused when it is read") {
  const TemporaryFolder folder;
  const std::string path = folder.file("damaged.pt");
  std::vector<uint8_t> good = read_bytes(data_file("tiny.pt"));
  const auto entries = read_zip(good);
  REQUIRE(entries.ok());
  const auto damaged = [&](const std::string& member) {
    std::vector<uint8_t> bytes = good;
    bytes[static_cast<size_t>(entries->at(member).bytes.data() - good.data())] ^= 1;
    write_text(path, {bytes.begin(), bytes.end()});
    return open_torch(path);
  };
  CHECK(mentions(damaged("tiny/data.pkl").status(), "data.pkl: the file is damaged"));
  {
    const auto file = opened(damaged("tiny/data/0"));
    CHECK(mentions(file->load("state_dict.weight").status(),
                   "tensor 'state_dict.weight': the file is damaged"));
    CHECK(values(*file, "half") == std::vector<double>{0, 1, 2});
  }
  CHECK(damaged("tiny/byteorder").status().code() == Code::kUnsupported);
  // A file saved with torch.serialization.set_crc32_options(False) states 0.
  for (size_t i = 0; i + 20 <= good.size(); ++i)
    if (std::memcmp(&good[i], "PK\1\2", 4) == 0) std::memset(&good[i + 16], 0, 4);
  CHECK(values(*opened(damaged("tiny/data/0")), "state_dict.weight").size() == 6);
}

TEST_CASE("what a pickle would call is not run, and an error only where a tensor is wanted") {
  const auto file = opened(open_torch(data_file("hostile.pt")));
  CHECK(file->names() == std::vector<std::string>{"weight"});
  CHECK(mentions(file->type("trick").status(), "posix.system"));
  CHECK(file->type("trick").status().code() == Code::kUnsupported);
  CHECK(mentions(file->load("trick").status(), "posix.system"));
  CHECK(file->remark().find("'trick' is an object of posix.system") != std::string::npos);
  CHECK(!std::filesystem::exists("/tmp/zoetrope-was-tricked"));
  CHECK(mentions(open_torch(data_file("compressed.pt")).status(), "compressed"));
}

TEST_CASE("objects of other kinds stand beside tensors without being made") {
  const auto parse = [](const std::string& text) {
    return Pickle::parse({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  };
  const auto opaque = [&](const std::string& text) -> std::string {
    const auto pickle = parse(text);
    REQUIRE_MESSAGE(pickle.ok(), pickle.status().message());
    return pickle->root().kind == PickleValue::Kind::kOpaque ? pickle->root().text : "";
  };
  const std::string begin = "\x80\x02";
  CHECK(opaque(begin + "cargparse\nNamespace\n)\x81}U\1aK\1sb.") == "argparse.Namespace");
  CHECK(opaque(begin + "cbuiltins\neval\nU\1x\x85R.") == "builtins.eval");
  // What a call gives may be called, filled and built upon: nothing of it is kept.
  CHECK(opaque(begin + "ca\nb\n)R)R.") == "a.b");
  CHECK(opaque(begin + "ca\nb\n)R(K\1K\2e.") == "a.b");
  CHECK(opaque(begin + "ca\nb\n)R(K\1K\2u.") == "a.b");
  CHECK(opaque(begin + "ca\nb\n)}\x92.") == "a.b");
  CHECK(opaque(begin + "C\3abc.") == "bytes");
  CHECK(parse(begin + "cos\nsystem\n.")->root().kind == PickleValue::Kind::kGlobal);
  // What its argument would make of keys that are missing is not asked for.
  CHECK(parse(begin + "ccollections\ndefaultdict\ncbuiltins\nlist\n\x85R.")->root().kind ==
        PickleValue::Kind::kDict);
  const auto refused = [&](const std::string& text, const char* what) {
    const auto pickle = parse(text);
    return !pickle.ok() && mentions(pickle.status(), what);
  };
  CHECK(refused(begin + "\x81.", "empty"));
  CHECK(refused(begin + "i", "0x69"));  // INST, of protocol 0
  CHECK(refused(begin + "K\1)R.", "not a call"));
  CHECK(refused(begin + "K\1)\x81.", "not a class"));
  CHECK(refused(begin + "C\377abc.", "bytes"));
  CHECK(refused("\x80\x09.", "protocol 9"));
  CHECK(refused("N(u.", "a dict"));
  CHECK(refused("(.", "empty"));
  CHECK_FALSE(parse("").ok());
  CHECK_FALSE(parse("(((((").ok());
}

TEST_CASE("an 8-bit float keeps its dtype, and a training run's leftovers are passed over") {
  const auto file = opened(open_torch(data_file("training.pt")));
  CHECK(file->names() ==
        std::vector<std::string>{"buffer", "ema.w", "f8", "model.w", "opt.state.0.exp_avg"});
  CHECK(file->type("f8")->to_string() == "f8e4m3[4]");
  CHECK(values(*file, "f8") == std::vector<double>{0, 0.5, -448, 1.125});
  CHECK(values(*file, "ema.w") == std::vector<double>{0, 1, 2});
  CHECK(values(*file, "buffer") == std::vector<double>{0, 1});
  for (const char* name : {"args", "loss", "dtype", "device", "complex"})
    CHECK(file->type(name).status().code() == Code::kUnsupported);
  CHECK(mentions(file->type("args").status(), "argparse.Namespace"));
}

TEST_CASE("a tensor whose sign is left to the reader is refused where it is wanted") {
  const auto file = opened(open_torch(data_file("negated.pt")));
  CHECK(file->type("plain").ok());
  CHECK(mentions(file->type("weight").status(), "resolve_neg()"));
  CHECK(file->load("weight").status().code() == Code::kUnsupported);
}

TEST_CASE("tensors that show their storage more than once are whole, quantised ones numbers") {
  const auto file = opened(open_torch(data_file("kinds.pt")));
  CHECK(file->names() == std::vector<std::string>{"everywhere", "expanded", "parameter", "signed",
                                                  "unsigned", "windows"});
  CHECK(file->type("expanded")->to_string() == "f32[2, 3]");
  CHECK(file->type("signed")->to_string() == "f32[3, 2]");
  // As make_torch_fixtures.py prints them.
  CHECK(values(*file, "expanded") == std::vector<double>{0, 1, 2, 0, 1, 2});
  CHECK(values(*file, "everywhere") == std::vector<double>{2.5, 2.5, 2.5, 2.5});
  CHECK(values(*file, "windows") == std::vector<double>{0, 1, 2, 1, 2, 3});
  CHECK(values(*file, "parameter") == std::vector<double>{0, 0, 1, 1});
  CHECK(values(*file, "unsigned") == std::vector<double>{0.5, -1, 1.5, 2, -2.5, 3});
  CHECK(values(*file, "signed") == std::vector<double>{0.5, 2, -1, -2.5, 1.5, 3});
}

TEST_CASE("a tensor of a kind that is not read is called what it is, also through wrappers") {
  const TemporaryFolder folder;
  std::filesystem::copy_file(data_file("kinds.pt"), folder.file("kinds.pt"));
  write_text(folder.file("config.json"), "{}");
  const auto alone = opened(open_torch(data_file("kinds.pt")));
  const auto joined = opened(open_checkpoint(folder.file("kinds.pt")));
  for (const auto& [name, what] : {std::pair{"sparse", "to_dense()"},
                                   {"rows", "to_dense()"},
                                   {"by_channel", "dequantize()"},
                                   {"meta", "meta device"},
                                   {"nested", "nested"},
                                   {"complex", "complex"},
                                   {"conjugate", "complex"},
                                   {"short", "ShortStorage"},
                                   {"deep", "7 dimensions"},
                                   {"huge", "contiguous()"},
                                   {"array", "NumPy"}}) {
    CAPTURE(name);
    for (const Checkpoint* file : {alone.get(), joined.get()}) {
      CHECK(file->type(name).status().code() == Code::kUnsupported);
      CHECK(mentions(file->load(name).status(), str("'", name, "' is a ")));
      CHECK(mentions(file->load(name).status(), what));
    }
  }
  CHECK(alone->type("absent").status().code() == Code::kNotFound);
}

TEST_CASE("folders of checkpoints in parts say how they are joined") {
  for (const auto& [name, tool] :
       {std::pair{"__0_0.distcp", "dcp_to_torch"}, {"zero_to_fp32.py", "zero_to_fp32.py"}}) {
    const TemporaryFolder run;
    write_text(run.file(name), "x");
    const Status status = open_checkpoint(run.file("")).status();
    CHECK(status.code() == Code::kUnsupported);
    CHECK(mentions(status, tool));
  }
}

TEST_CASE("a file that is no checkpoint says so") {
  const TemporaryFolder folder;
  write_text(folder.file("a.pt"), "\x80\x02\x8a\x0al\xfc\x9c");
  CHECK(mentions(open_checkpoint(folder.file("a.pt")).status(),
                 "not a PyTorch file of the ZIP kind"));
  write_text(folder.file("b.safetensors"), "short");
  CHECK(mentions(open_checkpoint(folder.file("b.safetensors")).status(), "too short"));
  CHECK(open_checkpoint(folder.file("absent")).status().code() == Code::kNotFound);
  std::filesystem::create_directory(folder.file("empty"));
  CHECK(mentions(open_checkpoint(folder.file("empty")).status(), "holds no"));
}

TEST_CASE("what people have in place of weights is called what it is") {
  const TemporaryFolder folder;
  const std::pair<std::string, const char*> cases[] = {
      {"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n", "git lfs pull"},
      {"<!DOCTYPE html>\n<html>", "web page"},
      {"\n  <HTML><head>", "web page"},
      {"\xef\xbb\xbf<?xml version='1.0'?>", "web page"},
      {std::string("GGUF\3\0\0\0", 8), "GGUF"},
      {"\x1f\x8b\x08 and so on", "gzip"},
      {std::string("ZOETROPE\1\0", 10), ".zoe model already"},
      {"{\"error\": \"Repository not found\"}", "text, not weights"},
      {"Access denied", "text, not weights"},
      {"\xff\xd8\xff\xe0 and so on", "JPEG"},
      {std::string("\0\0\0\x20", 4) + "ftypisom and so on", "MP4"},
      {std::string("\x1c\0\0\0TFL3 and so on", 22), "TensorFlow Lite"},
      {"ftrt and so on", "TensorRT"},
      {"lmgg and so on", "GGML"},
      {"\x08\x07\x12\x07pytorch and so on", "ONNX"},
      {"", "empty"},
  };
  for (const auto& [bytes, what] : cases)
    for (const char* name : {"m.safetensors", "m.pt", "m.bin", "m"}) {
      CAPTURE(what);
      write_text(folder.file(name), bytes);
      CHECK(mentions(open_checkpoint(folder.file(name)).status(), what));
    }
  // Shards too: a clone without git-lfs has pointers behind a whole index.
  write_text(folder.file("s-1.safetensors"), cases[0].first);
  write_text(folder.file("s.safetensors.index.json"), R"({"weight_map":{"a":"s-1.safetensors"}})");
  CHECK(mentions(open_sharded(folder.file("s.safetensors.index.json")).status(), "git lfs pull"));
  // A terminal's control sequences do not come through.
  write_text(folder.file("m"), "plain text \x1b[31m red");
  CHECK_FALSE(mentions(open_checkpoint(folder.file("m")).status(), "\x1b"));
}

TEST_CASE("a safetensors header that lies is refused") {
  const TemporaryFolder folder;
  const std::string path = folder.file("x.safetensors");
  const auto open_with = [&](const std::string& header, size_t data_bytes) {
    write_text(path, safetensors(header, data_bytes));
    return open_safetensors(path).status();
  };
  const std::string good = R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  CHECK(open_with(good, 8).ok());
  CHECK(mentions(open_with(good, 7), "'a'"));
  CHECK(mentions(open_with(R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", 8), "'a'"));
  CHECK(mentions(open_with(R"({"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", 8),
                 "dimension"));
  CHECK(mentions(
      open_with(
          R"({"a":{"dtype":"F32","shape":[4611686018427387904,4611686018427387904],"data_offsets":[0,8]}})",
          8),
      "'a'"));
  CHECK(mentions(open_with(R"({"a":{"dtype":"F99","shape":[2],"data_offsets":[0,8]}})", 8), "F99"));
  CHECK(mentions(
      open_with(R"({"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1],"data_offsets":[0,4]}})", 8),
      "bytes 4 to 8"));
  CHECK(mentions(
      open_with(
          R"({"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[2],"data_offsets":[7,9]}})",
          9),
      "overlap"));
  CHECK(mentions(
      open_with(
          R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"a":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})",
          8),
      "'a' twice"));
  CHECK(!open_with("[]", 8).ok());
  CHECK(!open_with(std::string(100000, '['), 8).ok());
  CHECK(!open_with("{\"a\":", 8).ok());
}

// Which of these are good is what the safetensors package (0.8.0) says of them.
TEST_CASE("every byte of a safetensors file belongs to one tensor") {
  const TemporaryFolder folder;
  const auto open_with = [&](const std::string& header, size_t data_bytes) {
    write_text(folder.file("x.safetensors"), safetensors(header, data_bytes));
    return open_safetensors(folder.file("x.safetensors")).status();
  };
  const auto tensor = [](const std::string& name, int bytes, int begin) {
    return str("\"", name, R"(":{"dtype":"U8","shape":[)", bytes, R"(],"data_offsets":[)", begin,
               ",", begin + bytes, "]}");
  };
  const auto both = [&](const std::string& a, const std::string& b) {
    return "{" + a + "," + b + "}";
  };
  CHECK(open_with("{}", 0).ok());
  CHECK(open_with(" {" + tensor("a", 4, 0) + "} ", 4).ok());
  CHECK(open_with(both(tensor("a", 4, 0), tensor("z", 0, 4)), 4).ok());
  CHECK(open_with(both(tensor("a", 0, 0), tensor("b", 4, 0)), 4).ok());
  CHECK(open_with(both(tensor("b", 4, 4), tensor("a", 4, 0)), 8).ok());
  CHECK(mentions(open_with("{}", 4), "bytes 0 to 4 of the data"));
  CHECK(mentions(open_with("{" + tensor("a", 4, 4) + "}", 8), "bytes 0 to 4 of the data"));
  CHECK(mentions(open_with("{" + tensor("a", 4, 0) + "}", 8), "bytes 4 to 8 of the data"));
  CHECK(mentions(open_with(both(tensor("a", 4, 0), tensor("b", 4, 8)), 12), "bytes 4 to 8"));
  CHECK(mentions(open_with(both(tensor("a", 4, 0), tensor("z", 0, 2)), 4), "overlap at byte 2"));
  CHECK_FALSE(open_with(both(tensor("a", 4, 0), tensor("z", 0, 8)), 4).ok());
}

// As the package (0.8.0) has it, but for keys that appear twice, of which it takes one.
TEST_CASE("a safetensors header is JSON and spaces, and nothing else") {
  const TemporaryFolder folder;
  const auto open_with = [&](const std::string& header) {
    write_text(folder.file("x.safetensors"), safetensors(header, 8));
    return open_safetensors(folder.file("x.safetensors")).status();
  };
  const std::string tensor = R"("a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]})";
  for (const std::string& good : {"{" + tensor + "}", " \n{" + tensor + "}\t\r\n  ",
                                  R"({"__metadata__":null,)" + tensor + "}",
                                  R"({"__metadata__":{"a":"b"},)" + tensor + "}"}) {
    CAPTURE(good);
    CHECK(open_with(good).ok());
  }
  for (const std::string& bad :
       {"\xef\xbb\xbf{" + tensor + "}", "{" + tensor + "}" + std::string(3, '\0'),
        "{" + tensor + "} x", "{" + tensor + "}{}", "{" + tensor + ",}", "{" + tensor + "/**/}",
        R"({"__metadata__":{"a":1},)" + tensor + "}", R"({"__metadata__":[],)" + tensor + "}",
        R"({"__metadata__":{},"__metadata__":{},)" + tensor + "}",
        std::string(R"({"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}})"),
        std::string(R"({"a":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}})"),
        std::string(R"({"a":{"dtype":"F4","shape":[15],"data_offsets":[0,8]}})")}) {
    CAPTURE(bad);
    CHECK(open_with(bad).code() == Code::kDataLoss);
  }
  // The package's limit of headers, to the byte.
  const std::string padded = "{" + tensor + "}" + std::string(100'000'000 - tensor.size() - 2, ' ');
  CHECK(open_with(padded).ok());
  CHECK(open_with(padded + " ").code() == Code::kDataLoss);
}

TEST_CASE("tensors of dtypes that the format has and no model here stand beside others") {
  const TemporaryFolder folder;
  write_text(
      folder.file("x.safetensors"),
      safetensors(
          R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"c":{"dtype":"C64","shape":[1],"data_offsets":[2,10]},"f":{"dtype":"F4","shape":[4],"data_offsets":[10,12]},"d":{"dtype":"U8","shape":[1,1,1,1,1,1,2],"data_offsets":[12,14]}})",
          14));
  const auto file = opened(open_safetensors(folder.file("x.safetensors")));
  CHECK(file->names() == std::vector<std::string>{"a"});
  CHECK(mentions(file->load("c").status(), "'c' is a tensor of C64"));
  CHECK(mentions(file->load("f").status(), "'f' is a tensor of F4"));
  CHECK(mentions(file->load("d").status(), "'d' is a tensor of 7 dimensions"));
  CHECK(file->type("c").status().code() == Code::kUnsupported);
}

TEST_CASE("a sharded checkpoint is read through its index, and from its folder") {
  const TemporaryFolder folder;
  write_text(folder.file("m-1.safetensors"),
             safetensors(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})", 2));
  write_text(folder.file("m-2.safetensors"),
             safetensors(R"({"b":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}})", 3));
  const std::string index = folder.file("m.safetensors.index.json");
  write_text(index,
             R"({"metadata":{},"weight_map":{"a":"m-1.safetensors","b":"m-2.safetensors"}})");
  write_text(folder.file("config.json"), R"({"_class_name":"Thing"})");
  for (const std::string& path : {index, folder.file("")}) {
    const auto file = opened(open_checkpoint(path));
    CHECK(file->names() == std::vector<std::string>{"a", "b"});
    CHECK(values(*file, "b") == std::vector<double>{0, 1, 2});
    CHECK(file->config() == R"({"_class_name":"Thing"})");
  }
  const std::string variant = folder.file("m.safetensors.index.fp16.json");
  std::filesystem::rename(index, variant);
  for (const std::string& path : {variant, folder.file("")})
    CHECK(opened(open_checkpoint(path))->names() == std::vector<std::string>{"a", "b"});
  write_text(index, R"({"weight_map":{"a":"m-1.safetensors"}})");
  CHECK(opened(open_checkpoint(folder.file("")))->names() == std::vector<std::string>{"a"});
  write_text(index, R"({"weight_map":{"a":"m-1.safetensors","c":"m-2.safetensors"}})");
  CHECK(mentions(open_checkpoint(index).status(), "'c'"));
  write_text(index, R"({"weight_map":{"a":"../m-1.safetensors"}})");
  CHECK(mentions(open_checkpoint(index).status(), "not mapped to a file of this folder"));
  write_text(index, R"({"weight_map":{"a":"m-3.safetensors"}})");
  CHECK(mentions(open_checkpoint(index).status(), "m-3.safetensors"));
}

TEST_CASE("names are told apart from what frameworks put around modules") {
  const TemporaryFolder folder;
  write_text(
      folder.file("m.safetensors"),
      safetensors(
          R"({"b.0._fsdp_wrapped_module.w":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})", 2));
  const auto file = opened(open_checkpoint(folder.file("m.safetensors")));
  CHECK(file->names() == std::vector<std::string>{"b.0.w"});
  CHECK(values(*file, "b.0.w") == std::vector<double>{0, 1});
  write_text(
      folder.file("m.safetensors"),
      safetensors(
          R"({"b._orig_mod.w":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b.w":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}})",
          4));
  CHECK(mentions(open_checkpoint(folder.file("m.safetensors")).status(), "_orig_mod"));
}

TEST_CASE("a diffusers folder lists its components") {
  const TemporaryFolder folder;
  write_text(
      folder.file("model_index.json"),
      R"({"_class_name":"WanPipeline","_diffusers_version":"0.35","transformer":["diffusers","WanTransformer3DModel"],"image_encoder":[null,null]})");
  std::filesystem::create_directory(folder.file("transformer"));
  const auto read = read_diffusers_folder(folder.file(""));
  REQUIRE(read.ok());
  CHECK(read->pipeline_class == "WanPipeline");
  REQUIRE(read->components.size() == 1);
  CHECK(read->components.at("transformer").type == "WanTransformer3DModel");
  CHECK(read->components.at("transformer").path.ends_with("transformer"));
  std::filesystem::remove(folder.file("transformer"));
  CHECK(mentions(read_diffusers_folder(folder.file("")).status(), "'transformer'"));
}
