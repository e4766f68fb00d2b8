// What tests of lying models share: how to bend one, and what opening says.
#pragma once

#include <functional>
#include <string>

#include "graph/builder.h"
#include "tests/hostile/tiny_models.h"

namespace zoetrope {

using Change = std::function<ValueId(Builder&, ValueId)>;

// Puts something between a component's output and its reader.
void change_output(TinyModel* model, const std::string& component, size_t output,
                   const Change& change);

ValueId not_a_number(Builder& b, ValueId x);
ValueId infinite(Builder& b, ValueId x);

// What opening the written model says, before there is any device.
Status opened(const TinyModel& model);

}  // namespace zoetrope
