// PNG images, 8-bit RGB.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "graph/status.h"

namespace zoetrope {

// `texts` become iTXt chunks: keyword, UTF-8 text. Keywords are cut to PNG's 79 bytes.
std::vector<uint8_t> encode_png(const uint8_t* rgb, int64_t width, int64_t height,
                                const std::vector<std::pair<std::string, std::string>>& texts = {});

// The text chunks of a PNG file that are not compressed. Damage ends the list.
std::vector<std::pair<std::string, std::string>> read_png_texts(std::span<const uint8_t> file);

}  // namespace zoetrope
