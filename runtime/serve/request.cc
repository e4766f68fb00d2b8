#include "runtime/serve/request.h"

#include <algorithm>
#include <charconv>

#include "runtime/random/seed.h"

namespace zoetrope {
namespace {

using Json = nlohmann::json;

constexpr int kMostDepth = 32;

Status wrong(const auto&... what) { return error(Code::kInvalidArgument, what...); }

Result<ClientRequest> read(const Json& json) {
  ClientRequest request;
  JsonReader reader(json, "request");
  fields(reader, request);
  const Status status = reader.finish();
  if (!status.ok()) return Status(Code::kInvalidArgument, status.message());
  return request;
}

// All of the text, as a number.
template <typename T>
bool read_number(std::string_view text, T* number) {
  const char* const end = text.data() + text.size();
  const auto [last, bad] = std::from_chars(text.data(), end, *number);
  return bad == std::errc() && last == end;
}

}  // namespace

bool is_media_key(std::string_view key) {
  if (std::find(kMediaKeys.begin(), kMediaKeys.end(), key) != kMediaKeys.end()) return true;
  for (size_t i = 1; i <= kMaxReferences; ++i)
    if (key == str("reference_", i)) return true;
  return false;
}

Json parse_json(std::string_view text) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string && c == '\\') ++i;
    if (c == '"') in_string = !in_string;
    if (in_string) continue;
    if (c == '[' || c == '{') ++depth;
    if (c == ']' || c == '}') --depth;
    if (depth > kMostDepth) return Json(Json::value_t::discarded);
  }
  return Json::parse(text, nullptr, false);
}

Status check_client_request(const ClientRequest& r, const RequestLimits& limits) {
  for (const auto& [key, text] :
       {std::pair{"prompt", &r.request.prompt}, {"negative", &r.request.negative}})
    if (text->size() > limits.prompt_bytes)
      return wrong("'", key, "' has ", text->size(), " bytes; at most ", limits.prompt_bytes);
  if (r.references.size() > kMaxReferences)
    return wrong("'references': ", r.references.size(), " pictures; at most ", kMaxReferences);
  if (r.request.classes.size() > 1)
    return wrong("'classes': a job makes one clip or picture; found ", r.request.classes.size());
  return Status();
}

Result<ClientRequest> read_client_request(const Json& json, const RequestLimits& limits) {
  ZT_ASSIGN_OR_RETURN(ClientRequest request, read(json));
  ZT_RETURN_IF_ERROR(check_client_request(request, limits));
  if (!json.contains("seed")) request.request.seed = draw_seed();
  return request;
}

Status read_size(const std::string& text, ClipRequest* clip) {
  const size_t cross = std::min(text.find('x'), text.size());
  if (cross < text.size() && read_number(std::string_view(text).substr(0, cross), &clip->width) &&
      read_number(std::string_view(text).substr(cross + 1), &clip->height) && clip->width > 0 &&
      clip->height > 0)
    return Status();
  return wrong("'size' must be WIDTHxHEIGHT, such as 1280x720");
}

Status read_seconds(const std::string& text, ClipRequest* clip) {
  if (read_number(text, &clip->seconds) && clip->seconds > 0 && clip->seconds <= 1e6)
    return Status();
  return wrong("'seconds' must be a number as text, such as \"4\"");
}

std::string store_request(const ClientRequest& request) {
  ClientRequest copy = request;
  JsonWriter writer;
  fields(writer, copy);
  return writer.json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Result<ClientRequest> read_stored_request(const std::string& text) {
  return read(Json::parse(text, nullptr, false));
}

RequestRecord record_of(const ClientRequest& r, const MediaPaths& paths,
                        std::vector<AdapterRecord> adapters) {
  RequestRecord record;
  record.request = r.request;
  record.adapters = std::move(adapters);
  MediaRecord& m = record.media;
  FileRecord* const files[] = {&m.image, &m.last_image, &m.extend, &m.lead_to, &m.video, &m.audio};
  for (const auto& [key, media] : given_in(r)) {
    const auto known = std::find(kMediaKeys.begin(), kMediaKeys.end(), key);
    FileRecord* const file = known != kMediaKeys.end() ? files[known - kMediaKeys.begin()]
                                                       : &m.references.emplace_back();
    file->path = paths.at(key);
  }
  m.fit = r.fit;
  m.background = r.background;
  m.strength = r.strength;
  return record;
}

}  // namespace zoetrope
