#include "runtime/plan/session.h"

#include <algorithm>

namespace zoetrope {

void foresee_kernels(const Plan& plan, Device& device) {
  std::vector<bool> told(static_cast<size_t>(plan.distinct_kernels), false);
  for (const PlanCall& call : plan.calls) {
    if (call.on_host || told[static_cast<size_t>(call.distinct)]) continue;
    told[static_cast<size_t>(call.distinct)] = true;
    device.foresee(kernel_request(plan, call));
  }
}

Result<std::unique_ptr<Session>> Session::create(Plan plan, WeightStore& weights,
                                                 const LoadProgress& progress, WeightStore* host,
                                                 const ArenaShare& share) {
  ZT_CHECK(plan.host.empty() || host != nullptr);
  std::unique_ptr<Session> session(new Session(std::move(plan), weights, host));
  if (Status status = session->load(progress, share); !status.ok())
    return status.with_context(str("loading ", session->plan_.component));
  return session;
}

Status Session::load(const LoadProgress& progress, const ArenaShare& share) {
  arena_ = share.buffer;
  if (arena_ == nullptr) {
    auto arena = device_.allocate(
        std::max({plan_.memory.arena_bytes, share.least_bytes, device_.alignment()}));
    if (!arena.ok()) return arena.status().with_context("allocating the arena");
    arena_ = std::move(*arena);
  }
  ZT_CHECK(arena_->bytes() >= plan_.memory.arena_bytes);
  if (!plan_.host.empty()) {
    int64_t bytes = 0;
    for (const PlanCall& call : plan_.calls) {
      for (const auto& refs : {call.inputs, call.outputs, {call.workspace}})
        for (const TensorRef& ref : refs)
          if (ref.space == Space::kHost) bytes = std::max(bytes, ref.offset + ref.bytes);
    }
    ZT_ASSIGN_OR_RETURN(host_arena_, host_->device().allocate(bytes));
    parts_.resize(plan_.calls.size());
  }
  input_set_.assign(plan_.inputs.size(), false);
  // First: what they compile may go on while weights are read.
  ZT_RETURN_IF_ERROR(create_kernels());
  ZT_RETURN_IF_ERROR(load_weights(progress));
  resolve_views();
  // Now, where a device has whole phases to itself, so that no step is slower than the others.
  if (plan_.host.empty() && plan_.stream.slots == 0)
    for (size_t rate = 0; rate < kRateCount; ++rate)
      if (phase_begin_[rate] < phase_begin_[rate + 1])
        ZT_RETURN_IF_ERROR(
            recorded(&phases_[rate], phase_begin_[rate], phase_begin_[rate + 1]).status());
  return Status();
}

Status Session::load_weights(const LoadProgress& progress) {
  int64_t done = 0, total = 0;
  for (const PlanWeight& weight : plan_.weights)
    if (!weight.streamed || !device_.info().host_memory) total += weight.bytes;
  const auto report = [&] {
    return !progress || progress(done, total) ? Status() : error(Code::kCancelled, "asked to stop");
  };
  for (const PlanWeight& weight : plan_.weights) {
    auto& buffer = weights_.emplace_back();
    if (weight.streamed) continue;
    ZT_RETURN_IF_ERROR(report());
    ZT_ASSIGN_OR_RETURN(buffer, (weight.on_host ? *host_ : store_).acquire(plan_, weight));
    done += weight.bytes;
  }
  ZT_RETURN_IF_ERROR(report());
  if (plan_.stream.slots == 0) return Status();
  groups_.resize(plan_.stream.groups.size());
  ZT_ASSIGN_OR_RETURN(stream_, WeightStream::create(plan_, store_, [&](int64_t bytes) {
                        done += bytes;
                        return report();
                      }));
  return Status();
}

Status Session::create_kernels() {
  kernels_.resize(static_cast<size_t>(plan_.distinct_kernels));
  labels_.reserve(plan_.calls.size());  // calls point into it
  for (const PlanCall& call : plan_.calls) {
    const Node& node = plan_.graph.nodes[static_cast<size_t>(call.node)];
    labels_.push_back(describe(plan_.graph, node));
    auto& kernel = kernels_[static_cast<size_t>(call.distinct)];
    if (kernel != nullptr) continue;
    Device& device = call.on_host ? host_->device() : device_;
    auto created = device.create_kernel(kernel_request(plan_, call));
    if (!created.ok()) return created.status().with_context(labels_.back());
    kernel = std::move(*created);
  }
  return Status();
}

BufferView Session::view(const TensorRef& ref) const {
  switch (ref.space) {
    case Space::kNone: return {};
    case Space::kArena: return {arena_.get(), ref.offset, ref.bytes};
    case Space::kWeight:
      return {weights_[static_cast<size_t>(ref.weight)].get(), ref.offset, ref.bytes};
    case Space::kHost: return {host_arena_.get(), ref.offset, ref.bytes};
    case Space::kSlot: return {stream_->slot(ref.weight), ref.offset, ref.bytes};
  }
  return {};
}

void Session::resolve_views() {
  size_t count = 0;
  for (const PlanCall& call : plan_.calls) count += call.inputs.size() + call.outputs.size();
  views_.reserve(count);  // KernelArgs point into it
  for (size_t p = 0; p < plan_.calls.size(); ++p) {
    const PlanCall& call = plan_.calls[p];
    KernelCall resolved;
    resolved.kernel = kernels_[static_cast<size_t>(call.distinct)].get();
    resolved.label = labels_[p].c_str();
    const size_t inputs = views_.size();
    for (const TensorRef& ref : call.inputs) views_.push_back(view(ref));
    const size_t outputs = views_.size();
    for (const TensorRef& ref : call.outputs) views_.push_back(view(ref));
    resolved.args.inputs = {views_.data() + inputs, call.inputs.size()};
    resolved.args.outputs = {views_.data() + outputs, call.outputs.size()};
    resolved.args.workspace = view(call.workspace);
    calls_.push_back(resolved);
  }
  for (size_t r = 0; r <= kRateCount; ++r)
    phase_begin_[r] =
        static_cast<size_t>(std::partition_point(plan_.calls.begin(), plan_.calls.end(),
                                                 [&](const PlanCall& call) {
                                                   return static_cast<size_t>(call.rate) < r;
                                                 }) -
                            plan_.calls.begin());
}

const PlanBinding* Session::find(const std::vector<PlanBinding>& list,
                                 std::string_view name) const {
  for (const PlanBinding& binding : list)
    if (binding.name == name) return &binding;
  return nullptr;
}

const TensorType* Session::input_type(std::string_view name) const {
  const PlanBinding* binding = find(plan_.inputs, name);
  return binding ? &plan_.graph.value(binding->value).type : nullptr;
}

const TensorType* Session::output_type(std::string_view name) const {
  const PlanBinding* binding = find(plan_.outputs, name);
  return binding ? &plan_.graph.value(binding->value).type : nullptr;
}

Status Session::set_input(std::string_view name, const void* data, int64_t bytes) {
  const PlanBinding* binding = find(plan_.inputs, name);
  if (binding == nullptr)
    return error(Code::kNotFound, "component ", plan_.component, " has no input '", name, "'");
  if (bytes != binding->ref.bytes)
    return error(Code::kInvalidArgument, "input '", name, "' of ", plan_.component, " takes ",
                 plan_.graph.value(binding->value).type.to_string(), ", ", binding->ref.bytes,
                 " bytes; got ", bytes);
  ZT_RETURN_IF_ERROR(advance_states());
  if (states_unset_ && is_state(binding->value)) ZT_RETURN_IF_ERROR(zero_states());
  if (bytes > 0) ZT_RETURN_IF_ERROR(device_.upload(view(binding->ref), data));
  input_set_[static_cast<size_t>(binding - plan_.inputs.data())] = true;
  dirty_ = std::min(dirty_, plan_.graph.value(binding->value).rate);
  return Status();
}

bool Session::is_state(ValueId input) const {
  return std::any_of(plan_.graph.states.begin(), plan_.graph.states.end(),
                     [&](const StatePair& pair) { return pair.state == input; });
}

Status Session::run() {
  for (size_t i = 0; i < input_set_.size(); ++i) {
    if (!input_set_[i] && !is_state(plan_.inputs[i].value))
      return error(Code::kInvalidArgument, "input '", plan_.inputs[i].name, "' of ",
                   plan_.component, " was never set");
  }
  ZT_RETURN_IF_ERROR(advance_states());
  if (states_unset_) ZT_RETURN_IF_ERROR(zero_states());
  const bool traced = trace_ != nullptr && trace_->begin_run(plan_);
  for (auto rate = static_cast<size_t>(dirty_); rate < kRateCount; ++rate) {
    if (Status status = traced ? run_traced(rate) : submit_phase(rate); !status.ok()) {
      (void)device_.wait();  // slower phases are under way: they must not outlive their sequences
      return status;
    }
  }
  ZT_RETURN_IF_ERROR(device_.wait());
  dirty_ = Rate::kStep;
  states_pending_ = true;
  return Status();
}

// Calls are recorded once.
Result<Sequence*> Session::recorded(std::unique_ptr<Sequence>* sequence, size_t begin, size_t end) {
  if (*sequence == nullptr) {
    ZT_ASSIGN_OR_RETURN(*sequence, device_.record(std::span(calls_).subspan(begin, end - begin)));
  }
  return sequence->get();
}

Status Session::submit_phase(size_t rate) {
  const size_t begin = phase_begin_[rate], end = phase_begin_[rate + 1];
  if (begin == end) return Status();
  if (!plan_.host.empty()) return run_with_host(rate);
  for (const StreamGroup& group : plan_.stream.groups)
    if (static_cast<size_t>(group.first_call) == begin && group.first_call < group.end_call)
      return submit_groups(rate);
  ZT_ASSIGN_OR_RETURN(Sequence* const calls, recorded(&phases_[rate], begin, end));
  return device_.submit(*calls);
}

Status Session::run_with_host(size_t rate) {
  const size_t end = phase_begin_[rate + 1];
  for (size_t begin = phase_begin_[rate], next = begin; begin < end; begin = next) {
    next = begin + 1;
    if (plan_.calls[begin].on_host) {
      ZT_RETURN_IF_ERROR(run_on_host(begin));
      continue;
    }
    while (next < end && !plan_.calls[next].on_host) ++next;
    ZT_ASSIGN_OR_RETURN(Sequence* const calls, recorded(&parts_[begin], begin, next));
    ZT_RETURN_IF_ERROR(device_.submit(*calls));
  }
  return Status();
}

Status Session::run_traced(size_t rate) {
  for (size_t call = phase_begin_[rate]; call < phase_begin_[rate + 1]; ++call) {
    ZT_RETURN_IF_ERROR(fill_group_of(call));
    ZT_RETURN_IF_ERROR(trace_call(call));
  }
  return Status();
}

// What the call's group streams is in its slot afterwards, and the next group's on its way, as in
// runs without a trace.
Status Session::fill_group_of(size_t call) {
  const auto at = static_cast<int32_t>(call);
  const std::vector<StreamGroup>& groups = plan_.stream.groups;
  for (size_t g = 0; g < groups.size(); ++g) {
    if (at < groups[g].first_call || at >= groups[g].end_call) continue;
    if (at != groups[g].first_call) return Status();
    const int32_t next = g + 1 < groups.size() ? static_cast<int32_t>(g + 1) : -1;
    ZT_RETURN_IF_ERROR(stream_->submit(static_cast<int32_t>(g), nullptr, next));
    return device_.wait();
  }
  return Status();
}

Status Session::trace_call(size_t index) {
  const PlanCall& planned = plan_.calls[index];
  Device& device = planned.on_host ? host_->device() : device_;
  auto* const memory =
      planned.on_host ? static_cast<char*>(host_arena_->host_data()) : static_cast<char*>(nullptr);
  for (const HostCopy& copy : planned.fetched)
    if (copy.host.bytes > 0)
      ZT_RETURN_IF_ERROR(device_.download(memory + copy.host.offset, view(copy.device)));
  const TracedCall traced{plan_, index, device, calls_[index], [&](size_t input) {
                            const TensorRef& ref = planned.inputs[input];
                            if (ref.space == Space::kWeight) return ref.weight;
                            if (ref.space != Space::kSlot) return int32_t{-1};
                            return streamed_weight(index, ref);
                          }};
  ZT_RETURN_IF_ERROR(
      trace_->call(traced, [&] { return run_once(device, std::span(&calls_[index], 1)); }));
  for (const HostCopy& copy : planned.given)
    if (copy.host.bytes > 0)
      ZT_RETURN_IF_ERROR(device_.upload(view(copy.device), memory + copy.host.offset));
  return Status();
}

// The weight at a place of the slot that the call's group has.
int32_t Session::streamed_weight(size_t call, const TensorRef& ref) const {
  for (const StreamGroup& group : plan_.stream.groups)
    if (static_cast<int32_t>(call) >= group.first_call &&
        static_cast<int32_t>(call) < group.end_call)
      for (const StreamedWeight& streamed : group.weights)
        if (streamed.offset == ref.offset) return streamed.weight;
  return -1;
}

// Waits for what the call reads, and ends when what it gives is on its way back.
Status Session::run_on_host(size_t call) {
  Device& host = host_->device();
  auto* const memory = static_cast<char*>(host_arena_->host_data());
  ZT_RETURN_IF_ERROR(device_.wait());
  for (const HostCopy& copy : plan_.calls[call].fetched)
    if (copy.host.bytes > 0)
      ZT_RETURN_IF_ERROR(device_.download(memory + copy.host.offset, view(copy.device)));
  if (parts_[call] == nullptr) {
    ZT_ASSIGN_OR_RETURN(parts_[call], host.record(std::span(calls_).subspan(call, 1)));
  }
  ZT_RETURN_IF_ERROR(host.submit(*parts_[call]));
  ZT_RETURN_IF_ERROR(host.wait());
  for (const HostCopy& copy : plan_.calls[call].given)
    if (copy.host.bytes > 0)
      ZT_RETURN_IF_ERROR(device_.upload(view(copy.device), memory + copy.host.offset));
  return Status();
}

Status Session::submit_groups(size_t rate) {
  const std::vector<StreamGroup>& groups = plan_.stream.groups;
  const auto begin = static_cast<int32_t>(phase_begin_[rate]);
  const auto end = static_cast<int32_t>(phase_begin_[rate + 1]);
  // Those of a phase are neighbours; the ones without calls stand at its end.
  const auto first = std::find_if(groups.begin(), groups.end(), [&](const StreamGroup& group) {
    return group.first_call == begin && group.first_call < group.end_call;
  });
  const auto after = std::find_if(first, groups.end(), [&](const StreamGroup& group) {
    return group.end_call > end || (group.first_call == end && group.first_call < group.end_call);
  });
  // After the last phase comes, most likely, the next step.
  const auto step = std::find_if(groups.begin(), groups.end(), [&](const StreamGroup& group) {
    return group.first_call < group.end_call &&
           plan_.calls[static_cast<size_t>(group.first_call)].rate >= Rate::kTimestep;
  });
  for (auto group = first; group != after; ++group) {
    const auto index = static_cast<size_t>(group - groups.begin());
    Sequence* calls = nullptr;
    if (group->first_call < group->end_call) {
      ZT_ASSIGN_OR_RETURN(calls, recorded(&groups_[index], static_cast<size_t>(group->first_call),
                                          static_cast<size_t>(group->end_call)));
    }
    const auto next = group + 1 != groups.end() ? group + 1 : step;
    ZT_RETURN_IF_ERROR(
        stream_->submit(static_cast<int32_t>(index), calls,
                        next == groups.end() ? -1 : static_cast<int32_t>(next - groups.begin())));
  }
  return Status();
}

Status Session::advance_states() {
  if (states_pending_)
    for (const PlanState& pair : plan_.states)
      if (pair.next.offset != pair.state.offset)
        ZT_RETURN_IF_ERROR(device_.copy(view(pair.state), view(pair.next)));
  states_pending_ = false;
  return Status();
}

Status Session::get_output(std::string_view name, void* data, int64_t bytes) {
  const PlanBinding* binding = find(plan_.outputs, name);
  if (binding == nullptr)
    return error(Code::kNotFound, "component ", plan_.component, " has no output '", name, "'");
  if (bytes != binding->ref.bytes)
    return error(Code::kInvalidArgument, "output '", name, "' of ", plan_.component, " is ",
                 binding->ref.bytes, " bytes; the caller expects ", bytes);
  return bytes > 0 ? device_.download(data, view(binding->ref)) : Status();
}

void Session::begin_turn() {
  states_pending_ = false;
  if (arena_.use_count() == 1) return;
  // The others wrote over inputs and over what slower phases carry.
  std::fill(input_set_.begin(), input_set_.end(), false);
  dirty_ = Rate::kWeights;
}

void Session::reset_states() {
  begin_turn();
  states_unset_ = true;
}

Status Session::zero_states() {
  constexpr int64_t kPiece = 4 << 20;  // bytes
  int64_t most = 0;
  for (const PlanState& pair : plan_.states)
    if (pair.read) most = std::max(most, view(pair.state).bytes);
  const std::vector<char> zeros(static_cast<size_t>(std::min(kPiece, most)), 0);
  for (const PlanState& pair : plan_.states) {
    const BufferView all = view(pair.state);
    for (int64_t done = 0; pair.read && done < all.bytes; done += kPiece)
      ZT_RETURN_IF_ERROR(device_.upload(
          {all.buffer, all.offset + done, std::min(kPiece, all.bytes - done)}, zeros.data()));
  }
  states_unset_ = false;
  return Status();
}

Result<StateBytes> Session::get_states() {
  ZT_CHECK(!states_unset_);
  ZT_RETURN_IF_ERROR(advance_states());
  StateBytes states;
  for (const PlanState& pair : plan_.states) {
    std::vector<uint8_t>& bytes = states[pair.name];
    bytes.resize(static_cast<size_t>(pair.state.bytes));
    if (!bytes.empty()) ZT_RETURN_IF_ERROR(device_.download(bytes.data(), view(pair.state)));
  }
  return states;
}

Status Session::set_states(const StateBytes& states) {
  begin_turn();
  for (const PlanState& pair : plan_.states) {
    const auto it = states.find(pair.name);
    if (it == states.end() || static_cast<int64_t>(it->second.size()) != pair.state.bytes)
      return error(Code::kInvalidArgument, "state '", pair.name, "' of ", plan_.component,
                   " takes ", pair.state.bytes, " bytes; got ",
                   it == states.end() ? std::string("none") : str(it->second.size()));
    if (pair.state.bytes > 0)
      ZT_RETURN_IF_ERROR(device_.upload(view(pair.state), it->second.data()));
  }
  states_unset_ = false;
  return Status();
}

Status Session::take_states(Session& from) {
  ZT_CHECK(arena_ == from.arena_ && plan_.states.size() == from.plan_.states.size());
  ZT_CHECK(!from.states_unset_);
  ZT_RETURN_IF_ERROR(from.advance_states());
  ZT_RETURN_IF_ERROR(device_.wait());
  from.reset_states();
  begin_turn();
  states_unset_ = false;
  return Status();
}

int64_t Session::own_bytes() const {
  return arena_->bytes() + (stream_ ? stream_->device_bytes() : 0);
}

void Session::enable_profile() {
  seconds_.assign(calls_.size(), 0.0);
  for (size_t i = 0; i < calls_.size(); ++i) calls_[i].seconds = &seconds_[i];
  for (auto& phase : phases_) phase.reset();  // recorded without it
  for (auto& group : groups_) group.reset();
  for (auto& part : parts_) part.reset();
}

}  // namespace zoetrope
