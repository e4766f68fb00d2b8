// A file being written: under a temporary name until commit(), removed when dropped before.
#pragma once

#include <cstdint>
#include <cstdio>
#include <span>
#include <string>

#include "graph/status.h"

namespace zoetrope {

class OutputFile {
 public:
  static Result<OutputFile> create(const std::string& path);
  OutputFile(OutputFile&& other) noexcept;
  OutputFile& operator=(OutputFile&&) = delete;
  ~OutputFile();

  Status write(std::span<const uint8_t> bytes);
  Status write(const void* data, size_t bytes) {
    return write({static_cast<const uint8_t*>(data), bytes});
  }
  // Writes elsewhere in the file; a gap reads as zeros. Afterwards write() goes on at the end.
  Status write_at(int64_t offset, std::span<const uint8_t> bytes);
  // Ends writing and frees the handle; the file keeps its temporary name until commit().
  Status close();
  Status commit();

  const std::string& path() const { return path_; }

 private:
  OutputFile() = default;
  Status failed(const char* what) const;

  std::string path_, partial_;  // partial_ is empty once nothing is left to remove
  std::FILE* file_ = nullptr;
};

// The temporary name for `path`: beside it, with the same extension.
std::string partial_path(const std::string& path);

// An errno as a Status that names the path: a full disk is kResourceExhausted.
Status io_error(int code, const std::string& what, const std::string& path);

}  // namespace zoetrope
