// Characters as tokenizers' patterns tell them apart.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "graph/status.h"

namespace zoetrope {

enum class LetterKind : uint8_t { kSpace, kLetter, kNumber, kOther };

// White space (\s), letters (\p{L}) and numbers (\p{N}) of Unicode.
LetterKind letter_kind(int32_t code);
bool is_white_space(int32_t code);

// The character at byte `at` of `text`, which is UTF-8 and goes on there; how many bytes it takes.
size_t read_character(std::string_view text, size_t at, int32_t* code);
void append_character(uint32_t code, std::string* out);

// Composed characters (NFC).
Result<std::string> compose(std::string_view text);

// GPT-2's letter of a byte: itself where it prints, else one from U+0100 on.
std::array<std::string, 256> byte_letters();

}  // namespace zoetrope
