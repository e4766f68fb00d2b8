// Planning the rest of a run.
#pragma once

#include "runtime/engine/model.h"
#include "runtime/engine/request.h"
#include "runtime/engine/request_plan.h"
#include "runtime/engine/stage.h"

namespace zoetrope {

// Whether the state is one that this request's denoising comes by: its step, sizes and solver.
// `plan` has its shape, sampler and first step.
Status check_resume(const Recipe& recipe, const Request& request, const RequestPlan& plan);

// Of a stage before denoising that has just been planned: whether the point makes it needless.
// `before`: the values before it was. A value of another type than the request's is an error.
Result<bool> is_given(const ResumePoint& point, const std::map<std::string, TensorType>& before,
                      const std::map<std::string, TensorType>& after);

}  // namespace zoetrope
