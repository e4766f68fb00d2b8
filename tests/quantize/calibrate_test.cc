// Which runs of a model are looked at while it makes clips.
#include "runtime/quantize/calibrate.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <optional>
#include <set>

#include "graph/builder.h"
#include "runtime/quantize/rules.h"

using namespace zoetrope;

TEST_CASE("runs are counted by what they compute, whatever plan they are of") {
  GatherMoments moments({});
  std::optional<Plan> plan;  // one place in memory for all
  const auto looked_at = [&](const char* component, int runs) {
    int looked = 0;
    for (int i = 0; i < runs; ++i) {
      plan.emplace();
      plan->component = component;
      looked += moments.begin_run(*plan) ? 1 : 0;
    }
    return looked;
  };
  // The first eight, then every third.
  CHECK(looked_at("denoiser", 24) == 8 + 5);
  CHECK(looked_at("text", 8) == 8);
  CHECK(looked_at("denoiser", 3) == 1);
  // What a clip's first runs compute is reused by its others.
  CHECK(looked_at("denoiser", 1) == 1);  // run 27
  CHECK(looked_at("denoiser", 1) == 0);
  moments.begin_clip();
  CHECK(looked_at("denoiser", 4) == 2);  // 29 and 30; but for the new clip, 30 alone
}

TEST_CASE("of joined sequences, streams give rows by the third root of their lengths") {
  // Two sequences of 1000 rows of one stream and 8 of another, whose root is a fifth.
  const std::vector<int64_t> chosen = spread_rows(2016, {1000, 8}, 60, 3);
  CHECK(chosen.size() == 60);
  const std::set<int64_t> different(chosen.begin(), chosen.end());
  CHECK(different.size() == 60);
  CHECK(*different.begin() >= 0);
  CHECK(*different.rbegin() < 2016);
  const auto of_second = [](int64_t row) { return row % 1008 >= 1000; };
  CHECK(std::count_if(chosen.begin(), chosen.end(), of_second) == 10);
  // Both sequences, and the ends of the long stream.
  CHECK(std::count_if(chosen.begin(), chosen.end(), [](int64_t r) { return r < 1008; }) == 30);
  CHECK(std::any_of(chosen.begin(), chosen.end(), [](int64_t r) { return r % 1008 > 950; }));
  // What a short stream does not have, the others give: of 100 it would be 25.
  const std::vector<int64_t> most = spread_rows(104, {100, 4}, 100, 0);
  CHECK(most.size() == 100);
  CHECK(std::count_if(most.begin(), most.end(), [](int64_t r) { return r >= 100; }) == 4);
}

TEST_CASE("streams are found along the joined axis, counted from either end") {
  for (const int64_t axis : {1, -2}) {
    Builder b("g");
    const ValueId picture = b.input("picture", DType::kF32, {2, 12, 8});
    const ValueId sound = b.input("sound", DType::kF32, {2, 3, 8});
    b.output("joined", b.concat({picture, sound}, axis));
    const auto finished = b.finish();
    REQUIRE_MESSAGE(finished.ok(), finished.status().message());
    const auto graph = bind(*finished, {});
    REQUIRE_MESSAGE(graph.ok(), graph.status().message());
    CHECK(graph->nodes[0].attrs.get_int("axis") == axis);
    CHECK(streams_of(*graph, {2, 15, 64}) == std::vector<int64_t>{12, 3});
    CHECK(streams_of(*graph, {30, 64}).empty());     // no sequences of 15
    CHECK(streams_of(*graph, {1, 15, 64}).empty());  // fewer of them
  }
}

TEST_CASE("sequences that are joined of different parts do not tell their streams") {
  Builder b("g");
  const ValueId twelve = b.input("twelve", DType::kF32, {1, 12, 8});
  const ValueId three = b.input("three", DType::kF32, {1, 3, 8});
  b.output("joined", b.concat({twelve, three}, 1));
  b.output("again", b.concat({twelve, three}, 1));
  const auto same = b.finish();
  REQUIRE(same.ok());
  Builder c("h");
  const ValueId x = c.input("x", DType::kF32, {1, 12, 8}), y = c.input("y", DType::kF32, {1, 3, 8});
  c.output("joined", c.concat({x, y}, 1));
  c.output("turned", c.concat({y, x}, 1));
  const auto different = c.finish();
  REQUIRE(different.ok());
  CHECK(streams_of(*bind(*same, {}), {1, 15, 64}) == std::vector<int64_t>{12, 3});
  CHECK(streams_of(*bind(*different, {}), {1, 15, 64}).empty());
}

TEST_CASE("rows of one stream are spread evenly, from another place at each call") {
  CHECK(spread_rows(8, {}, 4, 0) == std::vector<int64_t>{0, 2, 4, 6});
  CHECK(spread_rows(8, {}, 4, 1) == std::vector<int64_t>{1, 3, 5, 7});
  CHECK(spread_rows(3, {}, 4, 7) == std::vector<int64_t>{0, 1, 2});
  CHECK(spread_rows(0, {}, 4, 1).empty());
  CHECK(spread_rows(7, {2, 2}, 7, 0).size() == 7);  // sequences of another length
}

TEST_CASE("of int4, products at a step's ends are stored in 8 bits") {
  QuantizeRules rules;
  rules.format = WeightFormat::kInt4;
  QuantizeSite site{"in.weight", {64, 64}, true, false, Rate::kStep};
  CHECK(choose_format(rules, site).format == WeightFormat::kInt4);
  site.edge = true;
  CHECK(choose_format(rules, site).format == WeightFormat::kInt8Weights);
  rules.only = "other";
  CHECK(choose_format(rules, site).format == WeightFormat::kKeep);
  rules.only.clear();
  rules.format = WeightFormat::kInt8;
  CHECK(choose_format(rules, site).format == WeightFormat::kInt8);
}
