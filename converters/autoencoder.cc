#include "converters/autoencoder.h"

#include "converters/families.h"

namespace zoetrope {
namespace {

// Graph weights carry diffusers' names. Those of older files of diffusers, and the original's.
const KeyRewrite kOldAttention[] = {{".to_q.", ".query."},
                                    {".to_k.", ".key."},
                                    {".to_v.", ".value."},
                                    {".to_out.0.", ".proj_attn."}};
const KeyRewrite kOriginalKeys[] = {
    {".down_blocks.", ".down."},
    {".up_blocks.", ".up."},
    {".mid_block.resnets.0.", ".mid.block_1."},
    {".mid_block.resnets.1.", ".mid.block_2."},
    {".mid_block.attentions.0.group_norm.", ".mid.attn_1.norm."},
    {".mid_block.attentions.0.", ".mid.attn_1."},
    {".to_q.", ".q."},
    {".to_k.", ".k."},
    {".to_v.", ".v."},
    {".to_out.0.", ".proj_out."},
    {".resnets.", ".block."},
    {".conv_shortcut.", ".nin_shortcut."},
    {".downsamplers.0.", ".downsample."},
    {".upsamplers.0.", ".upsample."},
    {".conv_norm_out.", ".norm_out."},
};

// How one checkpoint names its tensors.
struct Layout {
  bool original = false, old_attention = false;
  std::string prefix;
  size_t levels = 0;

  std::string key(const std::string& name) const {
    if (!original) return prefix + (old_attention ? rewrite_key(name, kOldAttention) : name);
    std::string key = rewrite_key(name, kOriginalKeys);
    // The original counts the decoder's levels from the finest.
    constexpr std::string_view kUp = "decoder.up.";
    if (key.starts_with(kUp)) {
      const size_t level = levels - 1 - static_cast<size_t>(key[kUp.size()] - '0');
      key.replace(kUp.size(), 1, std::to_string(level));
    }
    return prefix + key;
  }
};

Result<Layout> find_layout(const Checkpoint& checkpoint) {
  Layout layout;
  auto prefix = find_prefix(checkpoint, "encoder.down_blocks.0.resnets.0.conv1.weight");
  if (!prefix) {
    prefix = find_prefix(checkpoint, "encoder.down.0.block.0.conv1.weight");
    layout.original = true;
  }
  if (!prefix)
    return error(Code::kInvalidArgument, checkpoint.path(),
                 ": not an autoencoder of Stable Diffusion's kind (AutoencoderKL): no "
                 "encoder.down_blocks.0 or encoder.down.0");
  layout.prefix = *prefix;
  layout.old_attention =
      checkpoint.type(*prefix + "encoder.mid_block.attentions.0.query.weight").ok();
  return layout;
}

// Sizes that shapes tell.
Result<VaeConfig> read_shapes(const Checkpoint& checkpoint, Layout* layout) {
  VaeConfig c;
  const auto has = [&](const char* name) { return checkpoint.type(layout->key(name)).ok(); };
  const std::string blocks =
      layout->prefix + (layout->original ? "encoder.down." : "encoder.down_blocks.");
  layout->levels = static_cast<size_t>(count_blocks(checkpoint, blocks));
  c.levels.clear();
  for (size_t i = 0; i < layout->levels; ++i) {
    ZT_ASSIGN_OR_RETURN(
        const Shape shape,
        weight_shape(checkpoint,
                     layout->key(str("encoder.down_blocks.", i, ".resnets.0.conv1.weight")), 4));
    c.levels.push_back(shape[0]);
  }
  c.layers = count_blocks(checkpoint, blocks + (layout->original ? "0.block." : "0.resnets."));
  ZT_ASSIGN_OR_RETURN(const Shape latents,
                      weight_shape(checkpoint, layout->key("decoder.conv_in.weight"), 4));
  ZT_ASSIGN_OR_RETURN(const Shape image,
                      weight_shape(checkpoint, layout->key("encoder.conv_in.weight"), 4));
  c.latent_channels = latents[1];
  c.image_channels = image[1];
  c.mid_attention = has("encoder.mid_block.attentions.0.group_norm.weight");
  c.quant_conv = has("quant_conv.weight");
  c.post_quant_conv = has("post_quant_conv.weight");
  return c;
}

void check_block_types(Config* config, const char* key, std::string_view known, size_t levels) {
  const std::vector<std::string> types = config->texts(key, 16);
  if (types.empty() && levels == 1) return;
  bool fits = types.size() == levels;
  for (const std::string& type : types) fits &= type == known;
  if (!fits)
    config->fail(Code::kUnsupported,
                 str("'", key, "' must be ", known, ", once for each of the ", levels, " levels"));
}

Status read_configuration(Config* config, Autoencoder* out) {
  VaeConfig& c = out->config;
  const auto levels = static_cast<int64_t>(c.levels.size());
  config->text("_class_name", "AutoencoderKL", {"AutoencoderKL"});
  if (config->integers("block_out_channels", {64}, 1, 1 << 16) != c.levels)
    config->fail(Code::kDataLoss, "'block_out_channels' differs from the weights' shapes");
  check_block_types(config, "down_block_types", "DownEncoderBlock2D", c.levels.size());
  check_block_types(config, "up_block_types", "UpDecoderBlock2D", c.levels.size());
  if (config->integer("layers_per_block", 1, 1, 64) != c.layers)
    config->fail(Code::kDataLoss,
                 str("'layers_per_block' differs from the weights, which have ", c.layers));
  config->agree("latent_channels", c.latent_channels, "the weights' latent channels are");
  config->agree("in_channels", c.image_channels, "the weights' image channels are");
  config->agree("out_channels", c.image_channels, "the weights' image channels are");
  c.groups = config->integer("norm_num_groups", 32, 1, 1 << 16);
  const std::string activation = config->text("act_fn", "silu", {"silu", "swish", "gelu", "relu"});
  if (activation == "gelu") c.activation = VaeConfig::Activation::kGelu;
  if (activation == "relu") c.activation = VaeConfig::Activation::kRelu;
  const auto stated = [&](const char* key, bool found) {
    if (config->flag(key, true) != found)
      config->fail(Code::kDataLoss,
                   str("'", key, "' differs from the weights, which have ", found ? "it" : "none"));
  };
  stated("use_quant_conv", c.quant_conv);
  stated("use_post_quant_conv", c.post_quant_conv);
  stated("mid_block_add_attention", c.mid_attention);
  out->scale = config->number("scaling_factor", 0.18215, 1e-6, 1e6);
  out->shift = config->number("shift_factor", 0, -1e6, 1e6);
  config->absent("latents_mean", "latents with statistics a channel are not supported here");
  config->absent("latents_std", "latents with statistics a channel are not supported here");
  out->sample_size = config->integer("sample_size", 32 << (levels - 1), 1, 1 << 16);
  config->ignore({"force_upcast"});  // a choice of precision, which --compute makes
  return config->finish();
}

}  // namespace

Result<Autoencoder> open_autoencoder(const std::string& path) {
  Autoencoder out;
  ZT_ASSIGN_OR_RETURN(out.checkpoint, open_checkpoint(path));
  const Checkpoint& checkpoint = *out.checkpoint;
  ZT_ASSIGN_OR_RETURN(Layout layout, find_layout(checkpoint));
  ZT_ASSIGN_OR_RETURN(out.config, read_shapes(checkpoint, &layout));
  ZT_ASSIGN_OR_RETURN(Config config, read_config(checkpoint));
  if (!config.empty()) {
    ZT_RETURN_IF_ERROR(read_configuration(&config, &out));
  } else if (!layout.original) {
    return error(Code::kNotFound, checkpoint.path(),
                 ": diffusers' weights without their config.json beside them, which states groups "
                 "and scale; download it too");
  }
  if (out.config.image_channels != 3)
    return error(Code::kUnsupported, checkpoint.path(), ": an autoencoder of ",
                 out.config.image_channels, " image channels; only RGB is supported");
  for (auto* build : {build_vae_encoder, build_vae_decoder}) {
    auto graph = build(out.config);
    if (!graph.ok()) return graph.status().with_context(checkpoint.path());
    out.graphs.push_back(std::move(*graph));
  }
  ZT_ASSIGN_OR_RETURN(out.weights,
                      WeightMap::create(checkpoint, out.graphs,
                                        [&](const std::string& name) { return layout.key(name); }));
  for (const std::string& key : out.weights.unused()) {
    // A whole Stable Diffusion checkpoint is wanted for its autoencoder; "loss" is its training's.
    if (!key.starts_with(layout.prefix) || key.starts_with(layout.prefix + "loss.") ||
        key.starts_with(layout.prefix + "model_ema."))
      continue;
    ZT_RETURN_IF_ERROR(check_unused(checkpoint, layout.prefix, key));
  }
  return out;
}

}  // namespace zoetrope
