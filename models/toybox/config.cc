#include <nlohmann/json.hpp>

#include "models/toybox/toybox.h"

namespace zoetrope {
namespace {

using Json = nlohmann::json;

// Reads one section; the first problem wins and names its key.
class Section {
 public:
  Section(const Json& root, const char* name, Status* status) : name_(name), status_(status) {
    const auto it = root.is_object() ? root.find(name) : root.end();
    if (it == root.end() || !it->is_object())
      fail("", "an object");
    else
      json_ = &*it;
  }

  int64_t integer(const char* key, int64_t low, int64_t high) {
    return integer_of(find(key), key, low, high);
  }

  double number(const char* key, double low, double high) {
    const Json* value = find(key);
    if (value == nullptr || !value->is_number()) return fail(key, "a number"), low;
    const double read = value->get<double>();
    if (!(read >= low && read <= high)) return fail(key, str(low, " to ", high)), low;
    return read;
  }

  std::string text(const char* key) {
    const Json* value = find(key);
    if (value == nullptr || !value->is_string()) return fail(key, "a string"), "";
    return value->get<std::string>();
  }

  std::vector<int64_t> integers(const char* key, size_t count, int64_t low, int64_t high) {
    return integers_of(find(key), key, count, count, low, high);
  }

  std::vector<std::vector<int64_t>> lists(const char* key, size_t count, int64_t low,
                                          int64_t high) {
    const Json* value = find(key);
    if (value == nullptr || !value->is_array() || value->size() != count) {
      fail(key, str("a list of ", count, " lists"));
      return std::vector<std::vector<int64_t>>(count);
    }
    std::vector<std::vector<int64_t>> all;
    for (const Json& item : *value) all.push_back(integers_of(&item, key, 0, 16, low, high));
    return all;
  }

  std::vector<float> floats(const char* key, int64_t count, double low, double high) {
    const Json* value = find(key);
    std::vector<float> read;
    if (value != nullptr && value->is_array() && static_cast<int64_t>(value->size()) == count)
      for (const Json& item : *value) {
        if (!item.is_number() || !(item.get<double>() >= low && item.get<double>() <= high)) break;
        read.push_back(item.get<float>());
      }
    if (static_cast<int64_t>(read.size()) != count)
      fail(key, str("a list of ", count, " numbers from ", low, " to ", high));
    return read;
  }

 private:
  const Json* find(const char* key) const {
    if (json_ == nullptr) return nullptr;
    const auto it = json_->find(key);
    return it == json_->end() ? nullptr : &*it;
  }

  int64_t integer_of(const Json* value, const char* key, int64_t low, int64_t high) {
    if (value == nullptr || !value->is_number_integer()) return fail(key, "an integer"), low;
    const auto read = value->get<int64_t>();
    if (read < low || read > high) return fail(key, str(low, " to ", high)), low;
    return read;
  }

  std::vector<int64_t> integers_of(const Json* value, const char* key, size_t fewest, size_t most,
                                   int64_t low, int64_t high) {
    if (value == nullptr || !value->is_array() || value->size() < fewest || value->size() > most) {
      fail(key, str("a list of ", fewest, " to ", most, " integers"));
      return std::vector<int64_t>(fewest, low);
    }
    std::vector<int64_t> read;
    for (const Json& item : *value) read.push_back(integer_of(&item, key, low, high));
    return read;
  }

  void fail(const char* key, const std::string& expected) {
    if (status_->ok())
      *status_ = error(Code::kDataLoss, "toybox config: '", name_, *key ? "." : "", key,
                       "' must be ", expected);
  }

  const char* name_;
  Status* status_;
  const Json* json_ = nullptr;
};

constexpr int64_t kMaxWidth = 1 << 14;
constexpr int64_t kMaxLayers = 256;

// Values of the mask channel (train/dit.py): 1 where a latent is known, 0 where not, and ±0.5 where
// only the first (+) or last (−) frame of the latent's eight is.
constexpr double kMaskKnown = 1, kMaskFirstFrame = 0.5, kMaskLastFrame = -0.5;

// Byte-level ids (train/config.py).
constexpr int kBos = 256, kEos = 257, kPad = 258;

LatentSpec latents(const char* name, Modality media, int64_t channels, std::vector<float> mean,
                   std::vector<float> std) {
  LatentSpec l;
  l.name = name;
  l.media = media;
  l.channels = static_cast<int>(channels);
  l.mean = std::move(mean);
  l.std = std::move(std);
  return l;
}

// Inputs and outputs are those of toybox.h.
std::vector<Stage> toybox_stages(const ToyboxConfig& config, FlowSampler sampler, int64_t steps,
                                 double guidance) {
  EncodeText text;
  text.component = "text_encoder";
  text.ids = "ids";
  text.lengths = "lengths";
  text.output = text.gives = "text";
  text.gives_lengths = "text_lengths";
  text.bos = kBos;
  text.eos = kEos;
  text.pad = kPad;
  text.max_ids = static_cast<int>(config.text.max_length);

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

  Denoise denoise;
  denoise.component = "dit";
  denoise.time = "time";
  denoise.streams = {{"video", "video", "video_velocity"}, {"audio", "audio", "audio_velocity"}};
  for (const char* name :
       {"video_known", "video_mask", "audio_known", "audio_mask", "text", "text_lengths"})
    denoise.conditions.push_back({name, name});
  denoise.sampler = std::move(sampler);
  denoise.steps = static_cast<int>(steps);
  denoise.guidance = guidance;

  // Four latents are the 2 s clips that it was trained on. The sound is cut exactly.
  const int64_t sound_reach = toybox_codec_reach(config.codec);
  DecodeSound sound;
  sound.component = "codec_decoder";
  sound.latents = sound.output = "audio";
  sound.input = "latents";
  sound.tiles = {12 * sound_reach, 2 * sound_reach, sound_reach};
  DecodeVideo video;
  video.component = "tae_decoder";
  video.latents = video.output = "video";
  video.input = "latents";
  video.tiles = {4, 2, toybox_tae_reach(config.tae)};
  return {text, frames, known("audio", "codec_encoder"), denoise, sound, video};
}

void read_recipe(const Json& root, ToyboxConfig* config, Status* status) {
  Section s(root, "recipe", status);
  Recipe& r = config->recipe;
  r.clip.fps = static_cast<int>(s.integer("fps", 1, 240));
  r.clip.sample_rate = static_cast<int>(s.integer("sample_rate", 8000, 192000));
  r.clip.sound_channels = static_cast<int>(config->codec.channels);
  // What it was trained on: 64 to 160 pixels a side, up to 4 s.
  r.clip.width = r.clip.height = {64, 160, 16, 128};
  r.clip.frames = {1, 64, 1, 32};
  LatentSpec video = latents("video", Modality::kVideo, config->dit.video_channels,
                             s.floats("video_latent_mean", config->dit.video_channels, -1e4, 1e4),
                             s.floats("video_latent_std", config->dit.video_channels, 1e-4, 1e4));
  video.pixels = static_cast<int>(s.integer("pixels_per_latent", 8, 8));
  video.first_frames = video.later_frames = static_cast<int>(s.integer("frames_per_latent", 8, 8));
  LatentSpec audio = latents("audio", Modality::kSound, config->dit.audio_channels,
                             s.floats("audio_latent_mean", config->dit.audio_channels, -1e4, 1e4),
                             s.floats("audio_latent_std", config->dit.audio_channels, 1e-4, 1e4));
  audio.samples = static_cast<int>(s.integer("samples_per_latent", 1, 1 << 16));
  r.latents = {std::move(video), std::move(audio)};
  FlowSampler sampler;
  const std::string schedule = s.text("schedule");
  if (schedule == "shifted") sampler.schedule = FlowSchedule::kShifted;
  sampler.shift = s.number("schedule_shift", 1e-3, 1e3);
  const int64_t steps = s.integer("steps", 1, 10000);
  const double guidance = s.number("guidance", 0, 100);
  if (status->ok() && schedule != "linear" && schedule != "shifted")
    *status = error(Code::kDataLoss, "toybox config: 'recipe.schedule' must be linear or shifted");
  if (status->ok()) r.stages = toybox_stages(*config, sampler, steps, guidance);
}

}  // namespace

Result<ToyboxConfig> parse_toybox_config(std::string_view text) {
  const Json root = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!root.is_object()) return error(Code::kDataLoss, "toybox config: not a JSON object");
  ToyboxConfig config;
  Status status;
  {
    Section s(root, "tae", &status);
    auto& c = config.tae;
    c.latent_channels = s.integer("latent_channels", 1, 1024);
    c.encoder_widths = s.integers("encoder_widths", 3, 1, kMaxWidth);
    c.encoder_blocks = s.integers("encoder_blocks", 3, 0, kMaxLayers);
    c.encoder_mid_blocks = s.integer("encoder_mid_blocks", 0, kMaxLayers);
    c.decoder_widths = s.integers("decoder_widths", 3, 1, kMaxWidth);
    c.decoder_blocks = s.integers("decoder_blocks", 3, 0, kMaxLayers);
    c.decoder_mid_blocks = s.integer("decoder_mid_blocks", 0, kMaxLayers);
    c.norm_epsilon = s.number("norm_epsilon", 0, 1);
  }
  {
    Section s(root, "codec", &status);
    auto& c = config.codec;
    c.channels = s.integer("channels", 1, 16);
    c.latent_channels = s.integer("latent_channels", 1, 1024);
    c.strides = s.integers("strides", 4, 1, 64);
    c.encoder_widths = s.integers("encoder_widths", 5, 1, kMaxWidth);
    c.decoder_widths = s.integers("decoder_widths", 5, 1, kMaxWidth);
    c.encoder_dilations = s.lists("encoder_dilations", 4, 1, 1024);
    c.decoder_dilations = s.lists("decoder_dilations", 4, 1, 1024);
  }
  {
    Section s(root, "text", &status);
    auto& c = config.text;
    c.vocabulary_size = s.integer("vocabulary_size", 259, 259);
    c.max_length = s.integer("max_length", 2, 1 << 16);
    c.width = s.integer("width", 1, kMaxWidth);
    c.layers = s.integer("layers", 0, kMaxLayers);
    c.head_dim = s.integer("head_dim", 2, 1024);
    c.ffn = s.integer("ffn", 1, kMaxWidth);
    c.conv_kernel = s.integer("conv_kernel", 1, 63);
    c.rope_theta = s.number("rope_theta", 1, 1e9);
    c.norm_epsilon = s.number("norm_epsilon", 0, 1);
  }
  {
    Section s(root, "dit", &status);
    auto& c = config.dit;
    c.width = s.integer("width", 1, kMaxWidth);
    c.layers = s.integer("layers", 0, kMaxLayers);
    c.head_dim = s.integer("head_dim", 2, 1024);
    c.ffn = s.integer("ffn", 1, kMaxWidth);
    c.video_channels = s.integer("video_channels", 1, 1024);
    c.audio_channels = s.integer("audio_channels", 1, 1024);
    c.text_width = s.integer("text_width", 1, kMaxWidth);
    c.time_features = s.integer("time_features", 2, kMaxWidth);
    c.time_max_period = s.number("time_max_period", 1, 1e9);
    c.rope_pairs = s.integers("rope_pairs", 3, 0, 512);
    c.rope_theta = s.number("rope_theta", 1, 1e9);
    c.norm_epsilon = s.number("norm_epsilon", 0, 1);
  }
  read_recipe(root, &config, &status);
  if (!status.ok()) return status;

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
