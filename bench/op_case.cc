#include "bench/op_case.h"

#include <algorithm>
#include <cstring>
#include <random>

#include "graph/elements.h"

namespace zoetrope::bench {
namespace {

std::string dims_text(const Shape& shape) {
  std::string text;
  for (const int64_t d : shape) text += str(text.empty() ? "" : "x", d);
  return text.empty() ? "1" : text;
}

// i · step modulo `below`; `step` everywhere where that is 0.
void fill_integers(const TensorType& type, char* to, int64_t step, int64_t below) {
  for (int64_t i = 0; i < type.shape.elements(); ++i)
    store_element(type.dtype, to, i, static_cast<double>(below > 0 ? i * step % below : step));
}

}  // namespace

std::string case_name(const OpCase& c) {
  const OpDef& def = op_def(c.op);
  std::string name(def.name);
  for (const Operand& operand : c.inputs)
    name += operand.present ? " " + dims_text(operand.type.shape) : " -";
  for (const auto& [attr, value] : c.attrs.items()) {
    if (attr == "dtype" || attr_type(value) == AttrType::kFloat) continue;
    const auto spec = std::find_if(def.attrs.begin(), def.attrs.end(),
                                   [&](const AttrSpec& s) { return s.name == attr; });
    if (spec != def.attrs.end() && !spec->required && spec->default_value == value) continue;
    std::string text = attr_to_string(value);
    std::erase(text, ' ');
    std::erase(text, '"');
    name += str(" ", attr, "=", text);
  }
  return name;
}

Result<std::unique_ptr<BoundCase>> BoundCase::create(const OpCase& c) {
  std::unique_ptr<BoundCase> bound(new BoundCase(c));
  const OpDef& def = op_def(c.op);
  Attrs attrs = c.attrs;
  ZT_RETURN_IF_ERROR(verify_attrs(def, &attrs).with_context(def.name));
  bound->node_ = {c.op, "bench", {}, {0}, std::move(attrs)};
  KernelRequest& request = bound->request_;
  request.node = &bound->node_;
  for (size_t i = 0; i < bound->case_.inputs.size(); ++i) {
    const Operand& operand = bound->case_.inputs[i];
    request.inputs.push_back(operand.present ? &operand.type : nullptr);
    request.is_weight.push_back(operand.weight);
    bound->node_.inputs.push_back(operand.present ? static_cast<ValueId>(i) : kNone);
  }
  const OpContext context{request.inputs, bound->node_.attrs};
  auto outputs = def.infer(context);
  if (!outputs.ok()) return outputs.status().with_context(case_name(c));
  bound->outputs_ = std::move(*outputs);
  for (const TensorType& type : bound->outputs_) request.outputs.push_back(&type);
  bound->cost_ = node_cost(def, context, bound->outputs_);
  return bound;
}

int64_t BoundCase::bytes() const {
  int64_t total = 0;
  for (const Operand& operand : case_.inputs) total += operand.present ? operand.type.bytes() : 0;
  for (const TensorType& type : outputs_) total += type.bytes();
  return total;
}

std::vector<char> random_tensor(const TensorType& type, uint64_t seed) {
  std::vector<char> bytes(static_cast<size_t>(type.bytes()));
  const bool small = type.dtype == DType::kI8;
  if (bytes.empty() || (!is_float(type.dtype) && !small)) return bytes;
  // A block of noise, again and again: large tensors must not take longer than their benchmark. Its
  // length is prime, so that no two rows are equal.
  std::mt19937 random(static_cast<uint32_t>(seed));
  std::vector<double> block(static_cast<size_t>(std::min<int64_t>(8191, type.shape.elements())));
  for (double& v : block) v = (static_cast<double>(random()) / 0x1p31 - 1) * (small ? 127 : 1);
  const size_t first = block.size() * static_cast<size_t>(dtype_size(type.dtype));
  store_elements(type.dtype, bytes.data(), static_cast<int64_t>(block.size()), block.data());
  for (size_t at = first; at < bytes.size(); at += first)
    std::memcpy(bytes.data() + at, bytes.data(), std::min(first, bytes.size() - at));
  return bytes;
}

std::vector<char> operand_data(const BoundCase& c, size_t input) {
  const TensorType& type = c.inputs()[input].type;
  std::vector<char> bytes = random_tensor(type, input + 1);
  if (is_float(type.dtype) || type.dtype == DType::kI8 || bytes.empty()) return bytes;
  const OpKind op = c.node().op;
  if (op == OpKind::kGather)
    fill_integers(type, bytes.data(), 7919, std::max<int64_t>(1, c.inputs()[0].type.shape[0]));
  // How many keys are text: all of them.
  if ((op == OpKind::kAttention || op == OpKind::kPackedAttention) && type.dtype == DType::kI32)
    fill_integers(type, bytes.data(), c.inputs()[1].type.shape[1], 0);
  return bytes;
}

}  // namespace zoetrope::bench
