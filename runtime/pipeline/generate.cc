#include "runtime/pipeline/generate.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>

#include "runtime/pipeline/decode.h"
#include "runtime/pipeline/known_latents.h"
#include "runtime/pipeline/tokenizer.h"
#include "runtime/random/normal.h"
#include "runtime/samplers/flow.h"

namespace zoetrope {
namespace {

using Clock = std::chrono::steady_clock;

// Streams of the noise generator.
constexpr uint64_t kVideoNoise = 0;
constexpr uint64_t kAudioNoise = 1;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

class Pipeline {
 public:
  Pipeline(const Model& model, const GenerateOptions& options, Device& device, ClipSink& sink,
           const GenerateHooks& hooks)
      : model_(model), options_(options), device_(device), sink_(sink), hooks_(hooks) {}

  Result<GenerateStats> run() {
    const auto start = Clock::now();
    ZT_ASSIGN_OR_RETURN(plan_, plan_pipeline(model_, options_, device_));
    stats_.load_seconds += seconds_since(start);
    stats_.planned_peak_bytes = plan_.peak_bytes();
    ZT_RETURN_IF_ERROR(notice_prompt());
    ZT_RETURN_IF_ERROR(encode_text());
    ZT_ASSIGN_OR_RETURN(known_, encode_known(model_, plan_, options_.known, device_));
    ZT_RETURN_IF_ERROR(denoise());
    ZT_RETURN_IF_ERROR(decode());
    stats_.total_seconds = seconds_since(start_);
    return stats_;
  }

 private:
  bool progress(std::string_view phase, double done, double total) const {
    return !hooks_.progress || hooks_.progress(phase, done, total);
  }
  void notice(const std::string& text) const {
    if (hooks_.notice) hooks_.notice(text);
  }

  Status notice_prompt() {
    ZT_ASSIGN_OR_RETURN(const Tokens tokens,
                        tokenize_bytes(options_.prompt, model_.recipe.max_text));
    if (tokens.truncated)
      notice(str("the prompt is ", options_.prompt.size(),
                 " bytes long; this model reads the first ", tokens.ids.size() - 2));
    if (model_.vocabulary.empty()) return Status();
    std::string words;
    for (const std::string& word : unknown_words(options_.prompt, model_.vocabulary)) {
      if (words.size() > 200) {
        words += ", ...";
        break;
      }
      words += (words.empty() ? "" : ", ") + word.substr(0, 40);
    }
    if (!words.empty()) notice("words that this model never saw: " + words);
    return Status();
  }

  const PipelinePlan::Phase& phase(std::string_view component) const {
    for (const PipelinePlan::Phase& p : plan_.phases)
      if (p.component == component) return p;
    ZT_CHECK(false);
  }

  // A component's session; its memory is counted while it lives.
  Result<std::unique_ptr<Session>> open(std::string_view component) {
    const auto start = Clock::now();
    const PipelinePlan::Phase& p = phase(component);
    weights_.shrink(0);  // one component at a time
    ZT_ASSIGN_OR_RETURN(auto session,
                        Session::create(p.plan, weights_, [&](int64_t done, int64_t total) {
                          return progress(str("load ", component), double(done), double(total));
                        }));
    stats_.load_seconds += seconds_since(start);
    stats_.peak_bytes = std::max(stats_.peak_bytes, device_.allocated_bytes());
    return session;
  }

  // Row 0 is the prompt, row 1 the negative prompt.
  Status encode_text() {
    const auto length = static_cast<size_t>(plan_.text_length);
    std::vector<int32_t> ids(2 * length, kBytePad);
    text_lengths_.clear();
    for (size_t row = 0; row < 2; ++row) {
      ZT_ASSIGN_OR_RETURN(
          const Tokens tokens,
          tokenize_bytes(row == 0 ? options_.prompt : options_.negative, plan_.recipe.max_text));
      std::copy(tokens.ids.begin(), tokens.ids.end(),
                ids.begin() + static_cast<int64_t>(row * length));
      text_lengths_.push_back(static_cast<int32_t>(tokens.ids.size()));
    }
    ZT_ASSIGN_OR_RETURN(auto session, open("text_encoder"));
    ZT_RETURN_IF_ERROR(session->set_input("ids", std::span<const int32_t>(ids)));
    ZT_RETURN_IF_ERROR(session->set_input("lengths", std::span<const int32_t>(text_lengths_)));
    ZT_RETURN_IF_ERROR(session->run());
    const TensorType* type = session->output_type("text");
    if (type == nullptr) return error(Code::kDataLoss, "text_encoder has no output 'text'");
    text_.resize(static_cast<size_t>(type->shape.elements()));
    return session->get_output("text", text_.data(), type->bytes());
  }

  // `pass`: 0 the prompt, 1 the negative prompt, where they run one after the other.
  Status set_text(Session& dit, size_t pass) {
    const size_t row = text_.size() / 2;
    if (plan_.batch == 2) {
      ZT_RETURN_IF_ERROR(dit.set_input("text", std::span<const float>(text_)));
      return dit.set_input("text_lengths", std::span<const int32_t>(text_lengths_));
    }
    ZT_RETURN_IF_ERROR(
        dit.set_input("text", std::span<const float>(text_).subspan(pass * row, row)));
    return dit.set_input("text_lengths", std::span<const int32_t>(text_lengths_).subspan(pass, 1));
  }

  // The same data for every row of the batch.
  Status set_rows(Session& dit, const char* name, std::span<const float> row) {
    if (plan_.batch == 1) return dit.set_input(name, row);
    rows_.assign(row.begin(), row.end());
    rows_.insert(rows_.end(), row.begin(), row.end());
    return dit.set_input(name, std::span<const float>(rows_));
  }

  // One evaluation of the network: velocities of row 0 (and 1) into out_[0] (and out_[1]).
  Status evaluate(Session& dit, double t, std::span<const float> x, size_t pass) {
    const std::vector<float> times(static_cast<size_t>(plan_.batch), static_cast<float>(t));
    if (t != time_set_) ZT_RETURN_IF_ERROR(dit.set_input("time", std::span<const float>(times)));
    time_set_ = t;
    ZT_RETURN_IF_ERROR(set_rows(dit, "video", x.first(video_)));
    if (audio_ > 0) ZT_RETURN_IF_ERROR(set_rows(dit, "audio", x.subspan(video_)));
    ZT_RETURN_IF_ERROR(dit.run());
    const auto batch = static_cast<size_t>(plan_.batch);
    rows_.resize(video_ * batch);
    ZT_RETURN_IF_ERROR(dit.get_output("video_velocity", rows_.data(),
                                      static_cast<int64_t>(rows_.size() * sizeof(float))));
    for (size_t b = 0; b < batch; ++b)
      std::copy_n(rows_.begin() + static_cast<int64_t>(b * video_), video_, out_[pass + b].begin());
    if (audio_ == 0) return Status();
    rows_.resize(audio_ * batch);
    ZT_RETURN_IF_ERROR(dit.get_output("audio_velocity", rows_.data(),
                                      static_cast<int64_t>(rows_.size() * sizeof(float))));
    for (size_t b = 0; b < batch; ++b)
      std::copy_n(rows_.begin() + static_cast<int64_t>(b * audio_), audio_,
                  out_[pass + b].begin() + static_cast<int64_t>(video_));
    return Status();
  }

  Status draw_noise() {
    if (!options_.noise.empty() && options_.noise.size() != video_ + audio_)
      return error(Code::kInvalidArgument, "the given noise has ", options_.noise.size(),
                   " elements; this clip takes ", video_ + audio_);
    latents_ = options_.noise;
    if (!latents_.empty()) return Status();
    latents_.resize(video_ + audio_);
    fill_normal(options_.seed, kVideoNoise, 0, std::span(latents_).first(video_));
    fill_normal(options_.seed, kAudioNoise, 0, std::span(latents_).subspan(video_));
    return Status();
  }

  Status denoise() {
    ZT_ASSIGN_OR_RETURN(auto dit, open("dit"));
    video_ = known_.video.size();
    audio_ = known_.audio.size();
    ZT_RETURN_IF_ERROR(draw_noise());
    ZT_RETURN_IF_ERROR(set_rows(*dit, "video_known", known_.video));
    ZT_RETURN_IF_ERROR(set_rows(*dit, "video_mask", known_.video_mask));
    if (audio_ > 0) {
      ZT_RETURN_IF_ERROR(set_rows(*dit, "audio_known", known_.audio));
      ZT_RETURN_IF_ERROR(set_rows(*dit, "audio_mask", known_.audio_mask));
    }
    for (auto& out : out_) out.resize(latents_.size());
    const double guidance = plan_.recipe.guidance;
    const bool guided = guidance != 1.0;
    ZT_RETURN_IF_ERROR(set_text(*dit, 0));

    const Velocity velocity = [&](double t, std::span<const float> x,
                                  std::span<float> v) -> Status {
      ZT_RETURN_IF_ERROR(evaluate(*dit, t, x, 0));
      if (guided && plan_.batch == 1) {
        ZT_RETURN_IF_ERROR(set_text(*dit, 1));
        ZT_RETURN_IF_ERROR(evaluate(*dit, t, x, 1));
        ZT_RETURN_IF_ERROR(set_text(*dit, 0));
      }
      const auto g = static_cast<float>(guidance);
      for (size_t i = 0; i < v.size(); ++i)
        v[i] = guided ? out_[1][i] + g * (out_[0][i] - out_[1][i]) : out_[0][i];
      return Status();
    };
    const auto start = Clock::now();
    stats_.first_step_seconds = seconds_since(start_);
    progress("denoise", 0, plan_.recipe.steps);
    ZT_RETURN_IF_ERROR(
        sample_flow(plan_.recipe.sampler.solver, plan_.times, velocity, latents_,
                    [&](int done, int total) { return progress("denoise", done, total); }));
    stats_.denoise_seconds = seconds_since(start);
    for (float x : latents_)
      if (!std::isfinite(x))
        return error(Code::kDataLoss,
                     "denoising gave NaN or infinity: the weights are damaged, or "
                     "the compute type is too narrow for this model");
    keep_known();
    return Status();
  }

  // Wholly known latents are what was given, not what the network made of them.
  void keep_known() {
    const auto channels = static_cast<size_t>(plan_.recipe.video.channels);
    for (size_t i = 0; i < video_; ++i)
      if (known_.video_mask[i / channels] == kMaskKnown) latents_[i] = known_.video[i];
    const auto audio_channels = static_cast<size_t>(plan_.recipe.audio.channels);
    for (size_t i = 0; i < audio_; ++i)
      if (known_.audio_mask[i / audio_channels] == kMaskKnown)
        latents_[video_ + i] = known_.audio[i];
  }

  Status decode() {
    const auto start = Clock::now();
    const std::span<float> latents(latents_);
    if (audio_ > 0) {
      ZT_ASSIGN_OR_RETURN(auto session, open("codec_decoder"));
      ZT_RETURN_IF_ERROR(decode_audio(*session, plan_, phase("codec_decoder").tiles,
                                      latents.subspan(video_), sink_, hooks_));
    }
    ZT_ASSIGN_OR_RETURN(auto session, open("tae_decoder"));
    ZT_RETURN_IF_ERROR(decode_video(*session, plan_, phase("tae_decoder").tiles,
                                    latents.first(video_), sink_, hooks_));
    stats_.decode_seconds = seconds_since(start);
    return Status();
  }

  const Model& model_;
  const GenerateOptions& options_;
  Device& device_;
  ClipSink& sink_;
  const GenerateHooks& hooks_;
  const Clock::time_point start_ = Clock::now();
  WeightStore weights_{device_, *model_.weights};
  PipelinePlan plan_;
  GenerateStats stats_;
  std::vector<float> text_;            // [2, M, C]
  std::vector<int32_t> text_lengths_;  // [2]
  KnownTensors known_;
  size_t video_ = 0, audio_ = 0;  // elements of one row
  std::vector<float> latents_;    // [video | audio]
  std::vector<float> out_[2];     // velocities: prompt, negative
  std::vector<float> rows_;
  double time_set_ = NAN;
};

}  // namespace

Result<GenerateStats> generate(const Model& model, const GenerateOptions& options, Device& device,
                               ClipSink& sink, const GenerateHooks& hooks) {
  return Pipeline(model, options, device, sink, hooks).run();
}

}  // namespace zoetrope
