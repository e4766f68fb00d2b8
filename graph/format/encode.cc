#include "graph/format/encode.h"

#include "graph/format/model_generated.h"

namespace zoetrope {
namespace {

namespace fbs = ::flatbuffers;

std::string join(const std::vector<Dim>& dims) {
  std::string text;
  for (const Dim& dim : dims) text += (text.empty() ? "" : ";") + dim.to_string();
  return text;
}

fbs::Offset<fb::Attr> encode_attr(fbs::FlatBufferBuilder& b, const std::string& name,
                                  const AttrValue& value) {
  const auto name_at = b.CreateString(name);
  fbs::Offset<fbs::String> text;
  fbs::Offset<fbs::Vector<double>> numbers;
  const AttrType type = attr_type(value);
  if (type == AttrType::kInt) text = b.CreateString(std::get<Dim>(value).to_string());
  if (type == AttrType::kString) text = b.CreateString(std::get<std::string>(value));
  if (type == AttrType::kInts) text = b.CreateString(join(std::get<std::vector<Dim>>(value)));
  if (type == AttrType::kFloats) numbers = b.CreateVector(std::get<std::vector<double>>(value));
  fb::AttrBuilder attr(b);
  attr.add_name(name_at);
  attr.add_type(static_cast<uint8_t>(type));
  if (type == AttrType::kBool) attr.add_flag(std::get<bool>(value));
  if (type == AttrType::kFloat) attr.add_number(std::get<double>(value));
  if (!text.IsNull()) attr.add_text(text);
  if (!numbers.IsNull()) attr.add_numbers(numbers);
  return attr.Finish();
}

fbs::Offset<fb::Graph> encode_graph(fbs::FlatBufferBuilder& b, const Graph& graph) {
  std::vector<fbs::Offset<fb::Value>> values;
  for (const Value& v : graph.values) {
    const auto dims =
        v.kind == ValueKind::kNode ? fbs::Offset<fbs::String>() : b.CreateString(join(v.dims));
    values.push_back(fb::CreateValue(b, b.CreateString(v.name), static_cast<fb::ValueKind>(v.kind),
                                     static_cast<uint8_t>(v.type.dtype),
                                     static_cast<fb::Rate>(v.rate), dims));
  }
  std::vector<fbs::Offset<fb::Node>> nodes;
  for (const Node& node : graph.nodes) {
    std::vector<fbs::Offset<fb::Attr>> attrs;
    for (const auto& [name, value] : node.attrs.items())
      attrs.push_back(encode_attr(b, name, value));
    const auto op = b.CreateSharedString(op_def(node.op).name.data(), op_def(node.op).name.size());
    nodes.push_back(fb::CreateNode(b, op, b.CreateString(node.name), b.CreateVector(node.inputs),
                                   b.CreateVector(node.outputs), b.CreateVector(attrs)));
  }
  std::vector<fbs::Offset<fb::Output>> outputs;
  for (const GraphOutput& out : graph.outputs)
    outputs.push_back(fb::CreateOutput(b, b.CreateString(out.name), out.value));
  std::vector<fbs::Offset<fb::State>> states;
  for (const StatePair& pair : graph.states)
    states.push_back(fb::CreateState(b, pair.state, pair.next));
  return fb::CreateGraph(b, b.CreateString(graph.name), b.CreateVector(values),
                         b.CreateVector(nodes), b.CreateVector(graph.inputs),
                         b.CreateVector(outputs), b.CreateVector(states));
}

}  // namespace

std::vector<uint8_t> encode_root(const ModelInfo& info, std::span<const TensorEntry> tensors) {
  fbs::FlatBufferBuilder b(1 << 16);
  std::vector<fbs::Offset<fb::Graph>> components;
  for (const Graph& graph : info.components) components.push_back(encode_graph(b, graph));
  std::vector<fbs::Offset<fb::Tensor>> table;
  for (const TensorEntry& t : tensors) {
    fbs::Offset<fb::Synthetic> synthetic;
    if (t.synthetic)
      synthetic = fb::CreateSynthetic(b, static_cast<fb::Distribution>(t.synthetic->distribution),
                                      t.synthetic->a, t.synthetic->b, t.synthetic->seed);
    const std::vector<int64_t> shape(t.type.shape.begin(), t.type.shape.end());
    table.push_back(fb::CreateTensor(b, b.CreateString(t.name), static_cast<uint8_t>(t.type.dtype),
                                     b.CreateVector(shape), static_cast<uint64_t>(t.offset),
                                     static_cast<uint64_t>(t.length), t.hash, synthetic));
  }
  std::vector<fbs::Offset<fb::Tokenizer>> tokenizers;
  for (const StoredTokenizer& t : info.tokenizers)
    tokenizers.push_back(fb::CreateTokenizer(b, b.CreateString(t.name), b.CreateString(t.kind),
                                             b.CreateVector(t.data)));
  const auto model = fb::CreateModel(
      b, b.CreateString(info.name), b.CreateString(info.family), b.CreateVector(components),
      b.CreateVector(table), b.CreateVector(tokenizers), b.CreateVectorOfStrings(info.vocabulary),
      b.CreateString(info.recipe), b.CreateString(info.provenance), b.CreateString(info.licence),
      b.CreateVectorOfStrings(info.captions),
      info.quantisation.empty() ? 0 : b.CreateString(info.quantisation));
  b.Finish(model, fb::ModelIdentifier());
  return std::vector<uint8_t>(b.GetBufferPointer(), b.GetBufferPointer() + b.GetSize());
}

}  // namespace zoetrope
