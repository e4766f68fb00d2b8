"""What is known of a clip in training: random masks over the latents, as dit.py describes them."""
from __future__ import annotations

import torch
from torch import Tensor

from sampling import Conditioning

# Shares of the samples; clips of one latent only know "none", "first" and the two whole modalities.
MODES = {"none": 0.55, "first": 0.09, "last": 0.04, "first_last": 0.05, "prefix": 0.06, "suffix": 0.04,
         "gap": 0.05, "video": 0.06, "audio": 0.06}
NAMES = list(MODES)


def draw_modes(batch: int, latents: int, device) -> Tensor:
    """Index into NAMES, [B]."""
    weights = torch.tensor([MODES[n] for n in NAMES], device=device)
    if latents == 1:
        weights = weights * torch.tensor([n in ("none", "video", "audio") for n in NAMES], device=device)
    return torch.multinomial(weights, batch, replacement=True)


def build(modes: Tensor, video: Tensor, audio: Tensor, first: Tensor, last: Tensor) -> Conditioning:
    """video [B, L, h, w, C], audio [B, A, Ca]; first, last [B, h, w, C]: those frames encoded as images.

    A prefix, suffix or gap is known in picture and sound alike, up to a whole video latent (0.5 s).
    """
    b, l = video.shape[:2]
    a, device = audio.shape[1], video.device
    is_mode = lambda *names: torch.stack([modes == NAMES.index(n) for n in names]).any(0)[:, None]
    at = torch.arange(l, device=device)[None]                                     # [1, L]
    cut = 1 + (torch.rand(b, 1, device=device) * max(1, l - 1)).long().clamp(max=max(0, l - 2))
    other = cut + (torch.rand(b, 1, device=device) * (l - cut)).long() + 1
    full = is_mode("video").expand(b, l)
    full = full | (is_mode("prefix") & (at < cut)) | (is_mode("suffix") & (at >= cut))
    full = full | (is_mode("gap") & ((at < cut) | (at >= other)))
    mask = full.to(video.dtype)
    begin, end = is_mode("first", "first_last"), is_mode("last", "first_last")
    mask = torch.where(begin & (at == 0), 0.5, mask)
    mask = torch.where(end & (at == l - 1), -0.5, mask)
    video_mask = mask[:, :, None, None, None]
    known = torch.where(video_mask == 1, video, 0.0)
    known = torch.where(video_mask == 0.5, first[:, None], known)
    known = torch.where(video_mask == -0.5, last[:, None], known)
    # An audio latent is known if its centre lies in a known video latent.
    owner = ((torch.arange(a, device=device) + 0.5) / 12.5).long().clamp(max=l - 1)
    heard = (full & ~is_mode("video"))[:, owner] | is_mode("audio")
    audio_mask = heard.to(audio.dtype)[..., None]
    return Conditioning(known, video_mask.expand(-1, -1, *video.shape[2:4], 1), audio * audio_mask,
                        audio_mask)
