#include "converters/gemma.h"

#include <filesystem>
#include <optional>

#include "converters/bpe_files.h"
#include "converters/families.h"
#include "converters/scaled.h"

namespace zoetrope {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view kTable = "embed_tokens.weight";
constexpr std::string_view kTokenizer = "spiece_model";  // as ComfyUI's files have it
constexpr int64_t kMost = 1 << 24;

// Scaling and base of rotary positions: {"rope_type": "linear", "factor": 8, "rope_theta": 1e6}. Of
// "proportional" ones a part turns, where there is one.
Status read_rope(Config* outer, const char* key, double* theta, double* divisor,
                 double* turned = nullptr) {
  auto rope = outer->object(key);
  if (!rope) return Status();
  *theta = rope->number("rope_theta", *theta, 1, 1e12);
  // Older files call it "type".
  std::string type = rope->text("type", "", {"default", "linear"});
  if (turned != nullptr) {
    type = rope->text("rope_type", "default", {"default", "proportional"});
    *turned = type == "proportional" ? rope->number("partial_rotary_factor", 1, 1e-6, 1) : 1;
  } else {
    type = rope->text("rope_type", type.empty() ? "default" : type, {"default", "linear"});
  }
  *divisor = rope->number("factor", 1, 1e-3, 1e6);
  if (type == "default") *divisor = 1;
  return rope->finish();
}

// {"5": {"head_dim": 512, "num_key_value_heads": 1}, ...}: of the layers that do not slide, all
// alike.
Status read_full_layers(Config* outer, GemmaConfig* g) {
  auto layers = outer->object("per_layer_config");
  if (!layers) return Status();
  bool first = true;
  for (int64_t i = 0; i < g->layers; ++i) {
    const std::string number = std::to_string(i);
    if (g->slides(i) || !layers->has(number.c_str())) continue;
    auto layer = layers->object(number.c_str());
    if (!layer) break;
    const int64_t dim = layer->integer("head_dim", g->head_dim, 2, 1 << 16),
                  keys = layer->integer("num_key_value_heads", g->key_heads, 1, 1 << 12);
    if (!first && (dim != g->full_head_dim || keys != g->full_key_heads))
      layer->fail(Code::kUnsupported, "full layers that differ from each other");
    g->full_head_dim = dim;
    g->full_key_heads = keys;
    first = false;
    ZT_RETURN_IF_ERROR(layer->finish());
  }
  return layers->finish();
}

// Defaults are those of transformers' Gemma4UnifiedTextConfig, which read_text() has not read.
Status read_fourth(Config* c, GemmaConfig* g) {
  g->fourth = true;
  g->position_divisor = g->sliding_position_divisor = 1;
  g->full_head_dim = c->integer("global_head_dim", 512, 2, 1 << 16);
  g->values_are_keys = c->flag("attention_k_eq_v", false);
  const int64_t keys = c->integer("num_global_key_value_heads", g->key_heads, 1, 1 << 12);
  g->full_key_heads = g->values_are_keys ? keys : g->key_heads;
  if (c->integer("num_kv_shared_layers", 0, 0, 1 << 12) != 0)
    c->fail(Code::kUnsupported,
            "'num_kv_shared_layers': layers with keys of their own are expected");
  c->only("use_double_wide_mlp", false, "of layers without keys of their own");
  c->text("use_bidirectional_attention", "vision", {"vision"});  // tokens of text look back only
  g->partial_rotary_factor = 0.25;
  if (auto both = c->object("rope_parameters")) {
    double turned = 1;
    ZT_RETURN_IF_ERROR(read_rope(&*both, "full_attention", &g->theta, &g->position_divisor,
                                 &g->partial_rotary_factor));
    ZT_RETURN_IF_ERROR(read_rope(&*both, "sliding_attention", &g->sliding_theta,
                                 &g->sliding_position_divisor, &turned));
    if (turned != 1)
      both->fail(Code::kUnsupported, "'sliding_attention': all of a head is expected to turn");
    ZT_RETURN_IF_ERROR(both->finish());
  }
  ZT_RETURN_IF_ERROR(read_full_layers(c, g));
  return c->finish();
}

// Defaults are those of transformers' Gemma3TextConfig.
Status read_text(Config* c, GemmaConfig* g) {
  const std::string kind =
      c->text("model_type", "gemma3_text", {"gemma3_text", "gemma4_unified_text"});
  const bool fourth = kind == "gemma4_unified_text";
  g->vocabulary = c->integer("vocab_size", 262208, 1, kMost);
  g->width = c->integer("hidden_size", 2304, 1, kMost);
  g->ffn = c->integer("intermediate_size", 9216, 1, kMost);
  g->layers = c->integer("num_hidden_layers", 26, 1, 1 << 12);
  g->heads = c->integer("num_attention_heads", 8, 1, 1 << 12);
  g->key_heads = c->integer("num_key_value_heads", 4, 1, 1 << 12);
  g->head_dim = c->integer("head_dim", 256, 2, 1 << 16);
  if (!fourth) g->score_scale = c->number("query_pre_attn_scalar", 256, 1e-3, 1e9);
  g->window = c->integer("sliding_window", fourth ? 1024 : 4096, 1, kMost);
  g->epsilon = c->number("rms_norm_eps", 1e-6, 0, 1);
  c->text("hidden_activation", "gelu_pytorch_tanh", {"gelu_pytorch_tanh"});
  c->only("attention_bias", false, "projections without biases are expected");
  if (!fourth) c->only("use_bidirectional_attention", false, "tokens look back only");
  c->absent("attn_logit_softcapping", "scores without a cap are expected");
  const int64_t pattern = c->integer("sliding_window_pattern", 6, 1, 1 << 12);
  g->sliding.clear();
  for (int64_t i = 0; i < g->layers; ++i) g->sliding.push_back((i + 1) % pattern != 0);
  if (const auto kinds = c->texts("layer_types", 4096); !kinds.empty()) {
    g->sliding.clear();
    for (const std::string& kind : kinds) {
      if (kind != "sliding_attention" && kind != "full_attention")
        c->fail(Code::kUnsupported, str("'layer_types': '", kind.substr(0, 40), "' is not known"));
      g->sliding.push_back(kind == "sliding_attention");
    }
    if (std::ssize(kinds) != g->layers) {
      c->fail(Code::kInvalidArgument, str("'layer_types': kinds of ", kinds.size(),
                                          " layers; 'num_hidden_layers' is ", g->layers));
      return c->finish();
    }
  }
  g->theta = c->number("rope_theta", 1e6, 1, 1e12);
  g->sliding_theta = c->number("rope_local_base_freq", 1e4, 1, 1e12);
  // Of words, of training, of caches.
  c->ignore({"architectures", "attention_dropout", "bos_token_id", "cache_implementation", "dtype",
             "eos_token_id", "final_logit_softcapping", "initializer_range",
             "max_position_embeddings", "pad_token_id", "tie_word_embeddings", "torch_dtype",
             "transformers_version", "use_cache"});
  if (fourth) return read_fourth(c, g);
  g->position_divisor = g->sliding_position_divisor = 1;
  ZT_RETURN_IF_ERROR(read_rope(c, "rope_scaling", &g->theta, &g->position_divisor));
  if (auto both = c->object("rope_parameters")) {
    ZT_RETURN_IF_ERROR(read_rope(&*both, "full_attention", &g->theta, &g->position_divisor));
    ZT_RETURN_IF_ERROR(
        read_rope(&*both, "sliding_attention", &g->sliding_theta, &g->sliding_position_divisor));
    ZT_RETURN_IF_ERROR(both->finish());
  }
  return c->finish();
}

Status read_configuration(Config* c, GemmaConfig* g) {
  if (!c->has("text_config")) return read_text(c, g);
  c->text("model_type", "gemma3", {"gemma3", "gemma4_unified"});
  auto text = c->object("text_config");
  if (text) ZT_RETURN_IF_ERROR(read_text(&*text, g));
  // Of pictures, of sound and of words.
  c->ignore({"audio_config",         "audio_token_id",
             "boa_token_id",         "boi_token_id",
             "eoa_token_id",         "eoa_token_index",
             "eoi_token_id",         "image_token_id",
             "video_token_id",       "vision_soft_tokens_per_image",
             "architectures",        "boi_token_index",
             "bos_token_id",         "dtype",
             "eoi_token_index",      "eos_token_id",
             "image_token_index",    "initializer_range",
             "mm_tokens_per_image",  "pad_token_id",
             "tie_word_embeddings",  "torch_dtype",
             "transformers_version", "vision_config"});
  return c->finish();
}

// Without a configuration, only the 12B's numbers are known.
Status expect_12b(const Checkpoint& checkpoint, const std::string& prefix, GemmaConfig* g) {
  *g = gemma3_12b();
  const auto shape = [&](const std::string& name) {
    return weight_shape(checkpoint, prefix + name, 2);
  };
  ZT_ASSIGN_OR_RETURN(const Shape table, shape("embed_tokens.weight"));
  ZT_ASSIGN_OR_RETURN(const Shape q, shape("layers.0.self_attn.q_proj.weight"));
  const int64_t layers = count_blocks(checkpoint, prefix + "layers.");
  if (table[1] == g->width && q[0] == g->heads * g->head_dim && layers == g->layers) {
    g->vocabulary = table[0];
    return Status();
  }
  return error(Code::kUnsupported, checkpoint.path(), ": ", layers, " layers of width ", table[1],
               " are not Gemma 3's 12B, and nothing says how heads, windows and positions are; "
               "put its config.json beside it");
}

Status read_file(const Checkpoint& checkpoint, Config* config, GemmaFile* out) {
  const auto prefix = find_prefix(checkpoint, kTable);
  if (!prefix)
    return error(Code::kNotFound, checkpoint.path(), ": no text network of Gemma's (", kTable, ")");
  out->checkpoint = &checkpoint;
  out->prefix = *prefix;
  if (!checkpoint.type(*prefix + "layers.0.self_attn.q_norm.weight").ok())
    return error(Code::kUnsupported, checkpoint.path(),
                 ": queries without a norm; Gemma 3 has one in each layer");
  if (config != nullptr && !config->empty())
    ZT_RETURN_IF_ERROR(read_configuration(config, &out->config));
  else
    ZT_RETURN_IF_ERROR(expect_12b(checkpoint, *prefix, &out->config));
  if (const auto bytes = checkpoint.load(kTokenizer); bytes.ok()) {
    if (bytes->type.dtype != DType::kU8)
      return error(Code::kDataLoss, checkpoint.path(), ": tensor '", kTokenizer, "' is ",
                   bytes->type.to_string(), "; expected bytes");
    const auto* begin = static_cast<const uint8_t*>(bytes->data);
    out->tokenizer.assign(begin, begin + bytes->type.shape.elements());
  }
  return check_gemma(out->config).with_context(checkpoint.path());
}

}  // namespace

Result<GemmaFile> open_gemma(const std::string& path) {
  GemmaFile out;
  ZT_ASSIGN_OR_RETURN(out.stored, open_checkpoint(path));
  ZT_ASSIGN_OR_RETURN(out.scaled, apply_scales(*out.stored));
  const Checkpoint& checkpoint = out.scaled ? *out.scaled : *out.stored;
  ZT_ASSIGN_OR_RETURN(Config config, read_config(checkpoint));
  ZT_RETURN_IF_ERROR(read_file(checkpoint, &config, &out));
  return out;
}

Result<GemmaFile> find_gemma(const Checkpoint& checkpoint) {
  GemmaFile out;
  ZT_RETURN_IF_ERROR(read_file(checkpoint, nullptr, &out));
  return out;
}

namespace {

// Ids that the recipes name.
constexpr std::pair<const char*, int> kNamed[] = {{"<pad>", 0}, {"<bos>", 2}};
constexpr const char *kModel = "tokenizer.model", *kPieces = "tokenizer.json";

Result<std::vector<uint8_t>> read_pieces(const std::string& file) {
  ZT_ASSIGN_OR_RETURN(LibraryTokenizer found, read_library_tokenizer(file, "Gemma", ""));
  const auto expect = [&](bool fits, const std::string& what) {
    return fits ? Status() : error(Code::kUnsupported, file, ": not Gemma's tokenizer: ", what);
  };
  ZT_RETURN_IF_ERROR(expect(found.at("/normalizer/type") == "Replace" &&
                                found.at("/normalizer/pattern/String") == " " &&
                                found.at("/normalizer/content") == "\u2581",
                            "its spaces become another letter than U+2581"));
  // Of spaces, which are letters by then.
  const auto cut = found.at("/pre_tokenizer");
  ZT_RETURN_IF_ERROR(expect(cut.is_null() || (found.at("/pre_tokenizer/type") == "Split" &&
                                              found.at("/pre_tokenizer/pattern/String") == " "),
                            "text is cut before pieces are joined"));
  ZT_RETURN_IF_ERROR(expect(found.at("/model/byte_fallback") == true &&
                                found.at("/model/dropout").is_null() &&
                                found.at("/model/ignore_merges") != true &&
                                found.at("/model/continuing_subword_prefix").is_null(),
                            "it joins pieces another way"));
  ZT_ASSIGN_OR_RETURN(found.data["added"], added_pieces(found, file, "Gemma"));
  for (const auto& [text, id] : kNamed)
    ZT_RETURN_IF_ERROR(
        expect(found.data["added"].value(text, -1) == id, str("'", text, "' has not the id ", id)));
  return json_bytes(found.data);
}

}  // namespace

bool has_gemma_tokenizer(const std::string& folder) {
  std::error_code failed;
  return fs::exists(fs::path(folder) / kModel, failed) ||
         fs::exists(fs::path(folder) / kPieces, failed);
}

Result<GemmaTokenizer> read_gemma_tokenizer(const std::string& path) {
  std::error_code failed;
  std::string file = path;
  if (fs::is_directory(path, failed)) {
    if (!has_gemma_tokenizer(path))
      return error(Code::kNotFound, path, ": neither ", kModel, " (Gemma 3) nor ", kPieces,
                   " (Gemma 4), by which prompts are tokenized; Gemma's own folder has it: give it "
                   "with --tokenizer");
    const bool model = fs::exists(fs::path(path) / kModel, failed);
    file = (fs::path(path) / (model ? kModel : kPieces)).string();
  }
  GemmaTokenizer out{file.ends_with(".json") ? "piece_bpe" : "sentencepiece", {}};
  ZT_ASSIGN_OR_RETURN(out.data,
                      file.ends_with(".json") ? read_pieces(file) : read_sentencepiece(file, ""));
  return out;
}

bool is_beside_gemma_text(const std::string& key) {
  for (const std::string_view part :
       {"vision_tower.", "vision_model.", "multi_modal_projector.", "lm_head."})
    if (const size_t at = key.find(part);
        at == 0 || (at != std::string::npos && key[at - 1] == '.'))
      return true;
  return key == kTokenizer;
}

}  // namespace zoetrope
