#include "runtime/media/png_reading.h"

#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>

#include "runtime/media/png.h"

namespace zoetrope {
namespace {

using Bytes = std::span<const uint8_t>;

constexpr size_t kSignature = 8;
constexpr size_t kMaxText = 1 << 20;  // of a compressed text, inflated

uint32_t be(Bytes b, size_t at, size_t count) {
  uint32_t value = 0;
  for (size_t i = 0; i < count; ++i) value = value << 8 | b[at + i];
  return value;
}

Bytes chunks_of(Bytes file) { return file.subspan(std::min(kSignature, file.size())); }

std::vector<uint8_t> signature_of(Bytes file) {
  return {file.begin(), file.begin() + static_cast<std::ptrdiff_t>(kSignature)};
}

// The chunk of this type that stands before the picture's data; empty: there is none.
Bytes early_chunk(Bytes file, std::string_view wanted) {
  Bytes rest = chunks_of(file), data;
  std::string_view type;
  while (next_png_chunk(&rest, &type, &data) && type != "IDAT")
    if (type == wanted) return data;
  return {};
}

// fcTL: number, width, height, x, y, delay, disposal, blending.
AnimationFrame read_control(Bytes d) {
  AnimationFrame frame;
  frame.width = be(d, 4, 4);
  frame.height = be(d, 8, 4);
  frame.x = be(d, 12, 4);
  frame.y = be(d, 16, 4);
  const uint32_t over = be(d, 22, 2);
  frame.seconds = shown_seconds(static_cast<double>(be(d, 20, 2)) / (over == 0 ? 100 : over));
  frame.disposal = d[24] == 1 ? Disposal::kClear : d[24] == 2 ? Disposal::kRevert : Disposal::kKeep;
  frame.blend = d[25] == 1;
  return frame;
}

// What a frame's pixels mean by; nothing else goes along with each of them.
bool is_of_every_frame(std::string_view type) {
  constexpr std::string_view kTypes[] = {"PLTE", "tRNS", "iCCP", "cICP", "gAMA", "cHRM", "sRGB"};
  return std::find(std::begin(kTypes), std::end(kTypes), type) != std::end(kTypes);
}

struct Chunk {
  std::string_view type;
  Bytes data;
};

std::vector<uint8_t> still_of(const AnimationFrame& frame, Bytes file, Bytes header,
                              const std::vector<Chunk>& shared) {
  std::vector<uint8_t> still = signature_of(file), own(header.begin(), header.end()), data;
  for (size_t i = 0; i < 4; ++i) {
    own[i] = static_cast<uint8_t>(frame.width >> (24 - 8 * i));
    own[4 + i] = static_cast<uint8_t>(frame.height >> (24 - 8 * i));
  }
  put_png_chunk(&still, "IHDR", own);
  for (const Chunk& chunk : shared) put_png_chunk(&still, chunk.type, chunk.data);
  for (const Bytes part : frame.data) data.insert(data.end(), part.begin(), part.end());
  put_png_chunk(&still, "IDAT", data);
  put_png_chunk(&still, "IEND", {});
  return still;
}

std::string inflate_text(Bytes data) {
  std::string text(std::min(kMaxText, data.size() * 1032 + 64), '\0');  // deflate's best ratio
  uLongf size = text.size();
  if (uncompress(reinterpret_cast<Bytef*>(text.data()), &size, data.data(), data.size()) != Z_OK)
    return "";
  text.resize(size);
  return text;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

}  // namespace

bool is_animated_png(Bytes file) {
  return file.size() > kSignature && file[0] == 0x89 && !early_chunk(file, "acTL").empty();
}

Result<Animation> split_apng(Bytes file) {
  Animation animation;
  Bytes header;
  std::vector<Chunk> shared;
  AnimationFrame frame;
  bool begun = false;
  const auto end_frame = [&]() {
    if (!begun || frame.data.empty()) return;
    animation.frames.push_back(std::move(frame));
    begun = false;
  };
  Bytes rest = chunks_of(file), d;
  std::string_view type;
  bool in_data = false;
  while (next_png_chunk(&rest, &type, &d)) {
    in_data = in_data || type == "IDAT";
    if (type == "IHDR") {
      if (d.size() < 13) return error(Code::kDataLoss, "a header of ", d.size(), " bytes");
      header = d;
      animation.width = be(d, 0, 4);
      animation.height = be(d, 4, 4);
    } else if (header.empty()) {
      return error(Code::kDataLoss, "its header is missing");
    } else if (type == "fcTL") {
      end_frame();
      if (d.size() < 26) return error(Code::kDataLoss, "a frame's header is cut off");
      frame = read_control(d);
      if (frame.width < 1 || frame.height < 1 || frame.x + frame.width > animation.width ||
          frame.y + frame.height > animation.height)
        return error(Code::kDataLoss, "a frame of ", frame.width, "x", frame.height, " at ",
                     frame.x, ",", frame.y, " leaves the picture of ", animation.width, "x",
                     animation.height);
      begun = true;
    } else if (type == "IDAT") {
      if (begun && !d.empty()) frame.data.push_back(d);
    } else if (type == "fdAT") {
      if (begun && d.size() > 4) frame.data.push_back(d.subspan(4));
    } else if (!in_data && is_of_every_frame(type)) {
      shared.push_back({type, d});
    }
  }
  end_frame();
  if (animation.frames.empty()) return error(Code::kDataLoss, "an animated PNG without a frame");
  // What was there before the first frame is nothing.
  if (animation.frames[0].disposal == Disposal::kRevert)
    animation.frames[0].disposal = Disposal::kClear;
  animation.still = [=, shared = std::move(shared)](const AnimationFrame& f) {
    return still_of(f, file, header, shared);
  };
  return animation;
}

std::optional<std::vector<uint8_t>> gray_as_palette(Bytes file) {
  const Bytes header = early_chunk(file, "IHDR"), level = early_chunk(file, "tRNS");
  if (header.size() < 13 || header[9] != 0 || header[8] >= 8 || level.size() < 2)
    return std::nullopt;
  const unsigned levels = 1u << header[8], transparent = be(level, 0, 2);
  std::vector<uint8_t> colours, alphas;
  for (unsigned i = 0; i < levels; ++i) {
    colours.insert(colours.end(), 3, static_cast<uint8_t>(i * 255 / (levels - 1)));
    alphas.push_back(i == transparent ? 0 : 255);
  }
  std::vector<uint8_t> indexed(header.begin(), header.end()), out = signature_of(file);
  indexed[9] = 3;
  Bytes rest = chunks_of(file), data;
  std::string_view type;
  while (next_png_chunk(&rest, &type, &data)) {
    if (type == "tRNS" || type == "PLTE") continue;
    put_png_chunk(&out, type, type == "IHDR" ? Bytes(indexed) : data);
    if (type != "IHDR") continue;
    put_png_chunk(&out, "PLTE", colours);
    put_png_chunk(&out, "tRNS", alphas);
  }
  return out;
}

std::optional<CodePoints> png_code_points(Bytes file) {
  const Bytes data = early_chunk(file, "cICP");
  if (data.size() < 4 || data[2] != 0) return std::nullopt;  // PNG is RGB
  return CodePoints{data[0], data[1]};
}

std::optional<PngColours> png_colours(Bytes file) {
  constexpr double kUnit = 100000, kLeast = 0.1, kMost = 10;
  const Bytes gamma = early_chunk(file, "gAMA"), places = early_chunk(file, "cHRM");
  if (gamma.size() < 4 || !early_chunk(file, "sRGB").empty() || !early_chunk(file, "iCCP").empty())
    return std::nullopt;
  PngColours colours;
  colours.gamma = be(gamma, 0, 4) / kUnit;
  if (colours.gamma < kLeast || colours.gamma > kMost) return std::nullopt;  // no display's
  if (places.size() >= 32)
    for (size_t i = 0; i < 8; ++i) colours.chromaticities[i] = be(places, 4 * i, 4) / kUnit;
  return colours;
}

std::vector<uint8_t> png_text_exif(Bytes file) {
  Bytes rest = chunks_of(file), data;
  std::string_view type;
  while (next_png_chunk(&rest, &type, &data)) {
    if (type != "tEXt" && type != "zTXt") continue;
    const std::string_view all(reinterpret_cast<const char*>(data.data()), data.size());
    const size_t end = all.find('\0');
    const std::string_view keyword = all.substr(0, end);
    if (end == std::string_view::npos || end + 2 > all.size() ||
        (keyword != "Raw profile type exif" && keyword != "Raw profile type APP1"))
      continue;
    const std::string text =
        type == "tEXt" ? std::string(all.substr(end + 1)) : inflate_text(data.subspan(end + 2));
    // A line with its name, a line with how many bytes there are, and their digits.
    const size_t name = text.find_first_not_of('\n'), count = text.find('\n', name);
    const size_t digits = count == std::string::npos ? count : text.find('\n', count + 1);
    if (digits == std::string::npos) continue;
    std::vector<uint8_t> bytes;
    int high = -1;
    for (const char c : std::string_view(text).substr(digits)) {
      const int digit = hex_digit(c);
      if (digit < 0) continue;
      if (high >= 0) bytes.push_back(static_cast<uint8_t>(high * 16 + digit));
      high = high >= 0 ? -1 : digit;
    }
    constexpr char kExif[] = {'E', 'x', 'i', 'f', 0, 0};
    if (bytes.size() >= 6 && std::memcmp(bytes.data(), kExif, 6) == 0)
      bytes.erase(bytes.begin(), bytes.begin() + 6);
    return bytes;
  }
  return {};
}

}  // namespace zoetrope
