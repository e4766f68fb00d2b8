#include "graph/line_reader.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <new>

namespace zoetrope {

LineReader::LineReader(const std::string& path)
    : file_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
  if (file_ < 0 && errno == ENOMEM) throw std::bad_alloc();
}

LineReader::~LineReader() {
  if (file_ >= 0) ::close(file_);
}

bool LineReader::fill() {
  ssize_t bytes = -1;
  do bytes = file_ < 0 ? 0 : ::read(file_, buffer_, sizeof(buffer_));
  while (bytes < 0 && errno == EINTR);
  if (bytes < 0 && errno == ENOMEM) throw std::bad_alloc();
  left_ = {buffer_, bytes > 0 ? static_cast<size_t>(bytes) : 0};
  return !left_.empty();
}

bool LineReader::next(std::string* line) {
  line->clear();
  while (!left_.empty() || fill()) {
    const size_t end = left_.find('\n');
    line->append(left_.substr(0, end));
    left_.remove_prefix(end == std::string_view::npos ? left_.size() : end + 1);
    if (end != std::string_view::npos) return true;
  }
  return !line->empty();
}

}  // namespace zoetrope
