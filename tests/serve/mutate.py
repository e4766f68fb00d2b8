#!/usr/bin/env python3
"""Hostile requests, made of real ones: whatever comes, the server answers below 500 or closes, holds no descriptor longer
than its client, and works on.

usage: mutate.py ZOETROPE MODEL.zoe SOURCE_FOLDER [COUNT [SEED [FIRST]]]

A case is drawn from SEED and its number alone: FIRST with a COUNT of 1 sends one again.
"""
import base64
import collections
import io
import json
import os
import random
import signal
import socket
import struct
import sys
import tempfile
import threading
import time
import wave
from pathlib import Path

COUNT, SEED, FIRST = (list(map(int, sys.argv[4:])) + [1000, 1, 0][len(sys.argv[4:]):])[:3]
del sys.argv[4:]
from given_test import png  # noqa: E402: they read the rest of the arguments
from server import PATIENCE, SMALL, SOURCE, Server, form  # noqa: E402

CLIENTS = 8
PICTURE = png(32, 32, (200, 30, 30))
TINY = {**SMALL, "frames": 4, "steps": 1}
NASTY_TEXTS = ["", "\0", "a" * 9000, "\u202e\ud83d\ude00", "../../etc/passwd", "%s%n", "{", "\r\nX: y", "1" * 400, "NaN",
               "-1", "1e999", "file_0", "video_0", "data:;base64,AAAA", "data:,", "💥" * 3000, "\x7f\x1b[31m"]
NASTY_NUMBERS = ["-1", "0", "1e400", "-1e400", "18446744073709551616", "9223372036854775807", "-9223372036854775808",
                 "0.1e-320", "1" * 500, "2147483648", "1e18", "-0.0", "3.5", "64"]
METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "PRI", "CONNECT", "get", "G\0T", "X" * 300]


class Raw:
    """Text that json.dumps leaves as it is."""

    def __init__(self, text):
        self.text = text


def dumps(value):
    """JSON, in which Raw is whatever it likes to be."""
    if isinstance(value, Raw):
        return value.text
    if isinstance(value, dict):
        return "{" + ",".join(dumps(k) + ":" + dumps(v) for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(dumps, value)) + "]"
    return json.dumps(value)


def sound():
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setparams((1, 2, 16000, 0, "NONE", ""))
        out.writeframes(bytes(4000))
    return file.getvalue()


def nasty(draw, in_list=False):
    kind = draw.randrange(5 if in_list else 6)
    if kind == 0:
        return draw.choice(NASTY_TEXTS)
    if kind == 1:
        return Raw(draw.choice(NASTY_NUMBERS))
    if kind == 2:
        return draw.choice([None, True, False, [], {}, [[]], {"": {}}])
    if kind == 3:
        depth = draw.choice((5, 40, 3000))
        return Raw("[" * depth + "]" * depth if draw.random() < 0.5 else '{"a":' * depth + "1" + "}" * depth)
    if kind == 4:
        return Raw(draw.choice(['"\\ud800"', '"\\u0000"', "nul", "'x'", '"\\x"', "NaN", "Infinity", "01", "1.", "+1", '"a\nb"', "//"]))
    if draw.random() < 0.5:
        return {str(n): n for n in range(50)}
    return [nasty(draw, in_list=True) for _ in range(draw.choice((1, 3, 300)))]


def places(value):
    """Every (container, key) of it."""
    for key in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from places(value[key])


def wrong_json(draw, value):
    value = json.loads(json.dumps(value))
    for _ in range(draw.choice((1, 1, 2, 5))):
        container, key = draw.choice(list(places(value)) or [(value, "prompt")])
        action = draw.randrange(5)
        if action == 0 and isinstance(container, dict):
            container[draw.choice(["nose", "", "a[b]", "model", "image", "seed", "adapters", "\0", "x" * 300])] = nasty(draw)
        elif action == 1:
            container.pop(key)
        elif isinstance(container, dict) or container:
            container[key] = nasty(draw)
        if not value:
            break
    return dumps(value)


def damaged(draw, data):
    """Bytes flipped, cut, doubled or put in."""
    data = bytearray(data)
    for _ in range(draw.choice((1, 1, 3, 20))):
        at = draw.randrange(len(data) + 1)
        action = draw.randrange(5)
        if action == 0 and at < len(data):
            data[at] ^= 1 << draw.randrange(8)
        elif action == 1:
            del data[at:at + draw.choice((1, 4, 64))]
        elif action == 2:
            data[at:at] = draw.randbytes(draw.choice((1, 4, 64)))
        elif action == 3:
            data[at:at + 4] = draw.choice((b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff", b"\x80\0\0\0"))
        else:
            data[at:at] = data[at:at + 200]
    return bytes(data[:draw.randrange(len(data) + 1)] if draw.random() < 0.2 else data)


class Requests:
    """Real ones, and what becomes of them."""

    def __init__(self, job, file, clip):
        self.job, self.media = job, {"a.png": PICTURE, "a.wav": sound(), "a.mp4": clip}
        kind = {"Content-Type": "application/json"}
        own = [("POST", "/api/plan", kind, TINY), ("POST", "/api/jobs", kind, TINY),
               ("POST", "/api/plan", kind, {**TINY, "image": {"file": file}, "last_image": {"job": job}, "fit": "contain",
                                            "background": "#102030", "classes": [], "expert_guidance": [2.0]}),
               ("POST", "/api/jobs", kind, {**TINY, "extend": {"job": job}, "lead_to": {"job": job}, "model": "toybox"}),
               ("POST", "/v1/videos", kind, {"prompt": "a ball", "size": "64x64", "seconds": "0.25",
                                             "input_reference": {"file_id": file}}),
               ("POST", "/v1/videos", kind, {"prompt": "a ball", "input_reference": {
                   "image_url": "data:image/png;base64," + base64.b64encode(PICTURE).decode()}}),
               ("POST", "/v1/videos/extensions", kind, {"prompt": "x", "seconds": "0.25", "video": {"id": job}}),
               ("POST", f"/v1/videos/{job}/remix", kind, {"prompt": "a star"}),
               ("POST", "/v1/images/generations", kind, {"prompt": "a ball", "n": 1, "size": "64x64", "quality": "auto"}),
               ("POST", "/v1beta/models/toybox:predictLongRunning", kind,
                {"instances": [{"prompt": "x", "image": {"bytesBase64Encoded": base64.b64encode(PICTURE).decode(),
                                                         "mimeType": "image/png"}}],
                 "parameters": {"aspectRatio": "16:9", "durationSeconds": 0.25, "resolution": "64p", "seed": 3}}),
               ("POST", "/v1beta1/publishers/google/models/toybox:fetchPredictOperation", kind,
                {"operationName": f"publishers/google/models/toybox/operations/{job}"})]
        self.json = own
        self.plain = [("GET", path.replace("{id}", job).replace("{model}", "toybox"), {}, None)
                      for path, operations in json.loads((SOURCE / "runtime/serve/page/openapi.json").read_text())["paths"].items()
                      if "get" in operations]
        self.stored = []
        for path in sorted((Path(__file__).parent / "requests").glob("*.json")):
            self.stored += [(q["method"], q["path"].replace("{1}", job).replace("{2}", job),
                             {"Content-Type": q["type"]} if q["type"] else {}, base64.b64decode(q["body"]))
                            for q in json.loads(path.read_text())]

    def a_form(self, draw):
        name = draw.choice(list(self.media))
        body, headers = draw.choice((
            lambda: form(files=[("file", self.media[name], name)]),
            lambda: form({"request": json.dumps(TINY)}, [("image", PICTURE, "a.png")]),
            lambda: form({"prompt": "x", "size": "64x64", "input_reference[file_id]": "file_0"}),
            lambda: form({"prompt": "x", "size": "64x64"}, [("input_reference", PICTURE, "a.png")])))()
        path = "/api/files" if b'name="file"' in body else "/api/jobs" if b'name="request"' in body else "/v1/videos"
        return "POST", path, headers, body

    def any(self, draw):
        method, path, headers, body = draw.choice((self.plain, self.json, self.stored, [self.a_form(draw)])[draw.randrange(4)])
        return method, path, dict(headers), json.dumps(body).encode() if isinstance(body, (dict, list)) else body or b""


def written(method, path, headers, body, version="HTTP/1.1"):
    lines = [f"{method} {path} {version}", "Host: localhost"]
    if method not in ("GET", "HEAD") or body:
        headers = {"Content-Length": len(body), **headers}
    lines += [f"{key}: {value}" for key, value in headers.items()]
    return "\r\n".join(lines).encode("utf-8", "surrogatepass") + b"\r\n\r\n" + body


# Each gives the parts to be sent, one after the other; a number between them is a pause in seconds.

def wrong_values(draw, all_):
    method, path, headers, body = draw.choice(all_.json)
    text = wrong_json(draw, body).encode("utf-8", "surrogatepass")
    return [written(method, path, dict(headers), text[:draw.randrange(len(text) + 1)] if draw.random() < 0.1 else text)]


def damaged_body(draw, all_):
    method, path, headers, body = all_.any(draw)
    return [written(method, path, headers, damaged(draw, body))]


def damaged_head(draw, all_):
    head, _, body = written(*all_.any(draw)).partition(b"\r\n\r\n")
    return [damaged(draw, head) + b"\r\n\r\n" + body, "end"]


def damaged_media(draw, all_):
    name = draw.choice(list(all_.media))
    data = damaged(draw, all_.media[name])
    if draw.random() < 0.5:
        return [written("POST", "/api/files", *reversed(form(files=[("file", data, name)])))]
    text = base64.b64encode(data).decode()
    if draw.random() < 0.5:
        text = damaged(draw, text.encode()).decode("latin-1")
    return [written("POST", "/v1/videos", {"Content-Type": "application/json"}, json.dumps(
        {"prompt": "x", "input_reference": {"image_url": draw.choice(("data:image/png;base64,", "data:", "")) + text}}).encode())]


def wrong_form(draw, all_):
    method, path, headers, body = all_.a_form(draw)
    action = draw.randrange(6)
    if action == 0:
        headers["Content-Type"] = draw.choice(("multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=" + "b" * 5000,
                                               'multipart/form-data; boundary="b', "multipart/form-data; boundary=c", "multipart/mixed; boundary=b",
                                               "multipart/form-data; boundary=b; boundary=c"))
    elif action == 1:
        body = body.replace(b"--b--\r\n", draw.choice((b"", b"--b", b"--b-", b"--b--" * 100, b"--b\r\n")))
    elif action == 2:
        name = draw.choice(("a", "a[b]", "a[b][c]", "[", "a[", "]", "a[]", "[b]", "prompt[x]", "\0", "x" * 5000, 'a"b', "image[]"))
        body = form([(name, "x"), (name + draw.choice(("", "[b]")), "y")])[0] + body
    elif action == 3:
        body = body.replace(b"Content-Disposition", draw.choice((b"Content-Disposition: x\r\n" * 200 + b"Content-Disposition", b"", b"X" * 9000, b"Content-Type")))
    elif action == 4:
        body = b"".join(b'--b\r\nContent-Disposition: form-data; name="%d"\r\n\r\nx\r\n' % n for n in range(draw.choice((100, 3000)))) + body
    else:
        body = damaged(draw, body)
    return [written(method, path, headers, body)]


def wrong_headers(draw, all_):
    method, path, headers, body = all_.any(draw)
    headers[draw.choice(("Content-Length", "Range", "Transfer-Encoding", "Expect", "Content-Type", "Accept-Encoding", "Authorization", "X-Forwarded-Proto",
                         "Content-Encoding", "Connection", "Cookie", "Origin", "x-goog-api-key", "Content-Length "))] = draw.choice(
        ("-1", "0", "1", "99999999999999999999", "100000000", "abc", "", "bytes=0-", "bytes=9-1", "bytes=-5", "bytes=0-0," * 100 + "1-2", "bytes=99999999999999999999-",
         "chunked", "gzip", "gzip, chunked", "100-continue", "identity", "x" * 9000, "multipart/form-data; boundary=x", "application/json; charset=utf-16",
         "\x80\xff", "Bearer " + "k" * 9000, "close, keep-alive", "javascript:alert(1)", "bytes=0-1,3-4,8-"))
    return [written(method, path, headers, body), "end"]


def header_flood(draw, all_):
    method, path, headers, body = all_.any(draw)
    many = {f"X-{n}": "y" * draw.choice((1, 100)) for n in range(draw.choice((50, 150, 2000)))}
    return [written(method, path, {**many, **headers}, body), "end"]


def chunked(draw, all_):
    method, path, headers, body = all_.any(draw)
    head = written("POST", path, {**headers, "Transfer-Encoding": draw.choice(("chunked", "CHUNKED", "x, chunked"))}, b"")
    if draw.random() < 0.5:
        head = head.replace(b"Content-Length: 0\r\n", b"")
    size = draw.choice((b"%x" % len(body), b"ffffffffffffffff", b"-1", b"", b"zz", b"0", b"%x;a=b" % len(body), b"7fffffff"))
    return [head, size + b"\r\n" + body + b"\r\n0\r\n\r\n", "end"]


def wrong_path(draw, all_):
    method, path, headers, body = all_.any(draw)
    parts = path.split("/")
    parts[draw.randrange(len(parts))] = draw.choice(
        ("..", "%2e%2e", "%00", "%", "%zz", "%ff%fe", "", ".", "x" * 7000, "a" * 200, "video_" + "0" * 32, "*", "?limit=2", "?limit=-1&after=%00",
         "?" + "a=b&" * 3000, "?order=up&limit=99999999999999999999", "a;b", "{id}", "a:b:c", "%2f%2f", "\u00e4", ":predictLongRunning", "toybox:" + "x" * 100,
         "?variant=%F0%9F", "?limit=%31", "$&+,;=@", "~", "events", "files", "<script>"))
    return [written(draw.choice(METHODS) if draw.random() < 0.3 else method, "/".join(parts), headers, body), "end"]


def wrong_line(draw, all_):
    return [draw.choice((b"", b"\r\n", b"\n\n\n", b"GET /\r\n\r\n", b"GET / HTTP/0.9\r\n\r\n", b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n", b"GET  / HTTP/1.1\r\n\r\n",
                         b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET / HTTP/1.1\rHost: localhost\r\r", b"GET / HTTP/1.1\nHost: localhost\n\n",
                         b"GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nHost: localhost\r\n\r\n", b"\0" * 5000, b"A" * 100000,
                         b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", b"GET / HTTP/1.1\r\n folded: x\r\n\r\n", b"GET / HTTP/1.1\r\nNoColon\r\n\r\n", draw.randbytes(300))), "end"]


def pipelined(draw, all_):
    return [b"".join(written(*all_.any(draw)) for _ in range(draw.choice((2, 5)))) + draw.choice((b"", b"\0" * 100)), "end"]


def cut_short(draw, all_):
    whole = written(*all_.any(draw))
    return [whole[:draw.randrange(len(whole))], draw.choice(("end", "reset", "close"))]


def slow(draw, all_):
    whole = written(*all_.any(draw))
    at = sorted(draw.randrange(len(whole)) for _ in range(4))
    return [whole[:at[0]], 0.1, whole[at[0]:at[1]], 0.2, whole[at[1]:at[2]], 0.1, whole[at[2]:], draw.choice(("wait", "reset"))]


def unread(draw, all_):
    return [written(*draw.choice([q for q in all_.plain if all_.job in q[1]])[:3], b""), draw.choice(("reset", "close"))]


KINDS = {wrong_values: 30, damaged_body: 12, damaged_head: 10, damaged_media: 1.5, wrong_form: 8, wrong_headers: 10, header_flood: 3, chunked: 4,
         wrong_path: 12, wrong_line: 4, pipelined: 3, cut_short: 3, slow: 0.3, unread: 2}


class Mutator:
    def __init__(self, folder):
        self.server = Server(folder, "--rate", "0", "--queue", "40", "--max-upload", "1M")
        self.folder, self.lock, self.next, self.end = folder, threading.Lock(), FIRST, FIRST + COUNT
        self.statuses, self.problems, self.kinds = collections.Counter(), [], collections.Counter()

    def begin(self):
        ask = self.server.start().ask
        job = ask("POST", "/api/jobs", TINY)[2]["id"]
        view = self.server.wait(job, "done")
        file = ask("POST", "/api/files", *form(files=[("file", PICTURE, "a.png")]))[2]["id"]
        self.requests = Requests(job, file, ask("GET", view["result"]["url"])[2])
        self.kept = {job}

    def case(self, number):
        draw = random.Random(f"{SEED}:{number}")
        kind = draw.choices(list(KINDS), KINDS.values())[0]
        return kind.__name__, kind(draw, self.requests)

    def send(self, parts):
        """What came back; nothing where the connection was closed."""
        last = parts[-1] if isinstance(parts[-1], str) else "wait"
        answer = b""
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=45 * PATIENCE) as connection:
            try:
                for part in parts:
                    if isinstance(part, bytes):
                        connection.sendall(part)
                    elif isinstance(part, float):
                        time.sleep(part)
                if last == "reset":
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                if last in ("reset", "close"):
                    return None
                if last == "end":  # it may wait for more, which does not come
                    try:
                        connection.settimeout(0.1 * PATIENCE)
                        answer = connection.recv(1 << 16)
                    except TimeoutError:
                        connection.shutdown(socket.SHUT_WR)
                    connection.settimeout(45 * PATIENCE)
                while got := connection.recv(1 << 16):
                    answer += got
            except (BrokenPipeError, ConnectionResetError):
                pass
        return answer

    def client(self):
        while True:
            with self.lock:
                if self.next >= self.end or len(self.problems) > 20:
                    return
                number, self.next = self.next, self.next + 1
            name, parts = self.case(number)
            try:
                answer = self.send(parts)
            except OSError as problem:
                self.problems.append((number, name, repr(problem), parts[0][:300]))
                continue
            if (answer or b"").startswith(b"HTTP/1.1 100 "):
                answer = answer.partition(b"\r\n\r\n")[2]
            words = (answer or b"").split(b" ", 2)
            status = int(words[1]) if len(words) > 1 and words[0].startswith(b"HTTP/") and words[1].isdigit() else 0
            with self.lock:
                self.kinds[name] += 1
                self.statuses[status] += 1
                if status >= 500 or (answer and status == 0):
                    self.problems.append((number, name, answer[:400], b"".join(p for p in parts if isinstance(p, bytes))[:600]))

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.server.process.pid}/fd"))

    def tidy(self, stop):
        """What the mutants queued ends soon: it is requests that are tried here."""
        while not stop.wait(0.3):
            status, _, answer = self.server.ask("GET", "/api/jobs?limit=100")
            for job in answer["jobs"] if status == 200 else []:
                if job["id"] not in self.kept and (job["state"] != "queued" or job["frames"] > 1):
                    self.server.ask("DELETE", f"/api/jobs/{job['id']}")

    def run(self):
        self.begin()
        before, begun, stop = self.descriptors(), time.monotonic(), threading.Event()
        clients = [threading.Thread(target=self.client) for _ in range(CLIENTS)]
        tidy = threading.Thread(target=self.tidy, args=(stop,))
        for thread in (*clients, tidy):
            thread.start()
        for thread in clients:
            thread.join()
        stop.set()
        tidy.join()
        for problem in self.problems:
            print("WRONG", *problem)
        assert self.server.process.poll() is None, f"it ended with {self.server.process.poll()}: {self.server.strange[-40:]}"
        for job in self.server.ask("GET", "/api/jobs?limit=100")[2]["jobs"]:
            self.server.ask("DELETE", f"/api/jobs/{job['id']}")
        until = time.monotonic() + 40 * PATIENCE  # clients that went away are noticed when they time out
        while self.descriptors() > before + 2 and time.monotonic() < until:
            time.sleep(0.2)
        after = self.descriptors()
        status, _, job = self.server.ask("POST", "/api/jobs", TINY)
        assert status == 201, job
        assert self.server.wait(job["id"], "done", "failed")["state"] == "done"
        assert self.server.end() == 0, self.server.strange
        print(f"{sum(self.kinds.values())} hostile requests in {time.monotonic() - begun:.1f} s: "
              f"{dict(sorted(self.statuses.items()))} (0: closed without an answer); {dict(self.kinds)}; descriptors {before}, after {after}")
        assert not self.server.strange, self.server.strange[:40]
        assert not self.problems, f"{len(self.problems)} were answered wrongly"
        assert after <= before + 2, f"{before} descriptors before, {after} after"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="zoetrope mutate ") as root:
        mutator = Mutator(root)
        try:
            mutator.run()
        finally:
            if mutator.server.process is not None:
                if mutator.server.process.poll() is None:
                    mutator.server.end(signal.SIGKILL)
                mutator.server.process.stderr.close()
