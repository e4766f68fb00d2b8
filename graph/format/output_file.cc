#include "graph/format/output_file.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace zoetrope {

std::string partial_path(const std::string& path) {
  const size_t slash = path.find_last_of('/'), dot = path.find_last_of('.');
  if (dot == std::string::npos || (slash != std::string::npos && dot < slash))
    return path + ".partial";
  return path.substr(0, dot) + ".partial" + path.substr(dot);
}

Status io_error(int code, const std::string& what, const std::string& path) {
  const bool full = code == ENOSPC || code == EDQUOT || code == EFBIG;
  return error(full ? Code::kResourceExhausted : Code::kIoError, what, " ", path, ": ",
               std::strerror(code));
}

Result<OutputFile> OutputFile::create(const std::string& path) {
  OutputFile file;
  file.path_ = path;
  const std::string partial = partial_path(path);
  file.file_ = std::fopen(partial.c_str(), "wb");
  if (file.file_ == nullptr) return io_error(errno, "cannot create", path);
  file.partial_ = partial;
  return file;
}

OutputFile::OutputFile(OutputFile&& other) noexcept
    : path_(std::move(other.path_)),
      partial_(std::exchange(other.partial_, {})),
      file_(std::exchange(other.file_, nullptr)) {}

OutputFile::~OutputFile() {
  if (file_ != nullptr) std::fclose(file_);
  if (!partial_.empty()) ::unlink(partial_.c_str());
}

Status OutputFile::failed(const char* what) const { return io_error(errno, what, path_); }

Status OutputFile::write(std::span<const uint8_t> bytes) {
  if (!bytes.empty() && std::fwrite(bytes.data(), 1, bytes.size(), file_) != bytes.size())
    return failed("cannot write");
  return Status();
}

Status OutputFile::write_at(int64_t offset, std::span<const uint8_t> bytes) {
  if (std::fseek(file_, static_cast<long>(offset), SEEK_SET) != 0) return failed("cannot seek in");
  ZT_RETURN_IF_ERROR(write(bytes));
  return std::fseek(file_, 0, SEEK_END) == 0 ? Status() : failed("cannot seek in");
}

Status OutputFile::close() {
  if (file_ == nullptr) return Status();
  const bool flushed = std::fflush(file_) == 0 && ::fsync(fileno(file_)) == 0;
  const Status status = flushed ? Status() : failed("cannot finish");
  std::fclose(std::exchange(file_, nullptr));
  return status;
}

Status OutputFile::commit() {
  ZT_RETURN_IF_ERROR(close());
  if (std::rename(partial_.c_str(), path_.c_str()) != 0) return failed("cannot rename to");
  partial_.clear();
  return Status();
}

}  // namespace zoetrope
