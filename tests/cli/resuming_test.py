#!/usr/bin/env python3
"""Runs that stop and go on: killed at any time, on another backend, in another direction; and checkpoints that are not
what they were.

usage: resuming_test.py PATH_OF_ZOETROPE MODEL.zoe
ZOETROPE_KILLS=200 kills so often instead of a few times; ZOETROPE_KILL_SEED repeats a run of them.
"""
import json
import os
import random
import resource
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path

import command
from command import MODEL, PATIENCE, ZOETROPE, run

KILLS = int(os.environ.get("ZOETROPE_KILLS", 6))
PICTURE = ["--width", "64", "--height", "64", "--device", "cpu"]
SIZE = [*PICTURE, "--frames", "8"]


class Resume(command.Case):
    def setUp(self):
        super().setUp()
        self.ck = self.out / "ck"

    def generate(self, *more, prompt="a red star", size=SIZE, **options):
        return run("generate", prompt, "--model", MODEL, *size, *more, **options)

    def picture(self, path, *more, **options):
        return self.generate("--frames", "1", "-o", path, *more, size=PICTURE, **options)

    def resume(self, *more, **options):
        return run("resume", self.ck, *more, **options)

    def states(self):
        return json.loads(self.resume("--list", "--json").stdout)["states"]

    def bytes_of(self, *names):
        return [(self.out / name).read_bytes() for name in names]

    def stop_after(self, step, *flags, outputs=("a.y4m", "a.wav")):
        """Runs until the state after `step` is there, and kills it."""
        wanted = self.ck / f"clip-00001.step-{step:05}.safetensors"
        process = subprocess.Popen(
            [ZOETROPE, "generate", "a red star", "--model", MODEL, *SIZE, *flags, "--checkpoint", self.ck,
             *(word for name in outputs for word in ("-o", self.out / name))], stderr=subprocess.PIPE)
        end = time.monotonic() + 60 * PATIENCE
        while not wanted.exists() and process.poll() is None and time.monotonic() < end:
            time.sleep(0.0005)
        process.kill()
        process.communicate()
        self.assertTrue(wanted.exists())

    # Going on

    def test_killed_at_any_time_it_ends_with_the_same_bytes(self):
        names = ["c-1.y4m", "c-2.y4m", "c-1.wav", "c-2.wav"]
        flags = ["--count", "2", "--seed", "5", "--steps", "6", "--solver", "unipc"]
        begin = time.monotonic()
        self.check(self.generate(*flags, "-o", self.out / "c.y4m", "-o", self.out / "c.wav"), 0)
        whole = time.monotonic() - begin
        expected = self.bytes_of(*names)
        seed = int(os.environ.get("ZOETROPE_KILL_SEED", random.randrange(1 << 32)))
        chance = random.Random(seed)
        kills = rounds = 0
        while kills < KILLS:
            rounds += 1
            shutil.rmtree(self.ck, ignore_errors=True)
            for name in names:
                (self.out / name).unlink(missing_ok=True)
            done = False
            while not done:
                begun = (self.ck / "job.json").exists()
                words = ["resume", self.ck] if begun else [
                    "generate", "a red star", "--model", MODEL, *SIZE, *flags, "--checkpoint", self.ck, "-o",
                    self.out / "c.y4m", "-o", self.out / "c.wav"]
                process = subprocess.Popen([ZOETROPE, *words], stderr=subprocess.PIPE, stdout=subprocess.PIPE)
                try:
                    # Every other process may end, so that rounds do.
                    limit = 60 * PATIENCE if chance.random() < 0.3 else chance.uniform(0, 1.1 * whole)
                    _, text = process.communicate(timeout=limit)
                    done = True
                    self.assertEqual(process.returncode, 0, (seed, text))
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.communicate()
                    kills += 1
                if self.ck.exists():
                    kept = [p.name for p in self.ck.iterdir() if not p.name.startswith(".")]
                    self.assertLessEqual(len(kept), 10, (seed, kept))
            self.assertTrue(self.bytes_of(*names) == expected, f"seed {seed}: other bytes after {kills} kills")
            self.assertEqual([p for p in self.ck.iterdir() if p.name.startswith(".")], [])
            # On some file systems, clips that were being written by a killed process keep temporary names.
            for path in self.out.glob(".zoetrope-*.tmp"):
                path.unlink()
        print(f"{kills} kills in {rounds} rounds of two clips, seed {seed}")

    def test_ctrl_c_keeps_the_last_step(self):
        process = subprocess.Popen([ZOETROPE, "generate", "x", "--model", MODEL, *SIZE, "--steps", "5000",
                                    "--checkpoint", self.ck, "-o", self.out / "a.wav"], stderr=subprocess.PIPE)
        end = time.monotonic() + 60 * PATIENCE
        while not (self.ck / "clip-00001.step-00003.safetensors").exists() and time.monotonic() < end:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60 * PATIENCE)
        self.assertEqual(process.returncode, 130)
        self.assertGreaterEqual(self.states()[-1], 3)
        self.assertLessEqual(len(self.states()), 8)

    def test_known_media_and_a_picture_to_keep(self):
        self.check(self.generate("--steps", "2", "-o", self.out / "k.y4m", "-o", self.out / "k.wav"), 0)
        self.check(self.picture(self.out / "i.png", "--steps", "2"), 0)
        for flags in (["--image", self.out / "i.png", "--audio", self.out / "k.wav"], ["--extend", self.out / "k.y4m"]):
            flags = [*flags, "--steps", "4", "--solver", "dpmpp_2m"]
            self.check(self.generate(*flags, "-o", self.out / "w.y4m", "--checkpoint", self.ck, size=PICTURE), 0)
            self.check(self.resume("--from-step", "2", "-o", self.out / "b.y4m"), 0, "after step 2 of 4")
            self.assertEqual(*self.bytes_of("w.y4m", "b.y4m"))

    def test_elsewhere_it_is_the_same_clip_up_to_rounding(self):
        self.check(self.generate("--steps", "3", "-o", self.out / "w.y4m"), 0)
        self.stop_after(2, "--steps", "3")
        self.check(self.resume("--device", "reference", "--target", "", "-o", self.out / "r.y4m"), 0, "made on cpu")
        whole, other = self.bytes_of("w.y4m", "r.y4m")
        self.assertEqual(len(whole), len(other))
        self.assertLessEqual(max(abs(a - b) for a, b in zip(whole, other)), 4)

    def test_a_run_that_is_done_has_nothing_left_to_do(self):
        self.check(self.generate("--steps", "2", "-o", self.out / "a.wav", "--checkpoint", self.ck), 0)
        before = self.bytes_of("a.wav")
        self.check(self.resume(), 0, "nothing is left to do")
        self.assertEqual(self.bytes_of("a.wav"), before)
        self.check(self.resume("-o", self.out / "b.wav"), 0, "after step 2 of 2")
        self.assertTrue(self.bytes_of("b.wav") == before)
        self.check(self.generate("--steps", "2", "-o", self.out / "c.wav", "--checkpoint", self.ck), 0)

    def test_one_run_has_the_folder(self):
        self.stop_after(1, "--steps", "4000")
        self.check(self.generate("--steps", "2", "-o", self.out / "b.wav", "--checkpoint", self.ck), 2, "resume")
        self.assertFalse((self.out / "b.wav").exists())
        process = subprocess.Popen([ZOETROPE, "resume", self.ck], stderr=subprocess.DEVNULL)
        try:
            end = time.monotonic() + 60 * PATIENCE
            first = self.states()[-1]
            while self.states()[-1] == first and time.monotonic() < end:
                time.sleep(0.02)
            self.check(self.resume(), 4, "another process")
            # A look at a run that is at work.
            self.check(self.resume("--decode-only", "-o", self.out / "look.png"), 0, "latents after step")
        finally:
            process.kill()
            process.wait()
        self.assertTrue((self.out / "look-1.png").exists() or (self.out / "look-0001.png").exists())

    def test_the_receipt_is_that_of_the_whole_run(self):
        flags = ["--steps", "4", "--solver", "unipc"]
        self.check(self.generate(*flags, "-o", self.out / "w.wav", "--receipt", self.out / "w.json"), 0)
        self.stop_after(2, *flags, "--receipt", self.out / "a.json", outputs=["a.wav"])
        self.check(self.resume(), 0)
        whole, again = (json.loads((self.out / name).read_text()) for name in ("w.json", "a.json"))
        self.assertEqual(whole, again)
        self.assertTrue(self.bytes_of("w.wav") == self.bytes_of("a.wav"))
        # The rest of the run elsewhere: the receipt goes along, or where it is said.
        for name, receipt in (("e", "e.json"), ("f", "")):
            shutil.rmtree(self.ck)
            (self.out / "a.json").unlink(missing_ok=True)
            self.stop_after(2, *flags, "--receipt", self.out / "a.json", outputs=["a.wav"])
            told = ["--receipt", self.out / receipt] if receipt else []
            self.check(self.resume("-o", self.out / f"{name}.wav", *told), 0)
            self.assertEqual(json.loads((self.out / (receipt or "a.json")).read_text()), whole)
            self.assertEqual((self.out / "a.json").exists(), not receipt)
        # Where it cannot be written is refused before anything changes.
        shutil.rmtree(self.ck)
        self.stop_after(2, *flags, "--receipt", self.out / "a.json", outputs=["a.wav"])
        self.assertNotEqual(self.resume("--receipt", self.out / "missing" / "x.json").returncode, 0)
        self.check(self.resume(), 0)
        self.assertEqual(json.loads((self.out / "a.json").read_text()), whole)
        # What another prompt went on from makes no receipt.
        refused = self.resume("--from-step", "1", "--prompt", "x", "-o", self.out / "b.wav", "--receipt", self.out / "b.json")
        self.assertEqual(refused.returncode, 2)
        self.assertIn("--receipt", str(refused.stderr))
        self.check(self.resume("--from-step", "1", "--prompt", "x", "-o", self.out / "b.wav"), 0)
        self.assertEqual([b'"stages"' in data for data in self.bytes_of("a.wav", "b.wav")], [True, False])

    def test_loudness_and_the_short_prompt_are_those_of_the_whole_run(self):
        flags = ["--steps", "4", "--loudness", "-30", "--expand"]
        self.check(self.generate(*flags, "-o", self.out / "w.wav"), 0)
        self.stop_after(2, *flags, outputs=["a.wav"])
        self.check(self.resume(), 0)
        self.assertTrue(self.bytes_of("w.wav") == self.bytes_of("a.wav"))

    def test_what_the_readme_shows(self):
        text = (Path(__file__).parents[2] / "README.md").read_text()
        block = next(b for b in text.split("```") if "zoetrope resume" in b and "--checkpoint" in b)
        lines = [shlex.split(line, comments=True) for line in block.splitlines() if line.startswith("zoetrope ")]
        self.assertEqual(len(lines), 6)
        for words in lines:
            small = [*SIZE, "--model", MODEL] if words[1] == "generate" else []
            self.check(run(*words[1:], *small, cwd=self.out), 0)
        for name in ("star", "elsewhere", "look", "yellow"):
            self.assertGreater((self.out / f"{name}.mp4").stat().st_size, 1000)

    # Another way

    def test_from_a_step_with_another_prompt_or_guidance(self):
        flags = ["--steps", "4", "-o", self.out / "w.y4m", "--checkpoint", self.ck]
        self.check(self.generate(*flags), 0)
        whole = self.bytes_of("w.y4m")
        self.check(self.resume("--from-step", "0", "--prompt", "a green ring", "-o", self.out / "p.y4m"), 0)
        self.check(self.generate("--steps", "4", "-o", self.out / "ring.y4m", prompt="a green ring"), 0)
        self.assertEqual(*self.bytes_of("p.y4m", "ring.y4m"))
        self.check(self.resume("--from-step", "2", "--guidance", "1", "-o", self.out / "g.y4m", "--checkpoint",
                               self.out / "branch"), 0)
        self.assertNotEqual(self.bytes_of("g.y4m"), whole)
        self.assertEqual(self.bytes_of("w.y4m"), whole)
        other = json.loads(run("resume", self.out / "branch", "--list", "--json").stdout)
        self.assertEqual((other["states"], other["request"]["guidance"]), ([2, 3, 4], 1))
        # What another clip needs.
        self.check(self.resume("--from-step", "2"), 2, "-o FILE")
        self.check(self.resume("--from-step", "7", "-o", self.out / "n.y4m"), 3, "0, 1, 2, 3, 4")
        self.check(self.resume("--from-step", "2", "--steps", "9", "-o", self.out / "n.y4m"), 2, "--from-step 0")
        self.assertFalse((self.out / "n.y4m").exists())
        self.check(self.resume("--from-step", "0", "--steps", "2", "-o", self.out / "two.y4m"), 0)
        self.check(self.generate("--steps", "2", "-o", self.out / "other.y4m"), 0)
        self.assertEqual(*self.bytes_of("two.y4m", "other.y4m"))
        self.check(self.resume("--decode-only", "-o", self.out / "d.y4m"), 0)
        self.assertEqual(self.bytes_of("d.y4m"), whole)
        self.check(self.resume("--decode-only", "--from-step", "1", "-o", self.out / "d.y4m"), 0)
        self.assertNotEqual(self.bytes_of("d.y4m"), whole)

    # What is not as it was

    def test_files_that_changed_are_named(self):
        model, picture = self.out / "m.zoe", self.out / "i.png"
        shutil.copy(MODEL, model)
        self.check(self.picture(picture, "--steps", "2"), 0)
        self.check(run("generate", "x", "--model", model, *SIZE, "--steps", "3", "--image", picture, "-o",
                       self.out / "a.y4m", "--checkpoint", self.ck), 0)
        again = ["--from-step", "2", "-o", self.out / "b.y4m"]
        moved = self.out / "moved.zoe"
        model.rename(moved)
        self.check(self.resume(*again), 3, "m.zoe")
        self.check(self.resume(*again, "--model", moved), 0)
        self.assertEqual(*self.bytes_of("a.y4m", "b.y4m"))
        self.check(run("convert", "synthetic:dit-s-8", "-o", model), 0)
        self.check(self.resume(*again), 3, "the model", "m.zoe", "not the file that it was")
        shutil.copy(moved, model)
        data = picture.read_bytes()
        self.check(self.picture(picture, "--steps", "2", "--seed", "9"), 0)
        self.check(self.resume(*again), 3, "--image", "i.png", "not the file that it was")
        picture.unlink()
        self.check(self.resume(*again), 3, "i.png")
        picture.write_bytes(data)
        self.check(self.resume(*again), 0)

    def test_a_damaged_checkpoint_is_named(self):
        self.stop_after(2, "--steps", "400")
        last = max(self.ck.glob("*.step-*"))
        data = last.read_bytes()
        last.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        self.check(self.resume(), 3, last.name, "damaged", "--from-step")
        last.write_bytes(data[: len(data) // 2])
        self.check(self.resume(), 3, last.name)
        last.unlink()
        os.mkfifo(last)
        self.check(self.resume(), 3, last.name)
        last.unlink()
        job = self.ck / "job.json"
        text = job.read_text()
        job.write_text(text.replace('"keep": 8', '"keep": 9'))
        self.check(self.resume(), 3, "job.json", "damaged")
        job.unlink()
        self.check(self.resume(), 3, "job.json")
        self.check(run("resume", self.out / "nowhere"), 3, "nowhere")
        self.check(run("resume", MODEL), 2, "no folder")
        self.assertEqual(list(self.out.glob("a.*")), [])

    def test_a_pipe_cannot_be_read_again(self):
        os.mkfifo(self.out / "p.png")
        self.check(self.generate("--image", self.out / "p.png", "-o", self.out / "a.y4m", "--checkpoint", self.ck,
                                 timeout=20), 2, "p.png")
        self.assertFalse(self.ck.exists())

    def test_a_full_disk_costs_the_checkpoint_and_not_the_clip(self):
        def small_files():
            resource.setrlimit(resource.RLIMIT_FSIZE, (16000, 16000))

        result = self.picture(self.out / "a.png", "--steps", "3", "--checkpoint", self.ck, preexec_fn=small_files)
        self.check(result, 0, "checkpoint could not be written", "goes on")
        self.assertTrue((self.out / "a.png").exists())
        self.assertEqual(result.stderr.count(b"could not be written"), 1)
        # Where not even the job can be, nothing begins.
        result = run("generate", "x", "--model", MODEL, *SIZE, "-o", self.out / "b.png", "--checkpoint",
                     self.out / "no" / "folder")
        self.check(result, 3, "no/folder")
        self.check(self.generate("-o", self.out / "b.png", "--checkpoint", MODEL), 3)


if __name__ == "__main__":
    command.main()
