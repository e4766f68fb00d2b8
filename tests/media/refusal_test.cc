// What cannot be written is an error that names the path, and leaves nothing behind.
#include <doctest/doctest.h>
#include <sys/resource.h>

#include <csignal>

#include "tests/media/clips.h"

namespace zoetrope {
namespace {

constexpr const char* kAll[] = {"c.mp4", "c.mov", "c.mkv", "c.webm",
                                "c.gif", "c.y4m", "c.png", "c.wav"};
const ClipFormat kFormat{64, 48, 12, 16, 16000, 2};

// Noise does not compress, so that even a lossy file outgrows a small limit.
std::vector<uint8_t> noise(const ClipFormat& f) {
  std::vector<uint8_t> pixels(static_cast<size_t>(f.frames * f.height * f.width * 3));
  uint32_t state = 1;
  for (uint8_t& p : pixels)
    p = static_cast<uint8_t>((state = state * 1664525u + 1013904223u) >> 24);
  return pixels;
}

TEST_CASE("an unknown extension lists the known ones") {
  for (const std::string name : {"clip", "clip.avi", "clip.", "dir.mp4/clip", ".mp5"}) {
    const auto writer = create_clip_writer(name, kFormat);
    REQUIRE(!writer.ok());
    CHECK(writer.status().code() == Code::kInvalidArgument);
    CHECK(writer.status().message().find(known_clip_extensions()) != std::string::npos);
  }
}

TEST_CASE("a folder that is missing, or a name that is a folder") {
  const TemporaryFolder folder;
  for (const std::string name : kAll) {
    CAPTURE(name);
    const std::string path = folder / ("missing/" + name);
    const Status status = write_clip(path, kFormat, noise(kFormat), burst_at(kFormat, 0.1));
    CHECK(!status.ok());
    CHECK(status.message().find("missing/c") != std::string::npos);
  }
  for (const std::string name : {"d.mp4", "d.wav", "d.y4m"}) {
    CAPTURE(name);
    std::filesystem::create_directory(folder / name);
    const Status status =
        write_clip(folder / name, kFormat, noise(kFormat), burst_at(kFormat, 0.1));
    CHECK(!status.ok());
    CHECK(status.message().find(name) != std::string::npos);
  }
  CHECK(folder.listing() == "d.mp4 d.wav d.y4m");
}

TEST_CASE("a writer that is dropped leaves nothing, and an old file stays as it was") {
  const TemporaryFolder folder;
  const auto pixels = noise(kFormat);
  const auto samples = burst_at(kFormat, 0.1);
  write_bytes(folder / "c.mp4", {1, 2, 3});
  for (const std::string name : kAll) {
    CAPTURE(name);
    auto writer = create_clip_writer(folder / name, kFormat);
    REQUIRE(writer.ok());
    REQUIRE((*writer)->frames(pixels.data(), kFormat.frames).ok());
    REQUIRE((*writer)->audio(samples.data(), 1000).ok());
  }
  CHECK(folder.listing() == "c.mp4");
  CHECK(file_bytes(folder / "c.mp4") == std::vector<uint8_t>{1, 2, 3});
}

TEST_CASE("a clip without a frame is an error") {
  const TemporaryFolder folder;
  for (const std::string name : kAll) {
    if (name == "c.wav") continue;  // a sound file has none anyway
    CAPTURE(name);
    auto writer = create_clip_writer(folder / name, kFormat);
    REQUIRE(writer.ok());
    const Status status = (*writer)->finish();
    CHECK(status.code() == Code::kInvalidArgument);
  }
  CHECK(folder.listing() == "");
}

TEST_CASE("a full disk is 'resource exhausted' and leaves nothing") {
  // A limit on file size stands in for the disk: the write fails at the same place.
  const TemporaryFolder folder;
  ClipFormat format = kFormat;
  format.frames = 24;
  const auto pixels = noise(format);
  const auto samples = burst_at(format, 0.1);
  const auto previous = std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  for (const std::string name : kAll) {
    CAPTURE(name);
    const rlim_t bytes = name == "c.png" ? 5000 : 20000;
    rlimit small = before;
    small.rlim_cur = bytes;
    setrlimit(RLIMIT_FSIZE, &small);
    const Status status = write_clip(folder / name, format, pixels, samples);
    setrlimit(RLIMIT_FSIZE, &before);
    CHECK_MESSAGE(status.code() == Code::kResourceExhausted, status.message());
    CHECK_MESSAGE(status.message().find("/c") != std::string::npos, status.message());
  }
  std::signal(SIGXFSZ, previous);
  CHECK(folder.listing() == "");
}

TEST_CASE("a silent model's clip cannot become a WAV file") {
  const TemporaryFolder folder;
  const auto writer = create_clip_writer(folder / "a.wav", {16, 16, 2, 16, 0, 0});
  REQUIRE(!writer.ok());
  CHECK(writer.status().code() == Code::kInvalidArgument);
}

TEST_CASE("a frame pattern has exactly one %d") {
  for (const std::string name : {"a%s.png", "a%d%d.png", "a%.png", "a%099d.png", "a%n.png"}) {
    const auto writer = create_clip_writer(name, kFormat);
    CAPTURE(name);
    REQUIRE(!writer.ok());
    CHECK(writer.status().code() == Code::kInvalidArgument);
  }
}

}  // namespace
}  // namespace zoetrope
