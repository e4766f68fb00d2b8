#!/usr/bin/env python3
"""PyTorch at the networks of `zoetrope bench model`, for the same machine in the same minutes.

    zoetrope bench model --models wan2.1-1.3b,dit-xl-2 --devices cuda --list --json cases.json
    python3 bench/peers/torch_models.py --cases cases.json --json torch.json

Plain implementations with random weights: every block through torch.compile, attention through cuDNN where PyTorch offers
it, the whole forward replayed as one CUDA graph. Wan, DiT and Movie Gen (of which --layers may take a part: 48 of them fill
a device); other networks are skipped.
"""
import contextlib

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

import schema
from torch_timing import DTYPES, device_name, samples_of, version

DEVICE, DTYPE = "cuda", torch.bfloat16  # set by main()


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


def random(*shape, scale=1.0):
    return torch.randn(*shape, device=DEVICE, dtype=DTYPE) * scale


def build(kind, layers, compiled):
    """`layers` blocks, each with weights of its own."""
    with torch.device(DEVICE):
        blocks = [kind().to(DTYPE).eval() for _ in range(layers)]
    return [torch.compile(b, dynamic=False) for b in blocks] if compiled else blocks


def wan(tokens, symbols, layers, compiled):
    blocks = build(WanBlock, layers or 30, compiled)
    batch, length = symbols.get("batch", 1), symbols.get("text_length", 512)
    x, time = random(batch, tokens, 1536), random(batch, 6, 1536, scale=0.1)
    text = [(random(batch, length, 12, 128), random(batch, length, 12, 128)) for _ in blocks]
    angles = torch.rand(1, tokens, 1, 64, device=DEVICE)
    cos, sin = angles.cos(), angles.sin()
    head = nn.Linear(1536, 64).to(DEVICE, DTYPE)

    def forward():
        y = x
        for block, (k, v) in zip(blocks, text):
            y = block(y, k, v, time, cos, sin)
        return head(y)

    return forward


def dit(tokens, symbols, layers, compiled):
    blocks = build(DitBlock, layers or 28, compiled)
    batch = symbols.get("batch", 2)
    x, c = random(batch, tokens, 1152), random(batch, 1152)
    head = nn.Linear(1152, 32).to(DEVICE, DTYPE)

    def forward():
        y = x
        for block in blocks:
            y = block(y, c)
        return head(y)

    return forward


def moviegen(tokens, symbols, layers, compiled):
    blocks = build(MovieGenBlock, layers or 48, compiled)
    length = sum(n for name, n in symbols.items() if name.endswith("_length")) or 768
    x, time = random(1, tokens, 6144), random(1, 6, 6144, scale=0.1)
    k, v = random(1, length, 48, 128), random(1, length, 48, 128)

    def forward():
        y = x
        for block in blocks:
            y = block(y, k, v, time)
        return y

    return forward


NETWORKS = {"wan2.1-1.3b": wan, "dit-xl-2": dit, "moviegen-30b": moviegen}


def main():
    global DEVICE, DTYPE
    p = schema.parser(__doc__)
    p.add_argument("--cases", required=True, help="a JSON file of ours: its networks are measured")
    p.add_argument("--filter", action="append", default=[], help="only names that contain it")
    p.add_argument("--dtypes", default="bf16", help="only these, such as bf16,f16")
    p.add_argument("--layers", type=int, default=0, help="fewer than the model has; its name then says so")
    p.add_argument("--attention", choices=["cudnn", "flash", "any"], default="cudnn")
    p.add_argument("--eager", action="store_true", help="without torch.compile")
    args = p.parse_args()
    DEVICE = args.device
    ways = {"cudnn": SDPBackend.CUDNN_ATTENTION, "flash": SDPBackend.FLASH_ATTENTION}
    report = schema.Report("pytorch", f"{version()}, {'eager' if args.eager else 'torch.compile'}, {args.attention} attention")
    report.device(args.device, device_name(args.device))
    for row in schema.read_cases(args.cases, "model", args.filter):
        if row["dtype"] not in args.dtypes.split(","):
            continue
        DTYPE = DTYPES[row["dtype"]]
        model = row["name"].split()[0]
        name = row["name"] + (f", {args.layers} layers" if args.layers else "")
        common = dict(device=args.device, dtype=row["dtype"], tokens=row.get("tokens"), family=row.get("family"),
                      flops=0 if args.layers else row.get("flops", 0))
        if model not in NETWORKS:
            report.row("model", name, skipped="not one of " + ", ".join(NETWORKS), **common)
            continue
        try:
            way = contextlib.nullcontext() if args.attention == "any" else sdpa_kernel(ways[args.attention])
            with torch.inference_mode(), way:
                forward = NETWORKS[model](row["tokens"], row.get("symbols", {}), args.layers, not args.eager)
                for _ in range(2):
                    forward()
                samples, calls = samples_of(forward, args.runs, args.device)
            report.row("model", name, samples=samples, calls_a_sample=calls, **common)
        except Exception as e:  # out of memory, mostly: this row's error
            report.row("model", name, error=e, **common)
        forward = None
        if args.device.startswith("cuda"):
            torch.cuda.empty_cache()
    report.write(args.json)


if __name__ == "__main__":
    main()
