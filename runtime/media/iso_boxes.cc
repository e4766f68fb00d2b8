#include "runtime/media/iso_boxes.h"

#include <algorithm>
#include <fstream>
#include <initializer_list>

#include "graph/status.h"

namespace zoetrope {
namespace {

// Half bytes that an entry of a table takes at least; 0: it is no table.
uint64_t entry_nibbles(std::string_view type) {
  if (type == "stz2") return 1;
  if (type == "stco" || type == "stss" || type == "stps") return 8;
  if (type == "stts" || type == "ctts" || type == "co64") return 16;
  return type == "stsc" ? 24 : 0;
}

bool is_one_of(std::string_view type, std::initializer_list<const char*> those) {
  return std::any_of(those.begin(), those.end(), [&](const char* one) { return type == one; });
}

// Files of before 2001 have no `ftyp`.
bool may_begin(std::string_view type) {
  return is_one_of(type, {"ftyp", "styp", "moov", "mdat", "wide", "free", "skip", "pnot", "junk",
                          "udta", "uuid", "sidx"});
}

IsoBytes box_in(IsoBytes boxes, std::string_view wanted) {
  IsoBytes found;
  each_iso_box(boxes, [&](std::string_view type, IsoBytes data) {
    if (type == wanted && found.empty()) found = data;
  });
  return found;
}

class Tables {
 public:
  explicit Tables(uint64_t file_bytes) : file_bytes_(file_bytes) {}

  std::string overstated(IsoBytes boxes, int depth = 0) {
    constexpr int kDeepest = 16;
    each_iso_box(boxes, [&](std::string_view type, IsoBytes data) {
      if (!found_.empty()) return;
      if (type == "mdia") sound_ = iso_text(box_in(data, "hdlr"), 8) == "soun";
      if (type == "stbl") {
        const IsoBytes times = box_in(data, "stts");
        even_ = iso_number(times, 4, 4) == 1 && iso_number(times, 12, 4) == 1;
      }
      if (is_one_of(type, {"moov", "trak", "mdia", "minf", "stbl"}) && depth < kDeepest)
        overstated(data, depth + 1);
      else
        judge_table(type, data);
    });
    return found_;
  }

 private:
  void judge_table(std::string_view type, IsoBytes data) {
    constexpr uint64_t kFew = 1 << 20;
    if (type == "stsz" && iso_number(data, 4, 4) != 0) {
      // Samples of one size, a byte or more each. Of QuickTime's sound in samples of one unit of
      // time it counts what they are before compression, and demuxers make no room for each.
      if (!(sound_ && even_)) judge(type, iso_number(data, 8, 4), std::max(file_bytes_, kFew));
    } else if (type == "stsz") {
      judge(type, iso_number(data, 8, 4), file_bytes_ / 4);
    } else if (const uint64_t nibbles = entry_nibbles(type); nibbles > 0) {
      judge(type, iso_number(data, type == "stz2" ? 8 : 4, 4), 2 * file_bytes_ / nibbles);
    }
  }

  void judge(std::string_view type, uint64_t count, uint64_t most) {
    if (count > most)
      found_ = str("its `", type, "` announces ", count, " entries in a file of ", file_bytes_,
                   " bytes");
  }

  const uint64_t file_bytes_;
  bool sound_ = false, even_ = false;  // of the track: a sound; samples last one unit of time
  std::string found_;
};

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
  return Tables(file_bytes).overstated(boxes);
}

}  // namespace zoetrope
