// Pictures that are read with the words: what stands for them before the prompt, and what a model
// sees of them.
#pragma once

#include <vector>

#include "runtime/engine/stage.h"

namespace zoetrope {

// A row of ids: pictures, each behind its label, and then words.
struct SeenRow {
  std::vector<int32_t> ids, reads;  // as EncodeText::Seen has them
  std::vector<float> positions;     // three an id
  std::vector<float> seen;          // 1 of a picture
  int64_t length() const { return std::ssize(ids); }
};

// `words` behind the pictures at the clip's ends.
Result<SeenRow> row_with_pictures(const EncodeText& s, const Model& model, const ClipShape& clip,
                                  const std::vector<int32_t>& words);

// What the text encoder takes beside ids and lengths. `features` as the model that sees gives them.
std::vector<NamedType> seen_inputs(const EncodeText::Seen& s, const TensorType& features,
                                   int64_t rows, int64_t length);

// Of all the clip's pictures: [1, places, width]. An error where the component is another one.
Result<TensorType> check_seen(const EncodeText::Seen& s, int64_t pictures, CheckContext* c);

inline constexpr int64_t kSeenKey = 1;  // of the job

Result<TensorType> plan_seen(const EncodeText::Seen& s, PlanContext* c);
Result<std::vector<float>> look_at_ends(const EncodeText::Seen& s, RunContext* c);

}  // namespace zoetrope
