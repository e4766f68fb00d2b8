#!/usr/bin/env python3
"""The page in a real browser: generate, play, cancel, extend, reload during a job, two users, a server that was killed.

usage: browser_test.py ZOETROPE MODEL.zoe SOURCE_FOLDER

ZOETROPE_SCREENSHOTS=FOLDER keeps pictures of it.
"""
import base64
import hashlib
import http.client
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

from given_test import png
from operator_test import lora
from server import PATIENCE, SOURCE, Case, main

DRIVER = shutil.which("chromedriver")
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # W3C WebDriver


class Browser:
    """As much of WebDriver as is needed here."""

    def __init__(self):
        self.process = subprocess.Popen([DRIVER, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for line in self.process.stdout:
            if "successfully on port" in line:
                self.port = int(line.split("on port")[1].strip(" .\n"))
                break
        self.session = ""
        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1000,1100"]
        options = {"args": arguments, "binary": BROWSER}
        try:
            made = self.call("POST", "", {"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}})
        except BaseException:
            self.process.kill()
            raise
        self.session = "/" + made["sessionId"]

    def call(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120 * PATIENCE)
        connection.request(method, "/session" + self.session + path, json.dumps(body or {}) if method == "POST" else None)
        value = json.loads(connection.getresponse().read())["value"]
        connection.close()
        if isinstance(value, dict) and "error" in value:
            raise LookupError(value["message"])
        return value

    def open(self, address):
        self.call("POST", "/url", {"url": address})

    def find(self, css):
        return self.call("POST", "/element", {"using": "css selector", "value": css})[ELEMENT]

    def click(self, css):
        self.call("POST", f"/element/{self.find(css)}/click")

    def type(self, css, text):
        self.call("POST", f"/element/{self.find(css)}/value", {"text": str(text)})

    def run(self, script, *arguments):
        return self.call("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def wait(self, script, *arguments):
        """Until the script says something true."""
        until = time.monotonic() + 90 * PATIENCE
        while time.monotonic() < until:
            found = self.run(script, *arguments)
            if found:
                return found
            time.sleep(0.1)
        raise AssertionError(f"never true: {script} {arguments}: {self.run('return document.body.innerText')}")

    def picture(self, name):
        if folder := os.environ.get("ZOETROPE_SCREENSHOTS"):
            Path(folder, name + ".png").write_bytes(base64.b64decode(self.call("GET", "/screenshot")))

    def close(self):
        try:
            self.call("DELETE", "")
        finally:
            self.process.terminate()
            self.process.wait()
            self.process.stdout.close()


@unittest.skipUnless(DRIVER and BROWSER, "chromium and chromium-driver are not installed")
class WithBrowser(Case):
    def setUp(self):
        super().setUp()
        self.browser = Browser()
        self.addCleanup(self.browser.close)
        self.address = f"http://127.0.0.1:{self.server.port}/"

    def ask_for(self, prompt, **options):
        b = self.browser
        for name, value in {"prompt": prompt, "width": 64, "height": 64, "frames": 8, "steps": 2, **options}.items():
            b.run("arguments[0].value = ''", {ELEMENT: b.find("#" + name)})
            b.type("#" + name, value)
        b.click("#ask button[type=submit]")

    def state(self, state, index=0):
        return self.browser.wait("const j = document.querySelectorAll('#jobs > li')[arguments[1]];"
                                 "return j && j.dataset.state === arguments[0] && j.id", state, index)

    def press(self, job, text):
        b = self.browser
        b.run("[...document.getElementById(arguments[0]).querySelectorAll('button')]"
              ".find(b => b.textContent === arguments[1]).click()", job, text)


class Page(WithBrowser):
    def test_generate_play_extend_and_remove(self):
        b = self.browser
        b.open(self.address)
        b.wait("return document.getElementById('estimate').textContent.includes('frames')")
        b.type("#prompt", "a xylophone")
        b.wait("return document.getElementById('unknown').textContent.includes('xylophone')")
        self.ask_for("a red ball", seed=3)
        job = self.state("done")
        self.assertEqual(b.run("return document.querySelectorAll('video').length"), 0)  # no clip comes unasked
        b.wait("const i = document.querySelector('.clip img'); return i && i.complete && i.naturalWidth === 64")
        b.picture("done")
        b.click(".clip")
        b.wait("const v = document.querySelector('video'); return v && v.readyState >= 2 && v.videoWidth === 64 && v.duration > 0.4")
        self.press(job, "Extend")
        b.wait("return document.getElementById('estimate').textContent.includes('16 frames')")
        b.picture("extend")
        b.click("#ask button[type=submit]")
        longer = self.browser.wait("const j = document.querySelectorAll('#jobs > li'); return j.length === 2 && "
                                   "j[0].dataset.state === 'done' && j[0].id")
        self.assertEqual(self.ask("GET", f"/api/jobs/{longer}")[2]["frames"], 16)
        self.press(job, "Remove")
        b.wait("return document.querySelectorAll('#jobs > li').length === 1")
        self.assertEqual(b.run("return document.getElementById('problem').textContent"), "")

    def test_a_picture_is_given(self):
        b = self.browser
        b.open(self.address)
        b.wait("return document.getElementById('estimate').textContent.includes('frames')")
        with tempfile.NamedTemporaryFile(suffix=".png") as file:
            file.write(png(64, 64, (200, 30, 30)))
            file.flush()
            b.type("#file", file.name)
            b.wait("return document.querySelectorAll('#given li').length === 1")
        self.ask_for("a red ball")
        job = self.state("done")
        self.assertIn("image", self.ask("GET", f"/api/jobs/{job}")[2]["request"])

    def test_reload_and_a_killed_server_during_a_job_and_cancel(self):
        b = self.browser
        b.open(self.address)
        b.wait("return document.getElementById('estimate').textContent.includes('frames')")
        self.ask_for("a red ball", steps=9000)
        job = self.state("running")
        b.wait("const i = document.querySelector('.preview'); return i && !i.hidden && i.naturalWidth > 0")
        b.open(self.address)
        self.assertEqual(self.state("running"), job)
        b.wait("return document.querySelector('progress') && document.querySelector('progress').value > 0")
        b.picture("running")
        self.server.port_to_take = self.server.port
        self.server.end(signal.SIGKILL)
        self.server.start()
        self.assertEqual(self.state("running"), job)  # the page finds it again by itself
        self.press(job, "Cancel")
        self.assertEqual(self.state("cancelled"), job)
        self.assertEqual(self.ask("GET", f"/api/jobs/{job}")[2]["state"], "cancelled")


@unittest.skipUnless(DRIVER and BROWSER, "chromium and chromium-driver are not installed")
class Views(WithBrowser):
    def setUp(self):
        self.offered = tempfile.TemporaryDirectory(prefix="zoetrope adapters ")
        self.addCleanup(self.offered.cleanup)
        lora(self.offered.name + "/style.safetensors")
        self.flags = ("--adapter", self.offered.name, "--bench", str(SOURCE / "bench/results/epyc-2-ops.json"))
        super().setUp()

    def test_plan_machine_receipt_and_adapters(self):
        b = self.browser
        b.open(self.address)
        b.wait("return document.getElementById('estimate').textContent.includes('frames')")
        self.assertFalse(b.run("return document.getElementById('adapters').hidden"))
        b.click("#adapters input[type=checkbox]")
        b.run("arguments[0].value = '0.5'", {ELEMENT: b.find("#adapters input[type=number]")})
        self.ask_for("a red ball", seed=3)
        job = self.state("done")
        self.assertEqual(self.ask("GET", f"/api/jobs/{job}")[2]["request"]["adapters"], [{"name": "style", "strength": 0.5}])
        shown = ("const r = document.querySelector(arguments[0] + ' .report').shadowRoot;"
                 "return r && r.querySelector('svg') && r.textContent.includes(arguments[1]) && "
                 "getComputedStyle(r.querySelector('h2')).borderBottomStyle === 'solid'")  # the style came, too
        b.click("#plan summary")
        b.wait(shown, "#plan", "Time by kernel")
        b.click("#machine summary")
        b.wait(shown, "#machine", "zoetrope bench")
        self.assertTrue(b.run("return document.querySelector('#machine .report').shadowRoot.textContent.includes('This machine')"))
        b.click("#jobs details summary")
        b.wait("return document.querySelector('#jobs pre').textContent.includes('\"style.safetensors\"')")
        b.picture("views")


@unittest.skipUnless(DRIVER and BROWSER, "chromium and chromium-driver are not installed")
class Users(Case):
    def setUp(self):
        self.keys = tempfile.NamedTemporaryFile("w")
        self.addCleanup(self.keys.close)
        for name in ("ann", "bob"):
            self.keys.write(f"{name} sha256:{hashlib.sha256(('key-of-' + name).encode()).hexdigest()}\n")
        self.keys.flush()
        os.chmod(self.keys.name, 0o600)
        self.flags = ("--api-keys", self.keys.name)
        super().setUp()

    def test_two_users_see_their_own_jobs(self):
        seen = []
        for name in ("ann", "bob"):
            browser = Browser()
            self.addCleanup(browser.close)
            browser.open(f"http://127.0.0.1:{self.server.port}/")
            browser.wait("return document.getElementById('key').open")
            browser.type("#secret", "key-of-" + name)
            browser.click("#key button")
            browser.wait("return document.getElementById('estimate').textContent.includes('frames')")
            for field, value in (("prompt", "a ball of " + name), ("steps", 2), ("width", 64), ("height", 64), ("frames", 8)):
                browser.type("#" + field, value)
            browser.click("#ask button[type=submit]")
            seen.append(browser)
        for browser, name in zip(seen, ("ann", "bob")):
            browser.wait("return document.querySelector('li[data-state=done] img')")
            self.assertEqual(browser.run("return [...document.querySelectorAll('#jobs > li > p:first-of-type')]"
                                         ".map(p => p.textContent)"), ["a ball of " + name])


if __name__ == "__main__":
    main()
