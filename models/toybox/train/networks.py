"""The four Toybox networks under one module, so that state-dict keys are `tae.`, `codec.`, `text.`, `dit.`.

This folder's tae.py, codec.py, text_encoder.py and dit.py are the specification that the runtime's
graphs are checked against; each runs in plain f32 as written.
"""
from __future__ import annotations

import torch
from torch import Tensor, nn

from codec import Codec
from config import ToyboxConfig
from dit import Dit
from tae import Tae
from text_encoder import TextEncoder


class Toybox(nn.Module):
    def __init__(self, config: ToyboxConfig):
        super().__init__()
        self.config = config
        self.tae = Tae(config.tae)
        self.codec = Codec(config.codec)
        self.text = TextEncoder(config.text)
        self.dit = Dit(config.dit)

    def statistics(self, kind: str, device=None) -> tuple[Tensor, Tensor]:
        """Per-channel mean and std of the "video" or "audio" latents."""
        r = self.config.recipe
        return (torch.tensor(getattr(r, f"{kind}_latent_mean"), device=device),
                torch.tensor(getattr(r, f"{kind}_latent_std"), device=device))


def latent_frames(frames: int) -> int:
    return (frames + 7) // 8


def audio_latents(frames: int) -> int:
    """Audio latents of a clip: ceil(frames / 16 s * 25 Hz). A still image (1 frame) has 2, of silence."""
    return (frames * 25 + 15) // 16


def count_parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


if __name__ == "__main__":
    model = Toybox(ToyboxConfig())
    for name, child in model.named_children():
        print(f"{name:6} {count_parameters(child):>10,}")
    print(f"total  {count_parameters(model):>10,}")
