// Times one op of a backend: makes the node, packs random weights, and submits it again and again.
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
  std::unique_ptr<Sequence> sequence_;
  Cost cost_;
};

// The device under test, opened once: --device, --threads and --target (instruction set) of the
// command line.
Device& device();
int threads();
// Reads our flags and leaves Google Benchmark's.
void init(int* argc, char** argv);

// Random bytes of a tensor: floats in [-1, 1), integers zero.
std::vector<char> random_tensor(const TensorType& type, uint64_t seed);

}  // namespace zoetrope::bench
