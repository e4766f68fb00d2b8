#include "tests/fuzz/chunks.h"

#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <string_view>

namespace zoetrope {
namespace {

enum class Container { kNone, kPng, kRiff, kBoxes };

// A chunk, or a box; those that hold others have no data of their own.
struct Chunk {
  std::string type;
  Bytes data;
  std::vector<Chunk> parts;
  bool holds = false;
};

uint32_t big(const uint8_t* p) {
  return uint32_t{p[0]} << 24 | uint32_t{p[1]} << 16 | uint32_t{p[2]} << 8 | p[3];
}
uint32_t little(const uint8_t* p) {
  return uint32_t{p[3]} << 24 | uint32_t{p[2]} << 16 | uint32_t{p[1]} << 8 | p[0];
}
void put_big(Bytes* out, uint32_t n) {
  for (int shift = 24; shift >= 0; shift -= 8) out->push_back(static_cast<uint8_t>(n >> shift));
}
void put_little(Bytes* out, uint32_t n) {
  for (int shift = 0; shift < 32; shift += 8) out->push_back(static_cast<uint8_t>(n >> shift));
}
void put(Bytes* out, std::string_view text) { out->insert(out->end(), text.begin(), text.end()); }
void put(Bytes* out, const Bytes& bytes) { out->insert(out->end(), bytes.begin(), bytes.end()); }

constexpr std::string_view kPngMagic = "\x89PNG\r\n\x1a\n";

bool begins(const Bytes& bytes, size_t at, std::string_view text) {
  return bytes.size() >= at + text.size() && std::memcmp(&bytes[at], text.data(), text.size()) == 0;
}

Container container_of(const Bytes& bytes) {
  if (begins(bytes, 0, kPngMagic)) return Container::kPng;
  if (begins(bytes, 0, "RIFF")) return Container::kRiff;
  if (begins(bytes, 4, "ftyp")) return Container::kBoxes;
  return Container::kNone;
}

bool holds_boxes(std::string_view type) {
  for (const char* t : {"moov", "trak", "mdia", "minf", "stbl", "edts", "dinf", "udta", "iprp",
                        "ipco", "mvex", "moof", "traf"})
    if (type == t) return true;
  return false;
}

// As far as the bytes can be taken for chunks.
std::vector<Chunk> split(Container kind, const uint8_t* data, size_t size) {
  constexpr size_t kHead = 8;
  const size_t after = kind == Container::kPng ? 4 : 0;  // a checksum
  std::vector<Chunk> chunks;
  for (size_t at = 0; at + kHead <= size;) {
    const uint8_t* head = data + at;
    const bool riff = kind == Container::kRiff;
    Chunk chunk;
    chunk.type.assign(reinterpret_cast<const char*>(riff ? head : head + 4), 4);
    size_t length = riff ? little(head + 4) : big(head);  // of a box with its head
    if (kind == Container::kBoxes) length = length < kHead ? 0 : length - kHead;
    length = std::min(length, size - at - kHead);
    const uint8_t* body = head + kHead;
    chunk.holds = kind == Container::kBoxes && holds_boxes(chunk.type);
    if (chunk.holds)
      chunk.parts = split(kind, body, length);
    else
      chunk.data.assign(body, body + length);
    chunks.push_back(std::move(chunk));
    at += kHead + length + after + (riff ? length % 2 : 0);
  }
  return chunks;
}

Bytes join(Container kind, const std::vector<Chunk>& chunks) {
  Bytes out;
  for (const Chunk& chunk : chunks) {
    const Bytes data = chunk.holds ? join(kind, chunk.parts) : chunk.data;
    const auto length = static_cast<uint32_t>(data.size());
    switch (kind) {
      case Container::kPng: {
        put_big(&out, length);
        const size_t from = out.size();
        put(&out, chunk.type);
        put(&out, data);
        put_big(&out,
                static_cast<uint32_t>(crc32(0, &out[from], static_cast<uInt>(out.size() - from))));
        break;
      }
      case Container::kRiff:
        put(&out, chunk.type);
        put_little(&out, length);
        put(&out, data);
        if (length % 2 != 0) out.push_back(0);
        break;
      default:
        put_big(&out, length + 8);
        put(&out, chunk.type);
        put(&out, data);
    }
  }
  return out;
}

size_t head_bytes(Container kind) {
  return kind == Container::kPng ? 8 : kind == Container::kRiff ? 12 : 0;
}

// A list of chunks somewhere in the tree that has any.
std::vector<Chunk>* draw_list(Draw& draw, std::vector<Chunk>* chunks) {
  for (Chunk& chunk : *chunks)
    if (chunk.holds && !chunk.parts.empty() && draw.coin()) return draw_list(draw, &chunk.parts);
  return chunks;
}

// A field of one to eight bytes, most of them near the front, where sizes, counts and rates are.
void change_field(Draw& draw, Bytes* data) {
  if (data->empty()) return;
  const size_t near = std::min<size_t>(data->size(), draw.coin() ? 16 : 64);
  const size_t at = draw.below(near), width = size_t{1} << draw.below(4);
  const auto number = static_cast<uint64_t>(
      draw.coin() ? draw.whole() : static_cast<int64_t>(draw.pick(kEdgeWords)));
  const bool from_end = draw.coin();
  for (size_t i = 0; i < width && at + i < data->size(); ++i)
    (*data)[at + i] = static_cast<uint8_t>(number >> 8 * (from_end ? width - 1 - i : i));
}

}  // namespace

std::string change_chunks(Draw& draw, Bytes* bytes, const Bytes& other) {
  const Container kind = container_of(*bytes);
  const size_t head = head_bytes(kind);
  if (kind == Container::kNone || bytes->size() < head) return "";
  std::vector<Chunk> chunks = split(kind, bytes->data() + head, bytes->size() - head);
  if (chunks.empty()) return "";
  std::string what;
  for (uint32_t i = draw.below(3) + 1; i > 0; --i) {
    std::vector<Chunk>& list = *draw_list(draw, &chunks);
    if (list.empty()) break;
    const size_t one = draw.below(list.size()), two = draw.below(list.size());
    const auto place = [&](size_t at) { return list.begin() + static_cast<ptrdiff_t>(at); };
    what += " " + list[one].type;
    switch (draw.below(9)) {
      case 0: list.erase(place(one)); break;
      case 1: list.insert(place(two), Chunk(list[one])); break;
      case 2: std::swap(list[one], list[two]); break;
      case 3:
        if (container_of(other) != kind || other.size() < head) break;
        if (auto others = split(kind, other.data() + head, other.size() - head); !others.empty())
          list.insert(place(two), draw.pick(*draw_list(draw, &others)));
        break;
      case 4:
        if (!list[one].data.empty()) change_bytes(draw, &list[one].data);
        break;
      default: change_field(draw, &list[one].data);
    }
  }
  Bytes out(bytes->begin(), bytes->begin() + static_cast<ptrdiff_t>(head));
  put(&out, join(kind, chunks));
  if (kind == Container::kRiff && !draw.one_in(4)) {
    Bytes size;
    put_little(&size, static_cast<uint32_t>(out.size() - 8));
    std::copy(size.begin(), size.end(), out.begin() + 4);
  }
  if (draw.one_in(10) && !out.empty()) change_bytes(draw, &out);  // a checksum or size that lies
  *bytes = std::move(out);
  return "chunks" + what;
}

}  // namespace zoetrope
