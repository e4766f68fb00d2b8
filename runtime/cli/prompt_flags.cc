#include "runtime/cli/prompt_flags.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
#include <random>

namespace zoetrope {
namespace {

constexpr size_t kMaxPromptBytes = 1 << 20;

Result<std::string> read_text(std::istream& in, const std::string& name) {
  if (!in) return error(Code::kNotFound, "cannot read the prompt from ", name);
  std::string text;
  char part[4096];
  while (in.read(part, sizeof(part)), in.gcount() > 0) {
    text.append(part, static_cast<size_t>(in.gcount()));
    if (text.size() > kMaxPromptBytes)
      return error(Code::kInvalidArgument, "the prompt in ", name, " is longer than 1 MiB");
  }
  if (in.bad() || (&in == &std::cin && std::ferror(stdin) != 0))
    return error(Code::kIoError, "cannot read the prompt from ", name);
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  return text;
}

}  // namespace

Result<std::string> read_prompt(const std::string& text) {
  if (text == "-") return read_text(std::cin, "standard input");
  if (text.empty() || text[0] != '@') return text;
  if (text.size() > 1 && text[1] == '@') return text.substr(1);
  std::ifstream in(text.substr(1), std::ios::binary);
  return read_text(in, text.substr(1));
}

Result<std::vector<std::string>> read_prompts(const std::string& path, const char* flag) {
  ZT_ASSIGN_OR_RETURN(const std::string text, read_prompt(path == "-" ? path : "@" + path));
  std::vector<std::string> lines;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    std::string line = text.substr(begin, end - begin);
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (!line.empty()) lines.push_back(std::move(line));
    begin = end + 1;
  }
  if (lines.empty())
    return error(Code::kInvalidArgument, flag, " ", path, ": expected a prompt on each line");
  return lines;
}

Result<uint64_t> parse_seed(const std::string& text, bool* drawn) {
  *drawn = text == "-1" || text == "random";
  if (*drawn) {
    std::random_device device;
    return (uint64_t{device()} << 32 | device()) >> 11;  // 53 bits: JSON readers keep them all
  }
  uint64_t seed = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), seed);
  if (code == std::errc() && end == text.data() + text.size()) return seed;
  return error(Code::kInvalidArgument, "--seed: '", text.substr(0, 40),
               "' is not a number from 0 to 18446744073709551615, nor -1 or random for one that is "
               "drawn");
}

CLI::Validator number_in(double low, double high) {
  const std::string range = str(low, " to ", high);
  return CLI::Validator(
      [=](std::string& text) {
        char* end = nullptr;
        const double value = std::strtod(text.c_str(), &end);
        if (end != text.c_str() && *end == '\0' && std::isfinite(value) && value >= low &&
            value <= high)
          return std::string();
        return str(text.substr(0, 40), " is not a number from ", range);
      },
      range);
}

}  // namespace zoetrope
