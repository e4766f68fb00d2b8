#!/usr/bin/env python3
"""`zoetrope serve` as clients and operators meet it: over its port, killed and started again.

usage: serve_test.py ZOETROPE MODEL.zoe SOURCE_FOLDER
"""
import http.client
import json
import os
import re
import shlex
import signal
import socket
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

    def start(self):
        if self.process is not None:
            self.process.stderr.close()
        command = [COMMAND, "serve", "--model", MODEL, "--port", "0", "--data", str(self.folder / "data"), "--device",
                   "cpu", "--threads", "1", *self.flags]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
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
            self.log.append(json.loads(line))

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

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="zoetrope serve ")
        self.server = Server(self.folder.name, *self.flags).start()
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


class Native(Case):
    def test_a_job_from_plan_to_clip(self):
        status, _, plan = self.ask("POST", "/api/plan", SMALL)
        self.assertEqual(status, 200)
        self.assertEqual((plan["width"], plan["frames"], plan["steps"]), (64, 8, 2))
        self.assertGreater(plan["peak_bytes"], 0)
        self.assertGreater(plan["estimated_seconds"], 0)
        self.assertEqual(self.in_database(), {})  # planning leaves nothing
        job = self.submit(SMALL)
        view = self.server.wait(job, "done")
        self.assertEqual((view["prompt"], view["seed"], view["request"]["steps"]), ("a red ball", 3, 2))
        status, headers, clip = self.ask("GET", view["result"]["url"])
        self.assertEqual((status, headers["Content-Type"]), (200, "video/mp4"))
        self.assertEqual(clip[4:8], b"ftyp")
        status, headers, part = self.ask("GET", view["result"]["url"], headers={"Range": "bytes=4-7"})
        self.assertEqual((status, part), (206, b"ftyp"))
        out = Path(self.folder.name) / "own.mp4"  # the bits that the command makes
        subprocess.run([COMMAND, "generate", "a red ball", "--model", MODEL, "--width", "64", "--height", "64", "--frames",
                        "8", "--steps", "2", "--seed", "3", "--device", "cpu", "--threads", "1", "--quiet", "-o", out],
                       check=True)
        self.assertEqual(out.read_bytes(), clip)
        self.assertEqual(list((self.server.folder / "data/jobs" / job).iterdir()),
                         [self.server.folder / "data/jobs" / job / "clip.mp4"])  # no checkpoint is left
        status, _, _ = self.ask("DELETE", f"/api/jobs/{job}")
        self.assertEqual(status, 204)
        self.assertEqual(self.ask("GET", f"/api/jobs/{job}")[0], 404)
        self.assertFalse((self.server.folder / "data/jobs" / job).exists())

    def test_what_the_model_has_is_told(self):
        status, _, model = self.ask("GET", "/api/model")
        self.assertEqual(status, 200)
        self.assertIn("ball", model["vocabulary"])
        self.assertEqual(model["clip"]["width"]["max"], 160)
        self.assertEqual(self.ask("GET", "/healthz")[2], {"status": "ok"})
        self.assertEqual(self.ask("GET", "/readyz")[2], {"status": "ready"})

    def test_wrong_requests_are_named(self):
        for request, status, word in (({"stepz": 3}, 400, "stepz"), ({**SMALL, "steps": 0}, 400, "steps"),
                                      ({**SMALL, "prompt": "x" * 9000}, 400, "8192"),
                                      ({**SMALL, "classes": ["1", "2"]}, 400, "classes"), ([], 400, "object"),
                                      ({**SMALL, "width": 4000}, 422, "160"),
                                      ({**SMALL, "memory_budget": 1000}, 422, "budget")):
            for path in ("/api/plan", "/api/jobs"):
                found, _, answer = self.ask("POST", path, request)
                self.assertEqual(found, status, answer)
                self.assertIn(word, answer["error"]["message"])
        for body, headers, status in (("{", {"Content-Type": "application/json"}, 400), ("{}", {}, 400),
                                      (b"\xff\xfe{}", {"Content-Type": "application/json"}, 400),
                                      ("x" * (2 << 20), {"Content-Type": "application/json"}, 413)):
            self.assertEqual(self.ask("POST", "/api/jobs", body, headers)[0], status)
        self.assertEqual(self.ask("GET", "/nowhere")[0], 404)
        self.assertEqual(self.ask("GET", "/api/jobs/video_nobody")[0], 404)
        self.assertEqual(self.ask("GET", "/api/jobs?limit=0")[0], 400)
        self.assertEqual(self.in_database(), {})

    def test_events_tell_of_progress_until_the_end(self):
        job = self.submit({**SMALL, "steps": 12})
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60 * PATIENCE)
        connection.request("GET", f"/api/jobs/{job}/events")
        answer = connection.getresponse()
        self.assertEqual(answer.getheader("Content-Type"), "text/event-stream")
        events = [json.loads(line[5:]) for line in answer.read().decode().splitlines() if line.startswith("data:")]
        connection.close()
        self.assertEqual(events[-1]["state"], "done")
        tasks = [e["progress"]["task"] for e in events if e.get("progress")]
        self.assertIn("denoise", tasks)
        left = [e["progress"]["seconds_left"] for e in events if e.get("progress") and e["progress"]["seconds_left"]]
        self.assertTrue(left and min(left) >= 0)

    def test_cancelling_a_waiting_and_a_running_job(self):
        running, waiting = self.submit(LONG), self.submit(SMALL)
        self.server.wait(running, "running")
        self.assertEqual(self.ask("GET", f"/api/jobs/{waiting}")[2]["ahead"]["jobs"], 1)
        self.assertEqual(self.ask("GET", f"/api/jobs/{waiting}/result")[0], 409)
        self.assertEqual(self.ask("POST", f"/api/jobs/{waiting}/cancel")[2]["state"], "cancelled")
        self.assertEqual(self.ask("POST", f"/api/jobs/{running}/cancel")[0], 202)
        self.server.wait(running, "cancelled")
        self.assertEqual(self.server.wait(self.submit(SMALL), "done", "failed")["state"], "done")  # it works on
        self.assertEqual(self.ask("GET", f"/api/jobs/{waiting}")[2]["state"], "cancelled")
        metrics = self.ask("GET", "/metrics")[2].decode()
        self.assertIn('zoetrope_jobs{state="cancelled"} 2\n', metrics)
        self.assertIn('zoetrope_jobs{state="done"} 1\n', metrics)
        other = self.submit(LONG)
        self.server.wait(other, "running")
        self.assertEqual(self.ask("DELETE", f"/api/jobs/{other}")[0], 204)  # ends it first
        self.assertNotIn(other, self.in_database())

    def raw(self, *parts):
        """What the server says to these bytes before it closes."""
        answer = b""
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=60 * PATIENCE) as connection:
            try:
                for part in parts:
                    connection.sendall(part)
                while got := connection.recv(1 << 16):
                    answer += got
            except (BrokenPipeError, ConnectionResetError):
                pass  # it closed before all was sent
        return answer

    def test_a_body_of_unsaid_length_is_refused(self):
        head = b"POST /api/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        chunked = head + b"Transfer-Encoding: chunked\r\n\r\n"
        self.assertIn(b" 411 ", self.raw(chunked).split(b"\r\n")[0])
        self.assertIn(b" 411 ", self.raw(head + b"\r\n").split(b"\r\n")[0])
        body = json.dumps({**SMALL, "negative": "x"}).encode()
        large = body + b" " * ((2 << 20) - len(body))  # JSON that would be taken
        chunks = [b"%x\r\n%s\r\n" % (1 << 16, large[at:at + (1 << 16)]) for at in range(0, len(large), 1 << 16)]
        self.assertNotIn(b" 201 ", self.raw(chunked, *chunks, b"0\r\n\r\n"))
        self.assertEqual(self.in_database(), {})

    def test_a_refused_body_is_not_taken_for_a_request(self):
        body = json.dumps(SMALL).encode()
        hidden = (b"POST /api/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                  b"Content-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(body), body))
        answer = self.raw(b"POST /api/jobs HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\n"
                          b"Content-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s" % (len(hidden), hidden))
        self.assertNotIn(b" 201 ", answer)
        self.assertEqual(self.in_database(), {})

    def test_a_port_belongs_to_one_server(self):
        other = subprocess.run([COMMAND, "serve", "--model", MODEL, "--port", str(self.server.port), "--data",
                                self.folder.name + "/other"], capture_output=True, text=True, timeout=20 * PATIENCE)
        self.assertEqual(other.returncode, 4, other.stderr)
        self.assertIn("cannot listen", other.stderr)

    def test_what_is_written_is_private_and_what_is_there_is_left(self):
        data = self.server.folder / "data"
        self.assertEqual([os.stat(data / name).st_mode & 0o777 for name in ("", "jobs", "jobs.sqlite", "jobs.sqlite-wal")],
                         [0o700, 0o700, 0o600, 0o600])
        self.server.end()
        os.chmod(data, 0o755)
        os.chmod(data / "jobs", 0o755)
        self.server.start()
        self.assertEqual([os.stat(data / name).st_mode & 0o777 for name in ("", "jobs")], [0o755, 0o700])

    def test_notices_are_in_the_log_without_words_of_the_prompt(self):
        self.server.wait(self.submit({**SMALL, "prompt": "a xylophone"}), "done")
        notices = [e for e in self.server.log if e["event"] == "job notice"]
        self.assertTrue(notices)
        self.assertNotIn("xylophone", json.dumps(self.server.log))

    def test_pages_of_other_sites_are_refused(self):
        for headers in ({"Origin": "http://evil.example"}, {"Host": "evil.example"}, {"Origin": "null"}):
            self.assertEqual(self.ask("POST", "/api/jobs", SMALL, headers)[0], 403, headers)
        own = {"Origin": f"http://127.0.0.1:{self.server.port}"}
        self.assertEqual(self.ask("POST", "/api/plan", SMALL, own)[0], 200)

    def test_the_page_asks_nobody_else(self):
        for path, kind in (("/", "text/html"), ("/page.css", "text/css"), ("/page.js", "text/javascript")):
            status, headers, body = self.ask("GET", path)
            self.assertEqual(status, 200)
            self.assertTrue(headers["Content-Type"].startswith(kind))
            self.assertIn("default-src 'none'", headers["Content-Security-Policy"])
            self.assertNotRegex(body.decode(), r"(https?:)?//[a-z]")
            source = SOURCE / "runtime/serve/page" / (path[1:] or "index.html")
            self.assertEqual(body, source.read_bytes())


def steps_in(checkpoint):
    return sorted(int(p.name.split("step-")[1][:5]) for p in checkpoint.glob("*.step-*.safetensors"))


class Restarts(Case):
    def first_step(self, job):
        """Steps done when the first of this process is."""
        until = time.monotonic() + 60 * PATIENCE
        while time.monotonic() < until:
            view = self.ask("GET", f"/api/jobs/{job}")[2]
            progress = view.get("progress") or {}
            if progress.get("task") == "denoise" and progress["done"] > 0:  # it begins to count at 0
                return progress["done"]
            self.assertIn(view["state"], ("queued", "running"))
            time.sleep(0.002)
        raise AssertionError("no denoising was seen")

    def test_a_killed_server_loses_no_job_and_goes_on_from_its_step(self):
        first, second = self.submit({**LONG, "steps": 40}), self.submit(SMALL)
        checkpoint = self.server.folder / "data/jobs" / first / "checkpoint"
        until = time.monotonic() + 60 * PATIENCE
        while max(steps_in(checkpoint), default=0) < 12 and time.monotonic() < until:
            time.sleep(0.01)
        self.assertEqual(self.server.end(signal.SIGKILL), -signal.SIGKILL)
        steps = steps_in(checkpoint)
        self.assertGreaterEqual(steps[-1], 12)
        self.assertFalse((self.server.folder / "data/jobs" / first / "clip.mp4").exists())
        self.server.start()
        done = self.first_step(first)
        self.assertGreaterEqual(done, steps[-1])
        view = self.server.wait(first, "done", "failed")
        self.assertEqual(view["state"], "done", view)
        resumed = [e["message"] for e in self.server.log if e["event"] == "job resumed"]
        self.assertEqual(resumed, [f"after step {steps[-1]}"])
        self.assertEqual(self.server.wait(second, "done", "failed")["state"], "done")
        order = [e["id"] for e in self.server.log if e["event"] == "job running"]
        self.assertEqual(order, [first, first, second])
        clip = self.ask("GET", view["result"]["url"])[2]
        again = self.server.wait(self.submit({**LONG, "steps": 40}), "done", "failed")
        self.assertEqual(self.ask("GET", again["result"]["url"])[2], clip)  # the bits of one that was never killed

    def test_ending_politely_keeps_the_running_job(self):
        job = self.submit({**LONG, "steps": 60})
        self.server.wait(job, "running")
        self.assertEqual(self.server.end(), 0)
        self.assertIn("job interrupted", [e["event"] for e in self.server.log])
        self.assertEqual(self.in_database(), {job: 0})
        self.server.start()
        self.assertEqual(self.server.wait(job, "done", "failed")["state"], "done")

    def test_a_damaged_checkpoint_costs_only_its_steps(self):
        job = self.submit({**LONG, "steps": 30})
        checkpoint = self.server.folder / "data/jobs" / job / "checkpoint"
        until = time.monotonic() + 60 * PATIENCE
        while len(list(checkpoint.glob("*.step-*"))) < 2 and time.monotonic() < until:
            time.sleep(0.01)
        self.server.end(signal.SIGKILL)
        (checkpoint / "job.json").write_text("{")
        self.server.start()
        self.assertEqual(self.server.wait(job, "done", "failed")["state"], "done")

    def killed_at(self, job, step):
        checkpoint = self.server.folder / "data/jobs" / job / "checkpoint"
        until = time.monotonic() + 60 * PATIENCE
        while max(steps_in(checkpoint), default=0) < step and time.monotonic() < until:
            time.sleep(0.01)
        self.server.end(signal.SIGKILL)
        self.assertGreaterEqual(steps_in(checkpoint)[-1], step)
        return sorted(checkpoint.glob("*.step-*.safetensors"))

    def test_a_damaged_newest_step_costs_only_what_came_after_the_one_before(self):
        job = self.submit({**LONG, "steps": 30})
        states = self.killed_at(job, 6)
        states[-1].write_bytes(states[-1].read_bytes()[:-100])
        self.server.start()
        self.assertEqual(self.server.wait(job, "done", "failed")["state"], "done")
        self.assertEqual([e["message"] for e in self.server.log if e["event"] == "job resumed"],
                         [f"after step {int(states[-2].name.split('step-')[1][:5])}"])

    def test_a_job_with_no_readable_step_begins_anew(self):
        job = self.submit({**LONG, "steps": 30})
        for state in self.killed_at(job, 6):
            state.write_bytes(b"nothing")
        self.server.start()
        self.assertEqual(self.server.wait(job, "done", "failed")["state"], "done")
        self.assertEqual([e for e in self.server.log if e["event"] == "job resumed"], [])

    def test_a_job_that_ends_the_process_every_time_is_given_up(self):
        job, other = self.submit({**LONG, "steps": 4000}), self.submit(SMALL)
        for _ in range(3):
            self.server.wait(job, "running")
            self.server.end(signal.SIGKILL)
            self.server.start()
        view = self.server.wait(job, "failed", "done", "running")
        self.assertEqual(view["state"], "failed")
        self.assertIn("3 times", view["error"]["message"])
        self.assertEqual(self.server.wait(other, "done", "failed")["state"], "done")

    def test_being_ended_politely_is_no_attempt(self):
        job = self.submit({**LONG, "steps": 4000})
        for _ in range(4):
            self.server.wait(job, "running")
            self.server.end()
            self.server.start()
        self.server.wait(job, "running")

    def test_a_database_of_the_first_format_is_read(self):
        job = self.submit(SMALL)
        self.server.wait(job, "done")
        self.server.end()
        with sqlite3.connect(self.server.folder / "data/jobs.sqlite") as database:
            database.execute("ALTER TABLE jobs DROP COLUMN attempts")
            database.execute("PRAGMA user_version = 1")
        self.server.start()
        self.assertEqual(self.ask("GET", f"/api/jobs/{job}")[2]["state"], "done")
        self.server.wait(self.submit(SMALL), "done")

    def test_a_folder_belongs_to_one_server(self):
        other = subprocess.run([COMMAND, "serve", "--model", MODEL, "--port", "0", "--data",
                                str(self.server.folder / "data")], capture_output=True, text=True, timeout=60 * PATIENCE)
        self.assertEqual(other.returncode, 4)
        self.assertIn("in use", other.stderr)


class Queue(Case):
    flags = ("--queue", "2")

    def test_a_full_queue_says_when_to_come_back(self):
        running = self.submit(LONG)
        self.server.wait(running, "running")
        for _ in range(2):
            self.submit(SMALL)
        status, headers, answer = self.ask("POST", "/api/jobs", SMALL)
        self.assertEqual(status, 429)
        self.assertGreaterEqual(int(headers["Retry-After"]), 1)
        self.assertIn("queue is full", answer["error"]["message"])
        self.assertEqual(len(self.in_database()), 3)


class Keys(Case):
    KEYS = {"ann": "key-of-ann-0123456789#with-a-hash", "bob": "key-of-bob-0123456789"}

    def setUp(self):
        self.keys = tempfile.NamedTemporaryFile("w", suffix=".keys")
        self.keys.write("# who may ask\n" + "".join(f"{name} {key}\n" for name, key in self.KEYS.items()))
        self.keys.flush()
        os.chmod(self.keys.name, 0o600)
        self.flags = ("--api-keys", self.keys.name)
        super().setUp()

    def tearDown(self):
        super().tearDown()
        self.keys.close()

    def as_user(self, name, method, path, body=None):
        return self.ask(method, path, body, {"Authorization": "Bearer " + self.KEYS[name]})

    def test_owners_see_their_own_jobs_alone(self):
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer "},
                        {"Authorization": "Basic " + self.KEYS["ann"]}):
            for path in ("/api/jobs", "/v1/videos", "/api/model", "/metrics"):
                self.assertEqual(self.ask("GET", path, headers=headers)[0], 401)
        self.assertEqual(self.ask("GET", "/healthz")[0], 200)
        self.assertEqual(self.ask("GET", "/")[0], 200)  # the page asks for the key
        status, _, job = self.as_user("ann", "POST", "/api/jobs", SMALL)
        self.assertEqual(status, 201)
        self.assertEqual([j["id"] for j in self.as_user("ann", "GET", "/api/jobs")[2]["jobs"]], [job["id"]])
        self.assertEqual(self.as_user("bob", "GET", "/api/jobs")[2]["jobs"], [])
        for method, path in (("GET", ""), ("GET", "/result"), ("GET", "/events"), ("POST", "/cancel"), ("DELETE", "")):
            self.assertEqual(self.as_user("bob", method, f"/api/jobs/{job['id']}{path}")[0], 404, path)
        self.assertEqual(self.as_user("bob", "GET", f"/v1/videos/{job['id']}/content")[0], 404)
        self.assertFalse([e for e in self.server.log if "prompt" in e])  # logs hold no prompts
        self.assertFalse(any(key in json.dumps(self.server.log) for key in self.KEYS.values()))

    def test_what_would_be_open_to_all_is_refused(self):
        def refused(*flags):
            done = subprocess.run([COMMAND, "serve", "--model", MODEL, "--port", "0", "--data", self.folder.name + "/b",
                                   *flags], capture_output=True, text=True, timeout=60 * PATIENCE)
            self.assertEqual(done.returncode, 2, done.stderr)
            return done.stderr
        self.assertIn("--api-keys", refused("--host", "0.0.0.0"))
        self.assertIn("--queue-per-key", refused("--queue-per-key", "3"))
        os.chmod(self.keys.name, 0o644)
        self.assertIn("others may read", refused("--api-keys", self.keys.name))


class OpenAi(Case):
    def test_a_video_as_openai_s_clients_ask_for_it(self):
        request = {"prompt": "a red ball", "model": "toybox", "seconds": "0.5", "size": "64x64"}
        status, _, video = self.ask("POST", "/v1/videos", request)
        self.assertEqual(status, 200, video)
        self.assertEqual((video["object"], video["size"], video["seconds"], video["model"]),
                         ("video", "64x64", "0.5", "toybox"))
        self.assertIn(video["status"], ("queued", "in_progress"))
        done = self.server.wait(video["id"], "completed", "failed", path="/v1/videos/", key="status")
        self.assertEqual((done["status"], done["progress"], done["error"]), ("completed", 100, None))
        self.assertGreaterEqual(done["completed_at"], done["created_at"])
        status, headers, clip = self.ask("GET", f"/v1/videos/{video['id']}/content?variant=video")
        self.assertEqual((status, headers["Content-Type"], clip[4:8]), (200, "video/mp4", b"ftyp"))
        self.assertEqual(self.ask("GET", f"/v1/videos/{video['id']}/content?variant=spritesheet")[0], 400)
        status, _, deleted = self.ask("DELETE", f"/v1/videos/{video['id']}")
        self.assertEqual(deleted, {"id": video["id"], "object": "video.deleted", "deleted": True})
        self.assertEqual(self.ask("GET", f"/v1/videos/{video['id']}")[0], 404)

    def test_forms_and_lists(self):
        def form(**fields):
            parts = "".join(f'--b\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'
                            for key, value in fields.items())
            return self.ask("POST", "/v1/videos", parts + "--b--\r\n", {"Content-Type": "multipart/form-data; boundary=b"})
        running = self.submit(LONG)
        made = [form(prompt=f"a red ball {n}", size="64x64")[2]["id"] for n in range(3)]
        status, _, page = self.ask("GET", "/v1/videos?limit=2")
        self.assertEqual([v["id"] for v in page["data"]], made[:0:-1])
        self.assertEqual((page["first_id"], page["last_id"], page["has_more"]), (made[2], made[1], True))
        _, _, rest = self.ask("GET", f"/v1/videos?limit=2&after={page['last_id']}")
        self.assertEqual(([v["id"] for v in rest["data"]], rest["has_more"]), ([made[0], running], False))
        _, _, oldest = self.ask("GET", "/v1/videos?limit=1&order=asc")
        self.assertEqual(oldest["data"][0]["id"], running)
        upload = ('--b\r\nContent-Disposition: form-data; name="input_reference"; filename="a.png"\r\n\r\nx\r\n--b--\r\n')
        status, _, answer = self.ask("POST", "/v1/videos", upload, {"Content-Type": "multipart/form-data; boundary=b"})
        self.assertEqual(status, 400)
        self.assertIn("input_reference", answer["error"]["message"])

    def test_wrong_requests_have_openai_s_errors(self):
        for request, status, word in (({}, 400, "prompt"), ({"prompt": "x", "size": "64"}, 400, "WIDTHxHEIGHT"),
                                      ({"prompt": "x", "seconds": "-1"}, 400, "seconds"),
                                      ({"prompt": "x", "seconds": 4}, 400, "seconds"),
                                      ({"prompt": "x", "model": "sora-2"}, 404, "toybox"),
                                      ({"prompt": "x", "size": "4000x4000"}, 422, "160"),
                                      ({"prompt": "x", "n": "2"}, 400, "'n'")):
            found, _, answer = self.ask("POST", "/v1/videos", request)
            self.assertEqual(found, status, answer)
            self.assertIn(word, answer["error"]["message"])
            self.assertEqual(answer["error"]["type"], "invalid_request_error")
        self.assertEqual(self.ask("GET", "/v1/videos?order=up")[0], 400)


class Readme(unittest.TestCase):
    def test_the_block_runs_as_it_stands(self):
        page = (SOURCE / "README.md").read_text()
        block = re.search(r"## As a service.*?```\n(.*?)```", page, re.S)[1]
        lines = [line.split("   #")[0].strip() for line in block.splitlines() if line.strip()]
        self.assertEqual(lines[0], "zoetrope serve")
        with tempfile.TemporaryDirectory() as folder:
            with socket.socket() as probe:
                try:
                    probe.bind(("127.0.0.1", 8080))
                except OSError:
                    self.skipTest("port 8080 is taken here")
            environment = {**os.environ, "XDG_DATA_HOME": folder, "ZOETROPE_MODEL": MODEL}
            server = subprocess.Popen([COMMAND, *shlex.split(lines[0])[1:]], env=environment, stderr=subprocess.PIPE,
                                      text=True)
            try:
                self.assertEqual(json.loads(server.stderr.readline())["url"], "http://127.0.0.1:8080/")
                for line in lines[1:]:
                    words = shlex.split(line)
                    self.assertEqual(words[0], "curl", line)
                    body = words[words.index("-d") + 1] if "-d" in words else None
                    url = next(w for w in words if w.startswith("http"))
                    connection = http.client.HTTPConnection("127.0.0.1", 8080, timeout=60 * PATIENCE)
                    connection.request("POST" if body else "GET", url.split(":8080")[1], body,
                                       {"Content-Type": "application/json"} if body else {})
                    answer = connection.getresponse()
                    self.assertEqual(answer.status, 200, answer.read())
                    connection.close()
            finally:
                server.terminate()
                server.wait(timeout=60 * PATIENCE)
                server.stderr.close()


if __name__ == "__main__":
    result = unittest.main(argv=sys.argv[:1] + sys.argv[4:], exit=False).result
    for test, reason in result.skipped:
        print(f"SKIPPED {test.id()}: {reason}")
    sys.exit(0 if result.wasSuccessful() else 1)
