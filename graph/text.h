// What names and texts in files may hold.
#pragma once

#include <cstddef>
#include <string_view>

namespace zoetrope {

inline constexpr size_t kMaxName = 512;  // bytes

// Names are printed: no control characters, which terminals would obey.
inline bool is_printable(std::string_view text) {
  for (const char c : text)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return false;
  return true;
}

}  // namespace zoetrope
