#include "runtime/text/charsmap.h"

#include <cstring>
#include <functional>
#include <vector>

namespace zoetrope {
namespace {

using Bytes = std::span<const uint8_t>;

Status broken(const char* what) {
  return error(Code::kDataLoss, "the tokenizer is no SentencePiece model: ", what);
}

bool read_varint(Bytes* bytes, uint64_t* value) {
  *value = 0;
  for (int shift = 0; shift < 64 && !bytes->empty(); shift += 7) {
    const uint8_t byte = bytes->front();
    *bytes = bytes->subspan(1);
    *value |= uint64_t{byte & 0x7fu} << shift;
    if (byte < 0x80) return true;
  }
  return false;
}

// Calls with each field of a message that holds bytes (protobuf's wire format).
Status for_fields(Bytes message, const std::function<Status(uint64_t field, Bytes data)>& call) {
  constexpr uint64_t kVarint = 0, kWide = 1, kBytes = 2, kNarrow = 5;
  while (!message.empty()) {
    uint64_t tag = 0, length = 0;
    if (!read_varint(&message, &tag)) return broken("a field has no end");
    switch (tag & 7) {
      case kVarint:
        if (!read_varint(&message, &length)) return broken("a number has no end");
        continue;
      case kWide: length = 8; break;
      case kNarrow: length = 4; break;
      case kBytes:
        if (!read_varint(&message, &length)) return broken("a length has no end");
        break;
      default: return broken("a field of an unknown kind");
    }
    if (length > message.size()) return broken("a field goes beyond the end");
    const Bytes data = message.first(static_cast<size_t>(length));
    message = message.subspan(data.size());
    if ((tag & 7) == kBytes) ZT_RETURN_IF_ERROR(call(tag >> 3, data));
  }
  return Status();
}

// A double-array trie (S. Yata's darts-clone): unit i holds the byte that leads to it, and where
// its children begin: child c of it lies at base ^ c, its value at base.
struct Unit {
  uint32_t bits;
  uint32_t label() const { return bits & (1u << 31 | 0xff); }
  uint32_t value() const { return bits & ~(1u << 31); }
  bool has_value() const { return (bits >> 8 & 1) != 0; }
  uint32_t offset() const { return bits >> 10 << ((bits & 1u << 9) >> 6); }
};

// Length of the trie in bytes, the trie, texts that end with 0, by offsets that are its values.
Status check_charsmap(Bytes map) {
  uint32_t trie_bytes = 0;
  if (map.empty()) return Status();
  if (map.size() <= sizeof(trie_bytes)) return broken("its rules are cut short");
  std::memcpy(&trie_bytes, map.data(), sizeof(trie_bytes));
  map = map.subspan(sizeof(trie_bytes));
  if (trie_bytes >= map.size()) return broken("its rules are cut short");
  const Bytes texts = map.subspan(trie_bytes);
  if (texts.back() != 0) return broken("the last of its rules has no end");
  const size_t count = trie_bytes / sizeof(Unit);
  std::vector<Unit> units(count);
  if (count > 0) std::memcpy(units.data(), map.data(), count * sizeof(Unit));
  std::vector<bool> seen(count, false);
  std::vector<uint32_t> open{0};
  if (count == 0) return broken("its rules are empty");
  while (!open.empty()) {
    const uint32_t at = open.back();
    open.pop_back();
    if (seen[at]) continue;
    seen[at] = true;
    const uint32_t base = at ^ units[at].offset();
    if ((base | 0xff) >= count) return broken("its rules point outside themselves");
    if (at != 0 && units[at].has_value() && units[base].value() >= texts.size())
      return broken("its rules point outside their texts");
    for (uint32_t c = 0; c < 256; ++c)
      if (units[base ^ c].label() == c) open.push_back(base ^ c);
  }
  return Status();
}

}  // namespace

Status check_charsmaps(Bytes model) {
  constexpr uint64_t kNormalizer = 3, kDenormalizer = 5, kMap = 2;  // sentencepiece_model.proto
  return for_fields(model, [](uint64_t field, Bytes spec) -> Status {
    if (field != kNormalizer && field != kDenormalizer) return Status();
    return for_fields(spec, [](uint64_t part, Bytes data) {
      return part == kMap ? check_charsmap(data) : Status();
    });
  });
}

}  // namespace zoetrope
