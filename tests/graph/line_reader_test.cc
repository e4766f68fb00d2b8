#include "graph/line_reader.h"

#include <doctest/doctest.h>

#include <fstream>
#include <vector>

#include "tests/support/temporary_folder.h"

using namespace zoetrope;

namespace {

std::vector<std::string> lines_of(const std::string& path) {
  std::vector<std::string> lines;
  LineReader in(path);
  for (std::string line; in.next(&line);) lines.push_back(line);
  return lines;
}

}  // namespace

TEST_CASE("lines of any length, empty ones too, and a last one without its end") {
  const TemporaryFolder folder = TemporaryFolder::in_memory();
  for (const size_t length : {1, 4095, 4096, 4097, 10000}) {
    const std::string line(length, 'x');
    std::ofstream(folder / "file") << line << "\n\n" << line << "\nlast";
    CHECK(lines_of(folder / "file") == std::vector<std::string>{line, "", line, "last"});
  }
  std::ofstream(folder / "file") << "one\n";
  CHECK(lines_of(folder / "file") == std::vector<std::string>{"one"});
}

TEST_CASE("a file that is empty, not there, or a folder has no lines") {
  const TemporaryFolder folder = TemporaryFolder::in_memory();
  std::ofstream(folder / "empty") << "";
  CHECK(lines_of(folder / "empty").empty());
  CHECK(lines_of(folder / "none").empty());
  CHECK(lines_of(folder.path()).empty());
}
