#include "graph/svg_layout.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace zoetrope {
namespace {

constexpr double kGapX = 20, kGapY = 26, kLineWidth = 8;
constexpr int kSweeps = 12;
constexpr int64_t kMaxCorners = 100000;  // of long lines; beyond, they go straight

// A box, or a corner of a line that passes a layer.
struct Item {
  double width = 0, height = 0;
  int layer = 0;
  double x = 0;                   // centre
  std::vector<int> above, below;  // neighbours in the next layers
};

class Layers {
 public:
  Layers(std::vector<PlacedBox>* boxes, std::vector<PlacedLine>* lines)
      : boxes_(*boxes), lines_(*lines) {}

  PlacedSize run() {
    assign_layers();
    add_corners();
    order();
    set_x();
    return write();
  }

 private:
  Item& item(int i) { return items_[static_cast<size_t>(i)]; }

  void assign_layers() {
    for (const PlacedBox& b : boxes_) items_.push_back({b.width, b.height, 0, 0, {}, {}});
    std::vector<std::vector<int>> readers(boxes_.size());
    for (const PlacedLine& line : lines_)
      if (line.from < line.to) readers[static_cast<size_t>(line.from)].push_back(line.to);
    for (size_t i = 0; i < boxes_.size(); ++i)
      for (int to : readers[i]) item(to).layer = std::max(item(to).layer, items_[i].layer + 1);
    for (size_t i = boxes_.size(); i-- > 0;) {
      if (!boxes_[i].sinks || readers[i].empty()) continue;
      int first = item(readers[i][0]).layer;
      for (int to : readers[i]) first = std::min(first, item(to).layer);
      items_[i].layer = std::max(items_[i].layer, first - 1);
    }
  }

  void add_corners() {
    int64_t corners = 0;
    for (const PlacedLine& line : lines_)
      corners += std::max(item(line.to).layer - item(line.from).layer - 1, 0);
    for (PlacedLine& line : lines_) {
      std::vector<int>& way = ways_.emplace_back();
      const int begin = item(line.from).layer, end = item(line.to).layer;
      if (end <= begin) continue;  // against the order
      int last = line.from;
      for (int layer = begin + 1; layer < end && corners <= kMaxCorners; ++layer) {
        items_.push_back({kLineWidth, 0, layer, 0, {}, {}});
        connect(last, static_cast<int>(items_.size()) - 1);
        last = static_cast<int>(items_.size()) - 1;
        way.push_back(last);
      }
      if (item(last).layer + 1 == end) connect(last, line.to);
    }
    int deepest = 0;
    for (const Item& i : items_) deepest = std::max(deepest, i.layer);
    layers_.resize(static_cast<size_t>(deepest) + 1);
    for (size_t i = 0; i < items_.size(); ++i)
      layers_[static_cast<size_t>(items_[i].layer)].push_back(static_cast<int>(i));
  }

  void connect(int upper, int lower) {
    item(upper).below.push_back(lower);
    item(lower).above.push_back(upper);
  }

  // Calls `use` layer by layer, down and up in turn, with the side that was seen before.
  template <typename Use>
  void sweep(const Use& use) {
    for (int s = 0; s < kSweeps; ++s)
      for (size_t k = 0; k < layers_.size(); ++k)
        use(layers_[s % 2 == 0 ? k : layers_.size() - 1 - k],
            s % 2 == 0 ? &Item::above : &Item::below);
  }

  // Mean place of the neighbours on one side; the item's own without any.
  double mean(int i, std::vector<int> Item::*side) {
    const std::vector<int>& near = item(i).*side;
    if (near.empty()) return item(i).x;
    double sum = 0;
    for (int n : near) sum += item(n).x;
    return sum / static_cast<double>(near.size());
  }

  void order() {
    for (auto& layer : layers_)
      for (size_t k = 0; k < layer.size(); ++k) item(layer[k]).x = static_cast<double>(k);
    sweep([&](std::vector<int>& layer, std::vector<int> Item::*side) {
      std::vector<std::pair<double, int>> wish;
      for (int i : layer) wish.emplace_back(mean(i, side), i);
      std::stable_sort(wish.begin(), wish.end(),
                       [](const auto& a, const auto& b) { return a.first < b.first; });
      for (size_t k = 0; k < layer.size(); ++k) {
        layer[k] = wish[k].second;
        item(layer[k]).x = static_cast<double>(k);
      }
    });
  }

  // Every item as near to its neighbours' mean as its own neighbours in the layer let it: with
  // distances taken off, the least squares under an order are pools of means (Ayer et al. 1955).
  void set_x() {
    for (auto& layer : layers_) {
      double x = 0;
      for (int i : layer) {
        item(i).x = x + item(i).width / 2;
        x += item(i).width + kGapX;
      }
    }
    sweep([&](std::vector<int>& layer, std::vector<int> Item::*side) {
      struct Pool {
        double sum;
        size_t count;
        double mean() const { return sum / static_cast<double>(count); }
      };
      std::vector<Pool> pools;
      std::vector<double> offset(layer.size());
      for (size_t k = 0; k < layer.size(); ++k) {
        if (k > 0)
          offset[k] = offset[k - 1] + kGapX + (item(layer[k - 1]).width + item(layer[k]).width) / 2;
        pools.push_back({mean(layer[k], side) - offset[k], 1});
        while (pools.size() > 1 && pools[pools.size() - 2].mean() > pools.back().mean()) {
          pools[pools.size() - 2].sum += pools.back().sum;
          pools[pools.size() - 2].count += pools.back().count;
          pools.pop_back();
        }
      }
      size_t k = 0;
      for (const Pool& pool : pools)
        for (size_t n = 0; n < pool.count; ++n, ++k) item(layer[k]).x = pool.mean() + offset[k];
    });
  }

  PlacedSize write() {
    double left = 0, right = 0, y = 0;
    for (const Item& i : items_) {
      left = std::min(left, i.x - i.width / 2);
      right = std::max(right, i.x + i.width / 2);
    }
    std::vector<double> tops, ends;
    for (const auto& layer : layers_) {
      double height = 0;
      for (int i : layer) height = std::max(height, item(i).height);
      tops.push_back(y);
      ends.push_back(y + height);
      y += height + kGapY;
    }
    for (size_t i = 0; i < boxes_.size(); ++i) {
      boxes_[i].x = items_[i].x - items_[i].width / 2 - left;
      boxes_[i].y = tops[static_cast<size_t>(items_[i].layer)];
    }
    for (size_t l = 0; l < lines_.size(); ++l) {
      PlacedLine& line = lines_[l];
      const PlacedBox& from = boxes_[static_cast<size_t>(line.from)];
      const PlacedBox& to = boxes_[static_cast<size_t>(line.to)];
      const double x = from.x + from.width / 2;
      line.points = {{x, from.y + from.height}};
      if (item(line.from).layer < item(line.to).layer)
        line.points.emplace_back(x, ends[static_cast<size_t>(item(line.from).layer)]);
      for (int corner : ways_[l]) {  // upright past the layer, whatever is tall in it
        const auto layer = static_cast<size_t>(item(corner).layer);
        line.points.emplace_back(item(corner).x - left, tops[layer]);
        line.points.emplace_back(item(corner).x - left, ends[layer]);
      }
      line.points.emplace_back(to.x + to.width / 2, to.y);
    }
    return {right - left, y - kGapY};
  }

  std::vector<PlacedBox>& boxes_;
  std::vector<PlacedLine>& lines_;
  std::vector<Item> items_;               // the boxes, then corners
  std::vector<std::vector<int>> layers_;  // items from left to right
  std::vector<std::vector<int>> ways_;    // by line: its corners
};

}  // namespace

PlacedSize place(std::vector<PlacedBox>* boxes, std::vector<PlacedLine>* lines) {
  return boxes->empty() ? PlacedSize{} : Layers(boxes, lines).run();
}

}  // namespace zoetrope
