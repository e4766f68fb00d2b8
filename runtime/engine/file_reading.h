// What of a model's file must still come from its disk, and how fast that gives it: files of models
// are larger than what loading them takes otherwise.
#pragma once

#include "graph/format/model_file.h"
#include "runtime/engine/request_plan.h"

namespace zoetrope {

// Less than this is read in no time worth telling, and is not looked for.
inline constexpr int64_t kLeastRead = 128 << 20;  // bytes

// Sets read_bytes and reread_bytes of the jobs. `memory`: bytes that the host has for programs and
// for what it keeps of files.
void count_reading(const ModelFile& file, int64_t memory, RequestPlan* plan);

// The same, and disk_rate where `least` bytes or more are not in memory yet, or some are read again
// and again: by reading some of
// them, for a quarter of a second at most once the disk has answered.
void plan_reading(const ModelFile& file, int64_t least, int64_t memory, RequestPlan* plan);

}  // namespace zoetrope
