#include "runtime/plan/device_times.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "graph/format/hash.h"
#include "runtime/plan/plan.h"

namespace zoetrope {
namespace {

constexpr int kFormat = 5;
constexpr size_t kMostPoints = 20000;
constexpr size_t kNeighbours = 6;

double innermost(const TensorType* type) {
  if (type == nullptr || type->shape.rank() == 0) return 1;
  return static_cast<double>(std::max<int64_t>(type->shape[-1], 1));
}

// In powers of two. Another kernel for the same op is another curve, other dtypes even more so.
double square_distance(const KernelPoint& a, const KernelPoint& b) {
  const auto apart = [](double x, double y) {
    const double d = std::log2((x + 1) / (y + 1));
    return d * d;
  };
  return apart(a.flops, b.flops) + apart(a.bytes, b.bytes) + 0.5 * apart(a.inner, b.inner) +
         0.5 * apart(a.outer, b.outer) + (a.kernel == b.kernel ? 0 : 1) +
         (a.types == b.types ? 0 : 9);
}

bool op_before(const KernelPoint& a, const KernelPoint& b) {
  return a.op != b.op ? a.op < b.op : a.signature < b.signature;
}

// A number that is finite and not negative.
bool take(const nlohmann::json& json, const char* name, double* to) {
  const auto it = json.find(name);
  if (it == json.end() || !it->is_number()) return false;
  *to = it->get<double>();
  return std::isfinite(*to) && *to >= 0;
}

bool take(const nlohmann::json& json, const char* name, std::string* to) {
  const auto it = json.find(name);
  if (it == json.end() || !it->is_string()) return false;
  *to = it->get<std::string>();
  return true;
}

}  // namespace

bool KernelPoint::gives_narrow() const {
  const size_t arrow = types.find("->");
  const std::string_view given =
      std::string_view(types).substr(arrow == std::string::npos ? 0 : arrow);
  for (const char* narrow : {"f16", "i8", "f8"})  // bf16 among them
    if (given.find(narrow) != std::string_view::npos) return true;
  return false;
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

KernelPoint kernel_point(const KernelRequest& request, std::string_view kernel, const Cost& cost) {
  KernelPoint point;
  point.op = op_def(request.node->op).name;
  point.kernel = kernel;
  for (const TensorType* type : request.inputs)
    point.types += str(point.types.empty() ? "" : " ", type ? dtype_name(type->dtype) : "-");
  point.types += " ->";
  for (const TensorType* type : request.outputs) point.types += str(" ", dtype_name(type->dtype));
  const std::string signature = kernel_signature(request);
  point.signature =
      hash_bytes({reinterpret_cast<const uint8_t*>(signature.data()), signature.size()});
  point.flops = cost.flops;
  point.bytes = cost.bytes;
  point.inner = innermost(request.inputs.empty() ? nullptr : request.inputs[0]);
  point.outer = innermost(request.outputs.empty() ? nullptr : request.outputs[0]);
  return point;
}

double point_distance(const KernelPoint& a, const KernelPoint& b) {
  return std::sqrt(square_distance(a, b));
}

DeviceTimes::DeviceTimes(const DeviceInfo& info)
    : told_narrow_(info.flops_bf16),
      told_wide_(info.flops_f32),
      told_bytes_(info.bytes_per_second) {
  rates_.stream = info.upload_bytes_per_second;
  find_bounds();
}

void DeviceTimes::find_bounds() {
  narrow_ = wide_ = bytes_ = 0;
  least_ = points_.empty() ? 0 : std::numeric_limits<double>::infinity();
  for (const KernelPoint& p : points_) {
    double& rate = p.gives_narrow() ? narrow_ : wide_;
    rate = std::max(rate, p.flops / p.seconds);
    bytes_ = std::max(bytes_, p.bytes / p.seconds);
    least_ = std::min(least_, p.seconds);
  }
  // What was not measured is as the device says, in the measured one's proportion.
  if (narrow_ == 0)
    narrow_ = wide_ > 0 && told_wide_ > 0 ? wide_ * told_narrow_ / told_wide_ : told_narrow_;
  if (wide_ == 0)
    wide_ = narrow_ > 0 && told_narrow_ > 0 ? narrow_ * told_wide_ / told_narrow_ : told_wide_;
  if (narrow_ == 0) narrow_ = wide_;
  if (wide_ == 0) wide_ = narrow_;
  if (bytes_ == 0) bytes_ = told_bytes_;
}

void DeviceTimes::add(KernelPoint point) {
  const auto at = std::lower_bound(points_.begin(), points_.end(), point, op_before);
  if (at != points_.end() && at->op == point.op && at->signature == point.signature)
    *at = std::move(point);
  else if (points_.size() < kMostPoints)
    points_.insert(at, std::move(point));
  find_bounds();
}

double DeviceTimes::bound(const KernelPoint& point) const {
  const double rate = point.gives_narrow() ? narrow_ : wide_;
  if (bytes_ <= 0 || (point.flops > 0 && rate <= 0)) return 0;
  return least_ + std::max(point.flops > 0 ? point.flops / rate : 0, point.bytes / bytes_);
}

double DeviceTimes::seconds(const KernelPoint& asked) const {
  const double rough = bound(asked);
  auto [begin, end] = std::equal_range(points_.begin(), points_.end(), asked,
                                       [](const auto& a, const auto& b) { return a.op < b.op; });
  bool same_op = true;
  if (begin == end) {  // as efficient as whatever is most like it
    begin = points_.begin(), end = points_.end();
    same_op = false;
  }
  if (begin == end || rough <= 0) return rough;
  std::vector<std::pair<double, const KernelPoint*>> near;
  for (auto it = begin; it != end; ++it) {
    if (same_op && it->signature == asked.signature) return it->seconds;
    near.emplace_back(square_distance(asked, *it), &*it);
  }
  const size_t count = std::min(kNeighbours, near.size());
  std::partial_sort(near.begin(), near.begin() + static_cast<ptrdiff_t>(count), near.end());
  // log seconds = a + b·log rough near it: b is 1 where time follows work and 0 where launching
  // decides; points of one size alone say nothing of b.
  double weights = 0, x_mean = 0, y_mean = 0, xx = 0, xy = 0;
  for (size_t i = 0; i < count; ++i) {
    const double weight = 1 / ((near[i].first + 0.02) * (near[i].first + 0.02));
    const double x = std::log(bound(*near[i].second)), y = std::log(near[i].second->seconds);
    weights += weight;
    const double dx = x - x_mean, dy = y - y_mean;
    x_mean += weight / weights * dx;
    y_mean += weight / weights * dy;
    xx += weight * dx * (x - x_mean);
    xy += weight * dx * (y - y_mean);
  }
  constexpr double kSpread = 0.05;  // of log work, squared: below it b is taken for 1
  const double b = std::clamp((xy + kSpread * weights) / (xx + kSpread * weights), 0.0, 1.2);
  return std::exp(y_mean + b * (std::log(rough) - x_mean));
}

double DeviceTimes::busy_seconds(const KernelPoint& asked) const {
  return std::min(std::max(bound(asked) - least_, 0.0), seconds(asked));
}

double DeviceTimes::sequence_factor(uint64_t network, double mean_seconds) const {
  if (sequences_.empty() || mean_seconds <= 0) return 1;
  const bool known = std::any_of(sequences_.begin(), sequences_.end(),
                                 [&](const SequencePoint& p) { return p.network == network; });
  double weights = 0, sum = 0;
  for (const SequencePoint& point : sequences_) {
    if (known && point.network != network) continue;
    const double apart = std::log2(point.mean_seconds / mean_seconds);
    const double weight = 1 / ((apart * apart + 0.05) * (apart * apart + 0.05));
    weights += weight;
    sum += weight * std::log(point.factor);
  }
  return std::exp(sum / weights);
}

void DeviceTimes::add_code(const std::string& kernel, bool first, double seconds) {
  CodeTime& code = codes_[kernel];
  if (first)
    code.first = seconds;
  else
    code.further += (seconds - code.further) / ++code.others;
  find_usual();
}

void DeviceTimes::find_usual() {
  std::vector<double> first, further;
  for (const auto& [kernel, code] : codes_) {
    first.push_back(code.first);
    if (code.others > 0) further.push_back(code.further);
  }
  usual_ = {.first = median(std::move(first)), .further = median(std::move(further)), .others = 0};
}

double DeviceTimes::code_seconds(const std::string& kernel, int64_t kernels) const {
  if (kernels <= 0) return 0;
  const auto it = codes_.find(kernel);
  const CodeTime& code = it == codes_.end() ? usual_ : it->second;
  return code.first + static_cast<double>(kernels - 1) *
                          (it != codes_.end() && code.others > 0 ? code.further : usual_.further);
}

const KernelPoint* DeviceTimes::find(uint64_t signature) const {
  for (const KernelPoint& p : points_)
    if (p.signature == signature) return &p;
  return nullptr;
}

double DeviceTimes::distance(const KernelPoint& asked) const {
  double nearest = std::numeric_limits<double>::infinity();
  for (const KernelPoint& p : points_) {
    if (p.op != asked.op) continue;
    if (p.signature == asked.signature) return 0;
    nearest = std::min(nearest, square_distance(asked, p));
  }
  return std::sqrt(nearest);
}

std::string DeviceTimes::to_json() const {
  nlohmann::json points = nlohmann::json::array();
  for (const KernelPoint& p : points_)
    points.push_back({{"op", p.op},
                      {"kernel", p.kernel},
                      {"types", p.types},
                      {"signature", p.signature},
                      {"flops", p.flops},
                      {"bytes", p.bytes},
                      {"inner", p.inner},
                      {"outer", p.outer},
                      {"seconds", p.seconds}});
  nlohmann::json codes = nlohmann::json::array();
  for (const auto& [kernel, code] : codes_)
    codes.push_back({{"kernel", kernel},
                     {"first", code.first},
                     {"further", code.further},
                     {"others", code.others}});
  nlohmann::json sequences = nlohmann::json::array();
  for (const SequencePoint& point : sequences_)
    sequences.push_back({{"network", point.network},
                         {"mean_seconds", point.mean_seconds},
                         {"factor", point.factor}});
  const DeviceRates& r = rates_;
  return nlohmann::json{{"format", kFormat},
                        {"sequences", std::move(sequences)},
                        {"start_seconds", r.start_seconds},
                        {"run_seconds", r.run_seconds},
                        {"create_seconds", r.create_seconds},
                        {"record_seconds", r.record_seconds},
                        {"upload", r.upload},
                        {"download", r.download},
                        {"upload_seconds", r.upload_seconds},
                        {"download_seconds", r.download_seconds},
                        {"stream", r.stream},
                        {"pin", r.pin},
                        {"pack", r.pack},
                        {"make", r.make},
                        {"codes", std::move(codes)},
                        {"points", std::move(points)}}
      .dump(1);
}

Status DeviceTimes::parse(std::string_view text) {
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  const auto bad = [](const auto&... what) {
    return error(Code::kDataLoss, "times of a device: ", what...);
  };
  if (!json.is_object()) return bad("not a JSON object");
  if (const auto it = json.find("format"); it == json.end() || *it != kFormat)
    return bad("another format");
  DeviceRates r;
  if (!take(json, "start_seconds", &r.start_seconds) ||
      !take(json, "run_seconds", &r.run_seconds) ||
      !take(json, "create_seconds", &r.create_seconds) ||
      !take(json, "record_seconds", &r.record_seconds) || !take(json, "upload", &r.upload) ||
      !take(json, "upload_seconds", &r.upload_seconds) ||
      !take(json, "download_seconds", &r.download_seconds) ||
      !take(json, "download", &r.download) || !take(json, "stream", &r.stream) ||
      !take(json, "pin", &r.pin) || !take(json, "pack", &r.pack) || !take(json, "make", &r.make))
    return bad("a rate is missing or is not a number");
  std::map<std::string, CodeTime> codes;
  const auto known = json.find("codes");
  if (known == json.end() || !known->is_array() || known->size() > kMostPoints)
    return bad("codes are missing, or more than ", kMostPoints);
  for (const auto& entry : *known) {
    std::string kernel;
    CodeTime code;
    if (!entry.is_object() || !take(entry, "kernel", &kernel) ||
        !take(entry, "first", &code.first) || !take(entry, "further", &code.further) ||
        !take(entry, "others", &code.others))
      return bad("code ", codes.size(), " is not one");
    codes[kernel] = code;
  }
  std::vector<SequencePoint> sequences;
  const auto measured = json.find("sequences");
  if (measured == json.end() || !measured->is_array() || measured->size() > kMostPoints)
    return bad("sequences are missing, or more than ", kMostPoints);
  for (const auto& entry : *measured) {
    SequencePoint point;
    if (!entry.is_object() || !take(entry, "mean_seconds", &point.mean_seconds) ||
        !take(entry, "factor", &point.factor) || point.mean_seconds < 1e-12 ||
        point.factor < 1e-3 || !entry.contains("network") || !entry["network"].is_number_unsigned())
      return bad("sequence ", sequences.size(), " is not one");
    point.network = entry["network"].get<uint64_t>();
    sequences.push_back(point);
  }
  const auto list = json.find("points");
  if (list == json.end() || !list->is_array() || list->size() > kMostPoints)
    return bad("points are missing, or more than ", kMostPoints);
  std::vector<KernelPoint> points;
  for (const auto& entry : *list) {
    KernelPoint p;
    if (!entry.is_object() || !take(entry, "op", &p.op) || !take(entry, "kernel", &p.kernel) ||
        !take(entry, "types", &p.types) || !take(entry, "flops", &p.flops) ||
        !take(entry, "bytes", &p.bytes) || !take(entry, "inner", &p.inner) ||
        !take(entry, "outer", &p.outer) || !take(entry, "seconds", &p.seconds) ||
        !entry.contains("signature") || !entry["signature"].is_number_unsigned() ||
        p.seconds < 1e-12)
      return bad("point ", points.size(), " is not one");
    p.signature = entry["signature"].get<uint64_t>();
    points.push_back(std::move(p));
  }
  std::sort(points.begin(), points.end(), op_before);
  rates_ = r;
  points_ = std::move(points);
  codes_ = std::move(codes);
  sequences_ = std::move(sequences);
  find_bounds();
  find_usual();
  return Status();
}

}  // namespace zoetrope
