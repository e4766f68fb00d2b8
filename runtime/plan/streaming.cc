#include "runtime/plan/streaming.h"

#include <algorithm>

namespace zoetrope {
namespace {

constexpr int64_t kSmall = 64 << 10;                  // bytes: weights below stay
constexpr int64_t kLargestSlot = int64_t{256} << 20;  // larger ones hide no better
constexpr int64_t kSlotsWorth = 16;                   // a slot is about a 16th of what is streamed

int64_t align_up(int64_t bytes, int64_t to) { return (bytes + to - 1) / to * to; }

class Streamer {
 public:
  Streamer(Plan* plan, const Device& device, int64_t budget)
      : plan_(*plan),
        info_(device.info()),
        alignment_(device.alignment()),
        budget_(budget),
        // What the host packs again is there when its call begins: one slot is enough.
        slots_(info_.host_memory ? 1 : 2) {}

  void run() {
    collect();
    if (movable_.empty()) return;
    slot_bytes_ = std::max(
        most_a_call_, std::min({movable_bytes_ / kSlotsWorth, kLargestSlot, info_.piece_bytes}));
    if (slots_ * slot_bytes_ > room()) slot_bytes_ = most_a_call_;
    choose();
    make_groups();
    account();
  }

 private:
  bool counts(const PlanWeight& weight) const { return is_allocated(plan_, weight, info_); }

  // Fills users_, movable_ and most_a_call_.
  void collect() {
    users_.resize(plan_.weights.size());
    for (size_t p = 0; p < plan_.calls.size(); ++p)
      for (const TensorRef& ref : plan_.calls[p].inputs)
        if (ref.space == Space::kWeight) {
          auto& users = users_[static_cast<size_t>(ref.weight)];
          if (users.empty() || users.back() != static_cast<int32_t>(p))
            users.push_back(static_cast<int32_t>(p));
        }
    std::vector<bool> output(plan_.weights.size(), false);
    for (const PlanBinding& binding : plan_.outputs)
      if (binding.ref.space == Space::kWeight)
        output[static_cast<size_t>(binding.ref.weight)] = true;
    std::vector<int64_t> a_call(plan_.calls.size(), 0);
    for (size_t w = 0; w < plan_.weights.size(); ++w) {
      const PlanWeight& weight = plan_.weights[w];
      if (!counts(weight)) continue;
      const int64_t bytes = align_up(weight.bytes, alignment_);
      // What one call reads lies in one slot, which is one piece of memory.
      const bool fits = std::all_of(users_[w].begin(), users_[w].end(), [&](int32_t p) {
        return a_call[static_cast<size_t>(p)] + bytes <= info_.piece_bytes;
      });
      if (output[w] || users_[w].empty() || bytes < kSmall || !fits) {
        staying_bytes_ += weight.bytes;
        continue;
      }
      movable_.push_back(static_cast<int32_t>(w));
      movable_bytes_ += bytes;
      for (int32_t p : users_[w])
        most_a_call_ = std::max(most_a_call_, a_call[static_cast<size_t>(p)] += bytes);
    }
  }

  // For weights that move: resident ones and slots.
  int64_t room() const { return budget_ - plan_.memory.arena_bytes - staying_bytes_; }

  bool once_a_clip(int32_t w) const {
    return std::all_of(
        users_[static_cast<size_t>(w)].begin(), users_[static_cast<size_t>(w)].end(),
        [&](int32_t p) { return plan_.calls[static_cast<size_t>(p)].rate < Rate::kTimestep; });
  }

  // Sets streamed_.
  void choose() {
    streamed_.assign(plan_.weights.size(), false);
    std::vector<int32_t> stepwise;
    int64_t step_bytes = 0, left = room() - slots_ * slot_bytes_;
    for (int32_t w : movable_) {
      streamed_[static_cast<size_t>(w)] = true;
      if (once_a_clip(w)) continue;
      stepwise.push_back(w);
      step_bytes += bytes_of(w);
    }
    const auto keep = [&](int32_t w) {
      streamed_[static_cast<size_t>(w)] = false;
      left -= bytes_of(w);
    };
    // In the order of first use, resident bytes grow with all bytes.
    const double share = step_bytes > 0 ? static_cast<double>(std::max<int64_t>(left, 0)) /
                                              static_cast<double>(step_bytes)
                                        : 0;
    int64_t passed = 0, kept = 0;
    for (int32_t w : stepwise) {
      passed += bytes_of(w);
      if (kept + bytes_of(w) > static_cast<int64_t>(share * static_cast<double>(passed)) ||
          bytes_of(w) > left)
        continue;
      kept += bytes_of(w);
      keep(w);
    }
    for (const auto& list : {stepwise, movable_})  // what rounding left
      for (int32_t w : list)
        if (streamed_[static_cast<size_t>(w)] && bytes_of(w) <= left) keep(w);
  }

  int64_t bytes_of(int32_t w) const {
    return align_up(plan_.weights[static_cast<size_t>(w)].bytes, alignment_);
  }

  // Cuts each phase that streams into groups whose weights fit a slot. As many groups as make whole
  // turns of the slots, so that neighbours lie apart, across phases and from run to run too.
  void make_groups() {
    std::vector<StreamGroup>& groups = plan_.stream.groups;
    const auto count = static_cast<int32_t>(plan_.calls.size());
    for (int32_t begin = 0, end = 0; begin < count; begin = end) {
      const Rate rate = plan_.calls[static_cast<size_t>(begin)].rate;
      while (end < count && plan_.calls[static_cast<size_t>(end)].rate == rate) ++end;
      const size_t first = groups.size();
      for (int32_t p = begin; p < end; ++p) add_call(p, first);
      if (groups.size() == first) continue;
      groups[first].first_call = begin;
      groups.back().end_call = end;
      while ((groups.size() - first) % static_cast<size_t>(slots_) != 0)
        groups.push_back({.first_call = end, .end_call = end, .slot = next_slot(first)});
    }
  }

  int32_t next_slot(size_t first) const {
    return static_cast<int32_t>((plan_.stream.groups.size() - first) % static_cast<size_t>(slots_));
  }

  // `first`: the phase's first group.
  void add_call(int32_t p, size_t first) {
    std::vector<StreamGroup>& groups = plan_.stream.groups;
    std::vector<int32_t> wanted;
    for (const TensorRef& ref : plan_.calls[static_cast<size_t>(p)].inputs)
      if (ref.space == Space::kWeight && streamed_[static_cast<size_t>(ref.weight)] &&
          std::find(wanted.begin(), wanted.end(), ref.weight) == wanted.end())
        wanted.push_back(ref.weight);
    if (wanted.empty()) return;
    const auto holds = [](const StreamGroup& group, int32_t w) {
      return std::any_of(group.weights.begin(), group.weights.end(),
                         [w](const StreamedWeight& s) { return s.weight == w; });
    };
    int64_t fresh = 0;
    const bool open = groups.size() > first;
    for (int32_t w : wanted)
      if (!open || !holds(groups.back(), w)) fresh += bytes_of(w);
    if (!open || groups.back().bytes + fresh > slot_bytes_) {
      if (open) groups.back().end_call = p;
      groups.push_back({.first_call = p, .end_call = p, .slot = next_slot(first)});
    }
    StreamGroup& group = groups.back();
    for (int32_t w : wanted) {
      if (holds(group, w)) continue;
      group.weights.push_back({w, group.bytes});
      group.bytes += bytes_of(w);
    }
    for (TensorRef& ref : plan_.calls[static_cast<size_t>(p)].inputs) {
      if (ref.space != Space::kWeight || !streamed_[static_cast<size_t>(ref.weight)]) continue;
      for (const StreamedWeight& s : group.weights)
        if (s.weight == ref.weight)
          ref = {Space::kSlot, s.offset + ref.offset, ref.bytes, group.slot};
    }
  }

  void account() {
    StreamPlan& stream = plan_.stream;
    PlanMemory& memory = plan_.memory;
    for (size_t w = 0; w < plan_.weights.size(); ++w) {
      if (!streamed_[w]) continue;
      PlanWeight& weight = plan_.weights[w];
      weight.streamed = true;
      (weight.layout.empty() ? memory.raw_weight_bytes : memory.packed_bytes) -= weight.bytes;
      if (!info_.host_memory) stream.host_bytes += weight.bytes;
    }
    if (stream.groups.empty()) return;
    stream.slots = slots_;
    for (const StreamGroup& group : stream.groups) {
      stream.slot_bytes = std::max(stream.slot_bytes, group.bytes);
      if (group.first_call < group.end_call &&
          plan_.calls[static_cast<size_t>(group.first_call)].rate >= Rate::kTimestep)
        stream.step_bytes += group.bytes;
    }
    memory.slot_bytes = slots_ * stream.slot_bytes;
  }

  Plan& plan_;
  const DeviceInfo& info_;
  const int64_t alignment_, budget_;
  const int32_t slots_;
  std::vector<std::vector<int32_t>> users_;  // calls, by weight
  std::vector<int32_t> movable_;             // weights that may be streamed
  std::vector<bool> streamed_;               // by weight
  int64_t movable_bytes_ = 0, staying_bytes_ = 0, most_a_call_ = 0, slot_bytes_ = 0;
};

}  // namespace

void stream_weights(Plan* plan, const Device& device, int64_t budget) {
  // Calls on the host would break up the groups: such plans keep their weights.
  if (plan->host.empty() && plan->memory.total_bytes() > budget)
    Streamer(plan, device, budget).run();
}

}  // namespace zoetrope
