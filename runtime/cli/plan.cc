#include <cstdio>

#include "graph/passes/pipeline.h"
#include "runtime/cli/generate_flags.h"
#include "runtime/cli/known_files.h"

namespace zoetrope {
namespace {

struct Options {
  GenerateFlags generate;
  KnownFlags known;
  std::vector<std::string> bindings;  // NAME=VALUE
  std::string component;
  bool json = false, calls = false;
  std::vector<std::string> dump_after;
};

Status run_plan(Options& options) {
  ZT_RETURN_IF_ERROR(options.generate.finish());
  Request& request = options.generate.request;
  ZT_ASSIGN_OR_RETURN(const auto engine, options.generate.open_engine(/*keep_sessions=*/false));
  PassObserver after_pass;
  if (!options.dump_after.empty())
    after_pass = [&](std::string_view pass, const Graph& graph) {
      for (const std::string& wanted : options.dump_after)
        if (wanted == pass || wanted == "all")
          std::printf("after %s:\n%s\n", std::string(pass).c_str(), to_text(graph).c_str());
    };
  std::string text;
  if (options.component.empty()) {
    const Recipe& recipe = engine->model().recipe;
    ZT_ASSIGN_OR_RETURN(const MediaTarget target, media_target(recipe, request.clip));
    ZT_ASSIGN_OR_RETURN(KnownFiles known, read_known_files(options.known, target));
    ZT_RETURN_IF_ERROR(give_known(recipe, options.known, &known, &request));
    ZT_ASSIGN_OR_RETURN(const RequestPlan plan, engine->plan(request, after_pass));
    text = options.json ? request_plan_to_json(plan, options.calls) + "\n"
                        : request_plan_to_text(plan, options.calls);
  } else {
    CompileOptions compile;
    compile.compute = request.compute;
    compile.fuse = request.fuse;
    compile.memory_budget = request.memory_budget;
    compile.after_pass = after_pass;
    ZT_RETURN_IF_ERROR(parse_bindings(options.bindings, &compile.bindings));
    ZT_ASSIGN_OR_RETURN(const auto plan, engine->plan_component(options.component, compile));
    text = options.json ? plan_to_json(*plan, options.calls) + "\n"
                        : plan_to_text(*plan, options.calls);
  }
  std::fputs(text.c_str(), stdout);
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
      "  zoetrope plan --image first.png --extend clip.mp4 --place decode=cpu\n"
      "  zoetrope plan --component NAME --set batch=1 --set frames=4 ... --calls");
  app->add_option("prompt", options->generate.request.prompt, "As in generate: its length counts");
  options->generate.add_to(app);
  options->known.add_to(app);
  app->add_option("--component", options->component,
                  "Plan one component, with its symbols from --set");
  app->add_option("--set", options->bindings, "NAME=INTEGER: a symbol of the component");
  app->add_flag("--calls", options->calls, "List every kernel call with its offsets");
  std::string passes = "all";
  for (std::string_view name : pass_names()) passes += str(", ", name);
  app->add_option("--dump-after", options->dump_after, "Print the graph after a pass: " + passes);
  app->add_flag("--json", options->json, "Print JSON");
  app->callback([=] { *run = [=] { return run_plan(*options); }; });
}

}  // namespace zoetrope
