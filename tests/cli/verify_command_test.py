"""`zoetrope verify`: reports and exit codes; receipts in clips and beside them."""
import json
import re
import subprocess

import command
from command import MODEL, SMALL, Case, run

DIFFERS = 6
REQUEST = [*SMALL, "--seed", "5"]


class Verify(Case):
    def test_cpu_is_as_the_definitions_say(self):
        html = self.out / "report.html"
        result = run("verify", MODEL, "--devices", "cpu", *SMALL, "--json", "--html", html)
        self.check(result, 0)
        report = json.loads(result.stdout)
        self.assertTrue(report["ok"])
        device = report["devices"][0]
        self.assertEqual(device["findings"], [])
        self.assertGreater(device["judgements"], 50)
        names = [(s["stage"], s["name"]) for s in device["stages"]]
        for wanted in (("denoise", "noise"), ("denoise", "step 1"), ("frames", "frames"), ("sound", "sound")):
            self.assertIn(wanted, names)
        for job in device["jobs"]:
            for node in job["nodes"]:
                if node["judged"]:
                    self.assertLessEqual(node["error_of_bound"], 1, node["node"])
        page = html.read_text()
        self.assertIn("<svg", page)
        self.assertNotIn("<script", page)

    def test_saved_runs(self):
        saved = self.out / "run.safetensors"
        quick = ["verify", MODEL, "--devices", "cpu", "--no-nodes", *SMALL]
        self.check(run(*quick, "--save", saved), 0)
        same = run(*quick, "--against", saved)
        self.check(same, 0)
        self.assertIn(b"the same bits", same.stdout)
        other = run(*quick, "--seed", "1", "--against", saved, "--html", self.out / "page.html")
        self.check(other, DIFFERS, "results differ", "further from")
        self.assertIn(b"FAULT: expected a PSNR", other.stdout)
        self.assertEqual((self.out / "page.html").read_text().count("data:image/png"), 3)
        other_size = run("verify", MODEL, "--devices", "cpu", "--no-nodes", "--width", "80", "--height", "64", "--frames", "8",
                         "--steps", "1", "--against", saved)
        self.check(other_size, DIFFERS)
        (self.out / "text").write_text("no tensors here")
        self.check(run(*quick, "--against", self.out / "text"), 4, "--against", "not weights")
        self.check(run(*quick, "--against", self.out / "none"), 3)

    def test_flags(self):
        for calls in ("some", "4x", "0", "-1", ""):
            self.check(run("verify", MODEL, "--calls", calls, *SMALL), 2, "--calls")
        self.check(run("verify", MODEL, "--devices", "nothing", *SMALL), 2, "nothing")

    def test_version_says_numerics(self):
        result = run("--version")
        self.check(result, 0)
        self.assertRegex(result.stdout.decode(), r"^zoetrope \d+\.\d+\.\d+, numerics \d+\n$")


class Receipts(Case):
    def generate(self, *args):
        result = run("generate", "a red ball", "--model", MODEL, "--device", "cpu", *REQUEST, "-q", *args)
        self.check(result, 0)

    def verify(self, path, *args):
        return run("verify", MODEL, "--receipt", path, *args)

    def test_in_clips(self):
        names = ["clip.mp4", "clip.mov", "clip.wav", "picture-%02d.png"]
        self.generate(*[x for name in names for x in ("-o", self.out / name)])
        for name in ("clip.mp4", "clip.mov", "clip.wav", "picture-08.png"):
            result = self.verify(self.out / name)
            self.check(result, 0)
            self.assertIn(b"the same, bit for bit", result.stdout, name)
        tags = subprocess.run(["ffprobe", "-v", "error", "-show_entries", "format_tags", "-of", "json", self.out / "clip.mp4"],
                              capture_output=True, check=True)
        receipt = json.loads(json.loads(tags.stdout)["format"]["tags"]["receipt"])
        self.assertEqual(receipt["request"]["prompt"], "a red ball")
        # Where files lie is nobody else's concern.
        self.assertNotIn("/", receipt["request"]["model"]["path"])

    def test_the_same_clip_is_the_same_file(self):
        for name in ("a.mp4", "b.mp4"):
            self.generate("-o", self.out / name)
        self.assertEqual((self.out / "a.mp4").read_bytes(), (self.out / "b.mp4").read_bytes())

    def test_beside_the_clip(self):
        receipt = self.out / "made.json"
        self.generate("-o", self.out / "clip.gif", "--receipt", receipt)
        self.check(self.verify(self.out / "clip.gif"), 3, "holds no receipt")
        self.check(self.verify(receipt), 0)
        self.check(self.verify(receipt, "--threads", "1"), 0)
        # The damaged stage is named, and nothing before it.
        json_receipt = json.loads(receipt.read_text())
        stage = next(s for s in json_receipt["stages"] if s["name"] == "step 1")
        stage["digest"] = "xxh3:0000000000000000"
        receipt.write_text(json.dumps(json_receipt))
        result = self.verify(receipt)
        self.check(result, DIFFERS, "not the one of the receipt")
        text = result.stdout.decode()
        self.assertRegex(text, r"FIRST DIFFERENCE: denoise, step 1")
        self.assertRegex(text, r"denoise, noise: the same bits")
        self.assertEqual(len(re.findall("FIRST DIFFERENCE", text)), 1)
        receipt.write_text("{}")
        self.check(self.verify(receipt), 3, "made.json")

    def test_another_instruction_set_is_the_reason(self):
        receipt = self.out / "made.json"
        self.generate("-o", self.out / "clip.y4m", "--receipt", receipt)
        result = self.verify(receipt, "--device", "cpu", "--target", "sse4")
        self.check(result, DIFFERS)
        text = result.stdout.decode()
        self.assertIn("noise: the same bits", text)
        self.assertIn("now on cpu", text)

    def test_without_metadata(self):
        self.generate("-o", self.out / "clip.mp4", "--no-metadata")
        self.check(self.verify(self.out / "clip.mp4"), 3, "holds no receipt")
        self.assertNotIn(b"xxh3:", (self.out / "clip.mp4").read_bytes())

    def test_pictures_that_were_given_are_found_beside_the_receipt(self):
        first = self.out / "first.png"
        size = ["--width", "64", "--height", "64", "--frames", "1", "--steps", "1"]
        self.check(run("generate", "a red ball", "--model", MODEL, "--device", "cpu", *size, "-q", "-o", first), 0)
        clip = self.out / "clip.mp4"
        self.generate("-o", clip, "--image", first)
        self.check(self.verify(clip), 0)
        first.write_bytes(first.read_bytes() + b"\0")
        self.check(self.verify(clip), 3, "--image")

    def test_a_receipt_takes_no_other_files_place(self):
        clip = self.out / "clip.mp4"
        result = run("generate", "a red ball", "--model", MODEL, *REQUEST, "-o", clip, "--receipt", clip)
        self.check(result, 2, "--receipt")
        self.check_empty()


if __name__ == "__main__":
    command.main()
