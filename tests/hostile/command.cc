#include "tests/hostile/command.h"

#include <fcntl.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <fstream>
#include <iterator>

#include "tests/hostile/forks.h"
#include "tests/patience.h"
#include "tests/support/temporary_folder.h"

namespace zoetrope {
namespace {

std::string text_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void redirect(const std::string& path, int descriptor) {
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (file < 0 || ::dup2(file, descriptor) < 0) _exit(126);
  ::close(file);
}

double seconds_of(const timeval& t) {
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
}

int code_of(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status); }

// The command, begun; it keeps the descriptor `inherited`.
class Process {
 public:
  Process(const std::vector<std::string>& arguments, double seconds,
          std::vector<std::string> environment, int64_t address_space = 0, int inherited = -1) {
    std::vector<std::string> words{ZOETROPE_COMMAND};
    words.insert(words.end(), arguments.begin(), arguments.end());
    std::vector<char*> argv, envp;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    for (std::string& entry : environment) envp.push_back(entry.data());
    for (char** entry = environ; *entry != nullptr; ++entry) envp.push_back(*entry);
    envp.push_back(nullptr);
    const auto limit = static_cast<rlim_t>(std::ceil(seconds));
    child_ = ::fork();
    ZT_CHECK(child_ >= 0);
    if (child_ != 0) return;
    const rlimit time{limit, limit + 5};
    ::setrlimit(RLIMIT_CPU, &time);
    ::alarm(static_cast<unsigned>(10 * limit));  // of a process that waits for ever
    if (address_space > 0) {
      const rlimit space{static_cast<rlim_t>(address_space), static_cast<rlim_t>(address_space)};
      ::setrlimit(RLIMIT_AS, &space);
    }
    redirect("/dev/null", STDIN_FILENO);
    redirect(folder_ / "out", STDOUT_FILENO);
    redirect(folder_ / "error", STDERR_FILENO);
    if (inherited >= 0) {
      ::fcntl(inherited, F_SETFD, 0);
      ::personality(ADDR_NO_RANDOMIZE);  // call stacks of several commands are compared
    }
    ::execve(argv[0], argv.data(), envp.data());
    _exit(126);
  }

  Outcome wait() {
    int status = 0;
    rusage usage{};
    ZT_CHECK(::wait4(child_, &status, 0, &usage) == child_);
    Outcome outcome;
    outcome.code = code_of(status);
    outcome.out = text_of(folder_ / "out");
    outcome.error = text_of(folder_ / "error");
    outcome.seconds = seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
    outcome.peak_bytes = int64_t{usage.ru_maxrss} * 1024;
    return outcome;
  }

 private:
  const TemporaryFolder folder_ = TemporaryFolder::in_memory();
  pid_t child_ = -1;
};

}  // namespace

std::string Outcome::text() const {
  return str("code ", code, ", ", seconds, " s, ", peak_bytes >> 20, " MiB\n", out, error);
}

Outcome run_command(const std::vector<std::string>& arguments, int seconds,
                    const std::vector<std::string>& environment, int64_t address_space) {
  return Process(arguments, seconds * patience(), environment, address_space).wait();
}

Outcome run_with_refusals(const std::vector<std::string>& arguments, const std::string& failing,
                          int64_t every, const std::string& seen, const std::string& folder,
                          const std::function<void(const Refusal&)>& use) {
  constexpr double kSeconds = 8 * 3600, kCopySeconds = 20;
  int ends[2];
  ZT_CHECK(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
  const TemporaryFolder texts(std::filesystem::path(folder).parent_path());
  const std::string asked =
      str(ends[1], " ", every, " ", static_cast<int>(kCopySeconds * patience()), " ", texts.path(),
          " ", folder);
  std::vector<std::string> environment{"LD_PRELOAD=" + failing, "ZT_FAIL_FORK=" + asked};
  if (!seen.empty()) environment.push_back("ZT_FAIL_SEEN=" + seen);
  Process process(arguments, kSeconds, environment, 0, ends[1]);
  ::close(ends[1]);
  ForkReport report{};
  while (::recv(ends[0], &report, sizeof(report), 0) == sizeof(report)) {
    Refusal refusal{
        report.at, report.on != 0, report.status != ForkReport::kNotForked, report.files > 0, {}};
    if (refusal.copied) {
      refusal.outcome.code = code_of(report.status);
      refusal.outcome.out = text_of(texts / "out");
      refusal.outcome.error = text_of(texts / "error");
    }
    use(refusal);
    const char go_on = 0;
    ::send(ends[0], &go_on, 1, MSG_NOSIGNAL);
  }
  ::close(ends[0]);
  return process.wait();
}

}  // namespace zoetrope
