#include "runtime/cli/prompt_flags.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>

#include "runtime/random/seed.h"

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
  if (text.starts_with("\xff\xfe") || text.starts_with("\xfe\xff"))
    return error(Code::kInvalidArgument, "the prompt in ", name,
                 " is coded as UTF-16; save it as UTF-8");
  if (text.starts_with("\xef\xbb\xbf")) text.erase(0, 3);
  if (const size_t at = text.find('\0'); at != std::string::npos)
    return error(Code::kInvalidArgument, "the prompt in ", name, " has a zero at byte ", at,
                 ": it is no text");
  for (size_t at = 0; (at = text.find('\r', at)) != std::string::npos;)
    if (at + 1 < text.size() && text[at + 1] == '\n')
      text.erase(at, 1);
    else
      text[at] = '\n';
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

// The whole text as one decimal number; no sign but a minus.
template <typename Number>
bool parse_whole(const std::string& text, Number* value) {
  const char* end = text.data() + text.size();
  const auto [at, code] = std::from_chars(text.data(), end, *value);
  return code == std::errc() && at == end;
}

Result<std::string> read_text_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return read_text(in, path);
}

}  // namespace

Result<std::string> read_prompt(const std::string& text) {
  if (text == "-") return read_text(std::cin, "standard input");
  if (text.empty() || text[0] != '@') return text;
  if (text.size() > 1 && text[1] == '@') return text.substr(1);
  return read_text_file(text.substr(1));
}

Result<std::vector<std::string>> read_prompts(const std::string& path, const char* flag) {
  ZT_ASSIGN_OR_RETURN(const std::string text,
                      path == "-" ? read_prompt(path) : read_text_file(path));
  std::vector<std::string> lines;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    std::string line = text.substr(begin, end - begin);
    if (line.find_first_not_of(" \t") != std::string::npos) lines.push_back(std::move(line));
    begin = end + 1;
  }
  if (lines.empty())
    return error(Code::kInvalidArgument, flag, " ", path, ": expected a prompt on each line");
  return lines;
}

Result<uint64_t> parse_seed(const std::string& text, bool* drawn) {
  *drawn = text == "-1" || text == "random";
  if (*drawn) return draw_seed();
  uint64_t seed = 0;
  if (parse_whole(text, &seed)) return seed;
  return error(Code::kInvalidArgument, "--seed: '", text.substr(0, 40),
               "' is not a number from 0 to 18446744073709551615, nor -1 or random for one that is "
               "drawn");
}

CLI::Validator number_in(double low, double high) {
  const std::string range = str(low, " to ", high);
  return CLI::Validator(
      [=](std::string& text) {
        double value = 0;
        if (parse_whole(text, &value) && std::isfinite(value) && value >= low && value <= high)
          return std::string();
        return str(text.substr(0, 40), " is not a number from ", range);
      },
      range);
}

CLI::Validator whole_in(int64_t low, int64_t high) {
  const std::string range = str(low, high == kNoLimit ? " or more" : str(" to ", high));
  return CLI::Validator(
      [=](std::string& text) {
        int64_t value = 0;
        if (parse_whole(text, &value) && value >= low && value <= high) return std::string();
        return str(text.substr(0, 40), " is not a whole number from ", low, " to ", high);
      },
      range);
}

}  // namespace zoetrope
