// A component of a model, opened from its own files: graphs, and weights that are read when the
// model file is written.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "converters/checkpoint.h"
#include "converters/scaled.h"
#include "converters/store.h"
#include "converters/weight_map.h"

namespace zoetrope {

struct OpenedPart {
  std::vector<Graph> graphs;
  std::unique_ptr<Checkpoint> stored, scaled;  // `scaled` reads `stored`, or is null
  WeightMap weights;                           // of the graphs

  const Checkpoint& checkpoint() const { return scaled ? *scaled : *stored; }
  // Weights are read from here, which must outlive it.
  ModelPart as_part(std::string scope) const { return {std::move(scope), graphs, &weights}; }
};

// A folder or file, with 8-bit weights and their scales multiplied.
inline Status open_weights(const std::string& path, OpenedPart* part) {
  ZT_ASSIGN_OR_RETURN(part->stored, open_checkpoint(path));
  ZT_ASSIGN_OR_RETURN(part->scaled, apply_scales(*part->stored));
  return Status();
}

}  // namespace zoetrope
