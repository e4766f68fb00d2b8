// Wan's parts as the original projects and as ComfyUI store them hold what diffusers' folders hold;
// whole folders become one model file with every part in its role. make_wan.py wrote the files.
#include <filesystem>
#include <fstream>

#include "converters/text_encoder.h"
#include "converters/vision_encoder.h"
#include "converters/wan_vae.h"
#include "runtime/samplers/schedule.h"
#include "tests/format/published.h"
#include "tests/parity/converted.h"
#include "tests/parity/wan_fixture.h"
#include "tests/parity/wan_folder.h"
#include "tests/support/temporary_folder.h"

using namespace zoetrope;
namespace fs = std::filesystem;
using Json = nlohmann::json;

namespace {

void check_same(const OpenedPart& a, const OpenedPart& b) {
  REQUIRE(a.graphs.size() == b.graphs.size());
  for (size_t i = 0; i < a.graphs.size(); ++i) CHECK(to_text(a.graphs[i]) == to_text(b.graphs[i]));
  REQUIRE(a.weights.names() == b.weights.names());
  for (const std::string& name : a.weights.names()) {
    CAPTURE(name);
    const WeightData x = require_ok(a.weights.load(name)), y = require_ok(b.weights.load(name));
    REQUIRE(x.type.dtype == y.type.dtype);
    REQUIRE(x.type.shape == y.type.shape);
    CHECK(std::memcmp(x.data, y.data, static_cast<size_t>(x.type.bytes())) == 0);
  }
}

void check_same_file(const ModelFile& a, const ModelFile& b) {
  REQUIRE(a.info().components.size() == b.info().components.size());
  for (size_t i = 0; i < a.info().components.size(); ++i)
    CHECK(to_text(a.info().components[i]) == to_text(b.info().components[i]));
  REQUIRE(a.tensors().size() == b.tensors().size());
  for (size_t i = 0; i < a.tensors().size(); ++i) {
    CHECK(a.tensors()[i].name == b.tensors()[i].name);
    CHECK(a.tensors()[i].hash == b.tensors()[i].hash);
  }
}

std::vector<std::string> components_of(const ModelFile& file) {
  std::vector<std::string> names;
  for (const Graph& graph : file.info().components) names.push_back(graph.name);
  return names;
}

const std::vector<std::string> kTextComponents{"dit",     "encoder_first", "decoder_first",
                                               "encoder", "decoder",       "text_encoder"};

}  // namespace

TEST_CASE("the original's and ComfyUI's files hold the weights of the libraries' folders") {
  const auto vae = [](const std::string& path) {
    return require_ok(open_wan_autoencoder(kWanData + path));
  };
  const WanAutoencoder whole = vae("vae_2_1"), original = vae("original/Wan2.1_VAE.pth");
  check_same(whole.part, original.part);
  check_same(whole.part, vae("comfy/wan_2.1_vae.safetensors").part);
  check_same(vae("vae_2_2").part, vae("original/wan22.pth").part);
  const auto text = [](const std::string& path) {
    return require_ok(open_text_encoder(kWanData + path));
  };
  // The bucket's reach and epsilon are in no weight: the original has UMT5's.
  TextEncoder saved = text("umt5"), other = text("original/models_t5_umt5-xxl-enc-bf16.pth");
  CHECK(other.config.max_distance == 128);
  other.config.max_distance = saved.config.max_distance;
  other.part.graphs = {require_ok(build_t5_encoder(other.config))};
  check_same(saved.part, other.part);
  CHECK(saved.tokenizer.empty());
  CHECK(text("comfy/umt5.safetensors").tokenizer.size() > 1000);
  check_same(require_ok(open_vision_encoder(kWanData + "clip")).part,
             require_ok(open_vision_encoder(kWanData + "original/clip/clip.pth")).part);
}

TEST_CASE("folders and files become one model with every part in its role") {
  const WanFolder pipeline({}, kWanText);
  const Converted diffusers({.input = pipeline.path(), .output = ""});
  const Converted original({.input = kWanData + "original", .output = ""});
  const std::string comfy = kWanData + "comfy/";
  const Converted files({.input = comfy + "wan.safetensors",
                         .output = "",
                         .vae = comfy + "wan_2.1_vae.safetensors",
                         .text_encoder = comfy + "umt5.safetensors"});
  for (const Converted* model : {&diffusers, &original, &files}) {
    CHECK(components_of(*model->file) == kTextComponents);
    REQUIRE(model->file->info().tokenizers.size() == 1);
    CHECK(model->file->info().tokenizers[0].kind == "sentencepiece");
    CHECK(model->file->info().tokenizers == diffusers.file->info().tokenizers);
    CHECK(model->file->verify_tensors(/*finite=*/true).ok());
    REQUIRE(model->file->tensors().size() == diffusers.file->tensors().size());
    for (size_t i = 0; i < model->file->tensors().size(); ++i) {
      CHECK(model->file->tensors()[i].name == diffusers.file->tensors()[i].name);
      CHECK(model->file->tensors()[i].hash == diffusers.file->tensors()[i].hash);
    }
  }
  // What the folder's autoencoder says of its latents.
  const LatentSpec& latents = diffusers.recipe.latents.at(0);
  CHECK(latents.channels == 5);
  CHECK(latents.pixels == 8);
  CHECK(latents.first_frames == 1);
  CHECK(latents.later_frames == 4);
  CHECK(latents.mean.at(2) == doctest::Approx(0.2));
  CHECK(latents.std.at(4) == doctest::Approx(1.4));
  CHECK(diffusers.recipe.incomplete.empty());
  // Only diffusers' configuration says how latents of so few channels are spread.
  for (const Converted* model : {&original, &files}) {
    mentions(model->recipe.incomplete, "statistics of latents with 5 channels");
    CHECK(model->recipe.stages.empty());
  }
  const auto& sampler = std::get<FlowSampler>(diffusers.recipe.denoise()->sampler);
  CHECK(sampler.solver == FlowSolver::kUniPc);
  CHECK(sampler.shift == 5);
  CHECK(sampler.train_steps == 1000);
  CHECK(diffusers.recipe.denoise()->steps == 50);
  CHECK(diffusers.recipe.denoise()->guidance == 5);
}

TEST_CASE("every kind of transformer is the same in diffusers' and in the original's layout") {
  for (const char* name : {"t2v", "t2v_bare", "i2v", "flf2v", "i2v_a14b", "ti2v"}) {
    CAPTURE(name);
    const Converted diffusers({.input = kWanData + name, .output = ""});
    const Converted original({.input = kWanData + "original_dits/" + name, .output = ""});
    check_same_file(*diffusers.file, *original.file);
  }
}

TEST_CASE("single files of ComfyUI, in 16 bits, are those of the original rounded") {
  for (const char* name : {"t2v", "i2v", "flf2v", "i2v_a14b", "ti2v"})
    for (const DType dtype : {DType::kF16, DType::kBF16}) {
      CAPTURE(name);
      const std::string from = str("parity/data/wan/original_dits/", name);
      const Published folder(from);
      folder.edit_weights("diffusion_pytorch_model.safetensors", [&](StoredTensors& all) {
        StoredTensors out;
        for (auto& [key, tensor] : all) {
          StoredTensor rounded = tensor;
          rounded.become(dtype);
          const auto n = static_cast<int64_t>(rounded.bytes.size()) / 2;
          for (int64_t i = 0; i < n; ++i)
            rounded.set(i, load_element(DType::kF32, tensor.bytes.data(), i));
          out["model.diffusion_model." + key] = std::move(rounded);
        }
        all = std::move(out);
      });
      const Converted whole(
          {.input = kWanData + "original_dits/" + name, .output = "", .dtype = dtype});
      const Converted single(
          {.input = folder.path("diffusion_pytorch_model.safetensors"), .output = ""});
      check_same_file(*whole.file, *single.file);
    }
}

TEST_CASE("8-bit weights with scales stay in 8 bits, and are the scale times what is stored") {
  for (const char* name : {"t2v", "i2v"}) {
    CAPTURE(name);
    const std::string path = kWanData + "comfy_f8/" + name + "/wan.safetensors";
    const auto stored = require_ok(open_safetensors(path));
    const auto key_of = [&](const std::string& weight) {
      return (name == std::string("t2v") ? "model.diffusion_model." : "") + weight;
    };
    const Converted model({.input = path, .output = ""});
    int narrow = 0;
    for (const TensorEntry& tensor : model.file->tensors()) {
      if (!tensor.name.ends_with(".f8")) continue;
      CAPTURE(tensor.name);
      const std::string weight = tensor.name.substr(4, tensor.name.size() - 4 - 3);  // dit/*.f8
      const WeightData values = require_ok(model.file->load(tensor.name)),
                       scale = require_ok(model.file->load(tensor.name + ".scale")),
                       theirs = require_ok(stored->load(key_of(weight)));
      CHECK(values.type.dtype == DType::kF8E4M3);
      REQUIRE(values.type.bytes() == theirs.type.bytes());
      CHECK(std::memcmp(values.data, theirs.data, static_cast<size_t>(values.type.bytes())) == 0);
      const std::string module = weight.substr(0, weight.size() - std::strlen("weight"));
      const WeightData factor = require_ok(stored->load(
          key_of(module + (name == std::string("t2v") ? "scale_weight" : "weight_scale"))));
      for (int64_t r = 0; r < scale.type.shape[0]; ++r)
        CHECK(load_element(DType::kF32, scale.data, r) ==
              load_element(DType::kF32, factor.data, 0));
      ++narrow;
    }
    // Matrices of a block: attention's four, the text's four and the picture's two, the MLP's two.
    CHECK(narrow == (name == std::string("t2v") ? 3 * 10 : 2 * 12));
    // As numbers they make the network that the widened file makes.
    const Converted wide({.input = path, .output = "", .dtype = DType::kF32});
    const SavedNetwork saved(name);
    const EvalTensors inputs = saved.inputs("0");
    const auto run = [&](const Converted& m) {
      const Graph bound = require_ok(zoetrope::bind(m.component("dit"), bindings_of(inputs)));
      return require_ok(
                 reference_evaluate(bound, inputs, *m.file, {.round_to_dtype = false, .watch = {}}))
          .at("video_velocity");
    };
    const EvalTensor got = run(model);
    CHECK(relative_error(got, run(wide)) < 1e-6);
    // And nearly that of the weights before they were narrowed.
    CHECK(relative_error(got, saved.io.tensor("0.out.video_velocity")) < 0.1);
  }
}

TEST_CASE("the original's folder of two experts is found whole, high noise first") {
  const TemporaryFolder folder;
  const std::string in = folder.file("in"), original = kWanData + "original/";
  fs::create_directory(in);
  fs::copy(kWanData + "original_dits/t2v", in + "/high_noise_model");
  const Published other("parity/data/wan/original_dits/t2v");
  other.edit_weights("diffusion_pytorch_model.safetensors",
                     [](StoredTensors& all) { all.at("head.head.bias").set(0, 7); });
  fs::copy(other.path(), in + "/low_noise_model");
  fs::copy(original + "Wan2.1_VAE.pth", in + "/Wan2.1_VAE.pth");
  fs::copy(original + "models_t5_umt5-xxl-enc-bf16.pth", in + "/models_t5_umt5-xxl-enc-bf16.pth");
  fs::create_directories(in + "/google");
  fs::copy(original + "google/umt5-xxl", in + "/google/umt5-xxl");
  const Converted model({.input = in, .output = ""});
  CHECK(components_of(*model.file) == std::vector<std::string>{"dit", "dit_low", "encoder_first",
                                                               "decoder_first", "encoder",
                                                               "decoder", "text_encoder"});
  const auto first = [&](const char* name) {
    return load_element(DType::kF32, require_ok(model.file->load(name)).data, 0);
  };
  CHECK(first("dit_low/head.head.bias") == 7);
  CHECK(first("dit/head.head.bias") != 7);
}

TEST_CASE("two experts and a picture's encoder are parts of their own") {
  const WanFolder pipeline({{"_class_name", "WanImageToVideoPipeline"}, {"boundary_ratio", 0.9}},
                           {{"transformer", "i2v"},
                            {"transformer_2", "i2v"},
                            {"vae", "vae_2_1"},
                            {"image_encoder", "clip"},
                            {"text_encoder", "umt5"}});
  const Converted model({.input = pipeline.path(), .output = ""});
  CHECK(components_of(*model.file) ==
        std::vector<std::string>{"dit", "dit_low", "encoder_first", "decoder_first", "encoder",
                                 "decoder", "text_encoder", "vision_encoder"});
  const auto* first = model.file->find_tensor("dit/patch_embedding.weight");
  const auto* second = model.file->find_tensor("dit_low/patch_embedding.weight");
  REQUIRE(first != nullptr);
  REQUIRE(second != nullptr);
  CHECK(first->hash == second->hash);
}

TEST_CASE("one of two transformers alone is not a whole model; the other may be named") {
  const std::string original = kWanData + "original/";
  const ConvertOptions parts{.input = kWanData + "i2v_a14b",
                             .output = "",
                             .text_encoder = original + "models_t5_umt5-xxl-enc-bf16.pth",
                             .tokenizer = original + "google/umt5-xxl/spiece.model"};
  const Converted alone(parts);
  mentions(alone.recipe.incomplete, "--transformer-2");
  CHECK(alone.recipe.stages.empty());
  ConvertOptions both = parts;
  both.second = kWanData + "i2v_a14b";
  const Converted model(both);
  CHECK(model.recipe.incomplete.find("--transformer-2") == std::string::npos);
  CHECK(components_of(*model.file) == std::vector<std::string>{"dit", "dit_low", "text_encoder"});
  both.second = kWanData + "t2v";
  mentions(refusal(both), "not those of the transformer");
}

TEST_CASE("times told in other steps than the transformer's are refused") {
  const WanFolder pipeline({{"scheduler", {"diffusers", "UniPCMultistepScheduler"}}}, kWanText);
  const auto convert_with = [&](int steps) {
    fs::create_directories(pipeline.path() + "/scheduler");
    std::ofstream(pipeline.path() + "/scheduler/scheduler_config.json")
        << Json{{"_class_name", "UniPCMultistepScheduler"},
                {"use_flow_sigmas", true},
                {"prediction_type", "flow_prediction"},
                {"num_train_timesteps", steps},
                {"flow_shift", 3}};
  };
  // Wan's pipelines tell their schedulers no shift: one that would follow the size is as stated.
  const auto follows = [&](const char* type) {
    fs::create_directories(pipeline.path() + "/scheduler");
    Json json{{"_class_name", type}, {"use_dynamic_shifting", true}, {"shift", 3}};
    if (type[0] == 'U')
      json = {{"_class_name", type},
              {"use_dynamic_shifting", true},
              {"use_flow_sigmas", true},
              {"prediction_type", "flow_prediction"},
              {"flow_shift", 7}};
    std::ofstream(pipeline.path() + "/scheduler/scheduler_config.json") << json;
  };
  follows("FlowMatchEulerDiscreteScheduler");
  mentions(refusal({.input = pipeline.path(), .output = ""}), "use_dynamic_shifting");
  follows("UniPCMultistepScheduler");
  const Converted fixed({.input = pipeline.path(), .output = ""});
  CHECK(std::get<FlowSampler>(fixed.recipe.denoise()->sampler).shift == 7);
  CHECK(std::get<FlowSampler>(fixed.recipe.denoise()->sampler).shift_by == FlowShift::kFixed);
  convert_with(500);
  mentions(refusal({.input = pipeline.path(), .output = ""}), "500");
  convert_with(1000);
  const Converted model({.input = pipeline.path(), .output = ""});
  CHECK(std::get<FlowSampler>(model.recipe.denoise()->sampler).shift == 3);
}

TEST_CASE("parts that do not fit each other are refused") {
  const auto of = [](const std::vector<std::pair<std::string, std::string>>& parts,
                     const nlohmann::json& index = {}) {
    const WanFolder pipeline(index, parts);
    return refusal({.input = pipeline.path(), .output = ""});
  };
  mentions(of({{"transformer", "t2v"}, {"vae", "vae_2_2"}}), "latents of 6 channels");
  mentions(of({{"transformer", "t2v"}, {"text_encoder", "t5"}}), "the transformer reads 11");
  mentions(of({{"transformer", "i2v"}, {"image_encoder", "vae_2_1"}}), "picture tower");
  mentions(of({{"transformer", "t2v"}, {"transformer_2", "i2v"}}, {{"boundary_ratio", 0.5}}),
           "not those of the transformer");
  mentions(of({{"transformer", "t2v"}, {"transformer_2", "t2v"}}), "boundary_ratio");
  mentions(of(kWanText, {{"boundary_ratio", 0.5}}), "transformer_2");
  mentions(refusal({.input = kWanData + "t2v", .output = "", .image_encoder = kWanData + "clip"}),
           "looks at no pictures");
  mentions(refusal({.input = kWanData + "t2v", .output = "", .tokenizer = kWanData + "clip"}),
           "spiece.model");
  mentions(refusal({.input = kWanData + "t2v", .output = "", .vae = kWanData + "umt5"}),
           "not Wan's autoencoder");
}

TEST_CASE("a picture's processing is honoured or refused") {
  const nlohmann::json published = nlohmann::json::parse(
      std::ifstream(kWanData + "../wan_pipelines/i2v/image_processor/preprocessor_config.json"));
  const auto open = [&](const nlohmann::json& change) {
    const TemporaryFolder folder;
    nlohmann::json json = published;
    json.update(change);
    std::ofstream(folder.file("preprocessor_config.json")) << json;
    return open_vision_encoder(kWanData + "clip", folder.path());
  };
  const VisionEncoder as_published = require_ok(open(nlohmann::json::object()));
  CHECK(as_published.picture.size == 20);
  CHECK(as_published.picture.fit == ImageFeatures::Fit::kCover);
  CHECK(as_published.picture.antialias);
  const auto square = require_ok(open({{"size", {{"height", 20}, {"width", 20}}}}));
  CHECK(square.picture.fit == ImageFeatures::Fit::kStretch);
  CHECK(require_ok(open({{"size", 20}, {"crop_size", 20}})).picture.fit ==
        ImageFeatures::Fit::kCover);
  CHECK(require_ok(open({{"image_mean", {0.1, 0.2, 0.3}}})).config.mean[2] == 0.3);
  const VisionEncoder own = require_ok(open_vision_encoder(kWanData + "original/clip/clip.pth"));
  CHECK(own.picture.fit == ImageFeatures::Fit::kStretch);
  CHECK_FALSE(own.picture.antialias);
  for (const auto& [change, expected] : std::vector<std::pair<nlohmann::json, const char*>>{
           {{{"resample", 2}}, "resample"},
           {{{"do_resize", false}}, "do_resize"},
           {{{"do_normalize", false}}, "do_normalize"},
           {{{"do_center_crop", false}}, "squares of 20"},
           {{{"size", {{"shortest_edge", 24}}}}, "squares of 20"},
           {{{"size", {{"height", 20}, {"width", 24}}}}, "squares"},
           {{{"size", {{"longest_edge", 20}}}}, "longest_edge"},
           {{{"crop_size", {{"height", 16}, {"width", 16}}}}, "squares of 20"},
           {{{"rescale_factor", 0.5}}, "rescale_factor"},
           {{{"image_std", {1, 1}}}, "three numbers"},
           {{{"image_std", {0, 1, 1}}}, "deviation"},
           {{{"pad", 1}}, "\"pad\""}}) {
    const Status status = open(change).status();
    CAPTURE(change.dump());
    CHECK_FALSE(status.ok());
    mentions(status.message(), expected);
  }
}

TEST_CASE("configurations of parts are honoured or refused") {
  const auto each = [](const char* part, const auto& open, const std::vector<Change>& changes) {
    CAPTURE(part);
    const Published whole(str("parity/data/wan/", part));
    CHECK(open(whole.path()).ok());
    for (const Change& change : changes) {
      CAPTURE(change.key);
      CAPTURE(change.value.dump());
      const Published folder(str("parity/data/wan/", part));
      folder.edit("config.json",
                  [&](nlohmann::json& config) { config[change.key] = change.value; });
      const Status status = open(folder.path()).status();
      CHECK(!status.ok());
      mentions(status.message(), change.expected);
    }
  };
  each("vae_2_1", open_wan_autoencoder,
       {{"z_dim", 6, "latents_mean"},
        {"base_dim", 5, "encoder."},
        {"dim_mult", {1, 2, 3}, "scale_factor_spatial"},
        {"num_res_blocks", 2, "_blocks."},
        {"attn_scales", {0.5}, "attn_scales"},
        {"temperal_downsample", {true, true, true}, "scale_factor_temporal"},
        {"temperal_downsample", {1, 0, 1}, "true and false"},
        {"is_residual", true, "level 1"},
        {"patch_size", 2, "in_channels"},
        {"scale_factor_spatial", 16, "scale_factor_spatial"},
        {"latents_mean", {1, 2}, "latents_mean"},
        {"latents_std", {1, 1, 0, 1, 1}, "latents_std"},
        {"in_channels", 12, "in_channels"},
        {"_class_name", "AutoencoderKL", "AutoencoderKLWan"},
        {"new_key", 1, "new_key"}});
  each("umt5", open_text_encoder,
       {{"model_type", "t5", "position bias"},
        {"d_kv", 12, "d_kv"},
        {"num_heads", 2, "num_heads"},
        {"relative_attention_num_buckets", 32, "relative_attention_num_buckets"},
        {"relative_attention_max_distance", 2, "buckets"},
        {"feed_forward_proj", "relu", "feed_forward_proj"},
        {"feed_forward_proj", "gated-silu", "gated-gelu"},
        {"is_decoder", true, "is_decoder"},
        {"new_key", 1, "new_key"}});
  each("clip", [](const std::string& path) { return open_vision_encoder(path); },
       {{"num_attention_heads", 7, "7 heads"},
        {"hidden_act", "relu", "hidden_act"},
        {"image_size", 24, "image_size"},
        {"num_hidden_layers", 4, "num_hidden_layers"},
        {"new_key", 1, "new_key"}});
}

TEST_CASE("what is missing is said") {
  const Converted bare({.input = kWanData + "i2v", .output = ""});
  CHECK(bare.recipe.incomplete ==
        "it has no text encoder, no tokenizer, no autoencoder, no image encoder");
}
