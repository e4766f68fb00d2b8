// What the graphs of the tiny models are put together from.
#pragma once

#include <utility>
#include <vector>

#include "graph/builder.h"
#include "tests/hostile/tiny_models.h"

namespace zoetrope::tiny {

inline constexpr int64_t kWidth = 8, kHeads = 2, kHeadDim = kWidth / kHeads;

inline const Dim kBatch = Dim::symbol("batch"), kFrames = Dim::symbol("frames"),
                 kHeight = Dim::symbol("height"), kColumns = Dim::symbol("width"),
                 kSounds = Dim::symbol("audio_length"), kText = Dim::symbol("text_length");

Graph finished(Builder& b);

// x [B, length, kWidth] looks at `from` [B, other, kWidth], as far as `lengths` says.
ValueId attend(Builder& b, std::string_view name, ValueId x, const Dim& length, ValueId from,
               const Dim& other, ValueId lengths, ValueId cos = kNone, ValueId sin = kNone);
// [B, 1, 2 kWidth] of the time [B]: sines and cosines, then two layers called `name`.
ValueId embed_time(Builder& b, ValueId time, std::string_view name = "time");
// norm(x) (1 + scale) + shift.
ValueId modulate(Builder& b, ValueId x, ValueId time);
// Tables [1, length, 1, kHeadDim / 2] of positions 0 ... length - 1.
std::pair<ValueId, ValueId> rope_tables(Builder& b, const Dim& length);
// A gated layer behind a norm.
ValueId feed_forward(Builder& b, ValueId x);
Builder::ConvOptions strided(std::vector<int64_t> stride, std::vector<int64_t> pad);

// With weights and, where it reads text, the tokenizer of bytes.
TinyModel whole(const char* name, std::vector<Graph> components, Recipe recipe);

}  // namespace zoetrope::tiny
