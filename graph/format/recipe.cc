#include "graph/format/recipe.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

namespace zoetrope {
namespace {

using Json = nlohmann::json;

// Reads keys of one object and remembers them, so that finish() can name those nobody asked for.
class ObjectReader {
 public:
  ObjectReader(const Json& json, std::string path) : json_(json), path_(std::move(path)) {
    if (!json.is_object()) fail("", "an object");
  }

  void text(const char* key, std::string* out, std::initializer_list<const char*> allowed) {
    const Json* value = find(key);
    if (value == nullptr) return;
    if (!value->is_string()) return fail(key, "a string");
    const std::string read = value->get<std::string>();
    std::string choices;
    for (const char* choice : allowed) {
      if (read == choice) {
        *out = read;
        return;
      }
      choices += str(choices.empty() ? "" : ", ", choice);
    }
    fail(key, "one of " + choices);
  }

  template <typename T>
  void integer(const char* key, T* out, int64_t low, int64_t high) {
    const Json* value = find(key);
    if (value == nullptr) return;
    if (!value->is_number_integer()) return fail(key, "an integer");
    const auto read = value->get<int64_t>();
    if (read < low || read > high) return fail(key, str("between ", low, " and ", high));
    *out = static_cast<T>(read);
  }

  void number(const char* key, double* out, double low, double high) {
    const Json* value = find(key);
    if (value == nullptr) return;
    if (!value->is_number()) return fail(key, "a number");
    const double read = value->get<double>();
    if (!(read >= low && read <= high)) return fail(key, str("between ", low, " and ", high));
    *out = read;
  }

  template <typename T>
  void numbers(const char* key, std::vector<T>* out, size_t limit, double low, double high) {
    const Json* value = find(key);
    if (value == nullptr) return;
    if (!value->is_array() || value->size() > limit)
      return fail(key, str("a list of at most ", limit, " numbers"));
    std::vector<T> read;
    for (const Json& item : *value) {
      if (!item.is_number()) return fail(key, "a list of numbers");
      const double x = item.get<double>();
      if (!(x >= low && x <= high)) return fail(key, str("numbers between ", low, " and ", high));
      read.push_back(static_cast<T>(x));
    }
    *out = std::move(read);
  }

  // Runs `read` on a nested object, if there is one.
  template <typename F>
  void object(const char* key, F read) {
    const Json* value = find(key);
    if (value == nullptr || !status_.ok()) return;
    ObjectReader inner(*value, path_ + key + ".");
    read(inner);
    if (status_.ok()) status_ = inner.finish();
  }

  void fail(std::string_view key, std::string_view expected) {
    if (status_.ok())
      status_ = error(Code::kDataLoss, "recipe: '", path_, key, "' must be ", expected);
  }

  Status finish() {
    if (!status_.ok() || !json_.is_object()) return status_;
    for (const auto& [key, value] : json_.items())
      if (!seen_.contains(key))
        return error(Code::kDataLoss, "recipe: unknown key '", path_, key, "'");
    return Status();
  }

 private:
  const Json* find(const char* key) {
    seen_.insert(key);
    if (!json_.is_object()) return nullptr;
    const auto it = json_.find(key);
    return it == json_.end() ? nullptr : &*it;
  }

  const Json& json_;
  std::string path_;
  std::set<std::string> seen_;
  Status status_;
};

void read_latents(ObjectReader& object, const char* key, LatentSpec* spec) {
  object.object(key, [&](ObjectReader& inner) {
    inner.integer("channels", &spec->channels, 0, 4096);
    inner.numbers("mean", &spec->mean, 4096, -1e6, 1e6);
    inner.numbers("std", &spec->std, 4096, 1e-6, 1e6);
    const auto channels = static_cast<size_t>(spec->channels);
    if (spec->mean.size() != channels) inner.fail("mean", "one number a channel");
    if (spec->std.size() != channels) inner.fail("std", "one number a channel");
    inner.integer("tile_length", &spec->tile_length, 0, 1 << 20);
    inner.integer("tile_overlap", &spec->tile_overlap, 0, 1 << 20);
    inner.integer("reach", &spec->reach, 0, 1 << 20);
    if (spec->tile_length > 0 && spec->tile_overlap >= spec->tile_length)
      inner.fail("tile_overlap", "less than tile_length");
  });
}

void read_range(ObjectReader& object, const char* key, Range* range) {
  object.object(key, [&](ObjectReader& inner) {
    inner.integer("min", &range->min, 1, 1 << 20);
    inner.integer("max", &range->max, 1, 1 << 20);
    inner.integer("multiple", &range->multiple, 1, 1 << 16);
    inner.integer("preferred", &range->preferred, 1, 1 << 20);
    if (range->min > range->max) inner.fail("max", "at least min");
    if (range->preferred < range->min || range->preferred > range->max)
      inner.fail("preferred", "between min and max");
  });
}

Json latents_json(const LatentSpec& spec) {
  return {{"channels", spec.channels},
          {"mean", spec.mean},
          {"std", spec.std},
          {"tile_length", spec.tile_length},
          {"tile_overlap", spec.tile_overlap},
          {"reach", spec.reach}};
}

Json range_json(const Range& range) {
  return {{"min", range.min},
          {"max", range.max},
          {"multiple", range.multiple},
          {"preferred", range.preferred}};
}

}  // namespace

Result<Recipe> parse_recipe(std::string_view text) {
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return error(Code::kDataLoss, "recipe: not valid JSON");
  Recipe r;
  ObjectReader o(json, "");
  o.text("pipeline", &r.pipeline, {"joint_av", "class_image", "text_video"});
  o.text("solver", &r.solver, {"euler", "midpoint", "heun", "ddpm", "ddim"});
  o.text("schedule", &r.schedule, {"linear", "shifted", "linear_quadratic", "explicit"});
  o.number("shift", &r.shift, 1e-3, 1e3);
  o.integer("linear_steps", &r.linear_steps, 1, 1000000);
  o.numbers("times", &r.times, 10001, 0, 1);
  o.integer("steps", &r.steps, 1, 10000);
  o.number("guidance", &r.guidance, 0, 1000);
  o.number("sigma_min", &r.sigma_min, 0, 1);
  o.integer("fps", &r.fps, 1, 1000);
  o.integer("frames_per_latent", &r.frames_per_latent, 1, 64);
  o.integer("pixels_per_latent", &r.pixels_per_latent, 1, 256);
  o.integer("sample_rate", &r.sample_rate, 0, 768000);
  o.integer("audio_channels", &r.audio_channels, 0, 64);
  o.integer("samples_per_latent", &r.samples_per_latent, 0, 1 << 20);
  read_latents(o, "video", &r.video);
  read_latents(o, "audio", &r.audio);
  read_range(o, "width", &r.width);
  read_range(o, "height", &r.height);
  read_range(o, "frames", &r.frames);
  o.text("tokenizer", &r.tokenizer, {"bytes", "sentencepiece", "class_table"});
  o.integer("max_text", &r.max_text, 0, 1 << 20);
  if (r.schedule == "explicit" && r.times.size() < 2) o.fail("times", "at least two times");
  if (r.sample_rate > 0 && (r.samples_per_latent < 1 || r.audio_channels < 1))
    o.fail("samples_per_latent", "given, with audio_channels, where there is sound");
  ZT_RETURN_IF_ERROR(o.finish());
  return r;
}

std::string recipe_to_json(const Recipe& r) {
  Json json = {{"pipeline", r.pipeline},
               {"solver", r.solver},
               {"schedule", r.schedule},
               {"shift", r.shift},
               {"linear_steps", r.linear_steps},
               {"steps", r.steps},
               {"guidance", r.guidance},
               {"sigma_min", r.sigma_min},
               {"fps", r.fps},
               {"frames_per_latent", r.frames_per_latent},
               {"pixels_per_latent", r.pixels_per_latent},
               {"sample_rate", r.sample_rate},
               {"audio_channels", r.audio_channels},
               {"samples_per_latent", r.samples_per_latent},
               {"video", latents_json(r.video)},
               {"audio", latents_json(r.audio)},
               {"width", range_json(r.width)},
               {"height", range_json(r.height)},
               {"frames", range_json(r.frames)},
               {"tokenizer", r.tokenizer},
               {"max_text", r.max_text}};
  if (!r.times.empty()) json["times"] = r.times;
  return json.dump(1);
}

}  // namespace zoetrope
