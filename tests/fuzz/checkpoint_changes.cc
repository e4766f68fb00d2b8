#include "tests/fuzz/checkpoint_changes.h"

#include <algorithm>
#include <cctype>
#include <cstring>
#include <nlohmann/json.hpp>

#include "converters/zip.h"
#include "tests/fuzz/json_changes.h"

namespace zoetrope {
namespace {

using Json = nlohmann::ordered_json;

struct Tensor {
  std::string name;
  Json dtype, shape;
  Bytes data;
};

int64_t bytes_of(const Json& dtype) {
  const std::string name = dtype.is_string() ? dtype.get<std::string>() : "";
  if (name.ends_with("64")) return 8;
  if (name.ends_with("32")) return 4;
  if (name.ends_with("16")) return 2;
  return 1;
}

// As many bytes as the shape says, where that is few.
void fit_data(Tensor* tensor) {
  int64_t count = bytes_of(tensor->dtype);
  for (const Json& extent : tensor->shape) {
    const int64_t n = extent.is_number_integer() ? extent.get<int64_t>() : 1;
    if (n < 0 || n > (1 << 20) || count > (1 << 20)) return;
    count *= n;
  }
  if (count <= (1 << 20)) tensor->data.resize(static_cast<size_t>(count));
}

// Another number in a name, something before it, something behind it.
std::string rename(Draw& draw, std::string name) {
  static const std::string kBefore[] = {
      "model.", "ema.", "module.", "model.diffusion_model.", "transformer.", "_orig_mod."};
  const size_t digit = name.find_first_of("0123456789");
  switch (draw.below(5)) {
    case 0: return draw.pick(kBefore) + name;
    case 1: return name + ".x";
    case 2:
      if (digit != std::string::npos)
        return name.replace(digit, 1, draw.one_in(3) ? std::to_string(draw.whole()) : "1");
      return name + "0";
    case 3: return name.substr(0, draw.below(name.size()));
    default: return std::string(1 + draw.below(300), 'n') + name;
  }
}

void change_tensor(Draw& draw, Tensor* tensor) {
  static const std::string kTypes[] = {"F32", "F16",     "BF16",    "F64", "I8",  "U8",
                                       "I64", "F8_E4M3", "F8_E5M2", "I32", "BOOL"};
  switch (draw.below(7)) {
    case 0: tensor->dtype = draw.pick(kTypes); break;
    case 1:
      if (!tensor->shape.empty()) draw.pick(tensor->shape) = draw.whole();
      break;
    case 2:
      if (!tensor->shape.empty()) std::reverse(tensor->shape.begin(), tensor->shape.end());
      break;
    case 3: tensor->shape.push_back(draw.coin() ? 1 : draw.whole()); break;
    case 4:
      if (!tensor->shape.empty()) tensor->shape.erase(draw.below(tensor->shape.size()));
      break;
    default: {  // numbers: infinity and NaN among them
      static constexpr uint8_t kBytes[] = {0x00, 0x7f, 0x80, 0xff, 0x3f};
      for (uint32_t i = draw.below(16) + 1; i > 0 && !tensor->data.empty(); --i)
        draw.pick(tensor->data) = draw.pick(kBytes);
      return;
    }
  }
  fit_data(tensor);
}

std::vector<Tensor> tensors_of(const Json& header, const Bytes& file, size_t begin) {
  std::vector<Tensor> tensors;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__" || !entry.is_object() || !entry.contains("data_offsets") ||
        !entry.contains("dtype") || !entry.contains("shape"))
      continue;
    const Json& offsets = entry["data_offsets"];
    if (!offsets.is_array() || offsets.size() != 2 || !offsets[0].is_number_unsigned() ||
        !offsets[1].is_number_unsigned())
      continue;
    const size_t from = std::min(begin + offsets[0].get<size_t>(), file.size());
    const size_t to = std::clamp(begin + offsets[1].get<size_t>(), from, file.size());
    tensors.push_back({name, entry["dtype"], entry["shape"],
                       Bytes(file.begin() + static_cast<ptrdiff_t>(from),
                             file.begin() + static_cast<ptrdiff_t>(to))});
  }
  return tensors;
}

Bytes with_length(const std::string& header) {
  Bytes out(8);
  const uint64_t length = header.size();
  std::memcpy(out.data(), &length, 8);
  out.insert(out.end(), header.begin(), header.end());
  return out;
}

// A pickle's bytes as its instructions lie in them: where each begins. Empty where it has others
// than PyTorch writes.
std::vector<size_t> instructions(std::span<const uint8_t> p) {
  std::vector<size_t> begins;
  const auto word = [&](size_t at) {
    uint32_t n = 0;
    if (at + 4 <= p.size()) std::memcpy(&n, &p[at], 4);
    return size_t{n};
  };
  for (size_t at = 0; at < p.size();) {
    begins.push_back(at);
    size_t length = 1;
    switch (p[at]) {
      case 0x80:
      case 'K':
      case 'q':
      case 'h': length = 2; break;
      case 'M': length = 3; break;
      case 'J':
      case 'r':
      case 'j': length = 5; break;
      case 'G': length = 9; break;
      case 'X':
      case 'B':
      case 'T': length = 5 + word(at + 1); break;
      case 'U':
      case 'C': length = at + 1 < p.size() ? 2u + p[at + 1] : 2; break;
      case 0x8a: length = at + 1 < p.size() ? 2u + p[at + 1] : 2; break;
      case 'c': {
        size_t end = at + 1;
        for (int lines = 0; end < p.size() && lines < 2; ++end) lines += p[end] == '\n';
        length = end - at;
        break;
      }
      default: break;
    }
    if (length > p.size() - at) return {};
    at += length;
  }
  return begins;
}

std::string change_pickle(Draw& draw, Bytes* pickle) {
  const std::vector<size_t> begins = instructions(*pickle);
  if (begins.empty() || draw.one_in(6)) {
    if (!pickle->empty()) change_bytes(draw, pickle);
    return "pickle's bytes";
  }
  std::vector<size_t> data;  // texts and numbers
  for (const size_t at : begins)
    if (std::strchr("XKMJ", (*pickle)[at]) != nullptr) data.push_back(at);
  const size_t n = draw.below(begins.size()), from = begins[n];
  const size_t to = n + 1 < begins.size() ? begins[n + 1] : pickle->size();
  const auto place = [&](size_t at) { return pickle->begin() + static_cast<ptrdiff_t>(at); };
  switch (draw.below(8)) {
    case 0: pickle->erase(place(from), place(to)); return "an instruction less";
    case 1: {
      const Bytes copy(place(from), place(to));
      pickle->insert(place(draw.pick(begins)), copy.begin(), copy.end());
      return "an instruction more";
    }
    case 2: (*pickle)[from] = static_cast<uint8_t>(draw.below(256)); return "another instruction";
    default: {
      if (data.empty()) return "";
      const size_t at = draw.pick(data);
      if ((*pickle)[at] != 'X') {
        const auto number = static_cast<uint32_t>(draw.whole());
        const size_t width = (*pickle)[at] == 'K' ? 1 : (*pickle)[at] == 'M' ? 2 : 4;
        std::memcpy(&(*pickle)[at + 1], &number, width);
        return str("a number: ", number);
      }
      uint32_t length = 0;
      std::memcpy(&length, &(*pickle)[at + 1], 4);
      std::string text(place(at + 5), place(at + 5 + length));
      text = rename(draw, text);
      pickle->erase(place(at + 5), place(at + 5 + length));
      pickle->insert(place(at + 5), text.begin(), text.end());
      length = static_cast<uint32_t>(text.size());
      std::memcpy(&(*pickle)[at + 1], &length, 4);
      return "a text: " + text.substr(0, 60);
    }
  }
}

void put(Bytes* out, uint64_t number, int width) {
  for (int i = 0; i < width; ++i) out->push_back(static_cast<uint8_t>(number >> 8 * i));
}

// Members stored one behind the other, without checksums: 0 is none.
Bytes zip_of(const std::vector<std::pair<std::string, Bytes>>& members) {
  Bytes out, directory;
  for (const auto& [name, data] : members) {
    const size_t at = out.size();
    Bytes shared;  // of both headers
    put(&shared, 20, 2), put(&shared, 0, 8), put(&shared, 0, 4);
    put(&shared, data.size(), 4), put(&shared, data.size(), 4);
    put(&shared, name.size(), 2), put(&shared, 0, 2);
    put(&out, 0x04034b50, 4);
    out.insert(out.end(), shared.begin(), shared.end());
    out.insert(out.end(), name.begin(), name.end());
    out.insert(out.end(), data.begin(), data.end());
    put(&directory, 0x02014b50, 4), put(&directory, 20, 2);
    directory.insert(directory.end(), shared.begin(), shared.end());
    put(&directory, 0, 6), put(&directory, 0, 4), put(&directory, at, 4);
    directory.insert(directory.end(), name.begin(), name.end());
  }
  const size_t at = out.size();
  out.insert(out.end(), directory.begin(), directory.end());
  put(&out, 0x06054b50, 4), put(&out, 0, 4);
  put(&out, members.size(), 2), put(&out, members.size(), 2);
  put(&out, directory.size(), 4), put(&out, at, 4), put(&out, 0, 2);
  return out;
}

}  // namespace

std::string change_safetensors(Draw& draw, Bytes* file) {
  uint64_t length = 0;
  if (file->size() < 8) return "";
  std::memcpy(&length, file->data(), 8);
  if (length > file->size() - 8) return "";
  const size_t begin = 8 + static_cast<size_t>(length);
  Json header = Json::parse(file->begin() + 8, file->begin() + static_cast<ptrdiff_t>(begin),
                            nullptr, /*allow_exceptions=*/false);
  if (!header.is_object() || header.empty()) return "";
  if (draw.one_in(8)) {  // the header alone: offsets and sizes lie
    const std::string what = change_json(draw, &header, {"F32", "F16", "I8", "", "x"});
    Bytes out = with_length(header.dump(-1, ' ', false, Json::error_handler_t::replace));
    out.insert(out.end(), file->begin() + static_cast<ptrdiff_t>(begin), file->end());
    *file = std::move(out);
    return "header " + what;
  }
  std::vector<Tensor> tensors = tensors_of(header, *file, begin);
  if (tensors.empty()) return "";
  const size_t one = draw.below(tensors.size()), two = draw.below(tensors.size());
  std::string what = tensors[one].name;
  switch (draw.below(7)) {
    case 0: tensors.erase(tensors.begin() + static_cast<ptrdiff_t>(one)); break;
    case 1:
      tensors.push_back(tensors[one]);
      tensors.back().name = rename(draw, what);
      break;
    case 2: tensors[one].name = rename(draw, what); break;
    case 3: std::swap(tensors[one].name, tensors[two].name); break;
    default: change_tensor(draw, &tensors[one]);
  }
  Json out = Json::object();
  if (header.contains("__metadata__")) out["__metadata__"] = header["__metadata__"];
  if (draw.one_in(20) && out.contains("__metadata__"))
    what += change_json(draw, &out["__metadata__"], {"lora", "1", "nan", ""});
  Bytes data;
  for (const Tensor& tensor : tensors) {
    out[tensor.name] = {{"dtype", tensor.dtype},
                        {"shape", tensor.shape},
                        {"data_offsets", {data.size(), data.size() + tensor.data.size()}}};
    data.insert(data.end(), tensor.data.begin(), tensor.data.end());
  }
  *file = with_length(out.dump(-1, ' ', false, Json::error_handler_t::replace));
  file->insert(file->end(), data.begin(), data.end());
  return "tensor " + what.substr(0, 80);
}

std::string change_torch(Draw& draw, Bytes* file) {
  const auto entries = read_zip(*file);
  if (!entries.ok() || entries->empty()) return "";
  std::vector<std::pair<std::string, Bytes>> members;
  for (const auto& [name, entry] : *entries)
    members.emplace_back(name, Bytes(entry.bytes.begin(), entry.bytes.end()));
  std::string what;
  auto& member = draw.pick(members);
  switch (draw.below(8)) {
    case 0:
      member.first = rename(draw, member.first);
      what = "a member's name";
      break;
    case 1:
      member.second.resize(draw.below(member.second.size() + 8));
      what = "a member's length";
      break;
    case 2:
      if (!member.second.empty()) change_bytes(draw, &member.second);
      what = "a member's bytes";
      break;
    default:
      for (auto& [name, data] : members)
        if (name.ends_with("data.pkl")) what = change_pickle(draw, &data);
  }
  *file = zip_of(members);
  return what;
}

std::string change_gguf(Draw& draw, Bytes* file) {
  // Fields are not aligned: any four or eight bytes of the header may be one.
  const size_t head = std::min<size_t>(file->size(), 6000);
  if (head < 16) return "";
  const size_t at = draw.one_in(4) ? 8 + draw.below(2) * 8 : draw.below(head - 8);
  const int64_t number = draw.coin() ? draw.whole() : int64_t{draw.below(40)};
  std::memcpy(file->data() + at, &number, draw.coin() ? 4 : 8);
  return str("header at ", at, ": ", number);
}

}  // namespace zoetrope
