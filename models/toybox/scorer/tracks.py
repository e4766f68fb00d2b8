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


def largest_patches(mask):
    """Largest 8-connected patch in each frame. mask [T, H, W]. Returns patch [T, H, W], areas [T, 3] of the top 3."""
    t, h, w = mask.shape
    m = torch.from_numpy(mask)[:, None].float()
    labels = torch.arange(1, h * w + 1, dtype=torch.float32).view(1, 1, h, w) * m
    while True:
        grown = labels
        for _ in range(8):
            grown = F.max_pool2d(grown, 3, 1, 1) * m
        if torch.equal(grown, labels):
            break
        labels = grown
    flat = labels.view(t, -1).long()
    count = torch.zeros(t, h * w + 1, dtype=torch.long).scatter_add_(1, flat, torch.ones_like(flat))
    count[:, 0] = 0
    areas, ids = count.topk(3, dim=1)
    patch = (flat == ids[:, :1]) & (areas[:, :1] > 0)
    return patch.view(t, h, w).numpy(), areas.numpy()


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
        patch, areas = largest_patches(mask)
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
