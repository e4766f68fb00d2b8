"""A model, opened, and the clips that it makes."""
from __future__ import annotations

import ctypes
import json
import math
import numbers
import os
import secrets
import weakref
from collections.abc import Mapping, Sequence
from ctypes import byref, c_char_p, c_void_p
from dataclasses import dataclass, field
from typing import Any, Callable, Union

import numpy as np

from . import _library
from ._call import Call, Progress, encode, wait_for
from ._library import Callbacks, Media, lib, take_text
from .errors import InternalError, InvalidArgumentError, check
from .tensors import run_on

PathLike = Union[str, "os.PathLike[str]"]


def _path(path: PathLike) -> bytes:
    return os.fsencode(os.path.abspath(path))


@dataclass(frozen=True)
class Adapter:
    """A LoRA file, for all of the model or one component, as strong as trained times `strength`."""

    path: PathLike
    strength: float = 1.0
    component: str = ""


@dataclass(frozen=True)
class Clip:
    """What a request became."""

    frames: np.ndarray
    """uint8 [frames, height, width, 3], RGB."""
    audio: np.ndarray | None
    """float32 [samples, channels] in [-1, 1]; None: the model makes no sound."""
    fps: int
    sample_rate: int
    seed: int
    """The one that was asked for, or drawn."""
    prompt: str
    receipt: dict | None
    """What made every bit, for `zoetrope verify --receipt`; None where media were given."""
    stats: dict = field(repr=False)
    """Seconds and bytes of the run."""
    notices: list[str] = field(default_factory=list, repr=False)
    _tags: dict[str, str] = field(default_factory=dict, repr=False)

    def __repr__(self) -> str:
        count, height, width, _ = self.frames.shape
        sound = "" if self.audio is None else f", {self.audio.shape[1]} channels at {self.sample_rate} Hz"
        return f"<Clip {width}x{height}, {count} frames at {self.fps}/s{sound}, seed {self.seed}>"

    def __dlpack__(self, **options: Any) -> Any:
        """The frames, for torch.from_dlpack() and others."""
        return self.frames.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.frames.__dlpack_device__()

    def save(self, path: PathLike) -> None:
        """Writes .mp4, .webm, .mkv, .mov, .gif, .y4m, .png or .wav, whole or not at all, with prompt, seed and
        receipt in formats that have a place for them."""
        frames = np.ascontiguousarray(_checked("frames", self.frames, np.uint8, "[frames, height, width, 3]"))
        clip = _library.Clip(size=ctypes.sizeof(_library.Clip), frames=frames.ctypes.data, count=frames.shape[0],
                             width=frames.shape[2], height=frames.shape[1], fps=self.fps)
        if self.audio is not None:
            audio = np.ascontiguousarray(_checked("audio", self.audio, np.float32, "[samples, channels]"))
            clip.audio, (clip.samples, clip.channels) = audio.ctypes.data, audio.shape
            clip.rate = self.sample_rate
        tags = dict(self._tags)
        if self.receipt is not None:
            tags["receipt"] = json.dumps(self.receipt, separators=(",", ":"))
        clip.tags = json.dumps(tags).encode()
        check(lib.zoetrope_write(_path(path), byref(clip)))


class Run(Call[Clip]):
    """A clip in the making: iterate it for `Progress`, `result()` is the `Clip`."""


class Engine:
    """A model file, opened once; what a request loads stays for the next one.

    `model`: a .zoe file; None is the one that comes with the package. `device`: "auto", "cpu", "cuda:0", "vulkan:0",
    ...; `place`, `target`, `threads` as the command's flags. Any thread may use it; runs take turns. It is not usable
    after fork(): open it in the child.
    """

    def __init__(self, model: PathLike | None = None, *, device: str = "auto", place: str = "", target: str = "",
                 threads: int = 0) -> None:
        handle = c_void_p()
        options = encode({"device": device, "place": place or None, "target": target or None,
                          "threads": threads or None})
        check(lib.zoetrope_open(None if model is None else os.fsencode(model), options, byref(handle)))
        self._handle = handle.value
        self._close = weakref.finalize(self, lib.zoetrope_close, self._handle)
        self._close.atexit = False

    def close(self) -> None:
        """Lets go of the model; what is at work goes on to its end."""
        self._close()

    def __enter__(self) -> "Engine":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def __repr__(self) -> str:
        info = self.info
        return f"<Engine {info['name']} of {info['path']}>"

    @property
    def info(self) -> dict:
        """Name, family, path, digest, components with inputs and outputs, vocabulary and recipe."""
        out = c_void_p()
        check(lib.zoetrope_inspect(self._handle, byref(out)))
        return json.loads(take_text(out))

    def release(self) -> None:
        """Frees what is kept loaded on devices and not in use."""
        check(lib.zoetrope_release(self._handle))

    def plan(self, prompt: str = "", **options: Any) -> dict:
        """What `generate` with the same arguments takes (memory, time, sizes), without running anything. Refuses with
        the nearest size that fits."""
        return self._plan(_Request(prompt, engine=self, **options))

    def generate(self, prompt: str = "", *, progress: Callable[[Progress], None] | None = None,
                 **options: Any) -> Clip:
        """Makes a clip and waits for it; Ctrl-C cancels. Arguments as `start`; notices become warnings."""
        return wait_for(self.start(prompt, **options), progress, stacklevel=2)

    def start(self, prompt: str = "", *, previews: int = 0, **options: Any) -> Run:
        """Begins a clip, to be iterated for its progress, which shows up to so many small `previews` of its frames. What is left out, or None, is the model's to choose.

        negative: what to steer away from. classes: of models of classes. seed: None draws one. width, height, frames
        or seconds; loop: without an end; window: frames seen at once, for longer clips. steps, guidance, expert_guidance, guidance_mode ("batched", "sequential"), solver, schedule, shift,
        spacing, eta: how it is sampled. compute: "f32", "bf16" or "f16". memory_budget: bytes on each device.
        decode_tile: latents decoded at once, -1 all. fuse. adapters: paths or `Adapter`s.

        Media that the clip keeps, uint8 RGB at the clip's size (which they decide where it is left open), as NumPy
        arrays or anything with DLPack or the array interface (Pillow's pictures): first, last [height, width, 3];
        before, after, video [frames, height, width, 3]; and float32 sound [samples, channels] at the model's rate:
        audio (of the whole clip), before_sound, after_sound. start: frames to start from rather than from noise, of
        which `strength` (0 to 1) is made new. source: frames of a clip that is made anew, by models that do so
        (editors, upsamplers), at the clip's size or smaller by the model's scale; source_fps: how many it, and so what
        is made, shows a second, to the nearest whole number. references: pictures of any size of who or what is to be shown again. They are read
        before this returns.
        """
        request = _Request(prompt, engine=self, **options)
        plan = self._plan(request)
        return Run(*_collect(self, request, plan), previews)

    def run_component(self, component: str, inputs: Mapping[str, Any], *, compute: str = "f32", fuse: bool = True,
                      set: Mapping[str, int] | None = None, dump: Sequence[str] = (),
                      adapters: Sequence[PathLike | Adapter] = ()) -> dict[str, np.ndarray]:
        """One network on given arrays; outputs, next states and what `dump` names, by name. bf16 comes as float32."""
        options = encode({"compute": compute, "fuse": fuse, "set": dict(set or {}), "dump": list(dump),
                          "adapters": _adapters(adapters)})
        return run_on(self._handle, self.info, component, inputs, options)

    def _plan(self, request: "_Request") -> dict:
        out = c_void_p()
        check(lib.zoetrope_plan(self._handle, request.json, request.media, byref(out)))
        return json.loads(take_text(out))


def _source_scale(engine: Engine | None) -> int:
    """How much larger the model makes a clip than the one that it is given."""
    if engine is None:
        return 1
    stages = engine.info["recipe"].get("stages", [])
    return next((stage.get("scale", 1) for stage in stages if stage["kind"] == "source_clip"), 1)


def _adapters(given: Sequence[PathLike | Adapter]) -> list[dict] | None:
    adapters = [a if isinstance(a, Adapter) else Adapter(a) for a in given]
    return [{"component": a.component, "file": {"path": os.path.abspath(a.path)}, "strength": a.strength}
            for a in adapters] or None


def _rate(name: str, value: Any) -> int:
    """Frames a second, to the nearest whole number, as the command takes them of a file."""
    if not isinstance(value, numbers.Real) or not 1 <= value <= 1000:
        raise InvalidArgumentError(f"{name}: expected 1 to 1000 frames a second, or None for the model's; found {value!r}")
    return math.floor(value + 0.5)


def _array(name: str, value: Any) -> np.ndarray:
    if isinstance(value, np.ndarray):
        return value
    if hasattr(value, "__dlpack__") and not hasattr(value, "__array_interface__"):
        try:
            return np.from_dlpack(value)
        except (BufferError, RuntimeError, TypeError) as problem:
            raise InvalidArgumentError(f"{name}: its memory is not the host's ({problem}); move it there first") from None
    return np.asarray(value)


def _checked(name: str, array: np.ndarray, dtype: type, layout: str) -> np.ndarray:
    """The array, if it is of this type and as the layout says: a name is any length, a number just that one."""
    sizes = layout.strip("[]").split(", ")
    fits = array.ndim == len(sizes) and all(not s.isdigit() or int(s) == n for s, n in zip(sizes, array.shape))
    # A byte order of another machine is another type, which the library does not know.
    if array.dtype != dtype or not fits:
        raise InvalidArgumentError(f"{name}: expected {np.dtype(dtype)} {layout}, found {array.dtype} "
                                   f"{list(array.shape)}")
    return array


class _Request:
    """Arguments of a request as the library takes them; arrays stay referenced as long as this lives."""

    def __init__(self, prompt: str, *, engine: Engine | None = None, negative: str = "", classes: Sequence[str | int] = (), seed: int | None = None,
                 width: int | None = None, height: int | None = None, frames: int | None = None,
                 seconds: float | None = None, loop: bool | None = None, window: int | None = None,
                 steps: int | None = None, guidance: float | None = None,
                 expert_guidance: Sequence[float] | None = None, guidance_mode: str | None = None,
                 solver: str | None = None, schedule: str | None = None, shift: float | None = None,
                 spacing: str | None = None, eta: float | None = None, compute: str | None = None,
                 memory_budget: int | None = None, decode_tile: int | None = None, fuse: bool | None = None,
                 adapters: Sequence[PathLike | Adapter] = (), first: Any = None, last: Any = None, before: Any = None,
                 before_sound: Any = None, after: Any = None, after_sound: Any = None, video: Any = None,
                 audio: Any = None, start: Any = None, strength: float | None = None, source: Any = None,
                 source_fps: float | None = None, references: Sequence[Any] = ()) -> None:
        self.prompt, self.negative = prompt, negative
        self.seed = secrets.randbits(32) if seed is None else seed
        self._keep: list[np.ndarray] = []
        self._size: tuple[int, int] | None = None
        self._whole: int | None = None
        media = Media(size=ctypes.sizeof(Media))
        for name, value in (("first", first), ("last", last)):
            if value is not None:
                setattr(media, name, self._frames(name, value, 1)[0])
        for name, value in (("before", before), ("after", after), ("video", video), ("start", start)):
            if value is not None:
                pointer, count = self._frames(name, value, None)
                setattr(media, name, pointer)
                setattr(media, name + "_frames", count)
                if name in ("video", "start"):
                    self._whole = count
        if source is not None:
            media.source, self._whole = self._frames("source", value=source, count=None, scale=_source_scale(engine))
            media.source_frames = self._whole
        media.source_fps = 0 if source_fps is None else _rate("source_fps", source_fps)  # 0: the model's
        pictures = [self._picture(f"references[{i}]", value) for i, value in enumerate(references)]
        self._pictures = (_library.Picture * len(pictures))(*pictures)
        if pictures:
            media.references, media.reference_count = self._pictures, len(pictures)
        for name, value in (("before_sound", before_sound), ("after_sound", after_sound), ("audio", audio)):
            if value is not None:
                pointer, count, channels = self._sound(name, value)
                if media.channels not in (0, channels):
                    raise InvalidArgumentError(f"{name} has {channels} channels, other sound {media.channels}")
                setattr(media, name, pointer)
                setattr(media, name.removesuffix("_sound") + "_samples", count)
                media.channels = channels
        if strength is not None and start is None:
            raise InvalidArgumentError("strength: it is of `start`, which is not given")
        media.strength = 0 if strength is None else strength  # 0: the library's
        self.media = byref(media) if self._keep or source_fps is not None else None
        self._media = media
        if self._size is not None:
            height = self._size[0] if height is None else height
            width = self._size[1] if width is None else width
            if (height, width) != self._size:
                raise InvalidArgumentError(f"media are {self._size[1]}x{self._size[0]}; the clip is to be {width}x{height}")
        if self._whole is not None and frames is None and seconds is None:
            frames = self._whole
        self.json = encode({
            "prompt": prompt, "negative": negative or None, "classes": [str(c) for c in classes] or None,
            "seed": self.seed, "width": width, "height": height, "frames": frames, "seconds": seconds, "loop": loop,
            "window": window, "steps": steps,
            "guidance": guidance, "expert_guidance": None if expert_guidance is None else list(expert_guidance),
            "guidance_mode": guidance_mode, "solver": solver, "schedule": schedule, "shift": shift, "spacing": spacing,
            "eta": eta, "compute": compute, "memory_budget": memory_budget, "decode_tile": decode_tile, "fuse": fuse,
            "adapters": _adapters(adapters)})

    def _picture(self, name: str, value: Any) -> _library.Picture:
        array = _checked(name, _array(name, value), np.uint8, "[height, width, 3]")
        return _library.Picture(self._hold(array), array.shape[1], array.shape[0])

    def _frames(self, name: str, value: Any, count: int | None, scale: int = 1) -> tuple[int, int]:
        array = _array(name, value)
        if count == 1 and not (array.ndim == 4 and len(array) == 1):
            array = _checked(name, array, np.uint8, "[height, width, 3]")[None]
        _checked(name, array, np.uint8, "[frames, height, width, 3]")
        size = tuple(scale * n for n in array.shape[1:3])
        if self._size not in (None, size):
            raise InvalidArgumentError(f"{name} is {size[1]}x{size[0]}, other media are {self._size[1]}x{self._size[0]}")
        self._size = size
        return self._hold(array), len(array)

    def _sound(self, name: str, value: Any) -> tuple[int, int, int]:
        array = _checked(name, _array(name, value), np.float32, "[samples, channels]")
        if array.size == 0:
            raise InvalidArgumentError(f"{name}: {len(array)} samples of {array.shape[1]} channels; expected some")
        return self._hold(array), *array.shape

    def _hold(self, array: np.ndarray) -> int:
        array = np.ascontiguousarray(array)
        self._keep.append(array)
        return array.ctypes.data


def _collect(engine: Engine, request: _Request, plan: dict) -> tuple[Callable[[Callbacks], Clip], Callable, Callable]:
    """What runs the request, and what takes its frames and sound: copied once, out of the decoder's buffers."""
    total = plan["pictures"] * plan["frames"]
    made: dict[str, Any] = {"frames": None, "count": 0, "audio": [], "rate": 0}

    def on_frames(pixels: Any, count: int, width: int, height: int) -> None:
        if made["frames"] is None:
            made["frames"] = np.empty((total, height, width, 3), np.uint8)
        at = made["count"]
        if at + count > total or made["frames"].shape[1:3] != (height, width):
            raise InternalError(f"{count} frames of {width}x{height} came after {at}; planned were {total} of "
                                f"{made['frames'].shape[2]}x{made['frames'].shape[1]}")
        ctypes.memmove(made["frames"][at:at + count].ctypes.data, pixels, count * width * height * 3)
        made["count"] = at + count

    def on_audio(samples: Any, count: int, channels: int, rate: int) -> None:
        made["rate"] = rate
        made["audio"].append(np.ctypeslib.as_array(samples, (count, channels)).copy())

    def run(callbacks: Callbacks) -> Clip:
        out = c_void_p()
        check(lib.zoetrope_run(engine._handle, request.json, request.media, byref(callbacks), byref(out)))
        stats = json.loads(take_text(out))
        receipt = stats.pop("receipt")
        audio = np.concatenate(made["audio"]) if made["audio"] else None
        frames = made["frames"]
        tags = {"prompt": request.prompt, "negative_prompt": request.negative, "seed": str(request.seed),
                "model": engine.info["name"], "software": "Zoetrope " + lib.zoetrope_version().decode()}
        return Clip(frames[:made["count"]], audio, stats["fps"], stats["sample_rate"], request.seed, request.prompt,
                    receipt, stats, _tags={key: value for key, value in tags.items() if value})

    return run, on_frames, on_audio
