// What people have in place of weights.
#include <algorithm>
#include <cctype>
#include <cstring>
#include <string_view>

#include "converters/checkpoint.h"

namespace zoetrope {
namespace {

using namespace std::string_view_literals;

struct Foreign {
  std::string_view magic, what;
  size_t at = 0;
};

// By what they begin with.
constexpr Foreign kForeign[] = {
    {"version https://git-lfs",
     "a Git LFS pointer, not the weights: run git lfs pull, or download the file"},
    {"ggml", "GGML, which is not read; GGUF, safetensors and .pt are"},
    {"ZOETROPE", "a .zoe model already; it needs no conversion"},
    {"\x1f\x8b", "a gzip archive; unpack it first"},
    {"\x28\xb5\x2f\xfd", "a zstd archive; unpack it first"},
    {"\xfd"
     "7zXZ",
     "an xz archive; unpack it first"},
    {"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it first"},
    {"Rar!", "a RAR archive; unpack it first"},
    {"\x89HDF", "HDF5 (Keras); only safetensors and PyTorch's files are read"},
    {"\x93NUMPY", "a NumPy array; only safetensors and PyTorch's files are read"},
    {"\x89PNG", "a PNG picture, not weights"},
    {"\xff\xd8\xff", "a JPEG picture, not weights"},
    {"RIFF", "a picture or sound, not weights"},
    {"ftyp", "a clip (MP4), not weights", 4},
    {"lmgg", "GGML, which is not read; GGUF, safetensors and .pt are"},
    {"tjgg", "GGML (ggjt), which is not read; GGUF, safetensors and .pt are"},
    {"fmgg", "GGML (ggmf), which is not read; GGUF, safetensors and .pt are"},
    {"ftrt",
     "a TensorRT engine, which is made for one GPU; convert the weights that it was made of"},
    {"TFL3", "a TensorFlow Lite model; only safetensors and PyTorch's files are read", 4},
    {"\x08\x07\x12\x07pytorch"sv, "an ONNX model; convert the weights that it was made of"},
    {"\x08\x08\x12\x07pytorch"sv, "an ONNX model; convert the weights that it was made of"},
};

bool starts_with_ignoring_case(std::string_view text, std::string_view prefix) {
  return text.size() >= prefix.size() &&
         std::equal(prefix.begin(), prefix.end(), text.begin(), [](char a, char b) {
           return a == std::tolower(static_cast<unsigned char>(b));
         });
}

bool is_text(std::string_view bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](char c) {
    return (c >= 0x20 && c < 0x7f) || c == '\n' || c == '\r' || c == '\t';
  });
}

}  // namespace

Status refuse_foreign(std::span<const uint8_t> bytes) {
  const std::string_view all(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (all.empty())
    return error(Code::kDataLoss, "the file is empty; an interrupted download? fetch it again");
  for (const Foreign& foreign : kForeign)
    if (all.size() >= foreign.at && all.substr(foreign.at).starts_with(foreign.magic))
      return error(Code::kUnsupported, "this is ", foreign.what);
  if (all.size() > 262 && all.substr(257, 5) == "ustar")
    return error(Code::kUnsupported, "this is a tar archive; unpack it first");
  std::string_view text = all.substr(0, 256);
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.front())))
    text.remove_prefix(1);
  for (const char* tag : {"<!doctype", "<html", "<head", "<body", "<?xml", "<!--"})
    if (starts_with_ignoring_case(text, tag))
      return error(Code::kUnsupported,
                   "this is a web page (HTML), not weights: the download failed or wants a login");
  // No safetensors file begins so: its first eight bytes are a length far below 2^40.
  if (all.size() >= 8 && is_text(all.substr(0, 8))) {
    std::string begin(all.substr(0, 60));
    for (char& c : begin)
      if (!is_text({&c, 1}) || c < 0x20) c = ' ';
    return error(Code::kUnsupported, "this is text, not weights; it begins with '", begin, "'");
  }
  return Status();
}

}  // namespace zoetrope
