#include "runtime/media/riff_webp.h"

#include <cstring>

namespace zoetrope {
namespace {

using Bytes = std::span<const uint8_t>;

uint32_t le(Bytes b, size_t at, size_t count) {
  uint32_t value = 0;
  for (size_t i = 0; i < count; ++i) value |= static_cast<uint32_t>(b[at + i]) << (8 * i);
  return value;
}

void put(std::vector<uint8_t>* out, std::string_view text) {
  out->insert(out->end(), text.begin(), text.end());
}

void put_le(std::vector<uint8_t>* out, uint64_t value, int count) {
  for (int i = 0; i < count; ++i) out->push_back(static_cast<uint8_t>(value >> (8 * i)));
}

void put_chunk(std::vector<uint8_t>* out, std::string_view name, Bytes data) {
  put(out, name);
  put_le(out, data.size(), 4);
  out->insert(out->end(), data.begin(), data.end());
  if (data.size() % 2 != 0) out->push_back(0);
}

// The chunks of a frame's picture.
struct Picture {
  Bytes alpha, data;
  std::string_view kind;
};

Picture picture_of(Bytes chunks) {
  Picture picture;
  Bytes chunk;
  std::string_view name;
  while (next_riff_chunk(&chunks, &name, &chunk)) {
    if (name == "ALPH") picture.alpha = chunk;
    if (name == "VP8 " || name == "VP8L") picture.data = chunk, picture.kind = name;
  }
  return picture;
}

// Of the data of an ANMF chunk.
Result<AnimationFrame> read_frame(Bytes data) {
  if (data.size() < 16) return error(Code::kDataLoss, "a frame's header is cut off");
  AnimationFrame frame;
  frame.x = 2 * int64_t{le(data, 0, 3)};
  frame.y = 2 * int64_t{le(data, 3, 3)};
  frame.width = 1 + int64_t{le(data, 6, 3)};
  frame.height = 1 + int64_t{le(data, 9, 3)};
  frame.seconds = shown_seconds(le(data, 12, 3) / 1000.0);
  frame.blend = (data[15] & 2) == 0;
  frame.disposal = (data[15] & 1) != 0 ? Disposal::kClear : Disposal::kKeep;
  frame.data = {data.subspan(16)};
  if (picture_of(frame.data[0]).data.empty())
    return error(Code::kDataLoss, "a frame has no picture");
  return frame;
}

std::vector<uint8_t> still_of(const AnimationFrame& frame, Bytes profile) {
  const Picture picture = picture_of(frame.data[0]);
  std::vector<uint8_t> still, body;
  put(&body, "WEBP");
  // VP8L holds its own transparency.
  const bool apart = !picture.alpha.empty() && picture.kind == "VP8 ";
  if (apart || !profile.empty()) {
    constexpr uint8_t kAlpha = 0x10, kProfile = 0x20;
    std::vector<uint8_t> header = {
        static_cast<uint8_t>((apart ? kAlpha : 0) | (profile.empty() ? 0 : kProfile)), 0, 0, 0};
    put_le(&header, static_cast<uint64_t>(frame.width - 1), 3);
    put_le(&header, static_cast<uint64_t>(frame.height - 1), 3);
    put_chunk(&body, "VP8X", header);
    if (!profile.empty()) put_chunk(&body, "ICCP", profile);
    if (apart) put_chunk(&body, "ALPH", picture.alpha);
  }
  put_chunk(&body, picture.kind, picture.data);
  put_chunk(&still, "RIFF", body);
  return still;
}

}  // namespace

bool next_riff_chunk(Bytes* rest, std::string_view* name, Bytes* data) {
  if (rest->size() < 8) return false;
  const uint64_t length = le(*rest, 4, 4);
  if (length > rest->size() - 8) return false;
  *name = {reinterpret_cast<const char*>(rest->data()), 4};
  *data = rest->subspan(8, length);
  *rest = rest->subspan(std::min<uint64_t>(8 + length + length % 2, rest->size()));
  return true;
}

bool is_animated_webp(Bytes file) {
  return file.size() >= 21 && std::memcmp(file.data(), "RIFF", 4) == 0 &&
         std::memcmp(file.data() + 8, "WEBPVP8X", 8) == 0 && (file[20] & 2) != 0;
}

Result<Animation> split_webp(Bytes file) {
  Animation animation;
  if (!is_animated_webp(file)) return error(Code::kDataLoss, "no animated WebP");
  Bytes rest = file.subspan(12), data, profile;
  std::string_view name;
  while (next_riff_chunk(&rest, &name, &data)) {
    if (name == "VP8X" && data.size() >= 10) {
      animation.width = 1 + int64_t{le(data, 4, 3)};
      animation.height = 1 + int64_t{le(data, 7, 3)};
    }
    if (name == "ICCP") profile = data;
    if (name != "ANMF") continue;
    ZT_ASSIGN_OR_RETURN(AnimationFrame frame, read_frame(data));
    if (frame.x + frame.width > animation.width || frame.y + frame.height > animation.height)
      return error(Code::kDataLoss, "a frame of ", frame.width, "x", frame.height, " at ", frame.x,
                   ",", frame.y, " leaves the picture of ", animation.width, "x", animation.height);
    animation.frames.push_back(std::move(frame));
  }
  if (animation.frames.empty()) return error(Code::kDataLoss, "an animated WebP without a frame");
  animation.still = [=](const AnimationFrame& f) { return still_of(f, profile); };
  return animation;
}

}  // namespace zoetrope
