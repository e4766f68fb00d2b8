"""score_clip: everything the scorer can say about one clip."""

import numpy as np

from toydata import names

from . import motion, outline, sound, tracks

SIZE_LIMITS = (0.128, 0.179)  # radius over short side; between small, medium and large even when a camera zooms out
MIN_OVERLAP = 0.45  # a patch that fits its best outline worse is no toy
TOLERANCE = 2 / names.FPS
# An impact is only visible with two frames before it and two after; the last frame stands one frame before the end.
START, END = 2 / names.FPS, 3 / names.FPS


def match(first, second, duration, tolerance=TOLERANCE):
    """Pairs events of two lists of times. Returns (matched, total) counting both lists.

    An event counts as matched if the other list has one within the tolerance; unmatched events at the very
    START and END are left out, since the picture cannot show them.
    """
    matched = total = 0
    for mine, other in ((first, second), (second, first)):
        for t in mine:
            ok = any(abs(t - u) <= tolerance + 1e-6 for u in other)
            if ok or START <= t <= duration - END:
                matched += ok
                total += 1
    return matched, total


def score_clip(video, audio=None):
    """What a clip shows.

    video: [T, H, W, 3] uint8. audio: [S, 2] float at 16 kHz, or None.
    Returns a dict: count; toys (shape, colour, size, motion, impacts, confidence), largest first; impacts (all toys, seconds);
    onsets (seconds); matched and events (picture and sound together, within two frames).
    """
    video = np.ascontiguousarray(video)
    if video.ndim != 4 or video.shape[-1] != 3 or video.dtype != np.uint8:
        raise ValueError(f"video must be [T, H, W, 3] uint8, found {video.shape} {video.dtype}")
    short = min(video.shape[1:3])
    duration = video.shape[0] / names.FPS
    toys, count = [], 0
    for track in tracks.find_tracks(video):
        kind, impacts = motion.classify(video, track)
        shape, radius, overlap = outline.classify(track, kind)
        if overlap.max() < MIN_OVERLAP:
            continue
        size = int(np.searchsorted(SIZE_LIMITS, radius / short))
        order = np.sort(overlap)
        count += max(1, round(track.parts))
        toys.append({"shape": names.SHAPES[shape], "colour": names.COLOURS[track.colour], "size": names.SIZES[size],
                     "motion": kind, "impacts": impacts, "radius": radius / short,
                     "overlap": float(order[-1]),
                     "confidence": float(order[-1] - order[-2])})
    impacts = sorted(t for toy in toys for t in toy["impacts"])
    heard = sound.onsets(audio) if audio is not None else []
    matched, total = match(impacts, heard, duration)
    return {"count": count, "toys": toys, "impacts": impacts, "onsets": heard, "matched": matched, "events": total,
            "duration": duration}
