// Wan's transformers: the original checkpoints and diffusers' folders.
#include "models/wan/wan.h"

#include <algorithm>
#include <filesystem>

#include "converters/families.h"
#include "converters/store.h"
#include "converters/weight_map.h"
#include "graph/format/recipe.h"

namespace zoetrope {
namespace {

constexpr std::string_view kOriginalMark = "time_projection.1.weight";
constexpr std::string_view kDiffusersMark = "condition_embedder.time_proj.weight";

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
    {"img_emb.proj.0.", "condition_embedder.image_embedder.norm1."},
    {"img_emb.proj.1.", "condition_embedder.image_embedder.ff.net.0.proj."},
    {"img_emb.proj.3.", "condition_embedder.image_embedder.ff.net.2."},
    {"img_emb.proj.4.", "condition_embedder.image_embedder.norm2."},
    {"img_emb.emb_pos", "condition_embedder.image_embedder.pos_embed"},
    {".k_img.", ".add_k_proj."},
    {".v_img.", ".add_v_proj."},
    {".norm_k_img.", ".norm_added_k."},
};

struct Layout {
  bool diffusers = false;
  std::string prefix;

  std::string key(const std::string& name) const {
    return prefix + (diffusers ? rewrite_key(name, kDiffusersKeys) : name);
  }
};

Result<Layout> find_layout(const Checkpoint& checkpoint) {
  if (const auto prefix = find_prefix(checkpoint, kDiffusersMark)) return Layout{true, *prefix};
  if (const auto prefix = find_prefix(checkpoint, kOriginalMark)) return Layout{false, *prefix};
  return error(Code::kInvalidArgument, checkpoint.path(),
               ": not a Wan transformer: it has no 'patch_embedding.weight' with '", kOriginalMark,
               "' or '", kDiffusersMark, "' beside it");
}

// Sizes that shapes tell; heads and constants are not among them.
Result<WanConfig> read_shapes(const Checkpoint& checkpoint, const Layout& layout) {
  const auto shape = [&](const char* name, int rank) {
    return weight_shape(checkpoint, layout.key(name), rank);
  };
  const auto has = [&](const char* name) { return checkpoint.type(layout.key(name)).ok(); };
  ZT_ASSIGN_OR_RETURN(const Shape patch, shape("patch_embedding.weight", 5));
  ZT_ASSIGN_OR_RETURN(const Shape text, shape("text_embedding.0.weight", 2));
  ZT_ASSIGN_OR_RETURN(const Shape time, shape("time_embedding.0.weight", 2));
  ZT_ASSIGN_OR_RETURN(const Shape ffn, shape("blocks.0.ffn.0.weight", 2));
  ZT_ASSIGN_OR_RETURN(const Shape last, shape("head.head.weight", 2));
  if (patch[2] != 1 || patch[3] != 2 || patch[4] != 2)
    return error(Code::kUnsupported, checkpoint.path(), ": patches of ", patch.to_string(),
                 "; known: 1x2x2");
  if (has("vace_patch_embedding.weight"))
    return error(Code::kUnsupported, checkpoint.path(),
                 ": a VACE checkpoint; text-, image- and frames-to-video are supported");
  WanConfig c;
  c.layers = count_blocks(checkpoint, layout.prefix + "blocks.");
  c.width = patch[0];
  c.channels = last[0] / 4;
  if (patch[1] == 2 * c.channels + c.mask_channels)
    c.conditioning = WanConfig::Conditioning::kChannels;
  else if (patch[1] != c.channels)
    return error(Code::kUnsupported, checkpoint.path(), ": ", patch[1], " input and ", c.channels,
                 " output channels; known are as many, or with known latents and a mask of ",
                 c.mask_channels, " beside them, ", 2 * c.channels + c.mask_channels);
  // The only one with that many channels has a time a frame.
  if (c.channels == 48 && patch[1] == c.channels) c.conditioning = WanConfig::Conditioning::kFrames;
  if (has("img_emb.proj.1.weight")) {
    ZT_ASSIGN_OR_RETURN(const Shape image, shape("img_emb.proj.1.weight", 2));
    c.image_width = image[1];
  }
  if (has("img_emb.emb_pos")) {
    ZT_ASSIGN_OR_RETURN(const Shape positions, shape("img_emb.emb_pos", 3));
    c.image_positions = positions[1];
  }
  c.ffn = ffn[0];
  c.text_width = text[1];
  c.time_features = time[1];
  c.cross_attention_norm = has("blocks.0.norm3.weight");
  c.qk_norm = has("blocks.0.self_attn.norm_q.weight");
  return c;
}

// The published ones. Any other needs a configuration.
Result<int64_t> published_heads(const Checkpoint& checkpoint, const WanConfig& c) {
  constexpr int64_t kSizes[][3] = {{30, 1536, 12}, {40, 5120, 40}, {30, 3072, 24}};
  for (const auto& [layers, width, heads] : kSizes)
    if (layers == c.layers && width == c.width) return heads;
  return error(
      Code::kUnsupported, checkpoint.path(), ": ", c.layers, " layers of width ", c.width,
      " are none of the published sizes, and the file does not say into how many heads they "
      "are split; put a config.json with \"num_heads\" beside it");
}

void check_norms(Config* config, bool cross, bool qk, const WanConfig& c) {
  if (cross != c.cross_attention_norm)
    config->fail(Code::kDataLoss, str("'cross_attn_norm' differs from the weights, which have ",
                                      c.cross_attention_norm ? "such norms" : "none"));
  if (qk != c.qk_norm)
    config->fail(Code::kDataLoss, str("'qk_norm' differs from the weights, which have ",
                                      c.qk_norm ? "such norms" : "none"));
}

void check_patch(Config* config) {
  if (config->integers("patch_size", {1, 2, 2}, 1, 64) != std::vector<int64_t>{1, 2, 2})
    config->fail(Code::kDataLoss, "'patch_size' differs from the weights, which have 1x2x2");
}

Status read_original_config(const Checkpoint& checkpoint, Config* config, WanConfig* c) {
  config->text("_class_name", "WanModel", {"WanModel"});
  const std::string type = config->text("model_type", "", {"t2v", "i2v", "flf2v", "ti2v"});
  const char* const found = c->conditioning == WanConfig::Conditioning::kFrames     ? "ti2v"
                            : c->image_positions > 0                                ? "flf2v"
                            : c->conditioning == WanConfig::Conditioning::kChannels ? "i2v"
                                                                                    : "t2v";
  if (!type.empty() && type != found)
    config->fail(Code::kDataLoss,
                 str("'model_type' is '", type, "', but the weights are those of '", found, "'"));
  if (config->has("num_heads")) {
    c->heads = config->integer("num_heads", 0, 1, 1 << 16);
  } else {
    ZT_ASSIGN_OR_RETURN(c->heads, published_heads(checkpoint, *c));
  }
  c->epsilon = config->number("eps", 1e-6, 0, 1);
  check_norms(config, config->flag("cross_attn_norm", c->cross_attention_norm),
              config->flag("qk_norm", c->qk_norm), *c);
  check_patch(config);
  if (config->integers("window_size", {-1, -1}, -1, 1 << 20) != std::vector<int64_t>{-1, -1})
    config->fail(Code::kUnsupported, "'window_size': attention within windows is not supported");
  config->agree("dim", c->width, "channels");
  config->agree("ffn_dim", c->ffn, "channels in the MLP");
  config->agree("freq_dim", c->time_features, "time features");
  config->agree("text_dim", c->text_width, "text channels");
  config->agree("in_dim", c->input_channels(), "input channels");
  config->agree("out_dim", c->channels, "output channels");
  config->agree("num_layers", c->layers, "blocks");
  config->ignore({"text_len"});  // of the text encoder
  return Status();
}

// Defaults are those of diffusers' WanTransformer3DModel.
Status read_diffusers_config(Config* config, WanConfig* c, int64_t* positions) {
  if (config->empty())
    return error(Code::kNotFound, config->origin(),
                 ": diffusers' weights without their config.json beside them, which states heads; "
                 "download it too");
  config->text("_class_name", "WanTransformer3DModel", {"WanTransformer3DModel"});
  c->heads = config->integer("num_attention_heads", 40, 1, 1 << 16);
  const int64_t head_dim = config->integer("attention_head_dim", 128, 1, 1 << 16);
  if (c->heads * head_dim != c->width)
    config->fail(Code::kDataLoss,
                 str("'num_attention_heads' ", c->heads, " times 'attention_head_dim' ", head_dim,
                     " is not the weights' width, ", c->width));
  c->epsilon = config->number("eps", 1e-6, 0, 1);
  check_norms(
      config, config->flag("cross_attn_norm", true),
      !config->text("qk_norm", c->qk_norm ? "rms_norm_across_heads" : "", {"rms_norm_across_heads"})
           .empty(),
      *c);
  check_patch(config);
  const auto equal = [&](const char* key, int64_t otherwise, int64_t found) {
    if (const int64_t stated = config->integer(key, otherwise, 1, 1 << 30); stated != found)
      config->fail(Code::kDataLoss,
                   str("'", key, "' is ", stated, ", but the weights have ", found));
  };
  equal("in_channels", 16, c->input_channels());
  equal("out_channels", c->input_channels(), c->channels);
  equal("text_dim", 4096, c->text_width);
  equal("freq_dim", 256, c->time_features);
  equal("ffn_dim", 13824, c->ffn);
  equal("num_layers", 40, c->layers);
  *positions = config->integer("rope_max_seq_len", 1024, 1, 1 << 20);
  const auto only_where = [&](const char* key, int64_t found) {
    if (found > 0 && config->has(key)) return config->agree(key, found, "in the weights");
    if (found > 0 || config->has(key))
      config->fail(Code::kDataLoss,
                   str("'", key, found > 0 ? "' is missing, but" : "' is there, but",
                       " the weights have ", found > 0 ? "such" : "none such"));
    config->ignore({key});
  };
  only_where("image_dim", c->image_width);
  only_where("added_kv_proj_dim", c->image_width > 0 ? c->width : 0);
  only_where("pos_embed_seq_len", c->image_positions);
  return Status();
}

// Latent statistics of Wan 2.1's autoencoder, as its own sources state them.
constexpr float kLatentMean[] = {-0.7571f, -0.7089f, -0.9113f, 0.1075f,  -0.1745f, 0.9653f,
                                 -0.1517f, 1.5508f,  0.4134f,  -0.0715f, 0.5517f,  -0.3632f,
                                 -0.1922f, -0.9497f, 0.2503f,  -0.2921f};
constexpr float kLatentStd[] = {2.8184f, 1.4541f, 2.3275f, 2.6558f, 1.2196f, 1.7708f,
                                2.6052f, 2.0743f, 3.2687f, 2.1526f, 2.8652f, 1.5579f,
                                1.6382f, 1.1253f, 2.8251f, 1.9160f};

// Statistics of the folder's autoencoder; without one, those of Wan 2.1's, which all published
// networks of its 16 channels share. Others are unknown then.
Status read_latents(const ConvertSource& source, const WanConfig& c, LatentSpec* latents) {
  latents->name = "video";
  latents->channels = static_cast<int>(c.channels);
  latents->pixels = 8;
  latents->later_frames = 4;
  const bool own = c.channels == static_cast<int64_t>(std::size(kLatentMean));
  if (own) {
    latents->mean.assign(std::begin(kLatentMean), std::end(kLatentMean));
    latents->std.assign(std::begin(kLatentStd), std::end(kLatentStd));
  }
  if (source.pipeline == nullptr) return Status();
  const auto it = source.pipeline->components.find("vae");
  if (it == source.pipeline->components.end()) return Status();
  const std::string path = (std::filesystem::path(it->second.path) / "config.json").string();
  ZT_ASSIGN_OR_RETURN(const std::string text, read_small_file(path, 1 << 20));
  ZT_ASSIGN_OR_RETURN(Config config, Config::parse(path, text));
  config.text("_class_name", "", {"AutoencoderKLWan"});
  const auto size = static_cast<size_t>(c.channels);
  const std::vector<double> mean = config.numbers("latents_mean", size),
                            std = config.numbers("latents_std", size);
  if (!mean.empty() || !std.empty()) {
    if (mean.size() != size || std.size() != size)
      config.fail(Code::kDataLoss, str("'latents_mean' and 'latents_std' must have ", size,
                                       " numbers, the network's channels"));
    latents->mean.assign(mean.begin(), mean.end());
    latents->std.assign(std.begin(), std.end());
  }
  latents->pixels = static_cast<int>(config.integer("scale_factor_spatial", 8, 1, 64));
  latents->later_frames = static_cast<int>(config.integer("scale_factor_temporal", 4, 1, 64));
  config.agree("z_dim", c.channels, "channels in the network");
  // The rest is the autoencoder's own, which is not converted.
  config.ignore({"base_dim", "decoder_base_dim", "dim_mult", "num_res_blocks", "attn_scales",
                 "temperal_downsample", "dropout", "is_residual", "in_channels", "out_channels",
                 "patch_size", "clip_output"});
  return config.finish();
}

Status check_pipeline(const DiffusersFolder& pipeline) {
  ZT_ASSIGN_OR_RETURN(Config index,
                      Config::parse(pipeline.path + "/model_index.json", pipeline.index));
  index.text("_class_name", "", {"WanPipeline", "WanImageToVideoPipeline"});
  if (pipeline.components.contains("transformer_2"))
    index.fail(Code::kUnsupported,
               "two transformers that take turns (Wan 2.2 A14B) are not supported; transformer and "
               "transformer_2 can be converted one by one");
  index.absent("boundary_ratio", "transformers that take turns are not supported");
  // With text alone every token has the same time, expanded or not.
  index.ignore({"expand_timesteps"});
  for (const char* part :
       {"transformer", "transformer_2", "vae", "text_encoder", "tokenizer", "scheduler"})
    index.component(part);
  return index.finish();
}

Status convert_wan(const ConvertSource& source, const ConvertOptions& options,
                   const WriteProgress& progress) {
  const Checkpoint& checkpoint = source.checkpoint;
  if (source.pipeline != nullptr) ZT_RETURN_IF_ERROR(check_pipeline(*source.pipeline));
  ZT_ASSIGN_OR_RETURN(const Layout layout, find_layout(checkpoint));
  ZT_ASSIGN_OR_RETURN(WanConfig wan, read_shapes(checkpoint, layout));
  ZT_ASSIGN_OR_RETURN(Config config, read_config(checkpoint));
  int64_t positions = 1024;
  ZT_RETURN_IF_ERROR(layout.diffusers ? read_diffusers_config(&config, &wan, &positions)
                                      : read_original_config(checkpoint, &config, &wan));
  ZT_RETURN_IF_ERROR(config.finish());

  ModelInfo info;
  info.name = options.name.empty() ? "wan" : options.name;
  info.family = "wan";
  auto graph = build_wan_dit(wan);
  if (!graph.ok()) return graph.status().with_context(checkpoint.path());
  std::vector<ModelPart> parts{{.scope = "dit", .components = {std::move(*graph)}}};
  ZT_ASSIGN_OR_RETURN(const WeightMap map,
                      WeightMap::create(checkpoint, parts[0].components,
                                        [&](const std::string& name) { return layout.key(name); }));
  for (const std::string& key : map.unused())
    ZT_RETURN_IF_ERROR(check_unused(checkpoint, layout.prefix, key));
  parts[0].weights = &map;

  Recipe recipe;
  LatentSpec latents;
  ZT_RETURN_IF_ERROR(read_latents(source, wan, &latents));
  const int64_t step = 2 * latents.pixels, later = latents.later_frames;
  const auto side = [&](int64_t preferred) {
    const int64_t most = step * std::min<int64_t>(positions, 2048 / step);
    return Range{step, most, step, std::min(preferred / step * step, most)};
  };
  recipe.clip.fps = 16;
  recipe.clip.width = side(832);
  recipe.clip.height = side(480);
  const int64_t most_frames = 1 + later * (std::min<int64_t>(positions, 41) - 1);
  recipe.clip.frames = {1, most_frames, later, std::min<int64_t>(1 + 20 * later, most_frames), 1};
  if (!latents.mean.empty()) recipe.latents = {std::move(latents)};
  recipe.incomplete = "it has neither a text encoder nor an autoencoder";
  info.recipe = recipe_to_json(recipe);
  info.provenance = "the DiT of a Wan checkpoint";
  info.licence = "Apache-2.0, or as the checkpoint's source says";
  return store_model(std::move(info), std::move(parts), options, progress);
}

}  // namespace

const Family& wan_family() {
  static const Family family{
      "wan", {kOriginalMark, kDiffusersMark}, convert_wan, [](const std::string& weight) {
        return std::vector<std::vector<std::string>>{{weight}, {Layout{true, ""}.key(weight)}};
      }};
  return family;
}

}  // namespace zoetrope
