// Fields, in a recipe's JSON, of the stages that bring what a request gives: of recipe.cc alone.
#pragma once

#include <numeric>
#include <string_view>

#include "graph/format/recipe.h"

namespace zoetrope {

inline constexpr std::string_view kFits[] = {"cover", "stretch"};
inline constexpr std::string_view kFills[] = {"zeros", "grey"};
inline constexpr std::string_view kMasks[] = {"latent", "frames"};
inline constexpr int64_t kMaxSide = 1 << 20;

template <typename V, typename S>
void component_fields(V& v, S* s) {
  v.name("component", &s->component);
  v.name("input", &s->input);
  v.name("output", &s->output);
}

template <typename V>
void fields(V& v, ImageFeatures& s) {
  component_fields(v, &s);
  v.name("gives", &s.gives);
  v.integer("size", &s.size, 1, 4096);
  v.integer("pictures", &s.pictures, 1, 2);
  v.choice("fit", &s.fit, kFits);
  v.flag("antialias", &s.antialias);
  v.require(s.size > 0, "size", "given");
}

template <typename V>
void fields(V& v, FrameFeatures& s) {
  v.name("latents", &s.latents);
  component_fields(v, &s);
  v.name("gives", &s.gives);
  v.integer("size", &s.size, 1, 4096);
  v.choice("fit", &s.fit, kFits);
  v.flag("antialias", &s.antialias);
  v.require(s.size > 0, "size", "given");
}

template <typename V>
void fields(V& v, ReferenceFeatures& s) {
  component_fields(v, &s);
  v.name("gives", &s.gives);
  v.integer("size", &s.size, 1, 4096);
  v.integer("most", &s.most, 1, 16);
  v.require(s.size > 0, "size", "given");
}

template <typename V>
void fields(V& v, SourceClip& s) {
  v.name("latents", &s.latents);
  component_fields(v, &s);
  v.name("gives", &s.gives);
  v.optional_name("gives_black", &s.gives_black);
  v.integer("scale", &s.scale, 1, 16);
  v.integer("tile", &s.tile, 0, kMaxSide);
}

template <typename V>
void reduced_field(V& v, Reduced* reduced) {
  v.integer("reduced", &reduced->by, 1, 64);
  v.integer("reduced_to", &reduced->to, 1, 64);
  v.require(reduced->to <= reduced->by && std::gcd(reduced->by, reduced->to) == 1, "reduced_to",
            "at most 'reduced', in lowest terms");
}

template <typename V>
void fields(V& v, EndPictures& s) {
  v.name("latents", &s.latents);
  v.name("component", &s.component);
  v.name("input", &s.input);
  v.name("output", &s.output);
  v.name("output_deviation", &s.output_deviation);
  v.name("gives", &s.gives);
  v.name("gives_times", &s.gives_times);
  v.integer("seed", &s.seed, 0, 1 << 30);
  v.number("noise", &s.noise, 0, 1);
  v.object("area", &s.area);
}

template <typename V>
void fields(V& v, StartPicture& s) {
  v.name("latents", &s.latents);
  v.optional_name("first", &s.first);
  component_fields(v, &s);
  reduced_field(v, &s.reduced);
}

template <typename V>
void fields(V& v, KnownLatents& s) {
  v.name("latents", &s.latents);
  v.optional_name("first", &s.first);
  component_fields(v, &s);
  v.name("gives", &s.gives);
  v.name("gives_mask", &s.gives_mask);
  v.number("mask_known", &s.mask_known, -1e6, 1e6);
  v.optional_number("mask_first_frame", &s.mask_first_frame, -1e6, 1e6);
  v.optional_number("mask_last_frame", &s.mask_last_frame, -1e6, 1e6);
  v.choice("fill", &s.fill, kFills);
  v.choice("mask", &s.mask, kMasks);
  v.flag("required", &s.required);
  reduced_field(v, &s.reduced);
  v.flag("graded", &s.graded);
  v.optional_name("gives_key_times", &s.gives_key_times);
  v.optional_object("tiles", &s.tiles, s.tiles.length > 0);
  v.require(s.kept() || !(s.mask_first_frame || s.mask_last_frame), "mask_first_frame",
            "only with fill zeros and mask latent");
  v.require(s.kept() || (!s.graded && s.gives_key_times.empty()), "graded",
            "only with fill zeros and mask latent, as 'gives_key_times'");
}

}  // namespace zoetrope
