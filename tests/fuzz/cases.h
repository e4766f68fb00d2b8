// What a search tries, kind by kind: cases that follow from a number alone.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace zoetrope {

struct CaseResult {
  size_t reached = 0;                // of CaseKind::reached
  std::vector<std::string> changes;  // what was done
  std::string said;                  // the error, where there was one
  std::string wrong;                 // what must never be; empty: nothing
  int64_t heap = 0;                  // most bytes at a time
  double seconds = 0;
};

struct CaseKind {
  const char* name;
  // How far a case may come, least first. A search of which less than `least_share` come to the
  // end proves little.
  std::span<const char* const> reached;
  double least_share;
  // Cases that share what is costly to make: one process runs a block of them, from its beginning.
  uint64_t block;
  // What every process of the search shares, before it is forked; why there can be none.
  std::string (*prepare)();
  // Case `number`, alone or after the one before it; its files are left in `folder`. `tell` prints
  // its changes before anything can go wrong.
  CaseResult (*run)(uint64_t number, const std::string& folder, bool tell);
};

// Models rewritten, opened, planned and run.
extern const CaseKind kPipelineCases;
// Pictures, clips and sound, damaged, cut and joined, read and copied.
extern const CaseKind kMediaCases;
// Checkpoints, adapters and folders, rewritten and converted.
extern const CaseKind kCheckpointCases;
// Command lines.
extern const CaseKind kFlagCases;

}  // namespace zoetrope
