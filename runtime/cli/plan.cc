#include <cstdio>

#include "graph/passes/pipeline.h"
#include "runtime/cli/generate_flags.h"
#include "runtime/cli/load_model.h"

namespace zoetrope {
namespace {

struct Options {
  GenerateFlags generate;
  std::vector<std::string> bindings;  // NAME=VALUE
  std::string component;
  bool json = false, calls = false, no_fusion = false;
  std::vector<std::string> dump_after;
};

Status parse_bindings(const std::vector<std::string>& texts, Bindings* bindings) {
  for (const std::string& text : texts) {
    const size_t equals = text.find('=');
    const std::string value = equals == std::string::npos ? "" : text.substr(equals + 1);
    if (value.empty() || value.size() > 15 ||
        value.find_first_not_of("0123456789") != std::string::npos)
      return error(Code::kInvalidArgument, "--set ", text, ": expected NAME=INTEGER");
    (*bindings)[text.substr(0, equals)] = std::stoll(value);
  }
  return Status();
}

Status run_plan(Options& options) {
  ZT_RETURN_IF_ERROR(options.generate.finish());
  ZT_ASSIGN_OR_RETURN(const std::string path, find_model(options.generate.model));
  ZT_ASSIGN_OR_RETURN(const LoadedModel loaded, load_model(path));
  ZT_ASSIGN_OR_RETURN(const auto device, options.generate.device.open());
  CompileOptions compile;
  compile.compute = options.generate.options.compute;
  compile.fuse = !options.no_fusion;
  if (!options.dump_after.empty())
    compile.after_pass = [&](std::string_view pass, const Graph& graph) {
      for (const std::string& wanted : options.dump_after)
        if (wanted == pass || wanted == "all")
          std::printf("after %s:\n%s\n", std::string(pass).c_str(), to_text(graph).c_str());
    };
  if (options.component.empty()) {
    ZT_ASSIGN_OR_RETURN(const PipelinePlan plan,
                        plan_pipeline(loaded.model, options.generate.options, *device, compile));
    std::fputs(options.json ? (pipeline_plan_to_json(plan, options.calls) + "\n").c_str()
                            : pipeline_plan_to_text(plan, options.calls).c_str(),
               stdout);
    return Status();
  }
  const Graph* graph = loaded.model.component(options.component);
  if (graph == nullptr)
    return error(Code::kInvalidArgument, "no component '", options.component, "' in ", path);
  ZT_RETURN_IF_ERROR(parse_bindings(options.bindings, &compile.bindings));
  ZT_ASSIGN_OR_RETURN(const Plan plan,
                      compile_component(*graph, *loaded.model.weights, *device, compile));
  std::fputs(options.json ? (plan_to_json(plan, options.calls) + "\n").c_str()
                          : plan_to_text(plan, options.calls).c_str(),
             stdout);
  return Status();
}

}  // namespace

void add_plan(CLI::App* root, Run* run) {
  auto options = std::make_shared<Options>();
  CLI::App* app =
      root->add_subcommand("plan", "Say what a clip would take, without running anything");
  app->footer(
      "Examples:\n"
      "  zoetrope plan --width 160 --height 96 --seconds 4 --memory 500M\n"
      "  zoetrope plan --component dit --set batch=1 --set frames=4 ... --calls");
  options->generate.add_to(app);
  app->add_option("--component", options->component,
                  "Plan one component, with its symbols from --set");
  app->add_option("--set", options->bindings, "NAME=INTEGER: a symbol of the component");
  app->add_flag("--calls", options->calls, "List every kernel call with its offsets");
  app->add_flag("--no-fusion", options->no_fusion, "Plan the graph without fusions");
  std::string passes = "all";
  for (std::string_view name : pass_names()) passes += str(", ", name);
  app->add_option("--dump-after", options->dump_after, "Print the graph after a pass: " + passes);
  app->add_flag("--json", options->json, "Print JSON");
  app->callback([=] { *run = [=] { return run_plan(*options); }; });
}

}  // namespace zoetrope
