// WAV's chunks, of which FFmpeg tells less than they say.
#pragma once

#include <cstdint>
#include <span>

namespace zoetrope {

// Whether a WAV file of `file_bytes`, which begins so, ends before its header says. It does not
// where the header does not know: encoders that write into a pipe leave 0, or more than any has.
bool wave_breaks_off(std::span<const uint8_t> head, int64_t file_bytes);

}  // namespace zoetrope
