// What the commands of `zoetrope` share: exit codes, common options, interruption.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "graph/dim.h"
#include "graph/status.h"
#include "runtime/backend/registry.h"

namespace zoetrope {

// Documented in `zoetrope --help`.
inline constexpr int kExitOk = 0;
inline constexpr int kExitFailure = 1;   // anything not listed below
inline constexpr int kExitUsage = 2;     // bad flags or values
inline constexpr int kExitBadFile = 3;   // a damaged, missing or unreadable input
inline constexpr int kExitNoDevice = 4;  // device, library or file in use or not available
inline constexpr int kExitNoMemory = 5;  // memory, budget or disk exhausted
inline constexpr int kExitDiffers = 6;   // results are not what they were compared with
inline constexpr int kExitSignal = 128;  // and the number of the signal that ended it

int exit_code(const Status& status);

// Opens what of 0, 1 and 2 is closed, so that no file of ours gets such a number.
void hold_standard_descriptors();

// Everything printed so far is out, or why not.
Status finish_stdout();

// Text from a file, without what would control a terminal.
std::string printable(std::string_view text);

// True from the first Ctrl-C, SIGTERM or SIGHUP on; a second one ends the process at once and
// removes what is half written.
bool interrupted();
[[noreturn]] void end_interrupted();  // at once; fit for handlers of signals
void install_interrupt_handler();

struct DeviceFlags {
  std::string device = "auto";
  int threads = 0;
  std::string target;

  void add_to(CLI::App* app);
  DeviceOptions options() const { return {.threads = threads, .force_target = target}; }
};

// The model given by --model, or the one that is installed beside the program.
Result<std::string> find_model(const std::string& given);

// "batch=2", ...: symbols of a component.
Status parse_bindings(const std::vector<std::string>& texts, Bindings* bindings);

// Names of the options that were given, such as "--steps", also where what they say holds anyway.
std::set<std::string> said_options(const CLI::App& app);

// Each registers its subcommand; the callback's Status decides the exit code.
using Run = std::function<Status()>;
void add_generate(CLI::App* root, Run* run);
void add_plan(CLI::App* root, Run* run);
void add_calibrate(CLI::App* root, Run* run);
void add_resume(CLI::App* root, Run* run);
void add_run(CLI::App* root, Run* run);
void add_inspect(CLI::App* root, Run* run);
void add_convert(CLI::App* root, Run* run);
void add_quantize(CLI::App* root, Run* run);
void add_devices(CLI::App* root, Run* run);
void add_models(CLI::App* root, Run* run);
void add_bench(CLI::App* root, Run* run);
void add_serve(CLI::App* root, Run* run);
void add_try_media(CLI::App* root, Run* run);  // of `serve`, for itself
void add_verify(CLI::App* root, Run* run);

// All of them, in the order of --help.
void add_commands(CLI::App* root, Run* run);

}  // namespace zoetrope
