#include "runtime/cli/progress.h"

#include <sys/ioctl.h>
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
std::string bar(double fraction, int cells) {
  constexpr const char* kParts[] = {" ", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  const int eighths = static_cast<int>(fraction * cells * 8);
  std::string text;
  for (int cell = 0; cell < cells; ++cell) {
    const int fill = std::clamp(eighths - cell * 8, 0, 8);
    text += fill == 8 ? "█" : kParts[fill];
  }
  return text;
}

int columns_of(std::FILE* stream) {
  winsize size{};
  return ioctl(fileno(stream), TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

}  // namespace

ProgressBar::ProgressBar(bool quiet, std::FILE* stream)
    : mode_(quiet                    ? Mode::kQuiet
            : isatty(fileno(stream)) ? Mode::kTerminal
                                     : Mode::kPlain),
      stream_(stream) {}

void ProgressBar::expect(std::vector<ExpectedTask> tasks) {
  remaining_ = RemainingTime(std::move(tasks));
  begun_ = std::chrono::steady_clock::now();
}

void ProgressBar::update(std::string_view phase, double done, double total) {
  if (mode_ == Mode::kQuiet) return;
  const auto now = std::chrono::steady_clock::now();
  if (phase != phase_) {
    const bool follows = !phase_.empty();
    end_phase(false);
    phase_ = phase;
    start_ = follows ? updated_ : now;  // phases leave no gap: what is between belongs to the next
    drawn_ = now - std::chrono::seconds(1);
  }
  updated_ = now;
  done_ = done;
  total_ = std::max(total, 1e-9);
  remaining_.update(phase, done_ / total_, seconds_since(begun_));
  if (mode_ == Mode::kTerminal && now - drawn_ >= std::chrono::milliseconds(50)) {
    drawn_ = now;
    draw(false);
  }
}

void ProgressBar::draw(bool final) {
  const double fraction = std::clamp(done_ / total_, 0.0, 1.0);
  const double spent = seconds_since(start_);
  std::string name = phase_;
  const int columns = columns_of(stream_);
  name.resize(std::max<size_t>(name.size() + 1, 14), ' ');
  name.resize(std::min<size_t>(name.size(), static_cast<size_t>(std::max(columns - 6, 1))));
  std::string times = format_seconds(spent);
  if (const double left = remaining_.left(seconds_since(begun_)); !final && left >= 0)
    times += str(", ", format_seconds(left), " left");
  else if (!final && fraction > 0.01 && spent > 0.2)
    times += str(", ", format_seconds(spent * (1 - fraction) / fraction), " left");
  const std::string percent = str(static_cast<int>(fraction * 100 + 0.5), "%");
  // A line that wraps could not be drawn over: the bar gives way first, then the times.
  const int room = columns - 1 - static_cast<int>(name.size() + percent.size());
  const int cells = std::min(kBarCells, room - static_cast<int>(times.size()) - 5);
  std::string line = "\r\033[K" + name;
  if (cells >= 4) line += str("│", bar(fraction, cells), "│ ");
  line += percent;
  if (room >= static_cast<int>(times.size()) + 2) line += "  " + times;
  std::fputs(line.c_str(), stream_);
  std::fflush(stream_);
}

void ProgressBar::end_phase(bool last) {
  if (phase_.empty()) return;
  if (done_ <= 0 && !last) {
    // Something else goes first, such as loading: the phase is told when it has come to something.
    if (mode_ == Mode::kTerminal) std::fputs("\r\033[K", stream_);
  } else if (mode_ == Mode::kTerminal) {
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
