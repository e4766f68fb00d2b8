#!/usr/bin/env python3
"""The C interface and what models of it are given: clips to make anew, pictures to show again.

usage: c_given_test.py LIBZOETROPE EXAMPLE MODEL.zoe
"""
import ctypes
import os
import subprocess
import tempfile
from ctypes import byref, c_char_p, c_void_p
from pathlib import Path

from c_library import INVALID, LIBRARY, OK, Case, Media, Picture, lib, main, message


class GivenClips(Case):
    """Models that make a clip anew, and those that show pictures again: tiny ones of random weights."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = tempfile.TemporaryDirectory()
        subprocess.run([Path(LIBRARY).resolve().parents[1] / "tests/parity_test", "-tc=Movie Gen's cast as model files"], check=True, capture_output=True,
                       env={**os.environ, "ZOETROPE_WRITE_MODELS": cls.folder.name})

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()
        super().tearDownClass()

    def open(self, name):
        engine = c_void_p()
        path = f"{self.folder.name}/{name}.zoe".encode()
        self.assertEqual(lib.zoetrope_open(path, b'{"device": "cpu", "threads": 1}', byref(engine)), OK, message())
        self.addCleanup(lib.zoetrope_close, engine)
        return engine

    def test_a_source_is_made_anew_at_its_own_rate(self):
        engine = self.open("upsampler")
        pixels = [bytes((7 * i + k) % 256 for i in range(7 * 8 * 12 * 3)) for k in (0, 90)]
        kept = [ctypes.cast(c_char_p(p), c_void_p) for p in pixels]
        size, clip = ctypes.sizeof(Media), {"width": 24, "height": 16, "frames": 7, "steps": 1}
        given = Media(size=size, source=kept[0], source_frames=7, source_fps=10)
        code, heard, result = self.run_request(given, engine=engine, **clip)
        self.assertEqual(code, OK, message())
        self.assertEqual((result["fps"], len(heard.frames)), (10, 7 * 16 * 24 * 3))
        other = Media(size=size, source=kept[1], source_frames=7)
        code, different, result = self.run_request(other, engine=engine, **clip)
        self.assertEqual(code, OK, message())
        self.assertNotEqual(different.frames, heard.frames)
        self.assertNotEqual(result["fps"], 10)
        older = Media(size=Media.source.offset, source=kept[0], source_frames=7)  # before there were any
        for media, words in ((Media(size=size, source=kept[0], source_frames=5), ("media.source", "5 frames", "expected 7")),
                             (Media(size=size, source_frames=7), ("media.source", "no pixels")),
                             (Media(size=size, source=kept[0], source_frames=7, source_fps=1001), ("source_fps", "1001")),
                             (Media(size=size, source_fps=10), ("10 frames a second",)),
                             (older, ("makes a clip anew",))):
            self.assertEqual(self.run_request(media, engine=engine, **clip)[0], INVALID, words)
            self.refused(INVALID, *words)
        toybox = Media(size=size, source=ctypes.cast(c_char_p(bytes(8 * 64 * 64 * 3)), c_void_p), source_frames=8)
        self.assertEqual(self.run_request(toybox)[0], INVALID)
        self.refused(INVALID, "no clip anew")

    def test_pictures_of_any_size_are_shown_again(self):
        engine = self.open("personalised")
        pixels = [bytes((i * step) % 256 for i in range(w * h * 3)) for step, (w, h) in ((3, (9, 7)), (5, (20, 30)))]
        both = (Picture * 2)(*(Picture(ctypes.cast(c_char_p(p), c_void_p), w, h)
                                        for p, (w, h) in zip(pixels, ((9, 7), (20, 30)))))
        size, clip = ctypes.sizeof(Media), {"width": 16, "height": 8, "frames": 7, "steps": 1}
        made = []
        for count in (1, 2):
            code, heard, _ = self.run_request(Media(size=size, references=both, reference_count=count), engine=engine, **clip)
            self.assertEqual(code, OK, message())
            made.append(heard.frames)
        self.assertNotEqual(*made)
        nothing = (Picture * 1)(Picture(None, 9, 7))
        huge = (Picture * 1)(Picture(both[0].pixels, 1 << 40, 7))
        for media, words in ((Media(size=size, references=both, reference_count=17), ("17 pictures", "1 to 16")),
                             (Media(size=size, references=both), ("0 pictures",)),
                             (Media(size=size, reference_count=1), ("no array",)),
                             (Media(size=size, references=nothing, reference_count=1), ("references[0]", "no pixels")),
                             (Media(size=size, references=huge, reference_count=1), ("references[0]", "16384"))):
            self.assertEqual(self.run_request(media, engine=engine, **clip)[0], INVALID, words)
            self.refused(INVALID, *words)


if __name__ == "__main__":
    main()
