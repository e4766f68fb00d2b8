#include "runtime/plan/session.h"

#include <algorithm>

namespace zoetrope {

Result<std::unique_ptr<Session>> Session::create(Plan plan, Device& device,
                                                 const WeightSource& weights,
                                                 const LoadProgress& progress) {
  std::unique_ptr<Session> session(new Session(std::move(plan), device));
  if (Status status = session->load(weights, progress); !status.ok())
    return status.with_context(str("loading ", session->plan_.component));
  return session;
}

Status Session::load(const WeightSource& weights, const LoadProgress& progress) {
  auto arena = device_.allocate(std::max<int64_t>(plan_.memory.arena_bytes, device_.alignment()));
  if (!arena.ok()) return arena.status().with_context("allocating the arena");
  arena_ = std::move(*arena);
  input_set_.assign(plan_.inputs.size(), false);
  ZT_RETURN_IF_ERROR(load_raw_weights(weights, progress));
  ZT_RETURN_IF_ERROR(create_kernels(weights, progress));
  resolve_views();
  return reset_states();
}

Status Session::report(int64_t done, const LoadProgress& progress) const {
  const int64_t total = plan_.memory.raw_weight_bytes + plan_.memory.packed_bytes;
  return !progress || progress(done, total) ? Status() : error(Code::kCancelled, "cancelled");
}

Status Session::load_raw_weights(const WeightSource& weights, const LoadProgress& progress) {
  int64_t done = 0;
  for (ValueId id : plan_.raw_weights) {
    ZT_RETURN_IF_ERROR(report(done, progress));
    const Value& value = plan_.graph.value(id);
    ZT_ASSIGN_OR_RETURN(WeightData data, weights.load(value.name));
    if (!(data.type == value.type))
      return error(Code::kInvalidArgument, "weight '", value.name, "' is ", data.type.to_string(),
                   "; the plan expects ", value.type.to_string());
    done += value.type.bytes();
    auto wrapped = device_.wrap_host(data.data, value.type.bytes());
    if (wrapped.ok()) {
      raw_weights_.push_back(std::move(*wrapped));
      weight_owners_.push_back(std::move(data.owner));
      continue;
    }
    auto buffer = device_.allocate(value.type.bytes());
    if (!buffer.ok()) return buffer.status().with_context(str("weight '", value.name, "'"));
    ZT_RETURN_IF_ERROR(device_.upload({buffer->get(), 0, value.type.bytes()}, data.data));
    raw_weights_.push_back(std::move(*buffer));
  }
  return Status();
}

Status Session::create_kernels(const WeightSource& weights, const LoadProgress& progress) {
  int64_t done = plan_.memory.raw_weight_bytes;
  labels_.reserve(plan_.calls.size());  // calls point into it
  for (const PlanCall& call : plan_.calls) {
    // Even where nothing is packed: a kernel may have to be compiled first.
    ZT_RETURN_IF_ERROR(report(done, progress));
    const Node& node = plan_.graph.nodes[static_cast<size_t>(call.node)];
    KernelRequest request;
    request.node = &node;
    std::vector<HostTensor> constants(node.inputs.size());
    std::vector<WeightData> held;
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const ValueId id = node.inputs[i];
      const bool is_weight = id != kNone && plan_.graph.value(id).kind == ValueKind::kWeight;
      request.inputs.push_back(id == kNone ? nullptr : &plan_.graph.value(id).type);
      request.is_weight.push_back(is_weight);
      if (!is_weight || (i < 32 && (call.kernel.raw_inputs >> i & 1))) continue;
      const Value& value = plan_.graph.value(id);
      ZT_ASSIGN_OR_RETURN(WeightData data, weights.load(value.name));
      if (!(data.type == value.type))
        return error(Code::kInvalidArgument, "weight '", value.name, "' is ", data.type.to_string(),
                     "; the plan expects ", value.type.to_string());
      constants[i] = {data.type, data.data};
      held.push_back(std::move(data));
    }
    for (ValueId id : node.outputs) request.outputs.push_back(&plan_.graph.value(id).type);
    auto kernel = device_.create_kernel(request, constants);
    labels_.push_back(describe(plan_.graph, node));
    if (!kernel.ok()) return kernel.status().with_context(labels_.back());
    kernels_.push_back(std::move(*kernel));
    done += call.kernel.packed_bytes;
  }
  return report(done, progress);
}

BufferView Session::view(const TensorRef& ref) const {
  switch (ref.space) {
    case Space::kNone: return {};
    case Space::kArena: return {arena_.get(), ref.offset, ref.bytes};
    case Space::kWeight:
      return {raw_weights_[static_cast<size_t>(ref.weight)].get(), ref.offset, ref.bytes};
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
    resolved.kernel = kernels_[p].get();
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
  if (bytes > 0) ZT_RETURN_IF_ERROR(device_.upload(view(binding->ref), data));
  input_set_[static_cast<size_t>(binding - plan_.inputs.data())] = true;
  dirty_ = std::min(dirty_, plan_.graph.value(binding->value).rate);
  return Status();
}

Status Session::run() {
  for (size_t i = 0; i < input_set_.size(); ++i) {
    const bool state =
        std::any_of(plan_.graph.states.begin(), plan_.graph.states.end(),
                    [&](const StatePair& pair) { return pair.state == plan_.inputs[i].value; });
    if (!input_set_[i] && !state)
      return error(Code::kInvalidArgument, "input '", plan_.inputs[i].name, "' of ",
                   plan_.component, " was never set");
  }
  ZT_RETURN_IF_ERROR(advance_states());
  for (auto rate = static_cast<size_t>(dirty_); rate < kRateCount; ++rate) {
    if (Status status = submit_phase(rate); !status.ok()) {
      (void)device_.wait();  // slower phases are under way: they must not outlive their sequences
      return status;
    }
  }
  ZT_RETURN_IF_ERROR(device_.wait());
  dirty_ = Rate::kStep;
  states_pending_ = true;
  return Status();
}

// Each phase is recorded once, when it first runs.
Status Session::submit_phase(size_t rate) {
  const size_t begin = phase_begin_[rate], end = phase_begin_[rate + 1];
  if (begin == end) return Status();
  if (phases_[rate] == nullptr) {
    ZT_ASSIGN_OR_RETURN(phases_[rate],
                        device_.record(std::span(calls_).subspan(begin, end - begin)));
  }
  return device_.submit(*phases_[rate]);
}

Status Session::advance_states() {
  if (states_pending_)
    for (const PlanState& pair : plan_.states)
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

Status Session::reset_states() {
  states_pending_ = false;
  for (const PlanState& pair : plan_.states) {
    const std::vector<char> zeros(static_cast<size_t>(pair.state.bytes), 0);
    ZT_RETURN_IF_ERROR(device_.upload(view(pair.state), zeros.data()));
  }
  return Status();
}

int64_t Session::resident_bytes() const {
  int64_t total = arena_->bytes();
  for (const auto& buffer : raw_weights_) total += buffer->bytes();
  for (const auto& kernel : kernels_) total += kernel->resident_bytes();
  return total;
}

void Session::enable_profile() {
  seconds_.assign(calls_.size(), 0.0);
  for (size_t i = 0; i < calls_.size(); ++i) calls_[i].seconds = &seconds_[i];
  for (auto& phase : phases_) phase.reset();  // recorded without it
}

}  // namespace zoetrope
