// Pictures resized as PIL and PyTorch resize them (make_wan.py).
#include "runtime/engine/stages/bicubic.h"
#include "tests/parity/fixture.h"

using namespace zoetrope;

TEST_CASE("bicubic is PIL's with antialiasing and PyTorch's without") {
  const ParityFixture io("wan/resize");
  for (int c = 0; c < 5; ++c) {
    CAPTURE(c);
    const std::string number = std::to_string(c);
    const EvalTensor pixels = io.tensor(number + ".pixels");
    const std::vector<uint8_t> bytes(pixels.data.begin(), pixels.data.end());
    for (const bool antialias : {true, false}) {
      CAPTURE(antialias);
      const EvalTensor expected = io.tensor(number + (antialias ? ".pil" : ".torch"));
      const Picture picture{bytes.data(), pixels.shape[1], pixels.shape[0]};
      BicubicSpec spec{.width = expected.shape[1], .height = expected.shape[0]};
      spec.columns = spec.width, spec.rows = spec.height;
      spec.antialias = antialias;
      const std::vector<float> got = resize_bicubic(picture, spec);
      REQUIRE(got.size() == expected.data.size());
      int apart = 0;
      for (size_t i = 0; i < got.size(); ++i) {
        const double off = std::fabs(got[i] - expected.data[i]);
        // PIL computes in fixed point: what lies between two values may fall to either side.
        CHECK(off <= (antialias ? 1 : 1e-4 * (1 + std::fabs(expected.data[i]))));
        apart += off > 0;
      }
      if (antialias) CHECK(apart * 50 <= static_cast<int>(got.size()));
      // A part is that part of the whole.
      spec.left = spec.width / 3, spec.top = spec.height / 4;
      spec.columns -= spec.left, spec.rows -= spec.top;
      const std::vector<float> part = resize_bicubic(picture, spec);
      for (int64_t y = 0; y < spec.rows; ++y)
        for (int64_t x = 0; x < spec.columns * 3; ++x)
          REQUIRE(part[static_cast<size_t>(y * spec.columns * 3 + x)] ==
                  got[static_cast<size_t>((y + spec.top) * spec.width * 3 + spec.left * 3 + x)]);
    }
  }
}
