#include "runtime/plan/planner.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <unordered_map>

#include "graph/passes/states.h"
#include "runtime/plan/arena.h"
#include "runtime/plan/estimate.h"
#include "runtime/plan/node_kernels.h"

namespace zoetrope {
namespace {

class Planner {
 public:
  Planner(Graph graph, Device& device, const Bindings& bindings, Device* host,
          const StaysEncoded& stays)
      : device_(device), host_(host), stays_(stays) {
    plan_.graph = std::move(graph);
    plan_.component = plan_.graph.name;
    plan_.device = str(device.info().backend, ": ", device.info().name);
    plan_.bindings = bindings;
  }

  Result<Plan> run() {
    ZT_CHECK(plan_.graph.bound);
    ZT_ASSIGN_OR_RETURN(kernels_, find_kernels(std::move(plan_.graph), device_, host_, stays_));
    plan_.graph = std::move(kernels_.graph);
    plan_.derived = std::move(kernels_.derived);
    plan_.distinct_kernels = kernels_.distinct;
    order_calls();
    compute_lifetimes();
    place();
    fill_refs();
    place_host_calls();
    ZT_RETURN_IF_ERROR(order_states());
    account();
    count_costs(&plan_);
    return std::move(plan_);
  }

 private:
  struct Use {
    int32_t first = INT32_MAX, last = -1;
    bool forever = false;
  };

  Rate node_rate(NodeId n) const {
    return plan_.graph.value(plan_.graph.nodes[static_cast<size_t>(n)].outputs[0]).rate;
  }

  void order_calls() {
    std::vector<NodeId> order(plan_.graph.nodes.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](NodeId a, NodeId b) { return node_rate(a) < node_rate(b); });
    for (NodeId n : order) {
      const Node& node = plan_.graph.nodes[static_cast<size_t>(n)];
      if (op_def(node.op).is_view) continue;
      PlanCall call;
      call.node = n;
      call.rate = node_rate(n);
      const NodeKernel& kernel = kernels_.nodes[static_cast<size_t>(n)];
      call.kernel = kernel.info;
      call.distinct = kernel.distinct;
      call.on_host = kernel.on_host;
      plan_.calls.push_back(std::move(call));
    }
    set_readers();
    // Views share their source's storage.
    root_.resize(plan_.graph.values.size());
    std::iota(root_.begin(), root_.end(), 0);
    for (const Node& node : plan_.graph.nodes)
      if (op_def(node.op).is_view)
        root_[static_cast<size_t>(node.outputs[0])] = root_[static_cast<size_t>(node.inputs[0])];
  }

  // Of calls that expand weights into layouts of those that read them.
  void set_readers() {
    if (kernels_.packed_outputs.empty()) return;
    std::map<NodeId, int32_t> calls;
    for (size_t p = 0; p < plan_.calls.size(); ++p)
      calls[plan_.calls[p].node] = static_cast<int32_t>(p);
    for (const auto& [value, output] : kernels_.packed_outputs) {
      PlanCall& call =
          plan_.calls[static_cast<size_t>(calls.at(plan_.graph.value(value).producer))];
      call.reader = calls.at(output.reader);
      call.reader_input = static_cast<int32_t>(output.packed.input);
    }
  }

  // What a value takes in the arena.
  int64_t bytes_of(ValueId id) const {
    const auto it = kernels_.packed_outputs.find(id);
    return it == kernels_.packed_outputs.end() ? plan_.graph.value(id).type.bytes()
                                               : it->second.packed.bytes;
  }

  ValueId root(ValueId id) const { return root_[static_cast<size_t>(id)]; }
  Use& use(ValueId id) { return uses_[static_cast<size_t>(root(id))]; }

  // Position p is call p.
  void compute_lifetimes() {
    uses_.assign(plan_.graph.values.size(), Use());
    const auto count = static_cast<int32_t>(plan_.calls.size());
    // Every input is uploaded before the first call of a run, which may be that of any phase: its
    // bytes, used or not, may not lie where a value of a slower phase is carried.
    int32_t step_begin = 0;
    while (step_begin + 1 < count &&
           plan_.calls[static_cast<size_t>(step_begin)].rate < Rate::kStep)
      ++step_begin;
    for (ValueId id : plan_.graph.inputs) {
      use(id).first = 0;
      use(id).last = std::max(use(id).last, step_begin);
      use(id).forever = plan_.graph.value(id).rate != Rate::kStep;
    }
    for (int32_t p = 0; p < count; ++p) {
      const PlanCall& call = plan_.calls[static_cast<size_t>(p)];
      const Node& node = plan_.graph.nodes[static_cast<size_t>(call.node)];
      for (ValueId id : node.outputs) {
        use(id).first = std::min(use(id).first, p);
        use(id).last = std::max(use(id).last, p);
      }
      for (ValueId id : node.inputs) {
        if (id == kNone) continue;
        use(id).last = std::max(use(id).last, p);
        // Later phases run many times after one run of this one.
        const ValueId r = root(id);
        if (plan_.graph.value(r).kind == ValueKind::kNode && plan_.graph.value(r).rate != call.rate)
          use(id).forever = true;
      }
    }
    for (const GraphOutput& out : plan_.graph.outputs) use(out.value).forever = true;
    for (const StatePair& pair : plan_.graph.states) {
      use(pair.state).forever = use(pair.next).forever = true;
      use(pair.state).first = 0;
    }
    for (Use& u : uses_)
      if (u.forever) u.last = std::max(count - 1, 0);
    find_states();
  }

  void find_states() {
    for (const StatePair& pair : plan_.graph.states) states_[root(pair.state)] = false;
    const auto read = [&](ValueId id) {
      if (id == kNone) return;
      if (const auto it = states_.find(root(id)); it != states_.end()) it->second = true;
    };
    for (const PlanCall& call : plan_.calls)
      for (ValueId id : plan_.graph.nodes[static_cast<size_t>(call.node)].inputs) read(id);
    for (const GraphOutput& out : plan_.graph.outputs) read(out.value);
    for (const StatePair& pair : plan_.graph.states) read(pair.next);
  }

  // An output may take over an input's storage when that input dies at this call.
  bool may_take_over(const Node& node, size_t input, int32_t call) const {
    const ValueId in = node.inputs[input];
    if (in == kNone) return false;
    const TensorType& type = plan_.graph.value(node.outputs[0]).type;
    const ValueId r = root(in);
    const Use& in_use = uses_[static_cast<size_t>(r)];
    if (is_constant(plan_.graph, r) || in_use.forever || in_use.last != call ||
        !(plan_.graph.value(in).type == type))
      return false;
    // Another input that reads the same bytes in another order would see them overwritten.
    return std::none_of(node.inputs.begin(), node.inputs.end(), [&](ValueId other) {
      return other != kNone && root(other) == r && !(plan_.graph.value(other).type == type);
    });
  }

  // Of several inputs, the one whose place was taken first: a residual stream stays where it is,
  // and what comes and goes beside it finds the same gaps again.
  void share_in_place() {
    slot_.assign(plan_.graph.values.size(), kNone);
    // Then nothing is copied, and a state takes its bytes once.
    for (const StatePair& pair : states_in_place(plan_.graph))
      slot_[static_cast<size_t>(root(pair.next))] = root(pair.state);
    for (int32_t p = 0; p < static_cast<int32_t>(plan_.calls.size()); ++p) {
      const Node& node =
          plan_.graph.nodes[static_cast<size_t>(plan_.calls[static_cast<size_t>(p)].node)];
      const OpDef& def = op_def(node.op);
      ValueId& slot = slot_[static_cast<size_t>(node.outputs[0])];
      if (def.inplace_inputs == 0 || slot != kNone) continue;
      for (size_t i = 0; i < node.inputs.size() && i < 32; ++i) {
        if (!(def.inplace_inputs >> i & 1) || !may_take_over(node, i, p)) continue;
        const ValueId place = slot_of(root(node.inputs[i]));
        if (slot == kNone ||
            uses_[static_cast<size_t>(place)].first < uses_[static_cast<size_t>(slot)].first)
          slot = place;
      }
    }
  }

  ValueId slot_of(ValueId r) const {
    const ValueId s = slot_[static_cast<size_t>(r)];
    return s == kNone ? r : s;
  }

  void place() {
    share_in_place();
    std::vector<ArenaBuffer> buffers;
    buffer_of_.assign(plan_.graph.values.size(), -1);
    const auto buffer_for = [&](ValueId slot, int64_t bytes, const Use& u) {
      int32_t& index = buffer_of_[static_cast<size_t>(slot)];
      if (index < 0) {
        index = static_cast<int32_t>(buffers.size());
        buffers.push_back({bytes, u.first, u.last, 0});
      }
      ArenaBuffer& b = buffers[static_cast<size_t>(index)];
      b.first = std::min(b.first, u.first);
      b.last = std::max(b.last, u.last);
    };
    for (size_t i = 0; i < plan_.graph.values.size(); ++i) {
      const auto id = static_cast<ValueId>(i);
      const Value& v = plan_.graph.value(id);
      if (v.kind == ValueKind::kWeight || root(id) != id || uses_[i].last < 0) continue;
      const ValueId slot = slot_of(id);
      if (uses_[i].forever && (slot == id || !states_.contains(slot)))
        plan_.memory.carried_bytes += v.type.bytes();
      if (!states_.contains(slot)) buffer_for(slot, bytes_of(id), uses_[i]);
    }
    workspace_first_ = buffers.size();
    for (size_t p = 0; p < plan_.calls.size(); ++p) {
      const auto at = static_cast<int32_t>(p);
      const PlanCall& call = plan_.calls[p];
      buffers.push_back({call.on_host ? 0 : call.kernel.workspace_bytes, at, at, 0});
    }
    const ArenaLayout layout = assign_offsets(buffers, device_.alignment());
    constexpr int64_t kSmall = 256 << 10;  // bytes: projections of an embedding, of a few rows
    constexpr int32_t kApart = 64;         // calls: several of them and their slices
    if (device_.info().side_by_side)
      spread_offsets(buffers, layout, device_.alignment(), kSmall, kApart);
    buffers_ = std::move(buffers);
    const int64_t below = place_states();
    plan_.memory.arena_bytes = below + layout.bytes;
    plan_.memory.lower_bound_bytes = below + layout.lower_bound;
  }

  // Below everything else, which is moved up by what they take: see PlanState.
  int64_t place_states() {
    std::vector<ValueId> states;
    for (const auto& [state, read] : states_) states.push_back(state);
    std::sort(states.begin(), states.end(), [&](ValueId a, ValueId b) {
      return plan_.graph.value(a).name < plan_.graph.value(b).name;
    });
    const int64_t step = device_.alignment();
    int64_t below = 0;
    std::vector<ArenaBuffer> placed;
    for (ValueId state : states) {
      const int64_t bytes = plan_.graph.value(state).type.bytes();
      const auto last = static_cast<int32_t>(std::max<size_t>(plan_.calls.size(), 1) - 1);
      buffer_of_[static_cast<size_t>(state)] =
          static_cast<int32_t>(buffers_.size() + placed.size());
      placed.push_back({bytes, 0, last, below});
      below += (bytes + step - 1) / step * step;
    }
    for (ArenaBuffer& b : buffers_) b.offset += below;
    buffers_.insert(buffers_.end(), placed.begin(), placed.end());
    return below;
  }

  TensorRef arena_ref(ValueId id) const {
    TensorRef ref;
    ref.space = Space::kArena;
    ref.offset =
        buffers_[static_cast<size_t>(buffer_of_[static_cast<size_t>(slot_of(root(id)))])].offset;
    ref.bytes = bytes_of(id);
    return ref;
  }

  // The form of a weight that `wanted` describes, new where no call asked for it before.
  int32_t weight_form(PlanWeight wanted) {
    const auto [it, fresh] =
        forms_.try_emplace(str(wanted.value, " ", wanted.on_host, " ", wanted.layout),
                           static_cast<int32_t>(plan_.weights.size()));
    if (fresh) plan_.weights.push_back(std::move(wanted));
    return it->second;
  }

  // As the model file has it. A view of a weight is read so too: its kernel was told that it is no
  // weight.
  TensorRef weight_ref(ValueId id, bool on_host = false) {
    const ValueId r = root(id);
    const int32_t form =
        weight_form({.value = r, .bytes = plan_.graph.value(r).type.bytes(), .on_host = on_host});
    return {Space::kWeight, 0, plan_.graph.value(id).type.bytes(), form};
  }

  void fill_refs() {
    for (size_t p = 0; p < plan_.calls.size(); ++p) {
      PlanCall& call = plan_.calls[p];
      const Node& node = plan_.graph.nodes[static_cast<size_t>(call.node)];
      for (size_t i = 0; i < node.inputs.size(); ++i) {
        const ValueId id = node.inputs[i];
        TensorRef ref;
        if (id == kNone) {
        } else if (plan_.graph.value(root(id)).kind != ValueKind::kWeight) {
          ref = arena_ref(id);
        } else if (const PackedInput* const packed = call.kernel.packed_input(i)) {
          ref = {Space::kWeight, 0, packed->bytes,
                 weight_form({.value = id,
                              .bytes = packed->bytes,
                              .layout = packed->layout,
                              .call = static_cast<int32_t>(p),
                              .input = static_cast<int32_t>(i),
                              .on_host = call.on_host})};
        } else {
          ref = weight_ref(id, call.on_host);
        }
        call.inputs.push_back(ref);
      }
      for (ValueId id : node.outputs) call.outputs.push_back(arena_ref(id));
      if (call.kernel.workspace_bytes > 0 && !call.on_host)
        call.workspace = {Space::kArena, buffers_[workspace_first_ + p].offset,
                          call.kernel.workspace_bytes, -1};
    }
    for (ValueId id : plan_.graph.inputs)
      plan_.inputs.push_back({plan_.graph.value(id).name, id, arena_ref(id)});
    for (const GraphOutput& out : plan_.graph.outputs) {
      const bool weight = plan_.graph.value(root(out.value)).kind == ValueKind::kWeight;
      plan_.outputs.push_back(
          {out.name, out.value, weight ? weight_ref(out.value) : arena_ref(out.value)});
    }
  }

  // Each call's operands lie side by side in the host's memory: calls there are few.
  void place_host_calls() {
    if (host_ == nullptr) return;
    const int64_t step = host_->alignment();
    for (PlanCall& call : plan_.calls) {
      if (!call.on_host) continue;
      plan_.host = str(host_->info().backend, ": ", host_->info().name);
      int64_t used = 0;
      const auto place = [&](int64_t bytes) {
        const TensorRef ref{Space::kHost, used, bytes, -1};
        used += (bytes + step - 1) / step * step;
        return ref;
      };
      for (TensorRef& ref : call.inputs) {
        if (ref.space != Space::kArena) continue;
        const TensorRef host = place(ref.bytes);
        call.fetched.push_back({ref, host});
        ref = host;
      }
      for (TensorRef& ref : call.outputs) {
        const TensorRef host = place(ref.bytes);
        call.given.push_back({ref, host});
        ref = host;
      }
      if (call.kernel.workspace_bytes > 0) call.workspace = place(call.kernel.workspace_bytes);
      plan_.memory.host_bytes = std::max(plan_.memory.host_bytes, used);
    }
  }

  // A state that is another's `next` (a shift register) is read before it is written.
  Status order_states() {
    std::vector<StatePair> left = plan_.graph.states;
    while (!left.empty()) {
      const auto ready = std::find_if(left.begin(), left.end(), [&](const StatePair& pair) {
        return std::none_of(left.begin(), left.end(), [&](const StatePair& other) {
          return &other != &pair && root(other.next) == root(pair.state);
        });
      });
      if (ready == left.end())
        return error(Code::kUnsupported, "states of '", plan_.component,
                     "' are exchanged in a circle, through '",
                     plan_.graph.value(left[0].state).name, "'");
      if (plan_.graph.value(root(ready->next)).kind == ValueKind::kWeight)
        return error(Code::kUnsupported, "state '", plan_.graph.value(ready->state).name, "' of '",
                     plan_.component, "' becomes a weight");
      plan_.states.push_back({arena_ref(ready->state), arena_ref(ready->next),
                              plan_.graph.value(ready->state).name,
                              states_.at(root(ready->state))});
      left.erase(ready);
    }
    return Status();
  }

  void account() {
    for (const PlanWeight& weight : plan_.weights) {
      PlanMemory& m = plan_.memory;
      if (weight.on_host) {
        (weight.layout.empty() ? m.mapped_bytes : m.host_bytes) += weight.bytes;
        continue;
      }
      (!is_allocated(plan_, weight, device_.info()) ? m.mapped_bytes
       : weight.layout.empty()                      ? m.raw_weight_bytes
                                                    : m.packed_bytes) += weight.bytes;
    }
    std::vector<int64_t> live(plan_.calls.size() + 1, 0);
    for (const ArenaBuffer& b : buffers_) {
      live[static_cast<size_t>(b.first)] += b.bytes;
      if (static_cast<size_t>(b.last) + 1 < live.size())
        live[static_cast<size_t>(b.last) + 1] -= b.bytes;
    }
    int64_t now = 0;
    for (size_t p = 0; p < plan_.calls.size(); ++p) {
      now += live[p];
      plan_.calls[p].live_bytes = now;
      const auto phase = static_cast<size_t>(plan_.calls[p].rate);
      plan_.memory.phase_peak_bytes[phase] = std::max(plan_.memory.phase_peak_bytes[phase], now);
    }
  }

  Device& device_;
  Device* const host_;  // null: everything must run on the device
  const StaysEncoded& stays_;
  NodeKernels kernels_;
  Plan plan_;
  std::vector<ValueId> root_;       // by value: the value whose storage it views
  std::vector<Use> uses_;           // by root
  std::vector<ValueId> slot_;       // by root: the root whose buffer it took over in place
  std::vector<int32_t> buffer_of_;  // by slot
  std::vector<ArenaBuffer> buffers_;
  std::map<ValueId, bool> states_;  // by root: whether anything reads it
  size_t workspace_first_ = 0;      // buffers_[workspace_first_ + p] is call p's workspace
  std::unordered_map<std::string, int32_t> forms_;
};

}  // namespace

Result<Plan> make_plan(Graph graph, Device& device, const Bindings& bindings, Device* host,
                       const StaysEncoded& stays) {
  return Planner(std::move(graph), device, bindings, host, stays).run();
}

}  // namespace zoetrope
