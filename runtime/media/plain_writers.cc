#include "runtime/media/plain_writers.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>

#include "graph/format/output_file.h"
#include "runtime/media/png.h"

namespace zoetrope {
namespace {

// frame 7 of "out/%03d.png" is "out/007.png"; without a pattern "clip.png" gives "clip-0007.png".
Result<std::string> frame_path(const std::string& path, int64_t index, bool single) {
  const size_t percent = path.find('%');
  if (percent == std::string::npos) {
    if (single) return path;
    const size_t dot = path.find_last_of('.');
    char number[24];
    std::snprintf(number, sizeof(number), "-%04ld", static_cast<long>(index));
    return path.substr(0, dot) + number + path.substr(dot);
  }
  size_t end = percent + 1;
  int width = 0;
  while (end < path.size() && path[end] >= '0' && path[end] <= '9' && width < 100)
    width = width * 10 + (path[end++] - '0');
  if (end >= path.size() || path[end] != 'd' || width > 12 ||
      path.find('%', end) != std::string::npos)
    return error(Code::kInvalidArgument, path, ": a frame pattern has one %d, such as %04d");
  std::string number = std::to_string(index);
  if (static_cast<int>(number.size()) < width)
    number.insert(0, static_cast<size_t>(width) - number.size(), '0');
  return path.substr(0, percent) + number + path.substr(end + 1);
}

Status no_frames(const std::string& path) {
  return error(Code::kInvalidArgument, path, ": the clip has no frame");
}

// Frames are committed together: a cancelled clip leaves none behind.
class PngWriter : public ClipWriter {
 public:
  PngWriter(std::string path, const ClipFormat& format) : path_(std::move(path)), format_(format) {}

  Status frames(const uint8_t* pixels, int64_t count) override {
    const int64_t size = format_.width * format_.height * 3;
    for (int64_t i = 0; i < count; ++i) {
      ZT_ASSIGN_OR_RETURN(
          const std::string path,
          frame_path(path_, static_cast<int64_t>(files_.size()) + 1, format_.frames == 1));
      ZT_ASSIGN_OR_RETURN(OutputFile file, OutputFile::create(path));
      ZT_RETURN_IF_ERROR(file.write(encode_png(pixels + i * size, format_.width, format_.height)));
      ZT_RETURN_IF_ERROR(file.close());
      files_.push_back(std::move(file));
    }
    return Status();
  }
  Status audio(const float*, int64_t) override { return Status(); }
  Status finish() override {
    if (files_.empty()) return no_frames(path_);
    for (OutputFile& file : files_) ZT_RETURN_IF_ERROR(file.commit());
    return Status();
  }
  std::string description() const override { return "PNG"; }

 private:
  std::string path_;
  ClipFormat format_;
  std::vector<OutputFile> files_;
};

void put_le(uint8_t* out, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out[i] = static_cast<uint8_t>(value >> (8 * i));
}

// RIFF WAVE, 16-bit PCM; sizes are filled in at the end.
class WavWriter : public ClipWriter {
 public:
  WavWriter(OutputFile file, const ClipFormat& format) : file_(std::move(file)), format_(format) {}

  Status begin() { return file_.write(header()); }
  Status frames(const uint8_t*, int64_t) override { return Status(); }
  Status audio(const float* samples, int64_t count) override {
    std::vector<uint8_t> pcm(static_cast<size_t>(count * format_.channels) * 2);
    for (size_t i = 0; i < pcm.size() / 2; ++i) {
      const float x = std::clamp(samples[i], -1.0f, 1.0f);
      put_le(&pcm[2 * i], static_cast<uint64_t>(static_cast<int64_t>(std::lrint(x * 32767.0f))), 2);
    }
    data_bytes_ += static_cast<int64_t>(pcm.size());
    if (data_bytes_ > 0xfffff000ll)
      return error(Code::kResourceExhausted, file_.path(), ": a WAV file holds at most 4 GiB");
    return file_.write(pcm);
  }
  Status finish() override {
    ZT_RETURN_IF_ERROR(file_.write_at(0, header()));
    return file_.commit();
  }
  std::string description() const override { return "16-bit PCM"; }

 private:
  std::vector<uint8_t> header() const {
    std::vector<uint8_t> h(44);
    std::memcpy(&h[0], "RIFF", 4);
    put_le(&h[4], static_cast<uint64_t>(36 + data_bytes_), 4);
    std::memcpy(&h[8], "WAVEfmt ", 8);
    put_le(&h[16], 16, 4);
    put_le(&h[20], 1, 2);
    put_le(&h[22], static_cast<uint64_t>(format_.channels), 2);
    put_le(&h[24], static_cast<uint64_t>(format_.sample_rate), 4);
    put_le(&h[28],
           static_cast<uint64_t>(format_.sample_rate) * static_cast<uint64_t>(format_.channels) * 2,
           4);
    put_le(&h[32], static_cast<uint64_t>(format_.channels) * 2, 2);
    put_le(&h[34], 16, 2);
    std::memcpy(&h[36], "data", 4);
    put_le(&h[40], static_cast<uint64_t>(data_bytes_), 4);
    return h;
  }

  OutputFile file_;
  ClipFormat format_;
  int64_t data_bytes_ = 0;
};

// YUV4MPEG2, 4:4:4, BT.601 limited range (what players assume of it).
class Y4mWriter : public ClipWriter {
 public:
  Y4mWriter(OutputFile file, const ClipFormat& format) : file_(std::move(file)), format_(format) {}

  Status begin() {
    const std::string header = str("YUV4MPEG2 W", format_.width, " H", format_.height, " F",
                                   format_.fps, ":1 Ip A1:1 C444 XCOLORRANGE=LIMITED\n");
    return file_.write(header.data(), header.size());
  }
  Status frames(const uint8_t* pixels, int64_t count) override {
    const int64_t n = format_.width * format_.height;
    std::vector<uint8_t> planes(static_cast<size_t>(3 * n));
    for (int64_t f = 0; f < count; ++f, pixels += 3 * n) {
      for (int64_t i = 0; i < n; ++i) {
        const double r = pixels[3 * i], g = pixels[3 * i + 1], b = pixels[3 * i + 2];
        const double y = 0.299 * r + 0.587 * g + 0.114 * b;
        planes[static_cast<size_t>(i)] = to_byte(16 + y * 219 / 255);
        planes[static_cast<size_t>(n + i)] = to_byte(128 + (b - y) / 1.772 * 224 / 255);
        planes[static_cast<size_t>(2 * n + i)] = to_byte(128 + (r - y) / 1.402 * 224 / 255);
      }
      ZT_RETURN_IF_ERROR(file_.write("FRAME\n", 6));
      ZT_RETURN_IF_ERROR(file_.write(planes));
      ++written_;
    }
    return Status();
  }
  Status audio(const float*, int64_t) override { return Status(); }
  Status finish() override { return written_ > 0 ? file_.commit() : no_frames(file_.path()); }
  std::string description() const override { return "raw 4:4:4"; }

 private:
  static uint8_t to_byte(double value) {
    return static_cast<uint8_t>(std::lrint(std::clamp(value, 0.0, 255.0)));
  }

  OutputFile file_;
  ClipFormat format_;
  int64_t written_ = 0;
};

template <typename Writer>
Result<std::unique_ptr<ClipWriter>> open_writer(const std::string& path, const ClipFormat& format) {
  ZT_ASSIGN_OR_RETURN(OutputFile file, OutputFile::create(path));
  auto writer = std::make_unique<Writer>(std::move(file), format);
  ZT_RETURN_IF_ERROR(writer->begin());
  return std::unique_ptr<ClipWriter>(std::move(writer));
}

}  // namespace

Result<std::unique_ptr<ClipWriter>> create_png_writer(const std::string& path,
                                                      const ClipFormat& format) {
  ZT_RETURN_IF_ERROR(frame_path(path, 1, format.frames == 1).status());
  return std::unique_ptr<ClipWriter>(std::make_unique<PngWriter>(path, format));
}

Result<std::unique_ptr<ClipWriter>> create_wav_writer(const std::string& path,
                                                      const ClipFormat& format) {
  if (format.sample_rate == 0)
    return error(Code::kInvalidArgument, path, ": this clip has no sound to write");
  return open_writer<WavWriter>(path, format);
}

Result<std::unique_ptr<ClipWriter>> create_y4m_writer(const std::string& path,
                                                      const ClipFormat& format) {
  return open_writer<Y4mWriter>(path, format);
}

}  // namespace zoetrope
