// A plan as one HTML page.
#pragma once

#include "runtime/cli/plan_table.h"
#include "runtime/report/page.h"

namespace zoetrope {

// `budget`: of each device; 0: what it has.
Page plan_page(const Model& model, const RequestPlan& plan, int64_t budget);

// One page of several plans beside each other.
Page alternatives_page(const Model& model, const std::vector<Alternative>& alternatives);

}  // namespace zoetrope
