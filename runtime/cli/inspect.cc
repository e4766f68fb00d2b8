#include <cstdio>
#include <nlohmann/json.hpp>

#include "graph/format/model_file.h"
#include "graph/format/output_file.h"
#include "graph/svg.h"
#include "runtime/cli/command.h"
#include "runtime/cli/output_files.h"
#include "runtime/engine/check.h"
#include "runtime/plan/planner.h"
#include "runtime/quantize/report.h"

namespace zoetrope {
namespace {

struct Options {
  std::string model;
  bool json = false, tensors = false, verify = false;
  std::string graph;  // component
  std::string svg;    // path
  std::vector<std::string> bindings;
  std::string page;  // path
};

int64_t parameters(const ModelFile& file) {
  int64_t total = 0;
  for (const TensorEntry& t : file.tensors()) total += t.type.shape.elements();
  return total;
}

void print_json(const ModelFile& file) {
  const ModelInfo& info = file.info();
  nlohmann::json components = nlohmann::json::array(), tensors = nlohmann::json::array();
  for (const Graph& graph : info.components) {
    nlohmann::json inputs = nlohmann::json::array(), outputs = nlohmann::json::array();
    for (ValueId id : graph.inputs) {
      const Value& v = graph.value(id);
      inputs.push_back({{"name", v.name},
                        {"dtype", dtype_name(v.type.dtype)},
                        {"dims", attr_to_string(v.dims)},
                        {"rate", rate_name(v.rate)}});
    }
    for (const GraphOutput& out : graph.outputs) outputs.push_back(out.name);
    components.push_back({{"name", graph.name},
                          {"nodes", graph.nodes.size()},
                          {"symbols", graph.symbols()},
                          {"inputs", inputs},
                          {"outputs", outputs}});
  }
  for (const TensorEntry& t : file.tensors()) {
    char hash[20];
    std::snprintf(hash, sizeof(hash), "%016lx", static_cast<unsigned long>(t.hash));
    tensors.push_back({{"name", t.name},
                       {"dtype", dtype_name(t.type.dtype)},
                       {"shape", std::vector<int64_t>(t.type.shape.begin(), t.type.shape.end())},
                       {"offset", t.offset},
                       {"bytes", t.length},
                       {"hash", hash},
                       {"synthetic", t.synthetic.has_value()}});
  }
  nlohmann::json tokenizers = nlohmann::json::array();
  for (const StoredTokenizer& t : info.tokenizers)
    tokenizers.push_back({{"name", t.name}, {"kind", t.kind}, {"bytes", t.data.size()}});
  const nlohmann::json out = {
      {"name", info.name},
      {"family", info.family},
      {"file_bytes", file.file_bytes()},
      {"parameters", parameters(file)},
      {"tokenizers", tokenizers},
      {"vocabulary", info.vocabulary},
      {"captions", info.captions},
      {"recipe", nlohmann::json::parse(info.recipe, nullptr, false)},
      {"provenance", info.provenance},
      {"licence", info.licence},
      {"quantisation", info.quantisation.empty()
                           ? nlohmann::json()
                           : nlohmann::json::parse(info.quantisation, nullptr, false)},
      {"components", components},
      {"tensors", tensors}};
  std::printf("%s\n", out.dump(2, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
}

void print_captions(const ModelInfo& info) {
  if (info.captions.empty()) return;
  std::printf("\ncaptions to try:\n");
  for (const std::string& caption : info.captions)
    std::printf("  zoetrope generate \"%s\"\n", printable(caption).c_str());
}

void print_words(const ModelInfo& info) {
  constexpr size_t kColumns = 100;
  if (info.vocabulary.empty()) return;
  std::printf("\n%zu words known:\n", info.vocabulary.size());
  std::string line;
  for (const std::string& word : info.vocabulary) {
    if (!line.empty() && line.size() + word.size() + 3 > kColumns) {
      std::printf(" %s\n", printable(line).c_str());
      line.clear();
    }
    line += " " + word;
  }
  std::printf(" %s\n", printable(line).c_str());
}

void print_text(const ModelFile& file, bool tensors) {
  const ModelInfo& info = file.info();
  std::printf("%s: %s, %s, %.2f M parameters in %zu tensors\n", file.path().c_str(),
              info.name.c_str(), format_bytes(static_cast<double>(file.file_bytes())).c_str(),
              static_cast<double>(parameters(file)) / 1e6, file.tensors().size());
  std::printf("licence %s; %s\n\n", printable(info.licence).c_str(),
              printable(info.provenance).c_str());
  for (const Graph& graph : info.components) {
    std::printf("%s: %zu nodes\n", graph.name.c_str(), graph.nodes.size());
    for (ValueId id : graph.inputs) {
      const Value& v = graph.value(id);
      std::printf("  in   %-14s %s%s  once a %s\n", v.name.c_str(),
                  std::string(dtype_name(v.type.dtype)).c_str(), attr_to_string(v.dims).c_str(),
                  std::string(rate_name(v.rate)).c_str());
    }
    for (const GraphOutput& out : graph.outputs) std::printf("  out  %s\n", out.name.c_str());
  }
  std::printf("\n");
  for (const StoredTokenizer& t : info.tokenizers)
    std::printf("tokenizer %s%s%s\n", printable(t.name).c_str(), t.name.empty() ? "" : ": ",
                printable(t.kind).c_str());
  std::printf("recipe %s\n", printable(info.recipe).c_str());
  print_captions(info);
  print_words(info);
  if (!info.quantisation.empty()) {
    const auto report = parse_report(info.quantisation);
    std::printf("\n%s", printable(report.ok() ? report_to_text(*report)
                                              : std::string(report.status().message()))
                            .c_str());
  }
  if (!tensors) return;
  std::printf("\n");
  for (const TensorEntry& t : file.tensors())
    std::printf("%-48s %-24s %12ld %s\n", t.name.c_str(), t.type.to_string().c_str(),
                static_cast<long>(t.length), t.synthetic ? "synthetic" : "");
}

// Bound at the size that the model prefers, or as --set says; as it is where symbols stay open.
Result<Graph> with_shapes(const Graph& graph, const std::string& path,
                          const std::vector<std::string>& set) {
  Bindings bindings;
  ZT_ASSIGN_OR_RETURN(const Model model, load_model(path));
  if (const auto preferred = preferred_bindings(model); preferred.ok())
    if (const auto found = preferred->find(graph.name); found != preferred->end())
      bindings = found->second;
  ZT_RETURN_IF_ERROR(parse_bindings(set, &bindings));
  std::string open;
  for (const std::string& symbol : graph.symbols())
    if (!bindings.contains(symbol)) open += str(open.empty() ? "" : " ", "--set ", symbol, "=...");
  if (open.empty()) return zoetrope::bind(graph, bindings);
  std::fprintf(stderr, "shapes stay open; to have them shown, give %s\n", open.c_str());
  return graph;
}

Status run_inspect(const Options& options) {
  ZT_ASSIGN_OR_RETURN(const std::string path, find_model(options.model));
  OutputFiles files;
  files.read(path);
  ZT_RETURN_IF_ERROR(files.write("--svg", options.svg));
  ZT_RETURN_IF_ERROR(files.write("--page", options.page));
  ZT_ASSIGN_OR_RETURN(const OutputClaim claim, files.claim());
  ZT_ASSIGN_OR_RETURN(const auto file, ModelFile::open(path));
  if (options.verify) ZT_RETURN_IF_ERROR(file->verify_tensors(/*finite=*/true));
  if (!options.graph.empty()) {
    const Graph* found = nullptr;
    std::string names;
    for (const Graph& graph : file->info().components) {
      if (graph.name == options.graph) found = &graph;
      names += (names.empty() ? "" : ", ") + graph.name;
    }
    if (found == nullptr)
      return error(Code::kInvalidArgument, "no component '", options.graph, "'; this model has ",
                   names);
    if (options.svg.empty()) {
      std::fputs(to_text(*found).c_str(), stdout);
      return Status();
    }
    ZT_ASSIGN_OR_RETURN(const Graph drawn, with_shapes(*found, path, options.bindings));
    return write_text(options.svg, to_svg(drawn));
  }
  if (!options.page.empty()) {
    if (file->info().quantisation.empty())
      return error(Code::kInvalidArgument, path, " is not quantised: it has no report");
    ZT_ASSIGN_OR_RETURN(const QuantizeReport report, parse_report(file->info().quantisation));
    return report_page(report, file->info().name).write(options.page);
  }
  if (options.json)
    print_json(*file);
  else
    print_text(*file, options.tensors);
  return Status();
}

}  // namespace

void add_inspect(CLI::App* root, Run* run) {
  auto options = std::make_shared<Options>();
  CLI::App* app = root->add_subcommand("inspect", "Show what a model file holds");
  app->footer(
      "Examples:\n"
      "  zoetrope inspect                                        the embedded model and its words\n"
      "  zoetrope inspect model.zoe --tensors\n"
      "  zoetrope inspect model.zoe --graph NAME                 a component's graph as text\n"
      "  zoetrope inspect model.zoe --graph NAME --svg net.svg   the graph as a picture");
  app->add_option("model", options->model, "A .zoe file; left out, the embedded one");
  auto* json = app->add_flag("--json", options->json, "Everything, as JSON");
  auto* tensors =
      app->add_flag("--tensors", options->tensors, "List the tensors too; --json always does")
          ->excludes(json);
  app->add_flag("--verify", options->verify,
                "Read every tensor: check hashes, refuse NaN and infinity");
  auto* graph = app->add_option("--graph", options->graph, "Print this component's graph")
                    ->excludes(json)
                    ->excludes(tensors);
  auto* svg = app->add_option("--svg", options->svg, "With --graph: draw it into this file instead")
                  ->needs(graph);
  app->add_option("--set", options->bindings,
                  "NAME=INTEGER: a symbol, for the shapes in the picture; left out, as the model "
                  "prefers")
      ->needs(svg);
  app->add_option("--page", options->page,
                  "Write the report that quantisation left in the file as an HTML page")
      ->excludes(json)
      ->excludes(tensors)
      ->excludes(graph);
  app->callback([=] { *run = [=] { return run_inspect(*options); }; });
}

}  // namespace zoetrope
