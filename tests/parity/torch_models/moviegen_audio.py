"""Movie Gen Audio in PyTorch, written from the paper (arXiv 2410.13720, section 6.1), for parity: its transformer, and a
codec as DAC's (arXiv 2306.06546) with a Gaussian latent in place of codes. What the paper leaves open is as
models/moviegen says.
"""
import math

import torch
import torch.nn.functional as F
from torch import nn

from .moviegen import Block, RMSNorm, linear


class Ffn(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.up, self.down = linear(width, hidden), linear(hidden, width)

    def forward(self, x):
        return self.down(F.gelu(self.up(x), approximate="tanh"))


class MovieGenAudioDit(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c, w = c, c["width"]
        self.embedding = linear(2 * c["channels"] + 1, w, True)
        self.picture = nn.ModuleDict({"gate": linear(c["picture"], w), "up": linear(c["picture"], w),
                                      "down": linear(w, w)})
        self.text = nn.ModuleDict({"projection": linear(c["text"], w), "norm": nn.LayerNorm(w, eps=c["eps"])})
        self.time = nn.ModuleDict({"in": linear(256, w, True), "out": linear(w, w, True),
                                   "projection": linear(w, 6 * w, True)})
        self.blocks = nn.ModuleList(Block(c, Ffn) for _ in range(c["layers"]))
        self.head = nn.ModuleDict({"norm": RMSNorm(w, c["eps"]), "out": linear(w, c["channels"])})
        self.head_modulation = nn.Parameter(torch.randn(2, w) * 0.3)

    def forward(self, sound, time, known, known_mask, text, pictures):
        n = sound.shape[1]
        shown = [min(int((i + 0.5) * pictures.shape[1] / n), pictures.shape[1] - 1) for i in range(n)]
        p = pictures[:, shown]
        x = self.embedding(torch.cat([sound, known, known_mask], -1))
        x = x + self.picture["down"](F.silu(self.picture["gate"](p)) * self.picture["up"](p))
        context = self.text["norm"](self.text["projection"](text))
        half = torch.exp(-math.log(10000) * torch.arange(128) / 128)
        angles = 1000 * time[:, None] * half
        e = self.time["out"](F.silu(self.time["in"](torch.cat([angles.cos(), angles.sin()], -1))))
        m = self.time["projection"](F.silu(e)).unflatten(-1, (6, -1))
        pairs = self.c["width"] // self.c["heads"] // 2
        rotation = torch.polar(torch.ones(()), torch.arange(n)[:, None] * 10000.0 ** (-torch.arange(pairs) / pairs))
        for block in self.blocks:
            x = block(x, context, m, rotation)
        shift, scale = (e[:, None] + self.head_modulation).unsqueeze(2).unbind(1)
        return self.head["out"](self.head["norm"](x) * (1 + scale) + shift)


class Snake(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(channels))

    def forward(self, x):
        a = self.alpha[:, None]
        return x + (a * x).sin().pow(2) / (a + 1e-9)


class Residual(nn.Module):
    def __init__(self, channels, dilation):
        super().__init__()
        self.snake1, self.snake2 = Snake(channels), Snake(channels)
        self.conv1 = nn.Conv1d(channels, channels, 7, padding=3 * dilation, dilation=dilation)
        self.conv2 = nn.Conv1d(channels, channels, 1)

    def forward(self, x):
        return x + self.conv2(self.snake2(self.conv1(self.snake1(x))))


class Level(nn.Module):
    """Of the encoder: residual units, then fewer samples; of the decoder: more samples, then the units."""

    def __init__(self, channels, stride, dilations, up):
        super().__init__()
        to = channels // 2 if up else 2 * channels
        self.is_up, self.snake = up, Snake(channels)
        conv = (nn.ConvTranspose1d if up else nn.Conv1d)(channels, to, 2 * stride, stride=stride, padding=stride // 2)
        setattr(self, "up" if up else "down", conv)
        self.residual = nn.ModuleList(Residual(to if up else channels, d) for d in dilations)

    def forward(self, x):
        if self.is_up:
            x = self.up(self.snake(x))
        for unit in self.residual:
            x = unit(x)
        return x if self.is_up else self.down(self.snake(x))


class Half(nn.Module):
    def __init__(self, into, width, strides, dilations, out, last, up):
        super().__init__()
        self.conv_in = nn.Conv1d(into, width, 7, padding=3)
        self.block = nn.ModuleList()
        for stride in strides:
            self.block.append(Level(width, stride, dilations, up))
            width = width // 2 if up else 2 * width
        self.snake_out, self.conv_out = Snake(width), nn.Conv1d(width, out, last, padding=last // 2)

    def forward(self, x):
        x = self.conv_in(x)
        for level in self.block:
            x = level(x)
        return self.conv_out(self.snake_out(x))


class MovieGenCodec(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.encoder = Half(c["channels"], c["encoder"], c["strides"], c["dilations"], 2 * c["latents"], 3, False)
        self.decoder = Half(c["latents"], c["decoder"], c["strides"][::-1], c["dilations"], c["channels"], 7, True)

    def encode(self, sound):  # [B, C, N] to means
        return self.encoder(sound).chunk(2, 1)[0]

    def decode(self, latents):
        return self.decoder(latents).tanh()
