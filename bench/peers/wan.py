#!/usr/bin/env python3
"""Wan 2.1 of 1.3B parameters with diffusers and random weights: seconds of a guided denoising step and of decoding, and
peak memory, as JSON lines (pip install torch diffusers). The same shapes as `zoetrope convert synthetic:wan2.1-1.3b`.

wan.py [--device cuda] [--dtype bfloat16] [--width 832] [--height 480] [--frames 33 81] [--runs 3]
"""
import argparse
import json
import statistics
import time

import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel

p = argparse.ArgumentParser()
p.add_argument("--device", default="cuda")
p.add_argument("--dtype", default="bfloat16")
p.add_argument("--width", type=int, default=832)
p.add_argument("--height", type=int, default=480)
p.add_argument("--frames", type=int, nargs="+", default=[33, 81])
p.add_argument("--runs", type=int, default=3)
a = p.parse_args()
dtype, cuda = getattr(torch, a.dtype), a.device.startswith("cuda")


def measure(call):
    """Median seconds after one warm run, and the most memory held."""
    seconds = []
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    for i in range(a.runs + 1):
        if cuda:
            torch.cuda.synchronize()
        begin = time.perf_counter()
        call()
        if cuda:
            torch.cuda.synchronize()
        if i:
            seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds), torch.cuda.max_memory_allocated() if cuda else 0


def report(what, frames, call):
    seconds, peak = measure(call)
    print(json.dumps({"peer": "diffusers", "what": what, "frames": frames, "width": a.width, "height": a.height,
                      "dtype": a.dtype, "seconds": seconds, "peak_bytes": peak}), flush=True)


with torch.device(a.device), torch.inference_mode():
    torch.set_default_dtype(dtype)
    dit = WanTransformer3DModel(num_attention_heads=12, attention_head_dim=128, ffn_dim=8960, num_layers=30).eval()
    text = torch.randn(1, 512, 4096)
    for frames in a.frames:
        x = torch.randn(1, 16, (frames - 1) // 4 + 1, a.height // 8, a.width // 8)
        t = torch.tensor([500])

        def step():
            return [dit(x, timestep=t, encoder_hidden_states=text).sample for _ in range(2)]
        report("guided step", frames, step)
    del dit
    vae = AutoencoderKLWan().eval()
    for frames in a.frames:
        z = torch.randn(1, 16, (frames - 1) // 4 + 1, a.height // 8, a.width // 8)
        report("decode", frames, lambda: vae.decode(z).sample)
