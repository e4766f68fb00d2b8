// Everything that a published folder says is honoured or refused, by name.
#include "graph/graph.h"
#include "runtime/engine/check.h"
#include "tests/format/published.h"

using namespace zoetrope;
using nlohmann::json;

namespace {

const std::string kPipeline = "parity/data/dit/pipeline";
const std::string kTransformer = "transformer/config.json", kVae = "vae/config.json";
const std::string kScheduler = "scheduler/scheduler_config.json", kIndex = "model_index.json";
const std::string kOriginal = "parity/data/dit/original/dit.pt";

DiffusionSpec spec_of(const ModelFile& file) {
  const Recipe recipe = recipe_of(file);
  REQUIRE(recipe.denoise() != nullptr);
  return std::get<DiffusionSpec>(recipe.denoise()->sampler);
}

}  // namespace

TEST_CASE("a DiT's configuration that the weights or the network contradict is refused") {
  check_refused(kPipeline, kTransformer,
                {{"num_layers", 2, "num_layers"},
                 {"attention_head_dim", 10, "attention_head_dim"},
                 {"attention_head_dim", nullptr, "attention_head_dim"},  // 72, as diffusers has it
                 {"num_attention_heads", 3, "num_attention_heads"},
                 {"num_attention_heads", "two", "whole number"},
                 {"num_attention_heads", 0, "from 1"},
                 {"norm_type", "layer_norm", "ada_norm_zero"},
                 {"norm_eps", -1.0, "norm_eps"},
                 {"activation_fn", "mish", "gelu-approximate"},
                 {"activation_fn", "geglu", "ff.net.0.proj"},  // twice as many outputs
                 {"attention_bias", false, "attention_bias"},
                 {"attention_bias", 1, "true or false"},
                 {"patch_size", 3, "patch_size"},
                 {"in_channels", 8, "in_channels"},
                 {"out_channels", 4, "out_channels"},
                 {"num_embeds_ada_norm", 1000, "num_embeds_ada_norm"},
                 {"norm_elementwise_affine", true, "norm3"},
                 {"_class_name", "PixArtTransformer2DModel", "_class_name"},
                 {"caption_channels", 4096, "captions"},
                 {"cross_attention_dim", 768, "cross-attention"},
                 {"interpolation_scale", 2, "interpolation_scale"},
                 {"attention_type", "gated", "attention_type"},
                 {"qk_norm", "rms_norm", "qk_norm"}});  // nobody knows it
}

TEST_CASE("a scheduler's configuration is honoured or refused") {
  check_refused(kPipeline, kScheduler,
                {{"_class_name", "DPMSolverMultistepScheduler", "DDIMScheduler, DDPMScheduler"},
                 {"_class_name", nullptr, "_class_name"},
                 {"thresholding", true, "thresholding"},
                 {"timestep_spacing", "even", "leading"},
                 {"beta_schedule", "sigmoid", "squaredcos_cap_v2"},  // DDIM has none
                 {"prediction_type", "flow", "v_prediction"},
                 {"trained_betas", {0.1, 0.2}, "trained_betas"},
                 {"beta_end", 2, "beta_end"},
                 {"flow_shift", 5.0, "flow_shift"}});
  const Published folder(kPipeline);
  folder.edit(kScheduler, [](json& c) {
    c.update({{"timestep_spacing", "leading"},
              {"steps_offset", 1},
              {"beta_schedule", "scaled_linear"},
              {"beta_start", 0.00085},
              {"beta_end", 0.012},
              {"num_train_timesteps", 500},
              {"prediction_type", "v_prediction"},
              {"set_alpha_to_one", false},
              {"rescale_betas_zero_snr", true},
              {"clip_sample", true},
              {"clip_sample_range", 1.5}});
  });
  const DiffusionSpec s = spec_of(*folder.converted());
  CHECK(s.solver == "ddim");
  CHECK(s.steps_offset == 1);
  CHECK(s.betas == "scaled_linear");
  CHECK(s.beta_first == 0.00085);
  CHECK(s.beta_last == 0.012);
  CHECK(s.train_steps == 500);
  CHECK(s.prediction == "v_prediction");
  CHECK_FALSE(s.final_alpha_one);
  CHECK(s.zero_snr);
  CHECK(s.clip == 1.5);

  const Published ddpm(kPipeline);
  ddpm.edit(kScheduler, [](json& c) {
    c = {{"_class_name", "DDPMScheduler"},
         {"variance_type", "learned_range"},
         {"timestep_spacing", "trailing"},
         {"steps_offset", 1}};
  });
  const DiffusionSpec d = spec_of(*ddpm.converted());
  CHECK(d.solver == "ddpm");
  CHECK(d.variance == "learned_range");
  CHECK(d.spacing == "trailing");
  CHECK(d.steps_offset == 0);  // diffusers adds it to "leading" alone
  CHECK(d.clip == 1);          // its default
  ddpm.edit(kScheduler, [](json& c) { c["variance_type"] = "fixed_large_log"; });  // NaN there
  std::filesystem::remove(ddpm.output());
  mentions(ddpm.refusal(), "variance_type");
}

TEST_CASE("an autoencoder's configuration is honoured or refused") {
  check_refused(kPipeline, kVae,
                {{"act_fn", "mish", "act_fn"},
                 {"norm_num_groups", 5, "groups"},
                 {"block_out_channels", {8, 16, 16}, "block_out_channels"},
                 {"block_out_channels", nullptr, "block_out_channels"},
                 {"down_block_types",
                  {"DownEncoderBlock2D", "DownEncoderBlock2D", "AttnDownEncoderBlock2D"},
                  "down_block_types"},
                 {"up_block_types", {"UpDecoderBlock2D"}, "up_block_types"},
                 {"layers_per_block", 2, "layers_per_block"},
                 {"latent_channels", 16, "latent_channels"},
                 {"in_channels", 1, "in_channels"},
                 {"use_quant_conv", false, "use_quant_conv"},
                 {"mid_block_add_attention", false, "mid_block_add_attention"},
                 {"latents_mean", {0, 0, 0, 0}, "latents_mean"},
                 {"scaling_factor", 0, "scaling_factor"},
                 {"_class_name", "AutoencoderTiny", "AutoencoderKL"},
                 {"double_z", true, "double_z"}});
  const Published folder(kPipeline);
  folder.edit(kVae, [](json& c) {
    c["scaling_factor"] = 0.5;
    c["shift_factor"] = 0.25;
  });
  const Recipe r = recipe_of(*folder.converted());
  CHECK(r.latents[0].mean == std::vector<float>(4, 0.25f));
  CHECK(r.latents[0].std == std::vector<float>(4, 2.0f));
}

TEST_CASE("a pipeline's index is honoured or refused") {
  check_refused(kPipeline, kIndex,
                {{"_class_name", "PixArtAlphaPipeline", "DiTPipeline"},
                 {"vae", "AutoencoderKL", "[library, class]"},
                 {"scheduler", nullptr, "no scheduler"},
                 {"id2label", {{"9", "dog"}}, "id2label"},
                 {"id2label", {{"zero", "dog"}}, "id2label"},
                 {"safety_checker", {"stable_diffusion", "Checker"}, "safety_checker"},
                 {"boundary_ratio", 0.9, "boundary_ratio"}});
  const Published folder(kPipeline);
  std::filesystem::remove_all(folder.path("scheduler"));
  mentions(folder.refusal(), "'scheduler'");
  for (const char* file : {"transformer/config.json", "vae/config.json"}) {
    const Published lacking(kPipeline);
    std::filesystem::remove(lacking.path(file));
    mentions(lacking.refusal(), "config.json");
  }
}

TEST_CASE("weights that no network of the kind has are refused by name") {
  const std::string weights = "transformer/diffusion_pytorch_model.safetensors";
  const char* bias = "transformer_blocks.1.ff.net.2.bias";
  struct Case {
    std::function<void(StoredTensors&)> change;
    const char* expected;
  };
  const Case cases[] = {
      {[&](auto& t) { t[bias].become(DType::kI8); }, bias},
      {[&](auto& t) { t[bias].become(DType::kBool); }, bias},
      {[&](auto& t) { t[bias].dims = {0}, t[bias].bytes.clear(); }, bias},
      {[&](auto& t) { t[bias].set(3, NAN); }, "NaN"},
      {[&](auto& t) { t[bias].set(3, INFINITY); }, "infinity"},
      {[&](auto& t) { t.erase(bias); }, bias},
      {[&](auto& t) { t["transformer_blocks.1.extra"] = t[bias]; }, "transformer_blocks.1.extra"},
      {[&](auto& t) { t["norm_out.weight"] = t[bias]; }, "norm_out.weight"},
      {[](auto& t) {
         auto& time = t["transformer_blocks.0.norm1.emb.timestep_embedder.linear_1.weight"];
         time.dims[1] = 1, time.bytes.resize(time.bytes.size() / 256);
       },
       "time features"},
      {[](auto& t) {
         auto& patch = t["pos_embed.proj.weight"];
         patch.dims[0] = 0, patch.bytes.clear();
       },
       "pos_embed.proj.weight"},
      {[](auto& t) {
         auto& last = t["proj_out_2.weight"];
         last.dims[0] = 20, last.bytes.resize(20 * 24 * 4);
       },
       "output channels"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.expected);
    const Published folder(kPipeline);
    folder.edit_weights("transformer", c.change);
    mentions(folder.refusal(), c.expected);
  }
}

TEST_CASE("a value too large for the dtype that is asked for is refused, not made infinite") {
  const auto with = [](double value, std::optional<DType> dtype) {
    const Published folder(kPipeline);
    folder.edit_weights("transformer", [&](StoredTensors& t) {
      StoredTensor& bias = t["proj_out_2.bias"];
      bias.become(DType::kF64);
      bias.set(0, value);
      t["proj_out_2.weight"].become(DType::kF64);
    });
    return folder.convert({.input = "", .output = "", .dtype = dtype});
  };
  CHECK(with(60000, DType::kF16).ok());
  mentions(with(70000, DType::kF16).message(), "too large for f16");
  CHECK(with(3e38, DType::kBF16).ok());
  mentions(with(3.4e38, DType::kBF16).message(), "too large for bf16");
  mentions(with(1e39, DType::kF32).message(), "too large for f32");
  CHECK(with(1e39, std::nullopt).ok());
}

TEST_CASE("what the engine would not open is refused before anything is written") {
  const Published folder(kPipeline);
  folder.edit(kScheduler, [](json& c) { c["beta_start"] = 0.5; });  // 0.74^1000 is 0 in f32
  mentions(folder.refusal({.input = "",
                           .output = "",
                           .check = [](const ModelInfo& info) { return check_model(info); }}),
           "betas too large");
}

TEST_CASE("stored positions are weights where they are not the formula's") {
  const auto original = [](const std::function<void(StoredTensors&)>& change) {
    auto folder = std::make_unique<Published>(kOriginal);
    folder->edit_weights("dit.pt", change);
    return folder;
  };
  const auto symbols = [](const ModelFile& file) { return file.info().components.at(0).symbols(); };
  // The formula's: any size, by the formula.
  const auto plain = original([](auto&) {})->converted();
  CHECK(symbols(*plain).contains("height"));
  CHECK(plain->find_tensor("pos_embed") == nullptr);
  // Rounded to 16 bits they still are.
  const auto rounded = original([](StoredTensors& t) {
                         StoredTensor narrow = t["pos_embed"];
                         narrow.become(DType::kBF16);
                         for (int64_t i = 0; i < 9 * 24; ++i)
                           narrow.set(i, load_element(DType::kF32, t["pos_embed"].bytes.data(), i));
                         t["pos_embed"] = narrow;
                       })->converted();
  CHECK(symbols(*rounded).contains("height"));
  // Trained: used, for the size that they are of and no other.
  const auto trained =
      original([](StoredTensors& t) { t["pos_embed"].set(7, 0.125); })->converted();
  CHECK_FALSE(symbols(*trained).contains("height"));
  const auto data = trained->load("dit/pos_embed");
  REQUIRE(data.ok());
  CHECK(load_element(data->type.dtype, data->data, 7) == 0.125);
  const Recipe r = recipe_of(*trained);
  CHECK(r.clip.width.min == r.clip.width.max);

  mentions(original([](StoredTensors& t) { t["pos_embed"].set(7, NAN); })->refusal(), "pos_embed");
  mentions(original([](StoredTensors& t) {
             t["pos_embed"].dims = {1, 8, 27};
           })->refusal(),
           "pos_embed");
  mentions(original([](StoredTensors& t) { t.erase("pos_embed"); })->refusal(), "input_size");
  const auto sized = original([](StoredTensors& t) { t.erase("pos_embed"); });
  sized->edit("config.json", [](json& c) { c["input_size"] = 6; });
  CHECK(to_text(sized->converted()->info().components[0]) == to_text(plain->info().components[0]));
  sized->edit("config.json", [](json& c) { c["input_size"] = 8; });
  CHECK(to_text(sized->converted()->info().components[0]) != to_text(plain->info().components[0]));
}

TEST_CASE("what an original file does not say is asked for, and what its config says is checked") {
  {
    const Published folder(kOriginal);
    std::filesystem::remove(folder.path("config.json"));
    mentions(folder.refusal({.input = "", .output = ""}, "dit.pt"), "num_heads");
  }
  check_refused(kOriginal, "config.json",
                {{"num_heads", 5, "heads"},
                 {"depth", 28, "depth"},
                 {"hidden_size", 1152, "hidden_size"},
                 {"mlp_ratio", 2.0, "mlp_ratio"},
                 {"patch_size", 4, "patch_size"},
                 {"num_classes", 1000, "num_classes"},
                 {"learn_sigma", false, "learn_sigma"},
                 {"class_dropout_prob", 0, "null class"},
                 {"input_size", 32, "pos_embed"},
                 {"_class_name", "DiTTransformer2DModel", "_class_name"},
                 {"qk_norm", true, "qk_norm"}});
  // Metadata inside the file gives way to the configuration beside it.
  const Published folder(kOriginal);
  folder.edit_weights("dit.pt", [](auto&) {}, {{"config", R"({"num_heads": 2})"}});
  const Published plain(kOriginal);
  CHECK(to_text(folder.converted()->info().components[0]) ==
        to_text(plain.converted()->info().components[0]));
  std::filesystem::remove(folder.path("config.json"));
  std::filesystem::remove(folder.output());
  CHECK(to_text(folder.converted()->info().components[0]) !=
        to_text(plain.converted()->info().components[0]));
}

TEST_CASE("the format that stands beside a weight of 8 bits is one that is read, and its own") {
  const std::string scaled = "blocks.0.cross_attn.k.";
  const auto stated = [&](const std::string& format) {
    return [=](StoredTensors& t) {
      const std::string text = nlohmann::json{{"format", format}}.dump();
      t[scaled + "comfy_quant"] = {
          DType::kU8, {static_cast<int64_t>(text.size())}, {text.begin(), text.end()}};
    };
  };
  for (const char* format : {"float8_e4m3fnuz", "float8_e5m2fnuz", "int8_tensorwise"}) {
    CAPTURE(format);
    const Published file("parity/data/wan/comfy_f8/i2v");
    file.edit_weights("", stated(format));
    mentions(file.refusal(), scaled + "comfy_quant' states a format that is not read");
  }
  const Published other("parity/data/wan/comfy_f8/i2v");
  other.edit_weights("", stated("float8_e5m2"));
  mentions(other.refusal(), "states float8_e5m2, and '" + scaled + "weight' is");
  const Published right("parity/data/wan/comfy_f8/i2v");
  right.edit_weights("", stated("float8_e4m3fn"));
  (void)right.converted();
}

TEST_CASE("prefixes of training runs and bundles are found; averaged weights come first") {
  const Published plain(kOriginal);
  const auto expected = plain.converted();
  const auto same = [&](const std::function<void(StoredTensors&)>& change) {
    const Published folder(kOriginal);
    folder.edit_weights("dit.pt", change);
    const auto file = folder.converted();
    REQUIRE(file->tensors().size() == expected->tensors().size());
    for (size_t i = 0; i < file->tensors().size(); ++i)
      CHECK(file->tensors()[i].hash == expected->tensors()[i].hash);
  };
  const auto prefixed = [](StoredTensors& t, const std::string& prefix) {
    StoredTensors renamed;
    for (auto& [key, tensor] : t) renamed[prefix + key] = std::move(tensor);
    t = std::move(renamed);
  };
  for (const char* prefix : {"model.", "transformer.", "diffusion_model.", "model.diffusion_model.",
                             "ema.", "module.", "state_dict.module.", "_orig_mod."}) {
    CAPTURE(prefix);
    same([&](StoredTensors& t) { prefixed(t, prefix); });
  }
  same([&](StoredTensors& t) {  // FSDP around some modules, activation checkpointing around others
    StoredTensors renamed;
    for (auto& [key, tensor] : t) {
      std::string name = key;
      if (const size_t at = name.find("blocks.0."); at != std::string::npos)
        name.insert(at + 9, "_fsdp_wrapped_module._checkpoint_wrapped_module.");
      if (const size_t at = name.find(".attn."); at != std::string::npos)
        name.insert(at + 6, "_orig_mod.");
      renamed["_fsdp_wrapped_module." + name] = std::move(tensor);
    }
    t = std::move(renamed);
  });
  same([&](StoredTensors& t) {  // a run of distribution matching
    StoredTensors generator = t, critic = t;
    for (StoredTensors* other : {&generator, &critic})
      for (auto& [key, tensor] : *other) std::fill(tensor.bytes.begin(), tensor.bytes.end(), 0);
    prefixed(t, "generator_ema.model.");
    prefixed(generator, "generator.model.");
    prefixed(critic, "critic.model.");
    t.merge(generator);
    t.merge(critic);
  });
  // Before it averages its weights, and what judges them even averaged.
  for (const char* judge : {"critic.", "critic_ema.", "discriminator.", "fake_score.",
                            "real_score.", "model.fake_score."}) {
    CAPTURE(judge);
    same([&](StoredTensors& t) {
      StoredTensors other = t;
      for (auto& [key, tensor] : other) std::fill(tensor.bytes.begin(), tensor.bytes.end(), 0);
      prefixed(t, judge == std::string("model.fake_score.") ? "model.generator." : "generator.");
      prefixed(other, judge);
      t.merge(other);
    });
  }
  same([&](StoredTensors& t) {  // a training checkpoint
    StoredTensors model = t;
    for (auto& [key, tensor] : model) std::fill(tensor.bytes.begin(), tensor.bytes.end(), 0);
    prefixed(t, "ema.");
    prefixed(model, "model.");
    t.merge(model);
    t["opt.state.0.exp_avg"] =
        model.begin() == model.end() ? t.begin()->second : model.begin()->second;
  });
  {
    const Published folder(kOriginal);
    folder.edit_weights("dit.pt", [&](StoredTensors& t) {
      StoredTensors other = t;
      prefixed(t, "student.");
      prefixed(other, "teacher.");
      t.merge(other);
    });
    mentions(folder.refusal(), "both 'student.' and 'teacher.'");
  }
  const Published folder(kOriginal);
  folder.edit_weights("dit.pt", [&](StoredTensors& t) {
    prefixed(t, "model.");
    t["vae.decoder.weight"] = t.begin()->second;
  });
  mentions(folder.refusal(), "vae.decoder.weight");
}

TEST_CASE("a block whose tensors are of a dtype that is not read is not left out") {
  const Published original("format/data/dit_original");
  original.edit_weights("", [](StoredTensors&) {});
  const std::string path = original.path("dit.safetensors");
  const std::vector<uint8_t> bytes = read_bytes(path);
  std::string text(bytes.begin(), bytes.end());
  const std::string from = R"("dtype":"F32")", to = R"("dtype":"U32")";
  size_t changed = 0;
  for (size_t at = 0; (at = text.find("\"blocks.1.", at)) != std::string::npos; ++changed) {
    at = text.find(from, at);
    REQUIRE(at != std::string::npos);
    text.replace(at, from.size(), to);
  }
  REQUIRE(changed > 0);
  REQUIRE(text.find("\"blocks.2.") == std::string::npos);  // without the last it would be whole
  std::ofstream(path, std::ios::binary) << text;
  CHECK(original.refusal().find("is a tensor of U32") != std::string::npos);
}
