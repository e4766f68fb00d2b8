#include "converters/qwen3.h"

#include <cmath>

#include <filesystem>

#include "converters/bpe_files.h"
#include "converters/config.h"
#include "converters/families.h"

namespace zoetrope {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr std::string_view kTable = "embed_tokens.weight";
constexpr int64_t kMost = 1 << 24;
constexpr const char* kPattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

// Of words alone the three axes of Qwen3-VL's positions are one, however they are divided.
Status read_rope(Config* outer, const char* key, Qwen3Config* q) {
  auto rope = outer->object(key);
  if (!rope) return Status();
  q->theta = rope->number("rope_theta", q->theta, 1, 1e12);
  for (const char* kind : {"rope_type", "type"}) rope->text(kind, "default", {"default", "mrope"});
  const auto turns = rope->integers("mrope_section", {24, 20, 20}, 0, 1 << 16);
  if (turns.size() != 3)
    rope->fail(Code::kUnsupported, "'mrope_section': expected time, rows and columns");
  q->row_turns = turns.size() == 3 ? turns[1] : 0;
  q->column_turns = turns.back();
  rope->only("mrope_interleaved", true, "the axes take turns");
  return rope->finish();
}

// Defaults are those of transformers' Qwen3VLVisionConfig.
Status read_vision(Config* c, Qwen3VisionConfig* v) {
  c->text("model_type", "qwen3_vl_vision", {"qwen3_vl", "qwen3_vl_vision"});
  v->layers = c->integer("depth", 27, 1, 1 << 12);
  v->width = c->integer("hidden_size", 1152, 1, kMost);
  v->ffn = c->integer("intermediate_size", 4304, 1, kMost);
  v->heads = c->integer("num_heads", 16, 1, 1 << 12);
  if (c->integer("in_channels", 3, 1, 64) != 3)
    c->fail(Code::kUnsupported, "'in_channels': pictures have 3 channels");
  v->patch = c->integer("patch_size", 16, 1, 1 << 10);
  v->merge = c->integer("spatial_merge_size", 2, 1, 64);
  v->frames = c->integer("temporal_patch_size", 2, 1, 64);
  v->out_width = c->integer("out_hidden_size", 3584, 1, kMost);
  const int64_t places = c->integer("num_position_embeddings", 2304, 1, kMost);
  v->grid = std::llround(std::sqrt(static_cast<double>(places)));
  if (v->grid * v->grid != places)
    c->fail(Code::kUnsupported, str("'num_position_embeddings' ", places, " is no square"));
  v->deep = c->integers("deepstack_visual_indexes", {8, 16, 24}, 0, 1 << 12);
  c->text("hidden_act", "gelu_pytorch_tanh", {"gelu_pytorch_tanh"});
  if (auto rope = c->object("rope_parameters")) {
    v->theta = rope->number("rope_theta", 10000, 1, 1e12);
    rope->text("rope_type", "axial", {"axial"});
    ZT_RETURN_IF_ERROR(rope->finish());
  }
  c->ignore({"dtype", "initializer_range", "torch_dtype"});
  return c->finish();
}

// Defaults are those of transformers' Qwen3VLTextConfig.
Status read_text(Config* c, Qwen3Config* q) {
  c->text("model_type", "qwen3_vl_text", {"qwen3_vl_text"});
  q->vocabulary = c->integer("vocab_size", 151936, 1, kMost);
  q->width = c->integer("hidden_size", 4096, 1, kMost);
  q->ffn = c->integer("intermediate_size", 22016, 1, kMost);
  q->layers = c->integer("num_hidden_layers", 32, 1, 1 << 12);
  q->heads = c->integer("num_attention_heads", 32, 1, 1 << 12);
  q->key_heads = c->integer("num_key_value_heads", 32, 1, 1 << 12);
  q->head_dim = c->integer("head_dim", 128, 2, 1 << 16);
  q->epsilon = c->number("rms_norm_eps", 1e-6, 0, 1);
  q->theta = c->number("rope_theta", 5e5, 1, 1e12);
  c->text("hidden_act", "silu", {"silu"});
  c->only("attention_bias", false, "projections without biases are expected");
  ZT_RETURN_IF_ERROR(read_rope(c, "rope_scaling", q));
  ZT_RETURN_IF_ERROR(read_rope(c, "rope_parameters", q));
  // Of words, of training, of caches.
  c->ignore({"attention_dropout", "bos_token_id", "dtype", "eos_token_id", "initializer_range",
             "max_position_embeddings", "pad_token_id", "tie_word_embeddings", "torch_dtype",
             "use_cache"});
  return c->finish();
}

Status read_configuration(Config* c, bool sees, Qwen3Text* out) {
  Qwen3Config* q = &out->config;
  if (!c->has("text_config")) {
    c->ignore({"architectures", "transformers_version"});
    return read_text(c, q);
  }
  c->text("model_type", "qwen3_vl", {"qwen3_vl"});
  auto text = c->object("text_config");
  if (text) ZT_RETURN_IF_ERROR(read_text(&*text, q));
  out->image = static_cast<int>(c->integer("image_token_id", 151655, 0, 1 << 24));
  out->vision_start = static_cast<int>(c->integer("vision_start_token_id", 151652, 0, 1 << 24));
  out->vision_end = static_cast<int>(c->integer("vision_end_token_id", 151653, 0, 1 << 24));
  if (auto vision = sees ? c->object("vision_config") : std::nullopt)
    ZT_RETURN_IF_ERROR(read_vision(&*vision, &out->vision.emplace()));
  if (out->vision) q->deep = std::ssize(out->vision->deep);
  // Of clips and of words.
  c->ignore({"architectures", "dtype", "hidden_size", "initializer_range", "tie_word_embeddings",
             "torch_dtype", "transformers_version", "use_cache", "video_token_id",
             "vision_config"});
  return c->finish();
}

// Whether a tensor beside the layers that are read is one that they need not.
bool is_beside(const std::string& key, const std::string& prefix, int64_t layers) {
  if (key == prefix + "norm.weight") return true;
  const std::string layer = prefix + "layers.";
  if (key.starts_with(layer)) return std::atoll(key.c_str() + layer.size()) >= layers;
  for (const std::string_view part : {"visual.", "lm_head."})
    if (const size_t at = key.find(part);
        at == 0 || (at != std::string::npos && key[at - 1] == '.'))
      return true;
  return false;
}

Status expect(bool fits, const std::string& path, const char* what) {
  return fits ? Status() : error(Code::kUnsupported, path, ": not Qwen2's tokenizer: ", what);
}

}  // namespace

Result<Qwen3Text> open_qwen3_text(const std::string& path, int64_t layers) {
  Qwen3Text out;
  ZT_RETURN_IF_ERROR(open_weights(path, &out.part));
  const Checkpoint& checkpoint = out.part.checkpoint();
  const auto prefix = find_prefix(checkpoint, kTable);
  if (!prefix)
    return error(Code::kNotFound, checkpoint.path(), ": no text network of Qwen3's (", kTable, ")");
  ZT_ASSIGN_OR_RETURN(Config config, read_config(checkpoint));
  if (config.empty())
    return error(Code::kNotFound, checkpoint.path(),
                 ": no config.json beside it, which says how heads and positions are");
  std::string sight = *prefix;  // of the keys of what sees
  if (const size_t at = sight.rfind("language_model."); at != std::string::npos)
    sight.replace(at, std::string::npos, "visual.");
  const bool sees = checkpoint.type(sight + "patch_embed.proj.weight").ok();
  ZT_RETURN_IF_ERROR(read_configuration(&config, sees, &out));
  if (out.config.layers < layers)
    return error(Code::kUnsupported, checkpoint.path(), ": ", out.config.layers,
                 " layers; what is read lies behind layer ", layers);
  out.config.layers = layers;
  const auto add = [&](Result<Graph> graph) -> Status {
    if (!graph.ok()) return graph.status().with_context(checkpoint.path());
    out.part.graphs.push_back(std::move(*graph));
    return Status();
  };
  ZT_RETURN_IF_ERROR(add(build_qwen3_text_encoder(out.config)));
  if (out.vision) ZT_RETURN_IF_ERROR(add(build_qwen3_text_seeing(out.config)));
  if (out.vision) ZT_RETURN_IF_ERROR(add(build_qwen3_vision(*out.vision)));
  ZT_ASSIGN_OR_RETURN(out.part.weights,
                      WeightMap::create(checkpoint, out.part.graphs, [&](const std::string& name) {
                        const bool word = name == kTable || name.starts_with("layers.");
                        return (word ? *prefix : sight) + name;
                      }));
  for (const std::string& key : out.part.weights.unused())
    if (!is_beside(key, *prefix, layers))
      ZT_RETURN_IF_ERROR(check_unused(checkpoint, *prefix, key));
  return out;
}

Result<std::vector<uint8_t>> read_qwen_tokenizer(const std::string& path) {
  std::error_code failed;
  const std::string file =
      fs::is_directory(path, failed) ? (fs::path(path) / "tokenizer.json").string() : path;
  ZT_ASSIGN_OR_RETURN(LibraryTokenizer found, read_library_tokenizer(file, "Qwen2", ""));
  const auto at = [&](const char* where) { return found.at(where); };
  ZT_RETURN_IF_ERROR(
      expect(at("/normalizer/type") == "NFC", file, "its text is not composed (NFC)"));
  ZT_RETURN_IF_ERROR(expect(at("/pre_tokenizer/pretokenizers/0/pattern/Regex") == kPattern &&
                                at("/pre_tokenizer/pretokenizers/0/behavior") == "Isolated" &&
                                at("/pre_tokenizer/pretokenizers/0/invert") != true &&
                                at("/pre_tokenizer/pretokenizers/1/type") == "ByteLevel" &&
                                at("/pre_tokenizer/pretokenizers/1/add_prefix_space") != true &&
                                at("/pre_tokenizer/pretokenizers/1/use_regex") != true,
                            file, "another pattern cuts its words"));
  ZT_RETURN_IF_ERROR(expect(at("/model/dropout").is_null() && at("/model/ignore_merges") != true &&
                                at("/model/byte_fallback") != true,
                            file, "it joins pieces another way"));
  ZT_ASSIGN_OR_RETURN(found.data["added"], added_pieces(found, file, "Qwen2"));
  return json_bytes(found.data);
}

}  // namespace zoetrope
