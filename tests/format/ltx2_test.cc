// LTX-2's files: every word and every tensor is honoured, known to be of no use, or refused by
// name.
#include "converters/gemma.h"
#include "converters/weight_map.h"
#include "graph/builder.h"
#include "models/ltx2/recipe.h"
#include "runtime/samplers/schedule.h"
#include "tests/format/published.h"

using namespace zoetrope;
using nlohmann::json;
namespace fs = std::filesystem;

namespace {

const std::string kData = ZOETROPE_SOURCE_DIR "/tests/parity/data/ltx2_pipelines/";
const std::string kSingle = "t2v_single.safetensors";

// The pipeline's folder, whole.
struct Folder : Published {
  Folder() : Published("parity/data/ltx2_pipelines/t2v") {
    fs::copy(kData + "text_encoder", path("text_encoder"));
    fs::create_directory(path("tokenizer"));
    fs::copy(kData + "tokenizer.model", path("tokenizer/tokenizer.model"));
  }
};

void check_folder_refused(const std::string& file, const std::vector<Change>& changes) {
  for (const Change& change : changes) {
    CAPTURE(change.key);
    CAPTURE(change.value.dump());
    const Folder folder;
    folder.edit(file, [&](json& c) { c[json::json_pointer(change.key)] = change.value; });
    mentions(folder.refusal(), change.expected);
  }
}

// The single file with its configuration changed; what it is refused for.
std::string single_refusal(const std::function<void(json&)>& change,
                           const std::string& single = kSingle) {
  const Published file("parity/data/ltx2_pipelines/" + single);
  json config = json::parse((*open_safetensors(kData + single))->metadata().at("config"));
  change(config);
  file.edit_weights(single, [](StoredTensors&) {}, {{"config", config.dump()}});
  return file.refusal({.input = "", .output = "", .text_encoder = kData + "text_encoder"}, single);
}

}  // namespace

TEST_CASE("LTX-2's folders: what a configuration says is honoured or refused") {
  check_folder_refused("transformer/config.json",
                       {{"/num_layers", 1, "transformer_blocks.1."},
                        {"/num_layers", 3, "transformer_blocks.2."},
                        {"/attention_head_dim", 12, "cross_attention_dim"},
                        {"/patch_size", 2, "patch_size"},
                        {"/norm_elementwise_affine", true, "norm_elementwise_affine"},
                        {"/rope_double_precision", false, "rope_double_precision"},
                        {"/rope_type", "spiral", "interleaved, split"},
                        {"/timestep_scale_multiplier", 500, "timestep_scale_multiplier"},
                        {"/audio_hop_length", 80, "audio_hop_length"},
                        {"/vae_scale_factors", {8, 32, 16}, "vae_scale_factors"},
                        {"/vae_scale_factors", {8, 8, 8}, "positions are for 8"},
                        {"/qk_norm", "layer_norm", "rms_norm_across_heads"},
                        {"/new_word", 1, "new_word"}});
  check_folder_refused("vae/config.json", {{"/timestep_conditioning", true, "told a time"},
                                           {"/decoder_inject_noise", {true, false, false}, "noise"},
                                           {"/downsample_type", {"conv"}, "downsample_type"},
                                           {"/layers_per_block", {1, 1}, "numbers of layers"},
                                           {"/spatial_compression_ratio", 32, "levels make it 8"},
                                           {"/decoder_block_out_channels", {8, 32}, "decoder"}});
  check_folder_refused("audio_vae/config.json", {{"/norm_type", "group", "pixel"},
                                                 {"/mid_block_add_attention", true, "attention"},
                                                 {"/ch_mult", {1, 2}, "three"},
                                                 {"/sample_rate", 8000, "audio_sampling_rate"}});
  check_folder_refused("vocoder/config.json", {{"/in_channels", 12, "in_channels"},
                                               {"/upsample_factors", {3}, "as many entries"},
                                               {"/output_sampling_rate", 700, "lasts"}});
  check_folder_refused("connectors/config.json", {{"/text_proj_in_factor", 5, "states"},
                                                  {"/caption_channels", 8, "channels"},
                                                  {"/causal_temporal_positioning", true, "both"}});
  check_folder_refused("text_encoder/config.json",
                       {{"/model_type", "gemma4", "gemma3"},
                        {"/text_config/hidden_activation", "relu", "gelu_pytorch_tanh"},
                        {"/text_config/attn_logit_softcapping", 30.0, "without a cap"},
                        {"/text_config/rope_parameters/full_attention/rope_type", "yarn", "linear"},
                        {"/text_config/layer_types", {"chunked_attention"}, "chunked_attention"},
                        {"/text_config/num_hidden_layers", 2, "kinds of 3"}});
  check_folder_refused("model_index.json", {{"/_class_name", "LTXPipeline", "LTX2Pipeline"},
                                            {"/upsampler", {"ltx2", "Upsampler"}, "upsampler"}});
}

TEST_CASE("what LTX-2.5's transformer has for its rendering pass is passed over") {
  const Folder folder;
  folder.edit("transformer/config.json",
              [](json& c) { c["use_keyframes_abs_pos_embedding"] = true; });
  const auto add = [&](const std::string& key) {
    folder.edit_weights("transformer", [&](StoredTensors& tensors) {
      StoredTensor& tensor = tensors[key];
      tensor.dims = {1, 30};
      tensor.dtype = DType::kF32;
      tensor.bytes.assign(120, 0);
    });
  };
  add("keyframes_abs_pos_embedding");
  CHECK_FALSE(recipe_of(*folder.converted()).stages.empty());
  fs::remove(folder.output());
  add("keyframes_rel_pos_embedding");
  mentions(folder.refusal(), "keyframes_rel_pos_embedding");
}

TEST_CASE("an adapter for LTX-2's second stage wants a first one that has not its steps") {
  const Folder folder;
  const std::string adapter = kData + "lora/refiner.safetensors";
  mentions(folder.refusal({.input = "", .output = "", .refining_lora = adapter}), "--upsampler");
  mentions(folder.refusal({.input = "",
                           .output = "",
                           .upsampler = kData + "upsampler",
                           .refining_lora = adapter,
                           .distilled = true}),
           "--distilled");
  mentions(folder.refusal({.input = "", .output = "", .upsampler = kData + "upsampler"}),
           "--refining-lora");
}

TEST_CASE("Gemma 4, as LTX-2.5's folder has it, is read, and what it says is honoured or refused") {
  const Published folder("parity/data/ltx2/gemma4");
  auto gemma = open_gemma(folder.path());
  REQUIRE_MESSAGE(gemma.ok(), gemma.status().message());
  const GemmaConfig& c = gemma->config;
  CHECK(c.fourth);
  CHECK(c.values_are_keys);
  CHECK(c.head_dim == 6);
  CHECK(c.full_head_dim == 8);
  CHECK(c.key_heads == 2);
  CHECK(c.full_key_heads == 1);
  CHECK(c.window == 4);
  CHECK(c.partial_rotary_factor == 0.5);
  CHECK(c.theta == 5000);
  CHECK(c.sliding_theta == 100);
  Builder b("text");
  const Dim batch = Dim::symbol("batch"), length = Dim::symbol("length");
  const auto states = gemma_hidden_states(b, c, b.input("ids", DType::kI32, {batch, length}),
                                          b.input("lengths", DType::kI32, {batch}), batch, length);
  b.output("text", states.back());
  auto graph = b.finish();
  REQUIRE_MESSAGE(graph.ok(), graph.status().message());
  const auto weights = WeightMap::create(
      *gemma->checkpoint, {*graph}, [&](const std::string& name) { return gemma->prefix + name; });
  REQUIRE_MESSAGE(weights.ok(), weights.status().message());
  for (const std::string& key : weights->unused()) CHECK(is_beside_gemma_text(key));
  const auto refused = [&](const char* where, json value, const char* expected) {
    const Published other("parity/data/ltx2/gemma4");
    other.edit("config.json", [&](json& config) { config[json::json_pointer(where)] = value; });
    const auto opened = open_gemma(other.path());
    REQUIRE_FALSE(opened.ok());
    mentions(std::string(opened.status().message()), expected);
  };
  refused("/text_config/num_kv_shared_layers", 2, "num_kv_shared_layers");
  refused("/text_config/num_hidden_layers", 4096, "kinds of 4 layers");
  refused("/text_config/query_pre_attn_scalar", 100, "query_pre_attn_scalar");
  refused("/text_config/use_double_wide_mlp", true, "use_double_wide_mlp");
  refused("/text_config/use_bidirectional_attention", "all", "vision");
  refused("/text_config/per_layer_config/3/head_dim", 6, "differ");
  refused("/text_config/per_layer_config/0", {{"head_dim", 4}}, "\"0\"");
  refused("/text_config/rope_parameters/sliding_attention/partial_rotary_factor", 0.5, "partial");
}

TEST_CASE("LTX-2's single files: what their metadata say is honoured or refused") {
  for (const auto& [pointer, value, expected] :
       {std::tuple{"/transformer/num_layers", json(3), "transformer_blocks.2."},
        {"/transformer/frequencies_precision", json(), "float64"},
        {"/transformer/share_ff", json(true), "share_ff"},
        {"/transformer/caption_proj_input_norm", json(true), "caption_proj_input_norm"},
        {"/transformer/new_word", json(1), "new_word"},
        {"/transformer", json(), "transformer"},
        {"/vae/norm_layer", json("group_norm"), "pixel_norm"},
        {"/vae/encoder_blocks/1/0", json("compress_all"), "compress_space_res"},
        {"/vae/decoder_blocks/0/1/inject_noise", json(true), "noise"},
        {"/vae/decoder_blocks/0/1/other", json(1), "other"},
        {"/vocoder/resblock", json("2"), "resblock"},
        {"/audio_vae/model/params/ddconfig/norm_type", json("group"), "pixel"},
        {"/vae", json(), "no \"vae\" object"},
        {"/audio_vae", json(), "no \"audio_vae\" object"},
        {"/audio_vae/model", json(), "no \"model\" object"},
        {"/audio_vae/model/params", json(), "no \"params\" object"},
        {"/audio_vae/model/params/ddconfig", json(), "no \"ddconfig\" object"},
        {"/audio_vae/preprocessing", json(), "no \"preprocessing\" object"},
        {"/audio_vae/preprocessing/stft", json(), "no \"stft\" object"},
        {"/vocoder", json(), "no \"vocoder\" object"},
        {"/vae/decoder_spatial_padding_mode", json("zeros"), "decoder_spatial_padding_mode"}}) {
    CAPTURE(pointer);
    mentions(single_refusal([&](json& c) { c[json::json_pointer(pointer)] = value; }), expected);
  }
  const auto wide = [](const std::function<void(json&)>& change) {
    return single_refusal([&](json& c) { change(c["vocoder"]["bwe"]); },
                          "t2v_3_single.safetensors");
  };
  mentions(wide([](json& bwe) { bwe["apply_final_activation"] = true; }), "apply_final_activation");
  mentions(wide([](json& bwe) {
             bwe.erase("apply_final_activation");
             bwe["use_tanh_at_final"] = true;
           }),
           "use_tanh_at_final");
}

TEST_CASE("LTX-2: a tensor that is missing or left over is named") {
  for (const char* part : {"transformer", "connectors", "vae", "audio_vae", "vocoder"}) {
    CAPTURE(part);
    const Folder more, fewer;
    more.edit_weights(part, [](StoredTensors& t) { t["extra.weight"] = t.begin()->second; });
    mentions(more.refusal(), "extra.weight");
    std::string gone;
    fewer.edit_weights(part, [&](StoredTensors& t) {
      for (auto it = t.begin(); gone.empty(); ++it)
        if (it->first.find("decoder.") == 0 || !std::string(part).ends_with("vae"))
          gone = it->first;
      t.erase(gone);
    });
    mentions(fewer.refusal(), gone);
  }
  const Folder folder;
  fs::remove(folder.path("tokenizer/tokenizer.model"));
  mentions(folder.refusal(), "neither tokenizer.model (Gemma 3) nor tokenizer.json (Gemma 4)");
}

TEST_CASE("LTX-2: weights of 8 bits with scales stay so, or are multiplied") {
  const std::string key = "model.diffusion_model.transformer_blocks.1.attn1.to_q.weight";
  const Published file("parity/data/ltx2_pipelines/" + kSingle);
  const std::string config = (*open_safetensors(kData + kSingle))->metadata().at("config");
  file.edit_weights(kSingle,
                    [&](StoredTensors& t) {
                      t.at(key).become(DType::kF8E4M3);
                      for (int64_t i = 0; i < 900; ++i)
                        t.at(key).set(i, static_cast<double>(i % 7) - 3);
                      StoredTensor scale{DType::kF32, {}, std::vector<uint8_t>(4)};
                      scale.set(0, 0.25);
                      t[key + "_scale"] = scale;
                      t["model.diffusion_model.transformer_blocks.1.attn1.to_q.input_scale"] =
                          scale;
                    },
                    {{"config", config}});
  CHECK(file.converted({.input = "", .output = ""}, kSingle)
            ->find_tensor("dit/transformer_blocks.1.attn1.to_q.weight.f8") != nullptr);
  const auto model = file.converted({.input = "", .output = "", .dtype = DType::kF32}, kSingle);
  const auto data = model->load("dit/transformer_blocks.1.attn1.to_q.weight");
  REQUIRE(data.ok());
  for (int64_t i = 0; i < 900; ++i)
    CHECK(load_element(data->type.dtype, data->data, i) == (static_cast<double>(i % 7) - 3) / 4);
  // Without its text encoder the file is a part, and says what it lacks.
  mentions(recipe_of(*model).incomplete, "text encoder");
}

TEST_CASE(
    "LTX-2's recipe follows the scheduler, or the distilled schedule where that is asked for") {
  const Folder folder;
  const Recipe dev = recipe_of(*folder.converted());
  const auto& flow = std::get<FlowSampler>(dev.denoise()->sampler);
  CHECK(flow.shift_by == FlowShift::kExponential);
  CHECK(flow.base_shift == 0.95);
  CHECK(flow.max_shift == 2.05);
  CHECK(flow.base_tokens == 1024);
  CHECK(flow.terminal == 0.1);
  const Recipe few = recipe_of(*folder.converted({.input = "", .output = "", .distilled = true}));
  CHECK(few.denoise()->steps == 8);
  CHECK(few.denoise()->guidance == 1);
  CHECK(std::get<FlowSampler>(few.denoise()->sampler).times.size() == 9);
  mentions(
      Published("parity/data/dit/pipeline").refusal({.input = "", .output = "", .distilled = true}),
      "--distilled");
}

// diffusers' pipeline gives linspace(1, 1/n, n) as sigmas, which such a scheduler leaves as they
// are.
TEST_CASE(
    "a scheduler that shifts no times is of a distilled checkpoint, unless one says it is not") {
  const Folder folder;
  folder.edit("scheduler/scheduler_config.json", [](json& c) {
    c["use_dynamic_shifting"] = false;
    c["shift_terminal"] = nullptr;
    c["shift"] = 1.0;
  });
  std::string notices;
  const auto notice = [&](const std::string& text) { notices += text; };
  const Recipe said = recipe_of(*folder.converted({.input = "", .output = "", .notice = notice}));
  CHECK(said.denoise()->steps == 8);
  CHECK(said.denoise()->guidance == 1);
  mentions(notices, "--no-distilled");
  notices.clear();
  const Recipe denied = recipe_of(
      *folder.converted({.input = "", .output = "", .distilled = false, .notice = notice}));
  CHECK(notices.empty());
  CHECK(denied.denoise()->guidance > 1);
  const auto points = space_flow(std::get<FlowSampler>(denied.denoise()->sampler), 4);
  REQUIRE(points.ok());
  const double sigmas[] = {1, 0.75, 0.5, 0.25, 0};
  REQUIRE(points->sigmas.size() == 5);
  for (size_t i = 0; i < 5; ++i)
    CHECK(points->sigmas[i] == doctest::Approx(sigmas[i]).epsilon(1e-6));
}

TEST_CASE("an upsampler of LTX-2's that no pipeline takes is refused by what it is for") {
  Ltx2Pipeline p;
  p.upsampler.emplace();
  const auto larger = ltx2_recipe(p);
  REQUIRE_MESSAGE(larger.ok(), larger.status().message());
  CHECK(larger->denoise()->reduced == Reduced{2, 1});
  p.upsampler->numerator = 3;
  p.upsampler->denominator = 2;
  const auto half_more = ltx2_recipe(p);
  REQUIRE_MESSAGE(half_more.ok(), half_more.status().message());
  CHECK(half_more->denoise()->reduced == Reduced{3, 2});
  CHECK(half_more->clip.width.multiple == 96);
  p.upsampler->spatial = false;
  p.upsampler->temporal = true;
  mentions(ltx2_recipe(p).status().message(), "LTX2DFRTemporalRefinePipeline");
}
