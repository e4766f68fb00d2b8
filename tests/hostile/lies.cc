#include "tests/hostile/lies.h"

#include <doctest/doctest.h>

#include "runtime/engine/engine.h"
#include "tests/support/temporary_folder.h"

namespace zoetrope {

void change_output(TinyModel* model, const std::string& component, size_t output,
                   const Change& change) {
  Graph& graph = model->component(component);
  Builder b(&graph);
  const ValueId changed = change(b, graph.outputs[output].value);
  REQUIRE_MESSAGE(b.status().ok(), b.status().message());
  graph.outputs[output].value = changed;
}

ValueId not_a_number(Builder& b, ValueId x) {
  const ValueId zero = b.mul(x, b.scalar(0));
  return b.div(zero, zero);
}

ValueId infinite(Builder& b, ValueId x) {
  return b.exp(b.add(b.mul(x, b.scalar(0)), b.scalar(1e4)));
}

Status opened(const TinyModel& model) {
  const TemporaryFolder folder = TemporaryFolder::in_memory();
  const Status written = model.write(folder / "m.zoe");
  REQUIRE_MESSAGE(written.ok(), written.message());
  EngineOptions options;
  options.placement.device = "no such device";
  return Engine::open(folder / "m.zoe", std::move(options)).status();
}

}  // namespace zoetrope
