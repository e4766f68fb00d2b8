#include "graph/passes/split.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <optional>

#include "graph/passes/rebuild.h"

namespace zoetrope {
namespace {

// A slow row saves 2·K operations an output element and costs the copy of every row: worth it where
// (share of slow rows) · K is at least this.
constexpr double kMinSaving = 16;

class Splitter {
 public:
  explicit Splitter(const Graph& graph) : r_(graph) {}

  Result<Graph> run() {
    for (const Node& node : r_.from().nodes) {
      std::vector<ValueId> inputs = r_.mapped(node.inputs);
      if (!split_product(node, inputs)) {
        const std::vector<ValueId> outputs = r_.copy(node, std::move(inputs));
        if (outputs.size() == 1) note(outputs[0]);
      }
      ZT_RETURN_IF_ERROR(r_.builder().status());
    }
    return r_.finish();
  }

 private:
  // A value that could be made in pieces along `axis`: the concat itself, or row-wise work behind
  // it.
  struct Pieces {
    int axis;
    std::vector<int64_t> sizes;
    std::vector<Rate> rates;
    size_t through;  // the input that is in pieces; ignored for the concat itself
  };

  const Node& maker(ValueId id) const {
    return r_.out().nodes[static_cast<size_t>(r_.out().value(id).producer)];
  }

  static bool mixed(const Pieces& p) {
    return std::any_of(p.rates.begin(), p.rates.end(), [&](Rate r) { return r != p.rates[0]; });
  }

  // Whether a pointwise operand is the same for every place along `axis` of the output.
  bool constant_along(ValueId id, int axis, int rank) const {
    const Shape& shape = r_.type(id).shape;
    const int own = axis - (rank - shape.rank());
    return own < 0 || shape[own] == 1;
  }

  void note(ValueId id) {
    const Node& node = maker(id);
    const Shape& shape = r_.type(id).shape;
    if (node.op == OpKind::kConcat) {
      const int64_t given = node.attrs.get_int("axis");
      Pieces p{static_cast<int>(given < 0 ? given + shape.rank() : given), {}, {}, 0};
      for (ValueId part : node.inputs) {
        p.sizes.push_back(r_.type(part).shape[p.axis]);
        p.rates.push_back(r_.rate(part));
      }
      if (mixed(p)) pieces_.emplace(id, std::move(p));
      return;
    }
    const bool norm = node.op == OpKind::kRmsNorm || node.op == OpKind::kLayerNorm;
    if (!is_pointwise(node.op) && !norm) return;
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const auto it = node.inputs[i] == kNone ? pieces_.end() : pieces_.find(node.inputs[i]);
      if (it == pieces_.end() || !(r_.type(node.inputs[i]).shape == shape)) continue;
      Pieces p = it->second;
      if (norm && (i != 0 || p.axis == shape.rank() - 1)) return;
      Rate others = Rate::kWeights;
      for (size_t k = 0; k < node.inputs.size(); ++k) {
        if (k == i || node.inputs[k] == kNone) continue;
        if (!norm && !constant_along(node.inputs[k], p.axis, shape.rank())) return;
        others = std::max(others, r_.rate(node.inputs[k]));
      }
      for (Rate& rate : p.rates) rate = std::max(rate, others);
      p.through = i;
      if (mixed(p)) pieces_.emplace(id, std::move(p));
      return;
    }
  }

  // The pieces of a noted value, one a run of parts that change equally often; made once.
  std::vector<ValueId> materialise(ValueId id) {
    if (const auto it = made_.find(id); it != made_.end()) return it->second;
    const Pieces& p = pieces_.at(id);
    const Node node = maker(id);  // a copy: adding nodes moves them
    std::vector<ValueId> made;
    if (node.op == OpKind::kConcat) {
      for (size_t i = 0; i < node.inputs.size();) {
        size_t end = i + 1;
        while (end < node.inputs.size() && p.rates[end] == p.rates[i]) ++end;
        std::vector<ValueId> run(node.inputs.begin() + static_cast<ptrdiff_t>(i),
                                 node.inputs.begin() + static_cast<ptrdiff_t>(end));
        made.push_back(run.size() == 1
                           ? run[0]
                           : r_.builder().op(OpKind::kConcat, std::move(run), node.attrs,
                                             piece_name(node, made.size())));
        i = end;
      }
    } else {
      for (ValueId piece : materialise(node.inputs[p.through])) {
        std::vector<ValueId> inputs = node.inputs;
        inputs[p.through] = piece;
        made.push_back(
            r_.builder().op(node.op, std::move(inputs), node.attrs, piece_name(node, made.size())));
      }
    }
    return made_[id] = made;
  }

  static std::string piece_name(const Node& node, size_t index) {
    return str(node.name, ".rows", index);
  }

  // The value whose rows a product of 8-bit numbers takes, or kNone.
  ValueId quantized_from(const Node& product, const std::vector<ValueId>& inputs) const {
    if (product.op != OpKind::kQuantizedMatmul || r_.out().value(inputs[0]).producer == kNone)
      return kNone;
    const Node& rows = maker(inputs[0]);
    const bool both = rows.op == OpKind::kQuantizeRows && rows.outputs[1] == inputs[1];
    return both ? rows.inputs[0] : kNone;
  }

  // The product of one piece with the operands of the whole.
  ValueId multiply(const Node& node, const std::vector<ValueId>& inputs, ValueId piece,
                   size_t index) {
    std::vector<ValueId> operands = inputs;
    operands[0] = piece;
    if (node.op == OpKind::kQuantizedMatmul) {
      const Node rows = maker(inputs[0]);  // a copy: adding nodes moves them
      std::vector<ValueId>& made = quantized_[{rows.outputs[0], piece}];
      if (made.empty())
        made = r_.builder().add_node(rows.op, {piece}, rows.attrs, piece_name(rows, index));
      if (made.size() != 2) return kNone;  // the builder has the error
      operands[0] = made[0];
      operands[1] = made[1];
    }
    return r_.builder().op(node.op, std::move(operands), node.attrs, piece_name(node, index));
  }

  bool split_product(const Node& node, const std::vector<ValueId>& inputs) {
    const bool quantized = node.op == OpKind::kQuantizedMatmul;
    if (node.op != OpKind::kMatmul && !quantized) return false;
    const ValueId whole_rows = quantized ? quantized_from(node, inputs) : inputs[0];
    const ValueId weight = inputs[quantized ? 2 : 1];
    const auto it = whole_rows == kNone ? pieces_.end() : pieces_.find(whole_rows);
    if (it == pieces_.end() || r_.type(weight).shape.rank() != 2) return false;
    const Pieces& p = it->second;
    const Shape& x = r_.type(whole_rows).shape;
    if (p.axis == x.rank() - 1 || r_.rate(weight) > Rate::kShape) return false;
    const Rate fastest = *std::max_element(p.rates.begin(), p.rates.end());
    double slow = 0;
    for (size_t i = 0; i < p.sizes.size(); ++i)
      if (p.rates[i] < fastest) slow += static_cast<double>(p.sizes[i]);
    if (slow / static_cast<double>(x[p.axis]) * static_cast<double>(x[-1]) < kMinSaving)
      return false;

    const int axis = p.axis;
    std::vector<ValueId> products;
    for (ValueId piece : materialise(whole_rows))
      products.push_back(multiply(node, inputs, piece, products.size()));
    const ValueId whole =
        r_.builder().op(OpKind::kConcat, std::move(products), {{"axis", Dim(axis)}}, node.name);
    r_.set(node.outputs[0], whole);
    note(whole);
    return true;
  }

  Rebuild r_;
  std::map<ValueId, Pieces> pieces_;  // by new value
  std::map<ValueId, std::vector<ValueId>> made_;
  std::map<std::pair<ValueId, ValueId>, std::vector<ValueId>> quantized_;  // by rows and piece
};

}  // namespace

Result<Graph> split_by_rate(const Graph& graph) {
  ZT_CHECK(graph.bound);
  return Splitter(graph).run();
}

double RateReport::flops() const {
  double sum = 0;
  for (const Cost& c : cost) sum += c.flops;
  return sum;
}

double RateReport::share(Rate rate) const {
  const double all = flops();
  return all > 0 ? cost[static_cast<size_t>(rate)].flops / all : 0;
}

std::string RateReport::to_string() const {
  std::string text;
  for (size_t r = kRateCount; r-- > 0;) {
    if (nodes[r] == 0) continue;
    char line[96];
    std::snprintf(line, sizeof(line), "%s %.2f%% (%.3g FLOP, %d nodes)",
                  std::string(rate_name(static_cast<Rate>(r))).c_str(),
                  100 * share(static_cast<Rate>(r)), cost[r].flops, nodes[r]);
    text += (text.empty() ? "" : ", ") + std::string(line);
  }
  return text;
}

RateReport rate_report(const Graph& graph) {
  RateReport report;
  for (const Node& node : graph.nodes) {
    std::vector<const TensorType*> inputs;
    for (ValueId id : node.inputs) inputs.push_back(id == kNone ? nullptr : &graph.value(id).type);
    std::vector<TensorType> outputs;
    for (ValueId id : node.outputs) outputs.push_back(graph.value(id).type);
    const Cost cost = node_cost(op_def(node.op), OpContext{inputs, node.attrs}, outputs);
    const auto r = static_cast<size_t>(graph.value(node.outputs[0]).rate);
    report.cost[r].flops += cost.flops;
    report.cost[r].bytes += cost.bytes;
    ++report.nodes[r];
  }
  return report;
}

}  // namespace zoetrope
