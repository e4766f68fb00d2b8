// Kernels for 8-bit operands, against sums in double. Needs a device; passes without one.
#include <doctest/doctest.h>

#include <cmath>
#include <random>

#include "backends/cuda/kernels/matmul_wgmma.h"
#include "backends/cuda/kernels/quantize.h"
#include "backends/cuda/lt_rows.h"
#include "backends/cuda/tensor_map.h"
#include "graph/elements.h"

namespace zoetrope::cuda {
namespace {

void require(const Status& status) { REQUIRE_MESSAGE(status.ok(), status.message()); }
void require(cudaError_t result) { require(check(result, "test")); }
template <typename T>
T require(Result<T> result) {
  require(result.status());
  return std::move(result).value();
}

const Capabilities* capabilities() {
  static const Result<Capabilities> caps = [&]() -> Result<Capabilities> {
    ZT_RETURN_IF_ERROR(count_devices().status());
    return read_capabilities(0, {});
  }();
  if (!caps.ok()) MESSAGE("skipped: ", caps.status().message());
  return caps.ok() ? &*caps : nullptr;
}

// Values in host and device memory.
struct Array {
  DType dtype;
  std::vector<double> values;
  DeviceMemory memory;

  Array(DType dtype, std::vector<double> given) : dtype(dtype), values(std::move(given)) {
    const auto count = static_cast<int64_t>(values.size());
    std::vector<char> bytes(static_cast<size_t>(count * dtype_size(dtype)));
    for (int64_t i = 0; i < count; ++i) {
      store_element(dtype, bytes.data(), i, values[static_cast<size_t>(i)]);
      values[static_cast<size_t>(i)] = load_element(dtype, bytes.data(), i);
    }
    memory = require(DeviceMemory::allocate(static_cast<int64_t>(bytes.size())));
    require(cudaMemcpy(memory.data(), bytes.data(), bytes.size(), cudaMemcpyHostToDevice));
  }
  void read() {
    std::vector<char> bytes(values.size() * static_cast<size_t>(dtype_size(dtype)));
    require(cudaMemcpy(bytes.data(), memory.data(), bytes.size(), cudaMemcpyDeviceToHost));
    for (size_t i = 0; i < values.size(); ++i)
      values[i] = load_element(dtype, bytes.data(), static_cast<int64_t>(i));
  }
};

std::vector<double> noise(int64_t count, double limit, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<double> values(static_cast<size_t>(count));
  for (double& v : values) v = limit * (static_cast<double>(random()) / 0x1p31 - 1);
  return values;
}

// What c must be near to, and how near.
struct Product {
  int64_t m, n, k;
  Array a, b, a_scales, b_scales, bias, c;

  Product(DType dtype, DType out, int64_t m, int64_t n, int64_t k)
      : m(m),
        n(n),
        k(k),
        a(dtype, noise(m * k, dtype == DType::kI8 ? 127 : 4, 1)),
        b(dtype, noise(n * k, dtype == DType::kI8 ? 127 : 4, 2)),
        a_scales(DType::kF32, noise(m, 0.01, 3)),
        b_scales(DType::kF32, noise(n, 0.01, 4)),
        bias(DType::kF32, noise(n, 1, 5)),
        c(out, std::vector<double>(static_cast<size_t>(m * n), NAN)) {}

  void check(bool biased) {
    c.read();
    double worst = 0;
    const double unit = c.dtype == DType::kBF16 ? 0x1p-8 : c.dtype == DType::kF16 ? 0x1p-11 : 1e-6;
    for (int64_t i = 0; i < m; ++i) {
      for (int64_t j = 0; j < n; ++j) {
        double sum = 0, magnitude = 0;
        for (int64_t d = 0; d < k; ++d) {
          const double term =
              a.values[static_cast<size_t>(i * k + d)] * b.values[static_cast<size_t>(j * k + d)];
          sum += term, magnitude += std::fabs(term);
        }
        const double scale =
            a_scales.values[static_cast<size_t>(i)] * b_scales.values[static_cast<size_t>(j)];
        const double expected = sum * scale + (biased ? bias.values[static_cast<size_t>(j)] : 0);
        // Hopper adds products of f8 with 13 bits after the point of the largest.
        const double inexact = a.dtype == DType::kI8 ? 0 : 0x1p-12 * magnitude * std::fabs(scale);
        const double off = std::fabs(c.values[static_cast<size_t>(i * n + j)] - expected);
        worst = std::max(worst, off / (1.01 * unit * std::fabs(expected) + inexact + 1e-6));
        if (!(off >= 0)) worst = INFINITY;
      }
    }
    CHECK(worst <= 1);
  }
};

const float* floats(const Array& array) { return reinterpret_cast<float*>(array.memory.data()); }

}  // namespace

TEST_CASE("rows become 8-bit numbers with a factor each") {
  if (capabilities() == nullptr) return;
  for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    for (DType out : {DType::kI8, DType::kF8E4M3}) {
      for (int64_t width : {1, 37, 64, 1536, 8960, 16384}) {
        constexpr int64_t kRows = 3;
        Array x(dtype, noise(kRows * width, 3, 7));
        Array q(out, std::vector<double>(static_cast<size_t>(kRows * width), 1));
        Array scales(DType::kF32, std::vector<double>(kRows, NAN));
        require(quantize_rows({.x = x.memory.data(),
                               .q = q.memory.data(),
                               .scales = reinterpret_cast<float*>(scales.memory.data()),
                               .rows = kRows,
                               .width = width,
                               .dtype = dtype,
                               .out = out},
                              nullptr));
        q.read(), scales.read();
        const double largest = out == DType::kI8 ? 127 : 448;
        for (int64_t row = 0; row < kRows; ++row) {
          double most = 0, worst = 0;
          for (int64_t i = row * width; i < (row + 1) * width; ++i)
            most = std::max(most, std::fabs(x.values[static_cast<size_t>(i)]));
          const double scale = scales.values[static_cast<size_t>(row)];
          CHECK(scale == doctest::Approx(most / largest).epsilon(1e-6));
          for (int64_t i = row * width; i < (row + 1) * width; ++i) {
            const double value = x.values[static_cast<size_t>(i)];
            const double step =
                out == DType::kI8 ? scale : std::max(std::fabs(value) * 0x1p-3, scale * 0x1p-9);
            worst =
                std::max(worst, std::fabs(q.values[static_cast<size_t>(i)] * scale - value) / step);
          }
          CHECK(worst <= 0.501);
        }
      }
    }
  }
}

TEST_CASE("wgmma multiplies scaled 8-bit matrices") {
  const Capabilities* caps = capabilities();
  if (caps == nullptr || !caps->wgmma()) return;
  for (DType dtype : {DType::kI8, DType::kF8E4M3}) {
    for (DType out : {DType::kF32, DType::kF16, DType::kBF16}) {
      for (const auto& s : {std::array<int64_t, 3>{300, 520, 272}, {1, 8, 16}, {129, 1032, 144}}) {
        Product p(dtype, out, s[0], s[1], s[2]);
        MatmulWgmmaParams w{};
        const auto map = [&](const Array& array, int64_t columns, int64_t rows, int32_t box_rows,
                             CUtensorMap* to) {
          const auto wide = static_cast<int32_t>(kWgmmaBoxBytes / dtype_size(array.dtype));
          require(make_tensor_map({.data = array.memory.data(),
                                   .dtype = array.dtype,
                                   .rank = 3,
                                   .extents = {columns, rows, 1},
                                   .steps = {1, columns, columns * rows},
                                   .box = {wide, box_rows, 1}},
                                  to));
        };
        map(p.a, p.k, p.m, kWgmmaTileM, &w.a);
        map(p.b, p.k, p.n, 256 / kWgmmaCluster, &w.b);
        map(p.c, p.n, p.m, 64, &w.c);
        w.bias = p.bias.memory.data();
        w.a_scales = floats(p.a_scales), w.b_scales = floats(p.b_scales);
        w.m = p.m, w.n = p.n, w.k = p.k;
        w.products = 1, w.tile_n = 256;
        w.transpose_b = true;
        w.activation = Activation::kNone;
        w.dtype = dtype, w.out = out, w.bias_dtype = DType::kF32;
        w.multiprocessors = caps->multiprocessors;
        require(matmul_wgmma(w, nullptr));
        p.check(true);
      }
    }
  }
}

TEST_CASE("cuBLASLt multiplies scaled 8-bit matrices") {
  const Capabilities* caps = capabilities();
  if (caps == nullptr || caps->cublaslt == 0) return;
  Capabilities quick = *caps;
  quick.switches.no_measure = true;
  const auto library = require(CublasLt::open(quick));

  Product i8(DType::kI8, DType::kBF16, 1300, 80, 208);
  LtProblem problem{.m = i8.m, .n = i8.n, .k = i8.k};
  problem.transpose_b = true;
  problem.dtype = DType::kI8, problem.out = DType::kI32;
  const LtRows rows = require(LtRows::plan(*library, problem));
  const DeviceMemory workspace = require(DeviceMemory::allocate(rows.workspace_bytes()));
  require(rows.run(i8.a.memory.data(), i8.b.memory.data(),
                   {.out = i8.c.memory.data(),
                    .row_scales = floats(i8.a_scales),
                    .column_scales = floats(i8.b_scales),
                    .bias = i8.bias.memory.data(),
                    .dtype = DType::kBF16},
                   workspace.data(), nullptr));
  i8.check(true);

  if (caps->architecture != 90) return;  // factors for rows: Hopper alone
  for (DType out : {DType::kF32, DType::kF16, DType::kBF16}) {
    Product f8(DType::kF8E4M3, out, 144, 80, 208);
    problem = {.m = f8.m, .n = f8.n, .k = f8.k};
    problem.transpose_b = true;
    problem.dtype = DType::kF8E4M3, problem.out = out;
    problem.scales = true;
    LtPlan* const plan = require(library->plan(problem));
    const DeviceMemory own = require(DeviceMemory::allocate(plan->workspace_bytes));
    require(library->run(*plan,
                         {.a = f8.a.memory.data(),
                          .b = f8.b.memory.data(),
                          .a_scales = f8.a_scales.memory.data(),
                          .b_scales = f8.b_scales.memory.data(),
                          .c = f8.c.memory.data(),
                          .workspace = own.data()},
                         nullptr));
    f8.check(false);
  }
}

}  // namespace zoetrope::cuda
