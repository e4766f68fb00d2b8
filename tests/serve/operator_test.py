#!/usr/bin/env python3
"""What an operator meets: adapters to offer, a model that is replaced, a device that is lost, a disk that is full.

usage: operator_test.py ZOETROPE MODEL.zoe SOURCE_FOLDER
"""
import contextlib
import json
import os
import random
import resource
import shutil
import signal
import struct
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

from given_test import png
from server import COMMAND, LONG, MODEL, PATIENCE, SMALL, Case, Server, form, main


def lora(path, blocks=(0,), seed=1):
    """An adapter of rank 2 of Toybox's network, in the original keys."""
    draw, tensors = random.Random(seed), {}
    for block in blocks:
        for part, shape in (("lora_A", (2, 256)), ("lora_B", (256, 2))):
            tensors[f"diffusion_model.dit.blocks.{block}.attn.q.{part}.weight"] = shape
    header, data = {}, b""
    for name, shape in tensors.items():
        values = struct.pack("<512f", *(draw.gauss(0, 0.5) for _ in range(512)))
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(values)]}
        data += values
    text = json.dumps(header).encode()
    Path(path).write_bytes(struct.pack("<Q", len(text)) + text + data)


class Stacks(unittest.TestCase):
    def test_threads_and_the_process_that_tries_a_file_need_no_stacks_from_outside(self):
        most = resource.getrlimit(resource.RLIMIT_STACK)[1]
        clips = set()
        for limit in (None, (64 << 10, 64 << 10), (64 << 10, most)):
            with tempfile.TemporaryDirectory() as folder:
                server = Server(folder)
                server.limits = limit and (lambda: resource.setrlimit(resource.RLIMIT_STACK, limit))
                server.start()
                view = server.wait(server.ask("POST", "/api/jobs", SMALL)[2]["id"], "done", "failed")
                self.assertEqual(view["state"], "done", view)
                clip = server.ask("GET", view["result"]["url"])[2]
                status, _, file = server.ask("POST", "/api/files", *form(files=[("file", clip, "a.mp4")]))
                self.assertEqual((status, file["frames"]), (201, 8))
                clips.add(clip)
                self.assertEqual(server.end(), 0)
                server.process.stderr.close()
        self.assertEqual(len(clips), 1)


class Adapters(Case):
    def setUp(self):
        self.offered = tempfile.TemporaryDirectory(prefix="zoetrope adapters ")
        self.addCleanup(self.offered.cleanup)
        self.style, more = Path(self.offered.name) / "style.safetensors", Path(self.offered.name) / "more"
        lora(self.style)
        more.mkdir()
        lora(more / "other.safetensors", (1, 2), seed=2)
        self.flags = ("--adapter", f"style={self.style}:0.5", "--adapter", f"style=dit={more}/other.safetensors",
                      "--adapter", str(more))
        super().setUp()

    def clip(self, **request):
        view = self.server.wait(self.submit({**SMALL, **request}), "done", "failed")
        self.assertEqual(view["state"], "done", view)
        return self.ask("GET", view["result"]["url"])[2]

    def command(self, *lora):
        out = Path(self.folder.name) / "own.mp4"
        flags = [word for file in lora for word in ("--lora", file)]
        subprocess.run([COMMAND, "generate", "a red ball", "--model", MODEL, "--width", "64", "--height", "64", "--frames",
                        "8", "--steps", "2", "--seed", "3", "--device", "cpu", "--threads", "1", "--quiet", "-o", out, *flags],
                       check=True)
        return out.read_bytes()

    def frames(self, clip):
        with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
            file.write(clip)
            file.flush()
            return subprocess.run(["ffmpeg", "-v", "error", "-i", file.name, "-f", "framemd5", "-"], capture_output=True,
                                  check=True).stdout

    def test_requests_name_what_is_offered(self):
        [model] = self.ask("GET", "/api/models")[2]["models"]
        self.assertEqual(model["adapters"], [{"name": "other", "components": []}, {"name": "style", "components": ["dit"]}])
        plain = self.frames(self.clip())
        both = self.clip(adapters=[{"name": "style"}])
        more = Path(self.offered.name) / "more/other.safetensors"
        self.assertEqual(self.frames(both), self.frames(self.command(f"{self.style}:0.5", f"dit={more}")))
        self.assertNotEqual(self.frames(both), plain)
        half = self.clip(adapters=[{"name": "other", "strength": 0.25}])
        self.assertEqual(self.frames(half), self.frames(self.command(f"{more}:0.25")))
        one = self.clip(adapters=[{"name": "other", "component": "dit"}])
        self.assertEqual(self.frames(one), self.frames(self.command(f"dit={more}")))
        self.assertEqual(self.frames(self.clip()), plain)  # it leaves nothing behind

    def test_wrong_names_are_told(self):
        for adapters, status, word in (([{"name": "none"}], 404, "'other', 'style'"), ([{}], 400, "name"), ("style", 400, "adapters"),
                                       ([{"name": "style", "strength": "1"}], 400, "strength"),
                                       ([{"name": "style", "file": "/etc/passwd"}], 400, "file"),
                                       ([{"name": "other", "component": "nose"}], 422, "nose"),
                                       ([{"name": "other"}] * 17, 400, "16")):
            found, _, answer = self.ask("POST", "/api/plan", {**SMALL, "adapters": adapters})
            self.assertEqual(found, status, answer)
            self.assertIn(word, answer["error"]["message"])
            self.assertNotIn(self.offered.name, answer["error"]["message"])

    def test_a_job_goes_on_only_with_the_adapter_that_it_was_begun_with(self):
        job = self.submit({**LONG, "adapters": [{"name": "other"}]})
        checkpoint = self.server.folder / "data/jobs" / job / "checkpoint"
        until = time.monotonic() + 60 * PATIENCE
        while not list(checkpoint.glob("*.step-*")) and time.monotonic() < until:
            time.sleep(0.01)
        self.server.end(signal.SIGKILL)
        lora(Path(self.offered.name) / "more/other.safetensors", (1, 2), seed=3)
        self.server.start()
        view = self.server.wait(job, "failed", "done")
        self.assertEqual(view["state"], "failed")
        self.assertIn("the adapter other.safetensors is not the file that it was", view["error"]["message"])

    def test_what_cannot_be_offered_ends_the_start(self):
        broken = Path(self.offered.name) / "broken.safetensors"
        broken.write_bytes(b"nothing")
        for flag, word in ((f"x={broken}", "broken"), ("x=/nowhere.safetensors", "nowhere"), ("/nowhere", "NAME=FILE"),
                           (f"a b={self.style}", "name"), (self.folder.name, "no .safetensors")):
            done = subprocess.run([COMMAND, "serve", "--model", MODEL, "--port", "0", "--data", self.folder.name + "/b",
                                   "--adapter", flag], capture_output=True, text=True, timeout=60 * PATIENCE)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(word, done.stderr)


class OwnModel(unittest.TestCase):
    """A server whose model file is its own."""
    flags = ()

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="zoetrope serve ")
        self.addCleanup(self.folder.cleanup)
        self.model = Path(self.folder.name) / "model.zoe"
        shutil.copy(MODEL, self.model)
        self.server = Server(self.folder.name, *self.flags)
        self.server.model = str(self.model)
        self.server.start()
        self.addCleanup(self.stop)
        self.ask = self.server.ask

    def stop(self):
        if self.server.process.poll() is None:
            self.server.end(signal.SIGKILL)
        self.server.process.stderr.close()

    def made(self, request=SMALL):
        status, _, job = self.ask("POST", "/api/jobs", request)
        self.assertEqual(status, 201, job)
        return self.server.wait(job["id"], "done", "failed")


class Replaced(OwnModel):
    def test_another_file_in_its_place_is_taken_by_the_next_request(self):
        self.assertEqual(self.made()["state"], "done")
        new = self.model.with_name("new.zoe")
        subprocess.run([COMMAND, "quantize", MODEL, "-o", new, "--format", "int8", "--measure", "weights", "--quiet"], check=True,
                       capture_output=True)
        os.replace(new, self.model)
        self.assertEqual(self.made()["state"], "done")
        out = Path(self.folder.name) / "own.mp4"
        subprocess.run([COMMAND, "generate", "a red ball", "--model", self.model, "--width", "64", "--height", "64", "--frames",
                        "8", "--steps", "2", "--seed", "3", "--device", "cpu", "--threads", "1", "--quiet", "-o", out], check=True)
        view = self.made()
        self.assertEqual(self.ask("GET", view["result"]["url"])[2], out.read_bytes())

    def test_a_damaged_one_is_named_until_it_is_whole_again(self):
        whole = self.model.read_bytes()
        damaged = self.model.with_suffix(".new")
        damaged.write_bytes(b"nothing of the kind")
        os.replace(damaged, self.model)
        status, _, answer = self.ask("POST", "/api/jobs", SMALL)
        self.assertEqual(status, 503)
        self.assertIn("replaced by a file that cannot be opened", answer["error"]["message"])
        self.assertEqual(self.ask("GET", "/healthz")[0], 200)
        self.assertEqual(self.ask("GET", "/api/models")[0], 200)
        damaged.write_bytes(whole)
        os.replace(damaged, self.model)
        self.assertEqual(self.made()["state"], "done")

    def test_one_that_is_written_over_while_a_clip_is_made_makes_none(self):
        status, _, job = self.ask("POST", "/api/jobs", {**LONG, "steps": 60})
        self.server.wait(job["id"], "running")
        os.utime(self.model)  # as if: bytes that changed in the middle would be anything
        self.assertEqual(self.ask("GET", "/api/models")[0], 200)
        self.assertEqual(self.ask("POST", "/api/plan", SMALL)[0], 200)  # which opens it anew, for others
        view = self.server.wait(job["id"], "done", "failed")
        self.assertEqual(view["state"], "failed")
        self.assertIn("written over", view["error"]["message"])
        self.assertEqual(self.made()["state"], "done")
        self.assertFalse((self.server.folder / "data/jobs" / job["id"]).exists())

    def test_one_that_becomes_shorter_ends_the_process_and_loses_no_job(self):
        whole = self.model.read_bytes()
        status, _, job = self.ask("POST", "/api/jobs", {**LONG, "steps": 60})
        self.server.wait(job["id"], "running")
        os.truncate(self.model, 4096)
        status, _, other = self.ask("POST", "/api/jobs", SMALL) if self.server.process.poll() is None else (0, 0, 0)
        until = time.monotonic() + 60 * PATIENCE
        while self.server.process.poll() is None and time.monotonic() < until:
            view = self.server.state_of(job["id"])
            if view in ("done", "failed"):
                break
            time.sleep(0.05)
        if self.server.process.poll() is not None:  # it read what is not there any more
            self.assertEqual(self.server.process.returncode, 3)
            self.assertIn("became shorter", "".join(self.server.strange))
        self.stop()
        self.model.write_bytes(whole)
        self.server.start()
        self.assertEqual(self.made()["state"], "done")


class Lost(Case):
    """A Vulkan device that is lost after so many submissions, again and again."""

    def setUp(self):
        listed = subprocess.run([COMMAND, "devices", "--json"], capture_output=True, text=True, check=True).stdout
        usable = [d for d in json.loads(listed) if d.get("backend") == "vulkan" and not d.get("unusable")]
        if not usable:
            self.skipTest("no Vulkan device here")
        super().setUp()

    def lost_after(self, submissions):
        self.server.end()
        self.server.flags = ("--device", "vulkan", "--target", f"lose={submissions}")
        self.server.start()

    def test_a_job_goes_on_from_its_step_on_a_device_that_is_opened_anew(self):
        self.lost_after(60)
        job = self.submit({**SMALL, "steps": 16})
        view = self.server.wait(job, "done", "failed")
        events = [(e["event"], e.get("message", "")) for e in self.server.log if e.get("id") == job]
        self.assertEqual(view["state"], "done", events)
        self.assertTrue(any(event == "job interrupted" and "lost" in message for event, message in events), events)
        self.assertTrue(any(event == "job resumed" for event, _ in events), events)
        self.assertEqual(self.ask("GET", "/readyz")[0], 200)

    def test_one_that_is_lost_every_time_is_told(self):
        self.lost_after(2)
        view = self.server.wait(self.submit(SMALL), "done", "failed")
        self.assertEqual(view["state"], "failed")
        self.assertIn("device was lost", view["error"]["message"])
        status, _, ready = self.ask("GET", "/readyz")
        self.assertEqual(status, 503)
        self.assertIn("lost", ready["status"])
        until = time.monotonic() + 20 * PATIENCE
        while not (failed := [e for e in self.server.log if e["event"] == "job failed"]) and time.monotonic() < until:
            time.sleep(0.05)
        self.assertIn("lost", failed[0]["message"])


class FullDisk(Case):
    """The service's folder on a disk of its own, which others fill."""

    def setUp(self):
        self.disk = tempfile.TemporaryDirectory(prefix="zoetrope disk ")
        self.addCleanup(self.disk.cleanup)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", self.disk.name], capture_output=True)
        if done.returncode != 0:
            self.skipTest("a small disk needs the right to mount one")
        self.addCleanup(subprocess.run, ["umount", "-l", self.disk.name])
        self.place = self.disk.name
        super().setUp()

    def first_state(self, job):
        until = time.monotonic() + 60 * PATIENCE
        while not list((self.server.folder / "data/jobs" / job).glob("checkpoint/*.step-*")) and time.monotonic() < until:
            time.sleep(0.01)

    def fill(self):
        with open(self.disk.name + "/others", "ab", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(4096)):
                pass

    def test_what_cannot_be_written_is_told_and_works_again_when_there_is_room(self):
        running = self.submit({**LONG, "steps": 200})
        self.first_state(running)
        self.fill()
        status, _, answer = self.ask("POST", "/api/jobs", SMALL)
        self.assertEqual(status, 507, answer)
        self.assertIn("full", answer["error"]["message"])
        self.assertEqual(self.ask("POST", "/api/files", *form(files=[("file", png(64, 64, (9, 9, 9)), "a.png")]))[0], 507)
        until = time.monotonic() + 90 * PATIENCE
        while time.monotonic() < until and not any(
                e["event"] in ("job failed", "storing the job's end failed") for e in self.server.log):
            time.sleep(0.05)
        self.assertEqual(self.ask("GET", "/healthz")[0], 200)
        os.unlink(self.disk.name + "/others")
        view = self.server.wait(running, "done", "failed")
        self.assertEqual(view["state"], "failed")
        self.assertIn("No space left", view["error"]["message"])
        self.assertNotIn(self.disk.name, view["error"]["message"])
        self.assertEqual(len([n for n in view["notices"] if "checkpoint" in n]), 1)  # not for every step
        self.assertEqual(self.server.wait(self.submit(SMALL), "done", "failed")["state"], "done")
        self.assertFalse((self.server.folder / "data/jobs" / running).exists())  # nothing half-written

    def test_a_checkpoint_that_cannot_be_written_costs_no_clip(self):
        job = self.submit({**LONG, "steps": 200})
        self.first_state(job)
        self.fill()
        until = time.monotonic() + 60 * PATIENCE
        while not self.ask("GET", f"/api/jobs/{job}")[2]["notices"] and time.monotonic() < until:
            time.sleep(0.01)
        os.unlink(self.disk.name + "/others")
        view = self.server.wait(job, "done", "failed")
        self.assertEqual(view["state"], "done", view)
        self.assertTrue(any("checkpoint" in notice for notice in view["notices"]), view["notices"])


if __name__ == "__main__":
    main()
