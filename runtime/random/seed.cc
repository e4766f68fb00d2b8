#include "runtime/random/seed.h"

#include <random>

namespace zoetrope {

uint64_t draw_seed() {
  std::random_device device;
  return (uint64_t{device()} << 32 | device()) >> 11;
}

}  // namespace zoetrope
