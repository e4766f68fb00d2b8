#!/usr/bin/env python3
"""Devices as a person meets them: which there are, why others are not, and how a run ends when one fails.

usage: devices_test.py PATH_OF_ZOETROPE MODEL.zoe
"""
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import command
from command import MODEL, PATIENCE, SMALL, ZOETROPE

NO_CUDA = {"CUDA_VISIBLE_DEVICES": "-1"}
NO_VULKAN = {"VK_DRIVER_FILES": "/nonexistent", "VK_ICD_FILENAMES": "/nonexistent"}
# Compiled shaders, shared by all tests here and by nobody else.
SHADERS = tempfile.TemporaryDirectory()


def environment(**more):
    return {**os.environ, "MESA_SHADER_CACHE_DIR": SHADERS.name, **more}


def run(*args, **more):
    return command.run(*args, timeout=300, env=environment(**more))


def devices(backend, **more):
    found = json.loads(run("devices", "--json", **more).stdout)
    return [d for d in found if d["backend"] == backend]


class Base(command.Case):
    def generate(self, device, output, *flags, **more):
        return run("generate", "a red ball", "--model", MODEL, "--device", device, "-o", self.out / output, *SMALL,
                   *flags, **more)


class Missing(Base):
    def check_missing(self, backend, *words, **more):
        (entry,) = devices(backend, **more)
        self.assertFalse(entry["available"])
        for word in words:
            self.assertIn(word, entry["reason"])
        self.check(self.generate(backend, "a.wav", **more), 4, *words)
        self.check_empty()

    def test_every_backend_is_there_or_says_why(self):
        for backend in ("cuda", "vulkan", "cpu", "reference"):
            for entry in devices(backend):
                self.assertTrue(entry["available"] or entry["reason"], entry)
            self.assertTrue(devices(backend), backend)

    def test_no_device_for_cuda(self):
        self.check_missing("cuda", **NO_CUDA)

    def test_no_driver_for_vulkan(self):
        if "not part" in str(devices("vulkan")):
            self.skipTest("built without Vulkan")
        self.check_missing("vulkan", "no driver is installed", **NO_VULKAN)

    def test_no_loader_for_vulkan(self):
        if "not part" in str(devices("vulkan")):
            self.skipTest("built without Vulkan")
        broken = self.out / "lib"
        broken.mkdir()
        for name in ("libvulkan.so.1", "libvulkan.so"):
            (broken / name).write_text("no library")
        (entry,) = devices("vulkan", LD_LIBRARY_PATH=str(broken))
        self.assertIn("no Vulkan loader", entry["reason"])

    def test_the_cpu_is_taken_when_there_is_nothing_else(self):
        self.check(self.generate("auto", "a.wav", **NO_CUDA, **NO_VULKAN), 0)
        self.assertTrue((self.out / "a.wav").exists())


class Names(Base):
    """Two devices of the same name: Mesa's software driver, told of twice."""

    def setUp(self):
        super().setUp()
        manifest = next(iter(Path("/usr/share/vulkan/icd.d").glob("lvp_icd*.json")), None)
        if manifest is None:
            self.skipTest("no software driver for Vulkan")
        for name in ("one.json", "two.json"):
            shutil.copy(manifest, self.out / name)
        drivers = f"{self.out}/one.json:{self.out}/two.json"
        self.more = {"VK_DRIVER_FILES": drivers, "VK_ICD_FILENAMES": drivers}
        if len([d for d in devices("vulkan", **self.more) if d["available"]]) != 2:
            self.skipTest("the driver does not come twice")

    def plan(self, device):
        return run("plan", "--model", MODEL, "--device", device, **self.more)

    def test_by_number(self):
        self.check(self.plan("vulkan:0"), 0)
        self.check(self.plan("vulkan:1"), 0)
        self.check(self.plan("vulkan:2"), 4, "vulkan:2", "no such number", "0 llvmpipe", "1 llvmpipe")

    def test_by_name(self):
        self.check(self.plan("vulkan:LLVMpipe"), 2, "2 have 'LLVMpipe'", "0 llvmpipe", "1 llvmpipe")
        self.check(self.plan("vulkan:radeon"), 2, "0 have 'radeon'", "0 llvmpipe")
        self.check(self.plan("vulkan:"), 2, "expected an index")


class Vulkan(Base):
    def setUp(self):
        super().setUp()
        if not any(d["available"] for d in devices("vulkan")):
            self.skipTest("no Vulkan device")

    def test_features_can_be_switched_off(self):
        def features(*target):
            listed = json.loads(run("devices", "--json", *target).stdout)
            return set(next(d for d in listed if d["backend"] == "vulkan")["features"])

        everything = features()
        for words, gone in (("baseline", "(buffer|int64|storage|subgroup_a|f16|integer|sparse|cooperative|packed).*"),
                            ("no-f16", "f16|(cooperative|packed).*"),
                            ("no-coopmat", "(cooperative|packed).*"), ("no-packed", "packed_weights"),
                            ("no-bf16-coopmat", "cooperative_matrix_bf16.*"),
                            ("no-i8-coopmat", "cooperative_matrix_i8.*"), ("no-coopmat2", "cooperative_matrix2.*"),
                            ("no-coopmat2-rows", "cooperative_matrix2_reductions"), ("no-dot", "integer_dot"),
                            ("no-sparse", "sparse"), ("no-timestamps", "timestamps"),
                            ("no-nearest-half", "f16_packing")):
            with self.subTest(words):
                self.assertEqual(features("--target", words), {f for f in everything if not re.fullmatch(gone, f)})
        self.check(self.generate("vulkan", "a.wav", "--target", "no-such,no-f16"), 2, "'no-such'", "no-coopmat2")
        self.check(self.generate("vulkan", "a.wav", "--target", "window=5000"), 2, "'window=5000'", "powers of two")

    def test_out_of_memory_says_how_much(self):
        # Before anything is allocated; and where the plan was told that there is more.
        flags = ["--model", MODEL, "--device", "vulkan", "--target", "memory=25000000"]
        self.check(run("plan", *flags), 5, "needs", "the device has 23.84 MiB", "would fit")
        self.check(run("generate", "x", *flags, "--memory", "8GiB", "-o", self.out / "a.wav"), 5, "allocating",
                   "has 25000000 bytes")
        self.check_empty()

    def test_a_lost_device_is_named(self):
        for after in (1, 10):
            self.check(self.generate("vulkan", "a.wav", "--target", f"lose={after}"), 4, "device was lost",
                       "--device cpu")
        self.check_empty()
        self.check(self.generate("cpu", "a.wav"), 0)

    def test_ctrl_c_leaves_nothing(self):
        for when in ("while shaders are compiled", "while denoising"):
            arguments = ["generate", "x", "--model", MODEL, "--device", "vulkan", "--steps", "5000", "--width", "64",
                         "--height", "64", "--frames", "8", "-o", self.out / "a.wav", "-o", self.out / "a.y4m"]
            with subprocess.Popen([ZOETROPE, *map(str, arguments)], stderr=subprocess.PIPE, env=environment()) as process:
                seen = b"text_encoder" if when == "while shaders are compiled" else b"load dit"
                for line in process.stderr:
                    if seen in line:
                        break
                process.send_signal(signal.SIGINT)
                _, text = process.communicate(timeout=60 * PATIENCE)
                self.assertEqual(process.returncode, 130, (when, text))
            self.check_empty()

    def test_a_damaged_pipeline_cache_is_as_good_as_none(self):
        cache = self.out / "cache"
        more = {"XDG_CACHE_HOME": str(cache)}
        self.check(self.generate("vulkan", "first.wav", **more), 0)
        (file,) = (cache / "zoetrope").glob("vulkan-*.bin")
        good = file.read_bytes()
        for bad in (b"", b"text", good[: len(good) // 2], bytes(len(good)), bytes(b ^ 255 for b in good),
                    good + good, good[:-1] + bytes([good[-1] ^ 1])):
            file.write_bytes(bad)
            self.check(run("plan", "--model", MODEL, "--device", "vulkan", **more), 0)
        self.check(self.generate("vulkan", "second.wav", **more), 0)
        self.assertEqual((self.out / "first.wav").read_bytes(), (self.out / "second.wav").read_bytes())
        file.unlink()
        file.mkdir()
        self.check(self.generate("vulkan", "third.wav", **more), 0)
        self.assertEqual([p.name for p in (cache / "zoetrope").iterdir()], [file.name])

    def test_processes_share_a_pipeline_cache(self):
        cache = self.out / "cache"
        arguments = ["generate", "a red ball", "--model", MODEL, "--device", "vulkan", *SMALL, "-o"]
        both = [subprocess.Popen([ZOETROPE, *map(str, arguments), str(self.out / name)], stderr=subprocess.PIPE,
                                 env=environment(XDG_CACHE_HOME=str(cache))) for name in ("a.wav", "b.wav")]
        for process in both:
            _, text = process.communicate(timeout=300 * PATIENCE)
            self.assertEqual(process.returncode, 0, text)
        self.assertEqual((self.out / "a.wav").read_bytes(), (self.out / "b.wav").read_bytes())
        self.assertEqual(len(list((cache / "zoetrope").iterdir())), 1)


if __name__ == "__main__":
    command.main()
