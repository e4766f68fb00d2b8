"""Exceptions: the library's codes, with its words. Each is also the built-in exception that comes nearest."""
from __future__ import annotations

from ._library import lib


class ZoetropeError(Exception):
    """Anything that the library refused or could not do. `code` names the kind: "not found", "resource exhausted"."""

    code = "internal error"


class InvalidArgumentError(ZoetropeError, ValueError):
    code = "invalid argument"


class NotFoundError(ZoetropeError, LookupError):
    """A file, tensor or device that is not there."""

    code = "not found"


class UnsupportedError(ZoetropeError, NotImplementedError):
    """Well formed, but there is no kernel or feature for it."""

    code = "unsupported"


class ResourceExhaustedError(ZoetropeError, MemoryError):
    """Memory, a budget or a disk. Where a plan is refused, the message names the nearest setting that fits."""

    code = "resource exhausted"


class DataLossError(ZoetropeError, ValueError):
    """A damaged or hostile file."""

    code = "data loss"


class UnavailableError(ZoetropeError):
    """A device or library is missing, or an engine was opened before fork()."""

    code = "unavailable"


class CancelledError(ZoetropeError):
    code = "cancelled"


class IOFailureError(ZoetropeError, OSError):
    """The system refused a read or a write."""

    code = "i/o error"


class InternalError(ZoetropeError):
    """A mistake of Zoetrope's."""

    code = "internal error"


class DiffersError(ZoetropeError):
    """A result is not what it was compared with; `report` holds the figures, if there are any."""

    code = "results differ"
    report: dict | None = None


class ZoetropeWarning(UserWarning):
    """What a person should know: unknown words, prompts cut short."""


_KINDS = {kind.code: kind for kind in (
    InvalidArgumentError, NotFoundError, UnsupportedError, ResourceExhaustedError, DataLossError, UnavailableError,
    CancelledError, IOFailureError, InternalError, DiffersError)}


def error_of(code: int) -> ZoetropeError:
    """The exception of a call that failed just now in this thread."""
    kind = _KINDS.get(lib.zoetrope_code_name(code).decode(), InternalError)
    return kind(lib.zoetrope_message().decode("utf-8", "replace"))


def check(code: int) -> None:
    if code != 0:
        raise error_of(code)
