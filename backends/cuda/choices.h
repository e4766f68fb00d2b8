// What was measured before: a small file of names and choices that is safe to lose.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "runtime/backend/cache_file.h"

namespace zoetrope::cuda {

// Names and choices are any printable text without tabs.
class Choices {
 public:
  // Reads `path`; what is damaged in it is ignored. With an empty path nothing outlives the
  // process.
  explicit Choices(std::string path);

  std::optional<std::string> find(const std::string& name) const;
  // Remembers, and writes the file anew. Failing to write is no error: another process measures
  // again.
  void add(const std::string& name, const std::string& choice);

 private:
  void read();

  const std::string path_;
  std::map<std::string, std::string> choices_;
};

}  // namespace zoetrope::cuda
