"""Flow-matching sampling with guidance; the reference for the runtime's sampler.

z_t = t eps + (1 - (1 - sigma_min) t) z_0, velocity v = eps - (1 - sigma_min) z_0. Euler goes from t = 1 to 0:
z <- z - (t_i - t_{i+1}) v. Guidance: v = v_empty + g (v_caption - v_empty), both modalities alike.
"""
from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dit import positions
from networks import Toybox


@dataclass
class Conditioning:
    """Known latents (normalised, zero where unknown) and masks; see dit.py."""
    video_known: Tensor
    video_mask: Tensor
    audio_known: Tensor
    audio_mask: Tensor

    @staticmethod
    def none(video: Tensor, audio: Tensor) -> "Conditioning":
        return Conditioning(torch.zeros_like(video), torch.zeros_like(video[..., :1]),
                            torch.zeros_like(audio), torch.zeros_like(audio[..., :1]))


def schedule(steps: int, kind: str = "linear", shift: float = 1.0) -> list[float]:
    """steps + 1 times from 1 to 0. "shifted": t = s u / (1 + (s - 1) u) of linear u."""
    times = [1.0 - i / steps for i in range(steps + 1)]
    if kind == "shifted":
        times = [shift * u / (1.0 + (shift - 1.0) * u) for u in times]
    elif kind != "linear":
        raise ValueError(f"unknown schedule {kind}")
    return times


@torch.no_grad()
def denoise(model: Toybox, video: Tensor, audio: Tensor, text: Tensor, lengths: Tensor,
            empty: Tensor, empty_lengths: Tensor, times: list[float], guidance: float,
            known: Conditioning | None = None) -> tuple[Tensor, Tensor]:
    """video, audio: noise at t = 1. Text outputs of the caption and of the empty caption, same M."""
    known = known or Conditioning.none(video, audio)
    b, l, h, w, _ = video.shape
    tables = positions(model.config.dit, l, h, w, audio.shape[1], video.device)
    both = torch.cat([text, empty]), torch.cat([lengths, empty_lengths])
    twice = lambda x: torch.cat([x, x])
    fixed = [twice(x) for x in (known.video_known, known.video_mask, known.audio_known,
                                known.audio_mask)]
    for now, after in zip(times[:-1], times[1:]):
        time = torch.full((2 * b,), now, device=video.device)
        v, s = model.dit(twice(video), fixed[0], fixed[1], twice(audio), fixed[2], fixed[3], time,
                         *both, tables)
        v, s = v.float(), s.float()
        video = video - (now - after) * (v[b:] + guidance * (v[:b] - v[b:]))
        audio = audio - (now - after) * (s[b:] + guidance * (s[:b] - s[b:]))
    # Wholly known latents are what was given, not what the network made of them.
    video = torch.where(known.video_mask == 1, known.video_known, video)
    audio = torch.where(known.audio_mask == 1, known.audio_known, audio)
    return video, audio


@torch.no_grad()
def decode(model: Toybox, video: Tensor, audio: Tensor, frames: int) -> tuple[Tensor, Tensor]:
    """Normalised latents -> frames [B, T, H, W, 3] and samples [B, S, 2], both clamped to [-1, 1]."""
    mean, std = model.statistics("video", video.device)
    pixels = model.tae.decode(video * std + mean, frames)
    mean, std = model.statistics("audio", audio.device)
    samples = model.codec.decode(audio * std + mean)
    samples = samples[:, : frames * model.config.recipe.sample_rate // model.config.recipe.fps]
    return pixels.float().clamp(-1, 1), samples.float().clamp(-1, 1)
