"""Measures a checkpoint: autoencoders on held-out clips, then generated clips with the scorer.

The clips' captions name (shape, colour, motion) triples that training never drew. Writes report.json, and with
--sheets contact sheets (every third frame of the first clips).
"""
from __future__ import annotations

import argparse
import json
import math
import multiprocessing as mp
import pathlib
import sys
import time

import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import scorer
import scorer.sound
import toydata
from checkpoint import load
from common import autocast, log, setup
from networks import Toybox, audio_latents, latent_frames
from sampling import decode, denoise, schedule
from text_encoder import tokenize
from toydata.__main__ import contact_sheet, write_png
from train_codec import spectral

FOLDER = pathlib.Path("/dev/shm") if pathlib.Path("/dev/shm").is_dir() else pathlib.Path("/tmp")


def to_uint8(video: Tensor) -> Tensor:
    return ((video + 1) * 127.5).round().clamp(0, 255).byte()


# --- in worker processes -------------------------------------------------------------------------

def _score(task):
    video, audio, index, label = task
    clip = np.load(video, mmap_mode="r")[index], np.array(np.load(audio, mmap_mode="r")[index])
    result = scorer.score_clip(*clip)
    return scorer.compare(result, label), result["onsets"]


def _onsets(task):
    path, index = task
    return scorer.sound.onsets(np.array(np.load(path, mmap_mode="r")[index]))


# --------------------------------------------------------------------------------------------------

class Scorer:
    """Scores batches of clips in the background on CPU processes."""

    def __init__(self, workers: int):
        # Forked before the GPU is touched, with everything imported: ready at once.
        self.pool = mp.get_context("fork").Pool(workers, torch.set_num_threads, (1,))
        self.waiting: dict[str, object] = {}

    def submit(self, name: str, video: Tensor, audio: Tensor, labels: list[dict]) -> None:
        paths = [str(FOLDER / f"toybox_{name}_{kind}.npy") for kind in ("video", "audio")]
        np.save(paths[0], to_uint8(video).cpu().numpy())
        np.save(paths[1], audio.float().cpu().numpy())
        tasks = [(*paths, i, label) for i, label in enumerate(labels)]
        self.waiting[name] = self.pool.map_async(_score, tasks, chunksize=4)

    def onsets(self, name: str) -> list:
        path = str(FOLDER / f"toybox_{name}_audio.npy")
        return self.pool.map(_onsets, [(path, i) for i in range(len(np.load(path, mmap_mode="r")))])

    def result(self, name: str, timeout: float) -> dict:
        total: dict[str, int] = {}
        for one, _ in self.waiting.pop(name).get(timeout):
            for k, v in one.items():
                total[k] = total.get(k, 0) + v
        share = lambda part, whole: round(total[part] / max(1, total[whole]), 4)
        return {"shape_and_colour": share("look_right", "toys"), "shape": share("shape_right", "toys"),
                "colour": share("colour_right", "toys"), "size": share("size_right", "toys"),
                "motion": share("motion_right", "toys"), "count": share("count_right", "clips"),
                "picture_and_sound": share("matched", "events"),
                "clips_all_right": share("all_right", "clips"), "counts": total}


def mel_filters(bins: int, mels: int = 64, rate: int = 16000) -> Tensor:
    """Triangles on the mel scale: [mels, bins]."""
    mel = lambda f: 2595 * math.log10(1 + f / 700)
    points = torch.linspace(0, mel(rate / 2), mels + 2)
    edges = 700 * (10 ** (points / 2595) - 1)
    f = torch.linspace(0, rate / 2, bins)[None]
    low, mid, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    return torch.minimum((f - low) / (mid - low), (high - f) / (high - mid)).clamp(min=0)


def log_mel(audio: Tensor) -> Tensor:
    x = audio.mean(-1)
    s = torch.stft(x, 1024, 160, window=torch.hann_window(1024, device=x.device), return_complex=True)
    mel = mel_filters(513).to(x.device) @ s.abs().square()
    return 0.5 * torch.log10(mel.clamp(min=1e-5))


def codec_measures(truth: Tensor, made: Tensor) -> dict:
    a, b = truth.flatten(1), made.flatten(1)
    scale = (a * b).sum(1, keepdim=True) / a.square().sum(1, keepdim=True).clamp(min=1e-8)
    target = scale * a
    sdr = 10 * torch.log10(target.square().sum(1) / (b - target).square().sum(1).clamp(min=1e-8))
    loud = a.square().mean(1) > 1e-6
    return {"si_sdr_db": sdr[loud].mean().item(), "log_mel_l1": (log_mel(truth) - log_mel(made)).abs().mean().item(),
            "stft_distance": spectral(truth, made).item(), "wave_l1": (a - b).abs().mean().item()}


def onset_error(truth: list, made: list) -> dict:
    """Milliseconds between onsets that have a partner within 0.125 s, and the share that has one."""
    errors, total = [], 0
    for a, b in zip(truth, made):
        total += len(a)
        errors += [d for t in a if len(b) and (d := min(abs(t - u) for u in b)) <= 0.125]
    return {"onset_error_ms": 1000 * sum(errors) / max(1, len(errors)), "onsets_kept": len(errors) / max(1, total)}


@torch.no_grad()
def autoencoders(model: Toybox, judge: Scorer, device: str, count: int, frames: int, size: int) -> dict:
    spec = toydata.evaluation_specs(count)
    labels, psnr, videos, audios, truths = toydata.labels(spec, frames, size, size), [], [], [], []
    for i in range(0, count, 16):
        clip = toydata.render(spec[i:i + 16].to(device), frames, size, size)
        video, audio = clip["video"], clip["audio"]
        pad = 640 * audio_latents(frames) - audio.shape[1]
        y = model.tae.decode(model.tae.encode(video), frames).clamp(-1, 1)
        s = model.codec.decode(model.codec.encode(torch.nn.functional.pad(audio, (0, 0, 0, pad))))
        psnr += [10 * math.log10(4 / e) for e in (y - video).square().mean((1, 2, 3, 4)).tolist()]
        videos.append(to_uint8(y).cpu())
        audios.append(s[:, : audio.shape[1]].clamp(-1, 1).cpu())
        truths.append(audio.cpu())
    made, truth = torch.cat(audios), torch.cat(truths)
    for name, audio in (("truth", truth), ("decoded", made)):
        np.save(FOLDER / f"toybox_{name}_audio.npy", audio.numpy())
    onsets = onset_error(judge.onsets("truth"), judge.onsets("decoded"))
    judge.submit("decoded", torch.cat(videos).float() / 127.5 - 1, made, labels)
    return {"psnr": {"mean": sum(psnr) / count, "min": min(psnr), "p10": sorted(psnr)[count // 10]},
            **codec_measures(truth, made), **onsets}


@torch.no_grad()
def generate(model: Toybox, captions: list[str], frames: int, height: int, width: int, steps: int,
             guidance: float, kind: str, shift: float, device: str, seed: int = 0, batch: int = 64):
    """Clips for captions, on the CPU: video [N, T, H, W, 3], audio [N, S, 2]."""
    c, g = model.config, torch.Generator(device).manual_seed(seed)
    videos, audios = [], []
    for i in range(0, len(captions), batch):
        part = captions[i:i + batch]
        n, shape = len(part), (latent_frames(frames), height // 8, width // 8)
        video = torch.randn(n, *shape, c.dit.video_channels, device=device, generator=g)
        audio = torch.randn(n, audio_latents(frames), c.dit.audio_channels, device=device, generator=g)
        with autocast(device):
            ids, lengths = tokenize(part, c.text, 192)
            empty_ids, empty_lengths = tokenize([""], c.text, 192)
            text = model.text(ids.to(device), lengths.to(device))
            empty = model.text(empty_ids.to(device), empty_lengths.to(device)).expand_as(text)
            v, s = denoise(model, video, audio, text, lengths.to(device), empty,
                           empty_lengths.to(device).expand(n), schedule(steps, kind, shift), guidance)
            v, s = decode(model, v, s, frames)
        videos.append(v.cpu())
        audios.append(s.cpu())
    return torch.cat(videos), torch.cat(audios)


def main() -> None:
    p = argparse.ArgumentParser()
    p.add_argument("weights", help="toybox.safetensors")
    p.add_argument("--out", required=True, help="folder for report.json and sheets")
    p.add_argument("--count", type=int, default=256)
    p.add_argument("--frames", type=int, default=32)
    p.add_argument("--size", type=int, default=128)
    p.add_argument("--settings", default="30:4:linear:1,30:3:linear:1,30:6:linear:1,30:4:shifted:3",
                   help="steps:guidance:schedule:shift, comma-separated")
    p.add_argument("--workers", type=int, default=14)
    p.add_argument("--sheets", type=int, default=0, help="clips on each contact sheet")
    p.add_argument("--device", default="cuda")
    p.add_argument("--no-autoencoders", action="store_true")
    p.add_argument("--limit-s", type=float, default=300, help="seconds to wait for scores")
    a = p.parse_args()
    out, began = pathlib.Path(a.out), time.time()
    out.mkdir(parents=True, exist_ok=True)
    judge = Scorer(a.workers)
    setup(a.device, 0)
    torch.backends.cudnn.benchmark = False
    model, report = load(a.weights, a.device), {}
    if not a.no_autoencoders:
        report["autoencoders"] = autoencoders(model, judge, a.device, a.count, a.frames, a.size)
        log("evaluate", seconds=time.time() - began, **report["autoencoders"])
    spec = toydata.evaluation_specs(a.count)
    captions = toydata.caption(spec, toydata.EVALUATION_SEED)
    labels = toydata.labels(spec, a.frames, a.size, a.size)
    for setting in a.settings.split(","):
        steps, guidance, kind, shift = setting.split(":")
        start = time.time()
        video, audio = generate(model, captions, a.frames, a.size, a.size, int(steps), float(guidance), kind,
                                float(shift), a.device)
        log("evaluate", setting=setting, sampling_s=time.time() - start)
        name = setting.replace(":", "_")
        judge.submit(name, video, audio, labels)
        if a.sheets:
            write_png(out / f"sheet_{name}.png", contact_sheet(video[: a.sheets]))
            (out / "captions.txt").write_text("\n".join(captions[: a.sheets]) + "\n")
    for name in list(judge.waiting):
        try:
            report[name] = judge.result(name, max(1.0, a.limit_s - (time.time() - began)))
        except mp.TimeoutError:
            report[name] = None
        log("evaluate", setting=name, **(report[name] or {}))
        (out / "report.json").write_text(json.dumps(report, indent=1))
    judge.pool.terminate()


if __name__ == "__main__":
    main()
