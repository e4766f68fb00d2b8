// Times one op of a backend: makes the node, packs random weights, and submits it again and again.
#pragma once

#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "runtime/backend/registry.h"

namespace zoetrope::bench {

struct Operand {
  TensorType type;
  bool weight = false;
};

class OpRunner {
 public:
  // Ends the program with a message when the backend has no kernel for the op: a benchmark has no
  // other caller to tell.
  OpRunner(Device& device, OpKind op, std::vector<Operand> operands, Attrs attrs = {});
  void run();
  // What the device itself measured for the runs since the last call: launches and waits left out.
  double take_seconds();
  const KernelInfo& info() const { return info_; }
  Cost cost() const { return cost_; }

 private:
  Device& device_;
  Node node_;
  std::vector<TensorType> types_, outputs_;
  std::vector<std::unique_ptr<Buffer>> buffers_;
  std::vector<BufferView> input_views_, output_views_;
  KernelInfo info_;
  std::unique_ptr<Kernel> kernel_;
  KernelCall call_;
  double seconds_ = 0;
  std::unique_ptr<Sequence> sequence_;
  Cost cost_;
};

// The device under test, opened once: --device, --threads and --target of the command line.
Device& device();
int threads();
// Whether the device is the host's own processor, whose time is everybody's.
bool on_host();
// --peak_tflops and --peak_gbs: what the best program reaches on this device; 0 when not given.
double peak_flops();
double peak_bytes();
// Reads our flags and leaves Google Benchmark's.
void init(int* argc, char** argv);
// Ends the process at once: registered benchmarks hold buffers until then, and a GPU's driver takes
// itself down before static objects go.
[[noreturn]] void finish(int status);

// Copies `bytes` from one buffer of the device under test to another.
std::function<void()> device_copy(int64_t bytes);

// Random bytes of a tensor: floats in [-1, 1), integers zero.
std::vector<char> random_tensor(const TensorType& type, uint64_t seed);

}  // namespace zoetrope::bench
