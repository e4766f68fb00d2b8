#!/usr/bin/env python3
"""The scripts of bench/peers write what `zoetrope bench` reads. Nothing is downloaded: PyTorch's are tried on the CPU where
it is installed, programs of others are played by a script.

usage: peers_test.py PATH_OF_ZOETROPE
"""
import importlib.util
import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ZOETROPE = sys.argv.pop(1)
PEERS = Path(__file__).resolve().parents[2] / "bench" / "peers"
sys.path.insert(0, str(PEERS))
sys.dont_write_bytecode = True
import schema  # noqa: E402

HAS_TORCH = importlib.util.find_spec("torch") is not None
HAS_DIFFUSERS = HAS_TORCH and importlib.util.find_spec("diffusers") is not None

# What sd-cli's log looks like, and ed-cli's last line; a second a step and three to begin with.
STUB = """#!/usr/bin/env python3
import sys
a = sys.argv
if "--fail" in a:
    sys.exit("no such model")
steps = int(a[a.index("--steps") + 1])
if "-W" in a:
    assert a[a.index("--video-frames") + 1] == "33" and a[a.index("-W") + 1] == "832"
    print(f"[INFO ] stable-diffusion.cpp:1466 - sampling completed, taking {steps * 0.5:.2f}s")
    print("[INFO ] stable-diffusion.cpp:1490 - decode_first_stage completed, taking 1.25s")
else:
    assert a[a.index("--frames") + 1] == "33" and a[a.index("--width") + 1] == "832"
    print(f"[ED_WALL] load=900ms gen={3000 + 1000 * steps}ms save=7ms free=1ms (sum=9ms)")
"""


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.out = Path(self.folder.name)

    def tearDown(self):
        self.folder.cleanup()

    def run_command(self, *args, code=0):
        done = subprocess.run([str(a) for a in args], capture_output=True, text=True, timeout=280, check=False)
        self.assertEqual(done.returncode, code, done.stderr)
        return done

    def peer(self, name, *args, code=0):
        file = self.out / "peer.json"
        self.run_command(sys.executable, PEERS / name, "--json", file, *args, code=code)
        shown = self.run_command(ZOETROPE, "bench", "--from", file)  # reads it strictly
        return json.loads(file.read_text()), shown.stdout

    def cases(self, *args):
        file = self.out / "cases.json"
        self.run_command(ZOETROPE, "bench", *args, "--devices", "cpu", "--list", "--quiet", "--json", file)
        return file


class Schema(Case):
    def test_spreads_are_those_of_ours(self):
        s = schema.spread([10, 1, 3, 2, 4])
        self.assertEqual((s["median"], s["mad"], s["least"], s["samples"]), (3, 1, 1, 5))
        self.assertAlmostEqual(s["p10"], 1.4)
        self.assertAlmostEqual(s["p90"], 7.6)

    def test_a_report_is_read_by_ours_and_stands_beside_it(self):
        ours = json.loads(self.cases("ops", "--quick", "--filter", "softmax").read_text())
        row = next(r for r in ours["rows"] if r["program"] == "zoetrope")
        row["seconds"] = {"median": 0.5, "samples": 3}
        (self.out / "ours.json").write_text(json.dumps(ours))
        report = schema.Report("stub", "1")
        report.device("cpu", "a machine")
        report.row("op", row["name"], device="cpu", dtype=row["dtype"], samples=[1.0, 1.0, 1.5])
        report.row("op", "another", device="cpu", dtype="f32", error=RuntimeError("no kernel\nand more"))
        report.write(str(self.out / "stub.json"))
        shown = self.run_command(ZOETROPE, "bench", "--from", self.out / "ours.json", "--beside", self.out / "stub.json")
        self.assertIn("stub 2.00x", shown.stdout)
        self.assertEqual(json.loads((self.out / "stub.json").read_text())["rows"][1]["error"], "no kernel")


class Commands(Case):
    def setUp(self):
        super().setUp()
        self.stub = self.out / "stub"
        self.stub.write_text(STUB)
        self.stub.chmod(0o755)

    def rows(self, script, *args, code=0):
        report, _ = self.peer(script, "--program", self.stub, "--model-name", "wan2.1-1.3b", "--runs", "2", *args, code=code)
        return {r["name"].removeprefix("wan2.1-1.3b 832x480x33: "): r for r in report["rows"]}

    def test_stable_diffusion_cpp(self):
        rows = self.rows("stable_diffusion_cpp.py", "--steps", "4")
        self.assertEqual(set(rows), {"whole, 4 steps", "a step", "decode and write"})
        self.assertAlmostEqual(rows["a step"]["seconds"]["median"], 0.5)
        self.assertAlmostEqual(rows["decode and write"]["seconds"]["median"], 1.25)

    def test_edge_dit_cpp(self):
        rows = self.rows("edge_dit_cpp.py", "--steps", "4")
        self.assertAlmostEqual(rows["whole, 4 steps"]["seconds"]["median"], 7)
        self.assertAlmostEqual(rows["a step"]["seconds"]["median"], 1)

    def test_a_program_that_fails_is_an_error_of_its_row(self):
        rows = self.rows("stable_diffusion_cpp.py", "--", "--fail", code=1)
        self.assertIn("no such model", rows["whole, 10 steps"]["error"])
        self.stub.unlink()
        self.assertIn("error", self.rows("edge_dit_cpp.py", code=1)["whole, 10 steps"])


@unittest.skipUnless(HAS_TORCH, "PyTorch is not installed")
class Torch(Case):
    def test_ops(self):
        cases = self.cases("ops", "--quick", "--filter", "matmul 128,attention 1x128,softmax,fused_conv 1x4,layer_norm,gather")
        report, _ = self.peer("torch_ops.py", "--cases", cases, "--device", "cpu", "--runs", "3", "--attention", "math")
        by = {(r["op"] if "op" in r else r["name"].split()[0], r["program"]): r for r in report["rows"]}
        for op in ("matmul", "scaled_dot_product_attention", "softmax", "fused_conv", "layer_norm"):
            self.assertEqual(by[op, "pytorch"]["seconds"]["samples"], 3, by[op, "pytorch"])
        self.assertIn("seconds", by["scaled_dot_product_attention", "pytorch-math"])
        self.assertIn("skipped", by["gather", "pytorch"])

    def test_networks(self):
        cases = self.cases("model", "--models", "wan2.1-1.3b,dit-xl-2,toybox-dit", "--tokens", "64", "--dtypes", "f32")
        report, _ = self.peer("torch_models.py", "--cases", cases, "--device", "cpu", "--runs", "2", "--layers", "1", "--eager",
                              "--attention", "any", "--dtypes", "f32")
        by = {r["name"].split()[0]: r for r in report["rows"]}
        for name in ("wan2.1-1.3b", "dit-xl-2"):
            self.assertEqual(by[name]["seconds"]["samples"], 2, by[name])
        self.assertIn("not one of", by["toybox-dit"]["skipped"])

    @unittest.skipUnless(HAS_DIFFUSERS, "diffusers is not installed")
    def test_pipelines(self):
        report, _ = self.peer("diffusers_pipelines.py", "wan", "--device", "cpu", "--runs", "1", "--dtype", "f32", "--width", "32",
                              "--height", "32", "--frames", "1", "--layers", "1")
        self.assertEqual([r["name"] for r in report["rows"] if "seconds" in r],
                         ["wan2.1-1.3b 32x32x1: a step", "wan2.1-1.3b 32x32x1: decode and write"])


if __name__ == "__main__":
    for what, there in (("PyTorch", HAS_TORCH), ("diffusers", HAS_DIFFUSERS)):
        if not there:
            print(f"SKIPPED bench_peers_test: {what} is not installed")
    unittest.main()
