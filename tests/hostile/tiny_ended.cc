// A clip that may begin and end with pictures, which are read among the words, too.
#include <nlohmann/json.hpp>

#include "runtime/text/letters.h"
#include "tests/hostile/tiny_parts.h"

namespace zoetrope {
namespace {

using namespace tiny;

constexpr int kBegin = 258, kPlace = 259, kEnd = 260, kWords = 261;  // ids; all
constexpr int64_t kSquare = 8;                                       // pixels that are a place
const Dim kPictures = Dim::symbol("pictures"), kPlaces = Dim::symbol("places");

// A letter for each byte, one merge, and the marks of a picture.
std::vector<uint8_t> byte_pairs() {
  nlohmann::json vocab, added;
  int id = 0;
  for (const std::string& letter : byte_letters()) vocab[letter] = id++;
  vocab["re"] = id;
  added["<begin>"] = kBegin;
  added["<place>"] = kPlace;
  added["<end>"] = kEnd;
  const std::string text =
      nlohmann::json{{"vocab", vocab}, {"merges", {"r e"}}, {"added", added}}.dump();
  return {text.begin(), text.end()};
}

// Features of ids [1, L]; of pictures' places among them, where it is seeing.
Graph words(bool seeing) {
  Builder b(seeing ? "text_seeing" : "text_encoder");
  const ValueId ids = b.input("ids", DType::kI32, {kBatch, kText}, Rate::kClip);
  const ValueId lengths = b.input("lengths", DType::kI32, {kBatch}, Rate::kClip);
  const auto scope = b.scope("text_encoder");
  ValueId x = b.gather(b.weight("table", {kWords, kWidth}), ids);
  if (seeing) {
    const ValueId features = b.input("features", DType::kF32, {1, kPlaces, kWidth}, Rate::kClip);
    const ValueId reads = b.input("reads", DType::kI32, {kBatch, kText}, Rate::kClip);
    const ValueId positions = b.input("positions", DType::kF32, {kBatch, kText, 3}, Rate::kClip);
    // Row 0 of the table stands where a word is read.
    const ValueId table = b.reshape(b.pad(features, {0, 1, 0}, {0, 0, 0}), {-1, kWidth});
    const ValueId seen = b.op(OpKind::kMin, {b.cast(reads, DType::kF32), b.scalar(1)});
    const ValueId word = b.reshape(b.sub(b.scalar(1), seen), {kBatch, kText, 1});
    x = b.add(b.mul(x, word), b.gather(table, reads));
    x = b.add(x, b.linear("position", b.sin(positions), 3, kWidth));
  }
  x = attend(b, "attn", x, kText, x, kText, lengths);
  b.output("text", b.rms_norm(x, b.weight("norm", {kWidth}), 1e-6));
  return finished(b);
}

Graph sight() {
  Builder b("vision");
  const ValueId pixels =
      b.input("pixels", DType::kF32, {1, kHeight * kSquare, kColumns * kSquare, 3}, Rate::kClip);
  const auto scope = b.scope("vision");
  const ValueId patches = b.conv(pixels, b.weight("patch", {kWidth, kSquare, kSquare, 3}),
                                 strided({kSquare, kSquare}, {}));
  b.output("features", b.reshape(patches, {1, kHeight * kColumns, kWidth}));
  return finished(b);
}

Graph end_encoder() {
  Builder b("encoder");
  const ValueId video = b.input("video", DType::kF32, {1, 1, kHeight * 4, kColumns * 4, 3});
  const auto scope = b.scope("encoder");
  const ValueId x = b.conv(video, b.weight("kernel", {6, 1, 4, 4, 3}), strided({1, 4, 4}, {}));
  const auto parts = b.split(x, 4, 3, 2);
  b.output("mean", parts[0]);
  b.output("deviation", b.exp(b.tanh(parts[1])));
  return finished(b);
}

Graph network(bool ended) {
  Builder b(ended ? "net_ended" : "net");
  const std::vector<Dim> grid{kBatch, kFrames, kHeight, kColumns, 3};
  const ValueId video = b.input("video", DType::kF32, grid);
  const ValueId sound = b.input("sound", DType::kF32, {kBatch, kSounds, 2});
  const ValueId time = b.input("time", DType::kF32, {kBatch}, Rate::kTimestep);
  const ValueId sound_time = b.input("sound_time", DType::kF32, {kBatch}, Rate::kTimestep);
  const ValueId text = b.input("text", DType::kF32, {kBatch, kText, kWidth}, Rate::kClip);
  const ValueId lengths = b.input("text_lengths", DType::kI32, {kBatch}, Rate::kClip);
  ValueId ends = kNone, times = kNone, seen = kNone;
  if (ended) {
    ends = b.input("ends", DType::kF32, {kBatch, kPictures, kHeight, kColumns, 3}, Rate::kClip);
    times = b.input("end_times", DType::kF32, {kBatch, kPictures}, Rate::kClip);
    seen = b.input("text_seen", DType::kF32, {kBatch, kText}, Rate::kClip);
  }
  const auto scope = b.scope("net");
  const Dim places = kFrames * kHeight * kColumns, length = places + kSounds;
  const Dim more = kPictures * kHeight * kColumns;
  const ValueId told =
      modulate(b, b.linear("video_in", b.reshape(video, {kBatch, places, 3}), 3, kWidth),
               embed_time(b, time));
  const ValueId heard =
      modulate(b, b.linear("sound_in", sound, 2, kWidth), embed_time(b, sound_time, "sound_time"));
  ValueId x = b.concat({told, heard}, 1);
  ValueId context = text;
  if (ended) {
    const ValueId cells = b.linear("video_in", b.reshape(ends, {kBatch, more, 3}), 3, kWidth);
    const ValueId when =
        b.reshape(b.repeat(b.sin(times), 1, kHeight * kColumns), {kBatch, more, 1});
    x = b.concat({x, b.add(cells, when)}, 1);
    const ValueId marks = b.reshape(seen, {kBatch, kText, 1});
    context = b.add(text, b.mul(marks, b.weight("seen", {kWidth})));
  }
  const Dim all = ended ? length + more : length;
  const auto [cos, sin] = rope_tables(b, all);
  x = attend(b, "self", x, all, x, all, kNone, cos, sin);
  x = feed_forward(b, attend(b, "cross", x, all, context, kText, lengths));
  const ValueId pixels = b.linear("video_out", b.slice(x, 1, 0, places), kWidth, 3);
  b.output("video_velocity", b.reshape(pixels, grid));
  b.output("sound_velocity", b.linear("sound_out", b.slice(x, 1, places, length), kWidth, 2));
  return finished(b);
}

// Three latents are a period of two, which are 1 + 2 frames, and the first of the next.
Graph piece_decoder() {
  Builder b("decoder");
  const ValueId z = b.input("latents", DType::kF32, {kBatch, 3, kHeight, kColumns, 3});
  const auto scope = b.scope("decoder");
  ValueId x = b.conv(z, b.weight("in", {kWidth, 1, 3, 3, 3}), strided({}, {0, 1, 1}));
  x = b.repeat(b.repeat(b.repeat(b.silu(x), 1, 2), 2, 4), 3, 4);
  x = b.concat({b.slice(x, 1, 0, 1), b.slice(x, 1, 2, 5)}, 1);
  b.output("video", b.tanh(b.linear("out", x, kWidth, 3)));
  return finished(b);
}

Graph sound_decoder() {
  Builder b("vocoder");
  const ValueId z = b.input("latents", DType::kF32, {kBatch, kSounds, 2});
  const auto scope = b.scope("vocoder");
  const ValueId wide = b.linear("out", b.silu(b.linear("in", z, 2, kWidth)), kWidth, 800);
  b.output("audio", b.tanh(b.reshape(wide, {kBatch, kSounds * 400, 2})));
  return finished(b);
}

EncodeText read_with_pictures() {
  EncodeText s{"text_encoder", "ids", "lengths", "text", "text", "text_lengths"};
  s.tokenizer = EncodeText::Tokenizer::kByteBpe;
  s.max_ids = 24;
  EncodeText::Seen seen;
  seen.component = "vision";
  seen.input = "pixels";
  seen.output = seen.features = "features";
  seen.text = "text_seeing";
  seen.reads = "reads";
  seen.positions = "positions";
  seen.label = "Picture {n}: ";
  seen.begin = kBegin;
  seen.place = kPlace;
  seen.end = kEnd;
  seen.pixels = kSquare;
  seen.most_pixels = 1024;
  seen.gives = "text_seen";
  s.seen = std::move(seen);
  return s;
}

Denoise denoise() {
  Denoise s;
  s.component = "net";
  s.time = "time";
  s.streams = {{"video", "video", "video_velocity"}, {"sound", "sound", "sound_velocity"}};
  s.streams[1].schedule = {.time = "sound_time", .shift = 2};
  s.conditions = {{"text", "text"}, {"text_lengths", "text_lengths"}};
  s.sampler = FlowSampler();
  s.steps = 2;
  s.ended = {"net_ended",
             {{"ends", "ends"}, {"end_times", "end_times"}, {"text_seen", "text_seen"}}};
  return s;
}

}  // namespace

TinyModel tiny_ended() {
  Recipe r;
  r.clip = {4, 8000, 2, {8, 64, 8, 16}, {8, 64, 8, 16}, {4, 61, 3, 7, 1}};
  r.latents = {{"video", Modality::kVideo, 3, {0, 0.1f, -0.1f}, {1, 2, 0.5f}, 4, 1, 2, 1},
               {"sound", Modality::kSound, 2, {0, 0}, {1, 1}, 1, 1, 1, 400}};
  r.latents[0].period = 2;
  r.latents[1].nearest = true;
  EndPictures ends{"video", "encoder", "video", "mean", "deviation", "ends", "end_times"};
  ends.seed = 42;
  ends.noise = 0.1;
  DecodeVideo decode{{"video", "decoder", "latents", "video", {3, 1, 0, true}}};
  ends.area = decode.area = {4, 1, 0, true};
  r.stages = {read_with_pictures(), ends, denoise(),
              DecodeSound{{"sound", "vocoder", "latents", "audio", {}}}, decode};
  TinyModel model = whole("tiny ended",
                          {words(false), words(true), sight(), end_encoder(), network(false),
                           network(true), piece_decoder(), sound_decoder()},
                          std::move(r));
  model.info.tokenizers = {{"", "byte_bpe", byte_pairs()}};
  return model;
}

}  // namespace zoetrope
