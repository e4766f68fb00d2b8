// Models of what is given whole: a clip made anew beside pictures of what it shows, one that is
// made larger on the way, and the sound of a clip.
#include "tests/hostile/tiny_parts.h"

namespace zoetrope {
namespace {

using namespace tiny;

constexpr int64_t kSquare = 8;  // pixels of a picture that is looked at
const Dim kPictures = Dim::symbol("pictures");
const std::vector<Dim> kGrid{kBatch, kFrames, kHeight, kColumns, 3};

Graph words() {
  Builder b("text_encoder");
  const ValueId ids = b.input("ids", DType::kI32, {kBatch, kText}, Rate::kClip);
  b.input("lengths", DType::kI32, {kBatch}, Rate::kClip);
  const auto scope = b.scope("text_encoder");
  b.output("text", b.gather(b.weight("table", {258, kWidth}), ids));
  return finished(b);
}

// [pictures, size, size, 3] to [pictures, 4, kWidth], or their mean.
Graph sight(bool whole) {
  Builder b("vision");
  const ValueId pixels =
      b.input("pixels", DType::kF32, {kPictures, kSquare, kSquare, 3}, Rate::kClip);
  const auto scope = b.scope("vision");
  const int64_t side = whole ? 8 : 4;
  const ValueId patches =
      b.conv(pixels, b.weight("patch", {kWidth, side, side, 3}), strided({side, side}, {}));
  b.output("features", whole ? b.reshape(patches, {kPictures, kWidth})
                             : b.reshape(patches, {kPictures, 4, kWidth}));
  return finished(b);
}

Graph encoder() {
  Builder b("encoder");
  const ValueId video =
      b.input("video", DType::kF32, {kBatch, kFrames * 2, kHeight * 4, kColumns * 4, 3});
  const auto scope = b.scope("encoder");
  b.output("latents", b.conv(video, b.weight("kernel", {3, 2, 4, 4, 3}), strided({2, 4, 4}, {})));
  return finished(b);
}

Graph decoder() {
  Builder b("decoder");
  const ValueId z = b.input("latents", DType::kF32, kGrid);
  const auto scope = b.scope("decoder");
  const ValueId x = b.silu(b.linear("in", z, 3, kWidth));
  const ValueId wide = b.repeat(b.repeat(b.repeat(x, 1, 2), 2, 4), 3, 4);
  b.output("video", b.tanh(b.linear("out", wide, kWidth, 3)));
  return finished(b);
}

Graph upsampler() {
  Builder b("upsampler");
  const ValueId z = b.input("latents", DType::kF32, {1, kFrames, kHeight, kColumns, 3});
  const auto scope = b.scope("upsampler");
  b.output("larger", b.linear("mix", b.repeat(b.repeat(z, 2, 2), 3, 2), 3, 3));
  return finished(b);
}

Graph vocoder() {
  Builder b("vocoder");
  const ValueId z = b.input("latents", DType::kF32, {kBatch, kSounds, 2});
  const auto scope = b.scope("vocoder");
  const ValueId wide = b.linear("out", z, 2, 40);
  b.output("audio", b.tanh(b.reshape(wide, {kBatch, kSounds * 20, 2})));
  return finished(b);
}

// Of a clip: `given` makes it look at a source and at pictures.
Graph network(bool given) {
  Builder b("net");
  const ValueId video = b.input("video", DType::kF32, kGrid);
  const ValueId time = b.input("time", DType::kF32, {kBatch}, Rate::kTimestep);
  const ValueId text = b.input("text", DType::kF32, {kBatch, kText, kWidth}, Rate::kClip);
  ValueId z = video, seen = kNone;
  if (given) {
    z = b.add(z, b.input("source", DType::kF32, kGrid, Rate::kClip));
    z = b.sub(z, b.input("black", DType::kF32, kGrid, Rate::kClip));
    seen = b.input("seen", DType::kF32, {kBatch, kPictures, 4, kWidth}, Rate::kClip);
  }
  const auto scope = b.scope("net");
  const Dim places = kFrames * kHeight * kColumns;
  ValueId x = b.linear("in", b.reshape(z, {kBatch, places, 3}), 3, kWidth);
  x = modulate(b, x, embed_time(b, time));
  if (given) {
    const ValueId rows = b.reshape(seen, {kBatch, kPictures * 4, kWidth});
    x = b.add(x, b.linear("look", b.slice(rows, 1, 0, 1), kWidth, kWidth));
  }
  x = feed_forward(b, attend(b, "cross", x, places, text, kText, kNone));
  b.output("velocity", b.reshape(b.linear("out", x, kWidth, 3), kGrid));
  return finished(b);
}

Graph sound_network() {
  Builder b("net");
  const ValueId sound = b.input("sound", DType::kF32, {kBatch, kSounds, 2});
  const ValueId time = b.input("time", DType::kF32, {kBatch}, Rate::kTimestep);
  const ValueId text = b.input("text", DType::kF32, {kBatch, kText, kWidth}, Rate::kClip);
  const ValueId shown = b.input("shown", DType::kF32, {kBatch, kSounds, kWidth}, Rate::kClip);
  const auto scope = b.scope("net");
  ValueId x = modulate(b, b.linear("in", sound, 2, kWidth), embed_time(b, time));
  x = attend(b, "cross", b.add(x, shown), kSounds, text, kText, kNone);
  b.output("velocity", b.linear("out", feed_forward(b, x), kWidth, 2));
  return finished(b);
}

EncodeText reading() {
  EncodeText s{"text_encoder", "ids", "lengths", "text", "text", ""};
  s.bos = 256, s.eos = 257, s.max_ids = 24;
  return s;
}

Denoise denoise(const std::string& latents) {
  Denoise s;
  s.component = "net";
  s.time = "time";
  s.streams = {{latents, latents, "velocity"}};
  s.conditions = {{"text", "text"}};
  s.sampler = FlowSampler();
  s.steps = 2;
  s.guidance = 2;
  return s;
}

DecodeVideo decoding() { return {{"video", "decoder", "latents", "video", {2, 1, 0}}}; }

Recipe of_clips() {
  Recipe r;
  r.clip.fps = 4;
  r.clip.width = r.clip.height = {8, 64, 8, 16};
  r.clip.frames = {2, 64, 2, 6};
  r.latents = {{"video", Modality::kVideo, 3, {0, 0.1f, -0.1f}, {1, 2, 0.5f}, 4, 2, 2, 1}};
  return r;
}

}  // namespace

TinyModel tiny_edited() {
  Recipe r = of_clips();
  SourceClip source;
  source.latents = "video", source.component = "encoder";
  source.input = "video", source.output = "latents";
  source.gives = "source", source.gives_black = "black";
  source.scale = 2, source.tile = 2;
  ReferenceFeatures seen;
  seen.component = "vision", seen.input = "pixels", seen.output = "features", seen.gives = "seen";
  seen.size = kSquare, seen.most = 2;
  Denoise net = denoise("video");
  for (const char* name : {"source", "black", "seen"}) net.conditions.push_back({name, name});
  r.stages = {reading(), seen, source, net, decoding()};
  return whole("tiny edited", {words(), sight(false), encoder(), network(true), decoder()},
               std::move(r));
}

TinyModel tiny_refined() {
  Recipe r = of_clips();
  Denoise small = denoise("video");
  small.reduced = {2, 1};
  r.stages = {reading(), small, ResampleLatents{"video", "upsampler", "latents", "larger", 2, 1},
              denoise("video"), decoding()};
  return whole("tiny refined", {words(), network(false), upsampler(), decoder()}, std::move(r));
}

TinyModel tiny_sound() {
  Recipe r = of_clips();
  r.clip.sample_rate = 400;
  r.clip.sound_channels = 2;
  r.latents = {{"sound", Modality::kSound, 2, {0, 0}, {1, 1}, 1, 1, 1, 20}};
  FrameFeatures shown;
  shown.latents = "sound", shown.component = "vision", shown.input = "pixels";
  shown.output = "features", shown.gives = "shown", shown.size = kSquare;
  Denoise net = denoise("sound");
  net.conditions.push_back({"shown", "shown"});
  r.stages = {reading(), shown, net, DecodeSound{{"sound", "vocoder", "latents", "audio", {}}}};
  return whole("tiny sound", {words(), sight(true), sound_network(), vocoder()}, std::move(r));
}

}  // namespace zoetrope
