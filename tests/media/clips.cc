#include "tests/media/clips.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <numbers>

namespace zoetrope {

std::vector<uint8_t> moving_square(const ClipFormat& f) {
  std::vector<uint8_t> pixels;
  pixels.reserve(static_cast<size_t>(f.frames * f.height * f.width * 3));
  for (int64_t t = 0; t < f.frames; ++t)
    for (int64_t y = 0; y < f.height; ++y)
      for (int64_t x = 0; x < f.width; ++x) {
        const bool inside =
            std::abs(x - (4 + 3 * t) % f.width) < 8 && std::abs(y - f.height / 2) < 8;
        pixels.push_back(inside ? 220 : static_cast<uint8_t>(40 + 100 * x / f.width));
        pixels.push_back(inside ? 60 : static_cast<uint8_t>(60 + 80 * y / f.height));
        pixels.push_back(inside ? 50 : 120);
      }
  return pixels;
}

std::vector<float> burst_at(const ClipFormat& f, double seconds) {
  const int64_t count = f.frames * f.sample_rate / f.fps;
  const auto begin = static_cast<int64_t>(std::llround(seconds * f.sample_rate));
  std::vector<float> samples;
  for (int64_t i = 0; i < count; ++i) {
    const bool on = i >= begin && i < begin + f.sample_rate / 10;
    const double phase =
        2 * std::numbers::pi * 1000 * static_cast<double>(i - begin) / f.sample_rate;
    for (int c = 0; c < f.channels; ++c)
      samples.push_back(on ? static_cast<float>(0.8 * std::cos(phase)) : 0.0f);
  }
  return samples;
}

double first_loud(const std::vector<float>& samples, int channels, int sample_rate) {
  for (size_t i = 0; i < samples.size(); i += static_cast<size_t>(channels))
    if (std::abs(samples[i]) > 0.1f) return static_cast<double>(i) / channels / sample_rate;
  return -1;
}

Status write_clip(const std::string& path, const ClipFormat& f, const std::vector<uint8_t>& pixels,
                  const std::vector<float>& samples, std::string* description) {
  ZT_ASSIGN_OR_RETURN(const auto writer, create_clip_writer(path, f));
  if (description != nullptr) *description = writer->description();
  for (int64_t t = 0; t < f.frames; ++t)
    ZT_RETURN_IF_ERROR(writer->frames(pixels.data() + t * f.height * f.width * 3, 1));
  const auto total = f.channels > 0 ? static_cast<int64_t>(samples.size()) / f.channels : 0;
  for (int64_t i = 0, step = 1; i < total; i += step, step = (step * 7 + 3) % 2999 + 1)
    ZT_RETURN_IF_ERROR(writer->audio(samples.data() + i * f.channels, std::min(step, total - i)));
  return writer->finish();
}

std::vector<uint8_t> ffmpeg(const std::string& arguments) {
  std::FILE* pipe = popen(("ffmpeg -nostdin -v error -y " + arguments).c_str(), "r");
  REQUIRE(pipe != nullptr);
  std::vector<uint8_t> bytes;
  uint8_t part[4096];
  while (const size_t n = std::fread(part, 1, sizeof(part), pipe))
    bytes.insert(bytes.end(), part, part + n);
  REQUIRE_MESSAGE(pclose(pipe) == 0, arguments);
  return bytes;
}

int largest_difference(const std::vector<uint8_t>& a, const std::vector<uint8_t>& b) {
  REQUIRE(a.size() == b.size());
  int most = 0;
  for (size_t i = 0; i < a.size(); ++i) most = std::max(most, std::abs(a[i] - b[i]));
  return most;
}

double mean_difference(const std::vector<uint8_t>& a, const std::vector<uint8_t>& b) {
  REQUIRE(a.size() == b.size());
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += std::abs(a[i] - b[i]);
  return a.empty() ? 0 : sum / static_cast<double>(a.size());
}

std::vector<uint8_t> file_bytes(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void write_bytes(const std::string& path, const std::vector<uint8_t>& bytes) {
  std::ofstream out(path, std::ios::binary);
  out.write(reinterpret_cast<const char*>(bytes.data()),
            static_cast<std::streamsize>(bytes.size()));
}

Media read_frames(const std::string& path, int64_t width, int64_t height, int64_t frames, int fps,
                  Fit fit) {
  ReadRequest request;
  request.width = width;
  request.height = height;
  request.max_frames = frames;
  request.fps = fps;
  request.fit = fit;
  auto media = read_media(path, request);
  REQUIRE_MESSAGE(media.ok(), media.status().message());
  return std::move(*media);
}

bool says(const Media& media, const std::string& word) {
  return std::any_of(media.notices.begin(), media.notices.end(), [&](const std::string& notice) {
    return notice.find(word) != std::string::npos;
  });
}

}  // namespace zoetrope
