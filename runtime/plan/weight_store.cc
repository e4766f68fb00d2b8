#include "runtime/plan/weight_store.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace zoetrope {

Result<WeightData> load_weight(const WeightSource& source, const Plan& plan,
                               const PlanWeight& weight) {
  const Value& value = plan.graph.value(weight.value);
  const DerivedWeight* const derived = find_derived(plan, value.name);
  ZT_ASSIGN_OR_RETURN(WeightData data,
                      derived ? load_derived(source, *derived) : source.load(value.name));
  if (!(data.type == value.type))
    return error(Code::kInvalidArgument, "weight '", value.name, "' is ", data.type.to_string(),
                 "; the plan expects ", value.type.to_string());
  return data;
}

Status fill_weight(Device& device, const Plan& plan, const PlanWeight& weight,
                   const WeightData& data, BufferView to) {
  if (weight.layout.empty()) return device.upload(to, data.data);
  const PlanCall& call = plan.calls[static_cast<size_t>(weight.call)];
  const KernelRequest request =
      kernel_request(plan.graph, plan.graph.nodes[static_cast<size_t>(call.node)]);
  return device.pack(request, *call.kernel.packed_input(static_cast<size_t>(weight.input)),
                     {data.type, data.data}, to);
}

Result<WeightStore::Entry> WeightStore::load(const Plan& plan, const PlanWeight& weight) {
  ZT_ASSIGN_OR_RETURN(WeightData data, load_weight(*source_, plan, weight));
  ++loads_;
  Entry entry;
  const bool made = find_derived(plan, plan.graph.value(weight.value).name) != nullptr;
  if (weight.layout.empty() && device_.info().host_memory && !made) {
    ZT_ASSIGN_OR_RETURN(auto wrapped, device_.wrap_host(data.data, weight.bytes));
    entry.buffer = std::shared_ptr<Buffer>(
        wrapped.release(), [owner = std::move(data.owner)](Buffer* buffer) { delete buffer; });
    return entry;
  }
  ZT_ASSIGN_OR_RETURN(entry.buffer, device_.allocate(weight.bytes));
  entry.allocated = true;
  ZT_RETURN_IF_ERROR(
      fill_weight(device_, plan, weight, data, {entry.buffer.get(), 0, weight.bytes}));
  return entry;
}

Result<WeightStore::Entry> WeightStore::load_copy(const Plan& plan, const PlanWeight& weight,
                                                  Buffer* scratch) {
  ZT_ASSIGN_OR_RETURN(const WeightData data, load_weight(*source_, plan, weight));
  ++loads_;
  Entry entry;
  ZT_ASSIGN_OR_RETURN(entry.buffer, device_.allocate_host(weight.bytes));
  if (weight.layout.empty()) {
    std::memcpy(entry.buffer->host_data(), data.data, static_cast<size_t>(weight.bytes));
    return entry;
  }
  const BufferView view{scratch, 0, weight.bytes};
  ZT_RETURN_IF_ERROR(fill_weight(device_, plan, weight, data, view));
  ZT_RETURN_IF_ERROR(device_.wait());
  ZT_RETURN_IF_ERROR(device_.download(entry.buffer->host_data(), view));
  return entry;
}

template <typename Load>
Result<std::shared_ptr<Buffer>> WeightStore::find(std::map<std::string, Entry>* entries,
                                                  const Plan& plan, const PlanWeight& weight,
                                                  Load load) {
  const std::string& name = plan.graph.value(weight.value).name;
  std::string key = str(name, '\n', source_->revision(name), '\n', weight.layout);
  auto it = entries->find(key);
  if (it == entries->end()) {
    Result<Entry> loaded = load();
    if (!loaded.ok()) return loaded.status().with_context(str("weight '", name, "'"));
    it = entries->emplace(std::move(key), std::move(*loaded)).first;
  }
  it->second.last_asked = ++asked_;
  return it->second.buffer;
}

Result<std::shared_ptr<Buffer>> WeightStore::acquire(const Plan& plan, const PlanWeight& weight) {
  return find(&entries_, plan, weight, [&] { return load(plan, weight); });
}

Result<std::shared_ptr<Buffer>> WeightStore::acquire_copy(const Plan& plan,
                                                          const PlanWeight& weight,
                                                          Buffer* scratch) {
  return find(&copies_, plan, weight, [&] { return load_copy(plan, weight, scratch); });
}

void WeightStore::drop_copies() {
  std::erase_if(copies_, [](const auto& item) { return item.second.buffer.use_count() == 1; });
}

void WeightStore::shrink(int64_t bytes) {
  std::vector<std::map<std::string, Entry>::iterator> unused;
  for (auto it = entries_.begin(); it != entries_.end(); ++it)
    if (it->second.buffer.use_count() == 1) unused.push_back(it);
  std::sort(unused.begin(), unused.end(),
            [](auto a, auto b) { return a->second.last_asked < b->second.last_asked; });
  for (const auto& it : unused) {
    if (device_.allocated_bytes() <= bytes) return;
    entries_.erase(it);
  }
}

int64_t WeightStore::held_bytes() const {
  int64_t total = 0;
  for (const auto& [key, entry] : entries_)
    if (entry.allocated) total += entry.buffer->bytes();
  return total;
}

}  // namespace zoetrope
