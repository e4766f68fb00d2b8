#include "runtime/cli/command.h"

namespace zoetrope {

void add_commands(CLI::App* root, Run* run) {
  add_generate(root, run);
  add_resume(root, run);
  add_plan(root, run);
  add_calibrate(root, run);
  add_run(root, run);
  add_inspect(root, run);
  add_convert(root, run);
  add_quantize(root, run);
  add_devices(root, run);
  add_models(root, run);
  add_bench(root, run);
  add_serve(root, run);
  add_try_media(root, run);
  add_verify(root, run);
}

}  // namespace zoetrope
