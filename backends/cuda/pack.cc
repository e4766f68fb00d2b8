#include "backends/cuda/pack.h"

#include <algorithm>

#include "backends/cuda/kernels/convert.h"

namespace zoetrope::cuda {

namespace {
constexpr std::string_view kPrefix = "as_";
}

std::string layout_as(DType dtype) { return str(kPrefix, dtype_name(dtype)); }

Result<DType> dtype_of_layout(std::string_view layout) {
  if (!layout.starts_with(kPrefix)) return error(Code::kInternal, "no layout '", layout, "'");
  return parse_dtype(layout.substr(kPrefix.size()));
}

Status pack_weight(const Context& context, const HostTensor& weight, DType dtype, char* to) {
  const int64_t count = weight.type.shape.elements();
  const auto* from = static_cast<const char*>(weight.data);
  if (count == 0) return Status();
  if (weight.type.dtype == dtype) {
    ZT_RETURN_IF_ERROR(context.transfer->upload(to, from, count * dtype_size(dtype)));
    return context.transfer->wait();
  }
  const int64_t size = dtype_size(weight.type.dtype);
  const int64_t part = std::min(count, (int64_t{16} << 20) / size);
  ZT_ASSIGN_OR_RETURN(const DeviceMemory raw, DeviceMemory::allocate(part * size));
  for (int64_t at = 0; at < count; at += part) {
    const int64_t now = std::min(part, count - at);
    ZT_RETURN_IF_ERROR(context.transfer->upload(raw.data(), from + at * size, now * size));
    ZT_RETURN_IF_ERROR(context.transfer->wait());
    ZT_RETURN_IF_ERROR(check(convert(weight.type.dtype, raw.data(), dtype,
                                     to + at * dtype_size(dtype), now, context.stream),
                             "converting a weight"));
    ZT_RETURN_IF_ERROR(check(cudaStreamSynchronize(context.stream), "converting a weight"));
  }
  return Status();
}

}  // namespace zoetrope::cuda
