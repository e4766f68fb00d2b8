#include "tests/fuzz/byte_changes.h"

#include <algorithm>
#include <cstring>
#include <iterator>

namespace zoetrope {

void change_bytes(Draw& draw, Bytes* bytes) {
  const size_t n = bytes->size();
  const size_t at = draw.below(n);
  switch (draw.below(8)) {
    case 0: (*bytes)[at] = static_cast<uint8_t>(draw.below(256)); return;
    case 1: (*bytes)[at] ^= static_cast<uint8_t>(1u << draw.below(8)); return;
    case 2: {  // an aligned word gets an edge value
      const uint32_t edge = kEdgeWords[draw.below(std::size(kEdgeWords))];
      if (n >= 4) std::memcpy(bytes->data() + draw.below(n / 4) * 4, &edge, 4);
      return;
    }
    case 3: {  // a word moves a little: offsets and lengths become nearly right
      if (n < 4) return;
      const size_t word = draw.below(n / 4) * 4;
      uint32_t value;
      std::memcpy(&value, bytes->data() + word, 4);
      value += draw.below(33) - 16;
      std::memcpy(bytes->data() + word, &value, 4);
      return;
    }
    case 4: bytes->resize(at); return;
    case 5:
      bytes->insert(bytes->begin() + static_cast<ptrdiff_t>(at), draw.below(16), 0x41);
      return;
    case 6: {  // one place is copied over another
      const size_t length = std::min<size_t>(draw.below(64), n - at);
      const size_t from = draw.below(n - length + 1);
      std::memmove(bytes->data() + at, bytes->data() + from, length);
      return;
    }
    default: {
      const size_t length = std::min<size_t>(draw.below(32), n - at);
      bytes->erase(bytes->begin() + static_cast<ptrdiff_t>(at),
                   bytes->begin() + static_cast<ptrdiff_t>(at + length));
    }
  }
}

}  // namespace zoetrope
