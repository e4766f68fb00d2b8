// Ops of a backend against the library that a program would call directly, at the shapes of our
// models. Pairs share a name up to the last part, "zoetrope" or the peer; run them interleaved:
//   zoetrope_bench_ops --benchmark_repetitions=9 --benchmark_enable_random_interleaving=true
#include <benchmark/benchmark.h>

#include <cstring>

#include "bench/onednn_direct.h"
#include "bench/op_runner.h"

namespace zoetrope::bench {
namespace {

using benchmark::State;

constexpr DType kDTypes[] = {DType::kF32, DType::kBF16};

void register_bench(const std::string& name, double flops, double bytes,
                    std::function<Body()> make) {
  // Made at the first run and kept: repetitions and warm-ups come back here many times.
  const auto made = std::make_shared<Body>();
  benchmark::RegisterBenchmark(name.c_str(),
                               [=](State& state) {
                                 if (*made == nullptr) *made = make();
                                 const Body& body = *made;
                                 body();
                                 for (auto _ : state) body();
                                 const auto rate = [](double amount) {
                                   return benchmark::Counter(
                                       amount, benchmark::Counter::kIsIterationInvariantRate);
                                 };
                                 if (flops > 0) state.counters["GFLOP/s"] = rate(flops / 1e9);
                                 if (bytes > 0) state.counters["GB/s"] = rate(bytes / 1e9);
                               })
      ->UseRealTime()
      ->Unit(benchmark::kMicrosecond);
}

Body op_body(OpKind op, std::vector<Operand> operands, Attrs attrs = {}) {
  auto runner = std::make_shared<OpRunner>(device(), op, std::move(operands), std::move(attrs));
  return [=] { runner->run(); };
}

void add_matmul(DType dtype, int64_t m, int64_t n, int64_t k) {
  const std::string name = str("matmul/", dtype_name(dtype), "/", m, "x", n, "x", k, "/");
  const double flops = 2.0 * static_cast<double>(m * n) * static_cast<double>(k);
  register_bench(name + "zoetrope", flops, 0, [=] {
    return op_body(OpKind::kMatmul, {{{dtype, Shape{m, k}}, false}, {{dtype, Shape{n, k}}, true}},
                   {{"transpose_b", true}});
  });
  register_bench(name + "onednn", flops, 0,
                 [=] { return onednn_matmul(dtype, m, n, k, threads()); });
}

void add_attention(DType dtype, int64_t tokens, int64_t heads, int64_t d) {
  const std::string name =
      str("attention/", dtype_name(dtype), "/", tokens, "x", heads, "x", d, "/");
  const double flops = 4.0 * static_cast<double>(tokens * tokens) * static_cast<double>(heads * d);
  register_bench(name + "zoetrope", flops, 0, [=] {
    const Operand x{{dtype, Shape{1, tokens, heads, d}}, false};
    return op_body(OpKind::kAttention, {x, x, x});
  });
  register_bench(name + "onednn", flops, 0,
                 [=] { return onednn_attention(dtype, tokens, heads, d, threads()); });
}

void add_conv(DType dtype, const ConvCase& s) {
  const std::string name =
      str("conv/", dtype_name(dtype), "/", s.frames, "x", s.height, "x", s.width, "x", s.channels,
          "-", s.filters, "_k", s.kernel_t, "x", s.kernel, "x", s.kernel, "/");
  const double flops = 2.0 * static_cast<double>(s.frames * s.height * s.width * s.filters) *
                       static_cast<double>(s.channels * s.kernel_t * s.kernel * s.kernel);
  register_bench(name + "zoetrope", flops, 0, [=] {
    const std::vector<Dim> pad{s.kernel_t / 2, s.kernel / 2, s.kernel / 2};
    return op_body(OpKind::kConvBias,
                   {{{dtype, Shape{1, s.frames, s.height, s.width, s.channels}}, false},
                    {{dtype, Shape{s.filters, s.kernel_t, s.kernel, s.kernel, s.channels}}, true},
                    {{DType::kF32, Shape{s.filters}}, true}},
                   {{"pad_lo", pad}, {"pad_hi", pad}});
  });
  register_bench(name + "onednn", flops, 0, [=] { return onednn_conv(dtype, s, threads()); });
}

// Ops that do little but stream memory. memcpy is one thread's: compare with --threads=1.
void add_memory(int64_t rows, int64_t width) {
  const TensorType x{DType::kF32, Shape{1, rows, width}};
  const TensorType row{DType::kF32, Shape{1, 1, width}};
  const TensorType vector{DType::kF32, Shape{width}};
  const auto bytes = static_cast<double>(x.bytes());
  const std::string size = str("/f32/", rows, "x", width, "/");
  register_bench("memory/copy" + size + "memcpy", 0, 2 * bytes, [=] {
    auto from = std::make_shared<std::vector<char>>(static_cast<size_t>(x.bytes()), 1);
    auto to = std::make_shared<std::vector<char>>(from->size());
    return [=] {
      std::memcpy(to->data(), from->data(), to->size());
      benchmark::ClobberMemory();
    };
  });
  register_bench("memory/silu" + size + "zoetrope", 0, 2 * bytes,
                 [=] { return op_body(OpKind::kSilu, {{x}}); });
  register_bench("memory/add" + size + "zoetrope", 0, 3 * bytes, [=] {
    return op_body(OpKind::kAdd, {{x}, {x}});
  });
  register_bench("memory/rms_norm" + size + "zoetrope", 0, 2 * bytes, [=] {
    return op_body(OpKind::kRmsNorm, {{x}, {vector, true}}, {{"epsilon", 1e-6}});
  });
  register_bench("memory/norm_modulate" + size + "zoetrope", 0, 2 * bytes, [=] {
    return op_body(OpKind::kNormModulate, {{x}, {row}, {row}},
                   {{"norm", std::string("layer")}, {"epsilon", 1e-6}});
  });
  register_bench("memory/gated_residual" + size + "zoetrope", 0, 3 * bytes, [=] {
    return op_body(OpKind::kGatedResidual, {{x}, {x}, {row}});
  });
  register_bench("memory/glu" + size + "zoetrope", 0, 3 * bytes, [=] {
    return op_body(OpKind::kGlu, {{x}, {x}});
  });
}

void register_all() {
  for (DType dtype : kDTypes) {
    // Toybox, DiT-XL/2 at 256 pixels, Wan 1.3B at 512 tokens.
    constexpr int64_t kShapes[][3] = {{1080, 256, 256},  {1080, 640, 256},  {1080, 256, 640},
                                      {256, 3456, 1152}, {256, 4608, 1152}, {256, 1152, 4608},
                                      {512, 1536, 1536}, {512, 8960, 1536}, {512, 1536, 8960}};
    for (const auto& s : kShapes) add_matmul(dtype, s[0], s[1], s[2]);
    add_attention(dtype, 4096, 4, 64);
    add_attention(dtype, 1080, 4, 64);
    add_attention(dtype, 512, 12, 128);
  }
  // The Toybox decoder at 128x128, 32 frames, and a block of Wan's.
  for (const ConvCase& s :
       {ConvCase{32, 64, 64, 64, 64, 1, 3}, ConvCase{32, 64, 64, 64, 64, 3, 1},
        ConvCase{16, 32, 32, 96, 96, 1, 3}, ConvCase{8, 16, 16, 128, 128, 1, 3},
        ConvCase{8, 16, 16, 128, 128, 3, 1}, ConvCase{4, 64, 64, 192, 192, 3, 3}})
    add_conv(DType::kF32, s);
  add_memory(1080, 256);
  add_memory(16384, 1024);
}

}  // namespace
}  // namespace zoetrope::bench

int main(int argc, char** argv) {
  zoetrope::bench::init(&argc, argv);
  const zoetrope::DeviceInfo& info = zoetrope::bench::device().info();
  std::string features;
  for (const std::string& feature : info.features) features += feature + " ";
  benchmark::AddCustomContext("device", info.name);
  benchmark::AddCustomContext("features", features);
  benchmark::AddCustomContext("threads", std::to_string(zoetrope::bench::threads()));
  zoetrope::bench::register_all();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
