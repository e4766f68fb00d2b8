// Files that are being written: whole under their name or not there at all, whatever ends the
// process.
#include "graph/format/output_file.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>

#include "graph/format/mapped_file.h"
#include "tests/skip.h"
#include "tests/support/temporary_folder.h"

using namespace zoetrope;

namespace {

std::string bytes_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

OutputFile begun(const std::string& path, const std::string& text) {
  auto file = OutputFile::create(path);
  REQUIRE_MESSAGE(file.ok(), file.status().message());
  REQUIRE(file->write(text.data(), text.size()).ok());
  return std::move(*file);
}

// Whether the file system has files without a name.
bool has_nameless(const TemporaryFolder& folder) {
  const int file = ::open(folder.path().c_str(), O_TMPFILE | O_RDWR, 0600);
  if (file >= 0) ::close(file);
  return file >= 0;
}

// A child that ends by SIGKILL, by itself or after `doing`.
void kill_after(const std::function<void()>& doing) {
  const pid_t child = ::fork();
  if (child == 0) {
    doing();
    ::raise(SIGKILL);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFSIGNALED(status));
}

}  // namespace

TEST_CASE("a process that is killed while it writes leaves nothing, and the old file") {
  const TemporaryFolder folder;
  if (!has_nameless(folder)) return skip("this file system has no files without a name");
  const std::string path = folder / "clip";
  kill_after([&] {
    OutputFile file = begun(path, "half");
    ::raise(SIGKILL);
  });
  CHECK(folder.listing().empty());
  std::ofstream(path) << "old";
  kill_after([&] {
    OutputFile file = begun(path, "half");
    ::raise(SIGKILL);
  });
  CHECK(folder.listing() == "clip");
  CHECK(bytes_of(path) == "old");
}

TEST_CASE("a file appears whole when it is committed, under a free name or in place of another") {
  const TemporaryFolder folder;
  const mode_t before = ::umask(027);
  {
    OutputFile file = begun(folder / "clip", "first");
    CHECK(bytes_of(file.temporary_path()) == "first");
    CHECK(file.write_at(1, std::vector<uint8_t>{'I'}).ok());
    CHECK(file.write("!", 1).ok());
    CHECK_FALSE(std::filesystem::exists(folder / "clip"));
    CHECK(file.commit().ok());
    CHECK(file.commit().ok());
  }
  ::umask(before);
  struct stat info {};
  REQUIRE(::stat((folder / "clip").c_str(), &info) == 0);
  CHECK((info.st_mode & 07777) == 0640);
  CHECK(bytes_of(folder / "clip") == "fIrst!");
  REQUIRE(::chmod((folder / "clip").c_str(), 0604) == 0);
  REQUIRE(::symlink("clip", (folder / "link").c_str()) == 0);
  CHECK(begun(folder / "link", "second").commit().ok());
  CHECK(std::filesystem::is_symlink(folder / "link"));
  CHECK(bytes_of(folder / "clip") == "second");
  REQUIRE(::stat((folder / "clip").c_str(), &info) == 0);
  CHECK((info.st_mode & 07777) == 0604);
  CHECK(folder.listing() == "clip link");
}

TEST_CASE("a name that is taken in the meantime is replaced") {
  const TemporaryFolder folder;
  OutputFile one = begun(folder / "clip", "one"), other = begun(folder / "clip", "other");
  CHECK(one.commit().ok());
  CHECK(bytes_of(folder / "clip") == "one");
  CHECK(other.commit().ok());
  CHECK(bytes_of(folder / "clip") == "other");
  CHECK(folder.listing() == "clip");
}

TEST_CASE("a file that is closed keeps no handle, and goes when it is dropped") {
  const TemporaryFolder folder;
  {
    OutputFile file = begun(folder / "clip", "frame");
    CHECK(file.close().ok());
    CHECK(folder.names().size() == 1);
    CHECK(bytes_of(file.temporary_path()) == "frame");
    OutputFile moved = std::move(file);
    CHECK(moved.commit().ok());
    CHECK(folder.listing() == "clip");
    OutputFile dropped = begun(folder / "other", "frame");
    CHECK(dropped.close().ok());
    CHECK(folder.names().size() == 2);
  }
  CHECK(folder.listing() == "clip");
}

TEST_CASE("a folder that is taken away is an error") {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "sub");
  OutputFile file = begun(folder / "sub/clip", "text");
  std::filesystem::remove_all(folder / "sub");
  const Status status = file.commit();
  CHECK(status.code() == Code::kIoError);
  CHECK(status.message().find("sub/clip") != std::string::npos);
}

TEST_CASE("what cannot be opened says whether it is not there or no handle is left") {
  CHECK(MappedFile::open("/no/such/file").status().code() == Code::kNotFound);
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
  const rlimit none{0, before.rlim_max};
  REQUIRE(setrlimit(RLIMIT_NOFILE, &none) == 0);
  const Status status = MappedFile::open("/proc/self/exe").status();
  REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
  CHECK(status.code() == Code::kResourceExhausted);
}
