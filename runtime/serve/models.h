// The models of a service, by name. All are mapped at the start; weights go onto devices when a job
// needs them, and leave them for another model's, longest unused first.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "runtime/cli/generate_flags.h"
#include "runtime/engine/preview.h"

namespace zoetrope {

class ModelPool {
 public:
  // `flags` say where they run; its model is the first where `paths` is empty. Two of one name are
  // an error. `budget`: bytes that all may hold on devices together; 0: only the one at work.
  static Result<std::unique_ptr<ModelPool>> open(const std::vector<std::string>& paths,
                                                 const GenerateFlags& flags, int64_t budget);
  // Where fits of previews are kept from start to start.
  void keep_previews(std::string folder) { preview_folder_ = std::move(folder); }

  // Empty: the first. kNotFound says which there are.
  Result<Engine*> find(const std::string& name) const;
  const std::vector<std::unique_ptr<Engine>>& engines() const { return engines_; }

  // Before `engine` runs what holds at most `bytes`: others let go of their weights, as far as the
  // budget asks for it. One job runs at a time: whoever is released is at work for nobody.
  void make_room(Engine& engine, int64_t bytes);
  int64_t held_bytes() const;

  // Of this model; fitted, or found impossible, when it is asked for the first time. Lives as long
  // as the pool.
  Result<const Preview*> preview(Engine& engine, const std::stop_token& stop);

 private:
  Result<Preview> make_preview(Engine& engine, const std::stop_token& stop) const;

  std::vector<std::unique_ptr<Engine>> engines_;
  std::mutex mutex_;
  std::vector<Engine*> used_;  // the latest last
  int64_t budget_ = 0;
  std::string preview_folder_;
  std::map<const Engine*, Result<Preview>> previews_;
};

}  // namespace zoetrope
