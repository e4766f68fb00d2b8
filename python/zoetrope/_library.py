"""libzoetrope through ctypes: include/zoetrope.h, word for word. ctypes lets go of the GIL during calls."""
from __future__ import annotations

import ctypes
import os
from ctypes import POINTER, Structure, c_char_p, c_double, c_float, c_int, c_int64, c_size_t, c_uint8, c_void_p
from pathlib import Path

ABI = 1


class Progress(Structure):
    _fields_ = [("size", c_size_t), ("task", c_char_p), ("done", c_double), ("total", c_double),
                ("seconds_left", c_double)]


PROGRESS = ctypes.CFUNCTYPE(c_int, c_void_p, POINTER(Progress))
NOTICE = ctypes.CFUNCTYPE(c_int, c_void_p, c_char_p)
FRAMES = ctypes.CFUNCTYPE(c_int, c_void_p, POINTER(c_uint8), c_int64, c_int64, c_int64)
AUDIO = ctypes.CFUNCTYPE(c_int, c_void_p, POINTER(c_float), c_int64, c_int, c_int)
PREVIEW = ctypes.CFUNCTYPE(c_int, c_void_p, POINTER(c_uint8), c_int64, c_int64, c_int64, c_int)


class Callbacks(Structure):
    _fields_ = [("size", c_size_t), ("user", c_void_p), ("progress", PROGRESS), ("notice", NOTICE),
                ("frames", FRAMES), ("audio", AUDIO), ("token", c_void_p), ("preview", PREVIEW),
                ("preview_frames", c_int)]


class Picture(Structure):
    _fields_ = [("pixels", c_void_p), ("width", c_int64), ("height", c_int64)]


class Media(Structure):
    _fields_ = [("size", c_size_t), ("first", c_void_p), ("last", c_void_p), ("before", c_void_p),
                ("before_frames", c_int64), ("before_sound", c_void_p), ("after", c_void_p),
                ("after_frames", c_int64), ("after_sound", c_void_p), ("video", c_void_p), ("video_frames", c_int64),
                ("audio", c_void_p), ("audio_samples", c_int64), ("start", c_void_p), ("start_frames", c_int64),
                ("strength", c_double), ("before_samples", c_int64), ("after_samples", c_int64), ("channels", c_int),
                ("source", c_void_p), ("source_frames", c_int64), ("source_fps", c_int64),
                ("references", POINTER(Picture)), ("reference_count", c_int64)]


class Tensor(Structure):
    _fields_ = [("name", c_char_p), ("dtype", c_char_p), ("rank", c_int64), ("dims", c_int64 * 6), ("data", c_void_p)]


class Clip(Structure):
    _fields_ = [("size", c_size_t), ("frames", c_void_p), ("count", c_int64), ("width", c_int64),
                ("height", c_int64), ("fps", c_int), ("audio", c_void_p), ("samples", c_int64), ("channels", c_int),
                ("rate", c_int), ("tags", c_char_p)]


_OUT = POINTER(c_void_p)
# Name: (result, arguments).
_FUNCTIONS = {
    "abi": (c_int, []),
    "version": (c_char_p, []),
    "message": (c_char_p, []),
    "code_name": (c_char_p, [c_int]),
    "free": (None, [c_void_p]),
    "devices": (c_int, [_OUT]),
    "default_model": (c_int, [_OUT]),
    "token_create": (c_int, [_OUT]),
    "token_cancel": (c_int, [c_void_p]),
    "token_free": (None, [c_void_p]),
    "open": (c_int, [c_char_p, c_char_p, _OUT]),
    "close": (None, [c_void_p]),
    "release": (c_int, [c_void_p]),
    "inspect": (c_int, [c_void_p, _OUT]),
    "plan": (c_int, [c_void_p, c_char_p, POINTER(Media), _OUT]),
    "run": (c_int, [c_void_p, c_char_p, POINTER(Media), POINTER(Callbacks), _OUT]),
    "run_component": (c_int, [c_void_p, c_char_p, POINTER(Tensor), c_size_t, c_char_p, POINTER(Callbacks), _OUT]),
    "tensors_count": (c_int64, [c_void_p]),
    "tensors_get": (c_int, [c_void_p, c_size_t, POINTER(Tensor)]),
    "tensors_free": (None, [c_void_p]),
    "write": (c_int, [c_char_p, POINTER(Clip)]),
    "convert": (c_int, [c_char_p, POINTER(Callbacks)]),
    "quantize": (c_int, [c_char_p, POINTER(Callbacks), _OUT]),
    "verify": (c_int, [c_char_p, c_char_p, c_char_p, POINTER(Callbacks), _OUT]),
}


def library_path() -> str:
    """$ZOETROPE_LIBRARY, the library of this package, or the one that the system knows."""
    given = os.environ.get("ZOETROPE_LIBRARY")
    if given:
        return given
    inside = Path(__file__).parent / "_native" / "lib" / "libzoetrope.so.1"
    return str(inside) if inside.exists() else "libzoetrope.so.1"


def _load():
    path = library_path()
    try:
        library = ctypes.CDLL(path)
    except OSError as problem:
        raise ImportError(
            f"Zoetrope's library cannot be loaded: {problem}. The wheel brings its own, for x86-64 Linux with glibc "
            "2.39 or newer; from a checkout, build it and set ZOETROPE_LIBRARY to build/release/lib/libzoetrope.so.1"
        ) from problem
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(library, "zoetrope_" + name)
        function.restype, function.argtypes = result, arguments
    if library.zoetrope_abi() != ABI:
        raise ImportError(f"{path} has ABI {library.zoetrope_abi()}; this package was made for {ABI}")
    return library


lib = _load()


def take_text(pointer: c_void_p) -> str:
    """What a function gave through `char **`, freed."""
    try:
        return ctypes.string_at(pointer).decode("utf-8", "replace")
    finally:
        lib.zoetrope_free(pointer)
