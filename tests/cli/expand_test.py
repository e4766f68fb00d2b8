"""`generate --expand` and `--loudness`, by the command; the language model is a server of this test's."""
import http.server
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import unittest
from pathlib import Path

import command
from command import SMALL


def run(*arguments, environment=None):
    """With stderr as text."""
    result = command.run(*arguments, "--threads", "1", env={**os.environ, **(environment or {})})
    result.stderr = result.stderr.decode(errors="replace")
    return result


class Model(http.server.BaseHTTPRequestHandler):
    """Answers as the test says, and keeps what it was asked."""
    answer, status, asked = "", 200, []
    reached, wait = threading.Event(), None  # wait: an event that an answer waits for

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        Model.asked.append((self.path, dict(self.headers), body))
        Model.reached.set()
        if Model.wait is not None:
            Model.wait.wait(60)
        reply = Model.answer if isinstance(Model.answer, bytes) else json.dumps(
            {"choices": [{"message": {"role": "assistant", "content": Model.answer}}]}).encode()
        self.send_response(Model.status)
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, *_):
        pass


class Expand(command.Case):
    def expanded(self, prompt, seed="3"):
        made = run("generate", prompt, "--expand", "--seed", seed, *SMALL, "-o", self.out / "a.wav", "--receipt",
                   self.out / "a.json")
        self.assertEqual(made.returncode, 0, made.stderr)
        receipt = json.loads((self.out / "a.json").read_text())
        return made.stderr, receipt["request"]["prompt"]

    def test_grammar_keeps_what_is_said_and_adds_the_rest(self):
        said, prompt = self.expanded("red ball")
        self.assertIn("prompt: " + prompt, said)
        self.assertRegex(prompt, r"^a [a-z-]+ red ball [a-z ]+ (on|in|over) [a-z ]+$")
        self.assertEqual(self.expanded("red ball")[1], prompt)  # the seed decides
        self.assertNotEqual(self.expanded("red ball", "4")[1], prompt)
        said, prompt = self.expanded("a tiny snowy star on a blue floor sings")
        self.assertRegex(prompt, r"^a tiny snowy star [a-z ]+ on a blue floor$")
        self.assertIn("sings", said)

    def test_prompts_that_say_more_stay(self):
        said, prompt = self.expanded("a red ball and a green star")
        self.assertEqual(prompt, "a red ball and a green star")
        self.assertIn("left as it is", said)

    def test_loudness_is_what_was_asked(self):
        out = self.out / "loud.wav"
        made = run("generate", "a small red star bounces on a blue floor", "--loudness", "-30", "--width", "64", "--height",
                   "64", "--seconds", "1", "--steps", "2", "-o", out)
        self.assertEqual(made.returncode, 0, made.stderr)
        self.assertIn("now -30.0", made.stderr)
        bad = run("generate", "a red ball", "--loudness", "3", *SMALL, "-o", out)
        self.assertNotEqual(bad.returncode, 0)
        if shutil.which("ffmpeg") is None:
            self.skipTest("FFmpeg's command, which measures as well, is not installed")
        told = subprocess.run(["ffmpeg", "-hide_banner", "-nostats", "-i", out, "-af", "ebur128", "-f", "null", "-"],
                              capture_output=True, text=True, check=True)
        integrated = [line.split()[1] for line in told.stderr.splitlines() if line.strip().startswith("I:")][-1]
        self.assertAlmostEqual(float(integrated), -30, delta=0.3)


class LanguageModel(unittest.TestCase):
    """A model without a grammar: built-in shapes need no weights to be asked for one."""
    @classmethod
    def setUpClass(cls):
        cls.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Model)
        threading.Thread(target=cls.server.serve_forever, daemon=True).start()
        cls.folder = tempfile.TemporaryDirectory()
        cls.model = str(Path(cls.folder.name) / "ltx.zoe")
        made = command.run("convert", "synthetic:ltx-2-19b", "-o", cls.model, "-q")
        assert made.returncode == 0, made.stderr

    @classmethod
    def tearDownClass(cls):
        cls.server.shutdown()
        cls.folder.cleanup()

    def ask(self, answer, status=200, **environment):
        Model.answer, Model.status, Model.asked = answer, status, []
        environment = {"ZOETROPE_LLM_URL": f"http://127.0.0.1:{self.server.server_port}/v1/", **environment}
        # Refused for memory once the prompt is made: nothing of 19 billion parameters runs here.
        return run("generate", "a fox", "--model", self.model, "--expand", "--memory", "1M", "-o",
                   Path(self.folder.name) / "out.wav", environment=environment)

    def test_the_endpoint_is_asked_and_its_answer_shown(self):
        made = self.ask(' "A red fox runs\nover snow." ', ZOETROPE_LLM_KEY="secret", ZOETROPE_LLM_MODEL="tiny")
        self.assertIn("prompt: A red fox runs over snow.", made.stderr)
        path, headers, body = Model.asked[0]
        self.assertEqual(path, "/v1/chat/completions")
        self.assertEqual(headers["Authorization"], "Bearer secret")
        self.assertEqual(body["model"], "tiny")
        self.assertEqual(body["messages"][1], {"role": "user", "content": "a fox"})
        self.assertIn("video", body["messages"][0]["content"])
        self.assertEqual(len(Model.asked), 1)

    def test_what_is_no_answer_is_refused(self):
        for answer, status, word in ((b"{}", 200, "choices"), (b"no json", 200, "choices"), ("  ", 200, "nothing"),
                                     (b"quota", 429, "429"), ("x" * (2 << 20), 200, "more than")):
            made = self.ask(answer, status)
            self.assertNotEqual(made.returncode, 0)
            self.assertIn(word, made.stderr)

    def test_who_waits_for_an_answer_can_stop(self):
        Model.wait = threading.Event()
        Model.reached.clear()
        try:
            process = subprocess.Popen(
                [command.ZOETROPE, "generate", "a fox", "--model", self.model, "--expand", "-o",
                 Path(self.folder.name) / "out.wav"], stderr=subprocess.PIPE, text=True,
                env={**os.environ, "ZOETROPE_LLM_URL": f"http://127.0.0.1:{self.server.server_port}/v1"})
            self.assertTrue(Model.reached.wait(30 * command.PATIENCE))
            process.send_signal(signal.SIGINT)
            said = process.communicate(timeout=10 * command.PATIENCE)[1]
            self.assertNotEqual(process.returncode, 0)
            self.assertIn("cancelled", said)
        finally:
            Model.wait.set()
            Model.wait = None

    def test_without_an_endpoint_nothing_is_sent(self):
        for url, word in (("", "ZOETROPE_LLM_URL"), ("localhost", "http://"), ("http://127.0.0.1:9/v1", "running")):
            made = self.ask("x", ZOETROPE_LLM_URL=url)
            self.assertNotEqual(made.returncode, 0)
            self.assertIn(word, made.stderr)
            self.assertEqual(Model.asked, [])


if __name__ == "__main__":
    command.main()
