// Outputs of several processes: a name is one process's, until that ends in whatever way.
#include "graph/format/output_claim.h"

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <optional>

#include "graph/format/output_file.h"
#include "tests/support/temporary_folder.h"

using namespace zoetrope;

namespace {

Result<OutputClaim> claim_all(const std::vector<std::string>& paths) {
  std::vector<OutputTarget> targets;
  for (const std::string& path : paths) {
    ZT_ASSIGN_OR_RETURN(OutputTarget target, resolve_output(path));
    targets.push_back(std::move(target));
  }
  return OutputClaim::take(targets);
}

// Another process, begun before this one claims anything, which claims what it is told to, and
// ends by SIGKILL.
class Other {
 public:
  Other() {
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) == 0);
    child_ = ::fork();
    REQUIRE(child_ >= 0);
    if (child_ == 0) serve(ends[1]);
    ::close(ends[1]);
    socket_ = ends[0];
  }
  ~Other() { kill(); }
  // begin() may be called for several before finish() asks each.
  void begin(const std::vector<std::string>& paths) const {
    std::string text;
    for (const std::string& path : paths) text += path + '\n';
    REQUIRE(::send(socket_, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()));
  }
  bool finish() const {
    char answer = 0;
    REQUIRE(::recv(socket_, &answer, 1, 0) == 1);
    return answer == '+';
  }
  // Beside what it has.
  bool take(const std::vector<std::string>& paths) const {
    begin(paths);
    return finish();
  }
  bool drop_all() const { return take({""}); }
  void kill() {
    if (child_ < 0) return;
    ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
    ::close(socket_);
    child_ = -1;
  }

 private:
  [[noreturn]] static void serve(int socket) {
    std::vector<OutputClaim> held;
    std::string text(1 << 16, '\0');
    while (true) {
      const ssize_t n = ::recv(socket, text.data(), text.size(), 0);
      if (n <= 0) ::_exit(1);
      std::vector<std::string> paths;
      for (ssize_t begin = 0; begin < n;) {
        const auto end = static_cast<ssize_t>(text.find('\n', static_cast<size_t>(begin)));
        paths.push_back(text.substr(static_cast<size_t>(begin), static_cast<size_t>(end - begin)));
        begin = end + 1;
      }
      if (paths == std::vector<std::string>{""}) {
        held.clear();
        paths.clear();
      }
      auto claim = claim_all(paths);
      const char answer = claim.ok() ? '+' : '-';
      if (claim.ok()) held.push_back(std::move(*claim));
      if (::send(socket, &answer, 1, 0) != 1) ::_exit(1);
    }
  }

  pid_t child_ = -1;
  int socket_ = -1;
};

void check_held(const std::string& path) {
  CAPTURE(path);
  const Status status = OutputClaim::take(path).status();
  CHECK(status.code() == Code::kUnavailable);
  CHECK(status.message().find(path + ": another zoetrope") != std::string::npos);
}

void check_free(const std::string& path) {
  const Status status = OutputClaim::take(path).status();
  CHECK_MESSAGE(status.ok(), status.message());
}

}  // namespace

TEST_CASE("a name that another process writes to is refused under all its names, until that ends") {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "sub");
  std::filesystem::create_directory_symlink("sub", folder / "link");
  std::filesystem::create_symlink("sub/clip.mp4", folder / "other.mp4");
  const std::string clip = folder / "sub/clip.mp4";
  for (const bool there : {false, true}) {
    CAPTURE(there);
    if (there) {
      std::ofstream(clip) << "old";
      std::filesystem::create_hard_link(clip, folder / "hard.mp4");
    }
    const std::string before = folder.listing();
    Other other;
    REQUIRE(other.take({clip}));
    check_held(clip);
    check_held(folder / "./sub/../sub//clip.mp4");
    check_held(folder / "link/clip.mp4");
    check_held(folder / "other.mp4");
    if (there) check_held(folder / "hard.mp4");
    for (const char* name : {"clip.mp4", "sub/clip.mp3", "sub/clip-1.mp4", "sub/CLIP.mp4", "sub/a"})
      check_free(folder / name);
    CHECK(OutputFile::create(clip).status().code() == Code::kUnavailable);
    other.kill();
    check_free(clip);
    CHECK(folder.listing() == before);
    CHECK(std::filesystem::exists(clip) == there);
  }
}

TEST_CASE("a claim holds until the last one of its process is dropped") {
  const TemporaryFolder folder;
  const Other other;
  const std::string clip = folder / "clip", frame = folder / "clip-1";
  {
    auto both = claim_all({clip, frame});
    REQUIRE(both.ok());
    {
      auto again = OutputClaim::take(clip);
      REQUIRE(again.ok());
      const OutputClaim moved = std::move(*again);
    }
    CHECK_FALSE(other.take({clip}));
    CHECK_FALSE(other.take({frame}));
  }
  CHECK(other.take({clip}));
  CHECK(claim_all({frame}).ok());
  CHECK_FALSE(claim_all({clip, frame}).ok());
  CHECK(other.take({frame}));  // what was refused took nothing
  CHECK(other.drop_all());
  CHECK(claim_all({clip, frame}).ok());
}

TEST_CASE("a forked process has no claims, and leaves its parent's alone") {
  const TemporaryFolder folder;
  const std::string path = folder.file("a.mp4");
  const Other other;
  auto claim = claim_all({path});
  REQUIRE(claim.ok());
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    const bool taken = claim_all({path}).ok();
    *claim = OutputClaim();
    ::_exit(taken ? 1 : 0);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  CHECK(!other.take({path}));
  *claim = OutputClaim();
  CHECK(other.take({path}));
}

TEST_CASE("a file that is written claims its name until it is committed or dropped") {
  const TemporaryFolder folder;
  const Other other;
  const std::string clip = folder / "clip";
  {
    auto file = OutputFile::create(clip);
    REQUIRE(file.ok());
    CHECK_FALSE(other.take({clip}));
    REQUIRE(file->write("whole", 5).ok());
    REQUIRE(file->commit().ok());
    CHECK(other.take({clip}));
    CHECK(OutputFile::create(clip).status().code() == Code::kUnavailable);
    CHECK(other.drop_all());
    const auto dropped = OutputFile::create(clip);
    CHECK_FALSE(other.take({clip}));
  }
  CHECK(other.take({clip}));
  CHECK(std::filesystem::file_size(clip) == 5);
}

TEST_CASE("of processes that want the same names at once, one gets them all") {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "sub");
  const std::vector<std::string> names = {folder / "a", folder / "sub/b", folder / "c-1.png"};
  std::vector<Other> others(12);
  for (int round = 0; round < 50; ++round) {
    for (size_t i = 0; i < others.size(); ++i)
      others[i].begin({names[i % 3], names[(i + 1) % 3], names[(i + 2) % 3]});
    int winners = 0;
    for (const Other& other : others) winners += other.finish() ? 1 : 0;
    REQUIRE(winners == 1);
    for (const Other& other : others) REQUIRE(other.drop_all());
  }
}

TEST_CASE("sequences of frames are refused where they share one") {
  const TemporaryFolder folder;
  const Other other;
  std::vector<std::string> frames, padded;
  for (int i = 1; i <= 1200; ++i) {
    frames.push_back(folder / str("a", i, ".png"));
    char name[16];
    std::snprintf(name, sizeof(name), "a%03d.png", i);
    padded.push_back(folder / name);
  }
  auto held = claim_all(frames);
  REQUIRE(held.ok());
  for (const char* name : {"a1.png", "a10.png", "a777.png", "a1200.png"}) {
    CAPTURE(name);
    CHECK_FALSE(other.take({folder / name}));
  }
  for (const char* name : {"a0.png", "a1201.png", "a01.png", "a001.png", "a.png", "b1.png"}) {
    CAPTURE(name);
    CHECK(other.take({folder / name}));
  }
  CHECK(other.drop_all());
  CHECK_FALSE(other.take(padded));  // both have a100.png
  CHECK(other.take({padded.begin(), padded.begin() + 99}));
  const Status status = claim_all(padded).status();
  CHECK(status.code() == Code::kUnavailable);
  CHECK(status.message().find("a001.png: another") != std::string::npos);
  held = OutputClaim();
  CHECK(other.take({frames.begin() + 99, frames.end()}));
  check_held(frames[500]);
}

TEST_CASE("a pipe is one process's, and devices and open descriptors are everybody's") {
  const TemporaryFolder folder;
  REQUIRE(::mkfifo((folder / "pipe").c_str(), 0600) == 0);
  const Other other;
  REQUIRE(other.take({folder / "pipe", "/dev/null", "-", "/dev/fd/1"}));
  check_held(folder / "pipe");
  for (const char* name : {"/dev/null", "-", "/dev/stdout", "/dev/fd/1"}) check_free(name);
}
