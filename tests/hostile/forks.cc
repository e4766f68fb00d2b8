#include "tests/hostile/forks.h"

#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <initializer_list>
#include <limits>

// All of this runs inside malloc: nothing here allocates.
namespace {

constexpr int kMostDescriptors = 64;

int reports = -1;  // the socket; -1: in a copy, or nobody asked
long every = 1, first = 0, last = std::numeric_limits<long>::max();
unsigned seconds = 0;
bool allowed = false, copy = false;
bool inherited[kMostDescriptors];  // open before the process began: not its files
char folder[256], outputs[256];

[[noreturn]] void give_up(const char* what) {
  std::perror(what);
  _exit(125);
}

// A copy shares its files with the process, also where in them either stands: it gets its own.
void own_file(int descriptor) {
  struct stat info {};
  if (::fstat(descriptor, &info) != 0) return;
  const bool file = S_ISREG(info.st_mode);
  if (!file && !S_ISDIR(info.st_mode)) return;
  char name[32], output[sizeof(folder) + 8];
  std::snprintf(name, sizeof(name), "/proc/self/fd/%d", descriptor);
  const int flags = ::fcntl(descriptor, F_GETFL);
  const off_t at = ::lseek(descriptor, 0, SEEK_CUR);
  int own = -1;
  if (!file || (flags & O_ACCMODE) == O_RDONLY) {
    own = ::open(name, flags & (O_ACCMODE | O_DIRECTORY));
  } else {
    if (descriptor > STDERR_FILENO && info.st_nlink > 0) {
      errno = EEXIST;
      give_up("a copy of the process cannot have a file of its own in place of one with a name");
    }
    std::snprintf(output, sizeof(output), "%s/%s", folder,
                  descriptor == STDOUT_FILENO ? "out" : "error");
    own = descriptor > STDERR_FILENO ? ::open(folder, O_TMPFILE | O_RDWR, info.st_mode & 0777)
                                     : ::open(output, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    const int from = ::open(name, O_RDONLY);
    if (own < 0 || from < 0) give_up("copy a file");
    for (off_t left = info.st_size; left > 0;) {
      const ssize_t n = ::sendfile(own, from, nullptr, static_cast<size_t>(left));
      if (n <= 0) give_up("copy a file");
      left -= n;
    }
    ::close(from);
  }
  if (own < 0 || ::lseek(own, at, SEEK_SET) != at || ::dup2(own, descriptor) < 0)
    give_up("copy a file");
  ::fcntl(descriptor, F_SETFD, descriptor > STDERR_FILENO ? FD_CLOEXEC : 0);
  ::close(own);
}

bool has_threads() {
  char text[512];
  const int file = ::open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
  const ssize_t n = file < 0 ? 0 : ::read(file, text, sizeof(text) - 1);
  if (file >= 0) ::close(file);
  text[n > 0 ? n : 0] = 0;
  const char* rest = std::strrchr(text, ')');
  if (rest == nullptr) give_up("count threads");
  constexpr int kThreads = 18;  // fields behind the name (proc(5))
  for (int field = 0; field < kThreads && rest != nullptr; ++field)
    rest = std::strchr(rest + 1, ' ');
  return rest == nullptr || std::atoi(rest) != 1;
}

int count_outputs() {
  char entries[4096];
  const int file = ::open(outputs, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const long bytes = file < 0 ? -1 : ::syscall(SYS_getdents64, file, entries, sizeof(entries));
  if (bytes < 0) give_up("list the outputs");
  ::close(file);
  int count = -2;  // . and ..
  for (long at = 0; at < bytes; ++count) {
    constexpr long kLength = 16;  // of an entry, behind its inode and offset
    uint16_t length = 0;
    std::memcpy(&length, entries + at + kLength, sizeof(length));
    at += length;
  }
  return count;
}

// A copy has none of the process's timers, with one of which ForeignCode ends what never comes
// back. The signal does nothing elsewhere. The system's own call: the library's may allocate.
void end_long_calls() {
  sigevent event{};
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = SIGVTALRM;
  int timer = 0;
  constexpr itimerspec kPeriod{{1, 0}, {1, 0}};
  struct sigaction action {};
  if (::sigaction(SIGVTALRM, nullptr, &action) != 0 || action.sa_handler == SIG_DFL) return;
  if (::syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &timer) == 0)
    ::syscall(SYS_timer_settime, timer, 0, &kPeriod, nullptr);
}

void report(int64_t at, bool on, int files, int32_t status) {
  const ForkReport told{at, on, files, status};
  char answer = 0;
  if (::send(reports, &told, sizeof(told), MSG_NOSIGNAL) != sizeof(told) ||
      ::recv(reports, &answer, 1, 0) != 1)
    give_up("tell the test");
}

}  // namespace

void begin_forks() {
  const char* asked = std::getenv("ZT_FAIL_FORK");
  if (asked == nullptr) return;
  if (std::sscanf(asked, "%d %ld %u %255s %255s", &reports, &every, &seconds, folder, outputs) !=
          5 ||
      every < 1)
    give_up("ZT_FAIL_FORK");
  const char* range = std::getenv("ZOETROPE_FAIL_RANGE");
  if (range != nullptr && std::sscanf(range, "%ld-%ld", &first, &last) != 2)
    give_up("ZOETROPE_FAIL_RANGE");
  for (int i = STDERR_FILENO + 1; i < kMostDescriptors; ++i)
    inherited[i] = ::fcntl(i, F_GETFD) == 0;
}

bool is_copy() { return copy; }

void allow_forks() { allowed = true; }

bool fork_at(int64_t at, bool* on) {
  if (reports < 0 || at % every != 0 || at < first || at > last) return false;
  const int error = errno;
  const bool alone = allowed && !has_threads();
  for (const bool all : {false, true}) {
    const int files = count_outputs();
    const pid_t child = alone ? ::fork() : -1;
    if (child == 0) {
      for (int i = 0; i < kMostDescriptors; ++i)
        if (i != reports && !inherited[i]) own_file(i);
      ::close(reports);
      reports = -1;
      copy = true;
      ::alarm(seconds);
      end_long_calls();
      errno = error;
      *on = all;
      return true;
    }
    int status = ForkReport::kNotForked;
    if (alone && (child < 0 || ::waitpid(child, &status, 0) != child)) give_up("fork");
    report(at, all, files, status);
  }
  errno = error;
  return false;
}
