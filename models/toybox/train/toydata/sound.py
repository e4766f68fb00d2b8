"""The notes: each event strikes one damped note; instrument by shape, pitch by size, pan by place."""

import math

import torch

from . import motion, names

# Partials by shape: (frequency ratio, weight, decay seconds); then the attack: (noise weight, decay).
INSTRUMENTS = [
    ([(1, 1.0, 0.16), (3.93, 0.35, 0.05), (9.0, 0.10, 0.02)], (0.10, 0.004)),              # ball: marimba
    ([(1, 1.0, 0.06), (2.57, 0.6, 0.04), (4.2, 0.4, 0.03)], (0.45, 0.008)),                # box: wood block
    ([(2, 1.0, 0.30), (5.52, 0.6, 0.22), (9.0, 0.35, 0.15)], (0.12, 0.003)),               # triangle: triangle
    ([(1, 1.0, 0.28), (3, 0.45, 0.20), (5, 0.25, 0.14), (8, 0.12, 0.08)], (0.05, 0.003)),  # star: glockenspiel
    ([(1, 1.0, 0.24), (2, 0.30, 0.20), (3, 0.08, 0.12)], (0.02, 0.010)),                   # heart: soft harp
    ([(1, 0.8, 0.26), (1.51, 0.7, 0.24), (2.67, 0.6, 0.18), (4.1, 0.4, 0.12)], (0.15, 0.006)),  # ring: gong
    ([(1, 1.0, 0.12), (3, 0.6, 0.11), (5, 0.45, 0.10), (7, 0.3, 0.08)], (0.08, 0.004)),    # cross: square reed
    ([(1, 1.0, 0.18), (2, 0.6, 0.15), (3, 0.45, 0.12), (4, 0.35, 0.10), (6, 0.2, 0.06)], (0.10, 0.003)),  # diamond
]
LOUDNESS = 0.5
ATTACK = 0.0015  # seconds
RELEASE = 0.02


def _table(device):
    """[shapes, 5, 3] partials and [shapes, 2] attacks; weights of a shape add up to 1."""
    partials = torch.zeros(len(INSTRUMENTS), 5, 3)
    partials[..., 0] = 1.0
    partials[..., 2] = 0.1
    attack = torch.zeros(len(INSTRUMENTS), 2)
    for s, (rows, noise) in enumerate(INSTRUMENTS):
        total = sum(w for _, w, _ in rows) + 0.5 * noise[0]
        for h, (ratio, weight, decay) in enumerate(rows):
            partials[s, h] = torch.tensor([ratio, weight / total, decay])
        attack[s] = torch.tensor([noise[0] / total, noise[1]])
    return partials.to(device), attack.to(device)


def _noise(device):
    g = torch.Generator().manual_seed(12345)
    return (torch.rand(2048, generator=g) * 2 - 1).to(device)


def synthesise(spec, frames, half_w=0.5, half_h=0.5, chunk=256):
    """[B, frames * 1000, 2] float32. A new strike damps the note before it, as on one string."""
    parts = [_notes(spec[b:b + chunk], frames, half_w, half_h) for b in range(0, len(spec), chunk)]
    return torch.cat(parts)


def _notes(spec, frames, half_w, half_h):
    device = spec.device
    count = frames * names.SAMPLES_PER_FRAME
    times, valid, pan = motion.events(spec, frames / names.FPS, half_w, half_h)
    partials, attack = (t[spec.shape] for t in _table(device))  # [B, N, 5, 3], [B, N, 2]
    noise = _noise(device)
    t = torch.arange(count, device=device, dtype=torch.float32) / names.SAMPLE_RATE
    out = torch.zeros(len(spec), count, 2, device=device)
    for i in range(2):
        period = spec.period[:, i, None]
        turns = (t[None] - spec.first[:, i, None]) / period
        index = turns.floor()
        u = (turns - index) * period  # seconds since the strike
        slot = index.long().clamp(0, times.shape[-1] - 1)
        heard = (index >= 0) & valid[:, i].gather(1, slot)
        wave = torch.zeros_like(u)
        pitch = torch.tensor(names.SIZE_PITCH_HZ, device=device)[spec.size[:, i], None]
        for h in range(partials.shape[2]):
            ratio, weight, decay = (partials[:, i, h, j, None] for j in range(3))
            phase = 2 * math.pi * pitch * ratio * u
            wave = wave + weight * phase.sin() * torch.exp(-u / decay)
        hiss = noise[(u * names.SAMPLE_RATE).long().clamp(0, 2047)]
        wave = wave + attack[:, i, :1] * hiss * torch.exp(-u / attack[:, i, 1:])
        wave = wave * (u / ATTACK).clamp(max=1) * ((period - u) / RELEASE).clamp(0, 1) * heard
        angle = (pan[:, i].gather(1, slot) + 1) * (math.pi / 4)
        out += LOUDNESS * wave[..., None] * torch.stack([angle.cos(), angle.sin()], -1)
    return out.clamp(-1, 1)
