#include "runtime/verify/node_trace.h"

#include <algorithm>
#include <cstring>

#include "graph/format/hash.h"
#include "graph/weights.h"
#include "runtime/plan/weight_store.h"
#include "runtime/verify/peer.h"

namespace zoetrope {
namespace {

using Bytes = std::vector<uint8_t>;

bool overlap(const BufferView& a, const BufferView& b) {
  return a.buffer == b.buffer && a.buffer != nullptr && a.offset < b.offset + b.bytes &&
         b.offset < a.offset + a.bytes;
}

Result<Bytes> read(Device& device, const BufferView& view) {
  Bytes bytes(static_cast<size_t>(view.bytes));
  if (!bytes.empty()) ZT_RETURN_IF_ERROR(device.download(bytes.data(), view));
  return bytes;
}

Status write(Device& device, const BufferView& view, const Bytes& bytes) {
  return bytes.empty() ? Status() : device.upload(view, bytes.data());
}

Status fill(Device& device, const BufferView& view, uint8_t byte) {
  return view.buffer == nullptr || view.bytes == 0
             ? Status()
             : write(device, view, Bytes(static_cast<size_t>(view.bytes), byte));
}

std::string digest_of(const Bytes& bytes) { return digest_text(hash_bytes(bytes)); }

// Through views (reshape) to the value whose bytes it has.
ValueId root_of(const Graph& graph, ValueId id) {
  for (;;) {
    const Value& value = graph.value(id);
    if (value.producer == kNone) return id;
    const Node& node = graph.nodes[static_cast<size_t>(value.producer)];
    if (!op_def(node.op).is_view) return id;
    id = node.inputs[0];
  }
}

// Elements whose bytes differ, for people.
std::string difference_text(const TensorType& type, const Bytes& a, const Bytes& b) {
  const auto size = static_cast<size_t>(dtype_size(type.dtype));
  int64_t count = 0, first = -1;
  for (size_t at = 0; at + size <= a.size(); at += size) {
    if (std::memcmp(&a[at], &b[at], size) == 0) continue;
    if (first < 0) first = static_cast<int64_t>(at / size);
    ++count;
  }
  if (first < 0) return "no element differs";
  return str(count, " of ", type.shape.elements(), " elements of ", type.to_string(),
             ", the first at ", first, ": ", exact(load_element(type.dtype, a.data(), first)),
             " and then ", exact(load_element(type.dtype, b.data(), first)));
}

// The same of a packed weight, which has padding and an order of its own.
std::string difference_text(const PackedInput& packed, const Bytes& a, const Bytes& b) {
  int64_t count = 0, first = -1;
  for (size_t at = 0; at < a.size(); ++at) {
    if (a[at] == b[at]) continue;
    if (first < 0) first = static_cast<int64_t>(at);
    ++count;
  }
  return str(count, " of ", a.size(), " bytes packed as ", packed.layout, ", the first at ", first);
}

}  // namespace

struct NodeTrace::Call {
  const TracedCall& traced;
  TracedNode record;
  const PlanCall& planned;
  const Node& node;
  std::vector<Bytes> inputs, outputs;  // inputs: as they were before; empty where it is a weight
  std::vector<WeightData> weights;     // by input
  std::vector<bool> is_weight;

  explicit Call(const TracedCall& t)
      : traced(t),
        planned(t.plan.calls[t.index]),
        node(t.plan.graph.nodes[static_cast<size_t>(planned.node)]),
        inputs(node.inputs.size()),
        weights(node.inputs.size()),
        is_weight(node.inputs.size(), false) {}

  const Value& value(size_t input) const { return traced.plan.graph.value(node.inputs[input]); }
  // It expands a weight into a layout of the call that reads it.
  bool packs() const { return planned.reader >= 0; }
  const PackedInput& packed() const {
    return *traced.plan.calls[static_cast<size_t>(planned.reader)].kernel.packed_input(
        static_cast<size_t>(planned.reader_input));
  }
  const BufferView& view(size_t input) const { return traced.call.args.inputs[input]; }
};

void NodeTrace::add(Call* c, FindingKind kind, std::string text) {
  c->record.findings.push_back({kind, job_, c->record.node, c->record.kernel, std::move(text)});
}

// Of calls of one kernel the first, the last and some evenly between.
void NodeTrace::choose_calls(const Plan& plan) {
  std::map<int32_t, std::vector<size_t>> by_kernel;
  for (size_t i = 0; i < plan.calls.size(); ++i) by_kernel[plan.calls[i].distinct].push_back(i);
  chosen_.clear();
  for (const auto& [kernel, calls] : by_kernel) {
    const auto all = static_cast<int64_t>(calls.size());
    const int64_t count = options_.calls <= 0 ? all : std::min(options_.calls, all);
    for (int64_t i = 0; i < count; ++i)
      chosen_.insert(calls[static_cast<size_t>(count == 1 ? 0 : i * (all - 1) / (count - 1))]);
  }
}

bool NodeTrace::begin_run(const Plan& plan) {
  if (runs_ == 0) choose_calls(plan);
  const int64_t run = runs_++;
  written_.clear();
  writer_.clear();
  weights_seen_.clear();
  return run == 0 || (options_.last_run > 0 && run == options_.last_run);
}

Status NodeTrace::call(const TracedCall& traced, const std::function<Status()>& run) {
  Call c(traced);
  c.record.run = runs_ - 1;
  c.record.call = traced.index;
  c.record.name = c.node.name;
  c.record.op = op_def(c.node.op).name;
  c.record.node = describe(traced.plan.graph, c.node);
  c.record.kernel = c.planned.kernel.name;
  c.record.rate = c.planned.rate;
  c.record.judged = chosen_.contains(traced.index);
  const Graph& graph = traced.plan.graph;
  c.record.dtype = graph.value(c.node.outputs[0]).type.dtype;
  ZT_RETURN_IF_ERROR(read_inputs(&c));
  if (c.record.judged) ZT_RETURN_IF_ERROR(check_weights(&c));
  if (Status status = run_again(&c, run); !status.ok())
    return status.with_context(str(job_, ", ", c.record.kernel));
  for (size_t k = 0; k < c.node.outputs.size() && !c.packs(); ++k) {
    const Value& value = graph.value(c.node.outputs[k]);
    c.record.values.emplace_back(
        value.name, make_sketch(value.type, c.outputs[k].data(), options_.sketch_samples));
    written_[c.node.outputs[k]] = c.record.values.back().second.digest;
    writer_[c.node.outputs[k]] = traced.index;
  }
  if (c.record.judged) ZT_RETURN_IF_ERROR(c.packs() ? judge_packing(&c) : judge(&c));
  nodes_.push_back(std::move(c.record));
  return Status();
}

// What the call will read; values of this run must be what their calls gave.
Status NodeTrace::read_inputs(Call* c) {
  const Graph& graph = c->traced.plan.graph;
  for (size_t i = 0; i < c->node.inputs.size(); ++i) {
    if (c->node.inputs[i] == kNone) continue;
    if (is_constant(graph, c->node.inputs[i])) {
      c->is_weight[i] = true;
      if (!c->record.judged) continue;
      const ValueId id = c->node.inputs[i];
      const NodeId maker = c->value(i).producer;
      ZT_ASSIGN_OR_RETURN(
          c->weights[i],
          maker == kNone
              ? load_weight(weights_, c->traced.plan, PlanWeight{.value = id})
              : load_derived(weights_,
                             derived_weight(graph, graph.nodes[static_cast<size_t>(maker)])));
      continue;
    }
    ZT_ASSIGN_OR_RETURN(c->inputs[i], read(c->traced.device, c->view(i)));
    // Of the graph's inputs, what the first reader found.
    const auto [made, first] =
        written_.try_emplace(root_of(graph, c->node.inputs[i]), digest_of(c->inputs[i]));
    if (first || made->second == digest_of(c->inputs[i])) continue;
    const auto writer = writer_.find(made->first);
    std::string source = "it was when it was read before";
    if (writer != writer_.end()) {
      const PlanCall& call = c->traced.plan.calls[writer->second];
      source = str(describe(graph, graph.nodes[static_cast<size_t>(call.node)]), " (",
                   call.kernel.name, ") gave");
    }
    add(c, FindingKind::kOverwritten,
        str("input ", i, ", '", c->value(i).name, "', is not what ", source,
            ": something wrote over it in between"));
    made->second = digest_of(c->inputs[i]);
  }
  return Status();
}

Status NodeTrace::check_weights(Call* c) {
  for (size_t i = 0; i < c->node.inputs.size(); ++i) {
    if (!c->is_weight[i]) continue;
    const int32_t weight = c->traced.weight(i);
    if (weight >= 0 && weights_seen_.insert(weight).second)
      ZT_RETURN_IF_ERROR(check_weight(c, i, weight));
  }
  return Status();
}

// Packs the tensor anew, twice over different garbage: where both agree, the device must have the
// same. What padding holds is nobody's concern.
Status NodeTrace::check_weight(Call* c, size_t input, int32_t index) {
  Device& device = c->traced.device;
  const PlanWeight& weight = c->traced.plan.weights[static_cast<size_t>(index)];
  const WeightData& data = c->weights[input];
  const BufferView& view = c->view(input);
  if (view.buffer->host_data() != nullptr && weight.layout.empty() &&
      static_cast<const char*>(view.buffer->host_data()) + view.offset == data.data)
    return Status();  // the file's own bytes
  ZT_ASSIGN_OR_RETURN(const Bytes held, read(device, view));
  return compare_packed(c, weight, data, held);
}

Status NodeTrace::compare_packed(Call* c, const PlanWeight& weight, const WeightData& data,
                                 const Bytes& held) {
  Device& device = c->traced.device;
  ZT_ASSIGN_OR_RETURN(const auto scratch, device.allocate(weight.bytes));
  std::vector<Bytes> packed;
  for (const uint8_t garbage : {uint8_t{0x00}, uint8_t{0xff}}) {
    const BufferView to{scratch.get(), 0, weight.bytes};
    ZT_RETURN_IF_ERROR(fill(device, to, garbage));
    ZT_RETURN_IF_ERROR(fill_weight(device, c->traced.plan, weight, data, to));
    ZT_ASSIGN_OR_RETURN(packed.emplace_back(), read(device, to));
  }
  int64_t off = 0, first = -1;
  for (size_t b = 0; b < packed[0].size() && b < held.size(); ++b) {
    if (packed[0][b] != packed[1][b] || packed[0][b] == held[b]) continue;
    if (first < 0) first = static_cast<int64_t>(b);
    ++off;
  }
  if (first < 0) return Status();
  add(c, FindingKind::kWeightDiffers,
      str("weight '", c->traced.plan.graph.value(weight.value).name, "', ", data.type.to_string(),
          ", ",
          c->packs()        ? "expanded before its call"
          : weight.streamed ? "streamed through a slot"
                            : "resident",
          weight.layout.empty() ? std::string() : str(", packed as ", weight.layout), ": ", off,
          " of ", weight.bytes,
          " bytes on the device are not what the model file gives, the first at ", first));
  return Status();
}

// What the call expanded must be what packing the weight gives.
Status NodeTrace::judge_packing(Call* c) {
  const PlanCall& planned = c->planned;
  const PackedInput& packed = c->packed();
  const PlanWeight weight{.value = c->node.outputs[0],
                          .bytes = packed.bytes,
                          .layout = packed.layout,
                          .call = planned.reader,
                          .input = planned.reader_input};
  ZT_ASSIGN_OR_RETURN(const WeightData data,
                      load_derived(weights_, derived_weight(c->traced.plan.graph, c->node)));
  return compare_packed(c, weight, data, c->outputs[0]);
}

// Three runs: twice over one garbage, then over another. Inputs that the call writes over are put
// back in between.
Status NodeTrace::run_again(Call* c, const std::function<Status()>& run) {
  Device& device = c->traced.device;
  const KernelArgs& args = c->traced.call.args;
  const auto is_input = [&](const BufferView& view) {
    return std::any_of(args.inputs.begin(), args.inputs.end(),
                       [&](const BufferView& in) { return overlap(in, view); });
  };
  const auto give = [&](size_t i) {  // whether an output lies over input i
    return std::any_of(args.outputs.begin(), args.outputs.end(),
                       [&](const BufferView& out) { return overlap(out, args.inputs[i]); });
  };
  const uint8_t garbage[] = {0xff, 0xff, 0x7f};
  std::vector<Bytes> runs[3];
  for (size_t n = 0; n < 3; ++n) {
    if (n > 0 && !c->record.judged) break;
    if (c->record.judged) {
      ZT_RETURN_IF_ERROR(fill(device, args.workspace, garbage[n]));
      for (const BufferView& out : args.outputs)
        if (!is_input(out)) ZT_RETURN_IF_ERROR(fill(device, out, garbage[n]));
    }
    for (size_t i = 0; n > 0 && i < c->inputs.size(); ++i)
      if (c->node.inputs[i] != kNone && !c->is_weight[i] && give(i))
        ZT_RETURN_IF_ERROR(write(device, args.inputs[i], c->inputs[i]));
    ZT_RETURN_IF_ERROR(run());
    for (const BufferView& out : args.outputs) {
      ZT_ASSIGN_OR_RETURN(runs[n].emplace_back(), read(device, out));
    }
    for (size_t i = 0; n == 0 && c->record.judged && i < c->inputs.size(); ++i) {
      if (c->node.inputs[i] == kNone || c->is_weight[i] || give(i)) continue;
      ZT_ASSIGN_OR_RETURN(const Bytes after, read(device, args.inputs[i]));
      if (after != c->inputs[i])
        add(c, FindingKind::kInputChanged,
            str("input ", i, ", '", c->value(i).name,
                "': ", difference_text(c->value(i).type, c->inputs[i], after)));
    }
  }
  c->outputs = std::move(runs[0]);
  if (!c->record.judged) return Status();
  // What goes on from here is the first run's result.
  for (size_t k = 0; k < args.outputs.size(); ++k)
    ZT_RETURN_IF_ERROR(write(device, args.outputs[k], c->outputs[k]));
  const Graph& graph = c->traced.plan.graph;
  for (size_t k = 0; k < c->outputs.size(); ++k) {
    const TensorType& type = graph.value(c->node.outputs[k]).type;
    if (runs[1][k] != c->outputs[k])
      add(c, FindingKind::kNotDeterministic,
          "run twice on the same bytes: " +
              (c->packs() ? difference_text(c->packed(), c->outputs[k], runs[1][k])
                          : difference_text(type, c->outputs[k], runs[1][k])));
    else if (runs[2][k] != c->outputs[k] && !c->packs())  // there padding may stay as it is
      add(c, FindingKind::kReadsUnwritten,
          str("run over ", c->planned.kernel.workspace_bytes,
              " bytes of workspace and outputs that held other garbage: ",
              difference_text(type, c->outputs[k], runs[2][k])));
  }
  return Status();
}

Status NodeTrace::judge(Call* c) {
  const Graph& graph = c->traced.plan.graph;
  CallBytes bytes;
  bytes.node = &c->node;
  for (size_t i = 0; i < c->node.inputs.size(); ++i) {
    const bool present = c->node.inputs[i] != kNone;
    bytes.input_types.push_back(present ? &c->value(i).type : nullptr);
    bytes.inputs.push_back(!present          ? nullptr
                           : c->is_weight[i] ? c->weights[i].data
                                             : static_cast<const void*>(c->inputs[i].data()));
  }
  for (size_t k = 0; k < c->node.outputs.size(); ++k) {
    bytes.output_types.push_back(graph.value(c->node.outputs[k]).type);
    bytes.outputs.push_back(c->outputs[k].data());
  }
  if (options_.peer != nullptr) {
    ZT_ASSIGN_OR_RETURN(const auto peer, run_node_on(*options_.peer, bytes, c->is_weight));
    c->record.error = check_against_outputs(bytes, peer, options_.peer_name);
  } else {
    auto checked = check_by_definition(bytes, options_.check);
    if (!checked.ok()) return checked.status().with_context(c->record.node);
    c->record.error = std::move(*checked);
  }
  if (c->record.error.finding) add(c, c->record.error.finding->kind, c->record.error.finding->text);
  return Status();
}

}  // namespace zoetrope
