#include "runtime/verify/finding.h"

#include <cstdio>

namespace zoetrope {

std::string_view finding_name(FindingKind kind) {
  switch (kind) {
    case FindingKind::kBeyondBound: return "beyond its bound";
    case FindingKind::kNotFinite: return "not finite";
    case FindingKind::kNotDeterministic: return "not deterministic";
    case FindingKind::kReadsUnwritten: return "reads what nobody wrote";
    case FindingKind::kOverwritten: return "overwritten before it is read";
    case FindingKind::kInputChanged: return "changes its input";
    case FindingKind::kWeightDiffers: return "weight differs";
  }
  return "unknown";
}

std::string exact(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.9g", value);
  return text;
}

}  // namespace zoetrope
