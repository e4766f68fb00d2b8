#include "models/text_decoder.h"

#include <string>
#include <utility>
#include <vector>

namespace zoetrope {

Status check_text_decoder(std::string_view name, std::initializer_list<int64_t> sizes,
                          int64_t heads, int64_t key_heads, int64_t head_dim) {
  for (const int64_t size : sizes)
    if (size < 1 || size > 1 << 24)
      return error(Code::kInvalidArgument, name, " with a size of ", size);
  if (heads % key_heads != 0 || head_dim < 2 || head_dim % 2 != 0)
    return error(Code::kInvalidArgument, name, " with ", heads, " heads of ", head_dim,
                 " channels over ", key_heads,
                 " heads of keys: expected a multiple, and an even number of channels");
  return Status();
}

TextDecoder::TextDecoder(Builder& b, const Config& config, Dim batch, Dim length)
    : b_(b), c_(config), batch_(std::move(batch)), length_(std::move(length)) {}

ValueId TextDecoder::norm(std::string_view name, ValueId x, int64_t width) {
  ValueId weight = b_.weight(std::string(name) + ".weight", {width});
  if (c_.norm_offset != 0) weight = b_.add(weight, b_.scalar(c_.norm_offset));
  return b_.rms_norm(x, weight, c_.epsilon);
}

layers::RopeTables TextDecoder::rope(ValueId frequencies, int64_t pairs) {
  const ValueId angles = layers::outer(b_, b_.iota(length_), frequencies, length_, pairs);
  const std::vector<Dim> shape{1, length_, 1, pairs};
  return {b_.reshape(b_.cos(angles), shape), b_.reshape(b_.sin(angles), shape)};
}

ValueId TextDecoder::heads(std::string_view name, ValueId h, int64_t count, int64_t head_dim) {
  return b_.reshape(b_.linear(name, h, c_.width, count * head_dim, false),
                    {batch_, length_, count, head_dim});
}

ValueId TextDecoder::rotated(std::string_view norm_name, ValueId x, int64_t head_dim,
                             const layers::RopeTables& rope) {
  return b_.rope(norm(norm_name, x, head_dim), rope.cos, rope.sin, "split");
}

ValueId TextDecoder::joined(ValueId heads, int64_t count, int64_t head_dim) {
  const int64_t inner = count * head_dim;
  return b_.linear("o_proj", b_.reshape(heads, {batch_, length_, inner}), inner, c_.width, false);
}

ValueId TextDecoder::feed_forward(ValueId h, OpKind activation) {
  const auto scope = b_.scope("mlp");
  const ValueId gate = b_.unary(activation, b_.linear("gate_proj", h, c_.width, c_.ffn, false));
  return b_.linear("down_proj", b_.mul(gate, b_.linear("up_proj", h, c_.width, c_.ffn, false)),
                   c_.ffn, c_.width, false);
}

}  // namespace zoetrope
