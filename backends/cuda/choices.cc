#include "backends/cuda/choices.h"

#include <algorithm>
#include <fstream>

#include "graph/status.h"

namespace zoetrope::cuda {
namespace {

constexpr std::string_view kHeader = "zoetrope choices 2";
constexpr size_t kMaxLine = 1024, kMaxLines = 100'000;

bool printable(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

}  // namespace

Choices::Choices(std::string path) : path_(std::move(path)) { read(); }

void Choices::read() {
  if (path_.empty()) return;
  std::ifstream file(path_);
  std::string line;
  if (!std::getline(file, line) || line != kHeader) return;
  for (size_t i = 0; i < kMaxLines && std::getline(file, line); ++i) {
    const size_t tab = line.find('\t');
    if (line.size() > kMaxLine || tab == std::string::npos) continue;
    const std::string name = line.substr(0, tab), choice = line.substr(tab + 1);
    if (!name.empty() && !choice.empty() && printable(name) && printable(choice))
      choices_.emplace(name, choice);
  }
}

std::optional<std::string> Choices::find(const std::string& name) const {
  const auto found = choices_.find(name);
  if (found == choices_.end()) return std::nullopt;
  return found->second;
}

void Choices::add(const std::string& name, const std::string& choice) {
  choices_[name] = choice;
  if (path_.empty()) return;
  read();  // what another process has added since; ours stay
  std::string text = str(kHeader, '\n');
  for (const auto& [key, value] : choices_) text += str(key, '\t', value, '\n');
  write_cache(path_, text);
}

}  // namespace zoetrope::cuda
