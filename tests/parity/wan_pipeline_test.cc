// Whole Wan pipelines, from diffusers' folders to frames, against diffusers' own from the same
// noise (make_wan_pipelines.py).
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>

#include "runtime/engine/check.h"
#include "runtime/engine/engine.h"
#include "tests/devices.h"
#include "tests/parity/converted.h"
#include "tests/support/psnr.h"
#include "tests/support/temporary_folder.h"

using namespace zoetrope;
namespace fs = std::filesystem;

namespace {

const std::string kParity = ZOETROPE_SOURCE_DIR "/tests/parity/data/";
const std::string kPipelines = kParity + "wan_pipelines";
const std::string kTokenizer = ZOETROPE_SOURCE_DIR "/tests/text/data/identity.model";

class Collect : public ClipSink {
 public:
  Status frames(const uint8_t* p, int64_t count) override {
    pixels.insert(pixels.end(), p, p + count * frame_bytes);
    return Status();
  }
  Status audio(const float*, int64_t) override { return Status(); }
  int64_t frame_bytes = 0;
  std::vector<uint8_t> pixels;
};

std::vector<uint8_t> bytes_of(const ParityFixture& io, const std::string& name) {
  const WeightData data = require_ok(io.file().load(name));
  REQUIRE(data.type.dtype == DType::kU8);
  const auto* begin = static_cast<const uint8_t*>(data.data);
  return {begin, begin + data.type.bytes()};
}

// A pipeline's folder as its library saved it; parts that several share lie elsewhere.
void assemble(const std::string& name, const std::string& in, const std::string& to) {
  fs::copy(in + "/" + name, to, fs::copy_options::recursive);
  if (!fs::exists(to + "/text_encoder"))
    fs::copy(kPipelines + "/text_encoder", to + "/text_encoder");
  fs::create_directory(to + "/tokenizer");
  fs::copy(kTokenizer, to + "/tokenizer/spiece.model");
  const auto parts = nlohmann::json::parse(std::ifstream(to + "/parts.json"));
  for (const auto& [part, stored] : parts.items())
    fs::copy(kParity + "wan/" + stored.get<std::string>(), to + "/" + part);
  fs::remove(to + "/parts.json");
}

// The same, converted.
struct Saved {
  explicit Saved(const std::string& name, const std::string& in = kPipelines)
      : io(name + "_io", in) {
    const std::string to = folder.file("in");
    assemble(name, in, to);
    const Status status = convert({.input = to, .output = folder.file("model.zoe")});
    REQUIRE_MESSAGE(status.ok(), status.message());
  }

  std::unique_ptr<Engine> open(const std::string& device, int threads = 0) const {
    EngineOptions options;
    options.devices.threads = threads;
    options.placement.device = device;
    return require_ok(Engine::open(folder.file("model.zoe"), std::move(options)));
  }

  nlohmann::json cases() const { return nlohmann::json::parse(io.metadata("cases")); }

  Request request(size_t index) const {
    const nlohmann::json all = cases(), &c = all.at(index);
    const std::string prefix = std::to_string(index) + ".in.";
    Request r;
    r.prompt = c.at("prompt");
    if (!c.at("negative").is_null()) r.negative = c.at("negative");
    r.clip.width = c.at("width");
    r.clip.height = c.at("height");
    r.clip.frames = c.at("frames");
    r.steps = c.at("steps");
    // Two experts have guidances of their own, the recipe's.
    if (!c.contains("guidance_2")) r.guidance = c.at("guidance");
    for (const double x : io.tensor(prefix + "noise").data)
      r.noise.push_back(static_cast<float>(x));
    const auto given = io.names(prefix);
    for (const std::string& name : given) {
      if (name == "image") r.known.first = {bytes_of(io, prefix + name), 1};
      if (name == "clip") {
        r.start = {bytes_of(io, prefix + name), r.clip.frames};
        r.strength = c.at("strength");
      }
      if (name == "last_image") r.known.last = {bytes_of(io, prefix + name), 1};
    }
    return r;
  }

  TemporaryFolder folder;
  ParityFixture io;
};

double decibels(const Saved& saved, Engine& engine, size_t index, DType compute) {
  Request request = saved.request(index);
  request.compute = compute;
  Collect out;
  out.frame_bytes = request.clip.width * request.clip.height * 3;
  const auto stats = engine.run(request, out);
  REQUIRE_MESSAGE(stats.ok(), stats.status().message());
  const auto expected = bytes_of(saved.io, std::to_string(index) + ".out.frames");
  REQUIRE(out.pixels.size() == expected.size());
  return psnr(out.pixels, expected, 255);
}

void check_pipeline(const std::string& name, const std::string& in = kPipelines) {
  const Saved saved(name, in);
  for (const char* device : {"cpu", "vulkan", "cuda"}) {
    if (!has_device(device)) continue;
    const auto engine = saved.open(device);
    for (size_t i = 0; i < saved.cases().size(); ++i) {
      CAPTURE(std::string(device));
      CAPTURE(i);
      const double db = decibels(saved, *engine, i, DType::kF32);
      MESSAGE(name, " ", i, " on ", std::string(device), ": ", db, " dB");
      CHECK(db >= 60);
    }
  }
}

}  // namespace

TEST_CASE("a tokenizer that is none is refused before anything is written") {
  const TemporaryFolder folder;
  assemble("t2v", kPipelines, folder.file("in"));
  fs::resize_file(folder.file("in/tokenizer/spiece.model"), 1000);
  const Status status = convert({.input = folder.file("in"),
                                 .output = folder.file("model.zoe"),
                                 .check = [](const ModelInfo& info) { return check_model(info); }});
  CHECK(status.code() == Code::kDataLoss);
  CHECK(status.message().find("SentencePiece") != std::string::npos);
  CHECK(folder.names() == std::vector<std::string>{"in"});
}

TEST_CASE("Wan 2.1, text to video") { check_pipeline("t2v"); }
TEST_CASE("Wan 2.1, video to video") { check_pipeline("v2v"); }
TEST_CASE("Wan 2.1, image to video") { check_pipeline("i2v"); }
TEST_CASE("Wan 2.1, first and last frame to video") { check_pipeline("flf2v"); }
TEST_CASE("Wan 2.2, text to video with two experts") { check_pipeline("t2v_experts"); }
TEST_CASE("Wan 2.2, image to video with two experts") { check_pipeline("i2v_experts"); }
TEST_CASE("Wan 2.2 with a time a frame: text to video") { check_pipeline("ti2v"); }
TEST_CASE("Wan 2.2 with a time a frame: image to video") { check_pipeline("ti2v_image"); }

// Of configurations that nobody chose (draw_wan_pipelines.py): those that are stored, and those of
// a folder that ZOETROPE_WAN_PIPELINES names.
TEST_CASE("drawn pipelines, of other sizes everywhere, give diffusers' frames") {
  const char* const named = std::getenv("ZOETROPE_WAN_PIPELINES");
  const std::string in = named != nullptr ? named : kPipelines;
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(in))
    if (const std::string name = entry.path().filename();
        entry.is_directory() && name.starts_with("drawn_"))
      names.insert(name);
  CHECK(!names.empty());
  for (const std::string& name : names) {
    CAPTURE(name);
    check_pipeline(name, in);
  }
}

namespace {

// Frames of a picture that moves a little.
KnownFrames moving(const ClipRequest& clip, int64_t frames) {
  KnownFrames known{{}, frames};
  for (int64_t f = 0; f < frames; ++f)
    for (int64_t y = 0; y < clip.height; ++y)
      for (int64_t x = 0; x < clip.width * 3; ++x)
        known.pixels.push_back(
            static_cast<uint8_t>(100 + 60 * std::sin(0.2 * double(x + y + 3 * f))));
  return known;
}

}  // namespace

TEST_CASE("a clip is continued, by models of known channels and by those of kept latents") {
  for (const char* name : {"i2v", "i2v_experts", "ti2v_image"}) {
    CAPTURE(name);
    const Saved saved(name);
    const auto engine = saved.open("cpu");
    Request request = saved.request(0);
    request.known = {};
    request.noise.clear();
    request.clip.frames = 13;
    request.known.before = moving(request.clip, 5);
    Collect out;
    out.frame_bytes = request.clip.width * request.clip.height * 3;
    const auto stats = engine->run(request, out);
    REQUIRE_MESSAGE(stats.ok(), stats.status().message());
    CHECK(out.pixels.size() == static_cast<size_t>(13 * out.frame_bytes));
    // Another beginning, another clip, behind it too.
    Collect other;
    other.frame_bytes = out.frame_bytes;
    request.known.before.pixels[7] ^= 0x80;
    REQUIRE(engine->run(request, other).ok());
    CHECK(std::vector<uint8_t>(out.pixels.end() - out.frame_bytes, out.pixels.end()) !=
          std::vector<uint8_t>(other.pixels.end() - out.frame_bytes, other.pixels.end()));
    // Latents that are kept are of whole latents: three frames are none.
    request.known.before = moving(request.clip, 3);
    const auto odd = engine->run(request, other);
    CHECK(odd.ok() == (name != std::string("ti2v_image")));
    if (!odd.ok()) CHECK(odd.status().message().find("whole latents") != std::string::npos);
  }
}

TEST_CASE("what does not fit comes with the nearest that does, with two known frames too") {
  for (const char* name : {"flf2v", "i2v", "ti2v_image"}) {
    CAPTURE(name);
    const Saved saved(name);
    const auto engine = saved.open("cpu", kFewThreads);
    Request request = saved.request(0);
    request.noise.clear();
    const RequestPlan least = require_ok(engine->plan(request));
    request.clip.frames = 97;
    request.clip.width *= 7, request.clip.height *= 7;
    const auto frame = [&](KnownFrames* known) {
      if (known->frames > 0) *known = moving(request.clip, 1);
    };
    frame(&request.known.first), frame(&request.known.last);
    request.memory_budget = least.peak_bytes() + least.peak_bytes() / 2;
    const auto refused = engine->plan(request);
    REQUIRE_FALSE(refused.ok());
    const std::string message = refused.status().message();
    CAPTURE(message);
    const size_t at = message.find("would fit");
    REQUIRE(at != std::string::npos);
    // What is named does fit.
    long frames = 0, width = 0, height = 0;
    const std::string nearest = message.substr(message.find_last_of(';', at) + 1);
    REQUIRE(std::sscanf(nearest.c_str(), " %ld frames at %ldx%ld", &frames, &width, &height) == 3);
    request.clip = {width, height, frames, 0};
    frame(&request.known.first), frame(&request.known.last);
    const auto fits = engine->plan(request);
    CHECK_MESSAGE(fits.ok(), fits.status().message());
  }
}

TEST_CASE("the recipe has the guidances that its experts were published with") {
  for (const char* name : {"t2v_experts", "i2v_experts"}) {
    const Saved saved(name);
    const Denoise& denoise = *saved.open("cpu")->model().recipe.denoise();
    const nlohmann::json c = saved.cases().at(0);
    CHECK(denoise.guidance_of(0) == c.at("guidance").get<double>());
    CHECK(denoise.guidance_of(1) == c.at("guidance_2").get<double>());
  }
}

TEST_CASE("bf16 stays near") {
  const Saved saved("t2v");
  const auto engine = saved.open("cpu");
  CHECK(decibels(saved, *engine, 0, DType::kBF16) >= 25);
}
