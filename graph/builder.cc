#include "graph/builder.h"

#include <algorithm>

namespace zoetrope {
namespace {

std::vector<Dim> to_dims(const std::vector<int64_t>& values) {
  return std::vector<Dim>(values.begin(), values.end());
}

std::vector<Dim> to_dims(const std::vector<int>& values) {
  return std::vector<Dim>(values.begin(), values.end());
}

}  // namespace

Builder::Builder(std::string graph_name) : graph_(&owned_) { owned_.name = std::move(graph_name); }

Builder::Builder(Graph* graph) : graph_(graph) {
  for (size_t i = 0; i < graph->values.size(); ++i)
    by_name_.emplace(graph->values[i].name, static_cast<ValueId>(i));
}

Builder::Scope::Scope(Builder& builder, std::string_view name)
    : builder_(builder), length_(builder.prefix_.size()) {
  builder_.prefix_ += name;
  builder_.prefix_ += '.';
}

Builder::Scope::~Scope() { builder_.prefix_.resize(length_); }

std::string Builder::unique_name(std::string_view name) {
  std::string full = prefix_ + std::string(name);
  if (!by_name_.contains(full)) return full;
  int& counter = counters_[full];
  std::string candidate;
  do {
    candidate = full + "_" + std::to_string(++counter);
  } while (by_name_.contains(candidate));
  return candidate;
}

ValueId Builder::input(std::string_view name, DType dtype, std::vector<Dim> dims, Rate rate) {
  const auto id = static_cast<ValueId>(graph_->values.size());
  if (by_name_.contains(name) && status_.ok())
    status_ = error(Code::kInvalidArgument, "input '", name, "' is declared twice");
  Value value;
  value.name = std::string(name);
  value.kind = ValueKind::kInput;
  value.rate = rate;
  value.dims = std::move(dims);
  value.type.dtype = dtype;
  by_name_.emplace(value.name, id);
  graph_->values.push_back(std::move(value));
  graph_->inputs.push_back(id);
  return id;
}

ValueId Builder::weight(std::string_view name, std::vector<int64_t> dims, DType dtype) {
  const std::string full = prefix_ + std::string(name);
  std::vector<Dim> symbolic = to_dims(dims);
  if (const auto it = by_name_.find(full); it != by_name_.end()) {
    const Value& known = graph_->value(it->second);
    if ((known.kind != ValueKind::kWeight || known.dims != symbolic) && status_.ok())
      status_ = error(Code::kInvalidArgument, "weight '", full, "' is declared twice, with shapes ",
                      attr_to_string(known.dims), " and ", attr_to_string(symbolic));
    return it->second;
  }
  const auto id = static_cast<ValueId>(graph_->values.size());
  Value value;
  value.name = full;
  value.kind = ValueKind::kWeight;
  value.rate = Rate::kWeights;
  if (dims.size() <= kMaxRank) value.type.shape = Shape(std::span<const int64_t>(dims));
  value.dims = std::move(symbolic);
  value.type.dtype = dtype;
  by_name_.emplace(full, id);
  graph_->values.push_back(std::move(value));
  return id;
}

void Builder::output(std::string_view name, ValueId value) {
  graph_->outputs.push_back({std::string(name), value});
}

void Builder::state(ValueId state, ValueId next) { graph_->states.push_back({state, next}); }

std::vector<ValueId> Builder::add_node(OpKind kind, std::vector<ValueId> inputs, Attrs attrs,
                                       std::string_view name) {
  const OpDef& def = op_def(kind);
  Node node;
  node.op = kind;
  node.name = unique_name(name.empty() ? def.name : name);
  Status status = verify_attrs(def, &attrs);
  std::vector<DType> dtypes;
  for (ValueId id : inputs) {
    if (id != kNone && (id < 0 || static_cast<size_t>(id) >= graph_->values.size())) {
      status = error(Code::kInvalidArgument, "input value ", id, " does not exist");
      break;
    }
    dtypes.push_back(id == kNone ? DType::kF32 : graph_->value(id).type.dtype);
  }
  node.inputs = std::move(inputs);
  node.attrs = std::move(attrs);

  std::vector<TensorType> types(static_cast<size_t>(def.output_count));
  if (status.ok()) {
    types[0].dtype = def.output_dtype ? def.output_dtype(dtypes, node.attrs)
                     : dtypes.empty() ? DType::kF32
                                      : dtypes[0];
    if (graph_->bound) {
      std::vector<const TensorType*> input_types;
      for (ValueId id : node.inputs)
        input_types.push_back(id == kNone ? nullptr : &graph_->value(id).type);
      auto inferred = def.infer(OpContext{input_types, node.attrs});
      if (inferred.ok())
        types = std::move(*inferred);
      else
        status = inferred.status();
    }
  }
  if (!status.ok() && status_.ok())
    status_ = status.with_context(str("node '", node.name, "' (", def.name, ")"));

  Rate rate = node.inputs.empty() ? Rate::kShape : Rate::kWeights;
  for (ValueId id : node.inputs)
    if (id >= 0 && static_cast<size_t>(id) < graph_->values.size())
      rate = std::max(rate, graph_->value(id).rate);
  const auto node_id = static_cast<NodeId>(graph_->nodes.size());
  for (size_t k = 0; k < types.size(); ++k) {
    const auto id = static_cast<ValueId>(graph_->values.size());
    Value value;
    value.name = k == 0 ? node.name : unique_name(str(name.empty() ? def.name : name, ".", k));
    value.rate = rate;
    value.producer = node_id;
    value.producer_output = static_cast<int32_t>(k);
    value.type = types[k];
    by_name_.emplace(value.name, id);
    graph_->values.push_back(std::move(value));
    node.outputs.push_back(id);
  }
  std::vector<ValueId> outputs = node.outputs;
  graph_->nodes.push_back(std::move(node));
  return outputs;
}

ValueId Builder::fill(double value, std::vector<Dim> dims, DType dtype) {
  return op(
      OpKind::kFill, {},
      {{"value", value}, {"dims", std::move(dims)}, {"dtype", std::string(dtype_name(dtype))}});
}

ValueId Builder::iota(Dim length, double start, double step, DType dtype) {
  return op(OpKind::kIota, {},
            {{"length", std::move(length)},
             {"start", start},
             {"step", step},
             {"dtype", std::string(dtype_name(dtype))}});
}

ValueId Builder::cast(ValueId x, DType dtype) {
  return op(OpKind::kCast, {x}, {{"dtype", std::string(dtype_name(dtype))}});
}

ValueId Builder::reshape(ValueId x, std::vector<Dim> dims) {
  return op(OpKind::kReshape, {x}, {{"dims", std::move(dims)}});
}

ValueId Builder::transpose(ValueId x, std::vector<int> permutation) {
  return op(OpKind::kTranspose, {x}, {{"permutation", to_dims(permutation)}});
}

ValueId Builder::broadcast(ValueId x, std::vector<Dim> dims) {
  return op(OpKind::kBroadcast, {x}, {{"dims", std::move(dims)}});
}

ValueId Builder::slice(ValueId x, int axis, Dim start, Dim end, int64_t step) {
  return op(OpKind::kSlice, {x},
            {{"axis", Dim(axis)},
             {"start", std::move(start)},
             {"end", std::move(end)},
             {"step", Dim(step)}});
}

std::vector<ValueId> Builder::split(ValueId x, int axis, int64_t part, int64_t count) {
  std::vector<ValueId> parts;
  for (int64_t i = 0; i < count; ++i) parts.push_back(slice(x, axis, i * part, (i + 1) * part));
  return parts;
}

ValueId Builder::concat(std::vector<ValueId> parts, int axis) {
  return op(OpKind::kConcat, std::move(parts), {{"axis", Dim(axis)}});
}

ValueId Builder::pad(ValueId x, std::vector<Dim> lo, std::vector<Dim> hi, std::string_view mode,
                     double value) {
  return op(OpKind::kPad, {x},
            {{"lo", std::move(lo)},
             {"hi", std::move(hi)},
             {"mode", std::string(mode)},
             {"value", value}});
}

ValueId Builder::repeat(ValueId x, int axis, Dim times) {
  return op(OpKind::kRepeat, {x}, {{"axis", Dim(axis)}, {"times", std::move(times)}});
}

ValueId Builder::gather(ValueId table, ValueId indices) {
  return op(OpKind::kGather, {table, indices});
}

ValueId Builder::rms_norm(ValueId x, ValueId weight, double epsilon) {
  return op(OpKind::kRmsNorm, {x, weight}, {{"epsilon", epsilon}});
}

ValueId Builder::layer_norm(ValueId x, ValueId weight, ValueId bias, double epsilon) {
  return op(OpKind::kLayerNorm, {x, weight, bias}, {{"epsilon", epsilon}});
}

ValueId Builder::group_norm(ValueId x, ValueId weight, ValueId bias, int64_t groups,
                            double epsilon) {
  return op(OpKind::kGroupNorm, {x, weight, bias}, {{"groups", Dim(groups)}, {"epsilon", epsilon}});
}

ValueId Builder::softmax(ValueId x, int axis) {
  return op(OpKind::kSoftmax, {x}, {{"axis", Dim(axis)}});
}

ValueId Builder::reduce(OpKind kind, ValueId x, std::vector<int> axes, bool keep_dims) {
  return op(kind, {x}, {{"axes", to_dims(axes)}, {"keep_dims", keep_dims}});
}

ValueId Builder::matmul(ValueId a, ValueId b, bool transpose_b) {
  return op(OpKind::kMatmul, {a, b}, {{"transpose_b", transpose_b}});
}

ValueId Builder::linear(std::string_view name, ValueId x, int64_t in, int64_t out, bool has_bias) {
  const std::string base(name);
  const ValueId w = weight(base + ".weight", {out, in});
  ValueId y = op(OpKind::kMatmul, {x, w}, {{"transpose_b", true}}, name);
  if (has_bias) y = op(OpKind::kAdd, {y, weight(base + ".bias", {out})}, {}, base + ".biased");
  return y;
}

ValueId Builder::conv(ValueId x, ValueId weight, const ConvOptions& options) {
  return op(OpKind::kConv, {x, weight},
            {{"stride", to_dims(options.stride)},
             {"dilation", to_dims(options.dilation)},
             {"pad_lo", to_dims(options.pad_lo)},
             {"pad_hi", to_dims(options.pad_hi)},
             {"groups", Dim(options.groups)}});
}

ValueId Builder::attention(ValueId q, ValueId k, ValueId v, ValueId key_lengths, ValueId mask,
                           double scale, bool causal) {
  return op(OpKind::kAttention, {q, k, v, key_lengths, mask},
            {{"scale", scale}, {"causal", causal}});
}

ValueId Builder::rope(ValueId x, ValueId cos, ValueId sin, std::string_view mode) {
  return op(OpKind::kRope, {x, cos, sin}, {{"mode", std::string(mode)}});
}

Result<Graph> Builder::finish() {
  ZT_RETURN_IF_ERROR(status_.with_context(str("building graph '", graph_->name, "'")));
  propagate_rates(graph_);
  ZT_RETURN_IF_ERROR(verify(*graph_));
  return std::move(*graph_);
}

}  // namespace zoetrope
