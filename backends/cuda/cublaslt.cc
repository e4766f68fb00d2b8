#include "backends/cuda/cublaslt.h"

#include <dlfcn.h>

#include <algorithm>
#include <bit>

namespace zoetrope::cuda {
namespace {

// What an algorithm may take of the arena.
constexpr uint64_t kMaxWorkspace = uint64_t{32} << 20;
constexpr int kMaxCandidates = 16;

constexpr const char* kLibraries[] = {"libcublasLt.so.13", "libcublasLt.so.12",
                                      "/usr/local/cuda/lib64/libcublasLt.so.13",
                                      "/usr/local/cuda/lib64/libcublasLt.so.12"};

Result<LtApi> load() {
  void* library = nullptr;
  std::string tried;
  for (const char* name : kLibraries) {
    if ((library = dlopen(name, RTLD_LAZY | RTLD_LOCAL)) != nullptr) break;
    tried += str(tried.empty() ? "" : ", ", name);
  }
  if (library == nullptr)
    return error(Code::kUnavailable, "cuBLASLt is not installed (tried ", tried, ")");
  LtApi api;
#define ZT_LT_LOAD(name)                                                             \
  api.name = reinterpret_cast<decltype(api.name)>(dlsym(library, "cublasLt" #name)); \
  if (api.name == nullptr)                                                           \
    return error(Code::kUnavailable, "this cuBLASLt lacks the function cublasLt" #name);
  ZT_LT_FUNCTIONS(ZT_LT_LOAD)
#undef ZT_LT_LOAD
  return api;
}

cudaDataType data_type(DType dtype) {
  switch (dtype) {
    case DType::kF16: return CUDA_R_16F;
    case DType::kBF16: return CUDA_R_16BF;
    case DType::kF8E4M3: return CUDA_R_8F_E4M3;
    case DType::kI8: return CUDA_R_8I;
    case DType::kI32: return CUDA_R_32I;
    default: return CUDA_R_32F;
  }
}

cublasLtEpilogue_t epilogue_of(const LtProblem& p) {
  switch (p.activation) {
    case Activation::kRelu: return p.bias ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_RELU;
    case Activation::kGeluTanh:
      return p.bias ? CUBLASLT_EPILOGUE_GELU_BIAS : CUBLASLT_EPILOGUE_GELU;
    default: return p.bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
  }
}

// What every product's address is a multiple of, where the first one's is of 256.
uint32_t alignment_of(int64_t step, int64_t batch, DType dtype) {
  if (batch == 1 || step == 0) return 256;
  const auto bytes = static_cast<uint64_t>(step * dtype_size(dtype));
  return 1u << std::min(std::countr_zero(bytes), 8);
}

}  // namespace

const Result<LtApi>& LtApi::get() {
  static const Result<LtApi> api = load();
  return api;
}

Status LtApi::check(cublasStatus_t status, std::string_view what) const {
  if (status == CUBLAS_STATUS_SUCCESS) return Status();
  const Code code = status == CUBLAS_STATUS_NOT_SUPPORTED || status == CUBLAS_STATUS_INVALID_VALUE
                        ? Code::kUnsupported
                        : Code::kUnavailable;
  return error(code, "cuBLASLt, ", what, ": ", GetStatusString(status));
}

std::string LtProblem::key() const {
  return str(dtype_name(dtype), ' ', dtype_name(out), ' ', m, 'x', k, 'x', n,
             transpose_b ? "t" : "", ' ', batch, ' ', step_a, ' ', step_b, bias ? " bias" : "",
             scales ? " scales" : "", fast_sums ? " fast" : "", ' ', static_cast<int>(activation));
}

LtDescriptors& LtDescriptors::operator=(LtDescriptors&& other) noexcept {
  std::swap(api, other.api);
  std::swap(problem, other.problem);
  std::swap(operation, other.operation);
  std::swap(a, other.a);
  std::swap(b, other.b);
  std::swap(c, other.c);
  return *this;
}

LtDescriptors::~LtDescriptors() {
  if (api == nullptr) return;
  for (cublasLtMatrixLayout_t layout : {a, b, c})
    if (layout != nullptr) (void)api->MatrixLayoutDestroy(layout);
  if (operation != nullptr) (void)api->MatmulDescDestroy(operation);
}

// cuBLASLt's matrices are column major: its product is ours transposed, cᵀ = bᵀ × aᵀ.
Result<LtDescriptors> LtDescriptors::create(const LtApi& api, const LtProblem& p) {
  LtDescriptors d;
  d.api = &api;
  d.problem = p;
  const bool integers = p.dtype == DType::kI8;
  ZT_RETURN_IF_ERROR(api.check(
      api.MatmulDescCreate(&d.operation, integers ? CUBLAS_COMPUTE_32I : CUBLAS_COMPUTE_32F,
                           integers ? CUDA_R_32I : CUDA_R_32F),
      "describing a product"));
  const auto set = [&](cublasLtMatmulDescAttributes_t attribute, const auto& value) {
    return api.check(api.MatmulDescSetAttribute(d.operation, attribute, &value, sizeof(value)),
                     "describing a product");
  };
  ZT_RETURN_IF_ERROR(set(CUBLASLT_MATMUL_DESC_TRANSA,
                         static_cast<int32_t>(p.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N)));
  ZT_RETURN_IF_ERROR(set(CUBLASLT_MATMUL_DESC_TRANSB, static_cast<int32_t>(CUBLAS_OP_N)));
  ZT_RETURN_IF_ERROR(set(CUBLASLT_MATMUL_DESC_EPILOGUE, static_cast<uint32_t>(epilogue_of(p))));
  if (p.bias)
    ZT_RETURN_IF_ERROR(
        set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, static_cast<int32_t>(data_type(p.out))));
  if (p.scales) {
    const int32_t mode = CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F;
    ZT_RETURN_IF_ERROR(set(CUBLASLT_MATMUL_DESC_A_SCALE_MODE, mode));
    ZT_RETURN_IF_ERROR(set(CUBLASLT_MATMUL_DESC_B_SCALE_MODE, mode));
  }
  if (p.fast_sums) ZT_RETURN_IF_ERROR(set(CUBLASLT_MATMUL_DESC_FAST_ACCUM, int8_t{1}));
  // The heuristics want to know that these will be there.
  const auto some = reinterpret_cast<const void*>(uintptr_t{256});
  ZT_RETURN_IF_ERROR(d.set_operands({.bias = some, .a_scales = some, .b_scales = some}));

  const auto layout = [&](cublasLtMatrixLayout_t* made, DType dtype, int64_t rows, int64_t columns,
                          int64_t step) {
    ZT_RETURN_IF_ERROR(
        api.check(api.MatrixLayoutCreate(made, data_type(dtype), static_cast<uint64_t>(rows),
                                         static_cast<uint64_t>(columns), rows),
                  "describing a matrix"));
    if (p.batch == 1) return Status();
    const auto count = static_cast<int32_t>(p.batch);
    ZT_RETURN_IF_ERROR(
        api.check(api.MatrixLayoutSetAttribute(*made, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count,
                                               sizeof(count)),
                  "describing a matrix"));
    return api.check(api.MatrixLayoutSetAttribute(
                         *made, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &step, sizeof(step)),
                     "describing a matrix");
  };
  ZT_RETURN_IF_ERROR(layout(&d.a, p.dtype, p.k, p.m, p.step_a));
  ZT_RETURN_IF_ERROR(p.transpose_b ? layout(&d.b, p.dtype, p.k, p.n, p.step_b)
                                   : layout(&d.b, p.dtype, p.n, p.k, p.step_b));
  ZT_RETURN_IF_ERROR(layout(&d.c, p.out, p.n, p.m, p.m * p.n));
  return d;
}

Status LtDescriptors::set_operands(const LtOperands& operands) const {
  const auto set = [&](cublasLtMatmulDescAttributes_t attribute, const void* pointer) {
    return api->check(api->MatmulDescSetAttribute(operation, attribute, &pointer, sizeof(pointer)),
                      "naming an operand");
  };
  if (problem.bias) ZT_RETURN_IF_ERROR(set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, operands.bias));
  if (problem.scales) {
    ZT_RETURN_IF_ERROR(set(CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, operands.b_scales));
    ZT_RETURN_IF_ERROR(set(CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, operands.a_scales));
  }
  return Status();
}

CublasLt::CublasLt(const LtApi& api, const Capabilities& caps)
    : api_(api),
      measure_(!caps.switches.no_measure),
      l2_bytes_(caps.l2_bytes),
      choices_(measure_ ? cache_path([&] {
        std::string name = str("cublaslt-", api.version(), "-driver-", caps.driver_version, '-',
                               caps.name, ".txt");
        std::replace_if(
            name.begin(), name.end(), [](char c) { return c == ' ' || c == '/'; }, '-');
        return name;
      }())
                        : std::string()) {}

Result<std::unique_ptr<CublasLt>> CublasLt::open(const Capabilities& caps) {
  const Result<LtApi>& api = LtApi::get();
  if (!api.ok()) return api.status();
  std::unique_ptr<CublasLt> made(new CublasLt(*api, caps));
  ZT_RETURN_IF_ERROR(api->check(api->Create(&made->handle_), "opening the library"));
  return made;
}

CublasLt::~CublasLt() {
  made_.clear();
  if (handle_ != nullptr) (void)api_.Destroy(handle_);
}

Result<LtChoice*> CublasLt::choice(const LtProblem& problem) {
  const std::string key = problem.key();
  auto found = made_.find(key);
  if (found == made_.end()) {
    const auto make = [&]() -> Result<std::unique_ptr<LtChoice>> {
      ZT_ASSIGN_OR_RETURN(LtDescriptors descriptors, LtDescriptors::create(api_, problem));
      auto choice = std::make_unique<LtChoice>(LtChoice{.descriptors = std::move(descriptors)});
      ZT_RETURN_IF_ERROR(find_candidates(*choice));
      return choice;
    };
    found = made_.emplace(key, make()).first;
  }
  if (!found->second.ok()) return found->second.status();
  return found->second->get();
}

Status CublasLt::find_candidates(LtChoice& choice) {
  const LtDescriptors& d = choice.descriptors;
  const LtProblem& p = d.problem;
  cublasLtMatmulPreference_t preference = nullptr;
  ZT_RETURN_IF_ERROR(
      api_.check(api_.MatmulPreferenceCreate(&preference), "looking for an algorithm"));
  Status status;
  const auto set = [&](cublasLtMatmulPreferenceAttributes_t attribute, const auto& value) {
    if (status.ok())
      status = api_.check(
          api_.MatmulPreferenceSetAttribute(preference, attribute, &value, sizeof(value)),
          "looking for an algorithm");
  };
  set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, kMaxWorkspace);
  // Parts of a sum are added in f32 and in one order, so that results never vary.
  set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
      static_cast<uint32_t>(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment_of(p.step_b, p.batch, p.dtype));
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment_of(p.step_a, p.batch, p.dtype));
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignment_of(p.m * p.n, p.batch, p.out));
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignment_of(p.m * p.n, p.batch, p.out));
  choice.candidates.resize(kMaxCandidates);
  int count = 0;
  if (status.ok())
    status =
        api_.check(api_.MatmulAlgoGetHeuristic(handle_, d.operation, d.b, d.a, d.c, d.c, preference,
                                               kMaxCandidates, choice.candidates.data(), &count),
                   "looking for an algorithm");
  (void)api_.MatmulPreferenceDestroy(preference);
  ZT_RETURN_IF_ERROR(status);
  choice.candidates.resize(static_cast<size_t>(count));
  std::erase_if(choice.candidates, [](const auto& c) { return c.state != CUBLAS_STATUS_SUCCESS; });
  if (choice.candidates.empty())
    return error(Code::kUnsupported, "cuBLASLt has no algorithm for ", p.key());
  for (const auto& c : choice.candidates)
    choice.workspace_bytes =
        std::max(choice.workspace_bytes, static_cast<int64_t>(c.workspaceSize));
  return Status();
}

Status CublasLt::run_with(const LtDescriptors& d, const cublasLtMatmulAlgo_t& algorithm,
                          const LtOperands& operands, int64_t workspace,
                          cudaStream_t stream) const {
  ZT_RETURN_IF_ERROR(d.set_operands(operands));
  const float one = 1, zero = 0;
  const int32_t one_i = 1, zero_i = 0;
  const bool integers = d.problem.dtype == DType::kI8;
  const void* alpha = integers ? static_cast<const void*>(&one_i) : &one;
  const void* beta = integers ? static_cast<const void*>(&zero_i) : &zero;
  return api_.check(
      api_.Matmul(handle_, d.operation, alpha, operands.b, d.b, operands.a, d.a, beta, operands.c,
                  d.c, operands.c, d.c, &algorithm, workspace > 0 ? operands.workspace : nullptr,
                  static_cast<size_t>(workspace), stream),
      "multiplying");
}

Status CublasLt::run(const LtChoice& choice, const LtOperands& operands,
                     cudaStream_t stream) const {
  return run_with(choice.descriptors, choice.candidates[choice.chosen].algo, operands,
                  choice.workspace_bytes, stream);
}

}  // namespace zoetrope::cuda
