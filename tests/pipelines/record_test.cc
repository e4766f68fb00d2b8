// The record of a request: what was asked for comes back from its JSON, whatever the bytes of names
// and prompts; anything else is an error by the field's name.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "runtime/engine/request_record.h"

using namespace zoetrope;
using Json = nlohmann::json;

namespace {

RequestRecord full() {
  RequestRecord r;
  Request& q = r.request;
  q.prompt = "a red ball\nbounces\t\"twice\" \xe2\x98\x83";
  q.negative = "blur";
  q.classes = {"207", "tabby cat"};
  q.seed = ~uint64_t{0};
  q.clip = {160, 96, 0, 2.5};
  q.steps = 30;
  q.guidance = 0;
  q.expert_guidance = {4, 3};
  q.guidance_mode = GuidanceMode::kSequential;
  q.solver = "unipc";
  q.schedule = "linear";
  q.shift = 5;
  q.spacing = "trailing";
  q.eta = 0;
  q.compute = DType::kBF16;
  q.fuse = false;
  q.memory_budget = int64_t{8} << 30;
  q.decode_tile = kWholeClip;
  r.model_name = "m";
  r.model = {"/models/m.zoe", "xxh3:0123456789abcdef"};
  r.adapters = {{"dit_low", {"a.safetensors", "xxh3:00000000000000ff"}, 0.1},
                {"", {"odd\xff\nname", ""}, -1.5}};
  r.media.image = {"i.png", "xxh3:0123456789abcdef"};
  r.media.audio = {"s.wav", ""};
  r.media.keyframes = {{0.5, 1, {"k.png", "xxh3:0123456789abcdef"}}, {2, 0.25, {"l\xff.png", ""}}};
  r.media.fit = "contain";
  r.media.background = "#102030";
  r.media.strength = 0.25;
  r.devices = {"vulkan:1", "text=cpu,denoise=cuda:0+vulkan:0", "validate", 3};
  return r;
}

Json json_of(const RequestRecord& record) { return Json::parse(request_record_to_json(record)); }

void check_refused(const Json& json, const std::string& word) {
  const auto parsed = parse_request_record(json.dump());
  REQUIRE_FALSE(parsed.ok());
  CHECK(parsed.status().code() == Code::kDataLoss);
  CHECK_MESSAGE(parsed.status().message().find(word) != std::string::npos,
                parsed.status().message());
}

}  // namespace

TEST_CASE("a record comes back from its JSON, field by field") {
  const RequestRecord r = full();
  const auto back = parse_request_record(request_record_to_json(r));
  REQUIRE_MESSAGE(back.ok(), back.status().message());
  const Request &a = r.request, &b = back->request;
  CHECK(b.prompt == a.prompt);
  CHECK(b.negative == a.negative);
  CHECK(b.classes == a.classes);
  CHECK(b.seed == a.seed);
  CHECK(b.clip.width == 160);
  CHECK(b.clip.height == 96);
  CHECK(b.clip.frames == 0);
  CHECK(b.clip.seconds == 2.5);
  CHECK(b.steps == 30);
  CHECK(b.guidance == 0);
  CHECK(b.expert_guidance == a.expert_guidance);
  CHECK(b.guidance_mode == GuidanceMode::kSequential);
  CHECK(b.solver == "unipc");
  CHECK(b.schedule == "linear");
  CHECK(b.shift == 5);
  CHECK(b.spacing == "trailing");
  CHECK(b.eta == 0);
  CHECK(b.compute == DType::kBF16);
  CHECK_FALSE(b.fuse);
  CHECK(b.memory_budget == a.memory_budget);
  CHECK(b.decode_tile == kWholeClip);
  CHECK(back->model_name == "m");
  CHECK(back->model == r.model);
  CHECK(back->adapters == r.adapters);
  CHECK(back->media == r.media);
  CHECK(back->devices == r.devices);
}

TEST_CASE("what is left open is left out, and stays open") {
  const RequestRecord none;
  const Json json = json_of(none);
  for (const char* key : {"width", "frames", "seconds", "steps", "guidance", "shift", "eta",
                          "solver", "memory_budget", "decode_tile", "model"})
    CHECK_MESSAGE(!json.contains(key), key);
  const auto back = parse_request_record(json.dump());
  REQUIRE_MESSAGE(back.ok(), back.status().message());
  CHECK(back->request.guidance == -1);
  CHECK(back->request.eta == -1);
  CHECK(back->request.decode_tile == kAutomaticTile);
  CHECK(parse_request_record("{}").ok());
}

TEST_CASE("a field that means nothing is an error by its name") {
  const Json good = json_of(full());
  const auto with = [&](const char* where, Json value) {
    Json json = good;
    json[Json::json_pointer(where)] = std::move(value);
    return json;
  };
  check_refused(with("/steps", 0), "steps");
  check_refused(with("/steps", 1.5), "steps");
  check_refused(with("/seed", -1), "seed");
  check_refused(with("/seed", 0.5), "seed");
  check_refused(with("/guidance", "7"), "guidance");
  check_refused(with("/guidance", 1e9), "guidance");
  check_refused(with("/expert_guidance", {1, Json()}), "expert_guidance");
  check_refused(with("/guidance_mode", "both"), "guidance_mode");
  check_refused(with("/compute", "f64"), "compute");
  check_refused(with("/decode_tile", -2), "decode_tile");
  check_refused(with("/prompt", 3), "prompt");
  check_refused(with("/prompt", std::string((1 << 20) + 1, 'x')), "prompt");
  check_refused(with("/frobnicate", 1), "frobnicate");
  check_refused(with("/media/frobnicate", 1), "media.frobnicate");
  check_refused(with("/media/image/digest", "md5:00"), "media.image.digest");
  check_refused(with("/media/image/digest", "xxh3:0123456789ABCDEF"), "media.image.digest");
  check_refused(with("/media/image", Json::object({{"digest", "xxh3:0123456789abcdef"}})),
                "media.image.path");
  check_refused(with("/adapters/1/file/path_hex", "0"), "adapters[1].file.path_hex");
  check_refused(with("/adapters/1/file/path_hex", "6g"), "adapters[1].file.path_hex");
  check_refused(with("/adapters/1/file/path_hex", "6100"), "adapters[1].file.path");
  check_refused(with("/adapters/0/file/path_hex", "61"), "adapters[0].file.path_hex");
  check_refused(with("/adapters/0", Json::object()), "adapters[0].file");
  check_refused(with("/devices/threads", 100000), "devices.threads");
  check_refused(with("/devices", Json::array()), "devices");
  check_refused(Json::array(), "request");
}

TEST_CASE("what is no JSON, or too much of it, is refused") {
  CHECK_FALSE(parse_request_record("").ok());
  CHECK_FALSE(parse_request_record("{\"steps\": 3").ok());
  CHECK_FALSE(parse_request_record("{\"prompt\": \"\xff\"}").ok());
  CHECK_FALSE(parse_request_record(std::string(kMaxRecordBytes + 1, ' ')).ok());
  CHECK_FALSE(parse_request_record(std::string(1 << 20, '[')).ok());
}
