// What a person asked for, as JSON: a request with the files that it reads and where it ran. Made
// for receipts, checkpoints and whatever else keeps requests. Whoever reads one knows neither flags
// nor what made it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "graph/format/hash.h"
#include "graph/json_reader.h"
#include "graph/json_writer.h"
#include "runtime/engine/request.h"

namespace zoetrope {

inline constexpr size_t kMaxPrompt = 1 << 20;  // bytes, as the command takes
inline constexpr size_t kMaxAdapters = 1000;
inline constexpr size_t kMaxRecordBytes = 8 << 20;

// A file that a request reads: where it was, and what was in it (graph/format/hash.h; empty: not
// known). Without a path it is not there.
struct FileRecord {
  std::string path, digest;
  bool operator==(const FileRecord&) const = default;
};

struct AdapterRecord {
  std::string component;  // empty: all
  FileRecord file;
  double strength = 1;
  bool operator==(const AdapterRecord&) const = default;
};

// A picture that the clip shows at a time.
struct KeyFrameRecord {
  double seconds = 0, strength = 1;
  FileRecord file;
  bool operator==(const KeyFrameRecord&) const = default;
};
inline constexpr size_t kMaxKeyFrames = 1000, kMaxReferences = 16;

// The pictures, clips and sound that a person gave, before they were brought to the model's size.
struct MediaRecord {
  FileRecord image, last_image, extend, lead_to, video, audio;
  std::vector<KeyFrameRecord> keyframes;
  std::vector<FileRecord> references;
  std::string fit = "cover", background = "white";
  double strength = 0;  // 0: not given
  bool operator==(const MediaRecord&) const = default;
};

// As flags say it: runtime/engine/placement.h, runtime/backend/registry.h.
struct DeviceRecord {
  std::string device = "auto", place, target;
  int threads = 0;
  bool operator==(const DeviceRecord&) const = default;
};

struct RequestRecord {
  // Of one clip. Its media, noise and weights stay empty: the files below stand for them, and noise
  // that a program gives is not kept.
  Request request;
  std::string model_name;
  FileRecord model;
  std::vector<AdapterRecord> adapters;  // in the order given
  MediaRecord media;
  DeviceRecord devices;
};

// Every field that is not left open. Text is UTF-8; names of files may be any bytes.
std::string request_record_to_json(const RequestRecord& record);
// Strict: a key that is unknown, of another type or out of bounds is kDataLoss by its name.
Result<RequestRecord> parse_request_record(std::string_view json,
                                           const std::string& origin = "request");

// The same as a part of other JSON: `reader.object("request", &record)`.

template <typename V>
void fields(V& v, FileRecord& f) {
  v.path("path", &f.path);
  v.text("digest", &f.digest, kMaxName);
  v.require(!f.path.empty() || f.digest.empty(), "path", "given");
  v.require(f.digest.empty() || is_digest(f.digest), "digest",
            "\"xxh3:\" and 16 hexadecimal digits");
}

// A value that means "left open" is left out.
template <typename V>
void open_number(V& v, const char* key, double* value, double open, double low, double high) {
  std::optional<double> given;
  if (*value != open) given = *value;
  v.optional_number(key, &given, low, high);
  *value = given.value_or(open);
}
template <typename V, typename T>
void open_integer(V& v, const char* key, T* value, int64_t open, int64_t low, int64_t high) {
  std::optional<int64_t> given;
  if (*value != open) given = *value;
  v.optional_integer(key, &given, low, high);
  *value = static_cast<T>(given.value_or(open));
}
template <typename V>
void open_file(V& v, const char* key, FileRecord* file) {
  v.optional_object(key, file, !file->path.empty());
}

template <typename V>
void fields(V& v, AdapterRecord& a) {
  v.optional_name("component", &a.component);
  v.object("file", &a.file);
  v.number("strength", &a.strength, -1e6, 1e6);
  v.require(!a.file.path.empty(), "file", "given");
}

template <typename V>
void fields(V& v, KeyFrameRecord& k) {
  v.number("seconds", &k.seconds, 0, 1e9);
  v.number("strength", &k.strength, 0, 1);
  v.object("file", &k.file);
  v.require(!k.file.path.empty(), "file", "given");
}

template <typename V>
void fields(V& v, MediaRecord& m) {
  open_file(v, "image", &m.image);
  open_file(v, "last_image", &m.last_image);
  open_file(v, "extend", &m.extend);
  open_file(v, "lead_to", &m.lead_to);
  open_file(v, "video", &m.video);
  open_file(v, "audio", &m.audio);
  v.objects("keyframes", &m.keyframes, kMaxKeyFrames);
  v.objects("references", &m.references, kMaxReferences);
  v.name("fit", &m.fit);
  v.name("background", &m.background);
  open_number(v, "strength", &m.strength, 0, 0, 1);
}

template <typename V>
void fields(V& v, DeviceRecord& d) {
  v.name("device", &d.device);
  v.text("place", &d.place, kMaxPath);
  v.optional_name("target", &d.target);
  open_integer(v, "threads", &d.threads, 0, 0, 1024);
}

inline constexpr std::string_view kGuidanceModes[] = {"batched", "sequential"};
inline constexpr std::string_view kComputeTypes[] = {"f32", "bf16", "f16"};

template <typename V>
void fields(V& v, Request& r) {
  constexpr int64_t kMost = int64_t{1} << 40;
  v.free_text("prompt", &r.prompt, kMaxPrompt);
  v.free_text("negative", &r.negative, kMaxPrompt);
  v.texts("classes", &r.classes, 1 << 16);
  v.unsigned_integer("seed", &r.seed);
  open_integer(v, "width", &r.clip.width, 0, 1, kMost);
  open_integer(v, "height", &r.clip.height, 0, 1, kMost);
  open_integer(v, "frames", &r.clip.frames, 0, 1, kMost);
  open_number(v, "seconds", &r.clip.seconds, 0, 0, 1e9);
  open_integer(v, "samples", &r.clip.samples, 0, 1, kMost);
  v.flag("loop", &r.clip.loop);
  open_integer(v, "window", &r.clip.window, 0, 1, kMost);
  open_integer(v, "steps", &r.steps, 0, 1, 10000);
  open_number(v, "guidance", &r.guidance, -1, 0, 1000);
  v.numbers("expert_guidance", &r.expert_guidance, 64, 0, 1000);
  v.choice("guidance_mode", &r.guidance_mode, kGuidanceModes);
  v.optional_name("solver", &r.solver);
  v.optional_name("schedule", &r.schedule);
  open_number(v, "shift", &r.shift, 0, 0, 1e6);
  v.optional_name("spacing", &r.spacing);
  open_number(v, "eta", &r.eta, -1, 0, 1);
  std::string compute(dtype_name(r.compute));
  v.word("compute", &compute, kComputeTypes);
  if (const auto read = parse_dtype(compute); read.ok()) r.compute = *read;
  v.flag("fuse", &r.fuse);
  open_integer(v, "memory_budget", &r.memory_budget, 0, 1, int64_t{1} << 60);
  open_integer(v, "decode_tile", &r.decode_tile, kAutomaticTile, kWholeClip, 1 << 20);
}

template <typename V>
void fields(V& v, RequestRecord& r) {
  fields(v, r.request);
  v.optional_name("model_name", &r.model_name);
  open_file(v, "model", &r.model);
  v.objects("adapters", &r.adapters, kMaxAdapters);
  v.object("media", &r.media);
  v.object("devices", &r.devices);
}

}  // namespace zoetrope
