// Clips to files.
#include "runtime/c/arguments.h"
#include "runtime/c/errors.h"
#include "runtime/media/clip_writer.h"

namespace zoetrope {
namespace {

constexpr size_t kMaxTags = 1000;
constexpr int64_t kMost = int64_t{1} << 31;

Status read_tags(const char* text, ClipTags* tags) {
  if (text == nullptr) return Status();
  const auto json = nlohmann::json::parse(text, text + std::strlen(text), nullptr, false);
  if (!json.is_object() || json.size() > kMaxTags)
    return error(Code::kInvalidArgument, "clip.tags: expected a JSON object of at most ", kMaxTags,
                 " texts");
  for (const auto& [name, value] : json.items()) {
    if (!value.is_string() || name.empty() || name.size() > kMaxName || !is_printable(name))
      return error(Code::kInvalidArgument, "clip.tags: '", is_printable(name) ? name : "?",
                   "' must be a name with a text");
    tags->emplace_back(name, value.get<std::string>());
  }
  return Status();
}

Status check(const std::string& path, const zoetrope_clip& c) {
  const auto wrong = [](const auto&... what) {
    return error(Code::kInvalidArgument, "clip: ", what...);
  };
  const bool sound = c.audio != nullptr;
  if (c.frames == nullptr && !sound) return wrong("neither frames nor audio");
  if (c.frames == nullptr && !path.ends_with(".wav"))
    return wrong("no frames; without them only a .wav file can be written, and this is ", path);
  if (c.frames != nullptr && (c.count < 1 || c.width < 1 || c.height < 1 || c.count > kMost ||
                              c.width > 65536 || c.height > 65536 || c.fps < 1 || c.fps > 1000))
    return wrong(c.count, " frames of ", c.width, "x", c.height, ", ", c.fps,
                 " a second; expected at least one of 1x1 to 65536x65536, 1 to 1000 a second");
  if (sound && (c.samples < 1 || c.samples > kMost || c.channels < 1 || c.channels > 64 ||
                c.rate < 1 || c.rate > 768000))
    return wrong(c.samples, " samples of ", c.channels, " channels, ", c.rate,
                 " a second; expected at least one of 1 to 64 channels, 1 to 768000 a second");
  return Status();
}

Status write(const char* path, const zoetrope_clip* given) {
  ZT_RETURN_IF_ERROR(need(path, "path"));
  ZT_RETURN_IF_ERROR(need(given, "clip"));
  zoetrope_clip c;
  ZT_RETURN_IF_ERROR(read_struct(given, "zoetrope_clip", &c));
  ZT_RETURN_IF_ERROR(check(path, c));
  ClipFormat format{.width = 1, .height = 1};  // sound alone has no size
  if (c.frames != nullptr) {
    format.width = c.width;
    format.height = c.height;
    format.frames = c.count;
    format.fps = c.fps;
  }
  if (c.audio != nullptr) {
    format.sample_rate = c.rate;
    format.channels = c.channels;
    format.samples = c.samples;
  }
  ZT_RETURN_IF_ERROR(read_tags(c.tags, &format.tags));
  ZT_ASSIGN_OR_RETURN(const auto writer, create_clip_writer(path, format));
  if (c.frames != nullptr) ZT_RETURN_IF_ERROR(writer->frames(c.frames, c.count));
  if (c.audio != nullptr) ZT_RETURN_IF_ERROR(writer->audio(c.audio, c.samples));
  return writer->finish();
}

}  // namespace
}  // namespace zoetrope

int zoetrope_write(const char* path, const zoetrope_clip* clip) {
  return zoetrope::guarded_work([&] { return zoetrope::write(path, clip); });
}
