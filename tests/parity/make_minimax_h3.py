#!/usr/bin/env python3
"""Writes tests/parity/data/minimax_h3: MiniMax-H3's networks and pipeline at tiny uneven sizes as diffusers and
transformers save them, and what these libraries compute with them (pip install torch diffusers transformers
tokenizers safetensors).

make_minimax_h3.py [PART...]: only these parts.
"""
import sys
from pathlib import Path

import torch
from diffusers import AutoencoderKLMiniMaxH3, AutoencoderKLMiniMaxH3Audio, MiniMaxH3Transformer3DModel
from diffusers.modular_pipelines.minimax_h3.before_denoise import (
    MiniMaxH3PrepareLayoutStep, MiniMaxH3SetTimestepsStep, patchify_video_latents)
from safetensors.torch import save_file
from PIL import Image
from transformers import Qwen2VLImageProcessor, Qwen3VLConfig, Qwen3VLModel, Qwen3VLTextConfig, Qwen3VLTextModel

DATA = Path(__file__).parent / "data" / "minimax_h3"
MEAN, STD = torch.tensor((0.485, 0.456, 0.406)), torch.tensor((0.229, 0.224, 0.225))


def generator(seed):
    return torch.Generator().manual_seed(seed)


def randomise(model, seed, scale=1.0):
    """Fresh values everywhere, so that no term can hide behind a zero or a one."""
    g = generator(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            norm = "norm" in name and p.ndim == 1 and not name.endswith("bias")
            unit = norm or name.endswith(("weight_g", "scale1", "scale2"))
            small = unit or p.ndim < 2 or p.shape[1:].numel() == 1
            deviation = 0.2 if small else scale * p[0].numel() ** -0.5
            p.copy_(torch.randn(p.shape, generator=g) * deviation + (1 if unit else 0))
        for name, p in model.named_parameters():
            if name.endswith("alpha") and p.ndim == 3:  # not a logarithm: positive
                p.abs_().add_(0.3)
    return model.eval().requires_grad_(False)


def save(name, tensors):
    path = DATA / f"{name}.safetensors"
    save_file({k: v.detach().contiguous().clone() for k, v in tensors.items()}, path)
    print(name, path.stat().st_size)


def stored(model):
    return {f"weights.{k}": v for k, v in model.state_dict().items()}


def last(x):
    """[B, C, ...] to [B, ..., C]"""
    return x.movedim(1, -1)


def rows_to_latents(rows, channels, f, h, w):
    """[n, c·4] of a packed sequence to [f, h, w, c]"""
    x = rows.reshape(f, h // 2, w // 2, channels, 2, 2)
    return x.permute(0, 1, 4, 2, 5, 3).reshape(f, h, w, channels)


DIT = dict(num_attention_heads=3, attention_head_dim=14, hidden_size=20, num_layers=2, num_refiner_layers=2, ffn_dim=24,
           in_channels=3, audio_in_channels=4, text_dim=10, freq_dim=16, time_embed_hidden_dim=18, time_embed_dim=12,
           rope_freq_dim=2, rope_theta=5000.0, norm_eps=1e-3, qk_norm_eps=2e-3, final_norm_eps=3e-3)


def dit():
    model = randomise(MiniMaxH3Transformer3DModel(**DIT), 1)
    tensors = stored(model)
    g = generator(2)
    for case, (lengths, f, h, w, a) in enumerate([((5, 3), 7, 4, 6, 9), ((2,), 1, 6, 2, 1), ((1,), 12, 2, 2, 20)]):
        batch, longest = len(lengths), max(lengths)
        video, sound = torch.randn(batch, f, h, w, 3, generator=g), torch.randn(batch, a, 8, generator=g)
        text = torch.randn(batch, longest, 10, generator=g)
        time, sound_time = torch.rand(batch, generator=g), torch.rand(batch, generator=g)
        tensors |= {f"{case}.in.video": video, f"{case}.in.sound": sound, f"{case}.in.text": text,
                    f"{case}.in.text_lengths": torch.tensor(lengths).float(), f"{case}.in.time": time,
                    f"{case}.in.sound_time": sound_time}
        made = {}
        for i, n in enumerate(lengths):  # each packed alone
            layout = MiniMaxH3PrepareLayoutStep.build_packed_sequence(
                torch.ones(n, dtype=torch.long), f, h, w, a, (1, 2, 2), 2, 2, 0)
            positions, tags, video_rows, audio_rows, text_rows = layout[:5]
            steps, indices = MiniMaxH3SetTimestepsStep.build_row_timesteps(
                video_rows, audio_rows, 0, 0, n, float(1 - time[i]), float(1 - sound_time[i]), 0.999, 1.0)
            hooks = []
            for k, block in enumerate(model.transformer_blocks):
                def keep(_, __, out, k=k, n=n):
                    pad = torch.zeros(longest - n, 20)
                    for name, rows in (("text", text_rows), ("sound", audio_rows), ("video", video_rows)):
                        kept = out[0, rows]
                        made.setdefault(f"block.{k}.{name}", []).append(
                            torch.cat([kept, pad]) if name == "text" else kept)
                hooks.append(block.register_forward_hook(keep))
            out, audio = model(
                patchify_video_latents(video[i:i + 1].movedim(-1, 1), (1, 2, 2))[None],
                sound[i].reshape(a, 2, 4).transpose(0, 1).reshape(1, 2 * a, 4), text[i:i + 1, :n], steps, indices, tags,
                positions, video_rows, audio_rows, text_rows, return_dict=False)
            for hook in hooks:
                hook.remove()
            made.setdefault("out.video_velocity", []).append(-rows_to_latents(out[0], 3, f, h, w))
            made.setdefault("out.sound_velocity", []).append(
                -audio[0].reshape(2, a, 4).transpose(0, 1).reshape(a, 8))
        tensors |= {f"{case}.{k}": torch.stack(v) for k, v in made.items()}
    save("dit", tensors)


def dit_ended():
    """Pictures at the first, at the last frame, or at both; a part of the words is a picture too."""
    model = randomise(MiniMaxH3Transformer3DModel(**DIT), 1)
    tensors = stored(model)
    g = generator(3)
    for case, (anchors, tags, f, h, w, a, t) in enumerate(
            [(("first", "last"), (1, 0, 0, 1, 1), 7, 4, 6, 9, 0.4), (("last",), (1, 0, 0), 2, 6, 2, 4, 0.0004)]):
        n, k = len(tags), len(anchors)
        video, sound = torch.randn(1, f, h, w, 3, generator=g), torch.randn(1, a, 8, generator=g)
        ends, text = torch.randn(1, k, h, w, 3, generator=g), torch.randn(1, n, 10, generator=g)
        frames = sum((1, 4, 4, 4, 4)[i % 5] for i in range(f))
        layout = MiniMaxH3PrepareLayoutStep.build_packed_sequence(
            torch.tensor(tags), f, h, w, a, (1, 2, 2), 2, 2, 0, anchors)
        positions, all_tags, video_rows, audio_rows, text_rows, conditions, _ = layout
        steps, indices = MiniMaxH3SetTimestepsStep.build_row_timesteps(
            video_rows, audio_rows, conditions, 0, n, 1 - t, 0.3, max(1 - t, 0.999), 1.0)
        kept = {}
        hooks = [block.register_forward_hook(lambda _, __, out, i=i: kept.update({i: out[0]}))
                 for i, block in enumerate(model.transformer_blocks)]
        rows = torch.cat([patchify_video_latents(x.movedim(-1, 1), (1, 2, 2)) for x in (ends, video)])
        out, audio = model(rows[None], sound[0].reshape(a, 2, 4).transpose(0, 1).reshape(1, 2 * a, 4), text, steps,
                           indices, all_tags, positions, video_rows, audio_rows, text_rows, return_dict=False)
        for hook in hooks:
            hook.remove()
        tensors |= {f"{case}.in.{name}": value for name, value in dict(
            video=video, sound=sound, ends=ends, text=text, text_lengths=torch.tensor([float(n)]),
            end_times=torch.tensor([[0.0 if x == "first" else frames - 1.0 for x in anchors]]),
            text_seen=1 - torch.tensor([tags]).float(), time=torch.tensor([t]), sound_time=torch.tensor([0.7])).items()}
        for i, x in kept.items():
            for name, of in (("text", text_rows), ("sound", audio_rows), ("video", video_rows[conditions:]),
                             ("ends", video_rows[:conditions])):
                tensors[f"{case}.block.{i}.{name}"] = x[of][None]
        tensors[f"{case}.out.video_velocity"] = -rows_to_latents(out[0, conditions:], 3, f, h, w)[None]
        tensors[f"{case}.out.sound_velocity"] = -audio[0].reshape(2, a, 4).transpose(0, 1).reshape(1, a, 8)
    save("dit_ended", tensors)


VAES = {
    "vae": dict(latent_channels=3, block_out_channels=(4, 8, 8), layers_per_block=2, spatial_downsample_factors=(2, 2, 1),
                temporal_downsample_factors=(2, 2, 1), norm_num_groups=2, norm_eps=1e-3, decoder_num_layers=2,
                decoder_num_attention_heads=2, decoder_attention_head_dim=16, decoder_num_register_tokens=3,
                decoder_ffn_mult=2, decoder_rope_theta=50.0, decoder_norm_eps=1e-3, latents_mean=(0.0,) * 3,
                latents_std=(1.0,) * 3),
    # Two frames a chunk's first latent, zeros around frames, all of a head turns.
    "vae_other": dict(latent_channels=4, block_out_channels=(8, 12), layers_per_block=1, spatial_downsample_factors=(2, 2),
                      temporal_downsample_factors=(2, 2), norm_num_groups=2, spatial_padding_mode="constant",
                      decoder_num_layers=1, decoder_num_attention_heads=3, decoder_attention_head_dim=12,
                      decoder_num_register_tokens=1, decoder_rope_dim_ratio=1.0, clip_length=10, token_drop=2,
                      latents_mean=(0.0,) * 4, latents_std=(1.0,) * 4),
}


def watch(model, tensors, prefix, kinds, convert):
    hooks = []
    for name, module in model.named_modules():
        if type(module).__name__ in kinds:
            def keep(_, __, out, name=name):
                tensors[f"{prefix}{name}"] = convert(out)
            hooks.append(module.register_forward_hook(keep))
    return hooks


def vae():
    for seed, (name, config) in enumerate(VAES.items()):
        model = randomise(AutoencoderKLMiniMaxH3(**config), 10 + seed)
        model.use_tiling = False
        tensors = stored(model)
        g = generator(20 + seed)
        for case, (batch, frames, h, w) in enumerate([(1, model.config.clip_length, 3, 2), (2, 1, 2, 4)]):
            pixels = torch.rand(batch, frames, 4 * h, 4 * w, 3, generator=g) * 2 - 1
            if (frames - 1) % 4:
                pixels = pixels[:, :1 + (frames - 1) // 4 * 4]
            hooks = watch(model, tensors, f"{case}.block.", {"MiniMaxH3VideoResnetBlock3d"}, last)
            seen = ((pixels / 2 + 0.5) - MEAN) / STD
            moments = model._encode_clip(seen.movedim(-1, 1))
            for hook in hooks:
                hook.remove()
            mean, logvar = moments.chunk(2, dim=1)
            tensors |= {f"{case}.video": pixels, f"{case}.mean": last(mean),
                        f"{case}.deviation": last(torch.exp(0.5 * logvar.clamp(-30, 20)))}
        piece = model.tokens_chunk_size + model.token_overlap
        for case, (batch, h, w) in enumerate([(1, 3, 2), (2, 1, 4)]):
            z = torch.randn(batch, config["latent_channels"], piece, h, w, generator=g)
            hooks = watch(model, tensors, f"{case}.block.", {"MiniMaxH3VideoTransformerBlock"}, lambda x: x)
            video = model._decode(z)  # one piece
            for hook in hooks:
                hook.remove()
            tensors |= {f"{case}.latents": last(z), f"{case}.decoded": (last(video) * STD + MEAN) * 2 - 1}
        save(name, tensors)


SOUND = dict(encoder_dim=4, encoder_rates=(2, 3, 5), latent_dim=16, latent_channels=4, num_attention_heads=2, decoder_dim=16,
             decoder_rates=(5, 3, 2), decoder_kernel_sizes=(9, 5, 4), resblock_kernel_sizes=(3, 5),
             resblock_dilation_sizes=((1, 3, 5), (1, 2)), sampling_rate=600)


def sound():
    model = randomise(AutoencoderKLMiniMaxH3Audio(**SOUND), 30)
    g = generator(31)
    with torch.no_grad():  # filters of no symmetry
        for name, b in model.named_buffers():
            if name.endswith("filter"):
                b.copy_(torch.randn(b.shape, generator=g) * 0.15 + 1 / 12)
        model.decoder.conv_post.weight_g.mul_(0.12)
        model.pre_block.attn.zero_k_bias.zero_()
    tensors = stored(model)
    for case, (batch, n) in enumerate([(2, 3), (1, 7)]):
        wave = torch.randn(batch, 30 * n, 2, generator=g)
        rows = wave.transpose(1, 2).reshape(2 * batch, 1, 30 * n)
        hooks = watch(model, tensors, f"{case}.block.", {"MiniMaxH3AudioResidualUnit"}, last)
        mean = model.encode(rows, return_dict=False)[0].mode()
        for hook in hooks:
            hook.remove()
        z = torch.randn(batch, n, 8, generator=g)
        decoded = model.decode(z.reshape(batch, n, 2, 4).permute(0, 2, 3, 1).reshape(2 * batch, 4, n), return_dict=False)[0]
        print("sound", decoded.std(), (decoded.abs() == 1).float().mean())
        tensors |= {f"{case}.sound": wave, f"{case}.latents": z,
                    f"{case}.mean": mean.reshape(batch, 2, 4, n).permute(0, 3, 1, 2).reshape(batch, n, 8),
                    f"{case}.decoded": decoded.reshape(batch, 2, 30 * n).transpose(1, 2)}
    save("sound", tensors)


TEXT = dict(vocab_size=37, hidden_size=12, intermediate_size=18, num_attention_heads=6, num_key_value_heads=2, head_dim=8,
            rms_norm_eps=1e-3, rope_parameters={"rope_type": "default", "rope_theta": 5000.0, "mrope_section": [2, 1, 1],
                                                "mrope_interleaved": True})


def text():
    model = randomise(Qwen3VLTextModel(Qwen3VLTextConfig(num_hidden_layers=4, attn_implementation="eager", **TEXT)), 40)
    tensors = stored(model)
    g = generator(41)
    lengths = (6, 9)
    ids = torch.zeros(2, 9, dtype=torch.long)
    states = []
    for row, n in enumerate(lengths):
        ids[row, :n] = torch.randint(0, 37, (n,), generator=g)
        hidden = model(input_ids=ids[row:row + 1, :n], output_hidden_states=True, use_cache=False).hidden_states
        states.append([torch.nn.functional.pad(h[0], (0, 0, 0, 9 - n)) for h in hidden])
    tensors |= {"ids": ids.float(), "lengths": torch.tensor(lengths).float()}
    tensors |= {f"layer.{i}": torch.stack([s[i + 1] for s in states]) for i in range(3)}
    save("text", tensors)


VISION = dict(depth=3, hidden_size=16, intermediate_size=20, num_heads=2, out_hidden_size=12, patch_size=4,
              spatial_merge_size=2, temporal_patch_size=2, num_position_embeddings=25, deepstack_visual_indexes=[0, 2])


def sight():
    """Two pictures among words, as MiniMax-H3 has them: each behind a label."""
    config = Qwen3VLConfig(text_config=dict(num_hidden_layers=4, **TEXT), vision_config=VISION, image_token_id=35,
                           video_token_id=36, vision_start_token_id=33, vision_end_token_id=34)
    config._attn_implementation = "eager"
    model = randomise(Qwen3VLModel(config), 60)
    tensors, g = stored(model), generator(61)
    see = Qwen2VLImageProcessor(patch_size=4, temporal_patch_size=2, merge_size=2, image_mean=[0.5] * 3,
                                image_std=[0.5] * 3, size={"shortest_edge": 64, "longest_edge": 65536})
    for case, (h, w) in enumerate([(16, 24), (8, 32)]):
        pictures = torch.randint(0, 256, (2, h, w, 3), generator=g, dtype=torch.uint8)
        vision = see(images=[Image.fromarray(p.numpy()) for p in pictures], return_tensors="pt")
        rows, columns = h // 8, w // 8
        assert vision["image_grid_thw"].tolist() == [[1, 2 * rows, 2 * columns]] * 2
        kept = {}
        hooks = [block.register_forward_hook(lambda _, __, out, i=i: kept.update({i: out}))
                 for i, block in enumerate(model.visual.blocks)]
        seen = model.visual(vision["pixel_values"], vision["image_grid_thw"])
        for hook in hooks:
            hook.remove()
        places, deep = rows * columns, len(VISION["deepstack_visual_indexes"])
        features = torch.cat([seen.pooler_output, *seen.deepstack_features], -1).reshape(2, places, (1 + deep) * 12)
        words = torch.randint(0, 33, (9,), generator=g).tolist()
        ids = sum(([words[2 * i], words[2 * i + 1], 33] + [35] * places + [34] for i in range(2)), []) + words[4:]
        kinds = torch.tensor([[int(i == 35) for i in ids]])
        positions, _ = model.get_rope_index(torch.tensor([ids]), kinds, image_grid_thw=vision["image_grid_thw"])
        hidden = model(input_ids=torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long),
                       mm_token_type_ids=kinds, use_cache=False, output_hidden_states=True, **vision).hidden_states
        count = iter(range(1, 2 * places + 1))
        tensors |= {f"{case}.pixels": pictures.float() / 127.5 - 1, f"{case}.features": features,
                    f"{case}.ids": torch.tensor([ids]).float(), f"{case}.text": hidden[3],
                    f"{case}.reads": torch.tensor([[next(count) if i == 35 else 0 for i in ids]]).float(),
                    f"{case}.positions": positions.permute(1, 2, 0).float()}
        for i, x in kept.items():  # patches of a place follow each other
            x = x.reshape(2, rows, columns, 2, 2, 16).permute(0, 1, 3, 2, 4, 5)
            tensors[f"{case}.block.{i}"] = x.reshape(2, 4 * places, 16)
    save("sight", tensors)


def tiles():
    """Tiles of 16 pixels that share 4 at least, put together; one seam shares more than half a tile."""
    model = AutoencoderKLMiniMaxH3(**VAES["vae"])
    g = generator(50)
    tensors = {}
    for case, (height, width) in enumerate([(20, 36), (32, 16), (56, 28)]):
        (ys, _, y_shared), (xs, _, x_shared) = (model._split_tiles(n, 16, 4) for n in (height, width))
        grid = [[torch.randn(3, min(16, height), min(16, width), generator=g) for _ in xs] for _ in ys]
        tensors |= {f"{case}.tiles": torch.stack([torch.stack([last_of(t) for t in row]) for row in grid]),
                    f"{case}.whole": last_of(model._stitch_tiles(grid, y_shared, x_shared)),
                    f"{case}.rows": torch.tensor(ys).float(), f"{case}.columns": torch.tensor(xs).float()}
    save("tiles", tensors)


def last_of(image):
    """[C, H, W] to [H, W, C]"""
    return image.permute(1, 2, 0)


PARTS = {f.__name__: f for f in (dit, dit_ended, vae, sound, text, sight, tiles)}

if __name__ == "__main__":
    torch.set_num_threads(1)
    DATA.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[1:] or PARTS:
        PARTS[name]()
