#include <algorithm>
#include <cmath>
#include <cstring>

#include "graph/format/encode.h"
#include "graph/format/model_generated.h"
#include "graph/text.h"

namespace zoetrope {
namespace {

namespace fbs = ::flatbuffers;

// Above every real model, far below what could exhaust memory.
constexpr size_t kMaxComponents = 64;
constexpr size_t kMaxTokenizers = 16;
constexpr size_t kMaxValues = 1 << 20;
constexpr size_t kMaxTensors = 1 << 20;
constexpr size_t kMaxList = 1 << 12;
constexpr size_t kMaxAttrs = 64;
constexpr int64_t kMaxSynthetic = int64_t{1} << 34;  // elements of one generated tensor

// Tables of a flatbuffer may share what they point to, so a small root could ask for a large copy.
// Everything that is copied is counted, and an honest root never copies more than its own size.
struct Budget {
  uint64_t left;
  Status spend(uint64_t bytes) {
    if (bytes > left) return error(Code::kDataLoss, "the root shares more than a writer would");
    left -= bytes;
    return Status();
  }
};

Result<std::string> read_name(const fbs::String* text, const char* what, Budget* budget) {
  if (text == nullptr || text->size() == 0 || text->size() > kMaxName ||
      !is_printable(text->string_view()))
    return error(Code::kDataLoss, what, " has no name, one longer than ", kMaxName,
                 " bytes, or one with control characters");
  ZT_RETURN_IF_ERROR(budget->spend(text->size()));
  return text->str();
}

std::string text_of(const fbs::String* text) { return text ? text->str() : std::string(); }

template <typename T>
size_t size_of(const fbs::Vector<T>* list) {
  return list ? list->size() : 0;
}

// Expressions separated by ';'; an absent or empty text is an empty list.
Result<std::vector<Dim>> read_dims(const fbs::String* text, size_t limit, Budget* budget) {
  std::vector<Dim> dims;
  std::string_view rest = text ? text->string_view() : std::string_view();
  ZT_RETURN_IF_ERROR(budget->spend(rest.size()));
  while (!rest.empty()) {
    if (dims.size() == limit)
      return error(Code::kDataLoss, "a list of more than ", limit, " dimensions");
    const size_t end = std::min(rest.find(';'), rest.size());
    ZT_ASSIGN_OR_RETURN(dims.emplace_back(), Dim::parse(rest.substr(0, end)));
    if (end + 1 == rest.size()) return error(Code::kDataLoss, "a list ends in ';'");
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return dims;
}

// The verifier aligns a vector's length but not its 8-byte elements: they are copied, not
// dereferenced.
template <typename T>
std::vector<T> copy_numbers(const fbs::Vector<T>* list) {
  std::vector<T> out(size_of(list));
  if (!out.empty()) std::memcpy(out.data(), list->Data(), out.size() * sizeof(T));
  return out;
}

Status read_ids(const fbs::Vector<int32_t>* list, std::vector<ValueId>* ids, Budget* budget) {
  if (size_of(list) > kMaxList)
    return error(Code::kDataLoss, "a list of ", size_of(list), " values");
  ZT_RETURN_IF_ERROR(budget->spend(4 * size_of(list)));
  if (list != nullptr) ids->assign(list->begin(), list->end());
  return Status();
}

Result<AttrValue> read_attr(const fb::Attr& attr, Budget* budget) {
  switch (attr.type()) {
    case static_cast<uint8_t>(AttrType::kBool): return AttrValue(attr.flag());
    case static_cast<uint8_t>(AttrType::kFloat): return AttrValue(attr.number());
    case static_cast<uint8_t>(AttrType::kString):
      if (attr.text() == nullptr || attr.text()->size() > kMaxName) break;
      ZT_RETURN_IF_ERROR(budget->spend(attr.text()->size()));
      return AttrValue(attr.text()->str());
    case static_cast<uint8_t>(AttrType::kInt): {
      if (attr.text() == nullptr) break;
      ZT_RETURN_IF_ERROR(budget->spend(attr.text()->size()));
      ZT_ASSIGN_OR_RETURN(Dim dim, Dim::parse(attr.text()->string_view()));
      return AttrValue(std::move(dim));
    }
    case static_cast<uint8_t>(AttrType::kInts): {
      ZT_ASSIGN_OR_RETURN(auto dims, read_dims(attr.text(), kMaxList, budget));
      return AttrValue(std::move(dims));
    }
    case static_cast<uint8_t>(AttrType::kFloats):
      if (size_of(attr.numbers()) > kMaxList) break;
      ZT_RETURN_IF_ERROR(budget->spend(8 * size_of(attr.numbers())));
      return AttrValue(copy_numbers(attr.numbers()));
  }
  return error(Code::kDataLoss, "attribute '", attr.name()->string_view(), "' is malformed");
}

// Text of unknown origin, cut and cleaned for a message.
std::string printable(std::string_view text) {
  std::string out(text.substr(0, 64));
  for (char& c : out)
    if (!is_printable({&c, 1})) c = '?';
  return out;
}

Status read_value(const fb::Value& from, Value* to, Budget* budget) {
  ZT_ASSIGN_OR_RETURN(to->name, read_name(from.name(), "a value", budget));
  if (from.kind() > fb::ValueKind::MAX || from.rate() > fb::Rate::MAX ||
      from.dtype() >= kDTypeCount)
    return error(Code::kDataLoss, "value '", to->name, "' has an unknown kind, rate or dtype");
  to->kind = static_cast<ValueKind>(from.kind());
  to->rate = static_cast<Rate>(from.rate());
  to->type.dtype = static_cast<DType>(from.dtype());
  auto dims = read_dims(from.dims(), kMaxRank, budget);
  if (!dims.ok()) return dims.status().with_context(str("value '", to->name, "'"));
  to->dims = std::move(*dims);
  return Status();
}

Status read_attrs(const fb::Node& from, const OpDef& def, Attrs* attrs, Budget* budget) {
  if (size_of(from.attrs()) > kMaxAttrs)
    return error(Code::kDataLoss, size_of(from.attrs()), " attributes");
  for (size_t i = 0; i < size_of(from.attrs()); ++i) {
    const fb::Attr& attr = *from.attrs()->Get(static_cast<uint32_t>(i));
    ZT_ASSIGN_OR_RETURN(const std::string name, read_name(attr.name(), "an attribute", budget));
    if (attrs->find(name) != nullptr)
      return error(Code::kDataLoss, "attribute '", name, "' appears twice");
    ZT_ASSIGN_OR_RETURN(AttrValue value, read_attr(attr, budget));
    attrs->set(name, std::move(value));
  }
  // Attributes that came after the file was written get their defaults.
  return verify_attrs(def, attrs);
}

Status read_node(const fb::Node& from, NodeId id, Graph* graph, Budget* budget) {
  Node node;
  ZT_ASSIGN_OR_RETURN(node.name, read_name(from.name(), "a node", budget));
  const std::string where = str("node '", node.name, "'");
  const OpDef* def = from.op() ? find_op(from.op()->string_view()) : nullptr;
  if (def == nullptr)
    return error(Code::kUnsupported, where, " uses op '",
                 from.op() ? printable(from.op()->string_view()) : "",
                 "', which this version does not know");
  node.op = def->kind;
  ZT_RETURN_IF_ERROR(read_ids(from.inputs(), &node.inputs, budget).with_context(where));
  ZT_RETURN_IF_ERROR(read_ids(from.outputs(), &node.outputs, budget).with_context(where));
  ZT_RETURN_IF_ERROR(read_attrs(from, *def, &node.attrs, budget).with_context(where));
  for (size_t k = 0; k < node.outputs.size(); ++k) {
    const ValueId out = node.outputs[k];
    if (out < 0 || static_cast<size_t>(out) >= graph->values.size())
      return error(Code::kDataLoss, where, " writes value ", out, ", which is not there");
    graph->value(out).producer = id;
    graph->value(out).producer_output = static_cast<int32_t>(k);
  }
  graph->nodes.push_back(std::move(node));
  return Status();
}

// A weight's shape is known before binding: verify() has checked that its dims are constant.
Status set_weight_shapes(Graph* graph) {
  for (ValueId id : graph->weights()) {
    Value& weight = graph->value(id);
    Shape shape;
    for (const Dim& dim : weight.dims) shape.push_back(dim.constant());
    if (auto n = checked_elements(shape.dims()); !n.ok())
      return Status(Code::kDataLoss, str("weight '", weight.name, "': ", n.status().message()));
    weight.type.shape = shape;
  }
  return Status();
}

Status read_parts(const fb::Graph& from, Graph* graph, Budget* budget) {
  if (size_of(from.values()) > kMaxValues || size_of(from.nodes()) > kMaxValues ||
      size_of(from.outputs()) > kMaxList || size_of(from.states()) > kMaxList)
    return error(Code::kDataLoss, "too many values, nodes, outputs or states");
  ZT_RETURN_IF_ERROR(budget->spend(4 * (size_of(from.values()) + size_of(from.nodes()))));
  graph->values.resize(size_of(from.values()));
  for (size_t i = 0; i < graph->values.size(); ++i)
    ZT_RETURN_IF_ERROR(
        read_value(*from.values()->Get(static_cast<uint32_t>(i)), &graph->values[i], budget));
  for (size_t i = 0; i < size_of(from.nodes()); ++i)
    ZT_RETURN_IF_ERROR(read_node(*from.nodes()->Get(static_cast<uint32_t>(i)),
                                 static_cast<NodeId>(i), graph, budget));
  ZT_RETURN_IF_ERROR(read_ids(from.inputs(), &graph->inputs, budget));
  for (size_t i = 0; i < size_of(from.outputs()); ++i) {
    const fb::Output& out = *from.outputs()->Get(static_cast<uint32_t>(i));
    ZT_ASSIGN_OR_RETURN(std::string name, read_name(out.name(), "an output", budget));
    graph->outputs.push_back({std::move(name), out.value()});
  }
  for (size_t i = 0; i < size_of(from.states()); ++i) {
    const fb::State& state = *from.states()->Get(static_cast<uint32_t>(i));
    graph->states.push_back({state.state(), state.next()});
  }
  ZT_RETURN_IF_ERROR(verify(*graph));
  propagate_rates(graph);
  return set_weight_shapes(graph);
}

// Whatever is wrong with a graph in a file is damage, but an op that is only unknown stays that.
Result<Graph> read_graph(const fb::Graph& from, Budget* budget) {
  Graph graph;
  ZT_ASSIGN_OR_RETURN(graph.name, read_name(from.name(), "a component", budget));
  if (Status status = read_parts(from, &graph, budget); !status.ok())
    return Status(status.code() == Code::kUnsupported ? Code::kUnsupported : Code::kDataLoss,
                  str("component '", graph.name, "': ", status.message()));
  return graph;
}

Result<TensorEntry> read_tensor(const fb::Tensor& from, uint64_t data_begin, uint64_t size,
                                Budget* budget) {
  TensorEntry entry;
  ZT_ASSIGN_OR_RETURN(entry.name, read_name(from.name(), "a tensor", budget));
  const auto bad = [&](const auto&... what) {
    return error(Code::kDataLoss, "tensor '", entry.name, "': ", what...);
  };
  if (from.dtype() >= kDTypeCount) return bad("unknown dtype ", int{from.dtype()});
  if (size_of(from.shape()) > kMaxRank) return bad(size_of(from.shape()), " dimensions");
  const std::vector<int64_t> dims = copy_numbers(from.shape());
  auto elements = checked_elements(dims);
  if (!elements.ok()) return bad(elements.status().message());
  entry.type = {static_cast<DType>(from.dtype()), Shape(std::span<const int64_t>(dims))};
  entry.hash = from.hash();
  if (from.quantisation() != nullptr) return bad("is quantised, which this version cannot read");
  if (const fb::Synthetic* s = from.synthetic()) {
    if (s->distribution() > fb::Distribution::MAX || !std::isfinite(s->a()) ||
        !std::isfinite(s->b()))
      return bad("bad synthetic distribution");
    if (from.length() != 0) return bad("is synthetic but has stored bytes");
    if (!is_float(entry.type.dtype) && s->distribution() != fb::Distribution::Constant)
      return bad("is synthetic but not of a float dtype");
    if (*elements > kMaxSynthetic) return bad(entry.type.to_string(), " is too large to generate");
    entry.synthetic =
        SyntheticTensor{static_cast<Distribution>(s->distribution()), s->a(), s->b(), s->seed()};
    return entry;
  }
  if (from.length() != static_cast<uint64_t>(entry.type.bytes()))
    return bad(entry.type.to_string(), " takes ", entry.type.bytes(), " bytes, not ",
               from.length());
  if (from.length() == 0) return entry;  // nothing is stored
  const auto alignment = static_cast<uint64_t>(tensor_alignment(entry.type.bytes()));
  if (from.offset() % alignment != 0 || from.offset() < data_begin || from.offset() > size ||
      from.length() > size - from.offset())
    return bad("lies at ", from.offset(), " with ", from.length(),
               " bytes: not aligned, inside the ", "root, or outside a file of ", size);
  entry.offset = static_cast<int64_t>(from.offset());
  entry.length = static_cast<int64_t>(from.length());
  return entry;
}

Status check_overlap(std::span<const TensorEntry> tensors) {
  std::vector<const TensorEntry*> stored;
  for (const TensorEntry& t : tensors)
    if (t.length > 0) stored.push_back(&t);
  std::sort(stored.begin(), stored.end(),
            [](const TensorEntry* a, const TensorEntry* b) { return a->offset < b->offset; });
  for (size_t i = 1; i < stored.size(); ++i)
    if (stored[i]->offset < stored[i - 1]->offset + stored[i - 1]->length)
      return error(Code::kDataLoss, "tensors '", stored[i - 1]->name, "' and '", stored[i]->name,
                   "' overlap");
  return Status();
}

Status check_weights(const ModelInfo& info, std::span<const TensorEntry> tensors) {
  for (const Graph& graph : info.components) {
    for (ValueId id : graph.weights()) {
      const Value& weight = graph.value(id);
      const auto at =
          std::lower_bound(tensors.begin(), tensors.end(), weight.name,
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
  options.max_depth = 8;
  // A table takes eight bytes at least, so an honest root has no more than this.
  options.max_tables = static_cast<fbs::uoffset_t>(std::min<size_t>(root.size() / 8 + 1, 1u << 24));
  options.max_size = std::min<size_t>(root.size() + 1, FLATBUFFERS_MAX_BUFFER_SIZE);
  if (root.size() >= FLATBUFFERS_MAX_BUFFER_SIZE)
    return error(Code::kDataLoss, "a root of ", root.size(), " bytes");
  fbs::Verifier verifier(root.data(), root.size(), options);
  if (!fb::VerifyModelBuffer(verifier))
    return error(Code::kDataLoss,
                 "its tables are not laid out as this program has them: a file of another version "
                 "of zoetrope (convert the checkpoint again), or one made wrongly");
  const fb::Model& model = *fb::GetModel(root.data());
  Budget budget{2 * root.size()};
  ZT_ASSIGN_OR_RETURN(info->name, read_name(model.name(), "the model", &budget));
  info->family = text_of(model.family());
  if (size_of(model.components()) > kMaxComponents || size_of(model.tensors()) > kMaxTensors ||
      size_of(model.vocabulary()) > kMaxTensors || size_of(model.captions()) > kMaxTensors)
    return error(Code::kDataLoss, "too many components, tensors, words or captions");
  for (size_t i = 0; i < size_of(model.components()); ++i) {
    ZT_ASSIGN_OR_RETURN(Graph graph,
                        read_graph(*model.components()->Get(static_cast<uint32_t>(i)), &budget));
    for (const Graph& other : info->components)
      if (other.name == graph.name)
        return error(Code::kDataLoss, "component '", graph.name, "' appears twice");
    info->components.push_back(std::move(graph));
  }
  const uint64_t data_begin = kModelHeaderBytes + root.size();
  for (size_t i = 0; i < size_of(model.tensors()); ++i) {
    ZT_ASSIGN_OR_RETURN(TensorEntry entry,
                        read_tensor(*model.tensors()->Get(static_cast<uint32_t>(i)), data_begin,
                                    static_cast<uint64_t>(file_bytes), &budget));
    if (!tensors->empty() && !(tensors->back().name < entry.name))
      return error(Code::kDataLoss, "tensor '", entry.name, "' is out of order or appears twice");
    tensors->push_back(std::move(entry));
  }
  ZT_RETURN_IF_ERROR(check_overlap(*tensors));
  ZT_RETURN_IF_ERROR(check_weights(*info, *tensors));
  if (size_of(model.tokenizers()) > kMaxTokenizers)
    return error(Code::kDataLoss, size_of(model.tokenizers()), " tokenizers");
  for (size_t i = 0; i < size_of(model.tokenizers()); ++i) {
    const fb::Tokenizer& stored = *model.tokenizers()->Get(static_cast<uint32_t>(i));
    StoredTokenizer tokenizer{text_of(stored.name()), text_of(stored.kind())};
    if (stored.data() != nullptr)
      tokenizer.data.assign(stored.data()->begin(), stored.data()->end());
    for (const StoredTokenizer& other : info->tokenizers)
      if (other.name == tokenizer.name)
        return error(Code::kDataLoss, "tokenizer '", tokenizer.name, "' appears twice");
    info->tokenizers.push_back(std::move(tokenizer));
  }
  for (size_t i = 0; i < size_of(model.vocabulary()); ++i) {
    const fbs::String& word = *model.vocabulary()->Get(static_cast<uint32_t>(i));
    ZT_RETURN_IF_ERROR(budget.spend(word.size()));
    info->vocabulary.push_back(word.str());
  }
  std::sort(info->vocabulary.begin(), info->vocabulary.end());
  info->recipe = text_of(model.recipe());
  info->provenance = text_of(model.provenance());
  info->licence = text_of(model.licence());
  for (size_t i = 0; i < size_of(model.captions()); ++i) {
    const fbs::String& caption = *model.captions()->Get(static_cast<uint32_t>(i));
    ZT_RETURN_IF_ERROR(budget.spend(caption.size()));
    info->captions.push_back(caption.str());
  }
  info->quantisation = text_of(model.quantisation());
  return Status();
}

}  // namespace zoetrope
