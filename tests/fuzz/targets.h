// Readers of untrusted bytes, each as one function: it may refuse the bytes or accept them, and
// what it accepts must be usable. Shared by the mutation test and the libFuzzer programs.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace zoetrope {

struct FuzzTarget {
  const char* name;
  // True when the bytes were accepted.
  bool (*run)(std::span<const uint8_t> bytes);
};

bool fuzz_model(std::span<const uint8_t> bytes);
// As fuzz_model, after making the header agree with the bytes, so that the root is looked at.
bool fuzz_model_root(std::span<const uint8_t> bytes);
bool fuzz_safetensors(std::span<const uint8_t> bytes);
bool fuzz_gguf(std::span<const uint8_t> bytes);
bool fuzz_torch(std::span<const uint8_t> bytes);
bool fuzz_pickle(std::span<const uint8_t> bytes);
// The index of a checkpoint in several files; none of these exists.
bool fuzz_shards(std::span<const uint8_t> bytes);
bool fuzz_recipe(std::span<const uint8_t> bytes);
bool fuzz_toybox_config(std::span<const uint8_t> bytes);
bool fuzz_dim(std::span<const uint8_t> bytes);
bool fuzz_prompt(std::span<const uint8_t> bytes);
// Tokenizers as they travel in model files, and texts that go through them.
bool fuzz_sentencepiece(std::span<const uint8_t> bytes);
bool fuzz_clip_bpe(std::span<const uint8_t> bytes);
bool fuzz_piece_bpe(std::span<const uint8_t> bytes);
bool fuzz_byte_bpe(std::span<const uint8_t> bytes);

inline constexpr FuzzTarget kFuzzTargets[] = {{"model", fuzz_model},
                                              {"model_root", fuzz_model_root},
                                              {"safetensors", fuzz_safetensors},
                                              {"gguf", fuzz_gguf},
                                              {"torch", fuzz_torch},
                                              {"pickle", fuzz_pickle},
                                              {"shards", fuzz_shards},
                                              {"recipe", fuzz_recipe},
                                              {"toybox_config", fuzz_toybox_config},
                                              {"dim", fuzz_dim},
                                              {"prompt", fuzz_prompt},
                                              {"sentencepiece", fuzz_sentencepiece},
                                              {"clip_bpe", fuzz_clip_bpe},
                                              {"piece_bpe", fuzz_piece_bpe},
                                              {"byte_bpe", fuzz_byte_bpe}};

}  // namespace zoetrope
