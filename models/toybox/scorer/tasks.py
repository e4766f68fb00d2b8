"""What the program makes of every task of Toybox, scored: each held-out scene is rendered, parts of it are given, the rest is made.

Frames are given as PNG and sounds as WAV; clips with both go through the `ffmpeg` program (FFV1 and PCM, so that nothing is lost).
"""

import functools
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import wave
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import torch
import toydata
from toydata import names
from toydata.__main__ import write_png

from . import compare, score_clip, summarise
from .media import read_clip

FRAMES, SIDE = 32, 128


def write_wav(path, audio):
    """audio [S, 2] in [-1, 1]."""
    with wave.open(path, "wb") as f:
        f.setnchannels(2)
        f.setsampwidth(2)
        f.setframerate(names.SAMPLE_RATE)
        f.writeframes((np.clip(audio, -1, 1) * 32767).round().astype("<i2").tobytes())


class Scene:
    """One held-out scene on disk: frames, sound, and clips of its first and its second half."""

    def __init__(self, folder, caption, label, video, audio):
        self.folder, self.caption, self.label, self.video, self.audio = folder, caption, label, video, audio

    def path(self, name):
        return os.path.join(self.folder, name)

    def frames(self, first, count):
        """A pattern of PNG files that hold those frames."""
        folder = self.path(f"frames_{first}_{count}")
        if not os.path.isdir(folder):
            os.makedirs(folder)
            for i in range(count):
                write_png(os.path.join(folder, f"{i:04d}.png"), self.video[first + i])
        return os.path.join(folder, "%04d.png")

    def frame(self, i):
        return self.frames(i, 1) % 0

    def sound(self, first, count):
        """A WAV file of the sound of those frames."""
        path = self.path(f"sound_{first}_{count}.wav")
        step = names.SAMPLE_RATE / names.FPS
        write_wav(path, self.audio[round(first * step):round((first + count) * step)])
        return path

    def clip(self, first, count):
        """A Matroska file of picture and sound of those frames."""
        path = self.path(f"clip_{first}_{count}.mkv")
        if not os.path.exists(path):
            subprocess.run(["ffmpeg", "-v", "error", "-y", "-framerate", str(names.FPS), "-i", self.frames(first, count),
                            "-i", self.sound(first, count), "-c:v", "ffv1", "-pix_fmt", "bgr0", "-c:a", "pcm_s16le", path],
                           check=True)
        return path


HALF = FRAMES // 2
TASKS = {
    "text": lambda s: [],
    "first frame": lambda s: ["--image", s.frame(0)],
    "last frame": lambda s: ["--last-image", s.frame(FRAMES - 1)],
    "both frames": lambda s: ["--image", s.frame(0), "--last-image", s.frame(FRAMES - 1)],
    "continued": lambda s: ["--extend", s.clip(0, HALF), "--frames", HALF],
    "led to": lambda s: ["--lead-to", s.clip(HALF, HALF), "--frames", HALF],
    "filled in": lambda s: ["--join", s.clip(0, 12), s.clip(20, 12), "--frames", 8],
    "picture to sound": lambda s: ["--video", s.frames(0, FRAMES)],
    "sound to picture": lambda s: ["--audio", s.sound(0, FRAMES)],
    "loop": lambda s: ["--loop"],
    "96x96": lambda s: ["--width", 96, "--height", 96],
    "160x96": lambda s: ["--width", 160, "--height", 96],
}


def scenes(count, folder):
    spec = toydata.evaluation_specs(count)
    captions = toydata.caption(spec, toydata.EVALUATION_SEED)
    rendered = toydata.render(spec, FRAMES, SIDE, SIDE)
    video = ((rendered["video"].float() + 1) * 127.5).round().clamp(0, 255).byte().numpy()
    labels = toydata.labels(spec, FRAMES)
    for i in range(count):
        where = os.path.join(folder, f"{i:04d}")
        os.makedirs(where)
        yield Scene(where, captions[i], labels[i], video[i], rendered["audio"][i].float().numpy())


def run_task(program, flags, task, scene, seed):
    """The scored clip: score_clip's result against the label. Raises RuntimeError where the program fails."""
    out = scene.path(task.replace(" ", "_"))
    os.makedirs(out)
    command = [program, "generate", scene.caption, *flags, *TASKS[task](scene), "--seed", seed, "--no-metadata", "-q",
               "-o", os.path.join(out, "frame.png"), "-o", os.path.join(out, "sound.wav")]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{task}: {done.stderr.strip()}")
    one = compare(score_clip(*read_clip(out)), scene.label)
    shutil.rmtree(out)
    return one


def start_worker():
    torch.set_num_threads(1)
    np.seterr(all="ignore")


def measure(program, count, flags, tasks, jobs):
    """{task: summary} over `count` held-out scenes, `jobs` programs at once; `flags` go to `zoetrope generate`."""
    unknown = [t for t in tasks if t not in TASKS]
    if unknown:
        sys.exit(f"no task '{unknown[0]}'; there are: {', '.join(TASKS)}")
    spawn = multiprocessing.get_context("spawn")  # PyTorch has threads, which a fork does not take along
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(jobs, spawn, start_worker) as pool:
        drawn = list(scenes(count, folder))
        out = {}
        for task in tasks:
            one = functools.partial(run_task, program, flags, task)
            out[task] = summarise(pool.map(one, drawn, range(1000, 1000 + count)))
            print(f"{task}: {json.dumps(out[task])}", file=sys.stderr, flush=True)
        return out


COLUMNS = ["shape_and_colour", "motion", "count", "size", "picture_and_sound", "clips_in_time"]


def format_tasks(results):
    lines = [f"{'':20}" + "".join(f"{c.replace('_', ' '):>20}" for c in COLUMNS)]
    for task, summary in results.items():
        lines.append(f"{task:20}" + "".join(f"{summary[c]:20.1%}" for c in COLUMNS))
    return "\n".join(lines)
