#include "runtime/media/ffmpeg/palette.h"

#include <algorithm>
#include <array>

namespace zoetrope {
namespace {

constexpr int kBits = 5, kCells = 1 << (3 * kBits);
constexpr size_t kColours = 256;

int cell_of(const uint8_t* p) {
  return (p[0] >> 3) << (2 * kBits) | (p[1] >> 3) << kBits | p[2] >> 3;
}

// Pixels that share a cell of the colour cube.
struct Cell {
  int id = 0;
  int64_t count = 0;
  std::array<int64_t, 3> sum{};
  int channel(int c) const { return static_cast<int>(sum[static_cast<size_t>(c)] / count); }
};

struct Box {
  size_t begin = 0, end = 0;  // of the cells
  int axis = 0;               // the widest channel
  int64_t weight = 0;         // its extent times the pixels inside: the box to split next has most
};

Box make_box(const std::vector<Cell>& cells, size_t begin, size_t end) {
  Box box{begin, end, 0, 0};
  int64_t count = 0;
  for (size_t i = begin; i < end; ++i) count += cells[i].count;
  int widest = -1;
  for (int c = 0; c < 3; ++c) {
    int low = 255, high = 0;
    for (size_t i = begin; i < end; ++i) {
      low = std::min(low, cells[i].channel(c));
      high = std::max(high, cells[i].channel(c));
    }
    if (high - low > widest) {
      widest = high - low;
      box.axis = c;
    }
  }
  box.weight = end - begin > 1 ? widest * count : 0;
  return box;
}

// Cuts a box at the median pixel of its widest channel; both halves hold a cell.
std::array<Box, 2> split(std::vector<Cell>* cells, const Box& box) {
  const auto begin = cells->begin() + static_cast<std::ptrdiff_t>(box.begin);
  const auto end = cells->begin() + static_cast<std::ptrdiff_t>(box.end);
  std::sort(begin, end, [&](const Cell& a, const Cell& b) {
    return std::pair(a.channel(box.axis), a.id) < std::pair(b.channel(box.axis), b.id);
  });
  int64_t total = 0, below = 0;
  for (auto it = begin; it != end; ++it) total += it->count;
  size_t middle = box.begin;
  while (middle + 1 < box.end && (middle == box.begin || below < total / 2))
    below += (*cells)[middle++].count;
  return {make_box(*cells, box.begin, middle), make_box(*cells, middle, box.end)};
}

}  // namespace

PaletteImage quantise_colours(const uint8_t* rgb, int64_t pixels) {
  std::vector<Cell> all(kCells);
  for (int64_t i = 0; i < pixels; ++i) {
    const uint8_t* p = rgb + 3 * i;
    Cell& cell = all[static_cast<size_t>(cell_of(p))];
    ++cell.count;
    for (size_t c = 0; c < 3; ++c) cell.sum[c] += p[c];
  }
  std::vector<Cell> cells;
  for (int id = 0; id < kCells; ++id) {
    Cell& cell = all[static_cast<size_t>(id)];
    cell.id = id;
    if (cell.count > 0) cells.push_back(cell);
  }
  PaletteImage image;
  image.indices.resize(static_cast<size_t>(pixels));
  std::vector<Box> boxes;
  if (!cells.empty()) boxes.push_back(make_box(cells, 0, cells.size()));
  while (!boxes.empty() && boxes.size() < kColours) {
    const auto widest = std::max_element(
        boxes.begin(), boxes.end(), [](const Box& a, const Box& b) { return a.weight < b.weight; });
    if (widest->weight == 0) break;
    const auto halves = split(&cells, *widest);
    *widest = halves[0];
    boxes.push_back(halves[1]);
  }
  std::vector<uint8_t> index_of(kCells);
  for (const Box& box : boxes) {
    Cell mean;
    for (size_t i = box.begin; i < box.end; ++i) {
      mean.count += cells[i].count;
      for (size_t c = 0; c < 3; ++c) mean.sum[c] += cells[i].sum[c];
      index_of[static_cast<size_t>(cells[i].id)] = static_cast<uint8_t>(image.colours.size());
    }
    image.colours.push_back(0xff000000u | static_cast<uint32_t>(mean.channel(0)) << 16 |
                            static_cast<uint32_t>(mean.channel(1)) << 8 |
                            static_cast<uint32_t>(mean.channel(2)));
  }
  image.colours.resize(kColours, image.colours.empty() ? 0xff000000u : image.colours.back());
  for (int64_t i = 0; i < pixels; ++i)
    image.indices[static_cast<size_t>(i)] = index_of[static_cast<size_t>(cell_of(rgb + 3 * i))];
  return image;
}

}  // namespace zoetrope
