"""Video with sound from diffusion transformers, on any hardware.

    import zoetrope

    clip = zoetrope.Engine().generate("a small red star bounces on a blue floor", seed=7)
    clip.frames                 # uint8 [frames, height, width, 3]
    clip.audio                  # float32 [samples, channels]
    clip.save("star.mp4")

    run = zoetrope.Engine().start("a yellow heart grows")
    for now in run:
        print(now.task, now.fraction, now.seconds_left)
    run.result().save("heart.webm")
"""
from ._call import Progress
from .engine import Adapter, Clip, Engine, Run
from .errors import (CancelledError, DataLossError, DiffersError, InternalError, InvalidArgumentError, IOFailureError,
                     NotFoundError, ResourceExhaustedError, UnavailableError, UnsupportedError, ZoetropeError,
                     ZoetropeWarning)
from .tools import convert, default_model, devices, quantize, run_component, verify, version

__version__ = version()
__all__ = ["Adapter", "CancelledError", "Clip", "DataLossError", "DiffersError", "Engine", "IOFailureError",
           "InternalError", "InvalidArgumentError", "NotFoundError", "Progress", "ResourceExhaustedError", "Run",
           "UnavailableError", "UnsupportedError", "ZoetropeError", "ZoetropeWarning", "convert", "default_model",
           "devices", "quantize", "run_component", "verify", "version"]
