#include "models/moviegen/audio_recipe.h"

#include "models/recipe_parts.h"

namespace zoetrope {
namespace {

constexpr const char* kInstructions =
    "You rewrite short requests for a model that makes sound effects and instrumental music of up "
    "to 30 seconds, without speech or singing. Answer with plain text and nothing else, in this "
    "order: \"This audio has quality: 8.0.\", \"This audio does not contain speech.\", \"This "
    "audio "
    "does not contain vocal singing.\", whether it contains music; then one or two sentences that "
    "say what is heard in the order of time; and, where there is music, one sentence on its "
    "mood, genre and instruments. Keep everything that the request says. Invent nothing that "
    "contradicts it.";

// Tiles that are cut exactly, as the coder's reach allows it.
TileSpec exact_tiles(int64_t length, int64_t reach) {
  if (length <= 2 * reach) return {};
  return {.length = length, .overlap = 2 * reach, .reach = reach};
}

}  // namespace

MovieGenAudioPipeline moviegen_audio_pipeline() {
  MovieGenAudioPipeline p;
  // T5-base (arXiv 1910.10683).
  p.text = {.vocabulary = 32128,
            .width = p.dit.text_width,
            .layers = 12,
            .heads = 12,
            .head_dim = 64,
            .ffn = 3072,
            .ffn_kind = T5Config::Ffn::kRelu,
            .bias_a_layer = false};
  p.vision = clip_vit_h_14();
  p.vision.left_out = 0;
  p.vision.projection = p.dit.picture_width;
  return p;
}

MovieGenAudioPipeline tiny_moviegen_audio_pipeline() {
  MovieGenAudioPipeline p = moviegen_audio_pipeline();
  p.dit = {.layers = 2,
           .width = 48,
           .heads = 2,
           .ffn = 96,
           .channels = 16,
           .text_width = 24,
           .picture_width = 20};
  p.codec.latent_channels = p.dit.channels;
  p.codec.encoder_width = 2;
  p.codec.decoder_width = 32;
  p.text.vocabulary = 384;
  p.text.width = p.dit.text_width;
  p.text.layers = 2;
  p.text.heads = 2;
  p.text.head_dim = 12;
  p.text.ffn = 48;
  p.vision.width = 24;
  p.vision.layers = p.vision.heads = 2;
  p.vision.ffn = 48;
  p.vision.image_size = 28;
  p.vision.projection = p.dit.picture_width;
  p.seconds = 2;
  p.steps = 4;
  return p;
}

Recipe moviegen_audio_recipe(const MovieGenAudioPipeline& p) {
  Recipe r;
  r.expansion = Expansion{.instructions = kInstructions};
  r.latents = {recipe_parts::latents("sound", Modality::kSound, 0, 1, p.dit.channels)};
  r.latents[0].samples = static_cast<int>(p.codec.stride());
  r.clip.fps = p.fps;
  r.clip.sample_rate = p.sample_rate;
  r.clip.sound_channels = static_cast<int>(p.codec.channels);
  // Of clips that are looked at.
  r.clip.width = r.clip.height = {1, 1 << 14, 1, p.vision.image_size};
  r.clip.frames = {1, p.longest * p.fps, 1, p.seconds * p.fps};
  FrameFeatures frames;
  frames.latents = "sound";
  frames.component = "vision_encoder";
  frames.input = "image";
  frames.output = "embedding";
  frames.gives = "pictures";
  frames.size = static_cast<int>(p.vision.image_size);
  KnownLatents known = recipe_parts::known_latents("sound", "sound_encoder");
  known.tiles = exact_tiles(p.encoder_tile, p.codec.encoder_reach());
  Denoise denoise = recipe_parts::denoise({"sound"}, {"text", "pictures", "known", "known_mask"});
  FlowSampler sampler;
  sampler.solver = FlowSolver::kMidpoint;
  denoise.sampler = sampler;
  denoise.steps = p.steps;
  denoise.guidance = p.guidance;
  denoise.windows = {p.window, p.overlap, Denoise::Windows::Weights::kTriangle};
  auto decode = recipe_parts::decode<DecodeSound>("sound", "sound_decoder");
  decode.tiles = exact_tiles(p.decoder_tile, p.codec.decoder_reach());
  r.stages = {recipe_parts::encode_t5_text("text_encoder", "text", p.text_ids), frames, known,
              denoise, decode};
  return r;
}

}  // namespace zoetrope
