#include "tests/format/small_model.h"

#include <cstring>

#include "graph/builder.h"
#include "graph/format/hash.h"

namespace zoetrope {

namespace {

Graph first_component() {
  Builder b("first");
  const Dim batch = Dim::symbol("batch"), height = Dim::symbol("height");
  const ValueId x = b.input("x", DType::kF32, {batch, height * 2, 6}, Rate::kStep);
  const ValueId time = b.input("time", DType::kF32, {batch, 1, 4}, Rate::kTimestep);
  const ValueId h = b.linear("fc", x, 6, 4);
  const ValueId padded = b.pad(h, {0, 1, 0}, {0, floor_div(height, 2), 0}, "constant", 0.25);
  const ValueId normed = b.rms_norm(padded, b.weight("shared", {4}), 1e-6);
  b.output("y", b.add(b.silu(normed), time));
  auto graph = b.finish();
  ZT_CHECK(graph.ok());
  return std::move(*graph);
}

Graph second_component() {
  Builder b("second");
  const ValueId ids = b.input("ids", DType::kI32, {Dim::symbol("text_length")}, Rate::kClip);
  const ValueId state = b.input("carried", DType::kF32, {Dim::symbol("text_length"), 4});
  const ValueId next = b.add(b.gather(b.weight("table", {9, 4}), ids), state);
  b.state(state, next);
  b.output("text", b.mul(next, b.weight("shared", {4})));
  b.output("noise", b.weight("synthetic", {64, 33}));
  auto graph = b.finish();
  ZT_CHECK(graph.ok());
  return std::move(*graph);
}

TensorSource stored(const std::string& name, DType dtype, Shape shape) {
  TensorSource source{name, {dtype, shape}, std::nullopt, {}};
  source.load = [type = source.type]() -> Result<WeightData> {
    auto bytes = std::make_shared<std::vector<uint8_t>>(static_cast<size_t>(type.bytes()));
    for (int64_t i = 0; i < type.shape.elements(); ++i)
      store_element(type.dtype, bytes->data(), i, static_cast<double>(i % 17) * 0.125 - 1);
    return WeightData{type, bytes->data(), bytes};
  };
  return source;
}

}  // namespace

ModelInfo small_model_info() {
  ModelInfo info;
  info.name = "small";
  info.family = "test";
  info.components = {first_component(), second_component()};
  info.tokenizers = {{"", "bytes", {1, 2, 3, 255}}, {"other", "bytes", {7}}};
  info.vocabulary = {"blue", "red", "star"};
  info.captions = {"a red star", "a \"blue\" one"};
  info.recipe = "{\"clip\": {\"fps\": 4}}";
  info.provenance = "made by a test";
  info.licence = "Apache-2.0";
  return info;
}

Recipe small_video_recipe() {
  Recipe r;
  r.clip = {24, 16000, 2, {16, 64, 16, 32}, {16, 64, 16, 32}, {5, 56, 17, 22, 5}};
  LatentSpec video{"frames", Modality::kVideo, 2, {0.5f, -1}, {1, 2}, 8, 5, 17, 1};
  LatentSpec sound{"wave", Modality::kSound, 1, {0}, {3}, 1, 1, 1, 640};
  r.latents = {video, sound};
  EncodeText text{"text", "ids", "lengths", "out", "features", "counts"};
  text.bos = 1;
  text.eos = 2;
  text.max_ids = 64;
  KnownLatents known{"frames", "encoder", "video", "latents", "known", "mask"};
  known.mask_first_frame = 0.25;
  Denoise denoise;
  denoise.component = "net";
  denoise.time = "t";
  denoise.time_scale = 1000;
  denoise.streams = {{"frames", "x", "v"}, {"wave", "y", "w"}};
  denoise.conditions = {{"features", "text"}, {"known", "known"}, {"mask", "mask"}};
  FlowSampler flow;
  flow.schedule = FlowSchedule::kExplicit;
  flow.times = {1, 0.5, 0};
  denoise.sampler = flow;
  denoise.steps = 2;
  denoise.guidance = 4.5;
  r.stages = {text, known, denoise, DecodeSound{{"wave", "vocoder", "z", "sound", {}}},
              DecodeVideo{{"frames", "decoder", "z", "video", {4, 2, 7}}}};
  return r;
}

Recipe small_picture_recipe() {
  Recipe r;
  r.clip.width = r.clip.height = {16, 64, 16, 32};
  r.latents = {{"image", Modality::kImage, 4, {0, 0, 0, 0}, {5, 5, 5, 5}, 8, 1, 1, 1}};
  Denoise denoise;
  denoise.component = "net";
  denoise.time = "t";
  denoise.streams = {{"image", "x", "noise"}};
  denoise.conditions = {{"label", "label"}};
  DiffusionSpec diffusion;
  diffusion.solver = "ddim";
  diffusion.spacing = "trailing";
  denoise.sampler = diffusion;
  denoise.guidance = 4;
  denoise.guidance_channels = 3;
  r.stages = {ClassLabel{"label", 3, 3, {"cat, tabby", "dog", "fox"}},
              StartPicture{"image", "encoder", "picture", "latents"}, denoise,
              DecodeImage{{"image", "decoder", "latents", "picture", {}}}};
  return r;
}

std::vector<TensorSource> small_model_tensors() {
  std::vector<TensorSource> tensors = {
      stored("table", DType::kF16, {9, 4}), stored("fc.weight", DType::kBF16, {4, 6}),
      stored("fc.bias", DType::kF32, {4}), stored("shared", DType::kF32, {4})};
  TensorSource synthetic{"synthetic", {DType::kF32, {64, 33}}, SyntheticTensor{}, {}};
  synthetic.synthetic->b = 0.5;
  synthetic.synthetic->seed = 0x123456789abcdef0u;
  tensors.push_back(std::move(synthetic));
  return tensors;
}

std::vector<uint8_t> read_bytes(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return std::vector<uint8_t>(std::istreambuf_iterator<char>(in), {});
}

void write_bytes(const std::string& path, const std::vector<uint8_t>& bytes) {
  std::ofstream out(path, std::ios::binary);
  out.write(reinterpret_cast<const char*>(bytes.data()),
            static_cast<std::streamsize>(bytes.size()));
}

void repair_header(std::vector<uint8_t>* bytes) {
  if (bytes->size() < kModelHeaderBytes) return;
  const uint64_t size = bytes->size();
  uint64_t root = 0;
  std::memcpy(&root, bytes->data() + 24, 8);
  std::memcpy(bytes->data() + 16, &size, 8);
  if (root > size - kModelHeaderBytes) return;
  const uint64_t hash = hash_bytes({bytes->data() + kModelHeaderBytes, static_cast<size_t>(root)});
  std::memcpy(bytes->data() + 32, &hash, 8);
}

}  // namespace zoetrope
