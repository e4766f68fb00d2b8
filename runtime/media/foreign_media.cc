#include "runtime/media/foreign_media.h"

#include <cctype>
#include <fstream>
#include <string_view>

namespace zoetrope {
namespace {

using namespace std::string_view_literals;

struct Foreign {
  size_t at;
  std::string_view magic, what;
};

constexpr Foreign kForeign[] = {
    {0, "version https://git-lfs"sv, "a Git LFS pointer: run git lfs pull, or download the file"},
    {0, "%PDF"sv, "a PDF document; save its picture as PNG"},
    {0, "%!PS"sv, "a PostScript drawing; save it as PNG"},
    {0, "II+\0"sv, "a BigTIFF picture, which is not supported; save it as PNG or JPEG"},
    {0, "MM\0+"sv, "a BigTIFF picture, which is not supported; save it as PNG or JPEG"},
    {0, "FUJIFILMCCD-RAW"sv, "a raw photograph; save it as PNG or JPEG"},
    {4, "ftypcrx"sv, "a raw photograph; save it as PNG or JPEG"},
    {0, "IIRO"sv, "a raw photograph; save it as PNG or JPEG"},
    {0, "IIU\0"sv, "a raw photograph; save it as PNG or JPEG"},
    {0, "#?RADIANCE"sv, "a Radiance HDR picture, which this build cannot read; save it as EXR"},
    {0, "gimp xcf"sv, "a GIMP project; export it as PNG"},
    {0, "icns"sv, "an icon of macOS; save it as PNG"},
    {0, "PK\3\4"sv, "a ZIP archive (or a document in one); unpack it first"},
    {0, "\x1f\x8b"sv, "a gzip archive; unpack it first"},
    {0, "7z\xbc\xaf\x27\x1c"sv, "a 7z archive; unpack it first"},
    {0, "Rar!"sv, "a RAR archive; unpack it first"},
    {0, "RIFX"sv, "a WAV file of big-endian numbers, which is not supported; save it as WAV anew"},
    {0, "MThd"sv, "MIDI, which holds notes and no sound; render it first"},
    {0, "#EXTM3U"sv, "a playlist; give the clip or sound that it names"},
    {0, "ZOETROPE"sv, "a .zoe model file; --model takes it"},
    {0, "\x93NUMPY"sv, "a NumPy array; save it as a picture or sound"},
};

bool begins_ignoring_case(std::string_view text, std::string_view prefix) {
  if (text.size() < prefix.size()) return false;
  for (size_t i = 0; i < prefix.size(); ++i)
    if (std::tolower(static_cast<unsigned char>(text[i])) != prefix[i]) return false;
  return true;
}

// Markup: a page in place of what was asked for, or a drawing.
std::string name_markup(std::string_view text) {
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.front())) != 0)
    text.remove_prefix(1);
  const bool markup = begins_ignoring_case(text, "<?xml") || begins_ignoring_case(text, "<!--");
  if (begins_ignoring_case(text, "<svg") || (markup && text.find("<svg") != text.npos))
    return "an SVG drawing; save it as PNG";
  for (const char* tag : {"<!doctype html", "<html", "<head", "<body"})
    if (begins_ignoring_case(text, tag))
      return "a web page (HTML): the download failed or wants a login";
  return "";
}

// An MP4's index is a box of its own, which recorders write last.
bool lacks_index(std::ifstream& in, std::string_view head) {
  if (head.size() < 12 || head.substr(4, 4) != "ftyp") return false;
  in.clear();
  in.seekg(0, std::ios::end);
  const auto end = static_cast<uint64_t>(in.tellg());
  uint64_t at = 0;
  for (int boxes = 0; boxes < 10000 && at + 8 <= end; ++boxes) {
    unsigned char b[16] = {};
    in.clear();
    in.seekg(static_cast<std::streamoff>(at));
    in.read(reinterpret_cast<char*>(b), 16);
    uint64_t size = 0;
    for (int i = 0; i < 4; ++i) size = size << 8 | b[i];
    if (std::string_view(reinterpret_cast<char*>(b) + 4, 4) == "moov") return false;
    if (size == 1) {
      size = 0;
      for (int i = 8; i < 16; ++i) size = size << 8 | b[i];
    }
    if (size < 8 || size > end - at) break;  // up to the end, or cut off
    at += size;
  }
  return true;
}

}  // namespace

std::string name_foreign_media(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::string head(1024, '\0');
  in.read(head.data(), static_cast<std::streamsize>(head.size()));
  head.resize(static_cast<size_t>(in.gcount()));
  for (const Foreign& f : kForeign)
    if (head.size() >= f.at && std::string_view(head).substr(f.at).starts_with(f.magic))
      return std::string(f.what);
  if (lacks_index(in, head))
    return "an MP4 or MOV without its index (moov): the recording or the download broke off";
  return name_markup(head);
}

}  // namespace zoetrope
