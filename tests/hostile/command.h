// The command as a person starts it, with its time and memory bounded and measured.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace zoetrope {

struct Outcome {
  int code = -1;           // exit code; 128 + n where signal n ended it
  std::string out, error;  // what it printed
  double seconds = 0;      // of the processor
  int64_t peak_bytes = 0;  // resident

  std::string text() const;  // all of it, for messages
};

// Ended by SIGXCPU after `seconds` of the processor, times the tests' patience.
// `environment` holds entries NAME=VALUE beside this process's own. `address_space` bounds it, in
// bytes, as `ulimit -v` does; 0: nothing does.
Outcome run_command(const std::vector<std::string>& arguments, int seconds = 20,
                    const std::vector<std::string>& environment = {}, int64_t address_space = 0);

// What an allocation that failed did to a copy of a command (tests/hostile/forks.h).
struct Refusal {
  int64_t at;   // the allocation
  bool on;      // every later one failed, too
  bool copied;  // false: there was no copy (ForkReport::kNotForked), and `outcome` is empty
  bool ended;   // the command had written its files, which the copy did not have to
  Outcome outcome;
};

// Runs a command of one thread with the module `failing`, and at every `every`-th allocation copies
// of it in which that one fails; `use` is told how each ended, before the next begins. `seen`: a
// file of call stacks, those of earlier commands, at which there is no copy again; empty: none.
// `folder` is where the command writes its files: in the copies, too. The outcome is that of the
// command.
Outcome run_with_refusals(const std::vector<std::string>& arguments, const std::string& failing,
                          int64_t every, const std::string& seen, const std::string& folder,
                          const std::function<void(const Refusal&)>& use);

}  // namespace zoetrope
