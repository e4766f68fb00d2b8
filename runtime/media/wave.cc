#include "runtime/media/wave.h"

#include <string_view>

namespace zoetrope {

bool wave_breaks_off(std::span<const uint8_t> head, int64_t file_bytes) {
  const std::string_view text(reinterpret_cast<const char*>(head.data()), head.size());
  // Of files into pipes: FFmpeg leaves 0 or UINT32_MAX, SoX and espeak 0x7ffff000 and a little.
  constexpr uint32_t kUnknown = 0x7ffff000;
  if (head.size() < 12 || !text.starts_with("RIFF") || text.substr(8, 4) != "WAVE") return false;
  for (size_t at = 12; at + 8 <= head.size();) {
    uint32_t size = 0;
    for (size_t i = 4; i-- > 0;) size = size << 8 | head[at + 4 + i];
    const bool is_data = text.substr(at, 4) == "data";
    at += 8;
    if (is_data) return size != 0 && size<kUnknown&& static_cast<int64_t>(at) + size> file_bytes;
    at += size_t{size} + (size & 1);
  }
  return false;
}

}  // namespace zoetrope
