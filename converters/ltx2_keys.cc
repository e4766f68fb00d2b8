#include "converters/ltx2_keys.h"

#include <algorithm>

#include "converters/families.h"

namespace zoetrope {
namespace {

// diffusers' names and Lightricks'.
const KeyRewrite kTransformerKeys[] = {
    {"proj_in.", "patchify_proj."},
    {"audio_proj_in.", "audio_patchify_proj."},
    {"time_embed.", "adaln_single."},
    {"audio_time_embed.", "audio_adaln_single."},
    {"prompt_adaln.", "prompt_adaln_single."},
    {"audio_prompt_adaln.", "audio_prompt_adaln_single."},
    {"av_cross_attn_video_scale_shift.", "av_ca_video_scale_shift_adaln_single."},
    {"av_cross_attn_video_a2v_gate.", "av_ca_a2v_gate_adaln_single."},
    {"av_cross_attn_audio_scale_shift.", "av_ca_audio_scale_shift_adaln_single."},
    {"av_cross_attn_audio_v2a_gate.", "av_ca_v2a_gate_adaln_single."},
    {".video_a2v_cross_attn_scale_shift_table", ".scale_shift_table_a2v_ca_video"},
    {".audio_a2v_cross_attn_scale_shift_table", ".scale_shift_table_a2v_ca_audio"},
    {".norm_q.", ".q_norm."},
    {".norm_k.", ".k_norm."},
};
const KeyRewrite kProjectionKeys[] = {
    {"text_proj_in.", "text_embedding_projection.aggregate_embed."},
    {"video_text_proj_in.", "text_embedding_projection.video_aggregate_embed."},
    {"audio_text_proj_in.", "text_embedding_projection.audio_aggregate_embed."},
};
const KeyRewrite kConnectorKeys[] = {
    {"video_connector.", "video_embeddings_connector."},
    {"audio_connector.", "audio_embeddings_connector."},
    {".transformer_blocks.", ".transformer_1d_blocks."},
    {".norm_q.", ".q_norm."},
    {".norm_k.", ".k_norm."},
};
const KeyRewrite kVocoderKeys[] = {
    {"conv_in.", "conv_pre."},
    {".conv_in.", ".conv_pre."},
    {"conv_out.", "conv_post."},
    {".conv_out.", ".conv_post."},
    {"upsamplers.", "ups."},
    {".upsamplers.", ".ups."},
    {"resnets.", "resblocks."},
    {".resnets.", ".resblocks."},
    {"act_out.", "act_post."},
    {".act_out.", ".act_post."},
    {".downsample.filter", ".downsample.lowpass.filter"},
};

// A level's number behind `list`, and what follows it; nothing where `name` begins otherwise.
bool take_level(const std::string& name, std::string_view list, size_t* level, std::string* rest) {
  if (!name.starts_with(list)) return false;
  const size_t dot = name.find('.', list.size());
  if (dot == std::string::npos) return false;
  *level = std::stoull(name.substr(list.size(), dot - list.size()));
  *rest = name.substr(dot + 1);
  return true;
}

// Lightricks number blocks and changes of size through; diffusers' levels hold one of each.
std::string numbered_block(const std::string& name, size_t levels) {
  constexpr std::string_view kDown = "encoder.down_blocks.", kUp = "decoder.up_blocks.";
  constexpr std::string_view kMiddle[] = {"encoder.mid_block.", "decoder.mid_block."};
  constexpr std::string_view kChange[] = {"downsamplers.0.", "upsamplers.0."};
  size_t level = 0;
  std::string rest;
  const auto at = [](std::string_view list, size_t number, const std::string& what) {
    return std::string(list) + std::to_string(number) + "." + what;
  };
  if (take_level(name, kDown, &level, &rest))
    return rest.starts_with(kChange[0]) ? at(kDown, 2 * level + 1, rest.substr(kChange[0].size()))
                                        : at(kDown, 2 * level, rest);
  if (take_level(name, kUp, &level, &rest))
    return rest.starts_with(kChange[1]) ? at(kUp, 2 * level + 1, rest.substr(kChange[1].size()))
                                        : at(kUp, 2 * level + 2, rest);
  if (name.starts_with(kMiddle[0])) return at(kDown, 2 * levels, name.substr(kMiddle[0].size()));
  if (name.starts_with(kMiddle[1])) return at(kUp, 0, name.substr(kMiddle[1].size()));
  return name;
}

}  // namespace

std::string ltx2_transformer_key(const Ltx2Place& place, const std::string& weight) {
  return place.prefix + (place.original ? rewrite_key(weight, kTransformerKeys) : weight);
}

std::string ltx2_connector_key(const Ltx2Place& place, const std::string& weight) {
  if (!place.original) return place.prefix + weight;
  const bool projects = weight.find("_proj_in.") != std::string::npos;
  return projects ? rewrite_key(weight, kProjectionKeys)
                  : place.prefix + rewrite_key(weight, kConnectorKeys);
}

std::string ltx2_vae_key(const Ltx2Place& place, const std::string& weight, size_t levels) {
  if (!place.original) return place.prefix + weight;
  const KeyRewrite blocks[] = {{".resnets.", ".res_blocks."}};
  return place.prefix + rewrite_key(numbered_block(weight, levels), blocks);
}

std::string ltx2_vocoder_key(const Ltx2Place& place, const std::string& weight) {
  return place.prefix + (place.original ? rewrite_key(weight, kVocoderKeys) : weight);
}

std::vector<std::vector<std::string>> ltx2_key_layouts(const std::string& weight) {
  const bool projects = weight.find("text_proj_in.") != std::string::npos;
  if (projects || weight.find("_connector.") != std::string::npos)
    return {
        {weight},
        {"connectors." + weight},
        {projects ? rewrite_key(weight, kProjectionKeys) : rewrite_key(weight, kConnectorKeys)}};
  return {{weight}, {rewrite_key(weight, kTransformerKeys)}};
}

std::string ltx2_mean_key(const Ltx2Place& place) {
  return place.prefix + (place.original ? "per_channel_statistics.mean-of-means" : "latents_mean");
}
std::string ltx2_deviation_key(const Ltx2Place& place) {
  return place.prefix + (place.original ? "per_channel_statistics.std-of-means" : "latents_std");
}

}  // namespace zoetrope
