#!/usr/bin/env python3
"""What the server holds stays what it is over many jobs of several sizes, watched with their previews.

usage: memory.py ZOETROPE MODEL.zoe SOURCE_FOLDER [JOBS]
"""
import re
import signal
import sys
import tempfile
from pathlib import Path

JOBS = int(sys.argv[4]) if len(sys.argv) > 4 else 500
del sys.argv[4:]
from server import SMALL, Server  # noqa: E402: it reads the rest of the arguments

SIZES = ((64, 64, 8), (96, 64, 8), (64, 96, 16), (128, 64, 12), (64, 64, 1))
EVERY = max(1, JOBS // 10)
GROWTH = 1.05  # of the first fifth's end, by which every size was made many times


def resident(server):
    """MiB."""
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{server.process.pid}/status").read_text())[1]) / 1024


def run(server):
    held = []
    for number in range(JOBS):
        width, height, frames = SIZES[number % len(SIZES)]
        status, _, job = server.ask("POST", "/api/jobs", {**SMALL, "seed": number, "width": width, "height": height,
                                                          "frames": frames, "steps": 2 + number % 3})
        assert status == 201, job
        view = server.wait(job["id"], "running", "done")
        while view["state"] == "running":
            preview = (view.get("progress") or {}).get("preview")
            if preview:
                server.ask("GET", preview["url"])
            view = server.wait(job["id"], "running", "done", "failed")
        assert view["state"] == "done", view
        server.ask("GET", view["result"]["thumbnail"])
        if number % 2:
            server.ask("DELETE", f"/api/jobs/{job['id']}")
        if (number + 1) % EVERY == 0:
            held.append(resident(server))
    print(f"MiB after every {EVERY} of {JOBS} jobs: {', '.join(f'{h:.0f}' for h in held)}")
    assert max(held[2:]) <= GROWTH * held[1], held


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="zoetrope memory ") as root:
        server = Server(root, "--rate", "0")
        try:
            run(server.start())
            assert server.end() == 0
        finally:
            if server.process.poll() is None:
                server.end(signal.SIGKILL)
            server.process.stderr.close()
