// A model file with its weights in other formats.
#pragma once

#include <string>

#include "graph/format/model_writer.h"
#include "runtime/quantize/rules.h"

namespace zoetrope {

// Tensors pass through one at a time; the file appears when it is whole. Tensors of `file` that
// no graph reads any more are left out, generated ones that stay stay generated.
Status write_quantized(const ModelFile& file, const QuantizedModel& model,
                       const WeightSource& weights, const std::string& output,
                       const WriteProgress& progress = {});

// Bytes of all tensors that the components read, as `weights` stores them.
Result<int64_t> stored_bytes(const std::vector<Graph>& components, const WeightSource& weights);

}  // namespace zoetrope
