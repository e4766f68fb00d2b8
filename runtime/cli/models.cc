// Lists what is built in: what a model would take, before anybody downloads it.
#include <cstdio>
#include <nlohmann/json.hpp>
#include <set>

#include "models/registry.h"
#include "runtime/cli/command.h"
#include "runtime/plan/planner.h"

namespace zoetrope {
namespace {

struct Options {
  bool json = false;
};

struct Facts {
  int64_t parameters = 0, denoiser_parameters = 0;
  double flops = 0;  // of one call of the denoiser
};

int64_t count_parameters(const Graph& graph, std::set<std::string>* seen) {
  int64_t total = 0;
  for (ValueId id : graph.weights()) {
    if (!seen->insert(graph.value(id).name).second) continue;
    int64_t elements = 1;
    for (const Dim& d : graph.value(id).dims) elements *= d.constant();
    total += elements;
  }
  return total;
}

Result<Facts> facts_of(const BuiltinModel& model) {
  ZT_ASSIGN_OR_RETURN(const std::vector<BuiltinPart> parts, model.build());
  Facts facts;
  for (const BuiltinPart& part : parts) {
    std::set<std::string> seen;  // components of a part share weights
    for (const Graph& graph : part.components) facts.parameters += count_parameters(graph, &seen);
  }
  const Graph& denoiser = parts.front().components.front();
  std::set<std::string> seen;
  facts.denoiser_parameters = count_parameters(denoiser, &seen);
  ZT_ASSIGN_OR_RETURN(const Graph bound, bind(denoiser, model.example));
  facts.flops = graph_cost(bound).flops;
  return facts;
}

std::string count(double n) {
  char text[32];
  std::snprintf(text, sizeof(text), n < 1e9 ? "%.0f M" : "%.2f B", n / (n < 1e9 ? 1e6 : 1e9));
  return text;
}

Status run_models(const Options& options) {
  nlohmann::json list = nlohmann::json::array();
  if (!options.json)
    std::printf("%-25s %9s %9s %11s %12s  %s\n", "name", "in all", "denoiser", "bf16", "one call",
                "what");
  for (const BuiltinModel& model : builtin_models()) {
    ZT_ASSIGN_OR_RETURN(const Facts facts, facts_of(model));
    const bool whole = model.recipe != nullptr;
    if (options.json) {
      list.push_back({{"name", model.name},
                      {"family", model.family},
                      {"description", model.description},
                      {"pipeline", whole},
                      {"parameters", facts.parameters},
                      {"denoiser_parameters", facts.denoiser_parameters},
                      {"denoiser_flops", facts.flops},
                      {"example", model.example}});
      continue;
    }
    std::printf("%-25s %9s %9s %11s %12s  %s%s\n", std::string(model.name).c_str(),
                count(static_cast<double>(facts.parameters)).c_str(),
                count(static_cast<double>(facts.denoiser_parameters)).c_str(),
                format_bytes(2 * static_cast<double>(facts.parameters)).c_str(),
                format_flops(facts.flops).c_str(), std::string(model.description).c_str(),
                whole ? "" : " (the denoiser alone)");
  }
  if (options.json) std::printf("%s\n", list.dump(2).c_str());
  return Status();
}

}  // namespace

void add_models(CLI::App* root, Run* run) {
  auto options = std::make_shared<Options>();
  CLI::App* app = root->add_subcommand(
      "models", "List the models that are built in: shapes of real ones, with generated weights");
  app->footer(
      "One call is the denoiser's, for one row of the size that is named. What a clip takes on a\n"
      "device, at any size, before a checkpoint is there:\n"
      "  zoetrope convert synthetic:wan2.1-1.3b -o wan.zoe\n"
      "  zoetrope plan \"a red ball bounces up and down\" --model wan.zoe --compute bf16 --memory "
      "12G");
  app->add_flag("--json", options->json, "Print JSON");
  app->callback([=] { *run = [=] { return run_models(*options); }; });
}

}  // namespace zoetrope
