#include "bench/onednn_direct.h"

#include <omp.h>

#include <cmath>
#include <memory>
#include <oneapi/dnnl/dnnl.hpp>

namespace zoetrope::bench {
namespace {

using dnnl::memory;
using Tag = memory::format_tag;

memory::data_type type_of(DType dtype) {
  return dtype == DType::kBF16 ? memory::data_type::bf16 : memory::data_type::f32;
}

struct Engine {
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};

  // Memory whose pages exist, filled with small numbers.
  memory make(const memory::desc& desc) {
    memory m(desc, engine);
    auto* bytes = static_cast<uint8_t*>(m.get_data_handle());
    for (size_t i = 0; i < desc.get_size(); ++i) bytes[i] = (i & 1) != 0 ? 0x3d : (i & 0x1c);
    return m;
  }
};

}  // namespace

Body onednn_matmul(DType dtype, int64_t m, int64_t n, int64_t k, int threads) {
  omp_set_num_threads(threads);
  auto e = std::make_shared<Engine>();
  const auto type = type_of(dtype);
  const dnnl::matmul::primitive_desc desc(e->engine, memory::desc({m, k}, type, Tag::ab),
                                          memory::desc({k, n}, type, Tag::any),
                                          memory::desc({m, n}, type, Tag::ab));
  const dnnl::matmul primitive(desc);
  const std::unordered_map<int, memory> args{{DNNL_ARG_SRC, e->make(desc.src_desc())},
                                             {DNNL_ARG_WEIGHTS, e->make(desc.weights_desc())},
                                             {DNNL_ARG_DST, e->make(desc.dst_desc())}};
  return [=] {
    omp_set_num_threads(threads);
    primitive.execute(e->stream, args);
    e->stream.wait();
  };
}

Body onednn_attention(DType dtype, int64_t tokens, int64_t heads, int64_t d, int threads) {
  omp_set_num_threads(threads);
  auto e = std::make_shared<Engine>();
  const auto type = type_of(dtype);
  const memory::desc q({heads, tokens, d}, type, Tag::abc), v = q;
  const memory::desc k({heads, d, tokens}, type, Tag::acb);  // keys [heads, tokens, d], transposed
  const memory::desc scores({heads, tokens, tokens}, type, Tag::abc);
  dnnl::primitive_attr scaled;
  dnnl::post_ops ops;
  ops.append_eltwise(dnnl::algorithm::eltwise_linear, 1 / std::sqrt(static_cast<float>(d)), 0);
  scaled.set_post_ops(ops);
  const dnnl::matmul qk(dnnl::matmul::primitive_desc(e->engine, q, k, scores, scaled));
  const dnnl::softmax_forward softmax(
      dnnl::softmax_forward::primitive_desc(e->engine, dnnl::prop_kind::forward_inference,
                                            dnnl::algorithm::softmax_accurate, scores, scores, 2));
  const dnnl::matmul pv(dnnl::matmul::primitive_desc(e->engine, scores, v, q));
  const memory mq = e->make(q), mk = e->make(k), mv = e->make(v), ms = e->make(scores),
               my = e->make(q);
  return [=] {
    omp_set_num_threads(threads);
    qk.execute(e->stream, {{DNNL_ARG_SRC, mq}, {DNNL_ARG_WEIGHTS, mk}, {DNNL_ARG_DST, ms}});
    softmax.execute(e->stream, {{DNNL_ARG_SRC, ms}, {DNNL_ARG_DST, ms}});
    pv.execute(e->stream, {{DNNL_ARG_SRC, ms}, {DNNL_ARG_WEIGHTS, mv}, {DNNL_ARG_DST, my}});
    e->stream.wait();
  };
}

Body onednn_conv(DType dtype, const ConvCase& s, int threads) {
  omp_set_num_threads(threads);
  auto e = std::make_shared<Engine>();
  const auto type = type_of(dtype);
  const int64_t pt = s.kernel_t / 2, p = s.kernel / 2;
  const dnnl::convolution_forward::primitive_desc desc(
      e->engine, dnnl::prop_kind::forward_inference, dnnl::algorithm::convolution_direct,
      memory::desc({1, s.channels, s.frames, s.height, s.width}, type, Tag::ndhwc),
      memory::desc({s.filters, s.channels, s.kernel_t, s.kernel, s.kernel}, type, Tag::any),
      memory::desc({s.filters}, memory::data_type::f32, Tag::a),
      memory::desc({1, s.filters, s.frames, s.height, s.width}, type, Tag::ndhwc), {1, 1, 1},
      {pt, p, p}, {pt, p, p});
  const dnnl::convolution_forward primitive(desc);
  const std::unordered_map<int, memory> args{{DNNL_ARG_SRC, e->make(desc.src_desc())},
                                             {DNNL_ARG_WEIGHTS, e->make(desc.weights_desc())},
                                             {DNNL_ARG_BIAS, e->make(desc.bias_desc())},
                                             {DNNL_ARG_DST, e->make(desc.dst_desc())}};
  return [=] {
    omp_set_num_threads(threads);
    primitive.execute(e->stream, args);
    e->stream.wait();
  };
}

}  // namespace zoetrope::bench
