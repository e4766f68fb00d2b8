// How a stored picture must be turned to stand upright, from what its file says.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace zoetrope {

// EXIF's numbers (tag 0x0112). 1: as stored; 2: mirrored left to right; 3: turned by half; 4:
// mirrored top to bottom; 5: transposed; 6: a quarter clockwise; 7: transposed across the other
// diagonal; 8: a quarter anticlockwise.
inline constexpr int kUpright = 1;

inline bool swaps_sides(int orientation) { return orientation >= 5; }

// The orientation that a JPEG, PNG, WebP or TIFF file states; kUpright when it says nothing or
// nonsense.
int exif_orientation(std::span<const uint8_t> file);

// Of a display matrix as MP4 has it: rows a b, c d of x' = a x + c y, y' = b x + d y, y downwards.
// Angles between quarters go to the nearest.
int matrix_orientation(double a, double b, double c, double d);

// Whether that is all that the matrix does, to the degree that ffmpeg allows for.
bool turns_by_quarters(double a, double b, double c, double d);

// rgb [height, width, 3] turned; sides are swapped where swaps_sides().
std::vector<uint8_t> turn(std::vector<uint8_t> rgb, int64_t width, int64_t height, int orientation);

}  // namespace zoetrope
