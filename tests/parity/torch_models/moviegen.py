"""Movie Gen Video's DiT in PyTorch, written from the paper (arXiv 2410.13720, section 3.1), for parity.

RMSNorm, full bidirectional attention, SwiGLU, no biases outside embeddings; adaLN for time by one shared
projection with a learned table a block; text encoders joined along the sequence after Linear + LayerNorm;
factorised learned positions, added to every block's input, or 3-D rotary positions.
"""
import math

import torch
import torch.nn.functional as F
from torch import nn


class RMSNorm(nn.Module):
    def __init__(self, width, eps):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(width)), eps

    def forward(self, x):
        return x / (x.pow(2).mean(-1, keepdim=True) + self.eps).sqrt() * self.weight


def linear(i, o, bias=False):
    return nn.Linear(i, o, bias=bias)


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v, self.o = (linear(width, width) for _ in range(4))

    def forward(self, x, context, rotation=None):
        split = lambda y: y.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        q, k, v = split(self.q(x)), split(self.k(context)), split(self.v(context))
        if rotation is not None:  # complex numbers [N, D/2] turn pairs of neighbours
            turn = lambda y: torch.view_as_real(
                torch.view_as_complex(y.unflatten(-1, (-1, 2)).contiguous()) * rotation).flatten(-2)
            q, k = turn(q), turn(k)
        scores = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).softmax(-1)
        return self.o((scores @ v).transpose(1, 2).flatten(-2))


class SwiGLU(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.gate, self.up, self.down = linear(width, hidden), linear(width, hidden), linear(hidden, width)

    def forward(self, x):
        return self.down(F.silu(self.gate(x)) * self.up(x))


class Block(nn.Module):
    def __init__(self, c, ffn=SwiGLU):
        super().__init__()
        self.norm1, self.cross_norm, self.norm2 = (RMSNorm(c["width"], c["eps"]) for _ in range(3))
        self.attn, self.cross = Attention(c["width"], c["heads"]), Attention(c["width"], c["heads"])
        self.ffn = ffn(c["width"], c["ffn"])
        self.modulation = nn.Parameter(torch.randn(6, c["width"]) * 0.3)

    def forward(self, x, context, time, rotation):
        s1, c1, g1, s2, c2, g2 = (time + self.modulation).unsqueeze(2).unbind(1)
        h = self.norm1(x) * (1 + c1) + s1
        x = x + g1 * self.attn(h, h, rotation)
        x = x + self.cross(self.cross_norm(x), context)
        return x + g2 * self.ffn(self.norm2(x) * (1 + c2) + s2)


class MovieGenDit(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c = c
        w = c["width"]
        # A clip that the video is made of comes on channels behind the noise's (sections 3.1.5, 5.1.1).
        self.patch_embedding = nn.Conv3d(32 if c.get("source") else 16, w, (1, 2, 2), (1, 2, 2))
        self.text = nn.ModuleDict({name: nn.ModuleDict({"projection": linear(width, w),
                                                        "norm": nn.LayerNorm(w, eps=c["eps"])})
                                   for name, width in c["text"]})
        self.time = nn.ModuleDict({"in": linear(256, w, True), "out": linear(w, w, True),
                                   "projection": linear(w, 6 * w, True)})
        self.position = nn.ParameterDict() if c["rope"] else nn.ParameterDict(
            {k: nn.Parameter(torch.randn(n, w) * 0.2) for k, n in zip(("frames", "rows", "columns"), c["max"])})
        self.blocks = nn.ModuleList(Block(c) for _ in range(c["layers"]))
        self.head = nn.ModuleDict({"norm": RMSNorm(w, c["eps"]), "out": linear(w, 64)})
        self.head_modulation = nn.Parameter(torch.randn(2, w) * 0.3)
        if c.get("tasks"):  # four embeddings behind the texts' and a vector added to that of time (section 5.1.1)
            self.task = nn.ModuleDict({"embedding_table": nn.Embedding(c["tasks"], w), "text": linear(w, 4 * w, True),
                                       "time": linear(w, w, True)})
        if c.get("reference"):  # tokens of pictures behind the texts' (section 4.1.1)
            self.reference = nn.ModuleDict({"projection": linear(c["reference"], w),
                                            "norm": nn.LayerNorm(w, eps=c["eps"])})
            if c["references"] > 1:
                self.reference_order = nn.Parameter(torch.randn(c["references"], w))

    def forward(self, video, time, texts, source=None, task=None, reference=None):
        if source is not None:
            video = torch.cat([video, source], -1)
        b, t, h, w, _ = video.shape
        rows, columns = h // 2, w // 2
        x = self.patch_embedding(video.permute(0, 4, 1, 2, 3)).flatten(2).transpose(1, 2)
        context = torch.cat([self.text[n]["norm"](self.text[n]["projection"](texts[n])) for n, _ in self.c["text"]], 1)
        if reference is not None:  # [pictures, length, width]
            seen = self.reference["norm"](self.reference["projection"](reference))
            if self.c["references"] > 1:
                seen = seen + self.reference_order[:len(seen), None]
            context = torch.cat([context, seen.flatten(0, 1).expand(b, -1, -1)], 1)
        if task is not None:
            vector = self.task["embedding_table"](task)
            context = torch.cat([context, self.task["text"](vector).unflatten(-1, (4, -1))], 1)
        half = torch.exp(-math.log(10000) * torch.arange(128) / 128)
        angles = 1000 * time[:, None] * half
        e = self.time["out"](F.silu(self.time["in"](torch.cat([angles.cos(), angles.sin()], -1))))
        if task is not None:
            e = e + self.task["time"](vector)
        m = self.time["projection"](F.silu(e)).unflatten(-1, (6, -1))
        grid = torch.stack(torch.meshgrid(torch.arange(t), torch.arange(rows), torch.arange(columns),
                                          indexing="ij"), -1).reshape(-1, 3)
        table = rotation = None
        if self.c["rope"]:
            dim = self.c["width"] // self.c["heads"]
            third = 2 * (dim // 6)
            sizes = (dim - 2 * third, third, third)
            rotation = torch.cat([torch.polar(torch.ones(()), (grid[:, i:i + 1] * 10000.0 ** (
                -torch.arange(0, n, 2) / n))) for i, n in enumerate(sizes)], -1)
        else:
            table = sum(self.position[k][grid[:, i]] for i, k in enumerate(("frames", "rows", "columns")))
        for block in self.blocks:
            x = block(x if table is None else x + table, context, m, rotation)
        shift, scale = (e[:, None] + self.head_modulation).unsqueeze(2).unbind(1)
        x = self.head["out"](self.head["norm"](x) * (1 + scale) + shift)
        x = x.reshape(b, t, rows, columns, 1, 2, 2, 16).permute(0, 1, 4, 2, 5, 3, 6, 7)
        return x.reshape(b, t, h, w, 16)
