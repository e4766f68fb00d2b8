#include "runtime/report/page.h"

#include <algorithm>

#include "graph/format/output_file.h"
#include "runtime/report/escape.h"
#include "runtime/report/style.h"

namespace zoetrope {
namespace {

std::string_view tone_class(Tone tone) {
  switch (tone) {
    case Tone::kPlain: return "";
    case Tone::kGood: return "good";
    case Tone::kWarn: return "warn";
    case Tone::kBad: return "bad";
  }
  return "";
}

// `<tag class="...">`, the class left out where it is empty.
std::string open_tag(std::string_view tag, std::string_view classes) {
  return classes.empty() ? str("<", tag, ">") : str("<", tag, " class=\"", classes, "\">");
}

std::string caption_of(std::string_view caption) {
  return caption.empty() ? "" : str("<figcaption>", escape_html(caption), "</figcaption>");
}

}  // namespace

Page::Page(std::string_view title, std::string_view subtitle) : title_(escape_html(title)) {
  body_ = str("<h1>", title_, "</h1>\n");
  if (!subtitle.empty()) body_ += str("<p class=\"sub\">", escape_html(subtitle), "</p>\n");
}

void Page::heading(std::string_view text) { body_ += str("<h2>", escape_html(text), "</h2>\n"); }

void Page::subheading(std::string_view text) { body_ += str("<h3>", escape_html(text), "</h3>\n"); }

void Page::text(std::string_view text, Tone tone) {
  body_ += str(open_tag("p", tone_class(tone)), escape_html(text), "</p>\n");
}

void Page::code(std::string_view text) { body_ += str("<pre>", escape_html(text), "</pre>\n"); }

void Page::table(const Table& table, std::string_view caption) {
  body_ += "<figure><div class=\"scroll\"><table>\n<thead><tr>";
  for (const Table::Column& column : table.columns)
    body_ += str(open_tag("th", column.number ? "n" : ""), escape_html(column.title), "</th>");
  body_ += "</tr></thead>\n<tbody>\n";
  for (const std::vector<Cell>& row : table.rows) {
    body_ += "<tr>";
    for (size_t i = 0; i < std::max(row.size(), table.columns.size()); ++i) {
      const bool number = i < table.columns.size() && table.columns[i].number;
      std::string classes(i < row.size() ? tone_class(row[i].tone) : "");
      if (number) classes += classes.empty() ? "n" : " n";
      body_ +=
          str(open_tag("td", classes), i < row.size() ? escape_html(row[i].text) : "", "</td>");
    }
    body_ += "</tr>\n";
  }
  body_ += str("</tbody></table></div>", caption_of(caption), "</figure>\n");
}

void Page::svg(const std::string& svg, std::string_view caption) {
  body_ += str("<figure><div class=\"scroll\">", svg, "</div>", caption_of(caption), "</figure>\n");
}

void Page::images(std::span<const PageImage> images) {
  body_ += "<div class=\"row\">\n";
  for (const PageImage& image : images)
    body_ +=
        str("<figure><img alt=\"", escape_html(image.caption), "\" src=\"data:image/png;base64,",
            base64(image.png), "\">", caption_of(image.caption), "</figure>\n");
  body_ += "</div>\n";
}

std::string Page::html() const {
  return str(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
      "'unsafe-inline'; img-src data:\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>",
      title_, "</title>\n<style>\n", color_css(), page_css(), plot_css(), "</style>\n</head>\n",
      "<body>\n", body_, "</body>\n</html>\n");
}

Status Page::write(const std::string& path) const { return write_text(path, html()); }

}  // namespace zoetrope
