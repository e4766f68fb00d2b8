#include "runtime/text/clean.h"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <utility>
#include <vector>

namespace zoetrope {
namespace {

struct Replaced {
  uint32_t code;
  std::string_view text;
};
constexpr Replaced kReplaced[] = {
#define C(code, text) {code, text},
#include "runtime/text/tables.inc"
#undef C
};

struct Entity {
  std::string_view name, text;
  bool without_semicolon;
};
constexpr Entity kEntities[] = {
#define E(name, text, forms) {name, text, (forms) == 3},
#include "runtime/text/tables.inc"
#undef E
};

// Bytes of the character that begins here; text is valid UTF-8.
size_t length_at(std::string_view text, size_t at) {
  const auto lead = static_cast<unsigned char>(text[at]);
  return std::min<size_t>(lead < 0x80   ? 1
                          : lead < 0xe0 ? 2
                          : lead < 0xf0 ? 3
                                        : 4,
                          text.size() - at);
}

uint32_t code_at(std::string_view text, size_t at, size_t length) {
  auto code = static_cast<unsigned char>(text[at]) & (length == 1 ? 0x7fu : 0xffu >> (length + 1));
  for (size_t i = 1; i < length; ++i)
    code = code << 6 | (static_cast<unsigned char>(text[at + i]) & 0x3fu);
  return code;
}

void append_code(uint32_t code, std::string* out) {
  const auto put = [&](uint32_t byte) { out->push_back(static_cast<char>(byte)); };
  if (code < 0x80) return put(code);
  if (code < 0x800) {
    put(0xc0 | code >> 6);
  } else {
    if (code < 0x10000) {
      put(0xe0 | code >> 12);
    } else {
      put(0xf0 | code >> 18);
      put(0x80 | (code >> 12 & 0x3f));
    }
    put(0x80 | (code >> 6 & 0x3f));
  }
  put(0x80 | (code & 0x3f));
}

const Entity* find_entity(std::string_view name) {
  const auto* it = std::lower_bound(std::begin(kEntities), std::end(kEntities), name,
                                    [](const Entity& e, std::string_view n) { return e.name < n; });
  return it != std::end(kEntities) && it->name == name ? it : nullptr;
}

// What a browser makes of a numeric reference (HTML 5, 13.2.5.80).
void append_number(uint32_t code, std::string* out) {
  constexpr uint32_t kWindows[] = {0x20ac, 0x81,   0x201a, 0x192,  0x201e, 0x2026, 0x2020, 0x2021,
                                   0x2c6,  0x2030, 0x160,  0x2039, 0x152,  0x8d,   0x17d,  0x8f,
                                   0x90,   0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014,
                                   0x2dc,  0x2122, 0x161,  0x203a, 0x153,  0x9d,   0x17e,  0x178};
  if (code >= 0x80 && code < 0xa0) return append_code(kWindows[code - 0x80], out);
  if (code == 0 || (code >= 0xd800 && code < 0xe000) || code > 0x10ffff)
    return append_code(0xfffd, out);
  const bool nothing = (code < 0x20 && code != 9 && code != 10 && code != 12 && code != 13) ||
                       code == 0x7f || (code >= 0xfdd0 && code < 0xfdf0) ||
                       (code & 0xfffe) == 0xfffe;
  if (!nothing) append_code(code, out);
}

bool is_digit(char c, bool hex) {
  return (c >= '0' && c <= '9') || (hex && ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F')));
}

// The numeric reference whose '&' is at the front; bytes read, or 0.
size_t numeric(std::string_view text, bool needs_semicolon, std::string* out) {
  if (!text.starts_with("&#")) return 0;
  const bool hex = text.size() > 2 && (text[2] == 'x' || text[2] == 'X');
  const size_t begin = hex ? 3 : 2;
  size_t end = begin;
  uint32_t code = 0;
  for (; end < text.size() && is_digit(text[end], hex); ++end) {
    const char c = text[end];
    const auto digit = static_cast<uint32_t>(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    code = std::min<uint32_t>(code * (hex ? 16 : 10) + digit, 0x110000);
  }
  const bool closed = end < text.size() && text[end] == ';';
  if (end == begin || (needs_semicolon && (!closed || end > 2 + 24))) return 0;
  append_number(code, out);
  return end + closed;
}

bool in_name(char c) {
  return c != '\t' && c != '\n' && c != '\f' && c != ' ' && c != '<' && c != '&' && c != '#' &&
         c != ';';
}

// The same of a named one. Without a semicolon the longest name that needs none is read.
size_t named(std::string_view text, bool needs_semicolon, std::string* out) {
  size_t end = 1, characters = 0;
  while (end < text.size() && characters < 32 && in_name(text[end]))
    end += length_at(text, end), ++characters;
  const std::string_view name = text.substr(1, end - 1);
  const bool closed = end < text.size() && text[end] == ';';
  if (const Entity* e = find_entity(name); e != nullptr && (closed || e->without_semicolon)) {
    if (needs_semicolon && (!closed || name.size() > 24)) return 0;
    out->append(e->text);
    return end + closed;
  }
  if (needs_semicolon) return 0;
  for (size_t length = name.size(); length >= 2; --length)
    if (const Entity* e = find_entity(name.substr(0, length));
        e != nullptr && e->without_semicolon) {
      out->append(e->text);
      return 1 + length;
    }
  return 0;
}

std::string unescape(std::string_view text, bool needs_semicolon) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    if (text[at] == '&') {
      const std::string_view rest = text.substr(at);
      size_t read = numeric(rest, needs_semicolon, &out);
      if (read == 0) read = named(rest, needs_semicolon, &out);
      at += read;
      if (read > 0) continue;
    }
    out.push_back(text[at++]);
  }
  return out;
}

std::string replace_characters(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t length = length_at(text, at);
    const uint32_t code = code_at(text, at, length);
    const auto* it = std::lower_bound(std::begin(kReplaced), std::end(kReplaced), code,
                                      [](const Replaced& r, uint32_t c) { return r.code < c; });
    if (it != std::end(kReplaced) && it->code == code)
      out.append(it->text);
    else
      out.append(text.substr(at, length));
    at += length;
  }
  return out;
}

// ESC [ digits and semicolons, a letter.
std::string without_terminal_escapes(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    if (text.substr(at).starts_with("\033[")) {
      size_t end = at + 2;
      while (end < text.size() && (is_digit(text[end], false) || text[end] == ';')) ++end;
      const char letter = end < text.size() ? static_cast<char>(text[end] | 0x20) : ' ';
      if (letter >= 'a' && letter <= 'z') {
        at = end + 1;
        continue;
      }
    }
    out.push_back(text[at++]);
  }
  return out;
}

std::string repair_line(std::string line, bool entities) {
  for (std::string before; before != line;) {
    before = line;
    if (entities) line = unescape(line, /*needs_semicolon=*/true);
    line = replace_characters(without_terminal_escapes(line));
  }
  return line;
}

std::string repair(std::string_view text) {
  std::string out;
  bool entities = true;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    const std::string_view line =
        text.substr(0, end == std::string_view::npos ? text.size() : end + 1);
    entities &= line.find('<') == std::string_view::npos;
    out += repair_line(std::string(line), entities);
    text.remove_prefix(line.size());
  }
  return out;
}

bool is_space(uint32_t code) {
  return (code >= 9 && code <= 13) || (code >= 28 && code <= 32) || code == 0x85 || code == 0xa0 ||
         code == 0x1680 || (code >= 0x2000 && code <= 0x200a) || code == 0x2028 || code == 0x2029 ||
         code == 0x202f || code == 0x205f || code == 0x3000;
}

std::string single_spaces(std::string_view text) {
  std::string out;
  bool space = false;
  for (size_t at = 0; at < text.size();) {
    const size_t length = length_at(text, at);
    if (is_space(code_at(text, at, length))) {
      space = !out.empty();
    } else {
      if (space) out.push_back(' ');
      space = false;
      out.append(text.substr(at, length));
    }
    at += length;
  }
  return out;
}

}  // namespace

std::string clean_prompt(std::string_view text) {
  std::string cleaned = repair(text);
  for (int i = 0; i < 2; ++i) cleaned = unescape(cleaned, /*needs_semicolon=*/false);
  return single_spaces(cleaned);
}

std::string_view strip_spaces(std::string_view text) {
  size_t begin = text.size(), end = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t length = length_at(text, at);
    if (!is_space(code_at(text, at, length))) {
      begin = std::min(begin, at);
      end = at + length;
    }
    at += length;
  }
  return end == 0 ? std::string_view() : text.substr(begin, end - begin);
}

std::string quoted_parts(std::string_view text) {
  constexpr std::pair<std::string_view, std::string_view> kMarks[] = {
      {"\"", "\""}, {"\xe2\x80\x9c", "\xe2\x80\x9d"}};
  std::string all;
  for (size_t at = 0; at < text.size();) {
    size_t next = at + 1;
    for (const auto& [open, close] : kMarks) {
      if (!text.substr(at).starts_with(open)) continue;
      const size_t begin = at + open.size(), end = text.find(close, begin);
      if (end == std::string_view::npos) continue;
      if (end > begin && !all.empty()) all += ' ';
      all += text.substr(begin, end - begin);
      next = end + close.size();
      break;
    }
    at = next;
  }
  return all;
}

}  // namespace zoetrope
