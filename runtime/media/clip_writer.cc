#include "runtime/media/clip_writer.h"

#include <dlfcn.h>

#include <algorithm>
#include <cctype>
#include <filesystem>

#include "graph/format/mapped_file.h"
#include "graph/format/output_file.h"
#include "runtime/library.h"
#include "runtime/media/ffmpeg/module.h"
#include "runtime/media/plain_writers.h"
#include "runtime/media/png.h"

namespace zoetrope {
namespace {

Result<const MediaModule*> load_ffmpeg() {
  static const Result<const MediaModule*> module = []() -> Result<const MediaModule*> {
    const auto path = std::filesystem::path(library_folder()) / "libzoetrope_ffmpeg.so";
    auto opened = open_library(
        path, "FFmpeg's libraries, without which only .png, .wav and .y4m are written,");
    if (!opened.ok()) return opened.status();
    void* handle = *opened;
    const auto entry = reinterpret_cast<const MediaModule* (*)()>(dlsym(handle, "zoetrope_media"));
    if (entry == nullptr || entry()->abi != kMediaAbi)
      return error(Code::kUnavailable, path.string(), " belongs to another version of Zoetrope");
    return entry();
  }();
  return module;
}

std::string extension_of(const std::string& path) {
  const size_t slash = path.find_last_of('/'), dot = path.find_last_of('.');
  if (dot == std::string::npos || (slash != std::string::npos && dot < slash)) return "";
  std::string extension = path.substr(dot);
  for (char& c : extension) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return extension;
}

bool picture_alone(std::string_view container) {
  return container == "png" || container == "gif" || container == "y4m";
}

constexpr const char* kContainers[] = {"mp4", "webm", "mkv", "mov", "gif", "y4m", "png", "wav"};

// "mp4", "wav", ...
Result<std::string> container_of(const std::string& path, const ClipFormat& format) {
  const std::string extension = extension_of(path);
  const std::string name = !format.container.empty() ? format.container
                           : path == "-"             ? "y4m"
                           : extension.empty()       ? ""
                                                     : extension.substr(1);
  if (format.width == 0 && picture_alone(name))
    return error(Code::kInvalidArgument, path, ": there is no picture to go into ", name,
                 "; sound alone goes into ", kSoundExtensions);
  for (const char* known : kContainers)
    if (name == known) return name;
  if (!format.container.empty())
    return error(Code::kInvalidArgument, path, ": unknown format '", name,
                 "'; known: ", known_clip_extensions());
  std::error_code ec;
  if (path.ends_with('/') || std::filesystem::is_directory(path, ec))
    return error(Code::kInvalidArgument, path, " is a folder; give the name of a file in it (",
                 known_clip_extensions(), ")");
  return error(Code::kInvalidArgument, path, ": unknown extension '", extension,
               "'; known: ", known_clip_extensions(), " (or --format names one)");
}

}  // namespace

std::string known_clip_extensions() {
  std::string text;
  for (const char* name : kContainers) text += str(text.empty() ? "." : ", .", name);
  return text;
}

Result<bool> takes_sound(const std::string& path, const ClipFormat& format) {
  ZT_ASSIGN_OR_RETURN(const std::string container, container_of(path, format));
  return !picture_alone(container);
}

Result<std::vector<std::string>> clip_files(const std::string& path, const ClipFormat& format) {
  ZT_ASSIGN_OR_RETURN(const std::string container, container_of(path, format));
  std::vector<std::string> files;
  OutputTarget::Kind kind = OutputTarget::Kind::kFile;
  if (const auto target = resolve_output(path); target.ok()) kind = target->kind;
  const int64_t count = container == "png" && kind == OutputTarget::Kind::kFile
                            ? std::max<int64_t>(1, format.frames)
                            : 1;
  for (int64_t i = 1; i <= count; ++i) {
    std::string name = path;
    if (container == "png" && kind == OutputTarget::Kind::kFile) {
      ZT_ASSIGN_OR_RETURN(name, png_frame_path(path, i, count == 1));
    }
    ZT_RETURN_IF_ERROR(resolve_output(name).status());
    files.push_back(std::move(name));
  }
  return files;
}

Result<std::unique_ptr<ClipWriter>> create_clip_writer(const std::string& path,
                                                       const ClipFormat& format) {
  ZT_CHECK((format.width > 0 && format.height > 0) || format.sample_rate > 0);
  ZT_CHECK(format.fps > 0);
  ZT_ASSIGN_OR_RETURN(const std::string container, container_of(path, format));
  if (container == "png") return create_png_writer(path, format);
  if (container == "wav") return create_wav_writer(path, format);
  if (container == "y4m") return create_y4m_writer(path, format);
  ZT_ASSIGN_OR_RETURN(const MediaModule* module, load_ffmpeg());
  ClipFormat named = format;
  named.container = container;
  return module->create_writer(path, named);
}

Result<Media> read_media(const std::string& path, const ReadRequest& request,
                         const FrameSink& sink) {
  ZT_ASSIGN_OR_RETURN(const MediaModule* module, load_ffmpeg());
  return module->read(path, request, sink);
}

Result<Loudness> measure_loudness(std::span<const float> samples, int rate, int channels) {
  ZT_CHECK(rate > 0 && channels > 0);
  // A whole window of the measure.
  const auto least = static_cast<size_t>(rate) * static_cast<size_t>(channels) / 2;
  std::vector<float> repeated;
  if (!samples.empty() && samples.size() < least) {
    while (repeated.size() < least) repeated.insert(repeated.end(), samples.begin(), samples.end());
    samples = repeated;
  }
  ZT_ASSIGN_OR_RETURN(const MediaModule* module, load_ffmpeg());
  return module->measure_loudness(samples, rate, channels);
}

Result<ClipTags> read_tags(const std::string& path) {
  ZT_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::open(path));
  constexpr uint8_t kPng[] = {0x89, 'P', 'N', 'G'};
  if (file.bytes().size() > 8 && std::equal(kPng, kPng + 4, file.bytes().begin()))
    return read_png_texts(file.bytes());
  ZT_ASSIGN_OR_RETURN(const MediaModule* module, load_ffmpeg());
  return module->read_tags(path);
}

Result<Media> read_media(const std::string& path, const ReadRequest& request) {
  std::vector<uint8_t> pixels;
  ZT_ASSIGN_OR_RETURN(Media media,
                      read_media(path, request, [&](std::span<const uint8_t> rgb) -> Result<bool> {
                        pixels.insert(pixels.end(), rgb.begin(), rgb.end());
                        return true;
                      }));
  media.pixels = std::move(pixels);
  return media;
}

}  // namespace zoetrope
