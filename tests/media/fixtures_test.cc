// Pictures of kinds that ffmpeg cannot write, beside what they show: make_fixtures.py.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <functional>

#include "runtime/media/heif.h"
#include "tests/media/clips.h"

namespace zoetrope {
namespace {

constexpr int64_t kWidth = 32, kHeight = 24;

std::string fixture(const std::string& name) {
  return std::string(ZOETROPE_SOURCE_DIR) + "/tests/media/data/" + name;
}

// Against `name`.rgb, over white.
void check(const std::string& name, int most, double mean, int64_t width = kWidth,
           int64_t height = kHeight, int64_t frames = 1) {
  CAPTURE(name);
  const Media media = read_frames(fixture(name), width, height, frames);
  const auto expected = file_bytes(fixture(name + ".rgb"));
  REQUIRE(expected.size() == media.pixels.size());
  CHECK(largest_difference(media.pixels, expected) <= most);
  CHECK(mean_difference(media.pixels, expected) <= mean);
}

}  // namespace

TEST_CASE("inks become sRGB by their profile, or by their product where there is none") {
  // Expected point by point; Little CMS interpolates between those of a grid here.
  check("cmyk_profile.jpg", 6, 0.6);
  check("cmyk_profile.tif", 6, 0.5);
  check("cmyk_profile_16.tif", 6, 0.5);
  check("cmyk_big_endian.tif", 6, 0.5);
  check("ycck_profile.jpg", 7, 0.7);
  check("cmyk.jpg", 3, 0.6);
  check("cmyk_coarse.jpg", 16, 3);  // libjpeg blends coarse inks, of which a step is 10 levels here
  check("cmyk.tif", 2, 0.6);
  check("cmyk_16.tif", 2, 0.6);
  check("cmyk_planes.tif", 2, 0.6);
  check("cmyk_12.jpg", 3, 0.6);
}

TEST_CASE("HEIC and AVIF: transparency over white, turned, deep, with profiles") {
  // Expected are the colours that were coded; Y, Cb and Cr of 8 bits round them.
  check("alpha.avif", 3, 0.8);
  check("alpha.heic", 3, 0.8);
  check("deep.heic", 3, 0.8);
  check("turned.avif", 3, 0.9, kHeight, kWidth);
  check("grid.avif", 3, 0.9, 96, 80);
  check("premultiplied.avif", 3, 0.8);
  check("gray_limited.avif", 3, 0.8);
  check("adobe.avif", 5, 1);       // 3.7 on the mean where it is not applied
  check("display_p3.avif", 5, 1);  // and here 2.3
  const Media media = read_frames(fixture("alpha.avif"), kWidth, kHeight);
  CHECK(says(media, "transparent"));
  CHECK_FALSE(says(read_frames(fixture("deep.heic"), kWidth, kHeight), "transparent"));
}

TEST_CASE("HEIC and AVIF are pictures, which have no sound") {
  ReadRequest request;
  request.sound = true;
  request.max_seconds = 1;
  for (const char* name : {"alpha.avif", "alpha.heic"}) {
    const Status heard = read_media(fixture(name), request).status();
    CHECK(heard.code() == Code::kNotFound);
    CHECK(heard.message().find("has no sound") != std::string::npos);
  }
}

TEST_CASE("animated AVIF is shown with its transparency") {
  check("moving.avif", 3, 0.9, kWidth, kHeight, 3);
  check("moving_premultiplied.avif", 4, 0.9, kWidth, kHeight, 3);
  CHECK(says(read_frames(fixture("moving.avif"), kWidth, kHeight, 3), "transparent"));
}

// moving.avif with another box or value at some places, which nothing else in it counts from.
void check_changed(const std::string& what,
                   const std::function<void(std::vector<uint8_t>* file)>& change) {
  CAPTURE(what);
  const TemporaryFolder folder;
  auto bytes = file_bytes(fixture("moving.avif"));
  change(&bytes);
  write_bytes(folder / "changed.avif", bytes);
  const Media media = read_frames(folder / "changed.avif", kWidth, kHeight, 3);
  CHECK(says(media, "transparent"));
  CHECK(media.pixels == read_frames(fixture("moving.avif"), kWidth, kHeight, 3).pixels);
}

// Where the contents of the box `type` begin; the last such box of the file.
size_t last_box(const std::vector<uint8_t>& file, const std::string& type) {
  const auto at = std::find_end(file.begin(), file.end(), type.begin(), type.end());
  REQUIRE(at != file.end());
  return static_cast<size_t>(at - file.begin()) + 4;
}

void put(std::vector<uint8_t>* file, size_t at, uint32_t value) {
  for (size_t i = 0; i < 4; ++i) (*file)[at + i] = static_cast<uint8_t>(value >> (24 - 8 * i));
}

TEST_CASE("an animation's transparency is found behind its data, and by a clock of its own") {
  check_changed("moov behind much else", [](std::vector<uint8_t>* file) {
    const size_t moov = last_box(*file, "moov") - 8, end = last_box(*file, "mdat") - 8;
    const std::vector<uint8_t> index(file->begin() + static_cast<ptrdiff_t>(moov),
                                     file->begin() + static_cast<ptrdiff_t>(end));
    std::memcpy(file->data() + moov + 4, "free", 4);
    std::memcpy(file->data() + last_box(*file, "meta") - 4, "free", 4);  // it tells of alpha, too
    const size_t filler = file->size();
    file->resize(filler + (100 << 10));
    put(file, filler, 100 << 10);
    std::memcpy(file->data() + filler + 4, "free", 4);
    file->insert(file->end(), index.begin(), index.end());
  });
  // The track of transparency comes last.
  for (const uint32_t times : {1u, 3u, 60u}) {
    check_changed(str("ticks of 1/", 1000 * times, " s"), [&](std::vector<uint8_t>* file) {
      put(file, last_box(*file, "mdhd") + 20, 1000 * times);
      put(file, last_box(*file, "mdhd") + 28, 600 * times);
      put(file, last_box(*file, "stts") + 12, 200 * times);
    });
  }
  const TemporaryFolder folder;
  auto late = file_bytes(fixture("moving.avif"));
  put(&late, last_box(late, "stts") + 12, 300);
  write_bytes(folder / "late.avif", late);
  ReadRequest request;
  request.width = kWidth, request.height = kHeight, request.max_frames = 3;
  const Status refused = read_media(folder / "late.avif", request).status();
  CHECK(refused.code() == Code::kDataLoss);
  CHECK(refused.message().find("at 0.2 s there is a picture, but no transparency") !=
        std::string::npos);
}

TEST_CASE("HEIC and AVIF that are cut off are damaged, wherever") {
  const TemporaryFolder folder;
  ReadRequest request;
  request.width = request.height = 16;
  request.max_frames = 1;
  for (const char* name : {"alpha.avif", "alpha.heic", "grid.avif"}) {
    const auto whole = file_bytes(fixture(name));
    for (size_t cut = 40; cut < whole.size() * 9 / 10; cut += 1 + whole.size() / 40) {
      write_bytes(folder / name, {whole.begin(), whole.begin() + static_cast<ptrdiff_t>(cut)});
      const auto media = read_media(folder / name, request);
      CAPTURE(cut);
      CHECK_FALSE(media.ok());
      CHECK(media.status().message().find(name) != std::string::npos);
    }
  }
}

TEST_CASE("HEIF's brands and boxes: stills, sequences and their transparency") {
  using namespace std::string_literals;
  const auto box = [](const std::string& type, const std::string& data) {
    const size_t size = data.size() + 8;
    return "\0\0"s + static_cast<char>(size >> 8) + static_cast<char>(size) + type + data;
  };
  const auto parse = [](const std::string& text) {
    return read_heif({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  };
  const std::string alpha =
      box("meta", "\0\0\0\0"s + box("iprp", box("ipco", box("auxC",
                                                            "\0\0\0\0urn:mpeg:mpegB:cicp:systems:"
                                                            "auxiliary:alpha\0"s))));
  CHECK(parse(box("ftyp", "heic\0\0\0\0mif1heic"s)).still);
  CHECK(parse(box("ftyp", "mif1\0\0\0\0avifmif1"s)).still);
  CHECK_FALSE(parse(box("ftyp", "isom\0\0\0\0iso2mp41"s)).still);
  const std::string sequence = box("ftyp", "avis\0\0\0\0avifavis"s) + alpha;
  CHECK_FALSE(parse(sequence).still);
  CHECK(parse(sequence).alpha);
  const std::string track =
      box("ftyp", "avis\0\0\0\0avifavis"s) +
      box("moov", box("trak", box("tref", box("prem", "\0\0\0\2"s))) +
                      box("trak", box("auxi",
                                      "\0\0\0\0urn:mpeg:mpegB:cicp:systems:auxiliary:"
                                      "alpha\0"s)));
  CHECK(parse(track).alpha);
  CHECK(parse(track).premultiplied);
  CHECK_FALSE(parse(sequence).premultiplied);
  for (size_t cut = 0; cut < sequence.size(); ++cut) (void)parse(sequence.substr(0, cut));
}

}  // namespace zoetrope
