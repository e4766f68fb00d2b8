#include "backends/cuda/choices.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace zoetrope::cuda {
namespace {

constexpr std::string_view kHeader = "zoetrope choices 2";
constexpr size_t kMaxLine = 1024, kMaxLines = 100'000;

bool printable(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

}  // namespace

std::string cache_path(std::string_view name) {
  namespace fs = std::filesystem;
  const char* cache = std::getenv("XDG_CACHE_HOME");
  const char* home = std::getenv("HOME");
  fs::path folder;
  if (cache != nullptr && *cache == '/')
    folder = cache;
  else if (home != nullptr && *home == '/')
    folder = fs::path(home) / ".cache";
  else
    return "";
  return (folder / "zoetrope" / name).string();
}

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
  namespace fs = std::filesystem;
  choices_[name] = choice;
  if (path_.empty()) return;
  read();  // what another process has added since; ours stay
  std::error_code ignored;
  fs::create_directories(fs::path(path_).parent_path(), ignored);
  const std::string draft = path_ + "." + std::to_string(::getpid());
  {
    std::ofstream file(draft, std::ios::trunc);
    file << kHeader << '\n';
    for (const auto& [key, value] : choices_) file << key << '\t' << value << '\n';
    if (!file.flush()) {
      file.close();
      fs::remove(draft, ignored);
      return;
    }
  }
  fs::rename(draft, path_, ignored);
  if (ignored) fs::remove(draft, ignored);
}

}  // namespace zoetrope::cuda
