// Boxes of ISO base media files (ISO/IEC 14496-12): MP4, MOV, HEIF.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace zoetrope {

using IsoBytes = std::span<const uint8_t>;

// A number of `count` bytes; 0: they are not all there.
uint64_t iso_number(IsoBytes b, size_t at, size_t count);
// Four letters; empty: they are not all there.
std::string_view iso_text(IsoBytes b, size_t at);

// Calls `use` for each box of `b`; a box that is cut off is given as far as it goes.
void each_iso_box(IsoBytes b, const std::function<void(std::string_view type, IsoBytes data)>& use);

// A file's `ftyp`, `meta` and `moov`, wherever they are: a clip's `moov` may stand behind its data.
// 64 MiB of them at most. Empty: it does not consist of boxes.
std::vector<uint8_t> read_iso_boxes(const std::string& path);

// The first table of samples that announces more than a file of so many bytes can hold, in words:
// demuxers make room for what is announced. Empty: none does.
std::string overstated_table(IsoBytes boxes, uint64_t file_bytes);

}  // namespace zoetrope
