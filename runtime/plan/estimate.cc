#include "runtime/plan/estimate.h"

#include <algorithm>
#include <string>
#include <vector>

#include "graph/format/hash.h"

namespace zoetrope {
namespace {

double time_at(double bytes, double rate) { return rate > 0 ? bytes / rate : 0; }

double upload_time(const DeviceRates& rates, int64_t bytes) {
  return rates.upload_seconds + time_at(static_cast<double>(bytes), rates.upload);
}

double download_time(const DeviceRates& rates, int64_t bytes) {
  return rates.download_seconds + time_at(static_cast<double>(bytes), rates.download);
}

// Weights pass through slots while groups of calls run, as WeightStream does it: a slot is filled
// once its last reader is done and the bus is free.
class Streaming {
 public:
  Streaming(const Plan& plan, double stream) : plan_(plan), stream_(stream) {
    held_.assign(static_cast<size_t>(plan.stream.slots), -1);
    read_.assign(held_.size(), 0);
    filled_.assign(held_.size(), 0);
  }

  // The seconds that the phase [begin, end) takes after what ran before; `seconds` by call.
  double run(int32_t begin, int32_t end) {
    const double start = done_;
    const auto& groups = plan_.stream.groups;
    for (size_t g = 0; g < groups.size(); ++g) {
      const StreamGroup& group = groups[g];
      if (group.first_call < begin || group.first_call > end || group.end_call > end) continue;
      if (group.first_call == end && group.first_call < group.end_call) continue;
      fill(g);
      const auto slot = static_cast<size_t>(group.slot);
      double at = std::max(done_, filled_[slot]);
      for (int32_t p = group.first_call; p < group.end_call; ++p)
        at += plan_.calls[static_cast<size_t>(p)].seconds;
      done_ = read_[slot] = at;
      if (g + 1 < groups.size()) fill(g + 1);
    }
    return done_ - start;
  }

 private:
  void fill(size_t g) {
    const StreamGroup& group = plan_.stream.groups[g];
    const auto slot = static_cast<size_t>(group.slot);
    if (held_[slot] == static_cast<int64_t>(g)) return;
    held_[slot] = static_cast<int64_t>(g);
    bus_ = std::max(bus_, read_[slot]) + time_at(static_cast<double>(group.bytes), stream_);
    filled_[slot] = bus_;
  }

  const Plan& plan_;
  const double stream_;
  std::vector<int64_t> held_;
  std::vector<double> read_, filled_;
  double bus_ = 0, done_ = 0;
};

bool overlap(const TensorRef& a, const TensorRef& b) {
  return a.space == b.space && a.space != Space::kNone && a.space != Space::kWeight &&
         a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes;
}

// Calls in a row of which none touches what another writes.
class Batch {
 public:
  bool takes(const PlanCall& call) const {
    const auto written = [&](const TensorRef& ref) { return meets(writes_, ref); };
    const auto touched = [&](const TensorRef& ref) {
      return meets(writes_, ref) || meets(reads_, ref);
    };
    return std::none_of(call.inputs.begin(), call.inputs.end(), written) &&
           std::none_of(call.outputs.begin(), call.outputs.end(), touched) &&
           !touched(call.workspace);
  }
  void add(const PlanCall& call) {
    reads_.insert(reads_.end(), call.inputs.begin(), call.inputs.end());
    writes_.insert(writes_.end(), call.outputs.begin(), call.outputs.end());
    writes_.push_back(call.workspace);
  }
  void clear() {
    reads_.clear();
    writes_.clear();
  }

 private:
  static bool meets(const std::vector<TensorRef>& list, const TensorRef& ref) {
    return std::any_of(list.begin(), list.end(),
                       [&](const TensorRef& other) { return overlap(other, ref); });
  }
  std::vector<TensorRef> reads_, writes_;
};

// From calls one after the other to calls of a phase, of which some run at one time.
void put_side_by_side(const Plan& plan, const std::vector<double>& busy,
                      std::vector<double>* seconds) {
  Batch batch;
  size_t begin = 0;
  const auto close = [&](size_t end) {
    double longest = 0, work = 0, all = 0;
    for (size_t p = begin; p < end; ++p) {
      longest = std::max(longest, (*seconds)[p]);
      work += busy[p];
      all += (*seconds)[p];
    }
    const double together = std::min(std::max(longest, work), all);
    for (size_t p = begin; p < end && all > 0; ++p) (*seconds)[p] *= together / all;
    begin = end;
    batch.clear();
  };
  for (size_t p = 0; p < plan.calls.size(); ++p) {
    const PlanCall& call = plan.calls[p];
    if (p > begin && (call.rate != plan.calls[begin].rate || call.on_host ||
                      plan.calls[begin].on_host || !batch.takes(call)))
      close(p);
    batch.add(call);
  }
  close(plan.calls.size());
}

// What else calls of a network take longer, or shorter, than alone.
void in_sequence(const DeviceTimes& times, Plan* plan) {
  std::array<double, kRateCount> seconds{}, calls{};
  for (const PlanCall& call : plan->calls) {
    if (call.on_host) continue;
    seconds[static_cast<size_t>(call.rate)] += call.seconds;
    calls[static_cast<size_t>(call.rate)] += 1;
  }
  std::array<double, kRateCount> factor{};
  for (size_t r = 0; r < kRateCount; ++r)
    if (calls[r] > 0)
      factor[r] =
          times.sequence_factor(network_of(*plan, static_cast<Rate>(r)), seconds[r] / calls[r]);
  for (PlanCall& call : plan->calls)
    if (!call.on_host) call.seconds *= factor[static_cast<size_t>(call.rate)];
}

// Of one run of each phase without streaming.
void add_calls(const DeviceRates& rates, const DeviceInfo& info, Plan* plan) {
  std::array<bool, kRateCount> unknown{}, any{};
  for (const PlanCall& call : plan->calls) {
    const auto phase = static_cast<size_t>(call.rate);
    double seconds = call.seconds;
    any[phase] = true;
    unknown[phase] |= seconds <= 0;
    // A wait, the copies, and the way back to the device.
    if (call.on_host) {
      const double bus = info.upload_bytes_per_second;
      seconds += rates.run_seconds;
      for (const HostCopy& copy : call.fetched)
        seconds += time_at(static_cast<double>(copy.host.bytes),
                           rates.download > 0 ? rates.download : bus);
      for (const HostCopy& copy : call.given)
        seconds +=
            time_at(static_cast<double>(copy.host.bytes), rates.upload > 0 ? rates.upload : bus);
    }
    plan->seconds.phase[phase] += seconds;
  }
  for (size_t r = 0; r < kRateCount; ++r)
    if (unknown[r]) plan->seconds.phase[r] = 0;
}

// Passed on from call to call on the device.
bool is_state(const Plan& plan, ValueId value) {
  return std::any_of(
      plan.graph.states.begin(), plan.graph.states.end(),
      [&](const StatePair& pair) { return pair.state == value || pair.next == value; });
}

// Inputs that change with each step go in, outputs come out, and somebody waits for them.
double around_a_step(const DeviceRates& rates, const Plan& plan) {
  double seconds = rates.run_seconds;
  for (const PlanBinding& input : plan.inputs)
    if (plan.graph.value(input.value).rate >= Rate::kTimestep && !is_state(plan, input.value))
      seconds += upload_time(rates, input.ref.bytes);
  for (const PlanBinding& output : plan.outputs)
    if (!is_state(plan, output.value)) seconds += download_time(rates, output.ref.bytes);
  return seconds;
}

double loading(const DeviceRates& rates, const DeviceInfo& info, const Plan& plan) {
  double packed = 0, uploaded = 0, pinned = 0;
  for (const PlanWeight& weight : plan.weights) {
    if (weight.streamed && info.host_memory) continue;  // packed again and again, at each step
    const auto bytes = static_cast<double>(weight.bytes);
    if (weight.streamed) pinned += bytes;
    if (!weight.layout.empty())
      packed += bytes;
    else if (!info.host_memory && !weight.streamed)
      uploaded += bytes;
  }
  return plan.distinct_kernels * rates.create_seconds +
         static_cast<double>(plan.calls.size()) * rates.record_seconds +
         time_at(packed, rates.pack) + time_at(uploaded, rates.upload) + time_at(pinned, rates.pin);
}

}  // namespace

double PlanSeconds::once() const {
  double total = 0;
  for (size_t r = 0; r < static_cast<size_t>(Rate::kTimestep); ++r) total += phase[r];
  return total;
}

double PlanSeconds::step() const {
  return phase[static_cast<size_t>(Rate::kTimestep)] + phase[static_cast<size_t>(Rate::kStep)];
}

void count_costs(Plan* plan) {
  plan->phase_cost = {};
  for (PlanCall& call : plan->calls) {
    const Node& node = plan->graph.nodes[static_cast<size_t>(call.node)];
    const KernelRequest request = kernel_request(*plan, call);
    std::vector<TensorType> outputs;
    for (const TensorType* type : request.outputs) outputs.push_back(*type);
    call.cost = node_cost(op_def(node.op), OpContext{request.inputs, node.attrs}, outputs);
    Cost& phase = plan->phase_cost[static_cast<size_t>(call.rate)];
    phase.flops += call.cost.flops;
    phase.bytes += call.cost.bytes;
  }
}

uint64_t network_of(const Plan& plan, Rate rate) {
  std::string text;
  for (const PlanCall& call : plan.calls) {
    if (call.rate != rate || call.on_host) continue;
    const Node& node = plan.graph.nodes[static_cast<size_t>(call.node)];
    text += op_def(node.op).name;
    for (const auto* ids : {&node.inputs, &node.outputs}) {
      text += '>';
      for (const ValueId id : *ids)
        text += str(' ', id == kNone ? "-" : dtype_name(plan.graph.value(id).type.dtype));
    }
    text += '\n';
  }
  return hash_bytes({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
}

std::vector<double> call_seconds(const DeviceTimes& times, const DeviceTimes* host,
                                 const DeviceInfo& info, const Plan& plan) {
  struct Known {
    double seconds = -1, busy = 0;
  };
  std::vector<Known> known(static_cast<size_t>(plan.distinct_kernels));
  std::vector<double> seconds, busy;
  for (const PlanCall& call : plan.calls) {
    Known& one = known[static_cast<size_t>(call.distinct)];
    if (one.seconds < 0) {
      const DeviceTimes& by = call.on_host && host != nullptr ? *host : times;
      const KernelPoint point =
          kernel_point(kernel_request(plan, call), call.kernel.name, call.cost);
      one = {by.seconds(point), by.busy_seconds(point)};
    }
    seconds.push_back(one.seconds);
    busy.push_back(one.busy);
  }
  if (info.side_by_side) put_side_by_side(plan, busy, &seconds);
  return seconds;
}

void estimate_seconds(const DeviceTimes& times, const DeviceTimes* host, const DeviceInfo& info,
                      Plan* plan) {
  plan->seconds = {};
  plan->seconds.measured = times.measured() && (host == nullptr || host->measured());
  const std::vector<double> seconds = call_seconds(times, host, info, *plan);
  for (size_t p = 0; p < seconds.size(); ++p) plan->calls[p].seconds = seconds[p];
  in_sequence(times, plan);
  const DeviceRates& rates = times.rates();
  add_calls(rates, info, plan);
  if (plan->stream.slots > 0) {
    const double rate = info.host_memory ? rates.pack : rates.stream;
    plan->stream.step_seconds = time_at(static_cast<double>(plan->stream.step_bytes), rate);
    Streaming stream(*plan, rate);
    std::array<double, kRateCount> first{}, second{};
    for (std::array<double, kRateCount>* pass : {&first, &second})
      for (size_t r = 0; r < kRateCount; ++r) {
        if (pass == &second && r < static_cast<size_t>(Rate::kTimestep)) continue;
        const auto at = [&](size_t rate_index) {
          return static_cast<int32_t>(std::partition_point(plan->calls.begin(), plan->calls.end(),
                                                           [&](const PlanCall& call) {
                                                             return static_cast<size_t>(call.rate) <
                                                                    rate_index;
                                                           }) -
                                      plan->calls.begin());
        };
        (*pass)[r] = stream.run(at(r), at(r + 1));
      }
    for (size_t r = 0; r < kRateCount; ++r) {
      const double streamed = r < static_cast<size_t>(Rate::kTimestep) ? first[r] : second[r];
      if (plan->seconds.phase[r] > 0)
        plan->seconds.phase[r] = std::max(plan->seconds.phase[r], streamed);
    }
  }
  double& step = plan->seconds.phase[static_cast<size_t>(Rate::kStep)];
  if (step > 0) step += around_a_step(rates, *plan);
  plan->seconds.load = loading(rates, info, *plan);
}

}  // namespace zoetrope
