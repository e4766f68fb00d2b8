// Text and bytes as HTML and SVG take them.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace zoetrope {

// For element contents and for attributes in double quotes. What is not UTF-8, and control
// characters other than tab and newline, become U+FFFD.
std::string escape_html(std::string_view text);

// RFC 4648, with padding.
std::string base64(std::span<const uint8_t> bytes);

// A coordinate of a drawing: two decimals, '.' whatever the locale. `value` must be finite.
std::string coordinate(double value);

}  // namespace zoetrope
