// LTX-2: diffusers' folders, and Lightricks' single files with prefixes and their configuration in
// the metadata.
#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <set>

#include "converters/families.h"
#include "converters/gemma.h"
#include "converters/ltx2_config.h"
#include "converters/ltx2_keys.h"
#include "converters/ltx2_refiner.h"
#include "converters/ltx2_text_weights.h"
#include "converters/ltx2_upsampler.h"
#include "converters/open_files.h"
#include "converters/scheduler.h"
#include "converters/store.h"
#include "models/ltx2/recipe.h"

namespace zoetrope {
namespace {

namespace fs = std::filesystem;

constexpr const char* kDit = "dit";
constexpr const char* kText = "text_encoder";
constexpr const char* kVae = "vae";
constexpr const char* kSound = "sound_decoder";
constexpr const char* kUpsampler = "upsampler";

constexpr const char* kDecoderMark = "decoder.conv_in.conv.weight";  // of both autoencoders

class Reader {
 public:
  Reader(const ConvertSource& source, const ConvertOptions& options)
      : source_(source), options_(options), distilled_(options.distilled.value_or(false)) {}

  Status read() {
    ZT_RETURN_IF_ERROR(find_transformer());
    if (source_.pipeline != nullptr) ZT_RETURN_IF_ERROR(read_index(*source_.pipeline));
    ZT_RETURN_IF_ERROR(read_gemma());
    if (transformer_.original) {
      ZT_ASSIGN_OR_RETURN(Config config, ltx2_metadata_config(*transformer_.checkpoint));
      const Ltx2Held held{.vae = options_.vae.empty() && holds("vae"), .sound = holds("audio_vae")};
      ZT_RETURN_IF_ERROR(read_ltx2_original(&config, held, &p_, &scale_));
    }
    ZT_RETURN_IF_ERROR(read_vae());
    ZT_RETURN_IF_ERROR(read_sound());
    ZT_RETURN_IF_ERROR(read_transformer());
    ZT_RETURN_IF_ERROR(read_text());
    ZT_RETURN_IF_ERROR(read_upsampler());
    ZT_RETURN_IF_ERROR(read_refiner());
    ZT_RETURN_IF_ERROR(read_tokenizer());
    return check_left();
  }

  Result<Recipe> recipe() {
    if (distilled_) {
      p_.sampler = ltx2_distilled_sampler();
      p_.steps = 8;
    } else {
      p_.sampler = sampler_.value_or(ltx2_sampler());
    }
    const std::string lacks = missing_parts(
        {{has_text_, "text encoder (--text-encoder: Gemma 3; of LTX-2.5 its own Gemma 4)"},
         {!tokenizer_.data.empty(), "tokenizer (--tokenizer)"},
         {has_vae_, "autoencoder of video (--vae)"},
         {has_sound_, "decoder of sound"}});
    Recipe recipe;
    if (lacks.empty()) {
      ZT_ASSIGN_OR_RETURN(recipe, ltx2_recipe(p_));
    }
    recipe.incomplete = lacks;
    return recipe;
  }

  std::vector<ModelPart> parts() const {
    std::vector<ModelPart> parts{{kDit, dit_, &dit_weights_}};
    if (has_text_) parts.push_back({kText, text_, &text_weights_});
    if (has_vae_) parts.push_back({kVae, vae_, &vae_weights_});
    if (has_sound_) parts.push_back({kSound, sound_, &sound_weights_});
    if (p_.upsampler) parts.push_back({kUpsampler, upsampler_, &upsampler_weights_});
    if (p_.refiner) parts.push_back({kLtx2Refiner, refiner_.graphs, refiner_.weights.get()});
    return parts;
  }
  const GemmaTokenizer& tokenizer() const { return tokenizer_; }

 private:
  Status find_transformer() {
    const Checkpoint& checkpoint = source_.checkpoint;
    files_.note(checkpoint);
    const auto original = find_prefix(checkpoint, kLtx2OriginalMark);
    const auto diffusers = find_prefix(checkpoint, kLtx2DiffusersMark);
    if (!original && !diffusers)
      return error(Code::kInvalidArgument, checkpoint.path(),
                   ": not LTX-2's transformer: it has no attention between sound and video");
    transformer_ = {&checkpoint, original ? *original : *diffusers, original.has_value()};
    return Status();
  }

  Status read_index(const DiffusersFolder& pipeline) {
    ZT_ASSIGN_OR_RETURN(Config index,
                        Config::parse(pipeline.path + "/model_index.json", pipeline.index));
    index.text("_class_name", "",
               {"LTX2Pipeline", "LTX2ImageToVideoPipeline", "LTX2ConditionPipeline"});
    for (const char* part : {"transformer", "vae", "audio_vae", "vocoder", "connectors",
                             "text_encoder", "tokenizer", "scheduler", "latent_upsampler"})
      index.component(part);
    // What rewrites prompts and proposes lengths does not take part in making a clip.
    for (const char* part : {"processor", "prompt_enhancer", "duration_head"})
      index.component(part);
    ZT_RETURN_IF_ERROR(index.finish());
    for (const char* part : {"prompt_enhancer", "duration_head"})
      if (pipeline.components.contains(part) && options_.notice)
        options_.notice(str(pipeline.path, ": '", part, "' is not converted; clips need it not"));
    const auto it = pipeline.components.find("scheduler");
    if (it == pipeline.components.end()) return Status();
    ZT_ASSIGN_OR_RETURN(sampler_, read_flow_scheduler(it->second.path, 1000));
    // The pipelines give it even steps, from 1 to one short of 0.
    if (sampler_->solver != FlowSolver::kEuler)
      return error(Code::kUnsupported, it->second.path, ": LTX-2 takes steps of Euler");
    // A scheduler that leaves the distilled times as they are, as LTX-2.5's folder has it.
    const bool as_they_are =
        sampler_->shift_by == FlowShift::kFixed && sampler_->shift == 1 && sampler_->terminal == 0;
    if (as_they_are && !options_.distilled) {
      distilled_ = true;
      if (options_.notice)
        options_.notice(it->second.path +
                        " shifts no times: the checkpoint is taken as distilled (eight steps "
                        "without guidance; if it was not, --no-distilled)");
    }
    sampler_->first = 1;
    sampler_->last = 0;
    sampler_->reaches_last = false;
    return Status();
  }

  // A part's path in the pipeline's folder; empty: there is none.
  std::string component(const char* name) const {
    if (source_.pipeline == nullptr) return "";
    const auto it = source_.pipeline->components.find(name);
    return it == source_.pipeline->components.end() ? "" : it->second.path;
  }

  // Where a part lies: in its own folder of a pipeline, or in the single file.
  Result<std::optional<Ltx2Place>> place_of(const std::string& asked, const char* name) {
    const std::string path = asked.empty() ? component(name) : asked;
    const Checkpoint* checkpoint = path.empty() ? &source_.checkpoint : nullptr;
    if (!path.empty()) {
      ZT_ASSIGN_OR_RETURN(checkpoint, files_.open(path));
    } else if (!transformer_.original) {
      return std::optional<Ltx2Place>();
    }
    const auto prefix = decoder_prefix(*checkpoint, name);
    if (!prefix) {
      if (path.empty()) return std::optional<Ltx2Place>();
      return error(Code::kInvalidArgument, checkpoint->path(), ": no '", kDecoderMark,
                   "'; not what LTX-2's '", name, "' is made of");
    }
    return std::optional(Ltx2Place{checkpoint, *prefix, false});
  }

  static std::optional<std::string> decoder_prefix(const Checkpoint& checkpoint, const char* name) {
    for (const std::string& prefix : {str(name, "."), std::string()})
      if (checkpoint.type(prefix + kDecoderMark).ok()) return prefix;
    return std::nullopt;
  }
  // Whether the single file has the weights of this part.
  bool holds(const char* name) const {
    return decoder_prefix(*transformer_.checkpoint, name).has_value();
  }

  Result<Config> config_of(const Ltx2Place& place) {
    ZT_ASSIGN_OR_RETURN(Config config, read_config(*place.checkpoint));
    if (config.empty())
      return error(Code::kNotFound, place.checkpoint->path(),
                   ": diffusers' weights without their config.json beside them; download it too");
    return config;
  }

  Status read_gemma() {
    std::string path = options_.text_encoder;
    if (path.empty()) path = component("text_encoder");
    if (path.empty()) {
      auto inside = find_gemma(source_.checkpoint);
      if (inside.status().code() == Code::kNotFound) return Status();
      ZT_ASSIGN_OR_RETURN(gemma_, std::move(inside));
    } else {
      ZT_ASSIGN_OR_RETURN(gemma_, open_gemma(path));
    }
    p_.text.gemma = gemma_->config;
    tokenizer_ = {"sentencepiece", gemma_->tokenizer};
    return Status();
  }

  Status read_vae() {
    ZT_ASSIGN_OR_RETURN(auto place, place_of(options_.vae, "vae"));
    if (!place) return Status();
    place->original = place->checkpoint->type(ltx2_mean_key({nullptr, place->prefix, true})).ok();
    if (!place->original) {
      ZT_ASSIGN_OR_RETURN(Config config, config_of(*place));
      ZT_RETURN_IF_ERROR(read_ltx2_vae(&config, &p_.vae, &scale_));
    } else if (place->checkpoint != &source_.checkpoint) {
      ZT_ASSIGN_OR_RETURN(Config config, ltx2_metadata_config(*place->checkpoint));
      ZT_RETURN_IF_ERROR(read_ltx2_original_vae(&config, &p_.vae, &scale_));
      p_.dit.frames_a_latent = p_.vae.time();
      p_.dit.pixels_a_latent = p_.vae.space();
    }
    for (auto* build : {build_ltx2_video_encoder, build_ltx2_video_decoder}) {
      auto graph = build(p_.vae);
      if (!graph.ok()) return graph.status().with_context(place->checkpoint->path());
      vae_.push_back(std::move(*graph));
    }
    ZT_ASSIGN_OR_RETURN(vae_weights_,
                        WeightMap::create(*place->checkpoint, vae_, [&](const std::string& name) {
                          return ltx2_vae_key(*place, name, p_.vae.encoder.size());
                        }));
    files_.take(*place->checkpoint, vae_weights_);
    ZT_RETURN_IF_ERROR(
        read_statistics(*place, p_.vae.latent_channels, scale_, &p_.mean, &p_.deviation));
    has_vae_ = true;
    return Status();
  }

  Status read_statistics(const Ltx2Place& place, int64_t channels, double scale,
                         std::vector<float>* mean, std::vector<float>* deviation) {
    for (const auto& [key, to] :
         {std::pair{ltx2_mean_key(place), mean}, {ltx2_deviation_key(place), deviation}}) {
      ZT_ASSIGN_OR_RETURN(const WeightData data, place.checkpoint->load(key));
      if (!is_float(data.type.dtype) || data.type.shape != Shape{channels})
        return error(Code::kDataLoss, place.checkpoint->path(), ": tensor '", key, "' is ",
                     data.type.to_string(), "; expected a number for each of ", channels,
                     " channels of latents");
      to->clear();
      for (int64_t i = 0; i < channels; ++i)
        to->push_back(static_cast<float>(load_element(data.type.dtype, data.data, i)));
      files_.note(*place.checkpoint).left.erase(key);
    }
    for (float& d : *deviation) {
      if (!(d > 0))
        return error(Code::kDataLoss, place.checkpoint->path(), ": tensor '",
                     ltx2_deviation_key(place), "' is not positive");
      d = static_cast<float>(d / scale);
    }
    return Status();
  }

  Status read_sound() {
    ZT_ASSIGN_OR_RETURN(auto mel, place_of("", "audio_vae"));
    if (!mel) return Status();
    mel->original = mel->checkpoint == &source_.checkpoint;
    std::optional<Ltx2Place> vocoder;
    if (mel->original) {
      vocoder = Ltx2Place{mel->checkpoint, "vocoder.", true};
    } else {
      ZT_ASSIGN_OR_RETURN(Config config, config_of(*mel));
      ZT_RETURN_IF_ERROR(read_ltx2_audio_vae(&config, &p_.sound, &clocks_.emplace()));
      const std::string path = component("vocoder");
      if (path.empty()) return Status();
      ZT_ASSIGN_OR_RETURN(const Checkpoint* checkpoint, files_.open(path));
      vocoder = Ltx2Place{checkpoint, "", false};
      ZT_ASSIGN_OR_RETURN(Config said, config_of(*vocoder));
      ZT_RETURN_IF_ERROR(read_ltx2_vocoder(&said, &p_.sound, &p_.sample_rate));
    }
    if (clocks_) {
      p_.sound.sample_rate = clocks_->sample_rate;
      p_.sound.hop = clocks_->hop;
    }
    p_.sound.given_rate = p_.sample_rate;
    // Where rates do not agree the transformer's positions are refused, which says more.
    p_.hears = p_.sound.rates_agree() &&
               mel->checkpoint->type(mel->prefix + "encoder.conv_in.conv.weight").ok();
    for (auto* build : {build_ltx2_sound_encoder, build_ltx2_sound_decoder}) {
      if (build == build_ltx2_sound_encoder && !p_.hears) continue;
      auto graph = build(p_.sound);
      if (!graph.ok()) return graph.status().with_context(mel->checkpoint->path());
      sound_.push_back(std::move(*graph));
    }
    const auto part = [&](const Ltx2Place& place, std::string_view scope,
                          std::string (*key)(const Ltx2Place&, const std::string&)) -> Status {
      ZT_ASSIGN_OR_RETURN(
          WeightMap map, WeightMap::create(*place.checkpoint, sound_, [&](const std::string& name) {
            return name.starts_with(scope) ? key(place, name.substr(scope.size())) : "";
          }));
      files_.take(*place.checkpoint, map);
      sound_weights_.add(std::move(map));
      return Status();
    };
    ZT_RETURN_IF_ERROR(
        part(*mel, "audio_vae.",
             [](const Ltx2Place& place, const std::string& name) { return place.prefix + name; }));
    ZT_RETURN_IF_ERROR(part(*vocoder, "vocoder.", ltx2_vocoder_key));
    ZT_RETURN_IF_ERROR(read_statistics(*mel, p_.sound.latent_channels * p_.sound.latent_bins, 1,
                                       &p_.sound_mean, &p_.sound_deviation));
    has_sound_ = true;
    return Status();
  }

  Status read_transformer() {
    if (!transformer_.original) {
      ZT_ASSIGN_OR_RETURN(Config config, config_of(transformer_));
      ZT_RETURN_IF_ERROR(read_ltx2_transformer(&config, &p_.dit));
      if (clocks_ && (clocks_->sample_rate != p_.dit.sample_rate || clocks_->hop != p_.dit.hop))
        return error(Code::kDataLoss, config.origin(), ": 'audio_sampling_rate' ",
                     p_.dit.sample_rate, " and 'audio_hop_length' ", p_.dit.hop,
                     " are not the autoencoder's, ", clocks_->sample_rate, " and ", clocks_->hop);
      if (p_.dit.time_scale != 1000)
        return error(Code::kUnsupported, config.origin(), ": 'timestep_scale_multiplier' ",
                     p_.dit.time_scale, "; the pipelines tell times in 1000");
    }
    const std::string path = transformer_.checkpoint->path();
    p_.dit.video.known_latents = has_vae_;
    p_.dit.sound.known_latents = p_.hears;
    if (!distilled_) set_ltx2_guidance(&p_);
    ZT_RETURN_IF_ERROR(build_ltx2_transformers(p_.dit, &dit_).with_context(path));
    ZT_ASSIGN_OR_RETURN(
        dit_weights_,
        WeightMap::create(*transformer_.checkpoint, dit_, [&](const std::string& name) {
          return ltx2_transformer_key(transformer_, name);
        }));
    files_.take(*transformer_.checkpoint, dit_weights_);
    const int64_t sound = p_.sound.latent_channels * p_.sound.latent_bins;
    if (has_vae_ && p_.vae.latent_channels != p_.dit.video.channels)
      return error(Code::kDataLoss, path, ": latents of video of ", p_.dit.video.channels,
                   " channels; the autoencoder's have ", p_.vae.latent_channels);
    if (has_sound_ && sound != p_.dit.sound.channels)
      return error(Code::kDataLoss, path, ": latents of sound of ", p_.dit.sound.channels,
                   " channels; its autoencoder's have ", sound);
    return Status();
  }

  Status read_refiner() {
    if (options_.refining_lora.empty()) return Status();
    if (distilled_ || !p_.upsampler)
      return error(Code::kInvalidArgument, "--refining-lora: ",
                   distilled_ ? "a distilled checkpoint refines as it is (--distilled)"
                              : "there is no upsampler of latents (--upsampler)");
    ZT_ASSIGN_OR_RETURN(refiner_,
                        read_ltx2_refiner(options_, p_.dit, dit_weights_, {text_, &text_weights_}));
    p_.refiner = true;
    return Status();
  }

  Status read_text() {
    Ltx2Place place = transformer_;
    if (const std::string path = component("connectors"); !path.empty()) {
      ZT_ASSIGN_OR_RETURN(const Checkpoint* checkpoint, files_.open(path));
      place = {checkpoint, "", false};
      if (gemma_) {
        ZT_ASSIGN_OR_RETURN(Config config, config_of(place));
        ZT_RETURN_IF_ERROR(read_ltx2_connectors(&config, gemma_->config, &p_.text));
      }
    } else if (!place.original) {
      return Status();
    }
    if (!gemma_) {  // what the text's graph needs stays behind with it
      std::set<std::string>& left = files_.note(*place.checkpoint).left;
      std::erase_if(left, [](const std::string& key) {
        return key.find("embeddings_connector.") != std::string::npos ||
               key.starts_with("text_embedding_projection.") ||
               key.starts_with("video_connector.") || key.starts_with("audio_connector.") ||
               key.find("text_proj_in.") != std::string::npos;
      });
      return Status();
    }
    const int64_t widths[] = {p_.text.video.width(), p_.text.sound.width()};
    if (widths[0] != p_.dit.text_width || widths[1] != p_.dit.sound_text_width)
      return error(Code::kDataLoss, place.checkpoint->path(), ": features of ", widths[0], " and ",
                   widths[1], " channels; the transformer reads ", p_.dit.text_width, " and ",
                   p_.dit.sound_text_width);
    auto graph = build_ltx2_text_encoder(p_.text);
    if (!graph.ok()) return graph.status().with_context(place.checkpoint->path());
    text_.push_back(std::move(*graph));
    constexpr std::string_view kGemma = "gemma.";
    ZT_ASSIGN_OR_RETURN(
        WeightMap gemma,
        WeightMap::create(*gemma_->checkpoint, text_, [&](const std::string& name) {
          return name.starts_with(kGemma) ? gemma_->prefix + name.substr(kGemma.size()) : "";
        }));
    ZT_ASSIGN_OR_RETURN(WeightMap connectors,
                        WeightMap::create(*place.checkpoint, text_, [&](const std::string& name) {
                          return name.starts_with(kGemma) ? "" : ltx2_connector_key(place, name);
                        }));
    files_.take(*gemma_->checkpoint, gemma);
    files_.take(*place.checkpoint, connectors);
    text_weights_.width = p_.text.gemma.width;
    text_weights_.states = p_.text.gemma.layers + 1;
    text_weights_.add(std::move(gemma));
    text_weights_.add(std::move(connectors));
    has_text_ = true;
    return Status();
  }

  // It lies beside the pipeline's parts, or anywhere by the person's word, and is of no use to a
  // checkpoint that is sampled with guidance.
  Status read_upsampler() {
    std::string path = options_.upsampler;
    if (path.empty() && source_.pipeline != nullptr) {
      path = component("latent_upsampler");
      std::error_code failed;
      const fs::path beside = fs::path(source_.pipeline->path) / "latent_upsampler";
      if (path.empty() && fs::is_directory(beside, failed)) path = beside.string();
      if (!path.empty() && !distilled_ && options_.refining_lora.empty()) {
        if (options_.notice)
          options_.notice(path +
                          " is not converted: its second stage is of distilled checkpoints "
                          "(--distilled), or takes the adapter that distils (--refining-lora)");
        return Status();
      }
    }
    if (path.empty()) return Status();
    ZT_ASSIGN_OR_RETURN(const Checkpoint* checkpoint, files_.open(path));
    ZT_RETURN_IF_ERROR(read_ltx2_upsampler(*checkpoint, &p_.upsampler.emplace(), &upsampler_,
                                           &upsampler_weights_));
    files_.take(*checkpoint, upsampler_weights_);
    files_.note(*checkpoint).left.erase("upsampler.blur_down.kernel");  // a constant
    return Status();
  }

  Status read_tokenizer() {
    std::string path = options_.tokenizer;
    if (path.empty()) path = component("tokenizer");
    // Gemma's own folder has both.
    if (path.empty() && tokenizer_.data.empty() && has_gemma_tokenizer(options_.text_encoder))
      path = options_.text_encoder;
    if (!path.empty()) {
      ZT_ASSIGN_OR_RETURN(tokenizer_, read_gemma_tokenizer(path));
    }
    if (tokenizer_.kind == tokenizer_name(EncodeText::Tokenizer::kPieceBpe))
      p_.tokenizer = EncodeText::Tokenizer::kPieceBpe;
    return Status();
  }

  // Every tensor is used, is known to be of no use, or is refused by name.
  Status check_left() {
    for (const auto& file : files_.all())
      for (const std::string& key : file->left) {
        if (gemma_ && file->checkpoint == gemma_->checkpoint && is_beside_gemma_text(key)) continue;
        if (key.find("per_channel_statistics.channel") != std::string::npos ||
            key.find("per_channel_statistics.mean-of-stds") != std::string::npos ||
            key.ends_with("mel_stft.stft_fn.inverse_basis"))
          continue;
        if (key == transformer_.prefix + "keyframes_abs_pos_embedding") continue;
        // See read_sound: what is refused there is no tensor.
        if (!p_.sound.rates_agree() &&
            (key.starts_with("encoder.") || key.starts_with("audio_vae.encoder.")))
          continue;
        ZT_RETURN_IF_ERROR(check_unused(*file->checkpoint, transformer_.prefix, key));
      }
    return Status();
  }

  const ConvertSource& source_;
  const ConvertOptions& options_;
  OpenFiles files_;
  Ltx2Place transformer_;
  Ltx2Pipeline p_;
  double scale_ = 1;
  std::optional<FlowSampler> sampler_;
  std::optional<Ltx2Clocks> clocks_;
  std::optional<GemmaFile> gemma_;
  GemmaTokenizer tokenizer_;
  bool distilled_;
  std::vector<Graph> dit_, text_, vae_, sound_, upsampler_;
  WeightMap dit_weights_, vae_weights_, upsampler_weights_;
  Ltx2Refiner refiner_;
  Ltx2TextWeights text_weights_;
  JoinedWeights sound_weights_;
  bool has_text_ = false, has_vae_ = false, has_sound_ = false;
};

Status convert_ltx2(const ConvertSource& source, const ConvertOptions& options,
                    const WriteProgress& progress) {
  Reader reader(source, options);
  ZT_RETURN_IF_ERROR(reader.read());
  ZT_ASSIGN_OR_RETURN(const Recipe recipe, reader.recipe());
  ModelInfo info;
  info.name = options.name.empty() ? "ltx-2" : options.name;
  info.family = "ltx-2";
  if (const GemmaTokenizer& t = reader.tokenizer(); !t.data.empty())
    info.tokenizers = {{"", t.kind, t.data}};
  info.recipe = recipe_to_json(recipe);
  info.provenance = "an LTX-2 checkpoint";
  info.licence = "LTX-2 Community License Agreement, and Gemma's terms for the text encoder";
  return store_model(std::move(info), reader.parts(), options, progress);
}

}  // namespace

const Family& ltx2_family() {
  static const Family family{"ltx-2",
                             {kLtx2OriginalMark, kLtx2DiffusersMark},
                             convert_ltx2,
                             ltx2_key_layouts,
                             ltx2_column_groups};
  return family;
}

}  // namespace zoetrope
