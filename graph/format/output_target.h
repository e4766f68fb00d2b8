// Where an output's path leads, looked at before anything is written.
#pragma once

#include <string>

#include "graph/status.h"

namespace zoetrope {

// Symbolic links are followed, so that the file behind a link is replaced and never the link.
struct OutputTarget {
  enum class Kind {
    kFile,    // a regular file, or a name that is free
    kStream,  // a pipe, a terminal or another character device: written to as bytes come
  };
  Kind kind = Kind::kFile;
  std::string given;    // the path as it was given
  std::string path;     // of the file behind all links; of a stream, as given
  int descriptor = -1;  // of a stream that is open already: "-", /dev/stdout, /dev/fd/N
  int mode = 0;         // permissions of the file that is replaced; 0: there is none
  int names = 0;        // that this file has: hard links
  bool device = false;  // a character device: takes what comes, from several at once

  // The same for two paths that lead to one file.
  std::string identity() const;
};

// Looks, and changes nothing. Errors are what would make writing impossible: a folder that is
// missing or read-only, a folder or socket in its place, a name that is too long.
Result<OutputTarget> resolve_output(const std::string& path);

std::string folder_of(const std::string& path);
std::string name_of(const std::string& path);

// Equal for names that are one file in this open folder, which may not heed the case of letters;
// -1, a folder that cannot be opened, does.
std::string comparable_name(int folder, std::string name);

// An errno as a Status that names the path: a full disk or no handle left is kResourceExhausted,
// a call that a signal broke off is kCancelled.
Status io_error(int code, const std::string& what, const std::string& path);
// The same for what is read, where a name that is not there is kNotFound.
Status open_error(int code, const std::string& what, const std::string& path);

}  // namespace zoetrope
