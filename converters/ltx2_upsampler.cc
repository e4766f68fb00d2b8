#include "converters/ltx2_upsampler.h"

#include "converters/families.h"
#include "converters/ltx2_config.h"

namespace zoetrope {
namespace {

Status read(Config* c, Ltx2UpsamplerConfig* u) {
  const bool original = c->has("spatial_scale") || c->has("rational_resampler");
  c->text("_class_name", "LTX2LatentUpsamplerModel",
          {"LTX2LatentUpsamplerModel", "LatentUpsampler"});
  u->channels = c->integer("in_channels", 128, 1, kLtx2Most);
  u->width = c->integer("mid_channels", original ? 512 : 1024, 1, kLtx2Most);
  u->blocks = c->integer("num_blocks_per_stage", 4, 0, 64);
  u->over_time = c->integer("dims", 3, 2, 3) == 3;
  u->spatial = c->flag("spatial_upsample", true);
  u->temporal = c->flag("temporal_upsample", false);
  u->rational =
      original ? c->flag("rational_resampler", false) : c->flag("use_rational_resampler", true);
  const double scale =
      c->number(original ? "spatial_scale" : "rational_spatial_scale", 2, 1e-3, 1e3);
  if (!u->rational) {
    u->numerator = 2;
    u->denominator = 1;
  } else if (scale == 1.5 || scale == 2 || scale == 4) {
    u->denominator = scale == 1.5 ? 2 : 1;
    u->numerator = static_cast<int64_t>(scale * static_cast<double>(u->denominator));
  } else {
    c->fail(Code::kUnsupported, str("a scale of ", scale, ": expected 1.5, 2 or 4"));
  }
  return c->finish();
}

}  // namespace

Status read_ltx2_upsampler(const Checkpoint& checkpoint, Ltx2UpsamplerConfig* u,
                           std::vector<Graph>* graphs, WeightMap* weights) {
  if (!checkpoint.type("initial_conv.weight").ok())
    return error(Code::kInvalidArgument, checkpoint.path(),
                 ": no 'initial_conv.weight'; not an upsampler of LTX-2's latents");
  ZT_ASSIGN_OR_RETURN(Config config, read_config(checkpoint));
  if (config.empty())
    return error(Code::kNotFound, checkpoint.path(),
                 ": no configuration, beside it or in its metadata, that says how it upsamples");
  ZT_RETURN_IF_ERROR(read(&config, u));
  auto graph = build_ltx2_upsampler(*u);
  if (!graph.ok()) return graph.status().with_context(checkpoint.path());
  graphs->push_back(std::move(*graph));
  ZT_ASSIGN_OR_RETURN(*weights, WeightMap::create(checkpoint, *graphs,
                                                  [](const std::string& name) { return name; }));
  return Status();
}

}  // namespace zoetrope
