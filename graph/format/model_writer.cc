#include "graph/format/model_writer.h"

#include <algorithm>
#include <cstring>

#include "graph/format/encode.h"
#include "graph/format/hash.h"
#include "graph/format/output_file.h"

namespace zoetrope {
namespace {

int64_t align_up(int64_t value, int64_t alignment) {
  return (value + alignment - 1) / alignment * alignment;
}

void put_le(uint8_t* bytes, uint64_t value, int count) {
  for (int i = 0; i < count; ++i) bytes[i] = static_cast<uint8_t>(value >> (8 * i));
}

constexpr int64_t kPlaceholder = 4096;

// Offsets are known before any byte is: lengths follow from the types. The root's own length does
// not depend on offsets and hashes, which are scalars that are always stored or always left out; so
// the first encoding, with placeholders, tells where the tensors begin.
std::vector<TensorEntry> lay_out(const ModelInfo& info, const std::vector<TensorSource>& tensors) {
  std::vector<TensorEntry> table;
  for (const TensorSource& source : tensors) {
    TensorEntry entry{source.name, source.type, 0, 0, 0, source.synthetic};
    if (!source.synthetic) {
      entry.offset = kPlaceholder;
      entry.length = source.type.bytes();
      entry.hash = 1;
    }
    table.push_back(std::move(entry));
  }
  int64_t at = kModelHeaderBytes + static_cast<int64_t>(encode_root(info, table).size());
  for (const bool large : {false, true})
    for (TensorEntry& entry : table) {
      if (entry.length == 0) {  // synthetic, or nothing to store
        entry.offset = 0;
        continue;
      }
      if ((entry.length >= kLargeTensor) != large) continue;
      entry.offset = align_up(at, tensor_alignment(entry.length));
      at = entry.offset + entry.length;
    }
  return table;
}

}  // namespace

Status write_model(const std::string& path, const ModelInfo& info,
                   std::vector<TensorSource> tensors, const WriteProgress& progress) {
  std::sort(tensors.begin(), tensors.end(),
            [](const TensorSource& a, const TensorSource& b) { return a.name < b.name; });
  std::vector<TensorEntry> table = lay_out(info, tensors);
  int64_t data_begin = INT64_MAX, end = 0, total = 0, done = 0;
  for (const TensorEntry& entry : table) {
    if (entry.length == 0) continue;
    data_begin = std::min(data_begin, entry.offset);
    end = std::max(end, entry.offset + entry.length);
    total += entry.length;
  }
  // What will be written must be readable: the checks that every reader makes, before any byte
  // moves.
  {
    const std::vector<uint8_t> draft = encode_root(info, table);
    ModelInfo check_info;
    std::vector<TensorEntry> check_table;
    const int64_t draft_end = std::max(end, kModelHeaderBytes + static_cast<int64_t>(draft.size()));
    if (Status status = decode_root(draft, draft_end, &check_info, &check_table); !status.ok())
      return status.with_context("the model is not consistent");
  }
  ZT_ASSIGN_OR_RETURN(OutputFile file, OutputFile::create(path));
  for (size_t i = 0; i < table.size(); ++i) {
    TensorEntry& entry = table[i];
    if (entry.synthetic) continue;
    auto data = tensors[i].load();
    if (!data.ok()) return data.status().with_context(str("tensor '", entry.name, "'"));
    if (!(data->type == entry.type))
      return error(Code::kInternal, "tensor '", entry.name, "' was announced as ",
                   entry.type.to_string(), " but is ", data->type.to_string());
    const std::span bytes(static_cast<const uint8_t*>(data->data),
                          static_cast<size_t>(entry.length));
    entry.hash = hash_bytes(bytes);
    ZT_RETURN_IF_ERROR(file.write_at(entry.offset, bytes));
    done += entry.length;
    if (progress && !progress(done, total)) return error(Code::kCancelled, "asked to stop");
  }
  const std::vector<uint8_t> root = encode_root(info, table);
  const int64_t root_end = kModelHeaderBytes + static_cast<int64_t>(root.size());
  if (root_end > data_begin) return error(Code::kInternal, "the root outgrew its place");
  end = std::max(end, root_end);
  uint8_t header[kModelHeaderBytes] = {};
  std::memcpy(header, kModelMagic, sizeof(kModelMagic));
  put_le(header + 8, kModelVersion, 4);
  put_le(header + 16, static_cast<uint64_t>(end), 8);
  put_le(header + 24, root.size(), 8);
  put_le(header + 32, hash_bytes(root), 8);
  ZT_RETURN_IF_ERROR(file.write_at(0, header));
  ZT_RETURN_IF_ERROR(file.write_at(kModelHeaderBytes, root));

  return file.commit();
}

}  // namespace zoetrope
