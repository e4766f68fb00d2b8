// One component on tensors of the caller's.
#include "runtime/c/arguments.h"
#include "runtime/c/errors.h"
#include "runtime/c/hooks.h"
#include "runtime/c/objects.h"

namespace zoetrope {

Handles<zoetrope_tensors, TensorList>& tensor_lists() {
  static auto* const all = new Handles<zoetrope_tensors, TensorList>("tensors");
  return *all;
}

namespace {

constexpr size_t kMaxTensors = 4096;

struct ComponentOptions {
  std::string compute = "f32";
  bool fuse = true;
  nlohmann::json set = nlohmann::json::object();
  std::vector<std::string> dump;
  std::vector<AdapterRecord> adapters;
};
template <typename V>
void fields(V& v, ComponentOptions& o) {
  v.word("compute", &o.compute, kComputeTypes);
  v.flag("fuse", &o.fuse);
  v.part("set", &o.set);
  v.texts("dump", &o.dump, kMaxTensors);
  v.objects("adapters", &o.adapters, kMaxAdapters);
}

Status read_bindings(const nlohmann::json& set, Bindings* to) {
  for (const auto& [name, value] : set.items()) {
    if (!value.is_number_integer() || value < 0 || value > int64_t{1} << 40)
      return error(Code::kInvalidArgument, "options: 'set.",
                   is_printable(name) ? name : std::string("?"),
                   "' must be an integer between 0 and 2^40");
    (*to)[name] = value.get<int64_t>();
  }
  return Status();
}

Result<NamedType> read_tensor(const zoetrope_tensor& t, size_t index) {
  const auto wrong = [&](const auto&... what) {
    return error(Code::kInvalidArgument, "inputs[", index, "]", what...);
  };
  if (t.name == nullptr || t.dtype == nullptr) return wrong(": its name or dtype is NULL");
  auto dtype = parse_dtype(t.dtype);
  if (!dtype.ok()) return dtype.status().with_context(str("input '", t.name, "'"));
  if (t.rank < 0 || t.rank > kMaxRank)
    return wrong(" ('", t.name, "') has rank ", t.rank, "; expected 0 to ", kMaxRank);
  const std::span<const int64_t> dims(t.dims, static_cast<size_t>(t.rank));
  if (const auto elements = checked_elements(dims); !elements.ok())
    return Status(Code::kInvalidArgument,
                  str("input '", t.name, "': ", elements.status().message()));
  TensorType type{*dtype, Shape(dims)};
  if (t.data == nullptr && type.bytes() > 0) return wrong(" ('", t.name, "') has no data");
  return NamedType{t.name, std::move(type)};
}

Status run(Engine& engine, const char* component, const zoetrope_tensor* inputs, size_t count,
           const char* text, const zoetrope_callbacks* given, zoetrope_tensors** outputs) {
  ZT_RETURN_IF_ERROR(need(component, "component"));
  ZT_RETURN_IF_ERROR(need(outputs, "outputs"));
  if (count > 0) ZT_RETURN_IF_ERROR(need(inputs, "inputs"));
  if (count > kMaxTensors)
    return error(Code::kInvalidArgument, count, " inputs; expected at most ", kMaxTensors);
  ComponentOptions options;
  ZT_RETURN_IF_ERROR(read_json(text, "options", &options));
  ComponentCall call;
  call.component = component;
  ZT_ASSIGN_OR_RETURN(call.compute, parse_dtype(options.compute));
  call.fuse = options.fuse;
  call.dump = options.dump;
  ZT_RETURN_IF_ERROR(read_bindings(options.set, &call.set));
  for (size_t i = 0; i < count; ++i) {
    ZT_ASSIGN_OR_RETURN(call.inputs.emplace_back(), read_tensor(inputs[i], i));
    call.data.push_back(inputs[i].data);
  }
  ZT_ASSIGN_OR_RETURN(call.weights, open_adapters(engine.model(), options.adapters));
  ZT_ASSIGN_OR_RETURN(Callbacks calls, Callbacks::create(given));
  ZT_ASSIGN_OR_RETURN(TensorList made, engine.run_component(call, calls.hooks()));
  *outputs = tensor_lists().add(std::make_shared<TensorList>(std::move(made)));
  return Status();
}

}  // namespace
}  // namespace zoetrope

using namespace zoetrope;

int zoetrope_run_component(zoetrope_engine* engine, const char* component,
                           const zoetrope_tensor* inputs, size_t input_count, const char* options,
                           const zoetrope_callbacks* callbacks, zoetrope_tensors** outputs) {
  return guarded_work([&]() -> Status {
    ZT_ASSIGN_OR_RETURN(const auto open, engines().find(engine));
    return run(*open->engine, component, inputs, input_count, options, callbacks, outputs);
  });
}

int64_t zoetrope_tensors_count(zoetrope_tensors* tensors) {
  int64_t count = -1;
  guarded([&]() -> Status {
    ZT_ASSIGN_OR_RETURN(const auto list, tensor_lists().find(tensors));
    count = static_cast<int64_t>(list->size());
    return Status();
  });
  return count;
}

int zoetrope_tensors_get(zoetrope_tensors* tensors, size_t index, zoetrope_tensor* out) {
  return guarded([&]() -> Status {
    ZT_ASSIGN_OR_RETURN(const auto list, tensor_lists().find(tensors));
    ZT_RETURN_IF_ERROR(need(out, "out"));
    if (index >= list->size())
      return error(Code::kInvalidArgument, "index ", index, "; there are ", list->size(),
                   " tensors");
    const ComponentOutput& tensor = (*list)[index];
    *out = zoetrope_tensor{};
    out->name = tensor.name.c_str();
    out->dtype = dtype_name(tensor.type.dtype).data();
    out->rank = tensor.type.shape.rank();
    for (int i = 0; i < tensor.type.shape.rank(); ++i) out->dims[i] = tensor.type.shape[i];
    out->data = tensor.bytes.data();
    return Status();
  });
}

void zoetrope_tensors_free(zoetrope_tensors* tensors) { tensor_lists().remove(tensors); }
