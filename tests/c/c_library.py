"""What tests of the C interface share: its declarations, an engine, and callbacks that remember."""
import ctypes
import importlib.util
import json
import os
import sys
import unittest
from ctypes import byref, c_void_p
from pathlib import Path

LIBRARY, EXAMPLE, MODEL = sys.argv[1:4]
HERE = Path(__file__).parent
ROOT = HERE.parents[1]
OK, INVALID, NOT_FOUND, EXHAUSTED, DATA_LOSS, UNAVAILABLE, CANCELLED, DIFFERS = 0, 1, 2, 4, 5, 6, 7, 10

# The declarations of the Python package, which is what most programs reach the library through; without the package
# itself, which wants NumPy.
os.environ["ZOETROPE_LIBRARY"] = LIBRARY
_spec = importlib.util.spec_from_file_location("zoetrope_library", ROOT / "python" / "zoetrope" / "_library.py")
declared = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(declared)
lib = declared.lib
Callbacks, Clip, Media = declared.Callbacks, declared.Clip, declared.Media
Picture, Tensor = declared.Picture, declared.Tensor
PROGRESS, NOTICE, FRAMES, AUDIO = declared.PROGRESS, declared.NOTICE, declared.FRAMES, declared.AUDIO
REQUEST = {"prompt": "a red ball", "width": 64, "height": 64, "frames": 8, "steps": 2, "seed": 3}


def message():
    return lib.zoetrope_message().decode()


def text(pointer):
    value = json.loads(ctypes.string_at(pointer))
    lib.zoetrope_free(pointer)
    return value


def opened(options=b'{"device": "cpu", "threads": 1}'):
    engine = c_void_p()
    assert lib.zoetrope_open(MODEL.encode(), options, byref(engine)) == OK, message()
    return engine


def opened_at(path):
    engine = c_void_p()
    assert lib.zoetrope_open(str(path).encode(), b'{"device": "cpu", "threads": 1}', byref(engine)) == OK, message()
    return engine


class Listener:
    """Keeps what callbacks are told. `stop`: a task at which progress says no; `at`: called with each task."""

    def __init__(self, stop=None, token=None, at=lambda task: None):
        self.frames, self.samples, self.tasks, self.left, self.notices = bytearray(), [], [], [], []

        def progress(_user, p):
            task = p.contents.task.decode()
            self.tasks.append(task)
            self.left.append(p.contents.seconds_left)
            at(task)
            return int(stop is not None and task.endswith(stop))

        def notice(_user, said):
            self.notices.append(said.decode())
            return 0

        def frames(_user, pixels, count, width, height):
            self.frames.extend(ctypes.string_at(pixels, count * width * height * 3))
            return 0

        def audio(_user, _samples, count, channels, rate):
            self.samples.append((count, channels, rate))
            return 0

        self.calls = Callbacks(ctypes.sizeof(Callbacks), None, PROGRESS(progress), NOTICE(notice), FRAMES(frames),
                               AUDIO(audio), token)


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.engine = opened()

    @classmethod
    def tearDownClass(cls):
        lib.zoetrope_close(cls.engine)

    def run_request(self, media=None, listener=None, engine=None, **changes):
        """The code, what was heard, and the result."""
        listener, result = listener or Listener(), c_void_p()
        code = lib.zoetrope_run(engine or self.engine, json.dumps({**REQUEST, **changes}).encode(),
                                byref(media) if media is not None else None, byref(listener.calls), byref(result))
        self.assertEqual(result.value is not None, code == OK)
        return code, listener, text(result) if code == OK else None

    def refused(self, code, *words):
        self.assertNotEqual(code, OK)
        for word in words:
            self.assertIn(word, message())
        return code


def main():
    unittest.main(argv=sys.argv[:1] + sys.argv[4:])
