#include "bench/ceilings.h"

#include <algorithm>
#include <cstring>
#include <thread>

namespace zoetrope::bench {
namespace {

// A product grows until a call takes so long.
constexpr double kHostProduct = 1e-2, kQuickProduct = 2e-3, kDeviceProduct = 1e-3;
constexpr int64_t kLeastProduct = 256, kMostProduct = 8192;
constexpr int64_t kCopyBytes = int64_t{256} << 20, kQuickCopyBytes = int64_t{32} << 20;
constexpr double kCopySample = 2e-2;

double median(std::vector<double> values) { return spread_of(std::move(values)).median; }

// By `threads` at once, a part each.
void copy_on_host(char* to, const char* from, int64_t bytes, int threads) {
  std::vector<std::thread> others;
  const int64_t part = (bytes / threads + 4095) / 4096 * 4096;
  const auto copy = [&](int i) {
    const int64_t begin = std::min(bytes, i * part), end = std::min(bytes, begin + part);
    std::memcpy(to + begin, from + begin, static_cast<size_t>(end - begin));
  };
  for (int i = 1; i < threads; ++i) others.emplace_back(copy, i);
  copy(0);
  for (std::thread& thread : others) thread.join();
}

OpCase product_of(DType dtype, int64_t n) {
  const TensorType x{dtype, Shape{n, n}};
  if (dtype == DType::kI8 || dtype == DType::kF8E4M3)
    return {OpKind::kQuantizedMatmul,
            {{x, false},
             {{DType::kF32, Shape{n, 1}}, false},
             {x, true},
             {{DType::kF32, Shape{n}}, true}},
            {{"dtype", std::string("bf16")}},
            dtype};
  return {OpKind::kMatmul, {{x, false}, {x, true}}, {{"transpose_b", true}}, dtype};
}

Ceiling ceiling_of(const std::string& what, const std::string& dtype,
                   const std::vector<double>& rates) {
  const Spread s = spread_of(rates);
  return {what, dtype, s.median, s.p10, s.p90, s.samples};
}

}  // namespace

Status Ceilings::prepare_copy() {
  Device& device = *device_->device;
  copy_bytes_ = quick_ ? kQuickCopyBytes : kCopyBytes;
  const DeviceInfo& info = device.info();
  if (info.memory_bytes > 0) copy_bytes_ = std::min(copy_bytes_, info.memory_bytes / 16);
  ZT_ASSIGN_OR_RETURN(from_, device.allocate(copy_bytes_));
  ZT_ASSIGN_OR_RETURN(to_, device.allocate(copy_bytes_));
  // Its pages exist, and nothing is left of what allocating does.
  if (from_->host_data() != nullptr) std::memset(from_->host_data(), 1, copy_bytes_);
  if (to_->host_data() != nullptr) std::memset(to_->host_data(), 1, copy_bytes_);
  const OpCase negate{OpKind::kNeg, {{{DType::kF32, Shape{copy_bytes_ / 4}}}}};
  if (auto timer = OpTimer::create(device, device_->on_host(), negate);
      timer.ok() && (*timer)->prepare().ok())
    stream_ = std::move(*timer);
  return Status();
}

Result<double> Ceilings::sample_copy() {
  if (to_ == nullptr) ZT_RETURN_IF_ERROR(prepare_copy());
  Device& device = *device_->device;
  const bool threads = device_->threads > 0 && to_->host_data() != nullptr;
  const auto copies = [&](int count) -> Result<double> {
    const double begin = now_seconds();
    for (int i = 0; i < count; ++i) {
      if (threads)
        copy_on_host(static_cast<char*>(to_->host_data()),
                     static_cast<const char*>(from_->host_data()), copy_bytes_, device_->threads);
      else
        ZT_RETURN_IF_ERROR(device.copy({to_.get(), 0, copy_bytes_}, {from_.get(), 0, copy_bytes_}));
    }
    ZT_RETURN_IF_ERROR(device.wait());
    return now_seconds() - begin;
  };
  ZT_ASSIGN_OR_RETURN(const double one, copies(1));
  double seconds = one;
  if (device_->on_host()) {
    ZT_ASSIGN_OR_RETURN(seconds, copies(1));
  } else {
    // So many that launching and waiting do not count.
    const int few = 5;
    const int many = few + std::clamp(static_cast<int>(kCopySample / std::max(one, 1e-6)), 5, 200);
    ZT_ASSIGN_OR_RETURN(const double short_run, copies(few));
    ZT_ASSIGN_OR_RETURN(const double long_run, copies(many));
    seconds = std::max((long_run - short_run) / (many - few), 1e-9);
  }
  if (stream_ != nullptr) {
    ZT_ASSIGN_OR_RETURN(const double streamed, stream_->sample());
    seconds = std::min(seconds, streamed);
  }
  copy_rates_.push_back(2 * static_cast<double>(copy_bytes_) / seconds);
  return copy_rates_.back();
}

Status Ceilings::prepare_product(DType dtype, Product* product) {
  const bool on_host = device_->on_host();
  const double enough = quick_ ? kQuickProduct : on_host ? kHostProduct : kDeviceProduct;
  for (int64_t n = kLeastProduct;; n *= 2) {
    ZT_ASSIGN_OR_RETURN(product->timer,
                        OpTimer::create(*device_->device, on_host, product_of(dtype, n)));
    ZT_RETURN_IF_ERROR(product->timer->prepare());
    ZT_ASSIGN_OR_RETURN(const double seconds, product->timer->sample());
    if (seconds >= enough || n >= kMostProduct) return Status();
  }
}

Result<double> Ceilings::sample_matmul(DType dtype) {
  const auto [it, fresh] = products_.try_emplace(dtype);
  Product& product = it->second;
  if (fresh) product.status = prepare_product(dtype, &product);
  ZT_RETURN_IF_ERROR(product.status);
  ZT_ASSIGN_OR_RETURN(const double seconds, product.timer->sample());
  product.rates.push_back(product.timer->cost().flops / seconds);
  return product.rates.back();
}

std::vector<Ceiling> Ceilings::summary() const {
  std::vector<Ceiling> all;
  if (!copy_rates_.empty()) all.push_back(ceiling_of("copy", "", copy_rates_));
  for (const auto& [dtype, product] : products_)
    if (!product.rates.empty())
      all.push_back(ceiling_of("matmul", std::string(dtype_name(dtype)), product.rates));
  return all;
}

double Ceilings::copy_rate() const { return copy_rates_.empty() ? 0 : median(copy_rates_); }

double Ceilings::matmul_rate(DType dtype) const {
  const auto it = products_.find(dtype);
  return it == products_.end() || it->second.rates.empty() ? 0 : median(it->second.rates);
}

BenchDevice::BenchDevice() = default;
BenchDevice::~BenchDevice() = default;

bool BenchDevice::on_host() const {
  const DeviceInfo& info = device->info();
  return info.software || info.backend == "cpu" || info.backend == "reference";
}

}  // namespace zoetrope::bench
