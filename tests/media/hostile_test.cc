// Files that lie: every one is an error or a defined result, never a crash.
#include <doctest/doctest.h>
#include <sys/stat.h>

#include <cmath>
#include <cstring>

#include "runtime/media/iso_boxes.h"
#include "runtime/media/png.h"
#include "tests/media/clips.h"

namespace zoetrope {
namespace {

const ClipFormat kFormat{32, 32, 8, 16, 16000, 2};

Result<Media> read(const std::string& path, bool pictures, bool sound) {
  ReadRequest request;
  if (pictures) {
    request.width = 32;
    request.height = 32;
    request.fps = 16;
    request.max_frames = 64;
  }
  request.sound = sound;
  request.sample_rate = 16000;
  request.channels = 2;
  request.max_samples = 64000;
  return read_media(path, request);
}

Result<Media> read_both(const std::string& path) { return read(path, true, true); }

TEST_CASE("missing, empty, a folder, text: errors that name the file") {
  const TemporaryFolder folder;
  write_bytes(folder / "empty.mp4", {});
  const std::string text = "this is no picture\n";
  write_bytes(folder / "text.png", {text.begin(), text.end()});
  std::filesystem::create_directory(folder / "folder.mp4");
  for (const std::string name : {"missing.mp4", "empty.mp4", "text.png", "folder.mp4"}) {
    CAPTURE(name);
    const auto media = read_both(folder / name);
    REQUIRE(!media.ok());
    CHECK(media.status().message().find(name) != std::string::npos);
  }
  CHECK(read_both(folder / "missing.mp4").status().code() == Code::kNotFound);
}

TEST_CASE("pipes and devices are refused, not waited for") {
  const TemporaryFolder folder;
  const std::string pipe = folder / "pipe.mp4";
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  for (const std::string& path : {pipe, std::string("/dev/zero"), std::string("/dev/tty")}) {
    CAPTURE(path);
    const auto media = read_both(path);
    REQUIRE(!media.ok());
    CHECK(media.status().message().find(path) != std::string::npos);
  }
}

TEST_CASE("a playlist or script does not open other files") {
  const TemporaryFolder folder;
  REQUIRE(write_clip(folder / "real.mp4", kFormat, moving_square(kFormat), burst_at(kFormat, 0.1))
              .ok());
  const std::string concat = "ffconcat version 1.0\nfile 'real.mp4'\n";
  const std::string hls =
      "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nreal.mp4\n#EXT-X-ENDLIST\n";
  write_bytes(folder / "a.mp4", {concat.begin(), concat.end()});
  write_bytes(folder / "a.ffconcat", {concat.begin(), concat.end()});
  write_bytes(folder / "a.m3u8", {hls.begin(), hls.end()});
  for (const std::string name : {"a.mp4", "a.ffconcat", "a.m3u8"})
    CHECK(!read_both(folder / name).ok());
}

// A PNG whose sums are right again, so that what they cover is looked at.
std::vector<uint8_t> with_right_sums(const std::vector<uint8_t>& png) {
  std::vector<uint8_t> out(png.begin(), png.begin() + 8);
  std::span<const uint8_t> rest = std::span(png).subspan(8), data;
  std::string_view type;
  while (next_png_chunk(&rest, &type, &data)) put_png_chunk(&out, type, data);
  return out;
}

TEST_CASE("cut short or with flipped bytes") {
  const TemporaryFolder folder;
  const auto pixels = moving_square(kFormat);
  const auto samples = burst_at(kFormat, 0.1);
  struct Kind {
    std::string name;
    bool pictures, sound;
  };
  for (const auto& [name, pictures, sound] : {Kind{"c.mp4", true, true},
                                              {"c.webm", true, true},
                                              {"c.gif", true, false},
                                              {"c.y4m", true, false},
                                              {"c.wav", false, true},
                                              {"c.png", true, false}}) {
    CAPTURE(name);
    ClipFormat format = kFormat;
    if (name == "c.png") format.frames = 1;
    REQUIRE(write_clip(folder / name, format, pixels, samples).ok());
    const auto undamaged = read(folder / name, pictures, sound);
    REQUIRE_MESSAGE(undamaged.ok(), undamaged.status().message());
    const auto whole = file_bytes(folder / name);
    const std::string damaged = folder / ("damaged_" + name);
    for (size_t step = 0; step < 24; ++step) {
      write_bytes(damaged, {whole.begin(),
                            whole.begin() + static_cast<std::ptrdiff_t>(whole.size() * step / 24)});
      (void)read(damaged, pictures, sound).ok();
    }
    uint32_t state = 7;
    int passed = 0;
    for (int round = 0; round < 60; ++round) {
      auto bytes = whole;
      for (int flips = 0; flips <= round % 8; ++flips) {
        state = state * 1664525u + 1013904223u;
        // Half of the damage goes to the first bytes, where sizes and counts are.
        const size_t range = flips % 2 ? std::min<size_t>(bytes.size(), 200) : bytes.size();
        bytes[(state >> 8) % range] = static_cast<uint8_t>(state);
      }
      write_bytes(damaged, name == "c.png" ? with_right_sums(bytes) : bytes);
      const auto media = read(damaged, pictures, sound);
      if (!media.ok()) continue;
      ++passed;
      CHECK(media.value().frames <= 64);
      CHECK(media.value().pixels.size() == static_cast<size_t>(media.value().frames) * 32 * 32 * 3);
      CHECK((media.value().frames > 0) == pictures);
      CHECK(media.value().samples.size() <= 128000);
    }
    CHECK(passed > 0);  // else nothing behind the first check was tried
  }
}

TEST_CASE("pictures and animations, mutated, cut and joined") {
  const TemporaryFolder folder;
  const std::string source = "-f lavfi -i testsrc=s=32x32:r=8:d=0.5 ";
  std::vector<std::vector<uint8_t>> seeds;
  for (const std::string output :
       {"-frames:v 1 a.jpg", "-frames:v 1 a.png", "-frames:v 1 a.webp", "-frames:v 1 a.tiff",
        "-frames:v 1 a.bmp", "-c:v libwebp_anim -lossless 1 b.webp", "-f apng b.apng", "b.gif",
        "-c:v ffv1 b.mkv", "-c:v mpeg2video -r 25 b.ts", "-c:v mpeg4 b.avi"}) {
    const std::string path = folder / output.substr(output.rfind(' ') + 1);
    ffmpeg(source +
           output.substr(0, output.rfind(' ') == std::string::npos ? 0 : output.rfind(' ')) + " " +
           path);
    seeds.push_back(file_bytes(path));
  }
  uint32_t state = 11;
  const auto draw = [&](size_t below) {
    state = state * 1664525u + 1013904223u;
    return static_cast<size_t>(state >> 8) % std::max<size_t>(below, 1);
  };
  int passed = 0;
  for (int round = 0; round < 1500; ++round) {
    auto bytes = seeds[draw(seeds.size())];
    switch (draw(4)) {
      case 0: bytes.resize(draw(bytes.size())); break;
      case 1: {
        const auto& other = seeds[draw(seeds.size())];
        bytes.insert(bytes.begin() + static_cast<std::ptrdiff_t>(draw(bytes.size())), other.begin(),
                     other.end());
        break;
      }
      case 2: bytes.insert(bytes.end(), bytes.begin(), bytes.end()); break;
    }
    for (size_t flips = draw(12); flips > 0 && !bytes.empty(); --flips)
      bytes[draw(flips % 2 ? std::min<size_t>(bytes.size(), 64) : bytes.size())] =
          static_cast<uint8_t>(draw(256));
    write_bytes(folder / "mutated", bytes);
    ReadRequest request;
    request.width = request.height = 16;
    request.max_frames = 8;
    request.fps = 8;
    const auto media = read_media(folder / "mutated", request);
    if (!media.ok()) continue;
    ++passed;
    CHECK((*media).pixels.size() == static_cast<size_t>((*media).frames) * 768);
  }
  CHECK(passed > 150);  // 540 where this was written; decoders differ
}

TEST_CASE("pictures of every width stay within their memory, read and written") {
  const TemporaryFolder folder;
  // The scaler takes whole vectors: the allocator finds out what it writes behind a row.
  for (int64_t width = 1; width < 70; ++width) {
    CAPTURE(width);
    std::string text = str("YUV4MPEG2 W", width, " H5 F8:1 C420jpeg\n");
    const auto bytes = static_cast<size_t>(width * 5 + 2 * ((width + 1) / 2 * 3));
    for (int i = 0; i < 3; ++i) text += "FRAME\n" + std::string(bytes, static_cast<char>(90 + i));
    write_bytes(folder / "w.y4m", {text.begin(), text.end()});
    const Media media = read_frames(folder / "w.y4m", width, 5, 3);
    CHECK(media.pixels.size() == static_cast<size_t>(width * 5 * 3 * 3));
    // One colour a frame.
    const auto frame = static_cast<size_t>(width * 15);
    int wrong = 0;
    for (size_t i = 0; i < media.pixels.size(); ++i)
      wrong += media.pixels[i] != media.pixels[i / frame * frame + i % 3];
    CHECK(wrong == 0);
    if (width % 9 != 0) continue;
    ClipFormat format{width, 5, 3, 8};
    CHECK(write_clip(folder / "w.mkv", format, media.pixels, {}).ok());
  }
}

// One channel of 32-bit floating point.
std::vector<uint8_t> wave_of(const std::vector<float>& samples, uint32_t rate) {
  std::string data;
  const auto number = [&](uint32_t value, int bytes) {
    for (int i = 0; i < bytes; ++i) data.push_back(static_cast<char>(value >> (8 * i)));
  };
  const auto bytes = static_cast<uint32_t>(samples.size() * sizeof(float));
  data += "RIFF", number(36 + bytes, 4), data += "WAVEfmt ", number(16, 4);
  number(3, 2), number(1, 2), number(rate, 4), number(4 * rate, 4), number(4, 2), number(32, 2);
  data += "data", number(bytes, 4);
  data.append(reinterpret_cast<const char*>(samples.data()), bytes);
  return {data.begin(), data.end()};
}

TEST_CASE("sound that is no numbers is refused by name") {
  const TemporaryFolder folder;
  for (const float bad : {NAN, INFINITY, 1e30f}) {
    std::vector<float> samples(800, 0.1f);
    samples[500] = bad;
    write_bytes(folder / "n.wav", wave_of(samples, 8000));
    ReadRequest request;
    request.sound = true;
    request.max_samples = 4000;
    const auto media = read_media(folder / "n.wav", request);
    REQUIRE(!media.ok());
    CHECK(media.status().code() == Code::kDataLoss);
    CHECK(media.status().message().find("n.wav: its sound has a sample of") != std::string::npos);
  }
}

// ISO/IEC 14496-12: `stsz` is its version, the size of all samples or 0, and how many there are;
// the others are their version and how many entries there are.
TEST_CASE("tables of samples that announce more than the file holds are refused by name") {
  const TemporaryFolder folder;
  REQUIRE(write_clip(folder / "clip.mp4", kFormat, moving_square(kFormat), burst_at(kFormat, 0.1))
              .ok());
  const std::vector<uint8_t> clip = file_bytes(folder / "clip.mp4");
  for (const auto& [type, alike] :
       {std::pair{"stsz", 0}, std::pair{"stsz", 5}, std::pair{"stco", 0}, std::pair{"stts", 0},
        std::pair{"stsc", 0}}) {
    CAPTURE(type);
    std::vector<uint8_t> lie = clip;
    auto at = std::search(lie.begin(), lie.end(), type, type + 4);
    REQUIRE(at != lie.end());
    const bool sizes = std::string_view(type) == "stsz";
    if (sizes) at[11] = static_cast<uint8_t>(alike);
    at[sizes ? 12 : 8] = 4;  // 2^26 more
    write_bytes(folder / "lie.mp4", lie);
    for (const auto& media :
         {read(folder / "lie.mp4", true, false), read(folder / "lie.mp4", false, true)}) {
      REQUIRE(!media.ok());
      CHECK(media.status().code() == Code::kDataLoss);
      CHECK(media.status().message().find(type) != std::string::npos);
    }
  }
  CHECK(read_both(folder / "clip.mp4").ok());
}

// As MACE 6:1 counts samples before compression.
TEST_CASE("QuickTime's sound may count more samples than it has bytes") {
  const auto table = [](const std::string& type, std::initializer_list<uint32_t> numbers) {
    std::string box = type;
    for (uint32_t n : numbers)
      for (int shift = 24; shift >= 0; shift -= 8) box.push_back(static_cast<char>(n >> shift));
    return box;
  };
  const auto boxed = [](const std::string& content) {
    std::string box(4, '\0');
    for (size_t i = 0; i < 4; ++i) box[i] = static_cast<char>((content.size() + 4) >> (24 - 8 * i));
    return box + content;
  };
  for (const char* handler : {"soun", "vide"})
    for (const uint32_t duration : {1u, 2u}) {
      const std::string tables =
          boxed(table("stts", {0, 1, 6000000, duration})) + boxed(table("stsz", {0, 1, 6000000}));
      const std::string media = boxed(table("hdlr", {0, 0}) + handler + std::string(13, '\0')) +
                                boxed("minf" + boxed("stbl" + tables));
      const std::string moov = boxed("moov" + boxed("trak" + boxed("mdia" + media)));
      const IsoBytes boxes(reinterpret_cast<const uint8_t*>(moov.data()), moov.size());
      const bool counts_units = handler == std::string("soun") && duration == 1;
      CHECK(overstated_table(boxes, 1000000).empty() == counts_units);
      CHECK(overstated_table(boxes, 6000000).empty());
    }
}

TEST_CASE("sound of more samples a second than anything has is refused") {
  const TemporaryFolder folder;
  for (const std::string riff : {"RIFF", "RIFF1", "RIFF\x24\0\0\0WAV"}) {
    write_bytes(folder / "short.wav", {riff.begin(), riff.end()});
    CHECK(!read(folder / "short.wav", false, true).ok());
  }
  const std::vector<float> samples(4096, 0.1f);
  write_bytes(folder / "fast.wav", wave_of(samples, 6144001));
  const auto media = read(folder / "fast.wav", false, true);
  REQUIRE(!media.ok());
  CHECK(media.status().message().find("6144001 Hz") != std::string::npos);
  write_bytes(folder / "fast.wav", wave_of(samples, 5644800));  // as of DSD1024
  CHECK(read(folder / "fast.wav", false, true).ok());
}

TEST_CASE("asking for what a file does not hold") {
  const TemporaryFolder folder;
  ClipFormat silent = kFormat;
  silent.sample_rate = silent.channels = 0;
  REQUIRE(write_clip(folder / "silent.mp4", silent, moving_square(kFormat), {}).ok());
  const auto media = read_both(folder / "silent.mp4");
  REQUIRE(!media.ok());
  CHECK(media.status().message().find("no sound") != std::string::npos);
  ReadRequest beyond;
  beyond.width = beyond.height = 32;
  beyond.first_frame = 500;
  beyond.max_frames = 1;
  CHECK(!read_media(folder / "silent.mp4", beyond).ok());
}

}  // namespace
}  // namespace zoetrope
