#include "runtime/media/jpeg.h"

#include <algorithm>

namespace zoetrope {
namespace {

using Bytes = std::span<const uint8_t>;

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

bool jpeg_breaks_off(Bytes file) {
  Bytes rest = file.subspan(std::min<size_t>(2, file.size())), data;
  uint8_t marker = 0;
  while (next_jpeg_segment(&rest, &marker, &data))
    if (marker == kJpegEnd) return false;
  return true;
}

}  // namespace zoetrope
