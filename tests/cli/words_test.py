#!/usr/bin/env python3
"""Flags, numbers, prompts and names as people write them.

usage: words_test.py PATH_OF_ZOETROPE MODEL.zoe
"""
import json

import command
from command import MODEL, SMALL, run


class Words(command.Case):
    def generate(self, *args, output="a.png", **options):
        return run("generate", "--model", MODEL, *SMALL[:4], "--frames", "1", "--steps", "1", "-o",
                   self.out / output, *args, **options)

    # Words that no command knows

    def test_unknown_words_name_what_was_meant(self):
        for args, *words in ((["genrate", "x"], "genrate", "zoetrope generate"),
                             (["abracadabra"], "abracadabra", "generate", "inspect"),
                             (["generate", "x", "--sceonds", "1"], "--sceonds", "--seconds"),
                             (["generate", "x", "--seconds=1", "--fitt=cover"], "--fitt", "--fit"),
                             (["generate", "x", "--compare", "4G"], "--compare", "plan"),
                             (["inspect", "--seed", "1"], "--seed", "generate"),
                             (["generate", "a", "red", "ball"], "'red'", "quotes"),
                             (["devices", "cpu"], "'cpu'", "devices --help")):
            with self.subTest(args):
                result = run(*args)
                self.check(result, 2, *words)
                self.assertEqual(result.stdout, b"")
        self.check(run("generate"), 2, "red ball")
        self.check(run(), 2, "--help")

    # Numbers

    def test_numbers_are_whole_decimal_and_in_range(self):
        for flag in ("--width", "--height", "--frames", "--steps", "--threads", "--count"):
            for value in ("-64", "64.0", "0x40", "1e2", "+8", "", "nan", "99999999999999999999", "1,0"):
                with self.subTest(f"{flag} {value}"):
                    result = run("generate", "x", f"{flag}={value}", "-o", self.out / "a.png")
                    self.check(result, 2)
                    if value:
                        self.check(result, 2, flag, value)
                    self.assertLess(len(result.stderr), 200)
        for command_, flag in (("generate", "--seconds"), ("generate", "--guidance"), ("plan", "--shift"),
                               ("bench", "--tolerance"), ("bench", "--limit"), ("verify", "--min-psnr"),
                               ("resume", "--guidance")):
            for value in ("nan", "inf", "-1", "1e999", "0x1p0", "1,5"):
                with self.subTest(f"{command_} {flag} {value}"):
                    result = run(command_, f"{flag}={value}")
                    self.check(result, 2, flag, value)
                    self.assertLess(len(result.stderr), 200)
        self.check_empty()

    # Prompts

    def prompt_of(self, *args, **options):
        result = self.generate("--json", *args, **options)
        self.check(result, 0)
        return json.loads(result.stdout)["prompt"]

    def test_prompts_from_files_are_what_an_editor_shows(self):
        for content in (b"a red star", b"a red star\n", b"a red star\r\n\r\n", b"\xef\xbb\xbfa red star\r\n"):
            with self.subTest(content):
                (self.out / "p.txt").write_bytes(content)
                self.assertEqual(self.prompt_of(f"@{self.out / 'p.txt'}"), "a red star")
                self.assertEqual(self.prompt_of("-", input=content), "a red star")
        (self.out / "p.txt").write_bytes(b"a red star\r\nbounces\rfar")
        self.assertEqual(self.prompt_of(f"@{self.out / 'p.txt'}"), "a red star\nbounces\nfar")

    def test_what_is_no_text_is_no_prompt(self):
        for content, word in ((b"a red\0star", "zero at byte 5"), ("a red star".encode("utf-16"), "UTF-16"),
                              (b"caf\xe9", "UTF-8"), (b"x" * (2 << 20), "1 MiB")):
            with self.subTest(word):
                self.check(self.generate("-", input=content), 2, word)
        self.check_empty()

    def test_a_file_of_prompts_may_have_any_name(self):
        (self.out / "@p.txt").write_text("a red star\n")
        result = run("generate", "--model", MODEL, "--prompts", "@p.txt", "-o", "a.wav", "--json", cwd=self.out)
        self.check(result, 0)
        self.assertEqual(json.loads(result.stdout)["prompt"], "a red star")

    def test_blank_lines_are_no_prompts(self):
        (self.out / "p.txt").write_bytes(b"\xef\xbb\xbfa red star\r\n\r\n  \t\r\na blue ball\r\n")
        result = self.generate("--prompts", self.out / "p.txt", "--json")
        self.check(result, 0)
        self.assertEqual([clip["prompt"] for clip in json.loads(result.stdout)], ["a red star", "a blue ball"])

    def test_a_negative_prompt_that_nothing_heeds_is_told(self):
        for guidance, told in (("1", True), ("2", False)):
            result = run("generate", "a red star", "--model", MODEL, *SMALL[:4], "--negative", "a blue ball", "--guidance",
                         guidance, "-o", self.out / "o.png", "--frames", "1", "--steps", "1")
            self.check(result, 0)
            self.assertEqual(b"negative prompt has no effect" in result.stderr, told)

    # Names

    def test_a_folder_is_called_one(self):
        for name in (".", "..", f"{self.out}/", f"{self.out}/x.png/"):
            with self.subTest(name):
                self.check(run("generate", "x", "--model", MODEL, *SMALL, "-o", name), 2, "folder")

    def test_names_that_look_like_something_else(self):
        for name in ("a:b.mp4", "http:x.mp4", "file:y.png", "--dash.png", "new\nline.png", "q?*.png", "ü é.png"):
            with self.subTest(name):
                self.check(run("generate", "x", "--model", MODEL, *SMALL[:4], "--frames", "2", "--steps", "1",
                               "--format", "y4m", f"--output={name}", cwd=self.out), 0)
                self.assertTrue((self.out / name).is_file())


if __name__ == "__main__":
    command.main()
