// WAV's chunks, of which FFmpeg tells less than they say.
#pragma once

#include <cstdint>
#include <span>

namespace zoetrope {

// Whether a WAV file of `file_bytes`, which begins so, ends before its header says. Where a header
// does not know (0 and the largest number, as encoders leave it that write into a pipe) it does
// not.
bool wave_breaks_off(std::span<const uint8_t> head, int64_t file_bytes);

}  // namespace zoetrope
