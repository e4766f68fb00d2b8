#include "graph/passes/derive_weights.h"

#include <algorithm>

#include "graph/elements.h"
#include "graph/parallel_rows.h"
#include "graph/passes/rebuild.h"
#include "graph/weight_format.h"

namespace zoetrope {
namespace {

// Whether all that read the node's output are nodes that compute.
bool read_by_calls_alone(const Graph& graph, const std::vector<NodeId>& readers) {
  return std::none_of(readers.begin(), readers.end(), [&](NodeId reader) {
    return reader == kNone || op_def(graph.nodes[static_cast<size_t>(reader)].op).is_view;
  });
}

}  // namespace

bool expands_weights(const Graph& graph, const Node& node) {
  return node.op == OpKind::kDequantize &&
         std::all_of(node.inputs.begin(), node.inputs.end(), [&](ValueId id) {
           return id == kNone || graph.value(id).kind == ValueKind::kWeight;
         });
}

bool is_constant(const Graph& graph, ValueId id) {
  const Value& value = graph.value(id);
  return value.kind == ValueKind::kWeight ||
         (value.kind == ValueKind::kNode &&
          expands_weights(graph, graph.nodes[static_cast<size_t>(value.producer)]));
}

DerivedWeight derived_weight(const Graph& graph, const Node& node) {
  const auto name = [&](size_t i) {
    const bool present = i < node.inputs.size() && node.inputs[i] != kNone;
    return present ? graph.value(node.inputs[i]).name : std::string();
  };
  const TensorType& type = graph.value(node.outputs[0]).type;
  return {
      str(name(0), ".as_", dtype_name(type.dtype)), type, node.attrs, name(0), name(1), name(2)};
}

Result<DerivedGraph> derive_weights(const Graph& graph, const StaysEncoded& stays) {
  ZT_CHECK(graph.bound);
  Rebuild r(graph);
  DerivedGraph result;
  const auto readers = consumers(graph);
  for (const Node& node : graph.nodes) {
    const bool expands = expands_weights(graph, node);
    DerivedWeight weight;
    if (expands) weight = derived_weight(graph, node);
    if (!expands ||
        (stays && read_by_calls_alone(graph, readers[static_cast<size_t>(node.outputs[0])]) &&
         stays(weight))) {
      r.copy(node, r.mapped(node.inputs));
      ZT_RETURN_IF_ERROR(r.builder().status());
      continue;
    }
    const ValueId now = r.builder().weight(
        weight.name, {weight.type.shape.begin(), weight.type.shape.end()}, weight.type.dtype);
    ZT_RETURN_IF_ERROR(r.builder().status());
    r.set(node.outputs[0], now);
    bool known = false;  // equal nodes make one weight
    for (const DerivedWeight& other : result.weights) known = known || other.name == weight.name;
    if (!known) result.weights.push_back(std::move(weight));
  }
  ZT_ASSIGN_OR_RETURN(result.graph, r.finish());
  return result;
}

Result<Graph> expand_at_readers(const Graph& graph) {
  ZT_CHECK(graph.bound);
  Rebuild r(graph);
  for (const Node& node : graph.nodes) {
    if (expands_weights(graph, node)) continue;
    std::vector<ValueId> inputs = r.mapped(node.inputs);
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (node.inputs[i] == kNone || inputs[i] != kNone) continue;
      const Node& made = graph.nodes[static_cast<size_t>(graph.value(node.inputs[i]).producer)];
      inputs[i] = r.builder().op(made.op, r.mapped(made.inputs), made.attrs, made.name);
    }
    r.copy(node, std::move(inputs));
    ZT_RETURN_IF_ERROR(r.builder().status());
  }
  ZT_ASSIGN_OR_RETURN(Graph out, r.finish());
  const auto readers = consumers(out);
  for (const Node& node : out.nodes) {
    const auto& reader = readers[static_cast<size_t>(node.outputs[0])];
    if (expands_weights(out, node) && reader.size() == 1 && reader[0] != kNone)
      out.value(node.outputs[0]).rate =
          out.value(out.nodes[static_cast<size_t>(reader[0])].outputs[0]).rate;
  }
  return out;
}

Result<WeightData> load_derived(const WeightSource& source, const DerivedWeight& weight) {
  ZT_ASSIGN_OR_RETURN(const ops::DequantizeShape s, ops::dequantize_shape(weight.attrs));
  ZT_ASSIGN_OR_RETURN(const WeightData values, source.load(weight.values));
  ZT_ASSIGN_OR_RETURN(const WeightData scale, source.load(weight.scale));
  EncodedData data{values.type.dtype, scale.type.dtype, DType::kF32, values.data, scale.data};
  WeightData offset;
  if (!weight.offset.empty()) {
    ZT_ASSIGN_OR_RETURN(offset, source.load(weight.offset));
    data.offset_type = offset.type.dtype;
    data.offset = offset.data;
  }
  // What it computes from must be what the graph was checked with.
  const auto fits = [&](const WeightData& part, const Shape& shape) {
    return part.type.shape == shape;
  };
  if (!fits(values, {s.rows, s.row_bytes}) || !fits(scale, {s.rows, s.groups}) ||
      (data.offset != nullptr && !fits(offset, {s.rows, s.groups})) ||
      (values.type.dtype == DType::kU8) != (s.bits == 4))
    return error(Code::kInvalidArgument, "tensor '", weight.values, "' is ",
                 values.type.to_string(), " with ", scale.type.to_string(),
                 ": not what the graph reads");
  const DType dtype = weight.type.dtype;
  auto bytes = std::make_shared<std::vector<uint8_t>>(static_cast<size_t>(weight.type.bytes()));
  const int64_t parts =
      row_parts(s.rows, std::max<int64_t>(1, 65536 / std::max<int64_t>(s.columns, 1)));
  std::vector<std::vector<float>> rows(static_cast<size_t>(parts),
                                       std::vector<float>(static_cast<size_t>(s.columns)));
  for_rows(s.rows, parts, [&](int64_t part, int64_t begin, int64_t end) {
    float* const row = rows[static_cast<size_t>(part)].data();
    for (int64_t r = begin; r < end; ++r) {
      decode_row(s, data, r, row);
      uint8_t* const to = bytes->data() + r * s.columns * dtype_size(dtype);
      for (int64_t i = 0; i < s.columns; ++i) {
        if (dtype == DType::kF32) {
          std::memcpy(to + 4 * i, row + i, 4);
          continue;
        }
        const uint16_t half = dtype == DType::kBF16 ? f32_to_bf16(row[i]) : f32_to_f16(row[i]);
        std::memcpy(to + 2 * i, &half, 2);
      }
    }
  });
  const void* view = bytes->data();
  return WeightData{weight.type, view, std::move(bytes)};
}

}  // namespace zoetrope
