"""Trains the text encoder and the DiT together by flow matching, on latents of frozen autoencoders.

The learning rate falls to zero exactly when the time is up. --init continues from released weights.
"""
from __future__ import annotations

import argparse
import os
import pathlib
import random
import time

import torch
from torch import Tensor, nn

import masks
from common import Clock, autocast, counted, log, save, setup
from config import ToyboxConfig
from codec import Codec
from dit import Dit, DitBlock, positions
from optim import Average, Optimizer, learning_rate
import toydata
from networks import latent_frames
from pool import BUCKETS, TEXT_LENGTH, Bucket, Pool, batch_size, caption_ids, encode
from tae import Tae
from text_encoder import TextBlock, TextEncoder

KNOWN_WEIGHT = 0.2      # of the loss where the latent is given anyway


class Generator(nn.Module):
    """Text encoder and DiT, under their checkpoint names."""

    def __init__(self, config: ToyboxConfig):
        super().__init__()
        self.config = config
        self.text = TextEncoder(config.text)
        self.dit = Dit(config.dit)


def draw_time(batch: int, device) -> Tensor:
    """Logit-normal around slightly noisy times, stratified; one in ten uniform, to see both ends."""
    u = (torch.arange(batch, device=device) + torch.rand(batch, device=device)) / batch
    t = torch.sigmoid(0.4 + 2 ** 0.5 * torch.erfinv((2 * u - 1).clamp(-0.999999, 0.999999)))
    return torch.where(torch.rand(batch, device=device) < 0.1, torch.rand(batch, device=device), t)


class Trainer:
    def __init__(self, model: Generator, device: str, seed: int):
        self.model, self.device = model, device
        self.sigma = model.config.recipe.sigma_min
        self.tables: dict[int, tuple] = {}
        self.text_rope = model.text.rope(TEXT_LENGTH, device)
        self.rng = random.Random(seed)

    def table(self, index: int, shape) -> tuple:
        if index not in self.tables:
            _, l, h, w, _ = shape
            self.tables[index] = positions(self.model.config.dit, l, h, w, BUCKETS[index].tokens - l * h * w,
                                           self.device)
        return self.tables[index]

    def loss(self, index: int, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        model, device = self.model, self.device
        video, audio = batch["video"].float(), batch["audio"].float()
        b = len(video)
        modes = masks.draw_modes(b, video.shape[1], device)
        known = masks.build(modes, video, audio, batch["first"].float(), batch["last"].float())
        t = draw_time(b, device)
        v_noise, s_noise = torch.randn_like(video), torch.randn_like(audio)
        mix = lambda z, e: (t.view(-1, *[1] * (z.dim() - 1)) * e
                            + (1 - (1 - self.sigma) * t).view(-1, *[1] * (z.dim() - 1)) * z)
        lengths = batch["lengths"].long()
        lengths = torch.where(torch.rand(b, device=device) < 0.1, 0, lengths)     # guidance dropout
        ids = caption_ids(batch["rows"], lengths, model.config.text)
        with autocast(device):
            text = model.text(ids, lengths + 2, self.text_rope)
            v, s = model.dit(mix(video, v_noise), known.video_known, known.video_mask,
                             mix(audio, s_noise), known.audio_known, known.audio_mask, t, text,
                             lengths + 2, self.table(index, video.shape))
        v_error = (v.float() - (v_noise - (1 - self.sigma) * video)).square().mean(-1, keepdim=True)
        s_error = (s.float() - (s_noise - (1 - self.sigma) * audio)).square().mean(-1, keepdim=True)
        weigh = lambda e, m: (torch.where(m == 1, KNOWN_WEIGHT, 1.0) * e).mean()
        return weigh(v_error, known.video_mask), weigh(s_error, known.audio_mask)


def is_muon(name: str, w: Tensor) -> bool:
    return w.dim() == 2 and ".blocks." in f".{name}" and not name.endswith("table")


def load_frozen(folder: pathlib.Path, tae: Tae, codec: Codec, wait: float) -> None:
    """Fills the two autoencoders, waiting for their files to appear."""
    paths = folder / "tae.pt", folder / "codec.pt"
    until = time.time() + wait
    while not all(p.exists() for p in paths):
        if time.time() > until:
            raise SystemExit(f"no {paths[0]} and {paths[1]} after {wait:.0f} s")
        time.sleep(0.5)
    for module, path in zip((tae, codec), paths):
        module.load_state_dict(torch.load(path, map_location="cpu")["model"])


def warm_up(trainer: Trainer, tokens: int) -> None:
    """Compiles a step at every bucket's real size, on random data; leaves no gradient behind."""
    c, device = trainer.model.config, trainer.device
    for index, bucket in enumerate(BUCKETS):
        b, l, h, w = batch_size(index, tokens), latent_frames(bucket.frames), bucket.height // 8, bucket.width // 8
        grid = torch.randn(b, l, h, w, c.dit.video_channels, device=device)
        batch = {"video": grid, "first": grid[:, 0], "last": grid[:, 0],
                 "audio": torch.randn(b, bucket.tokens - l * h * w, c.dit.audio_channels, device=device),
                 "rows": torch.randint(97, 122, (b, 190), device=device, dtype=torch.uint8),
                 "lengths": torch.full((b,), 60, device=device)}
        v, s = trainer.loss(index, batch)
        (v + s).backward()
        trainer.model.zero_grad(set_to_none=True)


def warm_up_encoders(encoders, chunk: int, device: str) -> None:
    for index, bucket in enumerate(BUCKETS):
        encode(*encoders, bucket, toydata.sample_specs(chunk, index), device)
    torch.cuda.empty_cache() if device == "cuda" else None


def main() -> None:
    p = argparse.ArgumentParser()
    p.add_argument("--out", required=True, help="folder with tae.pt and codec.pt; dit.pt goes there")
    p.add_argument("--init", help="start from this dit.pt (weights, statistics)")
    p.add_argument("--wait", type=float, default=600, help="seconds to wait for the autoencoders")
    p.add_argument("--seconds", type=float, default=900)
    p.add_argument("--end-at", type=float, help="UNIX time at which to be done; overrides --seconds")
    p.add_argument("--tokens", type=int, default=200_000, help="tokens a step")
    p.add_argument("--lr", type=float, default=2e-3)
    p.add_argument("--audio-weight", type=float, default=0.5)
    p.add_argument("--fill", type=int, default=12_000, help="clips before the first step")
    p.add_argument("--capacity", type=int, default=100_000, help="clips in all")
    p.add_argument("--workers", type=int, default=10)
    p.add_argument("--chunk", type=int, default=64)
    p.add_argument("--save-every", type=float, default=60)
    p.add_argument("--eager", action="store_true")
    p.add_argument("--device", default="cuda")
    p.add_argument("--seed", type=int, default=3)
    p.add_argument("--warm-encoders", action="store_true",
                   help="only compile the encoders, into the cache on disk: run it beside the real one")
    p.add_argument("--tiny", action="store_true", help="small widths, for a test on a CPU")
    a = p.parse_args()
    setup(a.device, a.seed)
    torch.backends.cudnn.benchmark = False      # too many shapes
    out, config = pathlib.Path(a.out), ToyboxConfig()
    if a.tiny:
        config.text.layers = config.dit.layers = 1
        BUCKETS[:] = [Bucket(32, 48, 32, 0.6), Bucket(48, 32, 16, 0.3), Bucket(32, 32, 1, 0.1)]
    model = Generator(config).to(a.device)
    state = torch.load(a.init, map_location=a.device) if a.init else None
    if state:
        model.load_state_dict(state["model"])
    trainer = Trainer(model, a.device, a.seed)
    tae, codec = Tae(config.tae), Codec(config.codec)
    for module in (tae, codec):
        module.to(a.device).eval().requires_grad_(False)
    encoders = tae.encode, codec.encode
    if not a.eager:
        torch._dynamo.config.recompile_limit = 64
        torch.fx.experimental._config.use_duck_shape = False      # equal sizes are a coincidence
        DitBlock.forward = torch.compile(DitBlock.forward, dynamic=True)
        TextBlock.forward = torch.compile(TextBlock.forward, dynamic=True)
        encoders = tuple(torch.compile(e, dynamic=True) for e in encoders)
        began = time.time()
        if not a.warm_encoders:
            warm_up(trainer, a.tokens)
            log("dit", warm_up_s=time.time() - began)
        warm_up_encoders(encoders, a.chunk, a.device)
        log("dit", warm_up_s=time.time() - began)
    if a.warm_encoders:
        return
    seed = a.seed * 1_000_003 + int(time.time()) % 900 * 1_000_000     # another run draws other scenes
    pool = Pool(*encoders, a.capacity, a.workers, a.chunk, seed, a.device)
    load_frozen(out, tae, codec, a.wait)
    start = time.time()
    while pool.clips < a.fill or not all(s.size for s in pool.stores):
        pool.grow(wait=True)
    pool.measure(state["statistics"] if state else None)
    log("dit", fill_s=time.time() - start, clips=pool.clips)
    optimizer = Optimizer(list(model.named_parameters()), is_muon, weight_decay=0.02)
    average = Average(model, 0.9995)
    clock = Clock(a.end_at - time.time() if a.end_at else a.seconds)
    step, samples, last, saved = 0, 0, time.time(), time.time()
    sums: dict[str, Tensor] = {}

    def snapshot() -> dict:
        return {"model": average.module.state_dict(), "raw": model.state_dict(), "statistics": pool.statistics,
                **counted({"steps": step, "samples": samples, "seconds": clock.elapsed, "clips": pool.clips}, state)}

    while clock.progress < 1:
        index, batch = pool.sample(a.tokens)
        v, s = trainer.loss(index, batch)
        (v + a.audio_weight * s).backward()
        norm = optimizer.step(learning_rate(a.lr, step, clock.progress, warmup=200, hold=0.45))
        average.update()
        step, samples = step + 1, samples + len(batch["video"])
        for k, x in (("video", v), ("audio", s), ("grad", norm)):
            sums[k] = sums.get(k, 0) + x.detach()
        if pool.clips < a.capacity and pool.clips < a.capacity * (0.2 + clock.progress * 1.6):
            pool.grow()
        if step % 100 == 0 or step in (1, 10):
            n = 100 if step > 100 else (step if step != 100 else 90)
            torch.cuda.synchronize() if a.device == "cuda" else None
            log("dit", step=step, seconds=clock.elapsed, samples=samples, clips=pool.clips,
                step_ms=1000 * (time.time() - last) / n, **{k: x / n for k, x in sums.items()})
            sums, last = {}, time.time()
        if time.time() - saved > a.save_every:
            save(out / "dit.pt", snapshot())
            saved = time.time()
    save(out / "dit.pt", snapshot())
    pool.close()
    log("dit", done=step, samples=samples, clips=pool.clips,
        memory_gb=torch.cuda.max_memory_allocated() / 2**30 if a.device == "cuda" else 0)
    (out / "dit.done").write_text("done\n")
    os._exit(0)


if __name__ == "__main__":
    main()
