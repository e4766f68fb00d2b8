// Which weights of a plan stay on the device and which pass through it, under a budget.
#pragma once

#include "runtime/plan/plan.h"

namespace zoetrope {

// Where plan->memory.total_bytes() is above `budget`, has weights streamed until it is not: those
// that are used once a clip first, then, evenly over the calls of a step, as many as must be, so
// that copies hide behind the arithmetic between them. Weights read from a mapped file take no
// memory and are left alone. When even streaming everything is not enough, the plan is the smallest
// there is: total_bytes() says what it needs. Plans with calls on the host are left alone. Nothing
// else of the plan changes, least of all a kernel: results stay the same bit for bit.
void stream_weights(Plan* plan, const Device& device, int64_t budget);

}  // namespace zoetrope
