#!/usr/bin/env python3
"""The C interface as a program of somebody else meets it: a C example, a stored list of symbols, and every function
called through ctypes, wrongly too.

usage: c_interface_test.py LIBZOETROPE EXAMPLE MODEL.zoe
"""
import ctypes
import json
import re
import subprocess
import sys
import tempfile
import threading
import unittest
from ctypes import POINTER, byref, c_char_p, c_double, c_float, c_int, c_int64, c_size_t, c_uint8, c_void_p
from pathlib import Path

LIBRARY, EXAMPLE, MODEL = sys.argv[1:4]
HERE = Path(__file__).parent
OK, INVALID, NOT_FOUND, EXHAUSTED, CANCELLED = 0, 1, 2, 4, 7
PROGRESS = ctypes.CFUNCTYPE(c_int, c_void_p, c_char_p, c_double, c_double)
NOTICE = ctypes.CFUNCTYPE(c_int, c_void_p, c_char_p)
FRAMES = ctypes.CFUNCTYPE(c_int, c_void_p, POINTER(c_uint8), c_int64, c_int64, c_int64)
AUDIO = ctypes.CFUNCTYPE(c_int, c_void_p, POINTER(c_float), c_int64, c_int, c_int)


class Media(ctypes.Structure):
    _fields_ = [("size", c_size_t), ("first", c_void_p), ("last", c_void_p), ("before", c_void_p),
                ("before_frames", c_int64), ("after", c_void_p), ("after_frames", c_int64), ("video", c_void_p),
                ("video_frames", c_int64), ("audio", c_void_p), ("audio_samples", c_int64), ("start", c_void_p),
                ("start_frames", c_int64), ("strength", c_double)]


class Callbacks(ctypes.Structure):
    _fields_ = [("size", c_size_t), ("user", c_void_p), ("progress", PROGRESS), ("notice", NOTICE),
                ("frames", FRAMES), ("audio", AUDIO)]


lib = ctypes.CDLL(LIBRARY)
lib.zoetrope_message.restype = lib.zoetrope_version.restype = c_char_p
lib.zoetrope_free.argtypes = lib.zoetrope_close.argtypes = [c_void_p]
lib.zoetrope_open.argtypes = [c_char_p, c_char_p, POINTER(c_void_p)]
lib.zoetrope_devices.argtypes = [POINTER(c_void_p)]
lib.zoetrope_inspect.argtypes = [c_void_p, POINTER(c_void_p)]
lib.zoetrope_plan.argtypes = [c_void_p, c_char_p, POINTER(c_void_p)]
lib.zoetrope_run.argtypes = [c_void_p, c_char_p, POINTER(Media), POINTER(Callbacks), POINTER(c_void_p)]
REQUEST = {"prompt": "a red ball", "width": 64, "height": 64, "frames": 8, "steps": 2, "seed": 3}


def text(pointer):
    value = json.loads(ctypes.string_at(pointer))
    lib.zoetrope_free(pointer)
    return value


class CInterface(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.engine = c_void_p()
        code = lib.zoetrope_open(MODEL.encode(), b'{"device": "cpu"}', byref(cls.engine))
        assert code == OK, lib.zoetrope_message()

    @classmethod
    def tearDownClass(cls):
        lib.zoetrope_close(cls.engine)
        lib.zoetrope_close(None)
        lib.zoetrope_free(None)

    def run_request(self, media=None, stop=None, **changes):
        """The code, the frames, the count of samples, the tasks and the statistics."""
        frames, samples, tasks, stats = bytearray(), [], [], c_void_p()

        def on_progress(_user, task, _done, _total):
            tasks.append(task.decode())
            return int(stop is not None and task.decode() == stop)

        def on_frames(_user, pixels, count, width, height):
            frames.extend(ctypes.string_at(pixels, count * width * height * 3))
            return 0

        def on_audio(_user, _samples, count, channels, rate):
            samples.append((count, channels, rate))
            return 0

        calls = Callbacks(ctypes.sizeof(Callbacks), None, PROGRESS(on_progress), NOTICE(), FRAMES(on_frames),
                          AUDIO(on_audio))
        code = lib.zoetrope_run(self.engine, json.dumps({**REQUEST, **changes}).encode(),
                                byref(media) if media is not None else None, byref(calls), byref(stats))
        return code, bytes(frames), samples, tasks, text(stats) if code == OK else None

    def test_the_symbols_are_the_stored_ones(self):
        listed = subprocess.run(["nm", "-D", "--defined-only", LIBRARY], capture_output=True, text=True, check=True)
        found = sorted({line.split()[-1].split("@")[0] for line in listed.stdout.splitlines()} - {"ZOETROPE_1"})
        self.assertEqual(found, (HERE / "symbols.txt").read_text().split())
        header = (HERE.parents[1] / "include" / "zoetrope.h").read_text()
        declared = sorted(re.findall(r"ZOETROPE_API [^;]*?(zoetrope_\w+)\(", header))
        self.assertEqual(declared, found)
        self.assertEqual(int(re.search(r"#define ZOETROPE_ABI (\d+)", header)[1]), lib.zoetrope_abi())

    def test_the_example_makes_a_clip(self):
        source = HERE.parents[1] / "examples" / "clip.c"
        self.assertLess(len(source.read_text().splitlines()), 50)
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "clip.rgb"
            done = subprocess.run([EXAMPLE, MODEL, "a red ball", out], capture_output=True, timeout=120)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(out.stat().st_size, 8 * 64 * 64 * 3)
            self.assertEqual(json.loads(done.stdout)["frames"], 8)
            self.assertEqual(self.run_request(seed=0)[1], out.read_bytes())
            wrong = subprocess.run([EXAMPLE, "nowhere.zoe", "x", out], capture_output=True, timeout=120)
            self.assertEqual(wrong.returncode, NOT_FOUND)
            self.assertIn(b"nowhere.zoe", wrong.stderr)

    def test_plan_and_run_agree(self):
        json_out = c_void_p()
        self.assertEqual(lib.zoetrope_plan(self.engine, json.dumps(REQUEST).encode(), byref(json_out)), OK)
        plan = text(json_out)
        code, frames, samples, tasks, stats = self.run_request()
        self.assertEqual(code, OK)
        self.assertEqual(len(frames), 8 * 64 * 64 * 3)
        self.assertEqual(sum(s[0] for s in samples), stats["samples"])
        self.assertIn("denoise", tasks)
        self.assertEqual(plan["peak_bytes"], stats["planned_peak_bytes"])
        self.assertEqual(self.run_request()[1], frames)
        self.assertNotEqual(self.run_request(seed=4)[1], frames)

    def test_a_first_frame_is_kept(self):
        picture = bytes([200, 30, 30]) * (64 * 64)
        media = Media(size=ctypes.sizeof(Media), first=ctypes.cast(c_char_p(picture), c_void_p))
        code, frames, _, _, _ = self.run_request(media)
        self.assertEqual(code, OK, lib.zoetrope_message())
        self.assertNotEqual(frames, self.run_request()[1])
        media = Media(size=ctypes.sizeof(Media), video=ctypes.cast(c_char_p(picture), c_void_p), video_frames=99)
        self.assertEqual(self.run_request(media)[0], INVALID)
        self.assertIn(b"media.video", lib.zoetrope_message())
        self.assertEqual(self.run_request(Media(size=0))[0], INVALID)

    def test_a_callback_cancels(self):
        self.assertEqual(self.run_request(stop="denoise")[0], CANCELLED)
        self.assertEqual(self.run_request()[0], OK)

    def test_inspect_and_devices(self):
        json_out = c_void_p()
        self.assertEqual(lib.zoetrope_inspect(self.engine, byref(json_out)), OK)
        info = text(json_out)
        self.assertIn("dit", [c["name"] for c in info["components"]])
        self.assertTrue(info["digest"].startswith("xxh3:"))
        self.assertEqual(lib.zoetrope_devices(byref(json_out)), OK)
        self.assertTrue(any(d["backend"] == "cpu" and d["available"] for d in text(json_out)))

    def test_errors_name_what_is_wrong(self):
        out = c_void_p()
        for request, word in ((b"{", b"JSON"), (b'{"stepz": 3}', b"stepz"), (b'{"steps": 0}', b"steps"),
                              (b'{"width": 1000000}', b"nearest"), (None, b"request")):
            self.assertEqual(lib.zoetrope_run(self.engine, request, None, None, None), INVALID, request)
            self.assertIn(word, lib.zoetrope_message())
        self.assertEqual(lib.zoetrope_run(None, b"{}", None, None, None), INVALID)
        self.assertEqual(lib.zoetrope_plan(self.engine, b"{}", None), INVALID)
        self.assertEqual(lib.zoetrope_open(b"/nowhere.zoe", None, byref(out)), NOT_FOUND)
        self.assertEqual(lib.zoetrope_open(MODEL.encode(), b'{"gpu": 1}', byref(out)), INVALID)
        self.assertIn(b"gpu", lib.zoetrope_message())
        budget = json.dumps({**REQUEST, "memory_budget": 1000}).encode()
        self.assertEqual(lib.zoetrope_plan(self.engine, budget, byref(out)), EXHAUSTED)
        self.assertIsNone(out.value)

    def test_messages_are_a_thread_s_own(self):
        self.assertEqual(lib.zoetrope_run(self.engine, b"{", None, None, None), INVALID)
        other = []
        thread = threading.Thread(target=lambda: other.append(lib.zoetrope_message()))
        thread.start()
        thread.join()
        self.assertEqual(other, [b""])
        self.assertIn(b"JSON", lib.zoetrope_message())

    def test_threads_take_turns(self):
        expected, found = self.run_request()[1], []
        threads = [threading.Thread(target=lambda: found.append(self.run_request()[1])) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(found, [expected] * 3)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[4:])
