"""Trains the temporal autoencoder on rendered clips until its time is up.

Few shapes, 128 x 128 by default, short clips and long: latents at the ends of a clip see other neighbours than those
inside. Scenes are rendered at 64..160 px and tiled or cropped.
Some clips are frozen from a random frame on: replicate padding in time makes a still image, or the end of a clip of
odd length, look like a frozen clip. The decoder sees latents with noise, and a small penalty keeps
them near unit size, so that it forgives what the DiT gets slightly wrong.
"""
from __future__ import annotations

import argparse
import math
import pathlib
import random
import time

import torch
from torch import Tensor

import toydata
from common import Clock, autocast, counted, log, save, setup
from config import ToyboxConfig
from optim import Average, Optimizer, learning_rate
from tae import Tae

SIZES = [(128, 8), (160, 2), (144, 1), (112, 1), (96, 2), (80, 1), (64, 2)]


def draw(batch: int, frames: int, size: int, seed: int, device: str, rng: random.Random) -> Tensor:
    """[batch, frames, size, size, 3]: the scenes of this seed at one random resolution."""
    sizes, weights = zip(*SIZES)
    side = rng.choices(sizes, weights)[0] * size // 128 // 8 * 8
    tiles = -(-size // side) if side < size else 1
    spec = toydata.sample_specs(batch * tiles * tiles, seed).to(device)
    # Half of the clips start later than the first frame, so that every phase of a motion is seen.
    spec.first = spec.first - torch.rand(len(spec), 1, device=device) * 1.5
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    video = toydata.render(spec, frames, side, side, dtype=dtype, audio=False)["video"]
    if tiles > 1:
        v = video.view(batch, tiles, tiles, frames, side, side, 3).permute(0, 3, 1, 4, 2, 5, 6)
        video = v.reshape(batch, frames, tiles * side, tiles * side, 3)
    y, x = (rng.randrange(n - size + 1) for n in video.shape[2:4])
    video = video[:, :, y:y + size, x:x + size]
    stop = torch.full((batch,), frames - 1, device=device)
    frozen = torch.rand(batch, device=device)
    stop = torch.where(frozen < 0.06, 0, stop)
    stop = torch.where(frozen > 0.88, torch.randint(frames, (batch,), device=device), stop)
    index = torch.minimum(torch.arange(frames, device=device)[None], stop[:, None])
    return video[torch.arange(batch, device=device)[:, None], index]


def loss_of(tae: Tae, video: Tensor, noise: float, freeze: bool) -> tuple[Tensor, Tensor, Tensor]:
    with torch.set_grad_enabled(not freeze):
        z = tae.encode(video).float()
    y = tae.decode(z + noise * torch.randn_like(z)).float()
    error = y - video.float()
    mse = error.square().mean()
    return error.abs().mean() + 4 * mse + 1e-4 * z.square().mean(), mse, z.square().mean()


def psnr(tae: Tae, device: str, frames: int = 32, size: int = 128, count: int = 64) -> float:
    """Mean over held-out clips of 10 log10(4 / mse), pixels in [-1, 1] clamped."""
    spec = toydata.evaluation_specs(count).to(device)
    values = []
    with torch.no_grad(), autocast(device):
        for i in range(0, count, 8):
            video = toydata.render(spec[i:i + 8], frames, size, size, audio=False)["video"]
            y = tae.decode(tae.encode(video), frames).float().clamp(-1, 1)
            values += (y - video).square().mean((1, 2, 3, 4)).tolist()
    return sum(10 * math.log10(4 / v) for v in values) / count


def main() -> None:
    p = argparse.ArgumentParser()
    p.add_argument("--out", required=True, help="folder for tae.pt")
    p.add_argument("--init", help="start from this tae.pt")
    p.add_argument("--seconds", type=float, default=300)
    p.add_argument("--clips", default="16x16:0.4,5x48:0.6", help="batch x frames : share of the steps, ...")
    p.add_argument("--size", type=int, default=128)
    p.add_argument("--lr", type=float, default=2e-3)
    p.add_argument("--adam", action="store_true", help="AdamW for every weight")
    p.add_argument("--noise", type=float, default=0.1)
    p.add_argument("--freeze-encoder", action="store_true")
    p.add_argument("--duty", type=float, default=1.0, help="share of the time to work, the rest asleep")
    p.add_argument("--eager", action="store_true")
    p.add_argument("--device", default="cuda")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--name", default="tae")
    a = p.parse_args()
    setup(a.device, a.seed)
    out = pathlib.Path(a.out)
    out.mkdir(parents=True, exist_ok=True)
    tae = Tae(ToyboxConfig().tae).to(a.device)
    state = torch.load(a.init, map_location=a.device) if a.init else None
    if state:
        tae.load_state_dict(state["model"])
    tae.encoder.requires_grad_(not a.freeze_encoder)
    average = Average(tae, 0.998)
    muon = lambda n, w: w.dim() >= 3 and not a.adam and "output" not in n and "encoder.input" not in n
    optimizer = Optimizer(list(tae.named_parameters()), muon)
    step_loss = loss_of if a.eager else torch.compile(loss_of, dynamic=False)
    shapes = [tuple(map(int, c.split(":")[0].split("x"))) for c in a.clips.split(",")]
    shares = [float(c.split(":")[1]) for c in a.clips.split(",")]
    clock, rng, step, last = Clock(a.seconds), random.Random(a.seed), 0, time.time()
    while clock.progress < 1:
        began = time.time()
        batch, frames = rng.choices(shapes, shares)[0]
        video = draw(batch, frames, a.size, a.seed * 1_000_000 + step, a.device, rng)
        with autocast(a.device):
            loss, mse, power = step_loss(tae, video, a.noise, a.freeze_encoder)
        loss.backward()
        norm = optimizer.step(learning_rate(a.lr, step, clock.progress))
        average.update()
        step += 1
        if a.duty < 1:
            mse.item()
            time.sleep((time.time() - began) * (1 / a.duty - 1))
        if step % 200 == 1 or step in (2, 20):
            log(a.name, step=step, seconds=clock.elapsed, loss=loss, psnr=-10 * math.log10(mse.item() / 4),
                power=power, grad=norm, step_ms=1000 * (time.time() - last) / (200 if step > 200 else 1))
            last = time.time()
        if step % 2000 == 0:
            log(a.name, step=step, psnr_heldout=psnr(average.module, a.device))
    save(out / f"{a.name}.pt", {"model": average.module.state_dict(),
                                **counted({"steps": step, "seconds": clock.elapsed}, state)})
    log(a.name, done=step, psnr_heldout=psnr(average.module, a.device),
        memory_gb=torch.cuda.max_memory_allocated() / 2**30 if a.device == "cuda" else 0)


if __name__ == "__main__":
    main()
