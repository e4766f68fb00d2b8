// Colour profiles: what LittleCMS makes of the same colours.
#include "runtime/media/icc.h"

#include <doctest/doctest.h>

#include <cmath>

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

std::string profile(const Space& s) {
  const auto xyz = [](const double* v) {
    return "XYZ \0\0\0\0"s + fixed(v[0]) + fixed(v[1]) + fixed(v[2]);
  };
  const std::pair<std::string, std::string> tags[] = {{"rXYZ", xyz(s.r)}, {"gXYZ", xyz(s.g)},
                                                      {"bXYZ", xyz(s.b)}, {"rTRC", s.curve},
                                                      {"gTRC", s.curve},  {"bTRC", s.curve}};
  std::string table = be(6, 4), body;
  for (const auto& [name, data] : tags) {
    table += name + be(128 + 4 + 6 * 12 + static_cast<int64_t>(body.size()), 4) +
             be(static_cast<int64_t>(data.size()), 4);
    body += data;
  }
  std::string head = be(static_cast<int64_t>(128 + table.size() + body.size()), 4) + be(0, 4) +
                     be(0x04000000, 4) + "mntrRGB XYZ " + std::string(12, '\0') + "acsp";
  head.resize(128, '\0');
  return head + table + body;
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

std::optional<IccProfile> parse(const std::string& bytes) {
  return parse_icc({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
}

TEST_CASE("colours of a profile come out as LittleCMS has them") {
  for (const auto& [space, expected] :
       {std::pair{&kDisplayP3, kFromP3}, {&kAdobeRgb, kFromAdobe}}) {
    CAPTURE(space->name);
    const auto icc = parse(profile(*space));
    REQUIRE(icc.has_value());
    CHECK(!icc->is_srgb());
    for (size_t i = 0; i < 6; ++i) {
      uint16_t rgb[3];
      for (size_t c = 0; c < 3; ++c) rgb[c] = static_cast<uint16_t>(kColours[i][c] * 257);
      const auto out = to_srgb(rgb, *icc);
      for (size_t c = 0; c < 3; ++c) CHECK(std::abs(out[c] - expected[i][c]) <= 1);
    }
  }
  const auto srgb = parse(profile(kSrgb));
  REQUIRE(srgb.has_value());
  CHECK(srgb->is_srgb());
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
  for (size_t c = 0; c < 3; ++c) CHECK(std::abs((*media).pixels[c] - kFromP3[0][c]) <= 3);
}

TEST_CASE("damaged profiles and those of another kind say nothing") {
  const std::string whole = profile(kAdobeRgb);
  for (size_t cut = 0; cut < whole.size(); ++cut) CHECK(!parse(whole.substr(0, cut)).has_value());
  for (const auto& [from, to] :
       {std::pair{"RGB XYZ "s, "CMYKLab "s}, {"acsp"s, "nope"s}, {"rTRC"s, "A2B0"s}}) {
    std::string other = whole;
    other.replace(other.find(from), from.size(), to);
    CHECK(!parse(other).has_value());
  }
  uint32_t state = 3;
  for (int round = 0; round < 3000; ++round) {
    std::string bytes = profile(round % 2 ? kDisplayP3 : kAdobeRgb);
    for (int flips = 0; flips < 4; ++flips) {
      state = state * 1664525u + 1013904223u;
      bytes[(state >> 8) % bytes.size()] = static_cast<char>(state);
    }
    (void)parse(bytes).has_value();
  }
}

}  // namespace
}  // namespace zoetrope
