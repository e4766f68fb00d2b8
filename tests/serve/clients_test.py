#!/usr/bin/env python3
"""APIs that clients already speak: what the official packages sent, stored, and the packages themselves, where they
are installed.

usage: clients_test.py ZOETROPE MODEL.zoe SOURCE_FOLDER

ZOETROPE_RECORD=1 stores what the packages send now.
"""
import base64
import http.client
import http.server
import json
import os
import re
import threading
import time
import unittest
import warnings
from pathlib import Path

from given_test import png
from server import LONG, PATIENCE, SMALL, Case, form, main

STORED = Path(__file__).parent / "requests"
RECORD = os.environ.get("ZOETROPE_RECORD") == "1"
ID = re.compile(rb"video_[0-9a-f]{32}")
RED = png(64, 64, (200, 30, 30))

try:
    import openai
except ImportError:
    openai = None
try:
    from google import genai
    from google.genai import types
except ImportError:
    genai = None


class Recorder:
    """Stands between a package and the server, and keeps what passes: ids become {1}, {2}, ... in their order."""

    def __init__(self, port):
        recorder = self
        self.requests, self.ids, self.address = [], {}, f"127.0.0.1:{port}"

        class Handler(http.server.BaseHTTPRequestHandler):
            def forward(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                recorder.keep(self.command, self.path, self.headers, body)
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60 * PATIENCE)
                connection.request(self.command, self.path, body or None,
                                   {k: v for k, v in self.headers.items() if k not in ("Host", "Accept-Encoding")})
                answer = connection.getresponse()
                data = answer.read()
                connection.close()
                for found in ID.findall(data):
                    recorder.ids.setdefault(found, b"{%d}" % (len(recorder.ids) + 1))
                self.send_response(answer.status)
                for key, value in answer.getheaders():
                    if key.lower() not in ("content-length", "connection", "transfer-encoding", "keep-alive"):
                        self.send_header(key, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_DELETE = forward

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def keep(self, method, path, headers, body):
        for found, name in self.ids.items():
            path, body = path.replace(found.decode(), name.decode()), body.replace(found, name)
            file, named = found.replace(b"_", b""), name.replace(b"}", b"f}")  # as Google names files
            path, body = path.replace(file.decode(), named.decode()), body.replace(file, named)
        path, body = path.replace(self.address, "{address}"), body.replace(self.address.encode(), b"{address}")
        request = {"method": method, "path": path, "type": headers.get("Content-Type", ""),
                   "body": base64.b64encode(body).decode()}
        if not self.requests or request != self.requests[-1]:  # polling asks the same again
            self.requests.append(request)

    def close(self, name):
        self.server.shutdown()
        self.server.server_close()
        if RECORD:
            (STORED / name).write_text(json.dumps(self.requests, indent=1) + "\n")


class Stored(Case):
    """What the packages sent, sent again byte for byte."""

    def replay(self, name):
        ids, answers = [], []
        for request in json.loads((STORED / name).read_text()):
            body = base64.b64decode(request["body"])
            path = request["path"]
            for index, found in enumerate(ids):
                body = body.replace(b"{%d}" % (index + 1), found)
                path = path.replace("{%d}" % (index + 1), found.decode())
                body = body.replace(b"{%df}" % (index + 1), found.replace(b"_", b""))
                path = path.replace("{%df}" % (index + 1), found.decode().replace("_", ""))
            address = f"127.0.0.1:{self.server.port}"
            path, body = path.replace("{address}", address), body.replace(b"{address}", address.encode())
            headers = {"Content-Type": request["type"]} if request["type"] else {}
            until = time.monotonic() + 60 * PATIENCE
            while True:  # until it is done, as the packages waited
                status, sent, data = self.ask(request["method"], path, body or None, headers, raw=True)
                if status != 409 or time.monotonic() > until:
                    break
                time.sleep(0.05)
            for found in ID.findall(data):
                if found not in ids:
                    ids.append(found)
            self.assertEqual(status, 200, (request["method"], path, data[:300]))
            kind = sent.get("Content-Type", "")
            answers.append((request, kind, json.loads(data) if kind == "application/json" else data))
            if request["method"] == "POST" and ids:
                self.server.wait(ids[-1].decode(), "done", "failed")
        return answers

    def test_openai_videos(self):
        answers = self.replay("openai_videos.json")
        kinds = {kind for _, kind, _ in answers}
        self.assertLessEqual({"application/json", "video/mp4", "image/png"}, kinds)
        self.assertTrue(any(b"input_reference" in base64.b64decode(q["body"]) for q, _, _ in answers))
        remixes = [a for q, _, a in answers if q["path"].endswith("/remix")]
        self.assertTrue(remixes[0]["remixed_from_video_id"])

    def test_openai_images(self):
        for _, _, answer in self.replay("openai_images.json"):
            for item in answer["data"]:
                self.assertEqual(base64.b64decode(item["b64_json"])[:4], b"\x89PNG")

    def test_google_s_own_paths(self):
        answers = self.replay("google_gemini.json")
        clips = [answer for _, kind, answer in answers if kind == "video/mp4"]
        self.assertEqual([clip[4:8] for clip in clips], [b"ftyp"] * 2)
        self.assertTrue(any(q["path"].startswith("/v1beta/models/toybox/operations/") for q, _, _ in answers))

    def test_google(self):
        _, _, last = self.replay("google.json")[-1]
        self.assertTrue(last["done"])
        self.assertEqual(base64.b64decode(last["response"]["videos"][0]["bytesBase64Encoded"])[4:8], b"ftyp")


class OpenAi(Case):
    def setUp(self):
        if openai is None:  # before there is a server: what setUp skips, tearDown does not end
            self.skipTest("the package openai is not installed (pip install openai)")
        super().setUp()
        warnings.simplefilter("ignore")  # of OpenAI's own service, which ended
        self.recorder = Recorder(self.server.port)
        self.client = openai.OpenAI(base_url=f"http://127.0.0.1:{self.recorder.port}/v1", api_key="none", max_retries=0)

    def wait(self, video):
        until = time.monotonic() + 120 * PATIENCE
        while video.status in ("queued", "in_progress") and time.monotonic() < until:
            time.sleep(0.05)
            video = self.client.videos.retrieve(video.id)
        self.assertEqual(video.status, "completed", video)
        return video

    def test_videos(self):
        videos = self.client.videos
        video = self.wait(videos.create(prompt="a red ball", model="toybox", seconds="0.5", size="64x64"))
        self.assertEqual((video.object, video.size, video.seconds, video.model, video.progress, video.error),
                         ("video", "64x64", "0.5", "toybox", 100, None))
        self.assertGreaterEqual(video.completed_at, video.created_at)
        self.assertEqual(videos.download_content(video.id).read()[4:8], b"ftyp")
        for variant in ("thumbnail", "spritesheet"):
            self.assertEqual(videos.download_content(video.id, variant=variant).read()[:4], b"\x89PNG")
        shown = self.wait(videos.create(prompt="a blue star", seconds="0.5", size="64x64", input_reference=("a.png", RED)))
        remix = self.wait(videos.remix(video.id, prompt="a yellow ball"))
        self.assertEqual((remix.remixed_from_video_id, remix.prompt, remix.size), (video.id, "a yellow ball", "64x64"))
        clip = videos.download_content(video.id).read()
        longer = self.wait(videos.extend(prompt="a red ball", seconds="0.5", video=("a.mp4", clip)))
        self.assertEqual(longer.seconds, "1")
        page = videos.list(limit=2)
        self.assertEqual((len(page.data), page.has_next_page()), (2, True))
        self.assertEqual([v.id for v in videos.list(limit=2)][-1], video.id)  # it goes through all pages
        self.assertEqual([v.id for v in videos.list(limit=1, order="asc", after=video.id).data], [shown.id])
        self.assertTrue(videos.delete(shown.id).deleted)
        with self.assertRaises(openai.NotFoundError):
            videos.retrieve(shown.id)
        self.recorder.requests.pop()
        self.recorder.close("openai_videos.json")

    def test_errors_are_the_package_s(self):
        client = openai.OpenAI(base_url=f"http://127.0.0.1:{self.server.port}/v1", api_key="none", max_retries=0)
        with self.assertRaisesRegex(openai.NotFoundError, "toybox"):
            client.videos.create(prompt="x", model="sora-2")
        with self.assertRaisesRegex(openai.UnprocessableEntityError, "160"):
            client.videos.create(prompt="x", size="4000x4000")
        with self.assertRaisesRegex(openai.BadRequestError, "WIDTHxHEIGHT"):
            client.videos.create(prompt="x", size="64")

    def test_images(self):
        images = self.client.images.generate(prompt="a red ball", model="toybox", size="64x64", n=2)
        self.assertEqual([base64.b64decode(i.b64_json)[:4] for i in images.data], [b"\x89PNG"] * 2)
        self.recorder.close("openai_images.json")


class Google(Case):
    def test_videos(self):
        if genai is None:
            self.skipTest("the package google-genai is not installed (pip install google-genai)")
        recorder = Recorder(self.server.port)
        # From its version 3 on this package sends videos to Vertex AI alone.
        client = genai.Client(vertexai=True, api_key="none",
                              http_options=types.HttpOptions(base_url=f"http://127.0.0.1:{recorder.port}/"))
        operation = client.models.generate_videos(
            model="toybox", source=types.GenerateVideosSource(
                prompt="a red ball", image=types.Image(image_bytes=RED, mime_type="image/png")),
            config=types.GenerateVideosConfig(duration_seconds=1, seed=3, negative_prompt="a star", aspect_ratio="16:9",
                                              number_of_videos=1))
        until = time.monotonic() + 120 * PATIENCE
        while not operation.done and time.monotonic() < until:
            time.sleep(0.1)
            operation = client.operations.get(operation)
        self.assertIsNone(operation.error)
        [made] = operation.response.generated_videos
        self.assertEqual((made.video.video_bytes[4:8], made.video.mime_type), (b"ftyp", "video/mp4"))
        view = self.ask("GET", "/api/jobs")[2]["jobs"][0]
        self.assertEqual((view["seed"], view["request"]["negative"], view["frames"]), (3, "a star", 16))
        self.assertGreater(view["width"], view["height"])
        recorder.close("google.json")

    def test_videos_in_gemini_s_mode(self):
        if genai is None or int(genai.__version__.split(".")[0]) > 2:
            self.skipTest('a google-genai that sends videos to Gemini is not installed (pip install "google-genai<3")')
        recorder = Recorder(self.server.port)
        client = genai.Client(api_key="none", http_options=types.HttpOptions(base_url=f"http://127.0.0.1:{recorder.port}/"))
        config = types.GenerateVideosConfig(duration_seconds=1, negative_prompt="a star", aspect_ratio="16:9", number_of_videos=1)

        def wait(operation):
            until = time.monotonic() + 120 * PATIENCE
            while not operation.done and time.monotonic() < until:
                time.sleep(0.1)
                operation = client.operations.get(operation)
            self.assertIsNone(operation.error)
            [made] = operation.response.generated_videos
            return made.video

        video = wait(client.models.generate_videos(
            model="toybox", prompt="a red ball", image=types.Image(image_bytes=RED, mime_type="image/png"), config=config))
        clip = client.files.download(file=video)
        self.assertEqual((clip[4:8], video.video_bytes), (b"ftyp", clip))
        view = self.ask("GET", "/api/jobs")[2]["jobs"][0]
        self.assertEqual((view["request"]["negative"], view["frames"], "image" in view["request"]), ("a star", 16, True))
        longer = wait(client.models.generate_videos(model="toybox", prompt="a red ball", config=config,
                                                    video=types.Video(uri=video.uri)))
        self.assertEqual(self.ask("GET", "/api/jobs")[2]["jobs"][0]["frames"], 32)
        self.assertEqual(client.files.download(file=longer)[4:8], b"ftyp")
        recorder.close("google_gemini.json")

    def test_gemini_s_words(self):
        request = {"instances": [{"prompt": "a red ball"}],
                   "parameters": {"durationSeconds": 0.5, "seed": 3, "aspectRatio": "1:1", "resolution": "64p"}}
        status, _, operation = self.ask("POST", "/v1beta/models/toybox:predictLongRunning", request)
        self.assertEqual((status, operation["done"]), (200, False), operation)
        self.server.wait(operation["name"].split("/")[-1], "done")
        status, _, done = self.ask("GET", "/v1beta/" + operation["name"])
        self.assertEqual((status, done["done"], done["name"]), (200, True, operation["name"]))
        uri = done["response"]["generateVideoResponse"]["generatedSamples"][0]["video"]["uri"]
        status, headers, clip = self.ask("GET", uri.split(str(self.server.port))[1])
        self.assertEqual((status, headers["Content-Type"], clip[4:8]), (200, "video/mp4", b"ftyp"))
        view = self.ask("GET", "/api/jobs")[2]["jobs"][0]
        self.assertEqual((view["width"], view["height"], view["frames"], view["seed"]), (64, 64, 8, 3))
        # Veo extends what it made by its address.
        status, _, longer = self.ask("POST", "/v1beta/models/toybox:predictLongRunning",
                                     {"instances": [{"prompt": "a red ball", "video": {"uri": uri}}],
                                      "parameters": {"durationSeconds": 0.5, "aspectRatio": "1:1", "resolution": "64p"}})
        self.assertEqual(status, 200, longer)
        self.assertEqual(self.server.wait(longer["name"].split("/")[-1], "done")["frames"], 16)

    def test_wrong_requests_have_google_s_errors(self):
        for request, status, word in (({}, 400, "instances"), ({"instances": [{}]}, 400, "prompt"),
                                      ({"instances": [{"prompt": "x", "nose": 1}]}, 400, "nose"),
                                      ({"instances": [{"prompt": "x"}], "parameters": {"sampleCount": 2}}, 400, "one"),
                                      ({"instances": [{"prompt": "x", "image": {"gcsUri": "gs://a"}}]}, 400, "gcsUri"),
                                      ({"instances": [{"prompt": "x", "image": {"uri": "a", "encodedVideo": "b"}}]}, 400, "one of"),
                                      ({"instances": [{"prompt": "x", "video": {"uri": "/v1beta/files/:download"}}]}, 400, "of this service"),
                                      ({"instances": [{"prompt": "x"}], "parameters": {"resizeMode": "zoom"}}, 400, "pad"),
                                      ({"instances": [{"prompt": "x"}], "parameters": {"personGeneration": 1}}, 400, "person"),
                                      ({"instances": [{"prompt": "x"}], "labels": "x"}, 400, "labels"),
                                      ({"instances": [{"prompt": "x"}], "parameters": {"seed": "3"}}, 400, "seed"),
                                      ({"instances": [{"prompt": "x"}], "parameters": {"resolution": "720p"}}, 422, "160"),
                                      ({"instances": [{"prompt": "x", "image": {"bytesBase64Encoded": "!"}}]}, 400, "image")):
            found, _, answer = self.ask("POST", "/v1beta/models/toybox:predictLongRunning", request)
            self.assertEqual((found, answer["error"]["code"], answer["error"]["status"]), (status, status, "INVALID_ARGUMENT"),
                             answer)
            self.assertIn(word, answer["error"]["message"])
        found, _, answer = self.ask("POST", "/v1beta/models/veo:predictLongRunning", {"instances": [{"prompt": "x"}]})
        self.assertEqual((found, answer["error"]["status"]), (404, "NOT_FOUND"))


class Words(Case):
    """OpenAI's words, by hand: what packages do not send."""

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
        self.assertEqual(self.ask("GET", f"/v1/videos/{video['id']}/content?variant=film")[0], 400)
        status, _, deleted = self.ask("DELETE", f"/v1/videos/{video['id']}")
        self.assertEqual(deleted, {"id": video["id"], "object": "video.deleted", "deleted": True})
        self.assertEqual(self.ask("GET", f"/v1/videos/{video['id']}")[0], 404)

    def test_forms_and_lists(self):
        running = self.submit(LONG)
        made = [self.ask("POST", "/v1/videos", *form({"prompt": f"a red ball {n}", "size": "64x64"}))[2]["id"]
                for n in range(3)]
        status, _, page = self.ask("GET", "/v1/videos?limit=2")
        self.assertEqual([v["id"] for v in page["data"]], made[:0:-1])
        self.assertEqual((page["first_id"], page["last_id"], page["has_more"]), (made[2], made[1], True))
        _, _, rest = self.ask("GET", f"/v1/videos?limit=2&after={page['last_id']}")
        self.assertEqual(([v["id"] for v in rest["data"]], rest["has_more"]), ([made[0], running], False))
        _, _, oldest = self.ask("GET", "/v1/videos?limit=1&order=asc")
        self.assertEqual(oldest["data"][0]["id"], running)

    def test_references(self):
        url = "data:image/png;base64," + base64.b64encode(RED).decode()
        file = self.ask("POST", "/api/files", *form(files=[("file", RED, "a.png")]))[2]["id"]
        asked = {"prompt": "a blue star", "seconds": "0.5", "size": "64x64"}
        for reference in ({"image_url": url}, {"file_id": file}):
            status, _, video = self.ask("POST", "/v1/videos", {**asked, "input_reference": reference})
            self.assertEqual(status, 200, video)
            self.assertEqual(self.ask("GET", f"/api/jobs/{video['id']}")[2]["request"]["image"]["input"], "image")
        source = self.ask("POST", "/v1/videos", asked)[2]["id"]
        self.server.wait(source, "done")
        status, _, longer = self.ask("POST", "/v1/videos/extensions", {"prompt": "a star", "seconds": "0.5", "video": {"id": source}})
        self.assertEqual((status, longer["seconds"], longer["size"]), (200, "1", "64x64"), longer)
        status, _, answer = self.ask("POST", "/v1/videos/edits", {"prompt": "a star", "video": {"id": source}})
        self.assertEqual(status, 422, answer)  # Toybox starts from noise alone
        self.assertEqual(self.ask("POST", "/v1/videos/video_0/remix", {"prompt": "x"})[0], 404)
        nested = form({**asked, "input_reference[file_id]": file})
        self.assertEqual(self.ask("POST", "/v1/videos", *nested)[0], 200)
        for reference, word in (({"image_url": "http://elsewhere/a.png"}, "fetches nothing"), ({"file_id": "x"}, "x"),
                                ({"file_id": file, "nose": 1}, "nose"), ({"file_id": file, "image_url": url}, "one of"),
                                ("a.png", "input_reference"), ({"image_url": "data:image/png;base64,!"}, "base64")):
            status, _, answer = self.ask("POST", "/v1/videos", {**asked, "input_reference": reference})
            self.assertIn(status, (400, 404), answer)
            self.assertIn(word, answer["error"]["message"])
        status, _, answer = self.ask("POST", "/v1/videos", *form(asked, [("input_reference", b"x", "a.png")]))
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
        twice = form({"prompt": "x"}, [("image", RED, "a.png"), ("image[]", RED, "b.png")])
        status, _, answer = self.ask("POST", "/v1/images/edits", *twice)
        self.assertEqual(status, 400, answer)
        self.assertIn("image[]", answer["error"]["message"])


if __name__ == "__main__":
    main()
