#!/usr/bin/env python3
"""`zoetrope serve` as clients meet it, over its port.

usage: serve_test.py ZOETROPE MODEL.zoe SOURCE_FOLDER
"""
import http.client
import json
import os
import re
import shlex
import socket
import sqlite3
import subprocess
import tempfile
import threading
import time
import unittest
from pathlib import Path

from server import COMMAND, LONG, MODEL, PATIENCE, SMALL, SOURCE, Case, Server, form, main


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
        receipt = self.ask("GET", f"/api/jobs/{job}/receipt")[2]
        self.assertEqual((receipt["request"]["seed"], receipt["request"]["model"]["path"]), (3, Path(MODEL).name))
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
        status, _, answer = self.ask("GET", "/api/models")
        self.assertEqual(status, 200)
        [model] = answer["models"]
        self.assertIn("ball", model["vocabulary"])
        self.assertEqual((model["name"], model["clip"]["width"]["max"]), ("toybox", 160))
        self.assertIn("known_latents", model["stages"])
        self.assertEqual(set(model["tasks"]), {"image", "last_image", "extend", "lead_to", "video", "audio"})
        described = self.ask("GET", "/openapi.json")[2]["paths"]["/api/models"]["get"]["responses"]["200"]
        items = described["content"]["application/json"]["schema"]["properties"]["models"]["items"]
        self.assertLessEqual(set(model["tasks"]), set(items["properties"]["tasks"]["items"]["enum"]))
        self.assertEqual(answer["limits"]["file_bytes"], 64 << 20)
        self.assertEqual(self.ask("GET", "/healthz")[2], {"status": "ok"})
        self.assertEqual(self.ask("GET", "/readyz")[2], {"status": "ready"})

    def test_reports_are_pages_without_scripts(self):
        status, headers, page = self.ask("POST", "/api/plan/page", SMALL)
        self.assertEqual((status, headers["Content-Type"]), (200, "text/html; charset=utf-8"))
        for words in (b"64x64, 8 frames", b"denoise", b"<svg", b"Time by kernel"):
            self.assertIn(words, page)
        self.assertEqual(self.ask("POST", "/api/plan/page", {**SMALL, "width": 4000})[0], 422)
        status, _, machine = self.ask("GET", "/api/machine")
        self.assertEqual(status, 200)
        self.assertIn(b"cpu: ", machine)
        for report in (page, machine):
            self.assertNotIn(b"<script", report)
        status, _, answer = self.ask("GET", "/api/bench")
        self.assertEqual(status, 404)
        self.assertIn("--bench", answer["error"]["message"])
        style = self.ask("GET", "/report.css")[2]
        self.assertIn(b":host{", style)
        self.assertNotIn(b":root{", style)

    def test_a_report_that_is_offered_is_shown(self):
        report = SOURCE / "bench/results/epyc-2-ops.json"
        other = Server(self.folder.name + "/more", "--bench", str(report))
        os.mkdir(other.folder)
        try:
            status, _, page = other.start().ask("GET", "/api/bench")
            self.assertEqual(status, 200)
            self.assertIn(b"matmul", page)
        finally:
            other.end()
            other.process.stderr.close()

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
                                      ("x" * (90 << 20), {"Content-Type": "application/json"}, 413)):
            self.assertEqual(self.ask("POST", "/api/jobs", body, headers)[0], status)
        self.assertEqual(self.ask("GET", "/nowhere")[0], 404)
        self.assertEqual(self.ask("GET", "/api/jobs/video_nobody")[0], 404)
        self.assertEqual(self.ask("GET", "/api/jobs?limit=0")[0], 400)
        self.assertEqual(self.in_database(), {})

    def test_deep_json_is_refused_and_ends_nothing(self):
        deep = '{"prompt":' + "[" * 500000 + "]" * 500000 + "}"
        kind = {"Content-Type": "application/json"}
        for path in ("/api/jobs", "/api/plan", "/v1/videos", "/v1/images/generations", "/v1/videos/video_0/remix",
                     "/v1beta/models/toybox:predictLongRunning"):
            for key in ("prompt", "n", "instances"):
                self.assertEqual(self.ask("POST", path, deep.replace("prompt", key), kind)[0], 400, path)
        body = form({"request": deep})
        self.assertEqual(self.ask("POST", "/api/jobs", *body)[0], 400)
        brackets = {**SMALL, "prompt": "[" * 100 + '"\\{' * 100}  # within a text they are nothing
        self.assertEqual(self.ask("POST", "/api/plan", brackets)[0], 200)

    def test_a_form_s_field_is_a_text_or_an_object(self):
        for names in (("a", "a[b]"), ("a[b]", "a"), ("a[b]", "a[b]")):
            parts = "".join(f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\nx\r\n' for name in names)
            status, _, answer = self.ask("POST", "/v1/videos", parts + "--b--\r\n", form()[1])
            self.assertEqual(status, 400, answer)
        self.assertEqual(self.ask("POST", "/v1/images/generations", *form({"prompt": "x", "n[b]": "1"}))[0], 400)

    def test_a_list_goes_on_after_a_job_that_is_there(self):
        for path in ("/api/jobs", "/v1/videos"):
            self.assertEqual(self.ask("GET", path + "?after=video_0")[0], 404)

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
        large = body + b" " * ((90 << 20) - len(body))  # JSON that would be taken
        part = 1 << 20
        chunks = [b"%x\r\n%s\r\n" % (part, large[at:at + part]) for at in range(0, len(large), part)]
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

    def test_a_folder_s_slash_at_the_end_changes_nothing(self):
        data = Path(self.folder.name) / "new/data"
        server = subprocess.Popen([COMMAND, "serve", "--model", MODEL, "--port", "0", "--data", f"{data}//"],
                                  stderr=subprocess.PIPE, text=True)
        try:
            self.assertEqual(json.loads(server.stderr.readline())["data"], str(data))
            self.assertEqual(os.stat(data).st_mode & 0o777, 0o700)
        finally:
            server.terminate()
            server.communicate(timeout=60 * PATIENCE)

    def test_notices_are_in_the_log_without_words_of_the_prompt(self):
        self.server.wait(self.submit({**SMALL, "prompt": "a xylophone"}), "done")
        notices = [e for e in self.server.log if e["event"] == "job notice"]
        self.assertTrue(notices)
        self.assertNotIn("xylophone", json.dumps(self.server.log))

    def test_notices_go_to_whom_the_job_is(self):
        view = self.server.wait(self.submit({**SMALL, "prompt": "a xylophone"}), "done")
        self.assertTrue(any("xylophone" in notice for notice in view["notices"]), view["notices"])
        self.assertEqual(self.server.wait(self.submit(SMALL), "done")["notices"], [])

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


class Waiting(Case):
    def test_requests_that_wait_leave_room_for_others(self):
        long = self.submit({**LONG, "steps": 1000})
        self.server.wait(long, "running")
        answers = []
        def picture():
            answers.append(self.ask("POST", "/v1/images/generations", {"prompt": "a red ball", "size": "64x64"})[:2])
        clients = [threading.Thread(target=picture) for _ in range(24)]
        for client in clients:
            client.start()
        until = time.monotonic() + 20 * PATIENCE
        while len(answers) < 12 and time.monotonic() < until:
            time.sleep(0.05)
        self.assertEqual([status for status, _ in answers], [503] * 12)
        self.assertGreaterEqual(int(answers[0][1]["Retry-After"]), 1)
        self.assertEqual(self.ask("GET", f"/api/jobs/{long}/events")[0], 503)
        self.assertEqual(self.ask("POST", "/api/files", *form(files=[("file", b"x", "a.png")]))[0], 503)
        self.assertEqual(self.ask("GET", "/healthz")[0], 200)
        self.assertEqual(self.ask("DELETE", f"/api/jobs/{long}")[0], 204)  # while they wait
        for client in clients:
            client.join()
        self.assertEqual(sorted(status for status, _ in answers), [200] * 12 + [503] * 12)
        self.assertFalse((self.server.folder / "data/jobs" / long).exists())
        self.assertEqual(self.ask("POST", "/api/files", *form(files=[("file", b"x", "a.png")]))[0], 400)  # given back

    def test_what_the_database_refuses_keeps_neither_a_removal_nor_the_end_waiting(self):
        job = self.submit({**LONG, "steps": 1000})
        self.server.wait(job, "running")
        with sqlite3.connect(self.server.folder / "data/jobs.sqlite") as database:
            database.execute("CREATE TRIGGER refuse BEFORE UPDATE ON jobs WHEN NEW.finished > 0 "
                             "BEGIN SELECT RAISE(FAIL, 'refused'); END")
        self.assertEqual(self.ask("DELETE", f"/api/jobs/{job}")[0], 204)
        other = self.submit(SMALL)
        until = time.monotonic() + 20 * PATIENCE
        while not any("storing the job's end" in e["event"] for e in self.server.log) and time.monotonic() < until:
            time.sleep(0.05)
        self.assertEqual(self.ask("DELETE", f"/api/jobs/{other}")[0], 204)
        self.assertEqual(self.server.end(), 0)


class Description(Case):
    def test_every_path_is_described_and_other_methods_are_refused(self):
        description = self.ask("GET", "/openapi.json")[2]
        self.assertGreater(len(description["paths"]), 30)
        for path, operations in description["paths"].items():
            concrete = path.replace("{id}", "video_0").replace("{model}", "none").replace("{host}", "localhost:80")
            status, headers, _ = self.ask("PUT", concrete, "x")
            self.assertEqual(status, 405, path)
            methods = {m.strip() for m in headers["Allow"].split(",")}
            self.assertLessEqual({m.upper() for m in operations if m != "parameters"}, methods)
        self.assertEqual(self.ask("PUT", "/nowhere", "x")[0], 404)


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
    main()
