"""Clips as latents on the GPU: worker processes draw scenes and word captions, the GPU renders and encodes."""
from __future__ import annotations

import queue
import random
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.multiprocessing as mp
from torch import Tensor

import toydata
from networks import audio_latents, latent_frames
from text_encoder import encode_caption

CAPTION_BYTES = 190      # the longest caption of the generator has 188
TEXT_LENGTH = 192        # ids a sample: BOS, bytes, EOS, padding
WORDINGS = 12            # captions kept for each clip


@dataclass(frozen=True)
class Bucket:
    height: int
    width: int
    frames: int
    share: float         # of all samples

    @property
    def tokens(self) -> int:
        return (latent_frames(self.frames) * self.height * self.width // 64 + audio_latents(self.frames))


BUCKETS = [Bucket(*b) for b in (
    (128, 128, 32, 0.44), (128, 128, 16, 0.05), (128, 128, 48, 0.05), (128, 128, 64, 0.05),
    (96, 96, 32, 0.07), (96, 96, 64, 0.02), (64, 64, 32, 0.04), (112, 112, 24, 0.03), (144, 144, 40, 0.02),
    (160, 160, 32, 0.03), (96, 160, 32, 0.03), (160, 96, 32, 0.03), (80, 144, 32, 0.025),
    (144, 80, 32, 0.025), (64, 112, 48, 0.01), (112, 64, 48, 0.01),
    (128, 128, 1, 0.04), (160, 160, 1, 0.01), (64, 64, 1, 0.01), (96, 160, 1, 0.01))]


def batch_size(index: int, tokens: int) -> int:
    """Clips of a bucket in a step of about `tokens` tokens."""
    b = max(1, tokens // BUCKETS[index].tokens)
    return min(b, 512) // 8 * 8 or b


def caption_rows(captions: list[str]) -> tuple[np.ndarray, np.ndarray]:
    rows = np.zeros((len(captions), CAPTION_BYTES), np.uint8)
    lengths = np.zeros(len(captions), np.int16)
    for i, caption in enumerate(captions):
        data = caption.encode("utf-8")[:CAPTION_BYTES]
        rows[i, : len(data)] = np.frombuffer(data, np.uint8)
        lengths[i] = len(data)
    return rows, lengths


def caption_ids(rows: Tensor, lengths: Tensor, config) -> Tensor:
    """bytes [B, CAPTION_BYTES], byte counts [B] -> ids [B, TEXT_LENGTH] as text_encoder.tokenize does."""
    ids = torch.full((len(rows), TEXT_LENGTH), config.pad_id, dtype=torch.int64, device=rows.device)
    at, n = torch.arange(TEXT_LENGTH, device=rows.device)[None], lengths.long()[:, None]
    ids[:, 1:1 + CAPTION_BYTES] = rows.long()
    ids = torch.where(at > n, config.pad_id, ids)
    ids = torch.where(at == n + 1, config.eos_id, ids)
    ids[:, 0] = config.bos_id
    return ids


def _work(tasks, results) -> None:
    torch.set_num_threads(1)
    while (task := tasks.get()) is not None:
        bucket, seed, count, frames = task
        spec = toydata.sample_specs(count, seed, image=frames == 1)
        words = random.Random(seed)
        pairs = [caption_rows(toydata.caption(spec, words)) for _ in range(WORDINGS)]
        rows, lengths = (np.stack(x, 1) for x in zip(*pairs))
        results.put((bucket, {k: v.numpy() for k, v in vars(spec).items()}, rows, lengths))


class Scenes:
    """An endless stream of (bucket index, spec, caption rows [n, WORDINGS, bytes], lengths)."""

    def __init__(self, workers: int, chunk: int, seed: int):
        context = mp.get_context("spawn")
        self.tasks, self.results = context.Queue(), context.Queue(64)
        self.chunk, self.seed = chunk, seed
        self.ready: dict[int, list] = {}
        self.processes = [context.Process(target=_work, args=(self.tasks, self.results), daemon=True)
                          for _ in range(workers)]
        for p in self.processes:
            p.start()

    def order(self, bucket: int) -> None:
        self.seed += 1
        self.tasks.put((bucket, self.seed % 999_999_937, self.chunk, BUCKETS[bucket].frames))

    def take(self, wait: bool) -> tuple | None:
        try:
            bucket, spec, rows, lengths = self.results.get(block=wait)
        except queue.Empty:
            return None
        spec = toydata.Spec(**{k: torch.from_numpy(v) for k, v in spec.items()})
        return bucket, spec, torch.from_numpy(rows), torch.from_numpy(lengths)

    def close(self) -> None:
        for p in self.processes:
            p.terminate()


@dataclass
class Store:
    """Everything of one bucket, preallocated; `size` rows are valid, further ones replace the oldest."""
    tensors: dict[str, Tensor] = field(default_factory=dict)
    size: int = 0
    next: int = 0

    def add(self, capacity: int, **parts: Tensor) -> None:
        n = len(parts["video"])
        for name, part in parts.items():
            if name not in self.tensors:
                self.tensors[name] = torch.empty(capacity, *part.shape[1:], dtype=part.dtype,
                                                 device=part.device)
        if self.next + n > capacity:
            self.next = 0
        for name, part in parts.items():
            self.tensors[name][self.next:self.next + n] = part
        self.next += n
        self.size = max(self.size, self.next)


@torch.no_grad()
def encode(encode_video, encode_audio, bucket: Bucket, spec, device: str) -> dict[str, Tensor]:
    """Raw latents in bf16. Sound is padded with silence to whole latents."""
    clip = toydata.render(spec.to(device), bucket.frames, bucket.height, bucket.width)
    video, audio = clip["video"], clip["audio"]
    audio = torch.nn.functional.pad(audio, (0, 0, 0, 640 * audio_latents(bucket.frames) - audio.shape[1]))
    with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
        parts = {"video": encode_video(video), "audio": encode_audio(audio)}
        if bucket.frames == 1:
            parts["first"] = parts["last"] = parts["video"][:, 0]
        else:
            ends = encode_video(torch.cat([video[:, :1], video[:, -1:]]))[:, 0]
            parts["first"], parts["last"] = ends.chunk(2)
    return {k: v.bfloat16() for k, v in parts.items()}


class Pool:
    def __init__(self, encode_video, encode_audio, capacity: int, workers: int, chunk: int, seed: int,
                 device: str):
        self.encode_video, self.encode_audio = encode_video, encode_audio
        self.device, self.chunk = device, chunk
        self.scenes = Scenes(workers, chunk, seed)
        self.stores = [Store() for _ in BUCKETS]
        self.capacity = [max(chunk * 2, int(capacity * b.share) // chunk * chunk) for b in BUCKETS]
        self.rng = random.Random(seed)
        self.clips = 0
        self.statistics = None       # (video mean, std, audio mean, std), set by measure()
        for bucket in range(len(BUCKETS)):       # every bucket once, then the rest by share
            self.scenes.order(bucket)
        for _ in range(3 * workers):
            self._order()

    def _order(self) -> None:
        self.scenes.order(self.rng.choices(range(len(BUCKETS)), [b.share for b in BUCKETS])[0])

    def grow(self, wait: bool = False) -> bool:
        """Adds one chunk if one is ready."""
        item = self.scenes.take(wait)
        if item is None:
            return False
        self._order()
        index, spec, rows, lengths = item
        parts = encode(self.encode_video, self.encode_audio, BUCKETS[index], spec, self.device)
        if self.statistics is not None:
            parts = self._normalise(parts)
        self.stores[index].add(self.capacity[index], **parts, rows=rows.to(self.device),
                               lengths=lengths.to(self.device))
        self.clips += len(rows)
        return True

    def _normalise(self, parts: dict[str, Tensor]) -> dict[str, Tensor]:
        vm, vs, am, as_ = self.statistics
        scale = lambda x, m, s: ((x.float() - m) / s).bfloat16()
        return {k: scale(v, am, as_) if k == "audio" else scale(v, vm, vs) for k, v in parts.items()}

    def measure(self, statistics=None) -> None:
        """Fixes mean and std a channel from what is stored (default bucket), or takes them as given."""
        if statistics is None:
            t = self.stores[0].tensors
            n = self.stores[0].size
            v = t["video"][:n].float().flatten(0, -2)
            s = t["audio"][:n].float().flatten(0, -2)
            statistics = (v.mean(0), v.std(0), s.mean(0), s.std(0))
        self.statistics = tuple(x.float().to(self.device) for x in statistics)
        for store in self.stores:
            if store.size:
                n = store.size
                parts = {k: store.tensors[k][:n] for k in ("video", "audio", "first", "last")}
                for k, v in self._normalise(parts).items():
                    store.tensors[k][:n] = v

    def close(self) -> None:
        self.scenes.close()

    def sample(self, tokens: int) -> tuple[int, dict[str, Tensor]]:
        """A batch of one bucket with about `tokens` tokens; each clip with one of its wordings."""
        weights = [b.share * b.tokens if s.size else 0 for b, s in zip(BUCKETS, self.stores)]
        index = self.rng.choices(range(len(BUCKETS)), weights)[0]
        store, b = self.stores[index], batch_size(index, tokens)
        rows = torch.randint(store.size, (b,), device=self.device)
        pick = torch.randint(WORDINGS, (b,), device=self.device)
        out = {k: store.tensors[k][rows] for k in ("video", "audio", "first", "last")}
        out["rows"] = store.tensors["rows"][rows, pick]
        out["lengths"] = store.tensors["lengths"][rows, pick]
        return index, out
