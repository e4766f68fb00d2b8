#!/usr/bin/env python3
"""Stacks of any length (ulimit -s): every command does what it does with the usual one.

usage: stacks_test.py PATH_OF_ZOETROPE MODEL.zoe
"""
import resource
import signal
import subprocess
import unittest
from pathlib import Path

import command
from command import MODEL, SMALL, ZOETROPE, run

ROOT = Path(__file__).parents[2]
PLACE = ["--device", "cpu", "--threads", "2"]
# KiB, and whether the hard limit is the same: else the soft one may be raised again. Below 32 the dynamic loader may crash, of any program.
LIMITS = ((32, True), (64, True), (64, False), (256, True), (8191, True), (resource.RLIM_INFINITY, False))


def stack(kib, hard=True):
    value = kib if kib == resource.RLIM_INFINITY else kib << 10
    most = value if hard else resource.getrlimit(resource.RLIMIT_STACK)[1]
    return lambda: resource.setrlimit(resource.RLIMIT_STACK, (value, most))


class Stacks(command.Case):
    def commands(self):
        """By name: words, and the file that they make."""
        picture = self.out / "in.png"
        subprocess.run([ZOETROPE, "generate", "x", "--model", MODEL, *PLACE, *SMALL[:4], "--frames", "1", "--steps", "1",
                        "-q", "-o", picture], check=True)
        small = ["--model", MODEL, *PLACE, *SMALL]
        checkpoint = ROOT / "tests" / "format" / "data" / "dit_diffusers"
        return {
            "generate": (["generate", "x", "--image", picture, *small, "-q"], "o.mp4"),
            "plan": (["plan", "x", *small, "--html"], "o.html"),
            "convert": (["convert", checkpoint, "-q", "-o"], "o.zoe"),
            "quantize": (["quantize", MODEL, *PLACE, "--format", "f16", "--force", *SMALL, "-q", "-o"], "q.zoe"),
            "inspect": (["inspect", MODEL, "--tensors", "--verify"], None),
            "verify": (["verify", MODEL, "--devices", "cpu", "--threads", "2", "--no-nodes", *SMALL], None),
            "bench": (["bench", "ops", "--list"], None),
        }

    def outcome(self, words, name, **options):
        made = self.out / name if name else None
        if made and words[-1] not in ("-o", "--html"):
            words = [*words, "-o"]
        result = run(*words, *([made] if made else []), **options)
        data = made.read_bytes() if made and made.exists() else b""
        if made and made.exists():
            made.unlink()
        return result, data

    def test_every_command(self):
        for command_name, (words, name) in self.commands().items():
            usual, made = self.outcome(words, name)
            self.assertEqual(usual.returncode, 0, usual.stderr)
            for kib, hard in LIMITS:
                with self.subTest(f"{command_name}, {kib} KiB, {'hard' if hard else 'soft'}"):
                    result, data = self.outcome(words, name, preexec_fn=stack(kib, hard))
                    self.assertEqual(result.returncode, 0, result.stderr)
                    self.assertEqual(data, made)

    def long_run(self):
        return [ZOETROPE, "generate", "x", "--model", MODEL, *PLACE, *SMALL[:-1], "5000", "-o", str(self.out / "o.y4m")]

    def test_signals_are_heard(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            process = subprocess.Popen(self.long_run(), stderr=subprocess.PIPE, preexec_fn=stack(64))
            while b"load dit" not in process.stderr.readline():
                self.assertIsNone(process.poll())  # the output is open, and has no name yet
            process.send_signal(number)
            process.communicate(timeout=60 * command.PATIENCE)
            self.assertEqual(process.returncode, 130)
            self.check_empty()

    def test_without_room_for_a_thread_it_is_an_error(self):
        refused = 0
        for mib in range(24, 60, 2):
            def limit(mib=mib):
                stack(64)()
                resource.setrlimit(resource.RLIMIT_AS, (mib << 20, mib << 20))

            result = run("inspect", MODEL, preexec_fn=limit)
            self.assertIn(result.returncode, (0, 5, 127), result.stderr)  # 127: the loader's
            refused += b"limit of stacks" in result.stderr
        self.assertGreater(refused, 0)


if __name__ == "__main__":
    command.main()
