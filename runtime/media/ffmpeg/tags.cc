// What a file says of itself.
#include "runtime/media/ffmpeg/input.h"

namespace zoetrope {

Result<ClipTags> read_tags_with_ffmpeg(const std::string& path) {
  ZT_ASSIGN_OR_RETURN(const InputPtr input, open_input(path));
  ClipTags tags;
  const auto take = [&](const AVDictionary* from) {
    for (const AVDictionaryEntry* entry = nullptr;
         (entry = av_dict_get(from, "", entry, AV_DICT_IGNORE_SUFFIX)) != nullptr;)
      tags.emplace_back(entry->key, entry->value);
  };
  take(input->metadata);
  for (unsigned i = 0; i < input->nb_streams; ++i) take(input->streams[i]->metadata);
  return tags;
}

}  // namespace zoetrope
