#include <algorithm>
#include <cmath>

#include "graph/format/encode.h"
#include "graph/format/model_generated.h"

namespace zoetrope {
namespace {

namespace fbs = ::flatbuffers;

// Above every real model, far below what could exhaust memory.
constexpr size_t kMaxComponents = 64;
constexpr size_t kMaxValues = 1 << 20;
constexpr size_t kMaxTensors = 1 << 20;
constexpr size_t kMaxName = 512;
constexpr size_t kMaxList = 1 << 12;

Result<std::string> read_name(const fbs::String* text, const char* what) {
  if (text == nullptr || text->size() == 0 || text->size() > kMaxName)
    return error(Code::kDataLoss, what, " has no name, or one longer than ", kMaxName, " bytes");
  return text->str();
}

std::string text_of(const fbs::String* text) { return text ? text->str() : std::string(); }

template <typename T>
size_t size_of(const fbs::Vector<T>* list) {
  return list ? list->size() : 0;
}

Result<std::vector<Dim>> read_dims(const fbs::Vector<fbs::Offset<fbs::String>>* texts, size_t limit) {
  std::vector<Dim> dims;
  if (size_of(texts) > limit)
    return error(Code::kDataLoss, "a list of ", size_of(texts), " dimensions; at most ", limit);
  for (size_t i = 0; i < size_of(texts); ++i) {
    ZT_ASSIGN_OR_RETURN(dims.emplace_back(), Dim::parse(texts->Get(static_cast<uint32_t>(i))->string_view()));
  }
  return dims;
}

Result<AttrValue> read_attr(const fb::Attr& attr) {
  switch (attr.type()) {
    case static_cast<uint8_t>(AttrType::kBool): return AttrValue(attr.flag());
    case static_cast<uint8_t>(AttrType::kFloat): return AttrValue(attr.number());
    case static_cast<uint8_t>(AttrType::kString):
      if (attr.text() == nullptr || attr.text()->size() > kMaxName) break;
      return AttrValue(attr.text()->str());
    case static_cast<uint8_t>(AttrType::kInt): {
      if (attr.text() == nullptr) break;
      ZT_ASSIGN_OR_RETURN(Dim dim, Dim::parse(attr.text()->string_view()));
      return AttrValue(std::move(dim));
    }
    case static_cast<uint8_t>(AttrType::kInts): {
      ZT_ASSIGN_OR_RETURN(auto dims, read_dims(attr.texts(), kMaxList));
      return AttrValue(std::move(dims));
    }
    case static_cast<uint8_t>(AttrType::kFloats):
      if (size_of(attr.numbers()) > kMaxList) break;
      return AttrValue(attr.numbers()
                           ? std::vector<double>(attr.numbers()->begin(), attr.numbers()->end())
                           : std::vector<double>());
  }
  return error(Code::kDataLoss, "attribute '", text_of(attr.name()).substr(0, 64), "' is malformed");
}

Status read_value(const fb::Value& from, Value* to) {
  ZT_ASSIGN_OR_RETURN(to->name, read_name(from.name(), "a value"));
  if (from.kind() > fb::ValueKind::MAX || from.rate() > fb::Rate::MAX || from.dtype() >= kDTypeCount)
    return error(Code::kDataLoss, "value '", to->name, "' has an unknown kind, rate or dtype");
  to->kind = static_cast<ValueKind>(from.kind());
  to->rate = static_cast<Rate>(from.rate());
  to->type.dtype = static_cast<DType>(from.dtype());
  auto dims = read_dims(from.dims(), kMaxRank);
  if (!dims.ok()) return dims.status().with_context(str("value '", to->name, "'"));
  to->dims = std::move(*dims);
  return Status();
}

Status read_node(const fb::Node& from, NodeId id, Graph* graph) {
  Node node;
  ZT_ASSIGN_OR_RETURN(node.name, read_name(from.name(), "a node"));
  const OpDef* def = from.op() ? find_op(from.op()->string_view()) : nullptr;
  if (def == nullptr)
    return error(Code::kUnsupported, "node '", node.name, "' uses op '",
                 text_of(from.op()).substr(0, 64), "', which this version does not know");
  node.op = def->kind;
  if (size_of(from.inputs()) > kMaxList || size_of(from.outputs()) > kMaxList ||
      size_of(from.attrs()) > 64)
    return error(Code::kDataLoss, "node '", node.name, "' has too many inputs, outputs or attributes");
  for (size_t i = 0; i < size_of(from.inputs()); ++i)
    node.inputs.push_back(from.inputs()->Get(static_cast<uint32_t>(i)));
  for (size_t i = 0; i < size_of(from.attrs()); ++i) {
    const fb::Attr& attr = *from.attrs()->Get(static_cast<uint32_t>(i));
    ZT_ASSIGN_OR_RETURN(const std::string name, read_name(attr.name(), "an attribute"));
    auto value = read_attr(attr);
    if (!value.ok()) return value.status().with_context(str("node '", node.name, "'"));
    node.attrs.set(name, std::move(*value));
  }
  for (size_t k = 0; k < size_of(from.outputs()); ++k) {
    const int32_t out = from.outputs()->Get(static_cast<uint32_t>(k));
    if (out < 0 || static_cast<size_t>(out) >= graph->values.size())
      return error(Code::kDataLoss, "node '", node.name, "' writes value ", out, ", which is not there");
    graph->value(out).producer = id;
    graph->value(out).producer_output = static_cast<int32_t>(k);
    node.outputs.push_back(out);
  }
  graph->nodes.push_back(std::move(node));
  return Status();
}

Result<Graph> read_graph(const fb::Graph& from) {
  Graph graph;
  ZT_ASSIGN_OR_RETURN(graph.name, read_name(from.name(), "a component"));
  if (size_of(from.values()) > kMaxValues || size_of(from.nodes()) > kMaxValues ||
      size_of(from.inputs()) > kMaxList || size_of(from.outputs()) > kMaxList ||
      size_of(from.states()) > kMaxList)
    return error(Code::kDataLoss, "component '", graph.name, "' is too large");
  graph.values.resize(size_of(from.values()));
  for (size_t i = 0; i < graph.values.size(); ++i)
    ZT_RETURN_IF_ERROR(read_value(*from.values()->Get(static_cast<uint32_t>(i)), &graph.values[i]));
  for (size_t i = 0; i < size_of(from.nodes()); ++i)
    ZT_RETURN_IF_ERROR(
        read_node(*from.nodes()->Get(static_cast<uint32_t>(i)), static_cast<NodeId>(i), &graph));
  for (size_t i = 0; i < size_of(from.inputs()); ++i)
    graph.inputs.push_back(from.inputs()->Get(static_cast<uint32_t>(i)));
  for (size_t i = 0; i < size_of(from.outputs()); ++i) {
    const fb::Output& out = *from.outputs()->Get(static_cast<uint32_t>(i));
    ZT_ASSIGN_OR_RETURN(std::string name, read_name(out.name(), "an output"));
    graph.outputs.push_back({std::move(name), out.value()});
  }
  for (size_t i = 0; i < size_of(from.states()); ++i) {
    const fb::State& state = *from.states()->Get(static_cast<uint32_t>(i));
    graph.states.push_back({state.state(), state.next()});
  }
  if (Status status = verify(graph); !status.ok())
    return Status(Code::kDataLoss, status.message()).with_context(str("component '", graph.name, "'"));
  propagate_rates(&graph);
  // A weight's dims are constant: verify() checked that.
  for (ValueId id : graph.weights()) {
    Shape shape;
    for (const Dim& dim : graph.value(id).dims) shape.push_back(dim.constant());
    if (auto n = checked_elements(shape.dims()); !n.ok())
      return Status(Code::kDataLoss, str("weight '", graph.value(id).name, "': ", n.status().message()));
    graph.value(id).type.shape = shape;
  }
  return graph;
}

Result<TensorEntry> read_tensor(const fb::Tensor& from, int64_t file_bytes) {
  TensorEntry entry;
  ZT_ASSIGN_OR_RETURN(entry.name, read_name(from.name(), "a tensor"));
  const auto bad = [&](const auto&... what) {
    return error(Code::kDataLoss, "tensor '", entry.name, "': ", what...);
  };
  if (from.dtype() >= kDTypeCount) return bad("unknown dtype ", int{from.dtype()});
  if (size_of(from.shape()) > kMaxRank) return bad(size_of(from.shape()), " dimensions");
  std::vector<int64_t> dims;
  for (size_t i = 0; i < size_of(from.shape()); ++i)
    dims.push_back(from.shape()->Get(static_cast<uint32_t>(i)));
  auto elements = checked_elements(dims);
  if (!elements.ok()) return bad(elements.status().message());
  entry.type = {static_cast<DType>(from.dtype()), Shape(std::span<const int64_t>(dims))};
  entry.hash = from.hash();
  if (from.quantisation() != nullptr) return bad("is quantised, which this version cannot read");
  if (const fb::Synthetic* s = from.synthetic()) {
    if (s->distribution() > fb::Distribution::MAX || !std::isfinite(s->a()) || !std::isfinite(s->b()))
      return bad("bad synthetic distribution");
    if (from.length() != 0) return bad("is synthetic but has stored bytes");
    entry.synthetic = SyntheticTensor{static_cast<Distribution>(s->distribution()), s->a(), s->b(), s->seed()};
    return entry;
  }
  const auto size = static_cast<uint64_t>(file_bytes);
  if (from.length() != static_cast<uint64_t>(entry.type.bytes()))
    return bad(entry.type.to_string(), " takes ", entry.type.bytes(), " bytes, not ", from.length());
  if (from.offset() % kTensorAlignment != 0 || from.offset() > size || from.length() > size - from.offset())
    return bad("lies at ", from.offset(), " with ", from.length(), " bytes, outside a file of ", size,
               " or not aligned");
  entry.offset = static_cast<int64_t>(from.offset());
  entry.length = static_cast<int64_t>(from.length());
  return entry;
}

Status check_weights(const ModelInfo& info, std::span<const TensorEntry> tensors) {
  for (const Graph& graph : info.components) {
    for (ValueId id : graph.weights()) {
      const Value& weight = graph.value(id);
      const auto at = std::lower_bound(tensors.begin(), tensors.end(), weight.name,
                                       [](const TensorEntry& t, const std::string& n) { return t.name < n; });
      if (at == tensors.end() || at->name != weight.name)
        return error(Code::kDataLoss, "component '", graph.name, "' needs tensor '", weight.name,
                     "', which the file lacks");
      if (!(at->type.shape == weight.type.shape))
        return error(Code::kDataLoss, "tensor '", weight.name, "' is ", at->type.shape.to_string(),
                     "; component '", graph.name, "' needs ", weight.type.shape.to_string());
    }
  }
  return Status();
}

}  // namespace

Status decode_root(std::span<const uint8_t> root, int64_t file_bytes, ModelInfo* info,
                   std::vector<TensorEntry>* tensors) {
  fbs::Verifier::Options options;
  options.max_depth = 32;
  options.max_tables = 1u << 24;
  fbs::Verifier verifier(root.data(), root.size(), options);
  if (!fb::VerifyModelBuffer(verifier)) return error(Code::kDataLoss, "the root is not a valid buffer");
  const fb::Model& model = *fb::GetModel(root.data());
  ZT_ASSIGN_OR_RETURN(info->name, read_name(model.name(), "the model"));
  info->family = text_of(model.family());
  if (size_of(model.components()) > kMaxComponents || size_of(model.tensors()) > kMaxTensors ||
      size_of(model.vocabulary()) > kMaxTensors)
    return error(Code::kDataLoss, "too many components, tensors or words");
  for (size_t i = 0; i < size_of(model.components()); ++i) {
    ZT_ASSIGN_OR_RETURN(Graph graph, read_graph(*model.components()->Get(static_cast<uint32_t>(i))));
    for (const Graph& other : info->components)
      if (other.name == graph.name)
        return error(Code::kDataLoss, "component '", graph.name, "' appears twice");
    info->components.push_back(std::move(graph));
  }
  for (size_t i = 0; i < size_of(model.tensors()); ++i) {
    ZT_ASSIGN_OR_RETURN(TensorEntry entry,
                        read_tensor(*model.tensors()->Get(static_cast<uint32_t>(i)), file_bytes));
    if (!tensors->empty() && !(tensors->back().name < entry.name))
      return error(Code::kDataLoss, "tensor '", entry.name, "' is out of order or appears twice");
    tensors->push_back(std::move(entry));
  }
  ZT_RETURN_IF_ERROR(check_weights(*info, *tensors));
  info->tokenizer_kind = text_of(model.tokenizer_kind());
  if (model.tokenizer() != nullptr)
    info->tokenizer.assign(model.tokenizer()->begin(), model.tokenizer()->end());
  for (size_t i = 0; i < size_of(model.vocabulary()); ++i)
    info->vocabulary.push_back(model.vocabulary()->Get(static_cast<uint32_t>(i))->str());
  std::sort(info->vocabulary.begin(), info->vocabulary.end());
  info->recipe = text_of(model.recipe());
  info->provenance = text_of(model.provenance());
  info->licence = text_of(model.licence());
  return Status();
}

}  // namespace zoetrope
