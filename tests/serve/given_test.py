#!/usr/bin/env python3
"""What `zoetrope serve` is given: pictures, clips and sound; tasks, previews, models.

usage: given_test.py ZOETROPE MODEL.zoe SOURCE_FOLDER
"""
import base64
import ctypes
import json
import os
import struct
import subprocess
import tempfile
import unittest
import zlib
from pathlib import Path

from server import COMMAND, LONG, SMALL, SOURCE, Case, Server, form, main


def png(width, height, colour):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    rows = (b"\0" + bytes(colour) * width) * height
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) +
            chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def frames_of(clip, width, height):
    """RGB frames, as FFmpeg decodes them."""
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        file.write(clip)
        file.flush()
        raw = subprocess.run(["ffmpeg", "-v", "error", "-i", file.name, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"],
                             capture_output=True, check=True).stdout
    size = width * height * 3
    return [raw[at:at + size] for at in range(0, len(raw), size)]


def mean(frame):
    return [sum(frame[c::3]) / (len(frame) // 3) for c in range(3)]


class Made:
    """Of a test case with a server: what a request makes."""

    def result(self, request, files=()):
        body, headers = form({"request": json.dumps(request)}, files)
        status, _, job = self.ask("POST", "/api/jobs", body, headers)
        self.assertEqual(status, 201, job)
        view = self.server.wait(job["id"], "done", "failed")
        self.assertEqual(view["state"], "done", view)
        return view, self.ask("GET", view["result"]["url"])[2]


class Given(Made, Case):
    def upload(self, data, name="a.png"):
        status, _, file = self.ask("POST", "/api/files", *form(files=[("file", data, name)]))
        return status, file

    def test_a_picture_is_the_first_frame_and_another_the_last(self):
        red, blue = png(64, 64, (200, 30, 30)), png(64, 64, (30, 30, 200))
        status, file = self.upload(red)
        self.assertEqual((status, file["kind"], file["frames"], file["bytes"]), (201, "picture", 1, len(red)))
        view, clip = self.result({**SMALL, "image": {"file": file["id"]}}, [("last_image", blue, "b.png")])
        frames = frames_of(clip, 64, 64)
        self.assertEqual(len(frames), 8)
        for frame, colour in ((frames[0], (200, 30, 30)), (frames[-1], (30, 30, 200))):
            for found, expected in zip(mean(frame), colour):
                self.assertLess(abs(found - expected), 8)  # of H.264
        # The job keeps what it was given: without the file it is made again, bit for bit.
        self.assertEqual(self.ask("DELETE", f"/api/files/{file['id']}")[0], 204)
        self.assertEqual(self.ask("GET", f"/api/files/{file['id']}")[0], 404)
        self.assertEqual(view["request"]["image"], {"job": view["id"], "input": "image"})
        again = self.server.wait(self.submit(view["request"]), "done", "failed")
        self.assertEqual(self.ask("GET", again["result"]["url"])[2], clip)
        self.assertEqual(self.ask("POST", "/api/jobs", {**SMALL, "image": {"file": file["id"]}})[0], 404)

    def test_clips_of_jobs_are_extended_led_to_and_sounded(self):
        first, clip = self.result(SMALL)
        source = {"job": first["id"]}
        status, _, plan = self.ask("POST", "/api/plan", {**SMALL, "extend": source})
        self.assertEqual((status, plan["frames"]), (200, 16))
        longer, made = self.result({**SMALL, "extend": source})
        self.assertEqual((longer["frames"], len(frames_of(made, 64, 64))), (16, 16))
        old, new = frames_of(clip, 64, 64), frames_of(made, 64, 64)
        for a, b in zip(old, new):  # it comes out whole: encoded once more
            self.assertLess(sum(abs(x - y) for x, y in zip(a, b)) / len(a), 4)
        lead, _ = self.result({**SMALL, "lead_to": source})
        self.assertEqual(lead["frames"], 16)
        loop, _ = self.result({**SMALL, "extend": source, "lead_to": source})
        self.assertTrue(any("loop" in notice for notice in loop["notices"]))
        sounded, same = self.result({**SMALL, "video": source, "prompt": "a blue star"})
        self.assertEqual(frames_of(same, 64, 64), old)  # the picture is copied
        cut, _ = self.result({**{k: v for k, v in SMALL.items() if k != "frames"}, "frames": 4, "video": source})
        self.assertTrue(any(notice.startswith("video is longer") for notice in cut["notices"]), cut["notices"])

    def test_sound_decides_the_length(self):
        with tempfile.TemporaryDirectory() as folder:
            wav = Path(folder) / "a.wav"
            subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "sine=440:duration=0.5", wav], check=True)
            data = wav.read_bytes()
        status, file = self.upload(data, "a.wav")
        self.assertEqual((status, file["kind"], file["sound_seconds"]), (201, "sound", 0.5))
        request = {k: v for k, v in SMALL.items() if k != "frames"}
        view, _ = self.result({**request, "audio": {"file": file["id"]}})
        self.assertEqual((view["frames"], view["fps"]), (8, 16))

    def test_wrong_media_are_named(self):
        first = png(64, 64, (9, 9, 9))
        for data, word in ((b"", "empty"), (b"<!doctype html><p>log in</p>", "web page"), (first[:60], "")):
            status, answer = self.upload(data)
            self.assertEqual(status, 400, answer)
            self.assertIn(word, answer["error"]["message"])
            self.assertNotIn(self.server.folder.name, answer["error"]["message"])
        self.assertEqual(list((self.server.folder / "data/files").iterdir()), [])
        status, file = self.upload(first)
        image = {"file": file["id"]}
        for request, status, word in (({"image": {}}, 400, "image"), ({"image": {**image, "job": "x"}}, 400, "image"),
                                      ({"image": {"file": "file_0"}}, 404, "file_0"),
                                      ({"image": {"job": "video_0"}}, 404, "video_0"),
                                      ({"image": {**image, "path": "/etc/passwd"}}, 400, "path"),
                                      ({"fit": "big", "image": image}, 400, "fit"),
                                      ({"video": image}, 422, "frames"),
                                      ({"strength": 0.5}, 422, "strength"),
                                      ({"audio": image}, 422, "sound")):
            found, _, answer = self.ask("POST", "/api/jobs", {**SMALL, **request})
            self.assertEqual(found, status, answer)
            self.assertIn(word, answer["error"]["message"])
        unfinished = self.submit(LONG)
        self.assertEqual(self.ask("POST", "/api/jobs", {**SMALL, "extend": {"job": unfinished}})[0], 404)
        for fields, files, word in (({}, [], "request"), ({"request": "[]"}, [], "object"),
                                    ({"request": "{}", "more": "x"}, [], "more"),
                                    ({"request": "{}"}, [("image", first, "a"), ("image", first, "b")], "one file")):
            status, _, answer = self.ask("POST", "/api/jobs", *form(fields, files))
            self.assertEqual(status, 400, answer)
            self.assertIn(word, answer["error"]["message"])
        self.assertEqual(self.in_database(), {unfinished: 1} if self.in_database()[unfinished] == 1 else {unfinished: 0})

    def test_what_ends_the_process_that_tries_it_ends_nothing_else(self):
        # 30000 x 30000 pixels in 900 kB: within what PNG allows, beyond what a picture may take.
        rows = zlib.compress(b"\0" * (30000 * 3 + 1) * 30000, 9)
        def chunk(kind, data):
            return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        bomb = (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 30000, 30000, 8, 2, 0, 0, 0)) +
                chunk(b"IDAT", rows) + chunk(b"IEND", b""))
        status, answer = self.upload(bomb)
        self.assertEqual(status, 400, answer)
        self.server.wait(self.submit(SMALL), "done")

    def test_pictures_of_a_clip(self):
        view, clip = self.result(SMALL)
        for name, size in (("thumbnail", (64, 64)), ("spritesheet", (5 * 64, 2 * 64))):
            status, headers, picture = self.ask("GET", f"/api/jobs/{view['id']}/{name}")
            self.assertEqual((status, headers["Content-Type"]), (200, "image/png"))
            self.assertEqual(struct.unpack(">II", picture[16:24]), size)
        with tempfile.NamedTemporaryFile(suffix=".png") as file:
            file.write(self.ask("GET", f"/api/jobs/{view['id']}/spritesheet")[2])
            file.flush()
            raw = subprocess.run(["ffmpeg", "-v", "error", "-i", file.name, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"],
                                 capture_output=True, check=True).stdout
        for index, frame in enumerate(frames_of(clip, 64, 64)):  # each in its place
            y, x = index // 5 * 64, index % 5 * 64
            part = b"".join(raw[((y + row) * 320 + x) * 3:((y + row) * 320 + x + 64) * 3] for row in range(64))
            self.assertLess(sum(abs(a - b) for a, b in zip(part, frame)) / len(frame), 4)

    def test_previews_come_while_it_is_made(self):
        job = self.submit({**LONG, "steps": 1000})
        self.assertEqual(self.ask("GET", f"/api/jobs/{job}/thumbnail")[0], 409)
        seen = None
        while not (seen and seen["progress"]["preview"]):
            seen = self.server.wait(job, "running")
            seen = seen if seen.get("progress") else None
        self.assertGreater(seen["progress"]["preview"]["step"], 0)
        status, headers, picture = self.ask("GET", seen["progress"]["preview"]["url"])
        self.assertEqual((status, headers["Content-Type"]), (200, "image/png"))
        width, height = struct.unpack(">II", picture[16:24])
        self.assertEqual(width, height * seen["progress"]["preview"]["frames"])
        self.ask("POST", f"/api/jobs/{job}/cancel")
        self.server.wait(job, "cancelled")
        self.assertEqual(self.ask("GET", f"/api/jobs/{job}/preview")[0], 409)
        [kept] = (self.server.folder / "data/previews").iterdir()  # the next start need not fit it again
        self.assertEqual(len(json.loads(kept.read_text())["map"]) % 3, 0)


class Models(unittest.TestCase):
    """Two models, of which one at a time is on the device."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="zoetrope serve ")
        other = Path(self.folder.name) / "other.zoe"
        library = ctypes.CDLL(str(Path(COMMAND).resolve().parents[1] / "lib/libzoetrope.so.1"))
        options = {"input": str(SOURCE / "models/toybox/toybox.safetensors"), "name": "other", "output": str(other)}
        self.assertEqual(library.zoetrope_convert(json.dumps(options).encode(), None), 0)
        self.server = Server(self.folder.name, "--model", str(other)).start()
        self.ask = self.server.ask

    def tearDown(self):
        self.server.end()
        self.server.process.stderr.close()
        self.folder.cleanup()

    def held(self):
        text = self.ask("GET", "/metrics")[2].decode()
        return int(next(l for l in text.splitlines() if l.startswith("zoetrope_device_held_bytes ")).split()[1])

    def test_a_request_names_its_model_and_others_make_room(self):
        self.assertEqual([m["id"] for m in self.ask("GET", "/v1/models")[2]["data"]], ["toybox", "other"])
        self.assertEqual(self.held(), 0)  # nothing is loaded before it is asked for
        held = []
        for model in (None, "other", "toybox", "other"):
            status, _, job = self.ask("POST", "/api/jobs", {**SMALL, **({"model": model} if model else {})})
            self.assertEqual((status, job["model"]), (201, model or "toybox"))
            self.server.wait(job["id"], "done")
            held.append(self.held())
        self.assertGreater(held[0], 0)
        self.assertLess(max(held), 1.5 * held[0])  # never both
        status, _, answer = self.ask("POST", "/api/jobs", {**SMALL, "model": "third"})
        self.assertEqual(status, 404)
        self.assertIn("'toybox', 'other'", answer["error"]["message"])


class Cast(Made, unittest.TestCase):
    """Models that make a clip anew, and those that show pictures again: tiny ones of random weights."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="zoetrope serve ")
        writer = Path(COMMAND).resolve().parents[1] / "tests/parity_test"
        subprocess.run([writer, "-tc=Movie Gen's cast as model files"], check=True, capture_output=True,
                       env={**os.environ, "ZOETROPE_WRITE_MODELS": self.folder.name})
        models = [Path(self.folder.name) / f"{name}.zoe" for name in ("upsampler", "edit", "personalised")]
        self.server = Server(self.folder.name, *(flag for path in models for flag in ("--model", str(path)))).start()
        self.ask = self.server.ask

    def tearDown(self):
        self.server.end()
        self.server.process.stderr.close()
        self.folder.cleanup()

    def clip(self):
        path = Path(self.folder.name) / "given.mp4"
        subprocess.run(["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", "testsrc2=s=12x8:r=10:d=0.7", "-pix_fmt",
                        "yuv420p", path], check=True)
        return path.read_bytes()

    def test_a_clip_is_made_anew_at_its_own_rate(self):
        request = {"prompt": "sharper", "model": "upsampler", "steps": 1, "seed": 3}
        view, clip = self.result(request, [("video", self.clip(), "a.mp4")])
        self.assertEqual((view["width"], view["height"], view["frames"], view["fps"]), (24, 16, 7, 10))
        self.assertEqual(len(frames_of(clip, 24, 16)), 7)
        edited, _ = self.result({**request, "model": "edit", "video": {"job": view["id"], "input": "video"}})
        self.assertEqual((edited["width"], edited["height"], edited["frames"], edited["fps"]), (12, 8, 7, 10))
        status, _, answer = self.ask("POST", "/api/jobs", request)
        self.assertEqual(status, 422)
        self.assertIn("makes a clip anew", answer["error"]["message"])
        # In OpenAI's and in Google's words.
        status, _, job = self.ask("POST", "/v1/videos/edits", {"prompt": "x", "model": "edit", "video": {"id": view["id"]}})
        self.assertEqual((status, job.get("size")), (200, "24x16"), job)
        request = {"instances": [{"prompt": "x", "video": {"bytesBase64Encoded": base64.b64encode(self.clip()).decode()}}]}
        status, _, operation = self.ask("POST", "/v1beta/models/upsampler:predictLongRunning", request)
        self.assertEqual(status, 200, operation)
        view = self.ask("GET", "/api/jobs/" + operation["name"].rsplit("/", 1)[1])[2]
        self.assertEqual((view["width"], view["height"], view["request"]["video"]["input"]), (24, 16, "video"))

    def test_references_are_shown_again(self):
        pictures = [("references", png(20, 16, colour), f"{colour[0]}.png") for colour in ((200, 30, 30), (30, 200, 30))]
        request = {"prompt": "somebody", "model": "personalised", "width": 16, "height": 8, "frames": 4, "steps": 1, "seed": 3}
        one, first = self.result(request, pictures[:1])
        two, both = self.result(request, pictures)
        self.assertNotEqual(first, both)
        self.assertEqual(two["request"]["references"], [{"job": two["id"], "input": f"reference_{i}"} for i in (1, 2)])
        again, same = self.result(two["request"])
        self.assertEqual(same, both)
        self.assertEqual(self.result({**request, "references": [{"job": two["id"], "input": "reference_1"}]})[1], first)
        for references, status, word in (([{"job": one["id"], "input": "reference_2"}], 404, "given no 'reference_2'"),
                                         ([{"job": one["id"], "input": "../../keys"}], 404, "given no"),
                                         ([{"job": one["id"], "input": "reference_01"}], 404, "given no"),
                                         (2 * two["request"]["references"], 422, "4 pictures"),
                                         (9 * two["request"]["references"], 400, "references"),
                                         ([{}], 400, "references"), ({}, 400, "references")):
            found, _, answer = self.ask("POST", "/api/jobs", {**request, "references": references})
            self.assertEqual(found, status, answer)
            self.assertIn(word, answer["error"]["message"])
        body, headers = form({"request": json.dumps(request)}, 9 * pictures)
        self.assertEqual(self.ask("POST", "/api/jobs", body, headers)[0], 400)
        # In Google's words.
        image = {"image": {"bytesBase64Encoded": base64.b64encode(pictures[0][1]).decode(), "mimeType": "image/png"}}
        for given, status, word in (([{**image, "referenceType": "asset"}] * 3, 200, None),
                                    ([{**image, "referenceType": "style"}], 400, "referenceType"),
                                    ([{"referenceType": "asset"}], 400, "image"), ([image] * 17, 400, "16")):
            asked = {"instances": [{"prompt": "somebody", "referenceImages": given}]}
            found, _, answer = self.ask("POST", "/v1beta/models/personalised:predictLongRunning", asked)
            self.assertEqual(found, status, answer)
            if word is not None:
                self.assertIn(word, answer["error"]["message"])
        self.assertEqual(self.ask("POST", "/v1beta/models/edit:predictLongRunning", {
            "instances": [{"prompt": "x", "referenceImages": [image]}]})[0], 422)


if __name__ == "__main__":
    main()
