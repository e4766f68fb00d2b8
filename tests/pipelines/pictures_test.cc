// Pictures of a converted DiT through the engine, against diffusers' pipeline from the same noise.
#include <doctest/doctest.h>

#include <cmath>

#include "converters/checkpoint.h"
#include "converters/convert.h"
#include "runtime/engine/engine.h"
#include "runtime/engine/tile_canvas.h"
#include "tests/devices.h"
#include "tests/format/small_model.h"
#include "tests/support/temporary_folder.h"

using namespace zoetrope;

namespace {

std::string published(const std::string& name) {
  return std::string(ZOETROPE_SOURCE_DIR) + "/tests/parity/data/dit/" + name;
}

struct Tensor {
  Shape shape;
  std::vector<float> data;
};

Tensor fixture(const std::string& name) {
  const auto file = open_safetensors(published("pictures.safetensors"));
  REQUIRE_MESSAGE(file.ok(), file.status().message());
  const auto data = (*file)->load(name);
  REQUIRE(data.ok());
  Tensor tensor{data->type.shape, {}};
  for (int64_t i = 0; i < tensor.shape.elements(); ++i)
    tensor.data.push_back(static_cast<float>(load_element(data->type.dtype, data->data, i)));
  return tensor;
}

class Collect : public ClipSink {
 public:
  Status frames(const uint8_t* p, int64_t count) override {
    pictures += count;
    pixels.insert(pixels.end(), p, p + count * bytes);
    return Status();
  }
  Status audio(const float*, int64_t) override { return Status(); }
  int64_t bytes = 24 * 24 * 3, pictures = 0;
  std::vector<uint8_t> pixels;
};

std::unique_ptr<Engine> open_pipeline(const TemporaryFolder& folder, const std::string& device,
                                      int threads = 0) {
  const std::string path = folder.file("dit.zoe");
  const Status status = convert({.input = published("pipeline"), .output = path});
  REQUIRE_MESSAGE(status.ok(), status.message());
  EngineOptions options;
  options.devices.threads = threads;
  options.placement.device = device;
  auto engine = Engine::open(path, std::move(options));
  REQUIRE_MESSAGE(engine.ok(), engine.status().message());
  return std::move(*engine);
}

// dB between u8 pixels and pictures in [0, 1].
double psnr(const std::vector<uint8_t>& got, const std::vector<float>& expected) {
  REQUIRE(got.size() == expected.size());
  double squares = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    const double wanted = std::nearbyint(expected[i] * 255.0);
    squares += (got[i] - wanted) * (got[i] - wanted);
  }
  return 10 * std::log10(255.0 * 255.0 * static_cast<double>(got.size()) / (squares + 1e-9));
}

Request request_of(const Tensor& noise, const Tensor& labels) {
  Request request;
  for (const float label : labels.data)
    request.classes.push_back(std::to_string(static_cast<int>(label)));
  request.noise = noise.data;
  request.steps = 12;
  return request;
}

Collect make(Engine& engine, const Request& request) {
  Collect out;
  const auto stats = engine.run(request, out);
  REQUIRE_MESSAGE(stats.ok(), stats.status().message());
  return out;
}

}  // namespace

TEST_CASE("pictures are diffusers' from the same noise, to 60 dB, on every device") {
  const Tensor noise = fixture("noise"), labels = fixture("labels"), images = fixture("images");
  for (const char* device : {"cpu", "vulkan", "cuda"}) {
    if (!has_device(device)) continue;
    const TemporaryFolder folder;
    const auto engine = open_pipeline(folder, device);
    const Collect out = make(*engine, request_of(noise, labels));
    CHECK(out.pictures == 3);
    const double db = psnr(out.pixels, images.data);
    MESSAGE(device, ": ", db, " dB");
    CHECK(db >= 60);
  }
}

TEST_CASE("a class is found by its number and by each of its names") {
  const TemporaryFolder folder;
  const auto engine = open_pipeline(folder, "cpu");
  Request request;
  request.steps = 2;
  const auto pixels_of = [&](const char* label) {
    request.classes = {label};
    return make(*engine, request).pixels;
  };
  const auto tench = pixels_of("0");
  CHECK(pixels_of("tench") == tench);
  CHECK(pixels_of("Tinca tinca") == tench);
  CHECK(pixels_of("goldfish") != tench);
  const auto refusal = [&](const char* label) {
    request.classes = {label};
    Collect out;
    const auto stats = engine->run(request, out);
    CHECK_FALSE(stats.ok());
    CHECK(out.pictures == 0);
    return std::string(stats.status().message());
  };
  CHECK(refusal("5").find("0 to 4") != std::string::npos);
  CHECK(refusal("-1").find("0 to 4") != std::string::npos);
  CHECK(refusal("shark").find("great white shark") != std::string::npos);
}

TEST_CASE("tiles put together are the picture that they were cut from") {
  constexpr int64_t kScale = 4, kChannels = 3;
  const TileSpec specs[] = {{5, 2, 0}, {5, 0, 0}, {7, 3, 0}, {6, 2, 1}, {0, 0, 0}};
  for (const TileSpec& spec : specs) {
    CAPTURE(spec.length);
    CAPTURE(spec.overlap);
    const TilePlan rows = plan_tiles(11, spec), columns = plan_tiles(16, spec);
    TileCanvas canvas(rows, columns, kScale, kChannels);
    const auto value = [](int64_t y, int64_t x, int64_t k) {
      return static_cast<float>(std::sin(0.3 * static_cast<double>(y)) +
                                0.7 * static_cast<double>(x % 13) - static_cast<double>(k));
    };
    std::vector<float> tile(
        static_cast<size_t>(rows.length * columns.length * kScale * kScale * kChannels));
    for (size_t r = rows.tiles.size(); r-- > 0;)
      for (size_t c = 0; c < columns.tiles.size(); ++c) {
        size_t at = 0;
        for (int64_t y = 0; y < rows.length * kScale; ++y)
          for (int64_t x = 0; x < columns.length * kScale; ++x)
            for (int64_t k = 0; k < kChannels; ++k)
              tile[at++] =
                  value(rows.tiles[r].start * kScale + y, columns.tiles[c].start * kScale + x, k);
        canvas.add(r, c, tile);
      }
    REQUIRE(canvas.pixels().size() == 11 * 16 * kScale * kScale * kChannels);
    double worst = 0;
    for (int64_t i = 0; i < static_cast<int64_t>(canvas.pixels().size()); ++i) {
      const int64_t k = i % kChannels, x = i / kChannels % (16 * kScale),
                    y = i / kChannels / (16 * kScale);
      worst = std::max<double>(worst,
                               std::fabs(canvas.pixels()[static_cast<size_t>(i)] - value(y, x, k)));
    }
    CHECK(worst <= 1e-5);
  }
}

TEST_CASE("a large picture is decoded in tiles: less memory, and close to the whole") {
  const TemporaryFolder folder;
  const auto engine = open_pipeline(folder, "cpu", kFewThreads);
  Request request;
  request.classes = {"1", "4"};
  request.steps = 2;
  request.clip.width = 160;
  request.clip.height = 96;
  const auto decoder_bytes = [&] {
    const auto plan = engine->plan(request);
    REQUIRE_MESSAGE(plan.ok(), plan.status().message());
    return plan->jobs.back().plan->memory.total_bytes();
  };
  const auto pixels = [&] {
    Collect out;
    out.bytes = 160 * 96 * 3;
    const auto stats = engine->run(request, out);
    REQUIRE_MESSAGE(stats.ok(), stats.status().message());
    CHECK(out.pictures == 2);
    return out.pixels;
  };
  const auto whole = pixels();
  const int64_t whole_bytes = decoder_bytes();
  request.decode_tile = kWholeClip;
  CHECK(pixels() == whole);
  request.decode_tile = 16;
  CHECK(decoder_bytes() < whole_bytes);
  const auto tiled = pixels();
  double squares = 0;
  for (size_t i = 0; i < whole.size(); ++i)
    squares += (whole[i] - tiled[i]) * (whole[i] - tiled[i]);
  const double db = 10 * std::log10(255.0 * 255.0 * static_cast<double>(whole.size()) / squares);
  // Norms see a tile's own statistics: with noise for weights the most that can go wrong.
  MESSAGE("in tiles of 16 latents: ", db, " dB from the whole");
  CHECK(db >= 20);
  // Under a budget that the whole exceeds, tiles are taken without asking.
  request.decode_tile = kAutomaticTile;
  request.memory_budget = whole_bytes * 3 / 4;
  CHECK(decoder_bytes() <= request.memory_budget);
  request.memory_budget = 0;
  request.decode_tile = 3;
  CHECK_FALSE(engine->plan(request).ok());
}

TEST_CASE("pictures of other sizes are made, and those between patches refused") {
  const TemporaryFolder folder;
  const auto engine = open_pipeline(folder, "cpu");
  Request request;
  request.classes = {"1"};
  request.steps = 2;
  request.clip.width = 40;
  request.clip.height = 16;
  Collect out;
  out.bytes = 40 * 16 * 3;
  const auto stats = engine->run(request, out);
  REQUIRE_MESSAGE(stats.ok(), stats.status().message());
  CHECK(out.pictures == 1);
}
