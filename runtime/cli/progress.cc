#include "runtime/cli/progress.h"

#include <unistd.h>

#include <algorithm>

#include "graph/status.h"
#include "runtime/plan/planner.h"

namespace zoetrope {
namespace {

constexpr int kBarCells = 28;

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Eighths of a cell, so that a short job moves visibly too.
std::string bar(double fraction) {
  constexpr const char* kParts[] = {" ", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  const int eighths = static_cast<int>(fraction * kBarCells * 8);
  std::string text;
  for (int cell = 0; cell < kBarCells; ++cell) {
    const int fill = std::clamp(eighths - cell * 8, 0, 8);
    text += fill == 8 ? "█" : kParts[fill];
  }
  return text;
}

}  // namespace

ProgressBar::ProgressBar(bool quiet, std::FILE* stream)
    : mode_(quiet                    ? Mode::kQuiet
            : isatty(fileno(stream)) ? Mode::kTerminal
                                     : Mode::kPlain),
      stream_(stream) {}

void ProgressBar::update(std::string_view phase, double done, double total) {
  if (mode_ == Mode::kQuiet) return;
  const auto now = std::chrono::steady_clock::now();
  if (phase != phase_) {
    end();
    phase_ = phase;
    start_ = now;
    drawn_ = now - std::chrono::seconds(1);
  }
  done_ = done;
  total_ = std::max(total, 1e-9);
  if (mode_ == Mode::kTerminal && now - drawn_ >= std::chrono::milliseconds(50)) {
    drawn_ = now;
    draw(false);
  }
}

void ProgressBar::draw(bool final) {
  const double fraction = std::clamp(done_ / total_, 0.0, 1.0);
  const double spent = seconds_since(start_);
  std::string line = str("\r\033[K", phase_);
  line.resize(line.size() + (phase_.size() < 14 ? 14 - phase_.size() : 1), ' ');
  line += str("│", bar(fraction), "│ ", static_cast<int>(fraction * 100 + 0.5), "%  ",
              format_seconds(spent));
  if (!final && fraction > 0.01 && spent > 0.2)
    line += str(", ", format_seconds(spent * (1 - fraction) / fraction), " left");
  std::fputs(line.c_str(), stream_);
  std::fflush(stream_);
}

void ProgressBar::end() {
  if (phase_.empty()) return;
  if (mode_ == Mode::kTerminal) {
    draw(true);
    std::fputc('\n', stream_);
  } else if (mode_ == Mode::kPlain) {
    std::fprintf(stream_, "%s: %s%s\n", phase_.c_str(),
                 format_seconds(seconds_since(start_)).c_str(),
                 done_ < total_ ? " (not finished)" : "");
  }
  std::fflush(stream_);
  phase_.clear();
}

void ProgressBar::message(std::string_view text) {
  if (mode_ == Mode::kQuiet) return;
  if (mode_ == Mode::kTerminal && !phase_.empty()) std::fputs("\r\033[K", stream_);
  std::fprintf(stream_, "%.*s\n", static_cast<int>(text.size()), text.data());
  if (mode_ == Mode::kTerminal && !phase_.empty()) draw(false);
}

}  // namespace zoetrope
