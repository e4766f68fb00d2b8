#!/usr/bin/env python3
"""Many clients, random cancels, and kills of the server at random times: no job is lost or done twice, and no file is
half written.

usage: load.py ZOETROPE MODEL.zoe SOURCE_FOLDER [CLIENTS JOBS KILLS]
"""
import collections
import http.client
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

CLIENTS, JOBS, KILLS = (int(n) for n in (sys.argv[4:] or (10, 60, 6)))
del sys.argv[4:]
from server import SMALL, Server  # noqa: E402: it reads the rest of the arguments

ENDED = ("done", "failed", "cancelled")


class Load:
    def __init__(self, folder):
        # One port for all of the server's lives, so that clients find it again.
        self.server = Server(folder, "--queue", str(JOBS), "--rate", "0").start()
        self.server.port_to_take = self.server.port
        self.lock = threading.Lock()
        self.todo, self.jobs, self.waits, self.problems = list(range(JOBS)), {}, 0, []
        self.stop = threading.Event()

    def ask(self, *words):
        """Until there is a server again, and room."""
        while not self.stop.is_set():
            try:
                status, headers, body = self.server.ask(*words)
            except (OSError, ValueError, http.client.HTTPException):
                time.sleep(0.05)
                continue
            if status not in (429, 503):
                return status, body
            self.waits += 1
            time.sleep(min(1, int(headers.get("Retry-After", 1))))
        raise SystemExit

    def client(self, number):
        draw = random.Random(number)
        while True:
            with self.lock:
                if not self.todo:
                    return
                job = self.todo.pop()
            request = {**SMALL, "seed": job, "steps": draw.choice((1, 2, 4, 30))}
            status, body = self.ask("POST", "/api/jobs", request)
            assert status == 201, body
            with self.lock:
                self.jobs[body["id"]] = request["steps"]
            if draw.random() < 0.2:
                time.sleep(draw.random() * 0.5)
                status, view = self.ask("POST", f"/api/jobs/{body['id']}/cancel")
                assert status in (202, 404), view

    def checked_client(self, number):
        try:
            self.client(number)
        except Exception as problem:  # the thread's end would only print it
            self.problems.append(problem)

    def kill(self, times):
        draw = random.Random(1)
        for _ in range(times):
            time.sleep(draw.random() * 2)
            self.server.end(signal.SIGKILL)
            self.server.start()

    def run(self):
        clients = [threading.Thread(target=self.checked_client, args=(n,)) for n in range(CLIENTS)]
        begun = time.monotonic()
        for client in clients:
            client.start()
        self.kill(KILLS)
        for client in clients:
            client.join()
        taken = time.monotonic() - begun
        if self.problems:
            raise AssertionError(f"{len(self.problems)} clients failed; the first: {self.problems[0]!r}") from self.problems[0]
        assert len(self.jobs) == JOBS, f"{len(self.jobs)} jobs of {JOBS} were queued"
        states = {}
        while len(states) < len(self.jobs):
            for job in set(self.jobs) - set(states):
                status, view = self.ask("GET", f"/api/jobs/{job}")
                assert status == 200, (job, "is lost")
                if view["state"] in ENDED:
                    states[job] = view
            time.sleep(0.2)
        print(f"{CLIENTS} clients, {len(self.jobs)} jobs, {KILLS} kills: queued in {taken:.1f} s, all ended in "
              f"{time.monotonic() - begun:.1f} s; {dict(collections.Counter(v['state'] for v in states.values()))}; "
              f"{self.waits} answers said wait")
        self.check(states)

    def check(self, states):
        done = collections.Counter(e["id"] for e in self.server.log if e["event"] == "job done")
        twice = [job for job, times in done.items() if times > 1]
        assert not twice, f"done twice: {twice}"
        time.sleep(1)  # what an end leaves to remove
        for job, view in states.items():
            if view["state"] == "failed":  # killed in its middle again and again, and said so
                assert "3 times" in view["error"]["message"], view
            files = sorted(p.name for p in (self.server.folder / "data/jobs" / job).glob("**/*") if p.is_file())
            assert files == (["clip.mp4"] if view["state"] == "done" else []), (job, view["state"], files)
        whole = [job for job, view in states.items() if view["state"] == "done"]
        for job in random.Random(2).sample(whole, min(25, len(whole))):
            clip = self.server.folder / "data/jobs" / job / "clip.mp4"
            frames = subprocess.run(["ffprobe", "-v", "error", "-count_frames", "-select_streams", "v", "-show_entries",
                                     "stream=nb_read_frames", "-of", "csv=p=0", clip], capture_output=True, text=True)
            assert (frames.returncode, frames.stdout.strip().strip(",")) == (0, "8"), (job, frames)
        resident = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{self.server.process.pid}/status").read_text())
        print(f"no job lost or done twice, {len(whole)} files whole; the server holds {int(resident[1]) // 1024} MiB")
        assert self.server.end() == 0


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="zoetrope load ") as root:
        load = Load(root)
        try:
            load.run()
        finally:
            load.stop.set()
            if load.server.process.poll() is None:
                load.server.end(signal.SIGKILL)
            load.server.process.stderr.close()
