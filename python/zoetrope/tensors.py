"""Arrays to and from a component of a model."""
from __future__ import annotations

import ctypes
import weakref
from collections.abc import Mapping
from ctypes import byref, c_void_p
from typing import Any

import numpy as np

from ._call import Call
from ._library import Callbacks, Tensor, lib
from .errors import InvalidArgumentError, check

# dtype of the library → NumPy's. bf16 has none: it travels as its bits.
_DTYPES = {"f32": np.float32, "f16": np.float16, "f64": np.float64, "i32": np.int32, "i64": np.int64, "u8": np.uint8,
           "i8": np.int8, "bf16": np.uint16}


def _to_bf16(array: np.ndarray) -> np.ndarray:
    """Rounded to the nearest, ties to even; NaN stays NaN."""
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32)
    rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    return np.where(np.isnan(array), np.uint16(0x7FC0), rounded).astype(np.uint16)


def _convert(name: str, value: Any, dtype: str) -> np.ndarray:
    """Integers to integers that hold them, floats to floats."""
    if hasattr(value, "__dlpack__") and not isinstance(value, np.ndarray):
        value = np.from_dlpack(value)
    array = np.asarray(value)
    floats = dtype in ("f32", "f16", "f64", "bf16")
    if (array.dtype.kind == "f") != floats or array.dtype.kind not in "fiub":
        raise InvalidArgumentError(f"input '{name}' is {array.dtype}; expected {dtype}")
    if dtype == "bf16":
        return _to_bf16(array)
    made = np.ascontiguousarray(array, _DTYPES[dtype])
    if not floats and not np.array_equal(made, array):
        raise InvalidArgumentError(f"input '{name}' holds a value that {dtype} cannot")
    return made


class _Tensors:
    """Outputs in the library's memory, freed when nobody looks at them any more."""

    def __init__(self, handle: c_void_p) -> None:
        self.handle = handle
        weakref.finalize(self, lib.zoetrope_tensors_free, handle).atexit = False

    def arrays(self) -> dict[str, np.ndarray]:
        made = {}
        for index in range(lib.zoetrope_tensors_count(self.handle)):
            tensor = Tensor()
            check(lib.zoetrope_tensors_get(self.handle, index, byref(tensor)))
            made[tensor.name.decode()] = self._array(tensor)
        return made

    def _array(self, tensor: Tensor) -> np.ndarray:
        dtype = tensor.dtype.decode()
        dims = tuple(tensor.dims[:tensor.rank])
        size = int(np.prod(dims, dtype=np.int64)) * np.dtype(_DTYPES[dtype]).itemsize
        if size == 0:
            return np.empty(dims, np.float32 if dtype == "bf16" else _DTYPES[dtype])
        buffer = (ctypes.c_uint8 * size).from_address(tensor.data)
        setattr(buffer, "_owner", self)  # the array holds the buffer, the buffer holds us
        array = np.frombuffer(memoryview(buffer), np.dtype(_DTYPES[dtype])).reshape(dims)
        return (array.astype(np.uint32) << 16).view(np.float32) if dtype == "bf16" else array


def run_on(engine: int | None, info: dict, component: str, inputs: Mapping[str, Any], options: bytes) -> dict[str, np.ndarray]:
    graph: dict[str, Any] = next((c for c in info["components"] if c["name"] == component), {"inputs": []})
    dtypes = {i["name"]: i["dtype"] for i in graph["inputs"]}
    keep, given = [], (Tensor * max(1, len(inputs)))()
    for slot, (name, value) in zip(given, inputs.items()):
        array = _convert(name, value, dtypes.get(name, "f32")) if name in dtypes else np.zeros(0, np.float32)
        if array.ndim > 6:
            raise InvalidArgumentError(f"input '{name}' has {array.ndim} dimensions; expected at most 6")
        keep.append(array)
        slot.name, slot.dtype = name.encode(), dtypes.get(name, "f32").encode()
        slot.rank, slot.data = array.ndim, array.ctypes.data
        slot.dims[:array.ndim] = array.shape

    def work(callbacks: Callbacks) -> dict[str, np.ndarray]:
        out = c_void_p()
        check(lib.zoetrope_run_component(engine, component.encode(), given, len(inputs), options, byref(callbacks),
                                         byref(out)))
        return _Tensors(out).arrays()

    return Call(work).result()
