// A checkpoint that is one mapped file: what readers of such files share.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <utility>

#include "converters/checkpoint.h"
#include "graph/format/mapped_file.h"

namespace zoetrope {

// A view of a mapped file. When its owner goes, its pages leave the process, so that converting
// takes no more memory for a larger file; who reads them again finds them in the file.
inline WeightData mapped_view(const TensorType& type, const uint8_t* data) {
  constexpr int64_t kSmall = 1 << 20;  // bytes: not worth a call
  if (type.bytes() < kSmall) return {type, data, nullptr};
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto address = reinterpret_cast<uintptr_t>(data);
  const uintptr_t begin = (address + page - 1) / page * page;
  const uintptr_t end = (address + static_cast<uintptr_t>(type.bytes())) / page * page;
  return {type, data, std::shared_ptr<const void>(data, [begin, end](const void*) {
            if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
          })};
}

// Entry: where a tensor lies, and its `type`.
template <typename Entry>
class MappedCheckpoint : public Checkpoint {
 public:
  Status open(const std::string& path) {
    ZT_ASSIGN_OR_RETURN(file_, MappedFile::open(path));
    ZT_RETURN_IF_ERROR(refuse_foreign(file_.bytes()).with_context(path));
    return parse().with_context(path);
  }

  const std::string& path() const override { return file_.path(); }
  const std::vector<std::string>& names() const override { return names_; }
  const std::map<std::string, std::string>& metadata() const override { return metadata_; }
  const std::map<std::string, Unreadable, std::less<>>& unreadable() const override {
    return unreadable_;
  }

  Result<TensorType> type(std::string_view name) const override {
    ZT_ASSIGN_OR_RETURN(const Entry* entry, find(name));
    return entry->type;
  }

 protected:
  // Fills names_, tensors_, metadata_ and unreadable_ from file_.
  virtual Status parse() = 0;

  Result<const Entry*> find(std::string_view name) const {
    const auto it = tensors_.find(name);
    if (it == tensors_.end()) return no_tensor(*this, name);
    return &it->second;
  }

  MappedFile file_;
  std::vector<std::string> names_;
  std::map<std::string, Entry, std::less<>> tensors_;
  std::map<std::string, std::string> metadata_;
  std::map<std::string, Unreadable, std::less<>> unreadable_;
};

// A File opened, as what it is to others.
template <typename File>
Result<std::unique_ptr<Checkpoint>> open_mapped(const std::string& path) {
  auto file = std::make_unique<File>();
  ZT_RETURN_IF_ERROR(file->open(path));
  return std::unique_ptr<Checkpoint>(std::move(file));
}

}  // namespace zoetrope
