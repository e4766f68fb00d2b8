#!/usr/bin/env python3
"""What people give and get: their own pictures and sound in the clip, and files that say what made them.
ffmpeg makes the inputs and says what is in the outputs.

usage: known_media_test.py PATH_OF_ZOETROPE MODEL.zoe
"""
import array
import json
import math
import subprocess
import wave

import command
from command import MODEL, run

SIZE = ["--width", "64", "--height", "64", "--steps", "1"]
FPS = 16  # of the model


def ffmpeg(*args):
    return subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-y", *map(str, args)], check=True,
                          capture_output=True).stdout


def probe(path, *entries):
    text = subprocess.run(["ffprobe", "-v", "error", "-of", "json", *entries, path], check=True, capture_output=True)
    return json.loads(text.stdout)


def tags(path):
    found = probe(path, "-show_entries", "format_tags:stream_tags")
    return {k.lower(): v for part in (found["format"], *found["streams"]) for k, v in part.get("tags", {}).items()}


def rgb(path):
    # Chroma between pixels, not of the nearest: what a scaler does at its best.
    return ffmpeg("-i", path, "-sws_flags", "bicubic+accurate_rnd+full_chroma_int+full_chroma_inp", "-f", "rawvideo",
                  "-pix_fmt", "rgb24", "-")


def psnr(a, b):
    error = sum((x - y) ** 2 for x, y in zip(a, b)) / len(a)
    return 99 if error == 0 else 10 * math.log10(255 ** 2 / error)


def samples(path, rate=None, channels=None):
    flags = [*(["-ar", rate] if rate else []), *(["-ac", channels] if channels else [])]
    return array.array("h", ffmpeg("-i", path, *flags, "-f", "s16le", "-"))


def gif_comment(data):
    """GIF89a from block to block, as its specification has it; the text of the comment extension."""
    at = 13 + (3 << (data[10] & 7) + 1 if data[10] & 0x80 else 0)
    text = b""
    while data[at] != 0x3b:
        comment = data[at:at + 2] == b"!\xfe"
        if data[at] == 0x2c:
            at += 11 + (3 << (data[at + 9] & 7) + 1 if data[at + 9] & 0x80 else 0)
        else:
            at += 2
        while data[at]:
            text += data[at + 1:at + 1 + data[at]] if comment else b""
            at += 1 + data[at]
        at += 1
    assert at == len(data) - 1
    return text.decode()


class Base(command.Case):
    def generate(self, *flags, code=0, words=()):
        result = run("generate", "a red ball", "--model", MODEL, *SIZE, *flags)
        self.check(result, code, *words)
        return result

    def clip(self, name, frames=21, sound="sin(2*PI*440*t)*0.4", codecs=("-c:v", "libx264", "-c:a", "aac")):
        """Colours that move, and a tone."""
        path = self.out / name
        ffmpeg("-f", "lavfi", "-i", f"testsrc2=s=64x64:r={FPS}:d={frames / FPS}", "-f", "lavfi", "-i",
               f"aevalsrc={sound}|{sound}:s=16000:d={frames / FPS}", "-pix_fmt", "yuv420p", *codecs, path)
        return path


class OwnSound(Base):
    def test_it_is_in_the_clip_sample_for_sample(self):
        for rate, channels, codec in ((16000, 2, "pcm_s16le"), (44100, 1, "pcm_s16le"), (48000, 2, "pcm_s24le"),
                                      (22050, 2, "pcm_f32le")):
            with self.subTest(rate=rate, codec=codec):
                own = self.out / "own.wav"
                ffmpeg("-f", "lavfi", "-i", f"anoisesrc=r={rate}:d=1:a=0.5:seed=4", "-ac", channels, "-c:a", codec, own)
                self.generate("--audio", own, "-o", self.out / "o.wav", "-o", self.out / "o.mkv", "-o", self.out / "o.mov")
                raw = ["-f", codec[4:], "-"]
                self.assertEqual(ffmpeg("-i", self.out / "o.wav", "-c:a", codec, *raw),
                                 ffmpeg("-i", own, "-c:a", codec, *raw))
                if codec == "pcm_s16le":
                    for name in ("o.mkv", "o.mov"):
                        self.assertEqual(samples(self.out / name), samples(own), name)

    def test_compressed_sound_is_copied(self):
        own = self.clip("own.mp4", frames=16)
        self.generate("--audio", own, "-o", self.out / "o.mp4", "-o", self.out / "o.mkv")
        packets = lambda path: ffmpeg("-i", path, "-map", "0:a", "-c", "copy", "-f", "md5", "-")
        self.assertEqual(packets(self.out / "o.mp4"), packets(own))
        self.assertEqual(packets(self.out / "o.mkv"), packets(own))

    def test_it_decides_the_length(self):
        own = self.out / "own.wav"
        for seconds, frames in (("1.5", 24), ("0.3", 5)):
            ffmpeg("-f", "lavfi", "-i", f"sine=r=16000:d={seconds}", own)
            self.generate("--audio", own, "-o", self.out / "o.png", "-o", self.out / "o.wav")
            self.assertEqual(len(list(self.out.glob("o-*.png"))), frames)
            for png in self.out.glob("o-*.png"):
                png.unlink()
        ffmpeg("-f", "lavfi", "-i", "sine=r=16000:d=9", own)
        self.generate("--audio", own, "-o", self.out / "o.wav", words=["first 4 s"])
        self.generate("--audio", own, "--seconds", "1", "-o", self.out / "o.wav", words=["first 1 s"])
        self.assertEqual(len(samples(self.out / "o.wav")), 16000)
        ffmpeg("-f", "lavfi", "-i", "sine=r=16000:d=0.5", own)
        self.generate("--audio", own, "--seconds", "1", "-o", self.out / "o.wav", words=["ends after 0.5 s"])
        out = samples(self.out / "o.wav")
        self.assertEqual(out[:8000], samples(own))
        self.assertEqual(set(out[8000:]), {0})


class OwnPicture(Base):
    def test_a_given_clip_is_copied_and_decides_the_length(self):
        own = self.clip("own.mp4")
        self.generate("--video", own, "-o", self.out / "o.mp4", "-o", self.out / "o.mkv", "-o", self.out / "%d.png")
        packets = lambda path: ffmpeg("-i", path, "-map", "0:v", "-c", "copy", "-f", "md5", "-")
        self.assertEqual(packets(self.out / "o.mp4"), packets(own))
        self.assertEqual(len(rgb(self.out / "o.mkv")), 21 * 64 * 64 * 3)
        self.assertEqual(rgb(self.out / "o.mkv"), rgb(own))
        self.assertEqual(len(list(self.out.glob("*.png"))), 21)
        self.assertGreater(psnr(rgb(self.out / "7.png"), rgb(own)[6 * 64 * 64 * 3:7 * 64 * 64 * 3]), 35)

    def test_a_copied_clip_still_stands_upright(self):
        own = self.clip("own.mp4")
        data = bytearray(own.read_bytes())
        at = data.index(b"tkhd") + 44
        data[at:at + 20] = b"".join(v.to_bytes(4, "big", signed=True) for v in (0, 65536, 0, -65536, 0))
        own.write_bytes(data)
        self.generate("--video", own, "-o", self.out / "o.mp4")
        self.assertEqual(rgb(self.out / "o.mp4"), rgb(own))

    def test_shorter_and_longer_than_asked(self):
        own = self.clip("own.mp4")
        self.generate("--video", own, "--seconds", "2", "-o", self.out / "o.mp4", code=2,
                      words=["21 frames", "--frames 21"])
        self.generate("--video", own, "--frames", "8", "-o", self.out / "o.mp4", words=["first 8 frames"])
        self.assertEqual(len(rgb(self.out / "o.mp4")), 8 * 64 * 64 * 3)
        self.assertEqual([p.name for p in self.out.iterdir() if p.name != "o.mp4"], ["own.mp4"])

    def test_pictures_in_a_row_are_a_clip(self):
        ffmpeg("-f", "lavfi", "-i", f"testsrc2=s=64x64:r={FPS}:d=0.5", self.out / "in%03d.png")
        self.generate("--video", self.out / "in%03d.png", "-o", self.out / "out%02d.png")
        for i in range(1, 9):
            self.assertEqual(rgb(self.out / f"out{i:02}.png"), rgb(self.out / f"in{i:03}.png"))

    def test_given_ends_come_back_as_they_are(self):
        for name, colour in (("a.png", "red"), ("b.png", "blue")):
            ffmpeg("-f", "lavfi", "-i", f"color={colour}:s=64x64,format=rgb24", "-frames:v", "1", self.out / name)
        self.generate("--image", self.out / "a.png", "--last-image", self.out / "b.png", "--frames", "16", "-o",
                      self.out / "o.png")
        self.assertEqual(rgb(self.out / "o-0001.png"), rgb(self.out / "a.png"))
        self.assertEqual(rgb(self.out / "o-0016.png"), rgb(self.out / "b.png"))

    def test_what_excludes_each_other(self):
        own = self.clip("own.mp4")
        for flags in (["--video", own, "--audio", own], ["--image", own, "--extend", own],
                      ["--video", own, "--last-image", own], ["--audio", own, "--lead-to", own]):
            self.generate(*flags, "-o", self.out / "o.mp4", code=2, words=["excludes"])
        self.generate("--image", own, "--background", "mauve", "-o", self.out / "o.mp4", code=2, words=["#RRGGBB"])
        for flags in (["--fit", "contain"], ["--background", "black"], ["--audio", own, "--fit", "stretch"]):
            self.generate(*flags, "-o", self.out / "o.mp4", code=2, words=[flags[-2], "there is none"])


class Extension(Base):
    def test_old_picture_and_sound_stay_and_new_ones_follow(self):
        own = self.clip("own.mp4", frames=32)
        self.generate("--extend", own, "-o", self.out / "o.wav", "-o", self.out / "o%03d.png", "-o", self.out / "o.mp4")
        old, new = samples(own), samples(self.out / "o.wav")
        self.assertEqual(len(new), 2 * 16000 * 3)  # 2 s that were there, 1 s more
        self.assertLessEqual(max(abs(a - b) for a, b in zip(old[:64000], new)), 1)
        # The new sound sets in where the old one ended.
        self.assertLess(abs(new[64000] - new[63998]), 8000)
        self.assertEqual(len(list(self.out.glob("o*.png"))), 48)
        frame = 64 * 64 * 3
        shown = rgb(own)
        for i in (1, 20, 32):
            self.assertGreater(psnr(rgb(self.out / f"o{i:03}.png"), shown[(i - 1) * frame:i * frame]), 35)
        streams = probe(self.out / "o.mp4", "-show_entries", "stream=duration")["streams"]
        self.assertEqual([float(s["duration"]) for s in streams], [3, 3])

    def test_length_says_how_much_is_added(self):
        own = self.clip("own.mp4", frames=32)
        self.generate("--extend", own, "--seconds", "2", "-o", self.out / "o.mp4")
        self.assertEqual(len(rgb(self.out / "o.mp4")), 64 * 64 * 64 * 3)
        self.generate("--extend", own, "--seconds", "4", "-o", self.out / "o.mp4", code=2, words=["at most 48"])

    def test_leading_to_a_clip_and_loops(self):
        own = self.clip("own.mp4", frames=32)
        other = self.clip("other.mp4", frames=16, sound="sin(2*PI*880*t)*0.4")
        self.generate("--lead-to", other, "-o", self.out / "o.wav")
        new, old = samples(self.out / "o.wav"), samples(other)
        self.assertLessEqual(max(abs(a - b) for a, b in zip(new[-32000:], old[:32000])), 1)
        self.generate("--join", own, other, "-o", self.out / "o.wav", "-o", self.out / "o.mp4")
        self.assertEqual(len(rgb(self.out / "o.mp4")) // (64 * 64 * 3), 32 + 16 + 16)
        self.assertEqual(len(samples(self.out / "o.wav")), 2 * 1000 * 64)
        self.generate("--extend", own, "--lead-to", own, "-o", self.out / "o.mp4", words=["loop"])
        self.assertEqual(len(rgb(self.out / "o.mp4")) // (64 * 64 * 3), 32 + 16)

    def test_frames_at_times_are_refused_with_what_this_model_takes(self):
        picture = self.out / "p.png"
        ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x64:d=0.04", "-frames:v", 1, picture)
        common = ["generate", "", *SIZE, "--model", MODEL, "-o", self.out / "o.mp4"]
        self.check(run(*common, "--keyframe", f"0.2={picture}"), 2, "--image", "--last-image", "--extend", "--audio")
        for wrong in (f"x={picture}", "0.2", f"0.2,2={picture}", f"-1={picture}", "0.2="):
            self.check(run(*common, "--keyframe", wrong), 2, "SECONDS=FILE")
        self.check(run(*common, "--keyframe", f"0={picture}", "--image", picture), 2, "given already")
        self.check(run(*common, "--keyframe", f"0.2={picture}", "--keyframe", f"0.21={picture}"), 2, "same frame")
        # The first frame is the first frame, whichever flag says so.
        self.generate("--keyframe", f"0={picture}", "--frames", 8, "-o", self.out / "o.png")
        self.assertEqual(ffmpeg("-i", self.out / "o-0001.png", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"),
                         ffmpeg("-i", picture, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"))

    def test_how_a_clip_plays_in_a_loop_is_measured(self):
        picture = self.out / "p.png"
        ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x64:d=0.04", "-frames:v", 1, picture)
        for flags, loops in ((["--image", picture, "--last-image", picture], True), (["--image", picture], False)):
            out = self.out / "o.png"
            result = self.generate(*flags, "--frames", 8, "-o", out, "--json")
            measured = json.loads(result.stdout)["loop"]
            frames = [ffmpeg("-i", p, "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
                      for p in sorted(self.out.glob("o-*.png"))]
            off = lambda a, b: sum(abs(x - y) for x, y in zip(a, b)) / len(a)
            self.assertAlmostEqual(measured["last_to_first"], off(frames[-1], frames[0]), places=6)
            self.assertAlmostEqual(measured["neighbours"],
                                   sum(map(off, frames[1:], frames)) / (len(frames) - 1), places=6)
            self.assertEqual(measured["last_to_first"] == 0, loops)
        self.generate("--image", picture, "--last-image", picture, "--frames", 8, "-o", self.out / "o.png",
                      words=["in a loop the last frame differs from the first by 0.00"])

    def test_loop_makes_a_clip_without_an_end(self):
        out = self.out / "o.png"
        words = ["in a loop the last frame differs"]
        self.generate("--loop", "--frames", 16, "-o", out, "-o", self.out / "o.wav", words=words)
        measured = json.loads(self.generate("--loop", "--frames", 16, "--json", "-o", out).stdout)["loop"]
        frames = [ffmpeg("-i", p, "-f", "rawvideo", "-pix_fmt", "rgb24", "-") for p in sorted(self.out.glob("o-*.png"))]
        self.assertEqual(len(frames), 16)
        off = lambda a, b: sum(abs(x - y) for x, y in zip(a, b)) / len(a)
        self.assertAlmostEqual(measured["last_to_first"], off(frames[-1], frames[0]), places=6)
        self.assertAlmostEqual(measured["most_of_neighbours"], max(map(off, frames[1:], frames)), places=6)
        self.assertEqual(len(samples(self.out / "o.wav")), 2 * 1000 * 16)
        self.generate("--loop", "--frames", 20, "-o", out, code=2, words=["in steps of 16", "nearest is 16"])
        picture = self.out / "o-0001.png"
        self.generate("--loop", "--image", picture, "-o", self.out / "p.mp4", code=2, words=["--last-image"])

    def test_windows_make_longer_clips_and_say_how_they_join(self):
        out = self.out / "o.png"
        result = self.generate("--window", 16, "--frames", 72, "--json", "-o", out, "-o", self.out / "o.wav")
        measured = json.loads(result.stdout)
        frames = [ffmpeg("-i", p, "-f", "rawvideo", "-pix_fmt", "rgb24", "-") for p in sorted(self.out.glob("o-*.png"))]
        self.assertEqual((measured["frames"], len(frames)), (72, 72))
        self.assertEqual(len(samples(self.out / "o.wav")), 2 * 1000 * 72)
        # Windows of two latents begin at every latent but the last: all but the first and the last are shared.
        off = lambda a, b: sum(abs(x - y) for x, y in zip(a, b)) / len(a)
        apart = list(map(off, frames[1:], frames))
        self.assertAlmostEqual(measured["seams"]["elsewhere"], sum(apart[:7] + apart[64:]) / 14, places=5)
        self.assertAlmostEqual(measured["seams"]["joined"], sum(apart[7:64]) / 57, places=5)
        self.generate("--frames", 72, "-o", out, code=2, words=["this model makes 1 to 64"])
        self.generate("--window", 65, "--frames", 72, "-o", out, code=2, words=["nearest is 64"])

    def test_reference_pictures_are_refused_with_what_this_model_takes(self):
        picture = self.out / "p.png"
        ffmpeg("-f", "lavfi", "-i", "testsrc2=s=40x30:d=0.04", "-frames:v", 1, picture)
        self.generate("--reference", picture, "-o", self.out / "o.mp4", code=2,
                      words=["no reference pictures", "--image", "--extend"])
        self.generate("--reference", self.out / "none.png", "-o", self.out / "o.mp4", code=3, words=["none.png"])

    def test_a_silent_or_very_short_clip(self):
        own = self.out / "own.mp4"
        for frames in (32, 3):
            ffmpeg("-f", "lavfi", "-i", f"testsrc2=s=64x64:r={FPS}:d={frames / FPS}", own)
            self.generate("--extend", own, "-o", self.out / "o.wav", words=["no sound"])
            self.assertEqual(set(samples(self.out / "o.wav")[:2 * 1000 * frames]), {0})


class Tags(Base):
    def test_every_format_says_what_made_it(self):
        names = ["o.mp4", "o.mov", "o.mkv", "o.webm", "o.gif", "o.wav", "o.png"]
        flags = [f for name in names for f in ("-o", self.out / name)]
        self.generate("--seed", "77", "--negative", "gr\u00fcn", "--frames", "8", *flags)
        for name in names:
            with self.subTest(name):
                path = self.out / ("o-0003.png" if name == "o.png" else name)
                if name == "o.png":  # ffmpeg 5 skips iTXt
                    data = path.read_bytes()
                    chunks = [c.split(b"IDAT")[0] for c in data.split(b"iTXt")[1:]]
                    found = {c.split(b"\0")[0].decode(): c.split(b"\0" * 5, 1)[1][:-8].decode(errors="ignore")
                             for c in chunks}
                    self.assertIn("77", found["seed"])
                elif name == "o.gif":  # ffprobe shows no comments of GIF
                    found = {"comment": gif_comment(path.read_bytes())}
                    self.assertEqual(len(rgb(path)), 8 * len(rgb(self.out / "o-0003.png")))
                else:
                    found = tags(path)
                about = json.loads(found["comment"][:found["comment"].rindex("}") + 1])
                self.assertEqual((about["prompt"], about["seed"], about["negative_prompt"], about["model"]),
                                 ("a red ball", 77, "gr\u00fcn", "toybox"))
                self.assertIn("Zoetrope", about["software"])
                self.assertEqual(about["options"]["steps"], "1")
        for name in names[:4]:
            self.assertEqual((tags(self.out / name)["prompt"], tags(self.out / name)["seed"]), ("a red ball", "77"))

    def test_or_nothing(self):
        names = ["o.mp4", "o.mkv", "o.gif", "o.wav", "o.png"]
        self.generate("--seed", "777777", "--frames", "8", "--no-metadata",
                      *[f for name in names for f in ("-o", self.out / name)])
        for path in self.out.iterdir():
            self.assertNotIn(b"red ball", path.read_bytes())
            self.assertNotIn(b"777777", path.read_bytes())

    def test_mp4_streams_and_its_colours_are_tagged(self):
        self.generate("--frames", "24", "-o", self.out / "o.mp4")
        data = (self.out / "o.mp4").read_bytes()
        self.assertLess(data.index(b"moov"), data.index(b"mdat"))
        video, sound = probe(self.out / "o.mp4", "-show_streams")["streams"]
        self.assertEqual((video["color_space"], video["color_primaries"], video["color_range"]), ("bt709", "bt709", "tv"))
        self.assertEqual((float(video["duration"]), float(sound["duration"])), (1.5, 1.5))

    def test_generated_sound_fades_at_the_end(self):
        self.generate("--frames", "16", "-o", self.out / "o.wav")
        with wave.open(str(self.out / "o.wav")) as w:
            data = array.array("h", w.readframes(w.getnframes()))
        self.assertLess(max(map(abs, data[-8:])), max(1, max(map(abs, data)) // 50))


if __name__ == "__main__":
    command.main()
