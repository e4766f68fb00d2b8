// What callers give: JSON, structs of their header's size, pixels and samples.
#pragma once

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "graph/json_reader.h"
#include "include/zoetrope.h"
#include "runtime/c/errors.h"
#include "runtime/engine/engine.h"
#include "runtime/engine/request_record.h"

namespace zoetrope {

// For answers; what is not UTF-8 in names of files becomes U+FFFD.
std::string dump(const nlohmann::json& json);

// Reads an object's fields strictly into `out`. NULL leaves it as it is. Whatever is wrong is the
// caller's argument, called `what`.
template <typename T>
Status read_json(const char* text, const char* what, T* out) {
  if (text == nullptr) return Status();
  const auto json = nlohmann::json::parse(text, text + std::strlen(text), nullptr, false);
  if (json.is_discarded()) return error(Code::kInvalidArgument, what, ": not JSON");
  JsonReader reader(json, what);
  fields(reader, *out);
  const Status status = reader.finish();
  return status.ok() ? status : Status(Code::kInvalidArgument, status.message());
}

// A struct of an older or a newer header; what the caller's header lacks is 0.
template <typename T>
Status read_struct(const T* given, const char* name, T* out) {
  *out = T{};
  if (given == nullptr) return Status();
  if (given->size < sizeof(size_t) || given->size > 1 << 16)
    return error(Code::kInvalidArgument, name, ".size is ", given->size, "; set it to sizeof(",
                 name, ")");
  std::memcpy(out, given, std::min(given->size, sizeof(T)));
  return Status();
}

struct RequestArgument {
  Request request;
  std::vector<AdapterRecord> adapters;
};
template <typename V>
void fields(V& v, RequestArgument& a) {
  fields(v, a.request);
  v.objects("adapters", &a.adapters, kMaxAdapters);
}

// A request of this model, its adapters opened and its media in place. `record`: null, or gets what
// a receipt holds of it.
Result<Request> read_request(const Engine& engine, const char* text, const zoetrope_media* media,
                             RequestRecord* record = nullptr);

Result<std::shared_ptr<const WeightSource>> open_adapters(
    const Model& model, const std::vector<AdapterRecord>& adapters);

// The options that say where something runs.
Result<EngineOptions> engine_options(const DeviceRecord& devices);

// The path, or for NULL and "" the model that comes with the library.
Result<std::string> model_or_default(const char* path);

}  // namespace zoetrope
