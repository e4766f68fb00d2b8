#include "runtime/media/heif.h"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <functional>
#include <string_view>

namespace zoetrope {
namespace {

using Bytes = std::span<const uint8_t>;

uint64_t be(Bytes b, size_t at, size_t count) {
  if (at > b.size() || b.size() - at < count) return 0;
  uint64_t value = 0;
  for (size_t i = 0; i < count; ++i) value = value << 8 | b[at + i];
  return value;
}

std::string_view four(Bytes b, size_t at) {
  return at + 4 <= b.size() ? std::string_view(reinterpret_cast<const char*>(b.data()) + at, 4)
                            : std::string_view();
}

// Calls `use` for each box of `b`; a box that is cut off is given as far as it goes.
void each_box(Bytes b, const std::function<void(std::string_view type, Bytes data)>& use) {
  while (b.size() >= 8) {
    uint64_t size = be(b, 0, 4), head = 8;
    if (size == 1) size = be(b, 8, 8), head = 16;
    if (size == 0) size = b.size();
    if (size < head || head > b.size()) return;
    size = std::min<uint64_t>(size, b.size());
    use(four(b, 4), b.subspan(head, size - head));
    b = b.subspan(size);
  }
}

bool names_alpha(Bytes b) {
  const std::string_view text(reinterpret_cast<const char*>(b.data()), b.size());
  return text.find(":auxid:1") != std::string_view::npos ||
         text.find("auxiliary:alpha") != std::string_view::npos;
}

}  // namespace

HeifInfo read_heif(Bytes file) {
  HeifInfo info;
  each_box(file, [&](std::string_view type, Bytes data) {
    if (type == "ftyp") {
      const std::string_view major = four(data, 0);
      for (size_t at = 0; at + 4 <= data.size(); at += at == 0 ? 8 : 4)
        for (const char* known : {"heic", "heix", "heim", "heis", "avif", "mif1"})
          info.still = info.still || four(data, at) == known;
      if (major == "avis" || major == "hevc" || major == "msf1") info.still = false;  // sequences
    }
    if (type == "moov") {
      each_box(data, [&](std::string_view inner, Bytes track) {
        if (inner != "trak") return;
        if (names_alpha(track)) info.alpha = true;  // in its sample entry, as `auxi`
        each_box(track, [&](std::string_view part, Bytes references) {
          if (part != "tref") return;
          each_box(references, [&](std::string_view kind, Bytes) {
            if (kind == "prem") info.premultiplied = true;
          });
        });
      });
    }
    if (type != "meta" || data.size() < 4) return;
    each_box(data.subspan(4), [&](std::string_view inner, Bytes d) {
      if (inner != "iprp") return;
      each_box(d, [&](std::string_view part, Bytes properties) {
        if (part != "ipco") return;
        each_box(properties, [&](std::string_view property, Bytes p) {
          if (property == "auxC" && names_alpha(p)) info.alpha = true;
        });
      });
    });
  });
  return info;
}

std::vector<uint8_t> read_heif_boxes(const std::string& path) {
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
    const Bytes b(head, static_cast<size_t>(in.gcount()));
    uint64_t size = be(b, 0, 4);
    if (size == 1) size = be(b, 8, 8);
    if (size == 0 || size > end - at) size = end - at;
    const std::string_view type = four(b, 4);
    if (size < 8 || (at == 0 && type != "ftyp")) break;
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

}  // namespace zoetrope
