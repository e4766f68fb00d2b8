"""Onsets in the sound: sudden rises of energy in any part of the spectrum."""

import numpy as np
import torch

from toydata import names

WINDOW, HOP = 320, 80  # 20 ms, 5 ms
FLOOR = 0.02           # of full scale; quieter than this is silence
RISE = 0.35            # of the clip's strongest rise
LEAST_RISE = 8.0       # in nats, summed over the spectrum; the softest toy's strike has 19, white noise 1
APART = 0.06           # seconds


def onsets(audio):
    """Times in seconds. audio [S, 2] or [S] float at 16 kHz."""
    a = torch.as_tensor(np.ascontiguousarray(audio), dtype=torch.float32)
    a = a if a.ndim == 2 else a[:, None]
    if a.shape[0] < WINDOW or float(a.abs().max()) < FLOOR:
        return []
    # No padding: a note cut off by the end of the clip would splash over the spectrum like a strike.
    spectrum = torch.stft(a.t(), WINDOW, HOP, window=torch.hann_window(WINDOW), center=False, return_complex=True)
    level = spectrum.abs().pow(2).sum(0).sqrt() / (WINDOW / 4)  # [bins, frames]
    compressed = (level / FLOOR + 1).log()
    lag = 3
    rise = (compressed[:, lag:] - compressed[:, :-lag]).clamp(min=0).sum(0).numpy()
    # The rise peaks when the strike lies between the centres of the two windows compared.
    times = ((np.arange(len(rise)) + lag / 2) * HOP + WINDOW / 2) / names.SAMPLE_RATE
    threshold = max(RISE * rise.max(), LEAST_RISE)
    found = []
    reach = int(APART * names.SAMPLE_RATE / HOP)
    for i in range(len(rise)):
        low, high = max(0, i - reach), min(len(rise), i + reach + 1)
        if rise[i] >= threshold and rise[i] == rise[low:high].max() and (not found or times[i] - found[-1] > APART):
            found.append(float(times[i]))
    return found
