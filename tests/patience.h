// Limits of time inside tests follow the machine, as ctest's do: ZOETROPE_PATIENCE is how many
// times slower than usual it is (cmake/zoetrope.cmake).
#pragma once

#include <algorithm>
#include <cstdlib>

namespace zoetrope {

inline double patience() {
  const char* given = std::getenv("ZOETROPE_PATIENCE");
  return given == nullptr ? 1 : std::max(1.0, std::strtod(given, nullptr));
}

}  // namespace zoetrope
