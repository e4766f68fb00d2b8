// Reports for people: a table for the terminal, and one page.
#pragma once

#include <string>
#include <vector>

#include "bench/compare.h"
#include "bench/result.h"
#include "runtime/report/page.h"

namespace zoetrope::bench {

struct Shown {
  const Report* report = nullptr;
  std::vector<const Report*> beside;       // of peers and of other machines
  const Report* baseline = nullptr;        // null: nothing is compared
  const Comparison* comparison = nullptr;  // with the baseline
  double tolerance = 0.05;
};

std::string to_table(const Shown& shown);
Page to_page(const Shown& shown);

// A number by a pattern of printf.
std::string format(const char* pattern, double value);
// "1.23 ms", "412 us": three digits.
std::string short_seconds(double seconds);
// The program, or the device too where another machine's is meant.
std::string peer_name(const Row& row, const Row& peer);
// "102 GFLOP/s" where the row is about arithmetic, "21.3 GB/s" where it is about memory.
std::string rate_text(const Row& row);

}  // namespace zoetrope::bench
