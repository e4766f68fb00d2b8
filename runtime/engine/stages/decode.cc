#include "runtime/engine/stages/decode.h"

#include <algorithm>
#include <cmath>
#include <future>
#include <optional>
#include <system_error>

#include "graph/thread.h"
#include "runtime/engine/stages/causal_coder.h"
#include "runtime/engine/stages/latents.h"
#include "runtime/engine/tile_canvas.h"

namespace zoetrope {
namespace {

// Frames or samples that `count` latents give.
int64_t units_of(const LatentSpec& spec, int64_t count) {
  switch (spec.media) {
    case Modality::kImage: return 1;
    case Modality::kVideo: return frames_of_latents(spec, count);
    case Modality::kSound: return count * spec.samples;
  }
  return 0;
}

Shape output_shape(const LatentSpec& spec, const ClipSpec& clip, const ClipShape& shape,
                   int64_t count) {
  if (spec.media == Modality::kSound) return {1, units_of(spec, count), clip.sound_channels};
  const int64_t height = shape.latent_height * spec.pixels,
                width = shape.latent_width * spec.pixels;
  if (spec.media == Modality::kImage) return {1, height, width, 3};
  return {1, units_of(spec, count), height, width, 3};
}

// The fewest latents of a tile. A tile's first latent gives the last of its frames where the clip's
// first one stands for fewer than the others: then tiles must overlap to give every frame.
int64_t least_tile(const LatentSpec& spec) {
  if (spec.period > 0) return spec.period;
  return spec.media != Modality::kVideo || spec.first_frames == spec.later_frames ? 1 : 2;
}
bool tiles_along_time(const LatentSpec& spec, const TileSpec& tiles) {
  return least_tile(spec) == 1 || tiles.overlap > 0 || tiles.stitched;
}

// Latents of the other end that stand before and behind those of a loop while it is decoded: as
// many as reach into it, at most those that tiles share.
int64_t wrap_of(const Decode& s, const ClipShape& shape) {
  if (!shape.loop) return 0;
  const int64_t shared = std::max<int64_t>(s.tiles.overlap, 1);
  return s.tiles.reach > 0 ? std::min(s.tiles.reach, shared) : shared;
}

// Where latent k begins, in frames or samples, and what the first latent of a tile gives.
int64_t begin_of(const LatentSpec& spec, int64_t k) { return k == 0 ? 0 : units_of(spec, k); }
int64_t given_from(const LatentSpec& spec, int64_t k) {
  const bool later = spec.media == Modality::kVideo && spec.period == 0;
  return later ? k * spec.later_frames : begin_of(spec, k);
}
int64_t begin_of(const LatentSpec& spec, const Tile& t) {
  return t.from > t.start ? begin_of(spec, t.from) : given_from(spec, t.start);
}

Result<TileSpec> requested_tiles(const Decode& s, const LatentSpec& spec, int64_t asked) {
  TileSpec tiles = s.tiles;
  if (tiles.stitched && asked != kAutomaticTile)
    return error(Code::kUnsupported, "this model's clips are made of pieces of ", tiles.length,
                 " latents, which no request changes; leave the tile's length out");
  if (asked == kWholeClip) {
    tiles.length = 0;
  } else if (asked != kAutomaticTile && spec.media == Modality::kVideo) {
    if (asked < least_tile(spec))
      return error(Code::kInvalidArgument, "a decoder tile of ", asked, " latents; at least ",
                   least_tile(spec));
    tiles = with_tile_length(tiles, asked);
  }
  return tiles;
}

CausalCoder coder_of(const Decode& s) {
  return {s.first, s.component, s.input, s.output, /*encodes=*/false};
}

// The head of `fresh` fades in over `held`, linearly and without reaching 0 or 1; of stitched tiles
// from 0 on.
void mix(std::span<const float> held, std::span<float> fresh, size_t steps, bool stitched) {
  const size_t unit = held.size() / steps;
  for (size_t i = 0; i < held.size(); ++i) {
    const float weight =
        (static_cast<float>(i / unit) + (stitched ? 0 : 0.5f)) / static_cast<float>(steps);
    fresh[i] = held[i] + weight * (fresh[i] - held[i]);
  }
}

}  // namespace

JobSpec decoder_job(const Decode& s, const LatentSpec& spec, const ClipSpec& clip,
                    const ClipShape& shape, const TileSpec& tiles) {
  JobSpec job;
  job.component = s.component;
  job.tiles = plan_tiles(latents_along_time(spec, shape) + 2 * wrap_of(s, shape), tiles);
  const int64_t length = job.tiles.length;
  job.inputs = {{s.input, {DType::kF32, latent_shape(spec, shape, 1, length)}}};
  job.outputs = {{s.output, {DType::kF32, output_shape(spec, clip, shape, length)}}};
  job.calls = static_cast<double>(job.tiles.tiles.size());
  return job;
}

namespace {

// Pieces of whole periods that together are the clip.
Status check_stitched(const Decode& s, const LatentSpec& spec, int64_t count) {
  const TilePlan plan = plan_tiles(count, s.tiles);
  bool fits = plan.length == s.tiles.length;
  for (const Tile& t : plan.tiles) fits &= spec.period == 0 || t.start % spec.period == 0;
  if (fits) return Status();
  return error(Code::kDataLoss, "decoding '", s.latents, "': ", count, " latents are no pieces of ",
               s.tiles.length, " that share ", s.tiles.overlap, " and begin with a period of ",
               spec.period);
}

}  // namespace

Status check_decoder(const Decode& s, CheckContext* c) {
  const LatentSpec& spec = *c->model.recipe.find_latents(s.latents);
  if (!s.first.empty()) return check_causal_coder(coder_of(s), spec, c);
  if (s.tiles.length > 0 && (!tiles_along_time(spec, s.tiles) || s.tiles.length < least_tile(spec)))
    return error(Code::kUnsupported, "decoding '", s.latents, "' in tiles of ", s.tiles.length,
                 " that share ", s.tiles.overlap,
                 " latents: its first latent stands for another number of frames than the rest, so "
                 "that tiles are of two at least and share one");
  std::vector<int64_t> lengths{latents_along_time(spec, c->shape)};
  if (s.tiles.stitched) {
    ZT_RETURN_IF_ERROR(check_stitched(s, spec, lengths[0]));
    lengths = {s.tiles.length};
  } else if (spec.media != Modality::kImage)
    lengths.insert(lengths.end(), {1, 2, std::max<int64_t>(s.tiles.length, 3)});
  for (int64_t length : lengths)
    ZT_RETURN_IF_ERROR(c->check(
        s.component, {{s.input, {DType::kF32, latent_shape(spec, c->shape, 1, length)}}},
        {{s.output, {DType::kF32, output_shape(spec, c->model.recipe.clip, c->shape, length)}}}));
  return Status();
}

namespace {

// How much of a clip one call decodes: latents along time, and along rows and columns; 0: all.
struct CallSize {
  int64_t time = 0, side = 0;
};

// Finds the largest calls that fit where whole ones do not: shorter ones first, as long as tiles
// hold what neighbours share and as much again, then of fewer rows and columns, then shorter still.
class TileSearch {
 public:
  TileSearch(const Decode& s, const LatentSpec& spec, std::string_view name, PlanContext* c)
      : s_(s), spec_(spec), name_(name), c_(*c) {}

  Result<Job> consider(const CallSize& size) const { return consider(tiles_of(size.time), size); }
  Result<Job> consider(const TileSpec& tiles, const CallSize& size) const {
    TileSpec area = s_.area;
    area.length = size.side;
    ClipShape part = c_.plan.shape;
    const TilePlan rows = plan_tiles(part.latent_height, area),
                   columns = plan_tiles(part.latent_width, area);
    part.latent_height = rows.length;
    part.latent_width = columns.length;
    JobSpec spec = decoder_job(s_, spec_, c_.plan.clip, part, tiles);
    spec.name = name_;
    spec.calls *= static_cast<double>(rows.tiles.size() * columns.tiles.size());
    ZT_ASSIGN_OR_RETURN(Job job, c_.consider(spec));
    if (rows.tiles.size() * columns.tiles.size() > 1) job.rows = rows, job.columns = columns;
    return job;
  }

  bool too_large(const Job& job) const {
    const int64_t budget = c_.budget(*job.device);
    return budget > 0 && job.bytes() > budget;
  }

  Result<Job> shrink(Job job) const {
    const int64_t least = least_tile(spec_), whole = job.tiles.length;
    int64_t side = 0;
    const bool cuts = s_.area.overlap > 0;
    const bool in_time = tiles_along_time(spec_, s_.tiles);
    const int64_t steady = !in_time ? whole
                           : cuts   ? std::clamp(2 * s_.tiles.overlap + 2, least, whole)
                                    : least;
    if (in_time) {
      ZT_ASSIGN_OR_RETURN(job, longest(steady, whole, side));
    }
    const ClipShape& shape = c_.plan.shape;
    const int64_t smallest = std::max(kLeastSide, 2 * s_.area.overlap);
    for (int64_t length = std::max(shape.latent_height, shape.latent_width);
         cuts && too_large(job) && length > smallest;) {
      length = side = std::max(length / 2, smallest);
      ZT_ASSIGN_OR_RETURN(job, consider({steady, side}));
    }
    return too_large(job) && in_time && steady > least ? longest(least, steady, side)
                                                       : Result<Job>(job);
  }

 private:
  static constexpr int64_t kLeastSide = 8;  // below, a tile is all seam
  TileSpec tiles_of(int64_t time) const { return with_tile_length(s_.tiles, time); }

  // Of calls of `least` to less than `above` latents the longest that fit, as memory grows with
  // them; the shortest where none does.
  Result<Job> longest(int64_t least, int64_t above, int64_t side) const {
    ZT_ASSIGN_OR_RETURN(Job job, consider({least, side}));
    for (int64_t fits = least; !too_large(job) && above - fits > 1;) {
      const int64_t middle = (fits + above) / 2;
      ZT_ASSIGN_OR_RETURN(Job longer, consider({middle, side}));
      if (too_large(longer)) {
        above = middle;
      } else {
        fits = middle;
        job = std::move(longer);
      }
    }
    return job;
  }

  const Decode& s_;
  const LatentSpec& spec_;
  const std::string_view name_;
  PlanContext& c_;
};

}  // namespace

Status plan_decoder(const Decode& s, std::string_view name, PlanContext* c) {
  const LatentSpec& spec = *c->model.recipe.find_latents(s.latents);
  const int64_t asked = c->request.decode_tile;
  if (!s.first.empty())
    return plan_causal_coder(coder_of(s), spec,
                             {std::string(name), c->plan.shape.latent_frames, s.tiles, asked}, c);
  ZT_ASSIGN_OR_RETURN(const TileSpec tiles, requested_tiles(s, spec, asked));
  const bool tiled = tiles_along_time(spec, s.tiles);
  if (!tiled && tiles.length > 0)
    return error(Code::kUnsupported, "this model's clips are decoded whole, not in tiles");
  const TileSearch search(s, spec, name, c);
  ZT_ASSIGN_OR_RETURN(Job job, search.consider(tiles, {0, s.area.length}));
  const bool own = s.tiles.stitched || s.area.stitched;
  if (search.too_large(job) && asked == kAutomaticTile && !own &&
      ((tiled && job.tiles.length > least_tile(spec)) || s.area.overlap > 0)) {
    ZT_ASSIGN_OR_RETURN(job, search.shrink(std::move(job)));
  }
  c->plan.jobs.push_back(std::move(job));
  return Status();
}

Status check_decoded(const Decode& s, std::span<const float> values) {
  for (float x : values)
    if (!std::isfinite(x))
      return error(Code::kDataLoss, "decoding '", s.latents,
                   "' gave NaN or infinity: the weights are damaged, or the compute type is too "
                   "narrow for this model");
  return Status();
}

namespace {

Status run_decoder(const Decode& s, std::span<const float> latents, const SessionLease& lease,
                   std::vector<float>* output) {
  return lease.use([&](Session& session) -> Status {
    const TensorType* type = session.output_type(s.output);
    output->resize(static_cast<size_t>(type->shape.elements()));
    session.reset_states();
    ZT_RETURN_IF_ERROR(session.set_input(s.input, latents));
    ZT_RETURN_IF_ERROR(session.run());
    return session.get_output(s.output, output->data(), type->bytes());
  });
}

// A tile along time: at once, or put together from tiles of rows and columns.
Status decode_call(const Decode& s, const LatentSpec& spec, std::span<const float> latents,
                   const Job& job, const SessionLease& lease, const RunContext& c,
                   std::vector<float>* output) {
  if (job.rows.tiles.empty()) return run_decoder(s, latents, lease, output);
  const TilePlan &rows = job.rows, &columns = job.columns;
  const ClipShape& shape = c.plan.shape;
  std::vector<TileCanvas> canvases;
  std::vector<float> part;
  for (size_t r = 0; r < rows.tiles.size(); ++r)
    for (size_t q = 0; q < columns.tiles.size(); ++q) {
      const std::vector<float> cut =
          cut_frames(latents, shape.latent_height, shape.latent_width, spec.channels,
                     rows.tiles[r].start, columns.tiles[q].start, rows.length, columns.length);
      ZT_RETURN_IF_ERROR(run_decoder(s, cut, lease, &part));
      const auto one =
          static_cast<size_t>(rows.length * columns.length * spec.pixels * spec.pixels * 3);
      while (canvases.size() < part.size() / one)
        canvases.emplace_back(rows, columns, spec.pixels, 3);
      for (size_t f = 0; f < canvases.size(); ++f)
        canvases[f].add(r, q, std::span<const float>(part).subspan(f * one, one));
    }
  output->clear();
  for (TileCanvas& canvas : canvases)
    output->insert(output->end(), canvas.pixels().begin(), canvas.pixels().end());
  return Status();
}

// [time, ...] latents of `row` values with `wrap` of the other end at each.
void wrap_around(int64_t wrap, size_t row, std::vector<float>* latents) {
  if (wrap == 0) return;
  const size_t count = latents->size() / row, more = static_cast<size_t>(wrap);
  std::vector<float> ring;
  ring.reserve((count + 2 * more) * row);
  for (size_t i = 0; i < count + 2 * more; ++i) {
    const auto from =
        latents->begin() + static_cast<int64_t>((i + more * (count - 1)) % count * row);
    ring.insert(ring.end(), from, from + static_cast<int64_t>(row));
  }
  *latents = std::move(ring);
}

}  // namespace

Status decode_latents(const Decode& s, const LatentSpec& spec, std::vector<float> latents,
                      const Job& job, const SessionLease& lease, RunContext* c,
                      const EmitValues& emit) {
  denormalize_latents(spec, latents);
  const TilePlan& plan = job.tiles;
  const auto row = latents.size() / static_cast<size_t>(latents_along_time(spec, c->plan.shape));
  const int64_t wrap = wrap_of(s, c->plan.shape);
  wrap_around(wrap, row, &latents);
  int64_t before = wrap > 0 ? units_of(spec, wrap) : 0,
          left = units_of(spec, latents_along_time(spec, c->plan.shape));
  const auto give = [&](std::span<float> values, size_t unit) -> Status {
    const auto count = static_cast<int64_t>(values.size() / unit);
    const int64_t skipped = std::min(before, count), given = std::min(left, count - skipped);
    before -= skipped;
    left -= given;
    return given == 0 ? Status()
                      : emit(values.subspan(static_cast<size_t>(skipped) * unit,
                                            static_cast<size_t>(given) * unit));
  };
  const auto length = static_cast<size_t>(plan.length);
  const size_t units = static_cast<size_t>(units_of(spec, plan.length));
  std::vector<float> tile, held;
  for (const Tile& t : plan.tiles) {
    ZT_RETURN_IF_ERROR(decode_call(
        s, spec,
        std::span<const float>(latents).subspan(static_cast<size_t>(t.start) * row, length * row),
        job, lease, *c, &tile));
    ZT_RETURN_IF_ERROR(check_decoded(s, tile));
    const size_t unit = tile.size() / units;
    const auto elements = [&](int64_t from, int64_t to) {
      return static_cast<size_t>(to - from) * unit;
    };
    const int64_t begin = begin_of(spec, t), end = begin_of(spec, t.to);
    std::span<float> fresh = tile;
    if (plan.tiles.size() > 1)
      fresh = fresh.subspan(elements(given_from(spec, t.start), begin), elements(begin, end));
    if (!held.empty()) mix(held, fresh, held.size() / unit, plan.stitched);
    // What the next tile gives too waits for it.
    const bool last = &t == &plan.tiles.back();
    const size_t shared = last ? 0 : elements(begin_of(spec, *(&t + 1)), end);
    const std::span<float> done = fresh.first(fresh.size() - shared);
    ZT_RETURN_IF_ERROR(give(done, unit));
    held.assign(fresh.begin() + static_cast<int64_t>(done.size()), fresh.end());
  }
  return Status();
}

namespace {

// Frames whole: while some are written here, the next call runs beside. Sessions are opened by this
// thread, which happens in the first two calls.
Status decode_whole_frames(const Decode& s, std::span<const float> latents, int64_t count,
                           CoderCalls* calls, const EmitValues& emit) {
  const size_t row = latents.size() / static_cast<size_t>(count);
  const auto decode = [&](int64_t i, int64_t latent, std::vector<float>* frames) -> Status {
    ZT_RETURN_IF_ERROR(calls->call(latents.subspan(static_cast<size_t>(latent) * row,
                                                   static_cast<size_t>(calls->latents(i)) * row),
                                   frames));
    return check_decoded(s, *frames);
  };
  std::vector<float> now, next;
  ZT_RETURN_IF_ERROR(calls->begin());
  ZT_RETURN_IF_ERROR(decode(0, 0, &now));
  for (int64_t i = 0, latent = calls->latents(0);; latent += calls->latents(++i)) {
    const bool more = latent < count;
    std::future<Status> ahead;
    std::optional<Thread> worker;  // joined wherever this is left
    if (more && i > 0) try {
        std::packaged_task<Status()> task([&, i, latent] { return decode(i + 1, latent, &next); });
        std::future<Status> result = task.get_future();
        worker.emplace(std::move(task));
        ahead = std::move(result);
      } catch (const std::system_error&) {  // no thread: one after the other
      }
    ZT_RETURN_IF_ERROR(emit(now));
    if (!more) return Status();
    ZT_RETURN_IF_ERROR(ahead.valid() ? ahead.get() : decode(i + 1, latent, &next));
    std::swap(now, next);
  }
}

}  // namespace

Status decode_causally(const Decode& s, const LatentSpec& spec, std::vector<float> latents,
                       RunContext* c, const EmitValues& emit) {
  denormalize_latents(spec, latents);
  const ClipShape& shape = c->plan.shape;
  const int64_t count = shape.latent_frames;
  ZT_ASSIGN_OR_RETURN(CoderCalls calls, CoderCalls::open(coder_of(s), count, c));
  const TilePlan &rows = calls.rows(), &columns = calls.columns();
  if (rows.tiles.size() * columns.tiles.size() == 1)
    return decode_whole_frames(s, latents, count, &calls, emit);
  const int64_t row = static_cast<int64_t>(latents.size()) / count;
  // In tiles a frame is whole once the last tile has gone through the clip.
  std::vector<TileCanvas> canvases;
  for (int64_t f = 0; f < frames_of_latents(spec, count); ++f)
    canvases.emplace_back(rows, columns, spec.pixels, 3);
  const double total = static_cast<double>(calls.count()) *
                       static_cast<double>(rows.tiles.size() * columns.tiles.size());
  double done = 0;
  std::vector<float> input, output;
  for (size_t r = 0; r < rows.tiles.size(); ++r)
    for (size_t q = 0; q < columns.tiles.size(); ++q) {
      ZT_RETURN_IF_ERROR(calls.begin());
      size_t frame = 0;
      for (int64_t i = 0, latent = 0; latent < count; latent += calls.latents(i++)) {
        ZT_RETURN_IF_ERROR(c->report("decode tiles", done++, total));
        const auto part = std::span<const float>(latents).subspan(
            static_cast<size_t>(latent * row), static_cast<size_t>(calls.latents(i) * row));
        input =
            cut_frames(part, shape.latent_height, shape.latent_width, spec.channels,
                       rows.tiles[r].start, columns.tiles[q].start, rows.length, columns.length);
        ZT_RETURN_IF_ERROR(calls.call(input, &output));
        calls.count_host();
        ZT_RETURN_IF_ERROR(check_decoded(s, output));
        const auto one =
            static_cast<size_t>(rows.length * columns.length * spec.pixels * spec.pixels * 3);
        for (size_t at = 0; at < output.size(); at += one)
          canvases[frame++].add(r, q, std::span<const float>(output).subspan(at, one));
      }
    }
  for (TileCanvas& canvas : canvases) ZT_RETURN_IF_ERROR(emit(canvas.pixels()));
  return Status();
}

void crop_to_bytes(const float* from, int64_t stride, const ClipShape& clip,
                   std::span<uint8_t> frame) {
  // Adding 1.5 · 2^23 and taking it away again rounds to whole numbers, halves to even, without a
  // call for each value.
  constexpr float kWhole = 12582912.0f;
  for (int64_t y = 0; y < clip.height; ++y) {
    const float* row = from + y * stride;
    uint8_t* to = frame.data() + y * clip.width * 3;
    for (int64_t i = 0; i < clip.width * 3; ++i) {
      const float value = std::clamp((row[i] + 1.0f) * 127.5f, 0.0f, 255.0f);
      to[i] = static_cast<uint8_t>(static_cast<int32_t>(value + kWhole - kWhole));
    }
  }
}

}  // namespace zoetrope
