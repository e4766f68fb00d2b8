#include "runtime/cli/command.h"
#include "runtime/cli/prompt_flags.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "graph/format/output_file.h"
#include "runtime/backend/foreign_code.h"
#include "runtime/library.h"

namespace zoetrope {
namespace {

std::atomic<int> g_signal{0};  // the first that asked for an end

// Other libraries look at no flag: what they set up ends at once, and last_resort.cc ends what they
// read too long.
extern "C" void on_signal(int number) {
  int first = 0;
  g_signal.compare_exchange_strong(first, number);
  const ForeignCode* code = ForeignCode::current();
  const bool waits = code == nullptr || code->kind() != ForeignCode::Kind::kSetUp;
  if (first != 0 || !waits) end_interrupted();
}

// The soft limit of CPU time; the hard one comes soon.
extern "C" void on_time_limit(int) {
  remove_unfinished_files();
  constexpr char kText[] = "zoetrope: resource exhausted: the limit of CPU time is used up\n";
  [[maybe_unused]] const ssize_t written = ::write(2, kText, sizeof(kText) - 1);
  _exit(kExitNoMemory);
}

}  // namespace

int exit_code(const Status& status) {
  switch (status.code()) {
    case Code::kOk: return kExitOk;
    case Code::kInvalidArgument: return kExitUsage;
    case Code::kNotFound:
    case Code::kDataLoss:
    case Code::kIoError: return kExitBadFile;
    case Code::kUnavailable:
    case Code::kUnsupported: return kExitNoDevice;
    case Code::kResourceExhausted: return kExitNoMemory;
    case Code::kDiffers: return kExitDiffers;
    case Code::kCancelled: return kExitSignal + (interrupted() ? g_signal.load() : SIGINT);
    case Code::kInternal: return kExitFailure;
  }
  return kExitFailure;
}

bool interrupted() { return g_signal != 0; }
void end_interrupted() {
  remove_unfinished_files();
  _exit(kExitSignal + g_signal);
}

void install_interrupt_handler() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  struct sigaction hangup {};
  sigaction(SIGHUP, nullptr, &hangup);
  if (hangup.sa_handler != SIG_IGN) sigaction(SIGHUP, &action, nullptr);  // nohup wins
  signal(SIGXCPU, on_time_limit);
  signal(SIGPIPE, SIG_IGN);  // a closed pipe is an i/o error of the writer
  signal(SIGXFSZ, SIG_IGN);  // and so is a file beyond the limit
}

void hold_standard_descriptors() {
  for (int fd = 0; fd <= 2; ++fd) {
    if (::fcntl(fd, F_GETFD) >= 0) continue;
    // The lowest free number is fd itself. Questions and answers must fail, what only people read
    // may get lost.
    const int opened = ::open("/dev/null", fd == 1 ? O_RDONLY : O_WRONLY);
    if (opened != fd) _exit(kExitFailure);
  }
}

Status finish_stdout() {
  errno = 0;
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return Status();
  if (errno == 0) {  // an earlier write failed: a new one says why
    std::fputc('\n', stdout);
    std::fflush(stdout);
  }
  return io_error(errno == 0 ? EIO : errno, "cannot write the answer to", "standard output");
}

std::string printable(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    out += (byte < 0x20 && c != '\n' && c != '\t') || byte == 0x7f ? '?' : c;
  }
  // C1 controls in UTF-8 are 0xc2 and one of 0x80 to 0x9f.
  for (size_t i = 0; i + 1 < out.size(); ++i)
    if (out[i] == '\xc2' && static_cast<unsigned char>(out[i + 1]) < 0xa0) out.replace(i, 2, "?");
  return out;
}

void DeviceFlags::add_to(CLI::App* app) {
  app->add_option(
         "--device", device,
         "Where to run: auto, cpu, cuda, vulkan or reference; of several, :INDEX or :PART_OF_NAME "
         "(vulkan:1, vulkan:radeon). `zoetrope devices` lists them")
      ->capture_default_str();
  app->add_option(
         "--threads", threads,
         "CPU threads; 0 takes what the process may use. The clip is the same for any number")
      ->check(whole_in(0, 1024))
      ->capture_default_str();
  app->add_option("--target", target,
                  "Restrict what the backend uses, for tests: avx2, avx512, ... (cpu); baseline, "
                  "no-coopmat, validate, ... (vulkan); no-wgmma, no-cublaslt, ... (cuda)");
}

Result<std::string> find_model(const std::string& given) {
  if (!given.empty()) return given;
  auto found = installed_model(ZOETROPE_EMBEDDED_MODEL);
  if (found.ok()) return found;
  return Status(found.status().code(),
                found.status().message() + "; give one with --model FILE.zoe");
}

Status parse_bindings(const std::vector<std::string>& texts, Bindings* bindings) {
  for (const std::string& text : texts) {
    const size_t equals = text.find('=');
    const std::string value = equals == std::string::npos ? "" : text.substr(equals + 1);
    if (equals == 0 || value.empty() || value.size() > 15 ||
        value.find_first_not_of("0123456789") != std::string::npos)
      return error(Code::kInvalidArgument, "--set ", text, ": expected NAME=INTEGER");
    (*bindings)[text.substr(0, equals)] = std::stoll(value);
  }
  return Status();
}

std::set<std::string> said_options(const CLI::App& app) {
  std::set<std::string> said;
  for (const CLI::Option* option : app.get_options())
    if (option->count() > 0) said.insert(option->get_name());
  return said;
}

}  // namespace zoetrope
