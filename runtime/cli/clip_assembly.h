// Between the model and the files: what was given goes into the clip as it was given, not as the
// model's codecs made it.
#pragma once

#include <optional>

#include "runtime/cli/known_files.h"
#include "runtime/engine/request.h"
#include "runtime/media/clip_writer.h"

namespace zoetrope {

class ClipAssembly : public ClipSink {
 public:
  // All are kept by reference. `known` is what the model was given.
  ClipAssembly(const KnownFiles& files, const KnownMedia& known, const MediaTarget& target,
               ClipSink& out)
      : files_(files), known_(known), t_(target), out_(out) {}

  // What comes out when the model makes this.
  ClipFormat format(const ClipShape& made) const;

  // Where known sound ends and new begins, and the other way, of sound alone: in samples of what
  // comes out.
  std::vector<int64_t> seams(const ClipShape& made) const;

  Status frames(const uint8_t* pixels, int64_t count) override;
  Status audio(const float* samples, int64_t count) override;
  // The rest of the clip, after the model's last frame and sample.
  Status finish();

 private:
  ClipFormat format(int64_t frames) const;
  ClipFormat sound_format(int64_t samples) const;
  int64_t known_samples(const std::vector<float>& sound) const;
  int64_t total_frames(int64_t made) const;
  Status copy_frames(const std::string& path);
  Status begin_frames();
  Status begin_audio();
  Status put_audio(std::span<const float> samples);
  Status flush_end();

  const KnownFiles& files_;
  const KnownMedia& known_;
  const MediaTarget& t_;
  ClipSink& out_;
  int64_t frame_ = 0, sample_ = 0;  // of the model's, that came
  bool frames_begun_ = false, audio_begun_ = false;
  std::vector<float> step_;  // what lifts the new sound to where the old one ended, a channel
  std::vector<float> held_;  // the last 20 ms, which fade out at the end
};

}  // namespace zoetrope
