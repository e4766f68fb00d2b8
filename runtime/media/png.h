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

// One chunk: length, type, data, CRC of type and data.
void put_png_chunk(std::vector<uint8_t>* out, std::string_view type, std::span<const uint8_t> data);

// Takes the next chunk off `rest`, which begins behind the signature; false at the end, or where
// the chunk is cut off.
bool next_png_chunk(std::span<const uint8_t>* rest, std::string_view* type,
                    std::span<const uint8_t>* data);

}  // namespace zoetrope
