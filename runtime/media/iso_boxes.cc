#include "runtime/media/iso_boxes.h"

#include <algorithm>
#include <fstream>

#include "graph/status.h"

namespace zoetrope {
namespace {

// Bytes that an entry of a table takes; 0: it is no table.
uint64_t entry_bytes(std::string_view type) {
  if (type == "stco" || type == "stss") return 4;
  if (type == "stts" || type == "ctts" || type == "co64") return 8;
  return type == "stsc" ? 12 : 0;
}

bool holds_tables(std::string_view type) {
  for (const char* one : {"moov", "trak", "mdia", "minf", "stbl"})
    if (type == one) return true;
  return false;
}

// Files of before 2001 have no `ftyp`.
bool may_begin(std::string_view type) {
  for (const char* one : {"ftyp", "moov", "mdat", "wide", "free", "skip", "pnot"})
    if (type == one) return true;
  return false;
}

std::string overstated(IsoBytes boxes, uint64_t file_bytes, int depth) {
  constexpr int kDeepest = 16;
  // A sample takes a byte or more; QuickTime's sounds count what they are before compression.
  constexpr uint64_t kMostSamples = 4, kFew = 1 << 20;
  std::string found;
  const auto judge = [&](std::string_view type, uint64_t count, uint64_t most) {
    if (count > most)
      found =
          str("its `", type, "` announces ", count, " entries in a file of ", file_bytes, " bytes");
  };
  each_iso_box(boxes, [&](std::string_view type, IsoBytes data) {
    if (!found.empty()) return;
    if (holds_tables(type) && depth < kDeepest) {
      found = overstated(data, file_bytes, depth + 1);
    } else if (type == "stsz") {
      const bool alike = iso_number(data, 4, 4) != 0;
      judge(type, iso_number(data, 8, 4),
            alike ? std::max(kMostSamples * file_bytes, kFew) : file_bytes / 4);
    } else if (const uint64_t bytes = entry_bytes(type); bytes > 0) {
      judge(type, iso_number(data, 4, 4), file_bytes / bytes);
    }
  });
  return found;
}

}  // namespace

uint64_t iso_number(IsoBytes b, size_t at, size_t count) {
  if (at > b.size() || b.size() - at < count) return 0;
  uint64_t value = 0;
  for (size_t i = 0; i < count; ++i) value = value << 8 | b[at + i];
  return value;
}

std::string_view iso_text(IsoBytes b, size_t at) {
  return at + 4 <= b.size() ? std::string_view(reinterpret_cast<const char*>(b.data()) + at, 4)
                            : std::string_view();
}

void each_iso_box(IsoBytes b,
                  const std::function<void(std::string_view type, IsoBytes data)>& use) {
  while (b.size() >= 8) {
    uint64_t size = iso_number(b, 0, 4), head = 8;
    if (size == 1) size = iso_number(b, 8, 8), head = 16;
    if (size == 0) size = b.size();
    if (size < head || head > b.size()) return;
    size = std::min<uint64_t>(size, b.size());
    use(iso_text(b, 4), b.subspan(head, size - head));
    b = b.subspan(size);
  }
}

std::vector<uint8_t> read_iso_boxes(const std::string& path) {
  constexpr uint64_t kMostBytes = 64 << 20;  // of these boxes together
  std::ifstream in(path, std::ios::binary | std::ios::ate);
  const uint64_t end = in ? static_cast<uint64_t>(in.tellg()) : 0;
  std::vector<uint8_t> boxes;
  bool moov = false;
  for (uint64_t at = 0; !moov && at + 8 <= end;) {
    uint8_t head[16] = {};
    in.clear();  // the last box may be shorter than `head`
    in.seekg(static_cast<std::streamoff>(at));
    in.read(reinterpret_cast<char*>(head), sizeof(head));
    const IsoBytes b(head, static_cast<size_t>(in.gcount()));
    uint64_t size = iso_number(b, 0, 4);
    if (size == 1) size = iso_number(b, 8, 8);
    if (size == 0 || size > end - at) size = end - at;
    const std::string_view type = iso_text(b, 4);
    if (size < 8 || (at == 0 && !may_begin(type))) break;
    moov = type == "moov";
    if (moov || type == "ftyp" || type == "meta") {
      const size_t before = boxes.size();
      const size_t count = std::min(size, kMostBytes - before);
      boxes.resize(before + count);
      in.clear();
      in.seekg(static_cast<std::streamoff>(at));
      in.read(reinterpret_cast<char*>(boxes.data() + before), static_cast<std::streamsize>(count));
      boxes.resize(before + static_cast<size_t>(in.gcount()));
    }
    at += size;
  }
  return boxes;
}

std::string overstated_table(IsoBytes boxes, uint64_t file_bytes) {
  return overstated(boxes, file_bytes, 0);
}

}  // namespace zoetrope
