"""A server to test: started and killed at will, asked over its port. What tests here share."""
import http.client
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path

COMMAND, MODEL, SOURCE = sys.argv[1], sys.argv[2], Path(sys.argv[3])
PATIENCE = int(os.environ.get("ZOETROPE_PATIENCE", "1"))
SMALL = {"prompt": "a red ball", "width": 64, "height": 64, "frames": 8, "steps": 2, "seed": 3}
LONG = {**SMALL, "steps": 400}


class Server:
    """One process; started and killed at will, on the same folder."""

    def __init__(self, folder, *flags):
        self.folder, self.flags, self.process, self.log = Path(folder), flags, None, []
        self.strange = []  # lines that are none of the log: a sanitizer's
        self.port_to_take = 0  # 0: one that is free
        self.limits = None  # set in the process before it is the command
        self.model = MODEL

    def start(self):
        if self.process is not None:
            self.process.stderr.close()
        command = [COMMAND, "serve", "--model", self.model, "--port", str(self.port_to_take), "--data", str(self.folder / "data"),
                   *(() if "--device" in self.flags else ("--device", "cpu", "--threads", "1")), *self.flags]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=self.limits)
        for line in self.process.stderr:
            self.log.append(json.loads(line))
            if self.log[-1]["event"] == "listening":
                break
        else:
            raise AssertionError(f"it ended with {self.process.wait()}: {self.log}")
        self.port = int(re.search(r":(\d+)/$", self.log[-1]["url"])[1])
        self.reader = threading.Thread(target=self._read, args=(self.process,), daemon=True)
        self.reader.start()
        return self

    def _read(self, process):
        for line in process.stderr:
            try:
                self.log.append(json.loads(line))
            except ValueError:
                self.strange.append(line)

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        code = self.process.wait(timeout=60 * PATIENCE)
        self.reader.join()
        return code

    def ask(self, method, path, body=None, headers=None, raw=False):
        """Status, headers and body: parsed where it is JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60 * PATIENCE)
        headers = dict(headers or {})
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
            headers.setdefault("Content-Type", "application/json")
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        if not raw and answer.getheader("Content-Type", "").startswith("application/json"):
            data = json.loads(data)
        return answer.status, answer.headers, data

    def state_of(self, job):
        """In the database: whether the server lives or not."""
        with sqlite3.connect(self.folder / "data/jobs.sqlite") as database:
            return ("queued", "running", "done", "failed", "cancelled")[database.execute(
                "SELECT state FROM jobs WHERE id = ?", (job,)).fetchone()[0]]

    def wait(self, job, *states, path="/api/jobs/", key="state"):
        until = time.monotonic() + 120 * PATIENCE
        while time.monotonic() < until:
            status, _, view = self.ask("GET", path + job)
            if status == 200 and view[key] in states:
                return view
            time.sleep(0.05)
        raise AssertionError(f"{job} did not become {states}: {view}")


class Case(unittest.TestCase):
    flags = ()
    place = None  # where the server keeps its files; None: a folder of the test's own

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="zoetrope serve ")
        self.server = Server(self.place or self.folder.name, *self.flags).start()
        self.ask = self.server.ask

    def tearDown(self):
        if self.server.process.poll() is None:
            self.server.end(signal.SIGKILL)
        self.server.process.stderr.close()
        self.folder.cleanup()

    def submit(self, request):
        status, _, job = self.ask("POST", "/api/jobs", request)
        self.assertEqual(status, 201, job)
        return job["id"]

    def in_database(self):
        with sqlite3.connect(self.server.folder / "data/jobs.sqlite") as database:
            return dict(database.execute("SELECT id, state FROM jobs"))


def form(fields=(), files=()):
    """A multipart body and its headers. files: (name, bytes, filename)."""
    parts = [(f'form-data; name="{key}"', value.encode()) for key, value in dict(fields).items()]
    parts += [(f'form-data; name="{key}"; filename="{name}"', data) for key, data, name in files]
    body = b"".join(b"--b\r\nContent-Disposition: %s\r\n\r\n%s\r\n" % (head.encode(), data) for head, data in parts)
    return body + b"--b--\r\n", {"Content-Type": "multipart/form-data; boundary=b"}


def main():
    result = unittest.main(argv=sys.argv[:1] + sys.argv[4:], exit=False).result
    for test, reason in result.skipped:
        print(f"SKIPPED {test.id()}: {reason}")
    sys.exit(0 if result.wasSuccessful() else 1)
