// Memory and threads that are refused, at any point: exit code 5, no signal, no part of a file.
// ZOETROPE_FAIL_POINTS says how many points of each command are looked at instead of a few; "all"
// is every one (hours; with several threads, where each is a process of its own, days), "stacks"
// the first allocation of every call stack that allocates. ZOETROPE_FAIL_COMMANDS names those of
// the commands that are looked at, as "inspect" or "o.mp4"; left out, all.
// ZOETROPE_FAIL_RANGE="FIRST-LAST" bounds the allocations of one thread, for a part of "all".
#include <doctest/doctest.h>

#include <sys/wait.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "runtime/media/clip_writer.h"
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
constexpr int64_t kLibraries = 10000;  // allocations, at most, before main() begins

// What glibc says before it ends the process itself, without asking anybody.
bool glibc_gave_up(const Outcome& outcome) {
  if (outcome.code != kNotLoaded) return false;
  for (const char* words : {"cannot allocate memory for thread-local data",
                            "error while loading shared libraries", "cannot create TLS"})
    if (outcome.error.find(words) != std::string::npos) return true;
  return false;
}

// A word of it stands wherever something is short.
bool says_what_is_short(const std::string& text) {
  for (const char* word : {"memory", "Cannot allocate", "resource exhausted", "thread"})
    if (text.find(word) != std::string::npos) return true;
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

// Of "generate o.wav": generate, o and wav.
bool has_word(const std::string& name, const std::string& word) {
  std::string spaced = " " + name + " ";
  std::replace(spaced.begin(), spaced.end(), '.', ' ');
  return spaced.find(" " + word + " ") != std::string::npos;
}

// Four tiny models and a command for each (sound; coders in two parts that look at a picture and
// experts; a picture from a picture; pictures at the ends), one for each kind of file that is
// written, and commands that make no clip. Where some run on threads, all get as many.
class Commands {
 public:
  explicit Commands(int threads) : threads_(threads) {
    std::string frame = "YUV4MPEG2 W16 H16 F4:1 C444\nFRAME\n" + std::string(768, '\x60');
    write_bytes(in_ / "frame.y4m", {frame.begin(), frame.end()});
    generate(tiny_clip(), "clip.zoe", "o.wav", {"a red ball"});
    generate(tiny_causal(), "causal.zoe", "o.y4m", {"a red ball", "--image", in_ / "frame.y4m"});
    generate(tiny_picture(), "picture.zoe", "o.png",
             {"--class", "dog", "--image", in_ / "frame.y4m", "--strength", "0.7"});
    for (const char* output : {"o.mp4", "o.webm", "o.gif"})
      generate(tiny_ended(), "ended.zoe", output,
               {"a red ball", "--last-image", in_ / "frame.y4m"});
    add({"convert", ZOETROPE_SOURCE_DIR "/tests/format/data/dit_diffusers", "-o", out_ / "o.zoe"});
    add({"inspect", in_ / "clip.zoe", "--tensors", "--verify"});
    add({"plan", "--model", in_ / "clip.zoe", "--html", out_ / "o.html"}, true);
    add({"quantize", in_ / "clip.zoe", "-o", out_ / "o.zoe", "--format", "f16", "--force"}, true);
    REQUIRE_MESSAGE(count() > 0, "no command has the words of ZOETROPE_FAIL_COMMANDS");
    for (size_t i = 0; i < commands_.size(); ++i) {
      const Outcome outcome = run_command(commands_[i], kSeconds);
      REQUIRE_MESSAGE(outcome.code == 0, outcome.text());
      whole_.push_back({outcome.out, take_files()});
    }
  }

  size_t count() const { return commands_.size(); }
  std::string name(size_t command) const { return name_of(commands_[command]); }

  // Runs a command under `environment`, which the module that fails reads, and looks at its end.
  Outcome check(size_t command, const std::vector<std::string>& environment,
                int64_t address_space = 0) {
    std::vector<std::string> with = environment;
    if (!environment.empty()) with.push_back(std::string("LD_PRELOAD=") + ZOETROPE_FAILING);
    std::string what = address_space > 0 ? str(address_space >> 10, " KiB") : "";
    for (const std::string& entry : environment) what += entry + " ";
    Outcome outcome = run_command(commands_[command], kSeconds, with, address_space);
    judge(command, what, outcome);
    return outcome;
  }

  // Crashes where it asks for allocation `at`.
  Outcome crash(size_t command, long at) const {
    return run_command(
        commands_[command], kSeconds,
        {str("ZT_FAIL_AT=", at), "ZT_FAIL_CRASH=1", std::string("LD_PRELOAD=") + ZOETROPE_FAILING});
  }

  // Copies at every `every`-th allocation of a command of one thread. Returns how many there were.
  int64_t check_copies(size_t command, int64_t every) {
    int64_t copies = 0;
    const Outcome outcome = run_with_refusals(
        commands_[command], ZOETROPE_FAILING, every, asked_points() == "stacks" ? in_ / "seen" : "",
        out_.path(), [&](const Refusal& refusal) {
          const std::string what = str("ZT_FAIL_AT=", refusal.at, " ZT_FAIL_ON=", refusal.on);
          if (refusal.copied || command == 0) ++copies;
          // A library that is loaded may hold a lock of this thread, which a copy waits for.
          const bool hangs = refusal.outcome.code == 128 + SIGALRM;
          if (hangs) MESSAGE(name(command), ": ", what, " hangs");
          if (refusal.copied && !hangs) return judge(command, what, refusal.outcome, refusal.ended);
          if (!hangs)
            CHECK_MESSAGE(refusal.at < kLibraries, what, ": the command has several threads");
          // Libraries are set up alike for all commands.
          if (hangs || command == 0)
            check(command, {str("ZT_FAIL_AT=", refusal.at), str("ZT_FAIL_ON=", refusal.on)});
        });
    CHECK_MESSAGE(outcome.code == 0, outcome.text());
    CHECK(take_files() == whole_[command].files);
    return copies;
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
    const long points = points_of(count, 4);
    // Half of them where the command computes: most allocations are those of planning.
    for (long i = 0; i < points; ++i)
      all.push_back(points == count ? i
                    : i % 2 == 0    ? count * i / points
                                    : count - count / 16 * (i + 1) / points);
    return all;
  }

  // Of a command that succeeds.
  long allocations(size_t command) {
    const long count = counted(command, "ZT_FAIL_COUNT");
    CHECK(count > 1000);
    return count;
  }
  long threads(size_t command) { return counted(command, "ZT_FAIL_THREADS"); }

 private:
  // What a command leaves where nothing fails.
  struct Whole {
    std::string out;
    std::map<std::string, std::string> files;
  };

  // "generate o.wav", "inspect": what it does, and where it writes.
  std::string name_of(const std::vector<std::string>& words) const {
    std::string name = words[0];
    for (const std::string& word : words)
      if (word.starts_with(out_.path())) name += " " + word.substr(out_.path().size() + 1);
    return name;
  }

  void add(std::vector<std::string> words, bool computes = false) {
    const char* asked = std::getenv("ZOETROPE_FAIL_COMMANDS");
    if (asked != nullptr && !has_word(name_of(words), asked)) return;
    if (computes)
      words.insert(words.end(), {"--device", "cpu", "--threads", std::to_string(threads_)});
    commands_.push_back(std::move(words));
  }

  void generate(const TinyModel& model, const std::string& name, const std::string& output,
                const std::vector<std::string>& more) {
    const Status written = model.write(in_ / name);
    REQUIRE_MESSAGE(written.ok(), written.message());
    std::vector<std::string> all{"generate", "--model", in_ / name, "-q", "-o", out_ / output};
    all.insert(all.end(), more.begin(), more.end());
    add(std::move(all), true);
  }

  std::map<std::string, std::string> read_files() const {
    std::map<std::string, std::string> files;
    for (const std::string& name : out_.names()) {
      std::ifstream file(out_ / name, std::ios::binary);
      files[name].assign(std::istreambuf_iterator<char>(file), {});
    }
    return files;
  }

  std::map<std::string, std::string> take_files() {
    auto files = read_files();
    for (const auto& [name, bytes] : files) std::filesystem::remove(out_ / name);
    return files;
  }

  // `ended`: the files are there already, and stay.
  void judge(size_t command, const std::string& what, const Outcome& outcome, bool ended = false) {
    INFO(name(command), ": ", what);
    const auto left = ended ? read_files() : take_files();
    if (glibc_gave_up(outcome)) {  // at once, so that no file gets a name
      CHECK_MESSAGE((ended || left.empty()), outcome.text());
      return;
    }
    CHECK_MESSAGE((outcome.code == 0 || outcome.code == 5), outcome.text());
    const Whole& whole = whole_[command];
    if (outcome.code == 0) {
      CHECK_MESSAGE(left == whole.files, outcome.text());
      CHECK_MESSAGE(outcome.out == whole.out, outcome.text());
      return;
    }
    refused_ += 1;
    CHECK_MESSAGE(says_what_is_short(outcome.error), outcome.text());
    // What fails behind the last byte leaves the whole clip; nothing ever leaves a part of it.
    if (!left.empty()) CHECK_MESSAGE(left == whole.files, outcome.text());
  }

  long counted(size_t command, const std::string& variable) {
    CHECK(check(command, {variable + "=" + (in_ / "count")}).code == 0);
    long count = 0;
    std::ifstream(in_ / "count") >> count;
    return count;
  }

  const int threads_;
  int refused_ = 0;
  std::vector<Whole> whole_;  // by command
  const TemporaryFolder in_ = TemporaryFolder::in_memory(), out_ = TemporaryFolder::in_memory();
  std::vector<std::vector<std::string>> commands_;
};

}  // namespace

TEST_CASE(
    "every allocation of a thread that fails, once or from then on, is an error with code 5") {
  if (!kCanFail) return skip("a sanitizer has the allocator");
  Commands commands(1);
  int64_t all = 0;
  for (size_t command = 0; command < commands.count(); ++command) {
    const long count = commands.allocations(command), every = count / points_of(count, 40);
    const int before = commands.refused();
    const int64_t copies = commands.check_copies(command, every);
    const int refused = commands.refused() - before;
    MESSAGE(commands.name(command), ": ", copies, " copies, ", refused, " refused");
    // Of those in which every later one fails, nearly all but those of libraries being set up.
    CHECK(refused >= copies / 2 * 7 / 10 - 10);
    if (asked_points() != "stacks" && std::getenv("ZOETROPE_FAIL_RANGE") == nullptr)
      CHECK(copies >= 2 * ((count - kLibraries) / every));
    all += copies;
  }
  MESSAGE(all, " copies");
}

TEST_CASE("an allocation that fails beside other threads is an error with code 5") {
  if (!kCanFail) return skip("a sanitizer has the allocator");
  Commands commands(3);
  for (size_t command = 0; command < commands.count(); ++command) {
    const std::vector<long> points = commands.points(command);
    REQUIRE(!points.empty());
    MESSAGE(commands.name(command), ": ", points.size(), " points");
    const int before = commands.refused();
    for (const long at : points) {
      commands.check(command, {"ZT_FAIL_AT=" + std::to_string(at)});
      commands.check(command, {"ZT_FAIL_AT=" + std::to_string(at), "ZT_FAIL_ON=1"});
    }
    // Nearly all of those where every later one fails too: some stand behind the last that counts.
    CHECK(commands.refused() - before >= static_cast<int>(points.size()) * 8 / 10);
  }
}

TEST_CASE("threads that cannot be made are an error with code 5, or not needed") {
  if (!kCanFail) return skip("a sanitizer makes threads of its own");
  Commands commands(3);
  int made = 0;
  for (size_t command = 0; command < commands.count(); ++command) {
    const long count = commands.threads(command);
    made += count > 0 ? 1 : 0;
    for (long thread = 0; thread < count; ++thread)
      commands.check(command, {"ZT_FAIL_THREAD=" + std::to_string(thread)});
    // All that it asks for are there.
    CHECK(commands.check(command, {"ZT_FAIL_THREAD=" + std::to_string(count)}).code == 0);
  }
  CHECK(made >= 3);
  CHECK(commands.refused() > 0);
}

TEST_CASE("every command has a sweep of its own") {
  if (std::getenv("ZOETROPE_FAIL_COMMANDS") != nullptr) return skip("only some are there");
  const Commands commands(1);
  std::istringstream swept(ZOETROPE_SWEPT);
  std::vector<int> sweeps(commands.count(), 0);
  for (std::string word; swept >> word;)
    for (size_t command = 0; command < commands.count(); ++command)
      sweeps[command] += has_word(commands.name(command), word) ? 1 : 0;
  for (size_t command = 0; command < commands.count(); ++command)
    CHECK_MESSAGE(sweeps[command] == 1, commands.name(command));
}

TEST_CASE("our own crash on memory that was refused is a crash, and no error of other libraries") {
  if (!kCanFail) return skip("a sanitizer has the allocator");
  Commands commands(1);
  size_t inspect = 0;
  while (inspect < commands.count() && commands.name(inspect) != "inspect") ++inspect;
  if (inspect == commands.count()) return skip("ZOETROPE_FAIL_COMMANDS leaves it out");
  const Outcome outcome = commands.crash(inspect, commands.allocations(inspect) * 9 / 10);
  CHECK_MESSAGE(outcome.code == 128 + SIGSEGV, outcome.text());
}

TEST_CASE("what malloc leaves in errno where it succeeds is no refused memory") {
  if (!kCanFail) return skip("a sanitizer has the allocator");
  Commands commands(1);
  for (size_t command = 0; command < commands.count(); ++command)
    CHECK(commands.check(command, {"ZT_FAIL_ERRNO=1"}).code == 0);
}

// Allocation `at` of `zoetrope try-media PATH` fails; `how`: "ZT_FAIL_ON=1", "ZT_FAIL_CRASH=1".
// What it says goes through a pipe: it may write no file.
Outcome try_media(const std::string& path, long at, const char* how = "") {
  const std::string command = str("ZT_FAIL_AT=", at, " ", how, " LD_PRELOAD='", ZOETROPE_FAILING,
                                  "' exec '", ZOETROPE_COMMAND, "' try-media '", path, "' 3 2>&1");
  Outcome outcome;
  std::FILE* pipe = ::popen(command.c_str(), "r");
  REQUIRE(pipe != nullptr);
  for (int c = 0; (c = std::fgetc(pipe)) != EOF;) outcome.out += static_cast<char>(c);
  const int status = ::pclose(pipe);
  outcome.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return outcome;
}

constexpr const char *kOn = "ZT_FAIL_ON=1", *kCrash = "ZT_FAIL_CRASH=1";

TEST_CASE("a clip is read whole, or with an error that says what was refused or what crashed") {
  if (!kCanFail) return skip("a sanitizer has the allocator");
  const TemporaryFolder folder = TemporaryFolder::in_memory();
  ClipFormat format{.width = 48, .height = 32, .frames = 8, .fps = 8};
  format.sample_rate = 48000;
  format.channels = 1;
  format.samples = 48000;
  const std::vector<uint8_t> pixels(static_cast<size_t>(8 * 48 * 32 * 3), 0x60);
  std::vector<float> sound(48000);
  for (size_t i = 0; i < sound.size(); ++i)
    sound[i] = 0.5f * std::sin(static_cast<float>(i) * 0.05f);
  auto writer = create_clip_writer(folder / "a.webm", format);
  if (!writer.ok()) return skip(writer.status().message());
  REQUIRE((*writer)->audio(sound.data(), format.samples).ok());
  REQUIRE((*writer)->frames(pixels.data(), format.frames).ok());
  REQUIRE((*writer)->finish().ok());

  constexpr long kMost = 1 << 18;
  const Outcome whole = try_media(folder / "a.webm", kMost, kOn);
  REQUIRE_MESSAGE((whole.code == 0 && whole.out.find("frames\":8") != std::string::npos),
                  whole.text());
  long some = 0, all = kMost;  // the last point at which everything behind it may fail
  while (all - some > 50) {
    const long middle = (some + all) / 2;
    const Outcome outcome = try_media(folder / "a.webm", middle, kOn);
    (outcome.code == 0 && outcome.out == whole.out ? all : some) = middle;
  }
  int refused = 0, led_astray = 0;
  const long points = points_of(2000, 60);
  for (long i = 0; i < points; ++i) {  // most of decoding lies in the last ones
    const long at = all - 2000 / points * (i + 1);
    const Outcome outcome = try_media(folder / "a.webm", at);
    CAPTURE(at);
    if (outcome.out == whole.out) continue;
    refused += 1;
    CHECK_MESSAGE((outcome.code == 0 || outcome.code == 5 || outcome.code == kNotLoaded),
                  outcome.text());
    CHECK_MESSAGE(says_what_is_short(outcome.out), outcome.text());
    // What crashes and had its memory was led there by the file; our own crash is our own.
    const Outcome crashed = try_media(folder / "a.webm", at, kCrash);
    CHECK_MESSAGE((crashed.code == 3 || crashed.code == 128 + SIGSEGV), crashed.text());
    if (crashed.code != 3) continue;
    led_astray += 1;
    CHECK_MESSAGE(crashed.out.find("most likely the file is damaged") != std::string::npos,
                  crashed.text());
  }
  MESSAGE(points, " points, ", refused, " refused, ", led_astray, " crashes of FFmpeg");
  CHECK(refused > 0);
  CHECK(led_astray > 0);
}

TEST_CASE("an address space of any size is enough or an error with code 5") {
  if (!kCanFail) return skip("a sanitizer reserves terabytes");
  constexpr int64_t kLeast = 40 << 20, kMost = 1ll << 30, kStep = 250 << 10;
  Commands commands(3);
  for (size_t command = 0; command < commands.count(); ++command) {
    const int before = commands.refused();
    const long points = points_of((kMost - kLeast) / kStep, 8);
    for (long i = 0; i < points; ++i)
      commands.check(command, {}, kLeast + (kMost - kLeast) / points * i);
    CHECK(commands.check(command, {}, kMost).code == 0);
    if (commands.name(command).starts_with("generate")) CHECK(commands.refused() > before);
  }
}

TEST_CASE("where files need a name while they are written, they are the same") {
  if (!kCanFail) return skip("a sanitizer goes first");
  Commands commands(1);
  for (size_t command = 0; command < commands.count(); ++command) {
    CHECK(commands.check(command, {"ZT_FAIL_NAMELESS=1"}).code == 0);
    commands.check(command, {"ZT_FAIL_NAMELESS=1", "ZT_FAIL_ON=1",
                             str("ZT_FAIL_AT=", commands.allocations(command) * 9 / 10)});
  }
  CHECK(commands.refused() >= 5);
}
