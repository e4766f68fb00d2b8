#include "converters/store.h"

#include <cmath>
#include <cstring>
#include <iterator>
#include <memory>
#include <optional>
#include <set>

#include "converters/encoded.h"
#include "graph/format/recipe.h"
#include "graph/passes/fold_weights.h"

namespace zoetrope {
namespace {

// Reads and writes one element through f32, inlined for the dtypes that checkpoints have.
template <typename Load, typename Store>
bool convert_all(int64_t n, const Load& load, const Store& store) {
  bool finite = true;
  for (int64_t i = 0; i < n; ++i) {
    const float value = load(i);
    finite &= std::isfinite(value);
    store(i, value);
  }
  return finite;
}

template <typename Load>
bool convert_to(DType dtype, uint8_t* to, int64_t n, const Load& load) {
  switch (dtype) {
    case DType::kF32:
      return convert_all(n, load, [&](int64_t i, float v) { std::memcpy(to + i * 4, &v, 4); });
    case DType::kBF16:
      return convert_all(n, load, [&](int64_t i, float v) {
        const uint16_t bits = f32_to_bf16(v);
        std::memcpy(to + i * 2, &bits, 2);
      });
    case DType::kF16:
      return convert_all(n, load, [&](int64_t i, float v) {
        const uint16_t bits = f32_to_f16(v);
        std::memcpy(to + i * 2, &bits, 2);
      });
    default:
      return convert_all(n, load, [&](int64_t i, float v) { store_element(dtype, to, i, v); });
  }
}

template <typename T>
T read_as(const uint8_t* data, int64_t i) {
  T value;
  std::memcpy(&value, data + i * static_cast<int64_t>(sizeof(T)), sizeof(T));
  return value;
}

// Of 2-byte floats whose exponent's bits, all set in what is not finite, are `exponent`.
bool all_finite(const uint8_t* data, int64_t n, uint16_t exponent) {
  bool finite = true;
  for (int64_t i = 0; i < n; ++i) finite &= (read_as<uint16_t>(data, i) & exponent) != exponent;
  return finite;
}

// False where a value is not finite, before or after.
bool convert_floats(const WeightData& from, DType dtype, uint8_t* to) {
  const auto* data = static_cast<const uint8_t*>(from.data);
  const int64_t n = from.type.shape.elements();
  bool finite = true;
  switch (from.type.dtype) {
    case DType::kF32:
      finite = convert_to(dtype, to, n, [&](int64_t i) { return read_as<float>(data, i); });
      break;
    case DType::kBF16:
      finite = convert_to(dtype, to, n,
                          [&](int64_t i) { return bf16_to_f32(read_as<uint16_t>(data, i)); });
      break;
    case DType::kF16:
      finite = convert_to(dtype, to, n,
                          [&](int64_t i) { return f16_to_f32(read_as<uint16_t>(data, i)); });
      break;
    default:
      for (int64_t i = 0; i < n; ++i) {  // through double: f64 must not be rounded twice
        store_element(dtype, to, i, load_element(from.type.dtype, data, i));
      }
  }
  // A value too large for its new dtype has become infinity (or NaN, where there is none).
  switch (dtype) {
    case DType::kF16: return finite && all_finite(to, n, 0x7c00);
    case DType::kBF16: return finite && all_finite(to, n, 0x7f80);
    case DType::kF32:
      for (int64_t i = 0; i < n; ++i) finite &= std::isfinite(read_as<float>(to, i));
      return finite;
    default:
      for (int64_t i = 0; finite && i < n; ++i) finite = std::isfinite(load_element(dtype, to, i));
      return finite;
  }
}

Result<WeightData> as_dtype(WeightData data, DType dtype) {
  if (!is_float(data.type.dtype)) return data;
  const DType from = data.type.dtype;
  auto buffer = std::make_shared<std::vector<uint8_t>>(
      static_cast<size_t>(data.type.shape.elements() * dtype_size(dtype)));
  if (!convert_floats(data, dtype, buffer->data()))
    return error(Code::kDataLoss, "holds NaN or infinity",
                 dtype == from ? ""
                               : str(", or values too large for ", dtype_name(dtype),
                                     "; another --dtype may hold them"));
  if (dtype == from) return data;
  data.type.dtype = dtype;
  data.data = buffer->data();
  data.owner = std::move(buffer);
  return data;
}

// A part while it is written: its graphs folded, its weights under the part's scope.
class StoredPart {
 public:
  static Result<std::unique_ptr<StoredPart>> create(ModelPart part, bool widen) {
    std::unique_ptr<StoredPart> stored(new StoredPart(std::move(part)));
    for (Graph& component : stored->part_.components) {
      ZT_ASSIGN_OR_RETURN(FoldedGraph result, fold_weights(component));
      component = std::move(result.graph);
      std::move(result.weights.begin(), result.weights.end(), std::back_inserter(stored->folded_));
    }
    stored->folded_weights_.emplace(*stored->part_.weights, stored->folded_);
    stored->weights_.emplace(*stored->folded_weights_);
    if (widen) return stored;
    for (Graph& component : stored->part_.components) {
      ZT_ASSIGN_OR_RETURN(component, stored->weights_->read(component));
    }
    return stored;
  }

  Status add_tensors(std::optional<DType> dtype, std::vector<TensorSource>* tensors) {
    std::set<std::string> names;
    const std::string scope = part_.scope.empty() ? "" : part_.scope + "/";
    for (Graph& component : part_.components)
      for (ValueId id : component.weights()) {
        std::string& name = component.values[static_cast<size_t>(id)].name;
        names.insert(name);
        name = scope + name;
      }
    for (const std::string& name : names) {
      TensorSource source;
      source.name = scope + name;
      ZT_ASSIGN_OR_RETURN(source.type, weights_->type(name));
      if (dtype && is_float(source.type.dtype)) source.type.dtype = *dtype;
      source.load = [this, name, stored = source.type.dtype]() -> Result<WeightData> {
        ZT_ASSIGN_OR_RETURN(WeightData data, weights_->load(name));
        return as_dtype(std::move(data), stored);
      };
      tensors->push_back(std::move(source));
    }
    return Status();
  }

  std::vector<Graph>& components() { return part_.components; }
  const EncodedWeights& weights() const { return *weights_; }

 private:
  explicit StoredPart(ModelPart part) : part_(std::move(part)) {}

  ModelPart part_;
  std::vector<FoldedWeight> folded_;
  std::optional<FoldedWeights> folded_weights_;  // points into folded_
  std::optional<EncodedWeights> weights_;        // reads folded_weights_
};

}  // namespace

Status store_model(ModelInfo info, std::vector<ModelPart> parts, const ConvertOptions& options,
                   const WriteProgress& progress) {
  // What the configuration asks for may be beyond what a recipe can say.
  if (const auto recipe = parse_recipe(info.recipe); !recipe.ok())
    return recipe.status().with_context(options.input);
  std::vector<std::unique_ptr<StoredPart>> stored;  // tensors' loads point into it
  std::vector<TensorSource> tensors;
  for (ModelPart& part : parts) {
    ZT_ASSIGN_OR_RETURN(stored.emplace_back(),
                        StoredPart::create(std::move(part), options.dtype.has_value()));
    ZT_RETURN_IF_ERROR(stored.back()->add_tensors(options.dtype, &tensors));
    std::move(stored.back()->components().begin(), stored.back()->components().end(),
              std::back_inserter(info.components));
  }
  int64_t narrow = 0, bytes = 0;
  for (const auto& part : stored) {
    narrow += part->weights().narrow();
    bytes += part->weights().bytes();
  }
  if (narrow + bytes > 0 && options.notice)
    options.notice(str(narrow, " tensors stay in 4 bits and ", bytes,
                       " in 8, exactly; what else the "
                       "checkpoint holds in fewer bits becomes f32; --dtype widens them all"));
  if (options.check) ZT_RETURN_IF_ERROR(options.check(info).with_context(options.input));
  return write_model(options.output, info, std::move(tensors), progress);
}

}  // namespace zoetrope
