#include "converters/vision_encoder.h"

#include <cmath>
#include <filesystem>

#include "converters/families.h"

namespace zoetrope {
namespace {

constexpr std::string_view kSelf = ".self_attn.qkv.";

// Graph weights carry transformers' names. Wan's own.
const KeyRewrite kOriginalKeys[] = {
    {"embeddings.class_embedding", "cls_embedding"},
    {"embeddings.position_embedding.weight", "pos_embedding"},
    {"embeddings.patch_embedding.", "patch_embedding."},
    {"pre_layrnorm.", "pre_norm."},
    {"encoder.layers.", "transformer."},
    {".layer_norm1.", ".norm1."},
    {".layer_norm2.", ".norm2."},
    {".self_attn.qkv.", ".attn.to_qkv."},
    {".self_attn.out_proj.", ".attn.proj."},
    {".mlp.fc1.", ".mlp.0."},
    {".mlp.fc2.", ".mlp.2."},
};

struct Layout {
  bool original = false;
  std::string prefix;

  // transformers has q, k and v apart.
  std::vector<std::string> keys(const std::string& name) const {
    if (original) return {prefix + rewrite_key(name, kOriginalKeys)};
    const size_t at = name.find(kSelf);
    if (at == std::string::npos) return {prefix + name};
    std::vector<std::string> keys;
    for (const char* part : {"q", "k", "v"})
      keys.push_back(prefix + name.substr(0, at) + ".self_attn." + part + "_proj." +
                     name.substr(at + kSelf.size()));
    return keys;
  }
};

Result<Layout> find_layout(const Checkpoint& checkpoint) {
  for (const char* tower : {"", "vision_model."})
    if (const auto prefix =
            find_prefix(checkpoint, str(tower, "embeddings.patch_embedding.weight")))
      return Layout{false, *prefix + tower};
  if (const auto prefix = find_prefix(checkpoint, "visual.patch_embedding.weight"))
    return Layout{true, *prefix + "visual."};
  return error(Code::kInvalidArgument, checkpoint.path(),
               ": not CLIP's picture tower: neither embeddings.patch_embedding nor "
               "visual.patch_embedding is there");
}

Result<ClipVisionConfig> read_shapes(const Checkpoint& checkpoint, const Layout& layout) {
  const auto type = [&](const std::string& name) {
    return checkpoint.type(layout.keys(name).front());
  };
  ClipVisionConfig c;
  ZT_ASSIGN_OR_RETURN(
      const Shape patch,
      weight_shape(checkpoint, layout.keys("embeddings.patch_embedding.weight").front(), 4));
  ZT_ASSIGN_OR_RETURN(const TensorType positions, type("embeddings.position_embedding.weight"));
  ZT_ASSIGN_OR_RETURN(const TensorType up, type("encoder.layers.0.mlp.fc1.bias"));
  c.width = patch[0];
  c.patch = patch[2];
  c.ffn = up.shape.elements();
  c.layers = count_blocks(checkpoint,
                          layout.prefix + (layout.original ? "transformer." : "encoder.layers."));
  const int64_t tokens = positions.shape.elements() / c.width - 1;
  int64_t side = 0;
  while ((side + 1) * (side + 1) <= tokens) ++side;
  c.image_size = side * c.patch;
  return c;
}

Status read_configuration(Config* config, ClipVisionConfig* c) {
  config->text("model_type", "clip_vision_model", {"clip_vision_model"});
  config->agree("hidden_size", c->width, "the weights' channels are");
  config->agree("intermediate_size", c->ffn, "the weights' channels in the MLP are");
  config->agree("num_hidden_layers", c->layers, "the weights' layers are");
  config->agree("image_size", c->image_size, "the weights' pixels a side are");
  config->agree("patch_size", c->patch, "the weights' pixels a patch are");
  config->agree("num_channels", 3, "the weights' colours are");
  c->heads = config->integer("num_attention_heads", 12, 1, 1 << 16);
  c->epsilon = config->number("layer_norm_eps", 1e-5, 0, 1);
  if (config->text("hidden_act", "quick_gelu", {"gelu", "quick_gelu"}) == "quick_gelu")
    c->activation = ClipVisionConfig::Activation::kQuickGelu;
  config->ignore({"architectures", "attention_dropout", "dropout", "dtype", "torch_dtype",
                  "initializer_factor", "initializer_range", "projection_dim",
                  "transformers_version"});
  return config->finish();
}

// {"height": N, "width": N}, {"shortest_edge": N} or N alone; `edge` says which of the first two.
int64_t read_size(Config* config, const char* key, int64_t otherwise, bool* edge) {
  std::optional<Config> size;
  if (config->is_object(key)) size = config->object(key);
  if (!size) return config->integer(key, otherwise, 1, 4096);
  *edge = size->has("shortest_edge");
  const int64_t side = size->integer(*edge ? "shortest_edge" : "height", otherwise, 1, 4096);
  if (!*edge && size->integer("width", side, 1, 4096) != side)
    size->fail(Code::kUnsupported, "a picture tower's pictures are squares");
  if (const Status status = size->finish(); !status.ok())
    config->fail(status.code(), std::string(status.message()));
  return side;
}

std::array<double, 3> read_colours(Config* config, const char* key,
                                   const std::array<double, 3>& otherwise) {
  const std::vector<double> read = config->numbers(key, 3);
  if (read.empty()) return otherwise;
  if (read.size() != 3) {
    config->fail(Code::kUnsupported, str("'", key, "' must have three numbers"));
    return otherwise;
  }
  return {read[0], read[1], read[2]};
}

// Defaults are those of transformers' CLIPImageProcessor.
Status read_processor(const std::string& folder, ClipVisionConfig* c, ImageFeatures* picture) {
  const std::string path = (std::filesystem::path(folder) / "preprocessor_config.json").string();
  ZT_ASSIGN_OR_RETURN(const std::string text, read_small_file(path, 1 << 20));
  ZT_ASSIGN_OR_RETURN(Config config, Config::parse(path, text));
  config.text("image_processor_type", "CLIPImageProcessor",
              {"CLIPImageProcessor", "CLIPImageProcessorFast", "CLIPImageProcessorPil"});
  config.text("feature_extractor_type", "CLIPFeatureExtractor", {"CLIPFeatureExtractor"});
  for (const char* step : {"do_resize", "do_rescale", "do_normalize"})
    config.only(step, true, "the picture tower's input is resized, and its colours normalised");
  bool edge = true, square = false;
  const int64_t size = read_size(&config, "size", c->image_size, &edge);
  const bool cuts = config.flag("do_center_crop", true);
  const int64_t crop = read_size(&config, "crop_size", c->image_size, &square);
  if (size != c->image_size || (cuts && crop != c->image_size) || (edge && !cuts))
    config.fail(Code::kUnsupported,
                str("pictures are resized to ", size, cuts ? str(" and cut to ", crop) : "",
                    "; the tower sees squares of ", c->image_size));
  picture->fit = edge ? ImageFeatures::Fit::kCover : ImageFeatures::Fit::kStretch;
  config.integer("resample", 3, 3, 3);  // PIL's number of bicubic
  if (std::fabs(config.number("rescale_factor", 1 / 255.0, 0, 1) - 1 / 255.0) > 1e-9)
    config.fail(Code::kUnsupported, "'rescale_factor' is not 1/255");
  c->mean = read_colours(&config, "image_mean", c->mean);
  c->deviation = read_colours(&config, "image_std", c->deviation);
  config.ignore({"do_convert_rgb"});  // frames are RGB
  return config.finish();
}

}  // namespace

Result<VisionEncoder> open_vision_encoder(const std::string& path, const std::string& processor) {
  VisionEncoder out;
  ZT_RETURN_IF_ERROR(open_weights(path, &out.part));
  const Checkpoint& checkpoint = out.part.checkpoint();
  ZT_ASSIGN_OR_RETURN(const Layout layout, find_layout(checkpoint));
  ZT_ASSIGN_OR_RETURN(out.config, read_shapes(checkpoint, layout));
  ZT_ASSIGN_OR_RETURN(Config config, read_config(checkpoint));
  const ClipVisionConfig known = clip_vit_h_14();
  // Beside Wan's own file may stand the transformer's configuration.
  if (!config.empty() && (!layout.original || config.has("hidden_size")))
    ZT_RETURN_IF_ERROR(read_configuration(&config, &out.config));
  else if (out.config.width != known.width || out.config.layers != known.layers)
    return error(Code::kNotFound, checkpoint.path(), ": ", out.config.layers, " layers of width ",
                 out.config.width,
                 " are not ViT-H/14, and no config.json beside them says how many heads they have");
  out.picture.size = static_cast<int>(out.config.image_size);
  if (layout.original) {  // stretched, by PyTorch's interpolate
    out.picture.fit = ImageFeatures::Fit::kStretch;
    out.picture.antialias = false;
  }
  if (!processor.empty()) ZT_RETURN_IF_ERROR(read_processor(processor, &out.config, &out.picture));
  auto graph = build_clip_vision(out.config);
  if (!graph.ok()) return graph.status().with_context(checkpoint.path());
  out.part.graphs.push_back(std::move(*graph));
  ZT_ASSIGN_OR_RETURN(out.part.weights, WeightMap::create_joined(checkpoint, out.part.graphs,
                                                                 [&](const std::string& name) {
                                                                   return layout.keys(name);
                                                                 }));
  // Layers and norms behind the features, and the other tower.
  const std::string last = str(layout.prefix, layout.original ? "transformer." : "encoder.layers.",
                               out.config.layers - 1, ".");
  for (const std::string& key : out.part.weights.unused()) {
    const bool behind = key.starts_with(last) || key.starts_with(layout.prefix + "post_") ||
                        key == layout.prefix + "head" || key.ends_with("position_ids");
    const bool other =
        !key.starts_with(layout.prefix) && (layout.original || key == "visual_projection.weight");
    if (!behind && !other) ZT_RETURN_IF_ERROR(check_unused(checkpoint, layout.prefix, key));
  }
  return out;
}

}  // namespace zoetrope
