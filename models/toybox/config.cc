#include "graph/json_reader.h"
#include "models/recipe_parts.h"
#include "models/toybox/toybox.h"

namespace zoetrope {
namespace {

constexpr int64_t kMaxWidth = 1 << 14;
constexpr int64_t kMaxLayers = 256;

// Values of the mask channel (train/dit.py): 1 where a latent is known, 0 where not, and ±0.5 where
// only the first (+) or last (−) frame of the latent's eight is.
constexpr double kMaskKnown = 1, kMaskFirstFrame = 0.5, kMaskLastFrame = -0.5;

// Byte-level ids (train/config.py).
constexpr int kBos = 256, kEos = 257, kPad = 258;

// Inputs and outputs are those of toybox.h.
std::vector<Stage> toybox_stages(const ToyboxConfig& config, FlowSampler sampler, int64_t steps,
                                 double guidance) {
  EncodeText text = recipe_parts::encode_text("text_encoder", "text", config.text.max_length);
  text.gives_lengths = "text_lengths";
  text.bos = kBos;
  text.eos = kEos;
  text.pad = kPad;

  const auto known = [](const std::string& media, const char* component) {
    KnownLatents k;
    k.latents = k.input = media;
    k.component = component;
    k.output = "latents";
    k.gives = media + "_known";
    k.gives_mask = media + "_mask";
    k.mask_known = kMaskKnown;
    return k;
  };
  KnownLatents frames = known("video", "tae_encoder");
  frames.mask_first_frame = kMaskFirstFrame;
  frames.mask_last_frame = kMaskLastFrame;

  Denoise denoise = recipe_parts::denoise(
      {"video", "audio"},
      {"video_known", "video_mask", "audio_known", "audio_mask", "text", "text_lengths"});
  denoise.sampler = std::move(sampler);
  denoise.steps = static_cast<int>(steps);
  denoise.guidance = guidance;

  // Four latents are the 2 s clips that it was trained on. The sound is cut exactly.
  const int64_t sound_reach = toybox_codec_reach(config.codec);
  auto sound = recipe_parts::decode<DecodeSound>("audio", "codec_decoder");
  sound.tiles = {12 * sound_reach, 2 * sound_reach, sound_reach};
  auto video = recipe_parts::decode<DecodeVideo>("video", "tae_decoder");
  video.tiles = {4, 2, toybox_tae_reach(config.tae)};
  return {text, frames, known("audio", "codec_encoder"), denoise, sound, video};
}

// The section "recipe", over components that have been read.
struct RecipeSection {
  const ToyboxConfig& config;
  ClipSpec clip = {};
  LatentSpec video = {}, audio = {};
  FlowSampler sampler = {};
  int64_t steps = 0;
  double guidance = 0;
};

void latent_statistics(JsonReader& r, const char* mean, const char* std, LatentSpec* l) {
  const auto count = static_cast<size_t>(l->channels);
  r.numbers(mean, &l->mean, count, -1e4, 1e4);
  r.numbers(std, &l->std, count, 1e-4, 1e4);
  r.require(l->mean.size() == count, mean, str("a list of ", count, " numbers"));
  r.require(l->std.size() == count, std, str("a list of ", count, " numbers"));
}

}  // namespace

// A section's keys: all of them must be given, and no others.

static void fields(JsonReader& r, ToyboxConfig::Tae& c) {
  r.integer("latent_channels", &c.latent_channels, 1, 1024);
  r.integers("encoder_widths", &c.encoder_widths, 3, 1, kMaxWidth);
  r.integers("encoder_blocks", &c.encoder_blocks, 3, 0, kMaxLayers);
  r.integer("encoder_mid_blocks", &c.encoder_mid_blocks, 0, kMaxLayers);
  r.integers("decoder_widths", &c.decoder_widths, 3, 1, kMaxWidth);
  r.integers("decoder_blocks", &c.decoder_blocks, 3, 0, kMaxLayers);
  r.integer("decoder_mid_blocks", &c.decoder_mid_blocks, 0, kMaxLayers);
  r.number("norm_epsilon", &c.norm_epsilon, 0, 1);
}

static void fields(JsonReader& r, ToyboxConfig::Codec& c) {
  r.integer("channels", &c.channels, 1, 16);
  r.integer("latent_channels", &c.latent_channels, 1, 1024);
  r.integers("strides", &c.strides, 4, 1, 64);
  r.integers("encoder_widths", &c.encoder_widths, 5, 1, kMaxWidth);
  r.integers("decoder_widths", &c.decoder_widths, 5, 1, kMaxWidth);
  r.integer_lists("encoder_dilations", &c.encoder_dilations, 4, 16, 1, 1024);
  r.integer_lists("decoder_dilations", &c.decoder_dilations, 4, 16, 1, 1024);
}

static void fields(JsonReader& r, ToyboxConfig::Text& c) {
  int id = 0;
  r.integer("vocabulary_size", &c.vocabulary_size, 259, 259);
  r.integer("bos_id", &id, kBos, kBos);
  r.integer("eos_id", &id, kEos, kEos);
  r.integer("pad_id", &id, kPad, kPad);
  r.integer("max_length", &c.max_length, 2, 1 << 16);
  r.integer("width", &c.width, 1, kMaxWidth);
  r.integer("layers", &c.layers, 0, kMaxLayers);
  r.integer("head_dim", &c.head_dim, 2, 1024);
  r.integer("ffn", &c.ffn, 1, kMaxWidth);
  r.integer("conv_kernel", &c.conv_kernel, 1, 63);
  r.number("rope_theta", &c.rope_theta, 1, 1e9);
  r.number("norm_epsilon", &c.norm_epsilon, 0, 1);
}

static void fields(JsonReader& r, ToyboxConfig::Dit& c) {
  r.integer("width", &c.width, 1, kMaxWidth);
  r.integer("layers", &c.layers, 0, kMaxLayers);
  r.integer("head_dim", &c.head_dim, 2, 1024);
  r.integer("ffn", &c.ffn, 1, kMaxWidth);
  r.integer("video_channels", &c.video_channels, 1, 1024);
  r.integer("audio_channels", &c.audio_channels, 1, 1024);
  r.integer("text_width", &c.text_width, 1, kMaxWidth);
  r.integer("time_features", &c.time_features, 2, kMaxWidth);
  r.number("time_max_period", &c.time_max_period, 1, 1e9);
  r.integers("rope_pairs", &c.rope_pairs, 3, 0, 512);
  r.number("rope_theta", &c.rope_theta, 1, 1e9);
  r.number("norm_epsilon", &c.norm_epsilon, 0, 1);
}

static void fields(JsonReader& r, RecipeSection& s) {
  r.integer("fps", &s.clip.fps, 1, 240);
  r.integer("sample_rate", &s.clip.sample_rate, 8000, 192000);
  s.clip.sound_channels = static_cast<int>(s.config.codec.channels);
  // What it was trained on: 64 to 160 pixels a side, up to 4 s.
  s.clip.width = s.clip.height = {64, 160, 16, 128};
  s.clip.frames = {1, 64, 1, 32};
  s.video.name = "video", s.video.media = Modality::kVideo;
  s.video.channels = static_cast<int>(s.config.dit.video_channels);
  latent_statistics(r, "video_latent_mean", "video_latent_std", &s.video);
  r.integer("pixels_per_latent", &s.video.pixels, 8, 8);
  r.integer("frames_per_latent", &s.video.first_frames, 8, 8);
  s.video.later_frames = s.video.first_frames;
  s.audio.name = "audio", s.audio.media = Modality::kSound;
  s.audio.channels = static_cast<int>(s.config.dit.audio_channels);
  latent_statistics(r, "audio_latent_mean", "audio_latent_std", &s.audio);
  r.integer("samples_per_latent", &s.audio.samples, 1, 1 << 16);
  constexpr std::string_view kSchedules[] = {"linear", "shifted"};
  size_t schedule = 0;
  r.choice("schedule", &schedule, kSchedules);
  double shift = 1;
  r.number("schedule_shift", &shift, 1e-3, 1e3);
  if (schedule == 1) s.sampler.shift = shift;
  double sigma_min = 0;  // of training: sampling ends at the velocity's zero
  r.number("sigma_min", &sigma_min, 0, 1e-3);
  r.integer("steps", &s.steps, 1, 10000);
  r.number("guidance", &s.guidance, 0, 100);
}

Result<ToyboxConfig> parse_toybox_config(std::string_view text) {
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return error(Code::kDataLoss, "toybox config: not valid JSON");
  ToyboxConfig config{};
  JsonReader root(json, "toybox config", "", JsonKeys::kRequired);
  root.object("tae", &config.tae);
  root.object("codec", &config.codec);
  root.object("text", &config.text);
  root.object("dit", &config.dit);
  RecipeSection section{config};
  root.object("recipe", &section);
  ZT_RETURN_IF_ERROR(root.finish());
  Recipe& recipe = config.recipe;
  recipe.clip = section.clip;
  recipe.latents = {std::move(section.video), std::move(section.audio)};
  recipe.stages = toybox_stages(config, section.sampler, section.steps, section.guidance);

  const auto check = [](bool good, const char* what) {
    return good ? Status() : error(Code::kDataLoss, "toybox config: ", what);
  };
  const auto& d = config.dit;
  ZT_RETURN_IF_ERROR(
      check(d.width % d.head_dim == 0 && d.head_dim % 2 == 0 &&
                d.rope_pairs[0] + d.rope_pairs[1] + d.rope_pairs[2] == d.head_dim / 2,
            "dit heads do not divide the width, or rope_pairs do not fill a head"));
  ZT_RETURN_IF_ERROR(check(config.text.width % config.text.head_dim == 0 &&
                               config.text.head_dim % 2 == 0 && config.text.conv_kernel % 2 == 1,
                           "text heads do not divide the width, or the kernel is even"));
  ZT_RETURN_IF_ERROR(check(d.video_channels == config.tae.latent_channels &&
                               d.audio_channels == config.codec.latent_channels &&
                               d.text_width == config.text.width && d.time_features % 2 == 0,
                           "the dit's channels do not match the other components'"));
  int64_t hop = 1;
  for (int64_t stride : config.codec.strides) hop *= stride;
  ZT_RETURN_IF_ERROR(check(hop == config.recipe.sound()->samples,
                           "codec strides do not multiply to recipe.samples_per_latent"));
  return config;
}

Result<std::vector<Graph>> build_toybox(const ToyboxConfig& config) {
  std::vector<Graph> graphs;
  ZT_ASSIGN_OR_RETURN(graphs.emplace_back(), build_toybox_text_encoder(config.text));
  ZT_ASSIGN_OR_RETURN(graphs.emplace_back(), build_toybox_dit(config.dit));
  ZT_ASSIGN_OR_RETURN(graphs.emplace_back(), build_toybox_tae_encoder(config.tae));
  ZT_ASSIGN_OR_RETURN(graphs.emplace_back(), build_toybox_tae_decoder(config.tae));
  ZT_ASSIGN_OR_RETURN(graphs.emplace_back(), build_toybox_codec_encoder(config.codec));
  ZT_ASSIGN_OR_RETURN(graphs.emplace_back(), build_toybox_codec_decoder(config.codec));
  return graphs;
}

}  // namespace zoetrope
