#!/usr/bin/env python3
"""`zoetrope serve` killed, ended and started again: jobs go on.

usage: restarts_test.py ZOETROPE MODEL.zoe SOURCE_FOLDER
"""
import json
import signal
import sqlite3
import subprocess
import time

from server import COMMAND, LONG, MODEL, PATIENCE, SMALL, Case, main


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
        order = [e["event"] for e in self.server.log if e.get("id") == job]
        self.assertEqual(order.count("job running"), 2)
        checkpoint = self.server.folder / "data/jobs" / job / "checkpoint"
        until = time.monotonic() + 10 * PATIENCE
        while checkpoint.exists() and time.monotonic() < until:
            time.sleep(0.01)
        self.assertFalse(checkpoint.exists())

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
        events = [e["event"] for e in self.server.log]
        self.assertTrue(any("begun anew" in event for event in events), events)
        self.assertNotIn("job resumed", events)

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

    def test_an_end_that_the_database_refuses_is_told_again(self):
        job = self.submit({**LONG, "steps": 100})
        self.server.wait(job, "running")
        with sqlite3.connect(self.server.folder / "data/jobs.sqlite") as other:
            other.execute("BEGIN EXCLUSIVE")  # nobody else writes
            until = time.monotonic() + 60 * PATIENCE
            while time.monotonic() < until and not [e for e in self.server.log if "end failed" in e["event"]]:
                time.sleep(0.05)
            other.rollback()
        self.assertEqual(self.server.wait(job, "done", "failed")["state"], "done")
        self.assertEqual(len([e for e in self.server.log if "end failed" in e["event"]]), 1)
        self.server.wait(self.submit(SMALL), "done")

    def test_a_job_that_ends_the_process_leaves_nothing(self):
        job = self.submit({**LONG, "steps": 4000})
        for _ in range(3):
            self.server.wait(job, "running")
            self.killed_at(job, 1)
            (self.server.folder / "data/jobs" / job / ".zoetrope-1-0-0.tmp").touch()  # of a clip, half written
            self.server.start()
        self.server.wait(job, "failed")
        self.assertFalse((self.server.folder / "data/jobs" / job).exists())

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
            for column in ("attempts", "model", "remix_of", "notices", "bytes"):
                database.execute(f"ALTER TABLE jobs DROP COLUMN {column}")
            database.execute("DROP TABLE files")
            database.execute("PRAGMA user_version = 1")
        self.server.start()
        self.assertEqual(self.ask("GET", f"/api/jobs/{job}")[2]["state"], "done")
        self.server.wait(self.submit(SMALL), "done")

    def test_a_folder_belongs_to_one_server(self):
        other = subprocess.run([COMMAND, "serve", "--model", MODEL, "--port", "0", "--data",
                                str(self.server.folder / "data")], capture_output=True, text=True, timeout=60 * PATIENCE)
        self.assertEqual(other.returncode, 4)
        self.assertIn("in use", other.stderr)


if __name__ == "__main__":
    main()
