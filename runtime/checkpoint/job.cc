#include "runtime/checkpoint/job.h"

#include "graph/format/hash.h"
#include "graph/format/mapped_file.h"
#include "graph/format/output_file.h"
#include "runtime/checkpoint/tensor_file.h"
#include "runtime/media/loudness.h"

namespace zoetrope {

// JsonReader finds it by its argument.
template <typename V>
void fields(V& v, CheckpointClip& c) {
  v.free_text("prompt", &c.prompt, kMaxPrompt);
  v.unsigned_integer("seed", &c.seed);
  v.free_text("short_prompt", &c.short_prompt, kMaxPrompt);
}

namespace {

constexpr int64_t kFormat = 1;
constexpr size_t kMaxJobBytes = size_t{1} << 30;

struct Path {
  std::string path;
};
template <typename V>
void fields(V& v, Path& p) {
  v.path("path", &p.path);
  v.require(!p.path.empty(), "path", "given");
}

// What decides every bit of the clips.
template <typename V>
void asked_fields(V& v, CheckpointJob& j) {
  v.object("request", &j.request);
  v.objects("clips", &j.clips, kMaxClips);
  v.require(!j.clips.empty(), "clips", "given, and not empty");
  v.optional_number("loudness", &j.loudness, kLeastLoudness, kMostLoudness);
}

template <typename V>
void fields(V& v, CheckpointJob& j) {
  int64_t format = kFormat;
  v.integer("format", &format, kFormat, kFormat);
  v.optional_name("software", &j.software);
  asked_fields(v, j);
  std::vector<Path> outputs;
  for (const std::string& path : j.outputs) outputs.push_back({path});
  v.objects("outputs", &outputs, 1000);
  j.outputs.clear();
  for (const Path& output : outputs) j.outputs.push_back(output.path);
  v.optional_name("output_format", &j.format);
  v.path("receipt", &j.receipt);
  v.flag("metadata", &j.metadata);
  v.integer("every", &j.every, 1, kMaxSteps);
  v.integer("keep", &j.keep, kFewestKept, kMaxSteps + 1);
  v.integer("finished", &j.finished, 0, kMaxClips);
  v.require(!j.outputs.empty(), "outputs", "given, and not empty");
  v.require(j.finished <= static_cast<int64_t>(j.clips.size()), "finished",
            "at most the count of clips");
}

std::string json_digest(const nlohmann::json& json) {
  const std::string text = json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  return digest_text(hash_bytes({reinterpret_cast<const uint8_t*>(text.data()), text.size()}));
}

}  // namespace

std::string checkpoint_id(const CheckpointJob& given) {
  CheckpointJob job = given;
  JsonWriter writer;
  asked_fields(writer, job);
  return json_digest(writer.json);
}

Status write_checkpoint_job(const std::string& path, const CheckpointJob& given) {
  JsonWriter writer;
  CheckpointJob copy = given;
  fields(writer, copy);
  const nlohmann::json& job = writer.json;
  const nlohmann::json all = {{"job", job}, {"hash", json_digest(job)}};
  if (const Status there = check_regular(path); !there.ok() && there.code() != Code::kNotFound)
    return there;
  const std::string text = all.dump(1, ' ', false, nlohmann::json::error_handler_t::replace);
  if (text.size() > kMaxJobBytes)
    return error(Code::kResourceExhausted, path, ": ", text.size(), " bytes of prompts and names; ",
                 kMaxJobBytes, " at most");
  return write_text(path, text);
}

Result<CheckpointJob> read_checkpoint_job(const std::string& path) {
  ZT_RETURN_IF_ERROR(check_regular(path));
  ZT_ASSIGN_OR_RETURN(const MappedFile mapped, MappedFile::open(path));
  const auto bytes = mapped.bytes();
  if (bytes.size() > kMaxJobBytes)
    return error(Code::kDataLoss, path, ": ", bytes.size(), " bytes; a job has at most ",
                 kMaxJobBytes);
  const auto json = nlohmann::json::parse(bytes.begin(), bytes.end(), nullptr, false);
  const auto job = json.is_object() ? json.find("job") : json.end();
  const auto hash = json.is_object() ? json.find("hash") : json.end();
  if (job == json.end() || hash == json.end() || !hash->is_string() || json.size() != 2)
    return error(Code::kDataLoss, path,
                 " is damaged, or no checkpoint's: it has no job with a hash");
  if (hash->get<std::string>() != json_digest(*job))
    return error(Code::kDataLoss, path, " is damaged: its hash does not match");
  CheckpointJob read;
  JsonReader reader(*job, path);
  fields(reader, read);
  ZT_RETURN_IF_ERROR(reader.finish());
  return read;
}

}  // namespace zoetrope
