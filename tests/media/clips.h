// Synthetic clips whose content a formula gives.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/media/clip_writer.h"
#include "runtime/media/media_reader.h"
#include "tests/support/psnr.h"
#include "tests/support/temporary_folder.h"

namespace zoetrope {

// A bright square that moves right over a smooth gradient; [frames, height, width, 3].
std::vector<uint8_t> moving_square(const ClipFormat& format);

// Silence with a short 1 kHz burst, full in every channel, that begins at `seconds`.
std::vector<float> burst_at(const ClipFormat& format, double seconds);

// The first sample of channel 0 that is louder than a tenth, in seconds; negative for silence.
double first_loud(const std::vector<float>& samples, int channels, int sample_rate);

// Frames one by one and sound in uneven pieces, as a decoder would hand them over.
Status write_clip(const std::string& path, const ClipFormat& format,
                  const std::vector<uint8_t>& pixels, const std::vector<float>& samples,
                  std::string* description = nullptr);

// What the ffmpeg command prints with these arguments, the judge of our reading; fails the test
// when it fails.
std::vector<uint8_t> ffmpeg(const std::string& arguments);

// What makes ffmpeg() print raw RGB.
inline constexpr const char* kRgb = " -f rawvideo -pix_fmt rgb24 -";

// Fails the test where the file cannot be read.
Media read_frames(const std::string& path, int64_t width, int64_t height, int64_t frames = 1,
                  int fps = 0, Fit fit = Fit::kCover);
// Whether a notice has this word.
bool says(const Media& media, const std::string& word);

// Raw RGB of one size: at most how far two pictures are apart in any value, and on the mean.
int largest_difference(const std::vector<uint8_t>& a, const std::vector<uint8_t>& b);
double mean_difference(const std::vector<uint8_t>& a, const std::vector<uint8_t>& b);

std::vector<uint8_t> file_bytes(const std::string& path);
void write_bytes(const std::string& path, const std::vector<uint8_t>& bytes);

}  // namespace zoetrope
