#include "runtime/cli/outputs.h"

#include <nlohmann/json.hpp>

#include "runtime/backend/foreign_code.h"
#include "runtime/media/plain_writers.h"

namespace zoetrope {

Status add_clips(const std::vector<std::string>& paths, const ClipFormat& format,
                 OutputFiles* files) {
  for (const std::string& path : paths) {
    ZT_ASSIGN_OR_RETURN(const std::vector<std::string> names, clip_files(path, format));
    for (const std::string& name : names) ZT_RETURN_IF_ERROR(files->write("-o", path, name));
  }
  return Status();
}

Status check_heard(const std::vector<std::string>& paths, const ClipFormat& format) {
  for (const std::string& path : paths) {
    ZT_ASSIGN_OR_RETURN(const bool heard, takes_sound(path, format));
    if (heard) return Status();
  }
  return error(Code::kInvalidArgument, "--sound: no output holds sound",
               paths.empty() ? std::string() : str(" (-o ", paths[0], ")"), "; expected one of ",
               kSoundExtensions);
}

Result<std::string> numbered_path(const std::string& path, const ClipFormat& format, size_t index,
                                  size_t count) {
  const auto target = resolve_output(path);
  if (target.ok() && target->kind == OutputTarget::Kind::kStream)
    return error(Code::kInvalidArgument, "-o ", path, ": ", count,
                 " clips cannot go into one stream; give a name of files");
  const size_t name = path.find_last_of('/') + 1;
  size_t dot = path.find_last_of('.');
  if (dot == std::string::npos || dot <= name) dot = path.size();
  const bool counts_frames =
      format.frames > 1 &&
      (format.container == "png" || (format.container.empty() && path.substr(dot) == ".png"));
  const bool has_pattern = path.find('%', name) != std::string::npos;
  if (has_pattern && !counts_frames)
    return png_frame_path(path, static_cast<int64_t>(index), /*single=*/false);
  std::string number = std::to_string(index);
  number.insert(0, std::to_string(count).size() - number.size(), '0');
  if (has_pattern) return path.substr(0, name) + number + "-" + path.substr(name);
  return path.substr(0, dot) + "-" + number + path.substr(dot);
}

Status Outputs::open(const std::vector<std::string>& paths, const ClipFormat& format) {
  for (const std::string& path : paths) {
    ZT_ASSIGN_OR_RETURN(writers_.emplace_back(), create_clip_writer(path, format));
  }
  return Status();
}

Status Outputs::frames(const uint8_t* pixels, int64_t count) {
  for (auto& writer : writers_) ZT_RETURN_IF_ERROR(writer->frames(pixels, count));
  return Status();
}

Status Outputs::audio(const float* samples, int64_t count) {
  for (auto& writer : writers_) ZT_RETURN_IF_ERROR(writer->audio(samples, count));
  return Status();
}

void Outputs::add_tag(const std::string& name, const std::string& text) {
  for (auto& writer : writers_) (void)writer->add_tag(name, text);
}

Status Outputs::finish() {
  for (auto& writer : writers_) ZT_RETURN_IF_ERROR(writer->finish());
  return Status();
}

ClipTags make_tags(const std::string& model, const std::string& version, const std::string& prompt,
                   const std::string& negative, uint64_t seed,
                   const std::vector<std::pair<std::string, std::string>>& options) {
  std::string line;
  // A value whose memory is refused destroys itself twice.
  const ForeignCode making(ForeignCode::Kind::kWork, "making JSON");
  nlohmann::json all = {{"prompt", prompt},
                        {"negative_prompt", negative},
                        {"seed", seed},
                        {"model", model},
                        {"software", version}};
  for (const auto& [name, value] : options) {
    line += str(line.empty() ? "" : " ", "--", name, " ", value);
    all["options"][name] = value;
  }
  ClipTags tags = {{"prompt", prompt},
                   {"negative_prompt", negative},
                   {"seed", std::to_string(seed)},
                   {"model", model},
                   {"options", line},
                   {"software", version},
                   {"comment", all.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)}};
  std::erase_if(tags, [](const auto& tag) { return tag.second.empty(); });
  return tags;
}

}  // namespace zoetrope
