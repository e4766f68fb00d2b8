#include "runtime/media/tiff.h"

#include <algorithm>
#include <cstring>
#include <string_view>

namespace zoetrope {
namespace {

using Bytes = std::span<const uint8_t>;

bool begins(Bytes b, std::string_view text) {
  return b.size() >= text.size() && std::memcmp(b.data(), text.data(), text.size()) == 0;
}

}  // namespace

uint64_t number_at(Bytes b, size_t at, size_t count, bool big) {
  if (at > b.size() || b.size() - at < count) return 0;
  uint64_t value = 0;
  for (size_t i = 0; i < count; ++i) value = value << 8 | b[at + (big ? i : count - 1 - i)];
  return value;
}

namespace {

struct Entry {
  size_t at;  // of 12 bytes
  bool big;   // endian
};

constexpr uint64_t kByte = 1, kLong = 4, kRational = 5;

// Bytes of a number of a type.
size_t size_of(uint64_t type) {
  return type == kByte ? 1 : type == kLong ? 4 : type == kRational ? 8 : 2;
}

std::optional<Entry> find_entry(Bytes b, int tag) {
  const bool big = begins(b, std::string_view("MM\0*", 4));
  if (!big && !begins(b, std::string_view("II*\0", 4))) return std::nullopt;
  const size_t directory = number_at(b, 4, 4, big);
  const size_t entries = number_at(b, directory, 2, big);
  for (size_t i = 0; i < entries; ++i) {
    const size_t entry = directory + 2 + 12 * i;
    if (entry + 12 > b.size()) break;
    if (number_at(b, entry, 2, big) == static_cast<uint64_t>(tag)) return Entry{entry, big};
  }
  return std::nullopt;
}

}  // namespace

std::optional<uint64_t> tiff_value(Bytes b, int tag) {
  const auto found = find_entry(b, tag);
  if (!found) return std::nullopt;
  const auto [entry, big] = *found;
  const uint64_t type = number_at(b, entry + 2, 2, big), count = number_at(b, entry + 4, 4, big);
  const size_t size = size_of(type);
  // Values of more than four bytes lie elsewhere.
  const size_t at = count * size > 4 ? number_at(b, entry + 8, 4, big) : entry + 8;
  if (type != kRational) return number_at(b, at, size, big);
  const uint64_t over = number_at(b, at + 4, 4, big);
  return over == 0 ? 0 : number_at(b, at, 4, big) / over;
}

std::vector<uint8_t> tiff_with(Bytes b, int tag, uint16_t value) {
  std::vector<uint8_t> out(b.begin(), b.end());
  const auto found = find_entry(b, tag);
  if (!found) return out;
  const auto [entry, big] = *found;
  const size_t size = std::min<size_t>(size_of(number_at(b, entry + 2, 2, big)), 4);
  for (size_t i = 0; i < size; ++i)  // the lowest byte first
    out[entry + 8 + (big ? size - 1 - i : i)] =
        static_cast<uint8_t>(i < sizeof(value) ? value >> (8 * i) : 0);
  return out;
}

}  // namespace zoetrope
