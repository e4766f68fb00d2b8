#include "bench/model_subject.h"

#include <algorithm>

#include "runtime/plan/planner.h"
#include "runtime/quantize/rules.h"

namespace zoetrope::bench {

ModelSubject::ModelSubject(BenchDevice* on, std::shared_ptr<const Network> network, DType products,
                           DType compute, int attention_bits, int64_t budget)
    : network_(std::move(network)),
      products_(products),
      compute_(compute),
      attention_bits_(attention_bits),
      budget_(budget) {
  device = on;
  row.kind = "model";
  row.name = network_->name();
  row.family = network_->model;
  row.tokens = network_->tokens;
  row.program = "zoetrope";
  row.device = on->id;
  row.dtype = dtype_name(products);
  if (products != compute) row.kernel = str("all but products in ", dtype_name(compute));
  row.symbols = network_->symbols;
  if (attention_bits > 0) row.name += str(", attention in ", attention_bits, " bits");
  if (budget > 0) row.name += str(", within ", format_bytes(static_cast<double>(budget)));
}

Status ModelSubject::compile() {
  if (plan_.has_value() || session_ != nullptr) return Status();
  noise_ = std::make_unique<NoiseWeights>(network_->graph, compute_);
  Graph graph = network_->graph;
  if (products_ != compute_ || attention_bits_ > 0) {
    QuantizeRules rules;
    rules.format = products_ == DType::kI8 ? WeightFormat::kInt8 : WeightFormat::kFp8;
    const auto choose = [&](const QuantizeSite& site) {
      return products_ != compute_ ? choose_format(rules, site) : WeightChoice{};
    };
    ZT_ASSIGN_OR_RETURN(QuantizedGraph made, quantize(graph, choose, attention_bits_));
    graph = std::move(made.graph);
    ZT_ASSIGN_OR_RETURN(quantized_, QuantizedWeights::create(*noise_, std::move(made.weights)));
  }
  CompileOptions options;
  options.bindings = network_->symbols;
  options.compute = compute_;
  options.memory_budget = budget_;
  ZT_ASSIGN_OR_RETURN(Plan plan, compile_component(graph, weights(), *device->device, options));
  row.planned_bytes = plan.memory.total_bytes();
  if (budget_ > 0 && row.planned_bytes > budget_)
    return error(Code::kResourceExhausted, network_->model, " needs at least ",
                 format_bytes(static_cast<double>(row.planned_bytes)), ", all weights streamed");
  row.flops = row.bytes = 0;
  for (const Rate rate : {Rate::kTimestep, Rate::kStep}) {
    row.flops += plan.phase_cost[static_cast<size_t>(rate)].flops;
    row.bytes += plan.phase_cost[static_cast<size_t>(rate)].bytes;
  }
  plan_ = std::move(plan);
  return Status();
}

const WeightSource& ModelSubject::weights() const {
  if (quantized_ != nullptr) return *quantized_;
  return *noise_;
}

Result<int64_t> ModelSubject::bytes() {
  ZT_RETURN_IF_ERROR(compile());
  return row.planned_bytes;
}

Status ModelSubject::set_inputs(Rate slowest) {
  for (const PlanBinding& input : session_->plan().inputs) {
    const Value& value = session_->plan().graph.value(input.value);
    if (value.rate < slowest) continue;
    const std::vector<char> noise = random_tensor(value.type, ++seed_);
    ZT_RETURN_IF_ERROR(session_->set_input(input.name, noise.data(), value.type.bytes()));
  }
  return Status();
}

Status ModelSubject::prepare() {
  ZT_RETURN_IF_ERROR(compile());
  store_ = std::make_unique<WeightStore>(*device->device, weights());
  ZT_ASSIGN_OR_RETURN(session_, Session::create(std::move(*plan_), *store_));
  plan_.reset();
  row.held_bytes = session_->own_bytes() + store_->held_bytes();
  return set_inputs(Rate::kWeights);
}

Result<double> ModelSubject::sample() {
  ZT_RETURN_IF_ERROR(set_inputs(Rate::kTimestep));
  const double begin = now_seconds();
  ZT_RETURN_IF_ERROR(session_->run());
  return now_seconds() - begin;
}

// By op and kernel, of one more step.
Status ModelSubject::finish(std::vector<Row>*) {
  session_->enable_profile();
  ZT_RETURN_IF_ERROR(set_inputs(Rate::kTimestep));
  ZT_RETURN_IF_ERROR(session_->run());
  const Plan& plan = session_->plan();
  std::map<std::string, Phase> phases;
  for (size_t i = 0; i < plan.calls.size(); ++i) {
    const PlanCall& call = plan.calls[i];
    if (call.rate < Rate::kTimestep) continue;
    const Node& node = plan.graph.nodes[static_cast<size_t>(call.node)];
    const std::string name = str(op_def(node.op).name, " ", call.kernel.name);
    Phase& phase = phases.try_emplace(name, Phase{name, 0, 0}).first->second;
    phase.seconds += session_->call_seconds()[i];
    ++phase.calls;
  }
  row.phases.clear();
  for (auto& [name, phase] : phases) row.phases.push_back(std::move(phase));
  std::stable_sort(row.phases.begin(), row.phases.end(),
                   [](const Phase& a, const Phase& b) { return a.seconds > b.seconds; });
  return Status();
}

void ModelSubject::release() {
  session_.reset();
  store_.reset();
  plan_.reset();
  quantized_.reset();
  noise_.reset();
}

}  // namespace zoetrope::bench
