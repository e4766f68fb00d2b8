#include "runtime/media/plain_writers.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>

#include "graph/format/output_file.h"
#include "runtime/media/png.h"

namespace zoetrope {

Result<std::string> png_frame_path(const std::string& path, int64_t index, bool single) {
  const size_t name = path.find_last_of('/') + 1;
  const size_t percent = path.find('%', name);
  if (percent == std::string::npos) {
    if (single) return path;
    size_t dot = path.find_last_of('.');
    if (dot == std::string::npos || dot < name) dot = path.size();
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

namespace {

Status no_frames(const std::string& path) {
  return error(Code::kInvalidArgument, path, ": the clip has no frame");
}

// Frames are committed together: a cancelled clip leaves none behind. Into a pipe they go one after
// the other.
class PngWriter : public ClipWriter {
 public:
  PngWriter(std::string path, ClipFormat format)
      : path_(std::move(path)), format_(std::move(format)) {}

  // The first file is opened before there is a frame, so that a name that cannot work fails now.
  Status begin() { return open_next(); }
  Status frames(const uint8_t* pixels, int64_t count) override {
    const int64_t size = format_.width * format_.height * 3;
    for (int64_t i = 0; i < count; ++i) {
      if (!held_.empty()) ZT_RETURN_IF_ERROR(write_held());
      held_.assign(pixels + i * size, pixels + (i + 1) * size);
    }
    return Status();
  }
  bool add_tag(const std::string& name, const std::string& text) override {
    format_.tags.emplace_back(name, text);
    return true;
  }
  Status audio(const float*, int64_t) override { return Status(); }
  Status finish() override {
    if (held_.empty()) return no_frames(path_);
    ZT_RETURN_IF_ERROR(write_held());
    for (OutputFile& file : files_) ZT_RETURN_IF_ERROR(file.commit());
    return Status();
  }
  std::string description() const override { return "PNG"; }

 private:
  Status write_held() {
    if (written_ == static_cast<int64_t>(files_.size()) && files_.front().seekable())
      ZT_RETURN_IF_ERROR(open_next());
    OutputFile& file = files_.back();
    ZT_RETURN_IF_ERROR(
        file.write(encode_png(held_.data(), format_.width, format_.height, format_.tags)));
    ++written_;
    // Frames of a sequence keep no handles.
    return file.seekable() && format_.frames != 1 ? file.close() : Status();
  }

  Status open_next() {
    ZT_ASSIGN_OR_RETURN(const OutputTarget target, resolve_output(path_));
    std::string name = path_;
    if (target.kind == OutputTarget::Kind::kFile) {
      ZT_ASSIGN_OR_RETURN(name, png_frame_path(path_, static_cast<int64_t>(files_.size()) + 1,
                                               format_.frames == 1));
    }
    ZT_ASSIGN_OR_RETURN(OutputFile file, OutputFile::create(name));
    files_.push_back(std::move(file));
    return Status();
  }

  std::string path_;
  ClipFormat format_;
  std::vector<OutputFile> files_;
  std::vector<uint8_t> held_;  // the last frame: a tag may still come
  int64_t written_ = 0;
};

void put_le(uint8_t* out, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out[i] = static_cast<uint8_t>(value >> (8 * i));
}

void append_le(std::vector<uint8_t>* out, uint64_t value, int bytes) {
  out->resize(out->size() + static_cast<size_t>(bytes));
  put_le(out->data() + out->size() - bytes, value, bytes);
}

void append_text(std::vector<uint8_t>* out, const char* text) {
  out->insert(out->end(), text, text + std::strlen(text));
}

// RIFF's names for what a clip says of itself.
constexpr std::pair<const char*, const char*> kInfoNames[] = {
    {"prompt", "INAM"}, {"comment", "ICMT"}, {"software", "ISFT"}, {"date", "ICRD"}};

// RIFF WAVE, PCM or float; sizes are known from the format, or filled in at the end.
class WavWriter : public ClipWriter {
 public:
  static constexpr int64_t kMostBytes = 0xffff0000;

  WavWriter(OutputFile file, const ClipFormat& format)
      : file_(std::move(file)), format_(format), data_bytes_(format.samples * frame_bytes()) {}

  Status begin() {
    if (data_bytes_ > kMostBytes) return too_long();
    const bool endless = format_.samples == 0 && !file_.seekable();
    return file_.write(header(endless ? 0xffffffffull : static_cast<uint64_t>(data_bytes_)));
  }
  Status frames(const uint8_t*, int64_t) override { return Status(); }
  Status audio(const float* samples, int64_t count) override {
    const auto values = static_cast<size_t>(count * format_.channels);
    const auto width = static_cast<size_t>(format_.sample_bits / 8);
    std::vector<uint8_t> bytes(values * width);
    for (size_t i = 0; i < values; ++i) put_sample(&bytes[i * width], samples[i]);
    written_ += static_cast<int64_t>(bytes.size());
    if (written_ > kMostBytes) return too_long();
    return file_.write(bytes);
  }
  bool add_tag(const std::string& name, const std::string& text) override {
    if (!file_.seekable() || text.size() > (1 << 24)) return false;
    append_info(&late_, info_name(name), text);
    return true;
  }
  Status finish() override {
    if (written_ % 2 != 0) {  // chunks begin at even places
      const uint8_t nothing = 0;
      ZT_RETURN_IF_ERROR(file_.write(&nothing, 1));
    }
    if (!late_.empty()) {
      std::vector<uint8_t> list;
      append_list(&list, late_);
      ZT_RETURN_IF_ERROR(file_.write(list));
    }
    if ((written_ != data_bytes_ || !late_.empty()) && file_.seekable())
      ZT_RETURN_IF_ERROR(file_.write_at(0, header(static_cast<uint64_t>(written_))));
    return file_.commit();
  }
  std::string description() const override {
    return is_float() ? "32-bit float" : str(format_.sample_bits, "-bit PCM");
  }

 private:
  bool is_float() const { return format_.sample_bits == 32; }
  int64_t frame_bytes() const { return int64_t{format_.channels} * format_.sample_bits / 8; }
  Status too_long() const {
    return error(Code::kResourceExhausted, file_.path(), ": a WAV file holds at most 4 GiB");
  }

  // Full scale is 2^(bits - 1), as readers have it: what was read from a file of as many bits comes
  // out as it was.
  void put_sample(uint8_t* out, float value) const {
    if (is_float()) {
      uint32_t bits = 0;
      std::memcpy(&bits, &value, 4);
      return put_le(out, bits, 4);
    }
    const double full = std::ldexp(1.0, format_.sample_bits - 1);
    const double scaled = std::clamp(std::rint(value * full), -full, full - 1);
    put_le(out, static_cast<uint64_t>(static_cast<int64_t>(scaled)), format_.sample_bits / 8);
  }

  static std::string info_name(const std::string& tag) {
    for (const auto& [key, name] : kInfoNames)
      if (tag == key) return name;
    return "ZOET";  // no name of RIFF's: one of ours
  }
  static void append_info(std::vector<uint8_t>* info, const std::string& name,
                          const std::string& text) {
    append_text(info, name.c_str());
    append_le(info, text.size() + 1, 4);
    info->insert(info->end(), text.begin(), text.end());
    info->resize(info->size() + 1 + (text.size() + 1) % 2);
  }
  static void append_list(std::vector<uint8_t>* out, const std::vector<uint8_t>& info) {
    append_text(out, "LIST");
    append_le(out, info.size() + 4, 4);
    append_text(out, "INFO");
    out->insert(out->end(), info.begin(), info.end());
  }

  std::vector<uint8_t> header(uint64_t data_bytes) const {
    std::vector<uint8_t> info;
    for (const auto& [key, name] : kInfoNames)
      for (const auto& [tag, text] : format_.tags) {
        if (tag == key) append_info(&info, name, text);
      }
    std::vector<uint8_t> out;
    const uint64_t listed = info.empty() ? 0 : info.size() + 12;
    append_text(&out, "RIFF");
    const uint64_t late = late_.empty() ? 0 : late_.size() + 12;
    const uint64_t riff = 36 + listed + data_bytes + data_bytes % 2 + late;
    append_le(&out, data_bytes == 0xffffffffull ? data_bytes : riff, 4);
    append_text(&out, "WAVEfmt ");
    append_le(&out, 16, 4);
    append_le(&out, is_float() ? 3 : 1, 2);
    append_le(&out, static_cast<uint64_t>(format_.channels), 2);
    append_le(&out, static_cast<uint64_t>(format_.sample_rate), 4);
    append_le(&out, static_cast<uint64_t>(format_.sample_rate * frame_bytes()), 4);
    append_le(&out, static_cast<uint64_t>(frame_bytes()), 2);
    append_le(&out, static_cast<uint64_t>(format_.sample_bits), 2);
    if (!info.empty()) append_list(&out, info);
    append_text(&out, "data");
    append_le(&out, data_bytes, 4);
    return out;
  }

  OutputFile file_;
  ClipFormat format_;
  std::vector<uint8_t> late_;  // names and texts that stand behind the samples
  int64_t data_bytes_ = 0;     // as the header has it
  int64_t written_ = 0;
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
  auto writer = std::make_unique<PngWriter>(path, format);
  ZT_RETURN_IF_ERROR(writer->begin());
  return std::unique_ptr<ClipWriter>(std::move(writer));
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
