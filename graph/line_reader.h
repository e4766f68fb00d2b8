// Lines of small files such as those of /proc. Streams take memory that is refused for the end of
// the file, and limits would go unseen.
#pragma once

#include <string>
#include <string_view>

namespace zoetrope {

class LineReader {
 public:
  // A file that is not there, or cannot be read, has no lines; std::bad_alloc where the system had
  // no memory to open it.
  explicit LineReader(const std::string& path);
  ~LineReader();
  LineReader(const LineReader&) = delete;
  LineReader& operator=(const LineReader&) = delete;

  // False behind the last line.
  bool next(std::string* line);

 private:
  bool fill();

  int file_ = -1;
  char buffer_[4096];
  std::string_view left_;  // of the buffer
};

}  // namespace zoetrope
