#include "backends/cuda/choices.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace zoetrope::cuda {
namespace {

namespace fs = std::filesystem;

struct Folder {
  fs::path path = fs::temp_directory_path() / ("zoetrope_choices_" + std::to_string(::getpid()));
  Folder() { fs::create_directories(path); }
  ~Folder() { fs::remove_all(path); }
  std::string file(const char* name) const { return (path / name).string(); }
};

}  // namespace

TEST_CASE("choices outlive the process") {
  const Folder folder;
  const std::string path = folder.file("deep/er/list");
  {
    Choices list(path);
    CHECK_FALSE(list.find("a"));
    list.add("a", "1");
    list.add("b", "2");
    list.add("a", "3");
  }
  Choices again(path);
  CHECK(again.find("a") == "3");
  CHECK(again.find("b") == "2");
  CHECK(std::distance(fs::directory_iterator(fs::path(path).parent_path()), {}) == 1);
}

TEST_CASE("two processes keep each other's choices") {
  const Folder folder;
  Choices one(folder.file("list")), two(folder.file("list"));
  one.add("a", "1");
  two.add("b", "2");
  CHECK(Choices(folder.file("list")).find("a") == "1");
  CHECK(Choices(folder.file("list")).find("b") == "2");
}

TEST_CASE("what is damaged is ignored") {
  const Folder folder;
  const std::string path = folder.file("list");
  std::ofstream(path)
      << "zoetrope choices 2\nno tab\n\tno name\nno choice\t\ngood\tyes\nbad\t\x01\n"
      << std::string(5000, 'x') << "\ty\nlate\tyes";
  const Choices list(path);
  CHECK(list.find("good") == "yes");
  CHECK(list.find("late") == "yes");
  CHECK_FALSE(list.find("bad"));
  CHECK_FALSE(list.find("no choice"));

  std::ofstream(path) << "something else\ngood\tyes\n";
  CHECK_FALSE(Choices(path).find("good"));
}

TEST_CASE("without a place to write, choices live in memory") {
  Choices nowhere("");
  nowhere.add("a", "1");
  CHECK(nowhere.find("a") == "1");
  Choices forbidden("/proc/no/such/list");
  forbidden.add("a", "1");
  CHECK(forbidden.find("a") == "1");
}

}  // namespace zoetrope::cuda
