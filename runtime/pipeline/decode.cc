#include "runtime/pipeline/decode.h"

#include <algorithm>
#include <cmath>

#include "runtime/pipeline/known_latents.h"

namespace zoetrope {
namespace {

// Takes finished output, in order.
using Emit = std::function<Status(std::span<float> values)>;

// One decoder whose outermost axis is time: `units` frames or samples a latent.
struct Decoder {
  Session& session;
  const char* output;
  int64_t units;

  Status run(const TilePlan& plan, std::span<const float> latents, const Emit& emit) const {
    const TensorType* in = session.input_type("latents");
    const TensorType* out = session.output_type(output);
    if (in == nullptr || out == nullptr)
      return error(Code::kDataLoss, "the decoder has no input 'latents' or no output '", output,
                   "'");
    const int64_t bytes = out->bytes();
    const auto in_row = static_cast<size_t>(in->shape.elements() / plan.length);
    const auto out_row = static_cast<size_t>(out->shape.elements() / plan.length);
    const auto blend = static_cast<size_t>(plan.blend) * out_row;
    std::vector<float> tile(static_cast<size_t>(out->shape.elements())), held;
    for (const Tile& t : plan.tiles) {
      ZT_RETURN_IF_ERROR(
          session.set_input("latents", latents.subspan(static_cast<size_t>(t.start) * in_row,
                                                       static_cast<size_t>(plan.length) * in_row)));
      ZT_RETURN_IF_ERROR(session.run());
      ZT_RETURN_IF_ERROR(session.get_output(output, tile.data(), bytes));
      std::span<float> fresh =
          std::span(tile).subspan(static_cast<size_t>(t.from - t.start) * out_row,
                                  static_cast<size_t>(t.to - t.from) * out_row);
      if (!held.empty()) mix(held, fresh, static_cast<size_t>(plan.blend * units));
      const bool last = &t == &plan.tiles.back();
      const std::span<float> done = fresh.first(fresh.size() - (last ? 0 : blend));
      ZT_RETURN_IF_ERROR(emit(done));
      held.assign(fresh.begin() + static_cast<int64_t>(done.size()), fresh.end());
    }
    return Status();
  }

 private:
  // The head of `fresh` fades in over `held`, linearly and without reaching 0 or 1.
  static void mix(std::span<const float> held, std::span<float> fresh, size_t steps) {
    const size_t unit = held.size() / steps;
    for (size_t i = 0; i < held.size(); ++i) {
      const float weight = (static_cast<float>(i / unit) + 0.5f) / static_cast<float>(steps);
      fresh[i] = held[i] + weight * (fresh[i] - held[i]);
    }
  }
};

bool progress(const GenerateHooks& hooks, std::string_view phase, int64_t done, int64_t total) {
  return !hooks.progress ||
         hooks.progress(phase, static_cast<double>(done), static_cast<double>(total));
}

}  // namespace

Status decode_video(Session& session, const PipelinePlan& plan, const TilePlan& tiles,
                    std::span<float> latents, ClipSink& sink, const GenerateHooks& hooks) {
  const ClipShape& s = plan.shape;
  const auto report = [&](int64_t done) {
    return progress(hooks, "decode video", done, s.frames) ? Status()
                                                           : error(Code::kCancelled, "cancelled");
  };
  ZT_RETURN_IF_ERROR(report(0));
  denormalize_latents(plan.recipe.video, latents);
  const int64_t stride = s.latent_width * plan.recipe.pixels_per_latent * 3;
  const int64_t frame_elements = s.latent_height * plan.recipe.pixels_per_latent * stride;
  std::vector<uint8_t> frame(static_cast<size_t>(s.height * s.width * 3));
  int64_t written = 0;
  const Emit emit = [&](std::span<float> values) -> Status {
    const float* from = values.data();
    const int64_t count = static_cast<int64_t>(values.size()) / frame_elements;
    for (int64_t f = 0; f < count && written < s.frames; ++f, from += frame_elements) {
      for (int64_t y = 0; y < s.height; ++y)
        for (int64_t i = 0; i < s.width * 3; ++i)
          frame[static_cast<size_t>(y * s.width * 3 + i)] = static_cast<uint8_t>(
              std::lrint(std::clamp((from[y * stride + i] + 1.0f) * 127.5f, 0.0f, 255.0f)));
      ZT_RETURN_IF_ERROR(sink.frames(frame.data(), 1));
      ZT_RETURN_IF_ERROR(report(++written));
    }
    return Status();
  };
  return Decoder{session, "video", plan.recipe.frames_per_latent}.run(tiles, latents, emit);
}

Status decode_audio(Session& session, const PipelinePlan& plan, const TilePlan& tiles,
                    std::span<float> latents, ClipSink& sink, const GenerateHooks& hooks) {
  const int64_t total = plan.shape.samples;
  const auto report = [&](int64_t done) {
    return progress(hooks, "decode sound", done, total) ? Status()
                                                        : error(Code::kCancelled, "cancelled");
  };
  ZT_RETURN_IF_ERROR(report(0));
  denormalize_latents(plan.recipe.audio, latents);
  const int64_t channels = plan.recipe.audio_channels;
  int64_t written = 0;
  const Emit emit = [&](std::span<float> values) -> Status {
    for (float& x : values) x = std::clamp(x, -1.0f, 1.0f);
    const int64_t count = std::min(static_cast<int64_t>(values.size()) / channels, total - written);
    if (count > 0) ZT_RETURN_IF_ERROR(sink.audio(values.data(), count));
    return report(written += count);
  };
  return Decoder{session, "audio", plan.recipe.samples_per_latent}.run(tiles, latents, emit);
}

}  // namespace zoetrope
