// What names and texts in files may hold.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace zoetrope {

inline constexpr size_t kMaxName = 512;   // bytes
inline constexpr size_t kMaxPath = 4096;  // bytes, as Linux has it

// Names are printed: no control characters, which terminals would obey.
inline bool is_printable(std::string_view text) {
  for (const char c : text)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return false;
  return true;
}

// Offset of the first byte that breaks UTF-8 (overlong forms and surrogates do), or npos.
size_t find_invalid_utf8(std::string_view text);

inline bool is_utf8(std::string_view text) {
  return find_invalid_utf8(text) == std::string_view::npos;
}

// Two lower-case digits a byte, and back; none where that is not what the text is.
std::string to_hex(std::string_view bytes);
std::optional<std::string> from_hex(std::string_view text);

}  // namespace zoetrope
