#include "bench/op_runner.h"

#include <algorithm>
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
double g_peak_flops = 0, g_peak_bytes = 0;

template <typename T>
T require(Result<T> result, std::string_view what) {
  if (result.ok()) return std::move(result).value();
  std::fprintf(stderr, "bench: %.*s: %s\n", static_cast<int>(what.size()), what.data(),
               result.status().message().c_str());
  std::exit(1);
}

void require(const Status& status, std::string_view what) {
  if (!status.ok()) (void)require(Result<int>(status), what);
}

}  // namespace

std::vector<char> random_tensor(const TensorType& type, uint64_t seed) {
  std::vector<char> bytes(static_cast<size_t>(type.bytes()));
  if (!is_float(type.dtype)) return bytes;
  // A block of noise, again and again: large tensors must not take longer than their benchmark.
  std::mt19937 random(static_cast<uint32_t>(seed));
  std::vector<double> block(8191);
  for (double& v : block) v = static_cast<double>(random()) / 0x1p31 - 1;
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
  KernelRequest request;
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

  std::vector<HostTensor> weights(operands.size());
  std::vector<std::vector<char>> data;
  for (size_t i = 0; i < operands.size(); ++i) {
    data.push_back(random_tensor(types_[i], i + 1));
    const bool raw = (info_.raw_inputs >> i & 1) != 0;
    if (operands[i].weight && !raw) {
      weights[i] = {types_[i], data[i].data()};
      input_views_.push_back({});
      continue;
    }
    buffers_.push_back(require(device.allocate(types_[i].bytes()), "allocate"));
    input_views_.push_back({buffers_.back().get(), 0, types_[i].bytes()});
    require(device.upload(input_views_.back(), data[i].data()), "upload");
  }
  kernel_ = require(device.create_kernel(request, weights), def.name);
  for (const TensorType& type : outputs_) {
    buffers_.push_back(require(device.allocate(type.bytes()), "allocate"));
    output_views_.push_back({buffers_.back().get(), 0, type.bytes()});
  }
  buffers_.push_back(require(device.allocate(info_.workspace_bytes), "allocate"));
  call_.kernel = kernel_.get();
  call_.args = {input_views_, output_views_, {buffers_.back().get(), 0, info_.workspace_bytes}};
  call_.label = "bench";
  if (!on_host()) call_.seconds = &seconds_;
  sequence_ = require(device.record(std::span(&call_, 1)), node_.name);
}

void OpRunner::run() {
  require(device_.submit(*sequence_), node_.name);
  require(device_.wait(), node_.name);
}

std::function<void()> device_copy(int64_t bytes) {
  const std::shared_ptr<Buffer> from = require(device().allocate(bytes), "allocate");
  const std::shared_ptr<Buffer> to = require(device().allocate(bytes), "allocate");
  return [=] {
    require(device().copy({to.get(), 0, bytes}, {from.get(), 0, bytes}), "copy");
    require(device().wait(), "copy");
  };
}

double OpRunner::take_seconds() { return std::exchange(seconds_, 0); }

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
double peak_flops() { return g_peak_flops; }
double peak_bytes() { return g_peak_bytes; }

int threads() {
  if (g_threads > 0) return g_threads;
  // The device says it in its name: "..., 2 threads".
  const std::string& name = g_device->info().name;
  const size_t comma = name.rfind(", ");
  const int found = comma == std::string::npos ? 0 : std::atoi(name.c_str() + comma + 2);
  return found > 0 ? found : 1;
}

}  // namespace zoetrope::bench
