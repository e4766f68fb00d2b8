// Flags whose text means more than it says: prompts in files, drawn seeds, numbers in ranges.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "graph/status.h"

namespace zoetrope {

// "-": all of standard input; "@FILE": all of a file; "@@..." begins with one "@". Of what editors
// add, a byte order mark, carriage returns and newlines at the end are dropped.
Result<std::string> read_prompt(const std::string& text);

// The lines of a file, or of standard input for "-"; blank ones are left out, none is an error.
Result<std::vector<std::string>> read_prompts(const std::string& path,
                                              const char* flag = "--prompts");

// A number below 2^64; "-1" and "random" draw one and set `drawn`.
Result<uint64_t> parse_seed(const std::string& text, bool* drawn);

// Finite decimal numbers from `low` to `high`; the message shows what was given.
CLI::Validator number_in(double low, double high);

// Whole decimal numbers; `high` of kNoLimit is what an int holds.
inline constexpr int64_t kNoLimit = INT32_MAX;
CLI::Validator whole_in(int64_t low, int64_t high = kNoLimit);

}  // namespace zoetrope
