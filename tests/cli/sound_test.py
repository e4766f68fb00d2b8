#!/usr/bin/env python3
"""Models that make sound alone: of words, of a clip's frames, from known sound on, in windows; and as the second of two
models. Networks are tiny, their weights generated; ffmpeg and Python's wave say what is in the files.

usage: sound_test.py PATH_OF_ZOETROPE MODEL.zoe
"""
import json
import shlex
import shutil
import subprocess
import wave
from pathlib import Path
from tempfile import TemporaryDirectory

import command
from command import MODEL, run
from known_media_test import ffmpeg, probe

RATE = 48000
FOLDER = TemporaryDirectory()
SOUND, VIDEO = (Path(FOLDER.name) / f"{name}.zoe" for name in ("sound", "video"))


def setUpModule():
    for name, path in (("moviegen-audio-tiny", SOUND), ("moviegen-tiny", VIDEO)):
        subprocess.run([command.ZOETROPE, "convert", f"synthetic:{name}", "-o", path], check=True, capture_output=True)


def tearDownModule():
    FOLDER.cleanup()


def frames_of(path):
    """Samples a channel, as lists of (left, right)."""
    with wave.open(str(path)) as w:
        assert (w.getframerate(), w.getnchannels(), w.getsampwidth()) == (RATE, 2, 2)
        data = memoryview(w.readframes(w.getnframes())).cast("h")
    return [data[i:i + 2].tolist() for i in range(0, len(data), 2)]


def picture_hashes(path):
    return ffmpeg("-i", path, "-map", "0:v", "-c", "copy", "-f", "streamhash", "-")


class Sound(command.Case):
    def generate(self, *flags, code=0, words=(), prompt="rain", model=SOUND, steps=1):
        result = run("generate", prompt, "--model", model, "--steps", steps, *flags)
        self.check(result, code, *words)
        return result

    def clip(self, name="clip.mp4", rate="24", frames=49, *codecs):
        path = self.out / name
        ffmpeg("-f", "lavfi", "-i", f"testsrc2=s=70x46:r={rate}", "-frames:v", frames, *(codecs or ("-c:v", "libx264")),
               "-pix_fmt", "yuv420p", path)
        return path

    def tone(self, name, samples):
        path = self.out / name
        ffmpeg("-f", "lavfi", "-i", f"aevalsrc=0.3*sin(880*t)|0.2*sin(550*t):s={RATE}", "-af",
               f"atrim=end_sample={samples}", path)
        return path

    def test_words_become_sound_of_the_asked_length_to_a_sample(self):
        out = self.out / "x.wav"
        self.generate("--duration", "0.33335", "-o", out, words=["0.33 s of sound"])
        self.assertEqual(len(frames_of(out)), 16001)
        # As video's containers hold it, too; and nothing that wants pictures.
        for name, codec in (("x.mp4", "aac"), ("x.webm", "opus"), ("x.mkv", "opus")):
            self.generate("--seconds", 1, "-o", self.out / name)
            streams = probe(self.out / name, "-show_streams")["streams"]
            self.assertEqual([s["codec_type"] for s in streams], ["audio"])
            self.assertIn(codec, streams[0]["codec_name"])
        for name in ("x.gif", "x.png", "x.y4m"):
            self.generate("--seconds", 1, "-o", self.out / name, code=2, words=["no picture", ".wav"])
            self.assertFalse((self.out / name).exists())

    def test_the_same_seed_gives_the_same_bytes_and_words_count(self):
        said = []
        for prompt, threads in (("rain", 1), ("rain", 2), ("wind", 2)):
            self.generate("--seconds", 0.5, "--threads", threads, "-o", self.out / "x.wav", prompt=prompt)
            said.append(frames_of(self.out / "x.wav"))
        self.assertEqual(said[0], said[1])
        self.assertNotEqual(said[1], said[2])

    def test_a_clip_keeps_its_picture_and_gets_sound_as_long(self):
        for rate, frames, samples in (("24", 49, 98000), ("30000/1001", 40, 64064)):
            clip = self.clip("c.mp4", rate, frames)
            out, heard = self.out / "o.mp4", self.out / "o.wav"
            self.generate("--video", clip, "-o", out, "-o", heard, prompt="")
            self.assertEqual(picture_hashes(out), picture_hashes(clip))
            self.assertEqual(len(frames_of(heard)), samples)
            streams = {s["codec_type"]: s for s in probe(out, "-show_streams")["streams"]}
            self.assertAlmostEqual(float(streams["audio"]["duration"]), samples / RATE, delta=1024 / RATE)
        # What is shown counts.
        other = self.clip("d.mp4", "24", 49, "-vf", "negate", "-c:v", "libx264")
        self.generate("--video", other, "-o", self.out / "d.wav", "--seconds", 1, prompt="")
        self.generate("--video", self.clip(), "-o", self.out / "e.wav", "--seconds", 1, prompt="",
                      words=["is longer: its first 1 s are used"])
        self.assertNotEqual(frames_of(self.out / "d.wav"), frames_of(self.out / "e.wav"))

    def test_a_clip_cut_short_or_encoded_anew_has_its_own_size_and_rate(self):
        out = self.out / "o.webm"
        self.generate("--video", self.clip(), "--seconds", 1, "-o", out, prompt="")
        streams = {s["codec_type"]: s for s in probe(out, "-show_streams", "-count_frames")["streams"]}
        self.assertEqual([streams["video"][k] for k in ("width", "height", "nb_read_frames", "r_frame_rate")],
                         [70, 46, "24", "24/1"])
        self.generate("--video", self.clip(), "--seconds", 3, "-o", out, code=2, words=["3 s were asked for"])

    def test_a_picture_has_no_length_to_make_sound_for(self):
        picture = self.out / "p.png"
        ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x48", "-frames:v", 1, picture)
        for length in ([], ["--seconds", 1]):
            self.generate("--video", picture, *length, "-o", self.out / "x.wav", code=2, words=["p.png", "no length"])
            self.assertFalse((self.out / "x.wav").exists())

    def test_known_sound_goes_on_and_comes_out_as_it_was(self):
        tone = self.tone("t.wav", 30001)
        before = frames_of(tone)
        out = self.out / "longer.wav"
        answer = json.loads(self.generate("--extend", tone, "--seconds", 0.5, "-o", out, "--json").stdout)
        longer = frames_of(out)
        self.assertEqual(len(longer), 30001 + 24000)
        self.assertEqual(longer[:30001], before)
        # No louder a step where it goes on than within what is new.
        steps = [max(abs(a - b) for a, b in zip(x, y)) for x, y in zip(longer, longer[1:])]
        self.assertLessEqual(steps[30000], max(steps[30001:]))
        [seam] = answer["seams"]
        self.assertEqual(seam["at"], 30001)
        self.assertAlmostEqual(seam["step"], steps[30000] / 32768, delta=1e-4)
        self.assertAlmostEqual(seam["around"], max(steps[30000 - 480:30000] + steps[30001:30001 + 480]) / 32768, delta=1e-4)
        self.generate("--lead-to", tone, "--seconds", 0.5, "-o", out)
        led = frames_of(out)
        self.assertEqual(led[-30001:], before)
        self.assertEqual(len(led), 30001 + 24000 // 1920 * 1920 + 1920)  # to whole latents
        self.generate("--join", tone, tone, "--seconds", 0.2, "-o", out, words=["loop"])
        self.assertEqual(frames_of(out)[:30001], before)
        self.generate("--extend", self.tone("short.wav", 1900), "-o", out, code=2, words=["1920 at least"])

    def test_a_small_file_of_very_long_sound_is_refused_unread(self):
        long = self.out / "long.mka"  # two sounds with two hours between
        ffmpeg("-f", "lavfi", "-i", f"aevalsrc=0.1|0.1:s={RATE}:d=0.2", "-af", "asetpts=PTS+if(gt(T\\,0.1)\\,7200/TB\\,0)",
               "-c:a", "pcm_s16le", long)
        self.assertLess(long.stat().st_size, 100000)
        for flag in ("--extend", "--lead-to"):  # 2^29 values of 4 bytes
            self.generate(flag, long, "--seconds", 0.2, "-o", self.out / "x.wav", code=2,
                          words=["long.mka", str(2 ** 28 // RATE), "2 channels at 48000 Hz"])
            self.assertFalse((self.out / "x.wav").exists())

    def test_long_sound_is_made_in_windows_within_the_same_memory(self):
        plans = [json.loads(run("plan", "rain", "--model", SOUND, "--seconds", s, "--json").stdout)
                 for s in (30, 31, 120, 1200)]
        self.assertEqual([p["windows"] for p in plans], [1, 2, 6, 60])
        self.assertEqual(len({p["peak_bytes"] for p in plans}), 1)
        out = self.out / "long.wav"
        self.generate("--seconds", 31, "-o", out)
        self.assertEqual(len(frames_of(out)), 31 * RATE)
        self.generate("--seconds", 3601, "-o", out, code=2, words=["up to 3600 s"])

    def test_what_it_does_not_take_is_refused_by_name(self):
        clip, tone = self.clip(), self.tone("t.wav", 9600)
        for flags, word in ((["--image", clip], "a clip that wants sound (--video)"),
                            (["--audio", tone], "--extend goes on from it"),
                            (["--width", "64"], "makes sound alone"),
                            (["--video", clip, "--strength", "0.5"], "does not start from a picture"),
                            (["--sound", SOUND], "makes sound itself")):
            self.generate(*flags, "-o", self.out / "x.wav", code=2, words=[word])
            self.assertFalse((self.out / "x.wav").exists())


    def test_the_commands_of_the_readme(self):
        text = (Path(__file__).parents[2] / "README.md").read_text()
        lines = [shlex.split(l, comments=True)[1:] for l in text.splitlines() if l.startswith("zoetrope ") and "sound.zoe" in l]
        self.assertEqual(len(lines), 3)
        self.clip()
        for line in lines:
            self.check(run(*line, cwd=self.out), 0)
        self.assertEqual(len(frames_of(self.out / "rain.wav")), 5 * RATE)
        self.assertEqual(picture_hashes(self.out / "heard.mp4"), picture_hashes(self.out / "clip.mp4"))


class TwoModels(command.Case):
    def both(self, *flags, code=0, words=(), model=VIDEO, sound=SOUND, frames=21, height=48):
        result = run("generate", "a dog barks", "--model", model, "--frames", frames, "--width", 64, "--height", height,
                     "--steps", 1, "--sound", sound, "--sound-steps", 1, *flags)
        self.check(result, code, *words)
        return result

    def test_the_second_makes_what_it_would_make_of_the_first_ones_clip(self):
        together, pictures = self.out / "both.wav", self.out / "f-%04d.png"
        answer = json.loads(self.both("-o", together, "-o", pictures, "-o", self.out / "both.mp4", "--json").stdout)
        self.assertEqual((answer["frames"], answer["samples"]), (21, 21 * RATE // 16))
        run("generate", "a dog barks", "--model", SOUND, "--steps", 1, "--video", pictures, "-o", self.out / "alone.wav")
        self.assertEqual(frames_of(together), frames_of(self.out / "alone.wav"))
        self.assertEqual(len(frames_of(together)), 63000)
        streams = {s["codec_type"]: s for s in probe(self.out / "both.mp4", "-show_streams", "-count_frames")["streams"]}
        self.assertEqual(streams["video"]["nb_read_frames"], "21")
        self.assertEqual(streams["audio"]["sample_rate"], str(RATE))
        # Its own words and steps.
        self.both("--sound-prompt", "a bell", "-o", self.out / "bell.wav")
        self.assertNotEqual(frames_of(together), frames_of(self.out / "bell.wav"))

    def test_progress_and_receipt_know_of_both(self):
        out = self.out / "both.mp4"
        self.both("-o", out, words=["denoise", "sound: look at frames", "sound: denoise", "sound: decode sound"])
        shutil.copy(VIDEO, self.out)  # the clip knows their names alone
        self.check(run("verify", "--receipt", out), 3, SOUND.name)
        shutil.copy(SOUND, self.out)
        self.check(run("verify", "--receipt", out), 0)
        self.both("-o", out, "--receipt", self.out / "r.json")
        result = run("verify", "--receipt", self.out / "r.json")
        self.check(result, 0)
        text = result.stdout.decode()
        self.assertIn("the sound, by another model", text)
        self.assertIn("bit for bit", text)

    def test_the_plan_is_of_both(self):
        flags = ["a dog", "--model", VIDEO, "--frames", 21, "--width", 64, "--height", 48]
        first, both = (json.loads(run("plan", *flags, *more, "--json").stdout) for more in ([], ["--sound", SOUND]))
        second = both["sound"]
        self.assertEqual(second["samples"], 63000)
        self.assertEqual(both["peak_bytes"], max(first["peak_bytes"], second["peak_bytes"]))
        text = run("plan", *flags, "--sound", SOUND).stdout.decode()
        for word in ("then the sound", "look at frames", "both: at most"):
            self.assertIn(word, text)

    def test_what_is_wrong_with_the_second_is_said_before_the_first_runs(self):
        out = self.out / "x.mp4"
        given = self.out / "given.png"
        ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x48", "-frames:v", 1, given)
        for flags, options, code, words in (([], {"sound": MODEL}, 2, ["no model of sound alone"]),
                                            ([], {"sound": self.out / "none.zoe"}, 3, ["none.zoe"]),
                                            ([], {"sound": given}, 3, ["given.png"]),
                                            (["--memory", "100K"], {}, 5, []),
                                            (["--checkpoint", self.out / "ck"], {}, 2, ["work of one model"]),
                                            ([], {"frames": 1}, 2, ["no length"])):
            result = self.both(*flags, "-o", out, code=code, words=words, **options)
            self.assertNotIn("denoise:", result.stderr.decode())
            self.assertFalse(out.exists())
        for names in (["x.gif"], ["x.y4m", "x-%d.png"]):
            outputs = [word for name in names for word in ("-o", self.out / name)]
            result = self.both(*outputs, code=2, words=["--sound: no output holds sound", names[0], ".mp4"])
            self.assertNotIn("denoise:", result.stderr.decode())
        self.both("-o", out, model=MODEL, height=64, code=2, words=["makes the sound of its clips itself"])


if __name__ == "__main__":
    command.main()
