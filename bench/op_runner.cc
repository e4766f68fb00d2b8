#include "bench/op_runner.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <thread>
#include <utility>

#include "graph/elements.h"

namespace zoetrope::bench {
namespace {

std::unique_ptr<Device> g_device;
int g_threads = 0;
double g_peak_flops = 0, g_peak_bytes = 0, g_best_flops = 0, g_best_bytes = 0;

template <typename T>
T require(Result<T> result, std::string_view what) {
  if (result.ok()) return std::move(result).value();
  std::fprintf(stderr, "bench: %.*s: %s\n", static_cast<int>(what.size()), what.data(),
               result.status().message().c_str());
  std::exit(1);
}

// Inputs and outputs of all sets together: several times what caches hold.
constexpr int64_t kBeyondCaches = 256 << 20, kMostSets = 64;
// Of load, before a device is timed.
constexpr double kWarmUp = 0.3;

using Seconds = double;
Seconds now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void require(const Status& status, std::string_view what) {
  if (!status.ok()) (void)require(Result<int>(status), what);
}

}  // namespace

std::vector<char> random_tensor(const TensorType& type, uint64_t seed) {
  std::vector<char> bytes(static_cast<size_t>(type.bytes()));
  const bool small = type.dtype == DType::kI8;
  if (!is_float(type.dtype) && !small) return bytes;
  // A block of noise, again and again: large tensors must not take longer than their benchmark.
  std::mt19937 random(static_cast<uint32_t>(seed));
  std::vector<double> block(8191);
  for (double& v : block) v = (static_cast<double>(random()) / 0x1p31 - 1) * (small ? 127 : 1);
  const auto size = static_cast<int64_t>(block.size());
  for (int64_t at = 0; at < type.shape.elements(); at += size)
    store_elements(type.dtype, bytes.data() + at * dtype_size(type.dtype),
                   std::min(size, type.shape.elements() - at), block.data());
  return bytes;
}

OpRunner::OpRunner(Device& device, OpKind op, std::vector<Operand> operands, Attrs attrs)
    : device_(device) {
  const OpDef& def = op_def(op);
  require(verify_attrs(def, &attrs), def.name);
  node_ = {op, "bench", {}, {0}, std::move(attrs)};
  for (const Operand& operand : operands) types_.push_back(operand.type);
  KernelRequest& request = request_;
  request.node = &node_;
  for (size_t i = 0; i < operands.size(); ++i) {
    request.inputs.push_back(&types_[i]);
    request.is_weight.push_back(operands[i].weight);
    node_.inputs.push_back(static_cast<ValueId>(i));
  }
  const OpContext context{request.inputs, node_.attrs};
  outputs_ = require(def.infer(context), def.name);
  for (const TensorType& type : outputs_) request.outputs.push_back(&type);
  cost_ = node_cost(def, context, outputs_);
  info_ = require(device.query_kernel(request), def.name);

  kernel_ = require(device.create_kernel(request), def.name);
  int64_t bytes = info_.workspace_bytes;
  for (const TensorType& type : types_) bytes += type.bytes();
  for (const TensorType& type : outputs_) bytes += type.bytes();
  const int64_t sets = on_host() ? 1 : std::clamp<int64_t>(kBeyondCaches / bytes + 1, 2, kMostSets);
  for (int64_t i = 0; i < sets; ++i) add_set();
  if (on_host()) sequence_ = record(1, nullptr);
}

void OpRunner::add_set() {
  sets_.push_back(std::make_unique<Set>());
  Set& set = *sets_.back();
  const auto view = [&](int64_t bytes) {
    set.buffers.push_back(require(device_.allocate(bytes), "allocate"));
    return BufferView{set.buffers.back().get(), 0, bytes};
  };
  for (size_t i = 0; i < types_.size(); ++i) {
    const PackedInput* const packed = info_.packed_input(i);
    set.inputs.push_back(view(packed != nullptr ? packed->bytes : types_[i].bytes()));
    if (sets_.size() > 1) {
      require(device_.copy(set.inputs[i], sets_.front()->inputs[i]), "copy");
    } else {
      const std::vector<char> data = random_tensor(types_[i], i + 1);
      require(packed != nullptr
                  ? device_.pack(request_, *packed, {types_[i], data.data()}, set.inputs[i])
                  : device_.upload(set.inputs[i], data.data()),
              "upload");
    }
    require(device_.wait(), "upload");
  }
  for (const TensorType& type : outputs_) set.outputs.push_back(view(type.bytes()));
  set.workspace = view(info_.workspace_bytes);
}

std::unique_ptr<Sequence> OpRunner::record(size_t count, std::vector<double>* seconds) {
  std::vector<KernelCall> calls;
  for (size_t i = 0; i < count; ++i) {
    const Set& set = *sets_[i % sets_.size()];
    calls.push_back({.kernel = kernel_.get(),
                     .args = {set.inputs, set.outputs, set.workspace},
                     .label = "bench",
                     .seconds = seconds == nullptr ? nullptr : &(*seconds)[i]});
  }
  return require(device_.record(calls), node_.name);
}

void OpRunner::run() {
  require(device_.submit(*sequence_), node_.name);
  require(device_.wait(), node_.name);
}

double OpRunner::median_seconds() {
  constexpr double kSequence = 0.05;
  constexpr size_t kLeast = 5, kMost = 400, kEnough = 15;
  std::vector<double> first(2), times;
  for (int i = 0; i < 2; ++i) {  // the first run sets things up
    std::fill(first.begin(), first.end(), 0.0);
    sequence_ = record(first.size(), &first);
    run();
  }
  const double least = std::max(*std::min_element(first.begin(), first.end()), 1e-7);
  std::vector<double> seconds(std::clamp(static_cast<size_t>(kSequence / least), kLeast, kMost));
  sequence_ = record(seconds.size(), &seconds);
  const Seconds begin = now();
  while (now() - begin < kWarmUp) run();
  while (times.size() < kEnough) {
    std::fill(seconds.begin(), seconds.end(), 0.0);
    run();
    times.insert(times.end(), seconds.begin(), seconds.end());
  }
  const auto middle = times.begin() + static_cast<ptrdiff_t>(times.size() / 2);
  std::nth_element(times.begin(), middle, times.end());
  return *middle;
}

double device_copy_seconds(int64_t bytes) {
  // Between two buffers and back, so many times that launching and waiting do not count.
  const auto from = require(device().allocate(bytes), "allocate");
  const auto to = require(device().allocate(bytes), "allocate");
  const auto copies = [&](int count) {
    const Seconds begin = now();
    for (int i = 0; i < count; ++i)
      require(device().copy({i % 2 == 0 ? to.get() : from.get(), 0, bytes},
                            {i % 2 == 0 ? from.get() : to.get(), 0, bytes}),
              "copy");
    require(device().wait(), "copy");
    return now() - begin;
  };
  const Seconds begin = now();
  while (now() - begin < kWarmUp) (void)copies(20);
  std::vector<double> times;
  for (int i = 0; i < 5; ++i) {
    const double few = copies(20), many = copies(120);
    times.push_back((many - few) / 100);
  }
  std::nth_element(times.begin(), times.begin() + 2, times.end());
  return times[2];
}

void finish(int status) {
  std::fflush(nullptr);
  std::_Exit(status);
}

void init(int* argc, char** argv) {
  std::string name = "cpu", target;
  int kept = 1;
  for (int i = 1; i < *argc; ++i) {
    if (std::strncmp(argv[i], "--device=", 9) == 0) {
      name = argv[i] + 9;
    } else if (std::strncmp(argv[i], "--threads=", 10) == 0) {
      g_threads = std::atoi(argv[i] + 10);
    } else if (std::strncmp(argv[i], "--peak_tflops=", 14) == 0) {
      g_peak_flops = std::atof(argv[i] + 14) * 1e12;
    } else if (std::strncmp(argv[i], "--peak_gbs=", 11) == 0) {
      g_peak_bytes = std::atof(argv[i] + 11) * 1e9;
    } else if (std::strncmp(argv[i], "--target=", 9) == 0) {
      target = argv[i] + 9;
    } else {
      argv[kept++] = argv[i];
    }
  }
  *argc = kept;
  g_device = require(open_device(name, {.threads = g_threads, .force_target = target}), name);
}

Device& device() { return *g_device; }
bool on_host() {
  return g_device->info().backend == "cpu" || g_device->info().backend == "reference";
}
double peak_flops() { return g_peak_flops > 0 ? g_peak_flops : g_best_flops; }
double peak_bytes() { return g_peak_bytes > 0 ? g_peak_bytes : g_best_bytes; }
void tell_rates(double flops, double bytes) {
  g_best_flops = std::max(g_best_flops, flops);
  g_best_bytes = std::max(g_best_bytes, bytes);
}

int threads() {
  if (g_threads > 0) return g_threads;
  // The device says it in its name: "..., 2 threads".
  const std::string& name = g_device->info().name;
  const size_t comma = name.rfind(", ");
  const int found = comma == std::string::npos ? 0 : std::atoi(name.c_str() + comma + 2);
  return found > 0 ? found : 1;
}

}  // namespace zoetrope::bench
