#!/usr/bin/env python3
"""Writes tests/parity/data/minimax_h3_pipeline: a tiny MiniMax-H3 as diffusers saves it, and clips that diffusers'
modular pipeline makes with it (pip install torch diffusers transformers safetensors). The tokenizer is that of
tests/text/data/qwen."""
import json
import shutil
from pathlib import Path

import numpy as np
import torch
from diffusers import (
    AutoencoderKLMiniMaxH3, AutoencoderKLMiniMaxH3Audio, MiniMaxH3Scheduler, MiniMaxH3Transformer3DModel)
from diffusers.modular_pipelines.minimax_h3 import MiniMaxH3Blocks, before_denoise
from safetensors.torch import save_file
from PIL import Image
from transformers import (
    PreTrainedTokenizerFast, Qwen2VLImageProcessor, Qwen3VLConfig, Qwen3VLForConditionalGeneration)

from make_minimax_h3 import generator, randomise

HERE = Path(__file__).parent
DATA, TOKENIZER = HERE / "data" / "minimax_h3_pipeline", HERE.parent / "text" / "data" / "qwen" / "tokenizer.json"
FRAMES = [0, 1, 4, 16, 17, 18, 19, 21, 22, 60, 101, 123]  # that are kept: at the seams of pieces, and elsewhere


START, END, PLACE = 523, 524, 525  # of tests/text/data/qwen: where a picture begins, ends, and what stands for it


class Processor:
    """Of words and pictures."""
    image_processor = Qwen2VLImageProcessor(patch_size=16, temporal_patch_size=2, merge_size=2, image_mean=[0.5] * 3,
                                            image_std=[0.5] * 3, size={"shortest_edge": 2048, "longest_edge": 1 << 20})

    @staticmethod
    def create_mm_token_type_ids(ids):
        return [[int(i == PLACE) for i in row] for row in ids]


def parts():
    vae = AutoencoderKLMiniMaxH3(
        latent_channels=4, block_out_channels=(4, 4, 8, 8), layers_per_block=1, spatial_downsample_factors=(2, 2, 2, 2),
        temporal_downsample_factors=(1, 2, 2, 1), norm_num_groups=2, decoder_num_layers=2, decoder_num_attention_heads=2,
        decoder_attention_head_dim=8, decoder_num_register_tokens=2, decoder_ffn_mult=2,
        latents_mean=(0.1, -0.2, 0.0, 0.3), latents_std=(0.8, 1.1, 1.0, 0.9))
    audio_vae = AutoencoderKLMiniMaxH3Audio(
        encoder_dim=2, encoder_rates=(2, 4, 4, 5, 5), latent_dim=16, latent_channels=4, num_attention_heads=2,
        decoder_dim=32, decoder_rates=(10, 10, 8), decoder_kernel_sizes=(20, 20, 16), resblock_kernel_sizes=(3,),
        resblock_dilation_sizes=((1, 3),), latents_mean=[0.1, -0.1, 0.2, 0.0], latents_std=[0.9, 1.2, 1.0, 0.8])
    transformer = MiniMaxH3Transformer3DModel(
        num_attention_heads=3, attention_head_dim=14, hidden_size=24, num_layers=2, num_refiner_layers=1, ffn_dim=28,
        in_channels=4, audio_in_channels=4, text_dim=16, freq_dim=32, time_embed_hidden_dim=18, time_embed_dim=12,
        rope_freq_dim=2)
    text = dict(vocab_size=530, hidden_size=16, intermediate_size=12, num_attention_heads=2, num_key_value_heads=1,
                head_dim=8, num_hidden_layers=52, max_position_embeddings=256,
                rope_parameters={"rope_type": "default", "rope_theta": 5000.0, "mrope_section": [2, 1, 1],
                                 "mrope_interleaved": True})
    vision = dict(depth=2, hidden_size=8, intermediate_size=12, num_heads=2, out_hidden_size=16, patch_size=16,
                  spatial_merge_size=2, temporal_patch_size=2, num_position_embeddings=9, deepstack_visual_indexes=[0])
    text_encoder = Qwen3VLForConditionalGeneration(
        Qwen3VLConfig(text_config=text, vision_config=vision, image_token_id=PLACE, video_token_id=526,
                      vision_start_token_id=START, vision_end_token_id=END))
    made = dict(vae=randomise(vae, 1), audio_vae=randomise(audio_vae, 2), transformer=randomise(transformer, 3),
                text_encoder=randomise(text_encoder, 4, 0.6), scheduler=MiniMaxH3Scheduler(12.0),
                audio_scheduler=MiniMaxH3Scheduler(3.0))
    with torch.no_grad():
        made["vae"].decoder.proj_out.weight.mul_(0.7)
        made["audio_vae"].decoder.conv_post.weight_g.mul_(0.1)
        # Velocities as long as noise: the clip hangs on every step.
        for head in (made["transformer"].proj_out, made["transformer"].audio_proj_out):
            head.weight.mul_(1.5)
    return made


def entry(library, name, folder):
    return [library, name, {"type_hint": [library, name], "pretrained_model_name_or_path": "tiny", "subfolder": folder,
                            "variant": None, "revision": None}]


def save(made):
    if DATA.exists():
        shutil.rmtree(DATA)
    index = {"_class_name": "MiniMaxH3ModularPipeline", "_diffusers_version": "0.42.1",
             "_blocks_class_name": "MiniMaxH3Blocks", "canvas_short_edge": 72, "canvas_max_pixels": 72 * 288}
    for name, part in made.items():
        part.save_pretrained(DATA / name)
        library = "transformers" if name == "text_encoder" else "diffusers"
        index[name] = entry(library, type(part).__name__, name)
    (DATA / "text_encoder" / "generation_config.json").unlink(missing_ok=True)
    Processor.image_processor.save_pretrained(DATA / "processor")
    index["tokenizer"] = entry("transformers", "Qwen2TokenizerFast", "tokenizer")
    index["processor"] = entry("transformers", "Qwen3VLProcessor", "processor")
    index["transformer_ref"] = entry("diffusers", "MiniMaxH3Transformer3DModel", "transformer_ref")
    (DATA / "modular_model_index.json").write_text(json.dumps(index, indent=1) + "\n")


def main():
    torch.set_num_threads(2)
    made = parts()
    save(made)
    pipe = MiniMaxH3Blocks().init_pipeline()
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(TOKENIZER))
    pipe.update_components(tokenizer=tokenizer, processor=Processor(), **made)
    tensors, cases = {}, []
    for i, (prompt, width, height, frames, steps, given) in enumerate(
            [("a small red fox, and 12 b\u00e9es", 64, 64, 124, 3, ()), ("Boats", 288, 64, 124, 3, ()),
             (" an old  man\n", 64, 96, 141, 2, ()), ("two boats", 64, 96, 124, 3, ("image", "last_image")),
             ("a fox", 288, 64, 124, 2, ("last_image",)), ("a fox", 64, 64, 124, 2, ("image",))]):
        g = generator(50 + i)
        f, sound = (frames - 5) // 17 * 5 + 2, round(frames / 24 * 40)
        video = torch.randn(1, 4, f, height // 16, width // 16, generator=g)
        audio = torch.randn(2, 4, sound, generator=g)
        pictures, noises, shape = {}, [], (1, 4, 1, height // 16, width // 16)
        for name in given:  # smooth, with a corner of noise
            y, x = np.mgrid[0:height, 0:width]
            waves = [127 + 100 * np.sin(0.13 * (c + 1) * x + 0.21 * y + c + len(name)) for c in range(3)]
            pixels = np.stack(waves, -1).clip(0, 255).astype(np.uint8)
            pixels[:5, :7] = torch.randint(0, 256, (5, 7, 3), generator=g).numpy()
            pictures[name] = Image.fromarray(pixels)
            tensors[f"{i}.in.{name}"] = torch.from_numpy(pixels.copy())
            noises.append(torch.randn(shape, generator=g))
        drawn = list(noises)
        before_denoise.randn_tensor = lambda *_, **__: drawn.pop(0)
        out = pipe(**pictures, prompt=prompt, width=width, height=height, num_frames=frames, num_inference_steps=steps + 1,
                   latents=video, audio_latents=audio, output_type="np", output=["videos", "audio", "sampling_rate"])
        assert not drawn
        clip, wave = np.asarray(out["videos"])[0], out["audio"][0]
        assert clip.shape == (frames, height, width, 3) and out["sampling_rate"] == 32000, clip.shape
        clipped, loud = ((clip <= 0) | (clip >= 1)).mean(), (wave.abs() >= 1).float().mean()
        print(i, clip.shape, f"spread {clip.std():.3f}, clipped {clipped:.3f},", tuple(wave.shape),
              f"sound {wave.std():.3f}, clipped {loud:.3f}")
        assert clip.std() > 0.05 and clipped < 0.3 and wave.std() > 0.02 and loud < 0.1
        kept = [k for k in ((0, 1, 60, 123) if given else FRAMES) if k < frames]
        tensors |= {f"{i}.in.noise": torch.cat([video.movedim(1, -1).flatten(), audio.permute(2, 0, 1).flatten(),
                                                   *(n.movedim(1, -1).flatten() for n in noises)]),
                    f"{i}.out.frames": torch.from_numpy(np.rint(clip[kept] * 255).astype(np.uint8)),
                    f"{i}.out.sound": wave.T[:frames * 32000 // 24:7].float()}
        cases.append(dict(prompt=prompt, width=width, height=height, frames=frames, steps=steps, kept=kept))
    path = DATA.parent / "minimax_h3_pipeline_io.safetensors"
    save_file({k: v.detach().contiguous().clone() for k, v in tensors.items()}, path, {"cases": json.dumps(cases)})
    print(path.name, path.stat().st_size)


if __name__ == "__main__":
    main()
