#include "converters/store.h"

namespace zoetrope {
namespace {

Result<WeightData> as_dtype(WeightData data, DType dtype) {
  if (data.type.dtype == dtype) return data;
  const int64_t n = data.type.shape.elements();
  auto buffer = std::make_shared<std::vector<uint8_t>>(static_cast<size_t>(n * dtype_size(dtype)));
  for (int64_t i = 0; i < n; ++i)
    store_element(dtype, buffer->data(), i, load_element(data.type.dtype, data.data, i));
  data.type.dtype = dtype;
  data.data = buffer->data();
  data.owner = std::move(buffer);
  return data;
}

}  // namespace

Result<std::vector<TensorSource>> tensor_sources(const WeightMap& map, std::optional<DType> dtype) {
  std::vector<TensorSource> sources;
  for (const std::string& name : map.names()) {
    TensorSource source;
    source.name = name;
    ZT_ASSIGN_OR_RETURN(source.type, map.type(name));
    const DType stored = dtype && is_float(source.type.dtype) ? *dtype : source.type.dtype;
    source.type.dtype = stored;
    source.load = [&map, name, stored]() -> Result<WeightData> {
      ZT_ASSIGN_OR_RETURN(WeightData data, map.load(name));
      return as_dtype(std::move(data), stored);
    };
    sources.push_back(std::move(source));
  }
  return sources;
}

}  // namespace zoetrope
