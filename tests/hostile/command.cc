#include "tests/hostile/command.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <fstream>
#include <iterator>

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

}  // namespace

std::string Outcome::text() const {
  return str("code ", code, ", ", seconds, " s, ", peak_bytes >> 20, " MiB\n", out, error);
}

Outcome run_command(const std::vector<std::string>& arguments, int seconds,
                    const std::vector<std::string>& environment, int64_t address_space) {
  const TemporaryFolder folder = TemporaryFolder::in_memory();
  const std::string out = folder / "out", error = folder / "error";
  std::vector<std::string> words{ZOETROPE_COMMAND};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  std::vector<std::string> more = environment;
  std::vector<char*> envp;
  for (std::string& entry : more) envp.push_back(entry.data());
  for (char** entry = environ; *entry != nullptr; ++entry) envp.push_back(*entry);
  envp.push_back(nullptr);
  const auto limit = static_cast<rlim_t>(std::ceil(seconds * patience()));
  const pid_t child = ::fork();
  ZT_CHECK(child >= 0);
  if (child == 0) {
    const rlimit time{limit, limit + 5};
    ::setrlimit(RLIMIT_CPU, &time);
    if (address_space > 0) {
      const rlimit space{static_cast<rlim_t>(address_space), static_cast<rlim_t>(address_space)};
      ::setrlimit(RLIMIT_AS, &space);
    }
    redirect("/dev/null", STDIN_FILENO);
    redirect(out, STDOUT_FILENO);
    redirect(error, STDERR_FILENO);
    ::execve(argv[0], argv.data(), envp.data());
    _exit(126);
  }
  int status = 0;
  rusage usage{};
  ZT_CHECK(::wait4(child, &status, 0, &usage) == child);
  Outcome outcome;
  outcome.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  outcome.out = text_of(out);
  outcome.error = text_of(error);
  outcome.seconds = seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
  outcome.peak_bytes = int64_t{usage.ru_maxrss} * 1024;
  return outcome;
}

}  // namespace zoetrope
