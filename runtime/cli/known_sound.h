// What a person gives to a model that makes sound alone; and what reading for any model shares.
#pragma once

#include "runtime/cli/known_files.h"

namespace zoetrope {

// Sound to go on from and to lead to, and the clip whose sound is made. `pictures`: how frames are
// brought to the model.
Status read_for_sound(const KnownFlags& flags, const MediaTarget& target,
                      const ReadRequest& pictures, KnownFiles* files);

// Samples a channel of one file's sound that are kept at most, at the model's rate and channels;
// and the error that says so.
int64_t most_sound_samples(const MediaTarget& target);
Status check_sound_length(const std::string& path, const MediaTarget& target, int64_t samples);

bool same_file(const std::string& a, const std::string& b);

// read_media, which a person may interrupt.
Result<Media> read_frames(const std::string& path, const ReadRequest& request,
                          const FrameSink& sink);
Result<Media> read_frames(const std::string& path, const ReadRequest& request);

// Each once.
void take_notices(Media* media, std::vector<std::string>* notices);

}  // namespace zoetrope
