#include "graph/passes/quantize.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <set>
#include <tuple>

#include "graph/elements.h"
#include "graph/parallel_rows.h"
#include "graph/passes/rebuild.h"
#include "graph/rotation.h"

namespace zoetrope {
namespace {

bool multiplies_rows(WeightFormat format) {
  return format == WeightFormat::kInt8 || format == WeightFormat::kFp8;
}

bool moves_elements(OpKind op) {
  switch (op) {
    case OpKind::kCast:
    case OpKind::kReshape:
    case OpKind::kTranspose:
    case OpKind::kBroadcast:
    case OpKind::kSlice:
    case OpKind::kConcat:
    case OpKind::kPad:
    case OpKind::kRepeat: return true;
    default: return false;
  }
}

// By value: whether elements of it are inputs of every step, moved.
std::vector<bool> moved_inputs(const Graph& graph) {
  std::vector<bool> moved(graph.values.size());
  for (size_t id = 0; id < moved.size(); ++id)
    moved[id] = graph.values[id].kind == ValueKind::kInput && graph.values[id].rate == Rate::kStep;
  const auto is_moved = [&](ValueId id) { return id != kNone && moved[static_cast<size_t>(id)]; };
  for (const Node& node : graph.nodes)
    moved[static_cast<size_t>(node.outputs[0])] =
        moves_elements(node.op) && std::any_of(node.inputs.begin(), node.inputs.end(), is_moved);
  return moved;
}

// By value: whether elements of outputs are its own, moved, with biases or without.
std::vector<bool> moved_to_outputs(const Graph& graph) {
  std::vector<bool> moved(graph.values.size());
  for (const GraphOutput& output : graph.outputs) moved[static_cast<size_t>(output.value)] = true;
  for (auto node = graph.nodes.rbegin(); node != graph.nodes.rend(); ++node) {
    if (!moved[static_cast<size_t>(node->outputs[0])]) continue;
    const bool biased = node->op == OpKind::kAdd &&
                        std::any_of(node->inputs.begin(), node->inputs.end(), [&](ValueId id) {
                          return graph.value(id).kind == ValueKind::kWeight;
                        });
    if (moves_elements(node->op) || biased)
      for (ValueId id : node->inputs)
        if (id != kNone) moved[static_cast<size_t>(id)] = true;
  }
  return moved;
}

Shape shape_of(const Value& weight) {
  Shape shape;
  for (const Dim& d : weight.dims) shape.push_back(d.constant());
  return shape;
}

class Quantizer {
 public:
  Quantizer(const Graph& graph, int attention_bits) : r_(graph), attention_bits_(attention_bits) {}

  Result<QuantizedGraph> run(const ChooseFormat& choose) {
    const Graph& from = r_.from();
    find_sites();
    for (ValueId id : from.weights())
      if (Status status = take(id, choose); !status.ok())
        return status.with_context(str("weight '", from.value(id).name, "'"));
    for (const Node& node : from.nodes) {
      if (const auto it = products_.find(weight_of(node)); it != products_.end())
        multiply(node, it->second);
      else if (node.op == OpKind::kAttention && attention_bits_ != 0 &&
               from.value(node.outputs[0]).rate == Rate::kStep)
        attend(node);
      else
        r_.copy(node, r_.mapped(node.inputs));
      ZT_RETURN_IF_ERROR(r_.builder().status());
    }
    ZT_ASSIGN_OR_RETURN(result_.graph, r_.finish());
    std::sort(result_.weights.begin(), result_.weights.end(),
              [](const auto& a, const auto& b) { return a.weight < b.weight; });
    return std::move(result_);
  }

 private:
  struct Product {
    DType dtype;
    bool rotate;
    ValueId values, scale;
  };

  // The matrix of x·Wᵀ, or kNone.
  static ValueId weight_of(const Node& node) {
    return node.op == OpKind::kMatmul && is_transposed(node) ? node.inputs[1] : kNone;
  }
  static bool is_transposed(const Node& node) {
    const AttrValue* flag = node.attrs.find("transpose_b");
    return flag != nullptr && std::get<bool>(*flag);
  }

  void find_sites() {
    const Graph& from = r_.from();
    for (ValueId id : from.weights()) {
      const Value& v = from.value(id);
      sites_[id] = {v.name, shape_of(v), v.dims.size() == 2, true, Rate::kWeights};
    }
    std::set<ValueId> read, multiplied;
    const std::vector<bool> first = moved_inputs(from), last = moved_to_outputs(from);
    for (const Node& node : from.nodes)
      for (size_t i = 0; i < node.inputs.size(); ++i) {
        const auto it = sites_.find(node.inputs[i]);
        if (it == sites_.end()) continue;
        read.insert(it->first);
        if (i != 1 || node.op != OpKind::kConv) it->second.convolution = false;
        if (i == 1 && weight_of(node) == it->first) {
          const Value& rows = from.value(node.inputs[0]);
          it->second.rows = multiplied.insert(it->first).second ? rows.name : std::string_view();
          it->second.rate = std::max(it->second.rate, rows.rate);
          it->second.edge = it->second.edge || first[static_cast<size_t>(node.inputs[0])] ||
                            last[static_cast<size_t>(node.outputs[0])];
        } else {
          it->second.product = false;
        }
      }
    for (const GraphOutput& output : from.outputs)
      if (const auto it = sites_.find(output.value); it != sites_.end())
        it->second.product = it->second.convolution = false;
    for (auto& [id, site] : sites_) {  // one that nobody multiplies by
      site.product = site.product && site.rate != Rate::kWeights;
      site.edge = site.edge && site.product && site.rate == Rate::kStep;
      site.convolution = site.convolution && read.contains(id);
    }
  }

  Status take(ValueId id, const ChooseFormat& choose) {
    const QuantizeSite& site = sites_.at(id);
    const Value& weight = r_.from().value(id);
    if (!is_float(weight.type.dtype)) return Status();
    const WeightChoice choice = choose(site);
    if (choice.format == WeightFormat::kKeep) return Status();
    QuantizedWeight made{weight.name,           choice, site.shape, weight.name, "", site.product,
                         std::string(site.rows)};
    if (choice.format == WeightFormat::kF16 || choice.format == WeightFormat::kBF16) {
      result_.weights.push_back(std::move(made));
      return Status();
    }
    if (site.shape.rank() < 2 || site.shape.elements() == 0)
      return error(Code::kInvalidArgument, site.shape.to_string(), " has no rows to quantise");
    if (multiplies_rows(choice.format) && !site.product)
      return error(Code::kInvalidArgument,
                   "is not only a factor of rows: ", format_name(choice.format),
                   " cannot store it");
    if (choice.format == WeightFormat::kInt4 && (choice.group < 2 || choice.group % 2 != 0))
      return error(Code::kInvalidArgument, "groups of ", choice.group, ": expected an even number");
    if (choice.rotate &&
        (!multiplies_rows(choice.format) || site.shape.elements() / site.shape[0] % kRotation != 0))
      return error(Code::kInvalidArgument, "has no rows of 8 bits in blocks of ", kRotation,
                   " to turn: ", site.shape.to_string(), " as ", format_name(choice.format));
    made.values = str(weight.name, ".", format_name(choice.format), choice.rotate ? "_turned" : "");
    if (choice.format == WeightFormat::kInt4) made.values += str("_", choice.group);
    made.scale = made.values + ".scale";
    const EncodedTypes types = encoded_types(choice.format, site.shape, choice.group);
    const auto add = [&](const std::string& name, const TensorType& type) {
      return r_.builder().weight(name, {type.shape.begin(), type.shape.end()}, type.dtype);
    };
    const Product product{types.values.dtype, choice.rotate, add(made.values, types.values),
                          add(made.scale, types.scale)};
    if (multiplies_rows(choice.format)) {
      products_.emplace(id, product);
    } else {
      r_.set(id, r_.builder().op(OpKind::kDequantize, {product.values, product.scale},
                                 dequantize_attrs(choice, weight.dims), weight.name + ".numbers"));
    }
    ZT_RETURN_IF_ERROR(r_.builder().status());
    result_.weights.push_back(std::move(made));
    return Status();
  }

  void multiply(const Node& node, const Product& weight) {
    const ValueId x = r_.mapped(node.inputs[0]);
    std::vector<ValueId>& rows = rows_[{x, weight.dtype, weight.rotate}];
    if (rows.empty())
      rows = r_.builder().add_node(OpKind::kQuantizeRows, {x},
                                   {{"dtype", std::string(dtype_name(weight.dtype))},
                                    {"rotation", Dim(weight.rotate ? kRotation : 0)}},
                                   node.name + ".rows");
    if (rows.size() != 2) return;  // the builder has the error
    r_.set(node.outputs[0],
           r_.builder().op(
               OpKind::kQuantizedMatmul, {rows[0], rows[1], weight.values, weight.scale},
               {{"dtype", std::string(dtype_name(r_.from().value(node.outputs[0]).type.dtype))}},
               node.name));
  }

  void attend(const Node& node) {
    Attrs attrs = node.attrs;
    attrs.set("bits", Dim(attention_bits_));
    ++result_.attentions;
    r_.set(node.outputs[0],
           r_.builder().op(node.op, r_.mapped(node.inputs), std::move(attrs), node.name));
  }

  Rebuild r_;
  const int attention_bits_;
  QuantizedGraph result_;
  std::map<ValueId, QuantizeSite> sites_;  // by old weight
  std::map<ValueId, Product> products_;    // likewise
  // By new value, dtype and whether they are turned.
  std::map<std::tuple<ValueId, DType, bool>, std::vector<ValueId>> rows_;
};

// Whether each group has a factor: an f16, left 0 where what the group needs is larger than that.
bool factors_hold(const float* x, int64_t columns, int64_t group, const uint8_t* factors) {
  for (int64_t i = 0; i < columns; ++i) {
    uint16_t factor;
    std::memcpy(&factor, factors + i / group * 2, 2);
    if (factor == 0 && std::fabs(x[i]) >= 1) return false;
  }
  return true;
}

// As one of the dtypes that checkpoints have; an error where a value does not fit.
Result<WeightData> as_dtype(const WeightData& from, DType dtype) {
  const int64_t n = from.type.shape.elements();
  auto bytes = std::make_shared<std::vector<uint8_t>>(static_cast<size_t>(n * dtype_size(dtype)));
  constexpr int64_t kChunk = 4096;
  double chunk[kChunk];
  const auto* data = static_cast<const uint8_t*>(from.data);
  for (int64_t at = 0; at < n; at += kChunk) {
    const int64_t count = std::min(kChunk, n - at);
    load_elements(from.type.dtype, data + at * dtype_size(from.type.dtype), count, chunk);
    uint8_t* to = bytes->data() + at * dtype_size(dtype);
    store_elements(dtype, to, count, chunk);
    load_elements(dtype, to, count, chunk);
    for (int64_t i = 0; i < count; ++i)
      if (!std::isfinite(chunk[i]))
        return error(Code::kDataLoss, "holds NaN, infinity, or a value too large for ",
                     dtype_name(dtype));
  }
  const void* view = bytes->data();
  return WeightData{{dtype, from.type.shape}, view, std::move(bytes)};
}

}  // namespace

Attrs dequantize_attrs(const WeightChoice& choice, std::vector<Dim> dims) {
  const bool narrow = choice.format == WeightFormat::kInt4;
  return {{"dims", std::move(dims)},
          {"bits", Dim(narrow ? 4 : 8)},
          {"group", Dim(narrow ? choice.group : 0)}};
}

Result<QuantizedGraph> quantize(const Graph& graph, const ChooseFormat& choose,
                                int attention_bits) {
  return Quantizer(graph, attention_bits).run(choose);
}

Result<std::unique_ptr<QuantizedWeights>> QuantizedWeights::create(
    const WeightSource& base, std::vector<QuantizedWeight> weights, const WeightMoments* moments) {
  std::unique_ptr<QuantizedWeights> made(new QuantizedWeights(base, std::move(weights), moments));
  for (size_t i = 0; i < made->weights_.size(); ++i) {
    const QuantizedWeight& w = made->weights_[i];
    const auto [at, fresh] = made->parts_.try_emplace(w.values, Part{i, false});
    const WeightChoice& other = made->weights_[at->second.weight].choice;
    if (!fresh && !(other == w.choice))
      return error(Code::kInvalidArgument, "weight '", w.weight, "' cannot be both ",
                   format_name(other.format), " and ", format_name(w.choice.format));
    if (!w.scale.empty()) made->parts_.try_emplace(w.scale, Part{i, true});
  }
  return made;
}

Result<TensorType> QuantizedWeights::type(std::string_view name) const {
  const auto it = parts_.find(name);
  if (it == parts_.end()) return base_.type(name);
  const QuantizedWeight& w = weights_[it->second.weight];
  if (w.choice.format == WeightFormat::kF16) return TensorType{DType::kF16, w.shape};
  if (w.choice.format == WeightFormat::kBF16) return TensorType{DType::kBF16, w.shape};
  const EncodedTypes types = encoded_types(w.choice.format, w.shape, w.choice.group);
  return it->second.scale ? types.scale : types.values;
}

Result<WeightData> QuantizedWeights::load(std::string_view name) const {
  const auto it = parts_.find(name);
  if (it == parts_.end()) return base_.load(name);
  const QuantizedWeight& w = weights_[it->second.weight];
  auto made = encode(w, it->second.scale);
  if (!made.ok()) return made.status().with_context(str("weight '", w.weight, "'"));
  return made;
}

Result<std::shared_ptr<const Compensation>> QuantizedWeights::compensation_of(
    const QuantizedWeight& w) const {
  std::shared_ptr<const Compensation> made;
  if (moments_ == nullptr || w.choice.format != WeightFormat::kInt4) return made;
  const auto it = moments_->find(w.weight);
  if (it == moments_->end()) return made;
  const RowMoments& seen = *it->second;
  const int64_t columns = w.shape.elements() / w.shape[0];
  if (seen.columns() != columns || seen.block() % w.choice.group != 0)
    return error(Code::kInternal, "moments of ", seen.columns(), " columns in blocks of ",
                 seen.block(), " for rows of ", columns);
  {
    const std::lock_guard lock(mutex_);
    if (compensation_from_ == &seen) return compensation_;
  }
  made = std::make_shared<const Compensation>(seen);
  const std::lock_guard lock(mutex_);
  compensation_from_ = &seen;
  compensation_ = made;
  return made;
}

Result<WeightData> QuantizedWeights::encode(const QuantizedWeight& w, bool scale) const {
  if (scale) {
    const std::lock_guard lock(mutex_);
    if (scale_ && scale_of_ == w.values) return *scale_;
  }
  ZT_ASSIGN_OR_RETURN(const WeightData from, base_.load(w.weight));
  if (w.choice.format == WeightFormat::kF16) return as_dtype(from, DType::kF16);
  if (w.choice.format == WeightFormat::kBF16) return as_dtype(from, DType::kBF16);
  const EncodedTypes types = encoded_types(w.choice.format, w.shape, w.choice.group);
  const auto make = [](const TensorType& type) {
    return std::make_shared<std::vector<uint8_t>>(static_cast<size_t>(type.bytes()));
  };
  const auto values = make(types.values), scales = make(types.scale);
  const int64_t rows = w.shape[0], columns = w.shape.elements() / rows;
  const int64_t value_bytes = types.values.bytes() / rows, scale_bytes = types.scale.bytes() / rows;
  const int64_t row_bytes = columns * dtype_size(from.type.dtype);
  const int64_t parts = row_parts(rows, std::max<int64_t>(1, 65536 / columns));
  std::vector<std::vector<double>> wide(static_cast<size_t>(parts),
                                        std::vector<double>(static_cast<size_t>(columns)));
  std::vector<std::vector<float>> row(static_cast<size_t>(parts),
                                      std::vector<float>(static_cast<size_t>(columns)));
  std::vector<char> finite(static_cast<size_t>(parts), 1), fits(finite);
  ZT_ASSIGN_OR_RETURN(const auto compensation, compensation_of(w));
  for_rows(rows, parts, [&](int64_t part, int64_t begin, int64_t end) {
    const auto p = static_cast<size_t>(part);
    for (int64_t r = begin; r < end; ++r) {
      load_elements(from.type.dtype, static_cast<const uint8_t*>(from.data) + r * row_bytes,
                    columns, wide[p].data());
      bool good = true;
      for (int64_t i = 0; i < columns; ++i) {
        row[p][static_cast<size_t>(i)] = static_cast<float>(wide[p][static_cast<size_t>(i)]);
        good &= std::isfinite(row[p][static_cast<size_t>(i)]);
      }
      if (w.choice.rotate) {  // exact but for the sums' own rounding
        rotate_row(row[p].data(), columns);
        for (float& v : row[p]) v /= kRotation;
      }
      if (!good) finite[p] = 0;
      uint8_t *const q = values->data() + r * value_bytes, *const s =
                                                               scales->data() + r * scale_bytes;
      if (good && compensation)
        compensation->encode_row(w.choice.group, row[p].data(), q, s);
      else
        encode_rows(w.choice.format, w.choice.group, row[p].data(), 1, columns, q, s);
      if (w.choice.format == WeightFormat::kInt4 &&
          !factors_hold(row[p].data(), columns, w.choice.group, s))
        fits[p] = 0;
    }
  });
  if (std::find(finite.begin(), finite.end(), 0) != finite.end())
    return error(Code::kDataLoss, "holds NaN or infinity");
  if (std::find(fits.begin(), fits.end(), 0) != fits.end())
    return error(Code::kDataLoss,
                 "holds a value too large for int4, whose factors are f16: ", 8 * 65504,
                 " at most");
  const WeightData made_scale{types.scale, scales->data(), scales};
  if (scale) return made_scale;
  const std::lock_guard lock(mutex_);
  if (compensation && compensation->compensates()) compensated_.insert(w.weight);
  scale_of_ = w.values;
  scale_ = made_scale;
  return WeightData{types.values, values->data(), values};
}

}  // namespace zoetrope
