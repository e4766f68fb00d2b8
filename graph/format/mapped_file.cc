#include "graph/format/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>

#include "graph/format/output_file.h"

namespace zoetrope {

Result<MappedFile> MappedFile::open(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return open_error(errno, "cannot open", path);
  struct stat info {};
  MappedFile file;
  file.path_ = path;
  Status status;
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    status = error(Code::kInvalidArgument, path, " is not a regular file");
  } else if (info.st_size > 0) {
    void* data = mmap(nullptr, static_cast<size_t>(info.st_size), PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED) {
      status = io_error(errno, "cannot map", path);
    } else {
      file.data_ = static_cast<const uint8_t*>(data);
      file.size_ = info.st_size;
    }
  }
  ::close(fd);
  if (!status.ok()) return status;
  return file;
}

int64_t MappedFile::absent_bytes(int64_t begin, int64_t length) const {
  constexpr int64_t kApart = 256 << 10;  // bytes: systems read ahead as much at once
  const int64_t page = sysconf(_SC_PAGESIZE);
  begin = std::clamp<int64_t>(begin, 0, size_);
  length = std::clamp<int64_t>(length, 0, size_ - begin);
  const int64_t end = begin + length, first = begin / page * page;
  const int64_t step = end - first > kApart ? kApart : page;
  int64_t asked = 0, absent = 0;
  for (int64_t at = first; at < end; at += step, ++asked) {
    unsigned char present = 0;
    if (mincore(const_cast<uint8_t*>(data_) + at, static_cast<size_t>(page), &present) != 0)
      return 0;
    absent += (present & 1) == 0 ? 1 : 0;
  }
  if (asked == 0) return 0;
  return std::llround(static_cast<double>(length) * static_cast<double>(absent) /
                      static_cast<double>(asked));
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) munmap(const_cast<uint8_t*>(data_), static_cast<size_t>(size_));
}

}  // namespace zoetrope
