#include "models/registry.h"

#include <cmath>

#include "models/clip/clip.h"
#include "models/dit/recipe.h"
#include "models/ltx2/recipe.h"
#include "models/minimax_h3/recipe.h"
#include "models/moviegen/audio_recipe.h"
#include "models/moviegen/recipe.h"
#include "models/t5/t5.h"
#include "models/vae/vae.h"
#include "models/wan/recipe.h"

namespace zoetrope {
namespace {

using Parts = std::vector<BuiltinPart>;

Status add(Parts* parts, std::string scope, std::vector<Result<Graph>> graphs) {
  BuiltinPart part{std::move(scope), {}};
  for (Result<Graph>& graph : graphs) {
    if (!graph.ok()) return graph.status();
    part.components.push_back(std::move(*graph));
  }
  parts->push_back(std::move(part));
  return Status();
}

Result<Parts> one(Result<Graph> graph) {
  Parts parts;
  ZT_RETURN_IF_ERROR(add(&parts, "", {std::move(graph)}));
  return parts;
}

template <char kSize, int kPatch>
BuiltinModel dit(std::string_view name) {
  return {name,
          "dit",
          "DiT, class-conditional images at 256x256",
          [] { return one(build_dit(dit_config(kSize, kPatch))); },
          {{"batch", 2}, {"height", 32}, {"width", 32}}};
}

// With SD's autoencoder: pictures from class labels.
template <char kSize>
BuiltinModel dit_pictures(std::string_view name) {
  return {name,
          "dit",
          "DiT with its autoencoder, class-conditional images at 256x256",
          []() -> Result<Parts> {
            Parts parts;
            ZT_RETURN_IF_ERROR(add(&parts, "",
                                   {build_dit(dit_config(kSize, 2)), build_vae_encoder(VaeConfig()),
                                    build_vae_decoder(VaeConfig())}));
            return parts;
          },
          {{"batch", 2}, {"height", 32}, {"width", 32}},
          [] { return dit_recipe(dit_config(kSize, 2), diffusers_dit_pictures()); }};
}

// Prompts are read as bytes: no vocabulary is built in.
WanPipeline wan_pipeline(const WanConfig& dit, bool experts) {
  WanPipeline p;
  p.dit = dit;
  p.vae = published_wan_vae(dit);
  p.latents = wan_latent_statistics(dit.channels);
  p.experts = experts;
  p.sampling = published_wan_sampling(dit, experts);
  p.sampler = wan_sampler(p.sampling.shift);
  p.tokenizer = EncodeText::Tokenizer::kBytes;
  return p;
}

Result<Parts> wan_parts(const WanPipeline& p) {
  Parts parts;
  ZT_RETURN_IF_ERROR(add(&parts, WanNames::kDit, {build_wan_dit(p.dit)}));
  if (p.experts) {
    ZT_RETURN_IF_ERROR(add(&parts, WanNames::kLow, {build_wan_dit(p.dit)}));
    parts.back().components[0].name = WanNames::kLow;
  }
  ZT_RETURN_IF_ERROR(add(&parts, WanNames::kVae,
                         {build_wan_vae_encoder(p.vae, ClipPart::kFirst),
                          build_wan_vae_decoder(p.vae, ClipPart::kFirst),
                          build_wan_vae_encoder(p.vae, ClipPart::kLater),
                          build_wan_vae_decoder(p.vae, ClipPart::kLater)}));
  ZT_RETURN_IF_ERROR(add(&parts, WanNames::kText, {build_t5_encoder(umt5_xxl())}));
  if (p.dit.image_width > 0)
    ZT_RETURN_IF_ERROR(add(&parts, WanNames::kVision, {build_clip_vision(clip_vit_h_14())}));
  return parts;
}

template <WanConfig (*kDit)(), bool kExperts = false>
BuiltinModel wan(std::string_view name, std::string_view description, const Bindings& example) {
  return {name,        "wan",
          description, [] { return wan_parts(wan_pipeline(kDit(), kExperts)); },
          example,     [] { return wan_recipe(wan_pipeline(kDit(), kExperts)); }};
}

// Prompts are read as bytes.
Result<Parts> moviegen_parts(const MovieGenPipeline& p) {
  Parts parts;
  ZT_RETURN_IF_ERROR(add(&parts, "dit", {build_moviegen_dit(p.dit)}));
  ZT_RETURN_IF_ERROR(add(&parts, "tae", {build_tae_encoder(p.tae), build_tae_decoder(p.tae)}));
  for (const auto& [name, graph] : {std::pair{"ul2", build_t5_encoder(p.ul2)},
                                    {"byt5", build_t5_encoder(p.byt5)},
                                    {"metaclip", build_clip_text(p.metaclip)}}) {
    ZT_RETURN_IF_ERROR(add(&parts, name, {graph}));
    parts.back().components[0].name = name;
  }
  if (p.dit.reference_width > 0)
    ZT_RETURN_IF_ERROR(add(&parts, "vision", {build_clip_vision(p.vision)}));
  return parts;
}

template <MovieGenPipeline (*kPipeline)()>
BuiltinModel moviegen_conditioned(std::string_view name, std::string_view description,
                                  const Bindings& example) {
  return {name,        "moviegen",
          description, [] { return moviegen_parts(kPipeline()); },
          example,     [] { return moviegen_recipe(kPipeline()); }};
}

template <int kBillions>
BuiltinModel moviegen(std::string_view name, const Bindings& example) {
  return {name,
          "moviegen",
          "Movie Gen, text to video, 768x768, 256 frames",
          [] { return moviegen_parts(moviegen_pipeline(kBillions)); },
          example,
          [] { return moviegen_recipe(moviegen_pipeline(kBillions)); }};
}

BuiltinModel tiny_moviegen(const Bindings& example) {
  return {"moviegen-tiny",
          "moviegen",
          "the same in a few thousand weights, to try commands with",
          [] { return moviegen_parts(tiny_moviegen_pipeline()); },
          example,
          [] { return moviegen_recipe(tiny_moviegen_pipeline()); }};
}

Result<Parts> moviegen_audio_parts(const MovieGenAudioPipeline& p) {
  Parts parts;
  ZT_RETURN_IF_ERROR(add(&parts, "dit", {build_moviegen_audio_dit(p.dit)}));
  ZT_RETURN_IF_ERROR(
      add(&parts, "codec",
          {build_moviegen_sound_encoder(p.codec), build_moviegen_sound_decoder(p.codec)}));
  ZT_RETURN_IF_ERROR(add(&parts, "text_encoder", {build_t5_encoder(p.text)}));
  ZT_RETURN_IF_ERROR(add(&parts, "vision_encoder", {build_clip_vision(p.vision)}));
  return parts;
}

template <MovieGenAudioPipeline (*kPipeline)()>
BuiltinModel moviegen_audio(std::string_view name, std::string_view description,
                            const Bindings& example) {
  return {name,        "moviegen",
          description, [] { return moviegen_audio_parts(kPipeline()); },
          example,     [] { return moviegen_audio_recipe(kPipeline()); }};
}

// The distilled ones; statistics of latents come with the checkpoints: here they change nothing.
Ltx2Pipeline ltx2_pipeline(bool third, bool two_stages) {
  Ltx2Pipeline p;
  p.dit = third ? ltx2_3() : ltx2_19b();
  p.dit.video.known_latents = p.dit.sound.known_latents = p.hears = true;
  p.text = third ? ltx2_3_text() : ltx2_text();
  if (third) {
    p.vae = ltx2_3_vae();
    p.sound = ltx2_3_sound();
    p.sample_rate = 48000;
    p.sound.given_rate = p.sample_rate;
  }
  p.mean.assign(static_cast<size_t>(p.dit.video.channels), 0);
  p.deviation.assign(static_cast<size_t>(p.dit.video.channels), 1);
  p.sound_mean.assign(static_cast<size_t>(p.dit.sound.channels), 0);
  p.sound_deviation.assign(static_cast<size_t>(p.dit.sound.channels), 1);
  p.tokenizer = EncodeText::Tokenizer::kBytes;
  p.sampler = ltx2_distilled_sampler();
  if (two_stages) p.upsampler.emplace();
  return p;
}

Result<Parts> ltx2_parts(const Ltx2Pipeline& p) {
  Parts parts;
  Ltx2Config keyed = p.dit;
  keyed.keyed = true;
  ZT_RETURN_IF_ERROR(add(&parts, "dit", {build_ltx2_dit(p.dit), build_ltx2_dit(keyed)}));
  if (p.upsampler)
    ZT_RETURN_IF_ERROR(add(&parts, "upsampler", {build_ltx2_upsampler(*p.upsampler)}));
  ZT_RETURN_IF_ERROR(add(&parts, "text_encoder", {build_ltx2_text_encoder(p.text)}));
  ZT_RETURN_IF_ERROR(
      add(&parts, "vae", {build_ltx2_video_encoder(p.vae), build_ltx2_video_decoder(p.vae)}));
  ZT_RETURN_IF_ERROR(add(&parts, "sound_decoder",
                         {build_ltx2_sound_encoder(p.sound), build_ltx2_sound_decoder(p.sound)}));
  return parts;
}

template <bool kThird, bool kTwoStages>
BuiltinModel ltx(std::string_view name, std::string_view description, const Bindings& example) {
  return {name,
          "ltx-2",
          description,
          [] { return ltx2_parts(ltx2_pipeline(kThird, kTwoStages)); },
          example,
          [] {
            Result<Recipe> recipe = ltx2_recipe(ltx2_pipeline(kThird, kTwoStages));
            ZT_CHECK(recipe.ok());
            return std::move(*recipe);
          }};
}

// Statistics of latents come with the checkpoint: here they change nothing. Prompts are read as
// bytes.
MiniMaxH3Pipeline minimax_h3_pipeline() {
  MiniMaxH3Pipeline p;
  p.text = qwen3_vl_32b();
  p.text.layers = kMiniMaxH3TextLayers;
  p.mean.assign(static_cast<size_t>(p.vae.latent_channels), 0);
  p.deviation.assign(static_cast<size_t>(p.vae.latent_channels), 1);
  p.sound_mean.assign(static_cast<size_t>(p.sound.latent_channels), 0);
  p.sound_deviation.assign(static_cast<size_t>(p.sound.latent_channels), 1);
  p.tokenizer = EncodeText::Tokenizer::kBytes;
  return p;
}

Result<Parts> minimax_h3_parts() {
  const MiniMaxH3Pipeline p = minimax_h3_pipeline();
  Parts parts;
  ZT_RETURN_IF_ERROR(add(&parts, "dit", {build_minimax_h3_dit(p.dit)}));
  ZT_RETURN_IF_ERROR(add(&parts, "text_encoder", {build_qwen3_text_encoder(p.text)}));
  ZT_RETURN_IF_ERROR(
      add(&parts, "vae",
          {build_minimax_h3_video_encoder(p.vae), build_minimax_h3_video_decoder(p.vae)}));
  ZT_RETURN_IF_ERROR(
      add(&parts, "sound",
          {build_minimax_h3_sound_encoder(p.sound), build_minimax_h3_sound_decoder(p.sound)}));
  return parts;
}

const std::vector<BuiltinModel>& list() {
  // Wan at 832x480, 81 frames; Movie Gen at 768x768, 256 frames: 73,728 tokens.
  static const Bindings wan_clip{
      {"batch", 1}, {"frames", 21}, {"height", 60}, {"width", 104}, {"text_length", 512}};
  static const Bindings wan_image{{"batch", 1},   {"frames", 21},       {"height", 60},
                                  {"width", 104}, {"text_length", 512}, {"image_length", 257}};
  static const Bindings wan_720p{
      {"batch", 1}, {"frames", 21}, {"height", 90}, {"width", 160}, {"text_length", 512}};
  // 1280x704, 121 frames.
  static const Bindings wan_5b{
      {"batch", 1}, {"frames", 31}, {"height", 44}, {"width", 80}, {"text_length", 512}};
  static const Bindings moviegen_clip{
      {"batch", 1},        {"frames", 32},       {"height", 96},          {"width", 96},
      {"ul2_length", 256}, {"byt5_length", 256}, {"metaclip_length", 256}};
  // 14 frames at 1920x1088.
  Bindings moviegen_window = moviegen_clip, moviegen_shown = moviegen_clip;
  for (const auto& [symbol, value] : Bindings{{"frames", 14}, {"height", 136}, {"width", 240}})
    moviegen_window[symbol] = value;
  moviegen_shown["references"] = 1;
  moviegen_shown["reference_length"] = 257;
  // LTX-2 at 768x512, 121 frames: 6,144 tokens of video and 126 of sound.
  static const Bindings ltx_clip{{"batch", 1},  {"frames", 16},        {"height", 16},
                                 {"width", 24}, {"sound_frames", 126}, {"text_length", 1024}};
  // 16 s of sound; pictures come one a latent.
  static const Bindings sound_clip{
      {"batch", 1}, {"frames", 400}, {"text_length", 512}, {"pictures", 400}};
  // MiniMax-H3 at 1344x768, 124 frames: 37,296 tokens of video and 414 of sound.
  static const Bindings h3_clip{{"batch", 1},  {"frames", 37},        {"height", 24},
                                {"width", 42}, {"sound_frames", 207}, {"text_length", 256}};
  static const std::vector<BuiltinModel> models = {
      dit<'s', 2>("dit-s-2"),
      dit<'s', 4>("dit-s-4"),
      dit<'s', 8>("dit-s-8"),
      dit<'b', 2>("dit-b-2"),
      dit<'b', 4>("dit-b-4"),
      dit<'b', 8>("dit-b-8"),
      dit<'l', 2>("dit-l-2"),
      dit<'l', 4>("dit-l-4"),
      dit<'l', 8>("dit-l-8"),
      dit<'x', 2>("dit-xl-2"),
      dit<'x', 4>("dit-xl-4"),
      dit<'x', 8>("dit-xl-8"),
      dit_pictures<'s'>("dit-s-2-pictures"),
      dit_pictures<'x'>("dit-xl-2-pictures"),
      wan<wan_1_3b>("wan2.1-1.3b", "Wan 2.1 text to video, 832x480, 81 frames", wan_clip),
      wan<wan_14b>("wan2.1-14b", "Wan 2.1 text to video, 832x480, 81 frames", wan_clip),
      wan<wan_i2v_14b>("wan2.1-i2v-14b", "Wan 2.1 image to video, 832x480, 81 frames", wan_image),
      wan<wan_flf2v_14b>("wan2.1-flf2v-14b",
                         "Wan 2.1 first and last frame to video, 1280x720, 81 frames", wan_720p),
      wan<wan_14b, true>("wan2.2-t2v-a14b",
                         "Wan 2.2 text to video, two experts, 832x480, 81 frames", wan_clip),
      wan<wan_i2v_a14b, true>("wan2.2-i2v-a14b",
                              "Wan 2.2 image to video, two experts, 832x480, 81 frames", wan_clip),
      wan<wan_ti2v_5b>("wan2.2-ti2v-5b", "Wan 2.2 text and image to video, 1280x704, 121 frames",
                       wan_5b),
      ltx<false, false>("ltx-2-19b", "LTX-2, distilled: video with sound, 768x512, 121 frames",
                        ltx_clip),
      ltx<false, true>("ltx-2-19b-two-stage",
                       "LTX-2, distilled, with its upsampler: half the size, then the whole",
                       ltx_clip),
      ltx<true, false>("ltx-2.3-22b", "LTX-2.3, distilled: video with sound, 768x512, 121 frames",
                       ltx_clip),
      ltx<true, true>("ltx-2.3-22b-two-stage",
                      "LTX-2.3, distilled, with its upsampler: half the size, then the whole",
                      ltx_clip),
      {"minimax-h3", "minimax-h3", "MiniMax-H3, text to video with sound, 1344x768, 124 frames",
       minimax_h3_parts, h3_clip,
       [] {
         Result<Recipe> recipe = minimax_h3_recipe(minimax_h3_pipeline());
         ZT_CHECK(recipe.ok());
         return std::move(*recipe);
       }},
      moviegen<1>("moviegen-1b", moviegen_clip),
      moviegen<5>("moviegen-5b", moviegen_clip),
      moviegen<30>("moviegen-30b", moviegen_clip),
      moviegen_conditioned<moviegen_upsampler_pipeline>(
          "moviegen-upsampler-7b", "Movie Gen's spatial upsampler, a clip to 1920x1088",
          moviegen_window),
      moviegen_conditioned<moviegen_edit_pipeline>(
          "moviegen-edit-30b", "Movie Gen Edit, a clip by instructions, 768x768", moviegen_clip),
      moviegen_conditioned<moviegen_personalised_pipeline>(
          "moviegen-personalised-30b",
          "Personalised Movie Gen, text and pictures of somebody to video, 768x768",
          moviegen_shown),
      tiny_moviegen(moviegen_clip),
      moviegen_audio<moviegen_audio_pipeline>(
          "moviegen-audio-13b", "Movie Gen Audio, text and video to sound, 48 kHz, 16 s",
          sound_clip),
      moviegen_audio<tiny_moviegen_audio_pipeline>(
          "moviegen-audio-tiny", "the same in a few thousand weights, to try commands with",
          sound_clip),
  };
  return models;
}

}  // namespace

std::span<const BuiltinModel> builtin_models() { return list(); }

Result<const BuiltinModel*> find_builtin_model(std::string_view name) {
  std::string names;
  for (const BuiltinModel& model : list()) {
    if (model.name == name) return &model;
    names += str(names.empty() ? "" : ", ", model.name);
  }
  return error(Code::kNotFound, "no built-in model '", name, "'; known: ", names);
}

WeightInit initial_weight(const Value& weight) {
  const auto ends_with = [&](std::string_view suffix) { return weight.name.ends_with(suffix); };
  const bool vector = weight.dims.size() == 1;
  if (ends_with(".bias")) return {WeightInit::Kind::kConstant, 0};
  // Resampling filters keep what does not change: of the many in a row each would multiply it.
  if (ends_with("filter") && vector)
    return {WeightInit::Kind::kConstant, 1 / static_cast<double>(weight.dims[0].constant())};
  if (vector) return {WeightInit::Kind::kConstant, 1};  // norm weights
  if (ends_with("modulation") || weight.name.find("position.") != std::string::npos ||
      ends_with("embedding_table.weight"))
    return {WeightInit::Kind::kNormal, 0.02};
  // [out, ..., in]: variance 1 / fan-in.
  double fan_in = 1;
  for (size_t i = 1; i < weight.dims.size(); ++i)
    fan_in *= static_cast<double>(weight.dims[i].constant());
  return {WeightInit::Kind::kNormal, 1 / std::sqrt(fan_in)};
}

}  // namespace zoetrope
