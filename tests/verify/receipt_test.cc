// Receipts: read back as they were written, damaged ones refused, and the first difference named.
#include "runtime/verify/receipt.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "runtime/verify/numerics.h"
#include "runtime/verify/quality.h"

using namespace zoetrope;

namespace {

StageRecord stage(const std::string& kind, const std::string& name, float value) {
  const std::vector<float> data(100, value);
  StageRecord s{kind, name, 0, {}};
  s.sketch = make_sketch({DType::kF32, {100}}, data.data(), kReceiptSamples);
  return s;
}

Receipt example() {
  Receipt r;
  r.software = "Zoetrope 9.9";
  r.numerics = 3;
  r.request.request.prompt = "two lines\nand \"quotes\"";
  r.request.request.seed = ~uint64_t{0};
  r.request.model_name = "a model";
  r.request.model = {"/home/somebody/m.zoe", "xxh3:0123456789abcdef"};
  r.jobs = {{"denoise", "dit", "cpu", "a processor", "xxh3:00000000000000aa"}};
  r.stages = {stage("encode_text", "text", 1), stage("denoise", "noise", 2),
              stage("denoise", "step 1", 3)};
  return r;
}

}  // namespace

TEST_CASE("a receipt reads back as it was written") {
  const Receipt r = example();
  const auto again = parse_receipt(receipt_to_json(r));
  REQUIRE_MESSAGE(again.ok(), again.status().message());
  CHECK(receipt_to_json(*again) == receipt_to_json(r));
  CHECK(again->request.request.prompt == r.request.request.prompt);
  CHECK(again->request.request.seed == r.request.request.seed);
  CHECK(again->numerics == 3);
  CHECK(again->stages[2].sketch.samples == std::vector<double>(kReceiptSamples, 3.0));
  CHECK(compare_receipts(r, *again).same);
}

TEST_CASE("damaged receipts are refused by what is wrong in them") {
  const auto refuses = [](const auto& edit, const std::string& word) {
    auto json = nlohmann::json::parse(receipt_to_json(example()));
    edit(json);
    const auto read = parse_receipt(json.dump());
    REQUIRE(!read.ok());
    CHECK(read.status().code() == Code::kDataLoss);
    CHECK_MESSAGE(read.status().message().find(word) != std::string::npos, read.status().message());
  };
  refuses([](auto& j) { j["stages"][1]["digest"] = "md5:0"; }, "digest");
  refuses([](auto& j) { j["numerics"] = 0; }, "numerics");
  refuses([](auto& j) { j["extra"] = 1; }, "extra");
  refuses([](auto& j) { j["stages"][0]["samples"] = std::vector<double>(100, 0); }, "samples");
  refuses([](auto& j) { j["request"]["seed"] = -1; }, "seed");
  CHECK(!parse_receipt("{").ok());
  CHECK(!parse_receipt("[]").ok());
}

TEST_CASE("the first stage that differs is named, with how far and what may be the reason") {
  const Receipt before = example();
  Receipt again = before;
  again.stages[1] = stage("denoise", "noise", 2.02f);
  again.stages[2] = stage("denoise", "step 1", 4);
  auto compared = compare_receipts(before, again);
  CHECK(!compared.same);
  CHECK(compared.text.find("encode_text, text: the same bits") != std::string::npos);
  CHECK(compared.text.find("FIRST DIFFERENCE: denoise, noise: off by about 0.01") !=
        std::string::npos);
  CHECK(compared.text.find("FIRST DIFFERENCE: denoise, step 1") == std::string::npos);
  CHECK(compared.text.find("nothing else is different") != std::string::npos);
  again.jobs[0].device_name = "another";
  again.numerics = 4;
  compared = compare_receipts(before, again);
  CHECK(compared.text.find("numerics version 3, now 4") != std::string::npos);
  CHECK(compared.text.find("'denoise' ran on cpu (a processor), now on cpu (another)") !=
        std::string::npos);
}

TEST_CASE("a stage that is missing or new is a difference") {
  const Receipt before = example();
  Receipt again = before;
  again.stages.pop_back();
  CHECK(!compare_receipts(before, again).same);
  CHECK(!compare_receipts(again, before).same);
}

TEST_CASE("decibels by their formulas") {
  // One of 12 values off by 51 = 255/5: MSE = 255²/(25·12), so 10·log10(300).
  std::vector<uint8_t> a(12, 100), b = a;
  b[5] = 151;
  CHECK(psnr_u8(a, b) == doctest::Approx(24.771213));
  CHECK(psnr_u8(a, a) == kSameDecibels);
  const std::vector<float> truth{3, 4}, off{3, 4.5f};
  CHECK(snr(off, truth) == doctest::Approx(20));  // 25 / 0.25
  CHECK(snr(truth, truth) == kSameDecibels);
}

TEST_CASE("structural similarity is its formula where that is short") {
  const double c1 = (0.01 * 255) * (0.01 * 255), c2 = (0.03 * 255) * (0.03 * 255);
  // Flat frames have no variance: the luminance term is left.
  const std::vector<uint8_t> a(2 * 12 * 13 * 3, 100), b(a.size(), 110);
  CHECK(psnr_u8(a, b) == doctest::Approx(20 * std::log10(255.0 / 10)));
  const double flat = (2.0 * 100 * 110 + c1) / (100.0 * 100 + 110.0 * 110 + c1);
  CHECK(ssim_frames(a, b, 12, 13) == doctest::Approx(flat));
  std::vector<uint8_t> half = a;  // the first frame equal, the second not
  std::fill(half.begin() + half.size() / 2, half.end(), 110);
  CHECK(ssim_frames(a, half, 12, 13) == doctest::Approx((1 + flat) / 2));
  CHECK(ssim_frames({}, {}, 12, 13) == 1);
  // One window of 7x7, part black and part white against its opposite.
  std::vector<uint8_t> x, y;
  for (int i = 0; i < 49; ++i)
    for (int c = 0; c < 3; ++c) {
      x.push_back(i < 24 ? 255 : 0);
      y.push_back(i < 24 ? 0 : 255);
    }
  const double n = 49, mx = 255 * 24 / n, my = 255 * 25 / n;
  const double vx = 255.0 * 255 * 24 / n - mx * mx, vy = 255.0 * 255 * 25 / n - my * my;
  CHECK(ssim_rgb(x, y, 7, 7) == doctest::Approx((2 * mx * my + c1) * (2 * -mx * my + c2) /
                                                ((mx * mx + my * my + c1) * (vx + vy + c2))));
  // Numbers whatever sound holds.
  const std::vector<float> sound{1, 2}, broken{1, NAN};
  CHECK(snr(broken, sound) == -kSameDecibels);
  CHECK(snr(sound, broken) == -kSameDecibels);
}

TEST_CASE("structural similarity is scikit-image's") {
  // structural_similarity(luma(a), luma(b), gaussian_weights=True, sigma=1.5,
  // use_sample_covariance=False, data_range=255) of scikit-image.
  constexpr int64_t kHeight = 24, kWidth = 31;
  std::vector<uint8_t> a, b;
  for (int64_t y = 0; y < kHeight; ++y)
    for (int64_t x = 0; x < kWidth; ++x)
      for (int64_t c = 0; c < 3; ++c) {
        const int64_t v = (7 * x + 5 * y * y + 40 * c) % 256;
        a.push_back(static_cast<uint8_t>(v));
        b.push_back(static_cast<uint8_t>((v + (x * y + c) % 23) % 256));
      }
  CHECK(ssim_rgb(a, b, kHeight, kWidth) == doctest::Approx(0.8066734731068528).epsilon(1e-9));
  CHECK(ssim_rgb(a, a, kHeight, kWidth) == doctest::Approx(1));
}
