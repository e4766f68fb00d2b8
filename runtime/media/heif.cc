#include "runtime/media/heif.h"

#include <cstring>
#include <functional>
#include <map>
#include <string_view>

#include "runtime/media/orientation.h"

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

// A quarter anticlockwise `turns` times, then mirrored.
int orientation_of(int turns, int mirror) {
  constexpr int kTurned[] = {1, 8, 3, 6};
  constexpr int kAcross[] = {2, 7, 4, 5};  // then left and right exchanged
  constexpr int kDown[] = {4, 5, 2, 7};    // then top and bottom exchanged
  return mirror < 0 ? kTurned[turns] : mirror == 1 ? kAcross[turns] : kDown[turns];
}

}  // namespace

HeifInfo read_heif(Bytes file) {
  HeifInfo info;
  std::map<uint64_t, std::string> types;
  uint64_t primary = 0;
  int turns = 0, mirror = -1;
  each_box(file, [&](std::string_view type, Bytes data) {
    if (type == "ftyp") {
      const std::string_view major = four(data, 0);
      for (size_t at = 0; at + 4 <= data.size(); at += at == 0 ? 8 : 4)
        for (const char* known : {"heic", "heix", "heim", "heis", "avif", "mif1"})
          if (four(data, at) == known && (info.brand.empty() || info.brand == "mif1"))
            info.brand = known;
      if (major == "avis" || major == "hevc" || major == "msf1") info.brand.clear();  // sequences
    }
    if (type != "meta" || data.size() < 4) return;
    each_box(data.subspan(4), [&](std::string_view inner, Bytes d) {
      const bool wide = !d.empty() && d[0] > 0;
      if (inner == "pitm") primary = be(d, 4, wide ? 4 : 2);
      if (inner == "iinf" && d.size() >= 8)
        each_box(d.subspan(wide ? 8 : 6), [&](std::string_view entry, Bytes e) {
          if (entry != "infe" || e.size() < 4 || e[0] < 2) return;
          const size_t id_bytes = e[0] == 2 ? 2 : 4;
          types[be(e, 4, id_bytes)] = four(e, 4 + id_bytes + 2);
        });
      if (inner != "iprp") return;
      each_box(d, [&](std::string_view part, Bytes properties) {
        if (part != "ipco") return;
        each_box(properties, [&](std::string_view property, Bytes p) {
          if (property == "irot" && !p.empty()) turns = p[0] & 3;
          if (property == "imir" && !p.empty()) mirror = p[0] & 1;
          const std::string_view colours = four(p, 0);
          if (property == "colr" && (colours == "prof" || colours == "rICC") &&
              info.profile.empty())
            info.profile.assign(p.begin() + 4, p.end());
          const std::string_view text(reinterpret_cast<const char*>(p.data()), p.size());
          if (property == "auxC" && text.find(":auxid:1") != std::string_view::npos)
            info.alpha = true;
          if (property == "auxC" && text.find("auxiliary:alpha") != std::string_view::npos)
            info.alpha = true;
        });
      });
    });
  });
  if (info.brand.empty()) return info;
  info.primary_type = types[primary];
  info.orientation = orientation_of(turns, mirror);
  return info;
}

}  // namespace zoetrope
