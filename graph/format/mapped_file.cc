#include "graph/format/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace zoetrope {

Result<MappedFile> MappedFile::open(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0)
    return error(errno == ENOENT ? Code::kNotFound : Code::kIoError, "cannot open ", path, ": ",
                 std::strerror(errno));
  struct stat info {};
  MappedFile file;
  file.path_ = path;
  Status status;
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    status = error(Code::kInvalidArgument, path, " is not a regular file");
  } else if (info.st_size > 0) {
    void* data = mmap(nullptr, static_cast<size_t>(info.st_size), PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED) {
      status = error(errno == ENOMEM ? Code::kResourceExhausted : Code::kIoError, "cannot map ",
                     path, ": ", std::strerror(errno));
    } else {
      file.data_ = static_cast<const uint8_t*>(data);
      file.size_ = info.st_size;
    }
  }
  ::close(fd);
  if (!status.ok()) return status;
  return file;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) munmap(const_cast<uint8_t*>(data_), static_cast<size_t>(size_));
}

}  // namespace zoetrope
