// Checkpoints as people have them (fixtures of tests/format and tests/parity), rewritten, converted
// and opened; and adapters, read for a model that they fit and loaded.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "converters/convert.h"
#include "converters/lora.h"
#include "runtime/engine/check.h"
#include "runtime/engine/engine.h"
#include "tests/format/small_model.h"
#include "tests/fuzz/checkpoint_changes.h"
#include "tests/fuzz/json_changes.h"
#include "tests/fuzz/watched.h"
#include "tests/support/temporary_folder.h"

namespace zoetrope {
namespace {

namespace fs = std::filesystem;

enum Reached : size_t { kRefused, kConverted, kLoaded, kPlanned };
constexpr const char* kReachedNames[] = {"refused", "converted, or an adapter read",
                                         "opened, its weights read, and no plan made",
                                         "opened and planned, or an adapter loaded"};

constexpr int64_t kHeap = 256 << 20;

using Files = std::map<std::string, Bytes>;  // by path in their folder

struct Seed {
  std::string name, input;  // of the folder's files, what is converted
  Files files;
  bool adapter = false;
};

std::string data_folder() {
  const char* given = std::getenv("ZOETROPE_SOURCE");
  return str(given != nullptr ? given : ZOETROPE_SOURCE_DIR, "/tests/");
}

void add_files(const fs::path& from, const std::string& under, Files* files) {
  std::error_code failed;
  if (fs::is_regular_file(from, failed)) (*files)[under] = read_bytes(from);
  for (fs::recursive_directory_iterator it(from, failed), end; !failed && it != end;
       it.increment(failed))
    if (it->is_regular_file())
      (*files)[(fs::path(under) / fs::relative(it->path(), from)).string()] =
          read_bytes(it->path());
}

Seed seed_of(const std::string& path, const std::string& input = "") {
  Seed seed{path, input, {}, false};
  const fs::path whole = data_folder() + path;
  add_files(whole, fs::is_directory(whole) ? "" : whole.filename().string(), &seed.files);
  if (input.empty() && !fs::is_directory(whole)) seed.input = whole.filename();
  return seed;
}

// A diffusers folder of Wan, put together from the fixture's parts.
Seed pipeline_of(const std::string& name) {
  Seed seed = seed_of("parity/data/wan_pipelines/" + name);
  const std::string all = data_folder() + "parity/data/wan/";
  const Bytes& parts = seed.files["parts.json"];
  const auto json = nlohmann::json::parse(parts.begin(), parts.end(), nullptr, false);
  seed.files.erase("parts.json");
  if (json.is_object())
    for (const auto& [part, stored] : json.items())
      add_files(all + stored.get<std::string>(), part, &seed.files);
  add_files(data_folder() + "parity/data/wan_pipelines/text_encoder", "text_encoder", &seed.files);
  add_files(all + "original/google/umt5-xxl", "tokenizer", &seed.files);
  return seed;
}

// A diffusers folder of LTX-2, likewise.
Seed ltx2_folder() {
  const std::string all = data_folder() + "parity/data/ltx2_pipelines/";
  Seed seed = seed_of("parity/data/ltx2_pipelines/t2v");
  add_files(all + "text_encoder", "text_encoder", &seed.files);
  add_files(all + "tokenizer.model", "tokenizer/tokenizer.model", &seed.files);
  return seed;
}

struct Shared {
  std::vector<Seed> seeds;
  std::unique_ptr<Engine> wan, dit;  // what adapters are for
};
Shared shared;

std::unique_ptr<Engine> converted(const std::string& path) {
  const TemporaryFolder folder = TemporaryFolder::in_memory();
  ConvertOptions options;
  options.input = data_folder() + path;
  options.output = folder / "m.zoe";
  if (!convert(options).ok()) return nullptr;
  auto engine = Engine::open(options.output);
  return engine.ok() ? std::move(*engine) : nullptr;
}

std::string prepare() {
  std::error_code failed;
  if (!fs::is_directory(data_folder() + "format/data", failed))
    return str("no fixtures in ", data_folder(), "; ZOETROPE_SOURCE names the checkout");
  for (const char* path :
       {"format/data/dit_diffusers", "format/data/dit_original", "format/data/wan_diffusers",
        "format/data/wan_original", "format/data/wan_gguf", "format/data/wan_plain",
        "format/data/tiny.pt", "format/data/training.pt", "format/data/blocks.gguf",
        "parity/data/dit/pipeline", "parity/data/dit/plain", "parity/data/wan/vae_short",
        "parity/data/wan/comfy", "parity/data/ltx2_pipelines/t2v_single.safetensors",
        "parity/data/ltx2_pipelines/t2v_3_single.safetensors"})
    shared.seeds.push_back(seed_of(path));
  shared.seeds.push_back(ltx2_folder());
  for (const char* name : {"t2v", "t2v_experts", "i2v", "ti2v"})
    shared.seeds.push_back(pipeline_of(name));
  for (const char* name : {"wan_fused", "wan_kohya", "wan_original", "wan_peft", "dit_fused"})
    shared.seeds.push_back(seed_of(str("format/data/lora/", name, ".safetensors")));
  for (const char* name : {"diffusers", "fastvideo", "kohya", "lightx2v", "norms", "peft_bias"})
    shared.seeds.push_back(seed_of(str("parity/data/wan/lora/", name, ".safetensors")));
  std::erase_if(shared.seeds, [](const Seed& seed) { return seed.files.empty(); });
  for (Seed& seed : shared.seeds) seed.adapter = seed.name.find("/lora/") != std::string::npos;
  shared.wan = converted("format/data/wan_diffusers");
  shared.dit = converted("format/data/dit_diffusers");
  return shared.wan == nullptr || shared.dit == nullptr ? "the fixtures do not convert" : "";
}

class Case {
 public:
  Case(uint64_t number, std::string folder)
      : draw_(number), folder_(std::move(folder)), seed_(draw_.pick(shared.seeds)) {}

  void make() {
    // What a case that ended its process left.
    for (const auto& entry : fs::directory_iterator(folder_)) fs::remove_all(entry.path());
    files_ = seed_.files;
    result_.changes.push_back(seed_.name);
    for (uint32_t i = draw_.one_in(3) ? 2 : 1; i > 0 && !files_.empty(); --i)
      if (const std::string what = change(); !what.empty()) result_.changes.push_back(what);
    in_ = folder_ + "/in";
    fs::create_directory(in_);
    for (const auto& [path, bytes] : files_) {
      const fs::path whole = fs::path(in_) / path;
      fs::create_directories(whole.parent_path());
      write_bytes(whole, bytes);
    }
  }

  void try_it() {
    if (seed_.adapter) return adapt();
    ConvertOptions options;
    options.input = seed_.input.empty() ? in_ : in_ + "/" + seed_.input;
    options.output = folder_ + "/o.zoe";
    static const std::string kFamilies[] = {"auto", "dit", "wan", "ltx2", "toybox"};
    if (draw_.one_in(8)) options.family = draw_.pick(kFamilies);
    static constexpr DType kTypes[] = {DType::kF32, DType::kF16, DType::kBF16};
    if (draw_.one_in(3)) options.dtype = draw_.pick(kTypes);
    options.check = [](const ModelInfo& info) { return check_model(info); };
    options.notice = [](const std::string&) {};
    const Status made = convert(options);
    if (!made.ok() && fs::exists(options.output)) result_.wrong = "a part of a model was left";
    if (failed(made)) return;
    result_.reached = kConverted;
    EngineOptions where;
    where.devices = {.threads = 1, .force_target = "sse4"};
    where.placement.device = "cpu";
    auto engine = Engine::open(options.output, where);
    // What conversion writes must open: else it converted what it should have refused.
    if (!engine.ok())
      result_.wrong = "converted, and refused by opening: " + engine.status().message();
    if (failed(engine.status())) return;
    Request request;
    request.prompt = (*engine)->model().recipe.reads_text() ? "a red ball" : "";
    request.memory_budget = 64 << 20;
    const Recipe& recipe = (*engine)->model().recipe;
    request.clip = {nearest_in_range(recipe.clip.width, 1), nearest_in_range(recipe.clip.height, 1),
                    0, 0};
    if (recipe.picture() == nullptr || recipe.picture()->media != Modality::kImage)
      request.clip.frames = nearest_in_range(recipe.clip.frames, 1);
    const auto plan = (*engine)->plan(request);
    result_.said = plan.status().message();
    if (plan.status().code() == Code::kInternal) result_.wrong = result_.said;
    // A network alone has no plan of a request; loading reads every weight.
    for (const auto& [name, graph] : (*engine)->model().components)
      for (const ValueId id : graph.weights())
        if (const auto data = (*engine)->model().weights->load(graph.value(id).name); data.ok())
          touch(*data);
    result_.reached = plan.ok() ? kPlanned : kLoaded;
  }

  CaseResult take() {
    std::error_code ignored;
    fs::remove_all(in_, ignored);
    fs::remove(folder_ + "/o.zoe", ignored);
    for (const auto& entry : fs::directory_iterator(folder_, ignored))
      result_.wrong = "left behind: " + entry.path().string();
    return std::move(result_);
  }
  const std::vector<std::string>& changes() const { return result_.changes; }

 private:
  // Reads every byte, so that a sanitizer sees a view that leaves its memory.
  void touch(const WeightData& data) {
    for (int64_t i = 0; i < data.type.bytes(); ++i)
      seen_ = seen_ + static_cast<const uint8_t*>(data.data)[i];
  }

  void adapt() {
    const bool dit = seed_.name.find("dit") != std::string::npos;
    const Model& model = (dit ? shared.dit : shared.wan)->model();
    std::vector<std::string> names;
    for (const auto& [name, graph] : model.components)
      for (const ValueId id : graph.weights()) names.push_back(graph.value(id).name);
    std::sort(names.begin(), names.end());
    names.erase(std::unique(names.begin(), names.end()), names.end());
    auto lora = read_lora(files_.empty() ? in_ : in_ + "/" + files_.begin()->first, model.family,
                          names, *model.weights);
    if (failed(lora.status())) return;
    result_.reached = kConverted;
    auto adapted = AdaptedWeights::create(*model.weights, std::move(lora->updates), "r");
    if (failed(adapted.status())) return;
    for (const std::string& name : names) {
      const auto data = (*adapted)->load(name);
      if (failed(data.status())) return;
      touch(*data);
    }
    result_.reached = kPlanned;
  }

  std::string change() {
    auto item = files_.begin();
    std::advance(item, draw_.below(files_.size()));
    const std::string path = item->first;
    Bytes& bytes = item->second;
    const auto renamed = [&](const std::string& to) {
      Bytes moved = std::move(bytes);
      files_.erase(item);
      files_[to] = std::move(moved);
      return path + " is " + to;
    };
    if (files_.size() > 1 && draw_.one_in(20)) {
      files_.erase(item);
      return "without " + path;
    }
    if (draw_.one_in(30)) return renamed(path + ".x");
    if (draw_.one_in(30)) {  // what another seed has in its place
      const Seed& other = draw_.pick(shared.seeds);
      if (const auto theirs = other.files.find(path); theirs != other.files.end()) {
        bytes = theirs->second;
        return path + " of " + other.name;
      }
    }
    if (draw_.one_in(30) && !bytes.empty()) {
      change_bytes(draw_, &bytes);
      return "bytes of " + path;
    }
    if (path.ends_with(".safetensors") && draw_.coin()) return path + " " + zero_values(&bytes);
    if (path.ends_with(".json")) return path + " " + change_config(&bytes);
    if (path.ends_with(".safetensors")) return path + " " + change_safetensors(draw_, &bytes);
    if (path.ends_with(".gguf")) return path + " " + change_gguf(draw_, &bytes);
    if (path.ends_with(".pt") || path.ends_with(".pth"))
      return path + " " + change_torch(draw_, &bytes);
    if (!bytes.empty()) change_bytes(draw_, &bytes);
    return path;
  }

  // Other values that are numbers, so that what comes of them converts.
  std::string zero_values(Bytes* bytes) {
    uint64_t header = 0;
    for (size_t i = std::min<size_t>(8, bytes->size()); i-- > 0;)
      header = header << 8 | (*bytes)[i];
    if (header > bytes->size() || header + 16 > bytes->size()) return "";
    const size_t from = 8 + static_cast<size_t>(header);
    for (uint32_t i = draw_.below(40) + 1; i > 0 && from < bytes->size(); --i) {
      const size_t at = (from + draw_.below(static_cast<uint32_t>(bytes->size() - from))) / 8 * 8;
      for (size_t k = std::max(at, from); k < std::min(at + 8, bytes->size()); ++k) (*bytes)[k] = 0;
    }
    return "values";
  }

  std::string change_config(Bytes* bytes) {
    using Json = nlohmann::ordered_json;
    Json json = Json::parse(bytes->begin(), bytes->end(), nullptr, false);
    if (json.is_discarded()) return "";
    static const std::vector<std::string> kWords{"",
                                                 "silu",
                                                 "gelu",
                                                 "gelu-approximate",
                                                 "rms_norm",
                                                 "layer_norm",
                                                 "float16",
                                                 "epsilon",
                                                 "v_prediction",
                                                 "linear",
                                                 "bh1",
                                                 "flow_prediction",
                                                 "WanPipeline",
                                                 "DiTPipeline",
                                                 "trailing",
                                                 "diffusers"};
    const std::string what = change_json(draw_, &json, kWords);
    const std::string text = json.dump(1, ' ', false, Json::error_handler_t::replace);
    bytes->assign(text.begin(), text.end());
    return what;
  }

  bool failed(const Status& status) { return tell_failure(status, &result_); }

  Draw draw_;
  const std::string folder_;
  const Seed& seed_;
  std::string in_;
  Files files_;
  volatile uint64_t seen_ = 0;
  CaseResult result_;
};

CaseResult run(uint64_t number, const std::string& folder, bool tell) {
  return run_case<Case>(number, folder, tell, kHeap);
}

}  // namespace

constinit const CaseKind kCheckpointCases{"checkpoints", kReachedNames, 0.02, 200, prepare, run};

}  // namespace zoetrope
