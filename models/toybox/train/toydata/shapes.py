"""Signed distance atlas of the toys: one tile a shape, channel 0 the body, channel 1 the face.

Local units: the toy's radius is 1, y points down. Tiles cover [-TILE_EXTENT, TILE_EXTENT]^2.
"""

import functools
import math

import torch

TILE = 192
TILE_EXTENT = 1.5

# Half width, reach upwards and reach downwards of each shape, upright, in radii (names.SHAPES order).
HALF_WIDTH = [1.00, 0.90, 1.08, 1.11, 1.10, 1.05, 1.05, 0.86]
TOP = [1.00, 0.90, 1.10, 1.14, 0.92, 1.05, 1.05, 1.16]
BOTTOM = [1.00, 0.90, 0.76, 0.95, 1.08, 1.05, 1.05, 1.16]
REACH = 1.2  # circumscribed radius of the widest shape, any rotation

_ROUND = 0.08


def _polygon_sdf(p, vertices):
    """Exact signed distance to a simple polygon. p [..., 2], vertices: list of (x, y)."""
    v = torch.tensor(vertices, dtype=p.dtype)
    w = torch.roll(v, 1, 0)
    d2 = torch.full(p.shape[:-1], float("inf"), dtype=p.dtype)
    inside = torch.zeros(p.shape[:-1], dtype=torch.bool)
    for a, b in zip(v, w):
        e, q = b - a, p - a
        t = ((q * e).sum(-1) / (e * e).sum()).clamp(0, 1)
        d2 = torch.minimum(d2, ((q - t[..., None] * e) ** 2).sum(-1))
        if float(e[1]) != 0.0:
            crosses = (a[1] > p[..., 1]) != (b[1] > p[..., 1])
            inside ^= crosses & (q[..., 0] < e[0] * q[..., 1] / e[1])
    return torch.where(inside, -1.0, 1.0) * d2.sqrt()


def _regular(points, radius, inner=None, phase=-math.pi / 2):
    n = points if inner is None else 2 * points
    radii = [radius if inner is None or i % 2 == 0 else inner for i in range(n)]
    return [(r * math.cos(phase + 2 * math.pi * i / n), r * math.sin(phase + 2 * math.pi * i / n))
            for i, r in enumerate(radii)]


def _heart():
    points = []
    for i in range(96):
        t = 2 * math.pi * i / 96
        x = 16 * math.sin(t) ** 3
        y = 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
        points.append((x / 15.7, -(y + 1.5) / 15.7))
    return points


def body_sdf(shape, p):
    """Signed distance of names.SHAPES[shape] at p [..., 2]; negative inside."""
    r = p.norm(dim=-1)
    if shape == 0:
        return r - 1.0
    if shape == 5:
        return (r - 0.775).abs() - 0.275
    arm, wide = 1.05 - _ROUND, 0.38 - _ROUND
    polygon = {
        1: [(-0.82, -0.82), (0.82, -0.82), (0.82, 0.82), (-0.82, 0.82)],
        2: [(0.0, -0.98), (1.0, 0.68), (-1.0, 0.68)],
        3: _regular(5, 1.06, 0.50),
        4: _heart(),
        6: [(-wide, -arm), (wide, -arm), (wide, -wide), (arm, -wide), (arm, wide), (wide, wide),
            (wide, arm), (-wide, arm), (-wide, wide), (-arm, wide), (-arm, -wide), (-wide, -wide)],
        7: [(0.0, -1.08), (0.78, 0.0), (0.0, 1.08), (-0.78, 0.0)],
    }[shape]
    return _polygon_sdf(p, polygon) - _ROUND


# Eye distance from the axis, eye height, eye radius, mouth centre height, mouth radius (0: no mouth).
_FACES = [
    (0.34, -0.16, 0.15, 0.10, 0.42), (0.34, -0.14, 0.15, 0.08, 0.40), (0.24, 0.14, 0.14, 0.24, 0.28),
    (0.22, -0.10, 0.14, 0.06, 0.28), (0.36, -0.20, 0.15, 0.02, 0.40), (0.34, -0.70, 0.14, 0.0, 0.0),
    (0.19, -0.10, 0.14, 0.08, 0.24), (0.24, -0.12, 0.14, 0.08, 0.30),
]


def face_sdf(shape, p):
    """Signed distance of the eyes and the smile."""
    x, y = p[..., 0].abs(), p[..., 1]
    ex, ey, er, my, mr = _FACES[shape]
    d = ((x - ex) ** 2 + (y - ey) ** 2).sqrt() - er
    if mr > 0:
        angle = math.radians(52)  # half opening of the smile's arc
        along = torch.atan2(x, y - my).clamp(max=angle)
        arc = ((x - mr * along.sin()) ** 2 + (y - my - mr * along.cos()) ** 2).sqrt() - 0.06
        d = torch.minimum(d, arc)
    return d


@functools.lru_cache(maxsize=None)
def atlas(device="cpu", dtype=torch.float32):
    """[1, 2, TILE, 8 * TILE] texture for grid_sample (align_corners=False)."""
    axis = ((torch.arange(TILE, dtype=torch.float64) + 0.5) / TILE * 2 - 1) * TILE_EXTENT
    p = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1)
    tiles = [torch.stack([body_sdf(s, p), face_sdf(s, p)]) for s in range(len(HALF_WIDTH))]
    return torch.cat(tiles, -1)[None].to(dtype).to(device)


def sample_atlas(texture, shape, x, y):
    """Looks up both channels. shape: index tensor that broadcasts to x; x, y local. Returns body, face."""
    limit = TILE_EXTENT * (1 - 1.5 / TILE)
    n = len(HALF_WIDTH)
    u = (x.clamp(-limit, limit) / TILE_EXTENT + (2 * shape + 1 - n)) / n
    v = y.clamp(-limit, limit) / TILE_EXTENT
    grid = torch.stack([u, v], -1).view(1, -1, x.shape[-1], 2)
    out = torch.nn.functional.grid_sample(texture, grid, mode="bilinear", padding_mode="border",
                                          align_corners=False)
    return out[0, 0].view(x.shape), out[0, 1].view(x.shape)
