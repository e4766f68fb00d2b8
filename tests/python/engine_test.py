#!/usr/bin/env python3
"""The Python package as people use it. run.py says which one: the checkout's or an installed wheel's.

Files are looked for in $ZOETROPE_TEST_SOURCE and $ZOETROPE_TEST_BUILD.
"""
import ctypes
import dataclasses
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import warnings
import wave
from pathlib import Path

import numpy as np

import zoetrope

SOURCE, BUILD = Path(os.environ["ZOETROPE_TEST_SOURCE"]), Path(os.environ["ZOETROPE_TEST_BUILD"])
COMMAND = BUILD / "bin/zoetrope"
SMALL = dict(width=64, height=64, frames=8, steps=2, seed=3)


def sound_of(path):
    with wave.open(str(path)) as sound:
        return np.frombuffer(sound.readframes(sound.getnframes()), "<i2").reshape(-1, sound.getnchannels())


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.engine = zoetrope.Engine(device="cpu", threads=1)

    @classmethod
    def tearDownClass(cls):
        cls.engine.close()

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.root = Path(self.folder.name)

    def tearDown(self):
        self.folder.cleanup()

    def command(self, *args, code=0):
        done = subprocess.run([str(a) for a in (COMMAND, *args)], capture_output=True, text=True, timeout=300)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout + done.stderr


class Basics(Case):
    def test_it_is_the_one_that_was_meant(self):
        where = Path(zoetrope.__file__)
        if os.environ.get("ZOETROPE_TEST_INSTALLED"):
            self.assertIn("site-packages", where.parts)
            self.assertTrue(Path(zoetrope.default_model()).is_relative_to(where.parent))
            maps = Path("/proc/self/maps").read_text()
            self.assertNotIn(str(BUILD), maps)
            for library in ("libzoetrope.so.1", "libzoetrope_core.so"):
                self.assertIn(str(where.parent / "_native"), next(line for line in maps.splitlines() if library in line))
        else:
            self.assertEqual(where.parent, SOURCE / "python/zoetrope")
        self.assertEqual(zoetrope.__version__, zoetrope.version())
        self.assertTrue(any(d["backend"] == "cpu" and d["available"] for d in zoetrope.devices()))

    def test_a_clip_is_what_the_command_makes(self):
        clip = self.engine.generate("a red ball", **SMALL)
        self.assertEqual((clip.frames.shape, clip.frames.dtype), ((8, 64, 64, 3), np.uint8))
        self.assertEqual((clip.audio.shape, clip.audio.dtype), ((8000, 2), np.float32))
        self.assertEqual((clip.fps, clip.sample_rate, clip.seed), (16, 16000, 3))
        out = self.root / "a.y4m"
        self.command("generate", "a red ball", "--width", 64, "--height", 64, "--frames", 8, "--steps", 2, "--seed", 3,
                     "--device", "cpu", "--threads", 1, "-o", out, "-o", self.root / "a.wav", "--quiet")
        clip.save(self.root / "b.y4m")
        self.assertEqual((self.root / "b.y4m").read_bytes(), out.read_bytes())
        samples = sound_of(self.root / "a.wav")
        faded = 16000 * 20 // 1000  # the command lets a clip's last 20 ms fade out
        np.testing.assert_allclose(np.clip(clip.audio, -1, 1)[:-faded], samples[:-faded] / 32767, atol=1.01 / 32767)
        clip.save(self.root / "b.wav")
        np.testing.assert_array_equal(sound_of(self.root / "b.wav")[:-faded], samples[:-faded])

    def test_what_is_saved_can_be_verified(self):
        self.engine.generate("a red ball", **SMALL).save(self.root / "a.mp4")
        self.command("verify", "--receipt", self.root / "a.mp4", "--threads", 1)
        streams = subprocess.run(["ffprobe", "-v", "error", "-show_entries", "format_tags", "-show_streams", "-of", "json",
                                  str(self.root / "a.mp4")], capture_output=True, text=True, check=True)
        probed = json.loads(streams.stdout)
        self.assertEqual(sorted(s["codec_type"] for s in probed["streams"]), ["audio", "video"])
        self.assertEqual(probed["format"]["tags"]["prompt"], "a red ball")
        with self.assertRaises(zoetrope.ZoetropeError):
            self.engine.generate("a red ball", **SMALL).save(self.root / "a.xyz")

    def test_errors_have_the_commands_words(self):
        with self.assertRaises(zoetrope.InvalidArgumentError) as caught:
            self.engine.generate("a red ball", width=100000)
        self.assertIsInstance(caught.exception, ValueError)
        self.assertEqual(caught.exception.code, "invalid argument")
        said = self.command("generate", "a red ball", "--width", 100000, "-o", self.root / "a.y4m", code=2)
        self.assertIn(str(caught.exception), said)
        with self.assertRaises(zoetrope.NotFoundError) as caught:
            zoetrope.Engine("/nowhere.zoe")
        self.assertIn("/nowhere.zoe", str(caught.exception))
        with self.assertRaises(zoetrope.ResourceExhaustedError) as caught:
            self.engine.plan("a red ball", memory_budget=1000)
        self.assertIsInstance(caught.exception, MemoryError)


class Running(Case):
    def test_iterating_gives_progress(self):
        run = self.engine.start("a red ball", **{**SMALL, "steps": 6})
        seen = list(run)
        self.assertIn("denoise", [p.task for p in seen])
        self.assertTrue(all(0 <= p.fraction <= 1 for p in seen))
        self.assertTrue(run.done)
        self.assertEqual(run.result().frames.shape, (8, 64, 64, 3))
        self.assertEqual(list(run)[-1:], seen[-1:])
        told = []
        self.engine.generate("a red ball", **SMALL, progress=told.append)
        self.assertTrue(told)

    def test_cancelling(self):
        run = self.engine.start("a red ball", **{**SMALL, "steps": 500})
        next(p for p in run if p.task == "denoise")
        with self.assertRaises(TimeoutError):
            run.result(timeout=0.01)
        run.cancel()
        with self.assertRaises(zoetrope.CancelledError):
            run.result()
        self.assertEqual(self.engine.generate("a red ball", **SMALL).seed, 3)

    def test_ctrl_c_cancels_and_the_engine_goes_on(self):
        # Says "begun" when the first thread is inside result().
        program = ("import sys, threading, time, traceback, zoetrope\n"
                   "e = zoetrope.Engine(device='cpu', threads=1)\n"
                   "def tell(thread=threading.get_ident()):\n"
                   "    while 'result' not in {f.f_code.co_name for f, _ in traceback.walk_stack(sys._current_frames()[thread])}:\n"
                   "        time.sleep(0.01)\n"
                   "    print('begun', flush=True)\n"
                   "try:\n"
                   "    run = e.start('a red ball', width=64, height=64, frames=8, steps=5000)\n"
                   "    next(p for p in run if p.task == 'denoise')\n"
                   "    threading.Thread(target=tell).start()\n"
                   "    run.result()\n"
                   "except KeyboardInterrupt:\n"
                   "    print('stopped', run.done, e.generate('x ball', width=64, height=64, frames=8, steps=1).frames.shape)\n")
        child = subprocess.Popen([sys.executable, "-W", "ignore", "-c", program], stdout=subprocess.PIPE, text=True)
        self.assertEqual(child.stdout.readline(), "begun\n")
        child.send_signal(signal.SIGINT)
        out, _ = child.communicate(timeout=120)
        self.assertEqual((out, child.returncode), ("stopped True (8, 64, 64, 3)\n", 0))

    def test_short_stacks_are_for_other_threads(self):
        """`ulimit -s 256`: what NumPy can still be loaded with."""
        program = ("import threading, zoetrope\n"
                   "e = zoetrope.Engine(device='cpu', threads=3)\n"
                   "clip = e.generate('a red ball', width=64, height=64, frames=8, steps=1, seed=3)\n"
                   f"clip.save({str(self.root / 'a.mp4')!r})\n"
                   "print(clip.frames.sum(), threading.stack_size())\n")
        short = lambda: resource.setrlimit(resource.RLIMIT_STACK, (256 << 10, 256 << 10))
        # It lies on the first stack.
        names = ("HOME", "LD_LIBRARY_PATH", "PATH", "PYTHONPATH", "TMPDIR", "ZOETROPE_LIBRARY")
        small = {name: os.environ[name] for name in names if name in os.environ}
        said = set()
        for limit in (None, short):
            done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], preexec_fn=limit, capture_output=True,
                                  text=True, timeout=300, env=small)
            self.assertEqual(done.returncode, 0, done.stderr)
            said.add(done.stdout)
        self.assertEqual(len(said), 1, said)
        self.assertRegex(said.pop(), r"^\d+ 0\n$")

    def whole_run(self):
        """Seconds that 5000 steps would take here, by what some take."""
        begun = time.monotonic()
        self.engine.generate("a red ball", **{**SMALL, "steps": 250})
        return 20 * (time.monotonic() - begun)

    def test_previews_show_what_becomes_of_it(self):
        run = self.engine.start("a red ball bounces on a blue floor", previews=8, seconds=1, seed=7)
        seen = [p.preview for p in run if p.task == "denoise" and p.preview is not None]
        clip = run.result()
        last = seen[-1].astype(float)
        count, height, width, _ = last.shape
        self.assertEqual(height, width)
        # The clip from afar: means over the frames and pixels that each pixel of the preview stands for.
        time, size = len(clip.frames) // count, clip.frames.shape[1] // height
        self.assertEqual((time, size), (8, 8))  # Toybox's latents
        far = clip.frames.astype(float).reshape(count, time, height, size, width, size, 3).mean((1, 3, 5))
        self.assertGreater(np.corrcoef(far.ravel(), last.ravel())[0, 1], 0.9)
        self.assertLess(np.abs(far - last).mean(), 20)
        first = np.abs(far - seen[0]).mean()
        self.assertLess(np.abs(far - last).mean(), first)  # it gets nearer
        self.assertTrue(all(p.preview is None for p in self.engine.start("a red ball", **SMALL)))

    def test_a_program_ends_while_a_run_is_at_work(self):
        program = ("import zoetrope\n"
                   "run = zoetrope.Engine(device='cpu', threads=1).start('a red ball', width=64, height=64, frames=8, steps=5000)\n"
                   "next(p for p in run if p.task == 'denoise')\n")
        begun = time.monotonic()
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertLess(time.monotonic() - begun, self.whole_run() / 3)

    def test_dropping_a_run_cancels_it(self):
        run = self.engine.start("a red ball", **{**SMALL, "steps": 5000})
        next(p for p in run if p.task == "denoise")
        del run
        begun = time.monotonic()
        self.engine.generate("a red ball", **SMALL)
        self.assertLess(time.monotonic() - begun, self.whole_run() / 3)

    def test_the_interpreter_works_meanwhile(self):
        run = self.engine.start("a red ball", **{**SMALL, "steps": 30})
        next(p for p in run if p.task == "denoise")
        turns = 0
        while not run.done:
            turns += 1
            time.sleep(0.001)
        self.assertGreater(turns, 20)
        run.result()

    def test_threads_and_engines(self):
        expected = self.engine.generate("a red ball", **SMALL).frames
        with zoetrope.Engine(device="cpu", threads=1) as other:
            found = []
            threads = [threading.Thread(target=lambda e=e: found.append(e.generate("a red ball", **SMALL).frames))
                       for e in (self.engine, other, self.engine, other)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        self.assertEqual(len(found), 4)
        for frames in found:
            np.testing.assert_array_equal(frames, expected)
        with self.assertRaises(zoetrope.InvalidArgumentError):
            other.generate("a red ball", **SMALL)

    def test_a_progress_function_that_fails_stops_the_run(self):
        def fail(_progress):
            raise RuntimeError("mine")
        with self.assertRaisesRegex(RuntimeError, "mine"):
            self.engine.generate("a red ball", **{**SMALL, "steps": 5000}, progress=fail)

    def test_notices_are_warnings(self):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            clip = self.engine.generate("a xylophone", **SMALL)
        self.assertTrue(any("xylophone" in str(w.message) for w in caught), caught)
        self.assertEqual({w.category for w in caught}, {zoetrope.ZoetropeWarning})
        self.assertEqual(Path(caught[0].filename).name, "engine_test.py")
        self.assertEqual(clip.seed, 3)

    def test_seeds(self):
        a = self.engine.generate("a red ball", **{**SMALL, "seed": None})
        b = self.engine.generate("a red ball", **{**SMALL, "seed": None})
        self.assertNotEqual(a.seed, b.seed)
        again = self.engine.generate("a red ball", **{**SMALL, "seed": a.seed})
        np.testing.assert_array_equal(a.frames, again.frames)


class Arrays(Case):
    def test_frames_go_by_dlpack_without_a_copy(self):
        clip = self.engine.generate("a red ball", **SMALL)
        self.assertTrue(np.shares_memory(np.from_dlpack(clip), clip.frames))
        self.assertTrue(np.shares_memory(np.from_dlpack(clip.audio), clip.audio))

    def test_pictures_are_kept_and_decide_the_size(self):
        clip = self.engine.generate("a red ball", **SMALL)
        options = {key: value for key, value in SMALL.items() if key not in ("width", "height")}
        kept = self.engine.generate("a red ball", first=clip.frames[0], last=clip.frames[-1], **options)
        self.assertEqual(kept.frames.shape, (8, 64, 64, 3))
        self.assertIsNone(kept.receipt)
        near = np.abs(kept.frames[0].astype(int) - clip.frames[0]).mean()
        far = np.abs(self.engine.generate("a blue star", **SMALL).frames[0].astype(int) - clip.frames[0]).mean()
        self.assertLess(3 * near, far)
        def distance(a, b):
            return np.abs(a.astype(int) - b).mean()
        other = self.engine.generate("a blue star", **SMALL)
        longer = self.engine.generate("a blue star", before=clip.frames, before_sound=clip.audio, frames=16, steps=2, seed=1)
        self.assertEqual(len(longer.frames), 16)
        self.assertLess(3 * distance(longer.frames[:8], clip.frames), distance(other.frames, clip.frames))
        sound = self.engine.generate("a blue star", video=clip.frames, steps=2, seed=1)
        self.assertEqual(len(sound.frames), 8)
        self.assertLess(3 * distance(sound.frames, clip.frames), distance(other.frames, clip.frames))

    def test_wrong_arrays_are_named(self):
        picture = np.zeros((64, 64, 3), np.uint8)
        for options, words in ((dict(first=picture.astype(np.float32)), "first: expected uint8"),
                               (dict(first=picture[..., :1]), r"first: expected uint8 \[height, width, 3\]"),
                               (dict(first=picture, width=128), "media are 64x64"),
                               (dict(first=picture, last=picture[:32]), "last is 64x32"),
                               (dict(before=picture), "before: expected uint8"),
                               (dict(audio=np.zeros(8, np.float32)), r"audio: expected float32 \[samples, channels\]"),
                               (dict(strength=0.5), "strength"),
                               (dict(before=picture[None], before_sound=np.zeros((9, 1), np.float32)),
                                "media.before_sound: 9 samples; expected 1000"),
                               (dict(after=picture[None], after_sound=np.zeros((1000, 1), np.float32)),
                                "media.after_sound: 1 channels; this model's sound has 2"),
                               (dict(audio=np.zeros((8000, 1), np.float32), frames=8), "media.audio: 1 channels"),
                               (dict(audio=np.zeros((8000, 0), np.float32), frames=8), "audio: 8000 samples of 0"),
                               (dict(before=picture[None], before_sound=np.zeros((1000, 1), np.float32),
                                     audio=np.zeros((8000, 2), np.float32)), "audio has 2 channels, other sound 1"),
                               (dict(video=np.zeros((9000, 64, 64, 3), np.uint8)), "9000")):
            with self.assertRaisesRegex(zoetrope.InvalidArgumentError, words):
                self.engine.start("a red ball", **options)
        with self.assertRaises(TypeError):
            self.engine.start("a red ball", stepz=3)

    def test_what_is_not_a_clip_is_not_written(self):
        clip = self.engine.generate("a red ball", **SMALL)
        with tempfile.TemporaryDirectory() as folder:
            for changes, words in ((dict(frames=clip.frames.astype(np.float32)), "frames: expected uint8"),
                                   (dict(frames=clip.frames[..., :1]), "frames: expected uint8"),
                                   (dict(frames=clip.frames[0]), "frames: expected uint8"),
                                   (dict(audio=clip.audio.astype(np.float64)), "audio: expected float32"),
                                   (dict(audio=clip.audio.astype(np.float16)), "audio: expected float32"),
                                   (dict(audio=clip.audio[:, 0]), "audio: expected float32")):
                with self.assertRaisesRegex(zoetrope.InvalidArgumentError, words):
                    dataclasses.replace(clip, **changes).save(Path(folder) / "clip.mp4")
            self.assertEqual(os.listdir(folder), [])

    def test_more_frames_than_planned_are_not_taken(self):
        from zoetrope.engine import _collect, _Request
        _, on_frames, _ = _collect(self.engine, _Request("a red ball"), {"pictures": 1, "frames": 2})
        three = (ctypes.c_uint8 * (3 * 4 * 4 * 3))()
        with self.assertRaisesRegex(zoetrope.InternalError, "planned were 2"):
            on_frames(three, 3, 4, 4)
        on_frames(three, 1, 4, 4)
        with self.assertRaisesRegex(zoetrope.InternalError, "planned were 2 of 4x4"):
            on_frames(three, 1, 4, 2)

    def test_arguments_that_would_be_ignored_are_refused(self):
        with self.assertRaisesRegex(zoetrope.InvalidArgumentError, "device, threads"):
            zoetrope.run_component(self.engine, "text_encoder", {}, device="cpu")
        with self.assertRaisesRegex(zoetrope.InvalidArgumentError, "verify: pictures"):
            zoetrope.verify(None, "a red ball", first=np.zeros((64, 64, 3), np.uint8))

    def test_components(self):
        ids, lengths = np.arange(1, 17)[None], [16]
        text = self.engine.run_component("text_encoder", {"ids": ids, "lengths": lengths})["text"]
        self.assertEqual((text.shape, text.dtype), ((1, 16, 192), np.float32))
        again = zoetrope.run_component(zoetrope.default_model(), "text_encoder", {"ids": ids, "lengths": lengths},
                                       device="cpu", threads=1)["text"]
        np.testing.assert_array_equal(text, again)
        shorter = self.engine.run_component("text_encoder", {"ids": ids, "lengths": [3]})["text"]
        self.assertFalse(np.array_equal(text, shorter))
        del again
        self.assertTrue(np.isfinite(text).all())  # the array keeps what it looks at
        for inputs, words in (({"ids": ids}, "lengths"), ({"ids": ids * 1.0, "lengths": lengths}, "'ids' is float64"),
                              ({"ids": ids + 2**40, "lengths": lengths}, "'ids' holds a value"),
                              ({"ids": ids, "lengths": lengths, "nose": 1}, "nose")):
            with self.assertRaisesRegex(zoetrope.InvalidArgumentError, words):
                self.engine.run_component("text_encoder", inputs)
        with self.assertRaisesRegex(zoetrope.InvalidArgumentError, "text_encoder"):
            self.engine.run_component("nose", {})

    def test_bf16_is_rounded_as_everywhere(self):
        from zoetrope.tensors import _to_bf16
        values = np.array([1.0, 1.00390625, 1.01171875, -0.0, np.inf, np.nan, 3.3895314e38], np.float32)
        # 1 + 2^-8 lies between 1 and 1 + 2^-7: to even, 1; 1 + 3·2^-8: to even, 1 + 2^-6.
        self.assertEqual([hex(v) for v in _to_bf16(values)],
                         ["0x3f80", "0x3f80", "0x3f82", "0x8000", "0x7f80", "0x7fc0", "0x7f7f"])


class GivenClips(Case):
    """Models that make a clip anew, and those that show pictures again: tiny ones of random weights."""

    @classmethod
    def setUpClass(cls):
        cls.models = tempfile.TemporaryDirectory()
        subprocess.run([BUILD / "tests/parity_test", "-tc=Movie Gen's cast as model files"], check=True,
                       capture_output=True, env={**os.environ, "ZOETROPE_WRITE_MODELS": cls.models.name})

    @classmethod
    def tearDownClass(cls):
        cls.models.cleanup()

    def open(self, name):
        engine = zoetrope.Engine(Path(self.models.name) / f"{name}.zoe", device="cpu", threads=1)
        self.addCleanup(engine.close)
        return engine

    def expected(self, name, *flags):
        """What the command makes: FFmpeg reads its files to arrays."""
        out = self.root / "expected.y4m"
        self.command("generate", "sharper", "--model", Path(self.models.name) / f"{name}.zoe", "--steps", 2, "--seed", 3,
                     "--device", "cpu", "--threads", 1, *flags, "-o", out, "--quiet")
        return out.read_bytes()

    def saved(self, clip):
        clip.save(self.root / "made.y4m")
        return (self.root / "made.y4m").read_bytes()

    def test_a_source_is_made_anew_as_the_command_does(self):
        frames = np.random.default_rng(1).integers(0, 256, (7, 8, 12, 3), np.uint8)
        given = self.root / "given.mkv"
        subprocess.run(["ffmpeg", "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "12x8", "-r", "10", "-i", "-",
                        "-c:v", "ffv1", "-pix_fmt", "gbrp", given], input=frames.tobytes(), check=True)
        engine = self.open("upsampler")
        clip = engine.generate("sharper", source=frames, source_fps=10, steps=2, seed=3)
        self.assertEqual((clip.frames.shape, clip.fps), ((7, 16, 24, 3), 10))
        self.assertEqual(self.saved(clip), self.expected("upsampler", "--video", given))
        self.assertEqual(engine.plan("sharper", source=frames)["windows"], 3)
        self.assertEqual(engine.generate("sharper", source=frames, source_fps=29.97, steps=1, seed=3).fps, 30)
        for given, words in ((dict(source=frames, width=12), "24x16"), (dict(source=frames[0]), "[frames, height, width, 3]"),
                             (dict(source_fps=10), "10 frames a second"), (dict(source=frames, source_fps=-1), "source_fps"),
                             *((dict(source=frames, source_fps=wrong), f"source_fps: expected 1 to 1000 frames a second, or "
                                f"None for the model's; found {wrong!r}") for wrong in (0, 1000.5, float("nan"), "10")),
                             (dict(), "makes a clip anew")):
            with self.assertRaisesRegex(zoetrope.InvalidArgumentError, re.escape(words)):
                engine.plan("sharper", **given)

    def test_references_are_shown_again_as_the_command_does(self):
        random = np.random.default_rng(2)
        pictures = [random.integers(0, 256, (*size, 3), np.uint8) for size in ((9, 7), (16, 40))]
        files = [self.root / f"{i}.png" for i in range(2)]
        for picture, file in zip(pictures, files):
            subprocess.run(["ffmpeg", "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s",
                            f"{picture.shape[1]}x{picture.shape[0]}", "-i", "-", file], input=picture.tobytes(), check=True)
        engine = self.open("personalised")
        size = dict(width=16, height=8, frames=4)
        clip = engine.generate("sharper", references=pictures, steps=2, seed=3, **size)
        flags = [f for file in files for f in ("--reference", file)]
        self.assertEqual(self.saved(clip), self.expected("personalised", *flags, "--width", 16, "--height", 8, "--frames", 4))
        with self.assertRaisesRegex(zoetrope.InvalidArgumentError, "4 pictures"):
            engine.plan("sharper", references=2 * pictures, **size)
        with self.assertRaisesRegex(zoetrope.InvalidArgumentError, re.escape("references[1]: expected uint8")):
            engine.plan("sharper", references=[pictures[0], pictures[1][0]], **size)
        with self.assertRaisesRegex(zoetrope.InvalidArgumentError, "no reference pictures"):
            self.open("upsampler").plan("sharper", references=pictures)


class Tools(Case):
    def test_models_in_and_out(self):
        out = self.root / "toybox.zoe"
        zoetrope.convert(SOURCE / "models/toybox/toybox.safetensors", out)
        self.assertEqual(out.read_bytes(), Path(zoetrope.default_model()).read_bytes())
        told = []
        report = zoetrope.quantize(out, self.root / "q.zoe", measure="weights", progress=told.append)
        self.assertLess(report["bytes"], report["original_bytes"])
        self.assertTrue(told)
        with self.assertRaises(zoetrope.DiffersError) as caught:
            zoetrope.quantize(out, self.root / "r.zoe", prompts=["a red ball"], steps=1, width=64, height=64, frames=8,
                              max_loss=1e-9, device="cpu", threads=1)
        self.assertTrue(caught.exception.report["failures"])
        self.assertFalse((self.root / "r.zoe").exists())
        with self.assertRaises(zoetrope.InvalidArgumentError):
            zoetrope.quantize(out, self.root / "q.zoe", bits=3)

    def test_devices_are_verified(self):
        report = zoetrope.verify(devices=["cpu"], threads=1, judge_nodes=False, width=64, height=64, frames=8, steps=1)
        self.assertEqual(len(report["devices"]), 1)
        with self.assertRaises(zoetrope.ZoetropeError):
            zoetrope.verify(devices=["nose"])

    def test_info_and_plans(self):
        info = self.engine.info
        self.assertEqual(Path(info["path"]), Path(zoetrope.default_model()))
        self.assertIn("text_encoder", [c["name"] for c in info["components"]])
        plan = self.engine.plan("a red ball", **SMALL)
        self.assertEqual((plan["width"], plan["frames"]), (64, 8))
        self.assertIn(info["name"], repr(self.engine))


class Readme(unittest.TestCase):
    """The block of python/README.md, and the main README's, as they stand."""

    def test_the_blocks_run(self):
        for page in (SOURCE / "python/README.md", SOURCE / "README.md"):
            blocks = re.findall(r"```python\n(.*?)```", page.read_text(), re.S)
            self.assertTrue(blocks, page)
            for block in blocks:
                with tempfile.TemporaryDirectory() as folder:
                    # One CPU, one thread: on a machine that others use, threads wait for each other.
                    done = subprocess.run([sys.executable, "-W", "ignore", "-c", block], cwd=folder, capture_output=True,
                                          text=True, timeout=300,
                                          preexec_fn=lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}))
                    self.assertEqual(done.returncode, 0, done.stderr)
                    for name in re.findall(r'save\("(.*?)"\)', block):
                        self.assertGreater((Path(folder) / name).stat().st_size, 1000)


if __name__ == "__main__":
    unittest.main()
