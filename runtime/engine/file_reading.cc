#include "runtime/engine/file_reading.h"

#include <algorithm>
#include <chrono>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "runtime/engine/devices.h"

namespace zoetrope {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kSample = 64 << 20;      // bytes
constexpr double kSampleSeconds = 0.25;    // at most, once some have come
constexpr int64_t kLeastSample = 4 << 20;  // bytes: less tells of the disk's first answer alone
constexpr int64_t kPart = 256 << 10;       // bytes that are there, or not
constexpr int64_t kPage = 4096;            // no system's are smaller

// Names of the file's tensors that a weight is made of.
std::vector<std::string> stored_in(const Plan& plan, const PlanWeight& weight) {
  const std::string& name = plan.graph.value(weight.value).name;
  const DerivedWeight* const derived = find_derived(plan, name);
  if (derived == nullptr) return {name};
  std::vector<std::string> parts{derived->values, derived->scale};
  if (!derived->offset.empty()) parts.push_back(derived->offset);
  return parts;
}

std::set<std::string> stored_in(const Plan& plan) {
  std::set<std::string> names;
  for (const PlanWeight& weight : plan.weights)
    for (std::string& name : stored_in(plan, weight)) names.insert(std::move(name));
  return names;
}

// What calls read from the mapping itself, not from a copy.
int64_t mapped_bytes(const ModelFile& file, const Job& job) {
  const DeviceInfo& info = job.device->info();
  std::set<std::string> names;
  for (const PlanWeight& weight : job.plan->weights)
    if (weight.on_host ||
        (info.host_memory && (weight.streamed || !is_allocated(*job.plan, weight, info))))
      for (std::string& name : stored_in(*job.plan, weight)) names.insert(std::move(name));
  int64_t bytes = 0;
  for (const std::string& name : names)
    if (const TensorEntry* entry = file.find_tensor(name); entry && !entry->synthetic)
      bytes += entry->length;
  return bytes;
}

// The stored ones of these names, as they lie in the file.
std::vector<const TensorEntry*> stored(const ModelFile& file, const std::set<std::string>& names) {
  std::vector<const TensorEntry*> tensors;
  for (const std::string& name : names)
    if (const TensorEntry* entry = file.find_tensor(name); entry && !entry->synthetic)
      tensors.push_back(entry);
  std::sort(tensors.begin(), tensors.end(),
            [](const TensorEntry* a, const TensorEntry* b) { return a->offset < b->offset; });
  return tensors;
}

int64_t absent_bytes(const ModelFile& file, const std::vector<const TensorEntry*>& tensors) {
  int64_t bytes = 0;
  for (const TensorEntry* tensor : tensors) bytes += file.absent_bytes(*tensor);
  return bytes;
}

// Touches what is absent, as loading will, until enough has come to know the disk by.
void read_some(const ModelFile& file, const std::vector<const TensorEntry*>& tensors) {
  const auto begin = Clock::now();
  int64_t read = 0;
  for (const TensorEntry* tensor : tensors) {
    const auto data = file.load(tensor->name);
    if (!data.ok()) continue;
    const auto* bytes = static_cast<const volatile uint8_t*>(data->data);
    for (int64_t part = 0; part < tensor->length; part += kPart) {
      if (file.absent_bytes(*tensor, part, kPart) == 0) continue;
      const int64_t end = std::min(part + kPart, tensor->length);
      for (int64_t at = part; at < end; at += kPage) (void)bytes[at];
      read += end - part;
      const std::chrono::duration<double> spent = Clock::now() - begin;
      if (read >= kSample || (read >= kLeastSample && spent.count() > kSampleSeconds)) return;
    }
  }
}

}  // namespace

void count_reading(const ModelFile& file, int64_t memory, RequestPlan* plan) {
  std::set<std::string> seen;
  for (Job& job : plan->jobs) {
    const int64_t mapped = mapped_bytes(file, job);
    const int64_t beside = job.device->info().host_memory ? job.bytes() : 0;
    job.reread_bytes = mapped > memory - beside ? mapped : 0;
    job.read_bytes = 0;
    if (job.kept) continue;
    std::set<std::string> fresh;
    for (const std::string& name : stored_in(*job.plan))
      if (seen.insert(name).second) fresh.insert(name);
    job.read_bytes = absent_bytes(file, stored(file, fresh));
  }
}

void plan_reading(const ModelFile& file, int64_t least, int64_t memory, RequestPlan* plan) {
  count_reading(file, memory, plan);
  std::set<std::string> names;
  bool rereads = false;
  for (const Job& job : plan->jobs) {
    rereads |= job.reread_bytes > 0;
    if (!job.kept || job.reread_bytes > 0) names.merge(stored_in(*job.plan));
  }
  if (plan->read_bytes() < least && !rereads) return;
  const std::vector<const TensorEntry*> tensors = stored(file, names);
  const int64_t absent = absent_bytes(file, tensors);
  const auto begin = Clock::now();
  read_some(file, tensors);
  const std::chrono::duration<double> spent = Clock::now() - begin;
  // With what the system has read ahead.
  const int64_t came = absent - absent_bytes(file, tensors);
  if (came < kLeastSample) return;
  plan->disk_rate = static_cast<double>(came) / spent.count();
  count_reading(file, memory, plan);
}

}  // namespace zoetrope
