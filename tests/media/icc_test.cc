// Colour profiles inside pictures: what Pillow makes of the same colours, or a formula.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdio>

#include "tests/media/clips.h"

namespace zoetrope {
namespace {

using namespace std::string_literals;

std::string be(int64_t value, int bytes) {
  std::string text;
  for (int i = bytes - 1; i >= 0; --i) text += static_cast<char>(value >> (8 * i));
  return text;
}
std::string fixed(double value) { return be(std::lround(value * 65536), 4); }

struct Space {
  const char* name;
  double r[3], g[3], b[3];  // XYZ under D50
  std::string curve;
};

using Tags = std::vector<std::pair<std::string, std::string>>;

std::string profile_of(const std::string& space, const std::string& between, const Tags& tags) {
  const auto count = static_cast<int64_t>(tags.size());
  std::string table = be(count, 4), body;
  for (const auto& [name, data] : tags) {
    table += name + be(128 + 4 + count * 12 + static_cast<int64_t>(body.size()), 4) +
             be(static_cast<int64_t>(data.size()), 4);
    body += data;
    body.resize((body.size() + 3) / 4 * 4, '\0');
  }
  std::string head = be(static_cast<int64_t>(128 + table.size() + body.size()), 4) + be(0, 4) +
                     be(0x02400000, 4) + "mntr" + space + between + std::string(12, '\0') + "acsp";
  head.resize(128, '\0');
  return head + table + body;
}

std::string profile(const Space& s) {
  const auto xyz = [](const double* v) {
    return "XYZ \0\0\0\0"s + fixed(v[0]) + fixed(v[1]) + fixed(v[2]);
  };
  return profile_of("RGB ", "XYZ ",
                    {{"rXYZ", xyz(s.r)},
                     {"gXYZ", xyz(s.g)},
                     {"bXYZ", xyz(s.b)},
                     {"rTRC", s.curve},
                     {"gTRC", s.curve},
                     {"bTRC", s.curve}});
}

const std::string kSrgbCurve = "para\0\0\0\0\0\3\0\0"s + fixed(2.4) + fixed(1 / 1.055) +
                               fixed(0.055 / 1.055) + fixed(1 / 12.92) + fixed(0.04045);
const std::string kGamma22 = "curv\0\0\0\0\0\0\0\1\2\63\0\0"s;  // 563 / 256
const Space kDisplayP3{"Display P3",
                       {0.51512, 0.24120, -0.00105},
                       {0.29198, 0.69225, 0.04189},
                       {0.15710, 0.06657, 0.78407},
                       kSrgbCurve};
const Space kAdobeRgb{"Adobe RGB",
                      {0.60974, 0.31111, 0.01947},
                      {0.20528, 0.62567, 0.06087},
                      {0.14919, 0.06322, 0.74457},
                      kGamma22};
const Space kSrgb{"sRGB",
                  {0.43607, 0.22249, 0.01392},
                  {0.38515, 0.71687, 0.09708},
                  {0.14307, 0.06061, 0.71410},
                  kSrgbCurve};

constexpr uint8_t kColours[6][3] = {{200, 100, 50},  {100, 150, 200}, {60, 180, 90},
                                    {128, 128, 128}, {250, 240, 10},  {255, 0, 0}};
// ImageCms.profileToProfile of Pillow 13 (LittleCMS), relative colorimetric, to sRGB.
constexpr uint8_t kFromP3[6][3] = {{215, 93, 31},   {83, 152, 205}, {0, 183, 78},
                                   {128, 128, 128}, {252, 240, 0},  {255, 0, 0}};
constexpr uint8_t kFromAdobe[6][3] = {{227, 100, 42},  {66, 151, 203}, {0, 181, 83},
                                      {129, 129, 129}, {254, 240, 0},  {255, 0, 0}};

// A chunk of a PNG; decoders that we use do not look at its checksum.
std::string chunk(const std::string& name, const std::string& data) {
  return be(static_cast<int64_t>(data.size()), 4) + name + data + std::string(4, '\0');
}

// zlib's format without compression (RFC 1950, 1951).
std::string stored(const std::string& data) {
  uint32_t a = 1, b = 0;
  for (const char c : data) {
    a = (a + static_cast<unsigned char>(c)) % 65521;
    b = (b + a) % 65521;
  }
  const auto n = static_cast<int64_t>(data.size());
  const std::string size = be(n, 2), rest = be(~n, 2);
  return "\x78\x01\x01"s + size[1] + size[0] + rest[1] + rest[0] + data + be(b, 2) + be(a, 2);
}

// A PNG of one colour with a profile.
Media picture(const std::string& icc, const uint8_t* colour, const char* format = "rgb24") {
  const TemporaryFolder folder;
  char hex[16];
  std::snprintf(hex, sizeof(hex), "0x%02x%02x%02x", colour[0], colour[1], colour[2]);
  ffmpeg(str("-f lavfi -i color=", hex, ":s=64x48,format=gbrp -frames:v 1 -pix_fmt ", format, " ",
             folder / "a.png"));
  auto bytes = file_bytes(folder / "a.png");
  const std::string data = chunk("iCCP", "p\0\0"s + stored(icc));
  bytes.insert(bytes.begin() + 33, data.begin(), data.end());
  write_bytes(folder / "a.png", bytes);
  ReadRequest request;
  request.width = 64;
  request.height = 48;
  request.max_frames = 1;
  auto media = read_media(folder / "a.png", request);
  REQUIRE_MESSAGE(media.ok(), media.status().message());
  return std::move(*media);
}

void check_colour(const Media& media, const uint8_t* expected, int tolerance) {
  for (size_t c = 0; c < 3; ++c) {
    CAPTURE(c);
    CHECK(std::abs(int{media.pixels[c]} - int{expected[c]}) <= tolerance);
  }
}

TEST_CASE("profiles of primaries and curves") {
  for (size_t i = 0; i < 6; ++i) {
    CAPTURE(i);
    check_colour(picture(profile(kDisplayP3), kColours[i]), kFromP3[i], 1);
    check_colour(picture(profile(kAdobeRgb), kColours[i]), kFromAdobe[i], 1);
    const Media same = picture(profile(kSrgb), kColours[i]);
    check_colour(same, kColours[i], 0);
    CHECK(same.notices.empty());
  }
}

// lut16Type (ICC.1:2022, 10.10) with two points a channel and straight curves; corners in the order
// of their bits, red slowest, as Lab in the encoding of version 2.
std::string table(const double (*lab)[3]) {
  std::string text = "mft2\0\0\0\0\3\3\2\0"s;
  for (int i = 0; i < 9; ++i) text += fixed(i % 4 == 0 ? 1 : 0);
  text += be(2, 2) + be(2, 2);
  for (int c = 0; c < 3; ++c) text += be(0, 2) + be(65535, 2);
  for (int i = 0; i < 8; ++i)
    text += be(std::lround(lab[i][0] * 652.8), 2) + be(std::lround((lab[i][1] + 128) * 256), 2) +
            be(std::lround((lab[i][2] + 128) * 256), 2);
  for (int c = 0; c < 3; ++c) text += be(0, 2) + be(65535, 2);
  return text;
}

TEST_CASE("a profile of tables, which shows every corner as its opposite") {
  // sRGB's corners in Lab under D50 (Lindbloom's calculator, Bradford), from white down to black.
  constexpr double kLab[8][3] = {{100, 0, 0},
                                 {97.61, -15.75, 93.39},
                                 {60.32, 98.24, -60.83},
                                 {54.29, 80.81, 69.89},
                                 {90.67, -50.66, -14.96},
                                 {87.82, -79.27, 80.99},
                                 {29.57, 68.30, -112.03},
                                 {0, 0, 0}};
  const std::string icc =
      profile_of("RGB ", "Lab ",
                 {{"A2B0", table(kLab)},
                  {"wtpt", "XYZ \0\0\0\0"s + fixed(0.9642) + fixed(1) + fixed(0.8249)}});
  for (int corner = 0; corner < 8; ++corner) {
    CAPTURE(corner);
    uint8_t colour[3], opposite[3];
    for (int c = 0; c < 3; ++c) {
      colour[c] = corner >> (2 - c) & 1 ? 255 : 0;
      opposite[c] = static_cast<uint8_t>(255 - colour[c]);
    }
    check_colour(picture(icc, colour), opposite, 6);
  }
}

TEST_CASE("a gray profile of straight light") {
  const std::string icc =
      profile_of("GRAY", "XYZ ",
                 {{"kTRC", "curv\0\0\0\0\0\0\0\0"s},
                  {"wtpt", "XYZ \0\0\0\0"s + fixed(0.9642) + fixed(1) + fixed(0.8249)}});
  for (const int code : {0, 10, 55, 128, 200, 255}) {
    CAPTURE(code);
    const double light = code / 255.0;
    const double shown =
        light <= 0.0031308 ? 12.92 * light : 1.055 * std::pow(light, 1 / 2.4) - 0.055;
    const auto level = static_cast<uint8_t>(std::lround(255 * shown));
    const uint8_t colour[] = {static_cast<uint8_t>(code), static_cast<uint8_t>(code),
                              static_cast<uint8_t>(code)};
    const uint8_t expected[] = {level, level, level};
    check_colour(picture(icc, colour, "gray"), expected, 1);
  }
}

TEST_CASE("a phone's JPEG with a profile") {
  const TemporaryFolder folder;
  ffmpeg("-f lavfi -i color=0xC86432:s=64x48 -frames:v 1 -pix_fmt yuvj444p -q:v 1 " +
         (folder / "a.jpg"));
  auto bytes = file_bytes(folder / "a.jpg");
  const std::string body = "ICC_PROFILE\0\1\1"s + profile(kDisplayP3);
  const std::string segment = "\xff\xe2"s + be(static_cast<int64_t>(body.size() + 2), 2) + body;
  bytes.insert(bytes.begin() + 2, segment.begin(), segment.end());
  write_bytes(folder / "a.jpg", bytes);
  ReadRequest request;
  request.width = 64;
  request.height = 48;
  request.max_frames = 1;
  const auto media = read_media(folder / "a.jpg", request);
  REQUIRE(media.ok());
  check_colour(*media, kFromP3[0], 3);
}

TEST_CASE("profiles that cannot be applied are said") {
  std::string cmyk = profile(kAdobeRgb);
  cmyk.replace(cmyk.find("RGB XYZ "), 8, "CMYKLab ");
  const Media other = picture(cmyk, kColours[0]);
  CHECK(says(other, "of CMYK colours and not applied"));
  check_colour(other, kColours[0], 0);
  const std::string whole = profile(kAdobeRgb);
  for (const size_t cut : {1, 127, 140, 200, 300}) {
    const Media damaged = picture(whole.substr(0, std::min(cut, whole.size() - 8)), kColours[0]);
    CHECK(says(damaged, "damaged and not applied"));
    check_colour(damaged, kColours[0], 0);
  }
}

}  // namespace
}  // namespace zoetrope
