"""Toybox DiT: the velocity of noisy video and audio latents, given time, text and known latents.

One sequence of tokens: video in (t, h, w) order, then audio. Patch size 1: one token a latent.
 video  [B, L, h, w, 16]   one latent = 8 frames = 0.5 s
 audio  [B, A, 32]         one latent = 640 samples = 0.04 s;  A = ceil(frames * 25 / 16)
Masks, one channel: 1 the latent is known; 0 unknown; video also 0.5 / -0.5: only the first / last frame
of the latent's eight is known, and the known latent is that frame encoded alone as an image (T = 1).
Known latents are zero where the mask is zero. All latents are normalised by the recipe's mean and std.
"""
from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from config import DitConfig
from layers import Attention, Linear, RmsNorm, SwiGlu, rms_norm, rope_frequencies
from text_encoder import key_mask


def time_features(time: Tensor, width: int, max_period: float) -> Tensor:
    """[cos, sin] of 1000 t max_period^(-i/half), i = 0..half-1: [B] -> [B, width], f32."""
    half = width // 2
    frequencies = torch.exp(-math.log(max_period) * torch.arange(half, device=time.device) / half)
    angles = 1000.0 * time.float()[:, None] * frequencies[None]
    return torch.cat([angles.cos(), angles.sin()], -1)


def axis(count: int, device=None) -> Tensor:
    """Cell centres of [-1, 1] cut into `count`: (2 i + 1) / count - 1."""
    return (2.0 * torch.arange(count, device=device, dtype=torch.float32) + 1.0) / count - 1.0


def positions(c: DitConfig, latents: int, height: int, width: int, audio: int, device=None):
    """Rope table and coordinates of every token; functions of the shape alone.

    rope   [2, N, head_dim/2]: pairs first for t, then h, then w. The unit of t is 0.04 s:
           video (l + 0.5) * 12.5, audio a + 0.5. h and w are latent indices; audio has h = w = 0.
    video coordinates [L*h*w, 3]: (t, y, x) in [-1, 1]; audio coordinates [A, 1]: t in [-1, 1].
    """
    f64 = dict(dtype=torch.float64, device=device)
    grid = torch.meshgrid((torch.arange(latents, **f64) + 0.5) * 12.5, torch.arange(height, **f64),
                          torch.arange(width, **f64), indexing="ij")
    video = torch.stack([g.reshape(-1) for g in grid], -1)
    sound = torch.zeros(audio, 3, **f64)
    sound[:, 0] = torch.arange(audio, **f64) + 0.5
    points = torch.cat([video, sound])                                            # [N, 3]
    angles = torch.cat([points[:, i:i + 1] * rope_frequencies(p, c.rope_theta).to(device)
                        for i, p in enumerate(c.rope_pairs)], -1)
    rope = torch.stack([angles.cos(), angles.sin()]).float()
    grid = torch.meshgrid(axis(latents, device), axis(height, device), axis(width, device),
                          indexing="ij")
    return rope, torch.stack([g.reshape(-1) for g in grid], -1), axis(audio, device)[:, None]


class DitBlock(nn.Module):
    """Self-attention, cross-attention to text, SwiGLU; time modulates the first and the last.

    modulation is time_projection + table, [B, 6, C]: shift, scale, gate of attention, then of the FFN.
    """

    def __init__(self, c: DitConfig):
        super().__init__()
        self.epsilon = c.norm_epsilon
        self.attn = Attention(c.width, c.head_dim, c.norm_epsilon)
        self.cross_norm = RmsNorm(c.width, c.norm_epsilon)
        self.cross = Attention(c.width, c.head_dim, c.norm_epsilon, c.text_width)
        self.ffn = SwiGlu(c.width, c.ffn)
        self.table = nn.Parameter(torch.zeros(6, c.width))
        nn.init.zeros_(self.cross.o.weight)

    def forward(self, x: Tensor, text: Tensor, mask: Tensor, time: Tensor, rope: Tensor) -> Tensor:
        m = time + self.table.float()                                             # [B, 6, C], f32
        shift1, scale1, gate1, shift2, scale2, gate2 = m.to(x.dtype).unsqueeze(2).unbind(1)
        h = rms_norm(x, None, self.epsilon) * (1 + scale1) + shift1
        x = x + gate1 * self.attn(h, rope=rope)
        x = x + self.cross(self.cross_norm(x), context=text, mask=mask)
        h = rms_norm(x, None, self.epsilon) * (1 + scale2) + shift2
        return x + gate2 * self.ffn(h)


class Dit(nn.Module):
    def __init__(self, c: DitConfig):
        super().__init__()
        self.config = c
        self.video_in = Linear(2 * c.video_channels + 1, c.width)     # [noisy, known, mask]
        self.video_position = Linear(3, c.width, bias=False)
        self.audio_in = Linear(2 * c.audio_channels + 1, c.width)
        self.audio_position = Linear(1, c.width, bias=False)
        self.time_in = Linear(c.time_features, c.width)
        self.time_out = Linear(c.width, c.width)
        self.time_projection = Linear(c.width, 6 * c.width)
        self.blocks = nn.ModuleList(DitBlock(c) for _ in range(c.layers))
        self.table = nn.Parameter(torch.zeros(2, c.width))            # shift, scale of the last norm
        self.video_out = Linear(c.width, c.video_channels)
        self.audio_out = Linear(c.width, c.audio_channels)
        for layer in (self.time_projection, self.video_out, self.audio_out):
            nn.init.zeros_(layer.weight)

    def forward(self, video: Tensor, video_known: Tensor, video_mask: Tensor, audio: Tensor,
                audio_known: Tensor, audio_mask: Tensor, time: Tensor, text: Tensor,
                text_lengths: Tensor, tables=None) -> tuple[Tensor, Tensor]:
        """Masks [B, L, h, w, 1] and [B, A, 1]; time [B] in [0, 1], 1 = noise; text [B, M, 192].

        Gives velocities shaped like video and audio. `tables` may hold positions(...) made before.
        """
        c = self.config
        b, l, h, w, _ = video.shape
        a = audio.shape[1]
        rope, video_at, audio_at = tables or positions(c, l, h, w, a, video.device)
        v = torch.cat([video, video_known, video_mask], -1).reshape(b, l * h * w, -1)
        s = torch.cat([audio, audio_known, audio_mask], -1)
        x = torch.cat([self.video_in(v) + self.video_position(video_at),
                       self.audio_in(s) + self.audio_position(audio_at)], 1)       # [B, N, C]
        embedding = self.time_out(F.silu(self.time_in(
            time_features(time, c.time_features, c.time_max_period))))             # [B, C]
        modulation = self.time_projection(F.silu(embedding)).float().unflatten(-1, (6, c.width))
        mask = key_mask(text_lengths, text.shape[1])
        for block in self.blocks:
            x = block(x, text, mask, modulation, rope)
        shift, scale = (embedding.float()[:, None] + self.table.float()).unsqueeze(2).unbind(1)
        x = rms_norm(x, None, c.norm_epsilon) * (1 + scale.to(x.dtype)) + shift.to(x.dtype)
        v, s = x[:, : l * h * w], x[:, l * h * w:]
        return self.video_out(v).reshape(b, l, h, w, -1), self.audio_out(s)
