#!/usr/bin/env python3
"""Writes tests/parity/data/ltx2: LTX-2's networks at tiny uneven sizes as diffusers and transformers save them, and
what these libraries compute with them (pip install torch diffusers transformers safetensors).

make_ltx2.py [PART...]: only these parts.
"""
import json
import sys
from pathlib import Path

import torch
from diffusers import AutoencoderKLLTX2Audio, AutoencoderKLLTX2Video, LTX2VideoTransformer3DModel
from diffusers.models.transformers.transformer_ltx2 import LTX2PerturbedAttnProcessor
from diffusers.pipelines.ltx2.connectors import LTX2TextConnectors
from diffusers.pipelines.ltx2.latent_upsampler import LTX2LatentUpsamplerModel
from diffusers.pipelines.ltx2.vocoder import LTX2Vocoder, LTX2VocoderWithBWE
from safetensors.torch import save_file
from transformers import (Gemma3TextConfig, Gemma3TextModel, Gemma4UnifiedConfig, Gemma4UnifiedForConditionalGeneration,
                          Gemma4UnifiedTextConfig, Gemma4UnifiedTextModel)

DATA = Path(__file__).parent / "data" / "ltx2"


def generator(seed):
    return torch.Generator().manual_seed(seed)


def randomise(model, seed):
    """Fresh values everywhere, so that no term can hide behind a zero or a one."""
    g = generator(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            norm = "norm" in name and p.ndim == 1
            small = norm or p.ndim < 2 or "scale_shift_table" in name
            deviation = 0.2 if small else p[0].numel() ** -0.5
            p.copy_(torch.randn(p.shape, generator=g) * deviation + (1 if norm else 0))
    return model.eval().requires_grad_(False)


def save(name, tensors):
    path = DATA / f"{name}.safetensors"
    save_file({k: v.detach().contiguous().clone() for k, v in tensors.items()}, path)
    print(name, path.stat().st_size)


COMMON = dict(num_layers=2, in_channels=5, out_channels=5, audio_in_channels=4, audio_out_channels=4,
              audio_num_attention_heads=3, num_attention_heads=3)
DITS = {
    # 2.0's kind: text projected, halves rotated; 30 channels of video divide by six.
    "dit": dict(COMMON, attention_head_dim=10, audio_attention_head_dim=6, cross_attention_dim=30,
                audio_cross_attention_dim=18, caption_channels=7, rope_type="split"),
    # 2.3's kind: gated heads, nine tables; of 42 channels of video none stay unturned, of 28 some would.
    "dit_gated": dict(COMMON, attention_head_dim=14, audio_attention_head_dim=8, cross_attention_dim=42,
                      audio_cross_attention_dim=24, use_prompt_embeddings=False, gated_attn=True, cross_attn_mod=True,
                      audio_gated_attn=True, audio_cross_attn_mod=True, rope_type="split",
                      cross_attn_timestep_scale_multiplier=500),
    # Pairs rotated, the prompt's tables alone, no bias in the video's feed-forward (2.5's), other clocks.
    "dit_pairs": dict(COMMON, attention_head_dim=12, audio_attention_head_dim=10, cross_attention_dim=36,
                      audio_cross_attention_dim=30, use_prompt_embeddings=False, cross_attn_mod=True,
                      audio_cross_attn_mod=True, rope_type="interleaved", use_prompt_adaln_single=False, ff_bias=False,
                      pos_embed_max_pos=10, base_height=512, base_width=256, audio_sampling_rate=8000,
                      audio_hop_length=100, vae_scale_factors=(4, 8, 8), rope_theta=5000.0),
}


def dit():
    for seed, (name, config) in enumerate(DITS.items()):
        model = randomise(LTX2VideoTransformer3DModel(**config), 70 + seed)
        tensors = {f"weights.{k}": v for k, v in model.state_dict().items()}
        g = generator(80 + seed)
        width, audio_width = (config["caption_channels"],) * 2 if "caption_channels" in config else (
            config["cross_attention_dim"], config["audio_cross_attention_dim"])
        for case, (batch, f, h, w, a, known, kind) in enumerate(
                [(2, 3, 2, 3, 5, False, ""), (1, 2, 3, 1, 7, True, ""), (1, 1, 1, 2, 1, False, "isolated"),
                 (1, 2, 1, 2, 3, False, "skipped")]):
            if kind == "skipped" and name != "dit_gated":
                continue
            video = torch.randn(batch, f, h, w, 5, generator=g)
            sound = torch.randn(batch, a, 4, generator=g)
            text = torch.randn(batch, 6, width + audio_width, generator=g)
            time = torch.rand(batch, generator=g)
            t, ta, seen, heard = time[:, None] * 1000, time[:, None] * 1000, video, sound
            if known:
                mask = torch.zeros(batch, f, h, w, 1)
                mask[:, 0] = 1
                audio_mask = torch.zeros(batch, a, 1)
                audio_mask[:, 2:4] = 1
                kv, ka = torch.randn(video.shape, generator=g), torch.randn(sound.shape, generator=g)
                seen, heard = kv * mask + video * (1 - mask), ka * audio_mask + sound * (1 - audio_mask)
                t = (t[..., None] * (1 - mask).reshape(batch, -1, 1))[..., 0]
                ta = (ta[..., None] * (1 - audio_mask))[..., 0]
                tensors |= {f"{case}.in.known": kv, f"{case}.in.known_mask": mask, f"{case}.in.sound_known": ka,
                            f"{case}.in.sound_known_mask": audio_mask}
            if kind == "skipped":
                for block in model.transformer_blocks:
                    block.perturbed_attn = True
                    block.attn1.set_processor(LTX2PerturbedAttnProcessor())
                    block.audio_attn1.set_processor(LTX2PerturbedAttnProcessor())
            hooks = []
            for i, block in enumerate(model.transformer_blocks):
                def keep(_, __, out, i=i):
                    tensors[f"{case}.block.{i}.video"], tensors[f"{case}.block.{i}.sound"] = out
                hooks.append(block.register_forward_hook(keep))
            tensors |= {f"{case}.in.video": video, f"{case}.in.sound": sound, f"{case}.in.text": text,
                        f"{case}.in.time": time}
            out, audio = model(
                seen.reshape(batch, -1, 5), heard, text[..., :width], text[..., width:], timestep=t, audio_timestep=ta,
                sigma=time * 1000, num_frames=f, height=h, width=w, fps=24.0, audio_num_frames=a,
                isolate_modalities=kind == "isolated",
                spatio_temporal_guidance_blocks=[1] if kind == "skipped" else None,
                use_cross_timestep=name == "dit_gated", return_dict=False)
            for hook in hooks:
                hook.remove()
            tensors |= {f"{case}.out.video_velocity": out.reshape(video.shape), f"{case}.out.sound_velocity": audio}
        save(name, tensors)
        (DATA / f"{name}.json").write_text(json.dumps(dict(model.config), indent=1, default=str) + "\n")


def last(x):
    """[B, C, ...] to [B, ..., C]"""
    return x.movedim(1, -1)


def stored(weights, prefix=""):
    return {f"weights.{prefix}{name}": w for name, w in weights.items()}


def watch(model, tensors, prefix, kinds, convert):
    hooks = []
    for name, module in model.named_modules():
        if type(module).__name__ in kinds:
            def keep(_, __, out, name=name):
                tensors[f"{prefix}.block.{name}"] = convert(out)
            hooks.append(module.register_forward_hook(keep))
    return hooks


TEXTS = {
    # States normed over the prompt, one projection; both kinds of layers, a short window.
    "text": (dict(num_hidden_layers=3, layer_types=["sliding_attention", "full_attention", "sliding_attention"]),
             dict(text_proj_in_factor=4, video_connector_num_attention_heads=3, video_connector_attention_head_dim=4,
                  audio_connector_num_attention_heads=2, audio_connector_attention_head_dim=6,
                  video_connector_num_learnable_registers=4, audio_connector_num_learnable_registers=6,
                  video_connector_num_layers=2, audio_connector_num_layers=1, rope_type="split",
                  connector_rope_base_seq_len=32)),
    # States normed token by token, a projection a stream, gated heads, pairs rotated.
    "text_streams": (dict(num_hidden_layers=18, num_key_value_heads=1),
                     dict(text_proj_in_factor=19, video_connector_num_attention_heads=3,
                          video_connector_attention_head_dim=6, audio_connector_num_attention_heads=2,
                          audio_connector_attention_head_dim=4, video_hidden_dim=18, audio_hidden_dim=8,
                          video_connector_num_learnable_registers=3, audio_connector_num_learnable_registers=3,
                          video_gated_attn=True, audio_gated_attn=True, per_modality_projections=True, proj_bias=True,
                          rope_type="interleaved", connector_rope_base_seq_len=16)),
    # 2.5's: Gemma 4, whose full layers have other heads, keys for values, and turn in part.
    "text_fourth": (dict(num_hidden_layers=4, layer_types=["sliding_attention", "full_attention"] * 2,
                         attention_k_eq_v=True, global_head_dim=8, num_global_key_value_heads=1),
                    dict(text_proj_in_factor=5, video_connector_num_attention_heads=3,
                         video_connector_attention_head_dim=6, audio_connector_num_attention_heads=2,
                         audio_connector_attention_head_dim=4, video_hidden_dim=18, audio_hidden_dim=8,
                         video_connector_num_learnable_registers=3, audio_connector_num_learnable_registers=3,
                         per_modality_projections=True, proj_bias=True, rope_type="split",
                         connector_rope_base_seq_len=16)),
}


def fourth(config, seed):
    model = randomise(Gemma4UnifiedTextModel(Gemma4UnifiedTextConfig(**dict(
        vocab_size=29, hidden_size=12, intermediate_size=10, num_attention_heads=4, num_key_value_heads=2, head_dim=6,
        sliding_window=3, attn_implementation="eager",
        rope_parameters={"sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
                         "full_attention": {"rope_type": "proportional", "partial_rotary_factor": 0.5,
                                            "rope_theta": 5000.0}}), **config)), seed)
    for i, layer in enumerate(model.layers):
        layer.layer_scalar.fill_(0.7 + 0.2 * i)
    return model


def gemma4():
    """As LTX-2.5's folder has it, for the converter alone."""
    config = dict(vocab_size=40, hidden_size=8, intermediate_size=10, num_hidden_layers=4, num_attention_heads=4,
                  num_key_value_heads=2, head_dim=6, sliding_window=4, attention_k_eq_v=True, global_head_dim=8,
                  layer_types=["sliding_attention", "full_attention"] * 2, num_global_key_value_heads=1,
                  rope_parameters={"sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
                                   "full_attention": {"rope_type": "proportional", "partial_rotary_factor": 0.5,
                                                      "rope_theta": 5000.0}})
    model = randomise(Gemma4UnifiedForConditionalGeneration(Gemma4UnifiedConfig(text_config=config)), 99)
    model.save_pretrained(DATA / "gemma4")
    (DATA / "gemma4" / "generation_config.json").unlink(missing_ok=True)


def third(config, seed):
    gemma = randomise(Gemma3TextModel(Gemma3TextConfig(**{**dict(
        vocab_size=29, hidden_size=12, intermediate_size=10, num_attention_heads=4, num_key_value_heads=2,
        head_dim=6, query_pre_attn_scalar=5, sliding_window=3, attn_implementation="eager",
        rope_parameters={"sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
                         "full_attention": {"rope_type": "linear", "rope_theta": 5000.0, "factor": 4.0}}),
        **config})), seed)
    for n, p in gemma.named_parameters():  # norms multiply by one more
        if "norm" in n:
            p.sub_(1)
    return gemma


def text():
    for seed, (name, (gemma_config, connector_config)) in enumerate(TEXTS.items()):
        width, places = 12, 12
        gemma = (fourth if name == "text_fourth" else third)(gemma_config, 90 + seed)
        connectors = randomise(LTX2TextConnectors(caption_channels=width, **connector_config), 95 + seed)
        tensors = {f"weights.gemma.{k}": v for k, v in gemma.state_dict().items()}
        for k, v in connectors.state_dict().items():
            if k.endswith("proj_in.weight"):  # by layer, then by channel
                v = v.unflatten(1, (width, -1)).transpose(1, 2).flatten(1)
            tensors[f"weights.{k}"] = v
        g = generator(100 + seed)
        for case, lengths in enumerate([(7, 12), (1, 5)]):
            ids = torch.zeros(len(lengths), places, dtype=torch.long)
            mask = torch.zeros(len(lengths), places, dtype=torch.long)
            longest = max(lengths)
            right = torch.zeros(len(lengths), longest)
            for row, n in enumerate(lengths):  # the reference fills on the left, ours on the right
                words = torch.randint(1, 29, (n,), generator=g)
                ids[row, places - n:], mask[row, places - n:], right[row, :n] = words, 1, words.float()
            states = gemma(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states
            stacked = torch.stack(states, dim=-1)
            video, audio, seen = connectors(stacked.flatten(2, 3), mask)
            assert seen.all()
            tensors |= {f"{case}.in.ids": right, f"{case}.in.lengths": torch.tensor(lengths).float(),
                        f"{case}.out.text": torch.cat([video, audio], -1)}
            for i, state in enumerate(states[1:-1]):
                tensors[f"{case}.layer.{i}"] = torch.stack([state[row].roll(n - places, 0) for row, n in
                                                            enumerate(lengths)])[:, :longest]
        save(name, tensors)


VAES = {
    "vae": dict(latent_channels=6, block_out_channels=(8, 16, 32), decoder_block_out_channels=(8, 16),
                layers_per_block=(1, 1, 2, 1), decoder_layers_per_block=(1, 1, 2), patch_size=2,
                down_block_types=("LTX2VideoDownBlock3D",) * 3, spatio_temporal_scaling=(True, True, True),
                downsample_type=("spatial", "temporal", "spatiotemporal"), decoder_spatio_temporal_scaling=(True, True),
                decoder_inject_noise=(False,) * 3, upsample_type=("spatiotemporal", "spatial"),
                upsample_residual=(False, True), upsample_factor=(1, 2), decoder_causal=False),
    "vae_causal": dict(latent_channels=5, block_out_channels=(10, 10), decoder_block_out_channels=(16, 8),
                       layers_per_block=(1, 1, 1), decoder_layers_per_block=(1, 1, 1), patch_size=4,
                       down_block_types=("LTX2VideoDownBlock3D",) * 2, spatio_temporal_scaling=(True, False),
                       downsample_type=("temporal", "spatial"), decoder_spatio_temporal_scaling=(True, True),
                       decoder_inject_noise=(False,) * 3, upsample_type=("temporal", "spatiotemporal"),
                       upsample_residual=(True, True), upsample_factor=(1, 2), decoder_causal=True,
                       encoder_spatial_padding_mode="reflect", decoder_spatial_padding_mode="zeros"),
}


def vae():
    for seed, (name, config) in enumerate(VAES.items()):
        model = randomise(AutoencoderKLLTX2Video(**config), 110 + seed)
        tensors = stored(model.state_dict())
        g = generator(120 + seed)
        time = 4 if name == "vae" else 2
        space = 8 if name == "vae" else 4
        for case, (frames, h, w) in enumerate([(1 + 2 * time, 2, 3), (1, 3, 2)]):
            video = torch.rand(1 + case, 3, frames, h * space, w * space, generator=g) * 2 - 1
            hooks = watch(model.encoder, tensors, f"{case}.encoder", ("LTX2VideoResnetBlock3d",
                                                                      "LTX2VideoDownsampler3d"), last)
            mean = model.encode(video).latent_dist.mean
            latents = torch.randn(1 + case, config["latent_channels"], 3 - 2 * case, 3, 2, generator=g)
            hooks += watch(model.decoder, tensors, f"{case}.decoder", ("LTX2VideoResnetBlock3d",
                                                                       "LTX2VideoUpsampler3d"), last)
            out = model.decode(latents).sample
            for hook in hooks:
                hook.remove()
            tensors |= {f"{case}.video": last(video), f"{case}.mean": last(mean), f"{case}.latents": last(latents),
                        f"{case}.decoded": last(out)}
        save(name, tensors)


# The rational one of 1.5, each frame alone; one of time.
UPSAMPLERS = {"upsampler": dict(in_channels=5, mid_channels=32, num_blocks_per_stage=1, dims=2,
                                rational_spatial_scale=1.5),
              "upsampler_time": dict(in_channels=4, mid_channels=32, num_blocks_per_stage=1, dims=3,
                                     spatial_upsample=False, temporal_upsample=True)}


def upsampler():
    for seed, (name, config) in enumerate(UPSAMPLERS.items()):
        model = randomise(LTX2LatentUpsamplerModel(**config), 125 + seed)
        tensors = stored({k: v for k, v in model.state_dict().items() if "blur_down" not in k})
        g = generator(128 + seed)
        for case, (batch, frames, h, w) in enumerate([(2, 3, 3, 4), (1, 1, 2, 3)]):
            latents = torch.randn(batch, config["in_channels"], frames, h, w, generator=g)
            frame = (lambda x: last(x.unflatten(0, (batch, frames)).movedim(1, 2))) if config["dims"] == 2 else last
            hooks = watch(model, tensors, str(case), ("ResBlock",), frame)
            tensors |= {f"{case}.latents": last(latents), f"{case}.upsampled": last(model(latents))}
            for hook in hooks:
                hook.remove()
        save(name, tensors)


def sound():
    model = randomise(AutoencoderKLLTX2Audio(base_channels=4, ch_mult=(1, 2, 3), num_res_blocks=1, latent_channels=3,
                                             mel_bins=12, norm_type="pixel"), 130)
    vocoder = randomise(LTX2Vocoder(in_channels=24, hidden_channels=12, upsample_kernel_sizes=[7, 4],
                                    upsample_factors=[3, 2], resnet_kernel_sizes=[3, 5],
                                    resnet_dilations=[[1, 3], [2, 5, 1]], leaky_relu_negative_slope=0.2), 131)
    tensors = stored({k: v for k, v in model.state_dict().items() if k.startswith("decoder")}, "audio_vae.")
    tensors |= stored(vocoder.state_dict(), "vocoder.")
    g = generator(132)
    for case, (batch, frames) in enumerate([(2, 4), (1, 1)]):
        latents = torch.randn(batch, 3, frames, 3, generator=g)
        mel = model.decode(latents).sample
        wave = vocoder(mel)
        tensors |= {f"{case}.in.latents": latents.permute(0, 2, 1, 3).flatten(2),
                    f"{case}.mel": mel.permute(0, 2, 3, 1), f"{case}.sound": wave.transpose(1, 2)}
    save("sound", tensors)


def sound_encoder():
    """Given sound as Lightricks' own code brings it to latents: resampled, then spectrograms, by torchaudio."""
    model = randomise(AutoencoderKLLTX2Audio(base_channels=4, ch_mult=(1, 2, 3), num_res_blocks=1, latent_channels=3,
                                             mel_bins=12, norm_type="pixel"), 133)
    tensors = stored({k: v for k, v in model.state_dict().items() if k.startswith("encoder")}, "audio_vae.")
    g = generator(134)
    for case, (batch, frames) in enumerate([(2, 3), (1, 1)]):
        wave = torch.randn(batch, 2, 960 * frames, generator=g) * 0.2
        hooks = watch(model.encoder, tensors, f"{case}.encoder", ("LTX2AudioResnetBlock",),
                      lambda x: x.permute(0, 2, 3, 1))
        mel = log_mel(wave, 24000, 16000, 12)
        mean = model.encode(mel).latent_dist.mean[:, :, :frames]
        for hook in hooks:
            hook.remove()
        tensors |= {f"{case}.in.sound": wave.transpose(1, 2), f"{case}.mean": mean.permute(0, 2, 1, 3).flatten(2),
                    f"{case}.mel": mel.permute(0, 2, 3, 1)}
    save("sound_encoder", tensors)


def log_mel(wave, given, rate, bins):
    """[B, channels, samples] to [B, channels, time, bins]"""
    import torchaudio
    wave = torchaudio.functional.resample(wave, given, rate)
    mel = torchaudio.transforms.MelSpectrogram(
        sample_rate=rate, n_fft=1024, win_length=1024, hop_length=160, f_min=0.0, f_max=rate / 2, n_mels=bins,
        window_fn=torch.hann_window, center=True, pad_mode="reflect", power=1.0, mel_scale="slaney", norm="slaney")
    return mel(wave).clamp(min=1e-5).log().transpose(2, 3)


def randomise_filters(vocoder, seed):
    """Buffers are what a checkpoint says: none may be taken from elsewhere."""
    g = generator(seed)
    for name, buffer in vocoder.named_buffers():
        if name.endswith("filter") and not name.startswith("resampler"):
            buffer.mul_(1 + 0.3 * torch.randn(buffer.shape, generator=g))
        elif "basis" in name:
            buffer.copy_(torch.randn(buffer.shape, generator=g).abs() if "mel" in name.rsplit(".", 1)[1]
                         else torch.randn(buffer.shape, generator=g))
    return vocoder


def sounds():
    """2.3's vocoders behind the same spectrograms."""
    common = dict(in_channels=24, hidden_channels=12, upsample_kernel_sizes=[7, 4], upsample_factors=[3, 2],
                  resnet_kernel_sizes=[3, 5], resnet_dilations=[[1, 3], [2, 5, 1]], final_bias=False)
    kinds = {
        "sound_snake": LTX2Vocoder(**common, act_fn="snake", antialias_ratio=3, antialias_kernel_size=13,
                                   final_act_fn="clamp"),
        "sound_wide": LTX2VocoderWithBWE(
            **common, bwe_in_channels=10, bwe_hidden_channels=8, bwe_upsample_kernel_sizes=[12, 4],
            bwe_upsample_factors=[6, 2], bwe_resnet_kernel_sizes=[3], bwe_resnet_dilations=[[1, 2]], filter_length=16,
            hop_length=3, window_length=16, num_mel_channels=5, input_sampling_rate=600, output_sampling_rate=2400),
    }
    model = randomise(AutoencoderKLLTX2Audio(base_channels=4, ch_mult=(1, 2, 3), num_res_blocks=1, latent_channels=3,
                                             mel_bins=12, norm_type="pixel"), 130)
    for seed, (name, vocoder) in enumerate(kinds.items()):
        vocoder = randomise_filters(randomise(vocoder, 140 + seed), 150 + seed)
        for key, p in vocoder.named_parameters():  # within what samples can be
            if "conv_out" in key:
                p.mul_(0.15)
        tensors = stored({k: v for k, v in model.state_dict().items() if k.startswith("decoder")}, "audio_vae.")
        tensors |= stored(vocoder.state_dict(), "vocoder.")
        latents = torch.randn(2, 3, 2, 3, generator=generator(160 + seed))
        wave = vocoder(model.decode(latents).sample)
        print(name, wave.std().item(), (wave.abs() >= 1).float().mean().item())
        save(name, tensors | {"in.latents": latents.permute(0, 2, 1, 3).flatten(2), "sound": wave.transpose(1, 2)})


PARTS = {"dit": dit, "gemma4": gemma4, "text": text, "vae": vae, "upsampler": upsampler, "sound": sound, "sound_encoder": sound_encoder,
         "sounds": sounds}

if __name__ == "__main__":
    DATA.mkdir(parents=True, exist_ok=True)
    for part in sys.argv[1:] or PARTS:
        PARTS[part]()
