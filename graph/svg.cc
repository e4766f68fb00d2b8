#include "graph/svg.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "graph/svg_diagram.h"
#include "graph/svg_layout.h"

namespace zoetrope {
namespace {

constexpr double kMargin = 20, kPadding = 14, kTitleHeight = 18, kLineHeight = 13;
constexpr size_t kMaxCharacters = 48;  // of a line in a box
constexpr const char* kRateColours[kRateCount] = {"#d9d9d9", "#cfe8cf", "#cfe0f5", "#f5e6c4",
                                                  "#ffffff"};
constexpr const char* kRateTexts[kRateCount] = {"once for all", "once a size", "once a clip",
                                                "once a timestep", "every call"};

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

bool begins_character(char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }

size_t characters(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), begins_character));
}

std::string shortened(const std::string& text) {
  if (characters(text) <= kMaxCharacters) return text;
  size_t end = 0;
  for (size_t count = 0; end < text.size(); ++end)
    if (begins_character(text[end]) && ++count == kMaxCharacters) break;
  return text.substr(0, end) + "…";
}

// Tenths are enough for any screen, and locales do not matter to them.
std::string number(double value) {
  const auto tenths = static_cast<int64_t>(value * 10 + (value < 0 ? -0.5 : 0.5));
  return str(tenths < 0 ? "-" : "", std::abs(tenths) / 10, ".", std::abs(tenths) % 10);
}

// What stands in a group: a box, or a group of its own.
struct Member {
  bool is_group = false;
  int index = 0;
  int order = 0;
};

struct Arrangement {
  std::vector<Member> members;
  std::vector<PlacedBox> places;
  std::vector<PlacedLine> lines;
  PlacedSize size;
};

class Drawing {
 public:
  explicit Drawing(const Graph& graph) : graph_(graph), d_(make_diagram(graph)) {}

  std::string run() {
    members_.resize(d_.groups.size());
    add_members();
    for (const auto& [from, to] : d_.lines) add_line(from, to);
    for (size_t g = d_.groups.size(); g-- > 0;) arrange(g);  // what is inside comes first
    return draw();
  }

 private:
  DiagramBox& box(int b) { return d_.boxes[static_cast<size_t>(b)]; }
  Arrangement& members(int g) { return members_[static_cast<size_t>(g)]; }
  int parent(int g) const { return d_.groups[static_cast<size_t>(g)].parent; }

  void add_members() {
    for (size_t b = 0; b < d_.boxes.size(); ++b)
      members(d_.boxes[b].group).members.push_back({false, static_cast<int>(b), d_.boxes[b].order});
    for (size_t g = 1; g < d_.groups.size(); ++g)
      members(d_.groups[g].parent)
          .members.push_back({true, static_cast<int>(g), d_.groups[g].order});
  }

  // A line between groups enters and leaves each of them by a port that says what passes.
  void add_line(int from, int to) {
    std::vector<int> above;  // the groups of `from`, innermost first
    for (int g = box(from).group; g >= 0; g = parent(g)) above.push_back(g);
    int common = box(to).group;
    std::vector<int> entered;
    while (std::find(above.begin(), above.end(), common) == above.end()) {
      entered.push_back(common);
      common = parent(common);
    }
    std::pair<bool, int> last{false, from};
    for (const int g : above) {
      if (g == common) break;
      link(g, last, {false, port(g, from, /*enters=*/false)});
      last = {true, g};
    }
    for (size_t i = entered.size(); i-- > 0;) {
      link(parent(entered[i]), last, {true, entered[i]});
      last = {false, port(entered[i], from, /*enters=*/true)};
    }
    link(box(to).group, last, {false, to});
  }

  void link(int g, std::pair<bool, int> from, std::pair<bool, int> to) {
    links_[g].insert({from, to});
  }

  int port(int g, int of, bool enters) {
    const auto [found, added] =
        ports_.try_emplace({g, of, enters}, static_cast<int>(d_.boxes.size()));
    if (!added) return found->second;
    const DiagramBox& source = box(of);
    std::string name = source.title;
    if (name.empty()) name = source.lines.empty() ? "" : source.lines.back();
    if (source.kind == DiagramBox::kConstants && source.title.empty()) name = "constants";
    DiagramBox p;
    p.kind = DiagramBox::kPort;
    p.title = name;
    p.tip = source.tip;
    p.rate = source.rate;
    p.group = g;
    p.order = enters ? -1 : INT32_MAX;
    d_.boxes.push_back(std::move(p));
    members(g).members.push_back({false, found->second, enters ? -1 : INT32_MAX});
    return found->second;
  }

  // Sources before readers, else as the graph has them.
  void sort(size_t g) {
    std::vector<Member>& all = members_[g].members;
    std::stable_sort(all.begin(), all.end(),
                     [](const Member& a, const Member& b) { return a.order < b.order; });
    std::map<std::pair<bool, int>, size_t> place;
    for (size_t i = 0; i < all.size(); ++i) place[{all[i].is_group, all[i].index}] = i;
    std::vector<std::vector<size_t>> readers(all.size());
    std::vector<size_t> waits(all.size());
    for (const auto& [from, to] : links_[static_cast<int>(g)]) {
      readers[place[from]].push_back(place[to]);
      ++waits[place[to]];
    }
    std::set<size_t> ready, left;
    for (size_t i = 0; i < all.size(); ++i) (waits[i] == 0 ? ready : left).insert(i);
    std::vector<Member> sorted;
    while (!ready.empty() || !left.empty()) {
      std::set<size_t>& next = ready.empty() ? left : ready;  // a circle begins where it is first
      const size_t i = *next.begin();
      next.erase(next.begin());
      sorted.push_back(all[i]);
      for (size_t to : readers[i])
        if (--waits[to] == 0 && left.erase(to) > 0) ready.insert(to);
    }
    all = std::move(sorted);
  }

  void arrange(size_t g) {
    sort(g);
    Arrangement& a = members_[g];
    std::map<std::pair<bool, int>, int> place_of;
    for (size_t i = 0; i < a.members.size(); ++i) {
      const Member& m = a.members[i];
      place_of[{m.is_group, m.index}] = static_cast<int>(i);
      a.places.push_back(m.is_group ? size_of_group(m.index) : size_of_box(box(m.index)));
    }
    for (const auto& [from, to] : links_[static_cast<int>(g)])
      a.lines.push_back({place_of[from], place_of[to]});
    a.size = place(&a.places, &a.lines);
  }

  PlacedBox size_of_group(int g) {
    const PlacedSize inner = members(g).size;
    const double title = 6.2 * static_cast<double>(characters(title_of(g)));
    return {std::max(inner.width, title) + 2 * kPadding,
            inner.height + 2 * kPadding + kTitleHeight};
  }

  static PlacedBox size_of_box(const DiagramBox& b) {
    const bool port = b.kind == DiagramBox::kPort;
    double width = 6.4 * static_cast<double>(characters(shortened(b.title)));
    size_t lines = b.title.empty() ? 0 : 1;
    for (const std::string& line : b.lines)
      width = std::max(width, 5.6 * static_cast<double>(characters(shortened(line))));
    lines += b.lines.size();
    if (!b.shape.empty()) {
      width = std::max(width, 5.6 * static_cast<double>(characters(shortened(b.shape))) + 12);
      ++lines;
    }
    const bool waits = b.kind == DiagramBox::kInput || b.kind == DiagramBox::kConstants ||
                       (b.order >= 0 && b.rate <= Rate::kShape);
    return {std::max(width + 16, 40.0),
            static_cast<double>(std::max<size_t>(lines, 1)) * kLineHeight + (port ? 4 : 9), waits};
  }

  const std::string& title_of(int g) const { return d_.groups[static_cast<size_t>(g)].title; }

  std::string draw() {
    const PlacedSize size = members(0).size;
    const double top = kMargin + 64;
    const double width = std::max(size.width, 760.0) + 2 * kMargin;
    std::string svg = str("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"", number(width),
                          "\" height=\"", number(size.height + top + kMargin),
                          "\" font-family=\"sans-serif\" font-size=\"10\">\n"
                          "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n");
    svg += text(kMargin, kMargin, str(graph_.name, ": ", graph_.nodes.size(), " nodes"),
                "font-size=\"14\" font-weight=\"bold\"");
    legend(&svg);
    draw_group(0, kMargin + (width - 2 * kMargin - size.width) / 2, top, &svg);
    return svg + "</svg>\n";
  }

  static std::string text(double x, double y, std::string_view words, std::string_view style) {
    return str("<text x=\"", number(x), "\" y=\"", number(y), "\" ", style, ">", escape(words),
               "</text>\n");
  }

  static std::string rect(std::string_view kind, double x, double y, double w, double h, double rx,
                          std::string_view style) {
    return str("<rect class=\"", kind, "\" x=\"", number(x), "\" y=\"", number(y), "\" width=\"",
               number(w), "\" height=\"", number(h), "\" rx=\"", number(rx), "\" ", style, "/>\n");
  }

  static void legend(std::string* svg) {
    double x = kMargin;
    const double y = kMargin + 14;
    const auto entry = [&](double rx, const std::string& style, std::string_view words) {
      *svg += rect("legend", x, y, 22, 14, rx, style);
      *svg += text(x + 28, y + 11, words, "");
      x += 44 + 5.6 * static_cast<double>(characters(words));
    };
    for (int r = 0; r < kRateCount; ++r)
      entry(3, str("fill=\"", kRateColours[r], "\" stroke=\"#444\""), kRateTexts[r]);
    entry(7, "fill=\"none\" stroke=\"#444\" stroke-width=\"2\"", "input, output");
    entry(3, "fill=\"none\" stroke=\"#777\" stroke-dasharray=\"4 3\"", "repeated, drawn once");
    *svg += text(kMargin, y + 30,
                 "A box holds ops that follow each other; [brackets] behind an op are its weights, "
                 "a number is a scalar, and → says what comes out.",
                 "fill=\"#555\"");
  }

  void draw_group(int g, double x, double y, std::string* svg) {
    const Arrangement& a = members(g);
    for (const PlacedLine& line : a.lines) draw_line(line, x, y, svg);
    for (size_t i = 0; i < a.members.size(); ++i) {
      const PlacedBox& p = a.places[i];
      const int index = a.members[i].index;
      if (!a.members[i].is_group) {
        draw_box(box(index), p, x + p.x, y + p.y, svg);
        continue;
      }
      *svg += rect("group", x + p.x, y + p.y, p.width, p.height, 8,
                   "fill=\"#fafafa\" stroke=\"#777\" stroke-dasharray=\"4 3\"");
      *svg += text(x + p.x + kPadding, y + p.y + 15, title_of(index),
                   "font-size=\"11\" font-weight=\"bold\" fill=\"#333\"");
      draw_group(index, x + p.x + (p.width - members(index).size.width) / 2,
                 y + p.y + kPadding + kTitleHeight, svg);
    }
  }

  static void draw_line(const PlacedLine& line, double x, double y, std::string* svg) {
    *svg += "<path d=\"";
    for (size_t i = 0; i < line.points.size(); ++i) {
      const auto [px, py] = line.points[i];
      if (i == 0) {
        *svg += str("M", number(x + px), " ", number(y + py));
        continue;
      }
      const auto [qx, qy] = line.points[i - 1];
      const double middle = y + (py + qy) / 2;
      *svg += str(" C", number(x + qx), " ", number(middle), " ", number(x + px), " ",
                  number(middle), " ", number(x + px), " ", number(y + py));
    }
    *svg += "\" fill=\"none\" stroke=\"#999\"/>\n";
  }

  static void draw_box(const DiagramBox& b, const PlacedBox& p, double x, double y,
                       std::string* svg) {
    const bool end = b.kind == DiagramBox::kInput || b.kind == DiagramBox::kOutput;
    const bool port = b.kind == DiagramBox::kPort;
    *svg += str("<g><title>", escape(b.tip), "</title>\n");
    *svg += rect(port ? "port" : "box", x, y, p.width, p.height, end || port ? 9 : 3,
                 str("fill=\"", kRateColours[static_cast<size_t>(b.rate)], "\" stroke=\"",
                     port ? "#bbb" : "#444", "\" stroke-width=\"", end ? 2 : 1, "\""));
    double at = y + kLineHeight;
    const auto line = [&](const std::string& words, std::string_view style) {
      *svg += text(x + 8, at, shortened(words), style);
      at += kLineHeight;
    };
    if (!b.title.empty())
      line(b.title, port ? "font-style=\"italic\" fill=\"#555\"" : "font-weight=\"bold\"");
    for (const std::string& words : b.lines) line(words, "");
    if (!b.shape.empty()) line(end ? b.shape : "→ " + b.shape, "fill=\"#06c\"");
    *svg += "</g>\n";
  }

  using Link = std::pair<std::pair<bool, int>, std::pair<bool, int>>;

  const Graph& graph_;
  Diagram d_;
  std::vector<Arrangement> members_;                 // by group
  std::map<int, std::set<Link>> links_;              // by group
  std::map<std::tuple<int, int, bool>, int> ports_;  // of a group, for a box, in or out
};

}  // namespace

std::string to_svg(const Graph& graph) { return Drawing(graph).run(); }

}  // namespace zoetrope
