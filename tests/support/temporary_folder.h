// A folder of this process's own, removed with everything in it.
#pragma once

#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "graph/status.h"

namespace zoetrope {

class TemporaryFolder {
 public:
  TemporaryFolder() : TemporaryFolder(std::filesystem::temp_directory_path()) {}
  // In memory where the machine has such a place: files that are synced come quickly.
  static TemporaryFolder in_memory() {
    const std::filesystem::path shared = "/dev/shm";
    std::error_code ignored;
    return std::filesystem::is_directory(shared, ignored) && ::access(shared.c_str(), W_OK) == 0
               ? TemporaryFolder(shared)
               : TemporaryFolder();
  }
  explicit TemporaryFolder(const std::filesystem::path& parent) {
    std::string name = (parent / "zoetrope-XXXXXX").string();
    ZT_CHECK(mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  std::string path() const { return path_.string(); }
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }
  std::string file(const std::string& name) const { return *this / name; }

  // Names of what is in it, sorted.
  std::vector<std::string> names() const {
    std::vector<std::string> list;
    for (const auto& entry : std::filesystem::directory_iterator(path_))
      list.push_back(entry.path().filename().string());
    std::sort(list.begin(), list.end());
    return list;
  }
  // The same, joined by spaces.
  std::string listing() const {
    std::string text;
    for (const std::string& name : names()) text += (text.empty() ? "" : " ") + name;
    return text;
  }

 private:
  std::filesystem::path path_;
};

}  // namespace zoetrope
