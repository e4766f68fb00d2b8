#!/usr/bin/env python3
"""Writes tests/parity/data/ltx2_pipelines: whole LTX-2 pipelines of tiny uneven networks as diffusers saves them, the
same weights as Lightricks' single files have them, and the frames and the sound that diffusers makes with them from
given noise (pip install torch diffusers transformers safetensors sentencepiece pillow).

make_ltx2_pipelines.py [NAME...]: only these pipelines.
"""
import io
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import sentencepiece
import torch
from diffusers import (AutoencoderKLLTX2Audio, AutoencoderKLLTX2Video, FlowMatchEulerDiscreteScheduler,
                       LTX2ConditionPipeline, LTX2ImageToVideoPipeline, LTX2LatentUpsamplePipeline, LTX2Pipeline,
                       LTX2VideoTransformer3DModel)
from diffusers.pipelines.ltx2 import pipeline_ltx2, pipeline_ltx2_condition, pipeline_ltx2_image2video
from diffusers.pipelines.ltx2.connectors import LTX2TextConnectors
from diffusers.pipelines.ltx2.latent_upsampler import LTX2LatentUpsamplerModel
from diffusers.pipelines.ltx2.pipeline_ltx2_condition import LTX2VideoCondition
from diffusers.pipelines.ltx2.utils import DISTILLED_SIGMA_VALUES, STAGE_2_DISTILLED_SIGMA_VALUES
from diffusers.pipelines.ltx2.vocoder import LTX2Vocoder, LTX2VocoderWithBWE
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import (BatchEncoding, Gemma3Config, Gemma3ForConditionalGeneration, Gemma4UnifiedConfig,
                          Gemma4UnifiedForConditionalGeneration, PreTrainedTokenizerFast)

from ltx2_original import ORIGINAL, original_3, single_file
from make_ltx2 import generator, last, log_mel, randomise, randomise_filters

DATA = Path(__file__).parent / "data" / "ltx2_pipelines"
VOCABULARY = 300
SCHEDULER = dict(base_image_seq_len=1024, base_shift=0.95, max_image_seq_len=4096, max_shift=2.05, shift_terminal=0.1,
                 use_dynamic_shifting=True)
GEMMA = dict(vocab_size=VOCABULARY, hidden_size=16, intermediate_size=20, num_hidden_layers=3, num_attention_heads=4,
             num_key_value_heads=2, head_dim=6, query_pre_attn_scalar=5, sliding_window=4,
             layer_types=["sliding_attention", "full_attention", "sliding_attention"],
             rope_parameters={"sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
                              "full_attention": {"rope_type": "linear", "rope_theta": 5000.0, "factor": 4.0}})
VISION = dict(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2, image_size=28,
              patch_size=14)
VAE = dict(latent_channels=6, block_out_channels=(12, 12, 24), decoder_block_out_channels=(8, 16),
           layers_per_block=(1, 1, 2, 1), decoder_layers_per_block=(1, 2, 1), patch_size=2,
           down_block_types=("LTX2VideoDownBlock3D",) * 3, spatio_temporal_scaling=(True, True, True),
           downsample_type=("spatial", "temporal", "spatiotemporal"), decoder_spatio_temporal_scaling=(True, True),
           decoder_inject_noise=(False,) * 3, upsample_type=("spatiotemporal", "spatiotemporal"),
           upsample_residual=(False, True), upsample_factor=(1, 2), encoder_causal=True, decoder_causal=False,
           # diffusers itself counts every change as one of both.
           spatial_compression_ratio=8, temporal_compression_ratio=4)
AUDIO_VAE = dict(base_channels=6, ch_mult=(1, 2, 4), num_res_blocks=1, latent_channels=2, mel_bins=12,
                 norm_type="pixel")
VOCODER = dict(in_channels=24, hidden_channels=12, upsample_kernel_sizes=[7, 4], upsample_factors=[3, 2],
               resnet_kernel_sizes=[3, 5], resnet_dilations=[[1, 3], [2, 5, 1]], output_sampling_rate=600)
TRANSFORMER = dict(num_layers=2, in_channels=6, out_channels=6, num_attention_heads=3, attention_head_dim=10,
                   cross_attention_dim=30, audio_in_channels=6, audio_out_channels=6, audio_num_attention_heads=3,
                   audio_attention_head_dim=6, audio_cross_attention_dim=18, caption_channels=16, rope_type="split",
                   vae_scale_factors=(4, 8, 8), base_height=256, base_width=256, perturbed_attn=True)
CONNECTORS = dict(caption_channels=16, text_proj_in_factor=4, video_connector_num_attention_heads=2,
                  video_connector_attention_head_dim=8, audio_connector_num_attention_heads=4,
                  audio_connector_attention_head_dim=4, video_connector_num_learnable_registers=8,
                  audio_connector_num_learnable_registers=8, video_connector_num_layers=1,
                  audio_connector_num_layers=1, rope_type="split")
# Twice the size, as Lightricks' first one.
UPSAMPLER = dict(in_channels=6, mid_channels=32, num_blocks_per_stage=1, dims=3, use_rational_resampler=False)
# One and a half times, as the one of 2.3.
RATIONAL = UPSAMPLER | dict(use_rational_resampler=True, rational_spatial_scale=1.5)


def tokenizer_model():
    """As Gemma's: pad, eos, bos, unk, then bytes; nothing is normalised and nothing put before a text."""
    path = DATA / "tokenizer.model"
    if not path.exists():
        words = ["a small red fox runs over the snow", "two boats on a calm sea at dawn, soft light",
                 "blurry, jittery, distorted", "an old man laughs and turns away"] * 20
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(words), model_writer=model, vocab_size=VOCABULARY, model_type="bpe",
            byte_fallback=True, normalization_rule_name="identity", add_dummy_prefix=False,
            remove_extra_whitespaces=False, pad_id=0, eos_id=1, bos_id=2, unk_id=3, minloglevel=2)
        path.write_bytes(model.getvalue())
    return path


class Tokenizer:
    """As Gemma's: the SentencePiece model, bos before, filled on the left to the length asked for."""
    padding_side, pad_token, model_max_length = "left", "<pad>", 1024

    def __init__(self):
        self.model = sentencepiece.SentencePieceProcessor(model_file=str(tokenizer_model()))

    def __call__(self, prompts, max_length, **_):
        rows = [([2] + self.model.encode(p))[:max_length] for p in prompts]
        fill = [max_length - len(row) for row in rows]
        return BatchEncoding({"input_ids": torch.tensor([[0] * n + row for row, n in zip(rows, fill)]),
                              "attention_mask": torch.tensor([[0] * n + [1] * len(row) for row, n in zip(rows, fill)])})


def text_encoder():
    """One for all pipelines."""
    folder = DATA / "text_encoder"
    if not folder.exists():
        model = randomise(Gemma3ForConditionalGeneration(Gemma3Config(text_config=GEMMA, vision_config=VISION,
                                                                      mm_tokens_per_image=4)), 60)
        for n, p in model.named_parameters():  # Gemma's norms multiply by one more
            if "norm" in n and "language_model" in n:
                p.sub_(1)
        model.save_pretrained(folder)
    return Gemma3ForConditionalGeneration.from_pretrained(folder).eval()


# 2.5's: full layers with other heads, keys for values, and positions in part.
GEMMA_4 = dict(vocab_size=690, hidden_size=16, intermediate_size=20, num_hidden_layers=4, num_attention_heads=4,
               num_key_value_heads=2, head_dim=6, sliding_window=4, attention_k_eq_v=True, global_head_dim=8,
               layer_types=["sliding_attention", "full_attention"] * 2, num_global_key_value_heads=1,
               rope_parameters={"sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
                                "full_attention": {"rope_type": "proportional", "partial_rotary_factor": 0.5,
                                                   "rope_theta": 5000.0}})


def text_encoder_5():
    folder = DATA / "text_encoder_5"
    if not folder.exists():
        model = randomise(Gemma4UnifiedForConditionalGeneration(Gemma4UnifiedConfig(text_config=GEMMA_4)), 66)
        for i, layer in enumerate(model.model.language_model.layers):
            layer.layer_scalar.fill_(0.7 + 0.2 * i)
        model.save_pretrained(folder)
        (folder / "generation_config.json").unlink(missing_ok=True)
    return Gemma4UnifiedForConditionalGeneration.from_pretrained(folder).eval()


def tokenizer_5():
    """tokenizer.json alone, of make_gemma_fixtures.py."""
    file = Path(__file__).parent.parent / "text" / "data" / "gemma" / "tokenizer.json"
    return PreTrainedTokenizerFast(tokenizer_file=str(file), bos_token="<bos>", pad_token="<pad>", padding_side="left",
                                   model_max_length=1024)


def upsampler(scale=2):
    """One for all pipelines: diffusers' folder, whose weights have the configuration of Lightricks' file too."""
    folder = DATA / ("upsampler" if scale == 2 else "upsampler_rational")
    if not folder.exists():
        model = randomise(LTX2LatentUpsamplerModel(**(UPSAMPLER if scale == 2 else RATIONAL)), 65)
        model.save_pretrained(folder)
        path = folder / "diffusion_pytorch_model.safetensors"
        config = dict(_class_name="LatentUpsampler", in_channels=6, mid_channels=32, num_blocks_per_stage=1, dims=3,
                      spatial_upsample=True, temporal_upsample=False, spatial_scale=float(scale),
                      rational_resampler=scale != 2)
        save_file(load_file(path), path, {"config": json.dumps(config)})
    return LTX2LatentUpsamplerModel.from_pretrained(folder)


def with_statistics(model, seed, deviation):
    g = generator(seed)
    model.latents_mean.copy_(torch.randn(model.latents_mean.shape, generator=g) * 0.2)
    model.latents_std.copy_(deviation * (0.7 + 0.6 * torch.rand(model.latents_std.shape, generator=g)))
    return model


class Pipeline:
    def __init__(self, name, transformer=None, connectors=None, vae=None, vocoder=None,
                 scheduler=None, text=None):
        self.name, self.folder = name, DATA / name
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        seed = 700 + 10 * len(name)
        parts = {
            "transformer": randomise(LTX2VideoTransformer3DModel(**(TRANSFORMER | (transformer or {}))), seed),
            "connectors": randomise(LTX2TextConnectors(**(CONNECTORS | (connectors or {}))), seed + 1),
            "vae": with_statistics(randomise(AutoencoderKLLTX2Video(**(VAE | (vae or {}))), seed + 2), seed + 3, 0.6),
            "audio_vae": with_statistics(randomise(AutoencoderKLLTX2Audio(**AUDIO_VAE), seed + 4), seed + 5, 1.0),
            "vocoder": vocoder(seed + 6) if vocoder else randomise(LTX2Vocoder(**VOCODER), seed + 6),
            "scheduler": FlowMatchEulerDiscreteScheduler(**(scheduler or SCHEDULER))}
        loaded = {}
        for part, model in parts.items():
            model.save_pretrained(self.folder / part)
            loaded[part] = type(model).from_pretrained(self.folder / part)
        index = {"_class_name": "LTX2Pipeline", "_diffusers_version": "0.42.1",
                 "text_encoder": ["transformers", type(text[1]).__name__ if text else "Gemma3ForConditionalGeneration"],
                 "tokenizer": ["transformers", "GemmaTokenizerFast"]}
        for part, model in parts.items():
            index[part] = ["ltx2" if part in ("connectors", "vocoder") else "diffusers", type(model).__name__]
        (self.folder / "model_index.json").write_text(json.dumps(index, indent=1) + "\n")
        self.parts = loaded
        tokenizer, encoder = text or (Tokenizer(), text_encoder())
        common = dict(tokenizer=tokenizer, text_encoder=encoder, **loaded)
        self.pipe, self.from_image = LTX2Pipeline(**common), LTX2ImageToVideoPipeline(**common)
        self.keyed = LTX2ConditionPipeline(**common)
        for pipe in (self.pipe, self.from_image, self.keyed):
            pipe.set_progress_bar_config(disable=True)
        self.cases, self.tensors = [], {}

    def case(self, prompt, negative, width, height, frames, steps, guidance=1.0, distilled=False, image=False,
             strength=None):
        """One clip; `guidance` of both streams; None: as published. The block to skip is the second here."""
        i = len(self.cases)
        g = generator(900 + 37 * i + len(self.name))
        config = self.parts["vae"].config
        video = torch.randn(1, config.latent_channels, (frames - 1) // config.temporal_compression_ratio + 1,
                            height // config.spatial_compression_ratio, width // config.spatial_compression_ratio,
                            generator=g)
        sound = torch.randn(1, 2, round(frames / 24 * 25), 3, generator=g)
        noises = [video, sound]
        for module in (pipeline_ltx2, pipeline_ltx2_image2video):
            module.randn_tensor = lambda *_, **__: noises.pop(0)
        # Of all releases' pipelines the default is 2.3's, which 2.0 was not made for.
        how = dict(num_inference_steps=steps, use_cross_timestep=self.parts["transformer"].config.cross_attn_mod)
        pipe = self.from_image if image else self.pipe
        if image:
            # Smooth, with a corner of noise. The reference would compress it first, by chance of its encoder.
            y, x = np.mgrid[0:height, 0:width]
            waves = [127 + 100 * np.sin(0.13 * (c + 1) * x + 0.21 * y + c) for c in range(3)]
            pixels = np.stack(waves, -1).clip(0, 255).astype(np.uint8)
            pixels[:5, :7] = torch.randint(0, 256, (5, 7, 3), generator=g).numpy()
            how |= dict(image=Image.fromarray(pixels), image_crf=0)
            self.tensors[f"{i}.in.image"] = torch.from_numpy(pixels.copy())
        sigmas = DISTILLED_SIGMA_VALUES
        if strength is not None:  # what is left of the distilled schedule, from a clip, with silence beside it
            assert distilled
            clip = torch.randint(0, 256, (frames, height // 8, width // 8, 3), generator=g, dtype=torch.uint8)
            clip = np.stack([np.array(Image.fromarray(c.numpy()).resize((width, height), Image.Resampling.BILINEAR))
                             for c in clip])
            self.tensors[f"{i}.in.clip"] = torch.from_numpy(clip)
            sigmas = sigmas[len(sigmas) - int(len(sigmas) * strength):]
            pixels = torch.from_numpy(clip).float().permute(3, 0, 1, 2)[None] / 127.5 - 1
            mean = self.parts["audio_vae"].latents_mean.reshape(2, 1, 3)
            how |= dict(latents=self.parts["vae"].encode(pixels).latent_dist.mode(), noise_scale=sigmas[0],
                        audio_latents=mean.expand(1, 2, sound.shape[2], 3).clone())
            noises[:] = [video.flatten(2).transpose(1, 2), sound.transpose(1, 2).flatten(2)]
        if distilled:
            self.pipe.scheduler = FlowMatchEulerDiscreteScheduler.from_config(
                self.pipe.scheduler.config, use_dynamic_shifting=False, shift_terminal=None)
            how["sigmas"] = sigmas
        terms = dict(spatio_temporal_guidance_blocks=[1])
        if guidance == 1:  # nothing to move away from
            terms = dict(stg_scale=0.0, audio_stg_scale=0.0, modality_scale=1.0, audio_modality_scale=1.0,
                         guidance_rescale=0.0, audio_guidance_rescale=0.0)
        if guidance is not None:
            terms |= dict(guidance_scale=guidance, audio_guidance_scale=guidance)
        frames_out, wave = pipe(prompt=prompt, negative_prompt=negative, width=width, height=height,
                                num_frames=frames, frame_rate=24.0, output_type="np", return_dict=False,
                                **how, **terms)
        assert not noises
        self.keep(dict(prompt=prompt, negative=negative, width=width, height=height, frames=frames, steps=steps,
                       guidance=guidance, distilled=distilled) | ({"strength": strength} if strength else {}),
                  [last(video).flatten(), sound.permute(0, 2, 1, 3).flatten()], frames_out[0], wave[0])

    def key_case(self, prompt, negative, width, height, frames, steps, keys, guidance=None, two_stages=False, refiner=None,
                 scale=2):
        """One clip with pictures at latents: `keys` lists (index, strength). In two stages distilled, and without
        guidance; or the first one as published, and the second one with the adapter `refiner`."""
        i = len(self.cases)
        g = generator(900 + 37 * i + len(self.name))
        pictures, told = [], []
        for n, (index, strength) in enumerate(keys):
            y, x = np.mgrid[0:height, 0:width]
            waves = [127 + 100 * np.sin(0.11 * (c + 1) * x + 0.23 * y + c + 2 * n) for c in range(3)]
            pixels = np.stack(waves, -1).clip(0, 255).astype(np.uint8)
            pixels[3 * n:3 * n + 5, :7] = torch.randint(0, 256, (5, 7, 3), generator=g).numpy()
            pictures.append(LTX2VideoCondition(frames=Image.fromarray(pixels), index=index, strength=strength, crf=0))
            self.tensors[f"{i}.in.key.{n}"] = torch.from_numpy(pixels.copy())
            # The frame of the clip at which diffusers says that a latent begins.
            ratio = self.parts["vae"].config.temporal_compression_ratio
            told.append(dict(frame=max((index - 1) * ratio + 1, 0), strength=strength))
        config = self.parts["vae"].config
        later = sum(index > 0 for index, _ in keys)
        noises, drawn = [], []

        def draw(width, height):
            tokens = ((frames - 1) // config.temporal_compression_ratio + 1 + later) * (
                (height // config.spatial_compression_ratio) * (width // config.spatial_compression_ratio))
            noises.extend([torch.randn(1, tokens, config.latent_channels, generator=g),
                           torch.randn(1, round(frames / 24 * 25), 6, generator=g)])
            drawn.extend(noise.flatten() for noise in noises)

        pipeline_ltx2_condition.randn_tensor = lambda *_, **__: noises.pop(0)
        how = dict(prompt=prompt, negative_prompt=negative, conditions=pictures, num_frames=frames, frame_rate=24.0,
                   use_cross_timestep=self.parts["transformer"].config.cross_attn_mod, return_dict=False)
        none = dict(stg_scale=0.0, audio_stg_scale=0.0, modality_scale=1.0, audio_modality_scale=1.0,
                    guidance_rescale=0.0, audio_guidance_rescale=0.0, guidance_scale=1.0, audio_guidance_scale=1.0)
        if two_stages:
            still = FlowMatchEulerDiscreteScheduler.from_config(
                self.keyed.scheduler.config, use_dynamic_shifting=False, shift_terminal=None)
            self.keyed.scheduler = still if refiner is None else FlowMatchEulerDiscreteScheduler(**SCHEDULER)
            first = dict(sigmas=DISTILLED_SIGMA_VALUES, **none) if refiner is None else dict(
                spatio_temporal_guidance_blocks=[1])
            small = dict(width=round(width / scale), height=round(height / scale))
            draw(**small)
            video, sound = self.keyed(num_inference_steps=steps, output_type="latent", **small, **how, **first)
            if refiner is not None:
                self.keyed.scheduler = still
                self.keyed.load_lora_weights(refiner)
            upsample = LTX2LatentUpsamplePipeline(vae=self.parts["vae"], latent_upsampler=upsampler(scale))
            video = upsample(latents=video, num_frames=frames, output_type="latent", return_dict=False, **small)[0]
            assert not noises
            draw(width, height)
            out, wave = self.keyed(width=width, height=height, latents=video, audio_latents=sound,
                                   sigmas=STAGE_2_DISTILLED_SIGMA_VALUES, noise_scale=STAGE_2_DISTILLED_SIGMA_VALUES[0],
                                   num_inference_steps=3, output_type="np", **how, **none)
            if refiner is not None:
                self.keyed.unload_lora_weights()
        else:
            draw(width, height)
            out, wave = self.keyed(width=width, height=height, num_inference_steps=steps, output_type="np",
                                   spatio_temporal_guidance_blocks=[1], **how, **(none if guidance == 1 else {}))
        assert not noises
        self.keep(dict(prompt=prompt, negative=negative, width=width, height=height, frames=frames, steps=steps,
                       guidance=1.0 if two_stages and refiner is None else guidance,
                       distilled=two_stages and refiner is None, two_stages=two_stages, keys=told),
                  drawn, out[0], wave[0])

    def heard_case(self, prompt, negative, width, height, frames, steps):
        """One clip whose sound is given, its latents held as they are, without noise (as diffusers' pipelines of
        several rounds freeze them)."""
        i = len(self.cases)
        g = generator(900 + 37 * i + len(self.name))
        rate = self.parts["vocoder"].config.output_sampling_rate
        count = round(frames / 24 * 25)
        t = torch.arange(frames * rate // 24) / rate
        sound = torch.stack([0.4 * torch.sin(6.28 * 90 * t) * torch.sin(6.28 * 3 * t), 0.3 * torch.sin(6.28 * 140 * t)])
        sound += 0.05 * torch.randn(sound.shape, generator=g)
        whole = torch.nn.functional.pad(sound, (0, max(0, count * rate // 25 - sound.shape[1])))[:, :count * rate // 25]
        vae = self.parts["audio_vae"]
        latents = vae.encode(log_mel(whole[None], rate, 16000, 12)).latent_dist.mode()[:, :, :count]  # [1, 2, L, 3]
        clean = (latents.transpose(1, 2).flatten(2) - vae.latents_mean) / vae.latents_std
        config = self.parts["vae"].config
        video = torch.randn(1, config.latent_channels, (frames - 1) // config.temporal_compression_ratio + 1,
                            height // config.spatial_compression_ratio, width // config.spatial_compression_ratio,
                            generator=g)
        noise = torch.randn(1, 2, count, 3, generator=g)
        noises = [video, noise]
        pipeline_ltx2.randn_tensor = lambda *_, **__: noises.pop(0)
        transformer = self.parts["transformer"]
        forward = transformer.forward

        def frozen(*args, audio_hidden_states, timestep, **how):
            zero = torch.zeros_like(timestep)
            return forward(*args, audio_hidden_states=clean.expand(audio_hidden_states.shape[0], -1, -1),
                           timestep=timestep, **(how | {"audio_timestep": zero, "audio_sigma": zero}))

        transformer.forward = frozen
        try:
            out, _ = self.pipe(prompt=prompt, negative_prompt=negative, width=width, height=height, num_frames=frames,
                               frame_rate=24.0, num_inference_steps=steps, output_type="np", return_dict=False,
                               use_cross_timestep=transformer.config.cross_attn_mod,
                               spatio_temporal_guidance_blocks=[1])
        finally:
            transformer.forward = forward
        assert not noises
        self.tensors[f"{i}.in.audio"] = sound.T
        self.keep(dict(prompt=prompt, negative=negative, width=width, height=height, frames=frames, steps=steps,
                       guidance=None, distilled=False),
                  [last(video).flatten(), noise.permute(0, 2, 1, 3).flatten()], out[0],
                  self.parts["vocoder"](vae.decode(latents).sample)[0])

    def keep(self, case, noises, out, wave):
        i = len(self.cases)
        self.tensors[f"{i}.in.noise"] = torch.cat(noises)
        self.tensors[f"{i}.out.frames"] = torch.from_numpy(np.rint(out * 255).astype(np.uint8))
        self.tensors[f"{i}.out.sound"] = wave.T.float()
        self.cases.append(case)
        clipped = ((out <= 0) | (out >= 1)).mean()
        print(self.name, i, out.shape, f"spread {out.std():.3f}, clipped {clipped:.3f},",
              tuple(wave.shape), f"sound {wave.std():.3f}")
        assert out.std() > 0.05 and clipped < 0.3 and wave.std() > 0.02, self.name

    def save(self):
        path = DATA / f"{self.name}_io.safetensors"
        save_file({k: v.detach().contiguous().clone() for k, v in self.tensors.items()}, path,
                  {"cases": json.dumps(self.cases)})
        print(path.name, path.stat().st_size)


def t2v():
    p = Pipeline("t2v")
    p.case("a small red fox", "blurry", 64, 32, 9, 3, guidance=3.0)
    p.case("  two boats, \u00e9\u00df ", "", 32, 32, 5, 4)
    p.case("a small red fox", "blurry", 32, 64, 9, 3, guidance=None)
    p.case("two boats", "blurry", 64, 32, 9, 3, guidance=3.0, image=True)
    p.heard_case("an old man", "blurry", 32, 64, 13, 3)
    p.case("an old man", "", 32, 64, 13, 8, distilled=True)
    p.case("an old man", "", 32, 32, 9, 8, distilled=True, strength=0.5)
    p.key_case("a small red fox", "blurry", 32, 64, 13, 3, [(0, 1.0), (3, 1.0)])
    p.key_case("two boats", "blurry", 64, 32, 9, 3, [(2, 0.7), (0, 0.6)])
    p.key_case("an old man", "", 64, 64, 13, 8, [], two_stages=True)
    p.key_case("two boats", "", 64, 64, 9, 8, [(0, 0.8), (1, 1.0), (2, 0.6)], two_stages=True)
    p.key_case("two boats", "blurry", 64, 64, 9, 3, [(0, 0.8), (1, 1.0)], two_stages=True, refiner=refiner(p))
    p.save()
    single_file(p.folder, ORIGINAL)
    tiles(p)
    rational(p)


def rational(p):
    """Two stages, the first at two thirds of the size."""
    p.tensors, p.cases, p.name = {}, [], "t2v_rational"
    p.parts["vae"].disable_tiling()
    p.key_case("an old man", "", 96, 96, 9, 8, [], two_stages=True, scale=1.5)
    p.key_case("two boats", "", 96, 96, 5, 8, [(0, 0.8), (1, 0.6)], two_stages=True, scale=1.5)
    p.save()


def refiner(p):
    """An adapter of the transformer, and a part of it for the text, which is encoded once and without it."""
    g = generator(77)
    pairs = {}
    for key, w in p.parts["transformer"].state_dict().items():
        if key.endswith(".weight") and w.ndim == 2 and ("attn" in key or "ff.net" in key) and "transformer_blocks" in key:
            pairs[f"transformer.{key[:-7]}.lora_A.weight"] = torch.randn(2, w.shape[1], generator=g) * 0.3
            pairs[f"transformer.{key[:-7]}.lora_B.weight"] = torch.randn(w.shape[0], 2, generator=g) * 0.1
    rest = {"connectors.text_proj_in.lora_A.weight": torch.randn(2, 64, generator=g),
            "connectors.text_proj_in.lora_B.weight": torch.randn(16, 2, generator=g)}
    save_file(pairs | rest, DATA / "lora" / "refiner.safetensors")
    return pairs


def tiles(p):
    """A clip whose frames diffusers decodes in tiles of 10 latents, one every 8, along rows and along columns."""
    p.tensors, p.cases = {}, []
    p.parts["vae"].enable_tiling(80, 80, tile_sample_stride_height=64, tile_sample_stride_width=64)
    p.case("two boats", "", 160, 160, 5, 8, distilled=True)
    p.name = "t2v_tiles"
    p.save()


def wide_vocoder(seed):
    vocoder = LTX2VocoderWithBWE(
        in_channels=24, hidden_channels=12, upsample_kernel_sizes=[7, 4], upsample_factors=[3, 2],
        resnet_kernel_sizes=[3], resnet_dilations=[[1, 3, 5]], bwe_in_channels=10, bwe_hidden_channels=8,
        bwe_upsample_kernel_sizes=[12], bwe_upsample_factors=[6], bwe_resnet_kernel_sizes=[3],
        bwe_resnet_dilations=[[1, 3, 2]], filter_length=16, hop_length=3, window_length=16, num_mel_channels=5,
        input_sampling_rate=600, output_sampling_rate=1200)
    vocoder = randomise_filters(randomise(vocoder, seed), seed + 100)
    for key, p in vocoder.named_parameters():
        if "conv_out" in key:
            p.mul_(0.15)
    return vocoder


# As published: levels that change one of space and time, shortcuts nowhere.
VAE_3 = dict(block_out_channels=(12, 12, 24), layers_per_block=(1, 1, 2, 1), decoder_block_out_channels=(8, 8, 16),
             decoder_layers_per_block=(1, 1, 2, 1), decoder_spatio_temporal_scaling=(True,) * 3,
             decoder_inject_noise=(False,) * 4, upsample_type=("spatiotemporal", "temporal", "spatial"),
             upsample_residual=(False,) * 3, upsample_factor=(2, 1, 2), decoder_spatial_padding_mode="zeros")


TRANSFORMER_3 = dict(gated_attn=True, cross_attn_mod=True, audio_gated_attn=True, audio_cross_attn_mod=True,
                     use_prompt_embeddings=False)
CONNECTORS_3 = dict(video_connector_num_attention_heads=3, video_connector_attention_head_dim=10,
                    audio_connector_num_attention_heads=3, audio_connector_attention_head_dim=6, video_gated_attn=True,
                    audio_gated_attn=True, per_modality_projections=True, proj_bias=True, video_hidden_dim=30,
                    audio_hidden_dim=18)


def t2v_3():
    p = Pipeline("t2v_3", TRANSFORMER_3, CONNECTORS_3, VAE_3, wide_vocoder)
    p.case("a small red fox", "blurry", 32, 64, 9, 3, guidance=None)
    p.case("two boats", "blurry", 64, 32, 9, 3, guidance=None, image=True)
    p.key_case("two boats", "blurry", 32, 64, 9, 3, [(0, 0.7), (2, 0.8)])
    p.heard_case("an old man", "blurry", 64, 32, 9, 3)
    p.save()
    single_file(p.folder, original_3())


def t2v_5():
    """As Lightricks' folder of 2.5: distilled, its scheduler shifts no times, its text is Gemma 4's."""
    p = Pipeline("t2v_5", TRANSFORMER_3 | dict(ff_bias=False, use_keyframes_abs_pos_embedding=True),
                 CONNECTORS_3 | dict(text_proj_in_factor=5), VAE_3, wide_vocoder,
                 dict(use_dynamic_shifting=False, shift_terminal=None), (tokenizer_5(), text_encoder_5()))
    p.case("  two boats, \u00e9\u00df and <eos>\n\n a sea", "", 32, 64, 9, 8, distilled=True)
    p.key_case("an old man laughs", "", 64, 64, 13, 8, [(0, 0.8), (2, 1.0)], two_stages=True)
    p.save()


PIPELINES = {f.__name__: f for f in (t2v, t2v_3, t2v_5)}

if __name__ == "__main__":
    torch.set_num_threads(1)
    DATA.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[1:] or PIPELINES:
        PIPELINES[name]()
