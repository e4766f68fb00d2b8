#include "graph/passes/pipeline.h"

#include "graph/passes/cleanup.h"
#include "graph/passes/fold.h"
#include "graph/passes/fuse.h"
#include "graph/passes/split.h"
#include "graph/passes/states.h"

namespace zoetrope {
namespace {

struct Pass {
  std::string_view name;
  bool fusion;  // skipped where fusing is off
  Result<Graph> (*run)(const Graph& graph, const PassOptions& options);
};

constexpr Pass kPasses[] = {
    {"choose_precision", false,
     [](const Graph& g, const PassOptions& o) {
       return choose_precision(g, o.compute, o.storage, o.narrow_states);
     }},
    {"fold_constants", false, [](const Graph& g, const PassOptions&) { return fold_constants(g); }},
    {"eliminate_common", false,
     [](const Graph& g, const PassOptions&) { return eliminate_common(g); }},
    {"split_by_rate", false, [](const Graph& g, const PassOptions&) { return split_by_rate(g); }},
    {"fuse_norm_rope", true, [](const Graph& g, const PassOptions&) { return fuse_norm_rope(g); }},
    {"fuse_norm_modulate", true,
     [](const Graph& g, const PassOptions&) { return fuse_norm_modulate(g); }},
    {"fuse_glu", true, [](const Graph& g, const PassOptions&) { return fuse_glu(g); }},
    {"fuse_gated_residual", true,
     [](const Graph& g, const PassOptions&) { return fuse_gated_residual(g); }},
    {"fuse_residual_norm", true,
     [](const Graph& g, const PassOptions&) { return fuse_residual_norm(g); }},
    {"fuse_quantized_rows", true,
     [](const Graph& g, const PassOptions&) { return fuse_quantized_rows(g); }},
    {"fuse_packed_attention", true,
     [](const Graph& g, const PassOptions&) { return fuse_packed_attention(g); }},
    {"fuse_contractions", true,
     [](const Graph& g, const PassOptions&) { return fuse_contractions(g); }},
    {"eliminate_dead", false, [](const Graph& g, const PassOptions&) { return eliminate_dead(g); }},
    {"settle_states", false, [](const Graph& g, const PassOptions&) { return settle_states(g); }},
};

}  // namespace

std::span<const std::string_view> pass_names() {
  static const auto names = [] {
    std::array<std::string_view, std::size(kPasses)> list;
    for (size_t i = 0; i < list.size(); ++i) list[i] = kPasses[i].name;
    return list;
  }();
  return names;
}

Result<Graph> run_passes(Graph graph, const PassOptions& options) {
  for (const Pass& pass : kPasses) {
    if (pass.fusion && !options.fuse) continue;
    auto next = pass.run(graph, options);
    if (!next.ok()) return next.status().with_context(str("pass ", pass.name));
    graph = std::move(*next);
#ifndef NDEBUG
    if (Status status = verify(graph); !status.ok())
      return Status(Code::kInternal, status.message()).with_context(str("after pass ", pass.name));
#endif
    if (options.observer) options.observer(pass.name, graph);
  }
  return graph;
}

}  // namespace zoetrope
