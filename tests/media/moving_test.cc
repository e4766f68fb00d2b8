// Clips as people have them: sequences, damaged ones, odd times, interlaced ones. ffmpeg makes the
// files and says what is right.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "tests/media/clips.h"

namespace zoetrope {
namespace {

TEST_CASE("a sequence of pictures is a clip") {
  const TemporaryFolder folder;
  const std::string source = "-f lavfi -i testsrc=s=64x48:r=8:d=1 ";
  ffmpeg(source + "-start_number 3 " + (folder / "f%04d.png"));
  const Media media = read_frames(folder / "f%04d.png", 64, 48, 20, 16);
  CHECK(media.frames == 8);
  CHECK(media.pixels == ffmpeg(source + kRgb));
  std::filesystem::remove(folder / "f0006.png");
  ReadRequest request;
  request.width = request.height = 16;
  request.max_frames = 20;
  const auto gap = read_media(folder / "f%04d.png", request);
  CHECK(gap.status().code() == Code::kNotFound);
  CHECK(gap.status().message().find("number 6 is missing between " + (folder / "f0005.png") +
                                    " and " + (folder / "f0007.png")) != std::string::npos);
  CHECK(read_media(folder / "g%04d.png", request).status().code() == Code::kNotFound);
}

TEST_CASE("damaged packets are skipped and counted") {
  const TemporaryFolder folder;
  ffmpeg("-f lavfi -i testsrc=s=64x48:r=10:d=3 -c:v ffv1 -g 1 -slicecrc 1 -level 3 " +
         (folder / "a.mkv"));
  auto bytes = file_bytes(folder / "a.mkv");
  for (size_t part = 4; part < 7; ++part)
    for (size_t i = 0; i < 64; ++i) bytes[bytes.size() * part / 10 + i] ^= 0x5a;
  write_bytes(folder / "b.mkv", bytes);
  const Media whole = read_frames(folder / "a.mkv", 64, 48, 100);
  CHECK(whole.frames == 30);
  CHECK(whole.notices.empty());
  const Media media = read_frames(folder / "b.mkv", 64, 48, 100);
  CHECK(media.frames >= 20);
  CHECK(says(media, "damaged"));
}

TEST_CASE("a file that breaks off gives what is there") {
  const TemporaryFolder folder;
  ffmpeg("-f lavfi -i testsrc=s=64x48:r=10:d=3 -c:v libx264 -g 5 -movflags +faststart " +
         (folder / "a.mp4"));
  auto bytes = file_bytes(folder / "a.mp4");
  bytes.resize(bytes.size() * 2 / 3);
  write_bytes(folder / "b.mp4", bytes);
  const Media media = read_frames(folder / "b.mp4", 64, 48, 100);
  CHECK(media.frames >= 10);
  CHECK(media.frames < 30);
}

TEST_CASE("frames are picked by their times, as ffmpeg picks them") {
  const TemporaryFolder folder;
  const std::string source = "-f lavfi -i testsrc=s=64x48:r=30:d=3 ";
  const std::string codec = "-c:v libx264 -qp 1 -pix_fmt yuv444p ";
  ffmpeg(source + "-g 30 " + codec + (folder / "long.mp4"));
  // Cut between key frames: an edit list says where the clip begins.
  ffmpeg("-ss 1.2 -i " + (folder / "long.mp4") + " -t 1 -c copy " + (folder / "cut.mp4"));
  ffmpeg(source + "-vf \"select='not(mod(n\\,7))+lt(n\\,10)'\" -fps_mode vfr " + codec +
         (folder / "uneven.mkv"));
  ffmpeg(source + "-c:v libx264 -bf 3 -pix_fmt yuv420p " + (folder / "b.ts"));
  ffmpeg("-f lavfi -i testsrc=s=64x48:r=5:d=2 " + (folder / "slow.gif"));
  ffmpeg(source + "-frames:v 25 -c:v libaom-av1 -cpu-used 8 -crf 5 " + (folder / "av1.obu"));
  // Clocks that count frames round nothing, so that no frame shows early.
  ffmpeg(source + "-c:v ffv1 " + (folder / "counted.avi"));
  ffmpeg(source + "-pix_fmt yuv444p " + (folder / "counted.y4m"));
  ffmpeg("-f lavfi -i testsrc=s=64x48:r=1000:d=0.5 -c:v ffv1 " + (folder / "quick.mkv"));
  for (const std::string name : {"long.mp4", "cut.mp4", "uneven.mkv", "b.ts", "slow.gif", "av1.obu",
                                 "counted.avi", "counted.y4m", "quick.mkv"}) {
    CAPTURE(name);
    const auto expected = ffmpeg("-i " + (folder / name) +
                                 " -vf fps=16:round=up -sws_flags "
                                 "bicubic+accurate_rnd+full_chroma_int+full_chroma_inp" +
                                 kRgb);
    const Media media = read_frames(folder / name, 64, 48, 100, 16);
    REQUIRE(media.pixels.size() == expected.size());
    CHECK(largest_difference(media.pixels, expected) <= 2);
  }
}

TEST_CASE("a clip that begins late or lasts a little longer has no frame more for it") {
  const TemporaryFolder folder;
  ffmpeg("-f lavfi -i testsrc2=s=64x48:r=30000/1001 -frames:v 30 -c:v libx264 " +
         (folder / "a.mp4"));
  CHECK(read_frames(folder / "a.mp4", 64, 48, 100, 16).frames == 16);
  ffmpeg(
      "-f lavfi -i testsrc2=s=64x48:r=16:d=1 -f lavfi -i sine=d=1 -c:v libvpx-vp9 -c:a libopus " +
      (folder / "b.webm"));
  CHECK(read_frames(folder / "b.webm", 64, 48, 100, 16).frames == 16);
}

TEST_CASE("a picture that only an encoder's priming makes late has no frame more for it") {
  const TemporaryFolder folder;
  ffmpeg("-f lavfi -i testsrc2=s=64x48:r=16:d=1 -f lavfi -i sine=d=1 -c:v libx264 -bf 0 -c:a aac " +
         (folder / "a.mp4"));
  for (const std::string name : {"b.ts", "b.mkv"}) {
    CAPTURE(name);
    ffmpeg("-i " + (folder / "a.mp4") + " -c copy " + (folder / name));
    CHECK(read_frames(folder / name, 64, 48, 100, 16).frames == 16);
  }
  // What is late by more than that stays late: half a second is eight frames.
  ffmpeg("-itsoffset 0.5 -i " + (folder / "a.mp4") + " -i " + (folder / "a.mp4") +
         " -map 0:v -map 1:a -c copy " + (folder / "c.mp4"));
  CHECK(read_frames(folder / "c.mp4", 64, 48, 100, 16).frames == 24);
}

TEST_CASE("a cut JPEG says that it breaks off, a whole one with more behind it does not") {
  const TemporaryFolder folder;
  for (const std::string kind : {"yuvj420p", "gray"}) {
    CAPTURE(kind);
    ffmpeg("-f lavfi -i testsrc=s=64x48 -frames:v 1 -pix_fmt " + kind + " " + (folder / "a.jpg"));
    auto bytes = file_bytes(folder / "a.jpg");
    CHECK_FALSE(says(read_frames(folder / "a.jpg", 64, 48), "breaks off"));
    const size_t whole = bytes.size();
    bytes.insert(bytes.end(), 100, 0xff);
    write_bytes(folder / "b.jpg", bytes);
    CHECK_FALSE(says(read_frames(folder / "b.jpg", 64, 48), "breaks off"));
    bytes.resize(whole * 2 / 3);
    write_bytes(folder / "b.jpg", bytes);
    CHECK(says(read_frames(folder / "b.jpg", 64, 48), "breaks off"));
  }
}

TEST_CASE("raw Motion JPEG is a clip of 25 frames a second, whatever its name") {
  const TemporaryFolder folder;
  ffmpeg("-f lavfi -i testsrc=s=64x48:r=11:d=1 -q:v 2 -f mjpeg " + (folder / "a.mjpeg"));
  const auto bytes = file_bytes(folder / "a.mjpeg");
  const auto expected =
      ffmpeg("-f mjpeg -i " + (folder / "a.mjpeg") +
             " -sws_flags bicubic+accurate_rnd+full_chroma_int+full_chroma_inp" + kRgb);
  write_bytes(folder / "b.jpg", bytes);
  for (const char* name : {"a.mjpeg", "b.jpg"}) {
    CAPTURE(name);
    const Media media = read_frames(folder / name, 64, 48, 100);
    CHECK(media.frames == 11);
    CHECK(media.stated_rate == 25);
    CHECK(media.pixels == expected);
  }
  // What stands behind a photograph is no clip of it: a camera's other pictures (MPF), which are of
  // one size, a preview of another, a phone's film.
  ffmpeg("-f lavfi -i testsrc=s=64x48 -frames:v 1 -q:v 2 " + (folder / "still.jpg"));
  ffmpeg("-f lavfi -i testsrc=s=32x24 -frames:v 1 -q:v 2 " + (folder / "small.jpg"));
  const auto still = file_bytes(folder / "still.jpg"), small = file_bytes(folder / "small.jpg");
  auto several = still;
  const uint8_t others[] = {0xff, 0xe2, 0, 6, 'M', 'P', 'F', 0};
  several.insert(several.begin() + 2, std::begin(others), std::end(others));
  for (const auto& [first, second] :
       {std::pair{several, still}, {still, small}, {still, std::vector<uint8_t>(100, 7)}}) {
    auto both = first;
    both.insert(both.end(), second.begin(), second.end());
    write_bytes(folder / "c.jpg", both);
    CHECK(read_frames(folder / "c.jpg", 64, 48, 100).frames == 1);
  }
}

TEST_CASE("a cut file says that it breaks off") {
  const TemporaryFolder folder;
  ffmpeg("-f lavfi -i testsrc2=s=64x48:r=16:d=3 -c:v libx264 -g 8 " + (folder / "a.mkv"));
  CHECK_FALSE(says(read_frames(folder / "a.mkv", 64, 48, 100), "breaks off"));
  CHECK_FALSE(says(read_frames(folder / "a.mkv", 64, 48, 10), "breaks off"));
  // One that begins late states when it ends.
  ffmpeg("-i " + (folder / "a.mkv") + " -c copy -output_ts_offset 5 " + (folder / "late.mkv"));
  CHECK_FALSE(says(read_frames(folder / "late.mkv", 64, 48, 100), "breaks off"));
  auto bytes = file_bytes(folder / "a.mkv");
  bytes.resize(bytes.size() / 2);
  write_bytes(folder / "a.mkv", bytes);
  CHECK(says(read_frames(folder / "a.mkv", 64, 48, 100), "breaks off"));
}

TEST_CASE("recordings behind one another in one file are one clip, as ffmpeg shows them") {
  const TemporaryFolder folder;
  const auto record = [&](const std::string& name, const char* sky, const char* more) {
    ffmpeg("-f lavfi -i color=" + std::string(sky) + ":s=64x48:r=25:d=1 -f lavfi -i sine=d=1" +
           " -c:v mpeg2video -q:v 1 -bf 2 -c:a mp2 " + more + (folder / name));
    return file_bytes(folder / name);
  };
  // The second begins at the first's time, an hour later, a day later.
  for (const auto& [kind, later] : {std::pair{".ts", ""},
                                    {".mpg", ""},
                                    {".ts", "-output_ts_offset 3600 "},
                                    {".ts", "-output_ts_offset 86400 "}}) {
    CAPTURE(kind);
    CAPTURE(later);
    auto bytes = record(str("a", kind), "red", "");
    const auto second = record(str("b", kind), "blue", later);
    bytes.insert(bytes.end(), second.begin(), second.end());
    const std::string path = folder / str("both", kind);
    write_bytes(path, bytes);
    const Media media = read_frames(path, 64, 48, 200, 25);
    const auto expected = ffmpeg("-i " + path + " -vf fps=25" + kRgb);
    CHECK(std::abs(media.frames - static_cast<int64_t>(expected.size() / (64 * 48 * 3))) <= 1);
    CHECK(media.pixels[2] < 60);
    CHECK(media.pixels[media.pixels.size() - 1] > 200);
    CHECK_FALSE(says(media, "breaks off"));
    ReadRequest request;
    request.sound = true;
    request.max_seconds = 100;
    const auto sound = read_media(path, request);
    REQUIRE(sound.ok());
    const auto heard = static_cast<double>(sound->samples.size()) /
                       (sound->sample_rate * static_cast<double>(sound->channels));
    CHECK(heard == doctest::Approx(2).epsilon(0.05));
  }
}

TEST_CASE("interlaced clips: whole frames as ffmpeg's bwdif makes them") {
  const TemporaryFolder folder;
  const std::string make =
      "-f lavfi -i testsrc2=s=64x48:r=50:d=0.4 -vf tinterlace=interleave_top,format=yuv420p ";
  for (const auto& [name, codec] :
       {std::pair{"a.mpg", "-c:v mpeg2video -q:v 2 -flags +ilme+ildct -top 1 "},
        {"a.mkv", "-c:v libx264 -qp 4 -x264opts tff=1 "}}) {
    CAPTURE(name);
    ffmpeg(make + codec + (folder / name));
    const auto woven = ffmpeg("-i " + (folder / name) + kRgb);
    const auto expected = ffmpeg("-i " + (folder / name) +
                                 " -vf bwdif=send_frame:auto:interlaced -sws_flags "
                                 "bicubic+accurate_rnd+full_chroma_int+full_chroma_inp" +
                                 kRgb);
    const Media media = read_frames(folder / name, 64, 48, 100);
    CHECK(media.frames == 10);
    CHECK(mean_difference(media.pixels, expected) < 0.5);
    CHECK(mean_difference(woven, expected) > 4);
    CHECK(says(media, "interlaced"));
  }
  ffmpeg("-f lavfi -i testsrc2=s=64x48:r=25:d=0.4 -c:v libx264 -qp 4 " + (folder / "b.mkv"));
  CHECK_FALSE(says(read_frames(folder / "b.mkv", 64, 48, 100), "interlaced"));
}

TEST_CASE("clips with transparency") {
  const TemporaryFolder folder;
  const std::string source =
      "-f lavfi -i "
      "\"color=magenta:s=64x48:r=8:d=0.5,format=rgba,geq=r='r(X,Y)':g='g(X,Y)':b='b(X,Y)'"
      ":a='if(lt(X,32),0,255)'\" ";
  ffmpeg(source + "-c:v libvpx-vp9 -pix_fmt yuva420p " + (folder / "a.webm"));
  ffmpeg(source + "-c:v prores_ks -pix_fmt yuva444p10le " + (folder / "a.mov"));
  for (const std::string name : {"a.webm", "a.mov"}) {
    CAPTURE(name);
    const Media media = read_frames(folder / name, 64, 48);
    CHECK(says(media, "transparent"));
    CHECK(media.pixels[3 * (10 * 64 + 10) + 1] >= 254);  // white
    CHECK(media.pixels[3 * (10 * 64 + 50) + 1] <= 2);    // magenta
  }
}

}  // namespace
}  // namespace zoetrope
