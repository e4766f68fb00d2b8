#include <sys/mman.h>

#include <atomic>
#include <map>
#include <mutex>
#include <new>

#include "backends/cpu/gemm/gemm.h"
#include "oneapi/dnnl/dnnl.h"
#include "oneapi/dnnl/dnnl_ukernel.h"

namespace zoetrope::cpu {
namespace {

class SimdBlock : public BlockKernel {
 public:
  SimdBlock(const Simd& simd, const BlockShape& shape) : simd_(simd), shape_(shape) {}
  void run(const void* a, const void* b, const int64_t* offsets, void* c) const override {
    simd_.gemm_f32(static_cast<const float*>(a), shape_.lda, static_cast<const float*>(b),
                   shape_.ldb, offsets, shape_.batch, static_cast<float*>(c), shape_.ldc, shape_.m,
                   shape_.n, shape_.k, shape_.accumulate);
  }

 private:
  const Simd& simd_;
  BlockShape shape_;
};

// Scratch of generated kernels: a few KiB, of use only with tile registers. Grows on a thread's
// first calls.
char* thread_scratch(size_t bytes) {
  thread_local AlignedBytes scratch;
  thread_local size_t size = 0;
  if (bytes > size) {
    scratch = AlignedBytes(static_cast<int64_t>(bytes));
    size = bytes;
  }
  return scratch.get();
}

// Which kernel's tile configuration this thread holds.
thread_local uint64_t tls_configured = 0;

class BrgemmBlock : public BlockKernel {
 public:
  BrgemmBlock(dnnl_brgemm_t kernel, size_t scratch, bool tiles)
      : kernel_(kernel), scratch_(scratch), tiles_(tiles), id_(++next_id()) {}
  ~BrgemmBlock() override { dnnl_brgemm_destroy(kernel_); }
  void run(const void* a, const void* b, const int64_t* offsets, void* c) const override {
    if (tiles_ && tls_configured != id_) {
      dnnl_brgemm_set_hw_context(kernel_);
      tls_configured = id_;
    }
    dnnl_brgemm_execute(kernel_, a, b, offsets, c, scratch_ ? thread_scratch(scratch_) : nullptr);
  }

 private:
  static std::atomic<uint64_t>& next_id() {
    static std::atomic<uint64_t> id{0};
    return id;
  }
  dnnl_brgemm_t kernel_;
  size_t scratch_;
  bool tiles_;
  uint64_t id_;
};

// oneDNN's generator maps its code without looking whether that worked. Asking first makes running
// out of address space an error of ours.
bool room_for_code() {
  constexpr size_t kRoom = 4 << 20;
  void* place = ::mmap(nullptr, kRoom, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (place == MAP_FAILED) return false;
  ::munmap(place, kRoom);
  return true;
}

// What oneDNN says when it finds no memory, whatever it was about.
bool short_of_memory(dnnl_status_t status) {
  return status == dnnl_out_of_memory || status == dnnl_runtime_error;
}

// Null: oneDNN has none of this shape.
Result<std::shared_ptr<const BlockKernel>> make_brgemm(const Context& context,
                                                       const BlockShape& s) {
  const auto no_memory = [] {
    return error(Code::kResourceExhausted, "no memory for a kernel of oneDNN");
  };
  const dnnl_data_type_t type = s.bf16 ? dnnl_bf16 : s.i8 ? dnnl_s8 : dnnl_f32;
  dnnl_brgemm_t kernel = nullptr;
  dnnl_status_t status =
      dnnl_brgemm_create(&kernel, s.m, s.n, s.k, s.batch, s.lda, s.ldb, s.ldc,
                         s.i8 ? dnnl_u8 : type, type, s.i8 ? dnnl_s32 : dnnl_f32);
  // Left behind on purpose where anything fails from here: oneDNN 3.6 and 3.7 crash on destroying
  // a kernel without its code.
  size_t scratch = 0;
  if (status == dnnl_success) status = dnnl_brgemm_set_add_C(kernel, s.accumulate ? 1 : 0);
  if (status == dnnl_success) status = dnnl_brgemm_finalize(kernel);
  if (status == dnnl_success) status = dnnl_brgemm_get_scratchpad_size(kernel, &scratch);
  if (status == dnnl_success && !room_for_code()) return no_memory();
  if (status == dnnl_success) status = dnnl_brgemm_generate(kernel);
  if (short_of_memory(status)) return no_memory();
  if (status != dnnl_success) return std::shared_ptr<const BlockKernel>();
  return std::shared_ptr<const BlockKernel>(
      std::make_shared<BrgemmBlock>(kernel, scratch, (s.bf16 || s.i8) && context.isa >= Isa::kAmx));
}

}  // namespace

void limit_onednn(Isa isa) {
  switch (isa) {
    case Isa::kSse4: (void)dnnl_set_max_cpu_isa(dnnl_cpu_isa_sse41); break;
    case Isa::kAvx2: (void)dnnl_set_max_cpu_isa(dnnl_cpu_isa_avx2); break;
    case Isa::kAvx512: (void)dnnl_set_max_cpu_isa(dnnl_cpu_isa_avx512_core); break;
    case Isa::kAvx512Bf16: (void)dnnl_set_max_cpu_isa(dnnl_cpu_isa_avx512_core_bf16); break;
    case Isa::kAmx: break;
  }
}

bool has_i8_blocks(const Context& context) {
  const auto vnni = static_cast<unsigned>(dnnl_cpu_isa_avx512_core_vnni);
  return context.isa >= Isa::kAvx512 &&
         (static_cast<unsigned>(dnnl_get_effective_cpu_isa()) & vnni) == vnni;
}

Result<std::shared_ptr<const BlockKernel>> BlockKernel::get(const Context& context,
                                                            const BlockShape& shape) {
  static std::mutex mutex;
  static std::map<std::pair<Isa, BlockShape>, std::weak_ptr<const BlockKernel>> made;
  const std::lock_guard lock(mutex);
  std::weak_ptr<const BlockKernel>& known = made[{context.isa, shape}];
  if (auto kernel = known.lock()) return kernel;
  std::shared_ptr<const BlockKernel> kernel;
  if (context.isa >= Isa::kAvx2) {
    ZT_ASSIGN_OR_RETURN(kernel, make_brgemm(context, shape));
  }
  if (kernel == nullptr && (shape.bf16 || shape.i8))
    return error(Code::kInternal, "oneDNN has no ", shape.bf16 ? "bf16" : "i8", " block kernel of ",
                 shape.m, "x", shape.n, "x", shape.k);
  if (kernel == nullptr) kernel = std::make_shared<SimdBlock>(*context.simd, shape);
  known = kernel;
  return kernel;
}

}  // namespace zoetrope::cpu
