// oneDNN's own primitives with its own threads, as a program that calls it directly would use them:
// weights in the format that the primitive prefers, everything prepared before timing.
#include <omp.h>

#include <cmath>
#include <exception>
#include <functional>
#include <oneapi/dnnl/dnnl.hpp>
#include <unordered_map>

#include "bench/peer_module.h"

namespace zoetrope::bench {
namespace {

using dnnl::memory;
using Tag = memory::format_tag;
using Dims = memory::dims;
using Args = std::unordered_map<int, memory>;

class OneDnnCall : public PeerCall {
 public:
  explicit OneDnnCall(int threads) : threads_(threads) { omp_set_num_threads(threads); }

  Status run() override {
    try {
      omp_set_num_threads(threads_);
      for (const Step& step : steps_) step.primitive.execute(stream_, step.args);
      stream_.wait();
    } catch (const std::exception& e) {
      return error(Code::kInternal, "oneDNN: ", e.what());
    }
    return Status();
  }

  // Memory whose pages exist, filled with small numbers.
  memory make(const memory::desc& desc) {
    memory m(desc, engine_);
    auto* bytes = static_cast<uint8_t*>(m.get_data_handle());
    for (size_t i = 0; i < desc.get_size(); ++i)
      bytes[i] = (i & 1) != 0 ? 0x3d : static_cast<uint8_t>(i & 0x1c);
    return m;
  }
  void add(const dnnl::primitive& primitive, Args args) {
    steps_.push_back({primitive, std::move(args)});
  }
  const dnnl::engine& engine() const { return engine_; }

 private:
  struct Step {
    dnnl::primitive primitive;
    Args args;
  };
  const int threads_;
  dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream_{engine_};
  std::vector<Step> steps_;
};

Status unsupported(const char* what) { return error(Code::kUnsupported, "not taken: ", what); }

Result<memory::data_type> type_of(DType dtype) {
  if (dtype == DType::kF32) return memory::data_type::f32;
  if (dtype == DType::kBF16) return memory::data_type::bf16;
  if (dtype == DType::kF16) return memory::data_type::f16;
  return unsupported("this dtype");
}

Result<dnnl::post_ops> post_ops_of(const Attrs& attrs) {
  dnnl::post_ops ops;
  const AttrValue* const value = attrs.find("activation");
  const std::string activation = value == nullptr ? "none" : std::get<std::string>(*value);
  if (activation == "none") return ops;
  if (activation == "gelu_tanh")
    ops.append_eltwise(dnnl::algorithm::eltwise_gelu_tanh, 0, 0);
  else if (activation == "silu")
    ops.append_eltwise(dnnl::algorithm::eltwise_swish, 1, 0);
  else if (activation == "relu")
    ops.append_eltwise(dnnl::algorithm::eltwise_relu, 0, 0);
  else
    return unsupported("this activation");
  return ops;
}

// [..., k] x weight [n, k], with bias and activation where fused.
Status prepare_product(const OpCase& c, memory::data_type type, OneDnnCall* call) {
  const AttrValue* const transposed = c.attrs.find("transpose_b");
  if (transposed == nullptr || !std::get<bool>(*transposed) || c.inputs[1].type.shape.rank() != 2)
    return unsupported("only products with [n, k]");
  const Shape& x = c.inputs[0].type.shape;
  const int64_t n = c.inputs[1].type.shape[0], k = x[-1], m = x.elements() / k;
  const bool bias = c.inputs.size() > 2 && c.inputs[2].present;
  ZT_ASSIGN_OR_RETURN(const dnnl::post_ops ops, post_ops_of(c.attrs));
  dnnl::primitive_attr attr;
  attr.set_post_ops(ops);
  const memory::desc src({m, k}, type, Tag::ab), weights({k, n}, type, Tag::any),
      dst({m, n}, type, Tag::ab), added({1, n}, memory::data_type::f32, Tag::ab);
  const auto desc =
      bias ? dnnl::matmul::primitive_desc(call->engine(), src, weights, added, dst, attr)
           : dnnl::matmul::primitive_desc(call->engine(), src, weights, dst, attr);
  Args args{{DNNL_ARG_SRC, call->make(desc.src_desc())},
            {DNNL_ARG_WEIGHTS, call->make(desc.weights_desc())},
            {DNNL_ARG_DST, call->make(desc.dst_desc())}};
  if (bias) args.emplace(DNNL_ARG_BIAS, call->make(added));
  call->add(dnnl::matmul(desc), std::move(args));
  return Status();
}

// softmax(q kᵀ / √d) v as matmul, softmax, matmul over [batch * heads, tokens, d].
Status prepare_attention(const OpCase& c, memory::data_type type, OneDnnCall* call) {
  const Shape &qs = c.inputs[0].type.shape, &ks = c.inputs[1].type.shape;
  if (c.inputs.size() > 3 || ks[2] != qs[2]) return unsupported("masks and grouped heads");
  const int64_t rows = qs[0] * qs[2], queries = qs[1], keys = ks[1], d = qs[3];
  const memory::desc q({rows, queries, d}, type, Tag::abc), y = q;
  const memory::desc k({rows, d, keys}, type, Tag::acb), v({rows, keys, d}, type, Tag::abc);
  const memory::desc scores({rows, queries, keys}, type, Tag::abc);
  dnnl::primitive_attr scaled;
  dnnl::post_ops ops;
  ops.append_eltwise(dnnl::algorithm::eltwise_linear, 1 / std::sqrt(static_cast<float>(d)), 0);
  scaled.set_post_ops(ops);
  const dnnl::engine& e = call->engine();
  const memory ms = call->make(scores);
  call->add(dnnl::matmul(dnnl::matmul::primitive_desc(e, q, k, scores, scaled)),
            {{DNNL_ARG_SRC, call->make(q)}, {DNNL_ARG_WEIGHTS, call->make(k)}, {DNNL_ARG_DST, ms}});
  call->add(dnnl::softmax_forward(dnnl::softmax_forward::primitive_desc(
                e, dnnl::prop_kind::forward_inference, dnnl::algorithm::softmax_accurate, scores,
                scores, 2)),
            {{DNNL_ARG_SRC, ms}, {DNNL_ARG_DST, ms}});
  call->add(dnnl::matmul(dnnl::matmul::primitive_desc(e, scores, v, y)),
            {{DNNL_ARG_SRC, ms}, {DNNL_ARG_WEIGHTS, call->make(v)}, {DNNL_ARG_DST, call->make(y)}});
  return Status();
}

Result<Dims> ints_of(const Attrs& attrs, const char* name, size_t count, int64_t otherwise) {
  const AttrValue* const value = attrs.find(name);
  Dims dims(count, otherwise);
  if (value == nullptr) return dims;
  const auto& list = std::get<std::vector<Dim>>(*value);
  if (list.empty()) return dims;
  if (list.size() != count) return unsupported("this rank");
  for (size_t i = 0; i < count; ++i) dims[i] = list[i].constant();
  return dims;
}

// Channels first, as oneDNN counts dimensions; the bytes lie channels last.
Dims channels_first(const Shape& shape) {
  Dims dims{shape[0], shape[-1]};
  for (int i = 1; i + 1 < shape.rank(); ++i) dims.push_back(shape[i]);
  return dims;
}

Status prepare_convolution(const OpCase& c, memory::data_type type, OneDnnCall* call) {
  const Shape &x = c.inputs[0].type.shape, &w = c.inputs[1].type.shape;
  const auto spatial = static_cast<size_t>(x.rank() - 2);
  if (spatial < 1 || spatial > 3) return unsupported("this rank");
  constexpr Tag kTags[] = {Tag::nwc, Tag::nhwc, Tag::ndhwc};
  for (const char* name : {"replicate", "dilation", "groups"})
    if (const AttrValue* value = c.attrs.find(name))
      if (const auto* list = std::get_if<std::vector<Dim>>(value);
          list == nullptr ? !(std::get<Dim>(*value) == Dim(1)) : !list->empty())
        return unsupported(name);
  ZT_ASSIGN_OR_RETURN(const Dims stride, ints_of(c.attrs, "stride", spatial, 1));
  ZT_ASSIGN_OR_RETURN(const Dims lo, ints_of(c.attrs, "pad_lo", spatial, 0));
  ZT_ASSIGN_OR_RETURN(const Dims hi, ints_of(c.attrs, "pad_hi", spatial, 0));
  ZT_ASSIGN_OR_RETURN(const dnnl::post_ops ops, post_ops_of(c.attrs));
  dnnl::primitive_attr attr;
  attr.set_post_ops(ops);
  Dims out{x[0], w[0]};
  for (size_t i = 0; i < spatial; ++i) {
    const auto d = static_cast<int>(i) + 1;
    out.push_back((x[d] + lo[i] + hi[i] - w[d]) / stride[i] + 1);
  }
  const Tag tag = kTags[spatial - 1];
  const bool bias = c.inputs.size() > 2 && c.inputs[2].present;
  const memory::desc src(channels_first(x), type, tag), weights(channels_first(w), type, Tag::any),
      dst(out, type, tag), added({w[0]}, memory::data_type::f32, Tag::a);
  using Conv = dnnl::convolution_forward;
  constexpr auto kKind = dnnl::prop_kind::forward_inference;
  constexpr auto kDirect = dnnl::algorithm::convolution_direct;
  const auto desc = bias ? Conv::primitive_desc(call->engine(), kKind, kDirect, src, weights, added,
                                                dst, stride, lo, hi, attr)
                         : Conv::primitive_desc(call->engine(), kKind, kDirect, src, weights, dst,
                                                stride, lo, hi, attr);
  Args args{{DNNL_ARG_SRC, call->make(desc.src_desc())},
            {DNNL_ARG_WEIGHTS, call->make(desc.weights_desc())},
            {DNNL_ARG_DST, call->make(desc.dst_desc())}};
  if (bias) args.emplace(DNNL_ARG_BIAS, call->make(added));
  call->add(Conv(desc), std::move(args));
  return Status();
}

Result<std::unique_ptr<PeerCall>> prepare(const OpCase& c, int threads) {
  ZT_ASSIGN_OR_RETURN(const memory::data_type type, type_of(c.dtype));
  try {
    auto call = std::make_unique<OneDnnCall>(threads);
    switch (c.op) {
      case OpKind::kMatmul:
      case OpKind::kLinear: ZT_RETURN_IF_ERROR(prepare_product(c, type, call.get())); break;
      case OpKind::kAttention: ZT_RETURN_IF_ERROR(prepare_attention(c, type, call.get())); break;
      case OpKind::kConv:
      case OpKind::kConvBias: ZT_RETURN_IF_ERROR(prepare_convolution(c, type, call.get())); break;
      default: return unsupported("this op");
    }
    return std::unique_ptr<PeerCall>(std::move(call));
  } catch (const dnnl::error& e) {
    if (e.status == dnnl_unimplemented)
      return error(Code::kUnavailable, "oneDNN has no such primitive for this processor");
    return error(e.status == dnnl_out_of_memory ? Code::kResourceExhausted : Code::kInternal,
                 "oneDNN: ", e.what());
  } catch (const std::exception& e) {
    return error(Code::kResourceExhausted, "oneDNN: ", e.what());
  }
}

std::string version() {
  const dnnl_version_t* const v = dnnl_version();
  return str(v->major, ".", v->minor, ".", v->patch);
}

const PeerModule kModule{.name = "onednn", .version = version, .prepare = prepare};

}  // namespace
}  // namespace zoetrope::bench

ZT_EXPORT_BENCH_PEER(zoetrope::bench::kModule)
