#include "converters/clip_text.h"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "converters/families.h"

namespace zoetrope {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr std::string_view kMark = "embeddings.token_embedding.weight";
constexpr std::string_view kProjection = "text_projection.weight";
constexpr std::string_view kSelf = ".self_attn.qkv.";
constexpr int64_t kMostBytes = 64 << 20;

// The tower's prefix; the projection stands beside the tower.
struct Layout {
  std::string tower, beside;

  std::vector<std::string> keys(const std::string& name) const {
    if (name == kProjection) return {beside + name};
    const size_t at = name.find(kSelf);
    if (at == std::string::npos) return {tower + name};
    std::vector<std::string> keys;
    for (const char* part : {"q", "k", "v"})
      keys.push_back(str(tower, name.substr(0, at), ".self_attn.", part, "_proj.",
                         name.substr(at + kSelf.size())));
    return keys;
  }
};

Result<Layout> find_layout(const Checkpoint& checkpoint) {
  const auto prefix = find_prefix(checkpoint, kMark);
  if (!prefix)
    return error(Code::kInvalidArgument, checkpoint.path(), ": not CLIP's text tower: no ", kMark,
                 " is there");
  constexpr std::string_view kTower = "text_model.";
  Layout layout{*prefix, *prefix};
  if (layout.beside.ends_with(kTower)) layout.beside.resize(layout.beside.size() - kTower.size());
  return layout;
}

Result<ClipTextConfig> read_shapes(const Checkpoint& checkpoint, const Layout& layout) {
  ClipTextConfig c;
  ZT_ASSIGN_OR_RETURN(const Shape table,
                      weight_shape(checkpoint, layout.tower + std::string(kMark), 2));
  ZT_ASSIGN_OR_RETURN(
      const Shape positions,
      weight_shape(checkpoint, layout.tower + "embeddings.position_embedding.weight", 2));
  ZT_ASSIGN_OR_RETURN(
      const Shape up,
      weight_shape(checkpoint, layout.tower + "encoder.layers.0.mlp.fc1.weight", 2));
  c.vocabulary = table[0];
  c.width = table[1];
  c.positions = positions[0];
  c.ffn = up[0];
  c.layers = count_blocks(checkpoint, layout.tower + "encoder.layers.");
  c.eos = c.vocabulary - 1;
  if (const std::string key = layout.beside + std::string(kProjection); checkpoint.type(key).ok()) {
    ZT_ASSIGN_OR_RETURN(const Shape projection, weight_shape(checkpoint, key, 2));
    c.projection = projection[0];
  }
  return c;
}

// Heads and activations of the published ones.
bool take_published(ClipTextConfig* c) {
  for (const ClipTextConfig& known : {clip_text_vit_l_14(), clip_text_vit_big_g_14()}) {
    if (known.width != c->width || known.layers != c->layers) continue;
    c->heads = known.heads;
    c->activation = known.activation;
    return true;
  }
  return false;
}

// Defaults are those of transformers' CLIPTextConfig.
Status read_configuration(Config* config, ClipTextConfig* c) {
  config->text("model_type", "clip_text_model", {"clip_text_model"});
  config->agree("vocab_size", c->vocabulary, "the weights' rows in the table are");
  config->agree("hidden_size", c->width, "the weights' channels are");
  config->agree("intermediate_size", c->ffn, "the weights' channels in the MLP are");
  config->agree("num_hidden_layers", c->layers, "the weights' layers are");
  config->agree("max_position_embeddings", c->positions, "the weights' positions are");
  c->heads = config->integer("num_attention_heads", 8, 1, 1 << 16);
  c->epsilon = config->number("layer_norm_eps", 1e-5, 0, 1);
  if (config->text("hidden_act", "quick_gelu", {"gelu", "quick_gelu"}) == "gelu")
    c->activation = ClipTextConfig::Activation::kGelu;
  // Early configurations say 2, and mean the largest id.
  const int64_t eos = config->integer("eos_token_id", 49407, 0, 1 << 24);
  if (eos != 2) c->eos = eos;
  if (c->projection > 0)
    config->agree("projection_dim", c->projection, "the weights' channels of the projection are");
  else
    config->ignore({"projection_dim"});
  config->ignore({"architectures", "attention_dropout", "bos_token_id", "dropout", "dtype",
                  "torch_dtype", "initializer_factor", "initializer_range", "pad_token_id",
                  "transformers_version"});
  return config->finish();
}

Result<Json> read_json(const std::string& path) {
  ZT_ASSIGN_OR_RETURN(const std::string text, read_small_file(path, kMostBytes));
  Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return error(Code::kDataLoss, path, " is not a JSON object");
  return json;
}

// tokenizer.json of the tokenizers library.
Result<Json> read_library_file(const std::string& path) {
  ZT_ASSIGN_OR_RETURN(const Json json, read_json(path));
  const auto model = json.find("model");
  if (model == json.end() || !model->is_object() || model->value("type", "") != "BPE" ||
      model->value("end_of_word_suffix", "") != "</w>" || !model->contains("vocab") ||
      !model->contains("merges") || !(*model)["merges"].is_array())
    return error(Code::kUnsupported, path,
                 ": not CLIP's tokenizer: expected a model of the type BPE whose words end with "
                 "</w>, with vocab and merges");
  Json merges = Json::array();
  for (const Json& merge : (*model)["merges"]) {  // "a b", or both in a list
    const bool two =
        merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string();
    merges.push_back(two ? Json(merge[0].get<std::string>() + " " + merge[1].get<std::string>())
                         : merge);
  }
  return Json{{"vocab", (*model)["vocab"]}, {"merges", std::move(merges)}};
}

Result<Json> read_two_files(const std::string& folder) {
  ZT_ASSIGN_OR_RETURN(Json vocab, read_json((fs::path(folder) / "vocab.json").string()));
  ZT_ASSIGN_OR_RETURN(const std::string text,
                      read_small_file((fs::path(folder) / "merges.txt").string(), kMostBytes));
  Json merges = Json::array();
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    std::string line = text.substr(at, end - at);
    if (line.ends_with('\r')) line.pop_back();
    // The first line names the version.
    if (!line.empty() && !(at == 0 && line.starts_with("#version"))) merges.push_back(line);
    at = end + 1;
  }
  return Json{{"vocab", std::move(vocab)}, {"merges", std::move(merges)}};
}

}  // namespace

Result<ClipText> open_clip_text(const std::string& path) {
  ClipText out;
  ZT_RETURN_IF_ERROR(open_weights(path, &out.part));
  const Checkpoint& checkpoint = out.part.checkpoint();
  ZT_ASSIGN_OR_RETURN(const Layout layout, find_layout(checkpoint));
  ZT_ASSIGN_OR_RETURN(out.config, read_shapes(checkpoint, layout));
  ZT_ASSIGN_OR_RETURN(Config config, read_config(checkpoint));
  if (!config.empty())
    ZT_RETURN_IF_ERROR(read_configuration(&config, &out.config));
  else if (!take_published(&out.config))
    return error(Code::kNotFound, checkpoint.path(), ": ", out.config.layers, " layers of width ",
                 out.config.width,
                 " are neither ViT-L/14 nor ViT-bigG/14, and no config.json beside them says how "
                 "many heads they have");
  auto graph = build_clip_text(out.config);
  if (!graph.ok()) return graph.status().with_context(checkpoint.path());
  out.part.graphs.push_back(std::move(*graph));
  ZT_ASSIGN_OR_RETURN(out.part.weights, WeightMap::create_joined(checkpoint, out.part.graphs,
                                                                 [&](const std::string& name) {
                                                                   return layout.keys(name);
                                                                 }));
  for (const std::string& key : out.part.weights.unused())
    if (!key.ends_with("position_ids") && key != layout.beside + "logit_scale")
      ZT_RETURN_IF_ERROR(check_unused(checkpoint, layout.tower, key));
  return out;
}

Result<std::vector<uint8_t>> read_clip_tokenizer(const std::string& path) {
  std::error_code failed;
  const bool folder = fs::is_directory(path, failed);
  const bool two = folder && fs::exists(fs::path(path) / "vocab.json", failed);
  ZT_ASSIGN_OR_RETURN(
      const Json json,
      two ? read_two_files(path)
          : read_library_file(folder ? (fs::path(path) / "tokenizer.json").string() : path));
  const std::string text = json.dump(-1, ' ', false, Json::error_handler_t::replace);
  return std::vector<uint8_t>(text.begin(), text.end());
}

}  // namespace zoetrope
