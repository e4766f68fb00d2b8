"""Trains the audio codec on synthesised sound until its time is up.

Loss: L1 of the waveform, and at six resolutions the L1 of the magnitudes and of their logarithms, for left, right
and side. Short windows keep impacts sharp.
"""
from __future__ import annotations

import argparse
import pathlib
import time

import torch
from torch import Tensor

import toydata
from toydata import sound
from codec import Codec
from common import Clock, autocast, counted, log, save, setup
from config import ToyboxConfig
from optim import Average, Optimizer, learning_rate

WINDOWS = (2048, 1024, 512, 256, 128, 64)


def draw(batch: int, frames: int, seed: int, device: str) -> Tensor:
    """[batch, S, 2], S whole latents, with random start, gain, and now and then the other stereo side."""
    spec = toydata.sample_specs(batch, seed).to(device)
    spec.first = spec.first - torch.rand(batch, 1, device=device) * 1.0
    audio = sound.synthesise(spec, frames)
    audio = audio[:, : audio.shape[1] // 640 * 640]
    gain = 0.5 + torch.rand(batch, 1, 1, device=device)
    audio = audio * torch.where(torch.rand(batch, 1, 1, device=device) < 0.5, gain, 1.0)
    swap = torch.rand(batch, 1, 1, device=device) < 0.3
    return torch.where(swap, audio.flip(-1), audio).clamp(-1, 1)


def magnitudes(x: Tensor, window: int) -> Tensor:
    """[rows, S] -> [rows, bins, frames], scaled so that a full-scale sine is near 1."""
    w = torch.hann_window(window, device=x.device)
    s = torch.stft(x, window, window // 4, window=w, return_complex=True, pad_mode="constant")
    return torch.view_as_real(s).square().sum(-1).add(1e-10).sqrt() * (2 / window)


def views(x: Tensor) -> Tensor:
    """Left, right and side as rows."""
    left, right = x.unbind(-1)
    return torch.cat([left, right, left - right])


def spectral(x: Tensor, y: Tensor) -> Tensor:
    total = 0.0
    for window in WINDOWS:
        a, b = magnitudes(views(x), window), magnitudes(views(y), window)
        total = total + (a - b).abs().mean() / (a.mean() + 1e-4) + (
            (a + 1e-3).log() - (b + 1e-3).log()).abs().mean()
    return total / len(WINDOWS)


def reconstruct(codec: Codec, audio: Tensor, noise: float, freeze: bool) -> tuple[Tensor, Tensor]:
    with torch.set_grad_enabled(not freeze):
        z = codec.encode(audio).float()
    return codec.decode(z + noise * torch.randn_like(z)).float(), z.square().mean()


def main() -> None:
    p = argparse.ArgumentParser()
    p.add_argument("--out", required=True, help="folder for codec.pt")
    p.add_argument("--init", help="start from this codec.pt")
    p.add_argument("--seconds", type=float, default=250)
    p.add_argument("--batch", type=int, default=24)
    p.add_argument("--frames", type=int, default=32)
    p.add_argument("--lr", type=float, default=2e-3)
    p.add_argument("--noise", type=float, default=0.05)
    p.add_argument("--freeze-encoder", action="store_true")
    p.add_argument("--duty", type=float, default=1.0)
    p.add_argument("--eager", action="store_true")
    p.add_argument("--device", default="cuda")
    p.add_argument("--seed", type=int, default=2)
    a = p.parse_args()
    setup(a.device, a.seed)
    out = pathlib.Path(a.out)
    out.mkdir(parents=True, exist_ok=True)
    codec = Codec(ToyboxConfig().codec).to(a.device)
    state = torch.load(a.init, map_location=a.device) if a.init else None
    if state:
        codec.load_state_dict(state["model"])
    codec.encoder.requires_grad_(not a.freeze_encoder)
    average = Average(codec, 0.998)
    muon = lambda n, w: w.dim() >= 3 and "output" not in n and "input" not in n
    optimizer = Optimizer(list(codec.named_parameters()), muon)
    forward = reconstruct if a.eager else torch.compile(reconstruct, dynamic=False)
    clock, step, last = Clock(a.seconds), 0, time.time()
    while clock.progress < 1:
        began = time.time()
        audio = draw(a.batch, a.frames, a.seed * 1_000_000 + step, a.device)
        with autocast(a.device):
            y, power = forward(codec, audio, a.noise, a.freeze_encoder)
        wave, spectrum = (y - audio).abs().mean(), spectral(audio, y)
        (20 * wave + spectrum + 1e-4 * power).backward()
        norm = optimizer.step(learning_rate(a.lr, step, clock.progress))
        average.update()
        step += 1
        if a.duty < 1:
            wave.item()
            time.sleep((time.time() - began) * (1 / a.duty - 1))
        if step % 300 == 1 or step in (2, 20):
            snr = 10 * torch.log10(audio.square().mean() / (y - audio).square().mean())
            log("codec", step=step, seconds=clock.elapsed, wave=wave, spectral=spectrum, snr_db=snr,
                power=power, grad=norm, step_ms=1000 * (time.time() - last) / (300 if step > 300 else 1))
            last = time.time()
    save(out / "codec.pt", {"model": average.module.state_dict(),
                                **counted({"steps": step, "seconds": clock.elapsed}, state)})
    log("codec", done=step, memory_gb=torch.cuda.max_memory_allocated() / 2**30 if a.device == "cuda" else 0)


if __name__ == "__main__":
    main()
