"""Layers shared by the Toybox networks. Activations are channels-last: [..., C].

Everything here is made of ops that the runtime has: linear, conv, pad, rms_norm, rope, attention,
silu, sin and elementwise arithmetic. Weights keep PyTorch's layouts: linear [out, in],
conv1d [out, in, k], conv2d [out, in, kh, kw].
"""
from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class RmsNorm(nn.Module):
    """x / sqrt(mean(x^2) + eps) over the last axis, times weight [C] when affine. Computed in f32."""

    def __init__(self, width: int, epsilon: float, affine: bool = True):
        super().__init__()
        self.epsilon = epsilon
        self.weight = nn.Parameter(torch.ones(width)) if affine else None

    def forward(self, x: Tensor) -> Tensor:
        return rms_norm(x, self.weight, self.epsilon)


def rms_norm(x: Tensor, weight: Tensor | None, epsilon: float) -> Tensor:
    f = x.float()
    y = f * torch.rsqrt(f.square().mean(-1, keepdim=True) + epsilon)
    if weight is not None:
        y = y * weight.float()
    return y.to(x.dtype)


class SpatialConv(nn.Module):
    """2-D convolution of every frame, zero padding k//2: [B, T, H, W, I] -> [B, T, H/s, W/s, O]."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1):
        super().__init__()
        self.stride, self.pad = stride, kernel // 2
        self.weight = nn.Parameter(torch.empty(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))
        nn.init.kaiming_normal_(self.weight, nonlinearity="linear")

    def forward(self, x: Tensor) -> Tensor:
        b, t, h, w, c = x.shape
        y = F.conv2d(x.reshape(b * t, h, w, c).permute(0, 3, 1, 2), self.weight, self.bias,
                     stride=self.stride, padding=self.pad).permute(0, 2, 3, 1)
        return y.reshape(b, t, y.shape[1], y.shape[2], y.shape[3])


class TemporalConv(nn.Module):
    """1-D convolution along time, kernel 3, one replicated frame on either side.

    [B, T, H, W, C] -> [B, ceil(T / stride), H, W, C]; weight [C, C, 3].
    Starts as the identity, so a fresh network is its image network applied to every frame.
    """

    def __init__(self, width: int, stride: int = 1):
        super().__init__()
        self.stride = stride
        self.weight = nn.Parameter(torch.empty(width, width, 3))
        self.bias = nn.Parameter(torch.zeros(width))
        nn.init.dirac_(self.weight)
        with torch.no_grad():
            self.weight.add_(torch.randn_like(self.weight) * (0.1 / math.sqrt(3 * width)))

    def forward(self, x: Tensor) -> Tensor:
        b, _, h, w, c = x.shape
        x = torch.cat([x[:, :1], x, x[:, -1:]], 1)
        x = x.reshape(b, x.shape[1], h * w, c).permute(0, 3, 1, 2)      # [B, C, T + 2, H*W]
        y = F.conv2d(x, self.weight.unsqueeze(-1), self.bias, stride=(self.stride, 1))
        y = y.permute(0, 2, 3, 1)
        return y.reshape(b, y.shape[1], h, w, c)


class Conv2Plus1(nn.Module):
    """Movie Gen's inflated convolution: 2-D in space, then 1-D in time (arXiv 2410.13720, 3.1.1)."""

    def __init__(self, inputs: int, outputs: int, spatial_stride: int = 1, temporal_stride: int = 1):
        super().__init__()
        self.spatial = SpatialConv(inputs, outputs, 3, spatial_stride)
        self.temporal = TemporalConv(outputs, temporal_stride)

    def forward(self, x: Tensor) -> Tensor:
        return self.temporal(self.spatial(x))


class ConvSequence(nn.Module):
    """1-D convolution with zero padding: [B, L, I] -> [B, L/stride, O]; weight [O, I, k].

    stride 1: k odd, padding dilation*(k-1)/2 on both sides. stride s: k = 2s, s zeros in all,
    floor(s/2) of them before.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, dilation: int = 1):
        super().__init__()
        self.stride, self.dilation = stride, dilation
        total = dilation * (kernel - 1) if stride == 1 else kernel - stride
        self.pad = (total // 2, total - total // 2)
        self.weight = nn.Parameter(torch.empty(outputs, inputs, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))
        nn.init.kaiming_normal_(self.weight, nonlinearity="linear")

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(x, (0, 0, self.pad[0], self.pad[1]))
        x = x.unsqueeze(1).permute(0, 3, 1, 2)       # [B, C, 1, L]: a 2-D convolution keeps the layout
        y = F.conv2d(x, self.weight.unsqueeze(2), self.bias, (1, self.stride), 0, (1, self.dilation))
        return y.permute(0, 2, 3, 1).squeeze(1)


class Snake(nn.Module):
    """x + sin(alpha x)^2 / (alpha + 1e-9), alpha one a channel (arXiv 2006.08195)."""

    def __init__(self, width: int):
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.sin(self.alpha * x).square() / (self.alpha + 1e-9)


class Linear(nn.Linear):
    """x W^T + b, initialised normal(0, 1/sqrt(in)); bias zero."""

    def reset_parameters(self) -> None:
        nn.init.normal_(self.weight, std=1 / math.sqrt(self.in_features))
        if self.bias is not None:
            nn.init.zeros_(self.bias)


class SwiGlu(nn.Module):
    """down(silu(gate x) * (up x)), no biases."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.gate = Linear(width, hidden, bias=False)
        self.up = Linear(width, hidden, bias=False)
        self.down = Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.silu(self.gate(x)) * self.up(x))


class Attention(nn.Module):
    """Multi-head attention, no biases, q and k RMS-normalised over each head; rope on self-attention.

    x [B, N, C]; context [B, M, Cc] for cross-attention; mask bool [B, 1, 1, M] (true = attend).
    """

    def __init__(self, width: int, head_dim: int, epsilon: float, context_width: int | None = None):
        super().__init__()
        self.head_dim = head_dim
        context_width = context_width or width
        self.q = Linear(width, width, bias=False)
        self.k = Linear(context_width, width, bias=False)
        self.v = Linear(context_width, width, bias=False)
        self.o = Linear(width, width, bias=False)
        self.q_norm = RmsNorm(head_dim, epsilon)
        self.k_norm = RmsNorm(head_dim, epsilon)

    def forward(self, x: Tensor, context: Tensor | None = None, rope: Tensor | None = None,
                mask: Tensor | None = None) -> Tensor:
        context = x if context is None else context
        b, n, c = x.shape
        q = self.q_norm(self.q(x).reshape(b, n, -1, self.head_dim))
        k = self.k_norm(self.k(context).reshape(b, context.shape[1], -1, self.head_dim))
        v = self.v(context).reshape(b, context.shape[1], -1, self.head_dim)
        if rope is not None:
            q, k = apply_rope(q, rope), apply_rope(k, rope)
        y = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2),
                                           attn_mask=mask)           # scale 1/sqrt(head_dim)
        return self.o(y.transpose(1, 2).reshape(b, n, c))


def apply_rope(x: Tensor, rope: Tensor) -> Tensor:
    """Turns the pairs (2i, 2i+1) of every head. x [B, N, heads, D]; rope [2, N, D/2]: cos, sin in f32."""
    cos, sin = rope[0][None, :, None, :], rope[1][None, :, None, :]
    f = x.float().unflatten(-1, (-1, 2))
    a, b = f[..., 0], f[..., 1]
    return torch.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2).to(x.dtype)


def rope_frequencies(pairs: int, theta: float) -> Tensor:
    """theta^(-i / pairs), i = 0..pairs-1, f64."""
    return theta ** (-torch.arange(pairs, dtype=torch.float64) / pairs)
