#include "converters/ltx2_refiner.h"

#include "converters/lora.h"

namespace zoetrope {
namespace {

// The transformer's weights, and the text's.
class Both : public WeightSource {
 public:
  Both(const WeightMap& dit, const WeightSource& text) : dit_(dit), text_(text) {}
  Result<TensorType> type(std::string_view name) const override { return of(name).type(name); }
  Result<WeightData> load(std::string_view name) const override { return of(name).load(name); }

 private:
  const WeightSource& of(std::string_view name) const {
    if (dit_.contains(name)) return dit_;
    return text_;
  }
  const WeightMap& dit_;
  const WeightSource& text_;
};

}  // namespace

Status build_ltx2_transformers(Ltx2Config config, std::vector<Graph>* graphs) {
  for (const bool keyed : {false, true}) {
    if (keyed && !config.video.known_latents) continue;
    config.keyed = keyed;
    ZT_ASSIGN_OR_RETURN(Graph graph, build_ltx2_dit(config));
    graphs->push_back(std::move(graph));
  }
  return Status();
}

Result<Ltx2Refiner> read_ltx2_refiner(const ConvertOptions& options, Ltx2Config config,
                                      const WeightMap& dit, const Ltx2TextPart& text) {
  config.weaker = false;  // its steps have no guidance
  config.skipped_attention.clear();
  Ltx2Refiner refiner;
  ZT_RETURN_IF_ERROR(build_ltx2_transformers(config, &refiner.graphs));
  for (Graph& graph : refiner.graphs)
    graph.name = graph.name == "dit" ? kLtx2Refiner : str(kLtx2Refiner, "_keyed");
  std::vector<std::string> names = dit.names();
  for (const Graph& graph : text.graphs)
    for (const ValueId id : graph.weights()) names.push_back(graph.value(id).name);
  const Both weights(dit, *text.weights);
  const std::string& path = options.refining_lora;
  ZT_ASSIGN_OR_RETURN(Lora lora, read_lora(path, "ltx-2", names, weights));
  const size_t left_out =
      std::erase_if(lora.updates, [&](const LowRankUpdate& u) { return !dit.contains(u.tensor); });
  if (left_out > 0 && options.notice)
    options.notice(str(path, ": ", left_out,
                       " updates of the text's weights are left out: both stages read the same "
                       "text"));
  ZT_ASSIGN_OR_RETURN(refiner.weights, AdaptedWeights::create(dit, std::move(lora.updates),
                                                              std::move(lora.revision)));
  return refiner;
}

}  // namespace zoetrope
