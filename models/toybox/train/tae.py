"""Toybox TAE: video [B, T, H, W, 3] in [-1, 1] <-> latents [B, ceil(T/8), H/8, W/8, 16].

H and W are multiples of 8 and T >= 1. A still image is T = 1. Because time is padded by replication at
every layer, an image encodes to the latent of an endlessly still clip.
"""
from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from config import TaeConfig
from layers import Conv2Plus1, RmsNorm, SpatialConv, TemporalConv


def unshuffle(x: Tensor) -> Tensor:
    """[B, T, H, W, C] -> [B, T, H/2, W/2, 4C]; channel (dy * 2 + dx) * C + c."""
    b, t, h, w, c = x.shape
    x = x.reshape(b * t * (h // 2), 2, w // 2, 2 * c).transpose(1, 2)
    return x.reshape(b, t, h // 2, w // 2, 4 * c)


def shuffle(x: Tensor) -> Tensor:
    """Inverse of unshuffle: [B, T, H, W, 4C] -> [B, T, 2H, 2W, C]."""
    b, t, h, w, c = x.shape
    x = x.reshape(b * t * h, w, 2, c // 2).transpose(1, 2)
    return x.reshape(b, t, 2 * h, 2 * w, c // 4)


class ResBlock(nn.Module):
    """x + conv2(silu(norm2(conv1(silu(norm1(x)))))), convolutions 2+1-D, norms RMS over channels."""

    def __init__(self, width: int, epsilon: float):
        super().__init__()
        self.norm1 = RmsNorm(width, epsilon)
        self.conv1 = Conv2Plus1(width, width)
        self.norm2 = RmsNorm(width, epsilon)
        self.conv2 = Conv2Plus1(width, width)
        nn.init.zeros_(self.conv2.spatial.weight)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        return x + self.conv2(F.silu(self.norm2(h)))


def blocks(count: int, width: int, epsilon: float) -> nn.Sequential:
    return nn.Sequential(*[ResBlock(width, epsilon) for _ in range(count)])


class Encoder(nn.Module):
    def __init__(self, c: TaeConfig):
        super().__init__()
        w = c.encoder_widths
        self.input = Conv2Plus1(12, w[0])                                  # [B, T, H/2, W/2, w0]
        self.blocks0 = blocks(c.encoder_blocks[0], w[0], c.norm_epsilon)
        self.down0 = Conv2Plus1(w[0], w[1], 2, 2)                          # [B, T/2, H/4, W/4, w1]
        self.blocks1 = blocks(c.encoder_blocks[1], w[1], c.norm_epsilon)
        self.down1 = Conv2Plus1(w[1], w[2], 2, 2)                          # [B, T/4, H/8, W/8, w2]
        self.blocks2 = blocks(c.encoder_blocks[2], w[2], c.norm_epsilon)
        self.down2 = TemporalConv(w[2], 2)                                 # [B, T/8, H/8, W/8, w2]
        self.mid = blocks(c.encoder_mid_blocks, w[2], c.norm_epsilon)
        self.norm = RmsNorm(w[2], c.norm_epsilon)
        self.output = SpatialConv(w[2], c.latent_channels)

    def forward(self, video: Tensor) -> Tensor:
        x = self.blocks0(self.input(unshuffle(video)))
        x = self.blocks1(self.down0(x))
        x = self.blocks2(self.down1(x))
        x = self.mid(self.down2(x))
        return self.output(F.silu(self.norm(x)))


class Up(nn.Module):
    """Nearest x2 in space and a 2-D convolution, then nearest x2 in time and a 1-D convolution."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.spatial = SpatialConv(inputs, outputs)
        self.temporal = TemporalConv(outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.spatial(x.repeat_interleave(2, 2).repeat_interleave(2, 3))
        return self.temporal(x.repeat_interleave(2, 1))


class Decoder(nn.Module):
    def __init__(self, c: TaeConfig):
        super().__init__()
        w = c.decoder_widths
        self.input = Conv2Plus1(c.latent_channels, w[2])                   # [B, L, H/8, W/8, w2]
        self.mid = blocks(c.decoder_mid_blocks, w[2], c.norm_epsilon)
        self.up2 = TemporalConv(w[2])                                      # after nearest x2 in time
        self.blocks2 = blocks(c.decoder_blocks[2], w[2], c.norm_epsilon)   # [B, 2L, H/8, W/8, w2]
        self.up1 = Up(w[2], w[1])                                          # [B, 4L, H/4, W/4, w1]
        self.blocks1 = blocks(c.decoder_blocks[1], w[1], c.norm_epsilon)
        self.up0 = Up(w[1], w[0])                                          # [B, 8L, H/2, W/2, w0]
        self.blocks0 = blocks(c.decoder_blocks[0], w[0], c.norm_epsilon)
        self.norm = RmsNorm(w[0], c.norm_epsilon)
        self.output = Conv2Plus1(w[0], 12)

    def forward(self, latents: Tensor) -> Tensor:
        x = self.mid(self.input(latents))
        x = self.blocks2(self.up2(x.repeat_interleave(2, 1)))
        x = self.blocks1(self.up1(x))
        x = self.blocks0(self.up0(x))
        return shuffle(self.output(F.silu(self.norm(x))))


class Tae(nn.Module):
    """encode gives raw latents; the DiT sees (latent - mean) / std with the recipe's statistics."""

    def __init__(self, c: TaeConfig):
        super().__init__()
        self.config = c
        self.encoder = Encoder(c)
        self.decoder = Decoder(c)

    def encode(self, video: Tensor) -> Tensor:
        return self.encoder(video)

    def decode(self, latents: Tensor, frames: int | None = None) -> Tensor:
        """8 frames a latent; `frames` drops the trailing ones. Values are not clamped."""
        video = self.decoder(latents)
        return video if frames is None else video[:, :frames]
