// A test case that cannot run on this machine calls skip() and returns. Where nothing else ran, the
// program ends with kSkipped, which ctest shows as skipped; else the reasons stand in its output
// and `./dev test` lists them. A case that neither checks anything nor skips fails.
#pragma once

#include <string>

namespace zoetrope {

inline constexpr int kSkipped = 77;  // SKIP_RETURN_CODE in cmake/zoetrope.cmake

// Marks the running test case as skipped, or this part of it.
void skip(const std::string& why);

}  // namespace zoetrope
