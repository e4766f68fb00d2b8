"""How a toy moves, and when its impacts happen, from its track alone."""

import math

import numpy as np

from toydata import names

from . import outline

FPS = names.FPS


def _runs(flags):
    """(start, end) of each run of True, end exclusive."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(int), [0]])))
    return list(zip(edges[::2], edges[1::2]))


def _spread(values):
    values = values[np.isfinite(values)]
    return float(np.ptp(values)) if len(values) else 0.0


def _turnings(signal, prominence):
    """Frames of local maxima that stand out by `prominence` on both sides, with sub-frame place. NaN breaks the signal."""
    found = []
    for start, end in _runs(np.isfinite(signal)):
        s = signal[start:end]
        i = 0
        while i < len(s):
            j = i
            while j + 1 < len(s) and s[j + 1] == s[i]:
                j += 1
            left, k = s[i], i
            while k > 0 and s[k - 1] <= s[i]:
                k -= 1
                left = min(left, s[k])
            right, k = s[j], j
            while k + 1 < len(s) and s[k + 1] <= s[j]:
                k += 1
                right = min(right, s[k])
            if s[i] - left >= prominence and s[j] - right >= prominence:
                found.append(start + (i + j) / 2)
            i = j + 1
    merged = []
    for f in found:  # plateaus broken by noise
        if not merged or f - merged[-1] > 2.5:
            merged.append(f)
    return merged


def classify(video, track):
    """Name of the motion and the impact times in seconds."""
    t = len(track.area)
    if t < 4:
        return "still", []
    scale = track.scale
    seen = np.isfinite(track.x)
    full = scale > 0.5
    x, y = np.where(full, track.x, np.nan), np.where(full, track.y, np.nan)
    spread_x, spread_y = _spread(x), _spread(y)
    hidden = int((~seen).sum())

    traces = np.sqrt(track.traces) / max(np.percentile(np.sqrt(track.traces), 97), 1e-9)
    if _pulses(track, traces, seen):
        return _pulse(traces)
    if _shuttles(x, spread_x, spread_y):
        return "slide", _slide_impacts(track)
    if _travels(x, y, spread_x, spread_y):
        if spread_y < 0.4 * spread_x and spread_y < 0.16:
            return "slide", _slide_impacts(track)
        if spread_x > 0.42 * spread_y and spread_x > 0.10:
            return "orbit", _orbit_impacts(track)
        steps = np.diff(y)
        up, down = -steps[steps < 0].sum(), steps[steps > 0].sum()
        if min(up, down) > 0.25 * (up + down):
            return "bounce", [f / FPS for f in _turnings(track.y, 0.08 * spread_y)]
        kind = "rise" if up > down else "fall"
        return kind, _arrivals(track.y if kind == "fall" else -track.y)
    if hidden >= 2 and _fades(track):
        return "blink", _appearances(track)
    turn = outline.turning(video, track)
    if np.mean(np.abs(turn[np.isfinite(turn)]) > SPIN_ANGLE) > 0.2:
        return "spin", _uprights(turn)
    return "still", []


def _shuttles(x, spread_x, spread_y):
    """True for a short way to and fro along x; a camera never turns back."""
    if spread_x < 0.07 or spread_y > 0.3 * spread_x:
        return False
    depth = max(0.03, 0.3 * spread_x)
    return len(_turnings(x, depth) + _turnings(-x, depth)) > 0


def _travels(x, y, spread_x, spread_y):
    """True for a toy that goes places, rather than drifting with the camera (slow, and 0.14 at most)."""
    if spread_x < 0.14 and (spread_y < 0.10 or spread_y < 0.45 * spread_x):
        return False
    step = np.hypot(np.diff(_smooth(x)), np.diff(_smooth(y)))
    step = step[np.isfinite(step)]
    return len(step) > 0 and step.sum() > DRIFT_PATH and np.percentile(step, 90) * FPS > DRIFT_SPEED


def _smooth(values):
    padded = np.pad(values, 1, mode="edge")
    return 0.25 * padded[:-2] + 0.5 * padded[1:-1] + 0.25 * padded[2:]


DRIFT_PATH, DRIFT_SPEED = 0.18, 0.15  # of the short side, and that in a second
# Toys that pop or blink are of middling size for up to a fifth of the time; those that grow or shrink for half of it.
PULSE_SHARE, PULSE_LOW, PULSE_PLACE = 0.3, 0.62, 0.09
SPIN_ANGLE = math.radians(25)


def _slide_impacts(track):
    x = np.where(np.isfinite(track.x), track.x, np.nan)
    size = 0.07 * _spread(x)
    return sorted(f / FPS for f in _turnings(x, size) + _turnings(-x, size))


def _orbit_impacts(track):
    return [f / FPS for f in _turnings(track.y, 0.04 * _spread(track.y))]


def _arrivals(y):
    """Times at which a fast rise of the signal ends: the first frame after it."""
    times = []
    step = np.diff(y)
    if not np.isfinite(step).any():
        return times
    fast = np.nan_to_num(step) > 0.35 * np.nanpercentile(step, 97)
    for start, end in _runs(fast):
        # A stop needs to be seen: the toy is still there and slow for one step.
        if end < len(step) and np.isfinite(step[end]) and (end - start >= 2 or step[start] > 0.08):
            times.append((end - 0.3) / FPS)
    return times


def _appearances(track):
    seen = np.sqrt(track.area) > 0.6 * np.sqrt(track.area.max())
    return [s / FPS for s, _ in _runs(seen) if s > 0]


def _fades(track):
    """True where the toy comes back at the place and size that it left."""
    seen = track.scale > 0.8
    return len(_runs(seen)) > 0 and _spread(np.where(seen, track.x, np.nan)) < 0.14


def _pulses(track, s, seen):
    """True for a toy that changes size in its place; a place may drift with the camera and with a foot on the ground."""
    middling = np.mean((s > 0.2) & (s < 0.78))
    if middling < PULSE_SHARE or np.percentile(s, 10) > PULSE_LOW or seen.sum() < 4:
        return False
    known = np.stack([np.ones(seen.sum()), s[seen], np.flatnonzero(seen)], 1)
    for place in (track.x[seen], track.y[seen]):
        rest = place - known @ np.linalg.lstsq(known, place, rcond=None)[0]
        if np.percentile(rest, 95) - np.percentile(rest, 5) > PULSE_PLACE:
            return False
    return True


def _pulse(s):
    """Grow or shrink, by which way takes longer; impacts where that way ends."""
    step = np.diff(s)
    rising, falling = step[step > 0.012], step[step < -0.012]
    grows = len(rising) > len(falling)
    size = 0.07
    return ("grow", [f / FPS for f in _turnings(s, size)]) if grows else \
        ("shrink", [f / FPS for f in _turnings(-s, size)])


def _uprights(turn):
    """Times at which the toy is upright, from its angle [T] in radians, -pi..pi: the middle of each stay near zero."""
    tilt = np.abs(turn)
    padded = np.pad(tilt, 1, mode="edge")
    middle = np.sort(np.stack([padded[:-2], tilt, padded[2:]]), 0)[1]  # a single misread frame does not break a stay
    times = []
    for start, end in _runs(np.nan_to_num(middle, nan=math.pi) < UPRIGHT):
        if end - start < 3:
            continue
        inside = turn[start:end]
        whole = start > 0 and end < len(turn) and np.isfinite(turn[start - 1] + turn[end])
        if whole:
            times.append(((start + end - 1) / 2) / FPS)
            continue
        # Cut off by the end of the clip: the passage through zero, if it is there.
        sense = np.sign(np.median(np.diff(inside)))
        early = int((inside * sense < 0).sum())
        if 0 < early < len(inside):
            times.append((start + early - 0.5) / FPS)
    return times


UPRIGHT = math.radians(40)
