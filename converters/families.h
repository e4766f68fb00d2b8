// What the families' converters share: keys, shapes and configurations of checkpoints.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "converters/checkpoint.h"
#include "converters/convert.h"

namespace zoetrope {

Status convert_dit(const Checkpoint& checkpoint, const ConvertOptions& options,
                   const WriteProgress& progress);
Status convert_wan(const Checkpoint& checkpoint, const ConvertOptions& options,
                   const WriteProgress& progress);

// One family's name for a part of a key, and another's. Patterns that begin with '.' match
// anywhere, others at the key's begin.
struct KeyRewrite {
  std::string_view from, to;
};
// Applies each rule at most once, in order.
std::string rewrite_key(std::string key, std::span<const KeyRewrite> rules);

// What stands before `key` in a training checkpoint ("ema.", "model.", ...); empty when nothing
// does.
std::string find_prefix(const Checkpoint& checkpoint, const std::string& key);

// How many different N there are in "<prefix>N."
int64_t count_blocks(const Checkpoint& checkpoint, const std::string& prefix);

Result<Shape> weight_shape(const Checkpoint& checkpoint, const std::string& key);

// An integer of a config.json; errors name the key.
Result<int64_t> config_integer(const std::string& json, const char* key, int64_t low, int64_t high);

Status unused_error(const Checkpoint& checkpoint, const std::string& key);

}  // namespace zoetrope
