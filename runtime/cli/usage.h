// What was meant by words that no command takes.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace zoetrope {

// For a command line that did not parse: names the first word that is not known, and the command
// or flag that is most like it. Empty where the parser's own message says enough.
std::string explain_usage(const CLI::App& root, int argc, const char* const* argv);

}  // namespace zoetrope
