// Times one op of a backend: makes the node, packs random weights, and submits it again and again.
// On the host a run is one call. On a device it is a sequence of many, each timed by the device's
// own clock, on operands that take turns so that no cache holds them, right after a load that
// brings the clocks up.
#pragma once

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
  // The median of what a device measured of single calls: launches and waits left out.
  double median_seconds();
  const KernelInfo& info() const { return info_; }
  Cost cost() const { return cost_; }

 private:
  // Operands of one call.
  struct Set {
    std::vector<std::unique_ptr<Buffer>> buffers;
    std::vector<BufferView> inputs, outputs;
    BufferView workspace;
  };
  void add_set();
  std::unique_ptr<Sequence> record(size_t calls, std::vector<double>* seconds);

  Device& device_;
  Node node_;
  std::vector<TensorType> types_, outputs_;
  KernelRequest request_;  // points into node_, types_ and outputs_
  std::vector<std::unique_ptr<Set>> sets_;
  KernelInfo info_;
  std::unique_ptr<Kernel> kernel_;
  std::unique_ptr<Sequence> sequence_;
  Cost cost_;
};

// The device under test, opened once: --device, --threads and --target of the command line.
Device& device();
int threads();
// Whether the device is the host's own processor, whose time is everybody's.
bool on_host();
// What rates are fractions of: --peak_tflops and --peak_gbs, what the best program reaches on this
// device. Without: the best rate told so far of each (a device's plain copy, its best product).
double peak_flops();
double peak_bytes();
void tell_rates(double flops, double bytes);
// Reads our flags and leaves Google Benchmark's.
void init(int* argc, char** argv);
// Ends the process at once: registered benchmarks hold buffers until then, and a GPU's driver takes
// itself down before static objects go.
[[noreturn]] void finish(int status);

// Seconds that the device under test, not the host, takes to copy `bytes` to another buffer.
double device_copy_seconds(int64_t bytes);

// Random bytes of a tensor: floats in [-1, 1), i8 of all sizes, other integers zero.
std::vector<char> random_tensor(const TensorType& type, uint64_t seed);

}  // namespace zoetrope::bench
