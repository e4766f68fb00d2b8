// Latents to pictures, one sample after the other into the sink; large ones tile by tile, in rows
// and in columns.
#include <algorithm>

#include "runtime/engine/stages/decode.h"
#include "runtime/engine/stages/latents.h"
#include "runtime/engine/tile_canvas.h"

namespace zoetrope {
namespace {

constexpr int64_t kLeastTile = 8;  // latents a side: below, a tile is all seam

Status check(const Stage& stage, CheckContext* c) {
  return check_decoder(std::get<DecodeImage>(stage), c);
}

// A side of `count` latents in tiles of `length` (0: whole).
TilePlan side_of(const DecodeImage& s, int64_t count, int64_t length) {
  TileSpec tiles = s.tiles;
  tiles.length = length;
  return plan_tiles(count, tiles);
}

Status plan(const Stage& stage, PlanContext* c) {
  const auto& s = std::get<DecodeImage>(stage);
  const LatentSpec& spec = *c->model.recipe.find_latents(s.latents);
  const ClipShape& shape = c->plan.shape;
  const int64_t asked = c->request.decode_tile;
  if (asked > 0 && asked < kLeastTile)
    return error(Code::kInvalidArgument, "a decoder tile of ", asked, " latents: a picture's has ",
                 kLeastTile, " a side at least");
  const auto consider = [&](int64_t length) {
    const TilePlan rows = side_of(s, shape.latent_height, length),
                   columns = side_of(s, shape.latent_width, length);
    ClipShape tile = shape;
    tile.latent_height = rows.length, tile.latent_width = columns.length;
    JobSpec job = decoder_job(s, spec, c->plan.clip, tile, {});
    job.name = "decode picture";
    job.calls = static_cast<double>(c->plan.samples) * static_cast<double>(rows.tiles.size()) *
                static_cast<double>(columns.tiles.size());
    return c->consider(job);
  };
  const auto too_large = [&](const Job& job) {
    const int64_t budget = c->budget(*job.device);
    return budget > 0 && job.bytes() > budget;
  };
  const int64_t longest = std::max(shape.latent_height, shape.latent_width);
  int64_t length = asked > 0 ? asked : asked == kWholeClip ? 0 : s.tiles.length;
  ZT_ASSIGN_OR_RETURN(Job job, consider(length));
  // Where the whole does not fit: tiles of half the side, a quarter, ...
  if (asked == kAutomaticTile)
    for (length = length > 0 ? length : longest; too_large(job) && length > kLeastTile;) {
      length = std::max(length / 2, kLeastTile);
      ZT_ASSIGN_OR_RETURN(job, consider(length));
    }
  c->plan.jobs.push_back(std::move(job));
  return Status();
}

// What one call takes, [1, height, width, channels].
Result<Shape> tile_shape(const Job& job, const std::string& input) {
  for (const PlanBinding& binding : job.plan->inputs)
    if (binding.name == input) return job.plan->graph.value(binding.value).type.shape;
  return error(Code::kInternal, "the decoder's plan has no input '", input, "'");
}

// Rows and columns of the latents of one picture, [height, width, channels].
std::vector<float> cut(std::span<const float> latents, int64_t width, int64_t channels, int64_t top,
                       int64_t left, int64_t rows, int64_t columns) {
  std::vector<float> tile;
  tile.reserve(static_cast<size_t>(rows * columns * channels));
  for (int64_t y = top; y < top + rows; ++y) {
    const auto begin = latents.begin() + (y * width + left) * channels;
    tile.insert(tile.end(), begin, begin + columns * channels);
  }
  return tile;
}

Status run(const Stage& stage, RunContext* c) {
  const auto& s = std::get<DecodeImage>(stage);
  const LatentSpec& spec = *c->model.recipe.find_latents(s.latents);
  const ClipShape& shape = c->plan.shape;
  const Job& job = *c->plan.find(c->stage);
  ZT_ASSIGN_OR_RETURN(const SessionLease lease, c->open(job));
  std::vector<float> all = std::move(c->latents[s.latents]);
  denormalize_latents(spec, all);
  ZT_ASSIGN_OR_RETURN(const Shape one, tile_shape(job, s.input));
  const int64_t tile_rows = one[1], tile_columns = one[2];
  const TilePlan rows = side_of(s, shape.latent_height, tile_rows),
                 columns = side_of(s, shape.latent_width, tile_columns);
  const size_t row = all.size() / static_cast<size_t>(c->plan.samples);
  const double calls = static_cast<double>(c->plan.samples) *
                       static_cast<double>(rows.tiles.size() * columns.tiles.size());
  double done = 0;
  std::vector<uint8_t> picture(static_cast<size_t>(shape.height * shape.width * 3));
  std::vector<float> output;
  for (int64_t k = 0; k < c->plan.samples; ++k) {
    const auto latents = std::span<const float>(all).subspan(static_cast<size_t>(k) * row, row);
    TileCanvas canvas(rows, columns, spec.pixels, 3);
    for (size_t r = 0; r < rows.tiles.size(); ++r)
      for (size_t q = 0; q < columns.tiles.size(); ++q) {
        ZT_RETURN_IF_ERROR(c->report("decode picture", done++, calls));
        const std::vector<float> tile =
            cut(latents, shape.latent_width, spec.channels, rows.tiles[r].start,
                columns.tiles[q].start, tile_rows, tile_columns);
        ZT_RETURN_IF_ERROR(lease.use([&](Session& session) -> Status {
          const TensorType* type = session.output_type(s.output);
          output.resize(static_cast<size_t>(type->shape.elements()));
          session.reset_states();
          ZT_RETURN_IF_ERROR(session.set_input(s.input, std::span<const float>(tile)));
          ZT_RETURN_IF_ERROR(session.run());
          return session.get_output(s.output, output.data(), type->bytes());
        }));
        ZT_RETURN_IF_ERROR(check_decoded(s, output));
        canvas.add(r, q, output);
      }
    crop_to_bytes(canvas.pixels().data(), shape.latent_width * spec.pixels * 3, shape, picture);
    ZT_RETURN_IF_ERROR(c->sink.frames(picture.data(), 1));
  }
  return c->report("decode picture", calls, calls);
}

}  // namespace

const StageDef kDecodeImageStage{check, plan, run};

}  // namespace zoetrope
