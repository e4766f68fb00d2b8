#include "runtime/backend/cache_file.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>
#include <vector>

#include "tests/support/temporary_folder.h"

using namespace zoetrope;

namespace {

namespace fs = std::filesystem;

std::string bytes_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

constexpr size_t kMost = 1 << 20;

}  // namespace

TEST_CASE("caches lie where the environment says") {
  const char* const names[] = {"XDG_CACHE_HOME", "HOME"};
  std::string before[2];
  for (int i = 0; i < 2; ++i) before[i] = std::getenv(names[i]) ? std::getenv(names[i]) : "";
  ::setenv("XDG_CACHE_HOME", "/a", 1);
  ::setenv("HOME", "/b", 1);
  CHECK(cache_path("x") == "/a/zoetrope/x");
  ::setenv("XDG_CACHE_HOME", "relative", 1);
  CHECK(cache_path("x") == "/b/.cache/zoetrope/x");
  ::unsetenv("XDG_CACHE_HOME");
  CHECK(cache_path("x") == "/b/.cache/zoetrope/x");
  ::unsetenv("HOME");
  CHECK(cache_path("x").empty());
  for (int i = 0; i < 2; ++i)
    if (!before[i].empty()) ::setenv(names[i], before[i].c_str(), 1);
}

TEST_CASE("a sealed cache gives back what was written, or nothing") {
  const TemporaryFolder folder;
  const std::string path = folder.file("deep/file"), text("some\0bytes\n\xff", 12);
  CHECK(read_sealed_cache(path, kMost).empty());
  REQUIRE(write_sealed_cache(path, text));
  CHECK(read_sealed_cache(path, kMost) == text);
  CHECK(read_sealed_cache(path, text.size()) == text);
  CHECK(read_sealed_cache(path, text.size() - 1).empty());

  const std::string good = bytes_of(path);
  for (size_t i = 0; i < good.size(); ++i) {
    CAPTURE(i);
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 1);
    std::ofstream(path, std::ios::binary) << bad;
    CHECK(read_sealed_cache(path, kMost).empty());
    std::ofstream(path, std::ios::binary) << good.substr(0, i);
    CHECK(read_sealed_cache(path, kMost).empty());
  }
  std::ofstream(path, std::ios::binary) << good << "x";
  CHECK(read_sealed_cache(path, kMost).empty());
}

TEST_CASE("a cache that cannot be written leaves nothing behind") {
  const TemporaryFolder folder;
  fs::create_directories(fs::path(folder / "taken") / "by a folder");
  CHECK_FALSE(write_cache(folder.file("taken"), "x"));
  CHECK(folder.names().size() == 1);
  CHECK_FALSE(write_cache("/proc/no/such/file", "x"));
  CHECK(read_sealed_cache(folder.file("taken"), kMost).empty());
}

TEST_CASE("writers at the same time leave one of their files, whole") {
  const TemporaryFolder folder;
  const std::string path = folder.file("file");
  REQUIRE(write_sealed_cache(path, std::string(20'000, 'z')));
  std::vector<std::thread> writers;
  for (char name : {'a', 'b', 'c', 'd'})
    writers.emplace_back([&, name] {
      for (int i = 0; i < 50; ++i) write_sealed_cache(path, std::string(20'000, name));
    });
  bool whole = true;
  for (int i = 0; i < 200; ++i) {
    const std::string found = read_sealed_cache(path, kMost);
    whole = whole && found.size() == 20'000 && found == std::string(20'000, found[0]);
  }
  for (std::thread& writer : writers) writer.join();
  CHECK(whole);
  CHECK(folder.names().size() == 1);
}
