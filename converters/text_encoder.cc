#include "converters/text_encoder.h"

#include <charconv>
#include <optional>

#include "converters/families.h"

namespace zoetrope {
namespace {

constexpr std::string_view kTokenizer = "spiece_model";  // as ComfyUI's files have it

// Graph weights carry transformers' names. Wan's own.
const KeyRewrite kOriginalKeys[] = {
    {"shared.", "token_embedding."},
    {"encoder.final_layer_norm.", "norm."},
    {"encoder.block.", "blocks."},
    {".layer.0.layer_norm.", ".norm1."},
    {".layer.0.SelfAttention.relative_attention_bias.", ".pos_embedding.embedding."},
    {".layer.0.SelfAttention.", ".attn."},
    {".layer.1.layer_norm.", ".norm2."},
    {".layer.1.DenseReluDense.wi_0.", ".ffn.gate.0."},
    {".layer.1.DenseReluDense.wi_1.", ".ffn.fc1."},
    {".layer.1.DenseReluDense.wo.", ".ffn.fc2."},
};

// GGUF's.
const KeyRewrite kGgufKeys[] = {
    {"shared.", "token_embd."},
    {"encoder.final_layer_norm.", "enc.output_norm."},
    {"encoder.block.", "enc.blk."},
    {".layer.0.layer_norm.", ".attn_norm."},
    {".layer.0.SelfAttention.relative_attention_bias.", ".attn_rel_b."},
    {".layer.0.SelfAttention.", ".attn_"},
    {".layer.1.layer_norm.", ".ffn_norm."},
    {".layer.1.DenseReluDense.wi_0.", ".ffn_gate."},
    {".layer.1.DenseReluDense.wi_1.", ".ffn_up."},
    {".layer.1.DenseReluDense.wi.", ".ffn_up."},
    {".layer.1.DenseReluDense.wo.", ".ffn_down."},
};

struct Layout {
  enum class Kind { kTransformers, kOriginal, kGguf } kind = Kind::kTransformers;
  std::string prefix;

  std::string key(const std::string& name) const {
    switch (kind) {
      case Kind::kTransformers: return prefix + name;
      case Kind::kOriginal: return prefix + rewrite_key(name, kOriginalKeys);
      case Kind::kGguf: return prefix + rewrite_key(name, kGgufKeys);
    }
    return name;
  }
  std::string blocks() const {
    return prefix + (kind == Kind::kTransformers ? "encoder.block."
                     : kind == Kind::kOriginal   ? "blocks."
                                                 : "enc.blk.");
  }
};

Result<Layout> find_layout(const Checkpoint& checkpoint) {
  if (const auto prefix = find_prefix(checkpoint, "encoder.block.0.layer.0.SelfAttention.q.weight"))
    return Layout{Layout::Kind::kTransformers, *prefix};
  if (const auto prefix = find_prefix(checkpoint, "blocks.0.pos_embedding.embedding.weight"))
    return Layout{Layout::Kind::kOriginal, *prefix};
  if (const auto prefix = find_prefix(checkpoint, "enc.blk.0.attn_rel_b.weight"))
    return Layout{Layout::Kind::kGguf, *prefix};
  return error(
      Code::kInvalidArgument, checkpoint.path(),
      ": not a text encoder of the T5 family: neither "
      "encoder.block.0.layer.0.SelfAttention nor blocks.0.pos_embedding nor enc.blk.0.attn_rel_b "
      "is there");
}

// Sizes that shapes tell; distances and epsilon are not among them.
Result<T5Config> read_shapes(const Checkpoint& checkpoint, const Layout& layout) {
  const auto shape = [&](const std::string& name) {
    return weight_shape(checkpoint, layout.key(name), 2);
  };
  const auto has = [&](const std::string& name) { return checkpoint.type(layout.key(name)).ok(); };
  const std::string block = "encoder.block.0.", attention = "layer.0.SelfAttention.";
  T5Config c;
  ZT_ASSIGN_OR_RETURN(const Shape table, shape("shared.weight"));
  ZT_ASSIGN_OR_RETURN(const Shape q, shape(block + attention + "q.weight"));
  ZT_ASSIGN_OR_RETURN(const Shape bias,
                      shape(block + attention + "relative_attention_bias.weight"));
  c.vocabulary = table[0];
  c.width = table[1];
  c.buckets = bias[0];
  c.heads = bias[1];
  if (q[0] % c.heads != 0)
    return error(Code::kDataLoss, checkpoint.path(), ": ", c.heads, " heads cannot share ", q[0],
                 " channels");
  c.head_dim = q[0] / c.heads;
  c.layers = count_blocks(checkpoint, layout.blocks());
  c.bias_a_layer =
      c.layers == 1 || has("encoder.block.1." + attention + "relative_attention_bias.weight");
  const std::string ffn = block + "layer.1.DenseReluDense.";
  if (has(ffn + "wi.weight")) c.ffn_kind = T5Config::Ffn::kRelu;
  ZT_ASSIGN_OR_RETURN(const Shape up,
                      shape(ffn + (has(ffn + "wi.weight") ? "wi.weight" : "wi_0.weight")));
  c.ffn = up[0];
  return c;
}

Status read_configuration(Config* config, T5Config* c) {
  const std::string type = config->text("model_type", "umt5", {"umt5", "t5"});
  if (c->layers > 1 && (type == "umt5") != c->bias_a_layer)
    config->fail(Code::kDataLoss, str("'model_type' is '", type, "', but the weights have ",
                                      c->bias_a_layer ? "a position bias a layer" : "only one"));
  config->agree("vocab_size", c->vocabulary, "the weights' rows in the table are");
  config->agree("d_model", c->width, "the weights' channels are");
  config->agree("d_kv", c->head_dim, "the weights' channels a head are");
  config->agree("d_ff", c->ffn, "the weights' channels in the MLP are");
  config->agree("num_layers", c->layers, "the weights' blocks are");
  config->agree("num_heads", c->heads, "the weights' heads are");
  config->agree("relative_attention_num_buckets", c->buckets, "the weights' buckets are");
  c->max_distance = config->integer("relative_attention_max_distance", 128, 1, 1 << 16);
  c->epsilon = config->number("layer_norm_epsilon", 1e-6, 0, 1);
  const bool relu = c->ffn_kind == T5Config::Ffn::kRelu;
  const std::string ffn =
      config->text("feed_forward_proj", relu ? "relu" : "gated-gelu", {"relu", "gated-gelu"});
  if (ffn != (relu ? "relu" : "gated-gelu"))
    config->fail(Code::kDataLoss,
                 str("'feed_forward_proj' is '", ffn, "', which is not what the weights are for"));
  config->only("is_decoder", false, "only encoders are supported");
  config->ignore({"architectures",
                  "classifier_dropout",
                  "decoder_start_token_id",
                  "dense_act_fn",
                  "dropout_rate",
                  "dtype",
                  "torch_dtype",
                  "eos_token_id",
                  "initializer_factor",
                  "is_encoder_decoder",
                  "is_gated_act",
                  "n_positions",
                  "num_decoder_layers",
                  "output_past",
                  "pad_token_id",
                  "scalable_attention",
                  "scale_decoder_outputs",
                  "task_specific_params",
                  "tie_word_embeddings",
                  "tokenizer_class",
                  "transformers_version",
                  "use_cache"});
  return config->finish();
}

// What GGUF's header says of an encoder: it must be what the shapes say.
Status read_gguf_keys(const Checkpoint& checkpoint, T5Config* c) {
  const auto& keys = checkpoint.metadata();
  const auto architecture = keys.find("general.architecture");
  if (architecture == keys.end()) return Status();
  const std::string& name = architecture->second;
  if (name != "t5encoder" && name != "t5")
    return error(Code::kUnsupported, checkpoint.path(), ": GGUF's architecture is '", name,
                 "'; text encoders are 't5encoder' or 't5'");
  const auto number = [&](const char* key) -> std::optional<double> {
    const auto it = keys.find(name + "." + key);
    if (it == keys.end()) return std::nullopt;
    double value = 0;
    const char* end = it->second.data() + it->second.size();
    const auto [at, failed] = std::from_chars(it->second.data(), end, value);
    return failed == std::errc() && at == end ? std::optional(value) : std::nullopt;
  };
  for (const auto& [key, value] :
       {std::pair{"block_count", c->layers}, std::pair{"embedding_length", c->width},
        std::pair{"attention.head_count", c->heads}, std::pair{"feed_forward_length", c->ffn},
        std::pair{"attention.relative_buckets_count", c->buckets}})
    if (const auto said = number(key); said && *said != static_cast<double>(value))
      return error(Code::kDataLoss, checkpoint.path(), ": '", name, ".", key, "' is ", *said,
                   ", but the weights have ", value);
  c->epsilon = number("attention.layer_norm_rms_epsilon").value_or(c->epsilon);
  if (!(c->epsilon >= 0 && c->epsilon <= 1))
    return error(Code::kDataLoss, checkpoint.path(), ": an epsilon of ", c->epsilon);
  return Status();
}

}  // namespace

Result<TextEncoder> open_text_encoder(const std::string& path) {
  TextEncoder out;
  ZT_RETURN_IF_ERROR(open_weights(path, &out.part));
  const Checkpoint& checkpoint = out.part.checkpoint();
  ZT_ASSIGN_OR_RETURN(const Layout layout, find_layout(checkpoint));
  ZT_ASSIGN_OR_RETURN(out.config, read_shapes(checkpoint, layout));
  ZT_ASSIGN_OR_RETURN(Config config, read_config(checkpoint));
  // Beside Wan's own file stands the transformer's configuration.
  if (layout.kind == Layout::Kind::kTransformers && !config.empty())
    ZT_RETURN_IF_ERROR(read_configuration(&config, &out.config));
  if (layout.kind == Layout::Kind::kGguf)
    ZT_RETURN_IF_ERROR(read_gguf_keys(checkpoint, &out.config));
  auto graph = build_t5_encoder(out.config);
  if (!graph.ok()) return graph.status().with_context(checkpoint.path());
  out.part.graphs.push_back(std::move(*graph));
  ZT_ASSIGN_OR_RETURN(out.part.weights,
                      WeightMap::create(checkpoint, out.part.graphs,
                                        [&](const std::string& name) { return layout.key(name); }));
  for (const std::string& key : out.part.weights.unused()) {
    if (key == layout.prefix + "encoder.embed_tokens.weight") continue;  // the table again
    if (key == kTokenizer) {
      ZT_ASSIGN_OR_RETURN(const WeightData data, checkpoint.load(key));
      if (data.type.dtype != DType::kU8)
        return error(Code::kDataLoss, checkpoint.path(), ": tensor '", key, "' is ",
                     data.type.to_string(), "; expected bytes");
      const auto* bytes = static_cast<const uint8_t*>(data.data);
      out.tokenizer.assign(bytes, bytes + data.type.shape.elements());
      continue;
    }
    ZT_RETURN_IF_ERROR(check_unused(checkpoint, layout.prefix, key));
  }
  return out;
}

}  // namespace zoetrope
