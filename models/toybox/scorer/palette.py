"""Which palette colour a pixel is: a table over RGB, nearest of the colours that toys and backgrounds can take."""

import functools

import numpy as np
import torch

from toydata import names

BITS = 6
BACKGROUND = len(names.COLOURS)  # class of everything that is no toy
TOY_WEIGHT = 1.25  # distances to toys count more: in doubt a pixel is background
FACE = (33, 28, 41)


def _samples():
    """Colours [N, 3] (0..255) and classes [N]: toys under their shading, backgrounds under tone and shadow."""
    rows, classes = [], []
    for c, rgb in enumerate(names.COLOUR_RGB):
        base = np.array(rgb, np.float64)
        for light in (0.74, 0.84, 0.94, 1.04):
            lit = np.minimum(base * light, 255)
            for glow in (0.0, 0.12, 0.26):
                rows.append(lit + (255 - lit) * glow)
                classes.append(c)
    for rgb in names.BACKGROUND_RGB:
        base = np.array(rgb, np.float64)
        for tone in [base * s for s in (0.55, 0.65, 0.75, 0.82, 0.9, 1.0)] + [base + 12, base + 23]:
            rows.append(tone)
            classes.append(BACKGROUND)
    for ink in (FACE, (10, 10, 12), (60, 55, 62)):
        rows.append(np.array(ink, np.float64))
        classes.append(BACKGROUND)
    return np.stack(rows), np.array(classes)


@functools.lru_cache(maxsize=1)
def _table():
    rgb, classes = _samples()
    n = 1 << BITS
    axis = (np.arange(n) + 0.5) * (256 / n)
    grid = torch.tensor(np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3), dtype=torch.float32)
    points = torch.tensor(rgb, dtype=torch.float32)
    weight = torch.where(torch.tensor(classes) == BACKGROUND, 1.0, TOY_WEIGHT)
    nearest = torch.cat([(torch.cdist(part, points) * weight).argmin(1) for part in grid.split(1 << 15)]).numpy()
    return classes[nearest].astype(np.uint8)


def classify(video):
    """[..., 3] uint8 to palette classes [...] uint8: 0..7 a toy colour, BACKGROUND everything else."""
    q = (video >> (8 - BITS)).astype(np.int32)
    return _table()[(q[..., 0] << (2 * BITS)) | (q[..., 1] << BITS) | q[..., 2]]
