// Memory and threads that are refused, at any point: exit code 5, no signal, no part of a file.
// ZOETROPE_FAIL_POINTS=N looks at N points of each command instead of a few.
#include <doctest/doctest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include "tests/format/small_model.h"
#include "tests/hostile/command.h"
#include "tests/hostile/tiny_models.h"
#include "tests/skip.h"
#include "tests/support/temporary_folder.h"

using namespace zoetrope;

namespace {

#ifdef __SANITIZE_ADDRESS__
constexpr bool kCanFail = false;
#else
constexpr bool kCanFail = true;
#endif

// What glibc says before it ends the process itself, without asking anybody.
constexpr const char* kThreadLocal = "cannot allocate memory for thread-local data";

// The three tiny models, and a command for each: sound, coders in two parts that look at a picture
// and experts, a picture from a picture.
class Commands {
 public:
  Commands() {
    std::string frame = "YUV4MPEG2 W16 H16 F4:1 C444\nFRAME\n" + std::string(768, '\x60');
    write_bytes(in_ / "frame.y4m", {frame.begin(), frame.end()});
    add(tiny_clip(), "clip.zoe", "o.wav", {"a red ball"});
    add(tiny_causal(), "causal.zoe", "o.y4m", {"a red ball", "--image", in_ / "frame.y4m"});
    add(tiny_picture(), "picture.zoe", "o.png",
        {"--class", "dog", "--image", in_ / "frame.y4m", "--strength", "0.7"});
  }

  const std::vector<std::vector<std::string>>& all() const { return commands_; }

  void check(size_t command, const std::vector<std::string>& environment) {
    std::vector<std::string> with{std::string("LD_PRELOAD=") + ZOETROPE_FAILING};
    with.insert(with.end(), environment.begin(), environment.end());
    const Outcome outcome = run_command(commands_[command], 20, with);
    std::string what;
    for (const std::string& entry : environment) what += entry + " ";
    INFO(commands_[command][2], " ", what);
    if (outcome.code == 127 && outcome.error.find(kThreadLocal) != std::string::npos) return;
    CHECK_MESSAGE((outcome.code == 0 || outcome.code == 5), outcome.text());
    refused_ += outcome.code == 5 ? 1 : 0;
    // What fails behind the last byte leaves the whole clip; nothing ever leaves a part of it.
    std::map<std::string, std::string> left;
    for (const std::string& name : out_.names()) {
      std::ifstream file(out_ / name, std::ios::binary);
      left[name].assign(std::istreambuf_iterator<char>(file), {});
    }
    if (outcome.code == 0 && whole_.size() <= command) whole_.push_back(left);
    if (!left.empty()) CHECK_MESSAGE(left == whole_.at(command), outcome.text());
    for (const std::string& name : out_.names()) std::filesystem::remove(out_ / name);
  }

  // How often a command ended with code 5: a test in which nothing fails proves nothing.
  int refused() const { return refused_; }

  // Allocations of a command that succeeds.
  long count(size_t command) {
    check(command, {"ZT_FAIL_COUNT=" + (in_ / "count")});
    long count = 0;
    std::ifstream(in_ / "count") >> count;
    return count;
  }

 private:
  void add(const TinyModel& model, const std::string& name, const std::string& output,
           std::vector<std::string> more) {
    const Status written = model.write(in_ / name);
    REQUIRE_MESSAGE(written.ok(), written.message());
    std::vector<std::string> all{"generate",  "--model", in_ / name, "--device", "cpu",
                                 "--threads", "3",       "-q",       "-o",       out_ / output};
    all.insert(all.end(), more.begin(), more.end());
    commands_.push_back(std::move(all));
  }

  int refused_ = 0;
  std::vector<std::map<std::string, std::string>> whole_;  // outputs, by command
  const TemporaryFolder in_ = TemporaryFolder::in_memory(), out_ = TemporaryFolder::in_memory();
  std::vector<std::vector<std::string>> commands_;
};

}  // namespace

TEST_CASE("an allocation that fails anywhere, once or from then on, is an error with code 5") {
  if (!kCanFail) return skip("a sanitizer has the allocator");
  Commands commands;
  const char* given = std::getenv("ZOETROPE_FAIL_POINTS");
  const long points = given == nullptr ? 16 : std::strtol(given, nullptr, 10);
  for (size_t command = 0; command < commands.all().size(); ++command) {
    const long count = commands.count(command);
    CHECK(count > 1000);
    const int before = commands.refused();
    for (long i = 0; i < points; ++i) {
      // Half of them where the command computes: most allocations are those of planning.
      const long at = i % 2 == 0 ? count * i / points : count - count / 16 * (i + 1) / points;
      commands.check(command, {"ZT_FAIL_AT=" + std::to_string(at)});
      commands.check(command, {"ZT_FAIL_AT=" + std::to_string(at), "ZT_FAIL_ON=1"});
    }
    CHECK(commands.refused() - before >= points);  // all those where every later one fails too
  }
}

TEST_CASE("threads that cannot be made are an error with code 5, or not needed") {
  if (!kCanFail) return skip("a sanitizer makes threads of its own");
  Commands commands;
  for (size_t command = 0; command < commands.all().size(); ++command) {
    commands.count(command);
    for (int thread = 0; thread < 4; ++thread)
      commands.check(command, {"ZT_FAIL_THREAD=" + std::to_string(thread)});
  }
  CHECK(commands.refused() > 0);
}
