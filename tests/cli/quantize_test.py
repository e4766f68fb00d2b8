#!/usr/bin/env python3
"""`zoetrope quantize` as a person meets it: a smaller file whose clips are nearly the model's own.

usage: quantize_test.py PATH_OF_ZOETROPE MODEL.zoe
"""
import json
import math
import shlex
from pathlib import Path

import command
from command import MODEL, SMALL, run


def frames(path):
    """The pixels of a Y4M file, all frames joined."""
    data = Path(path).read_bytes()
    header, rest = data.split(b"\n", 1)
    fields = {f[:1]: f[1:] for f in header.split(b" ")[1:]}
    size = int(fields[b"W"]) * int(fields[b"H"]) * 3
    assert fields[b"C"] == b"444", header
    pixels = b""
    while rest:
        rest = rest.split(b"\n", 1)[1]
        pixels, rest = pixels + rest[:size], rest[size:]
    return pixels


def psnr(a, b):
    error = sum((x - y) ** 2 for x, y in zip(a, b)) / len(a)
    return math.inf if error == 0 else 10 * math.log10(255 ** 2 / error)


# Threads that wait for each other get little done beside other tests.
ALONE = ["--device", "cpu", "--threads", "1"]


class Quantize(command.Case):
    def quantize(self, output, *more):
        return run("quantize", MODEL, "-o", self.out / output, "-q", "--measure", "weights", *more)

    def clip(self, model, name):
        self.check(run("generate", "a red ball bounces", "--model", model, "-o", self.out / name, "--device", "cpu",
                       *SMALL[:-1], "8"), 0)
        return frames(self.out / name)

    def test_every_format_is_smaller_and_nearly_the_same(self):
        whole = Path(MODEL).stat().st_size
        original = self.clip(MODEL, "original.y4m")
        # Shares of f16: a byte of two and a factor a row; half a byte and an f16 for every 64.
        for fmt, most, least in (("int8", 0.53, 30), ("fp8", 0.53, 24), ("int4", 0.32, 16), ("bf16", 1.01, 35)):
            with self.subTest(fmt):
                self.check(self.quantize(f"{fmt}.zoe", "--format", fmt), 0)
                model = self.out / f"{fmt}.zoe"
                self.assertLess(model.stat().st_size, most * whole)
                self.check(run("inspect", model, "--verify"), 0)
                self.assertGreater(psnr(original, self.clip(model, f"{fmt}.y4m")), least)

    def test_the_report_is_stored_and_shown(self):
        (self.out / "prompts.txt").write_text("a red ball bounces\n\na blue star spins\n")
        judge = self.out / "judge.py"  # rates that follow from what it is given: 2 clips of 8 frames and a sound
        judge.write_text("import json, sys, pathlib\n"
                         "clips = sorted(pathlib.Path(sys.argv[1]).iterdir())\n"
                         "good = [len(list(c.glob('*.png'))) == 8 and (c / 'sound.wav').exists() for c in clips]\n"
                         "worse = 0.25 if 'quantised' in sys.argv[1] else 0\n"
                         "print(json.dumps({'whole': sum(good) / 2, 'liked': 1 - worse, 'count': 7, 'text': 'x'}))\n")
        flags = ["--prompts", self.out / "prompts.txt", *ALONE, *SMALL[:-1], "4", "--judge",
                 f"python3 '{judge}' {{}}"]
        page = self.out / "page.html"
        self.check(run("quantize", MODEL, "-o", self.out / "a.zoe", "--page", page, *flags), 0, "loss against", "int8")
        report = json.loads(run("inspect", self.out / "a.zoe", "--json").stdout)["quantisation"]
        self.assertEqual([c["prompt"] for c in report["clips"]], ["a red ball bounces", "a blue star spins"])
        for clip in report["clips"]:
            self.assertTrue(0 < clip["loss"] < 0.05 and clip["psnr"] > 25 and 0.8 < clip["ssim"] < 1, clip)
            self.assertNotEqual(clip["snr"], 0)
        self.assertEqual(len(report["steps"]), 4)
        self.assertEqual(report["rates"], [{"name": "liked", "original": 1, "quantised": 0.75},
                                           {"name": "whole", "original": 1, "quantised": 1}])
        self.assertTrue(all(0 < layer["error"] < 0.05 for layer in report["layers"]))
        self.assertEqual(sum(layer["weight"] == "dit.blocks.0.attn.q.weight" for layer in report["layers"]), 1)
        self.assertIn(b"loss against the original", run("inspect", self.out / "a.zoe").stdout)
        self.assertIn("a blue star spins", page.read_text())
        self.check(run("inspect", self.out / "a.zoe", "--page", self.out / "again.html"), 0)
        self.assertEqual((self.out / "again.html").read_bytes(), page.read_bytes())
        self.check(run("inspect", MODEL, "--page", page), 2, "not quantised")
        for pair in (("--page", page, "--json"), ("--page", page, "--tensors"), ("--page", page, "--graph", "dit"),
                     ("--graph", "dit", "--json"), ("--graph", "dit", "--tensors"), ("--tensors", "", "--json")):
            self.check(run("inspect", self.out / "a.zoe", *filter(None, pair)), 2, pair[0], pair[2])

        # The gate: each bound alone, nothing is written; by force, and that is recorded.
        for bound in (["--max-loss", "1e-6"], ["--min-psnr", "90"], ["--max-drop", "0.2"]):
            self.check(run("quantize", MODEL, "-o", self.out / "b.zoe", *flags, *bound), 6, "was not written")
            self.assertFalse((self.out / "b.zoe").exists())
        self.check(run("quantize", MODEL, "-o", self.out / "b.zoe", *flags, "--max-drop", "0.2", "--force"), 0)
        report = json.loads(run("inspect", self.out / "b.zoe", "--json").stdout)["quantisation"]
        self.assertTrue(report["forced"] and "liked" in report["failures"][0])
        self.check(run("quantize", MODEL, "-o", self.out / "c.zoe", *flags[:-1], "false {}"), 2, "judge")

        # A rate that is gone afterwards fails, and one that a file could not tell is refused.
        judge.write_text("import json, sys\n"
                         "print(json.dumps({'good': 1} if 'original' in sys.argv[1] else {'good': 2, 'other': 1}))\n")
        self.check(run("quantize", MODEL, "-o", self.out / "c.zoe", *flags, "--max-drop", "1"), 6, "'good'", "missing")
        judge.write_text("import json\nprint(json.dumps({'a\\nb': 1}))\n")
        self.check(run("quantize", MODEL, "-o", self.out / "c.zoe", *flags), 2, "control characters")
        self.assertFalse((self.out / "c.zoe").exists())

    def test_the_commands_of_the_readme_run(self):
        text = (Path(__file__).parents[2] / "README.md").read_text()
        commands = [shlex.split(line.split("  #")[0]) for line in text.splitlines() if line.startswith("zoetrope quantize ")]
        self.assertGreater(len(commands), 1)
        (self.out / "prompts.txt").write_text("a red ball bounces\n")
        for words in commands:
            with self.subTest(words):
                words = [MODEL if w == "model.zoe" else w for w in words[1:]]
                # Two steps of a small picture: what they show here is that the flags are there.
                self.check(run(*words, *ALONE, *SMALL[:-1], "2", "--force", "-q", cwd=self.out, timeout=300), 0)
                self.assertTrue((self.out / words[words.index("-o") + 1]).exists())

    def test_layers_are_ranked_until_a_target_is_met(self):
        (self.out / "prompts.txt").write_text("a red ball bounces\n")
        flags = ["--calibrate", self.out / "prompts.txt", *ALONE, *SMALL[:-1], "2", "--max-loss", "0"]
        search = lambda name, *more: run("quantize", MODEL, "-o", self.out / name, "-q", "--format", "int4", *flags, *more)
        report = lambda name: json.loads(run("inspect", self.out / name, "--json").stdout)["quantisation"]
        mean = lambda r: sum(c["psnr"] for c in r["clips"]) / len(r["clips"])
        self.check(search("plain.zoe"), 0)
        plain = report("plain.zoe")
        target = mean(plain) + 3
        self.check(search("psnr.zoe", "--target-psnr", f"{target:.2f}"), 0)
        better = report("psnr.zoe")
        self.assertGreaterEqual(mean(better), target)
        self.assertGreater(better["bytes"], plain["bytes"])
        spared = [layer["spared"] for layer in better["sensitivity"]]
        self.assertTrue(any(spared) and not all(spared) and spared == sorted(spared, reverse=True))
        kinds = {layer["weight"]: layer["format"] for layer in better["layers"]}
        for layer in better["sensitivity"]:
            name = next(w for w in kinds if w.startswith(layer["layer"] + ".") and "int8_weights" != kinds[w])
            self.assertEqual(kinds[name], "int8" if layer["spared"] else "int4_64", name)
        # What the other search took is room for the layers that it spared, and for no more than fit: the next one's weights
        # in 8 bits, with a factor a row, would not.
        share = math.ceil(1e6 * better["bytes"] / plain["original_bytes"]) / 1e6
        self.check(search("size.zoe", "--target-size", f"{share:.6f}"), 0)
        size = report("size.zoe")
        self.assertLessEqual(size["bytes"], share * plain["original_bytes"])
        self.assertEqual([layer["spared"] for layer in size["sensitivity"]], spared)
        shapes = {t["name"]: t["shape"] for t in json.loads(run("inspect", MODEL, "--json").stdout)["tensors"]}
        following = size["sensitivity"][spared.index(False)]["layer"] + "."
        more = sum(math.prod(shapes[layer["weight"]]) + 4 * shapes[layer["weight"]][0] - layer["bytes"]
                   for layer in size["layers"] if layer["weight"].startswith(following) and layer["format"] == "int4_64")
        self.assertGreater(more, 0)
        self.assertGreater(size["bytes"] + more, share * plain["original_bytes"])
        self.check(search("none.zoe", "--target-size", "0.1"), 2, "no choice of layers")
        self.check(search("none.zoe", "--target-psnr", "150"), 6, "no choice of layers reaches")
        self.assertFalse((self.out / "none.zoe").exists())

    def test_the_report_is_not_of_what_was_fitted(self):
        (self.out / "fitted.txt").write_text("a red ball bounces\na blue star spins\n")
        (self.out / "compared.txt").write_text("a green ring moves up\n")
        flags = ["--format", "int4", *ALONE, *SMALL[:-1], "2", "--max-loss", "0", "-q", "--seed", str(2 ** 64 - 1)]
        texts = ["--calibrate", self.out / "fitted.txt", "--prompts", self.out / "compared.txt"]
        report = lambda name: json.loads(run("inspect", self.out / name, "--json").stdout)["quantisation"]
        for name, given in (("own.zoe", []), ("given.zoe", texts)):
            self.check(run("quantize", MODEL, "-o", self.out / name, *flags, *given), 0)
            seen = report(name)
            compared, fitted = ([(c["prompt"], c["seed"]) for c in seen[of]] for of in ("clips", "calibration"))
            self.assertEqual(len(fitted), len(set(fitted)))
            self.assertEqual((len(compared), len(fitted)), (1, 2) if given else (2, 32))
            self.assertEqual(seen["calibration_steps"], 2)  # those that were asked for
            self.assertEqual(compared[0][1], 2 ** 64 - 1)
            for i in (0, 1):
                self.assertFalse({c[i] for c in compared} & {c[i] for c in fitted}, (compared, fitted))
        self.assertEqual([c[0] for c in compared], ["a green ring moves up"])
        self.assertEqual([c[0] for c in fitted], ["a red ball bounces", "a blue star spins"])
        # Nothing is fitted: nothing is recorded.
        self.check(run("quantize", MODEL, "-o", self.out / "nearest.zoe", *flags, "--nearest"), 0)
        self.assertEqual(report("nearest.zoe")["calibration"], [])
        self.assertEqual(report("nearest.zoe")["calibration_steps"], 0)
        # Of the model's 30 steps the calibration takes fewer.
        self.check(run("quantize", MODEL, "-o", self.out / "usual.zoe", "--format", "int4", *ALONE, *SMALL[:-2], "--max-loss", "0", "-q",
                       *texts), 0)
        self.assertEqual(report("usual.zoe")["calibration_steps"], 7)

    def test_rounding_makes_up_for_itself_on_what_it_saw(self):
        (self.out / "prompts.txt").write_text("a red ball bounces\na blue star spins\n")
        texts = lambda flag: [flag, self.out / "prompts.txt"]
        flags = ["--format", "int4", *ALONE, *SMALL[:-1], "6", "--max-loss", "0", "-q", *texts("--prompts")]
        report = lambda name: json.loads(run("inspect", self.out / name, "--json").stdout)["quantisation"]
        loss = lambda name: sum(c["loss"] for c in report(name)["clips"]) / 2
        for name in ("a.zoe", "b.zoe"):
            self.check(run("quantize", MODEL, "-o", self.out / name, *flags, *texts("--calibrate")), 0)
        self.check(run("quantize", MODEL, "-o", self.out / "nearest.zoe", *flags, "--nearest"), 0)
        self.assertEqual((self.out / "a.zoe").read_bytes(), (self.out / "b.zoe").read_bytes())
        self.assertTrue(0 < report("a.zoe")["compensated_weights"] < len(report("a.zoe")["layers"]))
        self.assertEqual(report("nearest.zoe")["compensated_weights"], 0)
        self.assertLess(loss("a.zoe"), loss("nearest.zoe"))

    def test_turned_rows_lose_less(self):
        (self.out / "prompts.txt").write_text("a red ball bounces\na blue star spins\n")
        flags = [*ALONE, *SMALL[:-1], "3", "-q", "--prompts", self.out / "prompts.txt"]
        report = lambda name: json.loads(run("inspect", self.out / name, "--json").stdout)["quantisation"]
        loss = lambda name: sum(c["loss"] for c in report(name)["clips"])
        error = lambda name: sum(layer["error"] for layer in report(name)["layers"])
        self.check(run("quantize", MODEL, "-o", self.out / "plain.zoe", *flags), 0)
        self.check(run("quantize", MODEL, "-o", self.out / "turned.zoe", *flags, "--rotate"), 0)
        self.assertEqual(report("plain.zoe")["turned_weights"], 0)
        self.assertTrue(0 < report("turned.zoe")["turned_weights"] <= len(report("turned.zoe")["layers"]))
        self.assertLess(loss("turned.zoe"), 0.8 * loss("plain.zoe"))
        self.assertLess(error("turned.zoe"), error("plain.zoe"))
        self.check(run("inspect", self.out / "turned.zoe", "--verify"), 0)
        self.check(self.quantize("a.zoe", "--format", "fp8", "--rotate"), 2, "--rotate", "int8")
        self.check(self.quantize("a.zoe", "--rotate", "--components", "tae_decoder"), 2, "--rotate", "no weight")

    def test_attention_in_8_bits_is_stored_and_has_a_gate_of_its_own(self):
        report = lambda name: json.loads(run("inspect", self.out / name, "--json").stdout)["quantisation"]
        places = lambda path: sum(b"attention(" in line and b"bits=8" in line
                                  for line in run("inspect", path, "--graph", "dit").stdout.splitlines())
        self.check(self.quantize("plain.zoe"), 0)
        self.check(self.quantize("a.zoe", "--attention-bits", "8"), 0)
        self.check(self.quantize("alone.zoe", "--attention-bits", "8", "--keep", "*"), 0)
        self.assertEqual([report(n)["attentions"] for n in ("plain.zoe", "a.zoe", "alone.zoe")],
                         [places(MODEL), places(self.out / "a.zoe"), places(self.out / "alone.zoe")])
        self.assertEqual(places(MODEL), 0)
        self.assertGreater(places(self.out / "a.zoe"), 0)
        self.assertEqual(report("alone.zoe")["layers"], [])
        self.assertIn(b"may be of 8 bits", run("inspect", self.out / "a.zoe").stdout)
        # It may: the CPU multiplies exactly, which is said, and nothing is claimed of what it costs elsewhere.
        self.assertEqual(self.clip(self.out / "a.zoe", "a.y4m"), self.clip(self.out / "plain.zoe", "plain.y4m"))
        clips = lambda *more: run("quantize", MODEL, "-o", self.out / "b.zoe", *ALONE, *SMALL[:-1], "1", *more)
        self.check(clips("--attention-bits", "8"), 0, "cpu multiplies it exactly")
        self.assertNotIn("attention_loss", report("b.zoe"))
        (self.out / "b.zoe").unlink()
        self.check(clips("--attention-bits", "8", "--max-attention-loss", "0.5"), 6, "attention", "was not measured")
        self.check(clips("--max-attention-loss", "0.5"), 2, "--max-attention-loss", "--attention-bits")
        self.check(clips("--attention-bits", "4"), 2, "--attention-bits")
        self.check(clips("--attention-bits", "8", "--components", "tae_decoder"), 2, "no attention")
        self.check(self.quantize("b.zoe", "--attention-bits", "8", "--max-attention-loss", "1"), 2, "--measure clips")
        self.check(run("quantize", self.out / "alone.zoe", "-o", self.out / "b.zoe"), 2, "quantised already")
        self.assertFalse((self.out / "b.zoe").exists())

    def test_what_was_asked_for_and_cannot_be_is_refused_by_name(self):
        (self.out / "prompts.txt").write_text("a red ball bounces\n")
        texts = self.out / "prompts.txt"
        for flag, *value in (["--max-loss", "0.1"], ["--min-psnr", "20"], ["--max-drop", "0.1", "--judge", "true {}"],
                             ["--target-psnr", "20"], ["--target-size", "0.5"], ["--judge", "true {}"],
                             ["--prompts", texts], ["--steps", "2"], ["--width", "64"], ["--height", "64"],
                             ["--frames", "8"], ["--seed", "1"], ["--compute", "f32"], ["--device", "cpu"],
                             ["--threads", "1"], ["--target", "avx2"]):
            self.check(self.quantize("a.zoe", flag, *value), 2, flag, "needs --measure clips")
        self.check(self.quantize("a.zoe", "--format", "int4", "--calibrate", texts), 2, "--calibrate", "--measure clips")
        self.check(self.quantize("a.zoe", "--nearest"), 2, "--nearest", "int4")
        self.check(self.quantize("a.zoe", "--group", "64"), 2, "--group", "int4")
        clips = lambda *more: run("quantize", MODEL, "-o", self.out / "a.zoe", "-q", *SMALL, *more)
        self.check(clips("--calibrate", texts), 2, "--calibrate", "--prompts")
        many = self.out / "many.txt"
        many.write_text("a red ball bounces\n" * 5)
        self.check(clips("--calibrate", many, "--target-size", "0.6"), 2, "--calibrate", "5 prompts", "4 at most")
        self.check(clips("--max-drop", "0.1"), 2, "--max-drop", "--judge")
        self.check(clips("--judge", "true"), 2, "--judge", "{}")
        for flag, value in (("--target-psnr", "-1"), ("--target-size", "-0.1"), ("--target-size", "1.1"),
                            ("--target-psnr", "nan"), ("--max-loss", "-1"), ("--max-loss", "1e7"), ("--min-psnr", "201"),
                            ("--max-drop", "2"), ("--steps", "-1"), ("--seed", str(2 ** 64)), ("--compute", "f64")):
            self.check(clips(flag, value), 2, flag)
        self.assertEqual(sorted(p.name for p in self.out.iterdir()), ["many.txt", "prompts.txt"])

    def test_components_and_patterns_stay(self):
        self.check(self.quantize("a.zoe", "--components", "dit", "--keep", "blocks.0,dit.blocks.1.ffn.*"), 0)
        tensors = {t["name"]: t["dtype"] for t in json.loads(run("inspect", self.out / "a.zoe", "--json").stdout)["tensors"]}
        self.assertEqual(tensors["dit.blocks.0.attn.q.weight"], "f16")
        self.assertEqual(tensors["dit.blocks.1.ffn.up.weight"], "f16")
        self.assertEqual(tensors["dit.blocks.1.attn.q.weight.int8"], "i8")
        self.assertFalse(any(t.startswith(("tae.", "text.")) and ".int8" in t for t in tensors))

    def test_the_same_input_gives_the_same_bytes(self):
        for name in ("a.zoe", "b.zoe"):
            self.check(self.quantize(name, "--format", "int4", "--group", "32"), 0)
        self.assertEqual((self.out / "a.zoe").read_bytes(), (self.out / "b.zoe").read_bytes())

    def test_what_cannot_be_is_refused(self):
        self.check(self.quantize("a.zoe", "--format", "int3"), 2, "int3", "int8, fp8, int4")
        self.check(self.quantize("a.zoe", "--format", "int4", "--group", "48"), 2, "32, 64 or 128")
        self.check(self.quantize("a.zoe", "--components", "engine"), 2, "engine", "dit")
        self.check(self.quantize("a.zoe", "--keep", "*"), 2, "nothing to quantise")
        self.check(self.quantize("a.bin"), 2, "*.zoe")
        self.check(run("quantize", self.out / "none.zoe", "-o", self.out / "a.zoe"), 3, "none.zoe")
        self.check_empty()
        self.check(self.quantize("a.zoe"), 0)
        self.check(run("quantize", self.out / "a.zoe", "-o", self.out / "b.zoe"), 2, "quantised already")
        self.check(run("quantize", self.out / "a.zoe", "-o", self.out / "a.zoe"), 2, "is also the input")
        self.assertEqual([p.name for p in self.out.iterdir()], ["a.zoe"])


if __name__ == "__main__":
    command.main()
