"""A call of the library on a thread of its own, so that Ctrl-C is heard at once and progress can be iterated."""
from __future__ import annotations

import atexit
import ctypes
import json
import threading
import warnings
import weakref
from ctypes import byref, c_void_p
from dataclasses import dataclass, field
from typing import Any, Callable, Generic, Iterator, TypeVar

import numpy as np

from ._library import AUDIO, FRAMES, NOTICE, PREVIEW, PROGRESS, Callbacks, lib
from .errors import ZoetropeWarning, check

T = TypeVar("T")

_STACK = 8 << 20  # bytes, of threads that work, whatever `ulimit -s` gives others
_starting = threading.Lock()


def _start(thread: threading.Thread) -> None:
    with _starting:
        before = threading.stack_size(_STACK)
        try:
            thread.start()
        finally:
            threading.stack_size(before)


@dataclass(frozen=True)
class Progress:
    """So much of a task is done. `seconds_left` is of the whole call; None: not known."""

    task: str
    done: float
    total: float
    seconds_left: float | None
    preview: np.ndarray | None = field(default=None, repr=False, compare=False)
    """The newest look at the clip, where previews are asked for: uint8 RGB [frames, height, width, 3]."""

    @property
    def fraction(self) -> float:
        return self.done / self.total if self.total > 0 else 0.0


def encode(options: dict[str, Any]) -> bytes:
    """JSON of what is given; None is left out."""
    return json.dumps({key: value for key, value in options.items() if value is not None}).encode()


class _Shared:
    """What the caller and the working thread both hold."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.newest: Progress | None = None
        self.count = 0  # of progress so far
        self.done = False
        self.value: Any = None
        self.error: BaseException | None = None
        self.notices: list[str] = []
        self.preview: np.ndarray | None = None
        token = c_void_p()
        check(lib.zoetrope_token_create(byref(token)))
        self.token = token.value
        weakref.finalize(self, lib.zoetrope_token_free, self.token).atexit = False

    def told(self, progress: Progress) -> None:
        with self.changed:
            self.newest = progress
            self.count += 1
            self.changed.notify_all()

    def end(self, value: Any, error: BaseException | None) -> None:
        with self.changed:
            self.value, self.error, self.done = value, error, True
            self.changed.notify_all()


# Those at work: the interpreter must not end under a thread that calls back into it.
_working: dict[_Shared, threading.Thread] = {}


@atexit.register
def _end_all() -> None:
    for shared in list(_working):
        lib.zoetrope_token_cancel(shared.token)
    for thread in list(_working.values()):
        thread.join()


def _callbacks(shared: _Shared, on_frames: Callable | None, on_audio: Callable | None, previews: int) -> Callbacks:
    def guarded(listener: Callable) -> Callable:
        def call(_user: Any, *args: Any) -> int:
            try:
                listener(*args)
                return 0
            except BaseException as problem:  # noqa: BLE001: raised again where the caller waits
                shared.error = shared.error or problem
                return 1
        return call

    def progress(p: Any) -> None:
        now = p.contents
        left = now.seconds_left if now.seconds_left >= 0 else None
        shared.told(Progress(now.task.decode(), now.done, now.total, left, shared.preview))

    def notice(text: bytes) -> None:
        shared.notices.append(text.decode("utf-8", "replace"))

    def preview(pixels: Any, count: int, width: int, height: int, _step: int) -> None:
        shared.preview = np.ctypeslib.as_array(pixels, (count, height, width, 3)).copy()

    return Callbacks(ctypes.sizeof(Callbacks), None, PROGRESS(guarded(progress)), NOTICE(guarded(notice)),
                     FRAMES(guarded(on_frames)) if on_frames else FRAMES(),
                     AUDIO(guarded(on_audio)) if on_audio else AUDIO(), shared.token,
                     PREVIEW(guarded(preview)) if previews > 0 else PREVIEW(), previews)


def _work(shared: _Shared, work: Callable[[Callbacks], Any], on_frames: Callable | None, on_audio: Callable | None,
          previews: int) -> None:
    try:
        shared.end(work(_callbacks(shared, on_frames, on_audio, previews)), None)
    except BaseException as problem:  # noqa: BLE001: raised again where the caller waits
        shared.end(None, shared.error or problem)
    finally:
        _working.pop(shared, None)


class Call(Generic[T]):
    """Work that goes on beside this thread.

    Iterating gives `Progress` and ends when the work does; a slow reader misses some, never the newest. `result()`
    waits, and raises what went wrong; `cancel()` ends it at its next step, and so does dropping the last reference.
    """

    def __init__(self, work: Callable[[Callbacks], T], on_frames: Callable | None = None,
                 on_audio: Callable | None = None, previews: int = 0) -> None:
        self._shared = shared = _Shared()
        thread = threading.Thread(target=_work, args=(shared, work, on_frames, on_audio, previews), name="zoetrope", daemon=True)
        _working[shared] = thread
        weakref.finalize(self, lib.zoetrope_token_cancel, shared.token).atexit = False
        _start(thread)

    def cancel(self) -> None:
        """From any thread. `result()` then raises CancelledError, unless all was done already."""
        lib.zoetrope_token_cancel(self._shared.token)

    @property
    def done(self) -> bool:
        return self._shared.done

    @property
    def notices(self) -> list[str]:
        """What a person should know so far: unknown words, prompts cut short."""
        return list(self._shared.notices)

    def __iter__(self) -> Iterator[Progress]:
        shared, seen = self._shared, 0
        while True:
            with shared.changed:
                shared.changed.wait_for(lambda: shared.done or shared.count > seen)
                progress = shared.newest if shared.count > seen else None
                seen = shared.count
            if progress is None:
                return
            yield progress

    def result(self, timeout: float | None = None) -> T:
        """Waits; TimeoutError after so many seconds, and the work goes on. Ctrl-C meanwhile cancels the work."""
        shared = self._shared
        try:
            with shared.changed:
                ended = shared.changed.wait_for(lambda: shared.done, timeout)
        except KeyboardInterrupt:
            self.cancel()
            with shared.changed:  # what is loaded must be whole again; a second Ctrl-C leaves at once
                shared.changed.wait_for(lambda: shared.done)
            raise
        if not ended:
            raise TimeoutError(f"not done after {timeout} s")
        if shared.error is not None:
            raise shared.error
        return shared.value


def wait_for(call: Call[T], progress: Callable[[Progress], None] | None, stacklevel: int) -> T:
    """The result, with progress told in this thread and notices as warnings."""
    try:
        if progress is not None:
            for now in call:
                progress(now)
    except BaseException:
        call.cancel()
        with call._shared.changed:
            call._shared.changed.wait_for(lambda: call._shared.done)
        raise
    result = call.result()
    for notice in call.notices:
        warnings.warn(notice, ZoetropeWarning, stacklevel=stacklevel + 1)
    return result
