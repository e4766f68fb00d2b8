// One case of the semantic fuzzer: an honest model rewritten, opened, planned and run.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace zoetrope {

// How far a case came.
enum class Reached : uint8_t { kUnwritten, kRefused, kOpened, kPlanned, kRan };
inline constexpr std::array<const char*, 5> kReachedNames = {
    "no file came of it", "refused at opening", "refused when planned",
    "planned; refused, too long or stopped when run", "ran"};

// A process runs cases of one such block.
inline constexpr uint64_t kCasesAProcess = 250;

struct PipelineCase {
  Reached reached = Reached::kUnwritten;
  std::vector<std::string> changes;
  std::string said;   // the error, where there was one
  std::string wrong;  // what must never be; empty: nothing
  int64_t heap = 0;   // most bytes at a time
  double seconds = 0;
};

// Case `number`; its model is left in `folder` as m.zoe. `tell` prints the changes before it runs.
PipelineCase run_pipeline_case(uint64_t number, const std::string& folder, bool tell = false);

}  // namespace zoetrope
