"""Which shape a patch of pixels is: overlap with each outline, drawn at the patch's own size and place."""

import functools
import math

import numpy as np
import torch

from toydata import names, shapes

FRAMES = 6
ANGLES = 24


@functools.lru_cache(maxsize=1)
def _moments():
    """Area and centroid y of the coloured pixels of each shape, radius 1."""
    axis = (torch.arange(600, dtype=torch.float64) + 0.5) / 200 - 1.5
    p = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1)
    out = []
    for s in range(len(names.SHAPES)):
        inside = (shapes.body_sdf(s, p) < 0) & (shapes.face_sdf(s, p) > 0)
        out.append((float(inside.sum()) / 200**2, float(p[..., 1][inside].mean())))
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


def turning(track):
    """[T] angle of the toy in radians, -pi..pi, NaN where it is not fully seen. Symmetric outlines turn by their faces."""
    angles = tuple(2 * math.pi * k / (2 * ANGLES) for k in range(2 * ANGLES))
    full = np.flatnonzero(track.scale > 0.85)
    shape, _, _ = classify(track, "spin")
    out = np.full(len(track.area), np.nan)
    for t in full:
        out[t] = (_angle(track.mask[t], shape, angles) + math.pi) % (2 * math.pi) - math.pi
    return out


def _angle(mask, shape, angles):
    """Best angle, refined between the steps of the list by the parabola through its neighbours."""
    m, mx, my, area = _crop(mask)
    h, w = m.shape
    gx, gy = torch.meshgrid(torch.arange(w, dtype=torch.float32), torch.arange(h, dtype=torch.float32), indexing="xy")
    unit, centre = _moments()[shape]
    radius = torch.tensor(math.sqrt(area / unit))
    angle = torch.tensor(angles, dtype=torch.float32).view(-1, 1, 1)
    xs, ys = gx - (mx + torch.sin(angle) * centre * radius), gy - (my - torch.cos(angle) * centre * radius)
    t = draw(shape, xs, ys, radius, angle)
    score = (torch.minimum(t, m).sum((-1, -2)) / torch.maximum(t, m).sum((-1, -2))).numpy()
    k = int(score.argmax())
    a, b, c = score[k - 1], score[k], score[(k + 1) % len(angles)]
    bend = a - 2 * b + c
    return (k + (0.5 * (a - c) / bend if bend < 0 else 0.0)) * 2 * math.pi / len(angles)
