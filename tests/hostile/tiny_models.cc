#include "tests/hostile/tiny_models.h"

#include "tests/hostile/tiny_parts.h"

namespace zoetrope {
namespace {

using namespace tiny;

// Features of ids [B, L] by a table, one layer of attention and a norm.
Graph text_encoder() {
  Builder b("text_encoder");
  const auto scope = b.scope("text_encoder");
  const ValueId ids = b.input("ids", DType::kI32, {kBatch, kText}, Rate::kClip);
  const ValueId lengths = b.input("lengths", DType::kI32, {kBatch}, Rate::kClip);
  ValueId x = b.gather(b.weight("table", {258, kWidth}), ids);
  x = attend(b, "attn", x, kText, x, kText, lengths);
  x = b.layer_norm(x, b.weight("norm.weight", {kWidth}), b.weight("norm.bias", {kWidth}), 1e-5);
  b.output("text", x);
  return finished(b);
}

Graph clip_network() {
  Builder b("net");
  const std::vector<Dim> grid{kBatch, kFrames, kHeight, kColumns, 3};
  std::vector<Dim> cells = grid;
  cells.back() = 1;
  const ValueId video = b.input("video", DType::kF32, grid);
  const ValueId sound = b.input("sound", DType::kF32, {kBatch, kSounds, 2});
  const ValueId time = b.input("time", DType::kF32, {kBatch}, Rate::kTimestep);
  const ValueId text = b.input("text", DType::kF32, {kBatch, kText, kWidth}, Rate::kClip);
  const ValueId lengths = b.input("text_lengths", DType::kI32, {kBatch}, Rate::kClip);
  const ValueId known = b.input("known", DType::kF32, grid, Rate::kClip);
  const ValueId mask = b.input("mask", DType::kF32, cells, Rate::kClip);
  const ValueId known_sound =
      b.input("known_sound", DType::kF32, {kBatch, kSounds, 2}, Rate::kClip);
  const ValueId sound_mask = b.input("sound_mask", DType::kF32, {kBatch, kSounds, 1}, Rate::kClip);
  const auto scope = b.scope("net");
  const Dim places = kFrames * kHeight * kColumns, length = places + kSounds;
  const ValueId v = b.reshape(b.concat({video, known, mask}, 4), {kBatch, places, 7});
  const ValueId s = b.concat({sound, known_sound, sound_mask}, 2);
  ValueId x = b.concat({b.linear("video_in", v, 7, kWidth), b.linear("sound_in", s, 5, kWidth)}, 1);
  const auto [cos, sin] = rope_tables(b, length);
  const ValueId h = modulate(b, x, embed_time(b, time));
  x = b.add(x, attend(b, "self", h, length, h, length, kNone, cos, sin));
  x = attend(b, "cross", x, length, text, kText, lengths);
  x = feed_forward(b, x);
  const ValueId pixels = b.linear("video_out", b.slice(x, 1, 0, places), kWidth, 3);
  b.output("video_velocity", b.reshape(pixels, grid));
  b.output("sound_velocity",
           b.linear("sound_out", b.slice(x, 1, places, Builder::kToEnd), kWidth, 2));
  return finished(b);
}

Graph clip_decoder() {
  Builder b("decoder");
  const ValueId z = b.input("latents", DType::kF32, {kBatch, kFrames, kHeight, kColumns, 3});
  const auto scope = b.scope("decoder");
  ValueId x = b.conv(z, b.weight("in", {kWidth, 1, 3, 3, 3}), strided({}, {0, 1, 1}));
  x = b.silu(
      b.group_norm(x, b.weight("norm.weight", {kWidth}), b.weight("norm.bias", {kWidth}), 2, 1e-5));
  x = b.repeat(b.repeat(b.repeat(x, 1, 2), 2, 4), 3, 4);
  x = b.conv(x, b.weight("out", {3, 1, 3, 3, kWidth}), strided({}, {0, 1, 1}));
  b.output("video", b.tanh(b.add(x, b.weight("bias", {3}))));
  return finished(b);
}

Graph clip_encoder() {
  Builder b("encoder");
  const ValueId video =
      b.input("video", DType::kF32, {kBatch, kFrames, kHeight * 4, kColumns * 4, 3});
  const auto scope = b.scope("encoder");
  // Of an odd number of frames the last stands alone.
  b.output("latents", b.conv(video, b.weight("kernel", {3, 1, 4, 4, 3}), strided({2, 4, 4}, {})));
  return finished(b);
}

Graph sound_decoder() {
  Builder b("vocoder");
  const ValueId z = b.input("latents", DType::kF32, {kBatch, kSounds, 2});
  const auto scope = b.scope("vocoder");
  const ValueId x = b.conv(z, b.weight("in", {kWidth, 3, 2}), strided({}, {1}));
  const ValueId wide = b.linear("out", b.silu(x), kWidth, 40);
  b.output("audio", b.tanh(b.reshape(wide, {kBatch, kSounds * 20, 2})));
  return finished(b);
}

Graph sound_encoder() {
  Builder b("sound_encoder");
  const ValueId audio = b.input("audio", DType::kF32, {kBatch, kSounds * 20, 2});
  const auto scope = b.scope("sound_encoder");
  b.output("latents", b.linear("in", b.reshape(audio, {kBatch, kSounds, 40}), 40, 2));
  return finished(b);
}

// A coder's frames behind the last of those that the calls before have seen.
ValueId with_past(Builder& b, ValueId x, const Dim& count, std::vector<Dim> dims) {
  dims[1] = 1;
  const ValueId past = b.state_input("past", DType::kF32, dims);
  b.state(past, b.slice(x, 1, count - 1, count));
  return b.concat({past, x}, 1);
}

Graph causal_decoder(bool first) {
  Builder b(first ? "decoder_first" : "decoder");
  const Dim count = first ? Dim(1) : kFrames;
  const std::vector<Dim> dims{kBatch, count, kHeight, kColumns, 4};
  const ValueId z = b.input("latents", DType::kF32, dims);
  const auto scope = b.scope("causal_decoder");
  ValueId x = with_past(b, z, count, dims);
  x = b.silu(b.conv(x, b.weight("in", {kWidth, 2, 3, 3, 4}), strided({}, {0, 1, 1})));
  if (!first) x = b.repeat(x, 1, 2);
  x = b.repeat(b.repeat(x, 2, 4), 3, 4);
  b.output("video", b.tanh(b.linear("out", x, kWidth, 3)));
  return finished(b);
}

Graph causal_encoder(bool first) {
  Builder b(first ? "encoder_first" : "encoder");
  const Dim count = first ? Dim(1) : kFrames * 2;
  const std::vector<Dim> dims{kBatch, count, kHeight * 4, kColumns * 4, 3};
  const ValueId video = b.input("video", DType::kF32, dims);
  const auto scope = b.scope("causal_encoder");
  const ValueId x = with_past(b, video, count, dims);
  b.output("latents",
           b.conv(x, b.weight("kernel", {4, 2, 4, 4, 3}), strided({first ? 1 : 2, 4, 4}, {})));
  return finished(b);
}

Graph image_encoder() {
  Builder b("image_encoder");
  const Dim pictures = Dim::symbol("pictures");
  const ValueId image = b.input("image", DType::kF32, {pictures, 8, 8, 3}, Rate::kClip);
  const auto scope = b.scope("image_encoder");
  const ValueId patches = b.conv(image, b.weight("patch", {kWidth, 4, 4, 3}), strided({4, 4}, {}));
  b.output("features", b.softmax(b.reshape(patches, {pictures, 4, kWidth})));
  return finished(b);
}

Graph causal_network(const std::string& name) {
  Builder b(name);
  const std::vector<Dim> grid{kBatch, kFrames, kHeight, kColumns, 4};
  std::vector<Dim> cells = grid;
  cells.back() = 2;
  const Dim image_length = Dim::symbol("image_length");
  const ValueId video = b.input("video", DType::kF32, grid);
  const ValueId time = b.input("time", DType::kF32, {kBatch}, Rate::kTimestep);
  const ValueId text = b.input("text", DType::kF32, {kBatch, kText, kWidth}, Rate::kClip);
  const ValueId image = b.input("image", DType::kF32, {kBatch, image_length, kWidth}, Rate::kClip);
  const ValueId known = b.input("known", DType::kF32, grid, Rate::kClip);
  const ValueId mask = b.input("mask", DType::kF32, cells, Rate::kClip);
  const auto scope = b.scope(name);
  const Dim places = kFrames * kHeight * kColumns;
  ValueId x = b.linear("in", b.reshape(b.concat({video, known, mask}, 4), {kBatch, places, 10}), 10,
                       kWidth);
  const auto [cos, sin] = rope_tables(b, places);
  x = attend(b, "self", modulate(b, x, embed_time(b, time)), places, x, places, kNone, cos, sin);
  x = attend(b, "cross", x, places, text, kText, kNone);
  x = attend(b, "look", x, places, image, image_length, kNone);
  b.output("velocity", b.reshape(b.linear("out", feed_forward(b, x), kWidth, 4), grid));
  return finished(b);
}

Graph picture_network() {
  Builder b("net");
  const std::vector<Dim> grid{kBatch, kHeight, kColumns, 4};
  const ValueId x = b.input("x", DType::kF32, grid);
  const ValueId time = b.input("t", DType::kF32, {kBatch}, Rate::kTimestep);
  const ValueId label = b.input("label", DType::kI32, {kBatch}, Rate::kClip);
  const auto scope = b.scope("net");
  const ValueId rows =
      b.reshape(b.gather(b.weight("classes", {4, kWidth}), label), {kBatch, 1, kWidth});
  const Dim places = kHeight * kColumns;
  ValueId h = b.linear("in", b.reshape(x, {kBatch, places, 4}), 4, kWidth);
  h = modulate(b, b.add(h, rows), embed_time(b, time));
  h = feed_forward(b, attend(b, "self", h, places, h, places, kNone));
  // The second half is raw variance.
  b.output("noise", b.reshape(b.linear("out", h, kWidth, 8), {kBatch, kHeight, kColumns, 8}));
  return finished(b);
}

Graph picture_decoder() {
  Builder b("decoder");
  const ValueId z = b.input("z", DType::kF32, {kBatch, kHeight, kColumns, 4});
  const auto scope = b.scope("decoder");
  const ValueId x = b.unary(OpKind::kRelu, b.linear("in", z, 4, kWidth));
  const ValueId wide =
      b.pad(b.repeat(b.repeat(x, 1, 8), 2, 8), {0, 1, 1, 0}, {0, 1, 1, 0}, "replicate");
  b.output("picture", b.tanh(b.conv(wide, b.weight("out", {3, 3, 3, kWidth}), {})));
  return finished(b);
}

Graph picture_encoder() {
  Builder b("encoder");
  const ValueId p = b.input("picture", DType::kF32, {kBatch, kHeight * 8, kColumns * 8, 3});
  const auto scope = b.scope("encoder");
  b.output("z", b.conv(p, b.weight("kernel", {4, 8, 8, 3}), strided({8, 8}, {})));
  return finished(b);
}

EncodeText encode_text() {
  EncodeText s{"text_encoder", "ids", "lengths", "text", "text", ""};
  s.bos = 256, s.eos = 257, s.max_ids = 24;
  return s;
}

}  // namespace

TinyModel tiny_clip() {
  Recipe r;
  r.clip = {4, 400, 2, {8, 64, 4, 16}, {8, 64, 4, 16}, {1, 64, 1, 6}};
  r.latents = {{"video", Modality::kVideo, 3, {0, 0.1f, -0.1f}, {1, 2, 0.5f}, 4, 2, 2, 1},
               {"sound", Modality::kSound, 2, {0, 0}, {1, 1}, 1, 1, 1, 20}};
  EncodeText text = encode_text();
  text.gives_lengths = "text_lengths";
  KnownLatents frames{"video", "encoder", "video", "latents", "known", "mask"};
  frames.mask_first_frame = 0.5;
  const KnownLatents sound{"sound",   "sound_encoder", "audio",
                           "latents", "known_sound",   "sound_mask"};
  Denoise denoise;
  denoise.component = "net";
  denoise.time = "time";
  denoise.time_scale = 10;
  denoise.streams = {{"video", "video", "video_velocity"}, {"sound", "sound", "sound_velocity"}};
  for (const char* name : {"text", "text_lengths", "known", "mask", "known_sound", "sound_mask"})
    denoise.conditions.push_back({name, name});
  denoise.sampler = FlowSampler();
  denoise.steps = 2;
  denoise.guidance = 2;
  r.stages = {text,
              frames,
              sound,
              denoise,
              DecodeSound{{"sound", "vocoder", "latents", "audio", {8, 2, 1}}},
              DecodeVideo{{"video", "decoder", "latents", "video", {2, 1, 0}}}};
  return whole("tiny clip",
               {text_encoder(), clip_network(), clip_encoder(), clip_decoder(), sound_encoder(),
                sound_decoder()},
               std::move(r));
}

TinyModel tiny_causal() {
  Recipe r;
  r.clip.fps = 4;
  r.clip.width = r.clip.height = {8, 128, 8, 16};
  r.clip.frames = {1, 65, 2, 5, 1};
  r.latents = {{"video", Modality::kVideo, 4, {0, 0, 0, 0}, {1, 1, 2, 2}, 4, 1, 2, 1}};
  EncodeText text = encode_text();
  text.pad_to_max = text.zero_padding = text.clean = true;
  ImageFeatures image{"image_encoder", "image", "features", "image", 8};
  StartPicture start{"video", "encoder", "video", "latents", "encoder_first"};
  KnownLatents known{"video", "encoder", "video", "latents", "known", "mask"};
  known.first = "encoder_first";
  known.fill = KnownLatents::Fill::kGrey;
  known.mask = KnownLatents::Mask::kFrames;
  known.required = true;
  Denoise denoise;
  denoise.component = "net";
  denoise.time = "time";
  denoise.streams = {{"video", "video", "velocity"}};
  denoise.conditions = {{"text", "text"}, {"image", "image"}, {"known", "known"}, {"mask", "mask"}};
  FlowSampler sampler;
  sampler.solver = FlowSolver::kUniPc;
  sampler.last = 0.001;
  sampler.train_steps = 1000;
  denoise.sampler = sampler;
  denoise.steps = 3;
  denoise.guidance = 3;
  denoise.experts = {{"net_low", 0.6, 1.5}};
  DecodeVideo decode;
  decode.latents = "video", decode.component = "decoder", decode.first = "decoder_first";
  decode.input = "latents", decode.output = "video";
  decode.tiles.overlap = 1;
  r.stages = {text, image, start, known, denoise, decode};
  return whole("tiny causal",
               {text_encoder(), image_encoder(), causal_encoder(true), causal_encoder(false),
                causal_network("net"), causal_network("net_low"), causal_decoder(true),
                causal_decoder(false)},
               std::move(r));
}

TinyModel tiny_picture() {
  Recipe r;
  r.clip.width = r.clip.height = {8, 64, 8, 16};
  r.latents = {{"image", Modality::kImage, 4, {0, 0, 0, 0}, {2, 2, 2, 2}, 8, 1, 1, 1}};
  Denoise denoise;
  denoise.component = "net";
  denoise.time = "t";
  denoise.streams = {{"image", "x", "noise"}};
  denoise.conditions = {{"label", "label"}};
  DiffusionSpec sampler;
  sampler.train_steps = 50;
  denoise.sampler = sampler;
  denoise.steps = 3;
  denoise.guidance = 3;
  denoise.guidance_channels = 3;
  r.stages = {ClassLabel{"label", 3, 3, {"cat, tabby", "dog", "fox"}},
              StartPicture{"image", "encoder", "picture", "z"}, denoise,
              DecodeImage{{"image", "decoder", "z", "picture", {}}}};
  return whole("tiny picture", {picture_network(), picture_encoder(), picture_decoder()},
               std::move(r));
}

KnownFrames grey_frames(const Recipe& recipe, int64_t count) {
  const auto size =
      static_cast<size_t>(recipe.clip.width.preferred * recipe.clip.height.preferred * 3);
  return {std::vector<uint8_t>(static_cast<size_t>(count) * size, 128), count};
}

}  // namespace zoetrope
