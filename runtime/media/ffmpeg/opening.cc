#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <fstream>

#include "graph/format/output_file.h"
#include "runtime/media/ffmpeg/input.h"
#include "runtime/media/foreign_media.h"
#include "runtime/media/iso_boxes.h"

namespace zoetrope {
namespace {

// Demuxers of single files; playlists and scripts (hls, concat, dash, ...) are left out on purpose.
constexpr const char* kFormats =
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif,apng,ico,yuv4mpegpipe,mpegts,mpeg,mpegvideo,ogg,"
    "flv,"
    "asf,ivf,obu,h264,hevc,wav,w64,rf64,aiff,flac,mp3,aac,loas,ac3,eac3,dts,truehd,caf,au,amr,wv,"
    "tta,ape,dsf,voc,mxf,dv,nut";

// A name that promises a kind that is read here.
bool has_known_name(const std::string& path) {
  std::string name = path.substr(path.find_last_of('.') + 1);
  for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  for (const char* known :
       {"mp4", "m4v",  "mov",  "mkv", "webm", "avi", "ts",  "mpg", "flv",  "gif", "png", "apng",
        "jpg", "jpeg", "webp", "y4m", "wav",  "mp3", "m4a", "aac", "flac", "ogg", "opus"})
    if (name == known) return true;
  return false;
}

// Why what FFmpeg does not open is no use.
Status no_media(int code, const std::string& path) {
  if (code == AVERROR_PROTOCOL_NOT_FOUND) code = AVERROR(ENOMEM);  // files are always one
  if (code != AVERROR(EINVAL) && code != AVERROR_INVALIDDATA && code != AVERROR_EOF)
    return ffmpeg_error(code, "cannot read " + path);
  if (const std::string what = name_foreign_media(path); !what.empty())
    return error(what.find("broke off") != what.npos ? Code::kDataLoss : Code::kUnsupported,
                 "cannot read ", path, ": it is ", what);
  if (has_known_name(path))
    return error(Code::kDataLoss, "cannot read ", path,
                 ": damaged, or not what its name says that it is");
  return error(Code::kUnsupported, path,
               " is no picture, clip or sound of a kind that is supported; save it as PNG, JPEG, "
               "MP4 or WAV");
}

// Files only, however the path looks.
int open_and_probe(const std::string& path, InputPtr* input) {
  // One picture never comes here, and FFmpeg takes raw Motion JPEG for one.
  std::array<char, 2> begin = {};
  std::ifstream(path, std::ios::binary).read(begin.data(), begin.size());
  const bool is_jpeg = begin[0] == '\xff' && begin[1] == '\xd8';
  const AVInputFormat* format = is_jpeg ? av_find_input_format("mjpeg") : nullptr;
  const std::string url = "file:" + path;
  const ForeignCode opening(ForeignCode::Kind::kReading, "opening a clip by FFmpeg");
  AVFormatContext* raw = nullptr;
  AVDictionary* options = nullptr;
  int code = av_dict_set(&options, "protocol_whitelist", "file", 0);
  if (code >= 0) code = av_dict_set(&options, "format_whitelist", is_jpeg ? "mjpeg" : kFormats, 0);
  if (code >= 0) code = avformat_open_input(&raw, url.c_str(), format, &options);
  av_dict_free(&options);
  input->reset(code < 0 ? nullptr : raw);
  return code < 0 ? code : avformat_find_stream_info(raw, nullptr);
}

}  // namespace

Status check_readable(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0)
    return errno == ENOENT ? error(Code::kNotFound, "cannot read ", path, ": no such file")
                           : io_error(errno, "cannot read", path);
  if (S_ISDIR(info.st_mode))
    return error(Code::kInvalidArgument, path, " is a folder; a sequence of pictures is given as ",
                 path, "/%04d.png");
  if (!S_ISREG(info.st_mode))
    return error(Code::kInvalidArgument, path,
                 " is a pipe or a device; what is given is read more than once, so save it first");
  if (info.st_size == 0) return error(Code::kDataLoss, path, " is empty");
  return Status();
}

Result<std::vector<uint8_t>> read_bytes(const std::string& path, int64_t most) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return io_error(errno, "cannot read", path);
  std::vector<uint8_t> bytes;
  constexpr size_t kStep = 1 << 20;
  while (in && static_cast<int64_t>(bytes.size()) < most) {
    const size_t step = std::min<size_t>(kStep, static_cast<size_t>(most) - bytes.size());
    bytes.resize(bytes.size() + step);
    in.read(reinterpret_cast<char*>(bytes.data() + bytes.size() - step),
            static_cast<std::streamsize>(step));
    bytes.resize(bytes.size() - step + static_cast<size_t>(in.gcount()));
  }
  return bytes;
}

Result<InputPtr> open_input(const std::string& path) {
  ZT_RETURN_IF_ERROR(check_readable(path));
  std::error_code no_size;
  const uint64_t bytes = std::filesystem::file_size(path, no_size);
  if (const std::string what = no_size ? "" : overstated_table(read_iso_boxes(path), bytes);
      !what.empty())
    return error(Code::kDataLoss, "cannot read ", path, ": ", what);
  InputPtr input;
  const MemoryWatch memory;
  const int code = open_and_probe(path, &input);
  if (memory.refused(code)) return no_memory_to_read(path);
  if (code < 0) return no_media(code, path);
  return input;
}

}  // namespace zoetrope
