// Denoising between two steps, of the first stage that denoises: later ones are run again where a
// run goes on. With its request and model this is all that the rest of the run
// needs, on any backend: noise is counted by seed, step and place, so no generator has a state.
#pragma once

#include <vector>

#include "runtime/engine/stage_value.h"
#include "runtime/samplers/unipc.h"

namespace zoetrope {

struct DenoiseState {
  // Of the schedule's steps the one that comes next, and how many there are; equal: all are done.
  int step = 0, steps = 0;
  // The schedule's step that the run began with: later than 0 where a picture is given to start
  // from.
  int first = 0;
  // Stream by stream in the recipe's order, each sample after the other; normalised, channels last.
  std::vector<float> latents;
  UniPcState solver;  // of multistep solvers
};

// Where a run goes on.
struct ResumePoint {
  DenoiseState state;
  // What stages before denoising gave. Those whose values are all here neither run nor need memory;
  // the others are run again.
  StageValues values;
  // Decodes the latents as they stand, noise and all, and denoises no more. Without values earlier
  // stages do not run at all.
  bool decode_only = false;
};

}  // namespace zoetrope
