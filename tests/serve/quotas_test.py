#!/usr/bin/env python3
"""What `zoetrope serve` grants, as its operator says: places in the queue, requests a minute, room on the disk for so long,
and to whom.

usage: quotas_test.py ZOETROPE MODEL.zoe SOURCE_FOLDER
"""
import hashlib
import io
import json
import os
import re
import signal
import sqlite3
import subprocess
import tempfile
import time
import wave
from pathlib import Path

from given_test import png
from server import COMMAND, LONG, MODEL, PATIENCE, SMALL, Case, form, main


RED = png(64, 64, (200, 30, 30))


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


class Rates(Case):
    flags = ("--rate", "3")

    def test_too_many_requests_wait(self):
        self.assertEqual([self.ask("POST", "/api/plan", SMALL)[0] for _ in range(3)], [200] * 3)
        status, headers, answer = self.ask("POST", "/api/jobs", SMALL)
        self.assertEqual((status, self.in_database()), (429, {}))
        self.assertTrue(1 <= int(headers["Retry-After"]) <= 20)
        self.assertIn("3 requests a minute", answer["error"]["message"])
        self.assertEqual(self.ask("GET", "/api/jobs")[0], 200)  # looking is free
        self.assertEqual(self.ask("POST", "/api/jobs/video_0/cancel")[0], 404)  # cancelling, too
        poll = "/v1beta1/publishers/google/models/toybox:fetchPredictOperation"
        self.assertEqual(self.ask("POST", poll, {"operationName": "x/video_0"})[0], 404)  # and polling


class SlowRate(Case):
    flags = ("--rate", "0.5")

    def test_less_than_one_a_minute_is_one_now_and_then(self):
        self.assertEqual(self.ask("POST", "/api/plan", SMALL)[0], 200)
        status, headers, _ = self.ask("POST", "/api/plan", SMALL)
        self.assertEqual(status, 429)
        self.assertTrue(60 < int(headers["Retry-After"]) <= 120)


class Kept(Case):
    flags = ("--keep", "0.00002", "--disk", "40k")  # 1.7 seconds

    def test_ended_jobs_go_after_their_time(self):
        view = self.server.wait(self.submit(SMALL), "done")
        self.assertEqual(view["expires"], view["finished"] + 1)
        until = time.monotonic() + 60 * PATIENCE
        while self.in_database() and time.monotonic() < until:
            time.sleep(0.2)
        self.assertEqual(self.in_database(), {})
        self.assertEqual(list((self.server.folder / "data/jobs").iterdir()), [])


class Disk(Case):
    flags = ("--disk", "50k")

    def test_what_ended_first_makes_room(self):
        made = [self.submit({**SMALL, "seed": seed}) for seed in range(6)]
        for job in made:
            self.server.wait(job, "done", "failed")
        last = self.submit(SMALL)  # asking looks at the disk
        self.server.wait(last, "done")
        kept = [job for job in made if job in self.in_database()]
        self.assertTrue(0 < len(kept) < 6)
        self.assertEqual(kept, made[-len(kept):])
        checkpoint = self.server.folder / "data/jobs" / last / "checkpoint"
        until = time.monotonic() + 20 * PATIENCE
        while checkpoint.exists() and time.monotonic() < until:  # it goes when its end is known
            time.sleep(0.01)
        size = sum(p.stat().st_size for p in (self.server.folder / "data/jobs").rglob("*") if p.is_file())
        self.assertLess(size, 70 << 10)


    def disk_bytes(self):
        return int(re.search(r"^zoetrope_disk_bytes (\d+)$", self.ask("GET", "/metrics")[2].decode(), re.M)[1])

    def test_what_a_job_is_given_is_kept_before_room_is_made(self):
        first = self.submit(SMALL)
        self.server.wait(first, "done")
        while self.disk_bytes() <= 50 << 10:
            self.server.wait(self.submit({**SMALL, "seed": self.disk_bytes()}), "done")
        longer = self.submit({**SMALL, "extend": {"job": first}})
        self.assertNotIn(first, self.in_database())  # it made room
        self.assertEqual(self.server.wait(longer, "done", "failed")["frames"], 16)

    def test_a_job_that_made_nothing_keeps_nothing(self):
        running = self.given(LONG)
        self.server.wait(running, "running")
        waiting, killed = self.given(SMALL), self.given(SMALL)
        self.assertEqual(self.disk_bytes(), 3 * len(RED))  # while they wait
        for job in (waiting, running):
            self.ask("POST", f"/api/jobs/{job}/cancel")
            self.server.wait(job, "cancelled")
        self.server.end(signal.SIGKILL)
        with sqlite3.connect(self.server.folder / "data/jobs.sqlite") as database:
            database.execute("UPDATE jobs SET state = 1, finished = 0, attempts = 3 WHERE id = ?", (killed,))
        self.server.start()
        self.assertIn("3 times", self.server.wait(killed, "failed")["error"]["message"])
        self.assertEqual(self.disk_bytes(), 0)
        self.assertEqual(list((self.server.folder / "data/jobs").iterdir()), [])

    def given(self, request):
        status, _, job = self.ask("POST", "/api/jobs", *form({"request": json.dumps(request)}, [("image", RED, "a.png")]))
        self.assertEqual(status, 201, job)
        self.file = next((self.server.folder / "data/files").iterdir()).name
        self.assertEqual(self.ask("DELETE", f"/api/files/{self.file}")[0], 204)
        return job["id"]

    def test_no_message_says_where_files_lie(self):
        running = self.submit({**LONG, "steps": 1000})
        self.server.wait(running, "running")
        job = self.given(SMALL)
        (self.server.folder / "data/jobs" / job / "given/image").unlink()
        self.ask("DELETE", f"/api/jobs/{running}")
        message = self.server.wait(job, "failed")["error"]["message"]
        self.assertIn("image", message)
        self.assertNotIn(self.server.folder.name, message)


class Keys(Case):
    KEYS = {"ann": "key-of-ann-0123456789#with-a-hash", "bob": "key-of-bob-0123456789"}

    def setUp(self):
        self.keys = tempfile.NamedTemporaryFile("w", suffix=".keys")
        self.keys.write("# who may ask\n" + "".join(
            f"{name} sha256:{hashlib.sha256(key.encode()).hexdigest()}\n" for name, key in self.KEYS.items()))
        self.keys.flush()
        os.chmod(self.keys.name, 0o600)
        self.flags = ("--api-keys", self.keys.name, "--disk", "400k")
        super().setUp()

    def tearDown(self):
        super().tearDown()
        self.keys.close()

    def as_user(self, name, method, path, body=None):
        return self.ask(method, path, body, {"Authorization": "Bearer " + self.KEYS[name]})

    def test_owners_see_their_own_jobs_alone(self):
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer "},
                        {"Authorization": "Basic " + self.KEYS["ann"]}, {"x-goog-api-key": "wrong"}):
            for path in ("/api/jobs", "/v1/videos", "/api/models", "/metrics", "/v1beta/files/x:download"):
                self.assertEqual(self.ask("GET", path, headers=headers)[0], 401)
        self.assertEqual(self.ask("GET", "/healthz")[0], 200)
        self.assertEqual(self.ask("GET", "/")[0], 200)  # the page asks for the key
        status, _, job = self.as_user("ann", "POST", "/api/jobs", SMALL)
        self.assertEqual(status, 201)
        self.assertEqual([j["id"] for j in self.as_user("ann", "GET", "/api/jobs")[2]["jobs"]], [job["id"]])
        self.assertEqual(self.as_user("bob", "GET", "/api/jobs")[2]["jobs"], [])
        for method, path in (("GET", ""), ("GET", "/result"), ("GET", "/events"), ("POST", "/cancel"), ("DELETE", "")):
            self.assertEqual(self.as_user("bob", method, f"/api/jobs/{job['id']}{path}")[0], 404, path)
        for path in (f"/v1/videos/{job['id']}/content", f"/v1beta/models/toybox/operations/{job['id']}"):
            self.assertEqual(self.as_user("bob", "GET", path)[0], 404)
        self.assertEqual(self.as_user("bob", "POST", "/api/jobs", {**SMALL, "extend": {"job": job["id"]}})[0], 404)
        self.assertEqual(self.ask("GET", "/api/jobs", headers={"x-goog-api-key": self.KEYS["ann"]})[0], 200)
        self.assertFalse([e for e in self.server.log if "prompt" in e])  # logs hold no prompts
        self.assertFalse(any(key in json.dumps(self.server.log) for key in self.KEYS.values()))

    def test_one_owner_s_flood_of_files_takes_nobody_s_room(self):
        def upload(name):
            sound = io.BytesIO()
            with wave.open(sound, "wb") as file:
                file.setparams((1, 2, 16000, 0, "NONE", ""))
                file.writeframes(os.urandom(30000))
            body, headers = form(files=[("file", sound.getvalue(), "a.wav")])
            status, _, answer = self.ask("POST", "/api/files", body, {**headers, "Authorization": "Bearer " + self.KEYS[name]})
            return status, answer
        status, file = upload("bob")
        self.assertEqual(status, 201, file)
        answers = [upload("ann") for _ in range(5)]
        self.assertEqual([status for status, _ in answers], [201] * 3 + [507] * 2)  # a quarter of 400k
        self.assertIn("DELETE /api/files", answers[-1][1]["error"]["message"])
        self.assertEqual(self.as_user("bob", "GET", f"/api/files/{file['id']}")[0], 200)
        self.assertEqual(upload("bob")[0], 201)
        self.assertEqual(len(list((self.server.folder / "data/files").iterdir())), 5)
        self.assertEqual(self.as_user("ann", "DELETE", f"/api/files/{answers[0][1]['id']}")[0], 204)
        self.assertEqual(upload("ann")[0], 201)

    def test_a_key_is_made_once_and_its_digest_kept(self):
        path = Path(self.folder.name) / "more.keys"
        made = subprocess.run([COMMAND, "serve", "--api-keys", path, "--new-key", "cem"], capture_output=True, text=True,
                              check=True, timeout=60 * PATIENCE).stdout.strip()
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        self.assertEqual(path.read_text(), f"cem sha256:{hashlib.sha256(made.encode()).hexdigest()}\n")
        again = subprocess.run([COMMAND, "serve", "--api-keys", path, "--new-key", "dia"], capture_output=True, text=True,
                               check=True, timeout=60 * PATIENCE).stdout.strip()
        self.assertNotEqual(made, again)
        self.assertEqual(len(path.read_text().splitlines()), 2)
        path.write_text("cem a-key-as-it-is-0123456789\n")
        done = subprocess.run([COMMAND, "serve", "--model", MODEL, "--port", "0", "--data", self.folder.name + "/b",
                               "--api-keys", path], capture_output=True, text=True, timeout=60 * PATIENCE)
        self.assertEqual(done.returncode, 2)
        self.assertIn("line 1", done.stderr)

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


if __name__ == "__main__":
    main()
