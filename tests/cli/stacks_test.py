#!/usr/bin/env python3
"""Stacks of any length (ulimit -s): every command does what it does with the usual one.

usage: stacks_test.py PATH_OF_ZOETROPE MODEL.zoe
"""
import os
import resource
import signal
import subprocess
import unittest
from pathlib import Path

import command
from command import MODEL, SMALL, ZOETROPE, address_space_can_be_limited, run

ROOT = Path(__file__).parents[2]
PLACE = ["--device", "cpu", "--threads", "2"]
ENDLESS = resource.RLIM_INFINITY
HARD = resource.getrlimit(resource.RLIMIT_STACK)[1]
# It lies on the first stack.
SMALL_ENVIRONMENT = {name: value for name, value in os.environ.items()
                     if name in ("HOME", "LD_LIBRARY_PATH", "PATH", "TMPDIR") or name.startswith(("XDG_", "ZOETROPE_"))}


def fits(kib):
    return HARD == ENDLESS or kib != ENDLESS and kib << 10 <= HARD


# KiB, and whether the hard limit is the same: else the soft one may be raised again. Below 32 the dynamic loader may
# crash, of any program.
LIMITS = [(kib, hard) for kib, hard in ((32, True), (64, True), (64, False), (256, True), (1024, True), (8191, True),
                                        (ENDLESS, False)) if fits(kib)]


def stack(kib, hard=True):
    value = kib if kib == ENDLESS else kib << 10
    return lambda: resource.setrlimit(resource.RLIMIT_STACK, (value, value if hard else HARD))


@unittest.skipUnless(address_space_can_be_limited(), "a sanitizer needs longer stacks")
class Stacks(command.Case):
    def commands(self):
        """By name: words, the file that they make, and whether they print the same each time."""
        picture = self.out / "in.png"
        subprocess.run([ZOETROPE, "generate", "x", "--model", MODEL, *PLACE, *SMALL[:4], "--frames", "1", "--steps", "1",
                        "-q", "-o", picture], check=True)
        small = ["--model", MODEL, *PLACE, *SMALL]
        checkpoint = ROOT / "tests" / "format" / "data" / "dit_diffusers"
        return {
            "generate": (["generate", "x", "--image", picture, *small, "-q"], "o.mp4", True),
            "plan": (["plan", "x", *small, "--html"], "o.html", True),
            "convert": (["convert", checkpoint, "-q", "-o"], "o.zoe", True),
            "quantize": (["quantize", MODEL, *PLACE, "--format", "f16", "--force", *SMALL, "-q", "-o"], "q.zoe", False),
            "inspect": (["inspect", MODEL, "--tensors", "--verify"], None, True),
            "verify": (["verify", MODEL, "--devices", "cpu", "--threads", "2", "--no-nodes", *SMALL], None, False),
            "bench": (["bench", "ops", "--list"], None, True),
            "devices": (["devices"], None, True),
        }

    def outcome(self, words, name, **options):
        made = self.out / name if name else None
        if made and words[-1] not in ("-o", "--html"):
            words = [*words, "-o"]
        result = run(*words, *([made] if made else []), env=SMALL_ENVIRONMENT, **options)
        data = made.read_bytes() if made and made.exists() else b""
        if made and made.exists():
            made.unlink()
        return result, data

    def test_every_command(self):
        for command_name, (words, name, same) in self.commands().items():
            usual, made = self.outcome(words, name)
            self.assertEqual(usual.returncode, 0, usual.stderr)
            for kib, hard in LIMITS:
                with self.subTest(f"{command_name}, {kib} KiB, {'hard' if hard else 'soft'}"):
                    result, data = self.outcome(words, name, preexec_fn=stack(kib, hard))
                    self.assertEqual(result.returncode, 0, result.stderr)
                    self.assertEqual(data, made)
                    if same:
                        self.assertEqual(result.stdout, usual.stdout)

    def long_run(self):
        return [ZOETROPE, "generate", "x", "--model", MODEL, *PLACE, *SMALL[:-1], "5000", "-o", str(self.out / "o.y4m")]

    def test_signals_are_heard(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            process = subprocess.Popen(self.long_run(), stderr=subprocess.PIPE, env=SMALL_ENVIRONMENT, preexec_fn=stack(64))
            while b"load dit" not in process.stderr.readline():
                self.assertIsNone(process.poll())  # the output is open, and has no name yet
            process.send_signal(number)
            process.communicate(timeout=60 * command.PATIENCE)
            self.assertEqual(process.returncode, 128 + number)
            self.check_empty()

    def room_for(self, kib):
        """MiB of address space in which a command that takes little runs, and how often it had no thread in less."""
        refused = 0
        for mib in range(24, 512, 2):  # the loader needs more than the first

            def limit(mib=mib):
                stack(kib)()
                resource.setrlimit(resource.RLIMIT_AS, (mib << 20, mib << 20))

            result = run("--version", env=SMALL_ENVIRONMENT, preexec_fn=limit)
            if result.returncode == 0:
                return mib, refused
            self.assertIn(result.returncode, (5, 127), result.stderr)  # 127: the loader's
            refused += b"limit of stacks" in result.stderr
        self.fail("no room is enough")

    def test_without_room_for_a_thread_the_first_stack_is_used_or_it_is_an_error(self):
        if not fits(1024):
            self.skipTest("the hard limit of stacks is lower")
        short, refused = self.room_for(64)
        self.assertGreater(refused, 0)
        enough, refused = self.room_for(1024)
        self.assertEqual(refused, 0)
        self.assertLess(enough, short)


if __name__ == "__main__":
    command.main()
