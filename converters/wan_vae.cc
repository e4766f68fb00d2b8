#include "converters/wan_vae.h"

#include "converters/families.h"

namespace zoetrope {
namespace {

// Graph weights carry diffusers' names. The original's, but for the levels.
const KeyRewrite kOriginalKeys[] = {
    {"post_quant_conv.", "conv2."},
    {"quant_conv.", "conv1."},
    {".conv_in.", ".conv1."},
    {".norm_out.", ".head.0."},
    {".conv_out.", ".head.2."},
    {".mid_block.resnets.0.", ".middle.0."},
    {".mid_block.attentions.0.", ".middle.1."},
    {".mid_block.resnets.1.", ".middle.2."},
    {".norm1.", ".residual.0."},
    {".conv1.", ".residual.2."},
    {".norm2.", ".residual.3."},
    {".conv2.", ".residual.6."},
    {".conv_shortcut.", ".shortcut."},
};

// "<before><number>.": the number, and what follows the dot.
struct Numbered {
  int64_t number;
  std::string rest;
};
Numbered take_number(const std::string& text) {
  const size_t dot = text.find('.');
  return {std::stoll(text.substr(0, dot)), text.substr(dot + 1)};
}

// Where the original has a part of a level: 2.1 counts all levels' parts through, 2.2 a level's.
std::string original_level(const std::string& name, const WanVaeConfig& c) {
  constexpr std::string_view kDown = "encoder.down_blocks.", kUp = "decoder.up_blocks.";
  const bool up = name.starts_with(kUp);
  if (!up && !name.starts_with(kDown)) return name;
  const auto [level, rest] = take_number(name.substr(up ? kUp.size() : kDown.size()));
  const std::string list = up ? "decoder.upsamples." : "encoder.downsamples.";
  if (!up && !c.shortcuts) return list + std::to_string(level) + "." + rest;
  const int64_t blocks = up ? c.blocks + 1 : c.blocks;
  int64_t part = blocks;  // the sampler's, behind the blocks
  std::string inner;
  if (constexpr std::string_view kBlocks = "resnets."; rest.starts_with(kBlocks)) {
    auto [index, after] = take_number(rest.substr(kBlocks.size()));
    part = index;
    inner = std::move(after);
  } else {
    // "upsamplers.0.", "upsampler.", "downsampler."
    inner = rest.substr(rest.find('.') + 1);
    if (inner.starts_with("0.")) inner = inner.substr(2);
  }
  if (c.shortcuts)
    return list + std::to_string(level) + (up ? ".upsamples." : ".downsamples.") +
           std::to_string(part) + "." + inner;
  return list + std::to_string(level * (blocks + 1) + part) + "." + inner;
}

struct Layout {
  bool original = false;
  std::string prefix;

  std::string key(const std::string& name, const WanVaeConfig& c) const {
    if (!original) return prefix + name;
    // Before the levels: a block's "conv1" is not the network's first.
    std::string key = original_level(name, c);
    for (const KeyRewrite& rule : kOriginalKeys) {
      const std::string renamed = rewrite_key(key, {&rule, 1});
      if (renamed == key) continue;
      key = renamed;
      // One rule for the place and one for the part of a block there.
      if (!rule.from.starts_with(".mid_block.resnets")) break;
    }
    return prefix + key;
  }
};

Result<Layout> find_layout(const Checkpoint& checkpoint) {
  if (const auto prefix = find_prefix(checkpoint, "decoder.mid_block.attentions.0.to_qkv.weight"))
    return Layout{false, *prefix};
  if (const auto prefix = find_prefix(checkpoint, "decoder.middle.1.to_qkv.weight"))
    return Layout{true, *prefix};
  return error(Code::kInvalidArgument, checkpoint.path(),
               ": not Wan's autoencoder: neither decoder.mid_block nor decoder.middle with to_qkv "
               "is there");
}

// The original's file has no configuration: shapes tell all.
Result<WanVaeConfig> read_original_shapes(const Checkpoint& checkpoint, const std::string& prefix) {
  const auto shape = [&](const std::string& name) {
    return weight_shape(checkpoint, prefix + name, 5);
  };
  const auto has = [&](const std::string& name) { return checkpoint.type(prefix + name).ok(); };
  const std::string list = "encoder.downsamples.";
  WanVaeConfig c;
  ZT_ASSIGN_OR_RETURN(const Shape in, shape("encoder.conv1.weight"));
  ZT_ASSIGN_OR_RETURN(const Shape out, shape("decoder.conv1.weight"));
  c.shortcuts = has(list + "0.downsamples.0.residual.2.weight");
  c.encoder_width = in[0];
  c.latent_channels = out[1];
  for (c.patch = 1; c.image_channels * c.patch * c.patch < in[1];) ++c.patch;
  c.levels.clear(), c.halves_time.clear();
  c.blocks = 0;
  const auto parts = count_blocks(checkpoint, prefix + list);
  int64_t blocks = 0;
  const auto add_part = [&](const std::string& part) -> Status {
    if (has(part + "resample.1.weight")) {
      c.halves_time.push_back(has(part + "time_conv.weight"));
      return Status();
    }
    ZT_ASSIGN_OR_RETURN(const Shape block, shape(part + "residual.2.weight"));
    if (c.levels.size() == c.halves_time.size()) c.levels.push_back(block[0] / c.encoder_width);
    ++blocks;
    return Status();
  };
  for (int64_t i = 0; i < parts; ++i) {
    const std::string part = list + std::to_string(i) + ".";
    if (!c.shortcuts) {
      ZT_RETURN_IF_ERROR(add_part(part));
      continue;
    }
    const auto inner = count_blocks(checkpoint, prefix + part + "downsamples.");
    for (int64_t k = 0; k < inner; ++k)
      ZT_RETURN_IF_ERROR(add_part(part + "downsamples." + std::to_string(k) + "."));
  }
  if (c.levels.empty() || c.levels.back() == 0 || out[0] % c.levels.back() != 0 ||
      blocks % static_cast<int64_t>(c.levels.size()) != 0)
    return error(Code::kDataLoss, checkpoint.path(), ": ", blocks, " blocks in ", c.levels.size(),
                 " levels are no autoencoder of Wan's");
  c.blocks = blocks / static_cast<int64_t>(c.levels.size());
  c.decoder_width = out[0] / c.levels.back();
  return c;
}

Status read_configuration(Config* config, WanAutoencoder* out) {
  WanVaeConfig& c = out->config;
  config->text("_class_name", "AutoencoderKLWan", {"AutoencoderKLWan"});
  c.encoder_width = config->integer("base_dim", 96, 1, 1 << 16);
  c.decoder_width = config->integer("decoder_base_dim", c.encoder_width, 1, 1 << 16);
  c.latent_channels = config->integer("z_dim", 16, 1, 1 << 12);
  c.levels = config->integers("dim_mult", {1, 2, 4, 4}, 1, 64);
  c.blocks = config->integer("num_res_blocks", 2, 1, 64);
  if (!config->numbers("attn_scales", 16).empty())
    config->fail(Code::kUnsupported, "'attn_scales': attention in the levels is not supported");
  c.halves_time = config->flags("temperal_downsample", {false, true, true});
  c.shortcuts = config->flag("is_residual", false);
  c.patch = config->integer("patch_size", 1, 1, 16);
  const int64_t channels = c.image_channels * c.patch * c.patch;
  config->agree("in_channels", channels, "the rest makes it", 3);
  config->agree("out_channels", channels, "the rest makes it", 3);
  config->agree("scale_factor_spatial", c.space(), "the rest makes it", 8);
  config->agree("scale_factor_temporal", c.time(), "the rest makes it", 4);
  const auto size = static_cast<size_t>(c.latent_channels);
  const std::vector<double> mean = config->numbers("latents_mean", size),
                            deviation = config->numbers("latents_std", size);
  if (!mean.empty() || !deviation.empty()) {
    if (mean.size() != size || deviation.size() != size)
      config->fail(Code::kDataLoss, str("'latents_mean' and 'latents_std' must have ", size,
                                        " numbers, the channels of its latents"));
    for (const double d : deviation)
      if (!(d > 0)) config->fail(Code::kDataLoss, "'latents_std' must be positive");
    out->mean.assign(mean.begin(), mean.end());
    out->deviation.assign(deviation.begin(), deviation.end());
  }
  config->ignore({"dropout", "clip_output"});
  return config->finish();
}

}  // namespace

Result<WanAutoencoder> open_wan_autoencoder(const std::string& path) {
  WanAutoencoder out;
  ZT_RETURN_IF_ERROR(open_weights(path, &out.part));
  const Checkpoint& checkpoint = out.part.checkpoint();
  ZT_ASSIGN_OR_RETURN(const Layout layout, find_layout(checkpoint));
  ZT_ASSIGN_OR_RETURN(Config config, read_config(checkpoint));
  if (layout.original) {  // beside it stands the transformer's configuration, if any
    ZT_ASSIGN_OR_RETURN(out.config, read_original_shapes(checkpoint, layout.prefix));
  } else if (config.empty()) {
    return error(Code::kNotFound, checkpoint.path(),
                 ": diffusers' weights without their config.json beside them; download it too");
  } else {
    ZT_RETURN_IF_ERROR(read_configuration(&config, &out));
  }
  if (out.mean.empty()) {
    LatentStatistics known = wan_latent_statistics(out.config.latent_channels);
    out.mean = std::move(known.mean);
    out.deviation = std::move(known.deviation);
  }
  for (const ClipPart part : {ClipPart::kFirst, ClipPart::kLater})
    for (auto* build : {build_wan_vae_encoder, build_wan_vae_decoder}) {
      auto graph = build(out.config, part);
      if (!graph.ok()) return graph.status().with_context(checkpoint.path());
      out.part.graphs.push_back(std::move(*graph));
    }
  ZT_ASSIGN_OR_RETURN(out.part.weights,
                      WeightMap::create(checkpoint, out.part.graphs, [&](const std::string& name) {
                        return layout.key(name, out.config);
                      }));
  for (const std::string& key : out.part.weights.unused())
    ZT_RETURN_IF_ERROR(check_unused(checkpoint, layout.prefix, key));
  return out;
}

}  // namespace zoetrope
