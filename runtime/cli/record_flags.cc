#include "runtime/cli/record_flags.h"

#include <sys/stat.h>

#include "graph/format/hash.h"
#include "runtime/media/frame_sequence.h"

namespace zoetrope {
namespace {

bool is_stream(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode);
}

Status changed(const NamedFile& named, const std::string& path, const std::string& found) {
  return error(Code::kDataLoss, named.what, " ", path, " is not the file that it was: ", found,
               "; expected ", named.file->digest, ". Put the old file back");
}

}  // namespace

Result<std::string> media_digest(const std::string& path) {
  ZT_ASSIGN_OR_RETURN(const std::vector<std::string> files, find_frame_sequence(path));
  if (files.empty()) return file_digest(path);
  std::string all;
  for (const std::string& file : files) {
    ZT_ASSIGN_OR_RETURN(const std::string digest, file_digest(file));
    all += digest;
  }
  return digest_text(hash_bytes({reinterpret_cast<const uint8_t*>(all.data()), all.size()}));
}

std::vector<NamedFile> files_of(RequestRecord* record) {
  std::vector<NamedFile> files;
  const auto add = [&](const char* what, FileRecord* file) {
    if (!file->path.empty()) files.push_back({what, file});
  };
  add("the model", &record->model);
  for (AdapterRecord& adapter : record->adapters) add("the adapter", &adapter.file);
  MediaRecord& m = record->media;
  add("--image", &m.image);
  add("--last-image", &m.last_image);
  add("--extend", &m.extend);
  add("--lead-to", &m.lead_to);
  add("--video", &m.video);
  add("--audio", &m.audio);
  for (KeyFrameRecord& key : m.keyframes) add("--keyframe", &key.file);
  for (FileRecord& file : m.references) add("--reference", &file);
  return files;
}

Result<RequestRecord> record_of(const GenerateFlags& flags, const KnownFlags& known,
                                const Model& model) {
  RequestRecord r;
  r.request = flags.request;
  r.request.known = {};
  r.request.start = {};
  r.request.noise.clear();
  r.request.weights.reset();
  r.adapters = flags.adapters;
  r.media = {.image = {known.image, ""},
             .last_image = {known.last_image, ""},
             .extend = {known.extend, ""},
             .lead_to = {known.lead_to, ""},
             .video = {known.video, ""},
             .audio = {known.audio, ""},
             .keyframes = {},
             .references = {},
             .fit = known.fit,
             .background = known.background,
             .strength = known.strength};
  for (const KeyFrameFlag& key : known.keyframes)
    r.media.keyframes.push_back({key.seconds, key.strength, {key.path, ""}});
  for (const std::string& path : known.references) r.media.references.push_back({path, ""});
  r.devices = {flags.device.device, flags.place, flags.device.target, flags.device.threads};
  for (const NamedFile& named : files_of(&r)) {
    if (is_stream(named.file->path)) continue;
    ZT_ASSIGN_OR_RETURN(named.file->digest, media_digest(named.file->path));
  }
  r.model_name = model.name;
  r.model = {model.path, model.digest};
  return r;
}

void apply_record(const RequestRecord& record, GenerateFlags* flags, KnownFlags* known) {
  const Request& r = record.request;
  flags->request = r;
  flags->model = record.model.path;
  flags->compute = std::string(dtype_name(r.compute));
  flags->memory = r.memory_budget > 0 ? str(r.memory_budget) : "";
  flags->decode_tile = r.decode_tile == kAutomaticTile ? "auto"
                       : r.decode_tile == kWholeClip   ? "whole"
                                                       : str(r.decode_tile);
  flags->sequential = r.guidance_mode == GuidanceMode::kSequential;
  flags->no_fusion = !r.fuse;
  flags->adapters = record.adapters;
  flags->place = record.devices.place;
  flags->device = {record.devices.device, record.devices.threads, record.devices.target};
  const MediaRecord& m = record.media;
  known->image = m.image.path;
  known->last_image = m.last_image.path;
  known->extend = m.extend.path;
  known->lead_to = m.lead_to.path;
  known->video = m.video.path;
  known->audio = m.audio.path;
  known->keyframes.clear();
  for (const KeyFrameRecord& key : m.keyframes)
    known->keyframes.push_back({key.seconds, key.strength, key.file.path});
  known->references.clear();
  for (const FileRecord& file : m.references) known->references.push_back(file.path);
  known->fit = m.fit;
  known->background = m.background;
  known->strength = m.strength;
}

Status check_files(RequestRecord record) {
  record.model = {};
  for (const NamedFile& named : files_of(&record)) {
    if (named.file->digest.empty()) continue;
    auto found = media_digest(named.file->path);
    if (!found.ok()) return found.status().with_context(named.what);
    if (*found != named.file->digest) return changed(named, named.file->path, *found);
  }
  return Status();
}

Status check_model_file(const RequestRecord& record, const Model& model) {
  FileRecord file = record.model;
  if (file.digest.empty() || file.digest == model.digest) return Status();
  return changed({"the model", &file}, model.path, model.digest);
}

}  // namespace zoetrope
