// Small valid files to damage.
#pragma once

#include <cstdint>
#include <vector>

namespace zoetrope {

std::vector<uint8_t> safetensors_seed();
std::vector<uint8_t> gguf_seed();
std::vector<uint8_t> torch_seed();
std::vector<uint8_t> toybox_config_seed();
std::vector<uint8_t> sentencepiece_seed();
std::vector<uint8_t> clip_bpe_seed();
std::vector<uint8_t> piece_bpe_seed();
std::vector<uint8_t> byte_bpe_seed();

// Builds roots whose tables share large parts and checks that they are refused in little time.
void run_shared_table_bomb();

}  // namespace zoetrope
