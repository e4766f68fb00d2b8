// Measures of clips, against their formulas.
#include "runtime/quantize/compare.h"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "runtime/quantize/report.h"
#include "runtime/quantize/rules.h"

using namespace zoetrope;

TEST_CASE("PSNR, SSIM and SNR are what their formulas say") {
  const std::vector<uint8_t> a(2 * 9 * 11 * 3, 100), b(a.size(), 110);
  CHECK(clip_psnr(a, a) == 200);
  CHECK(clip_psnr(a, b) == doctest::Approx(20 * std::log10(255.0 / 10)));
  CHECK(clip_ssim(a, a, 9, 11) == doctest::Approx(1));
  // Flat frames have no variance: the luminance term is left.
  const double c1 = (0.01 * 255) * (0.01 * 255);
  CHECK(clip_ssim(a, b, 9, 11) ==
        doctest::Approx((2.0 * 100 * 110 + c1) / (100.0 * 100 + 110.0 * 110 + c1)));
  // One window of 7x7, half black and half white against its opposite: means m = 255·24/49 and the
  // rest, covariance the negative of the variance's mean.
  std::vector<uint8_t> x, y;
  for (int i = 0; i < 49; ++i)
    for (int c = 0; c < 3; ++c) {
      x.push_back(i < 24 ? 255 : 0);
      y.push_back(i < 24 ? 0 : 255);
    }
  const double n = 49, mx = 255 * 24 / n, my = 255 * 25 / n;
  const double vx = n / (n - 1) * (255.0 * 255 * 24 / n - mx * mx);
  const double vy = n / (n - 1) * (255.0 * 255 * 25 / n - my * my);
  const double cov = n / (n - 1) * (0 - mx * my), c2 = (0.03 * 255) * (0.03 * 255);
  CHECK(clip_ssim(x, y, 7, 7) == doctest::Approx((2 * mx * my + c1) * (2 * cov + c2) /
                                                 ((mx * mx + my * my + c1) * (vx + vy + c2))));
  const std::vector<float> s{1, -1, 1, -1}, t{0.9f, -0.9f, 0.9f, -0.9f};
  CHECK(sound_snr(s, t) == doctest::Approx(20).epsilon(1e-5));
  CHECK(sound_snr(s, s) == 200);
}

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

TEST_CASE("a report is read back as it was, and hostile ones are refused") {
  QuantizeReport report;
  report.format = "int4";
  report.group = 64;
  report.keep = {"*.modulation"};
  report.layers = {{"a.weight", "int4_64", 0.05, 100, 30}};
  report.clips = {{"line\none", 7, 0.01, 30, 0.9, 20}};
  report.steps = {{1, 0.02}, {0.5, 0.01}};
  report.rates = {{"good", 0.9, 0.88}};
  report.forced = true;
  report.failures = {"because"};
  const std::string text = report_to_json(report);
  auto read = parse_report(text);
  REQUIRE_MESSAGE(read.ok(), read.status().message());
  CHECK(report_to_json(*read) == text);
  CHECK(read->clips[0].prompt == "line\none");
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
