// Which checkpoints are taken for what, and what of them is refused by name.
#include <cmath>

#include "tests/format/published.h"

using namespace zoetrope;
using nlohmann::json;

namespace {

const std::string kPipeline = "parity/data/dit/pipeline";
const std::string kOriginal = "parity/data/dit/original/dit.pt";

}  // namespace

TEST_CASE("a Wan's configuration is honoured or refused") {
  check_refused("format/data/wan_diffusers", "config.json",
                {{"num_layers", 1, "num_layers"},
                 {"attention_head_dim", 12, "attention_head_dim"},
                 {"num_attention_heads", 4, "num_attention_heads"},
                 {"cross_attn_norm", false, "cross_attn_norm"},
                 {"qk_norm", "layer_norm", "rms_norm_across_heads"},
                 {"patch_size", {1, 4, 4}, "patch_size"},
                 {"ffn_dim", 96, "ffn_dim"},
                 {"freq_dim", 128, "freq_dim"},
                 {"text_dim", 4096, "text_dim"},
                 {"in_channels", 36, "in_channels"},
                 {"image_dim", 1280, "image_dim"},
                 {"added_kv_proj_dim", 48, "added_kv_proj_dim"},
                 {"_class_name", "WanVACETransformer3DModel", "WanTransformer3DModel"},
                 {"vace_layers", {0}, "vace_layers"}});
  check_refused("format/data/wan_original", "config.json",
                {{"num_heads", 5, "heads"},
                 {"model_type", "i2v", "those of 't2v'"},
                 {"dim", 1536, "dim"},
                 {"window_size", {8, 8}, "window_size"},
                 {"qk_norm", false, "qk_norm"},
                 {"_class_name", "VaceWanModel", "WanModel"},
                 {"eps", "small", "eps"}});
  {
    const Published folder("format/data/wan_original");
    std::filesystem::remove(folder.path("config.json"));
    mentions(folder.refusal(), "num_heads");
  }
  {
    const Published folder("format/data/wan_diffusers");
    std::filesystem::remove(folder.path("config.json"));
    mentions(folder.refusal(), "config.json");
  }
  // Another epsilon is another graph.
  const Published plain("format/data/wan_diffusers"), other("format/data/wan_diffusers");
  other.edit("config.json", [](json& c) { c["eps"] = 1e-3; });
  CHECK(to_text(plain.converted()->info().components[0]) !=
        to_text(other.converted()->info().components[0]));
}

TEST_CASE("what is no network of Wan's is refused by name") {
  const auto changed = [](const std::function<void(StoredTensors&)>& change) {
    const Published folder("format/data/wan_original");
    folder.edit_weights("", change);
    return folder.refusal();
  };
  mentions(changed([](StoredTensors& t) {
             StoredTensor& patch = t["patch_embedding.weight"];
             patch.dims[1] = 35;
             patch.bytes.resize(patch.bytes.size() / 16 * 35);
           }),
           "35 input and 16 output channels");
  mentions(changed([](StoredTensors& t) {
             t["patch_embedding.weight"].dims[0] = 0;
             t["patch_embedding.weight"].bytes.clear();
           }),
           "patch_embedding.weight");
  mentions(changed([](StoredTensors& t) {
             StoredTensor& time = t["time_embedding.0.weight"];
             time.dims[1] = 1, time.bytes.resize(time.bytes.size() / 256);
           }),
           "time features");
  mentions(changed([](StoredTensors& t) { t["img_emb.proj.0.weight"] = t["head.head.bias"]; }),
           "img_emb.proj.0.weight");
  mentions(changed([](StoredTensors& t) {
             t["vace_patch_embedding.weight"] = t["patch_embedding.weight"];
           }),
           "VACE");
}

TEST_CASE("a Wan pipeline says where its transformers take turns") {
  const auto pipeline = [](const json& index) {
    auto folder = std::make_unique<Published>("format/data/wan_diffusers");
    std::filesystem::create_directory(folder->path("transformer"));
    for (const char* name : {"config.json", "diffusion_pytorch_model.safetensors"})
      std::filesystem::rename(folder->path(name), folder->path(str("transformer/", name)));
    std::filesystem::copy(folder->path("transformer"), folder->path("transformer_2"));
    folder->edit("model_index.json", [&](json& i) {
      i = {{"_class_name", "WanPipeline"},
           {"transformer", {"diffusers", "WanTransformer3DModel"}},
           {"transformer_2", {nullptr, nullptr}}};
      i.update(index);
    });
    return folder;
  };
  mentions(pipeline({{"transformer_2", {"diffusers", "WanTransformer3DModel"}}})->refusal(),
           "take turns");
  mentions(pipeline({{"boundary_ratio", 0.875}})->refusal(), "boundary_ratio");
  mentions(pipeline({{"_class_name", "WanVACEPipeline"}})->refusal(), "WanPipeline");
}

TEST_CASE("models of other families are named, not taken for one of ours") {
  const std::pair<const char*, const char*> cases[] = {
      {"adaln_single.linear.weight", "PixArt"},
      {"joint_blocks.0.x_block.attn.qkv.weight", "Stable Diffusion 3"},
      {"double_blocks.0.img_attn_qkv.weight", "HunyuanVideo"},
      {"model.diffusion_model.double_blocks.0.img_attn.qkv.weight", "FLUX"},
      {"encoder.conv_in.weight", "--vae"},
      {"some.unknown.weight", "--family"},
  };
  for (const auto& [key, name] : cases) {
    const Published folder(kOriginal);
    folder.edit_weights("dit.pt", [&](StoredTensors& t) {
      // As PixArt, SD 3 and HunyuanVideo: patches are embedded under the same names.
      StoredTensors other;
      for (const char* shared : {"x_embedder.proj.weight", "x_embedder.proj.bias"})
        other[shared] = t[shared];
      other["pos_embed.proj.weight"] = t["x_embedder.proj.weight"];
      other[key] = t["x_embedder.proj.bias"];
      t = std::move(other);
    });
    mentions(folder.refusal(), name);
  }
  // Nor is every file with a 'config' a Toybox.
  const Published folder(kOriginal);
  folder.edit_weights("dit.pt",
                      [](StoredTensors& t) {
                        const StoredTensor one = t.begin()->second;
                        t.clear();
                        t["w"] = one;
                      },
                      {{"config", "{}"}});
  mentions(folder.refusal(), "cannot tell");
}

TEST_CASE("one part of several is called that, and where the others are") {
  const Published folder(kOriginal);
  folder.edit_weights("dit.pt", [](StoredTensors& t) {
    const StoredTensor one = t.begin()->second;
    t.clear();
    t["blocks.0.attn.proj.bias"] = one;
  });
  const std::string part = folder.path("dit-00001-of-00003.safetensors");
  std::filesystem::rename(folder.path("dit.safetensors"), part);
  const Status refused = convert({.input = part, .output = folder.output()});
  CHECK(refused.code() == Code::kInvalidArgument);
  mentions(refused.message(), "one of 3 parts");
}

TEST_CASE("8-bit weights are multiplied by the scales beside them") {
  const auto scaled = [](const char* suffix, bool by_row) {
    const Published folder(kOriginal);
    folder.edit_weights("dit.pt", [&](StoredTensors& t) {
      StoredTensors out;
      for (auto& [key, tensor] : t) {
        if (!key.ends_with("mlp.fc1.weight")) {
          out[key] = tensor;
          continue;
        }
        StoredTensor narrow = tensor, scale{DType::kF32, {by_row ? tensor.dims[0] : 1}, {}};
        narrow.become(DType::kF8E4M3);
        scale.bytes.resize(static_cast<size_t>(4 * scale.dims[0]));
        for (int64_t row = 0; row < scale.dims[0]; ++row)
          scale.set(row, 0.25 + 0.125 * static_cast<double>(row % 5));
        for (int64_t i = 0; i < tensor.dims[0] * tensor.dims[1]; ++i)
          narrow.set(i, static_cast<double>(i % 7) - 3);
        out[key] = narrow;
        out[key.substr(0, key.size() - 7) + suffix] = scale;
        out[key.substr(0, key.size() - 7) + ".input_scale"] = scale;
      }
      out["scaled_fp8"] = {DType::kF8E4M3, {2}, {0, 0}};
      t = std::move(out);
    });
    return folder.converted({.input = "", .output = "", .dtype = DType::kF32});
  };
  for (const char* suffix : {".scale_weight", ".weight_scale"})
    for (const bool by_row : {false, true}) {
      CAPTURE(suffix);
      CAPTURE(by_row);
      const auto file = scaled(suffix, by_row);
      const auto data = file->load("dit/blocks.0.mlp.fc1.weight");
      REQUIRE(data.ok());
      CHECK(data->type.to_string() == "f32[96, 24]");
      for (int64_t i = 0; i < 96 * 24; ++i) {
        const double scale = 0.25 + 0.125 * static_cast<double>(by_row ? i / 24 % 5 : 0);
        REQUIRE(load_element(DType::kF32, data->data, i) ==
                scale * (static_cast<double>(i % 7) - 3));
      }
    }
  const auto refusal = [](std::vector<int64_t> dims, double first) {
    const Published file(kOriginal);
    file.edit_weights("dit.pt", [&](StoredTensors& t) {
      t.at("blocks.0.attn.proj.weight").become(DType::kF8E4M3);  // [24, 24]
      StoredTensor scale{DType::kF32, dims, std::vector<uint8_t>(size_t{4 * 24})};
      if (dims.size() == 1) scale.bytes.resize(4 * static_cast<size_t>(dims[0]));
      scale.set(0, first);
      t["blocks.0.attn.proj.weight_scale"] = scale;
    });
    return file.refusal();
  };
  mentions(refusal({1, 24}, 1), "weight_scale' is f32[1, 24]");  // one a column
  mentions(refusal({23}, 1), "weight_scale' is f32[23]");
  mentions(refusal({1}, NAN), "weight_scale' holds NaN");
  mentions(refusal({24}, INFINITY), "weight_scale' holds NaN or infinity");
  const Published lone(kOriginal);
  lone.edit_weights("dit.pt", [](StoredTensors& t) {
    t["blocks.9.scale_weight"] = {DType::kF32, {1}, {0, 0, 0, 0}};
  });
  mentions(lone.refusal(), "blocks.9.weight");
}

TEST_CASE("input and output are different files, and a model is named *.zoe") {
  const Published folder(kOriginal);
  std::filesystem::rename(folder.path("dit.pt"), folder.path("dit.zoe"));
  std::filesystem::create_symlink(folder.path("dit.zoe"), folder.path("link.zoe"));
  std::filesystem::create_hard_link(folder.path("dit.zoe"), folder.path("hard.zoe"));
  const auto bytes = read_bytes(folder.path("dit.zoe"));
  const auto message = [&](const std::string& input, const std::string& output) {
    const Status status = zoetrope::convert({.input = folder.path(input), .output = output});
    CHECK(status.code() == Code::kInvalidArgument);
    return status.message();
  };
  for (const char* output : {"dit.zoe", "link.zoe", "hard.zoe"})
    mentions(message("dit.zoe", folder.path(output)), "same file");
  mentions(message("", folder.path("dit.zoe")), "of the input");
  mentions(message("dit.zoe", folder.path("model.safetensors")), "*.zoe");
  CHECK(read_bytes(folder.path("dit.zoe")) == bytes);
}

TEST_CASE("the original autoencoder's names, alone or in a Stable Diffusion checkpoint, are read") {
  const std::pair<const char*, const char*> names[] = {
      {"mid_block.resnets.0.", "mid.block_1."},
      {"mid_block.resnets.1.", "mid.block_2."},
      {"mid_block.attentions.0.group_norm.", "mid.attn_1.norm."},
      {"mid_block.attentions.0.to_out.0.", "mid.attn_1.proj_out."},
      {"mid_block.attentions.0.to_", "mid.attn_1."},
      {"down_blocks.", "down."},
      {"up_blocks.0", "up.2"},
      {"up_blocks.1", "up.1"},
      {"up_blocks.2", "up.0"},
      {"resnets.", "block."},
      {"conv_shortcut", "nin_shortcut"},
      {"downsamplers.0.", "downsample."},
      {"upsamplers.0.", "upsample."},
      {"conv_norm_out", "norm_out"},
  };
  const Published plain(kPipeline);
  const auto expected = plain.converted();
  const auto check_same = [&](const Published& folder) {
    const auto file = folder.converted();
    REQUIRE(file->tensors().size() == expected->tensors().size());
    for (size_t i = 0; i < file->tensors().size(); ++i)
      CHECK(file->tensors()[i].hash == expected->tensors()[i].hash);
  };
  const auto renamed = [](const std::string& key, const auto& rules) {
    std::string name = key;
    for (const auto& [ours, theirs] : rules)
      if (const size_t at = name.find(ours); at != std::string::npos)
        name.replace(at, std::strlen(ours), theirs);
    return name;
  };
  for (const char* prefix : {"", "first_stage_model."}) {
    const Published folder(kPipeline);
    folder.edit_weights("vae", [&](StoredTensors& t) {
      StoredTensors out;
      for (auto& [key, tensor] : t) {
        const std::string name = renamed(key, names);
        // Their attention's factors are convolutions of one pixel.
        if (name.find("attn_1") != std::string::npos && tensor.dims.size() == 2)
          tensor.dims.insert(tensor.dims.end(), {1, 1});
        out[prefix + name] = std::move(tensor);
      }
      if (*prefix != '\0') out["model.diffusion_model.out.2.bias"] = out.begin()->second;
      t = std::move(out);
    });
    check_same(folder);
  }
  // Those of diffusers' own older files.
  const std::pair<const char*, const char*> old_names[] = {{".to_q.", ".query."},
                                                           {".to_k.", ".key."},
                                                           {".to_v.", ".value."},
                                                           {".to_out.0.", ".proj_attn."}};
  const Published old(kPipeline);
  old.edit_weights("vae", [&](StoredTensors& t) {
    StoredTensors out;
    for (auto& [key, tensor] : t) out[renamed(key, old_names)] = std::move(tensor);
    t = std::move(out);
  });
  check_same(old);
}
