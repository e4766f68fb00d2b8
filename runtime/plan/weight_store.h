// The weights of a model on one device, each form once: shared by plans of every shape and by the
// sessions that run them.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "graph/weights.h"
#include "runtime/plan/plan.h"

namespace zoetrope {

// Not thread safe, like its device.
class WeightStore {
 public:
  // Both must outlive the store and whatever holds its weights.
  WeightStore(Device& device, const WeightSource& source) : device_(device), source_(&source) {}

  // Where weights come from from now on. What an adapter changed is another weight (see
  // WeightSource::revision); what it did not is found again.
  void set_source(const WeightSource& source) { source_ = &source; }
  const WeightSource& source() const { return *source_; }
  Device& device() const { return device_; }

  // The weight in the form that `plan` wants: found, or loaded and packed. Living as long as
  // somebody holds it or the store is not told to drop it.
  Result<std::shared_ptr<Buffer>> acquire(const Plan& plan, const PlanWeight& weight);

  // The same in pinned host memory, to be copied from; `scratch` on the device is at least as large
  // and holds nothing.
  Result<std::shared_ptr<Buffer>> acquire_copy(const Plan& plan, const PlanWeight& weight,
                                               Buffer* scratch);

  // Frees weights that nobody holds, those asked for longest ago first, until the device has
  // allocated at most `bytes`.
  void shrink(int64_t bytes);

  // Frees copies in host memory that nobody holds.
  void drop_copies();

  // What its weights take on the device, as allocated. Weights read where their file is mapped take
  // nothing.
  int64_t held_bytes() const;
  // Tensors loaded from the source so far: two requests for the same forms load once.
  int64_t loads() const { return loads_; }

 private:
  struct Entry {
    std::shared_ptr<Buffer> buffer;
    bool allocated = false;  // else it is the source's memory
    uint64_t last_asked = 0;
  };
  Result<Entry> load(const Plan& plan, const PlanWeight& weight);
  Result<Entry> load_copy(const Plan& plan, const PlanWeight& weight, Buffer* scratch);
  template <typename Load>
  Result<std::shared_ptr<Buffer>> find(std::map<std::string, Entry>* entries, const Plan& plan,
                                       const PlanWeight& weight, Load load);

  Device& device_;
  const WeightSource* source_;
  std::map<std::string, Entry> entries_;  // by tensor, revision and layout
  std::map<std::string, Entry> copies_;   // the same, in pinned host memory
  uint64_t asked_ = 0;
  int64_t loads_ = 0;
};

// Fills `to` with `data`, packed as `weight` says where it has a layout.
Status fill_weight(Device& device, const Plan& plan, const PlanWeight& weight,
                   const WeightData& data, BufferView to);

// The tensor of a plan's weight; an error where the source has it in another type.
Result<WeightData> load_weight(const WeightSource& source, const Plan& plan,
                               const PlanWeight& weight);

}  // namespace zoetrope
