#include "runtime/serve/models.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "graph/format/output_file.h"

namespace zoetrope {

Result<std::unique_ptr<ModelPool>> ModelPool::open(const std::vector<std::string>& paths,
                                                   const GenerateFlags& flags, int64_t budget) {
  auto pool = std::make_unique<ModelPool>();
  pool->budget_ = budget;
  for (const std::string& path : paths.empty() ? std::vector<std::string>{flags.model} : paths) {
    GenerateFlags own = flags;
    own.model = path;
    ZT_ASSIGN_OR_RETURN(auto engine, own.open_engine(/*keep_sessions=*/true));
    const std::string& name = engine->model().name;
    for (const auto& other : pool->engines_)
      if (other->model().name == name)
        return error(Code::kInvalidArgument, "--model: ", other->model().path, " and ",
                     engine->model().path, " are both called '", name, "'");
    pool->engines_.push_back(std::move(engine));
  }
  return pool;
}

Result<Engine*> ModelPool::find(const std::string& name) const {
  if (name.empty()) return engines_.front().get();
  std::string all;
  for (const auto& engine : engines_) {
    if (engine->model().name == name) return engine.get();
    all += (all.empty() ? "'" : ", '") + engine->model().name + "'";
  }
  return error(Code::kNotFound, "'model': this service has ", all);
}

void ModelPool::make_room(Engine& engine, int64_t bytes) {
  const std::lock_guard lock(mutex_);
  std::erase(used_, &engine);
  const auto others = [&] {
    int64_t held = 0;
    for (const auto& other : engines_)
      if (other.get() != &engine) held += other->held_bytes();
    return held;
  };
  for (Engine* oldest : used_) {
    const int64_t held = others();
    if (held == 0 || (budget_ > 0 && held + bytes <= budget_)) break;
    oldest->release();
  }
  used_.push_back(&engine);
}

int64_t ModelPool::held_bytes() const {
  int64_t held = 0;
  for (const auto& engine : engines_) held += engine->held_bytes();
  return held;
}

Result<const Preview*> ModelPool::preview(Engine& engine, const std::stop_token& stop) {
  const std::lock_guard lock(mutex_);
  auto it = previews_.find(&engine);
  if (it == previews_.end()) {
    auto made = make_preview(engine, stop);
    if (made.status().code() == Code::kCancelled) return made.status();
    it = previews_.emplace(&engine, std::move(made)).first;
  }
  if (!it->second.ok()) return it->second.status();
  return &*it->second;
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
    std::filesystem::create_directories(preview_folder_, failed);
    (void)write_text(path, fitted.to_json() + "\n");
  }
  return fitted;
}

}  // namespace zoetrope
