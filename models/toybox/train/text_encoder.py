"""Toybox text encoder: UTF-8 bytes -> [B, M, 192], a small bidirectional transformer.

ids = [BOS, bytes of the caption (at most max_length - 2), EOS, PAD...]; lengths count BOS to EOS. The empty
caption (guidance's other half) is [BOS, EOS]. The PAD row of the table is zero, so the
convolution sees the same values as at the edge of the sequence, and attention masks keys at and beyond
the length: the first `length` outputs do not depend on the padding; the rest are meaningless.
"""
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from config import TextConfig
from layers import Attention, ConvSequence, RmsNorm, SwiGlu, rope_frequencies


def encode_caption(caption: str, c: TextConfig) -> list[int]:
    return [c.bos_id, *caption.encode("utf-8")[: c.max_length - 2], c.eos_id]


def tokenize(captions: list[str], c: TextConfig, pad_to: int | None = None) -> tuple[Tensor, Tensor]:
    """ids [B, M] int64 padded with PAD, lengths [B] int64."""
    rows = [encode_caption(caption, c) for caption in captions]
    width = pad_to or max(map(len, rows))
    ids = torch.full((len(rows), width), c.pad_id, dtype=torch.int64)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
    return ids, torch.tensor([len(row) for row in rows])


def key_mask(lengths: Tensor, size: int) -> Tensor:
    """bool [B, 1, 1, M]: true where a key may be attended to."""
    return (torch.arange(size, device=lengths.device) < lengths[:, None])[:, None, None, :]


class TextBlock(nn.Module):
    def __init__(self, c: TextConfig):
        super().__init__()
        self.norm1 = RmsNorm(c.width, c.norm_epsilon)
        self.attn = Attention(c.width, c.head_dim, c.norm_epsilon)
        self.norm2 = RmsNorm(c.width, c.norm_epsilon)
        self.ffn = SwiGlu(c.width, c.ffn)

    def forward(self, x: Tensor, rope: Tensor, mask: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x), rope=rope, mask=mask)
        return x + self.ffn(self.norm2(x))


class TextEncoder(nn.Module):
    def __init__(self, c: TextConfig):
        super().__init__()
        self.config = c
        self.embed = nn.Embedding(c.vocabulary_size, c.width, padding_idx=c.pad_id)
        self.conv = ConvSequence(c.width, c.width, c.conv_kernel)
        self.blocks = nn.ModuleList(TextBlock(c) for _ in range(c.layers))
        self.norm = RmsNorm(c.width, c.norm_epsilon)

    def rope(self, length: int, device=None) -> Tensor:
        """[2, M, head_dim/2] at positions 0, 1, 2, ..."""
        angles = torch.outer(torch.arange(length, dtype=torch.float64),
                             rope_frequencies(self.config.head_dim // 2, self.config.rope_theta))
        return torch.stack([angles.cos(), angles.sin()]).float().to(device)

    def forward(self, ids: Tensor, lengths: Tensor, rope: Tensor | None = None) -> Tensor:
        x = self.embed(ids)                                        # [B, M, C]
        x = x + F.silu(self.conv(x))
        mask = key_mask(lengths, ids.shape[1])
        rope = self.rope(ids.shape[1], ids.device) if rope is None else rope
        for block in self.blocks:
            x = block(x, rope, mask)
        return self.norm(x)
