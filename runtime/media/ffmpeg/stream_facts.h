// What a container says of a stream beside its codec.
#pragma once

#include "runtime/media/ffmpeg/common.h"

namespace zoetrope {

// How a frame must be turned: FFmpeg gives the matrix with the frame or the stream. Not exact: the
// matrix turns by a part of a quarter, or slants.
struct ContainerTurn {
  int orientation;
  bool exact;
};
ContainerTurn container_turn(const AVFrame& frame, const AVStream& stream);

// WebM's transparency in a layer of its own.
bool has_alpha_layer(const AVStream& stream);

// Dolby Vision whose colours mean nothing without its own metadata (profile 5): no other player's
// picture lies beneath.
bool needs_dolby_vision(const AVStream& stream);

// A packet that is a header: where Opus files stand behind one another, FFmpeg gives those of the
// later ones as sound.
bool is_header(const AVStream& stream, const AVPacket& packet);

}  // namespace zoetrope
