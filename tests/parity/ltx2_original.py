"""LTX-2's original layout: a pipeline that diffusers has saved as one of Lightricks' single files."""
import copy
import json
import re

import torch
from safetensors.torch import load_file, save_file

# Lightricks' names: what diffusers' own loader turns back (loaders/single_file_utils.py).
NAMES = {
    "transformer": ("model.diffusion_model.", [
        (r"^proj_in\.", "patchify_proj."), (r"^audio_proj_in\.", "audio_patchify_proj."),
        (r"^time_embed\.", "adaln_single."), (r"^audio_time_embed\.", "audio_adaln_single."),
        (r"^(audio_)?prompt_adaln\.", r"\1prompt_adaln_single."),
        (r"^av_cross_attn_(video|audio)_scale_shift\.", r"av_ca_\1_scale_shift_adaln_single."),
        (r"^av_cross_attn_(video|audio)_(a2v|v2a)_gate\.", r"av_ca_\2_gate_adaln_single."),
        (r"\.(video|audio)_a2v_cross_attn_scale_shift_table", r".scale_shift_table_a2v_ca_\1"),
        (r"\.norm_([qk])\.", r".\1_norm.")]),
    "connectors": ("", [
        (r"^text_proj_in\.", "text_embedding_projection.aggregate_embed."),
        (r"^(video|audio)_text_proj_in\.", r"text_embedding_projection.\1_aggregate_embed."),
        (r"^(video|audio)_connector\.", r"model.diffusion_model.\1_embeddings_connector."),
        (r"\.transformer_blocks\.", ".transformer_1d_blocks."), (r"\.norm_([qk])\.", r".\1_norm.")]),
    "vae": ("vae.", [
        (r"^encoder\.mid_block\.", "encoder.down_blocks.LAST."), (r"^decoder\.mid_block\.", "decoder.up_blocks.0."),
        (r"\.resnets\.", ".res_blocks."), (r"^latents_mean", "per_channel_statistics.mean-of-means"),
        (r"^latents_std", "per_channel_statistics.std-of-means")]),
    "audio_vae": ("audio_vae.", [(r"^latents_mean", "per_channel_statistics.mean-of-means"),
                                 (r"^latents_std", "per_channel_statistics.std-of-means")]),
    "vocoder": ("vocoder.", [(r"(^|\.)conv_in\.", r"\1conv_pre."), (r"(^|\.)conv_out\.", r"\1conv_post."),
                             (r"(^|\.)upsamplers\.", r"\1ups."), (r"(^|\.)resnets\.", r"\1resblocks."),
                             (r"(^|\.)act_out\.", r"\1act_post."),
                             (r"\.downsample\.filter", ".downsample.lowpass.filter")]),
}


def rename(part, key):
    """Lightricks' name of a parameter of a part, but for the numbers of the autoencoder's blocks."""
    prefix, rules = NAMES[part]
    for pattern, new in rules:
        key = re.sub(pattern, new, key)
    return prefix + key


def single_file(folder, config):
    """The pipeline's weights in one file beside its folder, as Lightricks name them, with `config` in its metadata."""
    levels = json.loads((folder / "vae" / "config.json").read_text())["block_out_channels"]
    levels, tensors = len(levels), {}
    for part in NAMES:
        for key, value in load_file(next((folder / part).glob("*.safetensors"))).items():
            if part == "vae":  # blocks and changes of size are numbered through
                key = re.sub(r"down_blocks\.(\d+)\.(downsamplers\.0\.)?",
                             lambda m: f"down_blocks.{2 * int(m[1]) + bool(m[2])}.", key)
                key = re.sub(r"up_blocks\.(\d+)\.(upsamplers\.0\.)?",
                             lambda m: f"up_blocks.{2 * int(m[1]) + 2 - bool(m[2])}.", key)
            tensors[rename(part, key).replace("LAST", str(2 * levels))] = value
    for stream in ("vae", "audio_vae"):  # beside what is used
        for unused in ("channel", "mean-of-stds", "mean-of-stds_over_std-of-means"):
            tensors[f"{stream}.per_channel_statistics.{unused}"] = torch.zeros(6)
    save_file(tensors, folder.with_name(f"{folder.name}_single.safetensors"), {"config": json.dumps(config)})


ORIGINAL = {
    "transformer": {
        "_class_name": "AVTransformer3DModel", "activation_fn": "gelu-approximate", "attention_bias": True,
        "attention_head_dim": 10, "attention_type": "default", "caption_channels": 16, "cross_attention_dim": 30,
        "double_self_attention": False, "dropout": 0.0, "in_channels": 6, "norm_elementwise_affine": False,
        "norm_eps": 1e-06, "norm_num_groups": 32, "num_attention_heads": 3, "num_embeds_ada_norm": 1000,
        "num_layers": 2, "num_vector_embeds": None, "only_cross_attention": False, "cross_attention_norm": True,
        "out_channels": 6, "upcast_attention": False, "use_linear_projection": False, "qk_norm": "rms_norm",
        "standardization_norm": "rms_norm", "positional_embedding_type": "rope", "positional_embedding_theta": 10000.0,
        "positional_embedding_max_pos": [20, 256, 256], "timestep_scale_multiplier": 1000,
        "av_ca_timestep_scale_multiplier": 1000.0, "causal_temporal_positioning": True,
        "audio_num_attention_heads": 3, "audio_attention_head_dim": 6, "audio_in_channels": 6,
        "use_audio_video_cross_attention": True, "share_ff": False, "audio_out_channels": 6,
        "audio_cross_attention_dim": 18, "audio_positional_embedding_max_pos": [20], "av_cross_ada_norm": True,
        "use_embeddings_connector": True, "connector_attention_head_dim": 8, "connector_num_attention_heads": 2,
        "audio_connector_attention_head_dim": 4, "audio_connector_num_attention_heads": 4, "connector_num_layers": 1,
        "connector_positional_embedding_max_pos": [4096], "connector_num_learnable_registers": 8,
        "connector_norm_output": True, "use_middle_indices_grid": True, "rope_type": "split",
        "frequencies_precision": "float64"},
    "vae": {
        "_class_name": "CausalVideoAutoencoder", "dims": 3, "in_channels": 3, "out_channels": 3, "latent_channels": 6,
        "encoder_blocks": [["res_x", {"num_layers": 1}], ["compress_space_res", {"multiplier": 2}], ["res_x", 1],
                           ["compress_time_res", {"multiplier": 1}], ["res_x", {"num_layers": 2}],
                           ["compress_all_res", {"multiplier": 2}], ["res_x", {"num_layers": 1}]],
        "decoder_blocks": [["res_x", {"num_layers": 1, "inject_noise": False}], ["compress_all", {"multiplier": 1}],
                           ["res_x", {"num_layers": 2, "inject_noise": False}],
                           ["compress_all", {"residual": True, "multiplier": 2}],
                           ["res_x", {"num_layers": 1, "inject_noise": False}]],
        "scaling_factor": 1.0, "norm_layer": "pixel_norm", "patch_size": 2, "latent_log_var": "uniform",
        "use_quant_conv": False, "causal_decoder": False, "timestep_conditioning": False,
        "normalize_latent_channels": False, "encoder_base_channels": 8, "decoder_base_channels": 8,
        "spatial_padding_mode": "reflect"},
    "scheduler": {"_class_name": "RectifiedFlowScheduler", "num_train_timesteps": 1000, "sampler": "LinearQuadratic"},
    "audio_vae": {
        "model": {"params": {"ddconfig": {
            "double_z": True, "mel_bins": 12, "z_channels": 2, "resolution": 256, "downsample_time": False,
            "in_channels": 2, "out_ch": 2, "ch": 6, "ch_mult": [1, 2, 4], "num_res_blocks": 1, "attn_resolutions": [],
            "dropout": 0.0, "mid_block_add_attention": False, "norm_type": "pixel", "causality_axis": "height"},
            "sampling_rate": 16000}},
        "preprocessing": {"audio": {"sampling_rate": 16000}, "stft": {"filter_length": 1024, "hop_length": 160,
                                                                      "win_length": 1024, "causal": True},
                          "mel": {"n_mel_channels": 12}}},
    "vocoder": {"upsample_initial_channel": 12, "resblock": "1", "upsample_rates": [3, 2],
                "resblock_kernel_sizes": [3, 5], "upsample_kernel_sizes": [7, 4],
                "resblock_dilation_sizes": [[1, 3], [2, 5, 1]], "stereo": True, "output_sampling_rate": 600},
}


def original_3():
    config = copy.deepcopy(ORIGINAL)
    config["transformer"] |= {
        "apply_gated_attention": True, "connector_apply_gated_attention": True,
        "caption_projection_first_linear": False, "caption_projection_second_linear": False,
        "caption_proj_input_norm": False, "connector_learnable_registers_std": 1,
        "caption_proj_before_connector": True, "connector_num_attention_heads": 3, "connector_attention_head_dim": 10,
        "audio_connector_num_attention_heads": 3, "audio_connector_attention_head_dim": 6,
        "cross_attention_adaln": True, "text_encoder_norm_type": "per_token_rms"}
    config["vae"]["decoder_blocks"] = [
        ["res_x", {"num_layers": 1}], ["compress_space", {"multiplier": 2}], ["res_x", {"num_layers": 1}],
        ["compress_time", {"multiplier": 1}], ["res_x", {"num_layers": 2}], ["compress_all", {"multiplier": 2}],
        ["res_x", {"num_layers": 1}]]
    config["vae"]["spatial_padding_mode"] = "zeros"
    config["vae"]["decoder_base_channels"] = 4
    common = {"resblock": "AMP1", "resblock_kernel_sizes": [3], "stereo": True, "use_tanh_at_final": False,
              "activation": "snakebeta", "use_bias_at_final": False}
    config["vocoder"] = {
        "vocoder": common | {"upsample_initial_channel": 12, "upsample_rates": [3, 2], "upsample_kernel_sizes": [7, 4],
                             "resblock_dilation_sizes": [[1, 3, 5]]},
        "bwe": common | {"upsample_initial_channel": 8, "upsample_rates": [6], "upsample_kernel_sizes": [12],
                         "resblock_dilation_sizes": [[1, 3, 2]], "apply_final_activation": False,
                         "input_sampling_rate": 600, "output_sampling_rate": 1200, "hop_length": 3, "n_fft": 16,
                         "win_size": 16, "num_mels": 5}}
    return config
