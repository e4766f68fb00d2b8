#!/usr/bin/env python3
"""The command as a person meets it: exit codes, messages, and nothing half-written.

usage: cli_test.py PATH_OF_ZOETROPE MODEL.zoe
"""
import json
import resource
import shutil
import signal
import subprocess
import time
from pathlib import Path

import command
from command import MODEL, PATIENCE, SMALL, ZOETROPE, run

ROOT = Path(__file__).parents[2]


class Cli(command.Case):
    def generate(self, prompt, output, *more, **options):
        return run("generate", prompt, "--model", MODEL, "-o", self.out / output, *SMALL, *more, **options)

    # Help and listings

    def test_help_teaches(self):
        for command in ("generate", "plan", "inspect", "convert", "run"):
            result = run(command, "--help")
            self.check(result, 0)
            self.assertIn(b"Examples", result.stdout)
        self.assertIn(b"Exit codes", run("--help").stdout)

    def test_bad_usage_is_2(self):
        self.check(run("generate"), 2)
        self.check(run("frobnicate"), 2)
        self.check(self.generate("x", "a.png", "--steps", "-3"), 2)
        self.check(self.generate("x", "a.png", "--solver", "magic"), 2)
        self.check(self.generate("x", "a.xyz"), 2, "a.xyz", ".mp4")
        self.check_empty()

    def test_json_is_json(self):
        devices = json.loads(run("devices", "--json").stdout)
        self.assertTrue(any(d["backend"] == "cpu" and d["available"] for d in devices))
        info = json.loads(run("inspect", MODEL, "--json").stdout)
        self.assertIn("dit", [c["name"] for c in info["components"]])
        plan = json.loads(run("plan", "--model", MODEL, "--json").stdout)
        self.assertGreater(plan["peak_bytes"], 0)
        result = self.generate("a red ball", "a.png", "--json")
        self.check(result, 0)
        stats = json.loads(result.stdout)
        self.assertLess(abs(stats["session_peak_bytes"] - stats["planned_peak_bytes"]),
                        0.01 * stats["planned_peak_bytes"])

    # Devices and sizes

    def test_unknown_devices(self):
        self.check(self.generate("x", "a.png", "--device", "abacus"), 2, "abacus", "cpu")
        self.check(self.generate("x", "a.png", "--device", "cpu:7"), 4, "cpu:7")
        self.check_empty()

    def test_absurd_sizes_name_the_nearest(self):
        for flags in (["--width", "1000000000"], ["--height", "100"], ["--frames", "100000"]):
            result = run("generate", "x", "--model", MODEL, "-o", self.out / "a.png", *flags)
            self.check(result, 2, "nearest")
        self.check(run("generate", "x", "--model", MODEL, "-o", self.out / "a.png", "--seconds", "1e9"), 2)
        self.check_empty()

    def test_a_budget_is_kept_up_front(self):
        # Weights are streamed and decoding takes shorter tiles before a clip is refused.
        self.check(run("plan", "--model", MODEL, "--seconds", "4", "--memory", "40M"), 0)
        self.check(run("plan", "--model", MODEL, "--seconds", "4", "--memory", "30M"), 5, "would fit")
        self.check(run("plan", "--model", MODEL, "--memory", "lots"), 2, "--memory")

    # Models

    def test_damaged_models(self):
        data = Path(MODEL).read_bytes()
        for name, bad in (("cut.zoe", data[: len(data) // 2]), ("empty.zoe", b""),
                          ("short.zoe", data[:40]), ("text.zoe", b"hello, world\n" * 100),
                          ("flipped.zoe", data[:200] + bytes([data[200] ^ 255]) + data[201:])):
            path = self.out / name
            path.write_bytes(bad)
            self.check(run("inspect", path), 3, name)
            self.check(run("generate", "x", "--model", path, "-o", self.out / "a.png"), 3, name)
        damaged = bytearray(data)
        damaged[-100] ^= 255
        (self.out / "tail.zoe").write_bytes(damaged)
        self.check(run("inspect", self.out / "tail.zoe", "--verify"), 3, "hash")
        self.check(run("inspect", self.out / "missing.zoe"), 3, "missing.zoe")
        self.check(run("inspect", self.out), 2, "regular file")
        self.assertFalse((self.out / "a.png").exists())

    def test_bad_checkpoints(self):
        bad = self.out / "bad.safetensors"
        for data in (b"", b"\xff" * 64, b"\x10\0\0\0\0\0\0\0{}"):
            bad.write_bytes(data)
            self.check(run("convert", bad, "-o", self.out / "x.zoe"), 3, "bad.safetensors")
        bad.write_bytes(b"\x02\0\0\0\0\0\0\0{}")  # well formed, and empty
        self.check(run("convert", bad, "-o", self.out / "x.zoe"), 2, "bad.safetensors", "--family")
        self.check(run("convert", "synthetic:nothing", "-o", self.out / "x.zoe"), 3, "known")
        self.assertFalse((self.out / "x.zoe").exists())

    def test_what_a_folder_says_of_distilling_may_be_denied(self):
        """FastWan's says it by its pipeline's name."""
        data, folder, model = ROOT / "tests" / "parity" / "data" / "wan", self.out / "in", self.out / "m.zoe"
        for name, saved in (("transformer", "t2v"), ("vae", "vae_2_1"), ("text_encoder", "umt5"),
                            ("tokenizer", "original/google/umt5-xxl")):
            shutil.copytree(data / saved, folder / name)
        (folder / "model_index.json").write_text(json.dumps({
            "_class_name": "WanDMDPipeline", "_diffusers_version": "0.42.1",
            **{name: ["diffusers", "Class"] for name in ("transformer", "vae", "text_encoder", "tokenizer")}}))
        solvers = []
        for flags in ((), ("--no-distilled",)):
            self.check(run("convert", folder, *flags, "-q", "-o", model), 0)
            solvers.append(b'"dmd"' in model.read_bytes())  # the recipe is JSON
            model.unlink()
        self.assertEqual(solvers, [True, False])
        plain = ROOT / "tests" / "format" / "data" / "dit_diffusers"
        for flag in ("--distilled", "--no-distilled"):
            self.check(run("convert", plain, flag, "-o", model), 2, f"argument: {flag}")
        self.assertFalse(model.exists())

    # Prompts

    def test_prompts_of_every_kind(self):
        self.check(self.generate("", "a.png"), 0)
        self.check(self.generate("x" * 100_000, "b.png"), 0, "100000 bytes")
        self.check(self.generate("a purple dragon", "c.png"), 0, "dragon")
        result = run("generate", b"\xff\xfe\xfd".decode("utf-8", "surrogateescape"), "--model", MODEL,
                     "-o", self.out / "d.png", *SMALL)
        self.check(result, 2, "UTF-8")

    # Results

    def test_the_same_seed_gives_the_same_files(self):
        first = None
        for threads in (1, 2, 3):
            self.check(self.generate("a red star", "%d.png", "-o", self.out / "s.wav", "--threads", threads), 0)
            files = {p.name: p.read_bytes() for p in self.out.iterdir()}
            self.assertEqual(len(files), 9)
            first = first or files
            self.assertEqual(files, first)
        self.check(self.generate("a red star", "%d.png", "--seed", "1"), 0)
        self.assertNotEqual((self.out / "1.png").read_bytes(), first["1.png"])

    def test_unwritable_paths(self):
        self.check(self.generate("x", "no/such/folder/a.wav"), 3, "no/such/folder")
        (self.out / "folder.wav").mkdir()
        self.assertIn(self.generate("x", "folder.wav").returncode, (3,))
        self.assertEqual([p.name for p in self.out.iterdir()], ["folder.wav"])

    def test_a_full_disk_leaves_nothing(self):
        def small_files():
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

        for name in ("a.wav", "a.y4m", "a.png"):
            result = self.generate("x", name, preexec_fn=small_files)
            self.check(result, 5, name.split(".")[0])
            self.check_empty()
        self.check(run("convert", "synthetic:dit-s-8", "-o", self.out / "m.zoe", preexec_fn=small_files), 5)
        self.check_empty()

    def test_ctrl_c_leaves_nothing(self):
        process = subprocess.Popen(
            [ZOETROPE, "generate", "x", "--model", MODEL, "--steps", "5000", "-o", self.out / "a.wav",
             "-o", self.out / "a.y4m"], stderr=subprocess.PIPE)
        time.sleep(1.5)
        process.send_signal(signal.SIGINT)
        _, text = process.communicate(timeout=60 * PATIENCE)
        self.assertEqual(process.returncode, 130, text)
        self.check_empty()


if __name__ == "__main__":
    command.main()
