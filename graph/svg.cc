#include "graph/svg.h"

#include <algorithm>
#include <map>

namespace zoetrope {
namespace {

constexpr int kBoxWidth = 190, kBoxHeight = 34, kGapX = 22, kGapY = 40, kMargin = 24;
constexpr const char* kRateColours[] = {"#d9d9d9", "#cfe8cf", "#cfe0f5", "#f5e6c4", "#ffffff"};

std::string escape(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else if (c == '&')
      out += "&amp;";
    else if (c == '"')
      out += "&quot;";
    else
      out += c;
  }
  return out;
}

// N of a "blocks.N." part in the name, or -1.
int64_t block_index(const std::string& name) {
  const size_t at = name.find("blocks.");
  if (at == std::string::npos) return -1;
  const size_t begin = at + 7;
  size_t end = begin;
  while (end < name.size() && name[end] >= '0' && name[end] <= '9' && end - begin < 6) ++end;
  if (end == begin || end >= name.size() || name[end] != '.') return -1;
  return std::stoll(name.substr(begin, end - begin));
}

struct Box {
  std::string title, subtitle;
  Rate rate = Rate::kStep;
  bool round = false;
  int layer = 0;
  double x = 0, y = 0;
  std::vector<int> sources;  // boxes above
};

class Drawing {
 public:
  explicit Drawing(const Graph& graph) : graph_(graph) {}

  std::string run() {
    make_boxes();
    sink_constants();
    place();
    return draw();
  }

 private:
  void make_boxes() {
    box_of_.assign(graph_.values.size(), -1);
    for (ValueId id : graph_.inputs) {
      const Value& v = graph_.value(id);
      box_of_[static_cast<size_t>(id)] = add({v.name, type_text(v), v.rate, true, 0, 0, 0, {}});
    }
    for (const Node& node : graph_.nodes) {
      const int64_t block = block_index(node.name);
      blocks_ = std::max(blocks_, block + 1);
      const Value& out = graph_.value(node.outputs[0]);
      int box;
      if (block > 0) {
        // Stands for itself in block 0: its readers connect to the whole stack's last box.
        box = last_of_block_zero_;
      } else {
        Box b{std::string(op_def(node.op).name), node.name, out.rate, false, 0, 0, 0, {}};
        for (ValueId id : node.inputs)
          if (id != kNone && box_of_[static_cast<size_t>(id)] >= 0)
            b.sources.push_back(box_of_[static_cast<size_t>(id)]);
        std::sort(b.sources.begin(), b.sources.end());
        b.sources.erase(std::unique(b.sources.begin(), b.sources.end()), b.sources.end());
        for (int s : b.sources)
          b.layer = std::max(b.layer, boxes_[static_cast<size_t>(s)].layer + 1);
        box = add(std::move(b));
        if (block == 0) last_of_block_zero_ = box;
      }
      for (ValueId id : node.outputs) box_of_[static_cast<size_t>(id)] = box;
    }
    for (const GraphOutput& output : graph_.outputs) {
      const int source = box_of_[static_cast<size_t>(output.value)];
      Box b{output.name,
            type_text(graph_.value(output.value)),
            graph_.value(output.value).rate,
            true,
            0,
            0,
            0,
            {}};
      if (source >= 0) {
        b.sources.push_back(source);
        b.layer = boxes_[static_cast<size_t>(source)].layer + 1;
      }
      add(std::move(b));
    }
  }

  // Constants stand just above their first reader, not all in the top row.
  void sink_constants() {
    std::vector<int> first(boxes_.size(), -1);
    for (const Box& b : boxes_)
      for (int s : b.sources) {
        int& layer = first[static_cast<size_t>(s)];
        layer = layer < 0 ? b.layer : std::min(layer, b.layer);
      }
    for (size_t i = boxes_.size(); i-- > 0;)
      if (boxes_[i].sources.empty() && !boxes_[i].round && first[i] > 0)
        boxes_[i].layer = first[i] - 1;
  }

  std::string type_text(const Value& v) const {
    return graph_.bound
               ? v.type.to_string()
               : str(dtype_name(v.type.dtype), v.dims.empty() ? "" : attr_to_string(v.dims));
  }

  int add(Box box) {
    boxes_.push_back(std::move(box));
    return static_cast<int>(boxes_.size()) - 1;
  }

  // Within a layer, boxes stand in the order of the mean place of what they read.
  void place() {
    std::map<int, std::vector<int>> layers;
    for (size_t i = 0; i < boxes_.size(); ++i)
      layers[boxes_[i].layer].push_back(static_cast<int>(i));
    for (auto& [layer, members] : layers) {
      std::map<int, double> wish;
      for (int m : members) {
        double sum = 0;
        const Box& b = boxes_[static_cast<size_t>(m)];
        for (int s : b.sources) sum += boxes_[static_cast<size_t>(s)].x;
        wish[m] = b.sources.empty() ? 1e9 : sum / static_cast<double>(b.sources.size());
      }
      std::stable_sort(members.begin(), members.end(),
                       [&](int a, int b) { return wish[a] < wish[b]; });
      double next = kMargin;
      for (int m : members) {
        Box& b = boxes_[static_cast<size_t>(m)];
        b.x = std::max(next, b.sources.empty() ? next : std::min(wish[m], next + 6 * kBoxWidth));
        b.y = kMargin + 30 + layer * (kBoxHeight + kGapY);
        next = b.x + kBoxWidth + kGapX;
        width_ = std::max(width_, next);
        height_ = std::max(height_, b.y + kBoxHeight + kMargin);
      }
    }
  }

  std::string draw() const {
    std::string svg = str(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"", width_ + kMargin, "\" height=\"",
        height_, "\" font-family=\"sans-serif\" font-size=\"11\">\n",
        "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n<text x=\"", kMargin, "\" y=\"",
        kMargin, "\" font-size=\"14\">", escape(graph_.name), ", ", graph_.nodes.size(), " nodes");
    if (blocks_ > 1) svg += str("; block 0 of ", blocks_, " equal blocks is drawn");
    svg += "</text>\n";
    for (const Box& b : boxes_)
      for (int s : b.sources) {
        const Box& from = boxes_[static_cast<size_t>(s)];
        const double x1 = from.x + kBoxWidth / 2.0, y1 = from.y + kBoxHeight;
        const double x2 = b.x + kBoxWidth / 2.0, y2 = b.y;
        svg += str("<path d=\"M", x1, " ", y1, " C", x1, " ", y1 + kGapY / 2.0, " ", x2, " ",
                   y2 - kGapY / 2.0, " ", x2, " ", y2, "\" fill=\"none\" stroke=\"#888\"/>\n");
      }
    for (const Box& b : boxes_) {
      svg += str("<rect x=\"", b.x, "\" y=\"", b.y, "\" width=\"", kBoxWidth, "\" height=\"",
                 kBoxHeight, "\" rx=\"", b.round ? 16 : 4, "\" fill=\"",
                 kRateColours[static_cast<size_t>(b.rate)], "\" stroke=\"#444\"/>\n<text x=\"",
                 b.x + 8, "\" y=\"", b.y + 14, "\">", escape(b.title), "</text>\n<text x=\"",
                 b.x + 8, "\" y=\"", b.y + 27, "\" font-size=\"9\" fill=\"#555\">",
                 escape(b.subtitle.substr(0, 38)), "</text>\n");
    }
    return svg + "</svg>\n";
  }

  const Graph& graph_;
  std::vector<Box> boxes_;
  std::vector<int> box_of_;  // by value
  int last_of_block_zero_ = -1;
  int64_t blocks_ = 0;
  double width_ = 0, height_ = 0;
};

}  // namespace

std::string to_svg(const Graph& graph) { return Drawing(graph).run(); }

}  // namespace zoetrope
