// A file mapped read-only for as long as the object lives.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "graph/status.h"

namespace zoetrope {

class MappedFile {
 public:
  // Errors name the path. Directories, pipes and devices are refused. An empty file maps to no
  // bytes.
  static Result<MappedFile> open(const std::string& path);
  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept { swap(other); }
  MappedFile& operator=(MappedFile&& other) noexcept {
    swap(other);
    return *this;
  }
  ~MappedFile();

  std::span<const uint8_t> bytes() const { return {data_, static_cast<size_t>(size_)}; }
  const std::string& path() const { return path_; }
  // Of `length` bytes from `begin`, as far as there are so many: those of pages that the disk alone
  // has, so that reading them waits for it; of many, by one page in 256 KiB. 0 where the system
  // does not tell.
  int64_t absent_bytes(int64_t begin, int64_t length) const;

 private:
  void swap(MappedFile& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(path_, other.path_);
  }

  const uint8_t* data_ = nullptr;
  int64_t size_ = 0;
  std::string path_;
};

}  // namespace zoetrope
