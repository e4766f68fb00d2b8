// Looking at a session's kernel calls one by one: how `verify` sees what lies between a component's
// inputs and its outputs. Without a trace a session knows nothing of it.
#pragma once

#include <functional>

#include "runtime/plan/plan.h"

namespace zoetrope {

// One call that is about to run; everything that it reads is where `call` says, on `device`.
struct TracedCall {
  const Plan& plan;
  size_t index = 0;  // of Plan::calls
  Device& device;
  const KernelCall& call;
  // Where the weight of input i lies, and which of Plan::weights it is: -1 where it is none.
  std::function<int32_t(size_t input)> weight;
};

// Its methods are called by the thread that runs the session, with the device to itself.
class CallTrace {
 public:
  virtual ~CallTrace() = default;
  // Whether the run that begins goes call by call; else it goes as without a trace.
  virtual bool begin_run(const Plan& plan) = 0;
  // Must call `run`, which runs the call and waits for it, once or more often.
  virtual Status call(const TracedCall& traced, const std::function<Status()>& run) = 0;
};

}  // namespace zoetrope
