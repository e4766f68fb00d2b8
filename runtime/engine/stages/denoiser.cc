#include "runtime/engine/stages/denoiser.h"

#include <algorithm>
#include <cmath>
#include <new>
#include <system_error>

#include "graph/thread.h"

namespace zoetrope {

std::vector<Denoise::Condition> conditions_of(const Denoise& s, const ClipShape& shape) {
  std::vector<Denoise::Condition> all = s.conditions;
  if (shape.key_frames > 0 && s.keyed) all.push_back({s.keyed->value, s.keyed->input});
  if (shape.end_pictures > 0 && s.ended)
    all.insert(all.end(), s.ended->conditions.begin(), s.ended->conditions.end());
  return all;
}

const LatentSpec* latents_of_value(const Recipe& recipe, const std::string& value) {
  for (const Stage& stage : recipe.stages)
    if (const auto* known = std::get_if<KnownLatents>(&stage))
      if (value == known->gives || value == known->gives_mask)
        return recipe.find_latents(known->latents);
  for (const Stage& stage : recipe.stages)
    if (const auto* source = std::get_if<SourceClip>(&stage))
      if (value == source->gives || (!value.empty() && value == source->gives_black))
        return recipe.find_latents(source->latents);
  for (const Stage& stage : recipe.stages)
    if (const auto* frames = std::get_if<FrameFeatures>(&stage))
      if (value == frames->gives) return recipe.find_latents(frames->latents);
  return nullptr;
}

namespace {

// Latents of a window, of values that hold `whole` of them in one row after the other.
template <typename T>
void gather(std::span<const T> from, size_t rows, size_t whole, const TimeWindow& window,
            std::vector<T>* to) {
  const size_t row = from.size() / rows, latent = row / whole;
  for (size_t r = 0; r < rows; ++r)
    for (size_t i = 0; i < window.weights.size(); ++i) {
      const auto one =
          from.subspan(r * row + (static_cast<size_t>(window.start) + i) % whole * latent, latent);
      to->insert(to->end(), one.begin(), one.end());
    }
}

// The other way: each as much as it counts, beside what others have made of it.
void add_window(std::span<const float> from, size_t rows, size_t whole, const TimeWindow& window,
                std::span<float> to) {
  const size_t row = to.size() / rows, latent = row / whole;
  for (size_t r = 0; r < rows; ++r)
    for (size_t i = 0; i < window.weights.size(); ++i, from = from.subspan(latent)) {
      const auto one =
          to.subspan(r * row + (static_cast<size_t>(window.start) + i) % whole * latent, latent);
      for (size_t k = 0; k < latent; ++k) one[k] += window.weights[i] * from[k];
    }
}

}  // namespace

void Denoiser::at_step(int step) {
  const ClipShape& clip = c_->plan.shape;
  if (!sees_windows(clip)) return;
  windows_.clear();
  for (const Denoise::Stream& stream : pass_->denoise.streams)
    windows_.push_back(
        windows_of(c_->model.recipe, *c_->model.recipe.find_latents(stream.latents), clip, step));
}

void Denoiser::open(RunContext* c, const DenoisePlan& pass) {
  c_ = c;
  pass_ = &pass;
  for (const Denoise::Stream& stream : pass.denoise.streams) {
    const Shape shape = denoised_shape(pass.denoise, *c->model.recipe.find_latents(stream.latents),
                                       c->plan.shape, c->plan.samples);
    offsets_.push_back(elements_);
    sizes_.push_back(static_cast<size_t>(shape.elements()));
    elements_ += sizes_.back();
  }
  at_step(pass.next_step);
}

Status Denoiser::take(size_t network) {
  if (!parts_.empty() && network == network_) return Status();
  parts_.clear();
  network_ = network;
  const RequestPlan& plan = c_->plan;
  const NetworkPlan& n = pass_->networks[network];
  const Job* whole = plan.find(c_->stage, denoise_key(network, 0));
  ZT_CHECK(whole != nullptr);
  const int64_t calls = rows() / n.rows_a_call;
  one_session_ = calls > 1 && !n.halves;
  for (int64_t i = 0; i < calls; ++i) {
    Part part;
    part.first = i * n.rows_a_call;
    part.count = n.rows_a_call;
    if (i == 0 || n.halves) {
      const int64_t key = denoise_key(network, static_cast<size_t>(i));
      ZT_ASSIGN_OR_RETURN(part.lease, c_->open(*plan.find(c_->stage, key)));
      ZT_RETURN_IF_ERROR(part.lease.use([&](Session& session) -> Status {
        session.reset_states();
        return set_conditions(session, part.first, part.count);
      }));
    }
    parts_.push_back(std::move(part));
  }
  factor_.clear();
  outputs_.clear();
  for (const Denoise::Stream& stream : pass_->denoise.streams) {
    const int64_t channels = c_->model.recipe.find_latents(stream.latents)->channels;
    for (const PlanBinding& out : whole->plan->outputs)
      if (out.name == stream.output)
        factor_.push_back(
            static_cast<size_t>(whole->plan->graph.value(out.value).type.shape[-1] / channels));
    outputs_.emplace_back(sizes_[outputs_.size()] / static_cast<size_t>(plan.samples) *
                          static_cast<size_t>(rows()) * factor_.back());
  }
  return Status();
}

Status Denoiser::set_conditions(Session& session, int64_t first, int64_t count) const {
  for (const Denoise::Condition& condition : conditions_of(pass_->denoise, c_->plan.shape))
    if (windows_.empty() || latents_of_value(c_->model.recipe, condition.value) == nullptr)
      ZT_RETURN_IF_ERROR(set_condition(session, condition, first, count, nullptr));
  const auto& weaker = pass_->denoise.weaker;
  for (size_t k = 0; k < weaker.size(); ++k) {
    std::vector<float> flags;
    for (int64_t r = first; r < first + count; ++r) {
      const size_t of = weaker_of(r);
      flags.push_back(of != SIZE_MAX && network().weaker[of] == k ? 1.0f : 0.0f);
    }
    ZT_RETURN_IF_ERROR(session.set_input(weaker[k].input, std::span<const float>(flags)));
  }
  return Status();
}

// A value of one row is every row's.
Status Denoiser::set_condition(Session& session, const Denoise::Condition& condition, int64_t first,
                               int64_t count, const TimeWindow* window) const {
  const StageValue& value = c_->values.at(condition.value);
  const int64_t rows = value.type.shape[0];
  const auto row = value.bytes.size() / static_cast<size_t>(rows);
  std::vector<uint8_t> bytes;
  for (int64_t r = first; r < first + count; ++r) {
    const int64_t of = rows == 1 ? 0 : row_of(r);
    const auto one =
        std::span<const uint8_t>(value.bytes).subspan(row * static_cast<size_t>(of), row);
    if (window != nullptr)
      gather(one, 1, static_cast<size_t>(value.type.shape[1]), *window, &bytes);
    else
      bytes.insert(bytes.end(), one.begin(), one.end());
  }
  return session.set_input(condition.input, bytes.data(), static_cast<int64_t>(bytes.size()));
}

Status Denoiser::call(Session& session, Part* part, double t, std::span<const float> x) {
  const Denoise& s = pass_->denoise;
  if (!part->has_time || t != part->time_set) {
    const auto tell = [&](const std::string& input, double time) {
      const std::vector<float> times(static_cast<size_t>(part->count),
                                     static_cast<float>(time * s.time_scale));
      return session.set_input(input, std::span<const float>(times));
    };
    ZT_RETURN_IF_ERROR(tell(s.time, t));
    for (size_t i = 0; i < s.streams.size(); ++i)
      if (const auto& own = s.streams[i].schedule)
        ZT_RETURN_IF_ERROR(tell(own->time, time_of(i, t)));
    part->time_set = t;
    part->has_time = true;
  }
  if (!windows_.empty()) {
    for (size_t i = 0; i < s.streams.size(); ++i) {
      const size_t row = outputs_[i].size() / static_cast<size_t>(this->rows());
      std::fill_n(outputs_[i].begin() + static_cast<int64_t>(row) * part->first,
                  row * static_cast<size_t>(part->count), 0.0f);
    }
    for (size_t w = 0; w < windows_[0].size(); ++w) ZT_RETURN_IF_ERROR(see(session, part, w, x));
    return Status();
  }
  const int64_t samples = c_->plan.samples;
  for (size_t i = 0; i < s.streams.size(); ++i) {
    // All rows of a sample see the same latents.
    const auto from = x.subspan(offsets_[i], sizes_[i]);
    part->rows.clear();
    for (int64_t r = 0; r < part->count; r += samples)
      part->rows.insert(part->rows.end(), from.begin(), from.end());
    ZT_RETURN_IF_ERROR(session.set_input(s.streams[i].input, std::span<const float>(part->rows)));
  }
  ZT_RETURN_IF_ERROR(session.run());
  for (size_t i = 0; i < s.streams.size(); ++i) {
    const size_t row = outputs_[i].size() / static_cast<size_t>(this->rows());
    ZT_RETURN_IF_ERROR(session.get_output(
        s.streams[i].output, outputs_[i].data() + row * static_cast<size_t>(part->first),
        static_cast<int64_t>(row * static_cast<size_t>(part->count) * sizeof(float))));
  }
  return Status();
}

// One window of all streams, added to what the others make.
Status Denoiser::see(Session& session, Part* part, size_t window, std::span<const float> x) {
  const Denoise& s = pass_->denoise;
  const Recipe& recipe = c_->model.recipe;
  const ClipShape& clip = c_->plan.shape;
  const auto samples = static_cast<size_t>(c_->plan.samples);
  const auto latents_in = [&](const LatentSpec& spec) {
    return static_cast<size_t>(latent_shape(spec, clip, 1)[1]);
  };
  for (const Denoise::Condition& condition : s.conditions) {
    const LatentSpec* spec = latents_of_value(recipe, condition.value);
    for (size_t i = 0; spec != nullptr && i < s.streams.size(); ++i)
      if (s.streams[i].latents == spec->name)
        ZT_RETURN_IF_ERROR(
            set_condition(session, condition, part->first, part->count, &windows_[i][window]));
  }
  for (size_t i = 0; i < s.streams.size(); ++i) {
    const size_t whole = latents_in(*recipe.find_latents(s.streams[i].latents));
    part->rows.clear();
    for (size_t r = 0; r < static_cast<size_t>(part->count); r += samples)
      gather(x.subspan(offsets_[i], sizes_[i]), samples, whole, windows_[i][window], &part->rows);
    ZT_RETURN_IF_ERROR(session.set_input(s.streams[i].input, std::span<const float>(part->rows)));
  }
  ZT_RETURN_IF_ERROR(session.run());
  for (size_t i = 0; i < s.streams.size(); ++i) {
    const auto count = static_cast<size_t>(part->count);
    const size_t whole = latents_in(*recipe.find_latents(s.streams[i].latents));
    const size_t row = outputs_[i].size() / static_cast<size_t>(rows());
    const TimeWindow& seen = windows_[i][window];
    part->seen.resize(row / whole * seen.weights.size() * count);
    ZT_RETURN_IF_ERROR(session.get_output(s.streams[i].output, part->seen.data(),
                                          static_cast<int64_t>(part->seen.size() * sizeof(float))));
    add_window(
        part->seen, count, whole, seen,
        std::span<float>(outputs_[i]).subspan(row * static_cast<size_t>(part->first), row * count));
  }
  return Status();
}

Status Denoiser::run_part(Part* part, double t, std::span<const float> x) {
  const SessionLease& lease = one_session_ ? parts_[0].lease : part->lease;
  return lease.use([&](Session& session) -> Status {
    if (one_session_) {
      ZT_RETURN_IF_ERROR(set_conditions(session, part->first, part->count));
      part->has_time = &parts_[0] != part && parts_[0].has_time && parts_[0].time_set == t;
      part->time_set = t;
    }
    return call(session, part, t, x);
  });
}

Status Denoiser::evaluate(double t, std::span<const float> x, std::span<float> out,
                          std::span<float> variance) {
  if (network().halves) {
    // No exception of the second half may end the process, nor of the thread itself.
    Status other;
    try {
      const Thread worker([&] {
        try {
          other = run_part(&parts_[1], t, x);
        } catch (const std::bad_alloc&) {
          other = Status(Code::kResourceExhausted, "out of memory");
        }
      });
      ZT_RETURN_IF_ERROR(run_part(&parts_[0], t, x));
    } catch (const std::system_error& e) {
      return error(Code::kResourceExhausted, "no thread for the second half of a step: ", e.what());
    }
    ZT_RETURN_IF_ERROR(other);
  } else {
    for (Part& part : parts_) ZT_RETURN_IF_ERROR(run_part(&part, t, x));
  }
  guide(t, x, out, variance);
  // Of the first stage alone, whose way through the noise is the request's.
  return pass_ == &c_->plan ? c_->evaluated(t, out) : Status();
}

void Denoiser::guide(double t, std::span<const float> x, std::span<float> out,
                     std::span<float> variance) const {
  for (size_t i = 0; i < outputs_.size(); ++i) {
    guide_stream(i, out, variance);
    if (pass_->denoise.streams[i].rescale > 0) rescale_stream(i, time_of(i, t), x, out);
  }
}

// unwanted + g (wanted − unwanted) + Σ s (wanted or unwanted − weaker), on the channels that are
// guided; of the others, and of the variance, what is wanted.
void Denoiser::guide_stream(size_t i, std::span<float> out, std::span<float> variance) const {
  const Denoise& s = pass_->denoise;
  const NetworkPlan& n = network();
  const auto g = static_cast<float>(n.stream_guidance[i]);
  const auto channels =
      static_cast<size_t>(c_->model.recipe.find_latents(s.streams[i].latents)->channels);
  const size_t guided =
      s.guidance_channels > 0 ? static_cast<size_t>(s.guidance_channels) : channels;
  const float* wanted = outputs_[i].data();
  const size_t block = outputs_[i].size() / static_cast<size_t>(n.blocks());
  const float* unwanted = n.guided() && g != 1 ? wanted + block : nullptr;
  struct Weak {
    const float *than, *values;
    float scale;
  };
  std::vector<Weak> weaker;
  for (size_t k = 0; k < n.weaker.size(); ++k) {
    const Denoise::Weaker& w = s.weaker[n.weaker[k]];
    weaker.push_back({w.unwanted && n.guided() ? wanted + block : wanted,
                      wanted + block * (k + (n.guided() ? 2 : 1)),
                      static_cast<float>(w.scales[i])});
  }
  const size_t stride = channels * factor_[i];
  for (size_t p = 0; p < sizes_[i] / channels; ++p)
    for (size_t k = 0; k < channels; ++k) {
      const size_t from = p * stride + k, to = offsets_[i] + p * channels + k;
      const bool moves = k < guided;
      float value = moves && unwanted != nullptr
                        ? unwanted[from] + g * (wanted[from] - unwanted[from])
                        : wanted[from];
      if (moves)
        for (const Weak& w : weaker) value += w.scale * (w.than[from] - w.values[from]);
      out[to] = value;
      if (!variance.empty()) variance[to] = wanted[from + channels];
    }
}

// A flow's velocity v at x and time t predicts the result x − t·v. The guided prediction, sample by
// sample, is mixed with itself at the spread of what was wanted.
void Denoiser::rescale_stream(size_t i, double t, std::span<const float> x,
                              std::span<float> out) const {
  if (!(t > 0)) return;
  const auto spread = [&](std::span<const float> at, const float* v) {
    double sum = 0, squares = 0;
    for (size_t k = 0; k < at.size(); ++k) sum += at[k] - t * v[k];
    const double mean = sum / static_cast<double>(at.size());
    for (size_t k = 0; k < at.size(); ++k) {
      const double d = at[k] - t * v[k] - mean;
      squares += d * d;
    }
    return std::sqrt(squares / static_cast<double>(std::max<size_t>(at.size() - 1, 1)));
  };
  const double part = pass_->denoise.streams[i].rescale;
  const auto samples = static_cast<size_t>(c_->plan.samples);
  const size_t row = sizes_[i] / samples;
  for (size_t s = 0; s < samples; ++s) {
    const auto at = x.subspan(offsets_[i] + s * row, row);
    const auto v = out.subspan(offsets_[i] + s * row, row);
    const double guided = spread(at, v.data());
    if (!(guided > 0)) continue;
    const double scale = part * spread(at, outputs_[i].data() + s * row) / guided + 1 - part;
    for (size_t k = 0; k < row; ++k)
      v[k] = static_cast<float>((at[k] - scale * (at[k] - t * v[k])) / t);
  }
}

}  // namespace zoetrope
