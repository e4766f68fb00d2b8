// What a run made, in a file: for `zoetrope verify --save` and `--against FILE`.
#pragma once

#include <string>

#include "runtime/verify/verify.h"

namespace zoetrope {

// A .safetensors file: "frames" u8 [N, height, width, 3], "sound" f32, and for every stage its
// samples and its digest.
Status save_run(const RunResult& run, const std::string& path);
// kDataLoss names what is missing in it.
Result<RunResult> load_run(const std::string& path);

}  // namespace zoetrope
