#include "converters/wan_keys.h"

namespace zoetrope {
namespace {

// From the original's.
const KeyRewrite kDiffusersKeys[] = {
    {"time_embedding.0.", "condition_embedder.time_embedder.linear_1."},
    {"time_embedding.2.", "condition_embedder.time_embedder.linear_2."},
    {"time_projection.1.", "condition_embedder.time_proj."},
    {"text_embedding.0.", "condition_embedder.text_embedder.linear_1."},
    {"text_embedding.2.", "condition_embedder.text_embedder.linear_2."},
    {"head.modulation", "scale_shift_table"},
    {"head.head.", "proj_out."},
    {".modulation", ".scale_shift_table"},
    {".self_attn.", ".attn1."},
    {".cross_attn.", ".attn2."},
    {".q.", ".to_q."},
    {".k.", ".to_k."},
    {".v.", ".to_v."},
    {".o.", ".to_out.0."},
    {".norm3.", ".norm2."},
    {".ffn.0.", ".ffn.net.0.proj."},
    {".ffn.2.", ".ffn.net.2."},
    {"img_emb.proj.0.", "condition_embedder.image_embedder.norm1."},
    {"img_emb.proj.1.", "condition_embedder.image_embedder.ff.net.0.proj."},
    {"img_emb.proj.3.", "condition_embedder.image_embedder.ff.net.2."},
    {"img_emb.proj.4.", "condition_embedder.image_embedder.norm2."},
    {"img_emb.emb_pos", "condition_embedder.image_embedder.pos_embed"},
    {".k_img.", ".add_k_proj."},
    {".v_img.", ".add_v_proj."},
    {".norm_k_img.", ".norm_added_k."},
};

// FastVideo's, from diffusers'.
const KeyRewrite kFastVideoKeys[] = {
    {"patch_embedding.", "patch_embedding.proj."},
    {".time_embedder.linear_1.", ".time_embedder.mlp.fc_in."},
    {".time_embedder.linear_2.", ".time_embedder.mlp.fc_out."},
    {".time_proj.", ".time_modulation.linear."},
    {".text_embedder.linear_1.", ".text_embedder.fc_in."},
    {".text_embedder.linear_2.", ".text_embedder.fc_out."},
    {".image_embedder.ff.net.0.proj.", ".image_embedder.ff.fc_in."},
    {".image_embedder.ff.net.2.", ".image_embedder.ff.fc_out."},
    {".attn1.", "."},
    {".to_out.0.", ".to_out."},
    {".ffn.net.0.proj.", ".ffn.fc_in."},
    {".ffn.net.2.", ".ffn.fc_out."},
    {".norm2.", ".self_attn_residual_norm.norm."},
};

}  // namespace

std::string WanLayout::key(const std::string& name) const {
  return prefix + (diffusers ? rewrite_key(name, kDiffusersKeys) : name);
}

Result<WanLayout> find_wan_layout(const Checkpoint& checkpoint) {
  if (const auto prefix = find_prefix(checkpoint, kWanDiffusersMark))
    return WanLayout{true, *prefix};
  if (const auto prefix = find_prefix(checkpoint, kWanOriginalMark))
    return WanLayout{false, *prefix};
  return error(Code::kInvalidArgument, checkpoint.path(),
               ": not a Wan transformer: it has no 'patch_embedding.weight' with '",
               kWanOriginalMark, "' or '", kWanDiffusersMark, "' beside it");
}

std::vector<std::vector<std::string>> wan_key_layouts(const std::string& weight) {
  const std::string diffusers = rewrite_key(weight, kDiffusersKeys);
  return {{weight}, {diffusers}, {rewrite_key(diffusers, kFastVideoKeys)}};
}

}  // namespace zoetrope
