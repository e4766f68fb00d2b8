"""From pixels to tracks: which toys there are, and where each is in every frame."""

import dataclasses

import numpy as np
import torch
import torch.nn.functional as F

from toydata import names

from . import palette

MIN_AREA = 0.004   # of short side squared: smaller patches are no toys
MIN_CORE = 0.0016  # same, for pixels with at least CORE_NEIGHBOURS of their own class around
CORE_NEIGHBOURS = 7
MIN_SHARE = 0.2    # of the frames; a blinking toy is there in 60%


@dataclasses.dataclass
class Track:
    """One toy over T frames. Lengths in units of the short side, origin in the middle, y down."""

    colour: int
    mask: np.ndarray      # [T, H, W] bool, the toy's own pixels
    area: np.ndarray      # [T], 0 where not visible
    traces: np.ndarray    # [T] the same down to the last pixel
    x: np.ndarray         # [T] centre of the pixels, NaN where not visible
    y: np.ndarray
    parts: float          # typical number of separate patches of this colour

    @property
    def scale(self):
        """[T] square root of area, relative to the clip's largest."""
        root = np.sqrt(self.area)
        return root / max(np.percentile(root, 97), 1e-9)


def _spread_along_rows(labels, mask):
    """Each run of mask along the last axis takes its greatest label."""
    flat, inside = labels.reshape(-1), mask.reshape(-1)
    starts = np.ones(len(flat), bool)
    starts[1:] = inside[1:] != inside[:-1]
    starts[::mask.shape[-1]] = True
    first = np.flatnonzero(starts)
    best = np.maximum.reduceat(flat, first)
    return (np.repeat(best, np.diff(np.append(first, len(flat)))) * inside).reshape(labels.shape)


def largest_patches(mask):
    """Largest 8-connected patch in each frame. mask [T, H, W]. Returns patch [T, H, W], areas [T, 3] of the top 3."""
    t, h, w = mask.shape
    labels = np.arange(1, h * w + 1, dtype=np.int32).reshape(1, h, w) * mask
    turned = np.ascontiguousarray(mask.transpose(0, 2, 1))
    while True:
        grown = labels.copy()
        for dy, dx in ((1, 1), (1, -1)):  # diagonal steps; straight ones follow
            y = slice(dy, None), slice(None, -dy)
            x = (slice(dx, None), slice(None, -dx)) if dx > 0 else (slice(None, dx), slice(-dx, None))
            np.maximum(grown[:, y[0], x[0]], labels[:, y[1], x[1]], out=grown[:, y[0], x[0]])
            np.maximum(grown[:, y[1], x[1]], labels[:, y[0], x[0]], out=grown[:, y[1], x[1]])
        grown = _spread_along_rows(grown * mask, mask)
        grown = _spread_along_rows(np.ascontiguousarray(grown.transpose(0, 2, 1)), turned).transpose(0, 2, 1)
        if np.array_equal(grown, labels):
            break
        labels = np.ascontiguousarray(grown)
    flat = labels.reshape(t, -1)
    patch, areas = np.zeros((t, h * w), bool), np.zeros((t, 3), np.int64)
    for k in range(t):
        count = np.bincount(flat[k], minlength=4)
        count[0] = 0
        order = np.argsort(count)[::-1][:3]
        areas[k] = count[order]
        if areas[k, 0]:
            patch[k] = flat[k] == order[0]
    return patch.reshape(t, h, w), areas


def _core(mask):
    """Number of pixels in each frame with enough neighbours of their own class."""
    m = torch.from_numpy(mask)[:, None].float()
    around = F.avg_pool2d(m, 3, 1, 1, count_include_pad=True) * 9
    return ((around > CORE_NEIGHBOURS - 0.5) & (m > 0)).sum((1, 2, 3)).numpy()


def find_tracks(video):
    """video [T, H, W, 3] uint8. Returns a list of Track, largest first."""
    t, h, w, _ = video.shape
    short = min(h, w)
    classes = palette.classify(video)
    tracks = []
    for colour in range(len(names.COLOURS)):
        mask = classes == colour
        if mask.reshape(t, -1).sum(1).max() < MIN_AREA * short * short:
            continue
        core = _core(mask)
        enough = core >= MIN_CORE * short * short
        if enough.sum() < max(min(3, t), MIN_SHARE * t):
            continue
        # Grown by a pixel, so that eyes do not cut a thin ring in two.
        grown = F.max_pool2d(torch.from_numpy(mask)[:, None].float(), 3, 1, 1)[:, 0].numpy() > 0
        patch, areas = largest_patches(grown)
        patch &= mask
        area = patch.reshape(t, -1).sum(1) / (short * short)
        seen = area >= max(MIN_AREA * 0.5, 0.03 * area.max())
        ys, xs = np.mgrid[0:h, 0:w]
        total = np.maximum(patch.reshape(t, -1).sum(1), 1)
        x = ((patch * xs).reshape(t, -1).sum(1) / total + 0.5 - w / 2) / short
        y = ((patch * ys).reshape(t, -1).sum(1) / total + 0.5 - h / 2) / short
        x[~seen], y[~seen] = np.nan, np.nan
        big = areas >= np.maximum(0.35 * areas[:, :1], MIN_AREA * 1.5 * short * short)
        parts = float(np.median(big[seen].sum(1))) if seen.any() else 0.0
        tracks.append(Track(colour, patch, np.where(seen, area, 0.0), area, x, y, parts))
    return sorted(tracks, key=lambda k: -k.area.max())
