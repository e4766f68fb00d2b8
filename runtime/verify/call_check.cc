#include "runtime/verify/call_check.h"

#include <algorithm>
#include <cmath>

#include "graph/elements.h"
#include "graph/ops/attention.h"
#include "graph/ops/common.h"
#include "graph/tolerance.h"
#include "runtime/verify/error_pattern.h"

namespace zoetrope {
namespace {

using ops::idx;

// What ErrorBound::at() asks about each element of an output; nothing where the op is no sum.
struct Magnitudes {
  std::vector<double> summed, squares, weighed;
  double score = 0;  // of attention: no score is larger

  // Scores are sums of f32: an error of theirs changes probabilities by as much, relatively.
  double of_scores(size_t i) const { return 0x1p-22 * score * (weighed.empty() ? 0 : weighed[i]); }
};

// Inputs of a part as the definition takes them.
struct PartInputs {
  std::vector<TensorType> types;
  std::vector<EvalTensor> values;
  std::vector<const TensorType*> type_pointers;
  std::vector<const EvalTensor*> pointers;

  PartInputs(const CallBytes& call, const NodePart& part)
      : types(call.inputs.size()),
        values(call.inputs.size()),
        type_pointers(call.inputs.size(), nullptr),
        pointers(call.inputs.size(), nullptr) {
    for (size_t i = 0; i < call.inputs.size(); ++i) {
      if (call.input_types[i] == nullptr) continue;
      types[i] = {call.input_types[i]->dtype, part.inputs[i].extent};
      values[i] = load_box(*call.input_types[i], call.inputs[i], part.inputs[i]);
      type_pointers[i] = &types[i];
      pointers[i] = &values[i];
    }
  }
  template <typename Change>
  void change(size_t i, const Change& to) {
    if (i < pointers.size() && pointers[i] != nullptr)
      for (double& v : values[i].data) v = to(v);
  }
};

bool is_attention(OpKind op) { return op == OpKind::kAttention || op == OpKind::kPackedAttention; }

// Largest norm of a head's row.
double largest_row(const EvalTensor& x, const ops::AttentionRows& rows, int64_t heads,
                   int64_t dim) {
  double largest = 0;
  const auto tokens = static_cast<int64_t>(x.data.size()) / std::max<int64_t>(rows.columns, 1);
  for (int64_t t = 0; t < tokens; ++t)
    for (int64_t h = 0; h < heads; ++h) {
      double squares = 0;
      for (int64_t d = 0; d < dim; ++d) {
        const double v = x.data[idx(t * rows.columns + rows.offset + h * dim + d)];
        squares += v * v;
      }
      largest = std::max(largest, squares);
    }
  return std::sqrt(largest);
}

double largest_score(const OpDef& def, const NodePart& part, const PartInputs& inputs) {
  const ops::AttentionShape s =
      ops::attention_shape(OpContext{inputs.type_pointers, part.attrs}, def.kind);
  return std::fabs(s.scale) * largest_row(inputs.values[0], s.q, s.heads, s.dim) *
         largest_row(inputs.values[1], s.k, s.kv_heads, s.dim);
}

double absolute(double x) { return std::fabs(x); }
double square(double x) { return x * x; }

// By the op's definition, on |x| and x² of what is multiplied.
Result<Magnitudes> magnitudes_of(const OpDef& def, const NodePart& part, bool cut,
                                 PartInputs* inputs) {
  Magnitudes m;
  const bool reduces = def.kind == OpKind::kReduceSum || def.kind == OpKind::kReduceMean;
  if (!sums_products(def.kind) && !reduces && !cut) return m;
  Attrs attrs = part.attrs;
  const auto evaluate = [&]() -> Result<std::vector<double>> {
    ZT_ASSIGN_OR_RETURN(
        auto found, reference_evaluate_node(def, attrs, inputs->type_pointers, inputs->pointers));
    return std::move(found[0].data);
  };
  if (is_attention(def.kind)) {
    m.score = largest_score(def, part, *inputs);
    inputs->change(2, absolute);
    ZT_ASSIGN_OR_RETURN(m.weighed, evaluate());
    return m;
  }
  if (attrs.find("activation") != nullptr) attrs.set("activation", std::string("none"));
  for (size_t i = 0; i < inputs->pointers.size(); ++i) inputs->change(i, absolute);
  ZT_ASSIGN_OR_RETURN(m.summed, evaluate());
  for (size_t i = 0; i < inputs->pointers.size(); ++i) inputs->change(i, square);
  ZT_ASSIGN_OR_RETURN(m.squares, evaluate());
  if (def.kind == OpKind::kReduceMean)  // divided once instead of twice
    for (double& v : m.squares)
      v *= static_cast<double>(m.squares.size()) /
           static_cast<double>(inputs->types[0].shape.elements());
  return m;
}

double rms_of(const std::vector<double>& values) {
  double squares = 0;
  for (double v : values) squares += std::isfinite(v) ? v * v : 0;
  return values.empty() ? 0 : std::sqrt(squares / static_cast<double>(values.size()));
}

// Compares one output, part by part.
class Comparison {
 public:
  Comparison(const OpDef& def, const Attrs& attrs, const TensorType& type, double allowance)
      : def_(def), attrs_(attrs), type_(type), allowance_(allowance), pattern_(type.shape) {}

  // `cut`: depth of sums of which tensor cores cut something off, or 0.
  void add(const Box& box, const std::vector<double>& found, const std::vector<double>& expected,
           const Magnitudes& m, int64_t cut, CallError* error) {
    const double rms = rms_of(expected), unit = unit_roundoff(type_.dtype);
    const ErrorBound bound(def_, attrs_, type_.dtype, rms);
    std::vector<int64_t> off;
    for (size_t i = 0; i < expected.size(); ++i) {
      const double e = rounded(expected[i]), f = found[i];
      if (f == e || (std::isnan(f) && std::isnan(e))) {
        lean_ += std::isfinite(e) ? (f - expected[i]) * expected[i] : 0;
        squares_ += std::isfinite(e) ? e * e : 0;
        fourths_ += std::isfinite(e) ? e * e * e * e : 0;
        continue;
      }
      const double by = std::fabs(f - expected[i]);
      if (std::isfinite(by)) {
        lean_ += (f - expected[i]) * expected[i];
        errors_ += by * by;
        squares_ += e * e;
        fourths_ += e * e * e * e;
      }
      const double summed = m.summed.empty() ? 0 : m.summed[i];
      // What such a sum is where operands are independent: rows may be of sizes of their own.
      const double usual = m.squares.empty() ? rms : std::sqrt(m.squares[i]);
      const double limit =
          allowance_ *
          (bound.at(expected[i], m.weighed.empty() ? 0 : m.weighed[i], summed,
                    m.squares.empty() ? 0 : m.squares[i]) +
           m.of_scores(i) + ErrorBound::lost_by_tensor_cores(cut, usual, expected[i], summed));
      const double ratio = limit > 0 && std::isfinite(by) ? by / limit : INFINITY;
      const double scale = std::max(std::fabs(expected[i]), rms);
      if (unit > 0 && scale > 0 && std::isfinite(by))
        error->units = std::max(error->units, by / (unit * scale));
      error->ratio = std::max(error->ratio, ratio);
      if (ratio <= 1) continue;
      if (off.empty() || ratio > worst_) {
        worst_ = ratio;
        worst_text_ = str("found ", exact(f), ", expected ", exact(expected[i]), " ± ", limit);
      }
      not_finite_ |= !std::isfinite(f) && std::isfinite(expected[i]);
      off.push_back(static_cast<int64_t>(i));
    }
    error->elements += static_cast<int64_t>(expected.size());
    pattern_.add(box, found, expected, off);
  }

  void finish(size_t output, size_t outputs, const std::string& than, CallError* error) const {
    const std::string which = outputs > 1 ? str("output ", output, ": ") : "";
    if (pattern_.off() > 0) {
      error->finding =
          Finding{not_finite_ ? FindingKind::kNotFinite : FindingKind::kBeyondBound,
                  {},
                  {},
                  {},
                  str(which, pattern_.describe(), "; the worst is ", worst_text_, " (", than, ")")};
      return;
    }
    // Σ error·expected of independent roundings is about u/√3·√Σe⁴; twelve of these are no chance.
    const double unit = unit_roundoff(type_.dtype);
    const ErrorBound bound(def_, attrs_, type_.dtype, 1);
    const double spread = std::sqrt(errors_ / std::max(squares_, 1e-300));
    if (bound.spread() > 0 && spread > allowance_ * bound.spread()) {
      error->ratio = std::max(error->ratio, spread / bound.spread());
      error->finding = Finding{FindingKind::kBeyondBound,
                               {},
                               {},
                               {},
                               str(which, "its errors are in all ", spread,
                                   " of the output's root mean square; expected at most ",
                                   bound.spread(), " (", than, ")")};
      return;
    }
    const double limit = bound.lean() * squares_ + 4 * unit * std::sqrt(fourths_);
    if (bound.lean() == 0 || squares_ == 0 || std::fabs(lean_) <= allowance_ * limit) return;
    error->ratio = std::max(error->ratio, std::fabs(lean_) / limit);
    error->finding = Finding{
        FindingKind::kBeyondBound,
        {},
        {},
        {},
        str(which, "its elements are on average ", 1 + lean_ / squares_,
            " times what they should be; expected 1 ± ", limit / squares_, " (", than, ")")};
  }

 private:
  double rounded(double value) const {
    int64_t bits = 0;
    store_element(type_.dtype, &bits, 0, value);
    return load_element(type_.dtype, &bits, 0);
  }

  const OpDef& def_;
  const Attrs& attrs_;
  const TensorType& type_;
  const double allowance_;
  ErrorPattern pattern_;
  bool not_finite_ = false;
  double worst_ = 0, lean_ = 0, errors_ = 0, squares_ = 0, fourths_ = 0;
  std::string worst_text_;
};

int64_t depth_of_cut_sums(const CallBytes& call, const std::string& backend) {
  if (call.node->op != OpKind::kQuantizedMatmul || backend != "cuda" ||
      call.input_types[0]->dtype != DType::kF8E4M3)
    return 0;
  return call.input_types[0]->shape[-1];
}

}  // namespace

Result<CallError> check_by_definition(const CallBytes& call, const CheckOptions& options) {
  const OpDef& def = op_def(call.node->op);
  const OpContext context{call.input_types, call.node->attrs};
  CallError error;
  std::vector<Comparison> comparisons;
  for (const TensorType& type : call.output_types)
    comparisons.emplace_back(def, call.node->attrs, type, 1.0);
  for (const NodePart& part : parts_of(def, context, call.output_types, options.parts)) {
    PartInputs inputs(call, part);
    ZT_ASSIGN_OR_RETURN(auto expected, reference_evaluate_node(
                                           def, part.attrs, inputs.type_pointers, inputs.pointers));
    const int64_t cut = depth_of_cut_sums(call, options.backend);
    ZT_ASSIGN_OR_RETURN(const Magnitudes m, magnitudes_of(def, part, cut > 0, &inputs));
    for (size_t k = 0; k < expected.size(); ++k) {
      const Box box = k == 0 || !part.whole ? part.output : [&] {
        Box whole{call.output_types[k].shape, call.output_types[k].shape};
        for (int d = 0; d < whole.begin.rank(); ++d) whole.begin[d] = 0;
        return whole;
      }();
      if (!(expected[k].shape == box.extent))
        return zoetrope::error(Code::kInternal, "a part of ", def.name, " gives ",
                               expected[k].shape.to_string(), " instead of ",
                               box.extent.to_string());
      const EvalTensor found = load_box(call.output_types[k], call.outputs[k], box);
      comparisons[k].add(box, found.data, expected[k].data, k == 0 ? m : Magnitudes(), cut, &error);
    }
  }
  for (size_t k = 0; k < comparisons.size() && !error.finding; ++k)
    comparisons[k].finish(k, comparisons.size(), "by the op's definition in double", &error);
  return error;
}

CallError check_against_outputs(const CallBytes& call, std::span<const std::vector<uint8_t>> peer,
                                const std::string& peer_name) {
  const OpDef& def = op_def(call.node->op);
  CallError error;
  for (size_t k = 0; k < call.output_types.size() && !error.finding; ++k) {
    const TensorType& type = call.output_types[k];
    Box whole{type.shape, type.shape};
    for (int d = 0; d < whole.begin.rank(); ++d) whole.begin[d] = 0;
    const EvalTensor found = load_box(type, call.outputs[k], whole);
    const EvalTensor expected = load_box(type, peer[k].data(), whole);
    Comparison comparison(def, call.node->attrs, type, 2.0);
    // Cancelled sums leave the peer's errors, too: 16 products, each as large as the output, stand
    // for those that only the definition knows.
    Magnitudes m;
    if (sums_products(def.kind)) {
      const double rms = rms_of(expected.data);
      m.summed.assign(expected.data.size(), 16 * rms);
      m.squares.assign(expected.data.size(), 16 * rms * rms);
    }
    comparison.add(whole, found.data, expected.data, m, 0, &error);
    comparison.finish(k, call.output_types.size(), "as " + peer_name + " gives", &error);
  }
  return error;
}

}  // namespace zoetrope
