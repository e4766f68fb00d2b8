// A file being written: gone when it is dropped before commit(). Until then it has no name where
// the file system allows that, so that nothing stays behind whatever ends the process, and else a
// temporary one.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "graph/format/output_claim.h"
#include "graph/format/output_target.h"
#include "graph/status.h"

namespace zoetrope {

class OutputFile {
 public:
  // Claims the name until it is committed or dropped; kUnavailable: another process writes to it.
  // Opening a pipe waits for its reader.
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
  // Where the next write() goes, from the begin.
  Status seek(int64_t offset);
  // Ends writing and frees the handle; the file has a temporary name from now until commit().
  Status close();
  Status commit();

  bool seekable() const { return kind_ == OutputTarget::Kind::kFile; }
  const std::string& path() const { return path_; }
  // A path by which this process can read what was written, until commit(); empty for a stream.
  std::string temporary_path() const;

 private:
  OutputFile() = default;
  bool open_nameless();
  template <typename Make>
  Status take_temporary_name(const char* what, const Make& make);
  bool link_to(const std::string& name) const;
  Status failed(const char* what) const;

  OutputTarget::Kind kind_ = OutputTarget::Kind::kFile;
  std::string path_, target_, temporary_;  // temporary_ is empty while nothing is to be removed
  bool nameless_ = false;
  int descriptor_ = -1;
  OutputClaim claim_;
};

// A whole file of text: appears whole or not at all.
Status write_text(const std::string& path, std::string_view text);

// Removes every file that still has its temporary name. Safe in a signal handler that ends the
// process; nothing else may be called on those files afterwards.
void remove_unfinished_files();

}  // namespace zoetrope
