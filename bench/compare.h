// Two reports of the same program: what became slower, what faster.
#pragma once

#include <string>
#include <vector>

#include "bench/result.h"

namespace zoetrope::bench {

struct Difference {
  const Row* baseline = nullptr;
  const Row* now = nullptr;
  Change change = Change::kSame;
  double ratio() const { return now->seconds.median / baseline->seconds.median; }
};

struct Comparison {
  std::vector<Difference> rows;    // that both measured, in the order of `now`
  std::vector<std::string> notes;  // what was measured by one of them only; ceilings that moved
  int slower = 0, faster = 0;
};

// Of the rows of the program that both are about, not of its peers. Rows match by kind, name,
// program, device and dtype. Both reports must outlive the comparison.
Comparison compare_reports(const Report& baseline, const Report& now, double tolerance);

// Other rows that are about the same work as `row`: of other programs, and of other reports. Kind,
// name and dtype are equal, and the device's id where there is such a row, else its backend.
std::vector<const Row*> same_work(const Row& row, const std::vector<const Report*>& reports);

}  // namespace zoetrope::bench
