#include "converters/zip.h"

#include <zlib.h>

#include <algorithm>

namespace zoetrope {
namespace {

constexpr uint32_t kEndSignature = 0x06054b50, kEnd64Signature = 0x06064b50,
                   kLocator64Signature = 0x07064b50, kCentralSignature = 0x02014b50,
                   kLocalSignature = 0x04034b50;
constexpr size_t kEndBytes = 22, kEnd64Bytes = 56, kLocator64Bytes = 20, kCentralBytes = 46,
                 kLocalBytes = 30;
constexpr size_t kMaxEntries = 1 << 20;

// Little-endian numbers with one check a record.
class Record {
 public:
  static Result<Record> at(std::span<const uint8_t> bytes, uint64_t offset, size_t length,
                           const char* what) {
    if (offset > bytes.size() || length > bytes.size() - offset)
      return error(Code::kDataLoss, what, " at ", offset, " reaches beyond the archive's ",
                   bytes.size(), " bytes");
    return Record(bytes.subspan(offset, length));
  }
  uint64_t number(size_t at, int count) const {
    uint64_t value = 0;
    for (int i = count - 1; i >= 0; --i) value = value << 8 | bytes_[at + static_cast<size_t>(i)];
    return value;
  }
  uint32_t u16(size_t at) const { return static_cast<uint32_t>(number(at, 2)); }
  uint32_t u32(size_t at) const { return static_cast<uint32_t>(number(at, 4)); }
  uint64_t u64(size_t at) const { return number(at, 8); }
  std::span<const uint8_t> bytes() const { return bytes_; }

 private:
  explicit Record(std::span<const uint8_t> bytes) : bytes_(bytes) {}
  std::span<const uint8_t> bytes_;
};

struct Directory {
  uint64_t offset = 0, entries = 0;
};

Result<Directory> find_directory(std::span<const uint8_t> archive) {
  if (archive.size() < kEndBytes) return error(Code::kDataLoss, "too short for a ZIP archive");
  // A comment of at most 65535 bytes may follow the end record.
  const size_t last = archive.size() - kEndBytes;
  const size_t first = last > 0xffff ? last - 0xffff : 0;
  for (size_t at = last + 1; at-- > first;) {
    ZT_ASSIGN_OR_RETURN(const Record end, Record::at(archive, at, kEndBytes, "end record"));
    if (end.u32(0) != kEndSignature) continue;
    Directory directory{end.u32(16), end.u16(10)};
    if (at < kLocator64Bytes) return directory;
    ZT_ASSIGN_OR_RETURN(const Record locator, Record::at(archive, at - kLocator64Bytes,
                                                         kLocator64Bytes, "ZIP64 locator"));
    if (locator.u32(0) != kLocator64Signature) return directory;
    ZT_ASSIGN_OR_RETURN(const Record end64,
                        Record::at(archive, locator.u64(8), kEnd64Bytes, "ZIP64 end record"));
    if (end64.u32(0) != kEnd64Signature) return error(Code::kDataLoss, "no ZIP64 end record");
    return Directory{end64.u64(48), end64.u64(32)};
  }
  return error(Code::kDataLoss, "not a ZIP archive, or cut short: it has no end record");
}

struct Central {
  uint64_t size = 0, stored = 0, local = 0;
};

// Sizes that do not fit 32 bits stand in the extra field with id 1, in this order.
Status read_extra64(std::span<const uint8_t> extra, Central* entry) {
  while (extra.size() >= 4) {
    ZT_ASSIGN_OR_RETURN(const Record head, Record::at(extra, 0, 4, "extra field"));
    const size_t length = head.u16(2);
    ZT_ASSIGN_OR_RETURN(const Record body, Record::at(extra, 4, length, "extra field"));
    if (head.u16(0) == 1) {
      size_t at = 0;
      for (uint64_t* number : {&entry->size, &entry->stored, &entry->local}) {
        if (*number != 0xffffffffu) continue;
        if (at + 8 > length) return error(Code::kDataLoss, "a ZIP64 field is too short");
        *number = body.u64(at);
        at += 8;
      }
      return Status();
    }
    extra = extra.subspan(4 + length);
  }
  return Status();
}

// The entry's bytes: behind its local header, whose name and extra field have their own lengths.
Result<std::span<const uint8_t>> find_bytes(std::span<const uint8_t> archive,
                                            const Central& entry) {
  ZT_ASSIGN_OR_RETURN(const Record local,
                      Record::at(archive, entry.local, kLocalBytes, "local header"));
  if (local.u32(0) != kLocalSignature)
    return error(Code::kDataLoss, "no local header at ", entry.local);
  const uint64_t begin = entry.local + kLocalBytes + local.u16(26) + local.u16(28);
  if (begin > archive.size() || entry.size > archive.size() - begin)
    return error(Code::kDataLoss, entry.size, " bytes at ", begin, " reach beyond the archive's ",
                 archive.size());
  return archive.subspan(begin, entry.size);
}

}  // namespace

Status ZipEntry::check() const {
  if (crc == 0) return Status();
  const auto found = static_cast<uint32_t>(::crc32_z(0, bytes.data(), bytes.size()));
  if (found == crc) return Status();
  return error(Code::kDataLoss, "the file is damaged: ", bytes.size(), " bytes with checksum ",
               found, " where the archive states ", crc);
}

Result<ZipEntries> read_zip(std::span<const uint8_t> archive) {
  ZT_ASSIGN_OR_RETURN(const Directory directory, find_directory(archive));
  if (directory.entries > kMaxEntries)
    return error(Code::kDataLoss, "an archive of ", directory.entries, " entries");
  ZipEntries entries;
  uint64_t at = directory.offset, total = 0;
  for (uint64_t i = 0; i < directory.entries; ++i) {
    ZT_ASSIGN_OR_RETURN(const Record head,
                        Record::at(archive, at, kCentralBytes, "directory entry"));
    if (head.u32(0) != kCentralSignature)
      return error(Code::kDataLoss, "no directory entry at ", at);
    const size_t name_length = head.u16(28), extra_length = head.u16(30);
    ZT_ASSIGN_OR_RETURN(
        const Record tail,
        Record::at(archive, at + kCentralBytes, name_length + extra_length, "directory entry"));
    const std::string name(tail.bytes().begin(),
                           tail.bytes().begin() + static_cast<ptrdiff_t>(name_length));
    const std::string where = "entry '" + name.substr(0, 200) + "'";
    Central entry{head.u32(24), head.u32(20), head.u32(42)};
    ZT_RETURN_IF_ERROR(read_extra64(tail.bytes().subspan(name_length), &entry).with_context(where));
    if (head.u16(10) != 0 || (head.u16(8) & 1) != 0 || entry.size != entry.stored)
      return error(Code::kUnsupported, where,
                   " is compressed, which torch.save never does: a TorchScript program, or an "
                   "archive of something else");
    auto bytes = find_bytes(archive, entry);
    if (!bytes.ok()) return bytes.status().with_context(where);
    // Entries that shared bytes would make a small file slow to check.
    if ((total += entry.size) > archive.size())
      return error(Code::kDataLoss, where, " overlaps other entries");
    if (!entries.emplace(name, ZipEntry{*bytes, head.u32(16)}).second)
      return error(Code::kDataLoss, where, " appears twice");
    at += kCentralBytes + name_length + extra_length + head.u16(32);
  }
  return entries;
}

}  // namespace zoetrope
