#!/usr/bin/env python3
"""Draws whole Wan pipelines of configurations that nobody chose, and what diffusers makes with them, to find what the fixed
ones do not show (pip install as for make_wan_pipelines.py):

    tests/parity/draw_wan_pipelines.py FOLDER --first 0 --count 20
    ZOETROPE_WAN_PIPELINES=FOLDER build/release/tests/wan_pipeline_test -tc='drawn pipelines*'

The same number draws the same pipeline. Those of data/wan_pipelines named drawn_N are N's.
"""
import argparse
import os
import random
import sys
from math import lcm
from pathlib import Path

os.environ["TQDM_DISABLE"] = "1"
import torch
from diffusers import (AutoencoderKLWan, DPMSolverMultistepScheduler, FlowMatchEulerDiscreteScheduler,
                       UniPCMultistepScheduler, WanImageToVideoPipeline, WanPipeline)
from transformers import CLIPVisionConfig, CLIPVisionModel

from make_wan import generator, randomise
from make_wan_pipelines import IMAGE_PROCESSOR, Pipeline, random_text_encoder

# Of 2.2's autoencoders, whose averages and copies must come out even.
RESIDUAL_LEVELS = ([1, 2, 4, 4], [1, 1, 2], [2, 2, 1], [1, 2, 2], [1, 1], [1, 2, 4, 8])


def draw_vae(r):
    residual = r.random() < 0.4
    levels = r.choice(RESIDUAL_LEVELS) if residual else [r.randint(1, 4) for _ in range(r.randint(2, 4))]
    halves = [False] * (len(levels) - 1)
    for i in r.sample(range(len(halves)), r.randint(1, min(2, len(halves)))):  # diffusers encodes four frames at a time
        halves[i] = True
    patch = r.choice([None, 2]) if residual else None
    z = r.randint(2, 9)
    pixels = 3 * (patch or 1) ** 2
    config = dict(base_dim=r.randint(2, 6), decoder_base_dim=2 * r.randint(1, 4), z_dim=z, dim_mult=levels,
                  num_res_blocks=r.randint(1, 3), temperal_downsample=halves, is_residual=residual, in_channels=pixels,
                  out_channels=pixels, patch_size=patch, scale_factor_spatial=(patch or 1) << len(halves),
                  scale_factor_temporal=1 << sum(halves), latents_mean=[r.uniform(-1, 1) for _ in range(z)],
                  latents_std=[r.uniform(0.5, 3) for _ in range(z)])
    try:
        model = randomise(AutoencoderKLWan(**config), r.randrange(1 << 30))
    except ValueError:  # averages and copies that do not come out even
        return draw_vae(r)
    # Frames that are neither grey nor clipped.
    seen = []
    hook = model.decoder.conv_out.register_forward_hook(lambda _, __, out: seen.append(out))
    model.decode(torch.randn(1, z, 2, 2, 2, generator=generator(1)) * torch.tensor(config["latents_std"])[:, None, None, None])
    hook.remove()
    model.decoder.conv_out.weight.mul_(0.4 / seen[-1].std())
    model.decoder.conv_out.bias.zero_()
    return model


def draw_transformer(r, channels, inputs, text_width, image_width, positions):
    heads, size = r.randint(1, 5), r.choice([6, 8, 10, 12, 14, 16, 20, 26, 32, 48, 64, 96, 128])
    config = dict(num_attention_heads=heads, attention_head_dim=size, in_channels=inputs, out_channels=channels,
                  text_dim=text_width, freq_dim=2 * r.randint(4, 40), ffn_dim=r.randint(5, 90), num_layers=r.randint(1, 4),
                  cross_attn_norm=r.random() < 0.7, qk_norm=r.choice(["rms_norm_across_heads"] * 3 + [None]),
                  eps=r.choice([1e-6, 1e-5, 1e-3]), rope_max_seq_len=r.choice([16, 33, 1024]))
    if image_width:
        config |= dict(image_dim=image_width, added_kv_proj_dim=heads * size, pos_embed_seq_len=positions)
    return config


def draw_vision(r):
    heads, patch = r.randint(1, 4), r.choice([3, 4, 5, 7])
    side = patch * r.randint(2, 5)
    config = CLIPVisionConfig(hidden_size=heads * r.choice([6, 8, 10]), intermediate_size=r.randint(10, 50),
                              num_hidden_layers=r.randint(2, 4), num_attention_heads=heads, image_size=side,
                              patch_size=patch, hidden_act=r.choice(["gelu", "quick_gelu"]), projection_dim=8)
    processor = IMAGE_PROCESSOR | dict(size={"shortest_edge": side}, crop_size={"height": side, "width": side})
    return randomise(CLIPVisionModel(config), r.randrange(1 << 30)), processor, (side // patch) ** 2 + 1


def draw_scheduler(r):
    shift = r.choice([1.0, 2.5, 3.0, 5.0, 8.0, 12.0])
    flow = dict(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift)
    return r.choice([lambda: UniPCMultistepScheduler(solver_order=r.randint(1, 3), **flow),
                     lambda: DPMSolverMultistepScheduler(**flow),
                     lambda: FlowMatchEulerDiscreteScheduler(shift=shift)])()


def draw(number, root, name):
    r = random.Random(f"wan {number}")
    vae = draw_vae(r)
    z, space, time = vae.config.z_dim, vae.config.scale_factor_spatial, vae.config.scale_factor_temporal
    text = random_text_encoder(r.randrange(1 << 30), d_model=r.randint(5, 30), d_kv=r.randint(3, 16), d_ff=r.randint(8, 50),
                               num_layers=r.randint(1, 3), num_heads=r.randint(1, 4),
                               relative_attention_num_buckets=r.choice([8, 12, 32]),
                               relative_attention_max_distance=r.choice([20, 64, 128]), layer_norm_epsilon=r.choice([1e-6, 1e-4]))
    task = r.choice(["t2v", "i2v", "i2v features", "flf2v", "ti2v", "ti2v image"])
    experts = task in ("t2v", "i2v") and r.random() < 0.5
    inputs = 2 * z + time if task in ("i2v", "i2v features", "flf2v") else z
    vision, processor, tokens, more = None, None, 0, {}
    if task in ("i2v features", "flf2v"):
        vision, processor, tokens = draw_vision(r)
        more = dict(vision=vision, processor=processor)
    width = vision.config.hidden_size if vision else None

    def network():
        return draw_transformer(r, z, inputs, text.config.d_model, width, 2 * tokens if task == "flf2v" else None)

    index = {"expand_timesteps": True} if task.startswith("ti2v") else {}
    if experts:
        index["boundary_ratio"] = r.choice([0.7, 0.875, 0.9])
    if task == "i2v" and not experts:
        experts, index["boundary_ratio"] = True, 0.8  # without a picture's features there are always two
    p = Pipeline(name, WanPipeline if task in ("t2v", "ti2v") else WanImageToVideoPipeline, vae, network(),
                 second=network() if experts else None, index=index, scheduler=draw_scheduler(r), text=text, root=root,
                 seed=1000 + number, **more)
    pictures = {"flf2v": ["image", "last_image"], "t2v": [], "ti2v": []}.get(task, ["image"])
    side = lcm(16, 2 * space)
    print(number, task, "experts" if experts else "", vae.config.dim_mult, "residual" if vae.config.is_residual else "",
          "z", z, "space", space, "time", time, type(p.scheduler).__name__)
    p.check = False
    guidance = r.choice([1.0, 3.0, 5.0])
    p.case(r.choice(["a b", "one two", "  one &amp; two ", ""]), r.choice(["bad", "", None]), side * r.randint(1, 2),
           side * r.randint(1, 2), 1 + 4 * r.randint(1, 3), r.randint(2, 5), guidance, pictures=pictures)
    p.save()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=10)
    args = parser.parse_args()
    torch.set_num_threads(1)
    for number in range(args.first, args.first + args.count):
        draw(number, args.folder, f"drawn_{number}")


if __name__ == "__main__":
    sys.exit(main())
