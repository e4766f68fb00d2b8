// The configuration in the metadata of Lightricks' single files.
#include "converters/ltx2_config.h"

#include <algorithm>
#include <string>
#include <utility>

namespace zoetrope {
namespace {

constexpr int64_t kMost = kLtx2Most;

void read_original_transformer(Config* c, Ltx2Config* d, Ltx2TextConfig* t) {
  c->text("_class_name", "AVTransformer3DModel", {"AVTransformer3DModel"});
  d->video.channels = c->integer("in_channels", 128, 1, kMost);
  d->sound.channels = c->integer("audio_in_channels", 128, 1, kMost);
  c->agree("out_channels", d->video.channels, "the rest makes it", 128);
  c->agree("audio_out_channels", d->sound.channels, "the rest makes it", 128);
  d->video.heads = c->integer("num_attention_heads", 32, 1, 1 << 12);
  d->video.head_dim = c->integer("attention_head_dim", 128, 2, 1 << 12);
  d->sound.heads = c->integer("audio_num_attention_heads", 32, 1, 1 << 12);
  d->sound.head_dim = c->integer("audio_attention_head_dim", 64, 2, 1 << 12);
  c->agree("cross_attention_dim", d->video.width(), "the rest makes it", 4096);
  c->agree("audio_cross_attention_dim", d->sound.width(), "the rest makes it", 2048);
  d->layers = c->integer("num_layers", 48, 1, 1 << 12);
  d->epsilon = c->number("norm_eps", 1e-6, 0, 1);
  d->theta = c->number("positional_embedding_theta", 10000, 1, 1e12);
  const auto most = c->integers("positional_embedding_max_pos", {20, 2048, 2048}, 1, 1 << 16);
  const auto heard = c->integers("audio_positional_embedding_max_pos", {20}, 1, 1 << 16);
  if (most.size() != 3 || heard.size() != 1)
    c->fail(Code::kUnsupported,
            "'positional_embedding_max_pos' has not three numbers, or the "
            "sound's not one");
  d->most_seconds = most.front();
  d->most_height = most[most.size() / 2];
  d->most_width = most.back();
  d->sound_most_seconds = heard.front();
  d->time_scale = c->number("timestep_scale_multiplier", 1000, 1, 1e6);
  d->gate_time_scale = c->number("av_ca_timestep_scale_multiplier", 1, 1e-3, 1e6);
  const bool gated = c->flag("apply_gated_attention", false),
             modulated = c->flag("cross_attention_adaln", false);
  for (auto* s : {&d->video, &d->sound}) {
    s->gated_attention = gated;
    s->modulated_prompt = modulated;
  }
  d->cross_time = modulated;
  d->prompt_by_time = c->flag("use_prompt_adaln_single", true);
  d->video.ffn_bias = c->flag("ff_bias", true);
  d->sound.ffn_bias = c->flag("audio_ff_bias", true);
  d->attention_bias = d->attention_out_bias = true;
  c->only("attention_bias", true, "attention without biases is not known here");
  const bool split = c->text("rope_type", "split", {"split", "interleaved"}) == "split";
  d->rope = split ? Ltx2Config::Rope::kSplit : Ltx2Config::Rope::kInterleaved;
  if (c->text("frequencies_precision", "", {"float64"}).empty())
    c->fail(Code::kUnsupported, str("'frequencies_precision' is not float64: ", kLtx2DoubleRope));
  // The text is projected before the connectors, or behind them, in the transformer.
  t->projection_a_stream = c->flag("caption_proj_before_connector", false);
  t->projection_bias = t->projection_a_stream;
  for (const char* key : {"caption_projection_first_linear", "caption_projection_second_linear",
                          "caption_proj_input_norm"})
    c->only(key, false, "another projection of the text than those that are known");
  if (t->projection_a_stream) c->text("text_encoder_norm_type", "per_token_rms", {"per_token_rms"});
  d->project_text = !t->projection_a_stream;
  const int64_t captions = c->integer("caption_channels", 3840, 1, kMost);
  d->text_width = d->project_text ? captions : d->video.width();
  d->sound_text_width = d->project_text ? captions : d->sound.width();
  t->video.heads = c->integer("connector_num_attention_heads", 30, 1, 1 << 12);
  t->video.head_dim = c->integer("connector_attention_head_dim", 128, 2, 1 << 12);
  t->video.layers = c->integer("connector_num_layers", 2, 0, 1 << 10);
  t->sound.heads = c->integer("audio_connector_num_attention_heads", t->video.heads, 1, 1 << 12);
  t->sound.head_dim =
      c->integer("audio_connector_attention_head_dim", t->video.head_dim, 2, 1 << 12);
  t->sound.layers = c->integer("audio_connector_num_layers", t->video.layers, 0, 1 << 10);
  t->video.registers = t->sound.registers =
      c->integer("connector_num_learnable_registers", 128, 1, 1 << 16);
  t->video.gated_attention = t->sound.gated_attention =
      c->flag("connector_apply_gated_attention", false);
  c->only("connector_ff_bias", true, "connectors without biases are not known here");
  const auto longest = c->integers("connector_positional_embedding_max_pos", {1}, 1, 1 << 24);
  t->longest = longest.front();
  t->theta = 10000;
  t->split_rope = split;
  c->only("connector_norm_output", true, "connectors end in a norm");
  c->only("use_embeddings_connector", true, "the text comes through connectors");
  c->flag("use_keyframes_abs_pos_embedding", false);  // 2.5's: as of diffusers' configurations
  for (const char* key :
       {"double_self_attention", "only_cross_attention", "share_ff", "norm_elementwise_affine"})
    c->only(key, false, "another transformer than LTX-2's");
  for (const char* key : {"use_audio_video_cross_attention", "av_cross_ada_norm",
                          "use_middle_indices_grid", "causal_temporal_positioning"})
    c->only(key, true, "another transformer than LTX-2's");
  c->text("activation_fn", "gelu-approximate", {"gelu-approximate"});
  c->text("qk_norm", "rms_norm", {"rms_norm"});
  c->text("standardization_norm", "rms_norm", {"rms_norm"});
  c->text("positional_embedding_type", "rope", {"rope"});
  c->text("attention_type", "default", {"default"});
  c->absent("num_vector_embeds", "tokens are latents");
  // Of nothing that runs.
  c->ignore({"dropout", "norm_num_groups", "num_embeds_ada_norm", "cross_attention_norm",
             "upcast_attention", "use_linear_projection", "connector_learnable_registers_std"});
}

// An object without which the weights of a part would be read as another model's.
Result<std::optional<Config>> needed(Config* c, const char* key, bool held) {
  auto object = c->object(key);
  if (held && !object)
    return error(Code::kUnsupported, c->origin(), ": no \"", key,
                 "\" object, and the weights that it is about are there; nothing is guessed in its "
                 "place");
  return object;
}

// Blocks between changes of size, in the order of the list: `change` names a change's kind.
template <typename Change>
Status read_blocks(Config* c, const char* key, const Change& change) {
  int64_t blocks = -1;
  for (Config::Named& item : c->named_objects(key, "num_layers")) {
    Config& b = item.config;
    if (item.name == "res_x") {
      if (blocks >= 0) b.fail(Code::kUnsupported, "follows another one without a change of size");
      blocks = b.integer("num_layers", 1, 1, 64);
      b.only("inject_noise", false, "blocks with noise are not supported");
    } else if (blocks < 0) {
      b.fail(Code::kUnsupported, "a change of size without blocks before it");
    } else {
      change(item.name, &b, blocks);
      blocks = -1;
    }
    ZT_RETURN_IF_ERROR(b.finish());
  }
  if (blocks < 0)
    return error(Code::kUnsupported, c->origin(), ": '", key, "' does not end in blocks, res_x");
  change("", nullptr, blocks);
  return Status();
}

Status read_original_vae(Config* c, Ltx2VaeConfig* vae, double* scale) {
  using Change = Ltx2VaeConfig::Change;
  c->text("_class_name", "CausalVideoAutoencoder", {"CausalVideoAutoencoder"});
  vae->latent_channels = c->integer("latent_channels", 128, 1, 1 << 12);
  vae->patch = c->integer("patch_size", 4, 1, 64);
  const auto kind = [](Config* b, const std::string& name, const std::string& suffix) {
    for (const auto& [text, change] : {std::pair{"compress_space", Change::kSpatial},
                                       {"compress_time", Change::kTemporal},
                                       {"compress_all", Change::kBoth}})
      if (name == text + suffix) return change;
    b->fail(Code::kUnsupported, str("a block of this kind is not supported; known: res_x, "
                                    "compress_space",
                                    suffix, ", compress_time", suffix, ", compress_all", suffix));
    return Change::kNone;
  };
  vae->encoder.clear();
  int64_t width = vae->latent_channels;
  ZT_RETURN_IF_ERROR(
      read_blocks(c, "encoder_blocks", [&](const std::string& name, Config* b, int64_t blocks) {
        if (b == nullptr) return void(vae->encoder_middle = blocks);
        const Change change = kind(b, name, "_res");
        width *= b->integer("multiplier", 2, 1, 16);
        vae->encoder.push_back({width, blocks, change});
      }));
  // The decoder's list is its mirror image: blocks stand before the change that leads to them.
  struct Up {
    int64_t blocks, factor;
    Change change;
    bool residual;
  };
  std::vector<Up> ups;
  ZT_RETURN_IF_ERROR(
      read_blocks(c, "decoder_blocks", [&](const std::string& name, Config* b, int64_t blocks) {
        if (b == nullptr) return void(vae->decoder_middle = blocks);
        const Change change = kind(b, name, "");
        const int64_t factor = b->integer("multiplier", 1, 1, 16);
        ups.push_back({blocks, factor, change, b->flag("residual", false)});
        if (change != Change::kBoth && ups.back().residual)
          b->fail(Code::kUnsupported, "only compress_all has a shortcut");
      }));
  width = c->integer("decoder_base_channels", 128, 1, kMost);
  vae->decoder.clear();
  for (const Up& up : ups) {
    width *= up.factor;
    vae->decoder.insert(vae->decoder.begin(),
                        {width, up.blocks, up.change, up.residual, up.factor});
  }
  for (const char* key : {"in_channels", "out_channels", "dims"})
    if (c->integer(key, 3, 1, 64) != 3) c->fail(Code::kUnsupported, str("'", key, "': expected 3"));
  c->text("norm_layer", "pixel_norm", {"pixel_norm"});
  c->text("latent_log_var", "uniform", {"uniform"});
  c->only("use_quant_conv", false, "convolutions around the latents are not supported");
  c->only("normalize_latent_channels", false, "normalised latents are not supported");
  c->ignore({"timestep_conditioning"});  // its weights would be left over, and refused
  *scale = c->number("scaling_factor", 1, 1e-6, 1e6);
  vae->encoder_causal = true;
  vae->decoder_causal = c->flag("causal_decoder", false);
  // "spatial_padding_mode" is the decoder's; the encoder has a key of its own.
  vae->encoder_reflects = ltx2_reflects(c, "encoder_spatial_padding_mode", "zeros");
  const char* const of_decoder =
      c->has("spatial_padding_mode") ? "spatial_padding_mode" : "decoder_spatial_padding_mode";
  vae->decoder_reflects = ltx2_reflects(c, of_decoder, "reflect");
  if (c->has("decoder_spatial_padding_mode") &&
      ltx2_reflects(c, "decoder_spatial_padding_mode", "reflect") != vae->decoder_reflects)
    c->fail(Code::kUnsupported,
            "'decoder_spatial_padding_mode' is not 'spatial_padding_mode', which is the decoder's");
  c->ignore({"decoder_spatial_padding_mode", "encoder_base_channels"});
  return c->finish();
}

void read_ddconfig(Config c, Config* outer, Ltx2SoundConfig* s) {
  s->base = c.integer("ch", 128, 1, kMost);
  s->levels = c.integers("ch_mult", {1, 2, 4}, 1, 64);
  check_ltx2_quarters(&c, "ch_mult", s->levels.size());
  s->blocks = c.integer("num_res_blocks", 2, 1, 64);
  s->latent_channels = c.integer("z_channels", 8, 1, 1 << 12);
  s->channels = c.integer("out_ch", 2, 1, 64);
  s->bins = c.integer("mel_bins", 64, 4, 1 << 12);
  s->latent_bins = s->bins / 4;
  c.only("mid_block_add_attention", false, "attention in the decoder of sound is not supported");
  if (!c.numbers("attn_resolutions", 16).empty())
    c.fail(Code::kUnsupported, "'attn_resolutions': attention in the levels is not supported");
  c.text("norm_type", "pixel", {"pixel"});
  c.text("causality_axis", "height", {"height"});
  check_ltx2_encoded_sound(&c, "out_ch", s->channels);
  c.ignore({"resolution", "dropout", "downsample_time"});
  if (const Status status = c.finish(); !status.ok()) outer->fail(status.code(), status.message());
}

Status read_original_audio(Config* c, bool held, Ltx2SoundConfig* s, Ltx2Clocks* clocks) {
  ZT_ASSIGN_OR_RETURN(auto model, needed(c, "model", held));
  if (model) {
    ZT_ASSIGN_OR_RETURN(auto params, needed(&*model, "params", held));
    if (params) {
      clocks->sample_rate = params->integer("sampling_rate", 16000, 1, 768000);
      ZT_ASSIGN_OR_RETURN(auto dd, needed(&*params, "ddconfig", held));
      if (dd) read_ddconfig(std::move(*dd), &*params, s);
      ZT_RETURN_IF_ERROR(params->finish());
    }
    ZT_RETURN_IF_ERROR(model->finish());
  }
  ZT_ASSIGN_OR_RETURN(auto before, needed(c, "preprocessing", held));
  if (before) {
    ZT_ASSIGN_OR_RETURN(auto stft, needed(&*before, "stft", held));
    if (stft) {
      clocks->hop = stft->integer("hop_length", 160, 1, 1 << 16);
      stft->only("causal", true, "only causal sound is supported");
      s->window = stft->integer("filter_length", 1024, 2, 1 << 16);
      if (stft->integer("win_length", s->window, 2, 1 << 16) != s->window)
        stft->fail(Code::kUnsupported, "'win_length' differs from 'filter_length'");
      ZT_RETURN_IF_ERROR(stft->finish());
    }
    before->ignore({"audio", "mel"});  // as above
    ZT_RETURN_IF_ERROR(before->finish());
  }
  return c->finish();
}

void read_original_generator(Config* c, Ltx2Generator* g) {
  g->width = c->integer("upsample_initial_channel", g->width, 1, kMost);
  read_ltx2_generator(c, "upsample_rates", "upsample_kernel_sizes", "resblock_kernel_sizes",
                      "resblock_dilation_sizes", g);
  c->only("stereo", true, "sound has two channels");
  g->slope = 0.1;
  g->final_bias = c->flag("use_bias_at_final", true);
  using Final = Ltx2Generator::Final;
  const bool tanh = c->flag("use_tanh_at_final", true);
  g->final = !c->flag("apply_final_activation", true) ? Final::kNone
             : tanh                                   ? Final::kTanh
                                                      : Final::kClamp;
}

Status read_original_vocoder(Config* c, Ltx2SoundConfig* s, int* sample_rate) {
  auto bwe = c->object("bwe");
  auto first = bwe ? c->object("vocoder") : std::nullopt;
  if (!bwe) {
    read_original_generator(c, &s->vocoder);
    c->text("resblock", "1", {"1"});
    c->ignore({"activation"});  // of blocks of another kind
    *sample_rate = static_cast<int>(c->integer("output_sampling_rate", 24000, 1, 768000));
    return c->finish();
  }
  if (!first)
    return error(Code::kUnsupported, c->origin(), ": \"bwe\" without a \"vocoder\" before it");
  const Ltx2SoundConfig published = ltx2_3_sound();
  s->vocoder = published.vocoder;
  s->bandwidth = published.bandwidth;
  Ltx2Bandwidth& wide = *s->bandwidth;
  // Its output is added to the first network's as it is.
  bwe->only("apply_final_activation", false, "an activation of the second network's own");
  if (!bwe->has("apply_final_activation"))
    bwe->only("use_tanh_at_final", false, "an activation of the second network's own");
  for (const auto& [config, generator] :
       {std::pair{&*first, &s->vocoder}, {&*bwe, &wide.generator}}) {
    read_original_generator(config, generator);
    config->text("resblock", "", {"AMP1"});
    config->text("activation", "", {"snakebeta"});
  }
  wide.generator.final = Ltx2Generator::Final::kNone;  // behind the sum of both
  ZT_RETURN_IF_ERROR(first->finish());
  wide.window = bwe->integer("n_fft", 512, 2, 1 << 16);
  if (bwe->integer("win_size", wide.window, 2, 1 << 16) != wide.window)
    bwe->fail(Code::kUnsupported, "'win_size' differs from 'n_fft'");
  wide.hop = bwe->integer("hop_length", 80, 1, 1 << 16);
  wide.bins = bwe->integer("num_mels", 64, 1, 1 << 12);
  read_ltx2_rates(&*bwe, &wide, sample_rate);
  ZT_RETURN_IF_ERROR(bwe->finish());
  return c->finish();
}

}  // namespace

Status read_ltx2_original(Config* c, const Ltx2Held& held, Ltx2Pipeline* p, double* scale) {
  auto transformer = c->object("transformer");
  if (!transformer)
    return error(Code::kUnsupported, c->origin(),
                 ": no \"transformer\" object; LTX-2's single files say in their metadata what "
                 "no tensor shows, and nothing is guessed in its place");
  read_original_transformer(&*transformer, &p->dit, &p->text);
  ZT_RETURN_IF_ERROR(transformer->finish());
  Ltx2Clocks clocks;
  ZT_ASSIGN_OR_RETURN(auto vae, needed(c, "vae", held.vae));
  if (vae) ZT_RETURN_IF_ERROR(read_original_vae(&*vae, &p->vae, scale));
  ZT_ASSIGN_OR_RETURN(auto audio, needed(c, "audio_vae", held.sound));
  if (audio) ZT_RETURN_IF_ERROR(read_original_audio(&*audio, held.sound, &p->sound, &clocks));
  ZT_ASSIGN_OR_RETURN(auto vocoder, needed(c, "vocoder", held.sound));
  if (vocoder) ZT_RETURN_IF_ERROR(read_original_vocoder(&*vocoder, &p->sound, &p->sample_rate));
  p->dit.frames_a_latent = p->vae.time();
  p->dit.pixels_a_latent = p->vae.space();
  p->dit.hops_a_latent = p->sound.mel_frames_a_latent();
  p->dit.sample_rate = clocks.sample_rate;
  p->dit.hop = clocks.hop;
  p->sound.sample_rate = clocks.sample_rate;
  p->sound.hop = clocks.hop;
  c->ignore({"scheduler"});  // of training: the schedule is the pipelines'
  return c->finish();
}

Result<Config> ltx2_metadata_config(const Checkpoint& checkpoint) {
  const auto it = checkpoint.metadata().find("config");
  return Config::parse(checkpoint.path() + " (its metadata's config)",
                       it == checkpoint.metadata().end() ? "" : it->second);
}

Status read_ltx2_original_vae(Config* c, Ltx2VaeConfig* vae, double* scale) {
  auto own = c->object("vae");
  if (!own)
    return error(Code::kUnsupported, c->origin(),
                 ": no \"vae\" object, which says how the autoencoder's blocks follow each other");
  return read_original_vae(&*own, vae, scale);
}

}  // namespace zoetrope
