#!/usr/bin/env python3
"""`zoetrope bench` as a person meets it: tables, files, comparisons, interruption.

usage: bench_command_test.py PATH_OF_ZOETROPE MODEL.zoe
"""
import csv
import json
import re
import shlex
import signal
import subprocess
import time
import unittest
from pathlib import Path

import command
from command import MODEL, ZOETROPE, run

QUICK = ["--quick", "--devices", "cpu"]
ROOT = Path(__file__).resolve().parents[2]


class Bench(command.Case):
    def bench(self, *args, code=0, words=()):
        result = run("bench", *args, timeout=300, cwd=self.out)
        self.check(result, code, *words)
        return result.stdout.decode()

    def measured(self, *args, code=0, words=()):
        """The report of a run."""
        file = self.out / "report.json"
        self.bench(*args, "--json", file, "--quiet", code=code, words=words)
        return json.loads(file.read_text())


class Measures(Bench):
    def test_every_op_has_a_time_on_the_cpu_or_says_that_it_has_no_kernel(self):
        report = self.measured("ops", *QUICK)
        self.assertEqual(report["schema"], "zoetrope-bench/1")
        self.assertTrue(report["complete"])
        ours = [r for r in report["rows"] if r["program"] == "zoetrope"]
        self.assertGreater(len(ours), 60)
        for row in report["rows"]:
            self.assertNotIn("error", row)
            if "seconds" not in row:
                self.assertRegex(row["skipped"], "no kernel|one call would take|needs")
                continue
            s = row["seconds"]
            self.assertEqual(s["samples"], 3, row["name"])
            self.assertTrue(0 < s["least"] <= s["p10"] <= s["median"] <= s["p90"], row["name"])
            if row["program"] == "zoetrope":
                self.assertTrue(row["kernel"], row["name"])
        self.assertGreater(sum("seconds" in r for r in ours), len(ours) * 0.8)
        by_op = {r["op"]["name"] for r in ours}
        self.assertLessEqual({"matmul", "fused_linear", "scaled_dot_product_attention", "fused_conv", "softmax", "gather"}, by_op)
        (device,) = report["devices"]
        self.assertEqual({c["what"] for c in device["ceilings"]}, {"copy", "matmul"})
        self.assertTrue(all(c["rate"] > 0 and c["low"] <= c["rate"] <= c["high"] for c in device["ceilings"]))
        for curve in report["curves"]:
            self.assertEqual([p[0] for p in curve["points"]], [128, 256, 512])
        self.assertIn("attention 12x128", {c["family"] for c in report["curves"]})

    def test_a_network_and_a_pipeline_by_part(self):
        page, table = self.out / "page.html", self.out / "rows.csv"
        report = self.measured("model", "pipeline", *QUICK, "--tokens", "128,256,512", "--limit", "0", "--html", page, "--csv", table)
        models = [r for r in report["rows"] if r["kind"] == "model"]
        self.assertEqual(len(models), 3)
        for row in models:
            self.assertGreater(row["flops"], 1e8)
            self.assertGreaterEqual(row["held_bytes"], 1 << 20)
            self.assertTrue(0 < sum(p["seconds"] for p in row["phases"]))
        self.assertEqual(len({r["tokens"] for r in models}), 3)
        pipeline = {r["name"].split(": ")[1]: r for r in report["rows"] if r["kind"] == "pipeline"}
        self.assertEqual(set(pipeline), {"whole, 2 steps", "load, the first time", "to the first step", "a step", "decode and write"})
        whole = pipeline["whole, 2 steps"]
        self.assertIn("denoise", {p["name"] for p in whole["phases"]})
        self.assertGreater(whole["seconds"]["median"], pipeline["a step"]["seconds"]["median"])
        self.assertTrue(whole["planned_bytes"] > 0 and whole["held_bytes"] > 0)
        text = page.read_text()
        for word in ("<svg", "Cost against tokens", "Where time goes", "Every row"):
            self.assertIn(word, text)
        self.assertNotIn("<script", text)
        with open(table, newline="") as file:
            rows = list(csv.DictReader(file))
        self.assertEqual(len(rows), len(report["rows"]))
        self.assertAlmostEqual(float(rows[0]["median_s"]), report["rows"][0]["seconds"]["median"], delta=1e-8)

    def test_a_target_below_what_a_library_takes_is_no_end(self):
        """Where a library has nothing for a dtype on a processor, that is its row's trouble."""
        report = self.measured("ops", *QUICK, "--target", "avx2", "--dtypes", "bf16,f16", "--limit", "0", "--filter", "matmul 128,fused_conv 1x4")
        ours = [r for r in report["rows"] if r["program"] == "zoetrope"]
        self.assertEqual(len(ours), 4)
        self.assertTrue(all("seconds" in r for r in ours), ours)

    def test_the_table_has_ceilings_rates_and_curves(self):
        text = self.bench("ops", *QUICK, "--filter", "attention,rms_norm")
        for word in ("ceilings measured in this run: copy", "GFLOP/s", "GB/s", "% of matmul", "cost against tokens", "exponent"):
            self.assertIn(word, text)

    def test_budgets_and_symbols(self):
        report = self.measured("model", *QUICK, "--models", "toybox-dit", "--set", "frames=1", "--memory", "64M", "--limit", "0")
        self.assertEqual(len(report["rows"]), 1)
        row = report["rows"][0]
        self.assertEqual(row["symbols"]["frames"], 1)
        self.assertIn("within 64.00 MiB", row["name"])
        self.assertLessEqual(row["held_bytes"], 64 << 20)


class Compares(Bench):
    CASE = ["ops", *QUICK, "--filter", "softmax", "--peers", "none"]

    def baseline(self, factor):
        """A run of before: times as they are now, times the factor."""
        report = self.measured(*self.CASE)
        for row in report["rows"]:
            for key in ("median", "p10", "p90", "mad", "least"):
                row["seconds"][key] *= factor
        file = self.out / "baseline.json"
        file.write_text(json.dumps(report))
        return file

    def test_a_regression_is_exit_code_6_and_the_files_are_there(self):
        report = self.measured(*self.CASE, "--compare", self.baseline(1e-3), code=6, words=["1 of 1 rows are slower"])
        self.assertEqual(len(report["rows"]), 1)
        text = self.bench(*self.CASE, "--compare", self.out / "baseline.json", code=6)
        self.assertIn("SLOWER  softmax", text)
        self.assertIn("tolerance 5%", text)

    def test_what_is_faster_or_within_the_tolerance_is_no_regression(self):
        self.assertIn("1 faster", self.bench(*self.CASE, "--compare", self.baseline(1e3)))
        report = self.measured(*self.CASE)
        for name, unit in (("now", 1e-3), ("before", 0.5e-3)):
            for row in report["rows"]:
                row["seconds"] = {"median": unit, "p10": 0.9 * unit, "p90": 1.1 * unit, "mad": 0.05 * unit,
                                  "least": 0.9 * unit, "samples": 9}
            (self.out / f"{name}.json").write_text(json.dumps(report))
        now = self.out / "now.json"
        self.bench("--from", now, "--compare", self.out / "before.json", code=6)
        self.bench("--from", now, "--compare", self.out / "before.json", "--tolerance", "101")

    def test_a_report_is_shown_again_beside_a_peer(self):
        report = self.measured(*self.CASE)
        file = self.out / "ours.json"
        file.write_text(json.dumps(report))
        row = report["rows"][0]
        row["seconds"] = {"median": row["seconds"]["median"] * 2, "samples": 1}
        row["program"] = "another"
        (self.out / "peer.json").write_text(json.dumps({**report, "program": {"name": "another"}}))
        text = self.bench("--from", file, "--beside", self.out / "peer.json", "--html", self.out / "p.html")
        self.assertIn("another 2.00x", text)
        self.assertIn("Beside peers", (self.out / "p.html").read_text())


class Ends(Bench):
    def test_ctrl_c_leaves_what_was_measured(self):
        file = self.out / "part.json"
        process = subprocess.Popen([ZOETROPE, "bench", "ops", *QUICK, "--rounds", "100", "--seconds", "600", "--peers", "none",
                                    "--json", str(file)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        time.sleep(2 * command.PATIENCE)
        self.assertFalse(file.exists())
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60 * command.PATIENCE)
        self.assertEqual(process.returncode, 130, err)
        report = json.loads(file.read_text())
        self.assertFalse(report["complete"])
        self.assertGreater(len(report["rows"]), 0)
        self.assertIn(b"interrupted", out)
        self.assertEqual([p.name for p in self.out.iterdir()], ["part.json"])

    def test_what_makes_no_sense_is_refused_before_anything_runs(self):
        for args, code, word in (
                (["opps"], 2, "opps"),
                (["--dtypes", "i4"], 2, "i4"),
                (["--dtypes", "i64"], 2, "expected f32"),
                (["model", "--models", "toybox-dit", "--dtypes", "i8", *QUICK], 2, "bf16,i8"),
                (["pipeline", "--dtypes", "i8,f8e4m3", *QUICK], 2, "left out"),
                (["--devices", "cuda:99"], 4, "cuda"),
                (["model", "--models", "wan3", *QUICK], 3, "wan2.1-1.3b"),
                (["pipeline", "--models", "dit-xl-2", *QUICK], 2, "synthetic:dit-xl-2"),
                (["pipeline", "--models", "missing.zoe", *QUICK], 3, "missing.zoe"),
                (["ops", *QUICK, "--filter", "no such op"], 2, "--list"),
                (["ops", *QUICK, "--peers", "mkl"], 4, "mkl"),
                (["ops", *QUICK, "--json", "no/such/folder.json"], 3, "no/such"),
                (["ops", *QUICK, "--compare", __file__], 3, "not JSON"),
                (["ops", "--quick", "--target", "avx2"], 2, "--devices"),
                (["--tokens", "0"], 2, "tokens"),
                (["ops", *QUICK, "--steps", "3"], 2, "of pipelines"),
                (["ops", *QUICK, "--memory", "1G"], 2, "--memory"),
                (["pipeline", *QUICK, "--tokens", "512"], 2, "--tokens"),
                (["ops", *QUICK, "--models", str(MODEL)], 2, "pipeline"),
                (["pipeline", *QUICK, "--count", "2"], 2, "of classes"),
                (["--from", "a.json", "--quick"], 2, "--from"),
                (["--from", "a.json", "--limit", "1"], 2, "--from"),
                (["--from", "a.json", "--rounds", "2"], 2, "--from"),
                (["--from", "a.json", "--seconds", "1"], 2, "--from"),
                (["--from", "a.json", "--steps", "0"], 2, "--from"),
                (["pipeline", "--width", "-8"], 2, "--width"),
                (["pipeline", "--frames", "-1"], 2, "--frames"),
                (["ops", *QUICK, "--list", "--compare", "a.json"], 2, "--list")):
            with self.subTest(args=args):
                begin = time.monotonic()
                self.bench(*args, code=code, words=[word])
                self.assertLess(time.monotonic() - begin, 10 * command.PATIENCE)
        self.check_empty()

    def test_cases_are_listed_without_being_run(self):
        report = self.measured("ops", "--devices", "cpu", "--list")
        self.assertGreater(len(report["rows"]), 200)
        self.assertFalse(any("seconds" in r for r in report["rows"]))
        names = {r["name"] for r in report["rows"]}
        self.assertIn("scaled_dot_product_attention 1x512x12x128 1x512x12x128 1x512x12x128", names)
        self.assertTrue(any(n.startswith("fused_conv 1x4x480x832x96") for n in names))


class Readme(Bench):
    def test_the_commands_of_the_readme_run(self):
        text = (ROOT / "bench" / "README.md").read_text()
        blocks = re.findall(r"```\n(.*?)```", text, re.DOTALL)
        commands = [line.split("#")[0].strip() for block in blocks for line in block.splitlines() if line.startswith("zoetrope ")]
        self.assertGreater(len(commands), 5)
        for line in commands:
            words = shlex.split(line)[1:]
            if words[0] == "bench" and "--quick" not in words and "--from" not in words and "--list" not in words:
                words.append("--quick")
            if words[0] == "bench" and "--devices" not in words and "--from" not in words:
                words += ["--devices", "cpu"]
            with self.subTest(command=line):
                words = [str(MODEL) if w == "model.zoe" else w for w in words]
                result = run(*words, timeout=300, cwd=self.out)
                # On a busy machine a row may be slower than a moment ago: the command runs all the same.
                codes = (0, 6) if "--compare" in words else (0,)
                self.assertIn(result.returncode, codes, result.stderr.decode())


if __name__ == "__main__":
    command.main()
