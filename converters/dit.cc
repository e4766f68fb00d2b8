// DiT: the original checkpoints (.pt) and diffusers' folders, with their autoencoder.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "converters/autoencoder.h"
#include "converters/families.h"
#include "converters/scheduler.h"
#include "converters/store.h"
#include "models/dit/recipe.h"

namespace zoetrope {
namespace {

constexpr std::string_view kOriginalMark = "y_embedder.embedding_table.weight";
constexpr std::string_view kDiffusersMark =
    "transformer_blocks.0.norm1.emb.class_embedder.embedding_table.weight";

// Graph weights carry the original's names. diffusers':
const KeyRewrite kDiffusersKeys[] = {
    {"pos_embed", "pos_embed.pos_embed"},
    {"x_embedder.proj.", "pos_embed.proj."},
    {"t_embedder.", "transformer_blocks.0.t_embedder."},
    {"y_embedder.", "transformer_blocks.0.y_embedder."},
    {"final_layer.adaLN_modulation.1.", "proj_out_1."},
    {"final_layer.linear.", "proj_out_2."},
    {"blocks.", "transformer_blocks."},
    {".t_embedder.mlp.0.", ".norm1.emb.timestep_embedder.linear_1."},
    {".t_embedder.mlp.2.", ".norm1.emb.timestep_embedder.linear_2."},
    {".y_embedder.", ".norm1.emb.class_embedder."},
    {".adaLN_modulation.1.", ".norm1.linear."},
    {".attn.proj.", ".attn1.to_out.0."},
    {".norm2.", ".norm3."},
    {".mlp.fc1.", ".ff.net.0.proj."},
    {".mlp.fc2.", ".ff.net.2."},
};

struct Layout {
  bool diffusers = false;
  std::string prefix;

  // The checkpoint's keys of a graph weight; q, k and v are one weight of three keys in diffusers.
  std::vector<std::string> keys(const std::string& name) const {
    const std::string key = prefix + (diffusers ? rewrite_key(name, kDiffusersKeys) : name);
    const size_t at = key.find(".attn.qkv.");
    if (!diffusers || at == std::string::npos) return {key};
    const std::string head = key.substr(0, at) + ".attn1.to_",
                      tail = key.substr(at + std::strlen(".attn.qkv"));
    return {head + "q" + tail, head + "k" + tail, head + "v" + tail};
  }
  std::string key(const std::string& name) const { return keys(name).front(); }
};

Result<Layout> find_layout(const Checkpoint& checkpoint) {
  if (const auto prefix = find_prefix(checkpoint, kDiffusersMark)) return Layout{true, *prefix};
  if (const auto prefix = find_prefix(checkpoint, kOriginalMark)) return Layout{false, *prefix};
  return error(Code::kInvalidArgument, checkpoint.path(), ": not a DiT: neither '", kOriginalMark,
               "' nor '", kDiffusersMark, "' is there");
}

// Sizes that shapes tell; heads, positions and constants are not among them.
Result<DitConfig> read_shapes(const Checkpoint& checkpoint, const Layout& layout) {
  const auto shape = [&](const char* name, int rank) {
    return weight_shape(checkpoint, layout.key(name), rank);
  };
  ZT_ASSIGN_OR_RETURN(const Shape patch, shape("x_embedder.proj.weight", 4));
  ZT_ASSIGN_OR_RETURN(const Shape classes, shape("y_embedder.embedding_table.weight", 2));
  ZT_ASSIGN_OR_RETURN(const Shape time, shape("t_embedder.mlp.0.weight", 2));
  ZT_ASSIGN_OR_RETURN(const Shape hidden, shape("blocks.0.mlp.fc2.weight", 2));
  ZT_ASSIGN_OR_RETURN(const Shape last, shape("final_layer.linear.weight", 2));
  DitConfig c;
  c.width = patch[0];
  c.channels = patch[1];
  c.patch = patch[2];
  c.classes = classes[0] - 1;
  c.time_features = time[1];
  c.hidden = hidden[1];
  c.layers = count_blocks(checkpoint,
                          layout.prefix + (layout.diffusers ? "transformer_blocks." : "blocks."));
  const int64_t area = c.patch * c.patch;
  if (patch[2] != patch[3] || last[0] % area != 0)
    return error(Code::kDataLoss, checkpoint.path(), ": patches of ", patch[2], "×", patch[3],
                 " and ", last[0], " outputs a patch are not a DiT's");
  c.out_channels = last[0] / area;
  if (c.out_channels != c.channels && c.out_channels != 2 * c.channels)
    return error(Code::kUnsupported, checkpoint.path(), ": ", c.out_channels,
                 " output channels for ", c.channels,
                 " input channels; expected as many, or twice as many with variances");
  if (c.time_features != 256)
    return error(Code::kUnsupported, checkpoint.path(), ": ", c.time_features,
                 " time features; both references have 256");
  c.qkv_bias = checkpoint.type(layout.key("blocks.0.attn.qkv.bias")).ok();
  return c;
}

// The published ones. Any other needs a configuration.
Result<int64_t> original_heads(const Checkpoint& checkpoint, const DitConfig& c) {
  for (const char size : {'s', 'b', 'l', 'x'}) {
    const DitConfig known = dit_config(size, c.patch);
    if (known.width == c.width && known.layers == c.layers) return known.heads;
  }
  return error(
      Code::kUnsupported, checkpoint.path(), ": ", c.layers, " layers of width ", c.width,
      " are none of the published sizes, and the file does not say into how many heads they "
      "are split; put a config.json with \"num_heads\" beside it");
}

Status read_original_config(const Checkpoint& checkpoint, Config* config, DitConfig* c,
                            int64_t* input_size) {
  config->text("_class_name", "DiT", {"DiT"});
  const char* heads_key = config->has("num_attention_heads") ? "num_attention_heads" : "num_heads";
  if (config->has(heads_key)) {
    c->heads = config->integer(heads_key, 0, 1, 1 << 16);
  } else {
    ZT_ASSIGN_OR_RETURN(c->heads, original_heads(checkpoint, *c));
  }
  *input_size = config->integer("input_size", 0, 1, 1 << 16);
  config->agree("depth", c->layers, "the weights' blocks are");
  config->agree("hidden_size", c->width, "the weights' channels are");
  config->agree("patch_size", c->patch, "the weights' latents a patch's side are");
  config->agree("in_channels", c->channels, "the weights' input channels are");
  config->agree("num_classes", c->classes, "the weights' classes are");
  const double ratio = static_cast<double>(c->hidden) / static_cast<double>(c->width);
  if (static_cast<int64_t>(static_cast<double>(c->width) *
                           config->number("mlp_ratio", ratio, 0.01, 100)) != c->hidden)
    config->fail(Code::kDataLoss, "'mlp_ratio' differs from the weights' shapes");
  config->only("learn_sigma", c->out_channels != c->channels, "the weights say otherwise");
  if (config->number("class_dropout_prob", 0.1, 0, 1) == 0)
    config->fail(Code::kUnsupported,
                 "'class_dropout_prob' is 0: a table without a null class, and so no guidance");
  return Status();
}

// Defaults are those of diffusers' DiTTransformer2DModel, whose older files carry the name
// Transformer2DModel.
Status read_diffusers_config(Config* config, DitConfig* c, int64_t* input_size) {
  using Activation = DitConfig::Activation;
  if (config->empty())
    return error(
        Code::kNotFound, config->origin(),
        ": diffusers' weights without their config.json beside them, which states heads and "
        "sample_size; download it too");
  const std::string type = config->text("_class_name", "DiTTransformer2DModel",
                                        {"DiTTransformer2DModel", "Transformer2DModel"});
  config->text("norm_type", "ada_norm_zero", {"ada_norm_zero"});
  c->diffusers_time = true;
  c->heads = config->integer("num_attention_heads", 16, 1, 1 << 16);
  const int64_t head_dim = config->integer("attention_head_dim", 72, 1, 1 << 16);
  if (c->heads * head_dim != c->width)
    config->fail(Code::kDataLoss,
                 str("'num_attention_heads' ", c->heads, " times 'attention_head_dim' ", head_dim,
                     " is not the weights' width, ", c->width));
  c->mlp_norm_epsilon = config->number("norm_eps", 1e-5, 0, 1);
  c->mlp_norm_affine = config->flag("norm_elementwise_affine", false);
  const std::pair<std::string_view, Activation> activations[] = {
      {"gelu-approximate", Activation::kGeluTanh},
      {"gelu", Activation::kGelu},
      {"geglu-approximate", Activation::kGeluSigmoid},
      {"linear-silu", Activation::kSilu},
      {"geglu", Activation::kGeglu},
      {"swiglu", Activation::kSwiglu}};
  const std::string activation = config->text(
      "activation_fn", "gelu-approximate",
      {"gelu-approximate", "gelu", "geglu-approximate", "linear-silu", "geglu", "swiglu"});
  for (const auto& [name, kind] : activations)
    if (activation == name) c->activation = kind;
  if (config->flag("attention_bias", true) != c->qkv_bias)
    config->fail(Code::kDataLoss, str("'attention_bias' differs from the weights, which have ",
                                      c->qkv_bias ? "biases" : "no biases"));
  *input_size = config->integer("sample_size", 32, 1, 1 << 16);
  const int64_t layers = config->integer("num_layers", 28, 1, 1 << 16);
  if (layers != c->layers)
    config->fail(Code::kDataLoss,
                 str("'num_layers' is ", layers, ", but the weights have ", c->layers, " blocks"));
  if (config->integer("patch_size", 2, 1, 1 << 16) != c->patch)
    config->fail(Code::kDataLoss, "'patch_size' differs from the weights' shapes");
  if (config->integer("in_channels", 4, 1, 1 << 16) != c->channels)
    config->fail(Code::kDataLoss, "'in_channels' differs from the weights' shapes");
  if (config->integer("out_channels", c->channels, 1, 1 << 16) != c->out_channels)
    config->fail(Code::kDataLoss, "'out_channels' differs from the weights' shapes");
  if (config->integer("num_embeds_ada_norm", 1000, 1, 1 << 30) != c->classes)
    config->fail(Code::kDataLoss, str("'num_embeds_ada_norm' differs from the weights, which have ",
                                      c->classes, " classes"));
  // What Transformer2DModel had besides, and DiT never uses.
  config->only("only_cross_attention", false, "a DiT has no cross-attention");
  config->only("double_self_attention", false, "a DiT's block has one attention");
  config->only("use_linear_projection", false, "a DiT has no such projection");
  config->absent("cross_attention_dim", "a DiT has no cross-attention");
  config->absent("num_vector_embeds", "latents are continuous here");
  config->absent("caption_channels", "a DiT takes no captions");
  config->absent("interpolation_scale", "positions are not stretched beyond sample_size here");
  config->text("attention_type", "default", {"default"});
  config->ignore({"dropout", "norm_num_groups", "upcast_attention"});
  return Status();
}

// A stored table that differs from the formula's is weights; one that does not is computed, so
// that other sizes are possible.
Status read_positions(const Checkpoint& checkpoint, const Layout& layout, int64_t input_size,
                      DitConfig* c) {
  const std::string key = layout.key("pos_embed");
  c->base_grid = input_size / c->patch;
  if (!checkpoint.type(key).ok()) {
    if (c->base_grid > 0) return Status();
    return error(
        Code::kUnsupported, checkpoint.path(), ": neither a tensor '", key,
        "' nor a config.json with \"input_size\" says which size the network was trained on");
  }
  ZT_ASSIGN_OR_RETURN(const Shape shape, weight_shape(checkpoint, key, 3));
  const auto grid = static_cast<int64_t>(std::llround(std::sqrt(static_cast<double>(shape[1]))));
  if (shape[0] != 1 || grid * grid != shape[1] || shape[2] != c->width || c->width % 4 != 0)
    return error(Code::kDataLoss, checkpoint.path(), ": tensor '", key, "' is ", shape.to_string(),
                 "; expected [1, a square number, ", c->width, "]");
  if (input_size > 0 && c->base_grid != grid)
    return error(Code::kDataLoss, checkpoint.path(), ": tensor '", key, "' has ", grid, "×", grid,
                 " positions, but the configuration's size asks for ", c->base_grid, "×",
                 c->base_grid);
  c->base_grid = grid;
  ZT_ASSIGN_OR_RETURN(const WeightData data, checkpoint.load(key));
  if (!is_float(data.type.dtype))
    return error(Code::kUnsupported, checkpoint.path(), ": tensor '", key, "' is ",
                 data.type.to_string(), "; expected floats");
  // Half a unit in the last place of values up to one.
  const double tolerance = data.type.dtype == DType::kBF16  ? 0x1p-8
                           : data.type.dtype == DType::kF16 ? 0x1p-11
                                                            : 1e-5;
  const std::vector<float> table = dit_position_table(grid, c->width);
  for (size_t i = 0; i < table.size(); ++i) {
    const double value = load_element(data.type.dtype, data.data, static_cast<int64_t>(i));
    if (!std::isfinite(value))
      return error(Code::kDataLoss, checkpoint.path(), ": tensor '", key, "' holds ", value,
                   "; the checkpoint is damaged");
    c->stored_positions |= std::fabs(value - table[i]) > tolerance;
  }
  return Status();
}

// diffusers keeps the timestep and class embedders once a block.
Result<bool> embedders_differ(const Checkpoint& checkpoint, const Layout& layout,
                              const DitConfig& c) {
  for (const char* name :
       {"t_embedder.mlp.0.weight", "t_embedder.mlp.0.bias", "t_embedder.mlp.2.weight",
        "t_embedder.mlp.2.bias", "y_embedder.embedding_table.weight"}) {
    ZT_ASSIGN_OR_RETURN(const WeightData first, checkpoint.load(layout.key(name)));
    for (int64_t i = 1; i < c.layers; ++i) {
      ZT_ASSIGN_OR_RETURN(const WeightData other,
                          checkpoint.load(layout.key(str("blocks.", i, ".", name))));
      if (!(first.type == other.type) ||
          std::memcmp(first.data, other.data, static_cast<size_t>(first.type.bytes())) != 0)
        return true;
    }
  }
  return false;
}

struct Dit {
  Layout layout;
  DitConfig config;
};

Result<Dit> read_dit(const Checkpoint& checkpoint) {
  Dit dit;
  ZT_ASSIGN_OR_RETURN(dit.layout, find_layout(checkpoint));
  ZT_ASSIGN_OR_RETURN(dit.config, read_shapes(checkpoint, dit.layout));
  ZT_ASSIGN_OR_RETURN(Config config, read_config(checkpoint));
  int64_t input_size = 0;
  if (dit.layout.diffusers) {
    ZT_RETURN_IF_ERROR(read_diffusers_config(&config, &dit.config, &input_size));
    ZT_ASSIGN_OR_RETURN(dit.config.embedders_per_block,
                        embedders_differ(checkpoint, dit.layout, dit.config));
  } else {
    ZT_RETURN_IF_ERROR(read_original_config(checkpoint, &config, &dit.config, &input_size));
  }
  ZT_RETURN_IF_ERROR(config.finish());
  ZT_RETURN_IF_ERROR(read_positions(checkpoint, dit.layout, input_size, &dit.config));
  return dit;
}

// Copies of the embedders, and positions that are computed, are read by no rule.
bool is_redundant(const Dit& dit, const std::string& key) {
  if (key == dit.layout.key("pos_embed")) return true;
  return dit.layout.diffusers && !dit.config.embedders_per_block &&
         key.starts_with(dit.layout.prefix + "transformer_blocks.") &&
         key.find(".norm1.emb.") != std::string::npos;
}

// What makes pictures with the network: its folder's scheduler and labels, or what the original
// project does.
Result<DitPictures> read_pictures(const ConvertSource& source, const Dit& dit,
                                  const Autoencoder* autoencoder) {
  const DitConfig& c = dit.config;
  DitPictures pictures = dit.layout.diffusers ? diffusers_dit_pictures() : original_dit_pictures(c);
  pictures.autoencoder = autoencoder != nullptr;
  if (autoencoder != nullptr) {
    pictures.pixels = autoencoder->config.factor();
    pictures.scale = autoencoder->scale;
    pictures.shift = autoencoder->shift;
  }
  if (source.pipeline == nullptr) return pictures;
  ZT_ASSIGN_OR_RETURN(Config index, Config::parse(source.pipeline->path + "/model_index.json",
                                                  source.pipeline->index));
  index.text("_class_name", "", {"DiTPipeline"});
  for (const char* part : {"transformer", "vae", "scheduler"}) index.component(part);
  pictures.labels = index.numbered_texts("id2label", c.classes);
  ZT_RETURN_IF_ERROR(index.finish());
  const auto scheduler = source.pipeline->components.find("scheduler");
  if (scheduler == source.pipeline->components.end())
    return error(Code::kUnsupported, index.origin(),
                 ": no scheduler, so nothing says how the network is sampled");
  ZT_ASSIGN_OR_RETURN(pictures.sampler, read_scheduler(scheduler->second.path));
  pictures.steps = std::min(pictures.steps, pictures.sampler.train_steps);
  const bool learned = c.out_channels == 2 * c.channels;
  if (pictures.sampler.solver == "ddpm" && pictures.sampler.learned_variance() && !learned)
    return error(Code::kUnsupported, scheduler->second.path, ": 'variance_type' is ",
                 pictures.sampler.variance, ", but the network has no outputs for variances");
  return pictures;
}

// The autoencoder that is asked for, else the folder's own; null: there is none.
Result<std::unique_ptr<Autoencoder>> find_autoencoder(const ConvertSource& source,
                                                      const ConvertOptions& options,
                                                      const DitConfig& config) {
  std::string path = options.vae;
  if (path.empty() && source.pipeline != nullptr)
    if (const auto it = source.pipeline->components.find("vae");
        it != source.pipeline->components.end())
      path = it->second.path;
  if (path.empty()) return std::unique_ptr<Autoencoder>();
  ZT_ASSIGN_OR_RETURN(Autoencoder found, open_autoencoder(path));
  if (found.config.latent_channels != config.channels)
    return error(Code::kDataLoss, path, ": the autoencoder has ", found.config.latent_channels,
                 " latent channels, the network ", config.channels, "; they belong to two models");
  return std::make_unique<Autoencoder>(std::move(found));
}

Status convert_dit(const ConvertSource& source, const ConvertOptions& options,
                   const WriteProgress& progress) {
  ZT_ASSIGN_OR_RETURN(const Dit dit, read_dit(source.checkpoint));
  ModelInfo info;
  info.name = options.name.empty() ? "dit" : options.name;
  info.family = "dit";
  auto graph = build_dit(dit.config);
  if (!graph.ok()) return graph.status().with_context(source.checkpoint.path());
  std::vector<ModelPart> parts{{.scope = "dit", .components = {std::move(*graph)}}};
  ZT_ASSIGN_OR_RETURN(
      const WeightMap weights,
      WeightMap::create_joined(source.checkpoint, parts[0].components,
                               [&](const std::string& name) { return dit.layout.keys(name); }));
  for (const std::string& key : weights.unused())
    if (!is_redundant(dit, key))
      ZT_RETURN_IF_ERROR(check_unused(source.checkpoint, dit.layout.prefix, key));
  ZT_ASSIGN_OR_RETURN(const auto autoencoder, find_autoencoder(source, options, dit.config));
  parts[0].weights = &weights;
  if (autoencoder != nullptr)
    parts.push_back(
        {.scope = "vae", .components = autoencoder->graphs, .weights = &autoencoder->weights});
  ZT_ASSIGN_OR_RETURN(const DitPictures pictures, read_pictures(source, dit, autoencoder.get()));
  info.recipe = recipe_to_json(dit_recipe(dit.config, pictures));
  info.provenance = "converted from a DiT checkpoint";
  info.licence = "CC-BY-NC-4.0, or as the checkpoint's source says";
  return store_model(std::move(info), std::move(parts), options, progress);
}

}  // namespace

const Family& dit_family() {
  static const Family family{
      "dit", {kOriginalMark, kDiffusersMark}, convert_dit, [](const std::string& weight) {
        return std::vector{Layout{false, ""}.keys(weight), Layout{true, ""}.keys(weight)};
      }};
  return family;
}

}  // namespace zoetrope
