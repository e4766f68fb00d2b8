#include "graph/passes/derive_weights.h"

#include "graph/elements.h"
#include "graph/parallel_rows.h"
#include "graph/passes/rebuild.h"
#include "graph/weight_format.h"

namespace zoetrope {
namespace {

bool reads_weights_alone(const Graph& graph, const Node& node) {
  for (ValueId id : node.inputs)
    if (id != kNone && graph.value(id).kind != ValueKind::kWeight) return false;
  return true;
}

}  // namespace

Result<DerivedGraph> derive_weights(const Graph& graph) {
  ZT_CHECK(graph.bound);
  Rebuild r(graph);
  DerivedGraph result;
  for (const Node& node : graph.nodes) {
    if (node.op != OpKind::kDequantize || !reads_weights_alone(graph, node)) {
      r.copy(node, r.mapped(node.inputs));
      ZT_RETURN_IF_ERROR(r.builder().status());
      continue;
    }
    const Value& out = graph.value(node.outputs[0]);
    const auto name = [&](size_t i) {
      const bool present = i < node.inputs.size() && node.inputs[i] != kNone;
      return present ? graph.value(node.inputs[i]).name : std::string();
    };
    DerivedWeight weight{str(name(0), ".as_", dtype_name(out.type.dtype)),
                         out.type,
                         node.attrs,
                         name(0),
                         name(1),
                         name(2)};
    const ValueId now = r.builder().weight(
        weight.name, {out.type.shape.begin(), out.type.shape.end()}, out.type.dtype);
    ZT_RETURN_IF_ERROR(r.builder().status());
    r.set(node.outputs[0], now);
    bool known = false;  // equal nodes make one weight
    for (const DerivedWeight& other : result.weights) known = known || other.name == weight.name;
    if (!known) result.weights.push_back(std::move(weight));
  }
  ZT_ASSIGN_OR_RETURN(result.graph, r.finish());
  return result;
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
