#!/usr/bin/env python3
"""The README's block "Your own model", as it stands.

usage: readme_test.py ZOETROPE MODEL.zoe
"""
import os
import re
import shlex
import subprocess
import tempfile
import unittest
from pathlib import Path

from command import MODEL, ZOETROPE, main

ROOT = Path(__file__).parents[2]


class YourOwnModel(unittest.TestCase):
    def test_the_block_runs(self):
        block = re.search(r"## Your own model\n.*?```\n(.*?)```", (ROOT / "README.md").read_text(), re.S)[1]
        lines = [line.split("   #")[0] for line in block.splitlines()]
        self.assertTrue(lines[0].startswith("zoetrope convert "))
        with tempfile.TemporaryDirectory() as folder:
            os.symlink(ROOT / "models", Path(folder) / "models")
            for line in lines:
                words = shlex.split(line)
                self.assertEqual(words[0], "zoetrope", line)
                done = subprocess.run([ZOETROPE, *words[1:]], cwd=folder, capture_output=True, text=True)
                self.assertEqual(done.returncode, 0, (line, done.stderr))
            self.assertEqual({path.name for path in Path(folder).iterdir() if path.is_file()}, {"own.zoe", "own.mp4"})
            self.assertEqual((Path(folder) / "own.zoe").read_bytes(), Path(MODEL).read_bytes())  # the one that comes along


if __name__ == "__main__":
    main()
