#include "converters/ltx2_config.h"

#include <algorithm>
#include <string>

namespace zoetrope {
namespace {

constexpr int64_t kMost = kLtx2Most;

// A level's change of size by diffusers' name.
Ltx2VaeConfig::Change change_of(const std::string& type) {
  return type == "spatial"    ? Ltx2VaeConfig::Change::kSpatial
         : type == "temporal" ? Ltx2VaeConfig::Change::kTemporal
                              : Ltx2VaeConfig::Change::kBoth;
}

// What diffusers' configurations of both halves of the autoencoder have: one of each a level.
struct Levels {
  std::vector<int64_t> channels, blocks, factors;
  std::vector<bool> changes, residual;
  std::vector<std::string> types;
};

bool check_levels(Config* c, const Levels& l, const char* what) {
  const size_t n = l.channels.size();
  for (const std::string& type : l.types)
    if (type != "spatial" && type != "temporal" && type != "spatiotemporal") {
      c->fail(Code::kUnsupported,
              str("'", what, "': '", type, "'; known: spatial, temporal, spatiotemporal"));
      return false;
    }
  if (l.blocks.size() == n + 1 && l.changes.size() == n && l.types.size() == n) return true;
  c->fail(Code::kDataLoss, str("'", what, "': ", l.types.size(), " for ", n, " levels, with ",
                               l.changes.size(), " words on scaling and ", l.blocks.size(),
                               " numbers of layers (one more than levels)"));
  return false;
}

void read_encoder(Config* c, Ltx2VaeConfig* vae) {
  Levels l;
  l.channels = c->integers("block_out_channels", {256, 512, 1024, 2048}, 1, kMost);
  const std::vector<std::string> kinds = c->texts("down_block_types", 16);
  for (const std::string& kind : kinds)
    if (kind != "LTX2VideoDownBlock3D")
      c->fail(Code::kUnsupported, "'down_block_types': only LTX2VideoDownBlock3D is known");
  l.blocks = c->integers("layers_per_block", {4, 6, 6, 2, 2}, 1, 64);
  l.changes = c->flags("spatio_temporal_scaling", {true, true, true, true});
  l.types = c->texts("downsample_type", 16);
  if (l.types.empty()) l.types = {"spatial", "temporal", "spatiotemporal", "spatiotemporal"};
  if (!check_levels(c, l, "downsample_type")) return;
  vae->encoder.clear();
  for (size_t i = 0; i < l.channels.size(); ++i)
    vae->encoder.push_back({l.channels[i], l.blocks[i],
                            l.changes[i] ? change_of(l.types[i]) : Ltx2VaeConfig::Change::kNone});
  vae->encoder_middle = l.blocks.back();
}

// Its lists are finest first, but for the kinds of upsampling.
void read_decoder(Config* c, Ltx2VaeConfig* vae) {
  Levels l;
  l.channels = c->integers("decoder_block_out_channels", {256, 512, 1024}, 1, kMost);
  l.blocks = c->integers("decoder_layers_per_block", {5, 5, 5, 5}, 1, 64);
  l.changes = c->flags("decoder_spatio_temporal_scaling", {true, true, true});
  l.types = c->texts("upsample_type", 16);
  if (l.types.empty()) l.types = {"spatiotemporal", "spatiotemporal", "spatiotemporal"};
  l.residual = c->flags("upsample_residual", {true, true, true});
  l.factors = c->integers("upsample_factor", {2, 2, 2}, 1, 16);
  const size_t n = l.channels.size();
  if (!check_levels(c, l, "upsample_type")) return;
  if (l.residual.size() != n || l.factors.size() != n)
    return c->fail(Code::kDataLoss,
                   str("'upsample_residual' and 'upsample_factor' must have ", n, " entries"));
  vae->decoder.clear();
  for (size_t i = 0; i < n; ++i) {
    const size_t k = n - 1 - i;
    vae->decoder.push_back({l.channels[k], l.blocks[k],
                            l.changes[k] ? change_of(l.types[i]) : Ltx2VaeConfig::Change::kNone,
                            l.residual[k], l.factors[k]});
  }
  vae->decoder_middle = l.blocks.back();
}

}  // namespace

void read_ltx2_generator(Config* c, const std::string& factors_key,
                         const std::string& up_kernels_key, const std::string& kernels_key,
                         const std::string& dilations_key, Ltx2Generator* g) {
  std::vector<int64_t> factors, up_kernels, kernels;
  std::vector<std::vector<int64_t>> dilations;
  for (const auto& up : g->ups) {
    factors.push_back(up.factor);
    up_kernels.push_back(up.kernel);
  }
  for (const auto& kernel : g->kernels) {
    kernels.push_back(kernel.size);
    dilations.push_back(kernel.dilations);
  }
  factors = c->integers(factors_key.c_str(), factors, 1, 64);
  up_kernels = c->integers(up_kernels_key.c_str(), up_kernels, 1, 256);
  kernels = c->integers(kernels_key.c_str(), kernels, 1, 256);
  dilations = c->integer_lists(dilations_key.c_str(), dilations, 1, 1 << 12);
  if (factors.size() != up_kernels.size() || kernels.size() != dilations.size())
    return c->fail(Code::kDataLoss,
                   str("'", factors_key, "' and '", up_kernels_key, "', '", kernels_key, "' and '",
                       dilations_key, "' must have as many entries as each other"));
  g->ups.clear();
  for (size_t i = 0; i < factors.size(); ++i) g->ups.push_back({factors[i], up_kernels[i]});
  g->kernels.clear();
  for (size_t i = 0; i < kernels.size(); ++i) g->kernels.push_back({kernels[i], dilations[i]});
}

void check_ltx2_encoded_sound(Config* c, const char* out_key, int64_t channels) {
  c->only("double_z", true, "an encoder of sound gives means and variances");
  if (c->integer("in_channels", 2, 1, 64) != channels)
    c->fail(Code::kUnsupported, str("'in_channels' differs from '", out_key, "', ", channels));
}

// diffusers reads any number of levels and takes a latent to stand for four frames and bins.
void check_ltx2_quarters(Config* c, const char* key, size_t levels) {
  if (levels != 3)
    c->fail(Code::kUnsupported,
            str("'", key, "' has ", levels, " levels; a latent of four frames and bins has three"));
}

// Defaults are those of diffusers' LTX2VideoTransformer3DModel.
Status read_ltx2_transformer(Config* c, Ltx2Config* d) {
  c->text("_class_name", "LTX2VideoTransformer3DModel", {"LTX2VideoTransformer3DModel"});
  struct Keys {
    const char *in, *out, *patch, *patch_t, *heads, *head_dim, *context, *gated, *modulated, *bias;
  };
  const auto stream = [&](Ltx2Config::Stream* s, int64_t head_dim, int64_t context, const Keys& k) {
    s->channels = c->integer(k.in, 128, 1, kMost);
    if (c->integer(k.out, s->channels, 1, kMost) != s->channels)
      c->fail(Code::kUnsupported, str("'", k.out, "' differs from '", k.in, "', ", s->channels));
    for (const char* patch : {k.patch, k.patch_t})
      if (c->integer(patch, 1, 1, 64) != 1)
        c->fail(Code::kUnsupported, str("'", patch, "': a token is one latent"));
    s->heads = c->integer(k.heads, 32, 1, 1 << 12);
    s->head_dim = c->integer(k.head_dim, head_dim, 2, 1 << 12);
    if (c->integer(k.context, context, 1, kMost) != s->width())
      c->fail(Code::kUnsupported, str("'", k.context, "' is not the stream's width, ", s->width()));
    s->gated_attention = c->flag(k.gated, false);
    s->modulated_prompt = c->flag(k.modulated, false);
    s->ffn_bias = c->flag(k.bias, true);
  };
  stream(&d->video, 128, 4096,
         {"in_channels", "out_channels", "patch_size", "patch_size_t", "num_attention_heads",
          "attention_head_dim", "cross_attention_dim", "gated_attn", "cross_attn_mod", "ff_bias"});
  stream(&d->sound, 64, 2048,
         {"audio_in_channels", "audio_out_channels", "audio_patch_size", "audio_patch_size_t",
          "audio_num_attention_heads", "audio_attention_head_dim", "audio_cross_attention_dim",
          "audio_gated_attn", "audio_cross_attn_mod", "audio_ff_bias"});
  d->layers = c->integer("num_layers", 48, 1, 1 << 12);
  c->text("activation_fn", "gelu-approximate", {"gelu-approximate"});
  c->text("qk_norm", "rms_norm_across_heads", {"rms_norm_across_heads"});
  c->only("norm_elementwise_affine", false, "norms have no weights here");
  d->epsilon = c->number("norm_eps", 1e-6, 0, 1);
  d->project_text = c->flag("use_prompt_embeddings", true);
  const int64_t captions = c->integer("caption_channels", 3840, 1, kMost);
  d->text_width = d->project_text ? captions : d->video.width();
  d->sound_text_width = d->project_text ? captions : d->sound.width();
  d->attention_bias = c->flag("attention_bias", true);
  d->attention_out_bias = c->flag("attention_out_bias", true);
  d->theta = c->number("rope_theta", 10000, 1, 1e12);
  c->only("rope_double_precision", true, kLtx2DoubleRope);
  d->causal_offset = c->integer("causal_offset", 1, 0, 64);
  d->time_scale = c->number("timestep_scale_multiplier", 1000, 1, 1e6);
  d->gate_time_scale = c->number("cross_attn_timestep_scale_multiplier", 1000, 1e-3, 1e6);
  d->rope = c->text("rope_type", "interleaved", {"interleaved", "split"}) == "split"
                ? Ltx2Config::Rope::kSplit
                : Ltx2Config::Rope::kInterleaved;
  d->prompt_by_time = c->flag("use_prompt_adaln_single", true);
  // The pipelines' use_cross_timestep, which no file states: 2.3's behaviour, and not 2.0's.
  d->cross_time = d->video.modulated_prompt;
  const auto scales = c->integers("vae_scale_factors", {8, 32, 32}, 1, 1 << 12);
  if (scales.size() != 3 || scales[1] != scales[2])
    c->fail(Code::kUnsupported,
            "'vae_scale_factors': expected frames and twice the same number of pixels");
  d->frames_a_latent = scales.front();
  d->pixels_a_latent = scales.back();
  d->most_seconds = c->integer("pos_embed_max_pos", 20, 1, 1 << 16);
  d->sound_most_seconds = c->integer("audio_pos_embed_max_pos", 20, 1, 1 << 16);
  d->most_height = c->integer("base_height", 2048, 1, 1 << 16);
  d->most_width = c->integer("base_width", 2048, 1, 1 << 16);
  d->hops_a_latent = c->integer("audio_scale_factor", 4, 1, 1 << 12);
  d->sample_rate = c->integer("audio_sampling_rate", 16000, 1, 768000);
  d->hop = c->integer("audio_hop_length", 160, 1, 1 << 16);
  c->flag("use_keyframes_abs_pos_embedding", false);  // 2.5's: read by its rendering pass alone
  c->ignore({"perturbed_attn"});  // how blocks can be skipped, which any can here
  return c->finish();
}

// Defaults are those of diffusers' LTX2TextConnectors.
Status read_ltx2_connectors(Config* c, const GemmaConfig& gemma, Ltx2TextConfig* t) {
  c->text("_class_name", "LTX2TextConnectors", {"LTX2TextConnectors"});
  t->gemma = gemma;
  c->agree("caption_channels", gemma.width, "the text encoder's channels are", 3840);
  c->agree("text_proj_in_factor", gemma.layers + 1, "the text encoder's states are", 49);
  const auto connector = [&](Ltx2TextConfig::Connector* s, const std::string& stream) {
    const auto key = [&](const char* what) { return stream + what; };
    s->heads = c->integer(key("_connector_num_attention_heads").c_str(), 30, 1, 1 << 12);
    s->head_dim = c->integer(key("_connector_attention_head_dim").c_str(), 128, 2, 1 << 12);
    s->layers = c->integer(key("_connector_num_layers").c_str(), 2, 0, 1 << 10);
    s->registers = c->integer(key("_connector_num_learnable_registers").c_str(), 128, 1, 1 << 16);
    s->gated_attention = c->flag(key("_gated_attn").c_str(), false);
  };
  connector(&t->video, "video");
  connector(&t->sound, "audio");
  t->longest = c->integer("connector_rope_base_seq_len", 4096, 1, 1 << 24);
  t->theta = c->number("rope_theta", 10000, 1, 1e12);
  c->only("rope_double_precision", true, kLtx2DoubleRope);
  c->only("causal_temporal_positioning", false, "connectors look both ways");
  t->split_rope = c->text("rope_type", "interleaved", {"interleaved", "split"}) == "split";
  t->projection_a_stream = c->flag("per_modality_projections", false);
  const int64_t video = c->integer("video_hidden_dim", 4096, 1, kMost),
                sound = c->integer("audio_hidden_dim", 2048, 1, kMost);
  if (t->projection_a_stream && (video != t->video.width() || sound != t->sound.width()))
    c->fail(Code::kDataLoss,
            str("'video_hidden_dim' ", video, " and 'audio_hidden_dim' ", sound,
                " are not the connectors' widths, ", t->video.width(), " and ", t->sound.width()));
  t->projection_bias = c->flag("proj_bias", false);
  return c->finish();
}

// Defaults are those of diffusers' AutoencoderKLLTX2Video.
Status read_ltx2_vae(Config* c, Ltx2VaeConfig* vae, double* scale) {
  c->text("_class_name", "AutoencoderKLLTX2Video", {"AutoencoderKLLTX2Video"});
  for (const char* key : {"in_channels", "out_channels"})
    if (c->integer(key, 3, 1, 64) != 3)
      c->fail(Code::kUnsupported, str("'", key, "': frames have 3 channels"));
  vae->latent_channels = c->integer("latent_channels", 128, 1, 1 << 12);
  vae->patch = c->integer("patch_size", 4, 1, 64);
  if (c->integer("patch_size_t", 1, 1, 64) != 1)
    c->fail(Code::kUnsupported, "'patch_size_t': patches are of one frame");
  read_encoder(c, vae);
  read_decoder(c, vae);
  for (const bool noisy : c->flags("decoder_inject_noise", {}))
    if (noisy) c->fail(Code::kUnsupported, "'decoder_inject_noise': a decoder without noise");
  c->only("timestep_conditioning", false, "a decoder that is told a time is not supported");
  vae->epsilon = c->number("resnet_norm_eps", 1e-6, 0, 1);
  *scale = c->number("scaling_factor", 1, 1e-6, 1e6);
  vae->encoder_causal = c->flag("encoder_causal", true);
  vae->decoder_causal = c->flag("decoder_causal", true);
  vae->encoder_reflects = ltx2_reflects(c, "encoder_spatial_padding_mode", "zeros");
  vae->decoder_reflects = ltx2_reflects(c, "decoder_spatial_padding_mode", "reflect");
  c->agree("spatial_compression_ratio", vae->space(), "the levels make it");
  c->agree("temporal_compression_ratio", vae->time(), "the levels make it");
  return c->finish();
}

// Defaults are those of diffusers' AutoencoderKLLTX2Audio.
Status read_ltx2_audio_vae(Config* c, Ltx2SoundConfig* s, Ltx2Clocks* clocks) {
  c->text("_class_name", "AutoencoderKLLTX2Audio", {"AutoencoderKLLTX2Audio"});
  s->base = c->integer("base_channels", 128, 1, kMost);
  s->levels = c->integers("ch_mult", {1, 2, 4}, 1, 64);
  check_ltx2_quarters(c, "ch_mult", s->levels.size());
  s->blocks = c->integer("num_res_blocks", 2, 1, 64);
  s->latent_channels = c->integer("latent_channels", 8, 1, 1 << 12);
  s->channels = c->integer("output_channels", 2, 1, 64);
  s->bins = c->integer("mel_bins", 64, 4, 1 << 12);
  s->latent_bins = s->bins / 4;
  clocks->sample_rate = c->integer("sample_rate", 16000, 1, 768000);
  clocks->hop = c->integer("mel_hop_length", 160, 1, 1 << 16);
  if (!c->numbers("attn_resolutions", 16).empty())
    c->fail(Code::kUnsupported, "'attn_resolutions': attention in the levels is not supported");
  c->only("mid_block_add_attention", false, "attention in the decoder of sound is not supported");
  c->text("norm_type", "pixel", {"pixel"});
  c->text("causality_axis", "height", {"height"});
  c->only("is_causal", true, "only causal decoders of sound are supported");
  check_ltx2_encoded_sound(c, "output_channels", s->channels);
  c->ignore({"resolution", "dropout"});
  return c->finish();
}

namespace {

// One network of diffusers' vocoders, whose keys begin with `prefix`.
void read_vocoder(Config* c, const std::string& prefix, int64_t bins, const Ltx2SoundConfig& sound,
                  Ltx2Generator* g) {
  const auto key = [&](const char* name) { return prefix + name; };
  g->width = c->integer(key("hidden_channels").c_str(), g->width, 1, kMost);
  c->agree(key("in_channels"), sound.channels * bins, "the spectrogram makes it", 128);
  c->agree(key("out_channels"), sound.channels, "the spectrogram makes it", 2);
  read_ltx2_generator(c, key("upsample_factors"), key("upsample_kernel_sizes"),
                      key("resnet_kernel_sizes"), key("resnet_dilations"), g);
  using Activation = Ltx2Generator::Activation;
  const char* const plain = g->activation == Activation::kLeaky ? "leaky_relu" : "snakebeta";
  const std::string act =
      c->text(key("act_fn").c_str(), plain, {"leaky_relu", "snake", "snakebeta"});
  g->activation = act == "snake"       ? Activation::kSnake
                  : act == "snakebeta" ? Activation::kSnakeBeta
                                       : Activation::kLeaky;
  g->antialias = c->flag(key("antialias").c_str(), g->antialias);
  g->ratio = c->integer(key("antialias_ratio").c_str(), 2, 1, 64);
  g->filter = c->integer(key("antialias_kernel_size").c_str(), 12, 1, 1 << 12);
  g->slope = c->number(key("leaky_relu_negative_slope").c_str(), 0.1, 0, 1);
  using Final = Ltx2Generator::Final;
  const std::string final_key = key("final_act_fn");
  const char* const last = g->final == Final::kTanh ? "tanh" : "";
  const bool none = c->is_null(final_key.c_str());
  const std::string end = c->text(final_key.c_str(), last, {"tanh", "clamp"});
  g->final = none || end.empty() ? Final::kNone : end == "clamp" ? Final::kClamp : Final::kTanh;
  g->final_bias = c->flag(key("final_bias").c_str(), g->final_bias);
}

}  // namespace

void read_ltx2_rates(Config* c, Ltx2Bandwidth* wide, int* sample_rate) {
  const int64_t low = c->integer("input_sampling_rate", 16000, 1, 768000),
                high = c->integer("output_sampling_rate", 48000, 1, 768000);
  if (high % low != 0)
    c->fail(Code::kUnsupported, str("'output_sampling_rate' ", high, " is no multiple of ",
                                    "'input_sampling_rate' ", low));
  wide->ratio = std::max<int64_t>(high / low, 1);
  *sample_rate = static_cast<int>(high);
}

// Defaults are those of diffusers' LTX2Vocoder and LTX2VocoderWithBWE.
Status read_ltx2_vocoder(Config* c, Ltx2SoundConfig* s, int* sample_rate) {
  const std::string kind =
      c->text("_class_name", "LTX2Vocoder", {"LTX2Vocoder", "LTX2VocoderWithBWE"});
  if (kind == "LTX2Vocoder") {
    read_vocoder(c, "", s->bins, *s, &s->vocoder);
    *sample_rate = static_cast<int>(c->integer("output_sampling_rate", 24000, 1, 768000));
    return c->finish();
  }
  const Ltx2SoundConfig published = ltx2_3_sound();
  s->vocoder = published.vocoder;
  s->bandwidth = published.bandwidth;
  Ltx2Bandwidth& wide = *s->bandwidth;
  read_vocoder(c, "", s->bins, *s, &s->vocoder);
  wide.bins = c->integer("num_mel_channels", 64, 1, 1 << 12);
  read_vocoder(c, "bwe_", wide.bins, *s, &wide.generator);
  wide.window = c->integer("filter_length", 512, 2, 1 << 16);
  if (c->integer("window_length", 512, 2, 1 << 16) != wide.window)
    c->fail(Code::kUnsupported, "'window_length' differs from 'filter_length'");
  wide.hop = c->integer("hop_length", 80, 1, 1 << 16);
  read_ltx2_rates(c, &wide, sample_rate);
  return c->finish();
}

}  // namespace zoetrope
