// Kinds of pictures that FFmpeg's decoders leave half read. What is right comes from the formats'
// specifications, and was checked with Pillow.
#include <doctest/doctest.h>

#include <sys/resource.h>

#include <algorithm>
#include <cstdlib>

#include "runtime/media/foreign_media.h"
#include "runtime/media/png.h"
#include "runtime/media/tiff.h"
#include "tests/media/clips.h"

namespace zoetrope {
namespace {

using namespace std::string_literals;
using Bytes = std::vector<uint8_t>;

constexpr size_t kSignature = 8, kBehindHeader = 33;  // of PNG

std::string number(uint64_t value, int bytes, bool big = true) {
  std::string text;
  for (int i = 0; i < bytes; ++i)
    text += static_cast<char>(value >> (8 * (big ? bytes - 1 - i : i)));
  return text;
}

Bytes bytes_of(const std::string& text) { return {text.begin(), text.end()}; }

void write_text(const std::string& path, const std::string& text) {
  write_bytes(path, bytes_of(text));
}

// The colour of one pixel of a picture that is `width` wide.
std::vector<int> pixel(const Media& media, int64_t width, int64_t x, int64_t y) {
  const auto at = media.pixels.begin() + (y * width + x) * 3;
  return {at, at + 3};
}

using Colour = std::vector<int>;

void insert_chunk(const std::string& path, const std::string& type, const std::string& data) {
  Bytes file = file_bytes(path), chunk;
  put_png_chunk(&chunk, type, bytes_of(data));
  file.insert(file.begin() + kBehindHeader, chunk.begin(), chunk.end());
  write_bytes(path, file);
}

// The compressed rows of a PNG of one colour.
Bytes rows_of(const std::string& colour, int width, int height) {
  const TemporaryFolder folder;
  ffmpeg(str("-f lavfi -i color=", colour, ":s=", width, "x", height, ",format=rgb24 -frames:v 1 ",
             folder / "a.png"));
  const Bytes file = file_bytes(folder / "a.png");
  std::span<const uint8_t> rest = std::span(file).subspan(kSignature), data;
  std::string_view type;
  Bytes rows;
  while (next_png_chunk(&rest, &type, &data))
    if (type == "IDAT") rows.insert(rows.end(), data.begin(), data.end());
  return rows;
}

struct ApngFrame {
  const char* colour;
  int x, y, side, disposal;
};

// Frames on a canvas of 8x8 behind a default image, white, that is none of them.
// `shared`: whole chunks before the data.
Bytes make_apng(const std::vector<ApngFrame>& frames, const Bytes& shared = {},
                const std::string& header = "\10\2\0\0\0"s, const Bytes& rows_of_all = {}) {
  Bytes out = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
  const auto put = [&](const char* type, const std::string& data) {
    put_png_chunk(&out, type, bytes_of(data));
  };
  put("IHDR", number(8, 4) + number(8, 4) + header);
  put("acTL", number(frames.size(), 4) + number(0, 4));
  out.insert(out.end(), shared.begin(), shared.end());
  put_png_chunk(&out, "IDAT", rows_of("white", 8, 8));
  uint32_t sequence = 0;
  for (const ApngFrame& f : frames) {
    put("fcTL", number(sequence++, 4) + number(f.side, 4) + number(f.side, 4) + number(f.x, 4) +
                    number(f.y, 4) + number(1, 2) + number(10, 2) + static_cast<char>(f.disposal) +
                    '\0');
    const Bytes rows = rows_of_all.empty() ? rows_of(f.colour, f.side, f.side) : rows_of_all;
    put("fdAT", number(sequence++, 4) + std::string(rows.begin(), rows.end()));
  }
  put("IEND", "");
  return out;
}

TEST_CASE("APNG: frames come and go as they say, and the default image is no frame") {
  const TemporaryFolder folder;
  constexpr int kKeep = 0, kClear = 1, kRevert = 2;
  write_bytes(folder / "a.png", make_apng({{"red", 0, 0, 8, kKeep},
                                           {"blue", 2, 2, 4, kRevert},
                                           {"lime", 0, 0, 2, kClear},
                                           {"blue", 6, 6, 2, kKeep}}));
  const Media media = read_frames(folder / "a.png", 8, 8, 100);
  REQUIRE(media.frames == 4);
  const Colour red{255, 0, 0}, blue{0, 0, 255}, green{0, 255, 0}, white{255, 255, 255};
  CHECK(pixel(media, 8, 3, 3) == red);
  CHECK(pixel(media, 8, 3, 8 + 3) == blue);
  CHECK(pixel(media, 8, 0, 8 + 0) == red);
  CHECK(pixel(media, 8, 3, 16 + 3) == red);  // reverted
  CHECK(pixel(media, 8, 0, 16 + 0) == green);
  CHECK(pixel(media, 8, 0, 24 + 0) == white);  // cleared: the background shows
  CHECK(pixel(media, 8, 7, 24 + 7) == blue);
  write_bytes(folder / "b.png", make_apng({{"red", 5, 5, 8, kKeep}}));
  ReadRequest request;
  request.width = request.height = 8;
  request.max_frames = 1;
  CHECK(read_media(folder / "b.png", request).status().code() == Code::kDataLoss);
}

Bytes chunk_of(const char* type, const std::string& data) {
  Bytes chunk;
  put_png_chunk(&chunk, type, bytes_of(data));
  return chunk;
}

TEST_CASE("APNG: what stands before the frames is held once, however many there are") {
  const TemporaryFolder folder;
  constexpr int64_t kText = 4 << 20, kFrames = 400;  // 1.6 GB, were each frame to have it
  const std::vector<ApngFrame> frames(kFrames, {"red", 0, 0, 8, 0});
  write_bytes(folder / "a.png",
              make_apng(frames, chunk_of("tEXt", std::string(static_cast<size_t>(kText), 'a')),
                        "\10\2\0\0\0"s, rows_of("red", 8, 8)));
  const auto peak = [] {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return static_cast<int64_t>(usage.ru_maxrss) * 1024;
  };
  const int64_t before = peak();
  CHECK(read_frames(folder / "a.png", 8, 8, 1000).frames == kFrames);
  CHECK(peak() - before < kText * kFrames / 8);
}

TEST_CASE("APNG: gray of one bit with a transparent level, and code points, as in a still") {
  const TemporaryFolder folder;
  const std::vector<ApngFrame> frame{{"", 0, 0, 8, 0}};
  // Rows of zeros, a stored block of deflate: a filter's byte and 8 pixels each.
  const Bytes rows = bytes_of("\x78\1\1\20\0\xef\xff"s + std::string(16, '\0') + "\0\20\0\1"s);
  write_bytes(folder / "a.png",
              make_apng(frame, chunk_of("tRNS", number(0, 2)), "\1\0\0\0\0"s, rows));
  CHECK(pixel(read_frames(folder / "a.png", 8, 8), 8, 3, 3) == Colour{255, 255, 255});
  // sRGB's red in Display P3 (CSS Color 4, section 10.3).
  write_bytes(folder / "b.png", make_apng(frame, chunk_of("cICP", "\14\15\0\1"s), "\10\2\0\0\0"s,
                                          rows_of("0xEA3323", 8, 8)));
  const Colour red = pixel(read_frames(folder / "b.png", 8, 8), 8, 3, 3);
  CHECK(red[0] >= 253);
  CHECK(red[1] <= 12);
  CHECK(red[2] <= 12);
}

TEST_CASE("PNG: a transparent level of gray in one bit") {
  const TemporaryFolder folder;
  ffmpeg("-f lavfi -i color=black:s=16x16 -frames:v 1 -pix_fmt monob " + (folder / "a.png"));
  CHECK(pixel(read_frames(folder / "a.png", 16, 16), 16, 3, 3) == Colour{0, 0, 0});
  insert_chunk(folder / "a.png", "tRNS", number(0, 2));
  CHECK(pixel(read_frames(folder / "a.png", 16, 16), 16, 3, 3) == Colour{255, 255, 255});
}

TEST_CASE("PNG: code points of colours, and EXIF as text") {
  const TemporaryFolder folder;
  // sRGB's red in Display P3 (CSS Color 4, section 10.3).
  ffmpeg("-f lavfi -i color=0xEA3323:s=16x16,format=rgb24 -frames:v 1 " + (folder / "a.png"));
  insert_chunk(folder / "a.png", "cICP", "\14\15\0\1"s);
  const Colour red = pixel(read_frames(folder / "a.png", 16, 16), 16, 3, 3);
  CHECK(red[0] >= 253);
  CHECK(red[1] <= 12);
  CHECK(red[2] <= 12);
  ffmpeg("-f lavfi -i color=red:s=8x16,format=rgb24 -vf pad=16:16:0:0:blue -frames:v 1 " +
         (folder / "b.png"));
  const std::string exif = "MM\0*\0\0\0\10\0\1\1\22\0\3\0\0\0\1\0\6\0\0\0\0\0\0"s;
  std::string hex;
  for (const char c : exif) {
    constexpr char kDigits[] = "0123456789abcdef";
    hex += kDigits[static_cast<uint8_t>(c) >> 4];
    hex += kDigits[c & 15];
  }
  insert_chunk(folder / "b.png", "tEXt", "Raw profile type exif\0\nexif\n      26\n"s + hex + "\n");
  const Media turned = read_frames(folder / "b.png", 16, 16);
  CHECK(pixel(turned, 16, 3, 3)[0] > 250);  // the left half, red, is on top
  CHECK(pixel(turned, 16, 12, 3)[0] > 250);
  CHECK(pixel(turned, 16, 3, 12)[2] > 250);
}

TEST_CASE("PNG: gamma and primaries, which sRGB outweighs") {
  const TemporaryFolder folder;
  const std::string path = folder / "a.png";
  const auto gray = [&] {
    ffmpeg("-f lavfi -i color=gray:s=16x16,format=rgb24 -frames:v 1 " + path);
  };
  gray();
  insert_chunk(path, "gAMA", number(45455, 4));
  CHECK(pixel(read_frames(path, 16, 16), 16, 3, 3) == Colour{128, 128, 128});
  gray();
  insert_chunk(path, "gAMA", number(100000, 4));
  // IEC 61966-2-1: 255 (1.055 (128 / 255)^(1 / 2.4) - 0.055).
  CHECK(pixel(read_frames(path, 16, 16), 16, 3, 3) == Colour{188, 188, 188});
  insert_chunk(path, "sRGB", number(0, 1));
  CHECK(pixel(read_frames(path, 16, 16), 16, 3, 3) == Colour{128, 128, 128});
  // sRGB's red in Display P3 (CSS Color 4, section 10.3).
  ffmpeg("-f lavfi -i color=0xEA3323:s=16x16,format=rgb24 -frames:v 1 " + path);
  std::string places;
  for (const int at : {31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000})
    places += number(static_cast<uint64_t>(at), 4);
  insert_chunk(path, "cHRM", places);
  insert_chunk(path, "gAMA", number(45455, 4));
  const Colour red = pixel(read_frames(path, 16, 16), 16, 3, 3);
  CHECK(red[0] >= 253);
  CHECK(red[1] <= 12);
  CHECK(red[2] <= 12);
}

struct TiffEntry {
  int tag, type;
  std::vector<uint32_t> values;
};

// 8x8 pixels, little-endian, not packed, the samples of one pixel repeated.
Bytes make_tiff(const std::string& pixel, const std::vector<TiffEntry>& more, int compression = 1,
                int colours = 2) {
  constexpr int kShort = 3, kLong = 4;
  std::string data;
  for (int i = 0; i < 64; ++i) data += pixel;
  const auto samples = static_cast<uint32_t>(pixel.size());
  std::vector<TiffEntry> entries = {{256, kShort, {8}},
                                    {257, kShort, {8}},
                                    {258, kShort, std::vector<uint32_t>(samples, 8)},
                                    {259, kShort, {static_cast<uint32_t>(compression)}},
                                    {262, kShort, {static_cast<uint32_t>(colours)}},
                                    {273, kLong, {8}},
                                    {277, kShort, {samples}},
                                    {278, kShort, {8}},
                                    {279, kLong, {static_cast<uint32_t>(data.size())}}};
  entries.insert(entries.end(), more.begin(), more.end());
  std::sort(entries.begin(), entries.end(),
            [](const TiffEntry& a, const TiffEntry& b) { return a.tag < b.tag; });
  const size_t begin = 8 + data.size();
  std::string directory = number(entries.size(), 2, false), beyond;
  const size_t end = begin + 2 + 12 * entries.size() + 4;
  for (const TiffEntry& e : entries) {
    const int size = e.type == kShort ? 2 : 4;
    std::string values;
    for (const uint32_t v : e.values) values += number(v, size, false);
    const size_t count = e.type == 5 ? e.values.size() / 2 : e.values.size();
    directory += number(e.tag, 2, false) + number(e.type, 2, false) + number(count, 4, false);
    if (values.size() > 4) {
      directory += number(end + beyond.size(), 4, false);
      beyond += values;
    } else {
      directory += values + std::string(4 - values.size(), '\0');
    }
  }
  return bytes_of("II*\0"s + number(begin, 4, false) + data + directory + number(0, 4) + beyond);
}

TEST_CASE("QOI shows its colours as they are, whatever its header calls them") {
  const TemporaryFolder folder;
  for (const char linear : {0, 1}) {
    CAPTURE(linear);
    std::string file = "qoif" + number(8, 4) + number(8, 4) + "\3" + linear;
    for (int i = 0; i < 64; ++i) file += "\xfe\x40\x80\xc0";  // QOI_OP_RGB
    write_bytes(folder / "a.qoi", bytes_of(file + "\0\0\0\0\0\0\0\1"s));
    CHECK(pixel(read_frames(folder / "a.qoi", 8, 8), 8, 3, 3) == Colour{64, 128, 192});
  }
}

TEST_CASE("JPEG 2000: YCbCr has its full range, a profile is heeded, inks are refused") {
  const TemporaryFolder folder;
  const std::string path = folder / "a.jp2";
  ffmpeg("-f lavfi -i testsrc=s=64x48 -frames:v 1 -pix_fmt yuv444p -c:v jpeg2000 -format jp2 " +
         path);
  const Bytes ycc = file_bytes(path);
  const auto expected = ffmpeg("-i " + path +
                               " -vf scale=in_range=full:out_range=full -sws_flags "
                               "bicubic+accurate_rnd+full_chroma_int+full_chroma_inp" +
                               kRgb);
  CHECK(largest_difference(read_frames(path, 64, 48).pixels, expected) <= 2);
  // ISO/IEC 15444-1, annex I.5.3: method 1 and its colour space, or method 2 and a profile.
  const auto with_colours = [&](const std::string& data) {
    Bytes out = ycc;
    const auto find = [&](std::string_view type) {
      return std::search(out.begin(), out.end(), type.begin(), type.end()) - 4;
    };
    const auto colr = find("colr"), header = find("jp2h");
    const auto old = static_cast<size_t>(colr[3]);
    const auto length = static_cast<size_t>(header[3]) + data.size() + 8 - old;
    REQUIRE(header[2] == 0);
    header[2] = static_cast<uint8_t>(length >> 8);
    header[3] = static_cast<uint8_t>(length);
    const std::string box = number(data.size() + 8, 4) + "colr" + data;
    const auto at = colr - out.begin();
    out.erase(colr, colr + static_cast<std::ptrdiff_t>(old));
    out.insert(out.begin() + at, box.begin(), box.end());
    return out;
  };
  write_bytes(path, with_colours("\1\0\0"s + number(12, 4)));  // CMYK
  ReadRequest request;
  request.max_frames = 1;
  const auto inks = read_media(path, request);
  CHECK(inks.status().code() == Code::kUnsupported);
  CHECK(inks.status().message().find("CMYK") != std::string::npos);
  write_bytes(path, with_colours("\2\0\0nonsense"s));
  CHECK(says(read_frames(path, 64, 48), "profile"));
}

TEST_CASE(
    "a number of a TIFF file is replaced in as many bytes as its type has, in the file's order") {
  // TIFF 6.0, section 2: BYTE, SHORT and LONG stand at the left of an entry's four bytes.
  const auto entry = [](bool big, int type, const std::string& value) {
    const std::string head = big ? "MM\0*"s : "II*\0"s;
    return bytes_of(head + number(8, 4, big) + number(1, 2, big) + number(262, 2, big) +
                    number(static_cast<uint64_t>(type), 2, big) + number(1, 4, big) + value +
                    number(0, 4, big));
  };
  constexpr int kByte = 1, kShort = 3, kLong = 4;
  const auto replaced = [&](const Bytes& file) {
    CHECK(tiff_value(file, 262) == 5);
    return tiff_with(file, 262, 2);
  };
  for (const bool big : {false, true}) {
    CAPTURE(big);
    CHECK(replaced(entry(big, kByte, "\5\7\7\7"s)) == entry(big, kByte, "\2\7\7\7"s));
    CHECK(replaced(entry(big, kShort, number(5, 2, big) + "\7\7"s)) ==
          entry(big, kShort, number(2, 2, big) + "\7\7"s));
    CHECK(replaced(entry(big, kLong, number(5, 4, big))) == entry(big, kLong, number(2, 4, big)));
  }
}

TEST_CASE("TIFF: what the fourth sample means, and the range of YCbCr") {
  const TemporaryFolder folder;
  constexpr int kShort = 3, kRational = 5;
  const auto shown = [&](const Bytes& file) {
    write_bytes(folder / "a.tif", file);
    return pixel(read_frames(folder / "a.tif", 8, 8), 8, 3, 3);
  };
  const auto near = [](const Colour& a, const Colour& b) {
    return std::abs(a[0] - b[0]) <= 2 && std::abs(a[1] - b[1]) <= 2 && std::abs(a[2] - b[2]) <= 2;
  };
  // Half transparent red: over white, 255 in red and 127 elsewhere, however it is stored.
  CHECK(near(shown(make_tiff("\xff\0\0\x80"s, {{338, kShort, {2}}})), {255, 127, 127}));
  CHECK(near(shown(make_tiff("\x80\0\0\x80"s, {{338, kShort, {1}}})), {255, 127, 127}));
  CHECK(near(shown(make_tiff("\xff\0\0\x80"s, {{338, kShort, {0}}})), {255, 0, 0}));
  // Gray: full range unless ReferenceBlackWhite says otherwise.
  const TiffEntry whole{530, kShort, {1, 1}};
  const TiffEntry narrow{532, kRational, {16, 1, 235, 1, 128, 1, 240, 1, 128, 1, 240, 1}};
  CHECK(near(shown(make_tiff("\x10\x80\x80"s, {whole}, 1, 6)), {16, 16, 16}));
  CHECK(near(shown(make_tiff("\x10\x80\x80"s, {whole, narrow}, 1, 6)), {0, 0, 0}));
}

TEST_CASE("TIFF that FFmpeg would show wrongly is refused, not called damaged") {
  const TemporaryFolder folder;
  ReadRequest request;
  request.width = request.height = 8;
  request.max_frames = 1;
  constexpr int kLong = 4;
  for (const auto& [file, word] : {std::pair{make_tiff("\1\2\3"s, {}, 50000), "method 50000"},
                                   {make_tiff("\1\2\3"s, {}, 7), "JPEG inside"},
                                   {make_tiff("\1\2\3"s, {{254, kLong, {1}}}), "raw"}}) {
    CAPTURE(word);
    write_bytes(folder / "a.tif", file);
    const auto media = read_media(folder / "a.tif", request);
    CHECK(media.status().code() == Code::kUnsupported);
    CHECK(media.status().message().find(word) != std::string::npos);
  }
}

TEST_CASE("TGA of gray with alpha, EXR with alpha, PNM as text") {
  const TemporaryFolder folder;
  std::string tga("\0\0\3\0\0\0\0\0\0\0\0\0\10\0\10\0\20\10"s);
  for (int i = 0; i < 64; ++i) tga += "\x64\x80"s;
  write_text(folder / "a.tga", tga);
  const int gray = pixel(read_frames(folder / "a.tga", 8, 8), 8, 3, 3)[1];
  CHECK(std::abs(gray - 177) <= 1);  // 100 over white, by halves
  std::string planes;
  for (const float value : {0.25f, 0.25f, 0.25f, 0.5f})
    for (int i = 0; i < 64; ++i) planes.append(reinterpret_cast<const char*>(&value), 4);
  write_text(folder / "a.raw", planes);
  ffmpeg("-f rawvideo -pix_fmt gbrapf32le -s 8x8 -i " + (folder / "a.raw") + " " +
         (folder / "a.exr"));
  // Light of 0.5 is sRGB's 188; over white, by halves, 221.
  const int exr = pixel(read_frames(folder / "a.exr", 8, 8), 8, 3, 3)[1];
  CHECK(std::abs(exr - 221) <= 2);
  write_text(folder / "a.ppm", "P3\n# a comment\n2 1\n255\n255 0 0  0 0 255\n");
  const Media ppm = read_frames(folder / "a.ppm", 2, 1);
  CHECK(pixel(ppm, 2, 0, 0) == Colour{255, 0, 0});
  CHECK(pixel(ppm, 2, 1, 0) == Colour{0, 0, 255});
}

TEST_CASE("what is no picture, clip or sound is called what it is") {
  const TemporaryFolder folder;
  const std::pair<std::string, const char*> files[] = {
      {"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n", "Git LFS"},
      {"\n <!DOCTYPE HTML><html></html>", "web page"},
      {"<?xml version=\"1.0\"?>\n<svg xmlns='x'></svg>", "SVG"},
      {"%PDF-1.7\n", "PDF"},
      {"PK\3\4aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "ZIP"},
      {"II+\0\10\0\0\0aaaaaaaaaaaaa"s, "BigTIFF"},
      {"#EXTM3U\nclip.ts\n", "playlist"},
      {"MThd\0\0\0\6\0\1\0\1\0\x60"s, "MIDI"}};
  for (const auto& [text, word] : files) {
    CAPTURE(word);
    write_text(folder / "a.png", text);
    ReadRequest request;
    request.width = request.height = 16;
    request.max_frames = 1;
    const auto media = read_media(folder / "a.png", request);
    CHECK(media.status().code() == Code::kUnsupported);
    CHECK(media.status().message().find(word) != std::string::npos);
  }
  ffmpeg("-f lavfi -i testsrc=s=64x48:d=1 -c:v libx264 " + (folder / "a.mp4"));
  CHECK(name_foreign_media(folder / "a.mp4").empty());
  Bytes mp4 = file_bytes(folder / "a.mp4");
  mp4.resize(mp4.size() / 2);  // ffmpeg writes the index last
  write_bytes(folder / "a.mp4", mp4);
  ReadRequest request;
  request.width = request.height = 16;
  request.max_frames = 1;
  const auto cut = read_media(folder / "a.mp4", request);
  CHECK(cut.status().code() == Code::kDataLoss);
  CHECK(cut.status().message().find("moov") != std::string::npos);
}

}  // namespace
}  // namespace zoetrope
