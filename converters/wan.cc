// Wan 2.1's text-to-video DiT: the original checkpoints and diffusers' transformer folders. The
// text encoder and the autoencoder are files of their own.
#include "models/wan/wan.h"
#include "converters/convert.h"
#include "converters/families.h"
#include "converters/store.h"
#include "graph/format/recipe.h"

namespace zoetrope {
namespace {

const KeyRewrite kDiffusersKeys[] = {
    {"time_embedding.0.", "condition_embedder.time_embedder.linear_1."},
    {"time_embedding.2.", "condition_embedder.time_embedder.linear_2."},
    {"time_projection.1.", "condition_embedder.time_proj."},
    {"text_embedding.0.", "condition_embedder.text_embedder.linear_1."},
    {"text_embedding.2.", "condition_embedder.text_embedder.linear_2."},
    {"head.modulation", "scale_shift_table"},
    {"head.head.", "proj_out."},
    {".modulation", ".scale_shift_table"},
    {".self_attn.", ".attn1."},
    {".cross_attn.", ".attn2."},
    {".q.", ".to_q."},
    {".k.", ".to_k."},
    {".v.", ".to_v."},
    {".o.", ".to_out.0."},
    {".norm3.", ".norm2."},
    {".ffn.0.", ".ffn.net.0.proj."},
    {".ffn.2.", ".ffn.net.2."},
};

Result<WanConfig> read_config(const Checkpoint& checkpoint, const std::string& prefix,
                              bool diffusers) {
  WanConfig c;
  const auto shape = [&](const std::string& name) {
    return weight_shape(checkpoint, diffusers ? rewrite_key(name, kDiffusersKeys) : prefix + name);
  };
  ZT_ASSIGN_OR_RETURN(const Shape patch, shape("patch_embedding.weight"));
  ZT_ASSIGN_OR_RETURN(const Shape text, shape("text_embedding.0.weight"));
  ZT_ASSIGN_OR_RETURN(const Shape time, shape("time_embedding.0.weight"));
  ZT_ASSIGN_OR_RETURN(const Shape ffn, shape("blocks.0.ffn.0.weight"));
  if (patch.rank() != 5 || text.rank() != 2 || time.rank() != 2 || ffn.rank() != 2)
    return error(Code::kDataLoss, checkpoint.path(),
                 ": the tensors have the wrong number of dimensions");
  if (patch[2] != 1 || patch[3] != 2 || patch[4] != 2)
    return error(Code::kUnsupported, checkpoint.path(), ": patches of ", patch.to_string(),
                 "; known: 1x2x2");
  c.layers = count_blocks(checkpoint, prefix + "blocks.");
  c.width = patch[0];
  c.channels = patch[1];
  c.ffn = ffn[0];
  c.text_width = text[1];
  c.time_features = time[1];
  c.heads = c.width / 128;
  if (const auto it = checkpoint.metadata().find("config"); it != checkpoint.metadata().end()) {
    ZT_ASSIGN_OR_RETURN(
        c.heads,
        config_integer(it->second, diffusers ? "num_attention_heads" : "num_heads", 1, 1024));
  }
  if (c.heads < 1 || c.width % c.heads != 0 || c.width / c.heads % 2 != 0)
    return error(Code::kDataLoss, checkpoint.path(), ": width ", c.width, " in ", c.heads,
                 " heads");
  return c;
}

// Latent statistics of Wan 2.1's autoencoder, as its own sources state them.
constexpr float kLatentMean[] = {-0.7571f, -0.7089f, -0.9113f, 0.1075f,  -0.1745f, 0.9653f,
                                 -0.1517f, 1.5508f,  0.4134f,  -0.0715f, 0.5517f,  -0.3632f,
                                 -0.1922f, -0.9497f, 0.2503f,  -0.2921f};
constexpr float kLatentStd[] = {2.8184f, 1.4541f, 2.3275f, 2.6558f, 1.2196f, 1.7708f,
                                2.6052f, 2.0743f, 3.2687f, 2.1526f, 2.8652f, 1.5579f,
                                1.6382f, 1.1253f, 2.8251f, 1.9160f};

Recipe wan_recipe(const WanConfig& c) {
  Recipe r;
  r.clip.fps = 16;
  r.clip.width = {16, 1280, 16, 832};
  r.clip.height = {16, 1280, 16, 480};
  r.clip.frames = {1, 161, 4, 81, 1};
  LatentSpec latents;
  latents.name = "video";
  latents.channels = static_cast<int>(c.channels);
  const bool known = c.channels == static_cast<int64_t>(std::size(kLatentMean));
  for (int64_t i = 0; i < c.channels; ++i) {
    latents.mean.push_back(known ? kLatentMean[i] : 0.0f);
    latents.std.push_back(known ? kLatentStd[i] : 1.0f);
  }
  latents.pixels = 8;
  latents.later_frames = 4;
  r.latents = {std::move(latents)};
  r.incomplete = "it has neither a text encoder nor an autoencoder";
  return r;
}

}  // namespace

Status convert_wan(const Checkpoint& checkpoint, const ConvertOptions& options,
                   const WriteProgress& progress) {
  const bool diffusers = checkpoint.type("blocks.0.attn1.to_q.weight").ok();
  const std::string prefix = diffusers ? "" : find_prefix(checkpoint, "patch_embedding.weight");
  ZT_ASSIGN_OR_RETURN(const WanConfig config, read_config(checkpoint, prefix, diffusers));
  ModelInfo info;
  info.name = options.name.empty() ? "wan" : options.name;
  info.family = "wan";
  ZT_ASSIGN_OR_RETURN(info.components.emplace_back(), build_wan_dit(config));
  ZT_ASSIGN_OR_RETURN(const WeightMap map,
                      WeightMap::create(checkpoint, info.components, [&](const std::string& name) {
                        return diffusers ? rewrite_key(name, kDiffusersKeys) : prefix + name;
                      }));
  for (const std::string& key : map.unused())
    if (key.starts_with(prefix)) return unused_error(checkpoint, key);
  info.recipe = recipe_to_json(wan_recipe(config));
  info.tokenizer_kind = "sentencepiece";
  info.provenance = "the DiT of a Wan 2.1 checkpoint";
  info.licence = "Apache-2.0, or as the checkpoint's source says";
  return store_model(std::move(info), map, options, progress);
}

}  // namespace zoetrope
