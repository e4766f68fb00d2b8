// What is written reads back: by FFmpeg's decoders, which share no code with our own writers.
#include <doctest/doctest.h>

#include <cstring>

#include "tests/media/clips.h"

namespace zoetrope {
namespace {

Media read_all(const std::string& path, const ClipFormat& f, bool sound) {
  ReadRequest request;
  request.width = f.width;
  request.height = f.height;
  request.max_frames = f.frames + 10;
  if (sound) {
    request.sound = true;
    request.sample_rate = f.sample_rate;
    request.channels = f.channels;
    request.max_samples = f.frames * f.sample_rate / f.fps + f.sample_rate;
  }
  auto media = read_media(path, request);
  REQUIRE_MESSAGE(media.ok(), media.status().message());
  return std::move(*media);
}

TEST_CASE("lossy containers keep every frame, its picture and the moment of a sound") {
  const TemporaryFolder folder;
  const ClipFormat format{96, 64, 32, 16, 16000, 2};
  const auto pixels = moving_square(format);
  const auto samples = burst_at(format, 1.25);
  for (const std::string name : {"clip.mp4", "clip.mov", "clip.mkv", "clip.webm"}) {
    CAPTURE(name);
    std::string description;
    const Status written = write_clip(folder / name, format, pixels, samples, &description);
    REQUIRE_MESSAGE(written.ok(), written.message());
    CHECK(description.find(" + ") != std::string::npos);
    const Media media = read_all(folder / name, format, true);
    CHECK(media.frames == format.frames);
    if (media.frames == format.frames) CHECK(psnr(media.pixels, pixels, 255) > 32);
    // Within half a frame of the codecs' own windows: no delay of an encoder is left in.
    CHECK(std::abs(first_loud(media.samples, 2, 16000) - 1.25) < 0.004);
    CHECK(static_cast<double>(media.samples.size()) / 2 / 16000 ==
          doctest::Approx(2).epsilon(0.03));
  }
  CHECK(folder.listing() == "clip.mkv clip.mov clip.mp4 clip.webm");
}

TEST_CASE("odd sizes are padded by one repeated row or column") {
  const TemporaryFolder folder;
  const ClipFormat format{33, 47, 5, 16, 0, 0};
  const auto pixels = moving_square(format);
  REQUIRE(write_clip(folder / "odd.mp4", format, pixels, {}).ok());
  ClipFormat even = format;
  even.width = 34;
  even.height = 48;
  const Media media = read_all(folder / "odd.mp4", even, false);
  CHECK(media.frames == 5);
  std::vector<uint8_t> inside;
  for (int64_t t = 0; t < 5; ++t)
    for (int64_t y = 0; y < 47; ++y) {
      const auto row = media.pixels.begin() + (t * 48 + y) * 34 * 3;
      inside.insert(inside.end(), row, row + 33 * 3);
    }
  CHECK(psnr(inside, pixels, 255) > 28);
}

TEST_CASE("GIF shows flat colours as they are and keeps odd sizes") {
  const TemporaryFolder folder;
  const ClipFormat format{37, 21, 6, 10, 0, 0};
  std::vector<uint8_t> pixels;
  for (int64_t i = 0; i < 6 * 21; ++i)
    for (int64_t x = 0; x < 37; ++x) {
      const uint8_t colour[] = {static_cast<uint8_t>(x < 18 ? 200 : 30), 90,
                                static_cast<uint8_t>(i / 21 * 16)};
      pixels.insert(pixels.end(), colour, colour + 3);
    }
  REQUIRE(write_clip(folder / "flat.gif", format, pixels, {}).ok());
  const Media media = read_all(folder / "flat.gif", format, false);
  CHECK(media.frames == 6);
  CHECK(media.pixels == pixels);

  const auto gradient = moving_square(format);
  REQUIRE(write_clip(folder / "gradient.gif", format, gradient, {}).ok());
  CHECK(psnr(read_all(folder / "gradient.gif", format, false).pixels, gradient, 255) > 34);
}

TEST_CASE("PNG is exact, one file a frame, with or without a pattern") {
  const TemporaryFolder folder;
  for (const auto& [width, height] : {std::pair<int64_t, int64_t>{1, 1}, {3, 5}, {64, 33}}) {
    const ClipFormat still{width, height, 1, 16, 0, 0};
    const auto pixels = moving_square(still);
    REQUIRE(write_clip(folder / "still.png", still, pixels, {}).ok());
    CHECK(read_all(folder / "still.png", still, false).pixels == pixels);
  }
  const ClipFormat format{20, 10, 3, 16, 0, 0};
  const auto pixels = moving_square(format);
  REQUIRE(write_clip(folder / "f%03d.png", format, pixels, {}).ok());
  REQUIRE(write_clip(folder / "g.png", format, pixels, {}).ok());
  CHECK(folder.listing() ==
        "f001.png f002.png f003.png g-0001.png g-0002.png g-0003.png still.png");
  const ClipFormat one{20, 10, 1, 16, 0, 0};
  const auto third = read_all(folder / "f003.png", one, false).pixels;
  CHECK(std::memcmp(third.data(), pixels.data() + 2 * 600, 600) == 0);
}

TEST_CASE("Y4M loses nothing but the rounding of its colours") {
  const TemporaryFolder folder;
  const ClipFormat format{35, 17, 4, 24, 0, 0};
  const auto pixels = moving_square(format);
  REQUIRE(write_clip(folder / "clip.y4m", format, pixels, {}).ok());
  const auto bytes = file_bytes(folder / "clip.y4m");
  const std::string head(bytes.begin(), bytes.begin() + 30);
  CHECK(head.rfind("YUV4MPEG2 W35 H17 F24:1", 0) == 0);
  const Media media = read_all(folder / "clip.y4m", format, false);
  CHECK(media.frames == 4);
  CHECK(psnr(media.pixels, pixels, 255) > 42);
}

TEST_CASE("WAV is 16-bit PCM with sizes filled in, and clips what is too loud") {
  const TemporaryFolder folder;
  const ClipFormat format{16, 16, 8, 16, 8000, 2};
  auto samples = burst_at(format, 0.1);
  samples[0] = 3.0f;
  samples[1] = -3.0f;
  REQUIRE(write_clip(folder / "a.wav", format, moving_square(format), samples).ok());
  const auto bytes = file_bytes(folder / "a.wav");
  REQUIRE(bytes.size() == 44 + samples.size() * 2);
  const auto u32 = [&](size_t at) {
    return bytes[at] | bytes[at + 1] << 8 | bytes[at + 2] << 16 | bytes[at + 3] << 24;
  };
  CHECK(std::memcmp(bytes.data(), "RIFF", 4) == 0);
  CHECK(u32(4) == static_cast<int>(bytes.size()) - 8);
  CHECK(u32(24) == 8000);
  CHECK(u32(40) == static_cast<int>(samples.size()) * 2);
  ReadRequest request;
  request.sound = true;
  request.sample_rate = 8000;
  request.channels = 2;
  request.max_samples = 100000;
  const auto media = read_media(folder / "a.wav", request);
  REQUIRE(media.ok());
  REQUIRE(media.value().samples.size() == samples.size());
  samples[0] = 1.0f;
  samples[1] = -1.0f;
  float worst = 0;
  for (size_t i = 0; i < samples.size(); ++i)
    worst = std::max(worst, std::abs(samples[i] - media.value().samples[i]));
  CHECK(worst < 1.0f / 16384);
}

TEST_CASE("the same clip is the same file") {
  const TemporaryFolder folder;
  const ClipFormat format{48, 32, 8, 16, 16000, 2};
  const auto pixels = moving_square(format);
  const auto samples = burst_at(format, 0.2);
  for (const std::string e : {".mp4", ".webm", ".mkv", ".gif", ".wav", ".y4m"}) {
    CAPTURE(e);
    REQUIRE(write_clip(folder / ("a" + e), format, pixels, samples).ok());
    // What the memory held before must not show in the file.
    { std::vector<std::vector<uint8_t>> dirt(64, std::vector<uint8_t>(20000, 0xa5)); }
    REQUIRE(write_clip(folder / ("b" + e), format, pixels, samples).ok());
    CHECK(file_bytes(folder / ("a" + e)) == file_bytes(folder / ("b" + e)));
  }
}

TEST_CASE("a path with a colon or a percent sign is a file like any other") {
  const TemporaryFolder folder;
  const ClipFormat format{32, 32, 2, 16, 0, 0};
  const auto pixels = moving_square(format);
  for (const std::string name : {"http:x.mp4", "50%.mp4", "a b.gif"}) {
    CAPTURE(name);
    REQUIRE(write_clip(folder / name, format, pixels, {}).ok());
    CHECK(read_all(folder / name, format, false).frames == 2);
  }
}

TEST_CASE("frames are picked by time, scaled to cover and cropped") {
  const TemporaryFolder folder;
  const ClipFormat format{64, 64, 30, 30, 0, 0};
  std::vector<uint8_t> pixels;  // frame t is grey 8 t
  for (int64_t t = 0; t < 30; ++t)
    pixels.insert(pixels.end(), 64 * 64 * 3, static_cast<uint8_t>(8 * t));
  REQUIRE(write_clip(folder / "grey.mkv", format, pixels, {}).ok());
  ReadRequest request;
  request.width = 48;
  request.height = 16;
  request.fps = 15;
  request.max_frames = 4;
  const auto grey = [&](int64_t first) {
    request.first_frame = first;
    const auto media = read_media(folder / "grey.mkv", request);
    REQUIRE_MESSAGE(media.ok(), media.status().message());
    std::string levels;
    for (int64_t k = 0; k < media.value().frames; ++k)
      levels += str((media.value().pixels[static_cast<size_t>(k * 48 * 16 * 3)] + 4) / 8, " ");
    return levels;
  };
  CHECK(grey(0) == "0 2 4 6 ");
  CHECK(grey(3) == "6 8 10 12 ");
  CHECK(grey(-4) == "22 24 26 28 ");
  request.fps = 60;
  CHECK(grey(0) == "0 0 1 1 ");
  CHECK(grey(-3) == "28 29 29 ");
}

}  // namespace
}  // namespace zoetrope
