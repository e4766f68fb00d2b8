// MiniMax-H3: diffusers' folders.
#include <filesystem>
#include <numeric>
#include <optional>

#include "converters/families.h"
#include "converters/minimax_h3_keys.h"
#include "converters/open_files.h"
#include "converters/qwen3.h"
#include "converters/store.h"
#include "models/minimax_h3/recipe.h"

namespace zoetrope {
namespace {

constexpr std::string_view kMark = "token_refiner.final_norm.weight";
constexpr int64_t kMost = 1 << 20;  // of any size

// Defaults are those of diffusers' MiniMaxH3Transformer3DModel.
Status read_transformer(Config* c, MiniMaxH3Config* d) {
  c->text("_class_name", "MiniMaxH3Transformer3DModel", {"MiniMaxH3Transformer3DModel"});
  d->heads = c->integer("num_attention_heads", 56, 1, 1 << 12);
  d->head_dim = c->integer("attention_head_dim", 128, 2, 1 << 12);
  d->width = c->integer("hidden_size", 5376, 1, kMost);
  d->layers = c->integer("num_layers", 50, 1, 1 << 12);
  d->refiner_layers = c->integer("num_refiner_layers", 2, 0, 1 << 12);
  d->ffn = c->integer("ffn_dim", 14336, 1, kMost);
  d->channels = c->integer("in_channels", 24, 1, 1 << 12);
  d->sound_channels = c->integer("audio_in_channels", 32, 1, 1 << 12);
  const auto patch = c->integers("patch_size", {1, 2, 2}, 1, 64);
  if (patch.size() != 3 || patch[0] != 1 || patch[1] != patch[2])
    c->fail(Code::kUnsupported, "'patch_size': expected one frame, and as many rows as columns");
  else
    d->patch = patch[1];
  d->text_width = c->integer("text_dim", 5120, 1, kMost);
  d->time_features = c->integer("freq_dim", 256, 2, 1 << 16);
  d->time_hidden = c->integer("time_embed_hidden_dim", 5376, 1, kMost);
  d->time_width = c->integer("time_embed_dim", 2688, 1, kMost);
  d->rope_freq_dim = c->integer("rope_freq_dim", 16, 1, 1 << 12);
  d->theta = c->number("rope_theta", 10000, 1, 1e12);
  d->epsilon = c->number("norm_eps", 1e-5, 0, 1);
  d->qk_epsilon = c->number("qk_norm_eps", 1e-5, 0, 1);
  d->final_epsilon = c->number("final_norm_eps", 1e-5, 0, 1);
  return c->finish();
}

std::vector<float> floats(const std::vector<double>& values) {
  return {values.begin(), values.end()};
}

// Statistics of latents, one number a channel.
void read_statistics(Config* c, int64_t channels, std::vector<float>* mean,
                     std::vector<float>* deviation) {
  *mean = floats(c->numbers("latents_mean", 1 << 12));
  *deviation = floats(c->numbers("latents_std", 1 << 12));
  const auto count = static_cast<size_t>(channels);
  if (mean->empty()) mean->assign(count, 0);
  if (deviation->empty()) deviation->assign(count, 1);
  if (mean->size() != count || deviation->size() != count)
    c->fail(Code::kDataLoss, str("'latents_mean' and 'latents_std' have ", mean->size(), " and ",
                                 deviation->size(), " numbers; expected ", channels));
  for (const float d : *deviation)
    if (!(d > 0)) c->fail(Code::kDataLoss, "'latents_std' is not positive");
}

// Defaults are those of diffusers' AutoencoderKLMiniMaxH3.
Status read_vae(Config* c, MiniMaxH3Pipeline* p) {
  MiniMaxH3VaeConfig& v = p->vae;
  c->text("_class_name", "AutoencoderKLMiniMaxH3", {"AutoencoderKLMiniMaxH3"});
  for (const char* key : {"in_channels", "out_channels"})
    if (c->integer(key, 3, 1, 64) != 3)
      c->fail(Code::kUnsupported, str("'", key, "': frames have 3 channels"));
  v.latent_channels = c->integer("latent_channels", 24, 1, 1 << 12);
  const auto channels =
      c->integers("block_out_channels", {128, 256, 256, 512, 512, 1024}, 1, kMost);
  const auto space = c->integers("spatial_downsample_factors", {2, 2, 2, 2, 1, 1}, 1, 2);
  const auto time = c->integers("temporal_downsample_factors", {1, 2, 2, 1, 1, 1}, 1, 2);
  if (space.size() != channels.size() || time.size() != channels.size())
    c->fail(Code::kDataLoss,
            "'block_out_channels' and the factors must have as many entries as each other");
  v.levels.clear();
  for (size_t i = 0; i < std::min({channels.size(), space.size(), time.size()}); ++i)
    v.levels.push_back({channels[i], space[i], time[i]});
  v.blocks = c->integer("layers_per_block", 2, 1, 64);
  v.groups = c->integer("norm_num_groups", 32, 1, 1 << 12);
  v.epsilon = c->number("norm_eps", 1e-6, 0, 1);
  v.reflects = c->text("spatial_padding_mode", "reflect", {"reflect", "constant"}) == "reflect";
  v.layers = c->integer("decoder_num_layers", 36, 1, 1 << 12);
  v.heads = c->integer("decoder_num_attention_heads", 32, 1, 1 << 12);
  v.head_dim = c->integer("decoder_attention_head_dim", 64, 2, 1 << 12);
  v.registers = c->integer("decoder_num_register_tokens", 4, 1, 1 << 12);
  v.ffn_factor = c->integer("decoder_ffn_mult", 4, 1, 64);
  v.theta = c->number("decoder_rope_theta", 100, 1, 1e12);
  v.rope_dim_ratio = c->number("decoder_rope_dim_ratio", 0.75, 0, 1);
  v.decoder_epsilon = c->number("decoder_norm_eps", 1e-5, 0, 1);
  v.clip_length = c->integer("clip_length", 17, 1, 64);
  v.token_drop = c->integer("token_drop", 3, 0, 64);
  read_statistics(c, v.latent_channels, &p->mean, &p->deviation);
  return c->finish();
}

// Defaults are those of diffusers' AutoencoderKLMiniMaxH3Audio.
Status read_sound(Config* c, MiniMaxH3Pipeline* p) {
  MiniMaxH3SoundConfig& s = p->sound;
  c->text("_class_name", "AutoencoderKLMiniMaxH3Audio", {"AutoencoderKLMiniMaxH3Audio"});
  s.base = c->integer("encoder_dim", 64, 1, kMost);
  s.strides = c->integers("encoder_rates", {2, 4, 4, 5, 5}, 1, 64);
  s.trunk = c->integer("latent_dim", 2048, 1, kMost);
  s.latent_channels = c->integer("latent_channels", 32, 1, 1 << 12);
  s.heads = c->integer("num_attention_heads", 8, 1, 1 << 12);
  Ltx2Generator& g = s.decoder;
  g.width = c->integer("decoder_dim", 1024, 1, kMost);
  const auto rates = c->integers("decoder_rates", {5, 5, 2, 2, 2, 2, 2}, 1, 64);
  const auto sizes = c->integers("decoder_kernel_sizes", {9, 9, 4, 4, 4, 4, 4}, 1, 256);
  const auto kernels = c->integers("resblock_kernel_sizes", {3, 7, 11}, 1, 256);
  const auto dilations =
      c->integer_lists("resblock_dilation_sizes", {{1, 3, 5}, {1, 3, 5}, {1, 3, 5}}, 1, 1 << 12);
  if (rates.size() != sizes.size() || kernels.size() != dilations.size())
    c->fail(Code::kDataLoss, "rates and kernels must have as many entries as each other");
  g.ups.clear();
  for (size_t i = 0; i < std::min(rates.size(), sizes.size()); ++i)
    g.ups.push_back({rates[i], sizes[i]});
  g.kernels.clear();
  for (size_t i = 0; i < std::min(kernels.size(), dilations.size()); ++i)
    g.kernels.push_back({kernels[i], dilations[i]});
  s.sample_rate = static_cast<int>(c->integer("sampling_rate", 32000, 1, 768000));
  read_statistics(c, s.latent_channels, &p->sound_mean, &p->sound_deviation);
  return c->finish();
}

class Reader {
 public:
  Reader(const ConvertSource& source, const ConvertOptions& options)
      : source_(source), options_(options) {}

  Status read() {
    if (source_.pipeline != nullptr) ZT_RETURN_IF_ERROR(read_index(*source_.pipeline));
    ZT_RETURN_IF_ERROR(read_vae_part());
    ZT_RETURN_IF_ERROR(read_sound_part());
    ZT_RETURN_IF_ERROR(read_text_part());
    ZT_RETURN_IF_ERROR(read_transformer_part());
    for (const auto& file : files_.all())
      for (const std::string& key : file->left) {
        if (key.starts_with("logs_proj.")) continue;  // deviations of latents of sound
        ZT_RETURN_IF_ERROR(check_unused(*file->checkpoint, prefix_, key));
      }
    return Status();
  }

  Result<Recipe> recipe() {
    const std::string lacks =
        missing_parts({{text_.has_value(), "text encoder (--text-encoder: Qwen3-VL-32B)"},
                       {!tokenizer_.empty(), "tokenizer (--tokenizer)"},
                       {has_vae_, "autoencoder of video (--vae)"},
                       {has_sound_, "autoencoder of sound"}});
    Recipe recipe;
    if (lacks.empty()) {
      ZT_ASSIGN_OR_RETURN(recipe, minimax_h3_recipe(p_));
    }
    recipe.incomplete = lacks;
    return recipe;
  }

  std::vector<ModelPart> parts() const {
    std::vector<ModelPart> parts{{"dit", dit_, &dit_weights_}};
    if (text_) parts.push_back(text_->part.as_part("text_encoder"));
    if (has_vae_) parts.push_back({"vae", vae_, &vae_weights_});
    if (has_sound_) parts.push_back({"sound", sound_, &sound_weights_});
    return parts;
  }
  const std::vector<uint8_t>& tokenizer() const { return tokenizer_; }

 private:
  std::string component(const char* name) const {
    if (source_.pipeline == nullptr) return "";
    const auto it = source_.pipeline->components.find(name);
    return it == source_.pipeline->components.end() ? "" : it->second.path;
  }

  Status read_index(const DiffusersFolder& pipeline) {
    ZT_ASSIGN_OR_RETURN(Config index, Config::parse(pipeline.index_path, pipeline.index));
    index.text("_class_name", "", {"MiniMaxH3ModularPipeline"});
    index.text("_blocks_class_name", "MiniMaxH3Blocks", {"MiniMaxH3Blocks", "MiniMaxH3AutoBlocks"});
    for (const char* part :
         {"transformer", "transformer_ref", "vae", "audio_vae", "text_encoder", "tokenizer",
          "processor", "scheduler", "audio_scheduler", "video_processor", "image_processor"})
      index.component(part);
    p_.canvas_side = index.integer("canvas_short_edge", p_.canvas_side, 1, 1 << 14);
    p_.canvas_pixels = index.integer("canvas_max_pixels", p_.canvas_pixels, 1, 1 << 28);
    index.ignore({"reference_image_short_edge"});  // of references
    ZT_RETURN_IF_ERROR(index.finish());
    if (pipeline.components.contains("transformer_ref") && options_.notice)
      options_.notice(str(pipeline.path,
                          ": 'transformer_ref' is not converted; it is for clips "
                          "after references"));
    ZT_ASSIGN_OR_RETURN(p_.shift, read_shift("scheduler", p_.shift));
    ZT_ASSIGN_OR_RETURN(p_.sound_shift, read_shift("audio_scheduler", p_.sound_shift));
    return Status();
  }

  Result<double> read_shift(const char* name, double otherwise) const {
    const std::string folder = component(name);
    if (folder.empty()) return otherwise;
    const std::string path = folder + "/scheduler_config.json";
    ZT_ASSIGN_OR_RETURN(const std::string text, read_small_file(path, 1 << 20));
    ZT_ASSIGN_OR_RETURN(Config config, Config::parse(path, text));
    config.text("_class_name", "MiniMaxH3Scheduler", {"MiniMaxH3Scheduler"});
    const double shift = config.number("shift", 12, 1e-3, 1e3);
    ZT_RETURN_IF_ERROR(config.finish());
    return shift;
  }

  Result<Config> config_of(const Checkpoint& checkpoint) const {
    ZT_ASSIGN_OR_RETURN(Config config, read_config(checkpoint));
    if (config.empty())
      return error(Code::kNotFound, checkpoint.path(),
                   ": weights without their config.json beside them; download it too");
    return config;
  }

  template <typename... Graphs>
  static Status add(std::vector<Graph>* to, const std::string& path, Graphs... graphs) {
    Status status;
    const auto one = [&](Result<Graph> graph) {
      if (!status.ok()) return;
      status = graph.ok() ? Status() : graph.status().with_context(path);
      if (graph.ok()) to->push_back(std::move(*graph));
    };
    (one(std::move(graphs)), ...);
    return status;
  }

  Status read_vae_part() {
    const std::string path = options_.vae.empty() ? component("vae") : options_.vae;
    if (path.empty()) return Status();
    ZT_ASSIGN_OR_RETURN(const Checkpoint* checkpoint, files_.open(path));
    ZT_ASSIGN_OR_RETURN(Config config, config_of(*checkpoint));
    ZT_RETURN_IF_ERROR(read_vae(&config, &p_));
    ZT_RETURN_IF_ERROR(add(&vae_, checkpoint->path(), build_minimax_h3_video_encoder(p_.vae),
                           build_minimax_h3_video_decoder(p_.vae)));
    ZT_ASSIGN_OR_RETURN(
        vae_weights_,
        WeightMap::create(*checkpoint, vae_, [](const std::string& name) { return name; }));
    files_.take(*checkpoint, vae_weights_);
    has_vae_ = true;
    return Status();
  }

  Status read_sound_part() {
    const std::string path = component("audio_vae");
    if (path.empty()) return Status();
    ZT_ASSIGN_OR_RETURN(const Checkpoint* checkpoint, files_.open(path));
    ZT_ASSIGN_OR_RETURN(Config config, config_of(*checkpoint));
    ZT_RETURN_IF_ERROR(read_sound(&config, &p_));
    ZT_RETURN_IF_ERROR(add(&sound_, checkpoint->path(), build_minimax_h3_sound_encoder(p_.sound),
                           build_minimax_h3_sound_decoder(p_.sound)));
    ZT_ASSIGN_OR_RETURN(sound_weights_,
                        WeightMap::create(*checkpoint, sound_, minimax_h3_sound_key));
    files_.take(*checkpoint, sound_weights_);
    has_sound_ = true;
    return Status();
  }

  Status read_transformer_part() {
    const Checkpoint& checkpoint = source_.checkpoint;
    files_.note(checkpoint);
    const auto prefix = find_prefix(checkpoint, kMark);
    if (!prefix)
      return error(Code::kInvalidArgument, checkpoint.path(),
                   ": not MiniMax-H3's transformer: it refines no words (", kMark, ")");
    prefix_ = *prefix;
    ZT_ASSIGN_OR_RETURN(Config config, config_of(checkpoint));
    ZT_RETURN_IF_ERROR(read_transformer(&config, &p_.dit));
    ZT_RETURN_IF_ERROR(add(&dit_, checkpoint.path(), build_minimax_h3_dit(p_.dit)));
    if (p_.vision)
      ZT_RETURN_IF_ERROR(add(&dit_, checkpoint.path(), build_minimax_h3_dit_ended(p_.dit)));
    ZT_ASSIGN_OR_RETURN(dit_weights_,
                        WeightMap::create(checkpoint, dit_,
                                          [&](const std::string& name) { return prefix_ + name; }));
    files_.take(checkpoint, dit_weights_);
    return Status();
  }

  Status read_text_part() {
    const std::string path =
        options_.text_encoder.empty() ? component("text_encoder") : options_.text_encoder;
    if (!path.empty()) {
      ZT_ASSIGN_OR_RETURN(text_, open_qwen3_text(path, kMiniMaxH3TextLayers));
      p_.text = text_->config;
      p_.vision = text_->vision;
      p_.vision_start = text_->vision_start;
      p_.vision_end = text_->vision_end;
      p_.vision_place = text_->image;
      if (p_.vision) ZT_RETURN_IF_ERROR(read_processor());
    }
    std::string tokenizer = options_.tokenizer;
    if (tokenizer.empty()) tokenizer = component("tokenizer");
    std::error_code failed;
    // Qwen's own folder has both.
    if (tokenizer.empty() && !path.empty() &&
        std::filesystem::exists(std::filesystem::path(path) / "tokenizer.json", failed))
      tokenizer = path;
    if (tokenizer.empty()) return Status();
    ZT_ASSIGN_OR_RETURN(tokenizer_, read_qwen_tokenizer(tokenizer));
    return Status();
  }

  // How pictures become the network's: of it only the sizes that are left as they are matter.
  Status read_processor() {
    const std::string path = component("processor") + "/preprocessor_config.json";
    std::error_code failed;
    if (component("processor").empty() || !std::filesystem::exists(path, failed)) return Status();
    ZT_ASSIGN_OR_RETURN(const std::string text, read_small_file(path, 1 << 20));
    ZT_ASSIGN_OR_RETURN(Config config, Config::parse(path, text));
    const Qwen3VisionConfig& v = *p_.vision;
    config.agree("patch_size", v.patch, "the network's patches are of", 16);
    config.agree("merge_size", v.merge, "the network's places are of", 2);
    config.agree("temporal_patch_size", v.frames, "the network's patches are of", 2);
    for (const char* key : {"image_mean", "image_std"})
      for (const double x : config.numbers(key, 16))
        if (x != 0.5)
          config.fail(Code::kUnsupported, str("'", key, "': pixels are expected in [-1, 1]"));
    if (auto size = config.object("size")) {
      p_.least_pixels = size->integer("shortest_edge", p_.least_pixels, 1, int64_t{1} << 32);
      p_.most_pixels = size->integer("longest_edge", p_.most_pixels, 1, int64_t{1} << 32);
      ZT_RETURN_IF_ERROR(size->finish());
    }
    for (const char* key : {"do_rescale", "do_normalize"})
      config.only(key, true, "pixels are expected in [-1, 1]");
    config.ignore({"crop_size", "data_format", "default_to_square", "device", "disable_grouping",
                   "do_center_crop", "do_convert_rgb", "do_pad", "do_resize",
                   "image_processor_type", "input_data_format", "max_pixels", "min_pixels",
                   "pad_size", "processor_class", "resample", "rescale_factor", "return_tensors"});
    return config.finish();
  }

  const ConvertSource& source_;
  const ConvertOptions& options_;
  OpenFiles files_;
  MiniMaxH3Pipeline p_;
  std::string prefix_;
  std::optional<Qwen3Text> text_;
  std::vector<uint8_t> tokenizer_;
  std::vector<Graph> dit_, vae_, sound_;
  WeightMap dit_weights_, vae_weights_, sound_weights_;
  bool has_vae_ = false, has_sound_ = false;
};

Status convert_minimax_h3(const ConvertSource& source, const ConvertOptions& options,
                          const WriteProgress& progress) {
  Reader reader(source, options);
  ZT_RETURN_IF_ERROR(reader.read());
  ZT_ASSIGN_OR_RETURN(const Recipe recipe, reader.recipe());
  ModelInfo info;
  info.name = options.name.empty() ? "minimax-h3" : options.name;
  info.family = "minimax-h3";
  if (!reader.tokenizer().empty()) info.tokenizers = {{"", "byte_bpe", reader.tokenizer()}};
  info.recipe = recipe_to_json(recipe);
  info.provenance = "a MiniMax-H3 checkpoint";
  info.licence =
      "MiniMax-H3's own licence, which is not given to the EU, the UK, Korea and the USA; Apache "
      "2.0 for the text encoder";
  return store_model(std::move(info), reader.parts(), options, progress);
}

}  // namespace

const Family& minimax_h3_family() {
  static const Family family{"minimax-h3", {kMark}, convert_minimax_h3};
  return family;
}

}  // namespace zoetrope
