// What libzoetrope_ffmpeg.so exports: the only part of Zoetrope that links to FFmpeg's libraries.
// It is loaded on first use, so that everything else runs where they are missing.
#pragma once

#include "runtime/media/clip_writer.h"
#include "runtime/media/loudness.h"
#include "runtime/media/media_reader.h"

namespace zoetrope {

inline constexpr uint32_t kMediaAbi = 6;

struct MediaModule {
  uint32_t abi = kMediaAbi;
  Result<std::unique_ptr<ClipWriter>> (*create_writer)(const std::string& path,
                                                       const ClipFormat& format) = nullptr;
  Result<Media> (*read)(const std::string& path, const ReadRequest& request,
                        const FrameSink& sink) = nullptr;
  Result<ClipTags> (*read_tags)(const std::string& path) = nullptr;
  Result<Loudness> (*measure_loudness)(std::span<const float> samples, int rate,
                                       int channels) = nullptr;
};

}  // namespace zoetrope
