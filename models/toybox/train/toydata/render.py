"""Draws clips: background, soft shadow, toys with a face, all in closed form on the device of the spec."""

import torch

from . import motion, names, shapes, sound
from .motion import GROUND_MARGIN

CELL = 0.25       # width of a stripe or a checker cell
HORIZON = 0.30    # height of the floor
SOFT = 1.2        # width of an edge in pixels
FACE_RGB = (0.13, 0.11, 0.16)
CHUNK_PIXELS = {"cpu": 1 << 21, "cuda": 1 << 24}


def _edge(d):
    """Coverage of a pixel at signed distance d (pixels)."""
    return (0.5 - d / SOFT).clamp(0, 1)


def _bands(u, pixels):
    """Antialiased square wave of u: 1 on every other cell. pixels: scale of u."""
    f = u / (2 * CELL)
    return _edge(((f - f.floor() - 0.5).abs() - 0.25) * 2 * CELL * pixels)


def _background(spec, x, y, half_h, pixels):
    """[B, T, H, W, 3]. x [B, T, 1, W], y [B, T, H, 1] world; pixels [B, T, 1, 1] a unit."""
    kind = spec.background[:, None, None, None]
    shift = spec.phase[:, None, None, None] * 2 * CELL
    columns, rows = _bands(x + shift, pixels), _bands(y + shift, pixels)
    checker = columns + rows - 2 * columns * rows
    wall = _edge((y - (half_h - HORIZON)) * pixels)
    fade = ((half_h - y) / (2 * half_h)).clamp(0, 1)
    mix = torch.where(kind == 1, wall, torch.where(kind == 4, fade, torch.zeros_like(fade)))
    mix = torch.where(kind == 2, columns, torch.where(kind == 3, checker, mix))[..., None]
    base, wall_rgb = spec.ground_rgb.unbind(1)
    light = base.mean(-1, keepdim=True) > 0.3
    tone = torch.where(light, base * 0.80, base + 0.09)
    other = torch.where((spec.background == 1)[:, None], wall_rgb, tone)
    base, other = base[:, None, None, None], other[:, None, None, None]
    return base + (other - base) * mix


def _frames(spec, t, duration, height, width, texture):
    """[B, T, H, W, 3] in 0..1, float32."""
    device = spec.device
    short = min(height, width)
    half_w, half_h = width / (2 * short), height / (2 * short)
    zoom, centre = motion.camera(spec, t[None], duration)
    zoom, centre = zoom[..., None, None], centre[..., None, None]
    sx = ((torch.arange(width, device=device) + 0.5) / short - half_w)[None, None, None, :]
    sy = ((torch.arange(height, device=device) + 0.5) / short - half_h)[None, None, :, None]
    x, y = sx / zoom + centre, sy / zoom
    pixels = zoom * short
    out = _background(spec, x, y, half_h, pixels).contiguous()

    state = motion.pose(spec, t[None, None].expand(len(spec), 2, -1), half_w, half_h)
    state = {k: v.unsqueeze(-1).unsqueeze(-1) for k, v in state.items()}
    present = spec.present().float()
    line = half_h - GROUND_MARGIN
    for i in range(2):
        s = {k: v[:, i] for k, v in state.items()}
        r = spec.radius[:, i, None, None, None]
        alpha = s["alpha"] * present[:, i, None, None, None]
        lift = ((line - s["y"]) / (2 * half_h)).clamp(0, 1)
        reach = r * s["sx"] * (1 - 0.35 * lift)
        d2 = ((x - s["x"]) / reach) ** 2 + ((y - line) / (0.28 * reach)) ** 2
        shade = 0.30 * (1 - 0.7 * lift) * alpha * (1 - d2 / 1.6).clamp(min=0)
        out *= (1 - shade)[..., None]
    for i in (1, 0):
        s = {k: v[:, i] for k, v in state.items()}
        r = spec.radius[:, i, None, None, None]
        alpha = s["alpha"] * present[:, i, None, None, None]
        dx, dy = (x - s["x"]) / r, (y - s["y"]) / r
        cos, sin = s["angle"].cos(), s["angle"].sin()
        lx, ly = (cos * dx + sin * dy) / s["sx"], (cos * dy - sin * dx) / s["sy"]
        body, face = shapes.sample_atlas(texture, spec.shape[:, i, None, None, None], lx, ly)
        scale = r * (s["sx"] * s["sy"]).sqrt() * pixels
        cover = (_edge(body * scale) * alpha)[..., None]
        rim = (1 + body / 0.24).clamp(0, 1)
        glow = (1 - ((dx / s["sx"] + 0.3) ** 2 + (dy / s["sy"] + 0.45) ** 2) / 0.5).clamp(min=0)
        light = (1.0 - 0.07 * dy / s["sy"] - 0.20 * rim * rim)[..., None]
        rgb = spec.rgb[:, i, None, None, None] * light
        rgb = rgb + (1 - rgb) * (0.30 * glow * glow)[..., None]
        ink = (0.92 * _edge(face * scale))[..., None]
        rgb = rgb + (torch.tensor(FACE_RGB, device=device) - rgb) * ink
        out += (rgb.clamp(0, 1) - out) * cover
    return out


def render(spec, frames, height, width, device=None, dtype=torch.float32, audio=True):
    """Renders B clips of `frames` frames at 16 a second.

    Returns {"video": [B, T, H, W, 3] in [-1, 1], "audio": [B, T * 1000, 2] in [-1, 1] at 16 kHz}.
    The work is cut into runs of clips, so that memory stays bounded.
    """
    spec = spec.to(device) if device is not None else spec
    texture = shapes.atlas(str(spec.device))
    duration = frames / names.FPS
    t = torch.arange(frames, device=spec.device, dtype=torch.float32) / names.FPS
    video = torch.empty(len(spec), frames, height, width, 3, dtype=dtype, device=spec.device)
    budget = CHUNK_PIXELS.get(spec.device.type, 1 << 22)
    step_t = max(1, min(frames, budget // (height * width)))
    step_b = max(1, budget // (step_t * height * width))
    for b in range(0, len(spec), step_b):
        part = spec[b:b + step_b]
        for k in range(0, frames, step_t):
            rgb = _frames(part, t[k:k + step_t], duration, height, width, texture)
            video[b:b + step_b, k:k + step_t] = rgb.mul_(2).sub_(1)
    out = {"video": video}
    if audio:
        short = min(height, width)
        out["audio"] = sound.synthesise(spec, frames, width / (2 * short), height / (2 * short)).to(dtype)
    return out
