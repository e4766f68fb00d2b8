"""What the training scripts share: the clock, files written whole or not at all, a log line."""
from __future__ import annotations

import json
import os
import pathlib
import time

import torch


class Clock:
    """Progress from 0 to 1 of a budget in seconds; `before` seconds were spent in earlier runs."""

    def __init__(self, seconds: float, before: float = 0.0):
        self.seconds, self.before, self.start = seconds, before, time.time()

    @property
    def elapsed(self) -> float:
        return self.before + time.time() - self.start

    @property
    def progress(self) -> float:
        return min(1.0, self.elapsed / self.seconds)


def save(path: str | pathlib.Path, value) -> None:
    """Readers see the old file or the new one."""
    part = f"{path}.part"
    torch.save(value, part)
    os.replace(part, path)


def counted(now: dict, before: dict | None) -> dict:
    """Steps, samples and seconds of this run added to those of the checkpoint it started from."""
    return {k: v + (before or {}).get(k, 0) for k, v in now.items()}


def log(name: str, **values) -> None:
    text = {k: float(f"{float(v.detach() if torch.is_tensor(v) else v):.5g}") if not isinstance(v, (str, list, dict)) else v
            for k, v in values.items()}
    print(json.dumps({"run": name, **text}), flush=True)


def setup(device: str, seed: int) -> None:
    torch.manual_seed(seed)
    if device == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.benchmark = True


def autocast(device: str):
    return torch.autocast(device, torch.bfloat16, enabled=device == "cuda")
