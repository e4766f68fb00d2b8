// Wan 2.1 and 2.2: diffusers' folders, the original ones, and single files.
#include "models/wan/wan.h"

#include <algorithm>
#include <filesystem>
#include <optional>

#include "converters/families.h"
#include "converters/scheduler.h"
#include "converters/store.h"
#include "converters/text_encoder.h"
#include "converters/vision_encoder.h"
#include "converters/wan_keys.h"
#include "converters/wan_vae.h"
#include "converters/weight_map.h"
#include "graph/format/recipe.h"
#include "models/wan/recipe.h"

namespace zoetrope {
namespace {

// In which the transformer is told its time.
constexpr int kTrainSteps = 1000;

// Sizes that shapes tell; heads and constants are not among them.
Result<WanConfig> read_shapes(const Checkpoint& checkpoint, const WanLayout& layout) {
  const auto shape = [&](const char* name, int rank) {
    return weight_shape(checkpoint, layout.key(name), rank);
  };
  const auto has = [&](const char* name) { return checkpoint.type(layout.key(name)).ok(); };
  ZT_ASSIGN_OR_RETURN(const Shape patch, shape("patch_embedding.weight", 5));
  ZT_ASSIGN_OR_RETURN(const Shape text, shape("text_embedding.0.weight", 2));
  ZT_ASSIGN_OR_RETURN(const Shape time, shape("time_embedding.0.weight", 2));
  ZT_ASSIGN_OR_RETURN(const Shape ffn, shape("blocks.0.ffn.0.weight", 2));
  ZT_ASSIGN_OR_RETURN(const Shape last, shape("head.head.weight", 2));
  if (patch[2] != 1 || patch[3] != 2 || patch[4] != 2)
    return error(Code::kUnsupported, checkpoint.path(), ": patches of ", patch.to_string(),
                 "; known: 1x2x2");
  if (has("vace_patch_embedding.weight"))
    return error(Code::kUnsupported, checkpoint.path(),
                 ": a VACE checkpoint; text-, image- and frames-to-video are supported");
  WanConfig c;
  c.layers = count_blocks(checkpoint, layout.prefix + "blocks.");
  c.width = patch[0];
  c.channels = last[0] / 4;
  if (patch[1] > 2 * c.channels) {  // known latents, and a mask of a channel a frame
    c.conditioning = WanConfig::Conditioning::kChannels;
    c.mask_channels = patch[1] - 2 * c.channels;
  } else if (patch[1] != c.channels) {
    return error(Code::kUnsupported, checkpoint.path(), ": ", patch[1], " input and ", c.channels,
                 " output channels; known are as many, or more than ", 2 * c.channels,
                 ": known latents and a mask beside them");
  }
  // Without a pipeline's word: the only published one with that many channels has a time a frame.
  if (c.channels == 48 && patch[1] == c.channels) c.conditioning = WanConfig::Conditioning::kFrames;
  if (has("img_emb.proj.1.weight")) {
    ZT_ASSIGN_OR_RETURN(const Shape image, shape("img_emb.proj.1.weight", 2));
    c.image_width = image[1];
  }
  if (has("img_emb.emb_pos")) {
    ZT_ASSIGN_OR_RETURN(const Shape positions, shape("img_emb.emb_pos", 3));
    c.image_positions = positions[1];
  }
  c.ffn = ffn[0];
  c.text_width = text[1];
  c.time_features = time[1];
  c.cross_attention_norm = has("blocks.0.norm3.weight");
  c.qk_norm = has("blocks.0.self_attn.norm_q.weight");
  return c;
}

// The published ones. Any other needs a configuration.
Result<int64_t> published_heads(const Checkpoint& checkpoint, const WanConfig& c) {
  constexpr int64_t kSizes[][3] = {{30, 1536, 12}, {40, 5120, 40}, {30, 3072, 24}};
  for (const auto& [layers, width, heads] : kSizes)
    if (layers == c.layers && width == c.width) return heads;
  return error(
      Code::kUnsupported, checkpoint.path(), ": ", c.layers, " layers of width ", c.width,
      " are none of the published sizes, and the file does not say into how many heads they "
      "are split; put a config.json with \"num_heads\" beside it");
}

void check_norms(Config* config, bool cross, bool qk, const WanConfig& c) {
  if (cross != c.cross_attention_norm)
    config->fail(Code::kDataLoss, str("'cross_attn_norm' differs from the weights, which have ",
                                      c.cross_attention_norm ? "such norms" : "none"));
  if (qk != c.qk_norm)
    config->fail(Code::kDataLoss, str("'qk_norm' differs from the weights, which have ",
                                      c.qk_norm ? "such norms" : "none"));
}

void check_patch(Config* config) {
  if (config->integers("patch_size", {1, 2, 2}, 1, 64) != std::vector<int64_t>{1, 2, 2})
    config->fail(Code::kDataLoss, "'patch_size' differs from the weights, which have 1x2x2");
}

Status read_original_config(const Checkpoint& checkpoint, Config* config, WanConfig* c,
                            int64_t* text_length) {
  config->text("_class_name", "WanModel", {"WanModel"});
  const std::string type = config->text("model_type", "", {"t2v", "i2v", "flf2v", "ti2v"});
  const char* const found = c->conditioning == WanConfig::Conditioning::kFrames     ? "ti2v"
                            : c->image_positions > 0                                ? "flf2v"
                            : c->conditioning == WanConfig::Conditioning::kChannels ? "i2v"
                                                                                    : "t2v";
  if (!type.empty() && type != found)
    config->fail(Code::kDataLoss,
                 str("'model_type' is '", type, "', but the weights are those of '", found, "'"));
  if (config->has("num_heads")) {
    c->heads = config->integer("num_heads", 0, 1, 1 << 16);
  } else {
    ZT_ASSIGN_OR_RETURN(c->heads, published_heads(checkpoint, *c));
  }
  c->epsilon = config->number("eps", 1e-6, 0, 1);
  check_norms(config, config->flag("cross_attn_norm", c->cross_attention_norm),
              config->flag("qk_norm", c->qk_norm), *c);
  check_patch(config);
  if (config->integers("window_size", {-1, -1}, -1, 1 << 20) != std::vector<int64_t>{-1, -1})
    config->fail(Code::kUnsupported, "'window_size': attention within windows is not supported");
  config->agree("dim", c->width, "the weights' channels are");
  config->agree("ffn_dim", c->ffn, "the weights' channels in the MLP are");
  config->agree("freq_dim", c->time_features, "the weights' time features are");
  config->agree("text_dim", c->text_width, "the weights' text channels are");
  config->agree("in_dim", c->input_channels(), "the weights' input channels are");
  config->agree("out_dim", c->channels, "the weights' output channels are");
  config->agree("num_layers", c->layers, "the weights' blocks are");
  *text_length = config->integer("text_len", 512, 1, 1 << 16);
  return Status();
}

// Defaults are those of diffusers' WanTransformer3DModel.
Status read_diffusers_config(Config* config, WanConfig* c, int64_t* positions) {
  if (config->empty())
    return error(Code::kNotFound, config->origin(),
                 ": diffusers' weights without their config.json beside them, which states heads; "
                 "download it too");
  config->text("_class_name", "WanTransformer3DModel", {"WanTransformer3DModel"});
  c->heads = config->integer("num_attention_heads", 40, 1, 1 << 16);
  const int64_t head_dim = config->integer("attention_head_dim", 128, 1, 1 << 16);
  if (c->heads * head_dim != c->width)
    config->fail(Code::kDataLoss,
                 str("'num_attention_heads' ", c->heads, " times 'attention_head_dim' ", head_dim,
                     " is not the weights' width, ", c->width));
  c->epsilon = config->number("eps", 1e-6, 0, 1);
  check_norms(
      config, config->flag("cross_attn_norm", true),
      !config->text("qk_norm", c->qk_norm ? "rms_norm_across_heads" : "", {"rms_norm_across_heads"})
           .empty(),
      *c);
  check_patch(config);
  config->agree("in_channels", c->input_channels(), "the weights have", 16);
  config->agree("out_channels", c->channels, "the weights have", c->input_channels());
  config->agree("text_dim", c->text_width, "the weights have", 4096);
  config->agree("freq_dim", c->time_features, "the weights have", 256);
  config->agree("ffn_dim", c->ffn, "the weights have", 13824);
  config->agree("num_layers", c->layers, "the weights have", 40);
  *positions = config->integer("rope_max_seq_len", 1024, 1, 1 << 20);
  const auto only_where = [&](const char* key, int64_t found) {
    if (found > 0 && config->has(key)) return config->agree(key, found, "the weights have");
    if (found > 0 || config->has(key))
      config->fail(Code::kDataLoss,
                   str("'", key, found > 0 ? "' is missing, but" : "' is there, but",
                       " the weights have ", found > 0 ? "such" : "none such"));
    config->ignore({key});
  };
  only_where("image_dim", c->image_width);
  only_where("added_kv_proj_dim", c->image_width > 0 ? c->width : 0);
  only_where("pos_embed_seq_len", c->image_positions);
  return Status();
}

// One transformer: its graph, and weights that are read from the checkpoint.
struct Transformer {
  WanConfig config;
  int64_t positions = 1024;  // along each axis
  int64_t text_length = 512;
  std::vector<Graph> graphs;
  WeightMap weights;
};

// `time_a_frame`: what the pipeline says of it; none: there is no pipeline.
Result<Transformer> read_transformer(const Checkpoint& checkpoint, const std::string& component,
                                     std::optional<bool> time_a_frame) {
  Transformer out;
  ZT_ASSIGN_OR_RETURN(const WanLayout layout, find_wan_layout(checkpoint));
  ZT_ASSIGN_OR_RETURN(out.config, read_shapes(checkpoint, layout));
  if (time_a_frame) {
    using Conditioning = WanConfig::Conditioning;
    if (*time_a_frame && out.config.conditioning == Conditioning::kChannels)
      return error(Code::kDataLoss, checkpoint.path(),
                   ": takes known latents as channels; 'expand_timesteps' of the pipeline is for "
                   "those that do not");
    if (out.config.conditioning != Conditioning::kChannels)
      out.config.conditioning = *time_a_frame ? Conditioning::kFrames : Conditioning::kNone;
  }
  ZT_ASSIGN_OR_RETURN(Config config, read_config(checkpoint));
  ZT_RETURN_IF_ERROR(
      layout.diffusers ? read_diffusers_config(&config, &out.config, &out.positions)
                       : read_original_config(checkpoint, &config, &out.config, &out.text_length));
  ZT_RETURN_IF_ERROR(config.finish());
  auto graph = build_wan_dit(out.config);
  if (!graph.ok()) return graph.status().with_context(checkpoint.path());
  graph->name = component;
  out.graphs.push_back(std::move(*graph));
  ZT_ASSIGN_OR_RETURN(out.weights,
                      WeightMap::create(checkpoint, out.graphs,
                                        [&](const std::string& name) { return layout.key(name); }));
  for (const std::string& key : out.weights.unused())
    ZT_RETURN_IF_ERROR(check_unused(checkpoint, layout.prefix, key));
  return out;
}

// Where a component is: as asked for, in the pipeline's folder, or beside the original's weights
// under one of these names; empty: nowhere.
std::string find_component(const ConvertSource& source, const ConvertOptions& options,
                           const std::string& asked, const char* in_pipeline,
                           std::initializer_list<const char*> beside) {
  namespace fs = std::filesystem;
  if (!asked.empty()) return asked;
  if (source.pipeline != nullptr) {
    const auto it = source.pipeline->components.find(in_pipeline);
    return it == source.pipeline->components.end() ? "" : it->second.path;
  }
  std::error_code failed;
  if (!fs::is_directory(options.input, failed)) return "";
  for (const char* name : beside)
    if (const fs::path path = fs::path(options.input) / name; fs::exists(path, failed))
      return path.string();
  return "";
}

// All of a model, as far as it is there.
struct Whole {
  Transformer dit;
  std::optional<bool> time_a_frame;  // of the pipeline
  OpenedPart second_file;
  std::optional<Transformer> second;   // A14B: takes over from the first at a boundary
  double boundary = 0;                 // 0: the published one
  std::optional<FlowSampler> sampler;  // of the pipeline's scheduler
  bool dmd = false;                    // FastWan's three steps
  std::optional<WanAutoencoder> vae;
  std::optional<TextEncoder> text;
  std::optional<VisionEncoder> vision;
  std::vector<uint8_t> tokenizer;

  std::vector<ModelPart> parts() const {
    std::vector<ModelPart> parts{{WanNames::kDit, dit.graphs, &dit.weights}};
    if (second) parts.push_back({WanNames::kLow, second->graphs, &second->weights});
    if (vae) parts.push_back(vae->part.as_part(WanNames::kVae));
    if (text) parts.push_back(text->part.as_part(WanNames::kText));
    if (vision) parts.push_back(vision->part.as_part(WanNames::kVision));
    return parts;
  }
};

Status read_pipeline(const DiffusersFolder& pipeline, Whole* whole) {
  ZT_ASSIGN_OR_RETURN(Config index,
                      Config::parse(pipeline.path + "/model_index.json", pipeline.index));
  const std::string type =
      index.text("_class_name", "",
                 {"WanPipeline", "WanImageToVideoPipeline", "WanVideoToVideoPipeline",
                  "WanDMDPipeline", "WanImageToVideoDmdPipeline"});
  whole->dmd = type == "WanDMDPipeline" || type == "WanImageToVideoDmdPipeline";
  const bool two = pipeline.components.contains("transformer_2");
  whole->boundary = index.number("boundary_ratio", 0, 0, 1);
  if (two != (whole->boundary > 0))
    index.fail(Code::kUnsupported,
               two ? "two transformers take turns, and no 'boundary_ratio' says where"
                   : "'boundary_ratio' says where a second transformer takes over, and there is "
                     "none (transformer_2)");
  whole->time_a_frame = index.flag("expand_timesteps", false);
  index.ignore({"transformer", "transformer_2", "vae", "text_encoder", "tokenizer", "scheduler",
                "image_encoder", "image_processor"});
  ZT_RETURN_IF_ERROR(index.finish());
  if (const auto it = pipeline.components.find("scheduler"); it != pipeline.components.end()) {
    ZT_ASSIGN_OR_RETURN(whole->sampler, read_flow_scheduler(it->second.path, kTrainSteps));
    // diffusers' pipelines of Wan never tell their scheduler a shift: multistep ones keep
    // 'flow_shift', whatever 'use_dynamic_shifting' says, and flow Euler stops.
    if (whole->sampler->shift_by != FlowShift::kFixed &&
        whole->sampler->solver != FlowSolver::kUniPc &&
        whole->sampler->solver != FlowSolver::kDpmpp2m)
      return error(
          Code::kUnsupported, it->second.path,
          "/scheduler_config.json: 'use_dynamic_shifting': Wan's shift does not follow the "
          "clip's size; take it out and state 'shift'");
    whole->sampler->shift_by = FlowShift::kFixed;
  }
  return Status();
}

Status read_second(const ConvertSource& source, const ConvertOptions& options, Whole* whole) {
  const std::string path =
      find_component(source, options, options.second, "transformer_2", {"low_noise_model"});
  if (path.empty()) return Status();
  ZT_RETURN_IF_ERROR(open_weights(path, &whole->second_file));
  ZT_ASSIGN_OR_RETURN(whole->second, read_transformer(whole->second_file.checkpoint(),
                                                      WanNames::kLow, whole->time_a_frame));
  const WanConfig &a = whole->dit.config, &b = whole->second->config;
  if (a.channels != b.channels || a.conditioning != b.conditioning ||
      a.text_width != b.text_width || a.image_width != b.image_width)
    return error(Code::kDataLoss, path, ": its inputs are not those of the transformer it follows");
  return Status();
}

Status read_tokenizer(const ConvertSource& source, const ConvertOptions& options, Whole* whole) {
  const std::string path = find_component(source, options, options.tokenizer, "tokenizer",
                                          {"google/umt5-xxl/spiece.model"});
  if (path.empty()) {
    if (whole->text) whole->tokenizer = whole->text->tokenizer;
    return Status();
  }
  ZT_ASSIGN_OR_RETURN(whole->tokenizer, read_sentencepiece(path, "spiece.model"));
  return Status();
}

Status read_components(const ConvertSource& source, const ConvertOptions& options, Whole* whole) {
  const WanConfig& dit = whole->dit.config;
  if (const std::string path =
          find_component(source, options, options.vae, "vae", {"Wan2.1_VAE.pth", "Wan2.2_VAE.pth"});
      !path.empty()) {
    ZT_ASSIGN_OR_RETURN(whole->vae, open_wan_autoencoder(path));
    if (whole->vae->config.space() > 256 || whole->vae->config.time() > 64)
      return error(Code::kUnsupported, path, ": a latent of ", whole->vae->config.space(),
                   " pixels a side and ", whole->vae->config.time(), " frames; at most 256 and 64");
    if (whole->vae->config.latent_channels != dit.channels)
      return error(Code::kDataLoss, path, ": latents of ", whole->vae->config.latent_channels,
                   " channels; the transformer's have ", dit.channels);
    if (dit.conditioning == WanConfig::Conditioning::kChannels &&
        dit.mask_channels != whole->vae->config.time())
      return error(Code::kDataLoss, path, ": a latent of ", whole->vae->config.time(),
                   " frames; the transformer's mask has ", dit.mask_channels, " a latent");
  } else if (dit.conditioning == WanConfig::Conditioning::kChannels && dit.mask_channels != 4) {
    // Without an autoencoder that says otherwise, latents are of four frames.
    return error(Code::kUnsupported, source.checkpoint.path(), ": ", dit.input_channels(),
                 " input and ", dit.channels,
                 " output channels; known are as many, or known "
                 "latents and a mask of 4 beside them, ",
                 2 * dit.channels + 4);
  }
  if (const std::string path = find_component(source, options, options.text_encoder, "text_encoder",
                                              {"models_t5_umt5-xxl-enc-bf16.pth"});
      !path.empty()) {
    ZT_ASSIGN_OR_RETURN(whole->text, open_text_encoder(path));
    if (whole->text->config.width != dit.text_width)
      return error(Code::kDataLoss, path, ": features of ", whole->text->config.width,
                   " channels; the transformer reads ", dit.text_width);
  }
  ZT_RETURN_IF_ERROR(read_tokenizer(source, options, whole));
  const std::string path =
      find_component(source, options, options.image_encoder, "image_encoder",
                     {"models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth"});
  if (path.empty()) return Status();
  if (dit.image_width == 0) {
    if (options.image_encoder.empty()) return Status();
    return error(Code::kInvalidArgument, "--image-encoder: this transformer looks at no pictures");
  }
  const std::string processor = find_component(source, options, "", "image_processor", {});
  ZT_ASSIGN_OR_RETURN(whole->vision, open_vision_encoder(path, processor));
  if (whole->vision->config.width != dit.image_width)
    return error(Code::kDataLoss, path, ": features of ", whole->vision->config.width,
                 " channels; the transformer reads ", dit.image_width);
  return Status();
}

// Known channels without a picture's features: 2.2's, of which there are two.
bool needs_second(const WanConfig& dit) {
  return dit.conditioning == WanConfig::Conditioning::kChannels && dit.image_width == 0;
}

// Without guidance, in the steps that the network was distilled to.
void take_few_steps(FlowSampler sampler, WanPipeline* pipeline) {
  pipeline->sampling.steps = static_cast<int>(sampler.times.size()) - 1;
  pipeline->sampling.guidance = pipeline->sampling.low_guidance = 1;
  pipeline->sampler = std::move(sampler);
}

Recipe recipe_of(const Whole& whole, std::optional<bool> distilled) {
  const WanConfig& dit = whole.dit.config;
  WanPipeline pipeline;
  pipeline.dit = dit;
  pipeline.experts = whole.second.has_value();
  pipeline.positions = whole.dit.positions;
  pipeline.text_length = static_cast<int>(whole.dit.text_length);
  pipeline.sampling = published_wan_sampling(dit, pipeline.experts);
  if (whole.boundary > 0) pipeline.sampling.boundary = whole.boundary;
  pipeline.sampler = whole.sampler ? *whole.sampler : wan_sampler(pipeline.sampling.shift);
  if (whole.dmd && distilled.value_or(true)) take_few_steps(wan_dmd_sampler(), &pipeline);
  if (distilled.value_or(false)) take_few_steps(wan_distilled_sampler(), &pipeline);
  if (whole.vae) {
    pipeline.vae = whole.vae->config;
    pipeline.latents = {whole.vae->mean, whole.vae->deviation};
  } else {
    pipeline.vae = published_wan_vae(dit);
    pipeline.latents = wan_latent_statistics(dit.channels);
  }
  if (whole.vision) pipeline.picture = whole.vision->picture;
  Recipe recipe = wan_recipe(pipeline);
  const std::string lacks = missing_parts(
      {{!whole.vae || !pipeline.latents.mean.empty(),
        str("statistics of latents with ", dit.channels, " channels")},
       {whole.text.has_value(), "text encoder"},
       {!whole.tokenizer.empty(), "tokenizer"},
       {whole.vae.has_value(), "autoencoder"},
       {dit.image_width == 0 || whole.vision.has_value(), "image encoder"},
       {!needs_second(dit) || whole.second.has_value(),
        "second transformer (--transformer-2), which takes over where little noise is left"}});
  if (lacks.empty()) return recipe;
  recipe.stages.clear();
  recipe.incomplete += str(recipe.incomplete.empty() ? "" : "; ", lacks);
  return recipe;
}

Status convert_wan(const ConvertSource& source, const ConvertOptions& options,
                   const WriteProgress& progress) {
  Whole whole;
  if (source.pipeline != nullptr) ZT_RETURN_IF_ERROR(read_pipeline(*source.pipeline, &whole));
  ZT_ASSIGN_OR_RETURN(whole.dit,
                      read_transformer(source.checkpoint, WanNames::kDit, whole.time_a_frame));
  ZT_RETURN_IF_ERROR(read_second(source, options, &whole));
  ZT_RETURN_IF_ERROR(read_components(source, options, &whole));
  if (whole.dmd && options.distilled.value_or(false))
    return error(Code::kInvalidArgument, source.checkpoint.path(),
                 ": --distilled asks for lightx2v's four steps; this folder's pipeline states its "
                 "own three, of DMD: leave the flag out");
  ModelInfo info;
  info.name = options.name.empty() ? "wan" : options.name;
  info.family = "wan";
  if (!whole.tokenizer.empty()) {
    info.tokenizers = {{"", "sentencepiece", whole.tokenizer}};
  }
  info.recipe = recipe_to_json(recipe_of(whole, options.distilled));
  info.provenance = "a Wan checkpoint";
  info.licence = "Apache-2.0, or as the checkpoint's source says";
  return store_model(std::move(info), whole.parts(), options, progress);
}

}  // namespace

const Family& wan_family() {
  static const Family family{
      "wan", {kWanOriginalMark, kWanDiffusersMark}, convert_wan, wan_key_layouts};
  return family;
}

}  // namespace zoetrope
