#include "runtime/media/clip_writer.h"

#include <dlfcn.h>

#include <algorithm>
#include <cctype>
#include <filesystem>

#include "runtime/media/ffmpeg/module.h"
#include "runtime/media/plain_writers.h"

namespace zoetrope {
namespace {

Result<const MediaModule*> load_ffmpeg() {
  static const Result<const MediaModule*> module = []() -> Result<const MediaModule*> {
    Dl_info info;
    if (dladdr(reinterpret_cast<const void*>(&load_ffmpeg), &info) == 0 || !info.dli_fname)
      return error(Code::kInternal, "cannot find this library's own folder");
    std::error_code ec;
    const auto path =
        std::filesystem::canonical(info.dli_fname, ec).parent_path() / "libzoetrope_ffmpeg.so";
    void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr)
      return error(Code::kUnavailable, "FFmpeg's libraries cannot be loaded (", dlerror(),
                   "); .png, .wav and .y4m need none of them");
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

}  // namespace

std::string known_clip_extensions() { return ".mp4, .webm, .mkv, .mov, .gif, .y4m, .png, .wav"; }

Result<std::unique_ptr<ClipWriter>> create_clip_writer(const std::string& path,
                                                       const ClipFormat& format) {
  ZT_CHECK(format.width > 0 && format.height > 0 && format.fps > 0);
  const std::string extension = extension_of(path);
  if (extension == ".png") return create_png_writer(path, format);
  if (extension == ".wav") return create_wav_writer(path, format);
  if (extension == ".y4m") return create_y4m_writer(path, format);
  for (const char* known : {".mp4", ".webm", ".mkv", ".mov", ".gif"}) {
    if (extension != known) continue;
    ZT_ASSIGN_OR_RETURN(const MediaModule* module, load_ffmpeg());
    return module->create_writer(path, format);
  }
  return error(Code::kInvalidArgument, path, ": unknown extension '", extension,
               "'; known: ", known_clip_extensions());
}

Result<Media> read_media(const std::string& path, const ReadRequest& request) {
  ZT_ASSIGN_OR_RETURN(const MediaModule* module, load_ffmpeg());
  return module->read(path, request);
}

}  // namespace zoetrope
