#include "bench/op_timer.h"

#include <algorithm>
#include <chrono>

namespace zoetrope::bench {
namespace {

// Inputs and outputs of all sets together: several times what caches hold.
constexpr int64_t kBeyondCaches = 256 << 20, kMostSets = 64;
// Of a sample, at least; and how many calls that may take.
constexpr double kHostSample = 2e-3, kDeviceSample = 2e-2;
constexpr size_t kMostHostCalls = 10000, kLeastDeviceCalls = 5, kMostDeviceCalls = 400;

}  // namespace

double now_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

Result<std::unique_ptr<OpTimer>> OpTimer::create(Device& device, bool on_host, const OpCase& c) {
  ZT_ASSIGN_OR_RETURN(auto bound, BoundCase::create(c));
  std::unique_ptr<OpTimer> timer(new OpTimer(device, on_host, std::move(bound)));
  ZT_ASSIGN_OR_RETURN(timer->info_, device.query_kernel(timer->case_->request()));
  return timer;
}

int64_t OpTimer::set_bytes() const { return info_.workspace_bytes + case_->bytes(); }

int64_t OpTimer::bytes() const {
  const int64_t one = std::max<int64_t>(set_bytes(), 1);
  return on_host_ ? one : one * std::clamp<int64_t>(kBeyondCaches / one + 1, 2, kMostSets);
}

Status OpTimer::prepare() {
  ZT_ASSIGN_OR_RETURN(kernel_, device_.create_kernel(case_->request()));
  const int64_t sets = bytes() / std::max<int64_t>(set_bytes(), 1);
  for (int64_t i = 0; i < sets; ++i) ZT_RETURN_IF_ERROR(add_set());
  // The first run sets things up; the second says how many calls make a sample.
  for (int i = 0; i < 2; ++i) {
    ZT_RETURN_IF_ERROR(record(1));
    const double begin = now_seconds();
    ZT_RETURN_IF_ERROR(run());
    const double wall = now_seconds() - begin;
    if (i == 0) continue;
    const double one = std::max(on_host_ ? wall : seconds_[0], 1e-7);
    const double wanted = (on_host_ ? kHostSample : kDeviceSample) / one;
    const size_t calls =
        on_host_
            ? std::clamp<size_t>(static_cast<size_t>(wanted) + 1, 1, kMostHostCalls)
            : std::clamp<size_t>(static_cast<size_t>(wanted), kLeastDeviceCalls, kMostDeviceCalls);
    ZT_RETURN_IF_ERROR(record(calls));
  }
  return Status();
}

Status OpTimer::add_set() {
  sets_.push_back(std::make_unique<Set>());
  Set& set = *sets_.back();
  const auto view = [&](int64_t bytes) -> Result<BufferView> {
    ZT_ASSIGN_OR_RETURN(auto buffer, device_.allocate(bytes));
    set.buffers.push_back(std::move(buffer));
    return BufferView{set.buffers.back().get(), 0, bytes};
  };
  const std::vector<Operand>& inputs = case_->inputs();
  for (size_t i = 0; i < inputs.size(); ++i) {
    set.inputs.emplace_back();
    if (!inputs[i].present) continue;
    const PackedInput* const packed = info_.packed_input(i);
    ZT_ASSIGN_OR_RETURN(set.inputs[i],
                        view(packed != nullptr ? packed->bytes : inputs[i].type.bytes()));
    if (sets_.size() > 1) {
      ZT_RETURN_IF_ERROR(device_.copy(set.inputs[i], sets_.front()->inputs[i]));
    } else {
      const std::vector<char> data = operand_data(*case_, i);
      ZT_RETURN_IF_ERROR(packed != nullptr
                             ? device_.pack(case_->request(), *packed,
                                            {inputs[i].type, data.data()}, set.inputs[i])
                             : device_.upload(set.inputs[i], data.data()));
    }
    ZT_RETURN_IF_ERROR(device_.wait());
  }
  for (const TensorType& type : case_->outputs()) {
    ZT_ASSIGN_OR_RETURN(const BufferView output, view(type.bytes()));
    set.outputs.push_back(output);
  }
  ZT_ASSIGN_OR_RETURN(set.workspace, view(info_.workspace_bytes));
  return Status();
}

Status OpTimer::record(size_t count) {
  sequence_.reset();  // points into seconds_
  seconds_.assign(count, 0);
  calls_ = count;
  std::vector<KernelCall> calls;
  for (size_t i = 0; i < count; ++i) {
    const Set& set = *sets_[i % sets_.size()];
    calls.push_back({.kernel = kernel_.get(),
                     .args = {set.inputs, set.outputs, set.workspace},
                     .label = "bench",
                     .seconds = on_host_ ? nullptr : &seconds_[i]});
  }
  ZT_ASSIGN_OR_RETURN(sequence_, device_.record(calls));
  return Status();
}

Status OpTimer::run() {
  std::fill(seconds_.begin(), seconds_.end(), 0.0);
  ZT_RETURN_IF_ERROR(device_.submit(*sequence_));
  return device_.wait();
}

Result<double> OpTimer::sample() {
  if (on_host_) {
    const double begin = now_seconds();
    ZT_RETURN_IF_ERROR(run());
    return (now_seconds() - begin) / static_cast<double>(calls_);
  }
  ZT_RETURN_IF_ERROR(run());  // brings the clocks up again after whatever else ran
  ZT_RETURN_IF_ERROR(run());
  std::vector<double> times = seconds_;
  std::sort(times.begin(), times.end());
  return quantile(times, 0.5);
}

Row op_row(const OpCase& c, const std::string& program, const std::string& device) {
  Row row;
  row.kind = "op";
  row.name = case_name(c);
  row.family = c.family;
  row.tokens = c.tokens;
  row.program = program;
  row.device = device;
  row.dtype = dtype_name(c.dtype);
  row.op = c;
  if (const auto bound = BoundCase::create(c); bound.ok()) {
    row.flops = (*bound)->cost().flops;
    row.bytes = (*bound)->cost().bytes;
  }
  return row;
}

OpSubject::OpSubject(BenchDevice* on, const OpCase& c) : case_(c) {
  device = on;
  row = op_row(c, "zoetrope", on->id);
}

Status OpSubject::create() {
  if (timer_ != nullptr) return Status();
  ZT_ASSIGN_OR_RETURN(timer_, OpTimer::create(*device->device, device->on_host(), case_));
  row.kernel = timer_->info().name;
  return Status();
}

Result<int64_t> OpSubject::bytes() {
  ZT_RETURN_IF_ERROR(create());
  return timer_->bytes();
}

Status OpSubject::prepare() {
  ZT_RETURN_IF_ERROR(create());
  return timer_->prepare();
}

Result<double> OpSubject::sample() {
  row.calls = timer_->calls();
  return timer_->sample();
}

}  // namespace zoetrope::bench
