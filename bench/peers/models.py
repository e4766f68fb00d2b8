#!/usr/bin/env python3
"""PyTorch at the shapes of zoetrope_bench_model, for the same GPU in the same hour.

    python3 bench/peers/models.py wan --tokens 14040 --tokens 32760
    python3 bench/peers/models.py dit-xl-2 --batch 2
    python3 bench/peers/models.py moviegen-layer --tokens 73728

Plain implementations in bf16 with random weights: every block through torch.compile, attention through cuDNN where PyTorch
offers it, the whole forward replayed as one CUDA graph. Prints the median of --runs forwards, in milliseconds, as JSON.
"""
import argparse
import contextlib
import json
import statistics

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

DEVICE, DTYPE = "cuda", torch.bfloat16


def modulate(x, shift, scale):
    """LayerNorm without affine, then x * (1 + scale) + shift. x [B, N, C]; shift and scale [B, 1, C]."""
    return (F.layer_norm(x.float(), x.shape[-1:], eps=1e-6) * (1 + scale.float()) + shift.float()).to(x.dtype)


def attend(q, k, v):
    """q, k, v [B, N, H, D]."""
    out = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
    return out.transpose(1, 2).flatten(2)


def rope(x, cos, sin):
    """Interleaved pairs. x [B, N, H, D]; cos and sin [1, N, 1, D/2] in f32."""
    a, b = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2).to(x.dtype)


class WanBlock(nn.Module):
    def __init__(self, width=1536, heads=12, ffn=8960):
        super().__init__()
        self.heads = heads
        for name in ("q", "k", "v", "o", "cq", "ck", "cv", "co"):
            setattr(self, name, nn.Linear(width, width))
        for name in ("nq", "nk", "ncq", "nck"):
            setattr(self, name, nn.RMSNorm(width, eps=1e-6))
        self.norm3 = nn.LayerNorm(width, eps=1e-6)
        self.up, self.down = nn.Linear(width, ffn), nn.Linear(ffn, width)
        self.table = nn.Parameter(torch.randn(1, 6, width) * 0.02)

    def split(self, x):
        return x.unflatten(-1, (self.heads, -1))

    def forward(self, x, text_k, text_v, time, cos, sin):
        m = (self.table + time).chunk(6, 1)
        y = modulate(x, m[0], m[1])
        q = rope(self.split(self.nq(self.q(y))), cos, sin)
        k = rope(self.split(self.nk(self.k(y))), cos, sin)
        x = x + self.o(attend(q, k, self.split(self.v(y)))) * m[2]
        y = self.norm3(x)
        x = x + self.co(attend(self.split(self.ncq(self.cq(y))), text_k, text_v))
        y = modulate(x, m[3], m[4])
        return x + self.down(F.gelu(self.up(y), approximate="tanh")) * m[5]


class DitBlock(nn.Module):
    def __init__(self, width=1152, heads=16):
        super().__init__()
        self.heads = heads
        self.qkv, self.o = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.ada = nn.Linear(width, 6 * width)

    def forward(self, x, c):
        m = self.ada(F.silu(c)).unsqueeze(1).chunk(6, -1)
        q, k, v = self.qkv(modulate(x, m[0], m[1])).unflatten(-1, (3, self.heads, -1)).unbind(2)
        x = x + m[2] * self.o(attend(q, k, v))
        return x + m[5] * self.down(F.gelu(self.up(modulate(x, m[3], m[4])), approximate="tanh"))


class MovieGenBlock(nn.Module):
    def __init__(self, width=6144, heads=48, ffn=16384):
        super().__init__()
        self.heads = heads
        for name in ("q", "k", "v", "o", "cq", "co"):
            setattr(self, name, nn.Linear(width, width, bias=False))
        self.gate, self.up = nn.Linear(width, ffn, bias=False), nn.Linear(width, ffn, bias=False)
        self.down = nn.Linear(ffn, width, bias=False)
        for name in ("norm1", "norm2", "norm3"):
            setattr(self, name, nn.RMSNorm(width, eps=1e-5))
        self.table = nn.Parameter(torch.randn(1, 6, width) * 0.02)

    def split(self, x):
        return x.unflatten(-1, (self.heads, -1))

    def forward(self, x, text_k, text_v, time):
        m = (self.table + time).chunk(6, 1)
        y = self.norm1(x) * (1 + m[1]) + m[0]
        x = x + self.o(attend(self.split(self.q(y)), self.split(self.k(y)), self.split(self.v(y)))) * m[2]
        x = x + self.co(attend(self.split(self.cq(self.norm2(x))), text_k, text_v))
        y = self.norm3(x) * (1 + m[4]) + m[3]
        return x + self.down(F.silu(self.gate(y)) * self.up(y)) * m[5]


def random(*shape, scale=1.0, dtype=DTYPE):
    return torch.randn(*shape, device=DEVICE, dtype=dtype) * scale


def build(kind, layers):
    """`layers` blocks, each with weights of its own, compiled."""
    with torch.device(DEVICE):
        return [torch.compile(kind().to(DTYPE).eval(), dynamic=False) for _ in range(layers)]


def wan(tokens, layers):
    blocks = build(WanBlock, layers)
    x, time = random(1, tokens, 1536), random(1, 6, 1536, scale=0.1)
    text = [(random(1, 512, 12, 128), random(1, 512, 12, 128)) for _ in blocks]
    angles = torch.rand(1, tokens, 1, 64, device=DEVICE)
    cos, sin = angles.cos(), angles.sin()
    head = nn.Linear(1536, 64).to(DEVICE, DTYPE)

    def forward():
        y = x
        for block, (k, v) in zip(blocks, text):
            y = block(y, k, v, time, cos, sin)
        return head(y)

    return forward


def dit(batch, layers):
    blocks = build(DitBlock, layers)
    x, c = random(batch, 256, 1152), random(batch, 1152)
    head = nn.Linear(1152, 32).to(DEVICE, DTYPE)

    def forward():
        y = x
        for block in blocks:
            y = block(y, c)
        return head(y)

    return forward


def moviegen_layer(tokens):
    block = build(MovieGenBlock, 1)[0]
    x, time = random(1, tokens, 6144), random(1, 6, 6144, scale=0.1)
    k, v = random(1, 768, 48, 128), random(1, 768, 48, 128)
    return lambda: block(x, k, v, time)


def median_ms(forward, runs):
    for _ in range(3):
        forward()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        forward()
    times = []
    for i in range(runs + 3):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        graph.replay()
        end.record()
        end.synchronize()
        if i >= 3:
            times.append(start.elapsed_time(end))
    return statistics.median(times)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=["wan", "dit-xl-2", "moviegen-layer"])
    parser.add_argument("--tokens", type=int, action="append")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--layers", type=int, help="fewer than the model has")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--attention", choices=["cudnn", "flash", "any"], default="cudnn")
    options = parser.parse_args()
    backends = {"cudnn": SDPBackend.CUDNN_ATTENTION, "flash": SDPBackend.FLASH_ATTENTION}
    chosen = sdpa_kernel(backends[options.attention]) if options.attention != "any" else contextlib.nullcontext()
    cases = {
        "wan": lambda n: wan(n, options.layers or 30),
        "dit-xl-2": lambda _: dit(options.batch, options.layers or 28),
        "moviegen-layer": moviegen_layer,
    }
    with torch.inference_mode(), chosen:
        for tokens in options.tokens or [14040]:
            forward = cases[options.model](tokens)
            result = {"model": options.model, "attention": options.attention, "milliseconds": median_ms(forward, options.runs)}
            if options.model != "dit-xl-2":
                result["tokens"] = tokens
            print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
