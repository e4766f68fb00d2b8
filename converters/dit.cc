// DiT: the original checkpoints (.pt) and diffusers' transformer folders.
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

#include "converters/convert.h"
#include "converters/families.h"
#include "converters/store.h"
#include "graph/format/recipe.h"
#include "models/dit/dit.h"

namespace zoetrope {
namespace {

constexpr double kLatentScale = 0.18215;  // of the SD autoencoder kl-f8

Result<int64_t> original_heads(int64_t width) {
  constexpr std::pair<int64_t, int64_t> kHeads[] = {{384, 6}, {768, 12}, {1024, 16}, {1152, 16}};
  for (const auto& [w, heads] : kHeads)
    if (w == width) return heads;
  return error(Code::kUnsupported, "a DiT of width ", width,
               "; the original ones have 384, 768, 1024 or 1152");
}

// The configuration follows from shapes; only the number of heads does not.
Result<DitConfig> read_config(const Checkpoint& checkpoint, const std::string& prefix,
                              bool diffusers) {
  DitConfig c;
  c.diffusers = diffusers;
  const auto shape = [&](const std::string& key) { return weight_shape(checkpoint, prefix + key); };
  ZT_ASSIGN_OR_RETURN(const Shape patch,
                      shape(diffusers ? "pos_embed.proj.weight" : "x_embedder.proj.weight"));
  ZT_ASSIGN_OR_RETURN(
      const Shape classes,
      shape(diffusers ? "transformer_blocks.0.norm1.emb.class_embedder.embedding_table.weight"
                      : "y_embedder.embedding_table.weight"));
  ZT_ASSIGN_OR_RETURN(const Shape last,
                      shape(diffusers ? "proj_out_2.weight" : "final_layer.linear.weight"));
  ZT_ASSIGN_OR_RETURN(
      const Shape time,
      shape(diffusers ? "transformer_blocks.0.norm1.emb.timestep_embedder.linear_1.weight"
                      : "t_embedder.mlp.0.weight"));
  ZT_ASSIGN_OR_RETURN(
      const Shape hidden,
      shape(diffusers ? "transformer_blocks.0.ff.net.0.proj.weight" : "blocks.0.mlp.fc1.weight"));
  if (patch.rank() != 4 || classes.rank() != 2 || last.rank() != 2 || time.rank() != 2 ||
      hidden.rank() != 2)
    return error(Code::kDataLoss, checkpoint.path(),
                 ": the tensors have the wrong number of dimensions");
  c.width = patch[0];
  c.channels = patch[1];
  c.patch = patch[2];
  c.classes = classes[0] - 1;
  c.time_features = time[1];
  c.layers = count_blocks(checkpoint, prefix + (diffusers ? "transformer_blocks." : "blocks."));
  const int64_t outputs = c.patch * c.patch * c.channels;
  if (c.width < 1 || outputs < 1 || hidden[0] % c.width != 0 ||
      (last[0] != outputs && last[0] != 2 * outputs))
    return error(Code::kDataLoss, checkpoint.path(), ": the shapes are not a DiT's");
  c.mlp_ratio = hidden[0] / c.width;
  c.learned_variance = last[0] == 2 * outputs;
  if (const auto it = checkpoint.metadata().find("config"); it != checkpoint.metadata().end()) {
    ZT_ASSIGN_OR_RETURN(c.heads, config_integer(it->second, "num_attention_heads", 1, 1024));
  } else {
    ZT_ASSIGN_OR_RETURN(c.heads, original_heads(c.width));
  }
  if (c.width % c.heads != 0)
    return error(Code::kDataLoss, checkpoint.path(), ": width ", c.width, " in ", c.heads,
                 " heads");
  return c;
}

const KeyRewrite kDiffusersKeys[] = {
    {"x_embedder.proj.", "pos_embed.proj."},
    {"t_embedder.mlp.0.", "transformer_blocks.0.norm1.emb.timestep_embedder.linear_1."},
    {"t_embedder.mlp.2.", "transformer_blocks.0.norm1.emb.timestep_embedder.linear_2."},
    {"y_embedder.", "transformer_blocks.0.norm1.emb.class_embedder."},
    {"final_layer.adaLN_modulation.1.", "proj_out_1."},
    {"final_layer.linear.", "proj_out_2."},
    {"blocks.", "transformer_blocks."},
    {".adaLN_modulation.1.", ".norm1.linear."},
    {".attn.proj.", ".attn1.to_out.0."},
    {".mlp.fc1.", ".ff.net.0.proj."},
    {".mlp.fc2.", ".ff.net.2."},
};

std::vector<std::string> diffusers_keys(const std::string& name) {
  const std::string key = rewrite_key(name, kDiffusersKeys);
  const size_t at = key.find(".attn.qkv.");
  if (at == std::string::npos) return {key};
  const std::string head = key.substr(0, at) + ".attn1.to_",
                    tail = key.substr(at + std::strlen(".attn.qkv"));
  return {head + "q" + tail, head + "k" + tail, head + "v" + tail};
}

// diffusers copies the timestep and class embedders into every block: copies must be equal.
Result<bool> is_copy_of_first(const Checkpoint& checkpoint, const std::string& key) {
  const size_t at = key.find(".norm1.emb.");
  if (!key.starts_with("transformer_blocks.") || at == std::string::npos) return false;
  const std::string first = "transformer_blocks.0" + key.substr(at);
  ZT_ASSIGN_OR_RETURN(const WeightData a, checkpoint.load(first));
  ZT_ASSIGN_OR_RETURN(const WeightData b, checkpoint.load(key));
  if (!(a.type == b.type) || std::memcmp(a.data, b.data, static_cast<size_t>(a.type.bytes())) != 0)
    return error(Code::kUnsupported, checkpoint.path(), ": tensor '", key, "' differs from '",
                 first, "'; one embedder for all blocks is what the graph has");
  return true;
}

Recipe dit_recipe(const DitConfig& c) {
  Recipe r;
  r.clip.width = r.clip.height = {8 * c.patch, 2048, 8 * c.patch, 256};
  LatentSpec latents;
  latents.name = "image";
  latents.media = Modality::kImage;
  latents.channels = static_cast<int>(c.channels);
  latents.mean.assign(static_cast<size_t>(c.channels), 0.0f);
  latents.std.assign(static_cast<size_t>(c.channels), static_cast<float>(1 / kLatentScale));
  latents.pixels = 8;
  r.latents = {std::move(latents)};
  r.incomplete = "it has no autoencoder";
  return r;
}

}  // namespace

Status convert_dit(const Checkpoint& checkpoint, const ConvertOptions& options,
                   const WriteProgress& progress) {
  const bool diffusers = checkpoint.type("pos_embed.proj.weight").ok();
  const std::string prefix = diffusers ? "" : find_prefix(checkpoint, "x_embedder.proj.weight");
  ZT_ASSIGN_OR_RETURN(const DitConfig config, read_config(checkpoint, prefix, diffusers));
  ModelInfo info;
  info.name = options.name.empty() ? "dit" : options.name;
  info.family = "dit";
  ZT_ASSIGN_OR_RETURN(info.components.emplace_back(), build_dit(config));
  ZT_ASSIGN_OR_RETURN(
      const WeightMap map,
      WeightMap::create_joined(checkpoint, info.components, [&](const std::string& name) {
        return diffusers ? diffusers_keys(name) : std::vector<std::string>{prefix + name};
      }));
  for (const std::string& key : map.unused()) {
    // Fixed positions are computed; training checkpoints hold other things beside the prefix.
    if (key == prefix + "pos_embed" || key == "pos_embed.pos_embed" || !key.starts_with(prefix))
      continue;
    ZT_ASSIGN_OR_RETURN(const bool copy, is_copy_of_first(checkpoint, key));
    if (!copy) return unused_error(checkpoint, key);
  }
  info.recipe = recipe_to_json(dit_recipe(config));
  info.tokenizer_kind = "class_table";
  info.provenance = "converted from a DiT checkpoint";
  info.licence = "CC-BY-NC-4.0, or as the checkpoint's source says";
  return store_model(std::move(info), map, options, progress);
}

}  // namespace zoetrope
