"""Which shape a patch of pixels is: overlap with each outline, drawn at the patch's own size and place."""

import functools
import math

import numpy as np
import torch

from toydata import names, shapes

from . import palette

FRAMES = 6
ANGLES = 24


@functools.lru_cache(maxsize=1)
def _moments():
    """Area and centroid y of the coloured pixels of each shape, radius 1."""
    axis = (torch.arange(300, dtype=torch.float64) + 0.5) / 100 - 1.5
    p = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1)
    out = []
    for s in range(len(names.SHAPES)):
        inside = (shapes.body_sdf(s, p) < 0) & (shapes.face_sdf(s, p) > 0)
        out.append((float(inside.sum()) / 100**2, float(p[..., 1][inside].mean())))
    return out


def draw(shape, xs, ys, radius, angle):
    """Coverage of the coloured part of a shape. xs, ys: pixel offsets from its centre; radius in pixels."""
    c, s = torch.cos(angle), torch.sin(angle)
    lx, ly = (c * xs + s * ys) / radius, (c * ys - s * xs) / radius
    body, face = shapes.sample_atlas(shapes.atlas(), torch.as_tensor(shape), lx, ly)
    cover = (0.5 - body * radius).clamp(0, 1)
    return cover * (1 - (0.5 - face * radius).clamp(0, 1))


def _crop(mask):
    """Patch with a margin of 3 pixels, and its centroid, area."""
    ys, xs = np.nonzero(mask)
    y0, y1, x0, x1 = ys.min() - 3, ys.max() + 4, xs.min() - 3, xs.max() + 4
    h, w = y1 - y0, x1 - x0
    m = torch.zeros(h, w)
    m[torch.from_numpy(ys - y0), torch.from_numpy(xs - x0)] = 1
    return m, float(xs.mean() - x0), float(ys.mean() - y0), float(len(xs))


def fit(mask, angles=(0.0,)):
    """Best overlap (intersection over union) for each shape and its angle: [S], [S]; and the radius in pixels [S]."""
    m, mx, my, area = _crop(mask)
    h, w = m.shape
    gx, gy = torch.meshgrid(torch.arange(w, dtype=torch.float32), torch.arange(h, dtype=torch.float32), indexing="xy")
    angle = torch.tensor(angles, dtype=torch.float32).view(-1, 1, 1, 1)
    grow = torch.tensor([0.95, 1.0, 1.05]).view(1, -1, 1, 1)
    scores, best_angles, radii = [], [], []
    for shape, (unit, centre) in enumerate(_moments()):
        radius = math.sqrt(area / unit) * grow
        xs = gx - (mx + torch.sin(angle) * centre * radius)
        ys = gy - (my - torch.cos(angle) * centre * radius)
        t = draw(shape, xs, ys, radius, angle)
        overlap = torch.minimum(t, m).sum((-1, -2)) / torch.maximum(t, m).sum((-1, -2))
        k = int(overlap.argmax())
        scores.append(float(overlap.flatten()[k]))
        best_angles.append(float(angles[k // 3]))
        radii.append(float(radius.flatten()[k % 3]))
    return np.array(scores), np.array(best_angles), np.array(radii)


def classify(track, motion):
    """Shape index, radius in pixels and overlap of each shape, from the frames that show the toy best."""
    scale = track.scale
    good = np.nonzero(scale > 0.9)[0]
    if len(good) == 0:
        good = np.array([int(np.argmax(track.area))])
    # Frames without squash: closest to the usual proportion of the bounding box.
    proportions = []
    for t in good:
        ys, xs = np.nonzero(track.mask[t])
        proportions.append((np.ptp(ys) + 1) / (np.ptp(xs) + 1))
    if motion != "spin":
        order = np.argsort(np.abs(np.array(proportions) - np.median(proportions)), kind="stable")
        good = good[order][:max(FRAMES, len(good) // 2)]
    good = np.sort(good)
    picked = good[np.unique(np.linspace(0, len(good) - 1, FRAMES).round().astype(int))]
    angles = tuple(2 * math.pi * k / ANGLES for k in range(ANGLES)) if motion == "spin" else (0.0,)
    results = [fit(track.mask[t], angles) for t in picked]
    total = np.mean([r[0] for r in results], 0)
    shape = int(total.argmax())
    return shape, float(np.percentile([r[2][shape] for r in results], 75)), total


def turning(video, track):
    """[T] angle of the toy in radians, -pi..pi, NaN where it is not fully seen.

    Overlap of the outline plus correlation of the face, joined over time by the smoothest path through all frames.
    """
    angles = np.arange(2 * ANGLES) * (math.pi / ANGLES)
    full = np.flatnonzero(track.scale > 0.72)
    shape, _, _ = classify(track, "spin")
    out = np.full(len(track.area), np.nan)
    if len(full) == 0:
        return out
    scores = np.stack([_angle_scores(video[t], track.mask[t], shape, angles) for t in full])
    gap = np.abs((angles[:, None] - angles[None] + math.pi) % (2 * math.pi) - math.pi)
    penalty = PATH_WEIGHT * (gap / math.radians(40)) ** 2
    best, back = scores[0], []
    for k in range(1, len(full)):
        step = best[:, None] - penalty / (full[k] - full[k - 1]) ** 2
        back.append(step.argmax(0))
        best = step.max(0) + scores[k]
    path = [int(best.argmax())]
    for row in reversed(back):
        path.append(int(row[path[-1]]))
    for t, k, score in zip(full, reversed(path), scores):
        a, b, c = score[k - 1], score[k], score[(k + 1) % len(angles)]
        bend = a - 2 * b + c
        shift = np.clip(0.5 * (a - c) / bend, -1, 1) if bend < 0 else 0.0
        out[t] = ((k + shift) * math.pi / ANGLES + math.pi) % (2 * math.pi) - math.pi
    return out


PATH_WEIGHT = 0.03
FACE_WEIGHT = 0.5


def _angle_scores(frame, mask, shape, angles):
    """[A] how well each angle explains one frame [H, W, 3] uint8."""
    ys, xs = np.nonzero(mask)
    y0, y1 = max(ys.min() - 2, 0), min(ys.max() + 3, mask.shape[0])
    x0, x1 = max(xs.min() - 2, 0), min(xs.max() + 3, mask.shape[1])
    m = torch.from_numpy(mask[y0:y1, x0:x1]).float()
    crop = frame[y0:y1, x0:x1].astype(np.float32)
    paint = np.median(frame[mask], 0).astype(np.float32)
    ink = np.array(palette.FACE, np.float32) - paint
    dark = torch.from_numpy(np.clip((crop - paint) @ ink / (ink @ ink), 0, 1))
    gx, gy = torch.meshgrid(torch.arange(x1 - x0, dtype=torch.float32), torch.arange(y1 - y0, dtype=torch.float32),
                            indexing="xy")
    unit, centre = _moments()[shape]
    radius = math.sqrt(len(xs) / unit)
    angle = torch.tensor(angles, dtype=torch.float32).view(-1, 1, 1)
    c, s = torch.cos(angle), torch.sin(angle)
    dx = (gx - (xs.mean() - x0) - s * centre * radius) / radius
    dy = (gy - (ys.mean() - y0) + c * centre * radius) / radius
    body, face = shapes.sample_atlas(shapes.atlas(), torch.tensor(shape), c * dx + s * dy, c * dy - s * dx)
    cover = (0.5 - body * radius).clamp(0, 1)
    drawn = (0.5 - face * radius / FACE_SOFT).clamp(0, 1)
    seen = cover * (1 - drawn)
    overlap = torch.minimum(seen, m).sum((-1, -2)) / torch.maximum(seen, m).sum((-1, -2))
    inner = (body < -0.1).float()
    count = inner.sum((-1, -2), keepdim=True).clamp(min=1)
    p = (drawn - (drawn * inner).sum((-1, -2), keepdim=True) / count) * inner
    q = (dark - (dark * inner).sum((-1, -2), keepdim=True) / count) * inner
    face_match = (p * q).sum((-1, -2)) / ((p * p).sum((-1, -2)) * (q * q).sum((-1, -2)) + 1e-6).sqrt()
    return (overlap + FACE_WEIGHT * face_match).numpy()


FACE_SOFT = 1.6  # faces come out of an autoencoder a little soft
