// Memory and threads that are refused, at any point: exit code 5, no signal, no part of a file.
// ZOETROPE_FAIL_POINTS says how many points of each command are looked at instead of a few; "all"
// is every one, "stacks" the first allocation of every call stack that allocates.
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

constexpr int kSeconds = 20;
constexpr int kNotLoaded = 127;

// What glibc says before it ends the process itself, without asking anybody.
bool glibc_gave_up(const Outcome& outcome) {
  if (outcome.code != kNotLoaded) return false;
  for (const char* words : {"cannot allocate memory for thread-local data",
                            "error while loading shared libraries", "cannot create TLS"})
    if (outcome.error.find(words) != std::string::npos) return true;
  return false;
}

std::string asked_points() {
  const char* given = std::getenv("ZOETROPE_FAIL_POINTS");
  return given == nullptr ? "" : given;
}

// How many of `count` points are looked at.
long points_of(long count, long few) {
  const std::string asked = asked_points();
  if (asked.empty()) return std::min(count, few);
  return asked == "all" || asked == "stacks" ? count : std::min(count, std::stol(asked));
}

// Three tiny models and a command for each (sound; coders in two parts that look at a picture and
// experts; a picture from a picture), and commands that make no clip.
class Commands {
 public:
  Commands() {
    std::string frame = "YUV4MPEG2 W16 H16 F4:1 C444\nFRAME\n" + std::string(768, '\x60');
    write_bytes(in_ / "frame.y4m", {frame.begin(), frame.end()});
    generate(tiny_clip(), "clip.zoe", "o.wav", {"a red ball"});
    generate(tiny_causal(), "causal.zoe", "o.y4m", {"a red ball", "--image", in_ / "frame.y4m"});
    generate(tiny_picture(), "picture.zoe", "o.png",
             {"--class", "dog", "--image", in_ / "frame.y4m", "--strength", "0.7"});
    commands_.push_back(
        {"convert", ZOETROPE_SOURCE_DIR "/tests/format/data/dit_diffusers", "-o", out_ / "o.zoe"});
    commands_.push_back({"inspect", in_ / "clip.zoe", "--tensors", "--verify"});
    commands_.push_back({"plan", "--model", in_ / "clip.zoe", "--device", "cpu", "--threads", "3",
                         "--html", out_ / "o.html"});
  }

  size_t count() const { return commands_.size(); }

  void check(size_t command, const std::vector<std::string>& environment,
             int64_t address_space = 0) {
    std::vector<std::string> with = environment;
    if (!environment.empty()) with.push_back(std::string("LD_PRELOAD=") + ZOETROPE_FAILING);
    const Outcome outcome = run_command(commands_[command], kSeconds, with, address_space);
    std::string what = address_space > 0 ? str(address_space >> 10, " KiB") : "";
    for (const std::string& entry : environment) what += entry + " ";
    INFO(commands_[command][0], " ", commands_[command][2], " ", what);
    if (glibc_gave_up(outcome)) {  // at once: a file under its temporary name may stay
      for (const std::string& name : out_.names()) {
        CHECK_FALSE(whole_[command].contains(name));
        std::filesystem::remove(out_ / name);
      }
      return;
    }
    CHECK_MESSAGE((outcome.code == 0 || outcome.code == 5), outcome.text());
    refused_ += outcome.code == 5 ? 1 : 0;
    // What fails behind the last byte leaves the whole clip; nothing ever leaves a part of it.
    std::map<std::string, std::string> left;
    for (const std::string& name : out_.names()) {
      std::ifstream file(out_ / name, std::ios::binary);
      left[name].assign(std::istreambuf_iterator<char>(file), {});
    }
    if (outcome.code == 0 && !whole_.contains(command)) whole_[command] = left;
    if (!left.empty()) CHECK_MESSAGE(left == whole_.at(command), outcome.text());
    if (outcome.code == 0) CHECK_MESSAGE(left.size() == whole_.at(command).size(), outcome.text());
    for (const std::string& name : out_.names()) std::filesystem::remove(out_ / name);
  }

  // How often a command ended with code 5: a test in which nothing fails proves nothing.
  int refused() const { return refused_; }

  // Which allocations of a command that succeeds are made to fail.
  std::vector<long> points(size_t command) {
    std::vector<long> all;
    if (asked_points() == "stacks") {
      check(command, {"ZT_FAIL_STACKS=" + (in_ / "stacks")});
      std::ifstream in(in_ / "stacks");
      for (long at = 0; in >> at;) all.push_back(at);
      return all;
    }
    const long count = allocations(command);
    CHECK(count > 1000);
    const long points = points_of(count, 10);
    // Half of them where the command computes: most allocations are those of planning.
    for (long i = 0; i < points; ++i)
      all.push_back(points == count ? i
                    : i % 2 == 0    ? count * i / points
                                    : count - count / 16 * (i + 1) / points);
    return all;
  }

  // Of a command that succeeds.
  long allocations(size_t command) { return counted(command, "ZT_FAIL_COUNT"); }
  long threads(size_t command) { return counted(command, "ZT_FAIL_THREADS"); }

 private:
  void generate(const TinyModel& model, const std::string& name, const std::string& output,
                const std::vector<std::string>& more) {
    const Status written = model.write(in_ / name);
    REQUIRE_MESSAGE(written.ok(), written.message());
    std::vector<std::string> all{"generate",  "--model", in_ / name, "--device", "cpu",
                                 "--threads", "3",       "-q",       "-o",       out_ / output};
    all.insert(all.end(), more.begin(), more.end());
    commands_.push_back(std::move(all));
  }

  long counted(size_t command, const std::string& variable) {
    check(command, {variable + "=" + (in_ / "count")});
    REQUIRE(whole_.contains(command));
    long count = 0;
    std::ifstream(in_ / "count") >> count;
    return count;
  }

  int refused_ = 0;
  std::map<size_t, std::map<std::string, std::string>> whole_;  // outputs, by command
  const TemporaryFolder in_ = TemporaryFolder::in_memory(), out_ = TemporaryFolder::in_memory();
  std::vector<std::vector<std::string>> commands_;
};

}  // namespace

TEST_CASE("an allocation that fails anywhere, once or from then on, is an error with code 5") {
  if (!kCanFail) return skip("a sanitizer has the allocator");
  Commands commands;
  for (size_t command = 0; command < commands.count(); ++command) {
    const std::vector<long> points = commands.points(command);
    REQUIRE(!points.empty());
    MESSAGE("command ", command, ": ", points.size(), " points");
    const int before = commands.refused();
    for (const long at : points) {
      commands.check(command, {"ZT_FAIL_AT=" + std::to_string(at)});
      commands.check(command, {"ZT_FAIL_AT=" + std::to_string(at), "ZT_FAIL_ON=1"});
    }
    // Nearly all of those where every later one fails too: some stand behind the last that counts.
    CHECK(commands.refused() - before >= static_cast<int>(points.size()) * 9 / 10);
  }
}

TEST_CASE("threads that cannot be made are an error with code 5, or not needed") {
  if (!kCanFail) return skip("a sanitizer makes threads of its own");
  Commands commands;
  for (size_t command = 0; command < commands.count(); ++command) {
    const long count = commands.threads(command);
    for (long thread = 0; thread <= count; ++thread)
      commands.check(command, {"ZT_FAIL_THREAD=" + std::to_string(thread)});
  }
  CHECK(commands.refused() > 0);
}

TEST_CASE("an address space of any size is enough or an error with code 5") {
  if (!kCanFail) return skip("a sanitizer reserves terabytes");
  constexpr int64_t kLeast = 40 << 20, kMost = 1ll << 30, kStep = 250 << 10;
  Commands commands;
  for (size_t command = 0; command < commands.count(); ++command) {
    commands.check(command, {});
    const long points = points_of((kMost - kLeast) / kStep, 12);
    for (long i = 0; i < points; ++i)
      commands.check(command, {}, kLeast + (kMost - kLeast) / points * i);
  }
  CHECK(commands.refused() > 0);
}
