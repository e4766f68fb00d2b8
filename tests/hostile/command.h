// The command as a person starts it, with its time and memory bounded and measured.
#pragma once

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

}  // namespace zoetrope
