#include "converters/clip_text.h"

#include <filesystem>

#include "converters/bpe_files.h"
#include "converters/families.h"

namespace zoetrope {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kMark = "embeddings.token_embedding.weight";
constexpr std::string_view kProjection = "text_projection.weight";
constexpr std::string_view kSelf = ".self_attn.qkv.";

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
  if (two) {
    ZT_ASSIGN_OR_RETURN(const nlohmann::json json, read_vocab_and_merges(path));
    return json_bytes(json);
  }
  ZT_ASSIGN_OR_RETURN(
      const LibraryTokenizer found,
      read_library_tokenizer(folder ? (fs::path(path) / "tokenizer.json").string() : path, "CLIP",
                             "</w>"));
  return json_bytes(found.data);
}

}  // namespace zoetrope
