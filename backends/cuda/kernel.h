// What a kernel of this backend is, and the table that finds one for a node.
#pragma once

#include <memory>
#include <span>
#include <utility>

#include "backends/cuda/capabilities.h"
#include "backends/cuda/transfer.h"
#include "runtime/backend/kernel_table.h"

namespace zoetrope::cuda {

using namespace kernel_table;

class CublasLt;

// What kernels may use. Outlives them.
struct Context {
  Capabilities caps;
  cudaStream_t stream = nullptr;  // everything is launched (and captured) here
  Transfer* transfer = nullptr;
  CublasLt* cublaslt = nullptr;  // null: not there
};

// Buffers of this backend, counted in `*allocated`.
class DeviceBuffer : public Buffer {
 public:
  DeviceBuffer(DeviceMemory memory, int64_t* allocated)
      : memory_(std::move(memory)), allocated_(allocated) {
    *allocated_ += memory_.bytes();
  }
  ~DeviceBuffer() override { *allocated_ -= memory_.bytes(); }
  int64_t bytes() const override { return memory_.bytes(); }
  void* host_data() override { return nullptr; }
  char* data() const { return memory_.data(); }

 private:
  DeviceMemory memory_;
  int64_t* allocated_;
};

inline char* address(const BufferView& view) {
  return static_cast<const DeviceBuffer*>(view.buffer)->data() + view.offset;
}

// The operands of one call as device addresses, and the stream to launch on.
class Call {
 public:
  Call(const KernelArgs& args, cudaStream_t stream) : stream(stream), args_(args) {}

  bool has(size_t i) const { return i < args_.inputs.size() && args_.inputs[i].buffer != nullptr; }
  template <typename T = void>
  const T* input(size_t i) const {  // null: absent
    return has(i) ? reinterpret_cast<const T*>(address(args_.inputs[i])) : nullptr;
  }
  template <typename T = void>
  T* output(size_t i = 0) const {
    return reinterpret_cast<T*>(address(args_.outputs[i]));
  }
  template <typename T = char>
  T* workspace(int64_t offset = 0) const {  // null: the kernel asked for none
    if (args_.workspace.buffer == nullptr) return nullptr;
    return reinterpret_cast<T*>(address(args_.workspace) + offset);
  }

  const cudaStream_t stream;

 private:
  const KernelArgs& args_;
};

// Prepared in two steps: a row's prepare() fixes everything that shapes and dtypes decide and fills
// `info`, without touching the device; choose() decides what has to be measured on it. launch()
// only enqueues: it may be captured into a graph, so it neither allocates, waits nor reads the
// host's memory later.
class CudaKernel : public Kernel {
 public:
  explicit CudaKernel(const Context& context) : context_(context) {}

  virtual Status choose() { return Status(); }
  virtual Status launch(const Call& call) const = 0;

  KernelInfo info;

 protected:
  const Context& context() const { return context_; }

 private:
  const Context& context_;
};

using Prepared = Result<std::unique_ptr<CudaKernel>>;

// A kernel that is one function of its operands: cudaError_t body(call).
template <typename Body>
class SimpleKernel : public CudaKernel {
 public:
  SimpleKernel(const Context& context, Body body) : CudaKernel(context), body_(std::move(body)) {}
  Status launch(const Call& call) const override { return check(body_(call), "launching"); }

 private:
  Body body_;
};

template <typename Body>
std::unique_ptr<CudaKernel> simple_kernel(const Context& context, int64_t workspace_bytes,
                                          Body body) {
  auto kernel = std::make_unique<SimpleKernel<Body>>(context, std::move(body));
  kernel->info.workspace_bytes = workspace_bytes;
  return kernel;
}

// One line of the kernel table. The first row that matches a node wins.
struct TableRow {
  OpKind op;
  const char* name;  // the kernel's name in plans and profiles, unless info.name says more
  // Dtypes, shapes, attributes and the device; null: all.
  bool (*accepts)(const KernelRequest& request, const Capabilities& caps);
  // Weight inputs are read as they are unless it says otherwise in info.packed.
  Prepared (*prepare)(const KernelRequest& request, const Context& context);
};

// The families, in the order in which the table lists them.
std::span<const TableRow> matmul_table();
std::span<const TableRow> conv_table();
std::span<const TableRow> conv_transpose_table();
std::span<const TableRow> attention_table();
std::span<const TableRow> norm_table();
std::span<const TableRow> fused_table();
std::span<const TableRow> reduce_table();
std::span<const TableRow> elementwise_table();
std::span<const TableRow> layout_table();
std::span<const TableRow> resample_table();
std::span<const TableRow> quantized_table();
std::span<const TableRow> dequantize_table();

// Every row: its op and name.
std::vector<std::string> kernel_rows();

// kUnsupported when no row matches.
Prepared prepare_kernel(const KernelRequest& request, const Context& context);

inline int64_t align_up(int64_t bytes, int64_t to = 256) { return ceil_div(bytes, to) * to; }

}  // namespace zoetrope::cuda
