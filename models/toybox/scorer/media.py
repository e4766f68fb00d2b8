"""Reads clips: .npz, or PNG frames with a WAV file. 8-bit PNG without interlacing; PCM 16-bit or 32-bit float WAV."""

import os
import re
import struct
import zlib

import numpy as np

from toydata import names


def read_png(path):
    """[H, W, 3] uint8."""
    with open(path, "rb") as f:
        data = f.read()
    if data[:8] != b"\x89PNG\r\n\x1a\n":
        raise ValueError(f"{path}: not a PNG file")
    at, body, header = 8, b"", None
    while at + 8 <= len(data):
        length, tag = struct.unpack(">I4s", data[at:at + 8])
        chunk = data[at + 8:at + 8 + length]
        if tag == b"IHDR":
            header = struct.unpack(">IIBBBBB", chunk)
        elif tag == b"IDAT":
            body += chunk
        at += 12 + length
    if header is None or header[2] != 8 or header[3] not in (0, 2, 6) or header[6] != 0:
        raise ValueError(f"{path}: expected 8-bit grey, RGB or RGBA without interlacing, found header {header}")
    width, height, channels = header[0], header[1], {0: 1, 2: 3, 6: 4}[header[3]]
    stride = width * channels
    raw = zlib.decompress(body)
    if len(raw) != height * (stride + 1):
        raise ValueError(f"{path}: expected {height * (stride + 1)} bytes of pixels, found {len(raw)}")
    rows = np.frombuffer(raw, np.uint8).reshape(height, stride + 1)
    out = np.zeros((height, stride), np.uint8)
    above = np.zeros(stride, np.uint8)
    for y in range(height):
        above = out[y] = _unfilter(int(rows[y, 0]), rows[y, 1:], above, channels, path)
    pixels = out.reshape(height, width, channels)
    return pixels.repeat(3, 2) if channels == 1 else pixels[..., :3]


def _unfilter(kind, row, above, step, path):
    if kind == 0:
        return row
    if kind == 2:
        return row + above
    if kind == 1:
        return np.cumsum(row.reshape(-1, step), 0, dtype=np.uint8).reshape(-1)
    if kind not in (3, 4):
        raise ValueError(f"{path}: unknown PNG filter {kind}")
    row, up = row.tolist(), above.tolist()
    out = [0] * len(row)
    for i, value in enumerate(row):
        a, b = (out[i - step] if i >= step else 0), up[i]
        if kind == 3:
            guess = (a + b) >> 1
        else:
            c = up[i - step] if i >= step else 0
            pa, pb, pc = abs(b - c), abs(a - c), abs(a + b - 2 * c)
            guess = a if pa <= pb and pa <= pc else b if pb <= pc else c
        out[i] = (value + guess) & 255
    return np.array(out, np.uint8)


def read_wav(path):
    """[S, 2] float32 at 16 kHz; other rates are resampled, one channel is doubled."""
    with open(path, "rb") as f:
        data = f.read()
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise ValueError(f"{path}: not a WAV file")
    at, form, body = 12, None, None
    while at + 8 <= len(data):
        tag, length = data[at:at + 4], struct.unpack("<I", data[at + 4:at + 8])[0]
        chunk = data[at + 8:at + 8 + length]
        if tag == b"fmt ":
            form = struct.unpack("<HHIIHH", chunk[:16])
            if form[0] == 0xFFFE and len(chunk) >= 26:
                form = (struct.unpack("<H", chunk[24:26])[0],) + form[1:]
        elif tag == b"data":
            body = chunk
        at += 8 + length + (length & 1)
    if form is None or body is None or (form[0], form[5]) not in ((1, 16), (3, 32)):
        raise ValueError(f"{path}: expected 16-bit PCM or 32-bit float, found {form}")
    channels, rate = form[1], form[2]
    samples = np.frombuffer(body, "<i2").astype(np.float32) / 32768 if form[0] == 1 else np.frombuffer(body, "<f4")
    samples = samples[:len(samples) // channels * channels].reshape(-1, channels)
    samples = np.repeat(samples[:, :1], 2, 1) if channels == 1 else samples[:, :2]
    if rate != names.SAMPLE_RATE:
        count = int(len(samples) * names.SAMPLE_RATE / rate)
        at = np.arange(count) * (rate / names.SAMPLE_RATE)
        samples = np.stack([np.interp(at, np.arange(len(samples)), samples[:, c]) for c in range(2)], 1)
    return samples.astype(np.float32)


def read_clip(path):
    """(video [T, H, W, 3] uint8, audio [S, 2] float32 or None).

    path: an .npz with `video` (uint8, or float in [-1, 1]) and `audio`; or a folder of PNG frames, in the order of the numbers
    in their names, with a WAV file inside it or beside it (FOLDER.wav).
    """
    if os.path.isdir(path):
        files = sorted(os.listdir(path))
        frames = [f for f in files if f.lower().endswith(".png")]
        if not frames:
            raise ValueError(f"{path}: no PNG frames")
        frames.sort(key=lambda f: [int(n) for n in re.findall(r"\d+", f)])
        video = np.stack([read_png(os.path.join(path, f)) for f in frames])
        sounds = [os.path.join(path, f) for f in files if f.lower().endswith(".wav")] + [path.rstrip("/") + ".wav"]
        sound = next((s for s in sounds if os.path.exists(s)), None)
        return video, read_wav(sound) if sound else None
    with np.load(path) as archive:
        if "video" not in archive:
            raise ValueError(f"{path}: expected an array `video`, found {sorted(archive)}")
        video = archive["video"]
        audio = archive["audio"].astype(np.float32) if "audio" in archive else None
    if video.dtype != np.uint8:
        video = ((video.astype(np.float32) + 1) * 127.5).round().clip(0, 255).astype(np.uint8)
    return video, audio


def find_clips(folder):
    """Paths of the clips in a folder, in order: .npz files and folders of frames."""
    names_ = [n for n in os.listdir(folder) if n.endswith(".npz") or os.path.isdir(os.path.join(folder, n))]
    names_.sort(key=lambda n: ([int(k) for k in re.findall(r"\d+", n)], n))
    return [os.path.join(folder, n) for n in names_]
