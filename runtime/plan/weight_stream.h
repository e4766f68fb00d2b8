// Streamed weights at run time: the slots, the copies into them, and who waits for whom.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "runtime/plan/weight_store.h"

namespace zoetrope {

class WeightStream {
 public:
  // For a plan that streams. Packs what will be copied; the plan, the store and the store's source
  // must outlive it.
  // `progress` hears of each copy's bytes and may end it with an error.
  static Result<std::unique_ptr<WeightStream>> create(
      const Plan& plan, WeightStore& store, const std::function<Status(int64_t bytes)>& progress);
  // Copies may be under way.
  ~WeightStream();

  Buffer* slot(int32_t index) const { return slots_[static_cast<size_t>(index)].buffer.get(); }

  // What the slots take on the device.
  int64_t device_bytes() const;

  // Submits a group's calls (null: it has none), after its weights. `next`: the group after it,
  // whose weights are copied meanwhile, or -1.
  Status submit(int32_t group, Sequence* calls, int32_t next);

 private:
  struct Slot {
    std::unique_ptr<Buffer> buffer;
    // Its weights are there; the calls that read them are done.
    std::unique_ptr<Fence> filled, read;
    int32_t group = -1;  // whose weights it holds or is about to
  };

  WeightStream(const Plan& plan, WeightStore& store)
      : plan_(plan), device_(store.device()), source_(store.source()) {}
  const StreamGroup& at(int32_t group) const {
    return plan_.stream.groups[static_cast<size_t>(group)];
  }
  Status fill(int32_t group);
  Status pack_again(const StreamGroup& group, Buffer* slot);

  const Plan& plan_;
  Device& device_;
  const WeightSource& source_;
  std::vector<std::shared_ptr<Buffer>> copies_;  // by weight: pinned; null where it stays
  std::vector<Slot> slots_;
};

}  // namespace zoetrope
