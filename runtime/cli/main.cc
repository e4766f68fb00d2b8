// The `zoetrope` command: the composition root.
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <new>
#include <system_error>

#include "graph/format/output_file.h"
#include "graph/thread.h"
#include "runtime/cli/command.h"
#include "runtime/cli/last_resort.h"
#include "runtime/cli/usage.h"
#include "runtime/verify/numerics.h"

namespace {

constexpr const char* kDescription =
    "zoetrope: generate video with sound on whatever hardware you have.\n\n"
    "  zoetrope generate \"a small red star bounces on a blue floor\" -o clip.mp4\n"
    "  zoetrope resume DIR                                     after a crash of a run with "
    "--checkpoint DIR\n"
    "  zoetrope plan --width 160 --height 96 --seconds 4      what would it take?\n"
    "  zoetrope inspect                                        captions and words that the model "
    "knows\n"
    "  zoetrope convert checkpoint.safetensors -o model.zoe\n"
    "  zoetrope quantize model.zoe -o model-int8.zoe           fewer bits, and what they cost\n"
    "  zoetrope run model.zoe COMPONENT --input in.safetensors --output out.safetensors\n"
    "  zoetrope verify --devices cpu,vulkan                    does every device do what it "
    "should?\n"
    "  zoetrope serve                                          a page and an API for others\n"
    "  zoetrope models                                         what is built in?\n"
    "  zoetrope bench --quick                                  how fast is it here?\n"
    "  zoetrope devices";

constexpr const char* kFooter =
    "Exit codes: 0 done, 1 internal failure, 2 bad flags or values, 3 missing or damaged file,\n"
    "4 device or library not available or file in use, 5 out of memory, budget or disk,\n"
    "6 results differ, 128 and a signal's number: ended by it (130 Ctrl-C, 143 SIGTERM).";

// The last resort allocates nothing.
int out_of_memory() {
  std::fputs("zoetrope: resource exhausted: out of memory\n", stderr);
  return zoetrope::kExitNoMemory;
}

bool g_in_main = false;

// Where an exception cannot get through: most likely one more allocation that failed. Before
// main(), none may be there for the exception itself.
[[noreturn]] void on_terminate() {
  zoetrope::remove_unfinished_files();
  bool memory = !g_in_main;
  if (const std::exception_ptr current = std::current_exception()) {
    try {
      std::rethrow_exception(current);
    } catch (const std::bad_alloc&) {
      memory = true;
    } catch (const std::system_error& e) {
      memory = e.code() == std::errc::resource_unavailable_try_again;
    } catch (...) {
    }
  }
  if (memory) _exit(out_of_memory());
  std::abort();
}

rlimit stack_limit() {
  rlimit limit{RLIM_INFINITY, RLIM_INFINITY};
  getrlimit(RLIMIT_STACK, &limit);
  return limit;
}

// The first thread's stack grows up to the limit as it then is; those of threads, other libraries'
// too, get what glibc is told. Programs that are started (--judge) inherit the raised soft limit.
void lengthen_stacks() {
  using zoetrope::kThreadStack;
  if (rlimit limit = stack_limit(); limit.rlim_cur < kThreadStack) {
    limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, kThreadStack);
    setrlimit(RLIMIT_STACK, &limit);
  }
  pthread_attr_t attributes;
  if (pthread_getattr_default_np(&attributes) != 0) return;
  pthread_attr_setstacksize(&attributes, kThreadStack);
  pthread_setattr_default_np(&attributes);
  pthread_attr_destroy(&attributes);
}

// Before the constructors of all libraries, which allocate and have this stack, too.
void begin_early() {
  std::set_terminate(on_terminate);
  lengthen_stacks();
}
[[gnu::section(".preinit_array"), gnu::used]] void (*const g_begin_early)() = begin_early;

int run_command(int argc, char** argv) {
  using namespace zoetrope;
  CLI::App app(kDescription);
  app.name("zoetrope");
  app.footer(kFooter);
  app.set_version_flag("--version",
                       str("zoetrope ", ZOETROPE_VERSION, ", numerics ", kNumericsVersion));
  app.require_subcommand(1);
  Run run;
  add_commands(&app, &run);
  Status status;
  int code = kExitOk;
  try {
    app.parse(argc, argv);
    install_interrupt_handler();
    status = run();
  } catch (const CLI::ParseError& e) {
    const bool asked = e.get_exit_code() == 0;  // --help and the like
    if (const std::string text = asked ? "" : explain_usage(app, argc, argv); !text.empty())
      std::fprintf(stderr, "zoetrope: invalid argument: %s\n", text.c_str());
    else
      app.exit(e);
    code = asked ? kExitOk : kExitUsage;
  }
  if (status.ok() && code == kExitOk) status = finish_stdout();
  if (status.ok()) return code;
  std::fprintf(stderr, "zoetrope: %s: %s\n", std::string(code_name(status.code())).c_str(),
               printable(status.message()).c_str());
  return exit_code(status);
}

int guarded_command(int argc, char** argv) {
  zoetrope::watch_crashes();
  zoetrope::watch_long_calls();
  zoetrope::hold_standard_descriptors();
  try {
    return run_command(argc, argv);
  } catch (const std::bad_alloc&) {
    return out_of_memory();
  } catch (const std::system_error& e) {
    if (e.code() == std::errc::resource_unavailable_try_again) {
      std::fputs("zoetrope: resource exhausted: no more threads can be started\n", stderr);
      return zoetrope::kExitNoMemory;
    }
    std::fprintf(stderr, "zoetrope: internal error: %s\n", e.what());
  } catch (const std::exception& e) {
    std::fprintf(stderr, "zoetrope: internal error: %s\n", e.what());
  }
  return zoetrope::kExitFailure;
}

// Of a first stack on which a command runs where there is no thread for it.
constexpr rlim_t kLeastFirstStack = rlim_t{1} << 20;

// On a thread with a stack of its own, so that the first thread takes no signals; on the first
// thread's stack where there is no such thread, and it is long enough.
int command_on_thread(int argc, char** argv) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    zoetrope::Thread thread([=] {
      pthread_sigmask(SIG_SETMASK, &before, nullptr);
      std::exit(guarded_command(argc, argv));
    });
    thread.join();
  } catch (const std::exception&) {
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }
  if (stack_limit().rlim_cur >= kLeastFirstStack) return guarded_command(argc, argv);
  std::fprintf(stderr,
               "zoetrope: resource exhausted: the limit of stacks is %zu KiB (ulimit -s), and "
               "there is no thread with a longer one to be had\n",
               static_cast<size_t>(stack_limit().rlim_cur) >> 10);
  return zoetrope::kExitNoMemory;
}

}  // namespace

int main(int argc, char** argv) {
  g_in_main = true;
  // GLib, which FFmpeg brings, waits for its own lock for ever where its slices get no memory.
  setenv("G_SLICE", "always-malloc", 0);
  const bool enough = stack_limit().rlim_cur >= zoetrope::kThreadStack;
  return enough ? guarded_command(argc, argv) : command_on_thread(argc, argv);
}
