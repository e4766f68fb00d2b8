#include "graph/elements.h"

namespace zoetrope {
namespace {

template <typename T>
void load_as(const void* data, int64_t count, double* to) {
  for (int64_t i = 0; i < count; ++i) {
    T value;
    std::memcpy(&value, static_cast<const char*>(data) + i * static_cast<int64_t>(sizeof(T)),
                sizeof(T));
    to[i] = static_cast<double>(value);
  }
}

}  // namespace

void load_elements(DType dtype, const void* data, int64_t count, double* to) {
  switch (dtype) {
    case DType::kF32: return load_as<float>(data, count, to);
    case DType::kF64: return load_as<double>(data, count, to);
    case DType::kI32: return load_as<int32_t>(data, count, to);
    default:
      for (int64_t i = 0; i < count; ++i) to[i] = load_element(dtype, data, i);
  }
}

void store_elements(DType dtype, void* data, int64_t count, const double* from) {
  if (dtype == DType::kF32) {
    for (int64_t i = 0; i < count; ++i) {
      const auto value = static_cast<float>(from[i]);
      std::memcpy(static_cast<char*>(data) + i * 4, &value, 4);
    }
    return;
  }
  for (int64_t i = 0; i < count; ++i) store_element(dtype, data, i, from[i]);
}

}  // namespace zoetrope
