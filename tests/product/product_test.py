#!/usr/bin/env python3
"""What a person gets works from any folder, and goes away without a trace.

usage: product_test.py SOURCE_FOLDER BUILD_FOLDER CLASS
"""
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SOURCE, BUILD = map(Path, sys.argv[1:3])
MODEL = (BUILD / "share/zoetrope/toybox.zoe").exists()


def call(*args, **options):
    return subprocess.run([str(a) for a in args], capture_output=True, text=True, **options)


class Product(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="zoetrope product ")  # a space in every path
        self.root = Path(self.folder.name)
        self.empty = self.root / "empty"
        self.empty.mkdir()

    def tearDown(self):
        self.folder.cleanup()

    def ok(self, *args, **options):
        result = call(*args, **options)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        return result.stdout + result.stderr

    def clip(self, command):
        """A clip with sound through FFmpeg's libraries, in an empty folder with an empty environment."""
        self.assertIn("cpu", self.ok(command, "devices", cwd=self.empty, env={}))
        if not MODEL:
            return
        self.ok(command, "generate", "a red ball bounces up and down", "--frames", "8", "--steps", "1", "--width",
                "64", "--height", "64", "-o", "clip.mp4", "-o", "clip.webm", cwd=self.empty, env={})
        for name in ("clip.mp4", "clip.webm"):
            streams = self.ok("ffprobe", "-v", "error", "-show_entries", "stream=codec_type", "-of", "csv=p=0",
                              self.empty / name)
            self.assertEqual(sorted(streams.split()), ["audio", "video"])
            (self.empty / name).unlink()


class Install(Product):
    def install(self, prefix):
        return self.ok(SOURCE / "scripts/install.sh", BUILD, prefix, cwd=self.empty)

    def test_it_runs_where_it_is_put_moved_to_and_linked_from(self):
        self.install(self.root / "a")
        self.clip(self.root / "a/bin/zoetrope")
        libraries = self.ok("ldd", self.root / "a/bin/zoetrope", env={})
        self.assertIn(f"{self.root}/a/bin/../lib/zoetrope/libzoetrope_core.so", libraries)
        self.assertNotIn(str(BUILD), libraries)
        (self.root / "a").rename(self.root / "b")
        self.clip(self.root / "b/bin/zoetrope")
        (self.root / "link").symlink_to(self.root / "b/bin/zoetrope")
        self.clip(self.root / "link")

    def test_a_program_is_built_against_what_is_installed(self):
        if not MODEL or shutil.which("pkg-config") is None or shutil.which("cc") is None:
            self.skipTest("no model, pkg-config or C compiler")
        self.install(self.root / "usr")
        (self.root / "usr").rename(self.root / "moved")  # pkg-config's file moves along
        moved = self.root / "moved"
        environment = {**os.environ, "PKG_CONFIG_PATH": str(moved / "lib/pkgconfig")}
        flags = self.ok("pkg-config", "--cflags", "--libs", "zoetrope", env=environment)
        self.ok("cc", "-std=c99", SOURCE / "examples/clip.c", *shlex.split(flags), "-o", self.root / "clip")
        out = self.root / "clip.rgb"
        self.ok(self.root / "clip", moved / "share/zoetrope/toybox.zoe", "a red ball", out, cwd=self.empty,
                env={"LD_LIBRARY_PATH": str(moved / "lib")})
        self.assertEqual(out.stat().st_size, 8 * 64 * 64 * 3)

    def test_removing_leaves_what_others_put_there(self):
        prefix = self.root / "usr"
        (prefix / "bin").mkdir(parents=True)
        (prefix / "bin/mine").write_text("mine")
        self.install(prefix)
        self.ok(SOURCE / "scripts/install.sh", "--remove", prefix)
        self.assertEqual([p for p in prefix.rglob("*") if p.is_file()], [prefix / "bin/mine"])
        self.assertEqual([p.name for p in prefix.iterdir()], ["bin"])

    def test_a_newer_version_takes_the_old_ones_files_away(self):
        self.install(self.root)
        listed = self.root / "share/zoetrope/installed"
        old = self.root / "lib/zoetrope/old/libzoetrope_old.so"
        old.parent.mkdir()
        old.write_text("old")
        listed.write_text(listed.read_text() + "lib/zoetrope/old/libzoetrope_old.so\n")
        self.install(self.root)
        self.assertFalse(old.parent.exists())
        self.assertNotIn("old", listed.read_text())
        self.clip(self.root / "bin/zoetrope")

    def test_what_cannot_work_is_said(self):
        (self.root / "file").write_text("")
        for args, words in (((BUILD, self.root / "file/usr"), "cannot write"),
                            ((self.empty, self.root / "x"), "no build folder"),
                            (("--remove", self.empty), "nothing of Zoetrope is installed")):
            result = call(SOURCE / "scripts/install.sh", *args)
            self.assertEqual(result.returncode, 1)
            self.assertIn(words, result.stderr)
        evil = self.root / "evil/share/zoetrope"
        evil.mkdir(parents=True)
        (evil / "installed").write_text("../file\n")
        self.assertEqual(call(SOURCE / "scripts/install.sh", "--remove", self.root / "evil").returncode, 1)
        self.assertTrue((self.root / "file").exists())


class Package(Product):
    def test_the_folder_holds_all_but_glibc(self):
        if shutil.which("patchelf") is None:
            self.skipTest("patchelf is not installed")
        said = self.ok(SOURCE / "scripts/package.sh", BUILD, self.root / "package")
        self.assertIn("needs glibc", said)
        self.clip(self.root / "package/bin/zoetrope")
        licences = os.listdir(self.root / "package/share/licences")
        self.assertIn("README", licences)
        self.assertNotIn("UNKNOWN", licences)


if __name__ == "__main__":
    chosen = unittest.main(argv=sys.argv[:1] + sys.argv[3:], exit=False).result
    for test, reason in chosen.skipped:
        print(f"SKIPPED {test.id()}: {reason}")
    sys.exit(1 if not chosen.wasSuccessful() else 77 if len(chosen.skipped) == chosen.testsRun else 0)
