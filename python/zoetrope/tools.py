"""Model files in and out, and what this machine has."""
from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from ctypes import byref, c_void_p
from typing import Any, Callable

import numpy as np

from ._call import Call, Progress, encode, wait_for
from ._library import Callbacks, lib, take_text
from .engine import Engine, PathLike, _Request
from .errors import DiffersError, InvalidArgumentError, check, error_of


def version() -> str:
    """Of the library: "0.1.0"."""
    return lib.zoetrope_version().decode()


def devices() -> list[dict]:
    """Every device, with why one cannot be used."""
    out = c_void_p()
    check(lib.zoetrope_devices(byref(out)))
    return json.loads(take_text(out))


def default_model() -> str:
    """The model that `Engine()` opens: the one that comes with the package, or $ZOETROPE_MODEL."""
    out = c_void_p()
    check(lib.zoetrope_default_model(byref(out)))
    return take_text(out)


def run_component(model: PathLike | Engine, component: str, inputs: Mapping[str, Any], *, device: str = "auto",
                  threads: int = 0, **options: Any) -> dict[str, np.ndarray]:
    """`Engine.run_component` on a model file that is opened for it, or on an engine."""
    if isinstance(model, Engine):
        if device != "auto" or threads != 0:
            raise InvalidArgumentError("device, threads: they are of a model that is opened here; this engine has its own")
        return model.run_component(component, inputs, **options)
    with Engine(model, device=device, threads=threads) as engine:
        return engine.run_component(component, inputs, **options)


def _file(path: PathLike | None) -> str | None:
    return None if path is None else os.path.abspath(path)


def convert(input: PathLike, output: PathLike, *, family: str | None = None, name: str | None = None,
            vae: PathLike | None = None, text_encoder: PathLike | None = None, image_encoder: PathLike | None = None,
            second: PathLike | None = None, tokenizer: PathLike | None = None,
            upsampler: PathLike | None = None, distilled: bool | None = None, dtype: str | None = None,
            progress: Callable[[Progress], None] | None = None) -> None:
    """A checkpoint (.safetensors, .gguf, .pt), a diffusers folder or "synthetic:NAME" to a .zoe file, as
    `zoetrope convert`. `distilled`: True or False, whatever its folder says; None: as the folder says."""
    given = os.fspath(input)
    options = encode({"input": given if given.startswith("synthetic:") else _file(given), "output": _file(output),
                      "family": family, "name": name, "vae": _file(vae), "text_encoder": _file(text_encoder),
                      "image_encoder": _file(image_encoder), "second": _file(second), "tokenizer": _file(tokenizer),
                      "upsampler": _file(upsampler), "distilled": distilled, "dtype": dtype})
    wait_for(Call(lambda callbacks: check(lib.zoetrope_convert(options, byref(callbacks)))), progress, stacklevel=2)


def _reported(code: int, out: c_void_p) -> dict:
    """The report, which also a result that differs has."""
    error = error_of(code) if code else None
    report = json.loads(take_text(out)) if out.value else None
    if isinstance(error, DiffersError):
        error.report = report
    if error is not None:
        raise error
    return report or {}


def quantize(model: PathLike | None, output: PathLike, *, progress: Callable[[Progress], None] | None = None,
             **options: Any) -> dict:
    """A model file with weights of fewer bits, as `zoetrope quantize`; gives what it costs.

    format ("int8", "fp8", "int4", "bf16", "f16"), group, components, keep, prompts, calibrate, nearest, rotate,
    attention_bits (0, 8), measure ("clips", "weights"), steps, width, height, frames, seed, compute, device, threads,
    target, target_psnr, target_size, max_loss, max_attention_loss, min_psnr, force.
    DiffersError: the gate failed, nothing was written; its `report` says why.
    """
    text = encode({"model": _file(model), "output": _file(output), **options})

    def work(callbacks: Callbacks) -> dict:
        out = c_void_p()
        return _reported(lib.zoetrope_quantize(text, byref(callbacks), byref(out)), out)

    return wait_for(Call(work), progress, stacklevel=2)


def verify(model: PathLike | None = None, prompt: str = "a small red ball bounces on a blue floor", *,
           devices: Sequence[str] | None = None, against: str = "reference", judge_nodes: bool = True,
           calls: int | None = None, parts: int | None = None, min_psnr: float | None = None,
           min_snr: float | None = None, threads: int | None = None, seed: int = 0,
           progress: Callable[[Progress], None] | None = None, **request: Any) -> dict:
    """The request on several devices (None: all), every kernel call judged, as `zoetrope verify`; gives the report.
    DiffersError: a device does not do what it should; its `report` says where."""
    options = encode({"devices": None if devices is None else list(devices), "against": against,
                      "judge_nodes": judge_nodes, "calls": calls, "parts": parts, "min_psnr": min_psnr,
                      "min_snr": min_snr, "threads": threads})
    asked = _Request(prompt, seed=seed, **request)
    if asked.media is not None:
        raise InvalidArgumentError("verify: pictures and sound that a clip keeps are not verified; leave them out")
    path = None if model is None else os.fsencode(model)

    def work(callbacks: Callbacks) -> dict:
        out = c_void_p()
        return _reported(lib.zoetrope_verify(path, asked.json, options, byref(callbacks), byref(out)), out)

    return wait_for(Call(work), progress, stacklevel=2)
