#include "runtime/media/jpeg.h"

#include <algorithm>
#include <optional>
#include <string_view>

namespace zoetrope {
namespace {

using Bytes = std::span<const uint8_t>;

// Of a frame's header: not those of tables that share their numbers (T.81, table B.1).
bool begins_frame(uint8_t marker) {
  return marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc;
}

struct Facts {
  Bytes size;  // height and width, as they are stored
  bool is_photograph =
      false;  // has segments of cameras: Exif or XMP, or a list of further pictures
};

// Takes a whole picture off `rest`.
std::optional<Facts> next_jpeg(Bytes* rest) {
  constexpr std::string_view kOthers("MPF\0", 4);
  if (rest->size() < 3 || (*rest)[0] != 0xff || (*rest)[1] != 0xd8 || (*rest)[2] != 0xff)
    return std::nullopt;
  *rest = rest->subspan(2);
  Facts facts;
  uint8_t marker = 0;
  for (Bytes data; next_jpeg_segment(rest, &marker, &data);) {
    if (marker == kJpegEnd) return facts;
    if (begins_frame(marker) && data.size() >= 5) facts.size = data.subspan(1, 4);
    if (marker == kJpegExif || (marker == kJpegApp2 && data.size() >= kOthers.size() &&
                                std::equal(kOthers.begin(), kOthers.end(), data.begin())))
      facts.is_photograph = true;
  }
  return std::nullopt;
}

bool restarts(uint8_t marker) { return marker >= 0xd0 && marker <= 0xd7; }

}  // namespace

bool next_jpeg_segment(Bytes* rest, uint8_t* marker, Bytes* data) {
  size_t at = 0;
  // In a scan 0xff is followed by zero or a restart; before a marker it may be repeated.
  while (at + 2 <= rest->size() && ((*rest)[at] != 0xff || (*rest)[at + 1] == 0 ||
                                    (*rest)[at + 1] == 0xff || restarts((*rest)[at + 1])))
    ++at;
  if (at + 2 > rest->size()) return false;
  *marker = (*rest)[at + 1];
  *rest = rest->subspan(at + 2);
  *data = {};
  if (*marker == kJpegEnd || *marker == 0xd8 || *marker == 0x01) return true;
  if (rest->size() < 2) return false;
  const size_t length = static_cast<size_t>((*rest)[0]) << 8 | (*rest)[1];  // counts itself
  if (length < 2 || length > rest->size()) return false;
  *data = rest->subspan(2, length - 2);
  *rest = rest->subspan(length);
  return true;
}

bool is_motion_jpeg(Bytes file) {
  const auto first = next_jpeg(&file);
  if (!first || first->is_photograph || first->size.empty()) return false;
  const auto second = next_jpeg(&file);
  return second && !second->is_photograph && std::ranges::equal(first->size, second->size);
}

bool jpeg_breaks_off(Bytes file) {
  Bytes rest = file.subspan(std::min<size_t>(2, file.size())), data;
  uint8_t marker = 0;
  while (next_jpeg_segment(&rest, &marker, &data))
    if (marker == kJpegEnd) return false;
  return true;
}

}  // namespace zoetrope
