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

void read_recipe(const Json& root, ToyboxConfig* config, Status* status) {
  Section s(root, "recipe", status);
  Recipe& r = config->recipe;
  r.fps = static_cast<int>(s.integer("fps", 1, 240));
  r.frames_per_latent = static_cast<int>(s.integer("frames_per_latent", 8, 8));
  r.pixels_per_latent = static_cast<int>(s.integer("pixels_per_latent", 8, 8));
  r.sample_rate = static_cast<int>(s.integer("sample_rate", 8000, 192000));
  r.samples_per_latent = static_cast<int>(s.integer("samples_per_latent", 1, 1 << 16));
  r.sigma_min = s.number("sigma_min", 0, 0.1);
  r.steps = static_cast<int>(s.integer("steps", 1, 10000));
  r.guidance = s.number("guidance", 0, 100);
  r.schedule = s.text("schedule");
  r.shift = s.number("schedule_shift", 1e-3, 1e3);
  r.audio_channels = static_cast<int>(config->codec.channels);
  r.video.channels = static_cast<int>(config->dit.video_channels);
  r.video.mean = s.floats("video_latent_mean", config->dit.video_channels, -1e4, 1e4);
  r.video.std = s.floats("video_latent_std", config->dit.video_channels, 1e-4, 1e4);
  r.audio.channels = static_cast<int>(config->dit.audio_channels);
  r.audio.mean = s.floats("audio_latent_mean", config->dit.audio_channels, -1e4, 1e4);
  r.audio.std = s.floats("audio_latent_std", config->dit.audio_channels, 1e-4, 1e4);
  r.tokenizer = "bytes";
  r.max_text = static_cast<int>(config->text.max_length);
  // What it was trained on: 64 to 160 pixels a side, up to 4 s.
  r.width = r.height = {64, 160, 16, 128};
  r.frames = {1, 64, 1, 32};
  if (status->ok() && r.schedule != "linear" && r.schedule != "shifted")
    *status = error(Code::kDataLoss, "toybox config: 'recipe.schedule' must be linear or shifted");
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
  ZT_RETURN_IF_ERROR(check(hop == config.recipe.samples_per_latent,
                           "codec strides do not multiply to recipe.samples_per_latent"));
  // Four latents are the 2 s clips that it was trained on. The sound is cut exactly.
  LatentSpec& video = config.recipe.video;
  video.reach = toybox_tae_reach(config.tae);
  video.tile_length = 4;
  video.tile_overlap = 2;
  LatentSpec& audio = config.recipe.audio;
  audio.reach = toybox_codec_reach(config.codec);
  audio.tile_overlap = 2 * audio.reach;
  audio.tile_length = 6 * audio.tile_overlap;
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
