#include "runtime/plan/measure.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <deque>
#include <map>

#include "graph/builder.h"
#include "graph/elements.h"
#include "graph/op.h"
#include "runtime/plan/planner.h"

namespace zoetrope {
namespace {

constexpr int64_t kBeyondCaches = 256 << 20;  // bytes of operands in turn, if so many fit
constexpr int64_t kMostSets = 16;
constexpr int64_t kPiece = 64 << 20;  // of an upload
// Seconds of one sequence, if calls are shorter. On the host it is short: others take their turns
// on its processor, and the shortest of many is what the kernel takes.
constexpr double kSequence = 4e-3, kHostSequence = 1e-3;
constexpr int kMostCalls = 256;  // of a sequence
constexpr int kLeastRuns = 5, kMostRuns = 40;
constexpr double kWarmUp = 0.1;      // seconds until a device that was idle has its clock
constexpr int64_t kSmall = 4 << 10;  // bytes of a copy that takes no longer than others so small

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Floats in [-1, 1), other numbers 0 (indices must lie inside).
std::vector<uint8_t> noise(const TensorType& type) {
  std::vector<uint8_t> bytes(static_cast<size_t>(type.bytes()));
  if (!is_float(type.dtype) && type.dtype != DType::kI8) return bytes;
  // A block over and over, of odd length so that rows differ.
  const int64_t count = std::min<int64_t>(type.shape.elements(), 100'003);
  std::vector<double> block(static_cast<size_t>(count));
  uint64_t state = 0x9e3779b97f4a7c15u;
  for (double& value : block) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    value = static_cast<double>(state >> 11) / 0x1p52 - 1;
    if (type.dtype == DType::kI8) value = static_cast<double>(static_cast<int>(100 * value));
  }
  store_elements(type.dtype, bytes.data(), count, block.data());
  const auto size = static_cast<size_t>(count * dtype_size(type.dtype));
  for (size_t at = size; at < bytes.size(); at += size)
    std::memcpy(bytes.data() + at, bytes.data(), std::min(size, bytes.size() - at));
  return bytes;
}

class Measuring {
 public:
  Measuring(Device& device, const KernelRequest& request) : device_(device), request_(request) {}

  Result<KernelMeasure> run(const MeasureOptions& options) {
    ZT_ASSIGN_OR_RETURN(info_, device_.query_kernel(request_));
    ZT_RETURN_IF_ERROR(make_operands(options.memory_bytes));
    double begin = now();
    ZT_ASSIGN_OR_RETURN(kernel_, device_.create_kernel(request_));
    const double created = now() - begin;
    begin = now();
    {
      ZT_ASSIGN_OR_RETURN(const auto again, device_.create_kernel(request_));
      out_.create_seconds = now() - begin;
    }
    ZT_RETURN_IF_ERROR(record(1));
    const double recorded = out_.record_seconds;
    ZT_ASSIGN_OR_RETURN(const double cold, time());  // code is made ready, pages are touched
    if (cold > 4 * options.seconds) {
      out_.seconds = cold;
      return out_;
    }
    ZT_ASSIGN_OR_RETURN(const double one, time());
    if (one > options.seconds / 3) {
      out_.seconds = one;
      out_.first_seconds = std::max(cold - one, 0.0);
      return out_;
    }
    std::vector<double> ones, many;
    for (int i = 0; i < 3; ++i) {
      ZT_ASSIGN_OR_RETURN(ones.emplace_back(), time());
    }
    const bool host = device_.info().on_host();
    const double least = *std::min_element(ones.begin(), ones.end());
    out_.first_seconds = std::max(cold - least, 0.0);
    if (device_.info().host_memory)
      out_.first_seconds += std::max(created - out_.create_seconds, 0.0);
    const int calls =
        std::clamp(static_cast<int>((host ? kHostSequence : kSequence) / least), 1, kMostCalls);
    if (calls > 1) {
      ZT_RETURN_IF_ERROR(record(calls));
      // Vulkan's drivers compile then, but once in their lives: the code is kept on disk.
      if (device_.info().backend != "vulkan")
        out_.first_seconds += std::max(recorded - out_.record_seconds, 0.0);
    }
    begin = now();
    while (static_cast<int>(many.size()) < kLeastRuns ||
           (static_cast<int>(many.size()) < kMostRuns && now() - begin < options.seconds / 2)) {
      ZT_ASSIGN_OR_RETURN(many.emplace_back(), time());
      if (now() - begin > options.seconds && many.size() >= 3) break;
    }
    // The shortest: a device that was idle, or a host that others use, is slower for a while.
    const double all = *std::min_element(many.begin(), many.end());
    out_.seconds = all / calls;
    if (calls > 16) {  // what submitting and waiting take is the same for one call and for many
      if (all > least) out_.seconds = (all - least) / (calls - 1);
      out_.run_seconds = std::max(least - out_.seconds, 0.0);
    }
    return out_;
  }

 private:
  struct Set {
    std::vector<std::unique_ptr<Buffer>> buffers;
    std::vector<BufferView> inputs;
  };

  Result<BufferView> place(int64_t bytes, std::vector<std::unique_ptr<Buffer>>* owner) {
    ZT_ASSIGN_OR_RETURN(auto buffer, device_.allocate(std::max<int64_t>(bytes, 1)));
    owner->push_back(std::move(buffer));
    return BufferView{owner->back().get(), 0, bytes};
  }

  int64_t bytes_of(size_t input) const {
    const PackedInput* const packed = info_.packed_input(input);
    return packed != nullptr ? packed->bytes : request_.inputs[input]->bytes();
  }

  int64_t output_bytes(const TensorType& type) const {
    return request_.output_as.reader != nullptr ? request_.output_as.packed.bytes : type.bytes();
  }

  Status make_operands(int64_t memory) {
    int64_t inputs = 0, rest = info_.workspace_bytes;
    for (size_t i = 0; i < request_.inputs.size(); ++i)
      if (request_.inputs[i] != nullptr) inputs += bytes_of(i);
    for (const TensorType* type : request_.outputs) rest += output_bytes(*type);
    if (memory > 0 && inputs + rest > memory)
      return error(Code::kResourceExhausted, "operands of ", inputs + rest, " bytes, more than ",
                   memory);
    int64_t sets =
        std::clamp<int64_t>(kBeyondCaches / std::max<int64_t>(inputs + rest, 1), 1, kMostSets);
    if (memory > 0 && inputs > 0)
      sets = std::min(sets, std::max<int64_t>((memory - rest) / inputs, 1));
    sets_.resize(static_cast<size_t>(sets));
    for (size_t i = 0; i < request_.inputs.size(); ++i) ZT_RETURN_IF_ERROR(make_input(i));
    for (const TensorType* type : request_.outputs) {
      ZT_ASSIGN_OR_RETURN(outputs_.emplace_back(), place(output_bytes(*type), &own_));
    }
    ZT_ASSIGN_OR_RETURN(workspace_, place(info_.workspace_bytes, &own_));
    return Status();
  }

  Status make_input(size_t i) {
    if (request_.inputs[i] == nullptr) {
      for (Set& set : sets_) set.inputs.push_back({});
      return Status();
    }
    const std::vector<uint8_t> data = noise(*request_.inputs[i]);
    const PackedInput* const packed = info_.packed_input(i);
    for (Set& set : sets_) {
      ZT_ASSIGN_OR_RETURN(const BufferView view, place(bytes_of(i), &set.buffers));
      set.inputs.push_back(view);
      if (&set != &sets_.front()) {
        ZT_RETURN_IF_ERROR(device_.copy(view, sets_.front().inputs[i]));
        continue;
      }
      if (packed == nullptr) {
        ZT_RETURN_IF_ERROR(device_.upload(view, data.data()));
        continue;
      }
      ZT_RETURN_IF_ERROR(device_.wait());
      const double begin = now();
      ZT_RETURN_IF_ERROR(device_.pack(request_, *packed, {*request_.inputs[i], data.data()}, view));
      ZT_RETURN_IF_ERROR(device_.wait());
      out_.pack_seconds += now() - begin;
      out_.packed_bytes += static_cast<double>(view.bytes);
    }
    return device_.wait();
  }

  // One output for all, so that no two calls may run at once.
  Status record(int calls) {
    std::vector<KernelCall> list;
    for (int i = 0; i < calls; ++i)
      list.push_back(
          {.kernel = kernel_.get(),
           .args = {sets_[static_cast<size_t>(i) % sets_.size()].inputs, outputs_, workspace_},
           .label = "measured kernel"});
    const double begin = now();
    ZT_ASSIGN_OR_RETURN(sequence_, device_.record(list));
    out_.record_seconds = (now() - begin) / calls;
    // Captured and warmed up outside of what is timed.
    if (calls > 1) ZT_RETURN_IF_ERROR(time().status());
    return Status();
  }

  Result<double> time() {
    const double begin = now();
    ZT_RETURN_IF_ERROR(device_.submit(*sequence_));
    ZT_RETURN_IF_ERROR(device_.wait());
    return now() - begin;
  }

  Device& device_;
  const KernelRequest& request_;
  KernelInfo info_;
  KernelMeasure out_;
  std::vector<Set> sets_;
  std::vector<std::unique_ptr<Buffer>> own_;
  std::vector<BufferView> outputs_;
  BufferView workspace_;
  std::unique_ptr<Kernel> kernel_;
  std::unique_ptr<Sequence> sequence_;  // before what it was recorded from
};

// A plan's calls on an arena and weights of made up numbers.
class MeasuringPhase {
 public:
  MeasuringPhase(Device& device, const Plan& plan) : device_(device), plan_(plan) {}

  Result<double> run(Rate rate, const MeasureOptions& options) {
    if (plan_.stream.slots > 0 || !plan_.host.empty())
      return error(Code::kUnsupported, "a plan that streams weights or runs calls on the host");
    ZT_RETURN_IF_ERROR(make_buffers(options.memory_bytes));
    std::vector<KernelCall> calls;
    for (const PlanCall& call : plan_.calls) {
      if (call.rate != rate) continue;
      ZT_ASSIGN_OR_RETURN(calls.emplace_back(), resolve(call));
    }
    if (calls.empty()) return 0.0;
    ZT_ASSIGN_OR_RETURN(const auto sequence, device_.record(calls));
    std::vector<double> times;
    const bool host = device_.info().on_host();
    const double begin = now(), least = host ? 0 : kWarmUp;
    while (times.size() < 3 || now() - begin < least ||
           (times.size() < kMostRuns && now() - begin < options.seconds)) {
      const double start = now();
      ZT_RETURN_IF_ERROR(device_.submit(*sequence));
      ZT_RETURN_IF_ERROR(device_.wait());
      times.push_back(now() - start);
    }
    if (host) return *std::min_element(times.begin(), times.end());
    times.erase(times.begin(), times.begin() + static_cast<ptrdiff_t>(times.size() / 2));
    return median(times);  // at the clock that long work ends at
  }

 private:
  Status make_buffers(int64_t memory) {
    int64_t weights = 1;
    for (const PlanWeight& weight : plan_.weights) {
      const int64_t alignment = device_.alignment();
      weights = (weights + alignment - 1) / alignment * alignment;
      weight_at_.push_back(weights);
      weights += weight.bytes;
    }
    const int64_t arena = std::max<int64_t>(plan_.memory.arena_bytes, 1);
    if (memory > 0 && arena + weights > memory)
      return error(Code::kResourceExhausted, arena + weights, " bytes, more than ", memory);
    ZT_ASSIGN_OR_RETURN(arena_, device_.allocate(arena));
    ZT_ASSIGN_OR_RETURN(weights_, device_.allocate(weights));
    ZT_RETURN_IF_ERROR(fill({arena_.get(), 0, arena}, kNearOne));
    ZT_RETURN_IF_ERROR(fill({weights_.get(), 0, weights}, kTiny));
    for (size_t i = 0; i < plan_.weights.size(); ++i)
      if (is_vector(plan_.graph.value(plan_.weights[i].value).type.shape))
        ZT_RETURN_IF_ERROR(fill({weights_.get(), weight_at_[i], plan_.weights[i].bytes}, kNearOne));
    for (const PlanBinding& input : plan_.inputs)  // indices must lie inside
      if (!is_float(plan_.graph.value(input.value).type.dtype))
        ZT_RETURN_IF_ERROR(fill(view(input.ref), kZeros));
    return device_.wait();
  }

  // Scales of norms among them.
  static bool is_vector(const Shape& shape) {
    return std::count_if(shape.begin(), shape.end(), [](int64_t d) { return d > 1; }) <= 1;
  }

  // Of every 16 bits of a buffer, of either sign: matrices' small ones, others near 1. Where all
  // were equal, or scores of attention were, a device would take less power than for a network's
  // own and its clock would be higher.
  enum Numbers : uint16_t {
    kZeros = 0,
    kTiny = 0x3c00,     // 0.008 to 0.03 as bf16 and f32, 1 to 1.25 as f16
    kNearOne = 0x3e80,  // 0.25 to 1 as bf16 and f32, 1.6 to 1.9 as f16
  };

  Status fill(BufferView to, Numbers numbers) {
    std::vector<uint16_t> piece(static_cast<size_t>(std::min<int64_t>(to.bytes, kPiece) + 1) / 2);
    if (numbers != kZeros) {
      uint64_t state = 0x9e3779b97f4a7c15u;
      for (uint16_t& value : piece) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        value = static_cast<uint16_t>((numbers + (state >> 48 & 0xff)) | (state >> 40 & 0x8000));
      }
    }
    for (int64_t at = 0; at < to.bytes; at += kPiece) {
      const int64_t bytes = std::min(to.bytes - at, kPiece);
      ZT_RETURN_IF_ERROR(device_.upload({to.buffer, to.offset + at, bytes}, piece.data()));
    }
    return Status();
  }

  BufferView view(const TensorRef& ref) const {
    if (ref.space == Space::kNone) return {};
    if (ref.space != Space::kWeight) return {arena_.get(), ref.offset, ref.bytes};
    return {weights_.get(), weight_at_[static_cast<size_t>(ref.weight)] + ref.offset, ref.bytes};
  }

  Result<KernelCall> resolve(const PlanCall& call) {
    auto& kernel = kernels_[call.distinct];
    if (kernel == nullptr) {
      ZT_ASSIGN_OR_RETURN(kernel, device_.create_kernel(kernel_request(plan_, call)));
    }
    auto& views = views_.emplace_back();
    for (const auto& refs : {call.inputs, call.outputs})
      for (const TensorRef& ref : refs) views.push_back(view(ref));
    const std::span<const BufferView> all(views);
    KernelCall resolved;
    resolved.kernel = kernel.get();
    resolved.args = {all.first(call.inputs.size()), all.subspan(call.inputs.size()),
                     view(call.workspace)};
    resolved.label = "measured plan";
    return resolved;
  }

  Device& device_;
  const Plan& plan_;
  std::unique_ptr<Buffer> arena_, weights_;
  std::vector<int64_t> weight_at_;  // by weight of the plan
  std::map<int32_t, std::unique_ptr<Kernel>> kernels_;
  std::deque<std::vector<BufferView>> views_;  // KernelArgs point into them
};

// Seconds of everything that a product of two matrices of that side takes, made and run.
Result<double> one_product(Device& device, int64_t side) {
  Builder b("product");
  b.output("c", b.matmul(b.input("a", DType::kF32, {side, side}),
                         b.input("b", DType::kF32, {side, side})));
  ZT_ASSIGN_OR_RETURN(const Graph graph, b.finish());
  ZT_ASSIGN_OR_RETURN(const Graph bound, bind(graph, {}));
  ZT_ASSIGN_OR_RETURN(const Plan plan, make_plan(bound, device, {}));
  const double begin = now();
  ZT_RETURN_IF_ERROR(MeasuringPhase(device, plan).run(Rate::kStep, {.seconds = 0}).status());
  return now() - begin;
}

// Bytes a second of `copy`, by the median of a few.
template <typename Copy>
Result<double> rate_of(double bytes, const Copy& copy) {
  std::vector<double> times;
  for (int i = 0; i < 6; ++i) {
    const double begin = now();
    ZT_RETURN_IF_ERROR(copy());
    if (i > 0) times.push_back(now() - begin);
  }
  return bytes / std::max(median(times), 1e-9);
}

}  // namespace

Result<KernelMeasure> measure_kernel(Device& device, const KernelRequest& request,
                                     const MeasureOptions& options) {
  return Measuring(device, request).run(options);
}

Result<double> measure_phase(Device& device, const Plan& plan, Rate rate,
                             const MeasureOptions& options) {
  return MeasuringPhase(device, plan).run(rate, options);
}

Result<double> measure_start(Device& device) {
  ZT_ASSIGN_OR_RETURN(const double first, one_product(device, 384));
  ZT_ASSIGN_OR_RETURN(const double second, one_product(device, 512));
  return std::max(first - second, 0.0);
}

Status measure_copies(Device& device, int64_t bytes, DeviceRates* rates) {
  ZT_ASSIGN_OR_RETURN(const auto buffer, device.allocate(bytes));
  const BufferView view{buffer.get(), 0, bytes};
  std::vector<uint8_t> host(static_cast<size_t>(bytes), 1);
  const auto size = static_cast<double>(bytes);
  ZT_ASSIGN_OR_RETURN(rates->upload, rate_of(size, [&]() -> Status {
                        ZT_RETURN_IF_ERROR(device.upload(view, host.data()));
                        return device.wait();
                      }));
  ZT_ASSIGN_OR_RETURN(rates->download,
                      rate_of(size, [&] { return device.download(host.data(), view); }));
  const BufferView some{buffer.get(), 0, std::min(bytes, kSmall)};
  constexpr int kUploads = 8;  // in a row, as a step's inputs are
  ZT_ASSIGN_OR_RETURN(const double uploads, rate_of(kUploads, [&]() -> Status {
                        for (int i = 0; i < kUploads; ++i)
                          ZT_RETURN_IF_ERROR(device.upload(some, host.data()));
                        return device.wait();
                      }));
  ZT_ASSIGN_OR_RETURN(const double downloads,
                      rate_of(1, [&] { return device.download(host.data(), some); }));
  rates->upload_seconds = 1 / uploads;
  rates->download_seconds = 1 / downloads;
  if (device.info().host_memory) return Status();  // weights are packed again instead
  const double begin = now();
  ZT_ASSIGN_OR_RETURN(const auto pinned, device.allocate_host(bytes));
  std::memcpy(pinned->host_data(), host.data(), host.size());
  rates->pin = size / std::max(now() - begin, 1e-9);
  ZT_ASSIGN_OR_RETURN(const auto done, device.create_fence());
  ZT_ASSIGN_OR_RETURN(rates->stream, rate_of(size, [&]() -> Status {
                        ZT_RETURN_IF_ERROR(device.upload_beside(view, {pinned.get(), 0, bytes},
                                                                {.after = {}, .sets = done.get()}));
                        return done->wait();
                      }));
  return device.wait();
}

}  // namespace zoetrope
