#include "backends/cuda/call_order.h"

#include <algorithm>

namespace zoetrope::cuda {
namespace {

constexpr size_t kMostCalls = 2048;  // time and memory grow with its square

bool conflict(const CallMemory& a, const CallMemory& b) {
  return a.alone || b.alone || a.writes.overlap(b.writes) || a.writes.overlap(b.reads) ||
         a.reads.overlap(b.writes);
}

}  // namespace

std::vector<std::vector<size_t>> call_order(std::span<const CallMemory> calls) {
  std::vector<std::vector<size_t>> after(calls.size());
  if (calls.size() > kMostCalls) {
    for (size_t i = 1; i < calls.size(); ++i) after[i] = {i - 1};
    return after;
  }
  std::vector<std::vector<bool>> follows(calls.size());  // directly or not
  for (size_t i = 0; i < calls.size(); ++i) {
    follows[i].resize(i, false);
    for (size_t j = i; j-- > 0;) {
      if (follows[i][j] || !conflict(calls[i], calls[j])) continue;
      after[i].push_back(j);
      follows[i][j] = true;
      for (size_t k = 0; k < j; ++k)
        if (follows[j][k]) follows[i][k] = true;
    }
    std::reverse(after[i].begin(), after[i].end());
  }
  return after;
}

}  // namespace zoetrope::cuda
