// cuBLASLt, found at run time: matrix products with a bias and an activation in one call. The
// library is optional and large; nothing links to it.
#pragma once

#include <cublasLt.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "backends/cuda/capabilities.h"
#include "backends/cuda/choices.h"
#include "backends/cuda/kernels/activation.h"
#include "graph/dtype.h"

namespace zoetrope::cuda {

// The functions that we use, as members of their own names without the prefix.
struct LtApi {
#define ZT_LT_FUNCTIONS(X)                                                                        \
  X(Create)                                                                                       \
  X(Destroy)                                                                                      \
  X(GetVersion)                                                                                   \
  X(GetStatusString)                                                                              \
  X(Matmul) X(MatmulAlgoGetHeuristic) X(MatmulAlgoCheck) X(MatmulDescCreate) X(MatmulDescDestroy) \
      X(MatmulDescSetAttribute) X(MatrixLayoutCreate) X(MatrixLayoutDestroy)                      \
          X(MatrixLayoutSetAttribute) X(MatmulPreferenceCreate) X(MatmulPreferenceDestroy)        \
              X(MatmulPreferenceSetAttribute)
#define ZT_LT_MEMBER(name) decltype(&cublasLt##name) name = nullptr;
  ZT_LT_FUNCTIONS(ZT_LT_MEMBER)
#undef ZT_LT_MEMBER

  // Loaded once a process; kUnavailable where there is none, with the names that were tried.
  static const Result<LtApi>& get();
  int version() const { return static_cast<int>(GetVersion()); }  // 130100 for 13.1.0
  Status check(cublasStatus_t status, std::string_view what) const;
};

// c [m, n] = activation(a [m, k] × b + bias): see kernels/matmul.h. Also the name of a choice.
struct LtProblem {
  int64_t m = 0, n = 0, k = 0;
  int64_t batch = 1, step_a = 0, step_b = 0;  // products, and the elements they step in a and b
  bool transpose_b = false;
  DType dtype = DType::kF32;                  // of a and b: f32, f16, bf16, f8e4m3 or i8
  DType out = DType::kF32;                    // as dtype; of f8e4m3 f32, f16 or bf16, of i8 i32
  bool bias = false;                          // [n], of c's dtype
  bool scales = false;                        // f8e4m3: every row of a and of b has an f32 factor
  bool fast_sums = false;                     // f8e4m3: sums may lose bits within the matrix units
  Activation activation = Activation::kNone;  // kNone, kRelu, kGeluTanh

  std::string key() const;
};

struct LtOperands {
  const void *a = nullptr, *b = nullptr, *bias = nullptr;
  const void *a_scales = nullptr, *b_scales = nullptr;
  void *c = nullptr, *workspace = nullptr;
};

// A problem as descriptors, which cuBLASLt reads at every call.
class LtDescriptors {
 public:
  static Result<LtDescriptors> create(const LtApi& api, const LtProblem& problem);
  LtDescriptors(LtDescriptors&& other) noexcept { *this = std::move(other); }
  LtDescriptors& operator=(LtDescriptors&& other) noexcept;
  ~LtDescriptors();

  Status set_operands(const LtOperands& operands) const;

  const LtApi* api = nullptr;
  LtProblem problem;
  cublasLtMatmulDesc_t operation = nullptr;
  cublasLtMatrixLayout_t a = nullptr, b = nullptr, c = nullptr;  // ours, not cuBLASLt's

 private:
  LtDescriptors() = default;
};

// A problem and the algorithms that cuBLASLt proposes for it, best guess first.
struct LtChoice {
  LtDescriptors descriptors;
  std::vector<cublasLtMatmulHeuristicResult_t> candidates = {};
  size_t chosen = 0;
  bool measured = false;
  int64_t workspace_bytes = 0;  // enough for every candidate
};

class CublasLt {
 public:
  static Result<std::unique_ptr<CublasLt>> open(const Capabilities& caps);
  ~CublasLt();

  // The same choice for the same problem, as long as this lives. kUnsupported: no algorithm.
  Result<LtChoice*> choice(const LtProblem& problem);
  // Times the candidates on scratch memory, once for a problem on this machine, and keeps the
  // fastest. Without memory to spare the first guess stays.
  Status choose(LtChoice& choice, cudaStream_t stream);
  Status run(const LtChoice& choice, const LtOperands& operands, cudaStream_t stream) const;

  int version() const { return api_.version(); }

 private:
  CublasLt(const LtApi& api, const Capabilities& caps);
  Status find_candidates(LtChoice& choice);
  Result<size_t> measure(const LtChoice& choice, cudaStream_t stream) const;
  Status run_with(const LtDescriptors& descriptors, const cublasLtMatmulAlgo_t& algorithm,
                  const LtOperands& operands, int64_t workspace, cudaStream_t stream) const;

  const LtApi& api_;
  cublasLtHandle_t handle_ = nullptr;
  const bool measure_;
  const int64_t l2_bytes_;
  Choices choices_;
  std::map<std::string, Result<std::unique_ptr<LtChoice>>> made_;
};

}  // namespace zoetrope::cuda
