#include "graph/low_rank.h"

#include <algorithm>
#include <span>

#include "graph/elements.h"
#include "graph/parallel_rows.h"

namespace zoetrope {
namespace {

constexpr int64_t kRowsATask = 64;

// row[j] += scale · added[j]
void add_difference(const LowRankUpdate& update, int64_t i, double* buffer, double* row) {
  const DType dtype = update.added.type.dtype;
  load_elements(
      dtype, static_cast<const char*>(update.added.data) + i * update.columns * dtype_size(dtype),
      update.columns, buffer);
  for (int64_t j = 0; j < update.columns; ++j) row[j] += update.scale * buffer[j];
}

// row[j] += scale · Σ_r up[r] · down[r, j]
void add_row(const LowRankUpdate& update, const float* up, float* sums, double* row) {
  std::fill_n(sums, update.columns, 0.0f);
  for (int64_t r = 0; r < update.rank; ++r) {
    const float factor = up[r];
    const float* const down = update.down.data() + r * update.columns;
    for (int64_t j = 0; j < update.columns; ++j) sums[j] += factor * down[j];
  }
  for (int64_t j = 0; j < update.columns; ++j) row[j] += update.scale * sums[j];
}

}  // namespace

Result<std::unique_ptr<AdaptedWeights>> AdaptedWeights::create(const WeightSource& base,
                                                               std::vector<LowRankUpdate> updates,
                                                               std::string revision) {
  std::unique_ptr<AdaptedWeights> made(new AdaptedWeights(base, std::move(revision)));
  for (LowRankUpdate& update : updates) {
    ZT_ASSIGN_OR_RETURN(const TensorType type, base.type(update.tensor));
    const int64_t rows = type.shape.rank() > 0 ? type.shape[0] : 0;
    if (type.dtype != DType::kF32 && type.dtype != DType::kF16 && type.dtype != DType::kBF16)
      return error(Code::kUnsupported, "tensor '", update.tensor, "' is ", type.to_string(),
                   "; adapters change f32, f16 and bf16");
    const bool whole = update.rank == 0 && update.added.data != nullptr &&
                       is_float(update.added.type.dtype) &&
                       update.added.type.shape == Shape{update.rows, update.columns};
    if (rows == 0 || (update.rank < 1 && !whole) || update.rows < 1 || update.first_row < 0 ||
        update.first_row + update.rows > rows || update.columns != type.shape.elements() / rows ||
        update.up.size() != static_cast<size_t>(update.rows * update.rank) ||
        update.down.size() != static_cast<size_t>(update.rank * update.columns))
      return error(Code::kInvalidArgument, "an update of rank ", update.rank, " for rows ",
                   update.first_row, " to ", update.first_row + update.rows, " of ", update.columns,
                   " does not fit tensor '", update.tensor, "', ", type.to_string());
    std::string tensor = update.tensor;
    made->updates_[std::move(tensor)].push_back(std::move(update));
  }
  return made;
}

std::string AdaptedWeights::revision(std::string_view name) const {
  return base_.revision(name) + (updates_.contains(name) ? revision_ : "");
}

int64_t AdaptedWeights::made_bytes(std::string_view name) const {
  const auto type = updates_.contains(name) ? base_.type(name) : Status(Code::kNotFound, "");
  return type.ok() ? type->bytes() : base_.made_bytes(name);
}

Result<WeightData> AdaptedWeights::load(std::string_view name) const {
  ZT_ASSIGN_OR_RETURN(WeightData data, base_.load(name));
  const auto found = updates_.find(name);
  if (found == updates_.end()) return data;
  const int64_t rows = data.type.shape[0], columns = data.type.shape.elements() / rows;
  const int64_t row_bytes = columns * dtype_size(data.type.dtype);
  auto bytes = std::make_shared<std::vector<char>>(static_cast<size_t>(rows * row_bytes));
  const auto* const from = static_cast<const char*>(data.data);
  const int64_t parts = row_parts(rows, kRowsATask);
  std::vector<double> rows_of_parts(static_cast<size_t>(parts * columns));
  std::vector<float> sums_of_parts(static_cast<size_t>(parts * columns));
  std::vector<double> loaded_of_parts(static_cast<size_t>(parts * columns));
  for_rows(rows, parts, [&](int64_t part, int64_t begin, int64_t end) {
    const std::span row(rows_of_parts.data() + part * columns, static_cast<size_t>(columns));
    const std::span sums(sums_of_parts.data() + part * columns, static_cast<size_t>(columns));
    double* const loaded = loaded_of_parts.data() + part * columns;
    for (int64_t i = begin; i < end; ++i) {
      load_elements(data.type.dtype, from + i * row_bytes, columns, row.data());
      for (const LowRankUpdate& update : found->second) {
        const int64_t k = i - update.first_row;
        if (k < 0 || k >= update.rows) continue;
        if (update.rank == 0)
          add_difference(update, k, loaded, row.data());
        else
          add_row(update, update.up.data() + k * update.rank, sums.data(), row.data());
      }
      store_elements(data.type.dtype, bytes->data() + i * row_bytes, columns, row.data());
    }
  });
  data.data = bytes->data();
  data.owner = std::move(bytes);
  return data;
}

}  // namespace zoetrope
