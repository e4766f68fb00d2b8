// The files that a run writes.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "runtime/cli/output_files.h"
#include "runtime/engine/request.h"
#include "runtime/media/clip_writer.h"

namespace zoetrope {

// Adds every file that the outputs would become.
Status add_clips(const std::vector<std::string>& paths, const ClipFormat& format,
                 OutputFiles* files);

// At least one of them holds sound, so that a second model's is not made for none.
Status check_heard(const std::vector<std::string>& paths, const ClipFormat& format);

// The output of clip `index` of `count`: the number goes into a %d of a name that needs none for
// frames, else before the extension. Standard output and pipes take one clip alone.
Result<std::string> numbered_path(const std::string& path, const ClipFormat& format, size_t index,
                                  size_t count);

// Writes one clip to several files at once.
class Outputs : public ClipSink {
 public:
  Status open(const std::vector<std::string>& paths, const ClipFormat& format);
  Status frames(const uint8_t* pixels, int64_t count) override;
  Status audio(const float* samples, int64_t count) override;
  // To every file whose format takes it: ClipWriter::add_tag.
  void add_tag(const std::string& name, const std::string& text);
  Status finish();
  // Of the i-th file: "H.264 + AAC".
  std::string description(size_t i) const { return writers_[i]->description(); }

 private:
  std::vector<std::unique_ptr<ClipWriter>> writers_;
};

// What a clip says of itself: each option by itself, and all together as JSON in "comment", for
// formats that have one text.
ClipTags make_tags(const std::string& model, const std::string& version, const std::string& prompt,
                   const std::string& negative, uint64_t seed,
                   const std::vector<std::pair<std::string, std::string>>& options);

}  // namespace zoetrope
