#include "runtime/media/png.h"

#include <zlib.h>

#include <algorithm>
#include <cstdlib>
#include <new>

namespace zoetrope {
namespace {

void put_be32(std::vector<uint8_t>* out, uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) out->push_back(static_cast<uint8_t>(value >> shift));
}

// Filter 4 (Paeth) suits smooth pictures best.
uint8_t paeth(int a, int b, int c) {
  const int p = a + b - c, pa = std::abs(p - a), pb = std::abs(p - b), pc = std::abs(p - c);
  return static_cast<uint8_t>(pa <= pb && pa <= pc ? a : pb <= pc ? b : c);
}

uint32_t be32(std::span<const uint8_t> b, size_t at) {
  return uint32_t{b[at]} << 24 | uint32_t{b[at + 1]} << 16 | uint32_t{b[at + 2]} << 8 | b[at + 3];
}

}  // namespace

void put_png_chunk(std::vector<uint8_t>* out, std::string_view type,
                   std::span<const uint8_t> data) {
  put_be32(out, static_cast<uint32_t>(data.size()));
  const size_t begin = out->size();
  out->insert(out->end(), type.begin(), type.end());
  out->insert(out->end(), data.begin(), data.end());
  put_be32(out, static_cast<uint32_t>(
                    crc32(0, out->data() + begin, static_cast<uInt>(out->size() - begin))));
}

bool next_png_chunk(std::span<const uint8_t>* rest, std::string_view* type,
                    std::span<const uint8_t>* data) {
  if (rest->size() < 12) return false;
  const size_t length = be32(*rest, 0);
  if (length > rest->size() - 12) return false;
  *type = {reinterpret_cast<const char*>(rest->data()) + 4, 4};
  *data = rest->subspan(8, length);
  *rest = rest->subspan(12 + length);
  return true;
}

std::vector<uint8_t> encode_png(const uint8_t* rgb, int64_t width, int64_t height,
                                const std::vector<std::pair<std::string, std::string>>& texts) {
  const int64_t row = width * 3;
  std::vector<uint8_t> filtered;
  filtered.reserve(static_cast<size_t>((row + 1) * height));
  for (int64_t y = 0; y < height; ++y) {
    const uint8_t* line = rgb + y * row;
    const uint8_t* above = y > 0 ? line - row : nullptr;
    filtered.push_back(4);
    for (int64_t i = 0; i < row; ++i) {
      const int a = i >= 3 ? line[i - 3] : 0, b = above ? above[i] : 0;
      const int c = i >= 3 && above ? above[i - 3] : 0;
      filtered.push_back(static_cast<uint8_t>(line[i] - paeth(a, b, c)));
    }
  }
  uLongf size = compressBound(static_cast<uLong>(filtered.size()));
  std::vector<uint8_t> data(size);
  const int code =
      compress2(data.data(), &size, filtered.data(), static_cast<uLong>(filtered.size()), 6);
  if (code == Z_MEM_ERROR) throw std::bad_alloc();
  ZT_CHECK(code == Z_OK);
  data.resize(size);

  std::vector<uint8_t> header, out = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
  put_be32(&header, static_cast<uint32_t>(width));
  put_be32(&header, static_cast<uint32_t>(height));
  header.insert(header.end(),
                {8, 2, 0, 0, 0});  // 8 bits, RGB, deflate, adaptive filters, no interlace
  put_png_chunk(&out, "IHDR", header);
  for (const auto& [keyword, text] : texts) {
    // Keyword, 0, not compressed (2 bytes), no language, no translated keyword, text.
    const std::string head = keyword.substr(0, 79) + std::string(5, '\0');
    std::vector<uint8_t> chunk(head.begin(), head.end());
    chunk.insert(chunk.end(), text.begin(), text.end());
    put_png_chunk(&out, "iTXt", chunk);
  }
  put_png_chunk(&out, "IDAT", data);
  put_png_chunk(&out, "IEND", {});
  return out;
}

std::vector<std::pair<std::string, std::string>> read_png_texts(std::span<const uint8_t> file) {
  std::vector<std::pair<std::string, std::string>> texts;
  std::span<const uint8_t> rest = file.subspan(std::min<size_t>(8, file.size())), bytes;
  std::string_view type;
  while (next_png_chunk(&rest, &type, &bytes)) {
    const std::string data(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    const size_t keyword = data.find('\0');
    if (type == "tEXt" && keyword != std::string::npos)
      texts.emplace_back(data.substr(0, keyword), data.substr(keyword + 1));
    if (type != "iTXt" || keyword == std::string::npos || keyword + 3 > data.size() ||
        data[keyword + 1] != 0)
      continue;
    const size_t language = data.find('\0', keyword + 3);
    const size_t translated =
        language == std::string::npos ? std::string::npos : data.find('\0', language + 1);
    if (translated != std::string::npos)
      texts.emplace_back(data.substr(0, keyword), data.substr(translated + 1));
  }
  return texts;
}

}  // namespace zoetrope
