#!/usr/bin/env python3
"""plan and calibrate: tables, pages, predictions beside measurements, built-in shapes without a file."""
import json
import os
import re

import command
from command import MODEL, SMALL, run


class Plans(command.Case):
    def setUp(self):
        super().setUp()
        # Nobody else's times, and none of ours for others.
        self.env = {**os.environ, "XDG_CACHE_HOME": str(self.out / "cache")}

    def zoetrope(self, *args):
        return run(*args, env=self.env)

    def plan(self, *args):
        result = self.zoetrope("plan", "a red ball", "--model", MODEL, *args)
        self.check(result, 0)
        return result.stdout.decode()

    def test_calibrate_is_remembered(self):
        self.assertFalse(json.loads(self.plan("--json", *SMALL))["calibrated"])
        result = self.zoetrope("calibrate", "--devices", "cpu", "--models", MODEL, "--compute", "f32", "--seconds", "4", "--json")
        self.check(result, 0)
        [device] = json.loads(result.stdout)
        self.assertGreater(device["measured"], 5)
        self.assertTrue(device["saved"])
        plan = json.loads(self.plan("--json", *SMALL))
        self.assertTrue(plan["calibrated"])
        self.assertGreater(plan["estimated_seconds"], 0)
        self.assertFalse(json.loads(self.plan("--json", "--threads", "1", *SMALL))["calibrated"])

    def test_nothing_is_measured_unasked_where_nobody_watches(self):
        self.plan(*SMALL)
        self.assertFalse((self.out / "cache" / "zoetrope" / "times").exists())

    def test_calibrate_names_what_it_does_not_know(self):
        self.check(self.zoetrope("calibrate", "--devices", "abacus"), 2, "abacus")
        self.check(self.zoetrope("calibrate", "--models", "nothing.zoe", "--devices", "cpu"), 3, "nothing.zoe")

    def test_compare_is_one_table(self):
        text = self.plan("--seconds", "4", "--compare", "40M,200M")
        self.assertEqual(len(text.splitlines()), 3, text)
        entries = json.loads(self.plan("--seconds", "4", "--compare", "30M,40M,1G", "--json"))
        self.assertEqual([e["fits"] for e in entries], [False, True, True])
        self.assertIn("would fit", entries[0]["reason"])
        self.assertLessEqual(entries[1]["peak_bytes"], 40 << 20)
        self.assertGreater(entries[2]["peak_bytes"], entries[1]["peak_bytes"])
        self.check(self.zoetrope("plan", "--model", MODEL, "--compare", "some"), 2, "--compare")
        self.check(self.zoetrope("plan", "--model", MODEL, "--compare", "1M,2M"), 5, "fits")
        self.check(self.zoetrope("plan", "--model", MODEL, "--compare", "1G", "--calls"), 2)

    def test_devices_are_one_table(self):
        entries = json.loads(self.plan("--devices", "cpu,reference", "--json", *SMALL))
        self.assertEqual([e["device"] for e in entries], ["cpu", "reference"])

    def test_a_page_stands_alone(self):
        page = self.out / "plan.html"
        self.plan("--html", page, *SMALL)
        html = page.read_text()
        self.assertEqual(html.count("<svg"), 3)
        for words in ("Memory on", "by owner", "Time by kernel", "decode video"):
            self.assertIn(words, html)
        self.assertFalse(re.search(r"(src|href)=\"(?!data:)", html))
        self.plan("--compare", "40M,1G", "--html", page)
        self.assertIn("40.00 MiB", page.read_text())

    def test_built_in_shapes_need_no_file(self):
        result = self.zoetrope("plan", "a red ball", "--model", "wan2.1-1.3b", "--compute", "bf16", "--json")
        self.check(result, 0)
        jobs = [j["job"] for j in json.loads(result.stdout)["jobs"]]
        self.assertIn("denoise", jobs)
        self.check(self.zoetrope("plan", "--model", "wan2.1-1.3b", "--measure"), 3)

    def test_predictions_stand_beside_measurements(self):
        plan = json.loads(self.plan("--measure", "--json", *SMALL))
        measured = plan["measured"]
        self.assertLess(abs(measured["peak_bytes"] - plan["peak_bytes"]), 0.01 * plan["peak_bytes"])
        for task in ("load dit", "encode text", "denoise", "decode sound", "decode video"):
            self.assertGreater(measured["tasks"][task], 0)
        self.assertAlmostEqual(sum(measured["tasks"].values()), measured["total_seconds"],
                               delta=0.2 * measured["total_seconds"] + 0.02)
        self.assertIn("peak memory", self.plan("--measure", *SMALL))

    def test_generate_begins_with_the_estimate(self):
        self.check(self.zoetrope("calibrate", "--devices", "cpu", "--models", MODEL, "--seconds", "3", "-q"), 0)
        result = self.zoetrope("generate", "a red ball", "--model", MODEL, "-o", self.out / "a.y4m", *SMALL)
        self.check(result, 0, "about ", "at most ")
        self.assertLess(result.stderr.index(b"about "), result.stderr.index(b"denoise"))


if __name__ == "__main__":
    command.main()
