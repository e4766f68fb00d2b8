#include "converters/families.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <set>

namespace zoetrope {
namespace {

// Keys by which other models are known, so that a message can name them.
constexpr std::pair<std::string_view, std::string_view> kForeignModels[] = {
    {"adaln_single.linear.weight", "PixArt"},
    {"t_block.1.weight", "PixArt"},
    {"joint_blocks.0.x_block.attn.qkv.weight", "Stable Diffusion 3"},
    {"transformer_blocks.0.norm1_context.linear.weight", "Stable Diffusion 3 or FLUX"},
    {"double_blocks.0.img_attn.qkv.weight", "FLUX"},
    {"double_blocks.0.img_attn_qkv.weight", "HunyuanVideo"},
    {"double_blocks.0.img_mod.linear.weight", "HunyuanVideo"},
    {"txt_in.individual_token_refiner.blocks.0.norm1.weight", "HunyuanVideo"},
    {"context_embedder.token_refiner.refiner_blocks.0.norm1.weight", "HunyuanVideo"},
    {"patchify_proj.weight", "LTX-Video"},
    {"transformer_blocks.0.attn1.norm_added_q.weight", "a dual-stream transformer"},
    {"down_blocks.0.resnets.0.time_emb_proj.weight", "a U-Net"},
    {"input_blocks.0.0.weight", "a U-Net (Stable Diffusion)"},
    {"encoder.conv_in.weight", "an autoencoder: name it with --vae"},
    {"encoder.block.0.layer.0.SelfAttention.q.weight", "a T5 text encoder"},
    {"text_model.embeddings.token_embedding.weight", "a CLIP text encoder"},
    {"caption_projection.linear_1.weight", "a text-conditional transformer"},
};

// What training runs keep beside the weights.
constexpr std::string_view kTrainingParts[] = {"model",
                                               "model_state_dict",
                                               "ema",
                                               "model_ema",
                                               "ema_model",
                                               "ema_state_dict",
                                               "generator",  // of distribution matching
                                               "generator_ema",
                                               "params",
                                               "params_ema",
                                               "state_dict",
                                               "module",
                                               "opt",
                                               "optim",
                                               "optimizer",
                                               "optimizers",
                                               "optimizer_states",
                                               "optimizer_state_dict",
                                               "state",
                                               "scheduler",
                                               "lr_scheduler",
                                               "lr_schedulers",
                                               "scaler",
                                               "callbacks",
                                               "loops",
                                               "hyper_parameters",
                                               "rng_state",
                                               "cuda_rng_state",
                                               "random_states",
                                               "args",
                                               "epoch",
                                               "step",
                                               "global_step",
                                               "train_steps"};

bool is_training_part(std::string_view name) {
  return std::find(std::begin(kTrainingParts), std::end(kTrainingParts), name) !=
         std::end(kTrainingParts);
}

// What is trained against, or to judge, the model that is wanted.
bool is_judge(std::string_view prefix) {
  for (const std::string_view name : {"critic", "discriminator", "fake_score", "real_score"})
    if (prefix.starts_with(name) || prefix.find(str(".", name)) != std::string_view::npos)
      return true;
  return false;
}

// Of every tensor that ends with `key`, but those of judges.
std::vector<std::string> prefixes_of(const Checkpoint& checkpoint, std::string_view key) {
  std::vector<std::string> found;
  for (const std::string& name : checkpoint.names()) {
    if (!name.ends_with(key)) continue;
    std::string prefix = name.substr(0, name.size() - key.size());
    if ((prefix.empty() || prefix.ends_with('.')) && !is_judge(prefix))
      found.push_back(std::move(prefix));
  }
  return found;
}

// Less is better: nothing before the keys, averaged weights, others.
int standing(std::string_view prefix) {
  return prefix.empty() ? 0 : prefix.find("ema") != std::string_view::npos ? 1 : 2;
}

}  // namespace

std::span<const Family* const> families() {
  static const Family* const list[] = {&dit_family(), &wan_family(), &ltx2_family(),
                                       &minimax_h3_family(), &toybox_family()};
  return list;
}

const Family* find_family(const Checkpoint& checkpoint) {
  for (const Family* family : families())
    for (const std::string_view mark : family->marks)
      if (find_prefix(checkpoint, mark)) return family;
  return nullptr;
}

std::string_view name_foreign_model(const Checkpoint& checkpoint) {
  for (const auto& [key, name] : kForeignModels)
    if (find_prefix(checkpoint, key)) return name;
  return "";
}

std::string rewrite_key(std::string key, std::span<const KeyRewrite> rules) {
  for (const KeyRewrite& rule : rules) {
    const size_t at = key.find(rule.from);
    if (at == std::string::npos || (at != 0 && rule.from[0] != '.')) continue;
    key.replace(at, rule.from.size(), rule.to);
  }
  return key;
}

std::optional<std::string> find_prefix(const Checkpoint& checkpoint, std::string_view key) {
  const std::vector<std::string> found = prefixes_of(checkpoint, key);
  if (found.empty()) return std::nullopt;
  const auto rank = [](const std::string& prefix) {
    return std::tuple(standing(prefix), prefix.size(), prefix);
  };
  return *std::min_element(found.begin(), found.end(),
                           [&](const auto& a, const auto& b) { return rank(a) < rank(b); });
}

Status check_one_model(const Checkpoint& checkpoint, const Family& family) {
  for (const std::string_view mark : family.marks) {
    const std::optional<std::string> first = find_prefix(checkpoint, mark);
    if (!first) continue;
    for (const std::string& other : prefixes_of(checkpoint, mark))
      if (other != *first && standing(other) == standing(*first))
        return error(Code::kInvalidArgument, checkpoint.path(), ": both '", *first, "' and '",
                     other, "' are whole models; save the one that is meant alone");
  }
  return Status();
}

Status check_unused(const Checkpoint& checkpoint, const std::string& prefix,
                    const std::string& key) {
  // Beside a state dict also lone tensors: states of random generators, steps.
  const size_t dot = key.find('.');
  if (!prefix.empty() && !key.starts_with(prefix) &&
      (dot == std::string::npos || is_training_part(key.substr(0, dot)) || is_judge(key)))
    return Status();
  if (checkpoint.unreadable().contains(key)) return no_tensor(checkpoint, key);
  return error(Code::kUnsupported, checkpoint.path(), ": tensor '", key,
               "' belongs to no component that is known; without it the model would not be whole");
}

int64_t count_blocks(const Checkpoint& checkpoint, const std::string& prefix) {
  std::set<int64_t> seen;
  for (const std::string& name : checkpoint.names()) {
    if (!name.starts_with(prefix)) continue;
    int64_t index = -1;
    const char* begin = name.data() + prefix.size();
    const auto [end, failed] = std::from_chars(begin, name.data() + name.size(), index);
    if (failed == std::errc() && end != name.data() + name.size() && *end == '.' && index >= 0)
      seen.insert(index);
  }
  return static_cast<int64_t>(seen.size());
}

Result<Shape> weight_shape(const Checkpoint& checkpoint, const std::string& key, int rank) {
  ZT_ASSIGN_OR_RETURN(const TensorType type, checkpoint.type(key));
  if (type.shape.rank() != rank || type.shape.elements() == 0)
    return error(Code::kDataLoss, checkpoint.path(), ": tensor '", key, "' is ", type.to_string(),
                 "; expected ", rank, " dimensions, none of them zero");
  return type.shape;
}

Result<std::vector<uint8_t>> read_sentencepiece(const std::string& path, const char* name,
                                                const char* hint) {
  std::error_code failed;
  const std::string file = std::filesystem::is_directory(path, failed)
                               ? (std::filesystem::path(path) / name).string()
                               : path;
  if (!std::filesystem::exists(file, failed))
    return error(Code::kNotFound, file,
                 " is not there: the SentencePiece model that prompts are tokenized by; "
                 "tokenizer.json is not read in its place",
                 hint);
  ZT_ASSIGN_OR_RETURN(const std::string bytes, read_small_file(file));
  return std::vector<uint8_t>(bytes.begin(), bytes.end());
}

std::string missing_parts(std::initializer_list<std::pair<bool, std::string>> parts) {
  std::string text;
  for (const auto& [there, what] : parts)
    if (!there) text += str(text.empty() ? "it has no " : ", no ", what);
  return text;
}

Result<Config> read_config(const Checkpoint& checkpoint) {
  if (!checkpoint.config().empty())
    return Config::parse(
        (std::filesystem::path(checkpoint.path()).parent_path() / "config.json").string(),
        checkpoint.config());
  const auto it = checkpoint.metadata().find("config");
  return Config::parse(checkpoint.path() + " (its own config)",
                       it == checkpoint.metadata().end() ? "" : it->second);
}

}  // namespace zoetrope
