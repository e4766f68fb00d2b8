#include "runtime/engine/stages/seen_pictures.h"

#include <algorithm>

#include "runtime/engine/stages/latents.h"

namespace zoetrope {
namespace {

struct Grid {
  int64_t rows, columns;
  int64_t places() const { return rows * columns; }
};
Grid grid_of(const EncodeText::Seen& s, const ClipShape& clip) {
  return {clip.height / s.pixels, clip.width / s.pixels};
}

NamedType input_of(const EncodeText::Seen& s, const ClipShape& clip) {
  return {s.input, {DType::kF32, {1, clip.height, clip.width, 3}}};
}
NamedType output_of(const EncodeText::Seen& s, const ClipShape& clip) {
  return {s.output, {DType::kF32, {1, grid_of(s, clip).places(), kAnyExtent}}};
}

Status check_size(const EncodeText::Seen& s, const ClipShape& clip) {
  const int64_t pixels = clip.width * clip.height;
  const auto refuse = [&](Code code, const std::string& sizes) {
    return error(code, "pictures of ", clip.width, "x", clip.height, ", ", pixels,
                 " pixels, are read with the words: give --width and --height of ", sizes,
                 ", or leave out --image and --last-image");
  };
  if (clip.width % s.pixels != 0 || clip.height % s.pixels != 0)
    return refuse(Code::kInvalidArgument,
                  str("multiples of ", s.pixels, ", the side of the squares that this model sees"));
  if (s.least_pixels > 0 && pixels < s.least_pixels)
    return refuse(Code::kUnsupported, str("at least ", s.least_pixels, " pixels together"));
  if (s.most_pixels > 0 && pixels > s.most_pixels)
    return refuse(Code::kUnsupported, str("at most ", s.most_pixels, " pixels together"));
  return Status();
}

TensorType of_all(TensorType one, int64_t pictures) {
  one.shape[1] *= pictures;
  return one;
}

}  // namespace

Result<SeenRow> row_with_pictures(const EncodeText& s, const Model& model, const ClipShape& clip,
                                  const std::vector<int32_t>& words) {
  const EncodeText::Seen& seen = *s.seen;
  const Tokenizer& tokenizer = *model.tokenizers.find(s.tokenizer_name)->second.data;
  SeenRow row;
  float position = 0;
  const auto add = [&](int32_t id, int32_t read, float t, float r, float c, bool picture) {
    row.ids.push_back(id);
    row.reads.push_back(read);
    row.positions.insert(row.positions.end(), {t, r, c});
    row.seen.push_back(picture ? 1.0f : 0.0f);
  };
  const auto word = [&](int32_t id, bool picture) {
    add(id, 0, position, position, position, picture);
    ++position;
  };
  const Grid grid = grid_of(seen, clip);
  for (int64_t n = 0; n < clip.end_pictures; ++n) {
    std::string label = seen.label;
    if (const size_t at = label.find("{n}"); at != std::string::npos)
      label.replace(at, 3, std::to_string(n + 1));
    ZT_ASSIGN_OR_RETURN(const TokenIds ids, tokenizer.encode(label, -1, -1, s.max_ids));
    for (const int32_t id : ids.ids) word(id, false);
    word(seen.begin, true);
    for (int64_t p = 0; p < grid.places(); ++p)
      add(seen.place, static_cast<int32_t>(n * grid.places() + p + 1), position,
          position + static_cast<float>(p / grid.columns),
          position + static_cast<float>(p % grid.columns), true);
    position += static_cast<float>(std::max(grid.rows, grid.columns));
    word(seen.end, true);
  }
  for (const int32_t id : words) word(id, false);
  return row;
}

std::vector<NamedType> seen_inputs(const EncodeText::Seen& s, const TensorType& features,
                                   int64_t rows, int64_t length) {
  return {{s.features, features},
          {s.reads, {DType::kI32, {rows, length}}},
          {s.positions, {DType::kF32, {rows, length, 3}}}};
}

Result<TensorType> check_seen(const EncodeText::Seen& s, int64_t pictures, CheckContext* c) {
  ZT_RETURN_IF_ERROR(c->check(s.component, {input_of(s, c->shape)}, {output_of(s, c->shape)}));
  ZT_ASSIGN_OR_RETURN(const Graph* graph, c->component(s.component));
  ZT_ASSIGN_OR_RETURN(const Bindings bindings, infer_bindings(*graph, {input_of(s, c->shape)}));
  ZT_ASSIGN_OR_RETURN(const Graph bound, zoetrope::bind(*graph, bindings));
  for (const GraphOutput& out : bound.outputs)
    if (out.name == s.output) return of_all(bound.value(out.value).type, pictures);
  return error(Code::kDataLoss, "component '", s.component, "' has no output '", s.output, "'");
}

Result<TensorType> plan_seen(const EncodeText::Seen& s, PlanContext* c) {
  const ClipShape& clip = c->plan.shape;
  ZT_RETURN_IF_ERROR(check_size(s, clip));
  JobSpec spec;
  spec.name = "look at pictures";
  spec.component = s.component;
  spec.inputs = {input_of(s, clip)};
  spec.outputs = {output_of(s, clip)};
  spec.calls = spec.clip_calls = static_cast<double>(clip.end_pictures);
  spec.key = kSeenKey;
  ZT_ASSIGN_OR_RETURN(const Job* job, c->add(spec));
  for (const PlanBinding& out : job->plan->outputs)
    if (out.name == s.output)
      return of_all(job->plan->graph.value(out.value).type, clip.end_pictures);
  return error(Code::kDataLoss, "component '", s.component, "' has no output '", s.output, "'");
}

Result<std::vector<float>> look_at_ends(const EncodeText::Seen& s, RunContext* c) {
  const Job& job = *c->plan.find(c->stage, kSeenKey);
  ZT_ASSIGN_OR_RETURN(const SessionLease lease, c->open(job));
  std::vector<float> all;
  double done = 0;
  for (const KnownFrames* picture : {&c->request.known.first, &c->request.known.last}) {
    if (picture->frames == 0) continue;
    ZT_RETURN_IF_ERROR(c->report(job.task, done++, job.clip_calls));
    ZT_RETURN_IF_ERROR(check_pixels("a picture at an end", *picture, c->plan.shape));
    const std::vector<float> pixels = pixels_to_floats(picture->pixels);
    ZT_RETURN_IF_ERROR(lease.use([&](Session& session) -> Status {
      session.reset_states();
      ZT_RETURN_IF_ERROR(session.set_input(s.input, std::span<const float>(pixels)));
      ZT_RETURN_IF_ERROR(session.run());
      const TensorType* type = session.output_type(s.output);
      const size_t before = all.size();
      all.resize(before + static_cast<size_t>(type->shape.elements()));
      return session.get_output(s.output, all.data() + before, type->bytes());
    }));
  }
  ZT_RETURN_IF_ERROR(c->report(job.task, done, done));
  return all;
}

}  // namespace zoetrope
