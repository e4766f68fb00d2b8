// A progress line for each phase of a long job: bar, percentage, time spent, and time left (of the
// whole job where a plan told what to expect, else of the phase). On a terminal it redraws in
// place; elsewhere it prints one line when a phase ends.
#pragma once

#include <chrono>
#include <cstdio>
#include <string>
#include <string_view>

#include "runtime/engine/remaining.h"

namespace zoetrope {

class ProgressBar {
 public:
  enum class Mode { kQuiet, kTerminal, kPlain };

  // kTerminal when `stream` is one, else kPlain; `quiet` wins.
  explicit ProgressBar(bool quiet, std::FILE* stream = stderr);
  ~ProgressBar() { end(); }
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  // A run begins now, of which a plan expects so much.
  void expect(std::vector<ExpectedTask> tasks);
  // Starts the phase when `phase` differs from the current one. done and total in any unit.
  void update(std::string_view phase, double done, double total);
  // Ends the current phase and leaves its line on the screen.
  void end() { end_phase(/*last=*/true); }
  // Prints a line without tearing the bar.
  void message(std::string_view text);

 private:
  void draw(bool final);
  void end_phase(bool last);

  Mode mode_;
  std::FILE* stream_;
  std::string phase_;
  double done_ = 0, total_ = 1;
  std::chrono::steady_clock::time_point start_, drawn_, updated_, begun_;
  RemainingTime remaining_{{}};
};

}  // namespace zoetrope
