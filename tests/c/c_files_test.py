#!/usr/bin/env python3
"""The functions of the C interface that write files, clips and models, and the one that verifies devices.

usage: c_files_test.py LIBZOETROPE EXAMPLE MODEL.zoe
"""
import ctypes
import json
import struct
import subprocess
import tempfile
from ctypes import byref, c_char_p, c_void_p
from pathlib import Path

from c_library import (CANCELLED, DIFFERS, INVALID, MODEL, OK, REQUEST, ROOT, Case, Clip, Listener, lib, main, message,
                       opened_at, text)


class Files(Case):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.root = Path(self.folder.name)

    def tearDown(self):
        self.folder.cleanup()

    def write(self, name, **changes):
        pixels = bytes(range(256)) * 12 * 8  # 8 frames of 32x32
        sound = struct.pack("<4000f", *([0.25, -0.25] * 2000))
        clip = Clip(size=ctypes.sizeof(Clip), frames=ctypes.cast(c_char_p(pixels), c_void_p), count=8, width=32,
                    height=32, fps=8, audio=ctypes.cast(c_char_p(sound), c_void_p), samples=4000, channels=1, rate=8000,
                    tags=b'{"prompt": "bars"}')
        for key, value in changes.items():
            setattr(clip, key, value)
        return lib.zoetrope_write(str(self.root / name).encode(), byref(clip))

    def test_clips_are_written_whole(self):
        self.assertEqual(self.write("a.mkv"), OK, message())
        streams = subprocess.run(["ffprobe", "-v", "error", "-show_entries", "stream=codec_type,nb_read_frames:"
                                  "format_tags=PROMPT", "-count_frames", "-of", "json", self.root / "a.mkv"],
                                 capture_output=True, text=True, check=True)
        probed = json.loads(streams.stdout)
        self.assertEqual(sorted(s["codec_type"] for s in probed["streams"]), ["audio", "video"])
        self.assertEqual(probed["streams"][0]["nb_read_frames"], "8")
        self.assertEqual(probed["format"]["tags"]["PROMPT"], "bars")
        self.assertEqual(self.write("a.y4m", audio=None), OK, message())
        raw = (self.root / "a.y4m").read_bytes()
        self.assertTrue(raw.startswith(b"YUV4MPEG2 W32 H32 F8:1"))
        self.assertEqual(raw.count(b"FRAME"), 8)
        self.assertEqual(self.write("a.wav", frames=None), OK, message())
        self.assertEqual((self.root / "a.wav").read_bytes()[:4], b"RIFF")

    def test_wrong_clips_are_named(self):
        for name, changes, words in (("a.xyz", {}, (".xyz",)), ("a.mp4", {"width": 0}, ("0x32",)),
                                     ("a.mp4", {"fps": 0}, ("0 a second",)), ("a.mp4", {"samples": 0}, ("0 samples",)),
                                     ("a.wav", {"frames": None, "audio": None}, ("neither",)),
                                     ("a.mp4", {"frames": None}, ("no frames", ".wav")),
                                     ("a.mp4", {"tags": b"[]"}, ("tags",)), ("a.mp4", {"tags": b'{"a": 1}'}, ("'a'",)),
                                     ("a.mp4", {"size": 3}, ("zoetrope_clip.size",))):
            self.assertEqual(self.refused(self.write(name, **changes), *words), INVALID)
        self.assertEqual(lib.zoetrope_write(None, None), INVALID)
        self.assertNotEqual(self.write("nowhere/a.mp4"), OK)
        self.assertEqual(list(self.root.iterdir()), [])

    def test_a_checkpoint_is_converted(self):
        out = self.root / "toybox.zoe"
        source = ROOT / "models" / "toybox" / "toybox.safetensors"
        listener = Listener()
        options = {"input": str(source), "output": str(out)}
        self.assertEqual(lib.zoetrope_convert(json.dumps(options).encode(), byref(listener.calls)), OK, message())
        self.assertIn("convert", listener.tasks)
        self.assertEqual(out.read_bytes(), Path(MODEL).read_bytes())
        stopped = Listener(stop="convert")
        self.assertEqual(lib.zoetrope_convert(json.dumps({**options, "output": str(self.root / "b.zoe")}).encode(),
                                              byref(stopped.calls)), CANCELLED)
        for wrong, words in (({}, ("input",)), ({**options, "dtype": "f8"}, ("dtype",)),
                             ({**options, "family": "nose"}, ("nose",)), ({**options, "what": 1}, ("what",)),
                             ({**options, "distilled": False}, ("--no-distilled",)),
                             ({**options, "distilled": True}, ("--distilled",))):
            self.refused(lib.zoetrope_convert(json.dumps(wrong).encode(), None), *words)
        self.assertEqual(lib.zoetrope_convert(None, None), INVALID)
        self.assertEqual([p.name for p in self.root.iterdir()], ["toybox.zoe"])

    def test_a_model_is_quantised_and_a_gate_keeps_a_bad_one_back(self):
        options = {"model": MODEL, "output": str(self.root / "q.zoe"), "measure": "weights"}
        report = c_void_p()
        listener = Listener()
        self.assertEqual(lib.zoetrope_quantize(json.dumps(options).encode(), byref(listener.calls), byref(report)), OK,
                         message())
        costs = text(report)
        self.assertLess(costs["bytes"], costs["original_bytes"])
        saved = Path(MODEL).stat().st_size - (self.root / "q.zoe").stat().st_size
        self.assertGreater(saved, 0.5 * (costs["original_bytes"] - costs["bytes"]))  # of the file, not of a report
        small = opened_at(self.root / "q.zoe")
        self.assertEqual(self.run_request(engine=small)[0], OK, message())
        lib.zoetrope_close(small)
        clips = {**options, "output": str(self.root / "r.zoe"), "measure": "clips", "prompts": ["a red ball"],
                 "steps": 1, "width": 64, "height": 64, "frames": 8, "max_loss": 1e-9, "device": "cpu", "threads": 1}
        self.assertEqual(lib.zoetrope_quantize(json.dumps(clips).encode(), None, byref(report)), DIFFERS)
        self.refused(DIFFERS, "was not written")
        self.assertTrue(text(report)["failures"])
        self.assertFalse((self.root / "r.zoe").exists())
        for wrong, word in (({**options, "format": "int3"}, "int3"), ({**options, "output": "a.bin"}, "zoe"),
                            ({**options, "output": MODEL}, "same file"), ({**options, "what": 1}, "what"),
                            ({**options, "group": 64}, "group"), ({**options, "nearest": True}, "nearest"),
                            ({**options, "calibrate": ["x"]}, "calibrate"), ({**options, "min_psnr": 20}, "min-psnr"),
                            ({**options, "max_loss": 0.1}, "max-loss"), ({**options, "seed": 2}, "seed"),
                            ({**options, "device": "cpu"}, "device"), ({**options, "compute": "bf16"}, "compute"),
                            ({**options, "attention_bits": 4}, "attention-bits"),
                            ({**options, "max_attention_loss": 0.1}, "max-attention-loss"),
                            ({**options, "format": "int4", "rotate": True}, "rotate")):
            self.refused(lib.zoetrope_quantize(json.dumps(wrong).encode(), None, None), word)

    def test_devices_are_verified(self):
        request = json.dumps({**REQUEST, "frames": 8, "steps": 1}).encode()
        report = c_void_p()
        options = b'{"devices": ["cpu"], "judge_nodes": false, "threads": 1}'
        code = lib.zoetrope_verify(MODEL.encode(), request, options, None, byref(report))
        self.assertEqual(code, OK, message())
        self.assertEqual(len(text(report)["devices"]), 1)
        for wrong, word in ((b'{"devices": ["nose"]}', "nose"), (b'{"against": "nose"}', "against")):
            self.refused(lib.zoetrope_verify(MODEL.encode(), request, wrong, None, byref(report)), word)
        self.refused(lib.zoetrope_verify(MODEL.encode(), None, options, None, byref(report)), "request")
        stopped = Listener(stop="denoise")
        self.assertEqual(lib.zoetrope_verify(MODEL.encode(), request, options, byref(stopped.calls), None), CANCELLED)


if __name__ == "__main__":
    main()
