// Tokens by a SentencePiece model (arXiv 1808.06226), whose bytes travel in the model file.
#pragma once

#include <memory>
#include <span>

#include "runtime/text/tokenizer.h"

namespace zoetrope {

// Immutable: any thread may use it.
class SentencePiece : public Tokenizer {
 public:
  // Errors say what is wrong with the bytes.
  static Result<std::unique_ptr<SentencePiece>> open(std::span<const uint8_t> model);
  ~SentencePiece() override;

  int64_t size() const override;

 protected:
  // Names of control pieces in the text ("</s>") are text.
  Result<std::vector<int32_t>> pieces(std::string_view text, size_t enough) const override;

 private:
  struct Processor;
  explicit SentencePiece(std::unique_ptr<Processor> processor);
  std::unique_ptr<Processor> processor_;
};

}  // namespace zoetrope
