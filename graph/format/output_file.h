// A file being written: gone when it is dropped before commit(). Until then it has no name where
// the file system allows that, so that nothing stays behind whatever ends the process, and else a
// temporary one.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "graph/status.h"

namespace zoetrope {

// Where a path leads. Symbolic links are followed, so that the file behind a link is replaced and
// never the link.
struct OutputTarget {
  enum class Kind {
    kFile,    // a regular file, or a name that is free
    kStream,  // a pipe, a terminal or another character device: written to as bytes come
  };
  Kind kind = Kind::kFile;
  std::string path;     // of the file behind all links; of a stream, as given
  int descriptor = -1;  // of a stream that is open already: "-", /dev/stdout, /dev/fd/N
  int mode = 0;         // permissions of the file that is replaced; 0: there is none

  // The same for two paths that lead to one file.
  std::string identity() const;
};

// Looks, and changes nothing. Errors are what would make writing impossible: a folder that is
// missing or read-only, a folder or socket in its place, a name that is too long.
Result<OutputTarget> resolve_output(const std::string& path);

class OutputFile {
 public:
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
};

// A whole file of text: appears whole or not at all.
Status write_text(const std::string& path, std::string_view text);

// Removes every file that still has its temporary name. Safe in a signal handler that ends the
// process; nothing else may be called on those files afterwards.
void remove_unfinished_files();

// An errno as a Status that names the path: a full disk or no handle left is kResourceExhausted,
// a call that a signal broke off is kCancelled.
Status io_error(int code, const std::string& what, const std::string& path);
// The same for what is read, where a name that is not there is kNotFound.
Status open_error(int code, const std::string& what, const std::string& path);

}  // namespace zoetrope
