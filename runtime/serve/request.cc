#include "runtime/serve/request.h"

#include <charconv>
#include <random>
#include <set>

#include "runtime/engine/request_record.h"

namespace zoetrope {
namespace {

using Json = nlohmann::json;

Status wrong(const auto&... what) { return error(Code::kInvalidArgument, what...); }

Result<Request> check(Request request, bool seeded, const RequestLimits& limits) {
  for (const auto& [key, text] :
       {std::pair{"prompt", &request.prompt}, {"negative", &request.negative}})
    if (text->size() > limits.prompt_bytes)
      return wrong("'", key, "' has ", text->size(), " bytes; at most ", limits.prompt_bytes);
  if (request.classes.size() > 1)
    return wrong("'classes': a job makes one clip or picture; found ", request.classes.size());
  if (!seeded) {
    std::random_device device;
    request.seed = (uint64_t{device()} << 32 | device()) >> 11;  // 53 bits: browsers keep them all
  }
  return request;
}

Result<Request> read(const Json& json) {
  Request request;
  JsonReader reader(json, "request");
  fields(reader, request);
  const Status status = reader.finish();
  if (!status.ok()) return Status(Code::kInvalidArgument, status.message());
  return request;
}

// "1280x720"
Status read_size(const std::string& text, ClipRequest* clip) {
  const char* const end = text.data() + text.size();
  const auto [cross, bad] = std::from_chars(text.data(), end, clip->width);
  if (bad == std::errc() && cross != end && *cross == 'x') {
    const auto [last, worse] = std::from_chars(cross + 1, end, clip->height);
    if (worse == std::errc() && last == end && clip->width > 0 && clip->height > 0) return Status();
  }
  return wrong("'size' must be WIDTHxHEIGHT, such as 1280x720");
}

}  // namespace

Result<Request> read_client_request(const Json& json, const RequestLimits& limits) {
  ZT_ASSIGN_OR_RETURN(Request request, read(json));
  return check(std::move(request), json.contains("seed"), limits);
}

Result<Request> read_openai_request(const Json& json, const Model& model,
                                    const RequestLimits& limits) {
  static const std::set<std::string> kKnown = {"prompt", "model", "seconds", "size"};
  if (!json.is_object()) return wrong("expected a JSON object or a form");
  for (const auto& [key, value] : json.items()) {
    if (!kKnown.contains(key))
      return wrong("'", is_printable(key) ? key.substr(0, 64) : "?",
                   "' is not known here; known: prompt, model, seconds, size");
    if (!value.is_string()) return wrong("'", key, "' must be text");
  }
  if (json.contains("model") && json["model"] != model.name)
    return error(Code::kNotFound, "'model': this service has '", model.name, "' alone");
  Request request;
  if (!json.contains("prompt")) return wrong("'prompt' must be given");
  request.prompt = json["prompt"].get<std::string>();
  if (json.contains("size"))
    ZT_RETURN_IF_ERROR(read_size(json["size"].get<std::string>(), &request.clip));
  if (json.contains("seconds")) {
    const std::string text = json["seconds"].get<std::string>();
    const char* const end = text.data() + text.size();
    const auto [last, bad] = std::from_chars(text.data(), end, request.clip.seconds);
    if (bad != std::errc() || last != end || !(request.clip.seconds > 0) ||
        request.clip.seconds > 1e6)
      return wrong("'seconds' must be a number as text, such as \"4\"");
  }
  return check(std::move(request), /*seeded=*/false, limits);
}

std::string store_request(const Request& request) {
  Request copy = request;
  JsonWriter writer;
  fields(writer, copy);
  return writer.json.dump();
}

Result<Request> read_stored_request(const std::string& text) {
  const Json json = Json::parse(text, nullptr, false);
  return read(json);
}

}  // namespace zoetrope
