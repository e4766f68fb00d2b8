#include "runtime/media/ffmpeg/output_io.h"

#include <algorithm>

namespace zoetrope {

struct OutputIoCallbacks {
#if LIBAVFORMAT_VERSION_MAJOR < 61
  using Bytes = uint8_t*;
#else
  using Bytes = const uint8_t*;
#endif
  static int keep(OutputIo* io, Status status) {
    if (io->status_.ok()) io->status_ = std::move(status);
    return AVERROR(EIO);
  }
  static int write(void* opaque, Bytes bytes, int count) {
    auto* io = static_cast<OutputIo*>(opaque);
    if (!io->status_.ok()) return AVERROR(EIO);
    Status status = io->put(bytes, static_cast<size_t>(count));
    if (!status.ok()) return keep(io, std::move(status));
    io->position_ += count;
    io->end_ = std::max(io->end_, io->position_);
    return count;
  }
  static int64_t seek(void* opaque, int64_t offset, int whence) {
    auto* io = static_cast<OutputIo*>(opaque);
    whence &= ~AVSEEK_FORCE;
    if (whence == AVSEEK_SIZE) return io->end_;
    if (whence == SEEK_CUR) offset += io->position_;
    if (whence == SEEK_END) offset += io->end_;
    Status status = io->file_->seek(offset);
    if (!status.ok()) return keep(io, std::move(status));
    return io->position_ = offset;
  }
};

Status OutputIo::put(const uint8_t* bytes, size_t count) {
  if (insertion_.empty() || count == 0) return file_->write(bytes, count);
  if (held_) ZT_RETURN_IF_ERROR(file_->write(&*held_, 1));
  held_ = bytes[count - 1];
  return file_->write(bytes, count - 1);
}

Status OutputIo::finish() {
  if (!held_) return Status();
  ZT_RETURN_IF_ERROR(file_->write(insertion_.data(), insertion_.size()));
  ZT_RETURN_IF_ERROR(file_->write(&*held_, 1));
  held_.reset();
  return Status();
}

OutputIo::~OutputIo() {
  if (context_ == nullptr) return;
  av_freep(&context_->buffer);
  avio_context_free(&context_);
}

Status OutputIo::open(const std::string& path) {
  ZT_ASSIGN_OR_RETURN(OutputFile file, OutputFile::create(path));
  file_.emplace(std::move(file));
  constexpr int kBuffer = 1 << 16;
  auto* buffer = static_cast<uint8_t*>(av_malloc(kBuffer));
  if (buffer == nullptr) return error(Code::kResourceExhausted, "no memory to write ", path);
  context_ = avio_alloc_context(buffer, kBuffer, 1, this, nullptr, &OutputIoCallbacks::write,
                                file_->seekable() ? &OutputIoCallbacks::seek : nullptr);
  if (context_ != nullptr) return Status();
  av_free(buffer);
  return error(Code::kResourceExhausted, "no memory to write ", path);
}

}  // namespace zoetrope
