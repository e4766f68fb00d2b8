#include "converters/scaled.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

namespace zoetrope {
namespace {

constexpr std::string_view kScales[] = {".scale_weight", ".weight_scale"};
constexpr std::string_view kActivationScales[] = {".scale_input", ".input_scale"};
constexpr std::string_view kMark = "scaled_fp8";
constexpr std::string_view kFormat = ".comfy_quant";  // JSON as bytes: {"format": "float8_e4m3fn"}

constexpr std::pair<const char*, DType> kFormats[] = {{"float8_e4m3fn", DType::kF8E4M3},
                                                      {"float8_e5m2", DType::kF8E5M2}};

template <typename List>
std::string_view find_suffix(std::string_view name, const List& suffixes) {
  for (const std::string_view suffix : suffixes)
    if (name.ends_with(suffix)) return suffix;
  return "";
}

bool is_mark(std::string_view name) {
  return name == kMark || (name.ends_with(kMark) && name[name.size() - kMark.size() - 1] == '.');
}

class Scaled : public Checkpoint {
 public:
  explicit Scaled(const Checkpoint& base) : base_(base) {}

  Status read() {
    for (const std::string& name : base_.names()) {
      if (is_mark(name) || !find_suffix(name, kActivationScales).empty()) continue;
      if (name.ends_with(kFormat)) {
        ZT_RETURN_IF_ERROR(check_format(name));
        continue;
      }
      const std::string_view suffix = find_suffix(name, kScales);
      if (suffix.empty()) {
        names_.push_back(name);
        continue;
      }
      ZT_RETURN_IF_ERROR(add_scale(name, name.substr(0, name.size() - suffix.size()) + ".weight"));
    }
    return Status();
  }

  bool empty() const { return names_.size() == base_.names().size(); }
  const std::string& path() const override { return base_.path(); }
  const std::vector<std::string>& names() const override { return names_; }
  const std::map<std::string, std::string>& metadata() const override { return base_.metadata(); }
  const std::string& config() const override { return base_.config(); }
  const std::map<std::string, Unreadable, std::less<>>& unreadable() const override {
    return base_.unreadable();
  }
  std::string remark() const override { return base_.remark(); }

  Result<TensorType> type(std::string_view name) const override {
    ZT_ASSIGN_OR_RETURN(TensorType type, base_.type(name));
    if (scales_.contains(name)) type.dtype = DType::kF32;
    return type;
  }

  // Those of f8e4m3 stay so: a row is one group.
  std::optional<EncodedLayout> encoded(std::string_view name) const override {
    if (!scales_.contains(name)) return base_.encoded(name);
    const auto stored = base_.type(name);
    if (!stored.ok() || stored->dtype != DType::kF8E4M3 || stored->shape.rank() < 2)
      return std::nullopt;
    return EncodedLayout{.bits = 8, .group = 0, .scale = DType::kF32, .offset = false};
  }

  Result<WeightData> load_part(std::string_view name, EncodedPart part) const override {
    const auto it = scales_.find(name);
    if (it == scales_.end()) return base_.load_part(name, part);
    if (part == EncodedPart::kOffset || !encoded(name))
      return error(Code::kUnsupported, "tensor '", name, "' has no such part");
    ZT_ASSIGN_OR_RETURN(const TensorType type, base_.type(name));
    const int64_t rows = type.shape[0];
    if (part == EncodedPart::kValues) {
      ZT_ASSIGN_OR_RETURN(WeightData values, base_.load(name));
      values.type.shape = Shape{rows, type.shape.elements() / rows};
      return values;
    }
    ZT_ASSIGN_OR_RETURN(const WeightData scale, base_.load(it->second));
    const int64_t count = scale.type.shape.elements();
    auto factors = std::make_shared<std::vector<float>>();
    for (int64_t r = 0; r < rows; ++r)
      factors->push_back(
          static_cast<float>(load_element(scale.type.dtype, scale.data, count == 1 ? 0 : r)));
    return WeightData{{DType::kF32, {rows, 1}}, factors->data(), factors};
  }

  Result<WeightData> load(std::string_view name) const override {
    ZT_ASSIGN_OR_RETURN(const WeightData stored, base_.load(name));
    const auto it = scales_.find(name);
    if (it == scales_.end()) return stored;
    ZT_ASSIGN_OR_RETURN(const WeightData scale, base_.load(it->second));
    const int64_t n = stored.type.shape.elements(), rows = scale.type.shape.elements();
    auto product = std::make_shared<std::vector<float>>(static_cast<size_t>(n));
    for (int64_t i = 0; i < n; ++i)
      (*product)[static_cast<size_t>(i)] =
          static_cast<float>(load_element(stored.type.dtype, stored.data, i) *
                             load_element(scale.type.dtype, scale.data, i / (n / rows)));
    return WeightData{{DType::kF32, stored.type.shape}, product->data(), product};
  }

 private:
  Status check_format(const std::string& name) const {
    ZT_ASSIGN_OR_RETURN(const WeightData data, base_.load(name));
    const std::string_view text(static_cast<const char*>(data.data),
                                static_cast<size_t>(data.type.bytes()));
    const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
    const auto stated = json.is_object() ? json.find("format") : json.end();
    const auto* known = std::find_if(
        std::begin(kFormats), std::end(kFormats),
        [&](const auto& format) { return stated != json.end() && *stated == format.first; });
    if (known == std::end(kFormats))
      return error(Code::kUnsupported, base_.path(), ": '", name,
                   "' states a format that is not read; known: float8_e4m3fn, float8_e5m2");
    const std::string weight = name.substr(0, name.size() - kFormat.size()) + ".weight";
    const auto type = base_.type(weight);
    if (!type.ok() || type->dtype != known->second)
      return error(Code::kDataLoss, base_.path(), ": '", name, "' states ", known->first, ", and '",
                   weight, "' is ", type.ok() ? type->to_string() : "not there");
    return Status();
  }

  Status add_scale(const std::string& name, const std::string& weight) {
    ZT_ASSIGN_OR_RETURN(const TensorType scale, base_.type(name));
    auto scaled = base_.type(weight);
    if (!scaled.ok())
      return error(Code::kDataLoss, base_.path(), ": '", name, "' scales '", weight,
                   "', which is not there");
    const int64_t count = scale.shape.elements();
    if (!is_float(scale.dtype) || scaled->shape.rank() < 1 || scaled->shape.elements() == 0 ||
        (count != 1 && (count != scaled->shape[0] || count != scale.shape[0])))
      return error(Code::kUnsupported, base_.path(), ": '", name, "' is ", scale.to_string(),
                   "; expected one number, or one a row of '", weight, "', ", scaled->to_string());
    if (dtype_size(scaled->dtype) != 1 || !is_float(scaled->dtype))
      return error(Code::kUnsupported, base_.path(), ": '", name, "' scales '", weight, "', ",
                   scaled->to_string(), "; only f8 weights with scales are read");
    ZT_ASSIGN_OR_RETURN(const WeightData values, base_.load(name));
    for (int64_t i = 0; i < count; ++i)
      if (!std::isfinite(load_element(scale.dtype, values.data, i)))
        return error(Code::kDataLoss, base_.path(), ": '", name, "' holds NaN or infinity");
    if (!scales_.emplace(weight, name).second)
      return error(Code::kDataLoss, base_.path(), ": '", weight, "' has two scales");
    return Status();
  }

  const Checkpoint& base_;
  std::vector<std::string> names_;
  std::map<std::string, std::string, std::less<>> scales_;  // weight → its scale
};

}  // namespace

Result<std::unique_ptr<Checkpoint>> apply_scales(const Checkpoint& base) {
  auto scaled = std::make_unique<Scaled>(base);
  ZT_RETURN_IF_ERROR(scaled->read());
  if (scaled->empty()) return std::unique_ptr<Checkpoint>();
  return std::unique_ptr<Checkpoint>(std::move(scaled));
}

}  // namespace zoetrope
