#include "runtime/text/sentencepiece.h"

#include <sentencepiece_processor.h>

#include <cstring>
#include <exception>
#include <new>

#include "runtime/text/charsmap.h"

namespace zoetrope {

struct SentencePiece::Processor {
  sentencepiece::SentencePieceProcessor library;
};

SentencePiece::SentencePiece(std::unique_ptr<Processor> processor)
    : processor_(std::move(processor)) {}
SentencePiece::~SentencePiece() = default;

namespace {

// The library throws where a damaged model's pieces cannot be put into its trie.
template <typename Call>
std::string failure(const Call& call) {
  try {
    const auto status = call();
    return status.ok() ? "" : status.ToString();
  } catch (const std::bad_alloc&) {
    throw;  // not the model's fault
  } catch (const std::exception& thrown) {
    // Its trie has a class of its own for "failed to resize pool: std::bad_alloc".
    if (std::strstr(thrown.what(), "bad_alloc") != nullptr) throw std::bad_alloc();
    return thrown.what();
  }
}

}  // namespace

Result<std::unique_ptr<SentencePiece>> SentencePiece::open(std::span<const uint8_t> model) {
  ZT_RETURN_IF_ERROR(check_charsmaps(model));
  auto processor = std::make_unique<Processor>();
  const std::string_view bytes(reinterpret_cast<const char*>(model.data()), model.size());
  const std::string failed =
      failure([&] { return processor->library.LoadFromSerializedProto(bytes); });
  if (!failed.empty() || processor->library.GetPieceSize() < 1)
    return error(Code::kDataLoss, "the tokenizer's ", model.size(),
                 " bytes are no SentencePiece model: ", failed);
  return std::unique_ptr<SentencePiece>(new SentencePiece(std::move(processor)));
}

int64_t SentencePiece::size() const { return processor_->library.GetPieceSize(); }

Result<std::vector<int32_t>> SentencePiece::pieces(std::string_view text, size_t) const {
  std::vector<int> ids;
  const std::string failed = failure([&] { return processor_->library.Encode(text, &ids); });
  if (!failed.empty())
    return error(Code::kInvalidArgument, "the text cannot be tokenized: ", failed);
  return std::vector<int32_t>(ids.begin(), ids.end());
}

}  // namespace zoetrope
