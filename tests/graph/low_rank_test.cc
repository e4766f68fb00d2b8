// Low-rank updates against their formula in double.
#include "graph/low_rank.h"

#include <doctest/doctest.h>

#include <cmath>
#include <random>

#include "graph/elements.h"
#include "graph/evaluate.h"

using namespace zoetrope;

namespace {

std::mt19937_64 random_engine(std::random_device{}());

double draw() { return std::normal_distribution<double>()(random_engine); }

LowRankUpdate draw_update(std::string tensor, int64_t first, int64_t rows, int64_t rank,
                          int64_t columns, double scale) {
  LowRankUpdate update{.tensor = std::move(tensor),
                       .first_row = first,
                       .rows = rows,
                       .rank = rank,
                       .columns = columns,
                       .up = {},
                       .down = {},
                       .scale = scale};
  for (int64_t i = 0; i < rows * rank; ++i) update.up.push_back(static_cast<float>(draw()));
  for (int64_t i = 0; i < rank * columns; ++i) update.down.push_back(static_cast<float>(draw()));
  return update;
}

// Of rank 0: bf16 numbers.
LowRankUpdate draw_difference(std::string tensor, int64_t first, int64_t rows, int64_t columns,
                              double scale) {
  LowRankUpdate update{.tensor = std::move(tensor),
                       .first_row = first,
                       .rows = rows,
                       .columns = columns,
                       .scale = scale};
  auto bytes = std::make_shared<std::vector<uint16_t>>(static_cast<size_t>(rows * columns));
  for (int64_t i = 0; i < rows * columns; ++i)
    store_element(DType::kBF16, bytes->data(), i, draw());
  update.added = {{DType::kBF16, {rows, columns}}, bytes->data(), bytes};
  return update;
}

// The element (i, j) of what the update adds.
double added(const LowRankUpdate& u, int64_t i, int64_t j) {
  const int64_t k = i - u.first_row;
  if (k < 0 || k >= u.rows) return 0;
  if (u.rank == 0)
    return u.scale * load_element(u.added.type.dtype, u.added.data, k * u.columns + j);
  double sum = 0;
  for (int64_t r = 0; r < u.rank; ++r)
    sum += static_cast<double>(u.up[static_cast<size_t>(k * u.rank + r)]) *
           u.down[static_cast<size_t>(r * u.columns + j)];
  return u.scale * sum;
}

}  // namespace

TEST_CASE("updates are summed in one rounding, in every dtype, on the rows they name") {
  constexpr int64_t kRows = 333, kColumns = 2 * 3 * 7;
  for (DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
    CAPTURE(dtype_name(dtype));
    MemoryWeights base;
    EvalTensor stored{{kRows, 2, 3, 7}, {}}, other{{4, 4}, std::vector<double>(16, 0.5)};
    for (int64_t i = 0; i < kRows * kColumns; ++i) stored.data.push_back(draw());
    base.add("w", dtype, stored);
    base.add("other", dtype, other);
    const auto original = base.load("w");
    REQUIRE(original.ok());
    load_elements(dtype, original->data, kRows * kColumns, stored.data.data());

    const std::vector<LowRankUpdate> updates = {draw_update("w", 0, kRows, 5, kColumns, 0.5),
                                                draw_update("w", 100, 111, 1, kColumns, -2),
                                                draw_difference("w", 7, 222, kColumns, 1.5)};
    auto adapted = AdaptedWeights::create(base, updates, "style:0.5");
    REQUIRE_MESSAGE(adapted.ok(), adapted.status().message());
    const auto changed = (*adapted)->load("w");
    REQUIRE(changed.ok());
    CHECK(changed->type == original->type);
    std::vector<double> found(static_cast<size_t>(kRows * kColumns));
    load_elements(dtype, changed->data, kRows * kColumns, found.data());
    const double unit = dtype == DType::kBF16 ? 0x1p-8 : dtype == DType::kF16 ? 0x1p-11 : 0x1p-24;
    for (int64_t i = 0; i < kRows; ++i)
      for (int64_t j = 0; j < kColumns; ++j) {
        const auto at = static_cast<size_t>(i * kColumns + j);
        double expected = stored.data[at];
        for (const LowRankUpdate& u : updates) expected += added(u, i, j);
        // One rounding of the sum, and f32 sums of up to five products of order 1.
        REQUIRE(std::fabs(found[at] - expected) <= unit * std::fabs(expected) + 2e-5);
      }
    CHECK((*adapted)->revision("w") == "style:0.5");
    CHECK((*adapted)->revision("other") == "");
    CHECK((*adapted)->load("other")->data == base.load("other")->data);
  }
}

TEST_CASE("an update that does not fit its tensor is refused by name") {
  MemoryWeights base;
  base.add("w", DType::kF32, {{4, 6}, std::vector<double>(24, 1)});
  base.add("ids", DType::kI32, {{4, 6}, std::vector<double>(24, 1)});
  const auto refused = [&](LowRankUpdate update, const char* word) {
    const auto made = AdaptedWeights::create(base, {std::move(update)}, "x");
    REQUIRE_FALSE(made.ok());
    CHECK_MESSAGE(made.status().message().find(word) != std::string::npos, made.status().message());
  };
  refused(draw_update("missing", 0, 4, 2, 6, 1), "missing");
  refused(draw_update("ids", 0, 4, 2, 6, 1), "'ids'");
  refused(draw_update("w", 0, 4, 2, 5, 1), "'w'");
  refused(draw_update("w", 2, 3, 2, 6, 1), "'w'");
  refused(draw_update("w", -1, 3, 2, 6, 1), "'w'");
  LowRankUpdate torn = draw_update("w", 0, 4, 2, 6, 1);
  torn.up.pop_back();
  refused(torn, "'w'");
  refused(draw_difference("w", 0, 4, 5, 1), "'w'");
  LowRankUpdate empty = draw_difference("w", 0, 4, 6, 1);
  empty.added.data = nullptr;
  refused(empty, "'w'");
}
