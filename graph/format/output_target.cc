#include "graph/format/output_target.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace zoetrope {
namespace {

constexpr int kMaxLinks = 40;  // as Linux has it

// The number in "-", /dev/stdout, /dev/fd/N and /proc/self/fd/N; -1 for other paths.
int named_descriptor(const std::string& path) {
  if (path == "-" || path == "/dev/stdout") return 1;
  if (path == "/dev/stderr") return 2;
  for (const std::string prefix : {"/dev/fd/", "/proc/self/fd/"}) {
    if (path.rfind(prefix, 0) != 0) continue;
    const std::string number = path.substr(prefix.size());
    if (number.empty() || number.size() > 6 ||
        number.find_first_not_of("0123456789") != std::string::npos)
      continue;
    return std::atoi(number.c_str());
  }
  return -1;
}

bool heeds_case(int folder) {
  int flags = 0;
  if (::ioctl(folder, FS_IOC_GETFLAGS, &flags) == 0 && (flags & FS_CASEFOLD_FL) != 0) return false;
  struct statfs info {};
  if (::fstatfs(folder, &info) != 0) return true;
  // FAT, exFAT, NTFS (two drivers), SMB (two)
  constexpr uint32_t kOthers[] = {0x4d44,     0x2011bab0, 0x7366746e,
                                  0x5346544e, 0xff534d42, 0xfe534d42};
  return std::find(std::begin(kOthers), std::end(kOthers), static_cast<uint32_t>(info.f_type)) ==
         std::end(kOthers);
}

}  // namespace

std::string folder_of(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

std::string name_of(const std::string& path) { return path.substr(path.find_last_of('/') + 1); }

Status io_error(int code, const std::string& what, const std::string& path) {
  const bool full = code == ENOSPC || code == EDQUOT || code == EFBIG || code == ENOMEM ||
                    code == EMFILE || code == ENFILE;
  return error(full            ? Code::kResourceExhausted
               : code == EINTR ? Code::kCancelled
                               : Code::kIoError,
               what, " ", path, ": ", std::strerror(code));
}

Status open_error(int code, const std::string& what, const std::string& path) {
  return code == ENOENT ? error(Code::kNotFound, what, " ", path, ": ", std::strerror(code))
                        : io_error(code, what, path);
}

std::string comparable_name(int folder, std::string name) {
  if (!heeds_case(folder))
    for (char& c : name)
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return name;
}

std::string OutputTarget::identity() const {
  if (descriptor >= 0) return str("descriptor ", descriptor);
  struct stat info {};
  if (names > 1 && ::stat(path.c_str(), &info) == 0)
    return str("file ", info.st_dev, ":", info.st_ino);
  if (::stat(folder_of(path).c_str(), &info) != 0) return path;
  const int folder = ::open(folder_of(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const std::string name = comparable_name(folder, name_of(path));
  if (folder >= 0) ::close(folder);
  return str(info.st_dev, ":", info.st_ino, "/", name);
}

Result<OutputTarget> resolve_output(const std::string& path) {
  OutputTarget target;
  target.given = target.path = path;
  if (path.empty()) return error(Code::kInvalidArgument, "an output needs a name");
  struct stat info {};
  for (int links = 0;; ++links) {
    target.descriptor = named_descriptor(target.path);
    if (target.descriptor >= 0) {
      if (::fcntl(target.descriptor, F_GETFD) < 0) return io_error(errno, "cannot write to", path);
      target.kind = OutputTarget::Kind::kStream;
      return target;
    }
    if (::lstat(target.path.c_str(), &info) != 0) {
      if (errno != ENOENT) return io_error(errno, "cannot create", path);
      info.st_mode = 0;
      break;
    }
    if (!S_ISLNK(info.st_mode)) break;
    char text[PATH_MAX];
    const ssize_t n = ::readlink(target.path.c_str(), text, sizeof(text) - 1);
    if (n <= 0 || links == kMaxLinks)
      return io_error(n <= 0 ? errno : ELOOP, "cannot follow the link", path);
    const std::string link(text, static_cast<size_t>(n));
    target.path = link[0] == '/' ? link : folder_of(target.path) + "/" + link;
  }
  if (info.st_mode != 0) {
    if (S_ISDIR(info.st_mode))
      return error(Code::kIoError, "cannot write ", path, ": a folder has that name");
    if (S_ISFIFO(info.st_mode) || S_ISCHR(info.st_mode)) {
      target.kind = OutputTarget::Kind::kStream;
      target.device = S_ISCHR(info.st_mode);
      return target;
    }
    if (!S_ISREG(info.st_mode))
      return error(Code::kIoError, "cannot write ", path,
                   ": neither a file nor a pipe (a socket or a disk has that name)");
    if (::access(target.path.c_str(), W_OK) != 0) return io_error(errno, "cannot replace", path);
    target.mode = static_cast<int>(info.st_mode & 07777);
    target.names = static_cast<int>(info.st_nlink);
  }
  const std::string folder = folder_of(target.path);
  if (::stat(folder.c_str(), &info) != 0) return io_error(errno, "cannot create", path);
  if (!S_ISDIR(info.st_mode)) return io_error(ENOTDIR, "cannot create", path);
  if (::access(folder.c_str(), W_OK | X_OK) != 0) return io_error(errno, "cannot create", path);
  if (name_of(target.path).empty())
    return error(Code::kIoError, "cannot write ", path, ": that names a folder");
  return target;
}

}  // namespace zoetrope
