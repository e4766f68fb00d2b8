#include "runtime/cli/second_model.h"

namespace zoetrope {

GenerateFlags flags_of_second(const std::string& model, const GenerateFlags& first) {
  GenerateFlags g;
  g.model = model;
  g.compute = first.compute;
  g.memory = first.memory;
  g.sequential = first.sequential;
  g.no_fusion = first.no_fusion;
  g.device = first.device;
  if (first.place == "auto") g.place = first.place;
  return g;
}

}  // namespace zoetrope
