// One HTML page that stands alone: no script, no request to anywhere (a policy in its head forbids
// them), light or dark as the reader's system is, readable on a phone. Every string is escaped.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "graph/status.h"
#include "runtime/report/plot.h"

namespace zoetrope {

enum class Tone : uint8_t { kPlain, kGood, kWarn, kBad };

struct Cell {
  std::string text;
  Tone tone = Tone::kPlain;
  Cell(std::string cell_text, Tone cell_tone = Tone::kPlain)
      : text(std::move(cell_text)), tone(cell_tone) {}
  Cell(const char* cell_text) : text(cell_text) {}
};

struct Table {
  struct Column {
    std::string title;
    bool number = false;  // stands at the right
  };
  std::vector<Column> columns;
  std::vector<std::vector<Cell>> rows;  // shorter ones end in empty cells
};

struct PageImage {
  std::vector<uint8_t> png;
  std::string caption;
};

// Sections in the order of the calls.
class Page {
 public:
  explicit Page(std::string_view title, std::string_view subtitle = {});

  void heading(std::string_view text);
  void subheading(std::string_view text);
  void text(std::string_view text, Tone tone = Tone::kPlain);
  // As it is, lines and spaces too: a command, a log.
  void code(std::string_view text);
  void table(const Table& table, std::string_view caption = {});
  void plot(const LinePlot& plot, std::string_view caption = {}) { svg(to_svg(plot), caption); }
  void plot(const AreaPlot& plot, std::string_view caption = {}) { svg(to_svg(plot), caption); }
  void plot(const BarPlot& plot, std::string_view caption = {}) { svg(to_svg(plot), caption); }
  // Side by side where there is room.
  void images(std::span<const PageImage> images);

  std::string html() const;
  // Appears whole or not at all; a pipe or "-" is written to.
  Status write(const std::string& path) const;

 private:
  void svg(const std::string& svg, std::string_view caption);

  std::string title_, body_;
};

}  // namespace zoetrope
