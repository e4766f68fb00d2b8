// What a kernel of this backend is, and the table that finds one for a node.
#pragma once

#include <memory>
#include <span>
#include <utility>

#include "backends/cpu/cpu_info.h"
#include "backends/cpu/simd/simd.h"
#include "backends/cpu/thread_pool.h"
#include "runtime/backend/kernel_table.h"

namespace zoetrope::cpu {

using namespace kernel_table;

// What kernels may use. Outlives them.
struct Context {
  Isa isa = Isa::kSse4;
  const Simd* simd = nullptr;
  ThreadPool* pool = nullptr;

  int threads() const { return pool->threads(); }
};

// The operands of one call as host addresses.
class Call {
 public:
  explicit Call(const KernelArgs& args) : args_(args) {}

  bool has(size_t i) const { return i < args_.inputs.size() && args_.inputs[i].buffer != nullptr; }
  template <typename T = void>
  const T* input(size_t i) const {
    return has(i) ? static_cast<const T*>(address(args_.inputs[i])) : nullptr;
  }
  template <typename T = void>
  T* output(size_t i = 0) const {
    return static_cast<T*>(address(args_.outputs[i]));
  }
  template <typename T = char>
  T* workspace(int64_t offset = 0) const {
    return reinterpret_cast<T*>(static_cast<char*>(address(args_.workspace)) + offset);
  }

 private:
  static void* address(const BufferView& view) {
    return static_cast<char*>(view.buffer->host_data()) + view.offset;
  }
  const KernelArgs& args_;
};

// Prepared in two steps: a row's prepare() fixes everything that shapes and dtypes decide and fills
// `info`; generate() then makes code. pack() needs the first step alone. run() never allocates.
class CpuKernel : public Kernel {
 public:
  explicit CpuKernel(const Context& context) : context_(context) {}

  virtual Status generate() { return Status(); }
  // Fills `to` with the one weight that info.packed names.
  virtual void pack(const HostTensor&, char*) const {}
  virtual Status run(const Call& call) const = 0;

  KernelInfo info;

 protected:
  const Simd& simd() const { return *context_.simd; }
  ThreadPool& pool() const { return *context_.pool; }
  const Context& context() const { return context_; }

 private:
  const Context& context_;
};

using Prepared = Result<std::unique_ptr<CpuKernel>>;

// A kernel that is one function of its operands: body(call, context).
template <typename Body>
class SimpleKernel : public CpuKernel {
 public:
  SimpleKernel(const Context& context, Body body) : CpuKernel(context), body_(std::move(body)) {}
  Status run(const Call& call) const override {
    body_(call, context());
    return Status();
  }

 private:
  Body body_;
};

template <typename Body>
std::unique_ptr<CpuKernel> simple_kernel(const Context& context, int64_t workspace_bytes,
                                         Body body) {
  auto kernel = std::make_unique<SimpleKernel<Body>>(context, std::move(body));
  kernel->info.workspace_bytes = workspace_bytes;
  return kernel;
}

// One line of the kernel table. The first row that matches a node wins.
struct TableRow {
  OpKind op;
  const char* name;  // prefix of the kernel's name in plans and profiles
  Isa isa;           // the least instruction set
  bool (*accepts)(const KernelRequest& request);  // dtypes, shapes and attributes; null: all
  // Weight inputs are read as they are unless it says otherwise in info.packed.
  Prepared (*prepare)(const KernelRequest& request, const Context& context);
};

// The families, in the order in which the table lists them.
std::span<const TableRow> matmul_table();
std::span<const TableRow> conv_table();
std::span<const TableRow> conv_transpose_table();
std::span<const TableRow> attention_table();
std::span<const TableRow> norm_table();
std::span<const TableRow> norm_rows_table();
std::span<const TableRow> fused_table();
std::span<const TableRow> elementwise_table();
std::span<const TableRow> reduce_table();
std::span<const TableRow> layout_table();
std::span<const TableRow> resample_table();
std::span<const TableRow> quantize_rows_table();
std::span<const TableRow> dequantize_table();
std::span<const TableRow> quantized_matmul_table();
std::span<const TableRow> reference_table();

// Every row: its op and name.
std::vector<std::string> kernel_rows();

// kUnsupported when no row matches.
Prepared prepare_kernel(const KernelRequest& request, const Context& context);

// Rounded up to a multiple of `to`.
inline int64_t align_up(int64_t bytes, int64_t to = 64) { return (bytes + to - 1) / to * to; }
inline size_t idx(int64_t i) { return static_cast<size_t>(i); }

}  // namespace zoetrope::cpu
