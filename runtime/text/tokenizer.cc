#include "runtime/text/tokenizer.h"

namespace zoetrope {

Result<TokenIds> Tokenizer::encode(std::string_view text, int bos, int eos, int64_t max_ids) const {
  const int64_t ends = (bos >= 0) + (eos >= 0);
  if (max_ids < ends)
    return error(Code::kInvalidArgument, "at most ", max_ids, " ids: bos and eos alone are ", ends);
  for (const int id : {bos, eos})
    if (id >= size())
      return error(Code::kDataLoss, "the recipe's id ", id, " is beyond the tokenizer's ", size());
  const auto room = static_cast<size_t>(max_ids - ends);
  ZT_ASSIGN_OR_RETURN(std::vector<int32_t> found, pieces(text, room));
  TokenIds tokens;
  tokens.truncated = found.size() > room;
  if (tokens.truncated) found.resize(room);
  if (bos >= 0) tokens.ids.push_back(bos);
  tokens.ids.insert(tokens.ids.end(), found.begin(), found.end());
  if (eos >= 0) tokens.ids.push_back(eos);
  return tokens;
}

}  // namespace zoetrope
