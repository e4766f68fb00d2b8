// Which encoders a container gets, and how they are set.
#pragma once

#include <string>
#include <vector>

#include "runtime/media/ffmpeg/common.h"

namespace zoetrope {

// Encoders by preference: the first one that this FFmpeg build has wins.
struct ContainerChoice {
  const char* container;  // as in ClipFormat
  const char* muxer;
  std::vector<const char*> video, audio;
  std::vector<const char*> exact_audio;  // lossless ones; empty: the container has none for all
};

const ContainerChoice& container_choice(const std::string& container);

Result<const AVCodec*> find_encoder(const std::vector<const char*>& names, const std::string& path,
                                    const char* container);

// "H.264", or "MPEG-4 part 2 (this FFmpeg build has no libx264)" when it is not the first choice.
std::string describe_encoder(const AVCodec& codec, const std::vector<const char*>& wanted);
std::string describe_codec(AVCodecID id);

// The rate at which it encodes sound of `rate`: that one, or the next higher that it takes, or its
// highest; Opus, whose clock that is, at 48 kHz.
int encoder_rate(const AVCodec& codec, int rate);

// Good to the eye; one thread, so that the file is the same for any number of cores.
void set_picture_quality(AVCodecContext* video);

}  // namespace zoetrope
