#include "runtime/media/heif.h"

#include <string_view>

#include "runtime/media/iso_boxes.h"

namespace zoetrope {
namespace {

bool names_alpha(IsoBytes b) {
  const std::string_view text(reinterpret_cast<const char*>(b.data()), b.size());
  return text.find(":auxid:1") != std::string_view::npos ||
         text.find("auxiliary:alpha") != std::string_view::npos;
}

}  // namespace

HeifInfo read_heif(IsoBytes file) {
  HeifInfo info;
  each_iso_box(file, [&](std::string_view type, IsoBytes data) {
    if (type == "ftyp") {
      const std::string_view major = iso_text(data, 0);
      for (size_t at = 0; at + 4 <= data.size(); at += at == 0 ? 8 : 4)
        for (const char* known : {"heic", "heix", "heim", "heis", "avif", "mif1"})
          info.still = info.still || iso_text(data, at) == known;
      if (major == "avis" || major == "hevc" || major == "msf1") info.still = false;  // sequences
    }
    if (type == "moov") {
      each_iso_box(data, [&](std::string_view inner, IsoBytes track) {
        if (inner != "trak") return;
        if (names_alpha(track)) info.alpha = true;  // in its sample entry, as `auxi`
        each_iso_box(track, [&](std::string_view part, IsoBytes references) {
          if (part != "tref") return;
          each_iso_box(references, [&](std::string_view kind, IsoBytes) {
            if (kind == "prem") info.premultiplied = true;
          });
        });
      });
    }
    if (type != "meta" || data.size() < 4) return;
    each_iso_box(data.subspan(4), [&](std::string_view inner, IsoBytes d) {
      if (inner != "iprp") return;
      each_iso_box(d, [&](std::string_view part, IsoBytes properties) {
        if (part != "ipco") return;
        each_iso_box(properties, [&](std::string_view property, IsoBytes p) {
          if (property == "auxC" && names_alpha(p)) info.alpha = true;
        });
      });
    });
  });
  return info;
}

}  // namespace zoetrope
