// Builds graphs: one method an op, so that model code reads like the formula. Errors (a wrong
// attribute, an unknown value) are kept and reported once by finish(), with the node's name.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "graph/graph.h"

namespace zoetrope {

class Builder {
 public:
  explicit Builder(std::string graph_name);
  // Goes on building at the end of an existing graph (passes use this for decompositions).
  explicit Builder(Graph* graph);

  // Names get the prefix of the open scopes: "blocks.0." + "attn.q".
  class Scope {
   public:
    Scope(Builder& builder, std::string_view name);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Builder& builder_;
    size_t length_;
  };
  Scope scope(std::string_view name) { return Scope(*this, name); }

  ValueId input(std::string_view name, DType dtype, std::vector<Dim> dims, Rate rate = Rate::kStep);
  // The weight's full name is the scope prefix + name; asking twice for one name gives one value.
  ValueId weight(std::string_view name, std::vector<int64_t> dims, DType dtype = DType::kF32);
  void output(std::string_view name, ValueId value);
  void state(ValueId state, ValueId next);
  // An input that is to be a state; its full name is the scope prefix + name.
  ValueId state_input(std::string_view name, DType dtype, std::vector<Dim> dims) {
    return input(prefix_ + std::string(name), dtype, std::move(dims));
  }

  // Any op by kind; the methods below call it.
  std::vector<ValueId> add_node(OpKind op, std::vector<ValueId> inputs, Attrs attrs,
                                std::string_view name = {});
  ValueId op(OpKind op, std::vector<ValueId> inputs, Attrs attrs = {}, std::string_view name = {}) {
    return add_node(op, std::move(inputs), std::move(attrs), name)[0];
  }

  // Sources
  ValueId fill(double value, std::vector<Dim> dims, DType dtype = DType::kF32);
  ValueId scalar(double value, DType dtype = DType::kF32) { return fill(value, {}, dtype); }
  // start, start+step, ... : [length]
  ValueId iota(Dim length, double start = 0, double step = 1, DType dtype = DType::kF32);

  // Elementwise
  ValueId unary(OpKind kind, ValueId x) { return op(kind, {x}); }
  ValueId silu(ValueId x) { return unary(OpKind::kSilu, x); }
  ValueId gelu_tanh(ValueId x) { return unary(OpKind::kGeluTanh, x); }
  ValueId sin(ValueId x) { return unary(OpKind::kSin, x); }
  ValueId cos(ValueId x) { return unary(OpKind::kCos, x); }
  ValueId exp(ValueId x) { return unary(OpKind::kExp, x); }
  ValueId tanh(ValueId x) { return unary(OpKind::kTanh, x); }
  ValueId cast(ValueId x, DType dtype);
  ValueId add(ValueId a, ValueId b) { return op(OpKind::kAdd, {a, b}); }
  ValueId sub(ValueId a, ValueId b) { return op(OpKind::kSub, {a, b}); }
  ValueId mul(ValueId a, ValueId b) { return op(OpKind::kMul, {a, b}); }
  ValueId div(ValueId a, ValueId b) { return op(OpKind::kDiv, {a, b}); }
  ValueId select(ValueId condition, ValueId a, ValueId b) {
    return op(OpKind::kSelect, {condition, a, b});
  }

  // Shape and layout
  ValueId reshape(ValueId x, std::vector<Dim> dims);  // one dim may be -1
  ValueId transpose(ValueId x, std::vector<int> permutation);
  ValueId broadcast(ValueId x, std::vector<Dim> dims);
  // x[start:end:step] along axis; negative end counts from the end, kToEnd takes the rest.
  static constexpr int64_t kToEnd = INT64_MAX;
  ValueId slice(ValueId x, int axis, Dim start, Dim end, int64_t step = 1);
  std::vector<ValueId> split(ValueId x, int axis, int64_t part, int64_t count);
  ValueId concat(std::vector<ValueId> parts, int axis);
  // mode: "constant" (value), "replicate" or "reflect"; lo and hi hold one entry a dimension.
  ValueId pad(ValueId x, std::vector<Dim> lo, std::vector<Dim> hi,
              std::string_view mode = "constant", double value = 0);
  // Repeats every element `times` along axis: nearest-neighbour upsampling.
  ValueId repeat(ValueId x, int axis, Dim times);
  // table[V, ...] at indices (i32/i64, any shape): indices.shape + table.shape[1:]
  ValueId gather(ValueId table, ValueId indices);

  // Norms over the last axis, in f32. `weight`/`bias` may be kNone.
  ValueId rms_norm(ValueId x, ValueId weight, double epsilon);
  ValueId layer_norm(ValueId x, ValueId weight, ValueId bias, double epsilon);
  ValueId group_norm(ValueId x, ValueId weight, ValueId bias, int64_t groups, double epsilon);
  ValueId softmax(ValueId x, int axis = -1);
  ValueId reduce(OpKind kind, ValueId x, std::vector<int> axes, bool keep_dims = true);

  // a[..., M, K] × b[..., K, N]; with transpose_b, b is [..., N, K] (the PyTorch weight layout).
  ValueId matmul(ValueId a, ValueId b, bool transpose_b = false);
  // x·Wᵀ + bias with weights "<name>.weight" [out, in] and, if has_bias, "<name>.bias" [out].
  ValueId linear(std::string_view name, ValueId x, int64_t in, int64_t out, bool has_bias = true);
  struct ConvOptions {
    std::vector<int64_t> stride, dilation;  // empty: ones
    std::vector<int64_t> pad_lo, pad_hi;    // zeros around; empty: none
    int64_t groups = 1;
  };
  // x [B, spatial..., C], weight [O, kernel..., C/groups]
  ValueId conv(ValueId x, ValueId weight, const ConvOptions& options);
  // q [B, N, H, D], k and v [B, M, Hkv, D]; key_lengths i32 [B] masks keys at and beyond it; mask
  // is added to the scores, broadcastable to [B, H, N, M]. scale 0 means 1/sqrt(D).
  ValueId attention(ValueId q, ValueId k, ValueId v, ValueId key_lengths = kNone,
                    ValueId mask = kNone, double scale = 0, bool causal = false);
  // x [B, N, H, D]; cos and sin [B or 1, N, 1 or H, D/2], f32. mode "interleaved" turns pairs (2i,
  // 2i+1), "split" pairs (i, i + D/2).
  ValueId rope(ValueId x, ValueId cos, ValueId sin, std::string_view mode = "interleaved");

  const Graph& graph() const { return *graph_; }
  Status status() const { return status_; }
  // Verifies, propagates rates and hands the graph over. The builder is spent.
  Result<Graph> finish();

 private:
  std::string unique_name(std::string_view name);

  Graph owned_;
  Graph* graph_;
  std::string prefix_;
  Status status_;
  std::map<std::string, ValueId, std::less<>> by_name_;
  std::map<std::string, int, std::less<>> counters_;
};

}  // namespace zoetrope
