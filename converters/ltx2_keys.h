// What LTX-2's weights are called: graphs have diffusers' names, Lightricks' single files others,
// with a prefix for each part.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "converters/checkpoint.h"

namespace zoetrope {

// Keys by which a transformer's checkpoint is known.
inline constexpr std::string_view kLtx2OriginalMark =
    "av_ca_a2v_gate_adaln_single.emb.timestep_embedder.linear_1.weight";
inline constexpr std::string_view kLtx2DiffusersMark =
    "av_cross_attn_video_a2v_gate.emb.timestep_embedder.linear_1.weight";

// Of one part in one checkpoint.
struct Ltx2Place {
  const Checkpoint* checkpoint = nullptr;
  std::string prefix = "";
  bool original = false;  // Lightricks' names
};

std::string ltx2_transformer_key(const Ltx2Place& place, const std::string& weight);
// Of the text's projections and connectors. Lightricks' connectors lie with the transformer and
// have its prefix.
std::string ltx2_connector_key(const Ltx2Place& place, const std::string& weight);
// `levels`: of the encoder.
std::string ltx2_vae_key(const Ltx2Place& place, const std::string& weight, size_t levels);
// `weight` without "audio_vae." or "vocoder.".
std::string ltx2_vocoder_key(const Ltx2Place& place, const std::string& weight);
// Keys of adapters for a weight of the transformer or of the text: diffusers' and Lightricks'.
std::vector<std::vector<std::string>> ltx2_key_layouts(const std::string& weight);

// Means and deviations of latents.
std::string ltx2_mean_key(const Ltx2Place& place);
std::string ltx2_deviation_key(const Ltx2Place& place);

}  // namespace zoetrope
