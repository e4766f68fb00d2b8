#include "runtime/engine/preview.h"

#include <algorithm>
#include <cmath>

#include "graph/json_reader.h"
#include "graph/json_writer.h"
#include "runtime/random/normal.h"

namespace zoetrope {
namespace {

constexpr int64_t kSide = 16, kTime = 4;  // latents of the clip that is decoded for the fit
constexpr int64_t kPatch = 2;             // latents of one colour, along each side
constexpr float kGrain = 0.3f;            // by how much latents of a patch differ
constexpr double kRidge = 1e-2;           // of the mean square of a latent, which is about 1
constexpr uint64_t kSeed = 19;

class Frames : public ClipSink {
 public:
  Status frames(const uint8_t* pixels, int64_t count) override {
    this->pixels.insert(this->pixels.end(), pixels, pixels + count * frame_bytes);
    return Status();
  }
  Status audio(const float*, int64_t) override { return Status(); }
  int64_t frame_bytes = 0;
  std::vector<uint8_t> pixels;
};

// Patches of one colour each, as pictures have, and grain; over the model's normalised latents.
void fill_patches(std::span<float> latents, int64_t height, int64_t width, int64_t channels) {
  const int64_t across = (width + kPatch - 1) / kPatch, down = (height + kPatch - 1) / kPatch;
  const int64_t times = static_cast<int64_t>(latents.size()) / (height * width * channels);
  std::vector<float> colours(static_cast<size_t>(times * down * across * channels));
  fill_normal(kSeed, 0, 0, colours);
  fill_normal(kSeed, 1, 0, latents);
  size_t at = 0;
  for (int64_t t = 0; t < times; ++t)
    for (int64_t y = 0; y < height; ++y)
      for (int64_t x = 0; x < width; ++x)
        for (int64_t c = 0; c < channels; ++c, ++at) {
          const int64_t patch = (t * down + y / kPatch) * across + x / kPatch;
          latents[at] = colours[static_cast<size_t>(patch * channels + c)] + kGrain * latents[at];
        }
}

// Solves the symmetric positive definite a [n, n] for b [n, 3] in place, by Cholesky.
void solve(std::vector<double>& a, std::vector<double>& b, size_t n) {
  for (size_t i = 0; i < n; ++i)
    for (size_t j = 0; j <= i; ++j) {
      double sum = a[i * n + j];
      for (size_t k = 0; k < j; ++k) sum -= a[i * n + k] * a[j * n + k];
      a[i * n + j] = i == j ? std::sqrt(std::max(sum, 1e-12)) : sum / a[j * n + j];
    }
  for (size_t c = 0; c < 3; ++c) {
    for (size_t i = 0; i < n; ++i) {
      for (size_t k = 0; k < i; ++k) b[i * 3 + c] -= a[i * n + k] * b[k * 3 + c];
      b[i * 3 + c] /= a[i * n + i];
    }
    for (size_t i = n; i-- > 0;) {
      for (size_t k = i + 1; k < n; ++k) b[i * 3 + c] -= a[k * n + i] * b[k * 3 + c];
      b[i * 3 + c] /= a[i * n + i];
    }
  }
}

// The mean colour of the pixels that a latent stands for.
void mean_colour(const std::vector<uint8_t>& pixels, const ClipShape& shape, const LatentSpec& spec,
                 int64_t t, int64_t y, int64_t x, double out[3]) {
  const bool still = spec.media == Modality::kImage;
  const int64_t first = still ? 0 : frames_of_latents(spec, t);
  const int64_t count = still ? 1 : frames_of_latents(spec, t + 1) - first;
  out[0] = out[1] = out[2] = 0;
  int64_t seen = 0;
  for (int64_t f = first; f < std::min(first + count, shape.frames); ++f)
    for (int64_t v = y * spec.pixels; v < std::min((y + 1) * spec.pixels, shape.height); ++v)
      for (int64_t u = x * spec.pixels; u < std::min((x + 1) * spec.pixels, shape.width);
           ++u, ++seen)
        for (int64_t c = 0; c < 3; ++c)
          out[c] += pixels[static_cast<size_t>(((f * shape.height + v) * shape.width + u) * 3 + c)];
  for (int64_t c = 0; c < 3; ++c) out[c] /= static_cast<double>(std::max<int64_t>(seen, 1));
}

struct Stored {
  std::vector<float> map;
};
template <typename V>
void fields(V& v, Stored& s) {
  v.numbers("map", &s.map, 1 << 16, -1e6, 1e6);
}

}  // namespace

Preview::Preview(const Recipe& recipe) : recipe_(recipe), spec_(recipe.picture()) {}

std::span<const float> Preview::picture(const RequestPlan& plan,
                                        std::span<const float> latents) const {
  size_t at = 0;
  for (const Denoise::Stream& stream : plan.denoise.streams) {
    const LatentSpec& spec = *recipe_.find_latents(stream.latents);
    const auto size = static_cast<size_t>(latent_shape(spec, plan.shape, 1).elements());
    if (&spec == spec_) return latents.subspan(at, size);
    at += size * static_cast<size_t>(plan.samples);
  }
  return {};
}

Result<Preview> Preview::fit(Engine& engine, std::stop_token stop) {
  const Recipe& recipe = engine.model().recipe;
  Preview preview(recipe);
  const LatentSpec* spec = preview.spec_;
  if (spec == nullptr) return error(Code::kUnsupported, "this model makes no picture to preview");
  Request request;
  request.clip.width = nearest_in_range(recipe.clip.width, kSide * spec->pixels);
  request.clip.height = nearest_in_range(recipe.clip.height, kSide * spec->pixels);
  if (spec->media != Modality::kImage)
    request.clip.frames = nearest_in_range(recipe.clip.frames, frames_of_latents(*spec, kTime));
  // Nothing but decoding runs: what stages before it read matters to nobody.
  if (!recipe.reads_text()) request.classes = {"0"};
  request.known.first.frames = 1;
  auto planned = engine.plan(request, {}, stop);
  if (!planned.ok()) {  // of models that take no picture
    request.known = {};
    planned = engine.plan(request, {}, stop);
  }
  if (!planned.ok()) return planned.status();
  // Latents that are made larger on the way cannot be given as they stand at the end.
  if (!planned->later.empty() || planned->denoise.reduced.any())
    return error(Code::kUnsupported, "this model denoises in several sizes; it has no previews");
  const ClipShape& shape = planned->shape;
  auto point = std::make_shared<ResumePoint>();
  point->decode_only = true;
  point->state.step = point->state.first = planned->first_step;
  point->state.steps = planned->denoise.steps;
  size_t size = 0;
  for (const Denoise::Stream& stream : planned->denoise.streams)
    size += static_cast<size_t>(
        latent_shape(*recipe.find_latents(stream.latents), shape, planned->samples).elements());
  point->state.latents.resize(size);
  const auto picture = preview.picture(*planned, point->state.latents);
  fill_patches({const_cast<float*>(picture.data()), picture.size()}, shape.latent_height,
               shape.latent_width, spec->channels);
  request.resume = point;
  Frames sink;
  sink.frame_bytes = shape.width * shape.height * 3;
  RunHooks hooks;
  hooks.stop = std::move(stop);
  ZT_RETURN_IF_ERROR(engine.run(request, sink, hooks).status());

  const auto n = static_cast<size_t>(spec->channels) + 1;
  std::vector<double> square(n * n), right(n * 3), row(n, 1);
  size_t at = 0;
  for (int64_t t = 0; t < shape.latent_frames; ++t)
    for (int64_t y = 0; y < shape.latent_height; ++y)
      for (int64_t x = 0; x < shape.latent_width; ++x) {
        for (size_t c = 0; c + 1 < n; ++c) row[c] = picture[at++];
        double colour[3];
        mean_colour(sink.pixels, shape, *spec, t, y, x, colour);
        for (size_t i = 0; i < n; ++i) {
          for (size_t j = 0; j < n; ++j) square[i * n + j] += row[i] * row[j];
          for (size_t c = 0; c < 3; ++c) right[i * 3 + c] += row[i] * colour[c];
        }
      }
  const double cells = static_cast<double>(picture.size()) / spec->channels;
  for (size_t i = 0; i + 1 < n; ++i) square[i * n + i] += kRidge * cells;
  solve(square, right, n);
  preview.map_.assign(right.begin(), right.end());
  return preview;
}

PreviewFrames Preview::draw(const RequestPlan& plan, std::span<const float> latents,
                            int64_t most) const {
  const ClipShape& shape = plan.shape;
  const auto picture = this->picture(plan, latents);
  const int64_t width = shape.latent_width, height = shape.latent_height;
  const int64_t times = std::max<int64_t>(shape.latent_frames, 1);
  const auto channels = static_cast<size_t>(spec_->channels);
  PreviewFrames out{{}, std::min(most, times), width, height};
  out.pixels.reserve(static_cast<size_t>(out.count * width * height * 3));
  for (int64_t k = 0; k < out.count; ++k) {
    const int64_t t = out.count > 1 ? k * (times - 1) / (out.count - 1) : times / 2;
    const float* x = picture.data() + static_cast<size_t>(t * width * height) * channels;
    for (int64_t cell = 0; cell < width * height; ++cell, x += channels)
      for (size_t c = 0; c < 3; ++c) {
        float sum = map_[channels * 3 + c];
        for (size_t i = 0; i < channels; ++i) sum += x[i] * map_[i * 3 + c];
        // NaN, which the run itself will report, is black.
        out.pixels.push_back(sum > 0 ? static_cast<uint8_t>(std::min(sum + 0.5f, 255.0f)) : 0);
      }
  }
  return out;
}

std::string Preview::to_json() const {
  Stored stored{map_};
  JsonWriter writer;
  fields(writer, stored);
  return writer.json.dump();
}

Result<Preview> Preview::from_json(const Recipe& recipe, std::string_view text) {
  Preview preview(recipe);
  const auto json = nlohmann::json::parse(text, nullptr, false);
  Stored stored;
  JsonReader reader(json, "preview");
  fields(reader, stored);
  ZT_RETURN_IF_ERROR(reader.finish());
  if (preview.spec_ == nullptr ||
      stored.map.size() != (static_cast<size_t>(preview.spec_->channels) + 1) * 3)
    return error(Code::kDataLoss, "preview: it is of another model");
  preview.map_ = std::move(stored.map);
  return preview;
}

}  // namespace zoetrope
