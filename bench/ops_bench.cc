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

std::vector<DType> dtypes() {
  if (on_host()) return {DType::kF32, DType::kBF16};
  return {DType::kF16, DType::kBF16, DType::kF32};
}

// Amounts of work of one call.
struct Work {
  double flops = 0, bytes = 0;
  bool is_peak = false;  // a plain copy, or a product: others are fractions of the best of them
};

void tell(State& state, const Work& work, double seconds) {
  const auto rate = [&](double amount) {
    return seconds > 0 ? benchmark::Counter(amount / seconds)
                       : benchmark::Counter(amount, benchmark::Counter::kIsIterationInvariantRate);
  };
  if (seconds > 0 && work.is_peak) tell_rates(work.flops / seconds, work.bytes / seconds);
  if (work.flops > 0 && on_host()) state.counters["GFLOP/s"] = rate(work.flops / 1e9);
  if (work.flops > 0 && !on_host()) state.counters["TFLOP/s"] = rate(work.flops / 1e12);
  if (work.bytes > 0) state.counters["GB/s"] = rate(work.bytes / 1e9);
  if (work.flops > 0 && peak_flops() > 0)
    state.counters["of_peak"] = rate(work.flops / peak_flops());
  if (work.bytes > 0 && peak_bytes() > 0)
    state.counters["of_peak"] = rate(work.bytes / peak_bytes());
}

// On the host: as often as Google Benchmark likes. Made at the first run and kept: repetitions and
// warm-ups come back here many times.
void register_body(const std::string& name, const Work& work, std::function<Body()> make) {
  const auto made = std::make_shared<Body>();
  benchmark::RegisterBenchmark(name.c_str(),
                               [=](State& state) {
                                 if (*made == nullptr) *made = make();
                                 (*made)();
                                 for (auto _ : state) (*made)();
                                 tell(state, work, 0);
                               })
      ->Unit(benchmark::kMicrosecond)
      ->UseRealTime();
}

// On a device: once, by its own clock. Its memory is not for all benchmarks at once.
struct Timed {
  double seconds = 0;
  std::string kernel;
};
void register_device(const std::string& name, const Work& work, std::function<Timed()> time) {
  benchmark::RegisterBenchmark(name.c_str(),
                               [=](State& state) {
                                 const Timed timed = time();
                                 for (auto _ : state) state.SetIterationTime(timed.seconds);
                                 tell(state, work, timed.seconds);
                                 state.SetLabel(timed.kernel);
                               })
      ->Unit(benchmark::kMicrosecond)
      ->UseManualTime()
      ->Iterations(1);
}

// Ours: an op on the device under test.
void register_op(const std::string& name, const Work& work, OpKind op,
                 std::vector<Operand> operands, Attrs attrs = {}) {
  if (!on_host()) {
    register_device(name, work, [=] {
      OpRunner runner(device(), op, operands, attrs);
      return Timed{runner.median_seconds(), runner.info().name};
    });
    return;
  }
  register_body(name, work, [=]() -> Body {
    auto runner = std::make_shared<OpRunner>(device(), op, operands, attrs);
    return [=] { runner->run(); };
  });
}

void add_matmul(DType dtype, int64_t m, int64_t n, int64_t k) {
  const std::string name = str("matmul/", dtype_name(dtype), "/", m, "x", n, "x", k, "/");
  const double flops = 2.0 * static_cast<double>(m * n) * static_cast<double>(k);
  register_op(name + "zoetrope", {.flops = flops, .is_peak = true}, OpKind::kMatmul,
              {{{dtype, Shape{m, k}}, false}, {{dtype, Shape{n, k}}, true}},
              {{"transpose_b", true}});
  if (!on_host()) return;
  register_body(name + "onednn", {.flops = flops},
                [=] { return onednn_matmul(dtype, m, n, k, threads()); });
}

// `dtype`: i8 or f8e4m3, to bf16.
void add_quantized(DType dtype, int64_t m, int64_t n, int64_t k) {
  const std::string size = str(dtype_name(dtype), "/", m, "x", n, "x", k, "/");
  const double flops = 2.0 * static_cast<double>(m * n) * static_cast<double>(k);
  register_op("quantized_matmul/" + size + "zoetrope", {.flops = flops}, OpKind::kQuantizedMatmul,
              {{{dtype, Shape{m, k}}, false},
               {{DType::kF32, Shape{m, 1}}, false},
               {{dtype, Shape{n, k}}, true},
               {{DType::kF32, Shape{n}}, true}},
              {{"dtype", std::string("bf16")}});
}

struct AttentionCase {
  int64_t queries, keys, heads, dim, batch = 1;
};

void add_attention(DType dtype, const AttentionCase& s) {
  const std::string name =
      str("attention/", dtype_name(dtype), "/", s.batch > 1 ? str(s.batch, "x") : "", s.queries,
          s.keys == s.queries ? "" : str(":", s.keys), "x", s.heads, "x", s.dim, "/");
  const double flops = 4.0 * static_cast<double>(s.queries * s.keys) *
                       static_cast<double>(s.batch * s.heads * s.dim);
  const Operand q{{dtype, Shape{s.batch, s.queries, s.heads, s.dim}}, false};
  const Operand kv{{dtype, Shape{s.batch, s.keys, s.heads, s.dim}}, false};
  register_op(name + "zoetrope", {.flops = flops}, OpKind::kAttention, {q, kv, kv});
  if (!on_host() || s.queries != s.keys || s.batch != 1) return;
  register_body(name + "onednn", {.flops = flops},
                [=] { return onednn_attention(dtype, s.queries, s.heads, s.dim, threads()); });
}

void add_conv(DType dtype, const ConvCase& s) {
  const std::string name =
      str("conv/", dtype_name(dtype), "/", s.frames, "x", s.height, "x", s.width, "x", s.channels,
          "-", s.filters, "_k", s.kernel_t, "x", s.kernel, "x", s.kernel, "/");
  const double flops = 2.0 * static_cast<double>(s.frames * s.height * s.width * s.filters) *
                       static_cast<double>(s.channels * s.kernel_t * s.kernel * s.kernel);
  const std::vector<Dim> pad{s.kernel_t / 2, s.kernel / 2, s.kernel / 2};
  register_op(name + "zoetrope", {.flops = flops}, OpKind::kConvBias,
              {{{dtype, Shape{1, s.frames, s.height, s.width, s.channels}}, false},
               {{dtype, Shape{s.filters, s.kernel_t, s.kernel, s.kernel, s.channels}}, true},
               {{DType::kF32, Shape{s.filters}}, true}},
              {{"pad_lo", pad}, {"pad_hi", pad}});
  if (!on_host()) return;
  register_body(name + "onednn", {.flops = flops},
                [=] { return onednn_conv(dtype, s, threads()); });
}

// A plain copy: the host's by one thread (compare with --threads=1), or the device's own.
void add_copy(const std::string& name, int64_t bytes) {
  const Work work{.bytes = 2 * static_cast<double>(bytes), .is_peak = true};
  if (!on_host()) {
    register_device(name, work, [=] {
      return Timed{device_copy_seconds(std::max(bytes, int64_t{256} << 20)) *
                       static_cast<double>(bytes) /
                       static_cast<double>(std::max(bytes, int64_t{256} << 20)),
                   "copy"};
    });
    return;
  }
  register_body(name, work, [=]() -> Body {
    auto from = std::make_shared<std::vector<char>>(static_cast<size_t>(bytes), 1);
    auto to = std::make_shared<std::vector<char>>(from->size());
    return [=] {
      std::memcpy(to->data(), from->data(), to->size());
      benchmark::ClobberMemory();
    };
  });
}

// Ops that do little but stream memory.
void add_memory(DType dtype, int64_t rows, int64_t width) {
  const TensorType x{dtype, Shape{1, rows, width}};
  const TensorType row{DType::kF32, Shape{1, 1, width}};
  const TensorType vector{DType::kF32, Shape{width}};
  const auto bytes = static_cast<double>(x.bytes());
  const std::string size = str("/", dtype_name(dtype), "/", rows, "x", width, "/");
  add_copy("memory/copy" + size + "memcpy", x.bytes());
  // Passes over x, and the bytes of sides as long as x has rows.
  const auto add = [&](const char* name, double passes, OpKind op, std::vector<Operand> operands,
                       Attrs attrs = {}, double sides = 0) {
    register_op(str("memory/", name, size, "zoetrope"), {.bytes = passes * bytes + sides}, op,
                std::move(operands), std::move(attrs));
  };
  add("silu", 2, OpKind::kSilu, {{x}});
  add("gelu", 2, OpKind::kGelu, {{x}});
  add("gelu_tanh", 2, OpKind::kGeluTanh, {{x}});
  add("sigmoid", 2, OpKind::kSigmoid, {{x}});
  add("exp", 2, OpKind::kExp, {{x}});
  add("add", 3, OpKind::kAdd, {{x}, {x}});
  add("rms_norm", 2, OpKind::kRmsNorm, {{x}, {vector, true}}, {{"epsilon", 1e-6}});
  add("norm_modulate", 2, OpKind::kNormModulate, {{x}, {row}, {row}},
      {{"norm", std::string("layer")}, {"epsilon", 1e-6}});
  add("residual_norm", 4, OpKind::kResidualNorm, {{x}, {x}, {row}, {row}, {row}},
      {{"norm", std::string("layer")}, {"epsilon", 1e-6}});
  add("gated_residual", 3, OpKind::kGatedResidual, {{x}, {x}, {row}});
  add("glu", 3, OpKind::kGlu, {{x}, {x}});
  add("layer_norm", 2, OpKind::kLayerNorm, {{x}}, {{"epsilon", 1e-6}});
  const TensorType heads{dtype, Shape{1, rows, width / 128, 128}};
  const TensorType angles{DType::kF32, Shape{1, rows, 1, 64}};
  const auto tables = 2 * static_cast<double>(angles.bytes());
  add("rope", 2, OpKind::kRope, {{heads}, {angles}, {angles}}, {}, tables);
  add("norm_rope", 2, OpKind::kNormRope, {{heads}, {angles}, {angles}, {vector, true}},
      {{"epsilon", 1e-6}, {"full_width", true}}, tables);
  add("transpose", 2, OpKind::kTranspose, {{x}}, {{"permutation", std::vector<Dim>{0, 2, 1}}});
  add("softmax", 2, OpKind::kSoftmax, {{x}});
  add("group_norm", 3, OpKind::kGroupNorm, {{x}, {vector, true}, {vector, true}},
      {{"groups", int64_t{32}}, {"epsilon", 1e-6}});
  add("reduce_mean", 1, OpKind::kReduceMean, {{x}}, {{"axes", std::vector<Dim>{1}}});
}

// What a GPU is measured by: the DiT and the decoder of Wan 1.3B at 832x480.
void register_large() {
  for (DType dtype : dtypes()) {
    constexpr int64_t kShapes[][3] = {{8192, 8192, 8192},  {32760, 1536, 8960}, {32760, 8960, 1536},
                                      {32760, 1536, 1536}, {14040, 1536, 8960}, {512, 1152, 3456},
                                      {512, 1152, 1152},   {512, 4608, 1152},   {512, 1152, 4608},
                                      {1, 9216, 1536}};
    for (const auto& s : kShapes) add_matmul(dtype, s[0], s[1], s[2]);
    if (dtype != DType::kF32) add_attention(dtype, {73728, 73728, 12, 128});  // of Movie Gen's 48
    add_attention(dtype, {32760, 32760, 12, 128});
    add_attention(dtype, {14040, 14040, 12, 128});
    add_attention(dtype, {32760, 512, 12, 128});
    add_attention(dtype, {16384, 16384, 16, 64});
    add_attention(dtype, {256, 256, 16, 72, 2});
    add_attention(dtype, {6240, 6240, 1, 384, 4});
    add_conv(dtype, {4, 480, 832, 96, 96, 3, 3});
    add_conv(dtype, {4, 240, 416, 192, 192, 3, 3});
    add_conv(dtype, {4, 120, 208, 384, 384, 3, 3});
    add_conv(dtype, {4, 480, 832, 96, 3, 3, 3});
    add_memory(dtype, 512, 1152);
    add_memory(dtype, 32760, 1536);
    add_memory(dtype, 131072, 4096);
  }
}

void register_quantized() {
  for (DType dtype : {DType::kI8, DType::kF8E4M3}) {
    if (on_host()) {
      add_quantized(dtype, 512, 1536, 1536);
      continue;
    }
    add_quantized(dtype, 8192, 8192, 8192);
    add_quantized(dtype, 32760, 1536, 8960);
    const TensorType x{DType::kBF16, Shape{32760, 1536}};
    register_op(str("memory/quantize_rows/", dtype_name(dtype), "/32760x1536/zoetrope"),
                {.bytes = 1.5 * static_cast<double>(x.bytes())}, OpKind::kQuantizeRows, {{x}},
                {{"dtype", std::string(dtype_name(dtype))}});
  }
}

void register_all() {
  for (DType dtype : dtypes()) {
    // Toybox, DiT-XL/2 at 256 pixels, Wan 1.3B at 512 tokens.
    constexpr int64_t kShapes[][3] = {{1080, 256, 256},  {1080, 640, 256},  {1080, 256, 640},
                                      {256, 3456, 1152}, {256, 4608, 1152}, {256, 1152, 4608},
                                      {512, 1536, 1536}, {512, 8960, 1536}, {512, 1536, 8960}};
    for (const auto& s : kShapes) add_matmul(dtype, s[0], s[1], s[2]);
    add_attention(dtype, {4096, 4096, 4, 64});
    add_attention(dtype, {1080, 1080, 4, 64});
    add_attention(dtype, {512, 512, 12, 128});
  }
  // The Toybox decoder at 128x128, 32 frames, and a block of Wan's.
  for (const ConvCase& s :
       {ConvCase{32, 64, 64, 64, 64, 1, 3}, ConvCase{32, 64, 64, 64, 64, 3, 1},
        ConvCase{16, 32, 32, 96, 96, 1, 3}, ConvCase{8, 16, 16, 128, 128, 1, 3},
        ConvCase{8, 16, 16, 128, 128, 3, 1}, ConvCase{4, 64, 64, 192, 192, 3, 3}})
    add_conv(on_host() ? DType::kF32 : DType::kF16, s);
  add_memory(DType::kF32, 1080, 256);
  add_memory(DType::kF32, 16384, 1024);
  if (on_host() || !device().info().software) register_quantized();
  if (!on_host() && !device().info().software) register_large();
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
  zoetrope::bench::finish(0);
}
