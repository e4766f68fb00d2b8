#include "runtime/engine/stages/causal_coder.h"

#include <algorithm>
#include <map>
#include <set>

namespace zoetrope {
namespace {

constexpr int64_t kLeastTile = 8;             // latents a side: below, a tile is all seam
constexpr int64_t kMostLatents = 4;           // a call, where the plan chooses
constexpr int64_t kCheapBytes = 512ll << 20;  // what more latents a call may take unasked

// What one call works on.
struct Call {
  bool first = true;
  int64_t latents = 1, rows = 0, columns = 0;
  int64_t height = 0, width = 0;  // pixels
};

JobSpec job_of(const CausalCoder& coder, const LatentSpec& spec, const Call& call) {
  const int64_t frames = call.first ? spec.first_frames : call.latents * spec.later_frames;
  const TensorType pixels{DType::kF32, {1, frames, call.height, call.width, 3}},
      latents{DType::kF32, {1, call.latents, call.rows, call.columns, spec.channels}};
  JobSpec job;
  job.component = call.first ? coder.first : coder.component;
  job.inputs = {{coder.input, coder.encodes ? pixels : latents}};
  job.outputs = {{coder.output, coder.encodes ? latents : pixels}};
  return job;
}

// The whole frame: an encoder's as it is asked for, a decoder's as the latents give it.
Call whole_frame(const CausalCoder& coder, const LatentSpec& spec, const ClipShape& shape) {
  Call call;
  call.rows = shape.latent_height, call.columns = shape.latent_width;
  call.height = coder.encodes ? shape.height : call.rows * spec.pixels;
  call.width = coder.encodes ? shape.width : call.columns * spec.pixels;
  return call;
}

Result<std::map<std::string, TensorType>> states_of(const Graph& graph, const JobSpec& job) {
  ZT_ASSIGN_OR_RETURN(const Bindings bindings, infer_bindings(graph, job.inputs));
  ZT_ASSIGN_OR_RETURN(const Graph bound, zoetrope::bind(graph, bindings));
  std::map<std::string, TensorType> states;
  for (const StatePair& pair : bound.states)
    states.emplace(bound.value(pair.state).name, bound.value(pair.state).type);
  return states;
}

Status check_states(const CausalCoder& coder, const LatentSpec& spec, const Call& first,
                    const Call& later, const CheckContext& c) {
  ZT_ASSIGN_OR_RETURN(const Graph* a, c.component(coder.first));
  ZT_ASSIGN_OR_RETURN(const Graph* b, c.component(coder.component));
  ZT_ASSIGN_OR_RETURN(const auto given, states_of(*a, job_of(coder, spec, first)));
  ZT_ASSIGN_OR_RETURN(const auto taken, states_of(*b, job_of(coder, spec, later)));
  const auto differ = [&](const std::string& name, const std::string& found,
                          const std::string& expected) {
    return error(Code::kDataLoss, "components '", coder.first, "' and '", coder.component,
                 "' must have the same states: '", name, "' is ", found, " in the first and ",
                 expected, " in the other");
  };
  for (const auto& [name, type] : taken) {
    const auto it = given.find(name);
    if (it == given.end()) return differ(name, "absent", type.to_string());
    if (!(it->second == type)) return differ(name, it->second.to_string(), type.to_string());
  }
  for (const auto& [name, type] : given)
    if (!taken.contains(name)) return differ(name, type.to_string(), "absent");
  return Status();
}

// The largest number up to `most` that divides `count`.
int64_t largest_part(int64_t count, int64_t most) {
  for (int64_t n = std::min(count, most); n > 1; --n)
    if (count % n == 0) return n;
  return 1;
}

bool same_places(const Plan& a, const Plan& b) {
  const auto places = [](const Plan& plan) {
    std::map<std::string, std::pair<int64_t, int64_t>> all;
    for (const PlanState& s : plan.states) all[s.name] = {s.state.offset, s.state.bytes};
    return all;
  };
  return places(a) == places(b);
}

// Bytes on the device that two plans' weights take together.
int64_t weights_of_both(const Plan& a, const Plan& b, const DeviceInfo& device) {
  std::set<std::pair<std::string, std::string>> seen;
  int64_t bytes = 0;
  for (const Plan* plan : {&a, &b})
    for (const PlanWeight& weight : plan->weights) {
      if (!weight.streamed && is_allocated(*plan, weight, device) &&
          seen.emplace(plan->graph.value(weight.value).name, weight.layout).second)
        bytes += weight.bytes;
    }
  return bytes;
}

// Lets both work on one arena where that is possible and both fit into `room` (0: unknown).
void share_arena(Job* first, Job* later, int64_t room) {
  const PlanMemory &a = first->plan->memory, &b = later->plan->memory;
  if (first->device != later->device || !same_places(*first->plan, *later->plan)) return;
  const int64_t both = std::max(a.arena_bytes, b.arena_bytes) + a.slot_bytes + b.slot_bytes +
                       weights_of_both(*first->plan, *later->plan, first->device->info());
  if (room > 0 && both > room) return;
  for (Job* job : {first, later}) {
    job->shares_arena = true;
    job->beside_bytes = both - job->plan->memory.total_bytes();
  }
}

class Planning {
 public:
  Planning(const CausalCoder& coder, const LatentSpec& spec, const CoderPass& pass, PlanContext* c)
      : coder_(coder), spec_(spec), pass_(pass), c_(*c), later_(pass.latents - 1) {}

  Status run() {
    int64_t side = pass_.tiles.length;
    const bool whole = pass_.latents_a_call == kWholeClip;
    ZT_ASSIGN_OR_RETURN(std::vector<Job> jobs, consider(whole ? later_ : 1, side));
    const Call frame = whole_frame(coder_, spec_, c_.plan.shape);
    const bool cuts =
        frame.height == frame.rows * spec_.pixels && frame.width == frame.columns * spec_.pixels;
    // Where the whole frame does not fit: tiles of half the side, a quarter, ...
    for (int64_t length = side > 0 ? side : std::max(frame.rows, frame.columns);
         cuts && !whole && !fits(jobs) && length > kLeastTile;) {
      length = side = std::max(length / 2, kLeastTile);
      ZT_ASSIGN_OR_RETURN(jobs, consider(1, side));
    }
    const bool asked = pass_.latents_a_call > 0;
    const int64_t cheap = std::max(kCheapBytes, bytes_of(jobs));
    for (int64_t most = asked ? pass_.latents_a_call : kMostLatents; !whole && most > 1;) {
      const int64_t n = largest_part(later_, most);
      if (n <= 1) break;
      ZT_ASSIGN_OR_RETURN(std::vector<Job> longer, consider(n, side));
      if (asked || (fits(longer) && bytes_of(longer) <= cheap)) {
        jobs = std::move(longer);
        break;
      }
      most = n - 1;
    }
    for (Job& job : jobs) c_.plan.jobs.push_back(std::move(job));
    return Status();
  }

 private:
  // The parts for `n` later latents a call, in tiles of `side` latents (0: the whole frame).
  Result<std::vector<Job>> consider(int64_t n, int64_t side) {
    TileSpec tiles = pass_.tiles;
    tiles.length = side;
    Call call = whole_frame(coder_, spec_, c_.plan.shape);
    const TilePlan rows = plan_tiles(call.rows, tiles), columns = plan_tiles(call.columns, tiles);
    if (rows.tiles.size() > 1) call.height = rows.length * spec_.pixels;
    if (columns.tiles.size() > 1) call.width = columns.length * spec_.pixels;
    call.rows = rows.length, call.columns = columns.length;
    const auto passes = static_cast<double>(rows.tiles.size() * columns.tiles.size());
    std::vector<Job> jobs;
    const auto spec_of = [&] {
      JobSpec spec = job_of(coder_, spec_, call);
      spec.name = call.first && later_ > 0 ? pass_.name + ", first frame" : pass_.name;
      spec.task = passes > 1 && !coder_.encodes ? "decode tiles" : pass_.name;
      spec.key = call.first ? -pass_.latents : pass_.latents;
      spec.calls = call.first ? passes : passes * static_cast<double>(later_ / n);
      if (later_ > 0) spec.states_of = coder_.component;
      return spec;
    };
    if (later_ > 0) {
      call.first = false, call.latents = n;
      ZT_ASSIGN_OR_RETURN(jobs.emplace_back(), c_.consider(spec_of()));
      call.first = true, call.latents = 1;
    }
    // Beside the other part, unless it was placed.
    auto first = jobs.empty() || c_.is_placed(coder_.first)
                     ? c_.consider(spec_of())
                     : c_.consider_on(spec_of(), jobs[0].device);
    if (!first.ok()) return first.status();
    jobs.insert(jobs.begin(), std::move(*first));
    if (later_ > 0) share_arena(&jobs[0], &jobs[1], c_.budget(*jobs[0].device));
    for (Job& job : jobs) job.rows = rows, job.columns = columns;
    if (later_ > 0) jobs[1].latents = n;
    if (passes > 1)
      for (Job& job : jobs) hold_on_host(&job);
    return jobs;
  }

  // In tiles, what comes out is whole once the last tile has gone through the clip. Where the
  // device works in the host's memory, it is the device's too.
  void hold_on_host(Job* job) const {
    const ClipShape& shape = c_.plan.shape;
    const int64_t places = shape.latent_height * shape.latent_width;
    const int64_t values = coder_.encodes ? pass_.latents * places * spec_.channels
                                          : frames_of_latents(spec_, pass_.latents) * places *
                                                spec_.pixels * spec_.pixels * 3;
    job->host_bytes = values * static_cast<int64_t>(sizeof(float));
    if (job->device->info().host_memory) job->beside_bytes += job->host_bytes;
  }

  bool fits(const std::vector<Job>& jobs) const {
    return std::all_of(jobs.begin(), jobs.end(), [&](const Job& job) {
      const int64_t room = c_.budget(*job.device);
      return room <= 0 || job.bytes() <= room;
    });
  }
  static int64_t bytes_of(const std::vector<Job>& jobs) {
    int64_t most = 0;
    for (const Job& job : jobs) most = std::max(most, job.bytes());
    return most;
  }

  const CausalCoder& coder_;
  const LatentSpec& spec_;
  const CoderPass& pass_;
  PlanContext& c_;
  const int64_t later_;  // latents
};

}  // namespace

Status check_causal_coder(const CausalCoder& coder, const LatentSpec& spec, CheckContext* c) {
  Call call = whole_frame(coder, spec, c->shape);
  const Call first = call;
  const auto check = [&] {
    const JobSpec job = job_of(coder, spec, call);
    return c->check(job.component, job.inputs, job.outputs);
  };
  ZT_RETURN_IF_ERROR(check());
  // A model of one latent needs no other part.
  if (latents_of_frames(spec, c->model.recipe.clip.frames.max) < 2) return Status();
  call.first = false;
  for (int64_t latents : {1, 2}) {
    call.latents = latents;
    ZT_RETURN_IF_ERROR(check());
    ZT_RETURN_IF_ERROR(check_states(coder, spec, first, call, *c));
  }
  return Status();
}

Status plan_causal_coder(const CausalCoder& coder, const LatentSpec& spec, const CoderPass& pass,
                         PlanContext* c) {
  if (pass.latents_a_call < kWholeClip)
    return error(Code::kInvalidArgument, "a call of ", pass.latents_a_call, " latents");
  return Planning(coder, spec, pass, c).run();
}

Result<CoderCalls> CoderCalls::open(const CausalCoder& coder, int64_t latents, RunContext* c) {
  CoderCalls calls;
  calls.coder_ = coder;
  calls.c_ = c;
  calls.latents_ = latents;
  calls.first_job_ = c->plan.find(c->stage, -latents);
  calls.later_job_ = c->plan.find(c->stage, latents);
  ZT_CHECK(calls.first_job_ != nullptr && (calls.later_job_ != nullptr) == (latents > 1));
  if (calls.later_job_ == nullptr) return calls;
  const Job &first = *calls.first_job_, &later = *calls.later_job_;
  calls.in_turn_ = first.device == later.device && !later.shares_arena;
  calls.a_call_ = later.latents;
  return calls;
}

void CoderCalls::count_host() const {
  for (const Job* job : {first_job_, later_job_})
    if (job != nullptr && job->device->info().host_memory)
      c_->stats.peak_bytes =
          std::max(c_->stats.peak_bytes, job->device->held_bytes() + job->host_bytes);
}

int64_t CoderCalls::count() const { return 1 + (latents_ - 1) / a_call_; }

Status CoderCalls::begin() {
  next_ = 0;
  if (in_turn_) later_.reset();
  if (first_) return Status();
  SessionShare share;
  if (first_job_->shares_arena) share.other = later_job_->plan.get();
  ZT_ASSIGN_OR_RETURN(first_, c_->open(*first_job_, share));
  return Status();
}

Status CoderCalls::open_later() {
  if (in_turn_) {
    StateBytes states;
    ZT_RETURN_IF_ERROR(first_->use([&](Session& session) -> Status {
      ZT_ASSIGN_OR_RETURN(states, session.get_states());
      return Status();
    }));
    first_.reset();
    ZT_ASSIGN_OR_RETURN(later_, c_->open(*later_job_));
    return later_->use([&](Session& session) { return session.set_states(states); });
  }
  if (!later_) {
    SessionShare share;
    if (later_job_->shares_arena) share.beside = &*first_;
    ZT_ASSIGN_OR_RETURN(later_, c_->open(*later_job_, share));
  }
  return later_->continue_from(*first_);
}

Status CoderCalls::call(std::span<const float> input, std::vector<float>* output) {
  const int64_t i = next_++;
  if (i == 0) {
    ZT_RETURN_IF_ERROR(first_->use([](Session& session) {
      session.reset_states();
      return Status();
    }));
    return run(*first_, input, output);
  }
  if (i == 1) ZT_RETURN_IF_ERROR(open_later());
  return run(*later_, input, output);
}

Status CoderCalls::run(const SessionLease& lease, std::span<const float> input,
                       std::vector<float>* output) {
  return lease.use([&](Session& session) -> Status {
    const TensorType* type = session.output_type(coder_.output);
    output->resize(static_cast<size_t>(type->shape.elements()));
    ZT_RETURN_IF_ERROR(session.set_input(coder_.input, input));
    ZT_RETURN_IF_ERROR(session.run());
    return session.get_output(coder_.output, output->data(), type->bytes());
  });
}

std::vector<float> cut_frames(std::span<const float> frames, int64_t height, int64_t width,
                              int64_t channels, int64_t top, int64_t left, int64_t rows,
                              int64_t columns) {
  const int64_t frame = height * width * channels;
  const int64_t count = static_cast<int64_t>(frames.size()) / frame;
  std::vector<float> cut;
  cut.reserve(static_cast<size_t>(count * rows * columns * channels));
  for (int64_t f = 0; f < count; ++f)
    for (int64_t y = top; y < top + rows; ++y) {
      const auto begin = frames.begin() + f * frame + (y * width + left) * channels;
      cut.insert(cut.end(), begin, begin + columns * channels);
    }
  return cut;
}

}  // namespace zoetrope
