#include "graph/format/output_file.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <random>
#include <utility>

namespace zoetrope {
namespace {

// Temporary names, where a signal handler can find them. Slots are reused and never freed.
struct Unfinished {
  std::atomic<bool> live{false};
  char path[PATH_MAX] = {};
  Unfinished* next = nullptr;
};
std::atomic<Unfinished*> g_unfinished{nullptr};
std::mutex g_unfinished_mutex;

void remember(const std::string& path) {
  const std::lock_guard lock(g_unfinished_mutex);
  if (path.size() >= PATH_MAX) return;
  Unfinished* slot = g_unfinished;
  while (slot != nullptr && slot->live) slot = slot->next;
  const bool fresh = slot == nullptr;
  if (fresh) slot = new Unfinished;
  std::memcpy(slot->path, path.c_str(), path.size() + 1);
  slot->live = true;
  if (!fresh) return;
  slot->next = g_unfinished;
  g_unfinished = slot;
}

void forget(const std::string& path) {
  const std::lock_guard lock(g_unfinished_mutex);
  for (Unfinished* slot = g_unfinished; slot != nullptr; slot = slot->next)
    if (slot->live && path == slot->path) slot->live = false;
}

// A name that no other process and no other call has: short, whatever the final name is.
std::string temporary_name(const std::string& target) {
  static std::atomic<unsigned> counter{0};
  static const unsigned seed = std::random_device{}();
  char name[64];
  std::snprintf(name, sizeof(name), ".zoetrope-%ld-%08x-%u.tmp", static_cast<long>(getpid()), seed,
                counter++);
  return folder_of(target) + "/" + name;
}

std::string descriptor_path(int descriptor) { return str("/proc/self/fd/", descriptor); }

Status sync_folder(const std::string& path) {
  const int fd = ::open(folder_of(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return Status();  // a folder that may be written to but not listed
  const int code = ::fsync(fd) == 0 || errno == EINVAL || errno == EROFS ? 0 : errno;
  ::close(fd);
  return code == 0 ? Status() : io_error(code, "cannot finish", path);
}

}  // namespace

Result<OutputFile> OutputFile::create(const std::string& path) {
  ZT_ASSIGN_OR_RETURN(const OutputTarget target, resolve_output(path));
  OutputFile file;
  ZT_ASSIGN_OR_RETURN(file.claim_, OutputClaim::take({&target, 1}));
  file.path_ = path;
  file.target_ = target.path;
  file.kind_ = target.kind;
  if (target.kind == OutputTarget::Kind::kStream) {
    file.descriptor_ = target.descriptor >= 0
                           ? ::fcntl(target.descriptor, F_DUPFD_CLOEXEC, 3)
                           : ::open(target.path.c_str(), O_WRONLY | O_NOCTTY | O_CLOEXEC);
    if (file.descriptor_ < 0) return io_error(errno, "cannot write to", path);
    return file;
  }
  if (!file.open_nameless())
    ZT_RETURN_IF_ERROR(file.take_temporary_name("cannot create", [&](const std::string& temporary) {
      file.descriptor_ =
          ::open(temporary.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
      return file.descriptor_ >= 0;
    }));
  if (target.mode != 0 && ::fchmod(file.descriptor_, static_cast<mode_t>(target.mode)) != 0)
    return file.failed("cannot keep the permissions of");
  return file;
}

OutputFile::OutputFile(OutputFile&& other) noexcept
    : kind_(other.kind_),
      path_(std::move(other.path_)),
      target_(std::move(other.target_)),
      temporary_(std::exchange(other.temporary_, {})),
      nameless_(std::exchange(other.nameless_, false)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      claim_(std::move(other.claim_)) {}

OutputFile::~OutputFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (temporary_.empty()) return;
  ::unlink(temporary_.c_str());
  forget(temporary_);
}

// False where the file system has no such files, or no /proc names them later.
bool OutputFile::open_nameless() {
  descriptor_ = ::open(folder_of(target_).c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0666);
  if (descriptor_ < 0) return false;
  nameless_ = ::access(descriptor_path(descriptor_).c_str(), F_OK) == 0;
  if (!nameless_) ::close(std::exchange(descriptor_, -1));
  return nameless_;
}

// `make` puts the file there and says with errno why not.
template <typename Make>
Status OutputFile::take_temporary_name(const char* what, const Make& make) {
  for (int attempt = 0; temporary_.empty(); ++attempt) {
    std::string name = temporary_name(target_);
    if (make(name))
      temporary_ = std::move(name);
    else if (errno != EEXIST || attempt == 100)
      return failed(what);
  }
  nameless_ = false;
  remember(temporary_);
  return Status();
}

bool OutputFile::link_to(const std::string& name) const {
  return ::linkat(AT_FDCWD, descriptor_path(descriptor_).c_str(), AT_FDCWD, name.c_str(),
                  AT_SYMLINK_FOLLOW) == 0;
}

std::string OutputFile::temporary_path() const {
  return nameless_ ? descriptor_path(descriptor_) : temporary_;
}

Status OutputFile::failed(const char* what) const { return io_error(errno, what, path_); }

Status OutputFile::write(std::span<const uint8_t> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(descriptor_, bytes.data(), bytes.size());
    if (n < 0) return failed("cannot write");
    bytes = bytes.subspan(static_cast<size_t>(n));
  }
  return Status();
}

Status OutputFile::seek(int64_t offset) {
  if (!seekable())
    return error(Code::kUnsupported, "cannot write ", path_,
                 ": this format goes back to fill in sizes, which a pipe does not allow");
  return ::lseek(descriptor_, offset, SEEK_SET) >= 0 ? Status() : failed("cannot seek in");
}

Status OutputFile::write_at(int64_t offset, std::span<const uint8_t> bytes) {
  ZT_RETURN_IF_ERROR(seek(offset));
  ZT_RETURN_IF_ERROR(write(bytes));
  return ::lseek(descriptor_, 0, SEEK_END) >= 0 ? Status() : failed("cannot seek in");
}

Status OutputFile::close() {
  if (descriptor_ < 0) return Status();
  Status status = !seekable() || ::fsync(descriptor_) == 0 ? Status() : failed("cannot finish");
  if (nameless_ && status.ok())
    status = take_temporary_name("cannot finish",
                                 [&](const std::string& name) { return link_to(name); });
  nameless_ = false;
  if (::close(std::exchange(descriptor_, -1)) != 0 && status.ok()) status = failed("cannot finish");
  return status;
}

Status OutputFile::commit() {
  // A free name is taken at once. One that is in use is replaced, which only a rename can.
  if (nameless_) {
    if (::fsync(descriptor_) != 0) return failed("cannot finish");
    if (link_to(target_)) {
      nameless_ = false;
      ::close(std::exchange(descriptor_, -1));  // synced: nothing is left that could fail
      claim_ = OutputClaim();
      return sync_folder(target_);
    }
    if (errno != EEXIST) return failed("cannot finish");
  }
  ZT_RETURN_IF_ERROR(close());
  if (temporary_.empty()) {
    claim_ = OutputClaim();
    return Status();
  }
  if (std::rename(temporary_.c_str(), target_.c_str()) != 0) return failed("cannot rename to");
  forget(temporary_);
  temporary_.clear();
  claim_ = OutputClaim();
  return sync_folder(target_);
}

Status write_text(const std::string& path, std::string_view text) {
  ZT_ASSIGN_OR_RETURN(OutputFile file, OutputFile::create(path));
  ZT_RETURN_IF_ERROR(file.write(text.data(), text.size()));
  return file.commit();
}

void remove_unfinished_files() {
  for (Unfinished* slot = g_unfinished; slot != nullptr; slot = slot->next)
    if (slot->live) ::unlink(slot->path);
}

}  // namespace zoetrope
