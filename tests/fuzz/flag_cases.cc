// Command lines: one that works, with flags of its command added, dropped and given other values,
// parsed and run in this process. Each case has a process of its own, as a command has.
#include <fcntl.h>
#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "runtime/cli/command.h"
#include "tests/format/small_model.h"
#include "tests/fuzz/draw.h"
#include "tests/fuzz/watched.h"
#include "tests/hostile/tiny_models.h"

namespace zoetrope {
namespace {

namespace fs = std::filesystem;

enum Reached : size_t { kUnparsed, kFailed, kDone };
constexpr const char* kReachedNames[] = {"bad usage", "refused or failed", "done"};

constexpr int64_t kHeap = 256 << 20;
constexpr int kSeconds = 2;  // of the processor; then it is interrupted, as by Ctrl-C

using Words = std::vector<std::string>;

// Command lines that work, by the files that prepare() makes.
const std::vector<Words>& lines() {
  static const Words kWhere{"--device", "cpu", "--threads", "1", "--target", "sse4"};
  static const auto with = [](Words words) {
    words.insert(words.end(), kWhere.begin(), kWhere.end());
    return words;
  };
  static const std::vector<Words> kLines{
      with({"generate", "a red ball", "--model", "clip.zoe", "--steps", "1", "-o", "o.y4m", "-q"}),
      with({"generate", "a red ball", "--model", "clip.zoe", "--steps", "2", "-o", "o.wav",
            "--checkpoint", "job", "-q"}),
      with({"generate", "x", "--model", "causal.zoe", "--image", "f.y4m", "-o", "o%d.png"}),
      with({"generate", "--model", "picture.zoe", "--class", "dog", "-o", "o.png", "--json"}),
      with({"plan", "a red ball", "--model", "clip.zoe", "--frames", "4"}),
      with({"plan", "--model", "causal.zoe", "--image", "f.y4m", "--json"}),
      with({"plan", "--model", "clip.zoe", "--component", "decoder", "--set", "batch=1", "--set",
            "frames=2", "--set", "height=4", "--set", "width=4", "--calls"}),
      with({"resume", "saved", "-o", "r.y4m"}),
      {"resume", "saved", "--list"},
      with({"verify", "--model", "picture.zoe", "--class", "1", "--steps", "1", "-q"}),
      with({"quantize", "picture.zoe", "-o", "q.zoe", "--measure", "weights", "-q"}),
      {"inspect", "clip.zoe", "--tensors"},
      {"inspect", "clip.zoe", "--graph", "net", "--svg", "g.svg"},
      {"convert", "synthetic:toybox", "-o", "t.zoe", "-q"},
      with({"run", "picture.zoe", "decoder", "--input", "z.safetensors", "--output",
            "y.safetensors"}),
      {"models", "--json"},
      {"devices"},
  };
  return kLines;
}

const Words kValues{"0",
                    "1",
                    "2",
                    "-1",
                    "3",
                    "7",
                    "8",
                    "16",
                    "17",
                    "24",
                    "64",
                    "1.5",
                    "0.5",
                    "1e9",
                    "1e400",
                    "nan",
                    "-nan",
                    "inf",
                    "-0",
                    "0x10",
                    "00000000001",
                    "99999999999999999999",
                    "9223372036854775807",
                    "-9223372036854775808",
                    "2147483648",
                    "1e-320",
                    "",
                    " ",
                    "\xc2\xbd",
                    "8GiB",
                    "500M",
                    "1M",
                    "-1M",
                    "1e30G",
                    "16K",
                    "G",
                    "all",
                    "auto",
                    "cpu",
                    "reference",
                    "cpu:0",
                    "cpu:7",
                    "cpu:",
                    ":",
                    "text=cpu",
                    "denoise=cpu+reference",
                    "decode=reference",
                    "denoise=reference,decode=cpu",
                    "=",
                    "a=b=c",
                    "batch=1",
                    "batch=",
                    "batch=-1",
                    "random",
                    "whole",
                    "explicit",
                    "none",
                    "dog",
                    "cat",
                    "euler",
                    "ddim",
                    "unipc",
                    "linear",
                    "int8",
                    "int4",
                    "bf16",
                    "f16",
                    "contain",
                    "#ff0000",
                    "#f",
                    "white",
                    "sse4",
                    "avx2",
                    "clip.zoe",
                    "causal.zoe",
                    "picture.zoe",
                    "missing",
                    "missing/o.y4m",
                    "d",
                    "d/o.mp4",
                    "f.y4m",
                    "s.wav",
                    "z.safetensors",
                    "saved",
                    "job",
                    "o.png",
                    "o.mp4",
                    "o.gif",
                    "o.mkv",
                    "o.y4m",
                    "o%d.png",
                    "o%s%n.png",
                    "o%999d.png",
                    "-",
                    "@p.txt",
                    "@missing",
                    "@-",
                    "p.txt",
                    "/dev/null",
                    "/dev/full",
                    "/proc/self/mem",
                    "d/../f.y4m",
                    "dangling",
                    "loop",
                    "net",
                    "decoder",
                    "vocoder",
                    "f.y4m:1",
                    "z.safetensors:nan",
                    "\x1b[31m",
                    "%n%s%p",
                    "\xff\xfe",
                    "a\nb",
                    std::string(5000, 'x'),
                    std::string(300, 'o') + ".y4m"};

std::string prepared;  // a folder with what the lines name; copied for each case
struct Command {
  CLI::App app{"zoetrope"};
  Run run;
  Command() {
    add_commands(&app, &run);
    app.require_subcommand(1);
  }
  // Parsed and run; false: not parsed.
  bool call(const Words& words, Status* status) {
    std::vector<std::string> last_first(words.rbegin(), words.rend());
    try {
      app.parse(last_first);
    } catch (const CLI::ParseError& e) {
      (void)app.exit(e);
      return false;
    }
    *status = run();
    return true;
  }
};

// The z [1, 2, 2, 4] of the tiny picture's decoder.
void write_latents(const std::string& path) {
  const std::string header = R"({"z":{"dtype":"F32","shape":[1,2,2,4],"data_offsets":[0,64]}})";
  std::vector<uint8_t> bytes(8 + header.size() + 64);
  bytes[0] = static_cast<uint8_t>(header.size());
  std::copy(header.begin(), header.end(), bytes.begin() + 8);
  write_bytes(path, bytes);
}

// Standard streams go nowhere while it lives.
class Silence {
 public:
  Silence() {
    std::fflush(nullptr);
    const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd <= 2; ++fd) {
      before_[fd] = ::fcntl(fd, F_DUPFD_CLOEXEC, 10);
      ::dup2(null, fd);
    }
    ::close(null);
  }
  ~Silence() {
    std::fflush(nullptr);
    for (int fd = 0; fd <= 2; ++fd) {
      ::dup2(before_[fd], fd);
      ::close(before_[fd]);
    }
  }

 private:
  int before_[3];
};

std::string prepare() {
  static const TemporaryFolder folder = TemporaryFolder::in_memory();
  prepared = folder.path();
  for (const auto& [model, name] : {std::pair{tiny_clip(), "clip.zoe"},
                                    {tiny_causal(), "causal.zoe"},
                                    {tiny_picture(), "picture.zoe"}})
    if (const Status written = model.write(folder / name); !written.ok()) return written.message();
  std::string clip = "YUV4MPEG2 W16 H16 F4:1 C444\n";
  for (int i = 0; i < 6; ++i) clip += "FRAME\n" + std::string(768, static_cast<char>(0x40 + i));
  write_bytes(folder / "f.y4m", {clip.begin(), clip.end()});
  const std::string prompts = "a red ball\n\na blue one\n";
  write_bytes(folder / "p.txt", {prompts.begin(), prompts.end()});
  write_latents(folder / "z.safetensors");
  fs::create_directory(folder / "d");
  fs::create_symlink("nowhere", folder / "dangling");
  fs::create_symlink("loop", folder / "loop");
  const fs::path before = fs::current_path();
  fs::current_path(folder.path());
  Status made;
  {
    const Silence silence;
    for (const Words& line : {Words{"generate", "a red ball", "--model", "clip.zoe", "--device",
                                    "cpu", "--threads", "1", "--steps", "2", "-o", "s.wav",
                                    "--checkpoint", "saved", "--checkpoint-keep", "4", "-q"}}) {
      Command command;
      if (!command.call(line, &made)) made = error(Code::kInternal, "a line of the fuzzer's own");
    }
  }
  fs::current_path(before);
  return made.message();
}

// Ctrl-C after a while.
void on_time(int) { ::raise(SIGINT); }

class Case {
 public:
  Case(uint64_t number, std::string folder) : draw_(number), folder_(std::move(folder)) {
    words_ = draw_.pick(lines());
    Command command;
    const CLI::App* app = command.app.get_subcommand(words_.front());
    for (uint32_t i = draw_.below(4); i > 0; --i) change(*app);
    for (const std::string& word : words_) result_.changes.push_back(word.substr(0, 200));
  }

  void make() {
    work_ = folder_ + "/work";
    fs::remove_all(work_);  // of a case that ended its process
    fs::copy(prepared, work_, fs::copy_options::recursive | fs::copy_options::copy_symlinks);
    fs::current_path(work_);
  }

  void try_it() {
    install_interrupt_handler();
    ::signal(SIGPROF, on_time);
    const itimerval time{{0, 0}, {kSeconds, 0}};
    ::setitimer(ITIMER_PROF, &time, nullptr);
    Command command;
    Status status;
    bool parsed = false;
    {
      const Silence silence;
      parsed = command.call(words_, &status);
    }
    const itimerval never{};
    ::setitimer(ITIMER_PROF, &never, nullptr);
    if (!parsed) return;
    result_.reached = status.ok() ? kDone : kFailed;
    if (tell_failure(status, &result_) && status.message().empty())
      result_.wrong = "an error that says nothing";
    for (const auto& entry : fs::recursive_directory_iterator(work_))
      if (entry.path().filename().string().starts_with(".zoetrope-"))
        result_.wrong = "left behind: " + entry.path().string();
  }

  CaseResult take() {
    std::error_code ignored;
    fs::current_path("/", ignored);
    fs::remove_all(work_, ignored);
    return std::move(result_);
  }
  const std::vector<std::string>& changes() const { return result_.changes; }

 private:
  // Of what the help says an option takes: "TEXT:{cover,contain}".
  std::string draw_value(const CLI::Option& option) {
    const std::string type = option.get_type_name();
    const size_t open = type.find('{'), close = type.find('}');
    if (open == std::string::npos || close == std::string::npos || draw_.one_in(4))
      return draw_.pick(kValues);
    Words known{""};
    for (const char c : type.substr(open + 1, close - open - 1))
      if (c == ',')
        known.emplace_back();
      else
        known.back() += c;
    return draw_.pick(known);
  }

  void change(const CLI::App& app) {
    const auto options = app.get_options();
    std::vector<size_t> flags;  // places in the line
    for (size_t i = 1; i < words_.size(); ++i)
      if (words_[i].starts_with("--")) flags.push_back(i);
    const auto place = [&](size_t at) { return words_.begin() + static_cast<ptrdiff_t>(at); };
    if (words_.size() == 1) words_.push_back(draw_.pick(kValues));
    switch (draw_.below(10)) {
      case 0: words_.erase(place(1 + draw_.below(words_.size() - 1))); return;
      case 1:
      case 2:
        if (!flags.empty() && flags.back() + 1 < words_.size()) {
          words_[draw_.pick(flags) + 1] = draw_.pick(kValues);
          return;
        }
        [[fallthrough]];
      case 3: words_[1 + draw_.below(words_.size() - 1)] = draw_.pick(kValues); return;
      default: {
        const CLI::Option& option = *draw_.pick(options);
        const std::string name = option.get_name();
        if (name == "--help") return;
        if (name.starts_with("-")) words_.push_back(name);
        if (option.get_items_expected_max() > 0 && option.get_type_size() > 0)
          words_.push_back(draw_value(option));
      }
    }
  }

  Draw draw_;
  const std::string folder_;
  std::string work_;
  Words words_;
  CaseResult result_;
};

CaseResult run(uint64_t number, const std::string& folder, bool tell) {
  return run_case<Case>(number, folder, tell, kHeap);
}

}  // namespace

constinit const CaseKind kFlagCases{"flags", kReachedNames, 0.1, 1, prepare, run};

}  // namespace zoetrope
