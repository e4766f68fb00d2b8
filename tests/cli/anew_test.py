#!/usr/bin/env python3
"""Models that make a clip anew, and those that show given pictures again: tiny ones of random weights, which
parity_test writes. ffmpeg makes the inputs and says what is in the outputs.

usage: anew_test.py PATH_OF_ZOETROPE MODEL.zoe PATH_OF_PARITY_TEST
"""
import json
import os
import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

PARITY_TEST = sys.argv.pop(3)
import command  # noqa: E402  (reads the two arguments that are left)
from command import run  # noqa: E402

MODELS = tempfile.TemporaryDirectory()


def ffmpeg(*args):
    return subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-y", *map(str, args)], check=True,
                          capture_output=True).stdout


def streams(path):
    text = subprocess.run(["ffprobe", "-v", "error", "-of", "json", "-show_entries",
                           "stream=codec_type,width,height,r_frame_rate,avg_frame_rate,duration,nb_frames,sample_rate",
                           path], check=True, capture_output=True).stdout
    return {s["codec_type"]: s for s in json.loads(text)["streams"]}


def packets(path):
    return ffmpeg("-i", path, "-map", "0:a", "-c", "copy", "-f", "adts", "-")


class Anew(command.Case):
    @classmethod
    def setUpClass(cls):
        subprocess.run([PARITY_TEST, "-tc=Movie Gen's cast as model files"], check=True, capture_output=True,
                       env={**os.environ, "ZOETROPE_WRITE_MODELS": MODELS.name})

    def clip(self, size, rate=10, frames=7):
        path = self.out / "in.mp4"
        ffmpeg("-f", "lavfi", "-i", f"testsrc2=s={size}:r={rate}:d={frames / rate}", "-f", "lavfi", "-i",
               f"sine=440:r=44100:d={frames / rate}", "-pix_fmt", "yuv420p", "-c:v", "libx264", "-c:a", "aac", path)
        return path

    def generate(self, model, *flags, code=0, words=()):
        result = run("generate", "sharper", "--model", Path(MODELS.name) / f"{model}.zoe", "--steps", 2, "--device", "cpu",
                     *flags)
        self.check(result, code, *words)
        return result

    def test_an_upsampler_doubles_a_clip_and_keeps_its_rate_and_sound(self):
        own, out = self.clip("12x8"), self.out / "o.mp4"
        self.generate("upsampler", "--video", own, "-o", out, words=["where windows join"])
        made = streams(out)
        self.assertEqual((made["video"]["width"], made["video"]["height"]), (24, 16))
        self.assertEqual((made["video"]["r_frame_rate"], made["video"]["nb_frames"]), ("10/1", "7"))
        self.assertEqual(packets(out), packets(own))
        measured = json.loads(self.generate("upsampler", "--video", own, "--json", "-o", out).stdout)
        self.assertGreater(measured["seams"]["joined"], 0)
        # The largest width that it makes bounds both: 28 by 14, in steps of 4.
        self.generate("upsampler", "--video", self.clip("32x16"), "-o", out)
        made = streams(out)["video"]
        self.assertEqual((made["width"], made["height"]), (28, 16))
        self.generate("upsampler", "-o", out, code=2, words=["--video"])
        self.generate("upsampler", "--video", own, "--strength", "0.5", "-o", out, code=2, words=["all of the clip"])

    def test_rates_are_whole_frames_a_second_of_the_whole_clip(self):
        own, out = self.out / "in.mp4", self.out / "o.mp4"
        # Of the second clip the first frame is shown for two tenths of a second, most others for one.
        for rate, timing in (("30000/1001", "null"), ("10", "setpts='(N+gt(N,0))/(10*TB)'")):
            ffmpeg("-f", "lavfi", "-i", f"testsrc2=s=12x8:r={rate}", "-vf", timing, "-frames:v", 21, "-vsync", "vfr",
                   "-pix_fmt", "yuv420p", "-c:v", "libx264", own)
            given = streams(own)["video"]
            average = float(Fraction(given["avg_frame_rate"]))
            whole = round(average)
            self.assertGreater(abs(whole - average), 0.01)
            self.generate("upsampler", "--video", own, "-o", out,
                          words=[f"has {average:g} frames a second; what comes out has {whole},"])
            made = streams(out)["video"]
            self.assertEqual(made["r_frame_rate"], f"{whole}/1")
            self.assertLess(abs(int(made["nb_frames"]) / whole - float(given["duration"])), 1 / whole)

    def test_the_receipt_of_a_clip_made_anew_makes_it_again(self):
        own, out = self.clip("12x8", rate=12), self.out / "o.mp4"
        receipt = self.out / "r.json"
        self.generate("upsampler", "--video", own, "-o", out, "--receipt", receipt)
        self.check(run("verify", "--receipt", receipt), 0)

    def test_an_editor_keeps_the_size_and_takes_a_task(self):
        own, out = self.clip("16x12", frames=9), self.out / "o.mp4"
        self.generate("edit", "--video", own, "--class", "remove", "-o", out)
        made = streams(out)
        self.assertEqual((made["video"]["width"], made["video"]["height"], made["video"]["nb_frames"]), (16, 12, "9"))
        self.assertEqual(packets(out), packets(own))
        self.generate("edit", "--video", own, "--class", "juggle", "-o", out, code=2, words=["juggle"])
        # Part of the clip, with as much of its sound.
        self.generate("edit", "--video", own, "--frames", 4, "-o", out, words=["is longer"])
        self.assertEqual(streams(out)["video"]["nb_frames"], "4")

    def first(self, *flags, size=("--width", 12, "--height", 8, "--frames", 4), code=0, words=()):
        """A clip by the personalised model."""
        picture = self.out / "who.png"
        ffmpeg("-f", "lavfi", "-i", "testsrc2=s=20x16:d=0.04", "-frames:v", 1, picture)
        return self.generate("personalised", "--reference", picture, *size, "--seed", 5, *flags, code=code, words=words)

    def test_a_clip_and_then_its_larger_version_by_a_second_model(self):
        larger = Path(MODELS.name) / "upsampler.zoe"
        one, two, frames = self.out / "one.y4m", self.out / "two.y4m", self.out / "f.png"
        self.first("--upsample", larger, "--upsample-steps", 2, "-o", one)
        # The same by hand: its frames, in a file that loses nothing, made anew.
        self.first("-o", frames)
        by_hand = self.out / "f.mkv"
        ffmpeg("-framerate", 16, "-i", self.out / "f-%04d.png", "-c:v", "ffv1", "-pix_fmt", "gbrp", by_hand)
        self.generate("upsampler", "--video", by_hand, "--seed", 5, "-o", two)
        self.assertEqual(one.read_bytes(), two.read_bytes())
        out, sound = self.out / "o.mp4", self.out / "sound.zoe"
        self.check(run("convert", "synthetic:moviegen-audio-tiny", "-o", sound), 0)
        said = self.first("--upsample", larger, "--sound", sound, "--sound-steps", 1, "-o", out, "--json",
                          "--receipt", self.out / "r.json")
        self.assertEqual([json.loads(said.stdout)[k] for k in ("width", "height", "frames")], [24, 16, 4])
        made = streams(out)
        self.assertEqual((made["video"]["width"], made["video"]["height"], made["video"]["nb_frames"]), (24, 16, "4"))
        self.assertEqual(made["audio"]["sample_rate"], "48000")
        verified = run("verify", "--receipt", self.out / "r.json")
        self.check(verified, 0)
        for what in (b"the larger clip, by another model", b"the sound, by another model", b"bit for bit"):
            self.assertIn(what, verified.stdout)
        receipt = json.loads((self.out / "r.json").read_text())
        receipt["upsampled"]["stages"][-1]["digest"] = "xxh3:0123456789abcdef"
        (self.out / "r.json").write_text(json.dumps(receipt))
        self.check(run("verify", "--receipt", self.out / "r.json"), 6)

    def test_a_larger_version_keeps_the_sound_that_there_is(self):
        own, out = self.clip("12x8"), self.out / "o.mp4"
        self.generate("edit", "--video", own, "--upsample", Path(MODELS.name) / "upsampler.zoe", "-o", out)
        made = streams(out)
        self.assertEqual((made["video"]["width"], made["video"]["r_frame_rate"], made["video"]["nb_frames"]), (24, "10/1", "7"))
        self.assertEqual(packets(out), packets(own))

    def test_both_models_are_planned_before_either_runs(self):
        larger = Path(MODELS.name) / "upsampler.zoe"
        size = ("--reference", self.out / "who.png", "--width", 12, "--height", 8, "--frames", 4)
        self.first("-o", self.out / "f.png")
        model = ("--model", Path(MODELS.name) / "personalised.zoe", "--steps", 2, "--device", "cpu")
        planned = run("plan", "x", *model, *size, "--upsample", larger, "--json")
        self.check(planned, 0)
        plan = json.loads(planned.stdout)
        self.assertEqual((plan["width"], plan["upsample"]["width"], plan["upsample"]["frames"]), (12, 24, 4))
        self.assertEqual(plan["peak_bytes"], max(plan["upsample"]["peak_bytes"], max(j["bytes"] for j in plan["jobs"])))
        shown = run("plan", "x", *model, *size, "--upsample", larger)
        self.check(shown, 0)
        self.assertIn(b"then the larger clip: clip 24x16, 4 frames at 16 fps", shown.stdout)
        self.assertIn(b"both: at most", shown.stdout)
        out = self.out / "o.mp4"
        edit = Path(MODELS.name) / "edit.zoe"
        for flags, words in ((("--upsample", edit), ["edit.zoe", "at their own size", "makes them larger"]),
                             (("--upsample", Path(MODELS.name) / "personalised.zoe"), ["personalised.zoe", "no clip anew"]),
                             (("--upsample", larger, "--loop"), ["--upsample with --loop"]),
                             (("--upsample", larger, "--checkpoint", self.out / "ck"), ["--upsample with --checkpoint"]),
                             (("--upsample-steps", 2), ["--upsample"])):
            self.first(*flags, "-o", out, code=2, words=words)
            self.assertFalse(out.exists())
        for size, words in ((("--width", 16, "--height", 8, "--frames", 4), ["--upsample: width 32", "nearest is 28"]),
                            (("--width", 12, "--height", 8, "--frames", 1), ["--upsample", "single picture"])):
            self.first("--upsample", larger, "-o", out, size=size, code=2, words=words)
            self.assertFalse(out.exists())

    def test_pictures_to_show_again(self):
        pictures = [self.out / f"{i}.png" for i in range(4)]
        for i, path in enumerate(pictures):
            ffmpeg("-f", "lavfi", "-i", f"testsrc2=s={20 + 4 * i}x16:d=0.04", "-frames:v", 1, path)
        out = self.out / "o.png"
        size = ["--width", 16, "--height", 8, "--frames", 2, "-o", out]
        made = []
        for given in (pictures[:1], pictures[:3]):
            self.generate("personalised", *[f for p in given for f in ("--reference", p)], *size)
            made.append((self.out / "o-0001.png").read_bytes())
        self.assertNotEqual(made[0], made[1])
        self.generate("personalised", *size, code=2, words=["1 to 3 (--reference)"])
        self.generate("personalised", *[f for p in pictures for f in ("--reference", p)], *size, code=2, words=["4 pictures"])
        self.generate("personalised", "--reference", pictures[0], "--video", self.clip("16x8"), "-o", self.out / "p.mp4",
                      code=2, words=["pictures to show again (--reference)"])


if __name__ == "__main__":
    command.main()
