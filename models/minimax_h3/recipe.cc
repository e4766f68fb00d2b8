#include "models/minimax_h3/recipe.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "models/recipe_parts.h"

namespace zoetrope {
namespace {

constexpr int kFps = 24;
constexpr double kLeastSeconds = 5, kMostSeconds = 15;
constexpr int64_t kPreferredFrames = 124;
constexpr double kMostRatio = 4;   // of one side to the other
constexpr int kMostWords = 4096;   // ids of a prompt
constexpr int kEncodingSeed = 42;  // of pictures

constexpr const char* kInstructions =
    "You rewrite short requests for a model that makes video with sound. Answer with one paragraph "
    "of plain English in the present tense, at most 200 words, and nothing else. Say in the order "
    "in which it is seen: who and what is there and how it looks, where it is, the light, how the "
    "camera stands or moves, what changes, and what is heard. Keep everything that the request "
    "says; words that are spoken stay as they are, in quotation marks. Invent nothing that "
    "contradicts it.";

Status check(const MiniMaxH3Pipeline& p) {
  const MiniMaxH3Config& d = p.dit;
  if (d.channels != p.vae.latent_channels || d.sound_channels != p.sound.latent_channels ||
      d.sides != p.sound.sides)
    return error(Code::kInvalidArgument, "latents of ", p.vae.latent_channels, " and ",
                 p.sound.sides, " x ", p.sound.latent_channels,
                 " channels; the transformer's have ", d.channels, " and ", d.sides, " x ",
                 d.sound_channels);
  if (d.text_width != p.text.width)
    return error(Code::kInvalidArgument, "words of ", p.text.width,
                 " channels; the transformer reads ", d.text_width);
  if (p.vision && p.vision->out_width != p.text.width)
    return error(Code::kInvalidArgument, "pictures are read as ", p.vision->out_width,
                 " channels among words of ", p.text.width);
  if (d.period != p.vae.chunk() || d.first_frames != p.vae.first_frames() ||
      d.later_frames != p.vae.time())
    return error(Code::kInvalidArgument, "of ", p.vae.chunk(), " latents the first stands for ",
                 p.vae.first_frames(), " frames and the others for ", p.vae.time(),
                 "; the transformer's positions are for ", d.period, ", ", d.first_frames, " and ",
                 d.later_frames);
  const double a_second =
      static_cast<double>(p.sound.sample_rate) / static_cast<double>(p.sound.hop());
  if (std::abs(a_second - kFps * d.units_a_frame) > 1e-9)
    return error(Code::kInvalidArgument, a_second,
                 " latents of sound a second; the transformer's "
                 "positions are for ",
                 kFps * d.units_a_frame);
  if (p.tile % p.vae.space() != 0 || p.tile_overlap % p.vae.space() != 0 ||
      2 * p.tile_overlap > p.tile)
    return error(Code::kInvalidArgument, "tiles of ", p.tile, " pixels that share ", p.tile_overlap,
                 " are no whole latents of ", p.vae.space());
  return Status();
}

LatentSpec video_latents(const MiniMaxH3Pipeline& p) {
  LatentSpec s =
      recipe_parts::latents("video", Modality::kVideo, p.mean, p.deviation, p.vae.latent_channels);
  s.pixels = static_cast<int>(p.vae.space());
  s.first_frames = static_cast<int>(p.vae.first_frames());
  s.later_frames = static_cast<int>(p.vae.time());
  s.period = static_cast<int>(p.vae.chunk());
  return s;
}

LatentSpec sound_latents(const MiniMaxH3Pipeline& p) {
  std::vector<float> mean, deviation;
  for (int64_t side = 0; side < p.sound.sides; ++side) {
    mean.insert(mean.end(), p.sound_mean.begin(), p.sound_mean.end());
    deviation.insert(deviation.end(), p.sound_deviation.begin(), p.sound_deviation.end());
  }
  LatentSpec s =
      recipe_parts::latents("sound", Modality::kSound, std::move(mean), std::move(deviation),
                            p.sound.sides * p.sound.latent_channels);
  s.samples = static_cast<int>(p.sound.hop());
  s.nearest = true;
  return s;
}

EncodeText encode_text(const MiniMaxH3Pipeline& p) {
  EncodeText s = recipe_parts::encode_text("text_encoder", "text", kMostWords);
  s.gives_lengths = "text_lengths";
  s.tokenizer = p.tokenizer;
  if (!p.vision) return s;
  EncodeText::Seen seen;
  seen.component = "vision";
  seen.input = "pixels";
  seen.output = seen.features = "features";
  seen.text = "text_seeing";
  seen.reads = "reads";
  seen.positions = "positions";
  seen.label = "<Picture {n}>: ";
  seen.begin = p.vision_start;
  seen.place = p.vision_place;
  seen.end = p.vision_end;
  seen.pixels = static_cast<int>(p.vision->side());
  seen.least_pixels = p.least_pixels;
  seen.most_pixels = p.most_pixels;
  seen.gives = "text_seen";
  s.seen = std::move(seen);
  return s;
}

// Pieces of pictures, encoded or decoded.
TileSpec area_of(const MiniMaxH3Pipeline& p) {
  return {.length = p.tile / p.vae.space(),
          .overlap = p.tile_overlap / p.vae.space(),
          .stitched = true};
}

EndPictures end_pictures(const MiniMaxH3Pipeline& p) {
  EndPictures s;
  s.latents = "video";
  s.component = "encoder";
  s.input = "video";
  s.output = "mean";
  s.output_deviation = "deviation";
  s.gives = "ends";
  s.gives_times = "end_times";
  s.seed = kEncodingSeed;
  s.noise = p.dit.end_noise;
  s.area = area_of(p);
  return s;
}

Denoise denoise(const MiniMaxH3Pipeline& p) {
  Denoise s = recipe_parts::denoise({"video", "sound"}, {"text", "text_lengths"});
  s.streams[1].schedule = {.time = "sound_time", .shift = p.sound_shift};
  FlowSampler sampler;
  sampler.solver = FlowSolver::kEuler;
  sampler.shift = p.shift;
  s.sampler = sampler;
  s.steps = p.steps;
  if (p.vision)
    s.ended = {"dit_ended",
               {{"ends", "ends"}, {"end_times", "end_times"}, {"text_seen", "text_seen"}}};
  return s;
}

}  // namespace

Result<Recipe> minimax_h3_recipe(const MiniMaxH3Pipeline& p) {
  ZT_RETURN_IF_ERROR(check(p));
  Recipe recipe;
  recipe.latents = {video_latents(p), sound_latents(p)};
  recipe.clip.fps = kFps;
  recipe.clip.sample_rate = p.sound.sample_rate;
  recipe.clip.sound_channels = static_cast<int>(p.sound.sides);
  // As the reference resolves a canvas: the shorter side, within the area, to whole tokens.
  const int64_t step = p.vae.space() * p.dit.patch;
  const auto side = [&](double ratio, bool longer) {
    const auto shorter = static_cast<double>(p.canvas_side);
    const double most = static_cast<double>(p.canvas_pixels);
    const double scale = std::min(1.0, std::sqrt(most / (shorter * shorter * ratio)));
    const double length = scale * shorter * (longer ? ratio : 1) / static_cast<double>(step);
    return std::max<int64_t>(std::llrint(length), 1) * step;
  };
  const auto range = [&](bool longer) {
    return Range{side(kMostRatio, false), side(kMostRatio, true), step, side(16.0 / 9, longer)};
  };
  recipe.clip.width = range(true);
  recipe.clip.height = range(false);
  const int64_t clip = p.vae.clip_length, rest = p.vae.overlap_frames();
  const auto count = [&](double seconds, bool up) {  // whole pieces within those seconds
    const double pieces = (seconds * kFps - static_cast<double>(rest)) / static_cast<double>(clip);
    return clip * static_cast<int64_t>(up ? std::ceil(pieces) : std::floor(pieces)) + rest;
  };
  const int64_t least = count(kLeastSeconds, true), most = count(kMostSeconds, false);
  const int64_t near = (kPreferredFrames - rest) / clip * clip + rest;
  recipe.clip.frames = {least, most, clip, std::clamp(near, least, most), rest % clip};
  recipe.stages.push_back(encode_text(p));
  if (p.vision) recipe.stages.push_back(end_pictures(p));
  recipe.stages.push_back(denoise(p));
  recipe.stages.push_back(recipe_parts::decode<DecodeSound>("sound", "sound_decoder"));
  auto frames = recipe_parts::decode<DecodeVideo>("video", "decoder");
  frames.tiles = {.length = p.vae.piece(), .overlap = p.vae.overlap(), .stitched = true};
  frames.area = area_of(p);
  recipe.stages.push_back(frames);
  recipe.expansion = Expansion{.instructions = kInstructions};
  return recipe;
}

}  // namespace zoetrope
