// Seeds that nobody gave.
#pragma once

#include <cstdint>

namespace zoetrope {

// From the system's entropy. 53 bits: readers of JSON whose numbers are doubles keep them all.
uint64_t draw_seed();

}  // namespace zoetrope
