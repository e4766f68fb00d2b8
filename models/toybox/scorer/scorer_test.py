"""python3 -m unittest discover -s models/toybox/scorer -p '*_test.py'"""

import contextlib
import io
import os
import struct
import sys
import tempfile
import unittest
import zlib
from unittest import mock

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
try:
    import numpy as np
    import torch
except ImportError as error:
    if __name__ == "__main__":
        print("skipped: PyTorch or NumPy is not installed")
        sys.exit(0)
    raise unittest.SkipTest("PyTorch or NumPy is not installed") from error

import scorer
import toydata
from scorer import media, sound, tasks
from scorer.__main__ import main, truth_clips
from scorer.score import match


torch.set_num_threads(1)  # more only wait for each other on a busy machine


class TruthTest(unittest.TestCase):
    """The scorer reads ground truth: it must find what was put in."""

    def summary(self, worse, frames, height, width):
        labels = []
        clips = truth_clips(24, frames, height, width, 77, worse, labels)
        return scorer.evaluate(clips, labels)

    def test_clean_clips(self):
        s = self.summary(False, 24, 64, 96)
        self.assertGreaterEqual(min(s[k] for k in ("shape_and_colour", "motion", "count", "picture_and_sound")), 0.97)

    def test_blurred_and_noisy_clips(self):
        s = self.summary(True, 16, 80, 64)
        self.assertGreaterEqual(min(s[k] for k in ("shape_and_colour", "motion", "count", "picture_and_sound")), 0.95)


class PartsTest(unittest.TestCase):
    def test_empty_pictures_hold_nothing(self):
        for value in (0, 60, 140):
            result = scorer.score_clip(np.full((8, 64, 64, 3), value, np.uint8), np.zeros((8000, 2), np.float32))
            self.assertEqual((result["count"], result["impacts"], result["onsets"], result["events"]), (0, [], [], 0))

    def test_noise_holds_nothing(self):
        rng = np.random.default_rng(1)
        result = scorer.score_clip(rng.integers(0, 256, (8, 64, 64, 3), dtype=np.uint8))
        self.assertEqual(result["count"], 0)

    def test_onsets_of_plain_tones(self):
        t = np.arange(32000) / 16000
        audio = np.zeros(32000)
        for start in (0.3, 0.9, 1.5):
            audio += 0.3 * np.sin(2 * np.pi * 440 * (t - start)) * np.exp(-(t - start) / 0.1) * (t >= start)
        found = sound.onsets(np.stack([audio, audio], 1))
        self.assertEqual(len(found), 3)
        self.assertLess(np.abs(np.array(found) - [0.3, 0.9, 1.5]).max(), 0.02)
        self.assertEqual(sound.onsets(rng_noise(0.005)), [])

    def test_match_counts_both_sides_and_forgives_the_edges(self):
        self.assertEqual(match([0.5, 1.0], [0.55, 1.5], 2.0), (2, 4))
        self.assertEqual(match([0.5, 1.95], [0.5], 2.0), (2, 2))
        self.assertEqual(match([], [], 2.0), (0, 0))

    def test_sound_out_of_step_is_noticed(self):
        spec = toydata.sample_specs(4, 3, two=0.0, still=0.0, camera=0.0, motions=["bounce", "slide"])
        clip = toydata.render(spec, 32, 64, 64)
        late = torch.roll(clip["audio"], 4800, 1).numpy()
        video = ((clip["video"] + 1) * 127.5).round().byte().numpy()
        good = [scorer.score_clip(v, a) for v, a in zip(video, clip["audio"].numpy())]
        bad = [scorer.score_clip(v, a) for v, a in zip(video, late)]
        self.assertEqual(sum(r["matched"] for r in good), sum(r["events"] for r in good))
        self.assertLess(sum(r["matched"] for r in bad), 0.4 * sum(r["events"] for r in bad))

    def test_wrong_toys_are_noticed(self):
        spec = toydata.sample_specs(8, 4, two=0.0)
        clip = toydata.render(spec, 16, 64, 64)
        labels = toydata.labels(spec, 16, 64, 64)
        video = ((clip["video"] + 1) * 127.5).round().byte().numpy()
        rows = zip(video, clip["audio"].numpy())
        wrong = [{"toys": [{"shape": "none", "colour": "none", "size": "none", "motion": "none"}]} for _ in labels]
        self.assertEqual(scorer.evaluate(rows, wrong)["shape_and_colour"], 0.0)


def rng_noise(sigma):
    return np.random.default_rng(2).normal(0, sigma, (32000, 2)).astype(np.float32)


class MediaTest(unittest.TestCase):
    def test_png_filters(self):
        rng = np.random.default_rng(3)
        want = rng.integers(0, 256, (6, 5, 3), dtype=np.uint8)
        raw, previous = b"", np.zeros(15, int)
        for y, kind in enumerate((0, 1, 2, 3, 4, 4)):
            row = want[y].reshape(-1).astype(int)
            left = np.concatenate([[0, 0, 0], row[:-3]])
            corner = np.concatenate([[0, 0, 0], previous[:-3]])
            guess = left + previous - corner
            distance = np.stack([abs(guess - left), abs(guess - previous), abs(guess - corner)])
            paeth = np.choose(distance.argmin(0), [left, previous, corner])
            base = (0 * row, left, previous, (left + previous) // 2, paeth)[kind]
            raw += bytes([kind]) + ((row - base) % 256).astype(np.uint8).tobytes()
            previous = row

        def chunk(tag, data):
            return struct.pack(">I", len(data)) + tag + data + struct.pack(">I", zlib.crc32(tag + data))

        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "a.png")
            with open(path, "wb") as f:
                f.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 5, 6, 8, 2, 0, 0, 0))
                        + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b""))
            self.assertTrue(np.array_equal(media.read_png(path), want))
            with open(path, "wb") as f:
                f.write(b"not a picture")
            with self.assertRaises(ValueError):
                media.read_png(path)

    def test_wav_and_npz(self):
        samples = (np.random.default_rng(4).uniform(-1, 1, (100, 2)) * 32767).astype("<i2")
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "a.wav")
            body = samples.tobytes()
            form = struct.pack("<HHIIHH", 1, 2, 16000, 64000, 4, 16)
            with open(path, "wb") as f:
                f.write(b"RIFF" + struct.pack("<I", 36 + len(body)) + b"WAVEfmt " + struct.pack("<I", 16) + form
                        + b"data" + struct.pack("<I", len(body)) + body)
            self.assertTrue(np.allclose(media.read_wav(path), samples / 32768, atol=1e-6))
            path = os.path.join(folder, "a.npz")
            np.savez(path, video=np.zeros((2, 4, 4, 3), np.float32), audio=np.zeros((10, 2)))
            video, audio = media.read_clip(path)
            self.assertEqual((video.dtype, video.shape, audio.shape), (np.uint8, (2, 4, 4, 3), (10, 2)))


class TasksTest(unittest.TestCase):
    """What needs no program of scoring the tasks."""

    def test_each_task_gives_what_its_name_says(self):
        given = {"text": (), "first frame": ("--image",), "last frame": ("--last-image",),
                 "both frames": ("--image", "--last-image"), "continued": ("--extend", "--frames"),
                 "led to": ("--lead-to", "--frames"), "filled in": ("--join", "--frames"), "picture to sound": ("--video",),
                 "sound to picture": ("--audio",), "loop": ("--loop",), "96x96": ("--width", "--height"),
                 "160x96": ("--width", "--height")}
        self.assertEqual(set(tasks.TASKS), set(given))
        with tempfile.TemporaryDirectory() as folder, mock.patch("subprocess.run"):  # which makes clips by ffmpeg
            [scene] = tasks.scenes(1, folder)
            for task, flags in given.items():
                made = [str(part) for part in tasks.TASKS[task](scene)]
                self.assertEqual(tuple(part for part in made if part.startswith("--")), flags, task)
            last = tasks.TASKS["last frame"](scene)[1]
            self.assertTrue(np.array_equal(media.read_png(last), scene.video[tasks.FRAMES - 1]))
            self.assertEqual(tasks.TASKS["continued"](scene)[2:], ["--frames", 16])
            heard = media.read_wav(tasks.TASKS["sound to picture"](scene)[1])
            self.assertEqual(heard.shape, scene.audio.shape)

    def test_a_wav_file_that_is_written_reads_back(self):
        samples = np.random.default_rng(5).uniform(-1, 1, (100, 2))
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "a.wav")
            tasks.write_wav(path, samples)
            self.assertTrue(np.allclose(media.read_wav(path), samples, atol=1e-4))

    def test_an_unknown_task_is_refused(self):
        with self.assertRaisesRegex(SystemExit, "no task 'juggled'; there are: text, first frame"):
            tasks.measure("zoetrope", 1, [], ["text", "juggled"], 1)

    def test_only_tasks_take_flags_of_the_program(self):
        with mock.patch.object(tasks, "measure", return_value={}) as measure, contextlib.redirect_stdout(io.StringIO()):
            with mock.patch.object(sys, "argv", ["scorer", "tasks", "zoetrope", "--count", "3", "--", "--device", "cpu"]):
                main()
        self.assertEqual(measure.call_args.args[:3], ("zoetrope", 3, ["--device", "cpu"]))
        with mock.patch.object(sys, "argv", ["scorer", "clip", "a", "--", "b"]), self.assertRaises(SystemExit), \
                contextlib.redirect_stderr(io.StringIO()) as said:
            main()
        self.assertIn("unrecognized arguments", said.getvalue())


if __name__ == "__main__":
    unittest.main()
