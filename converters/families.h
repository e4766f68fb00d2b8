// What a family of models is to the converter, and what families share: keys, shapes, stores.
#pragma once

#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "converters/checkpoint.h"
#include "converters/config.h"
#include "converters/convert.h"

namespace zoetrope {

// What is converted. Everything that `pipeline` or the configurations say is honoured or refused.
struct ConvertSource {
  const Checkpoint& checkpoint;     // of the denoiser, or of the whole model
  const DiffusersFolder* pipeline;  // the folder that it came from; null: the weights alone
};

// A family is one file: how its checkpoints are told from others, and how they become a model.
struct Family {
  std::string_view name;
  // A key that every checkpoint of the family has and no other; prefixes of training and of
  // bundles may stand before it. One a layout.
  std::vector<std::string_view> marks;
  Status (*convert)(const ConvertSource& source, const ConvertOptions& options,
                    const WriteProgress& progress);
  // The keys of a graph weight in every layout, several where they are joined; null: adapters of
  // the family are not known.
  std::vector<std::vector<std::string>> (*key_layouts)(const std::string& weight) = nullptr;
  // Of a tensor of the model (scope and all) whose columns files order (column of a group, group)
  // and the model (group, column): how many groups; 1: as they are. Null: of none.
  Result<int64_t> (*column_groups)(const std::string& tensor,
                                   const WeightSource& weights) = nullptr;
};
const Family& dit_family();
const Family& toybox_family();
const Family& wan_family();
const Family& ltx2_family();
const Family& minimax_h3_family();

std::span<const Family* const> families();
// Null: no family's mark is there.
const Family* find_family(const Checkpoint& checkpoint);
// Names a model that is known to have such keys, and is not supported; empty: unknown.
std::string_view name_foreign_model(const Checkpoint& checkpoint);

// One family's name for a part of a key, and another's. Patterns that begin with '.' match
// anywhere, others at the key's begin.
struct KeyRewrite {
  std::string_view from, to;
};
// Applies each rule at most once, in order.
std::string rewrite_key(std::string key, std::span<const KeyRewrite> rules);

// What stands before `key` in a checkpoint of a training run or of a bundle ("ema.", "model.",
// "model.diffusion_model.", ...): averaged weights before others, short before long; never what a
// critic, a discriminator or a score of distribution matching has. None: no such key.
std::optional<std::string> find_prefix(const Checkpoint& checkpoint, std::string_view key);
// Refuses two whole models of which find_prefix() would take either for no good reason.
Status check_one_model(const Checkpoint& checkpoint, const Family& family);

// A tensor that no rule of the conversion reads. Training runs keep optimizers and a second copy of
// the weights beside those that are wanted: those are passed over, anything else is an error.
Status check_unused(const Checkpoint& checkpoint, const std::string& prefix,
                    const std::string& key);

// How many different N there are in "<prefix>N."
int64_t count_blocks(const Checkpoint& checkpoint, const std::string& prefix);

// Of a tensor with `rank` dimensions, none of them zero; errors name it.
Result<Shape> weight_shape(const Checkpoint& checkpoint, const std::string& key, int rank);

// SentencePiece's model: `path`, or the file `name` in that folder. `hint` ends the error where it
// is not there.
Result<std::vector<uint8_t>> read_sentencepiece(const std::string& path, const char* name,
                                                const char* hint = "");

// "it has no X, no Y" of the parts that are not there, as a recipe's `incomplete`; empty: all are.
std::string missing_parts(std::initializer_list<std::pair<bool, std::string>> parts);

// The configuration beside the weights, else the one in their own file; empty: neither.
Result<Config> read_config(const Checkpoint& checkpoint);

}  // namespace zoetrope
