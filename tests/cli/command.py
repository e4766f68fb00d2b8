"""The command under test, and what its tests share. A test file ends with `command.main()`.

usage: NAME_test.py PATH_OF_ZOETROPE MODEL.zoe [TEST...]
"""
import os
import resource
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ZOETROPE, MODEL = sys.argv[1:3]
SMALL = ["--width", "64", "--height", "64", "--frames", "8", "--steps", "1"]
# Every limit of time is multiplied by it: tests/patience.h.
PATIENCE = int(os.environ.get("ZOETROPE_PATIENCE", 1))


def run(*args, timeout=120, **options):
    return subprocess.run([ZOETROPE, *map(str, args)], capture_output=True, timeout=timeout * PATIENCE, **options)


def limited(kind, value):
    return lambda: resource.setrlimit(kind, (value, value))


def address_space_can_be_limited():
    """Not under AddressSanitizer, which reserves terabytes."""
    return run("--version", preexec_fn=limited(resource.RLIMIT_AS, 1 << 32)).returncode == 0


class Case(unittest.TestCase):
    """Has a folder of its own, self.out."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.out = Path(self.folder.name)

    def tearDown(self):
        self.folder.cleanup()

    def check(self, result, code, *words):
        text = result.stderr.decode(errors="replace")
        self.assertEqual(result.returncode, code, text)
        for word in words:
            self.assertIn(word, text)

    def check_empty(self):
        self.assertEqual(sorted(p.name for p in self.out.iterdir()), [])


def main():
    """Ends as tests/skip.h says: 77 where nothing could run here; else what could not is listed."""
    result = unittest.main(argv=sys.argv[:1] + sys.argv[3:], exit=False).result
    for test, reason in result.skipped:
        print(f"SKIPPED {test.id()}: {reason}")
    if result.testsRun == 0:
        print("FAILED: no test has such a name")
        sys.exit(1)
    sys.exit(1 if not result.wasSuccessful() else 77 if len(result.skipped) == result.testsRun else 0)
