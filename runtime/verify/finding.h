// What `verify` can find at a kernel call, and where.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace zoetrope {

enum class FindingKind : uint8_t {
  kBeyondBound,       // the result is further from the definition than the op's tolerance allows
  kNotFinite,         // infinity or NaN where the definition gives a number
  kNotDeterministic,  // two runs on the same bytes gave different ones
  kReadsUnwritten,    // the result depends on what lay in the workspace or the output before
  kOverwritten,       // a value changed between the call that made it and the one that reads it
  kInputChanged,      // the call wrote into what it was only to read
  kWeightDiffers,     // a weight on the device is not what the model file gives
};
std::string_view finding_name(FindingKind kind);

// With as many digits as tell one f32 from the next.
std::string exact(double value);

struct Finding {
  FindingKind kind = FindingKind::kBeyondBound;
  std::string job, node, kernel;  // "denoise"; the node with its types; the kernel's name
  std::string text;               // what was expected and found, and where
};

}  // namespace zoetrope
