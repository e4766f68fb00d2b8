// The `zoetrope` command: the composition root.
#include <cstdio>

#include "runtime/cli/command.h"

namespace {

constexpr const char* kDescription =
    "zoetrope: generate video with sound on whatever hardware you have.\n\n"
    "  zoetrope generate \"a small red star bounces on a blue floor\" -o clip.mp4\n"
    "  zoetrope plan --width 160 --height 96 --seconds 4      what would it take?\n"
    "  zoetrope inspect model.zoe                              what is in the file?\n"
    "  zoetrope convert checkpoint.safetensors -o model.zoe\n"
    "  zoetrope devices";

constexpr const char* kFooter =
    "Exit codes: 0 done, 1 internal failure, 2 bad flags or values, 3 missing or damaged file,\n"
    "4 device or library not available, 5 out of memory, budget or disk, 130 interrupted.";

}  // namespace

int main(int argc, char** argv) {
  using namespace zoetrope;
  CLI::App app(kDescription);
  app.name("zoetrope");
  app.footer(kFooter);
  app.set_version_flag("--version", std::string("zoetrope ") + ZOETROPE_VERSION);
  app.require_subcommand(1);
  Run run;
  add_generate(&app, &run);
  add_plan(&app, &run);
  add_inspect(&app, &run);
  add_convert(&app, &run);
  add_devices(&app, &run);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    const int code = app.exit(e);
    return code == 0 ? kExitOk : kExitUsage;
  }
  install_interrupt_handler();
  Status status;
  try {
    status = run();
  } catch (const std::bad_alloc&) {
    status = error(Code::kResourceExhausted, "out of memory");
  } catch (const std::exception& e) {
    status = error(Code::kInternal, "unexpected: ", e.what());
  }
  if (!status.ok())
    std::fprintf(stderr, "zoetrope: %s: %s\n", std::string(code_name(status.code())).c_str(),
                 status.message().c_str());
  return exit_code(status);
}
