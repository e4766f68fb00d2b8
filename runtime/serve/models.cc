#include "runtime/serve/models.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "graph/format/output_file.h"
#include "graph/text.h"

namespace zoetrope {
namespace {

namespace fs = std::filesystem;

bool is_adapter_name(const std::string& name) {
  return !name.empty() && name.size() <= 128 &&
         name.find_first_not_of(
             "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") ==
             std::string::npos;
}

std::string list_of(const std::vector<std::string>& names) {
  std::string all;
  for (const std::string& name : names) all += str(all.empty() ? "'" : ", '", name, "'");
  return all;
}

// Name and file of each adapter in a folder.
Result<std::vector<std::pair<std::string, std::string>>> adapters_in(const std::string& folder) {
  std::vector<std::pair<std::string, std::string>> found;
  std::error_code failed;
  for (const auto& entry : fs::directory_iterator(folder, failed))
    if (entry.path().extension() == ".safetensors")
      found.emplace_back(entry.path().stem(), entry.path());
  if (failed)
    return error(Code::kIoError, "--adapter ", folder, ": cannot be read: ", failed.message());
  if (found.empty())
    return error(Code::kNotFound, "--adapter ", folder, ": this folder has no .safetensors files");
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace

bool ModelPool::FileState::operator==(const FileState& other) const {
  return device == other.device && number == other.number && size == other.size &&
         written.tv_sec == other.written.tv_sec && written.tv_nsec == other.written.tv_nsec;
}

Result<ModelPool::FileState> ModelPool::state_of(const std::string& path) {
  struct stat found {};
  if (::stat(path.c_str(), &found) != 0) return io_error(errno, "cannot look at", path);
  return FileState{found.st_dev, found.st_ino, found.st_size, found.st_mtim};
}

// Its state is looked at first: a file that changes while it is opened is opened again.
Status ModelPool::open_entry(Entry* entry) {
  GenerateFlags flags = entry->flags;
  FileState state;
  if (entry->engine != nullptr) {
    ZT_ASSIGN_OR_RETURN(state, state_of(entry->engine->model().path));
  }
  ZT_ASSIGN_OR_RETURN(std::shared_ptr<Engine> engine, flags.open_engine(/*keep_sessions=*/true));
  if (entry->engine == nullptr) {
    ZT_ASSIGN_OR_RETURN(state, state_of(engine->model().path));
    entry->name = engine->model().name;
  } else if (engine->model().name != entry->name) {
    return error(Code::kInvalidArgument, engine->model().path, " is called '", engine->model().name,
                 "' now, not '", entry->name, "'");
  }
  entry->engine = std::move(engine);
  entry->file = state;
  entry->stale = false;
  entry->preview = nullptr;
  return Status();
}

Result<std::unique_ptr<ModelPool>> ModelPool::open(const std::vector<std::string>& paths,
                                                   const GenerateFlags& flags, int64_t budget) {
  auto pool = std::make_unique<ModelPool>();
  pool->budget_ = budget;
  for (const std::string& path : paths.empty() ? std::vector<std::string>{flags.model} : paths) {
    auto entry = std::make_unique<Entry>();
    entry->flags = flags;
    entry->flags.model = path;
    ZT_RETURN_IF_ERROR(open_entry(entry.get()));
    if (const Entry* other = pool->entry_of(entry->name); other != nullptr)
      return error(Code::kInvalidArgument, "--model: ", other->engine->model().path, " and ",
                   entry->engine->model().path, " are both called '", entry->name, "'");
    pool->entries_.push_back(std::move(entry));
  }
  return pool;
}

const ModelPool::Entry* ModelPool::entry_of(const std::string& model) const {
  for (const auto& entry : entries_)
    if (entry->name == model) return entry.get();
  return nullptr;
}

ModelPool::Entry* ModelPool::entry_of(const Engine& engine) const {
  for (const auto& entry : entries_)
    if (entry->engine.get() == &engine) return entry.get();
  return nullptr;
}

Result<std::shared_ptr<Engine>> ModelPool::find(const std::string& name, FileState* file) {
  const std::lock_guard lock(mutex_);
  for (const auto& entry : entries_) {
    if (!name.empty() && entry->name != name) continue;
    const std::string& path = entry->engine->model().path;
    const auto state = state_of(path);  // one that is gone is read on
    const bool replaced = state.ok() && !(*state == entry->file);
    const Status opened = replaced || entry->stale ? open_entry(entry.get()) : Status();
    if (!opened.ok())
      return error(Code::kUnavailable, "the model '", entry->name, "' ",
                   replaced ? "was replaced by a file that" : "lost its device and",
                   " cannot be opened: ", opened.message());
    if (file != nullptr) *file = entry->file;
    return entry->engine;
  }
  std::vector<std::string> names;
  for (const auto& entry : entries_) names.push_back(entry->name);
  return error(Code::kNotFound, "'model': this service has ", list_of(names));
}

std::vector<std::shared_ptr<Engine>> ModelPool::engines() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<Engine>> all;
  for (const auto& entry : entries_) all.push_back(entry->engine);
  return all;
}

Status ModelPool::offer(const std::vector<std::string>& adapters) {
  std::map<std::string, std::vector<std::string>> by_name;
  for (const std::string& text : adapters) {
    std::error_code failed;
    if (fs::is_directory(text, failed)) {
      ZT_ASSIGN_OR_RETURN(const auto found, adapters_in(text));
      for (const auto& [name, file] : found) by_name[name].push_back(file);
      continue;
    }
    const size_t equals = text.find('=');
    if (equals == std::string::npos)
      return error(Code::kInvalidArgument, "--adapter ", text,
                   ": expected NAME=FILE, NAME=FILE:STRENGTH, or a folder that is there");
    by_name[text.substr(0, equals)].push_back(text.substr(equals + 1));
  }
  for (const auto& [name, files] : by_name)
    ZT_RETURN_IF_ERROR(offer_one(name, files).with_context(str("--adapter ", name)));
  return Status();
}

Status ModelPool::offer_one(const std::string& name, const std::vector<std::string>& files) {
  if (!is_adapter_name(name))
    return error(Code::kInvalidArgument,
                 "a name has letters, digits, '_', '.' and '-', at most 128 of them");
  LoraFlags lora;
  lora.files = files;
  Status last;
  bool fits = false;
  for (const auto& entry : entries_) {
    const Model& model = entry->engine->model();
    const std::vector<AdapterRecord> records = lora.read(model);
    last = open_adapters(model, records).status();
    if (!last.ok()) continue;
    entry->adapters.push_back({name, records});
    fits = true;
  }
  return fits ? Status() : last;
}

std::vector<ModelPool::Adapter> ModelPool::adapters_of(const std::string& model) const {
  const Entry* entry = entry_of(model);
  return entry != nullptr ? entry->adapters : std::vector<Adapter>();
}

Result<std::vector<AdapterRecord>> ModelPool::find_adapters(
    const std::string& model, const std::vector<ClientAdapter>& asked) const {
  std::vector<AdapterRecord> records;
  const std::vector<Adapter> offered = adapters_of(model);
  for (const ClientAdapter& ask : asked) {
    const auto found = std::find_if(offered.begin(), offered.end(),
                                    [&](const Adapter& a) { return a.name == ask.name; });
    if (found == offered.end()) {
      std::vector<std::string> names;
      for (const Adapter& adapter : offered) names.push_back(adapter.name);
      return error(Code::kNotFound, "'adapters': there is no '", ask.name, "' for '", model, "'; ",
                   names.empty() ? "this service offers none" : "there are ", list_of(names));
    }
    const size_t before = records.size();
    for (AdapterRecord record : found->files) {
      if (!ask.component.empty() && !record.component.empty() && record.component != ask.component)
        continue;
      if (!ask.component.empty()) record.component = ask.component;
      record.strength *= ask.strength;
      records.push_back(std::move(record));
    }
    if (records.size() == before)
      return error(Code::kNotFound, "'adapters': '", ask.name, "' has nothing for '", ask.component,
                   "'");
  }
  return records;
}

std::string ModelPool::without_folders(std::string text) const {
  std::vector<std::string> paths;
  for (const auto& engine : engines()) paths.push_back(engine->model().path);
  for (const auto& entry : entries_)
    for (const Adapter& adapter : entry->adapters)
      for (const AdapterRecord& record : adapter.files) paths.push_back(record.file.path);
  for (const std::string& path : paths) {
    const std::string name = fs::path(path).filename();
    if (name != path)
      for (size_t at = 0; (at = text.find(path, at)) != std::string::npos; at += name.size())
        text.replace(at, path.size(), name);
  }
  return text;
}

Status ModelPool::check_unchanged(const Engine& engine, const FileState& file) {
  const auto state = state_of(engine.model().path);
  if (!state.ok() || state->number != file.number || state->device != file.device || *state == file)
    return Status();
  return error(Code::kDataLoss,
               "the model's file was written over while this was made of it; "
               "ask again, and replace models by renaming a whole file");
}

void ModelPool::reopen(const Engine& engine) {
  const std::lock_guard lock(mutex_);
  if (Entry* entry = entry_of(engine); entry != nullptr) entry->stale = true;
}

void ModelPool::make_room(Engine& engine, int64_t bytes) {
  const std::lock_guard lock(mutex_);
  Entry* const own = entry_of(engine);
  std::erase(used_, own);
  const auto others = [&] {
    int64_t held = 0;
    for (const auto& entry : entries_)
      if (entry.get() != own) held += entry->engine->held_bytes();
    return held;
  };
  for (Entry* oldest : used_) {
    const int64_t held = others();
    if (held == 0 || (budget_ > 0 && held + bytes <= budget_)) break;
    oldest->engine->release();
  }
  if (own != nullptr) used_.push_back(own);
}

int64_t ModelPool::held_bytes() const {
  int64_t held = 0;
  for (const auto& engine : engines()) held += engine->held_bytes();
  return held;
}

Result<std::shared_ptr<const Preview>> ModelPool::preview(Engine& engine,
                                                          const std::stop_token& stop) {
  const std::lock_guard fit(fit_mutex_);
  std::shared_ptr<const Result<Preview>> made;
  {
    const std::lock_guard lock(mutex_);
    if (const Entry* entry = entry_of(engine); entry != nullptr) made = entry->preview;
  }
  if (made == nullptr) {
    auto fitted = make_preview(engine, stop);
    const Code code = fitted.status().code();
    if (code == Code::kCancelled || code == Code::kUnavailable) return fitted.status();
    made = std::make_shared<const Result<Preview>>(std::move(fitted));
    const std::lock_guard lock(mutex_);
    if (Entry* entry = entry_of(engine); entry != nullptr) entry->preview = made;
  }
  if (!made->ok()) return made->status();
  return std::shared_ptr<const Preview>(made, &**made);
}

Result<Preview> ModelPool::make_preview(Engine& engine, const std::stop_token& stop) const {
  const Model& model = engine.model();
  std::string name = model.digest;
  std::replace(name.begin(), name.end(), ':', '-');
  const std::string path =
      preview_folder_.empty() || name.empty() ? "" : preview_folder_ + "/" + name + ".json";
  if (std::ifstream file(path); file) {
    std::stringstream text;
    text << file.rdbuf();
    auto kept = Preview::from_json(model.recipe, text.str());
    if (kept.ok()) return kept;
  }
  ZT_ASSIGN_OR_RETURN(Preview fitted, Preview::fit(engine, stop));
  if (!path.empty()) {  // where it cannot be kept, the next start fits it again
    std::error_code failed;
    fs::create_directories(preview_folder_, failed);
    (void)write_text(path, fitted.to_json() + "\n");
  }
  return fitted;
}

}  // namespace zoetrope
