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

// What to time, and where the device's own clock puts its time (null: time the call).
struct Run {
  Body body;
  std::function<double()> take_seconds;
};

void run_bench(State& state, const Run& run, double flops, double bytes) {
  run.body();
  if (run.take_seconds) (void)run.take_seconds();
  for (auto _ : state) {
    run.body();
    if (run.take_seconds) state.SetIterationTime(run.take_seconds());
  }
  const auto rate = [](double amount) {
    return benchmark::Counter(amount, benchmark::Counter::kIsIterationInvariantRate);
  };
  if (flops > 0 && on_host()) state.counters["GFLOP/s"] = rate(flops / 1e9);
  if (flops > 0 && !on_host()) state.counters["TFLOP/s"] = rate(flops / 1e12);
  if (bytes > 0) state.counters["GB/s"] = rate(bytes / 1e9);
  if (flops > 0 && peak_flops() > 0) state.counters["of_peak"] = rate(flops / peak_flops());
  if (bytes > 0 && peak_bytes() > 0) state.counters["of_peak"] = rate(bytes / peak_bytes());
}

void register_run(const std::string& name, double flops, double bytes, std::function<Run()> make,
                  bool device_time) {
  // Made at the first run and kept: repetitions and warm-ups come back here many times. A GPU's
  // memory is not for all of them at once.
  const auto made = std::make_shared<Run>();
  auto* bench = benchmark::RegisterBenchmark(name.c_str(), [=](State& state) {
    if (made->body == nullptr) *made = make();
    run_bench(state, *made, flops, bytes);
    if (!on_host()) *made = {};
  });
  bench->Unit(benchmark::kMicrosecond);
  if (device_time) {
    bench->UseManualTime();
  } else {
    bench->UseRealTime();
  }
}

// The peer, or a plain copy.
void register_bench(const std::string& name, double flops, double bytes,
                    std::function<Body()> make) {
  register_run(
      name, flops, bytes,
      [=] {
        return Run{make(), nullptr};
      },
      false);
}

// Ours: an op on the device under test.
void register_op(const std::string& name, double flops, double bytes, OpKind op,
                 std::vector<Operand> operands, Attrs attrs = {}) {
  const auto make = [=] {
    auto runner = std::make_shared<OpRunner>(device(), op, operands, attrs);
    Run run{[=] { runner->run(); }, nullptr};
    if (!on_host()) run.take_seconds = [=] { return runner->take_seconds(); };
    return run;
  };
  register_run(name, flops, bytes, make, !on_host());
}

void add_matmul(DType dtype, int64_t m, int64_t n, int64_t k) {
  const std::string name = str("matmul/", dtype_name(dtype), "/", m, "x", n, "x", k, "/");
  const double flops = 2.0 * static_cast<double>(m * n) * static_cast<double>(k);
  register_op(name + "zoetrope", flops, 0, OpKind::kMatmul,
              {{{dtype, Shape{m, k}}, false}, {{dtype, Shape{n, k}}, true}},
              {{"transpose_b", true}});
  if (!on_host()) return;
  register_bench(name + "onednn", flops, 0,
                 [=] { return onednn_matmul(dtype, m, n, k, threads()); });
}

void add_attention(DType dtype, int64_t tokens, int64_t heads, int64_t d) {
  const std::string name =
      str("attention/", dtype_name(dtype), "/", tokens, "x", heads, "x", d, "/");
  const double flops = 4.0 * static_cast<double>(tokens * tokens) * static_cast<double>(heads * d);
  const Operand x{{dtype, Shape{1, tokens, heads, d}}, false};
  register_op(name + "zoetrope", flops, 0, OpKind::kAttention, {x, x, x});
  if (!on_host()) return;
  register_bench(name + "onednn", flops, 0,
                 [=] { return onednn_attention(dtype, tokens, heads, d, threads()); });
}

void add_conv(DType dtype, const ConvCase& s) {
  const std::string name =
      str("conv/", dtype_name(dtype), "/", s.frames, "x", s.height, "x", s.width, "x", s.channels,
          "-", s.filters, "_k", s.kernel_t, "x", s.kernel, "x", s.kernel, "/");
  const double flops = 2.0 * static_cast<double>(s.frames * s.height * s.width * s.filters) *
                       static_cast<double>(s.channels * s.kernel_t * s.kernel * s.kernel);
  const std::vector<Dim> pad{s.kernel_t / 2, s.kernel / 2, s.kernel / 2};
  register_op(name + "zoetrope", flops, 0, OpKind::kConvBias,
              {{{dtype, Shape{1, s.frames, s.height, s.width, s.channels}}, false},
               {{dtype, Shape{s.filters, s.kernel_t, s.kernel, s.kernel, s.channels}}, true},
               {{DType::kF32, Shape{s.filters}}, true}},
              {{"pad_lo", pad}, {"pad_hi", pad}});
  if (!on_host()) return;
  register_bench(name + "onednn", flops, 0, [=] { return onednn_conv(dtype, s, threads()); });
}

// A plain copy: the host's by one thread (compare with --threads=1), or the device's own.
Body copy_body(int64_t bytes) {
  if (on_host()) {
    auto from = std::make_shared<std::vector<char>>(static_cast<size_t>(bytes), 1);
    auto to = std::make_shared<std::vector<char>>(from->size());
    return [=] {
      std::memcpy(to->data(), from->data(), to->size());
      benchmark::ClobberMemory();
    };
  }
  return device_copy(bytes);
}

// Ops that do little but stream memory.
void add_memory(DType dtype, int64_t rows, int64_t width) {
  const TensorType x{dtype, Shape{1, rows, width}};
  const TensorType row{DType::kF32, Shape{1, 1, width}};
  const TensorType vector{DType::kF32, Shape{width}};
  const auto bytes = static_cast<double>(x.bytes());
  const std::string size = str("/", dtype_name(dtype), "/", rows, "x", width, "/");
  register_bench("memory/copy" + size + "memcpy", 0, 2 * bytes,
                 [=] { return copy_body(x.bytes()); });
  const auto add = [&](const char* name, double passes, OpKind op, std::vector<Operand> operands,
                       Attrs attrs = {}) {
    register_op(str("memory/", name, size, "zoetrope"), 0, passes * bytes, op, std::move(operands),
                std::move(attrs));
  };
  add("silu", 2, OpKind::kSilu, {{x}});
  add("add", 3, OpKind::kAdd, {{x}, {x}});
  add("rms_norm", 2, OpKind::kRmsNorm, {{x}, {vector, true}}, {{"epsilon", 1e-6}});
  add("norm_modulate", 2, OpKind::kNormModulate, {{x}, {row}, {row}},
      {{"norm", std::string("layer")}, {"epsilon", 1e-6}});
  add("gated_residual", 3, OpKind::kGatedResidual, {{x}, {x}, {row}});
  add("glu", 3, OpKind::kGlu, {{x}, {x}});
}

// What a GPU is measured by: the DiT and the decoder of Wan 1.3B at 832x480.
void register_large() {
  for (DType dtype : dtypes()) {
    constexpr int64_t kShapes[][3] = {{8192, 8192, 8192},  {32760, 1536, 8960}, {32760, 8960, 1536},
                                      {32760, 1536, 1536}, {14040, 1536, 8960}, {512, 1152, 3456},
                                      {1, 9216, 1536}};
    for (const auto& s : kShapes) add_matmul(dtype, s[0], s[1], s[2]);
    add_attention(dtype, 32760, 12, 128);
    add_attention(dtype, 14040, 12, 128);
    add_conv(dtype, {4, 480, 832, 96, 96, 3, 3});
    add_conv(dtype, {4, 240, 416, 192, 192, 3, 3});
    add_conv(dtype, {4, 120, 208, 384, 384, 3, 3});
    add_conv(dtype, {4, 480, 832, 96, 3, 3, 3});
    add_memory(dtype, 32760, 1536);
    add_memory(dtype, 131072, 4096);
  }
}

void register_all() {
  for (DType dtype : dtypes()) {
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
    add_conv(on_host() ? DType::kF32 : DType::kF16, s);
  add_memory(DType::kF32, 1080, 256);
  add_memory(DType::kF32, 16384, 1024);
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
