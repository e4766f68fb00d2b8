// Requests from clients: every check of what they may ask stands here.
#pragma once

#include <array>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/engine/request_record.h"

namespace zoetrope {

// JSON of another's, whose depth has a limit: what copies, writes or reads it recurs. Discarded
// where it is none, or nested deeper.
nlohmann::json parse_json(std::string_view text);

struct RequestLimits {
  size_t prompt_bytes = 8192;  // of the prompt, and of what to steer away from
};

// Where a given picture, clip or sound is: a file that was uploaded, what a job has made or, with
// `input`, what a job was given under that key. At most one of `file` and `job`.
struct GivenMedia {
  std::string file, job, input;
  bool given() const { return !file.empty() || !job.empty(); }
};

// As clients name them, and MediaRecord after them.
inline constexpr std::array<const char*, 6> kMediaKeys = {"image",   "last_image", "extend",
                                                          "lead_to", "video",      "audio"};
using GivenMediaSet = std::array<GivenMedia, kMediaKeys.size()>;

// An adapter that the operator offers, all of it or its part for one component of the model.
struct ClientAdapter {
  std::string name, component;
  double strength = 1;
};
inline constexpr size_t kMostAdapters = 16;  // of a request

// What a client asks for; jobs keep it as this JSON.
struct ClientRequest {
  std::string model;  // by name; empty: the service's first
  Request request;
  GivenMediaSet media;  // by kMediaKeys
  std::vector<GivenMedia> references;
  std::vector<ClientAdapter> adapters;
  std::string fit = "cover", background = "white";
  double strength = 0;  // 0: not given
};

// Everything that is given, with the keys under which jobs keep it: kMediaKeys, and "reference_1",
// "reference_2", ... behind them.
template <typename R>
auto given_in(R& request) {
  std::vector<std::pair<std::string, decltype(request.media.data())>> given;
  for (size_t i = 0; i < kMediaKeys.size(); ++i)
    if (request.media[i].given()) given.emplace_back(kMediaKeys[i], &request.media[i]);
  for (size_t i = 0; i < request.references.size(); ++i)
    given.emplace_back(str("reference_", i + 1), &request.references[i]);
  return given;
}
// Whether it is one of these keys, whatever the request.
bool is_media_key(std::string_view key);

inline constexpr std::string_view kFits[] = {"cover", "contain", "stretch"};

template <typename V>
void fields(V& v, GivenMedia& m) {
  v.optional_name("file", &m.file);
  v.optional_name("job", &m.job);
  v.optional_name("input", &m.input);
  v.require(m.file.empty() != m.job.empty(), "file", "given, or 'job', and not both");
  v.require(m.input.empty() || !m.job.empty(), "input", "of a 'job'");
}

template <typename V>
void fields(V& v, ClientAdapter& a) {
  v.name("name", &a.name);
  v.optional_name("component", &a.component);
  open_number(v, "strength", &a.strength, 1, -100, 100);
}

template <typename V>
void fields(V& v, ClientRequest& r) {
  v.optional_name("model", &r.model);
  fields(v, r.request);
  for (size_t i = 0; i < kMediaKeys.size(); ++i)
    v.optional_object(kMediaKeys[i], &r.media[i], r.media[i].given());
  v.objects("references", &r.references, kMaxReferences);
  v.objects("adapters", &r.adapters, kMostAdapters);
  v.word("fit", &r.fit, kFits);
  v.text("background", &r.background, 32);
  open_number(v, "strength", &r.strength, 0, 0.001, 1);
}

// A request in the words of checkpoints and receipts, strictly; a seed that is left out is drawn.
// Errors are kInvalidArgument and name the key.
Result<ClientRequest> read_client_request(const nlohmann::json& json, const RequestLimits& limits);
// What holds of every request, whatever words it came in.
Status check_client_request(const ClientRequest& request, const RequestLimits& limits);

// "1280x720", "2.5" and "20": what clients of other services send as text.
Status read_size(const std::string& text, ClipRequest* clip);
Status read_seconds(const std::string& text, ClipRequest* clip);

// As jobs keep it.
std::string store_request(const ClientRequest& request);
Result<ClientRequest> read_stored_request(const std::string& json);

// The record of it, its media at these paths (by given_in()'s keys), its adapters these files.
using MediaPaths = std::map<std::string, std::string>;
RequestRecord record_of(const ClientRequest& request, const MediaPaths& paths,
                        std::vector<AdapterRecord> adapters);

}  // namespace zoetrope
