// The models of a service, by name, and the adapters that its operator offers. All are mapped at
// the start; weights go onto devices when a job needs them, and leave them for another model's,
// longest unused first. A file that was replaced, and a device that was lost, are opened anew.
#pragma once

#include <sys/types.h>

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "runtime/cli/generate_flags.h"
#include "runtime/engine/preview.h"
#include "runtime/serve/request.h"

namespace zoetrope {

class ModelPool {
 public:
  // `flags` say where they run; its model is the first where `paths` is empty. Two of one name are
  // an error. `budget`: bytes that all may hold on devices together; 0: only the one at work.
  static Result<std::unique_ptr<ModelPool>> open(const std::vector<std::string>& paths,
                                                 const GenerateFlags& flags, int64_t budget);
  // NAME=[COMPONENT=]FILE[:STRENGTH], several of one name being one adapter; or a folder, whose
  // .safetensors files are named after themselves. One that fits no model is an error.
  Status offer(const std::vector<std::string>& adapters);
  // Where fits of previews are kept from start to start.
  void keep_previews(std::string folder) { preview_folder_ = std::move(folder); }

  struct FileState {  // what tells files of one name apart
    dev_t device = 0;
    ino_t number = 0;
    off_t size = 0;
    timespec written{};
    bool operator==(const FileState& other) const;
  };

  // Empty: the first. kNotFound says which there are; kUnavailable where the file was replaced by
  // one that cannot be opened. `file`: what the engine was opened from.
  Result<std::shared_ptr<Engine>> find(const std::string& name, FileState* file = nullptr);
  std::vector<std::shared_ptr<Engine>> engines() const;

  struct Adapter {
    std::string name;
    std::vector<AdapterRecord> files;
  };
  // Those that fit the model.
  std::vector<Adapter> adapters_of(const std::string& model) const;
  // What a request of the model asks for, as files.
  Result<std::vector<AdapterRecord>> find_adapters(const std::string& model,
                                                   const std::vector<ClientAdapter>& asked) const;

  // A text for clients: of models' and adapters' files their names.
  std::string without_folders(std::string text) const;

  // Whether the engine's file is still what it was opened from: what was made of one that was
  // written over meanwhile is worth nothing. One that another took the place of is read on.
  static Status check_unchanged(const Engine& engine, const FileState& file);
  // After a device was lost: the next find() opens the model's devices anew.
  void reopen(const Engine& engine);

  // Before `engine` runs what holds at most `bytes`: others let go of their weights, as far as the
  // budget asks for it. One job runs at a time: whoever is released is at work for nobody.
  void make_room(Engine& engine, int64_t bytes);
  int64_t held_bytes() const;

  // Of this model; fitted, or found impossible, when it is asked for the first time. To be used as
  // long as the engine lives.
  Result<std::shared_ptr<const Preview>> preview(Engine& engine, const std::stop_token& stop);

 private:
  struct Entry {
    std::string name;
    GenerateFlags flags;
    std::shared_ptr<Engine> engine;
    FileState file;
    bool stale = false;  // its devices are lost
    std::vector<Adapter> adapters;
    std::shared_ptr<const Result<Preview>> preview;  // null: not tried yet
  };
  static Result<FileState> state_of(const std::string& path);
  static Status open_entry(Entry* entry);
  const Entry* entry_of(const std::string& model) const;
  Entry* entry_of(const Engine& engine) const;
  Status offer_one(const std::string& name, const std::vector<std::string>& files);
  Result<Preview> make_preview(Engine& engine, const std::stop_token& stop) const;

  std::vector<std::unique_ptr<Entry>> entries_;
  mutable std::mutex mutex_;  // of what changes in entries
  std::mutex fit_mutex_;      // one preview is fitted at a time
  std::vector<Entry*> used_;  // the latest last
  int64_t budget_ = 0;
  std::string preview_folder_;
};

}  // namespace zoetrope
