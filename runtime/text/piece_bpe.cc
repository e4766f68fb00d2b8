#include "runtime/text/piece_bpe.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "runtime/text/letters.h"

namespace zoetrope {
namespace {

constexpr const char* kWhat = "vocabulary of pieces";
constexpr const char* kSpace = "\u2581";

std::string byte_piece(size_t byte) {
  constexpr const char* kDigits = "0123456789ABCDEF";
  return {'<', '0', 'x', kDigits[byte / 16], kDigits[byte % 16], '>'};
}

}  // namespace

Result<std::unique_ptr<PieceBpe>> PieceBpe::open(std::span<const uint8_t> data) {
  const auto json = nlohmann::json::parse(data.begin(), data.end(), nullptr,
                                          /*allow_exceptions=*/false);
  ZT_ASSIGN_OR_RETURN(PairMerges merges, PairMerges::open(json, kWhat));
  ZT_ASSIGN_OR_RETURN(AddedTexts added, AddedTexts::open(json, kWhat));
  std::unique_ptr<PieceBpe> made(new PieceBpe(std::move(merges), std::move(added)));
  for (size_t b = 0; b < 256; ++b) {
    const auto id = made->merges_.find(byte_piece(b));
    if (!id)
      return error(Code::kDataLoss, "the tokenizer is no ", kWhat, " with merges: it has no '",
                   byte_piece(b), "'");
    made->bytes_[b] = *id;
  }
  return made;
}

int64_t PieceBpe::size() const { return std::max(merges_.size(), added_.size()); }

Result<std::vector<int32_t>> PieceBpe::pieces(std::string_view text, size_t enough) const {
  const auto plain = [&](std::string_view part, std::vector<int32_t>* ids) -> Status {
    std::vector<int32_t> row;
    for (size_t at = 0; at < part.size();) {
      int32_t code = 0;
      const size_t length = read_character(part, at, &code);
      const std::string_view letter = part.substr(at, length);
      if (const auto id = merges_.find(letter == " " ? kSpace : std::string(letter)))
        row.push_back(*id);
      else
        for (const char c : letter) row.push_back(bytes_[static_cast<unsigned char>(c)]);
      at += length;
    }
    merges_.join(row, ids);
    return Status();
  };
  std::vector<int32_t> ids;
  ZT_RETURN_IF_ERROR(added_.cut(text, plain, enough, &ids));
  return ids;
}

}  // namespace zoetrope
