// What a quantisation's report says, and what its gate lets through.
#include "runtime/quantize/report.h"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "runtime/quantize/rules.h"

using namespace zoetrope;

TEST_CASE("a gate that is asked for nothing passes, and no number fails") {
  QuantizeReport report;
  report.clips = {{"x", 1, 0.01, 30, 0.9, 20}, {"y", 2, 0.03, 34, 0.9, 20}};
  report.rates = {{"good", 0.9, 0.88}};
  apply_gate(&report);
  CHECK(report.failures.empty());
  report.gate = {0.02, 32, 0.02001};
  apply_gate(&report);
  CHECK(report.failures.empty());
  report.gate = {0.0199, 32.1, 0.0199};
  apply_gate(&report);
  CHECK(report.failures.size() == 3);
  report.clips[0].loss = report.clips[0].psnr = NAN;
  report.gate = {100, 1, 0};
  apply_gate(&report);
  CHECK(report.failures.size() == 2);
}

TEST_CASE("what was asked for and not measured fails") {
  const auto fails = [](const QuantizeReport::Gate& gate, const char* why,
                        std::vector<std::string> missing = {}) {
    QuantizeReport report;
    report.gate = gate;
    report.missing_rates = std::move(missing);
    if (gate.max_drop > 0) report.clips = {{"x", 1, 0.01, 30, 0.9, 20}};
    apply_gate(&report);
    REQUIRE(report.failures.size() == 1);
    CHECK(report.failures[0].find(why) != std::string::npos);
  };
  fails({.max_loss = 0.5}, "no clips were compared");
  fails({.min_psnr = 1}, "no clips were compared");
  fails({.target_psnr = 1}, "no clips were compared");
  fails({.max_drop = 0.5}, "no rates were measured");
  fails({.max_drop = 0.5}, "rate 'good' of the quantised model is missing", {"good"});

  // A target that the search met on its own clips holds for others too.
  QuantizeReport report;
  report.clips = {{"x", 1, 0.01, 30, 0.9, 20}};
  report.gate.target_psnr = 30.5;
  apply_gate(&report);
  REQUIRE(report.failures.size() == 1);
  CHECK(report.failures[0].find("30.5 dB was the target") != std::string::npos);
  report.gate.target_psnr = 30;
  apply_gate(&report);
  CHECK(report.failures.empty());
}

TEST_CASE("attention in 8 bits is judged by itself, where it was measured") {
  QuantizeReport report;
  report.format = "int8";
  report.clips = {{"x", 1, 0.01, 30, 0.9, 20}};
  report.attentions = 6;
  report.gate.max_attention_loss = 0.02;
  apply_gate(&report);
  REQUIRE(report.failures.size() == 1);
  CHECK(report.failures[0].find("was not measured") != std::string::npos);
  CHECK(report_to_text(report).find("6 attentions may be of 8 bits: not measured") !=
        std::string::npos);
  for (const auto& [loss, fails] : {std::pair{0.021, true}, {0.02, false}, {NAN, true}}) {
    report.attention_loss = loss;
    apply_gate(&report);
    CHECK(report.failures.size() == (fails ? 1 : 0));
  }
  report.attention_loss = 0.021;
  const auto again = parse_report(report_to_json(report));
  REQUIRE_MESSAGE(again.ok(), again.status().message());
  CHECK(again->attentions == 6);
  CHECK(again->attention_loss == 0.021);
  CHECK(again->gate.max_attention_loss == 0.02);
  CHECK(report_to_text(*again).find("alone a loss of 2.10%") != std::string::npos);
}

TEST_CASE("a page says that the gate is passed only where one was asked for") {
  QuantizeReport report;
  report.clips = {{"x", 1, 0.01, 30, 0.9, 20}};
  const auto passed = [&] {
    return report_page(report, "m").html().find("gate is passed") != std::string::npos;
  };
  CHECK(!passed());
  report.gate.min_psnr = 20;
  CHECK(passed());
}

TEST_CASE("a report is read back as it was, and hostile ones are refused") {
  QuantizeReport report;
  report.format = "int4";
  report.group = 64;
  report.keep = {"*.modulation"};
  report.layers = {{"a.weight", "int4_64", 0.05, 100, 30}};
  report.clips = {{"line\none", UINT64_MAX, 0.01, 30, 0.9, 20}};
  report.calibration = {{"other", uint64_t{1} << 63}};
  report.calibration_steps = 7;
  report.missing_rates = {"bad"};
  report.compensated_weights = 1;
  report.gate.target_psnr = 30;
  report.steps = {{1, 0.02}, {0.5, 0.01}};
  report.rates = {{"good", 0.9, 0.88}};
  report.forced = true;
  report.failures = {"because"};
  const std::string text = report_to_json(report);
  auto read = parse_report(text);
  REQUIRE_MESSAGE(read.ok(), read.status().message());
  CHECK(report_to_json(*read) == text);
  CHECK(read->clips[0].prompt == "line\none");
  CHECK(read->clips[0].seed == UINT64_MAX);
  CHECK(read->calibration[0].seed == uint64_t{1} << 63);
  CHECK(read->calibration_steps == 7);
  for (const char* bad : {"", "[]", "{", "{\"format\": 7}", "{\"format\": \"x\", \"unknown\": 1}",
                          "{\"format\": \"x\", \"layers\": [{\"weight\": \"w\", \"format\": \"i\", "
                          "\"error\": -1}]}"})
    CHECK(!parse_report(bad).ok());
}

TEST_CASE("patterns name weights, what lies below, and last parts") {
  CHECK(matches("*.modulation", "dit/blocks.3.modulation"));
  CHECK(matches("*.modulation", "blocks.3.modulation.weight"));
  CHECK(matches("final_layer", "dit/final_layer.linear.weight"));
  CHECK(matches("blocks.1", "dit.blocks.1.fc.weight"));
  CHECK(!matches("blocks.1", "dit.blocks.11.fc.weight"));
  CHECK(matches("dit/blocks.?.q.weight", "dit/blocks.1.q.weight"));
  CHECK(!matches("blocks", "dit/myblocks.1"));
  CHECK(matches("*", "anything"));
}
