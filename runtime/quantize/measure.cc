#include "runtime/quantize/measure.h"

#include <sys/wait.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <numeric>

#include "graph/elements.h"
#include "graph/parallel_rows.h"
#include "graph/rotation.h"
#include "graph/text.h"
#include "runtime/engine/find_stage.h"
#include "runtime/media/clip_writer.h"
#include "runtime/verify/quality.h"

namespace zoetrope {
namespace {

constexpr size_t kMostRateName = 128;  // bytes: failures quote it
constexpr double kLargestLoss = 1e6;   // what is no number counts as this

double ratio(double error, double energy) {
  const double value = energy > 0 ? error / energy : error > 0 ? kLargestLoss : 0;
  return std::isfinite(value) ? std::min(value, kLargestLoss) : kLargestLoss;
}

class Collected : public ClipSink {
 public:
  Collected(std::vector<uint8_t>* pixels, std::vector<float>* sound, int64_t frame_bytes,
            int channels)
      : pixels_(*pixels), sound_(*sound), frame_bytes_(frame_bytes), channels_(channels) {}
  Status frames(const uint8_t* pixels, int64_t count) override {
    pixels_.insert(pixels_.end(), pixels, pixels + count * frame_bytes_);
    return Status();
  }
  Status audio(const float* samples, int64_t count) override {
    sound_.insert(sound_.end(), samples, samples + count * channels_);
    return Status();
  }

 private:
  std::vector<uint8_t>& pixels_;
  std::vector<float>& sound_;
  const int64_t frame_bytes_;
  const int channels_;
};

// A folder that goes when this does.
class TemporaryFolder {
 public:
  static Result<TemporaryFolder> create() {
    std::error_code failed;
    std::string pattern =
        (std::filesystem::temp_directory_path(failed) / "zoetrope-XXXXXX").string();
    if (failed || ::mkdtemp(pattern.data()) == nullptr)
      return error(Code::kIoError, "no folder for clips could be made in ", pattern);
    return TemporaryFolder(pattern);
  }
  TemporaryFolder(TemporaryFolder&& other) noexcept : path_(std::move(other.path_)) {
    other.path_.clear();
  }
  TemporaryFolder& operator=(TemporaryFolder&&) = delete;
  ~TemporaryFolder() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }

 private:
  explicit TemporaryFolder(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

// For the shell, whatever it holds.
std::string quoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

// A weight and what is stored of it.
struct BothWeights {
  const QuantizedWeight& weight;
  WeightData original = {}, values = {}, scale = {};  // scale: empty where the format has none
  ops::DequantizeShape shape = {};
  int64_t rows = 1, columns = 0;

  // `wide` as doubles of the original's row, `stored` as what is read back; `scratch` as wide.
  void read(int64_t row, std::vector<double>* wide, std::vector<double>* stored,
            std::vector<float>* scratch) const {
    const auto load = [&](const WeightData& from, std::vector<double>* to) {
      const auto* data = static_cast<const uint8_t*>(from.data);
      const DType dtype = from.type.dtype;
      load_elements(dtype, data + row * columns * dtype_size(dtype), columns, to->data());
    };
    load(original, wide);
    if (weight.scale.empty()) return load(values, stored);
    const EncodedData data{values.type.dtype, scale.type.dtype, DType::kF32,
                           values.data,       scale.data,       nullptr};
    decode_row(shape, data, row, scratch->data());
    if (weight.choice.rotate) rotate_row(scratch->data(), columns);
    std::copy(scratch->begin(), scratch->end(), stored->begin());
  }
};

Result<double> weight_error(const WeightSource& original, const WeightSource& quantized,
                            const QuantizedWeight& w) {
  BothWeights both{w};
  ZT_ASSIGN_OR_RETURN(both.original, original.load(w.weight));
  ZT_ASSIGN_OR_RETURN(both.values, quantized.load(w.values));
  if (w.shape.rank() > 0) both.rows = w.shape[0];
  both.columns = w.shape.elements() / std::max<int64_t>(both.rows, 1);
  if (!w.scale.empty()) {
    ZT_ASSIGN_OR_RETURN(
        both.shape, ops::dequantize_shape(dequantize_attrs(w.choice, {both.rows, both.columns})));
    ZT_ASSIGN_OR_RETURN(both.scale, quantized.load(w.scale));
  }
  std::vector<double> errors(static_cast<size_t>(both.rows)), energies(errors);
  const int64_t least = std::max<int64_t>(1, 65536 / std::max<int64_t>(both.columns, 1));
  for_rows(both.rows, row_parts(both.rows, least), [&](int64_t, int64_t begin, int64_t end) {
    std::vector<double> x(static_cast<size_t>(both.columns)), stored(x);
    std::vector<float> scratch(x.size());
    for (int64_t r = begin; r < end; ++r) {
      both.read(r, &x, &stored, &scratch);
      for (size_t i = 0; i < x.size(); ++i) {
        const double difference = x[i] - stored[i];
        errors[static_cast<size_t>(r)] += difference * difference;
        energies[static_cast<size_t>(r)] += x[i] * x[i];
      }
    }
  });
  // In the rows' order: the same for any number of threads.
  return std::sqrt(ratio(std::accumulate(errors.begin(), errors.end(), 0.0),
                         std::accumulate(energies.begin(), energies.end(), 0.0)));
}

}  // namespace

Result<std::vector<QuantizeReport::Layer>> measure_weights(
    const WeightSource& original, const WeightSource& quantized,
    const std::vector<QuantizedWeight>& weights, const MeasureProgress& progress) {
  std::vector<QuantizeReport::Layer> layers;
  for (const QuantizedWeight& w : weights) {
    if (!progress("compare weights", static_cast<double>(layers.size()),
                  static_cast<double>(weights.size())))
      return error(Code::kCancelled, "asked to stop");
    QuantizeReport::Layer layer{w.weight, std::string(format_name(w.choice.format))};
    if (w.choice.format == WeightFormat::kInt4) layer.format += str("_", w.choice.group);
    ZT_ASSIGN_OR_RETURN(const TensorType was, original.type(w.weight));
    ZT_ASSIGN_OR_RETURN(const TensorType values, quantized.type(w.values));
    layer.original_bytes = was.bytes();
    layer.bytes = values.bytes();
    if (!w.scale.empty()) {
      ZT_ASSIGN_OR_RETURN(const TensorType scale, quantized.type(w.scale));
      layer.bytes += scale.bytes();
    }
    auto error = weight_error(original, quantized, w);
    if (!error.ok()) return error.status().with_context(str("weight '", w.weight, "'"));
    layer.error = *error;
    layers.push_back(std::move(layer));
  }
  return layers;
}

bool makes_clips(const Recipe& recipe) {
  return recipe.incomplete.empty() && find_stage<Denoise>(recipe) != nullptr;
}

Result<std::unique_ptr<Measure>> Measure::create(Model original, MeasureOptions options) {
  ZT_CHECK(!options.prompts.empty());
  std::unique_ptr<Measure> made(new Measure(std::move(options)));
  ZT_ASSIGN_OR_RETURN(made->original_, Engine::create(std::move(original), made->options_.engine));
  return made;
}

Request Measure::request_of(size_t prompt) const {
  Request request = options_.request;
  request.prompt.clear();
  request.classes.clear();
  if (find_stage<ClassLabel>(original_->model().recipe) != nullptr)
    request.classes = {options_.prompts[prompt]};
  else
    request.prompt = options_.prompts[prompt];
  request.seed += prompt;
  return request;
}

Result<Measure::Clip> Measure::run(Engine& engine, const Request& request, const RunHooks& hooks) {
  ZT_ASSIGN_OR_RETURN(const RequestPlan plan, engine.plan(request));
  Clip clip;
  clip.shape = plan.shape;
  Collected sink(&clip.pixels, &clip.sound, plan.shape.height * plan.shape.width * 3,
                 plan.clip.sound_channels);
  ZT_RETURN_IF_ERROR(engine.run(request, sink, hooks).status());
  return clip;
}

Result<std::shared_ptr<const Measure::Clip>> Measure::original(size_t prompt,
                                                               const MeasureProgress& progress) {
  if (const auto it = kept_.find(prompt); it != kept_.end()) return it->second;
  std::vector<Evaluation> evaluations;
  RunHooks hooks;
  hooks.progress = progress;
  hooks.evaluated = [&](double time, std::span<float> output) {
    evaluations.push_back({time, {output.begin(), output.end()}});
    return Status();
  };
  auto made = run(*original_, request_of(prompt), hooks);
  if (!made.ok()) return made.status().with_context("the original");
  made->evaluations = std::move(evaluations);
  auto clip = std::make_shared<const Clip>(std::move(*made));
  if (prompt < kRanking) kept_[prompt] = clip;
  return clip;
}

Result<std::vector<Measure::Loss>> Measure::losses(Engine& engine, size_t prompt,
                                                   const Clip& original,
                                                   const MeasureProgress& progress) const {
  std::vector<Loss> steps;
  Status wrong;
  bool denoised = false;
  RunHooks hooks;
  hooks.progress = [&](std::string_view task, double done, double total) {
    // What comes after denoising is of the original's latents: nothing to learn.
    denoised = steps.size() == original.evaluations.size() && task != "denoise";
    return progress(task, done, total) && !denoised;
  };
  hooks.evaluated = [&](double time, std::span<float> output) -> Status {
    const size_t k = steps.size();
    if (k >= original.evaluations.size() || original.evaluations[k].time != time ||
        original.evaluations[k].output.size() != output.size())
      return wrong = error(Code::kInternal, "the two models take other steps");
    const std::vector<float>& expected = original.evaluations[k].output;
    Loss loss{time};
    for (size_t i = 0; i < output.size(); ++i) {
      const double v = expected[i], off = static_cast<double>(output[i]) - v;
      loss.error += off * off;
      loss.energy += v * v;
      output[i] = expected[i];
    }
    steps.push_back(loss);
    return Status();
  };
  const auto ran = run(engine, request_of(prompt), hooks);
  ZT_RETURN_IF_ERROR(wrong);
  if (!ran.ok() && !(denoised && ran.status().code() == Code::kCancelled)) return ran.status();
  return steps;
}

std::vector<QuantizeReport::Calibration> Measure::seeds() const {
  std::vector<QuantizeReport::Calibration> all;
  for (size_t p = 0; p < options_.prompts.size(); ++p)
    all.push_back({options_.prompts[p], request_of(p).seed});
  return all;
}

Result<int64_t> Measure::steps_of(const Request& request) const {
  ZT_ASSIGN_OR_RETURN(const RequestPlan plan, original_->plan(request));
  return plan.denoise.steps;
}

Result<int64_t> Measure::calibrate(GatherMoments* moments, const MeasureProgress& progress) {
  Request request = request_of(0);
  auto steps = steps_of(request);
  if (!steps.ok()) return steps.status().with_context("the original");
  if (request.steps == 0 && *steps > kCalibrationSteps) {
    request.steps = kCalibrationSteps;
    auto fewer = steps_of(request);
    const Code code = fewer.status().code();
    if (fewer.ok())
      steps = std::move(fewer);
    else if (code == Code::kInvalidArgument || code == Code::kUnsupported)
      request.steps = 0;  // a model of as many steps as it was distilled to
    else
      return fewer.status().with_context("the original");
  }
  const size_t prompts = options_.prompts.size();
  for (size_t p = 0; p < prompts; ++p) {
    RunHooks hooks;
    hooks.progress = [&](std::string_view, double done, double total) {
      return progress("calibrate", static_cast<double>(p) + (total > 0 ? 0.9 * done / total : 0),
                      static_cast<double>(prompts));
    };
    hooks.trace = [moments](const Job&) { return moments; };
    moments->begin_clip();
    Request of_prompt = request_of(p);
    of_prompt.steps = request.steps;
    if (Status status = run(*original_, of_prompt, hooks).status(); !status.ok())
      return status.with_context("the original");
  }
  return *steps;
}

Result<double> Measure::loss(const Model& model, const MeasureProgress& progress) {
  ZT_ASSIGN_OR_RETURN(const auto engine, Engine::create(model, options_.engine));
  const size_t prompts = std::min(kRanking, options_.prompts.size());
  double total = 0;
  for (size_t p = 0; p < prompts; ++p) {
    ZT_ASSIGN_OR_RETURN(const auto clip, original(p, progress));
    ZT_ASSIGN_OR_RETURN(const std::vector<Loss> steps, losses(*engine, p, *clip, progress));
    Loss sum;
    for (const Loss& step : steps) {
      sum.error += step.error;
      sum.energy += step.energy;
    }
    total += ratio(sum.error, sum.energy);
  }
  return total / static_cast<double>(prompts);
}

Result<Measure::Clip> Measure::clip_like(Engine& engine, size_t prompt, const Clip& original,
                                         const MeasureProgress& progress) const {
  RunHooks hooks;
  hooks.progress = progress;
  ZT_ASSIGN_OR_RETURN(Clip other, run(engine, request_of(prompt), hooks));
  if (other.pixels.size() != original.pixels.size() || other.sound.size() != original.sound.size())
    return error(Code::kInternal, "the two models make clips of different sizes");
  return other;
}

Result<double> Measure::psnr(const Model& model, const MeasureProgress& progress) {
  ZT_ASSIGN_OR_RETURN(const auto engine, Engine::create(model, options_.engine));
  const size_t prompts = std::min(kRanking, options_.prompts.size());
  double total = 0;
  for (size_t p = 0; p < prompts; ++p) {
    ZT_ASSIGN_OR_RETURN(const auto clip, original(p, progress));
    ZT_ASSIGN_OR_RETURN(const Clip other, clip_like(*engine, p, *clip, progress));
    total += psnr_u8(other.pixels, clip->pixels);
  }
  return total / static_cast<double>(prompts);
}

Status Measure::compare(Engine& engine, size_t prompt, const std::string& folder,
                        QuantizeReport* report, std::vector<Loss>* steps,
                        const MeasureProgress& progress) {
  ZT_ASSIGN_OR_RETURN(const auto clip, original(prompt, progress));
  ZT_ASSIGN_OR_RETURN(const std::vector<Loss> here, losses(engine, prompt, *clip, progress));
  ZT_ASSIGN_OR_RETURN(const Clip other, clip_like(engine, prompt, *clip, progress));
  Loss sum;
  steps->resize(std::max(steps->size(), here.size()));
  for (size_t k = 0; k < here.size(); ++k) {
    (*steps)[k].time = here[k].time;
    (*steps)[k].error += here[k].error;
    (*steps)[k].energy += here[k].energy;
    sum.error += here[k].error;
    sum.energy += here[k].energy;
  }
  report->clips.push_back(
      {options_.prompts[prompt], request_of(prompt).seed, ratio(sum.error, sum.energy),
       psnr_u8(other.pixels, clip->pixels),
       ssim_frames(other.pixels, clip->pixels, clip->shape.height, clip->shape.width),
       clip->sound.empty() ? 0 : snr(other.sound, clip->sound)});
  if (folder.empty()) return Status();
  ZT_RETURN_IF_ERROR(write_clip(*clip, folder + "/original", prompt));
  return write_clip(other, folder + "/quantised", prompt);
}

Status Measure::write_clip(const Clip& clip, const std::string& folder, size_t prompt) const {
  char name[16];
  std::snprintf(name, sizeof(name), "/%06zu", prompt);
  const std::string place = folder + name;
  std::error_code failed;
  std::filesystem::create_directories(place, failed);
  if (failed) return error(Code::kIoError, place, ": ", failed.message());
  const ClipSpec& spec = original_->model().recipe.clip;
  ClipFormat format;
  format.width = clip.shape.width, format.height = clip.shape.height;
  const int64_t frame_bytes = format.width * format.height * 3;
  format.frames = static_cast<int64_t>(clip.pixels.size()) / std::max<int64_t>(frame_bytes, 1);
  format.fps = std::max(1, static_cast<int>(spec.fps));
  if (format.frames > 0) {
    ZT_ASSIGN_OR_RETURN(const auto writer, create_clip_writer(place + "/frame.png", format));
    ZT_RETURN_IF_ERROR(writer->frames(clip.pixels.data(), format.frames));
    ZT_RETURN_IF_ERROR(writer->finish());
  }
  if (clip.sound.empty()) return Status();
  format.sample_rate = spec.sample_rate, format.channels = spec.sound_channels;
  format.samples = static_cast<int64_t>(clip.sound.size()) / spec.sound_channels;
  ZT_ASSIGN_OR_RETURN(const auto writer, create_clip_writer(place + "/sound.wav", format));
  ZT_RETURN_IF_ERROR(writer->audio(clip.sound.data(), format.samples));
  return writer->finish();
}

Result<std::map<std::string, double>> Measure::judge(const std::string& folder) const {
  std::string command = options_.judge;
  const size_t at = command.find("{}");
  if (at == std::string::npos)
    return error(Code::kInvalidArgument, "the judge's command needs {} where the folder goes");
  command.replace(at, 2, quoted(folder));
  std::FILE* pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) return error(Code::kIoError, "the shell could not be started");
  std::string text;
  char part[4096];
  constexpr size_t kMost = 1 << 24;
  for (size_t got; (got = std::fread(part, 1, sizeof(part), pipe)) > 0 && text.size() < kMost;)
    text.append(part, got);
  const int status = ::pclose(pipe);
  if (status == -1 || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
    return error(Code::kInvalidArgument, "the judge's command failed: ", command);
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object())
    return error(Code::kInvalidArgument, "the judge's command printed no JSON object: ", command);
  std::map<std::string, double> rates;
  for (const auto& [name, value] : json.items()) {
    if (!value.is_number() || !(value.get<double>() >= 0 && value.get<double>() <= 1)) continue;
    if (name.empty() || name.size() > kMostRateName || !is_printable(name) || !is_utf8(name))
      return error(Code::kInvalidArgument,
                   "the judge's command printed a rate whose name is not 1 to ", kMostRateName,
                   " bytes of text without control characters: ", command);
    rates[name] = value.get<double>();
  }
  if (rates.empty())
    return error(Code::kInvalidArgument, "the judge's command printed no rates: ", command);
  return rates;
}

Status Measure::measure(const Model& model, QuantizeReport* report,
                        const MeasureProgress& progress) {
  ZT_ASSIGN_OR_RETURN(const auto engine, Engine::create(model, options_.engine));
  std::optional<TemporaryFolder> folder;
  if (!options_.judge.empty()) {
    auto made = TemporaryFolder::create();
    if (!made.ok()) return made.status();
    folder.emplace(std::move(*made));
  }
  std::vector<Loss> steps;
  for (size_t p = 0; p < options_.prompts.size(); ++p) {
    if (!progress("measure", static_cast<double>(p), static_cast<double>(options_.prompts.size())))
      return error(Code::kCancelled, "asked to stop");
    const auto inner = [&](std::string_view, double done, double total) {
      const double share = total > 0 ? done / total : 0;
      return progress("measure", static_cast<double>(p) + 0.9 * share,
                      static_cast<double>(options_.prompts.size()));
    };
    ZT_RETURN_IF_ERROR(
        compare(*engine, p, folder ? folder->path() : std::string(), report, &steps, inner));
  }
  for (const Loss& step : steps)
    report->steps.push_back({step.time, ratio(step.error, step.energy)});
  if (!folder) return Status();
  return judge_both(folder->path(), report);
}

Status Measure::judge_both(const std::string& folder, QuantizeReport* report) const {
  ZT_ASSIGN_OR_RETURN(const auto before, judge(folder + "/original"));
  ZT_ASSIGN_OR_RETURN(const auto after, judge(folder + "/quantised"));
  for (const auto& [name, rate] : before)
    if (const auto it = after.find(name); it != after.end())
      report->rates.push_back({name, rate, it->second});
    else
      report->missing_rates.push_back(name);
  return Status();
}

}  // namespace zoetrope
