#!/usr/bin/env python3
"""Where clips go: files, links, pipes, standard output, and what is refused before anything runs.

usage: outputs_test.py PATH_OF_ZOETROPE MODEL.zoe
"""
import json
import os
import shutil
import signal
import stat
import subprocess
import threading
import time
from pathlib import Path

import command
from command import MODEL, SMALL, ZOETROPE, run


def ffprobe(data):
    """Streams of a clip given as bytes."""
    result = subprocess.run(["ffprobe", "-v", "error", "-of", "json", "-show_streams", "-"], input=data,
                            capture_output=True, check=True)
    return json.loads(result.stdout)["streams"]


class Outputs(command.Case):
    def generate(self, *flags, **options):
        return run("generate", "a red ball", "--model", MODEL, *SMALL, *flags, **options)

    def names(self):
        return sorted(p.name for p in self.out.iterdir())

    # Streams

    def test_outputs_and_receipts_replace_nothing_that_is_read(self):
        model = self.out / "m.zoe"
        shutil.copy(MODEL, model)
        for args in (["-o", model, "--format", "y4m"], ["-o", self.out / "o.y4m", "--receipt", model]):
            result = run("generate", "x", "--model", model, "--device", "cpu", *SMALL, *args)
            self.check(result, 2, "m.zoe")
        self.assertEqual(model.read_bytes(), Path(MODEL).read_bytes())
        self.assertFalse((self.out / "o.y4m").exists())

    def test_a_pipe_is_written_to_and_stays(self):
        for name, streams in (("p.y4m", 1), ("p.wav", 1), ("p.mkv", 2), ("p.mp4", 2), ("p.webm", 2)):
            with self.subTest(name):
                path = self.out / name
                os.mkfifo(path)
                got = []
                reader = threading.Thread(target=lambda: got.append(path.read_bytes()))
                reader.start()
                self.check(self.generate("-o", path), 0)
                reader.join(timeout=60)
                self.assertTrue(path.is_fifo())
                self.assertEqual(len(ffprobe(got[0])), streams)

    def test_standard_output(self):
        self.check(self.generate("-o", self.out / "a.y4m", "-o", self.out / "a.wav", "--no-metadata"), 0)
        result = self.generate("-o", "-")
        self.check(result, 0)
        self.assertEqual(result.stdout, (self.out / "a.y4m").read_bytes())
        result = self.generate("-o", "-", "--format", "wav", "--no-metadata")
        self.assertEqual(result.stdout, (self.out / "a.wav").read_bytes())
        self.assertEqual(self.generate("-o", "/dev/stdout", "--format", "wav", "--no-metadata").stdout, result.stdout)
        with open(self.out / "b.wav", "wb") as file:
            file.write(b"begin")
            file.flush()
            subprocess.run([ZOETROPE, "generate", "a red ball", "--model", MODEL, *SMALL, "-q", "-o", "/dev/stdout",
                            "--format", "wav", "--no-metadata"], stdout=file, check=True)
        self.assertEqual((self.out / "b.wav").read_bytes(), b"begin" + result.stdout)
        self.check(self.generate("-o", "-", "--json"), 2, "standard output")
        self.check(self.generate("-o", "-", "-o", "/dev/stdout", "--format", "y4m"), 2, "name of its own")
        self.check(run("bench", "ops", "--list", "--csv", "-", "--json", "-"), 2, "name of its own")

    def test_a_device_is_never_replaced(self):
        before = os.stat("/dev/full")
        self.check(self.generate("-o", "/dev/full", "--format", "y4m"), 5, "/dev/full")
        self.assertEqual((os.stat("/dev/full").st_rdev, os.stat("/dev/full").st_ino), (before.st_rdev, before.st_ino))
        self.check(self.generate("-o", "/dev/null", "--format", "wav"), 0)
        closed = subprocess.run(f"'{ZOETROPE}' generate x --model '{MODEL}' {' '.join(SMALL)} -o - | head -c 10",
                                shell=True, capture_output=True)
        self.assertEqual(len(closed.stdout), 10)
        self.assertIn(b"Broken pipe", closed.stderr)

    # Links and names

    def test_a_link_is_followed(self):
        (self.out / "store").mkdir()
        (self.out / "store/real.wav").write_bytes(b"old")
        (self.out / "link.wav").symlink_to("store/real.wav")
        (self.out / "new.wav").symlink_to(self.out / "store/made.wav")
        os.chmod(self.out / "store/real.wav", 0o640)
        self.check(self.generate("-o", self.out / "link.wav", "-o", self.out / "new.wav"), 0)
        self.assertTrue((self.out / "link.wav").is_symlink() and (self.out / "new.wav").is_symlink())
        self.assertEqual((self.out / "store/real.wav").read_bytes(), (self.out / "store/made.wav").read_bytes())
        self.assertEqual((self.out / "store/real.wav").stat().st_mode & 0o777, 0o640)
        (self.out / "round.wav").symlink_to("round.wav")
        self.check(self.generate("-o", self.out / "round.wav"), 3, "round.wav")

    def test_the_longest_names(self):
        name = self.out / ("n" * 251 + ".png")
        self.check(run("generate", "x", "--model", MODEL, "--width", "64", "--height", "64", "--frames", "1", "--steps",
                       "1", "-o", name), 0)
        self.assertEqual(self.names(), [name.name])
        self.check(self.generate("-o", self.out / ("n" * 252 + ".png")), 3, "too long")

    # Refused before anything runs

    def test_what_cannot_work_is_refused_first(self):
        (self.out / "folder.mp4").mkdir()
        (self.out / "a-0005.png").mkdir()
        (self.out / "sub").mkdir()
        before = self.names()
        for path, word in (("no/a.png", "no/"), ("no/%03d.png", "no/"), ("no/a.mp4", "no/"), ("folder.mp4", "folder"),
                           ("a.png", "a-0005.png"), ("%s.png", "%d"), ("a", "--format"), ("sub/", "folder")):
            with self.subTest(path):
                result = run("generate", "x", "--model", MODEL, *SMALL[:-1], "1000", "-o", f"{self.out}/{path}")
                self.assertIn(result.returncode, (2, 3))
                self.assertIn(word, result.stderr.decode())
                self.assertNotIn(b"denoise", result.stderr)
        self.assertEqual(self.names(), before)

    def test_one_name_for_two(self):
        (self.out / "link.wav").symlink_to("a.wav")
        for first, second in (("a.wav", "a.wav"), ("a.wav", "./a.wav"), ("a.wav", "link.wav"),
                              ("a.png", "a-%04d.png"), ("%d.png", "%d.png")):
            with self.subTest(second):
                self.check(self.generate("-o", f"{self.out}/{first}", "-o", f"{self.out}/{second}"), 2, "name of its own")
        self.check(self.generate("-o", self.out / "a.wav"), 0)
        before = (self.out / "a.wav").read_bytes()
        self.check(run("generate", "x", "--model", MODEL, *SMALL[:4], "--audio", self.out / "a.wav", "-o",
                       self.out / "a.wav"), 2, "input")
        self.assertEqual((self.out / "a.wav").read_bytes(), before)

    # Two processes

    def begin(self, *flags):
        """A process that is at work on these outputs."""
        process = subprocess.Popen([ZOETROPE, "generate", "a red ball", "--model", MODEL, "--width", "64", "--height",
                                    "64", "-q", *map(str, flags)])
        self.addCleanup(self.kill, process)
        deadline = time.monotonic() + 30 * command.PATIENCE
        while self.unfinished(process) == 0 and time.monotonic() < deadline:
            time.sleep(0.02)
        self.assertGreater(self.unfinished(process), 0)
        return process

    def kill(self, process):
        process.kill()
        process.wait(timeout=60)

    def test_of_several_at_once_one_makes_its_clip_and_the_others_do_not_begin(self):
        sizes = {"o.mp4": 64, "./o.mp4": 96, f"{self.out}/o.mp4": 80}
        runs = {name: subprocess.Popen([os.path.abspath(ZOETROPE), "generate", "x", "--model", os.path.abspath(MODEL), "--width", str(size), "--height",
                                        str(size), "--frames", "8", "--steps", "12", "-o", name], cwd=self.out,
                                       stderr=subprocess.PIPE)
                for name, size in sizes.items()}
        done = []
        for name, process in runs.items():
            text = process.communicate(timeout=120 * command.PATIENCE)[1].decode()
            if process.returncode == 0:
                done.append(sizes[name])
            else:
                self.assertEqual(process.returncode, 4, text)
                self.assertIn(f"{name}: another zoetrope is writing it", text)
                self.assertNotIn("denoise", text)
        self.assertTrue(done)  # one that begins when another is done replaces its clip
        self.assertEqual(self.names(), ["o.mp4"])
        self.assertIn(ffprobe((self.out / "o.mp4").read_bytes())[0]["width"], done)

    def test_every_command_refuses_what_another_process_writes_until_that_ends(self):
        (self.out / "sub").mkdir()
        (self.out / "link").symlink_to("sub")
        path, hard = self.out / "link/o.zoe", self.out / "hard.zoe"
        path.write_bytes(b"old")
        os.link(path, hard)
        before = self.names()
        holder = self.begin("--steps", "5000", "--format", "y4m", "-o", self.out / "sub/o.zoe")
        other, page = self.out / "other.y4m", self.out / "page.zoe"
        for args in (["convert", MODEL, "-o", path], ["convert", MODEL, "-o", hard],
                     ["quantize", MODEL, "--measure", "weights", "-o", path],
                     ["quantize", MODEL, "--measure", "weights", "-o", page, "--page", path],
                     ["inspect", MODEL, "--graph", "dit", "--svg", path],
                     ["run", MODEL, "dit", "--input", other, "--output", path], ["plan", "--model", MODEL, "--html", path],
                     ["verify", MODEL, "--save", path], ["bench", "ops", "--list", "--json", path],
                     ["generate", "x", "--model", MODEL, *SMALL, "-o", other, "--receipt", path],
                     ["generate", "x", "--model", MODEL, *SMALL, "--format", "y4m", "-o", other, "-o", path]):
            with self.subTest(" ".join(map(str, args))):
                self.check(run(*args), 4, f"{args[-1]}: another zoetrope is writing it")
        self.assertEqual(path.read_bytes(), b"old")
        self.assertEqual(self.names(), before)
        self.assertIsNone(holder.poll())
        self.kill(holder)
        self.check(run("inspect", MODEL, "--graph", "dit", "--svg", path), 0)
        self.assertIn(b"<svg", path.read_bytes())

    def test_no_command_writes_over_what_it_reads(self):
        model, picture = self.out / "m.zoe", self.out / "p.png"
        model.write_bytes(Path(MODEL).read_bytes())
        self.check(self.generate("-o", picture), 0)
        picture = self.out / "p-0001.png"
        before = model.read_bytes(), picture.read_bytes()
        (self.out / "link").symlink_to("m.zoe")
        for name in (model, f"{self.out}/./m.zoe", self.out / "link"):
            for args in (["inspect", model, "--graph", "dit", "--svg", name], ["inspect", model, "--page", name],
                         ["quantize", model, "--measure", "weights", "-o", self.out / "q.zoe", "--page", name],
                         ["quantize", model, "--measure", "weights", "-o", name],
                         ["plan", "x", "--model", model, "--html", name],
                         ["verify", model, "--save", name], ["verify", model, "--html", name],
                         ["run", model, "dit", "--input", picture, "--output", name],
                         ["bench", "pipeline", "--models", model, "--list", "--html", name]):
                with self.subTest(" ".join(map(str, args))):
                    self.check(run(*args), 2, "is also the input")
        self.check(run("run", model, "dit", "--input", picture, "--output", picture), 2, "is also the input")
        self.check(run("plan", "x", "--model", model, "--image", picture, "--html", picture), 2, "is also the input")
        self.assertEqual((model.read_bytes(), picture.read_bytes()), before)

    def test_who_is_first_is_never_disturbed(self):
        self.check(self.generate("-o", self.out / "o.y4m"), 0)
        first = self.begin("--frames", "24", "--steps", "40", "-o", self.out / "o.y4m")
        for name in ("o.y4m", "./o.y4m"):
            second = run("generate", "x", "--model", MODEL, *SMALL, "-o", f"{self.out}/{name}")
            self.assertIsNone(first.poll())
            self.check(second, 4, "another")
        self.assertEqual(first.wait(timeout=120 * command.PATIENCE), 0)
        self.assertEqual((self.out / "o.y4m").read_bytes().count(b"FRAME\n"), 24)
        self.check(self.generate("-o", self.out / "o.y4m"), 0)

    def test_frames_of_two_sequences_do_not_interleave(self):
        self.begin("--frames", "8", "--steps", "5000", "-o", self.out / "f-%04d.png")
        for name, frames, code in (("f.png", 8, 4), ("f-%04d.png", 16, 4), ("f-0003.png", 1, 4), ("f-0009.png", 1, 0),
                                   ("f-%03d.png", 8, 0), ("g-%04d.png", 8, 0)):
            with self.subTest(name):
                self.check(run("generate", "x", "--model", MODEL, "--width", "64", "--height", "64", "--steps", "1",
                               "--frames", frames, "-o", self.out / name), code)

    def test_a_pipe_has_one_writer_at_a_time(self):
        pipe = self.out / "pipe.y4m"
        os.mkfifo(pipe)
        reader = threading.Thread(target=pipe.read_bytes)
        reader.start()
        holder = self.begin("--steps", "5000", "-o", pipe)
        self.check(self.generate("-o", pipe), 4, "pipe.y4m: another")
        self.kill(holder)
        reader.join(timeout=60)

    # Temporary names

    def test_nothing_of_an_input_or_a_link_is_touched(self):
        # Names that a temporary file might have.
        victims = [self.out / n for n in ("a.partial.y4m", "a.y4m.tmp", ".a.y4m.part", "a.y4m~")]
        for victim in victims:
            victim.write_bytes(b"precious")
        self.check(self.generate("-o", self.out / "a.y4m"), 0)
        self.assertEqual({v.read_bytes() for v in victims}, {b"precious"})

    def unfinished(self, process):
        """How many files a process is writing here, under a name of their own or without one."""
        folder = f"/proc/{process.pid}/fd"
        count = 0
        for number in os.listdir(folder):
            try:
                here = os.readlink(f"{folder}/{number}").startswith(f"{self.out}/")
                info = os.stat(f"{folder}/{number}")
            except FileNotFoundError:
                continue  # closed meanwhile
            claimed = stat.S_ISDIR(info.st_mode) or info.st_nlink > 1
            count += here and not claimed
        return count

    def begin_three(self):
        process = subprocess.Popen([ZOETROPE, "generate", "x", "--model", MODEL, "--steps", "5000", "-o",
                                    self.out / "a.wav", "-o", self.out / "a.mp4", "-o", self.out / "a.png"],
                                   stderr=subprocess.PIPE)
        deadline = time.monotonic() + 30
        while self.unfinished(process) < 3 and time.monotonic() < deadline:
            time.sleep(0.02)
        self.assertEqual(self.unfinished(process), 3)
        return process

    def interrupt(self, *signals):
        process = self.begin_three()
        for number in signals:
            process.send_signal(number)
        process.communicate(timeout=60)
        self.assertIn(process.returncode, {128 + number for number in signals})
        self.check_empty()

    def test_signals_leave_nothing(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with self.subTest(number):
                self.interrupt(number)
        self.interrupt(signal.SIGTERM, signal.SIGTERM, signal.SIGINT)  # at once, by a person in a hurry

    def test_a_kill_leaves_nothing(self):
        try:
            os.close(os.open(self.out, os.O_TMPFILE | os.O_RDWR))
        except OSError:
            self.skipTest("this file system has no files without a name")
        process = self.begin_three()
        process.kill()
        process.communicate(timeout=60)
        self.check_empty()

    # Answers

    def test_answers_are_whole_or_an_error(self):
        with open("/dev/full", "w") as full:
            for args in (["inspect", MODEL, "--json"], ["inspect", MODEL], ["inspect", MODEL, "--graph", "dit"],
                         ["plan", "--model", MODEL], ["plan", "--model", MODEL, "--json", "--calls"], ["devices"],
                         ["generate", "x", "--model", MODEL, *SMALL, "--json", "-o", self.out / "a.wav"]):
                with self.subTest(args[0]):
                    result = subprocess.run([ZOETROPE, *map(str, args)], stdout=full, stderr=subprocess.PIPE)
                    self.assertEqual(result.returncode, 5)
                    self.assertIn(b"No space left", result.stderr)
        self.assertEqual(run("--help").returncode, 0)

    def test_closed_descriptors_never_become_files(self):
        self.check(self.generate("-o", self.out / "ref.y4m"), 0)
        for closed in ("2>&-", "1>&-", "0<&-", "1>&- 2>&-", "0<&- 1>&- 2>&-"):
            result = subprocess.run(f"'{ZOETROPE}' generate 'a red ball' --model '{MODEL}' {' '.join(SMALL)} -o "
                                    f"'{self.out}/o.y4m' {closed}", shell=True, stderr=subprocess.DEVNULL)
            self.assertEqual(result.returncode, 0, closed)
            self.assertEqual((self.out / "o.y4m").read_bytes(), (self.out / "ref.y4m").read_bytes(), closed)

    def test_names_that_are_no_text(self):
        path = os.fsencode(self.out) + b"/caf\xe9.wav"
        result = subprocess.run([ZOETROPE, "generate", "x", "--model", MODEL, *SMALL, "--json", "-o", path],
                                capture_output=True)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("caf\ufffd", json.loads(result.stdout)["files"][0]["path"])

    def test_a_drawing_is_whole_or_not_there(self):
        path = self.out / "g.svg"
        path.write_text("old")
        small = "ulimit -f 8; exec " + " ".join(f"'{a}'" for a in (ZOETROPE, "inspect", MODEL, "--graph", "dit", "--svg",
                                                                 str(path)))
        self.assertEqual(subprocess.run(["bash", "-c", small], stderr=subprocess.DEVNULL).returncode, 5)
        self.assertEqual((self.names(), path.read_text()), (["g.svg"], "old"))


class Flags(command.Case):
    def generate(self, *flags):
        return run("generate", "x", "--model", MODEL, *SMALL, "-o", self.out / "a.png", *flags)

    def test_numbers_are_numbers_in_range(self):
        for flag, values in {"--guidance": ["nan", "inf", "-inf", "-1", "101", "1,5", ""], "--shift": ["nan", "0", "1e9"],
                             "--seed": ["18446744073709551616", "-2", "1.5", "", "0x10", "9" * 400, "nan"],
                             "--steps": ["0", "nan", "1e3", "99999999999"], "--width": ["nan", "-64", "1e2", "9" * 30],
                             "--threads": ["-1", "nan", "2000"]}.items():
            for value in values:
                with self.subTest(f"{flag} {value}"):
                    result = self.generate(flag, value)
                    self.check(result, 2, flag[2:])
                    self.assertLess(len(result.stderr), 600)
        for value in ("nan", "inf", "-1", "1,5", "1e300"):
            self.check(run("generate", "x", "--seconds", value, "-o", self.out / "a.png"), 2, "seconds", value)
        self.check_empty()

    def test_what_has_no_effect_is_refused_also_where_it_says_what_holds_anyway(self):
        for words in (["generate", "x", "--model", MODEL, "-o", self.out / "a.png", "--fit", "cover"],
                      ["generate", "x", "--model", MODEL, "-o", self.out / "a.png", "--background", "white"],
                      ["plan", "--model", MODEL, "--fit", "cover"],
                      ["plan", "--model", MODEL, "--set", "batch=1"],
                      ["plan", "--model", MODEL, "--component", "dit", "--image", "a.png"],
                      ["quantize", MODEL, "-o", self.out / "q.zoe", "--measure", "weights", "--device", "auto"],
                      ["quantize", MODEL, "-o", self.out / "q.zoe", "--measure", "weights", "--steps", "0"],
                      ["quantize", MODEL, "-o", self.out / "q.zoe", "--measure", "weights", "--max-loss", "0"],
                      ["bench", "ops", "--list", "--count", "1"], ["bench", "ops", "--list", "--steps", "0"],
                      ["bench", "ops", "--list", "--tolerance", "5"],
                      ["bench", "ops", "--list", "--attention-bits", "0"]):
            with self.subTest(words[-2:]):
                self.check(run(*words), 2, words[-2])
        self.check_empty()

    def test_a_drawn_seed_is_said_and_can_be_given_again(self):
        for word in ("-1", "random"):
            result = self.generate("--seed", word, "--json")
            self.check(result, 0, "seed ")
            seed = json.loads(result.stdout)["seed"]
            first = (self.out / "a-0001.png").read_bytes()
            self.check(self.generate("--seed", str(seed)), 0)
            self.assertEqual((self.out / "a-0001.png").read_bytes(), first)
            self.assertNotEqual(json.loads(self.generate("--seed", word, "--json").stdout)["seed"], seed)

    def test_a_prompt_from_a_file_or_standard_input(self):
        (self.out / "p.txt").write_text("a red ball\n")
        made = []
        for prompt, given in (("a red ball", None), (f"@{self.out}/p.txt", None), ("-", b"a red ball\n")):
            path = self.out / "o.y4m"
            self.check(run("generate", prompt, "--model", MODEL, *SMALL, "-o", path, input=given), 0)
            made.append(path.read_bytes())
        self.assertEqual(made[0], made[1])
        self.assertEqual(made[0], made[2])
        self.check(run("generate", "@/no/such/file", "-o", self.out / "a.png"), 3, "/no/such/file")

    def test_several_clips_in_one_run(self):
        common = ["--model", MODEL, *SMALL, "--no-metadata"]
        result = run("generate", "a red ball", *common, "--count", "3", "--seed", "7", "-o", self.out / "a.wav", "-o",
                     self.out / "b%02d.y4m", "--json")
        self.check(result, 0, "a-1.wav: seed 7", "a-3.wav: seed 9")
        clips = json.loads(result.stdout)
        self.assertEqual([c["seed"] for c in clips], [7, 8, 9])
        self.assertEqual(sorted(p.name for p in self.out.iterdir()),
                         ["a-1.wav", "a-2.wav", "a-3.wav", "b01.y4m", "b02.y4m", "b03.y4m"])
        self.check(run("generate", "a red ball", *common, "--seed", "8", "-o", self.out / "c.wav", "-o",
                       self.out / "c.y4m"), 0)
        self.assertEqual((self.out / "c.wav").read_bytes(), (self.out / "a-2.wav").read_bytes())
        self.assertEqual((self.out / "c.y4m").read_bytes(), (self.out / "b02.y4m").read_bytes())
        (self.out / "p.txt").write_text("a red ball\n\na blue star\n")
        self.check(run("generate", "--prompts", self.out / "p.txt", *common, "--seed", "8", "-o", self.out / "d.wav"), 0)
        self.assertEqual((self.out / "d-1.wav").read_bytes(), (self.out / "c.wav").read_bytes())
        self.assertNotEqual((self.out / "d-2.wav").read_bytes(), (self.out / "c.wav").read_bytes())
        for flags, word in ((["x", "--count", "0"], "count"), (["x", "--count", "2", "-o", "-"], "stream"),
                            (["x", "--prompts", self.out / "p.txt"], "excludes")):
            self.check(run("generate", *flags, *common), 2, word)

    def test_the_prompt_may_stand_last(self):
        self.check(run("generate", "--model", MODEL, *SMALL, "-o", self.out / "a.wav", "a red ball"), 0)


if __name__ == "__main__":
    command.main()
