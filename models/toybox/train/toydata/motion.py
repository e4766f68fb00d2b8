"""Where every toy is at any time, in closed form, and when its events happen.

Every motion is periodic with one event a period, at spec.first + k * spec.period:
bounce, fall: touches the ground; slide: hits a wall and turns back; rise: bumps the ceiling; orbit: passes the
lowest point; spin: completes a turn, upright and slow; grow: reaches its peak; shrink: reaches its smallest;
blink: appears.
"""

import math

import torch

from . import names, shapes, spec as spec_module
from .spec import BLINK, BOUNCE, FALL, GROW, ORBIT, RISE, SHRINK, SLIDE, SPIN, STILL

GROUND_MARGIN = 0.05
REST = {RISE: 0.35, FALL: 0.45}  # pause after the event, before the toy pops back to its start
POP = 0.24
SMALLEST = 0.42
ON_FRACTION = 0.6
PAN_ZOOM, PAN_SHIFT = 0.88, 0.12
ZOOM = (0.84, 1.0)


def _table(values, like):
    return torch.tensor(values, dtype=torch.float32, device=like.device)[like]


def lanes(spec, half_w, half_h):
    """[B, N, 4] box (x0, x1, y0, y1) that each toy keeps to. half_w, half_h: half extents of the picture."""
    pair = (spec.count == 2)[:, None]
    need = 2 * spec.radius * torch.where((spec.motion == SPIN), shapes.REACH, 1.08)
    # Room goes to the toys that move across the split.
    mover = ((spec.motion == SLIDE) & ~spec.stacked[:, None]) | (spec.motion == ORBIT)
    share = torch.where(mover, 1.0, 0.2)
    share = share / share.sum(1, keepdim=True)
    length = torch.where(spec.stacked, 2 * half_h, 2 * half_w)[:, None]
    width = need + (length - need.sum(1, keepdim=True)) * share
    before = torch.stack([spec.swapped, ~spec.swapped], 1)
    start = -length / 2 + torch.where(before, length - width, torch.zeros_like(width))
    full = torch.tensor([-half_w, half_w, -half_h, half_h], device=spec.device).expand(len(spec), 2, 4)
    split = torch.where(spec.stacked[:, None, None],
                        torch.stack([full[..., 0], full[..., 1], start, start + width], -1),
                        torch.stack([start, start + width, full[..., 2], full[..., 3]], -1))
    return torch.where(pair[..., None], split, full)


def pose(spec, t, half_w, half_h):
    """State of the toys at times t [B, N, T] (world units, y down).

    Returns dict of [B, N, T]: x, y centre; sx, sy stretch; angle (radians); alpha.
    """
    box = lanes(spec, half_w, half_h)[..., None, :]
    x0, x1, y0, y1 = box.unbind(-1)
    one = spec.motion[..., None]
    r = spec.radius[..., None]
    wide = _table(shapes.HALF_WIDTH, spec.shape)[..., None]
    over = _table(shapes.TOP, spec.shape)[..., None]
    under = _table(shapes.BOTTOM, spec.shape)[..., None]
    spins = one == SPIN
    wide, over = torch.where(spins, shapes.REACH, wide), torch.where(spins, shapes.REACH, over)
    under = torch.where(spins, shapes.REACH, under)

    left, right = x0 + wide * r, x1 - wide * r
    top, bottom = y0 + over * r + 0.01, y1 - GROUND_MARGIN - under * r
    room_x, room_y = ((right - left) / 2).clamp(min=0), ((bottom - top) / 2).clamp(min=0)
    mid_x, mid_y = (left + right) / 2, (top + bottom) / 2
    place_x, place_y = spec.place[..., None, 0], spec.place[..., None, 1]
    extent, sense = spec.extent[..., None], spec.direction[..., None]
    period = spec.period[..., None]

    turns = (t - spec.first[..., None]) / period
    f = turns - turns.floor()          # 0 at the event, rising to 1 at the next
    since = f * period
    until = (1 - f) * period
    near = torch.minimum(since, until)  # seconds to the closest event

    x = (mid_x + place_x * room_x).expand_as(f)
    y = (mid_y + place_y * room_y).expand_as(f)
    ones = torch.ones_like(f)
    alpha, scale, angle = ones, ones, torch.zeros_like(f)

    # bounce
    y = torch.where(one == BOUNCE, bottom - extent * 2 * room_y * 4 * f * (1 - f), y)
    # slide: triangle wave, +1 at even events
    half = turns / 2
    wave = (4 * (half - half.floor()) - 2).abs() - 1
    slides = one == SLIDE
    x = torch.where(slides, mid_x + sense * wave * room_x, x)
    y = torch.where(slides, bottom, y)
    # rise and fall: travel, event, rest, pop
    for kind, start, end in ((RISE, bottom, top), (FALL, top, bottom)):
        travel = period - REST[kind] - POP
        q = (1 - until / travel).clamp(0, 1)
        q = q if kind == RISE else q * q
        resting = since < REST[kind] + POP / 2
        y = torch.where(one == kind, torch.where(resting, end, start + (end - start) * q), y)
        popped = ((since - REST[kind] - POP / 2).abs() / (POP / 2)).clamp(0, 1)
        scale = torch.where(one == kind, 0.25 + 0.75 * popped, scale)
        alpha = torch.where(one == kind, (popped * 3).clamp(max=1), alpha)
    # orbit: the event is at the lowest point
    ring = extent * torch.minimum(room_x, room_y)
    phi = 2 * math.pi * f * sense
    orbits = one == ORBIT
    x = torch.where(orbits, mid_x + place_x * (room_x - ring) + ring * phi.sin(), x)
    y = torch.where(orbits, mid_y + place_y * (room_y - ring) + ring * phi.cos(), y)
    # spin: one turn a period, slow when upright
    eased = f - 0.8 * (2 * math.pi * f).sin() / (2 * math.pi)
    angle = torch.where(spins, 2 * math.pi * eased * sense, angle)
    # grow and shrink: slow one way, quick the other
    up = torch.where(f < 0.25, 1 - f / 0.25, (f - 0.25) / 0.75)
    scale = torch.where(one == GROW, SMALLEST + (1 - SMALLEST) * up, scale)
    scale = torch.where(one == SHRINK, 1 - (1 - SMALLEST) * up, scale)
    # blink: appears at the event, with a soft edge of one frame
    on = ((ON_FRACTION * period - since) * names.FPS + 0.5).clamp(0, 1)
    alpha = torch.where(one == BLINK, on, alpha)

    # Squash at the impact, with the touching side held in place.
    dent = 0.2 * torch.exp(-((near / 0.05) ** 2))
    upright = (one == BOUNCE) | (one == FALL) | (one == RISE)
    dent = torch.where((one == FALL) | (one == RISE), torch.where(since < 0.2, dent, 0.0), dent)
    sy = torch.where(upright, 1 - dent, torch.where(slides, 1 + 0.4 * dent, ones))
    sx = torch.where(upright, 1 + 0.5 * dent, torch.where(slides, 1 - dent, ones))
    y = y + torch.where(one == RISE, -(1 - sy) * over * r, torch.where(upright, (1 - sy) * under * r, 0.0))
    y = y + torch.where(slides, (1 - sy) * under * r, 0.0)
    x = x + torch.where(slides, (1 - sx) * wide * r * sense * torch.sign(wave), 0.0)
    # Grounded toys that grow or shrink stand on the ground.
    standing = ((one == GROW) | (one == SHRINK)) & (place_y >= 1)
    y = torch.where(standing, y + (1 - scale) * under * r, y)
    return {"x": x, "y": y, "sx": sx * scale, "sy": sy * scale, "angle": angle, "alpha": alpha}


def camera(spec, t, duration):
    """Camera at times t [1 or B, M]: zoom and centre x, [B, M] each; screen = zoom * (world - centre)."""
    f = (t / max(duration, 1e-6)).clamp(0, 1)
    ease = f * f * (3 - 2 * f)
    c = spec.camera[:, None]
    pan = (c == 1) | (c == 2)
    zoom = torch.where(pan, PAN_ZOOM, torch.ones_like(ease))
    zoom = torch.where(c == 3, ZOOM[0] + (ZOOM[1] - ZOOM[0]) * ease, zoom)
    zoom = torch.where(c == 4, ZOOM[1] + (ZOOM[0] - ZOOM[1]) * ease, zoom)
    sense = torch.where(c == 1, -1.0, torch.where(c == 2, 1.0, 0.0))
    return zoom, sense * PAN_SHIFT * (ease - 0.5)


def events(spec, duration, half_w=0.5, half_h=0.5):
    """Times [B, N, K], valid [B, N, K] and pan [B, N, K] (-1 left .. 1 right) of all events in the clip."""
    shortest = min(low for low, _ in spec_module.PERIOD)
    k = torch.arange(int(duration / shortest) + 1, device=spec.device)
    t = spec.first[..., None] + k * spec.period[..., None]
    valid = (t < duration) & ((spec.motion != STILL) & spec.present())[..., None]
    x = pose(spec, t + 1e-4, half_w, half_h)["x"].reshape(len(spec), -1)
    zoom, centre = camera(spec, t.reshape(len(spec), -1), duration)
    return t, valid, (zoom * (x - centre) / half_w).clamp(-1, 1).view_as(t)
