#!/usr/bin/env python3
"""Machines that are short of memory, threads, handles: an error with code 5, never a signal, nothing left behind.

usage: limits_test.py PATH_OF_ZOETROPE MODEL.zoe
"""
import fcntl
import json
import os
import pty
import resource
import signal
import struct
import subprocess
import termios
import time
import unittest
from pathlib import Path

import command
from command import MODEL, SMALL, ZOETROPE, address_space_can_be_limited, limited, run


class Limits(command.Case):
    def check_short(self, result, *codes):
        self.assertIn(result.returncode, codes, result.stderr)
        self.assertEqual([p.name for p in self.out.iterdir() if p.name.startswith(".")], [])
        if result.returncode:
            self.check_empty()
        for path in self.out.iterdir():
            path.unlink()

    @unittest.skipUnless(address_space_can_be_limited(), "a sanitizer needs all of it")
    def test_address_space(self):
        for name in ("o.y4m", "o.mp4"):
            for mib in (*range(40, 120, 3), *range(120, 400, 20)):
                with self.subTest(f"{name} in {mib} MiB"):
                    result = run("generate", "x", "--model", MODEL, "--device", "cpu", "--threads", "2", *SMALL, "-o",
                                 self.out / name, preexec_fn=limited(resource.RLIMIT_AS, mib << 20))
                    # 127: the loader itself, before there is a program
                    self.check_short(result, 0, 5, *([127] if mib < 60 else []))
        result = run("generate", "x", "--model", MODEL, "--device", "cpu", "--threads", "256", *SMALL, "-o",
                     self.out / "o.y4m", preexec_fn=limited(resource.RLIMIT_AS, 600 << 20))
        self.check_short(result, 5)

    @unittest.skipUnless(address_space_can_be_limited(), "a sanitizer needs all of it")
    def test_drivers_short_of_addresses(self):
        """They crash, in threads of their own, too, and hand out memory that they were refused."""
        devices = json.loads(run("devices", "--json").stdout)
        if not any(entry["backend"] == "vulkan" and entry["available"] for entry in devices):
            self.skipTest("no Vulkan device")
        for mib in range(70, 1000, 45):
            with self.subTest(f"{mib} MiB"):
                result = run("generate", "x", "--model", MODEL, "--device", "vulkan", *SMALL, "-o", self.out / "o.y4m",
                             preexec_fn=limited(resource.RLIMIT_AS, mib << 20))
                self.check_short(result, 0, 5)

    def test_file_handles(self):
        for handles in range(3, 24):
            with self.subTest(handles):
                result = run("generate", "x", "--model", MODEL, "--device", "cpu", *SMALL, "-o", self.out / "o.png",
                             preexec_fn=limited(resource.RLIMIT_NOFILE, handles))
                self.check_short(result, 0, 3, 4, 5, 127)

    def test_cpu_time(self):
        """At its soft limit: no answer, and nothing half written."""
        process = subprocess.Popen(
            [ZOETROPE, "generate", "x", "--model", MODEL, "--device", "cpu", *SMALL[:-1], "2000", "-o",
             str(self.out / "o.y4m")], stderr=subprocess.PIPE)
        text = b""
        while b"load dit" not in text:  # the output is open, and has no name yet
            line = process.stderr.readline()
            self.assertTrue(line, text)
            text += line
        process.send_signal(signal.SIGXCPU)
        text += process.communicate(timeout=60 * command.PATIENCE)[1]
        self.assertEqual(process.returncode, 5, text)
        self.assertIn(b"CPU time", text)
        self.check_empty()

    def test_standard_input_that_is_closed(self):
        result = run("generate", "-", "--model", MODEL, "--device", "cpu", *SMALL, "-o", self.out / "o.y4m",
                     preexec_fn=lambda: os.close(0))
        self.check(result, 3, "cannot read the prompt from standard input")
        self.check_empty()

    def test_a_model_that_shrinks_while_it_is_read(self):
        model = self.out / "m.zoe"
        model.write_bytes(Path(MODEL).read_bytes())
        process = subprocess.Popen([ZOETROPE, "generate", "x", "--model", model, "--device", "cpu", "--width", "64",
                                    "--height", "64", "--steps", "100", "-o", self.out / "o.y4m"],
                                   stderr=subprocess.DEVNULL)
        time.sleep(0.08)
        os.truncate(model, 0)
        self.assertIn(process.wait(timeout=60), (0, 3))
        self.assertEqual([p.name for p in self.out.iterdir() if p.name.startswith(".")], [])

    def test_progress_fits_any_terminal(self):
        for columns in (20, 40, 80):
            parent, child = pty.openpty()
            fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
            process = subprocess.Popen([ZOETROPE, "generate", "x", "--model", MODEL, *SMALL, "-o", self.out / "o.wav"],
                                       stderr=child)
            os.close(child)
            text = b""
            while True:
                try:
                    part = os.read(parent, 4096)
                except OSError:
                    break
                if not part:
                    break
                text += part
            os.close(parent)
            self.assertEqual(process.wait(timeout=60), 0)
            drawn = [line.split("\x1b[K", 1)[1] for line in text.decode().replace("\n", "\r").split("\r")
                     if "\x1b[K" in line]
            self.assertTrue(any("denoise" in line for line in drawn))
            self.assertTrue(any("decode" in line for line in drawn))
            self.assertLess(max(map(len, drawn)), columns, drawn)


if __name__ == "__main__":
    command.main()
