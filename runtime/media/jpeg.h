// The segments of a JPEG file (ITU-T T.81, annex B).
#pragma once

#include <cstdint>
#include <span>

namespace zoetrope {

inline constexpr uint8_t kJpegScan = 0xda, kJpegEnd = 0xd9, kJpegExif = 0xe1, kJpegApp2 = 0xe2;

// Takes the next segment off `rest`, which begins behind the first marker; a scan's own data are
// passed over. False at the end, or where the segment is cut off.
bool next_jpeg_segment(std::span<const uint8_t>* rest, uint8_t* marker,
                       std::span<const uint8_t>* data);

// Whether `file` is one JPEG behind another, of one size, as raw Motion JPEG has them. What a phone
// or stereo camera puts behind a photograph (MPF, or by its XMP) belongs to that.
bool is_motion_jpeg(std::span<const uint8_t> file);

// Whether the picture ends before its end is marked.
bool jpeg_breaks_off(std::span<const uint8_t> file);

}  // namespace zoetrope
