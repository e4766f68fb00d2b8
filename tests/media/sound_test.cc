// Sound as people have it: offsets, rates, channels that change. ffmpeg makes the files.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <numbers>
#include <tuple>

#include "tests/media/clips.h"

namespace zoetrope {
namespace {

Media read_sound(const std::string& path, int rate, int channels, int64_t most = 1 << 20) {
  ReadRequest request;
  request.sound = true;
  request.sample_rate = rate;
  request.channels = channels;
  request.max_samples = most;
  auto media = read_media(path, request);
  REQUIRE_MESSAGE(media.ok(), media.status().message());
  return std::move(*media);
}

double rms(const std::vector<float>& samples, size_t begin, size_t end) {
  double sum = 0;
  for (size_t i = begin; i < end; ++i) sum += double{samples[i]} * samples[i];
  return std::sqrt(sum / static_cast<double>(end - begin));
}

// What is left of `samples` without its best sine of this frequency, as a fraction.
double beside_sine(const std::vector<float>& samples, double frequency, int rate) {
  double s = 0, c = 0, total = 0;
  const size_t begin = samples.size() / 4, end = samples.size() * 3 / 4;
  const auto n = static_cast<double>(end - begin);
  for (size_t i = begin; i < end; ++i) {
    const double phase = 2 * std::numbers::pi * frequency * static_cast<double>(i) / rate;
    s += samples[i] * std::sin(phase) * 2 / n;
    c += samples[i] * std::cos(phase) * 2 / n;
  }
  double rest = 0;
  for (size_t i = begin; i < end; ++i) {
    const double phase = 2 * std::numbers::pi * frequency * static_cast<double>(i) / rate;
    const double left = samples[i] - s * std::sin(phase) - c * std::cos(phase);
    rest += left * left;
    total += double{samples[i]} * samples[i];
  }
  return std::sqrt(rest / total);
}

TEST_CASE("sound at its own rate is sample for sample the file's") {
  const TemporaryFolder folder;
  ffmpeg("-f lavfi -i anoisesrc=r=44100:d=0.5:seed=3 -ac 1 -c:a pcm_s16le " + (folder / "a.wav"));
  const auto expected = ffmpeg("-i " + (folder / "a.wav") + " -f s16le -");
  const Media media = read_sound(folder / "a.wav", 0, 0);
  CHECK(media.sample_rate == 44100);
  CHECK(media.channels == 1);
  CHECK(media.sample_bits == 16);
  REQUIRE(media.samples.size() * 2 == expected.size());
  size_t different = 0;
  for (size_t i = 0; i < media.samples.size(); ++i) {
    const auto value = static_cast<int16_t>(expected[2 * i] | expected[2 * i + 1] << 8);
    different += media.samples[i] * 32768 != value;
  }
  CHECK(different == 0);
  // And written again it is the same.
  const ClipFormat format{16, 16, 8, 16, 44100, 1};
  REQUIRE(write_clip(folder / "b.wav", format, moving_square(format), media.samples).ok());
  CHECK(ffmpeg("-i " + (folder / "b.wav") + " -f s16le -") == expected);
}

TEST_CASE("WAV that does not know its length is whole, one that is cut breaks off") {
  const TemporaryFolder folder;
  const std::string path = folder / "a.wav";
  ffmpeg("-f lavfi -i anoisesrc=r=44100:d=0.4:seed=3 -ac 1 -fflags +bitexact " + path);
  const auto bytes = file_bytes(path);
  constexpr size_t kDataSize = 40, kSamples = 17640;
  for (const uint8_t unknown : {0x00, 0xff}) {  // as encoders leave it that write into a pipe
    auto streamed = bytes;
    for (const size_t at : {size_t{4}, kDataSize})
      std::fill_n(streamed.begin() + static_cast<int64_t>(at), 4, unknown);
    write_bytes(path, streamed);
    const Media media = read_sound(path, 0, 0);
    CHECK(media.samples.size() == kSamples);
    CHECK(media.notices.empty());
  }
  auto cut = bytes;
  cut.resize(bytes.size() - 10001);
  write_bytes(path, cut);
  CHECK(says(read_sound(path, 0, 0), "breaks off"));
}

TEST_CASE("WAV of big-endian numbers is refused, not played as noise") {
  const TemporaryFolder folder;
  ffmpeg("-f lavfi -i sine=d=0.1 " + (folder / "a.wav"));
  auto bytes = file_bytes(folder / "a.wav");
  bytes[3] = 'X';
  for (const size_t at : {4, 16}) std::reverse(&bytes[at], &bytes[at + 4]);
  write_bytes(folder / "a.wav", bytes);
  ReadRequest request;
  request.sound = true;
  const auto media = read_media(folder / "a.wav", request);
  CHECK(media.status().code() == Code::kUnsupported);
  CHECK(media.status().message().find("big-endian") != std::string::npos);
}

TEST_CASE("24-bit and float sound keep their bits in WAV") {
  const TemporaryFolder folder;
  for (const auto& [codec, raw, bits] :
       {std::tuple{"pcm_s24le", "s24le", 24}, std::tuple{"pcm_f32le", "f32le", 32}}) {
    CAPTURE(codec);
    ffmpeg("-f lavfi -i anoisesrc=r=8000:d=0.2:seed=5 -c:a " +
           (codec + (" " + (folder / "a.wav"))));
    const Media media = read_sound(folder / "a.wav", 0, 0);
    CHECK(media.sample_bits == bits);
    ClipFormat format{16, 16, 8, 16, 8000, media.channels};
    format.sample_bits = media.sample_bits;
    REQUIRE(write_clip(folder / "b.wav", format, moving_square(format), media.samples).ok());
    const std::string to = std::string(" -f ") + raw + " -";
    CHECK(ffmpeg("-i " + (folder / "b.wav") + to) == ffmpeg("-i " + (folder / "a.wav") + to));
  }
}

TEST_CASE("resampling keeps tones and lets nothing alias") {
  const TemporaryFolder folder;
  for (const int from : {44100, 48000, 8000, 22050}) {
    CAPTURE(from);
    ffmpeg("-f lavfi -i \"aevalsrc=0.5*sin(2*PI*1000*t):s=" + std::to_string(from) +
           ":d=2\" -c:a pcm_f32le " + (folder / "a.wav"));
    const Media media = read_sound(folder / "a.wav", 16000, 1);
    CHECK(static_cast<double>(media.samples.size()) == doctest::Approx(32000).epsilon(0.001));
    CHECK(beside_sine(media.samples, 1000, 16000) < 1e-4);  // -80 dB
    CHECK(rms(media.samples, 8000, 24000) == doctest::Approx(0.5 / std::sqrt(2)).epsilon(0.001));
  }
  ffmpeg("-f lavfi -i \"aevalsrc=0.5*sin(2*PI*11000*t):s=48000:d=2\" -c:a pcm_f32le " +
         (folder / "high.wav"));
  CHECK(rms(read_sound(folder / "high.wav", 16000, 1).samples, 8000, 24000) < 5e-6);
}

TEST_CASE(
    "sound of a rate that the codec does not take is written at the next above, or at its "
    "highest") {
  // ISO/IEC 14496-3, table 1.18: AAC's rates are 7350 to 96000 Hz.
  for (const auto& [rate, written, tone] :
       {std::tuple{400, 7350, 50.0}, std::tuple{9000, 11025, 1000.0},
        std::tuple{192000, 96000, 1000.0}}) {
    CAPTURE(rate);
    const TemporaryFolder folder;
    const ClipFormat format{16, 16, 16, 8, rate, 1};
    std::vector<float> samples(static_cast<size_t>(2 * rate));
    for (size_t i = 0; i < samples.size(); ++i)
      samples[i] =
          0.5f *
          static_cast<float>(std::sin(2 * std::numbers::pi * tone * static_cast<double>(i) / rate));
    std::string description;
    const Status status =
        write_clip(folder / "a.mp4", format, moving_square(format), samples, &description);
    REQUIRE_MESSAGE(status.ok(), status.message());
    CHECK(description.ends_with(str("AAC at ", written, " Hz")));
    const auto raw = ffmpeg("-i " + (folder / "a.mp4") + " -f f32le -");
    std::vector<float> heard(raw.size() / sizeof(float));
    std::memcpy(heard.data(), raw.data(), heard.size() * sizeof(float));
    CHECK(std::abs(static_cast<double>(heard.size()) / written - 2.0) < 1024.5 / written);
    CHECK(beside_sine(heard, tone, written) < 0.1);
    CHECK(rms(heard, heard.size() / 4, heard.size() / 2) ==
          doctest::Approx(0.5 / std::numbers::sqrt2).epsilon(0.03));
  }
}

TEST_CASE("one channel as two, two as one, six as two: loudness stays") {
  const TemporaryFolder folder;
  ffmpeg("-f lavfi -i \"aevalsrc=0.5*sin(2*PI*500*t):s=16000:d=1\" " + (folder / "mono.wav"));
  ffmpeg("-f lavfi -i \"aevalsrc=0.5*sin(2*PI*500*t)|0.5*sin(2*PI*500*t):s=16000:d=1\" " +
         (folder / "stereo.wav"));
  const double level = 0.5 / std::sqrt(2);
  const Media two = read_sound(folder / "mono.wav", 16000, 2);
  CHECK(rms(two.samples, 8000, 16000) == doctest::Approx(level).epsilon(0.001));
  const Media one = read_sound(folder / "stereo.wav", 16000, 1);
  CHECK(rms(one.samples, 4000, 8000) == doctest::Approx(level).epsilon(0.001));
  std::string loud;
  for (int i = 0; i < 6; ++i) loud += std::string(i ? "|" : "") + "0.99*sin(2*PI*500*t)";
  ffmpeg("-f lavfi -i \"aevalsrc=" + loud + ":s=16000:d=1\" -c:a pcm_f32le " +
         (folder / "six.wav"));
  const Media folded = read_sound(folder / "six.wav", 16000, 2);
  for (const float x : folded.samples) REQUIRE(std::abs(x) <= 1.0f);
}

TEST_CASE("more channels than two are mixed as ffmpeg -ac mixes them") {
  const TemporaryFolder folder;
  for (const auto& [layout, count] :
       {std::pair{"quad", 4}, {"5.0", 5}, {"5.1", 6}, {"5.1(side)", 6}, {"6.1", 7}, {"7.1", 8}}) {
    std::string tones;
    for (int i = 0; i < count; ++i)
      tones += str(i > 0 ? "|" : "", "0.4*sin(2*PI*", 300 + 250 * i, "*t)");
    ffmpeg("-f lavfi -i \"aevalsrc=" + tones + ":s=16000:d=0.5:c=" + layout + "\" " +
           (folder / "a.wav"));
    for (const int channels : {1, 2}) {
      CAPTURE(layout);
      CAPTURE(channels);
      const auto bytes = ffmpeg("-i " + (folder / "a.wav") + str(" -ac ", channels, " -f s16le -"));
      const Media mixed = read_sound(folder / "a.wav", 16000, channels);
      REQUIRE(bytes.size() == 2 * mixed.samples.size());
      for (size_t i = 0; i < mixed.samples.size(); ++i) {
        int16_t expected = 0;
        std::memcpy(&expected, &bytes[2 * i], 2);
        REQUIRE(std::abs(32768 * mixed.samples[i] - expected) <= 2);
      }
    }
  }
}

TEST_CASE("Ogg files behind one another sound without a gap") {
  const TemporaryFolder folder;
  for (const auto& [name, codec] : {std::pair{"a.opus", "libopus"}, {"a.ogg", "libvorbis"}}) {
    CAPTURE(name);
    ffmpeg("-f lavfi -i sine=r=48000:d=0.4 -c:a " + std::string(codec) + " " + (folder / name));
    auto bytes = file_bytes(folder / name);
    const auto once = bytes;
    bytes.insert(bytes.end(), once.begin(), once.end());
    write_bytes(folder / name, bytes);
    const Media media = read_sound(folder / name, 48000, 1);
    // The second's warming up of 6.5 ms comes along, as from ffmpeg.
    CHECK(static_cast<double>(media.samples.size()) / 48000 == doctest::Approx(0.8).epsilon(0.01));
    CHECK(media.notices.empty());
  }
}

TEST_CASE("sound that starts after the picture stays where it is") {
  const TemporaryFolder folder;
  for (const std::string name : {"a.mkv", "a.mp4", "a.ts"}) {
    CAPTURE(name);
    ffmpeg(
        "-f lavfi -i testsrc=s=64x48:r=10:d=2 -itsoffset 0.75 -f lavfi -i "
        "\"aevalsrc=0.8*sin(2*PI*1000*t):s=16000:d=1\" -c:a " +
        std::string(name == "a.mkv" ? "pcm_s16le " : "aac ") + "-c:v mpeg4 " + (folder / name));
    const Media media = read_sound(folder / name, 16000, 1);
    CHECK(first_loud(media.samples, 1, 16000) == doctest::Approx(0.75).epsilon(0.05));
  }
}

TEST_CASE("what encoders pad is not sound") {
  const TemporaryFolder folder;
  for (const std::string name :
       {"aac -f mp4", "libmp3lame -f mp3", "libopus -f ogg", "wmav2 -f asf"}) {
    CAPTURE(name);
    ffmpeg("-f lavfi -i \"aevalsrc=0.5*sin(2*PI*1000*t):s=48000:d=1\" -c:a " + name + " " +
           (folder / "a"));
    const Media media = read_sound(folder / "a", 0, 1);
    const auto count = static_cast<double>(media.samples.size());
    CHECK(count <= 48000);
    CHECK(count >= 48000 - 2048 * 2);  // WMA loses what its decoder needs to settle
    CHECK(std::abs(media.samples[0]) < 0.6f);
    CHECK(first_loud(media.samples, 1, 48000) < 0.01);
  }
}

TEST_CASE("a picture that starts after the sound stays where it is") {
  const TemporaryFolder folder;
  // White from 0.5 s of its own on, and half a second late: white from 1 s of the clip on.
  ffmpeg(
      "-f lavfi -i \"aevalsrc=0.8*sin(2*PI*1000*t):s=16000:d=2\" -itsoffset 0.5 -f lavfi -i "
      "\"color=black:s=32x32:r=10:d=2,format=gray,geq=lum='if(gte(N,5),255,0)'\" -c:v ffv1 "
      "-c:a pcm_s16le " +
      (folder / "a.mkv"));
  ReadRequest request;
  request.width = request.height = 32;
  request.fps = 10;
  request.max_frames = 100;
  const auto media = read_media(folder / "a.mkv", request);
  REQUIRE(media.ok());
  int64_t white = 0;
  while (white < (*media).frames && (*media).pixels[static_cast<size_t>(white * 32 * 32 * 3)] < 128)
    ++white;
  CHECK(white == 10);
}

TEST_CASE("channels and rates that change in mid-stream") {
  const TemporaryFolder folder;
  const auto tone = [&](int rate, int channels, const std::string& name, const std::string& codec) {
    std::string one = "0.5*sin(2*PI*500*t)", all = one;
    for (int i = 1; i < channels; ++i) all += "|" + one;
    ffmpeg("-f lavfi -i \"aevalsrc=" + all + ":s=" + std::to_string(rate) + ":d=1\" " + codec +
           " " + (folder / name));
  };
  for (const auto& [first, second] : {std::pair{std::pair{32000, 2}, std::pair{32000, 1}},
                                      {{32000, 1}, {32000, 2}},
                                      {{16000, 1}, {44100, 6}},
                                      {{44100, 6}, {16000, 1}}})
    for (const std::string kind : {"aac -f adts", "libvorbis -f ogg", "flac -f flac"}) {
      CAPTURE(kind);
      tone(first.first, first.second, "a", "-c:a " + kind);
      tone(second.first, second.second, "b", "-c:a " + kind);
      auto bytes = file_bytes(folder / "a");
      const auto more = file_bytes(folder / "b");
      bytes.insert(bytes.end(), more.begin(), more.end());
      write_bytes(folder / "both", bytes);
      const Media media = read_sound(folder / "both", 16000, 2);
      CHECK(media.samples.size() > 2 * 15000);
      for (const float x : media.samples) REQUIRE(std::abs(x) <= 1.0f);
      if (kind[0] != 'a') continue;  // both halves are read of raw AAC at least
      REQUIRE(media.samples.size() > 2 * 30000);
      CHECK(rms(media.samples, 44000, 60000) == doctest::Approx(0.354).epsilon(0.1));
    }
}

TEST_CASE("a rate of one hertz takes no more memory than is asked for") {
  const TemporaryFolder folder;
  std::string wav = "RIFF....WAVEfmt \x10";
  wav += std::string("\0\0\0\1\0\1\0\1\0\0\0\2\0\0\0\2\0\20\0data\200\32\6\0", 27);
  wav.resize(wav.size() + 400000, '\1');
  write_bytes(folder / "a.wav", {wav.begin(), wav.end()});
  const Media media = read_sound(folder / "a.wav", 16000, 2, 8000);
  CHECK(media.samples.size() == 16000);
  CHECK(media.samples.capacity() < 1 << 18);
  CHECK(media.more_samples);
}

TEST_CASE("what is made of more than two channels is said; a picture has no sound") {
  const TemporaryFolder folder;
  ffmpeg("-f lavfi -i anoisesrc=d=0.2,aformat=channel_layouts=5.1 " + (folder / "a.wav"));
  ffmpeg("-f lavfi -i color=red:s=16x16 -frames:v 1 " + (folder / "a.png"));
  ReadRequest request;
  request.sound = true;
  request.max_seconds = 1;
  const auto media = read_media(folder / "a.wav", request);
  REQUIRE(media.ok());
  CHECK(media->channels == 2);
  CHECK(says(*media, "6 channels"));
  const auto picture = read_media(folder / "a.png", request);
  CHECK(picture.status().code() == Code::kNotFound);
  CHECK(picture.status().message().find("is a picture") != std::string::npos);
}

}  // namespace
}  // namespace zoetrope
