// Checkpoints with weights in 8-bit floats and a scale beside each.
#pragma once

#include <memory>

#include "converters/checkpoint.h"

namespace zoetrope {

// "<name>.weight" of f8 with "<name>.scale_weight" or "<name>.weight_scale" (a number, or one a
// row): the weights are their product, in f32. Scales of activations and marks of the format are no
// weights and disappear. Null where the checkpoint has no scales. `base` must outlive it. A
// scale without a weight, or of another shape, is an error that names it.
Result<std::unique_ptr<Checkpoint>> apply_scales(const Checkpoint& base);

}  // namespace zoetrope
