// Runs groups: round after round, every subject in turn, and the ceilings of their devices among
// them.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "bench/subject.h"

namespace zoetrope::bench {

struct RunnerOptions {
  int rounds = 9;              // samples of a row, at most
  int least_rounds = 3;        // and at least, unless the first call takes longer than `limit`
  double seconds = 1;          // that a row may take beyond those
  double limit = 0;            // rows of which one call would take longer are skipped; 0: none
  std::function<bool()> stop;  // true: end here, with what is there
};

// Appends the rows of every group that began. False: stopped.
bool run_groups(const std::vector<Group*>& groups, const RunnerOptions& options,
                std::vector<Row>* rows);

}  // namespace zoetrope::bench
