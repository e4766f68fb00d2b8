#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "bench/compare.h"
#include "bench/result.h"
#include "bench/show.h"

namespace zoetrope::bench {
namespace {

Row make_row(const std::string& name, const std::string& program, std::vector<double> seconds,
             int64_t tokens = 0) {
  Row row;
  row.kind = "op", row.name = name, row.program = program, row.device = "cpu", row.dtype = "f32";
  row.family = tokens > 0 ? "matmul" : "";
  row.tokens = tokens;
  row.flops = 2e9, row.bytes = 1e6;
  row.seconds = spread_of(std::move(seconds));
  return row;
}

Report make_report() {
  Report report;
  report.version = "1.2.3", report.command = "zoetrope bench", report.date = "2026-11-29T00:00:00Z";
  report.host = "a processor";
  report.devices.push_back({"cpu", "a \"processor\"", {"avx2"}, 1 << 30, "not told", {}});
  report.devices[0].ceilings = {{"copy", "", 2e10, 1.9e10, 2.1e10, 3},
                                {"matmul", "f32", 1e11, 9e10, 1.1e11, 3}};
  report.rows.push_back(make_row("matmul 1", "zoetrope", {0.02, 0.021, 0.022}));
  report.rows.push_back(make_row("matmul 1", "onednn", {0.03, 0.031, 0.032}));
  Row failed = make_row("matmul, \"2\"", "zoetrope", {});
  failed.error = "out of memory";
  report.rows.push_back(failed);
  return report;
}

TEST_CASE("a report reads back as it was written") {
  Report report = make_report();
  report.rows[0].of_roof = 0.75, report.rows[0].roof = "matmul";
  report.rows[0].clock_mhz = 1980, report.rows[0].watts = 700;
  report.rows[0].planned_bytes = 1234, report.rows[0].held_bytes = 1235;
  report.rows[0].kernel = "matmul_f32", report.rows[0].calls = 7, report.rows[0].beside = false;
  report.rows[0].phases = {{"attention", 0.01, 28}};
  report.complete = false;
  const auto read = report_from_json(report_to_json(report), "a.json");
  REQUIRE_MESSAGE(read.ok(), read.status().message());
  CHECK(read->version == report.version);
  CHECK(read->command == report.command);
  CHECK_FALSE(read->complete);
  REQUIRE(read->devices.size() == 1);
  CHECK(read->devices[0].name == report.devices[0].name);
  CHECK(read->devices[0].ceilings[1].rate == 1e11);
  REQUIRE(read->rows.size() == 3);
  const Row &a = report.rows[0], &b = read->rows[0];
  CHECK(b.name == a.name);
  CHECK(b.seconds.median == a.seconds.median);
  CHECK(b.seconds.p10 == a.seconds.p10);
  CHECK(b.seconds.p90 == a.seconds.p90);
  CHECK(b.seconds.samples == 3);
  CHECK(b.of_roof == a.of_roof);
  CHECK(b.clock_mhz == a.clock_mhz);
  CHECK(b.watts == a.watts);
  CHECK(b.planned_bytes == a.planned_bytes);
  CHECK(b.held_bytes == a.held_bytes);
  CHECK(b.calls == 7);
  CHECK_FALSE(b.beside);
  REQUIRE(b.phases.size() == 1);
  CHECK(b.phases[0].seconds == 0.01);
  CHECK(read->rows[2].error == "out of memory");
  CHECK_FALSE(read->rows[2].measured());
}

TEST_CASE("files of others are read strictly") {
  const auto refused = [](const std::string& text, const char* word) {
    const auto read = report_from_json(text, "peer.json");
    REQUIRE_FALSE(read.ok());
    CHECK(read.status().code() == Code::kDataLoss);
    INFO(read.status().message());
    CHECK(read.status().message().find(word) != std::string::npos);
    CHECK(read.status().message().find("peer.json") != std::string::npos);
  };
  const nlohmann::json good = nlohmann::json::parse(report_to_json(make_report()));
  REQUIRE(report_from_json(good.dump(), "peer.json").ok());
  const auto changed = [&](const char* pointer, const nlohmann::json& value) {
    nlohmann::json json = good;
    json[nlohmann::json::json_pointer(pointer)] = value;
    return json.dump();
  };
  refused("{", "not JSON");
  refused("[]", "object");
  refused("{}", "schema");
  refused(changed("/schema", "zoetrope-bench/2"), "zoetrope-bench/1");
  refused(changed("/rows", 3), "list");
  refused(changed("/rows/0", "x"), "object");
  refused(changed("/rows/1/kind", "ops"), "rows[1]");
  refused(changed("/rows/0/name", nullptr), "name");
  refused(changed("/rows/0/seconds/median", "fast"), "median");
  refused(changed("/rows/0/seconds/median", -1), "median");
  refused(changed("/rows/0/seconds/median", 0), "above 0");
  refused(changed("/rows/0/seconds/samples", 1.5), "whole");
  refused(changed("/rows/0/seconds/samples", 1e300), "whole");
  refused(changed("/devices/0/ceilings/0/rate", nullptr), "rate");
  refused(changed("/rows/0/name", std::string(5000, 'x')), "4096");
}

TEST_CASE("CSV has a line a row, with quotes where commas stand") {
  const std::string csv = report_to_csv(make_report());
  CHECK(std::count(csv.begin(), csv.end(), '\n') == 4);
  CHECK(csv.starts_with("kind,name,"));
  CHECK(csv.find("\r\nop,matmul 1,,,zoetrope,cpu,f32,,0.021,") != std::string::npos);
  CHECK(csv.find("op,\"matmul, \"\"2\"\"\",") != std::string::npos);
  CHECK(csv.find(",out of memory,\r\n") != std::string::npos);
}

TEST_CASE("families of three lengths have a curve, of each program its own") {
  std::vector<Row> rows;
  for (const int64_t n : {1024, 512, 2048}) {
    rows.push_back(make_row("m", "zoetrope", {1e-6 * static_cast<double>(n)}, n));
    if (n != 1024) rows.push_back(make_row("m", "onednn", {1e-6 * static_cast<double>(n)}, n));
  }
  rows.push_back(make_row("other", "zoetrope", {1}));
  const auto curves = curves_of(rows);
  REQUIRE(curves.size() == 1);
  CHECK(curves[0].program == "zoetrope");
  CHECK(curves[0].points.front().first == 512);
  CHECK(curves[0].fit.exponent == doctest::Approx(1));
}

TEST_CASE("our rows are compared with themselves in the baseline, and the machine is looked at") {
  Report before = make_report();
  before.rows.push_back(make_row("matmul 3", "zoetrope", {0.03, 0.031, 0.032}));
  Report now = before;
  now.rows[0].seconds = spread_of({0.03, 0.03, 0.031});
  now.rows[1].seconds = spread_of({9, 9, 9});  // a peer's
  now.rows[3].seconds = spread_of({0.02, 0.02, 0.02});
  now.rows.push_back(make_row("fresh", "zoetrope", {1, 1, 1}));
  now.devices[0].ceilings[0].rate = 1e10;
  const Comparison c = compare_reports(before, now, 0.05);
  REQUIRE(c.rows.size() == 2);
  CHECK(c.slower == 1);
  CHECK(c.faster == 1);
  CHECK(c.rows[0].change == Change::kSlower);
  CHECK(c.rows[0].ratio() == doctest::Approx(0.03 / 0.021));
  std::string notes;
  for (const std::string& note : c.notes) notes += note + "\n";
  CHECK(notes.find("1 rows are not in the baseline") != std::string::npos);
  CHECK(notes.find("copy ceiling -50%") != std::string::npos);
}

TEST_CASE("peers stand beside ours: the same work on the same device, else on the same backend") {
  Report ours = make_report(), other = make_report();
  const auto found = [&] { return same_work(ours.rows[0], {&ours, &other}); };
  other.rows.clear();
  REQUIRE(found().size() == 1);
  CHECK(found()[0]->program == "onednn");
  other.rows.push_back(make_row("matmul 1", "pytorch", {0.04}));
  other.rows[0].device = "cpu:1";
  CHECK(found().size() == 1);  // the exact device wins
  ours.rows[1].dtype = "bf16";
  REQUIRE(found().size() == 1);
  CHECK(found()[0]->program == "pytorch");
  other.rows[0].device = "cuda";
  CHECK(found().empty());
  // Another machine's own figures.
  other.rows[0] = ours.rows[0];
  REQUIRE(found().size() == 1);
  CHECK(found()[0] == &other.rows[0]);
}

TEST_CASE("the table and the page show times, peers, errors and what became slower") {
  Report report = make_report();
  report.rows[0].roof = "matmul", report.rows[0].of_roof = 0.952;
  Report before = make_report();
  before.rows[0].seconds = spread_of({0.01, 0.01, 0.01});
  const Comparison comparison = compare_reports(before, report, 0.05);
  const Shown shown{&report, {}, &before, &comparison, 0.05};
  const std::string table = to_table(shown);
  INFO(table);
  for (const char* word :
       {"21.0 ms", "20.2 ms to 21.8 ms", "95% of matmul", "95.2 GFLOP/s", "onednn 1.48x",
        "ERROR: out of memory", "copy 20.0 GB/s", "SLOWER  matmul 1", "10.0 ms -> 21.0 ms (2.10x)"})
    CHECK_MESSAGE(table.find(word) != std::string::npos, word);
  const std::string html = to_page(shown).html();
  for (const char* word :
       {"<svg", "Roofline of cpu", "1.48", "out of memory", "1 slower", "matmul, &quot;2&quot;"})
    CHECK_MESSAGE(html.find(word) != std::string::npos, word);
}

}  // namespace
}  // namespace zoetrope::bench
