// Flags whose text means more than it says: prompts in files, drawn seeds, numbers in ranges.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "graph/status.h"

namespace zoetrope {

// "-": all of standard input; "@FILE": all of a file; "@@..." begins with one "@". A newline at the
// end is dropped.
Result<std::string> read_prompt(const std::string& text);

// The lines of a file, or of standard input for "-"; empty ones are left out, none is an error.
Result<std::vector<std::string>> read_prompts(const std::string& path,
                                              const char* flag = "--prompts");

// A number below 2^64; "-1" and "random" draw one and set `drawn`.
Result<uint64_t> parse_seed(const std::string& text, bool* drawn);

// Finite numbers from `low` to `high`; the message shows what was given.
CLI::Validator number_in(double low, double high);

}  // namespace zoetrope
