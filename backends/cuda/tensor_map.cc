#include "backends/cuda/tensor_map.h"

namespace zoetrope::cuda {
namespace {

using Encode = decltype(&cuTensorMapEncodeTiled);

// The driver's function, found through the runtime: nothing links to the driver.
Result<Encode> find_encode() {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found;
  ZT_RETURN_IF_ERROR(check(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function,
                                                            12000, cudaEnableDefault, &found),
                           "looking for cuTensorMapEncodeTiled"));
  if (found != cudaDriverEntryPointSuccess || function == nullptr)
    return error(Code::kUnavailable, "the driver lacks cuTensorMapEncodeTiled: update it");
  return reinterpret_cast<Encode>(function);
}

CUtensorMapDataType data_type(DType dtype) {
  switch (dtype) {
    case DType::kF32: return CU_TENSOR_MAP_DATA_TYPE_FLOAT32;
    case DType::kF16: return CU_TENSOR_MAP_DATA_TYPE_FLOAT16;
    case DType::kBF16: return CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
    default: return CU_TENSOR_MAP_DATA_TYPE_UINT8;
  }
}

}  // namespace

Status make_tensor_map(const TensorBox& tensor, CUtensorMap* map) {
  static const Result<Encode> encode = find_encode();
  if (!encode.ok()) return encode.status();
  std::array<cuuint64_t, 5> extents{}, steps{};
  std::array<cuuint32_t, 5> box{}, every{};
  for (size_t d = 0; d < static_cast<size_t>(tensor.rank); ++d) {
    extents[d] = static_cast<cuuint64_t>(tensor.extents[d]);
    every[d] = static_cast<cuuint32_t>(tensor.every[d]);
    box[d] = static_cast<cuuint32_t>(tensor.box[d]) * every[d];
    if (d > 0) steps[d - 1] = static_cast<cuuint64_t>(tensor.steps[d] * dtype_size(tensor.dtype));
  }
  const CUresult result =
      (*encode)(map, data_type(tensor.dtype), static_cast<cuuint32_t>(tensor.rank),
                const_cast<void*>(tensor.data), extents.data(), steps.data(), box.data(),
                every.data(), CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (result != CUDA_SUCCESS)
    return error(Code::kInternal, "describing a tensor to the copy engine: driver error ",
                 static_cast<int>(result));
  return Status();
}

}  // namespace zoetrope::cuda
