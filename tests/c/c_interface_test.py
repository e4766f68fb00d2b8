#!/usr/bin/env python3
"""The C interface as a program of somebody else meets it: a C example, a stored list of symbols, and every function that
opens, plans, runs and tells, called through ctypes, wrongly too.

usage: c_interface_test.py LIBZOETROPE EXAMPLE MODEL.zoe
"""
import ctypes
import json
import os
import re
import resource
import struct
import subprocess
import sys
import tempfile
import threading
from ctypes import byref, c_char_p, c_void_p
from pathlib import Path

from c_library import (CANCELLED, DIFFERS, EXAMPLE, EXHAUSTED, HERE, INVALID, LIBRARY, MODEL, NOT_FOUND, OK, REQUEST,
                       ROOT, UNAVAILABLE, Callbacks, Case, Listener, Media, Tensor, lib, main, message, opened, text)


class Library(Case):
    def test_the_symbols_are_the_stored_ones(self):
        listed = subprocess.run(["nm", "-D", "--defined-only", LIBRARY], capture_output=True, text=True, check=True)
        found = sorted({line.split()[-1].split("@")[0] for line in listed.stdout.splitlines()} - {"ZOETROPE_1"})
        self.assertEqual(found, (HERE / "symbols.txt").read_text().split())
        header = (ROOT / "include" / "zoetrope.h").read_text()
        self.assertEqual(sorted(re.findall(r"ZOETROPE_API [^;]*?(zoetrope_\w+)\(", header)), found)
        self.assertEqual(int(re.search(r"#define ZOETROPE_ABI (\d+)", header)[1]), lib.zoetrope_abi())

    def test_the_header_is_strict_c_and_cplusplus(self):
        header = HERE.parents[1] / "include/zoetrope.h"
        for compiler, language, standards in (("cc", "c", ("c99", "c11")), ("c++", "c++", ("c++98", "c++20"))):
            for standard in standards:
                subprocess.run([compiler, "-x", language, f"-std={standard}", "-pedantic-errors", "-Wall", "-Wextra", "-Werror",
                                "-Wno-long-long", "-fsyntax-only", "-include", header, "/dev/null"], check=True)

    def test_the_example_makes_a_clip(self):
        source = ROOT / "examples" / "clip.c"
        self.assertLess(len(source.read_text().splitlines()), 50)
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "clip.rgb"
            done = subprocess.run([EXAMPLE, MODEL, "a red ball", out], capture_output=True, timeout=120)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(out.stat().st_size, 8 * 64 * 64 * 3)
            self.assertEqual(json.loads(done.stdout)["frames"], 8)
            self.assertEqual(self.run_request(seed=0)[1].frames, out.read_bytes())
            wrong = subprocess.run([EXAMPLE, "nowhere.zoe", "x", out], capture_output=True, timeout=120)
            self.assertEqual(wrong.returncode, NOT_FOUND)
            self.assertIn(b"nowhere.zoe", wrong.stderr)

    def test_codes_have_names_and_messages_are_a_thread_s_own(self):
        header = (ROOT / "include" / "zoetrope.h").read_text()
        names = {int(value): name.lower().replace("_", " ") for name, value in re.findall(r"ZOETROPE_(\w+) = (\d+)", header)}
        self.assertEqual(len(names), 11)
        said = {code: lib.zoetrope_code_name(code).decode() for code in names}
        self.assertEqual(said, {**names, 8: "i/o error", 9: "internal error", DIFFERS: "results differ"})
        self.assertEqual(lib.zoetrope_code_name(99), b"unknown code")
        self.refused(lib.zoetrope_run(self.engine, b"{", None, None, None), "JSON")
        other = []
        thread = threading.Thread(target=lambda: other.append(message()))
        thread.start()
        thread.join()
        self.assertEqual(other, [""])
        self.assertIn("JSON", message())

    def test_what_is_there_is_told(self):
        out = c_void_p()
        self.assertEqual(lib.zoetrope_inspect(self.engine, byref(out)), OK)
        info = text(out)
        self.assertIn("dit", [c["name"] for c in info["components"]])
        self.assertTrue(info["digest"].startswith("xxh3:"))
        self.assertEqual(info["path"], MODEL)
        self.assertIn("ball", info["vocabulary"])
        self.assertEqual(lib.zoetrope_devices(byref(out)), OK)
        self.assertTrue(any(d["backend"] == "cpu" and d["available"] for d in text(out)))

    def test_the_default_model_is_found_beside_the_library(self):
        out = c_void_p()
        self.assertEqual(lib.zoetrope_default_model(byref(out)), OK, message())
        self.assertEqual(Path(ctypes.string_at(out).decode()).resolve(), Path(MODEL).resolve())
        lib.zoetrope_free(out)
        self.assertEqual(self.refused(lib.zoetrope_default_model(None), "path", "NULL"), INVALID)


class Runs(Case):
    def test_plan_and_run_agree(self):
        out = c_void_p()
        self.assertEqual(lib.zoetrope_plan(self.engine, json.dumps(REQUEST).encode(), None, byref(out)), OK)
        plan = text(out)
        code, heard, result = self.run_request()
        self.assertEqual(code, OK)
        self.assertEqual(len(heard.frames), 8 * 64 * 64 * 3)
        self.assertEqual((result["width"], result["height"], result["frames"]), (64, 64, 8))
        self.assertEqual(sum(s[0] for s in heard.samples), result["samples"])
        self.assertEqual({s[1:] for s in heard.samples}, {(result["channels"], result["sample_rate"])})
        self.assertIn("denoise", heard.tasks)
        self.assertEqual(plan["peak_bytes"], result["planned_peak_bytes"])
        self.assertEqual(self.run_request()[1].frames, heard.frames)
        self.assertNotEqual(self.run_request(seed=4)[1].frames, heard.frames)
        self.assertGreater(max(heard.left), 0)  # the CPU tells of its speed, so time left is known
        self.assertLess(heard.left[-1], max(heard.left))

    def test_the_receipt_is_one_that_the_command_reads(self):
        _, heard, result = self.run_request()
        receipt = result["receipt"]
        self.assertEqual(receipt["request"]["prompt"], REQUEST["prompt"])
        self.assertEqual(receipt["request"]["devices"]["device"], "cpu")
        command = Path(LIBRARY).parents[1] / "bin" / "zoetrope"
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "receipt.json"
            path.write_text(json.dumps(receipt))
            again = subprocess.run([command, "verify", "--receipt", path, "--threads", "1"], capture_output=True, text=True, timeout=120)
            self.assertEqual(again.returncode, 0, again.stdout + again.stderr)
            receipt["stages"][-1]["digest"] = "xxh3:0123456789abcdef"
            path.write_text(json.dumps(receipt))
            again = subprocess.run([command, "verify", "--receipt", path, "--threads", "1"], capture_output=True, text=True, timeout=120)
            self.assertEqual(again.returncode, 6, again.stdout + again.stderr)

    def test_media_are_kept_and_wrong_ones_named(self):
        picture = bytes([200, 30, 30]) * (64 * 64)
        kept = ctypes.cast(c_char_p(picture), c_void_p)
        size = ctypes.sizeof(Media)
        code, heard, result = self.run_request(Media(size=size, first=kept))
        self.assertEqual(code, OK, message())
        self.assertNotEqual(heard.frames, self.run_request()[1].frames)
        self.assertIsNone(result["receipt"])
        out = c_void_p()
        self.assertEqual(lib.zoetrope_plan(self.engine, json.dumps(REQUEST).encode(),
                                           byref(Media(size=size, first=kept)), byref(out)), OK)
        with_picture = text(out)
        self.assertEqual(lib.zoetrope_plan(self.engine, json.dumps(REQUEST).encode(), None, byref(out)), OK)
        self.assertGreater(len(with_picture["jobs"]), len(text(out)["jobs"]))  # the picture is encoded
        for media, words in ((Media(size=size, video=kept, video_frames=99), ("media.video", "99", "8")),
                             (Media(size=size, before=None, before_frames=2), ("media.before", "no pixels")),
                             (Media(size=size, first=kept, start=kept, start_frames=8, strength=-1), ("strength",)),
                             (Media(size=size, audio=kept, audio_samples=5), ("media.audio", "5")),
                             (Media(size=size, before_sound=kept), ("before_sound", "without its frames")),
                             (Media(size=size, before=kept, before_frames=1, before_sound=kept, before_samples=999,
                                    channels=1), ("media.before_sound", "media.before_sound: 999 ", "expected 1000")),
                             (Media(size=size, after=kept, after_frames=1, after_sound=kept, channels=1),
                              ("media.after_sound", "0 samples", "expected 1000")),
                             (Media(size=size, after=kept, after_frames=1, after_sound=kept, after_samples=1000,
                                    channels=1), ("media.after_sound", "1 channels", "has 2")),
                             (Media(size=size, audio=kept, audio_samples=8000), ("media.audio", "0 channels", "has 2")),
                             (Media(size=0), ("zoetrope_media.size", "sizeof"))):
            self.assertEqual(self.run_request(media)[0], INVALID)
            self.refused(INVALID, *words)

    def test_a_struct_of_an_older_header_is_read_as_far_as_it_goes(self):
        listener = Listener()
        listener.calls.size = Callbacks.token.offset  # before tokens were
        listener.calls.token = 12345
        self.assertEqual(self.run_request(listener=listener)[0], OK, message())
        listener.calls.size = Callbacks.frames.offset
        listener.frames.clear()
        self.assertEqual(self.run_request(listener=listener)[0], OK, message())
        self.assertEqual(len(listener.frames), 0)
        listener.calls.size = 1 << 20
        self.assertEqual(self.run_request(listener=listener)[0], INVALID)
        # Before sound said how long it is and of how many channels.
        sound, frames = (ctypes.c_float * (8000 * 2))(), (ctypes.c_uint8 * (64 * 64 * 3))()
        older = Media.before_samples.offset
        code, _, result = self.run_request(Media(size=older, audio=ctypes.cast(sound, c_void_p), audio_samples=8000))
        self.assertEqual((code, result["samples"]), (OK, 8000), message())
        media = Media(size=older, before=ctypes.cast(frames, c_void_p), before_frames=1,
                      before_sound=ctypes.cast(sound, c_void_p))
        self.assertEqual(self.run_request(media)[0], INVALID)
        self.refused(INVALID, "media.before_sound", "older")

    def test_a_callback_cancels(self):
        for task in ("denoise", "decode video"):
            self.assertEqual(self.run_request(listener=Listener(stop=task))[0], CANCELLED, task)
        self.assertEqual(self.run_request()[0], OK)

    def test_a_token_cancels_from_another_thread(self):
        token = c_void_p()
        self.assertEqual(lib.zoetrope_token_create(byref(token)), OK)
        began = threading.Event()

        def cancel():
            began.wait(60)
            self.assertEqual(lib.zoetrope_token_cancel(token), OK)

        thread = threading.Thread(target=cancel)
        thread.start()
        listener = Listener(token=token, at=lambda task: began.set() if task == "denoise" else None)
        self.assertEqual(self.run_request(listener=listener, steps=500)[0], CANCELLED)
        thread.join()
        self.assertNotIn("decode video", listener.tasks)
        self.assertEqual(self.run_request(listener=Listener(token=token))[0], CANCELLED)  # it stays so
        lib.zoetrope_token_free(token)
        self.assertEqual(self.run_request(listener=Listener(token=token))[0], INVALID)
        self.refused(lib.zoetrope_token_cancel(token), "token", "closed")

    def test_who_waits_for_a_turn_is_cancelled_too(self):
        token = c_void_p()
        lib.zoetrope_token_create(byref(token))
        first, second = [], []
        working = threading.Event()
        go_on = threading.Event()

        def at(task):
            working.set()
            go_on.wait(60)

        one = threading.Thread(target=lambda: first.append(self.run_request(listener=Listener(at=at))[0]))
        two = threading.Thread(target=lambda: second.append(self.run_request(listener=Listener(token=token))[0]))
        one.start()
        working.wait(60)
        two.start()
        lib.zoetrope_token_cancel(token)
        two.join(60)
        self.assertEqual(second, [CANCELLED])
        self.assertEqual(first, [])
        go_on.set()
        one.join()
        self.assertEqual(first, [OK])
        lib.zoetrope_token_free(token)

    def test_threads_take_turns_and_two_engines_work_at_once(self):
        expected, found = self.run_request()[1].frames, []
        other = opened()
        threads = [threading.Thread(target=lambda e=e: found.append(self.run_request(engine=e)[1].frames))
                   for e in (self.engine, other, self.engine, other)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(found, [expected] * 4)
        lib.zoetrope_close(other)

    def test_a_thread_with_too_short_a_stack_is_told_and_256_kib_are_enough(self):
        seen = {}

        def try_on(kib):
            listener, engine, result = Listener(), c_void_p(), c_void_p()
            code = lib.zoetrope_open(MODEL.encode(), b'{"device": "cpu", "threads": 3}', byref(engine))
            if code == OK:
                code = lib.zoetrope_run(engine, json.dumps(REQUEST).encode(), None, byref(listener.calls), byref(result))
                lib.zoetrope_free(result)
                lib.zoetrope_close(engine)
            seen[kib] = code, message(), bytes(listener.frames)

        for kib in (128, 256):
            before = threading.stack_size(kib << 10)
            try:
                thread = threading.Thread(target=try_on, args=(kib,))
                thread.start()
            finally:
                threading.stack_size(before)
            thread.join()
        self.assertEqual(seen[128][0], EXHAUSTED)
        self.assertIn("KiB of its stack left", seen[128][1])
        self.assertEqual(seen[256][0], OK, seen[256][1])
        self.assertEqual(seen[256][2], bytes(self.run_request()[1].frames))

    def on_first_thread(self, code, **options):
        """What a process prints in which `code` makes the first thread's calls, each of which is INVALID."""
        start = "import resource\nfrom c_library import lib\ncall = lambda: lib.zoetrope_convert(None, None)\n"
        # It lies on that stack.
        small = {name: os.environ[name] for name in ("HOME", "LD_LIBRARY_PATH", "PATH", "TMPDIR") if name in os.environ}
        done = subprocess.run([sys.executable, "-c", start + code, LIBRARY, EXAMPLE, MODEL], capture_output=True, text=True,
                              timeout=120, env={**small, "PYTHONPATH": str(HERE)}, **options)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def test_a_first_thread_whose_stack_cannot_be_asked_for_is_trusted(self):
        said = self.on_first_thread("resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))\nprint(call())\n")
        self.assertEqual(said, INVALID)

    def test_a_first_thread_s_stack_follows_its_soft_limit(self):
        most = resource.getrlimit(resource.RLIMIT_STACK)[1]
        if most != resource.RLIM_INFINITY and most < 8 << 20:
            self.skipTest("the hard limit of stacks is lower")
        said = self.on_first_thread(f"before = call()\nresource.setrlimit(resource.RLIMIT_STACK, (8 << 20, {most}))\n"
                                    "print([before, call()])\n",
                                    preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_STACK, (192 << 10, most)))
        self.assertEqual(said, [EXHAUSTED, INVALID])

    def test_closing_waits_for_nobody_and_takes_nothing_from_who_is_at_work(self):
        engine, expected = opened(), self.run_request()[1].frames
        listener = Listener(at=lambda task: lib.zoetrope_close(engine))
        code, heard, _ = self.run_request(listener=listener, engine=engine)
        self.assertEqual((code, heard.frames), (OK, expected))
        self.assertEqual(self.run_request(engine=engine)[0], INVALID)
        self.refused(INVALID, "engine", "closed")
        lib.zoetrope_close(engine)  # again: nothing

    def test_release_frees_and_the_next_run_loads_again(self):
        expected = self.run_request()[1].frames
        self.assertEqual(lib.zoetrope_release(self.engine), OK)
        code, heard, _ = self.run_request()
        self.assertEqual(heard.frames, expected)
        self.assertIn("load dit", heard.tasks)

    def test_errors_name_what_is_wrong(self):
        out = c_void_p()
        for request, word in ((b"{", "JSON"), (b'{"stepz": 3}', "stepz"), (b'{"steps": 0}', "steps"),
                              (b'{"width": 1000000}', "nearest"), (None, "request"), (b"[]", "object"),
                              (b'{"adapters": [{"file": {"path": ""}}]}', "adapters"),
                              (b'{"adapters": [{"file": {"path": "x"}, "component": "nose"}]}', "nose")):
            self.assertEqual(lib.zoetrope_run(self.engine, request, None, None, None), INVALID, request)
            self.assertIn(word, message())
        nowhere = b'{"adapters": [{"file": {"path": "/nowhere.safetensors"}}]}'
        self.assertEqual(self.refused(lib.zoetrope_run(self.engine, nowhere, None, None, None), "/nowhere"), NOT_FOUND)
        for handle in (None, 1, 0xdeadbeef, self.engine.value + 1):
            self.assertEqual(self.refused(lib.zoetrope_run(handle, b"{}", None, None, None), "engine"), INVALID)
            self.assertEqual(lib.zoetrope_plan(handle, b"{}", None, byref(out)), INVALID)
            self.assertEqual(lib.zoetrope_inspect(handle, byref(out)), INVALID)
            self.assertEqual(lib.zoetrope_release(handle), INVALID)
            self.assertEqual(lib.zoetrope_tensors_count(handle), -1)
            lib.zoetrope_close(handle)
            lib.zoetrope_token_free(handle)
            lib.zoetrope_tensors_free(handle)
        lib.zoetrope_free(None)
        token = c_void_p()
        lib.zoetrope_token_create(byref(token))  # a handle of another kind
        self.assertEqual(lib.zoetrope_run(token, b"{}", None, None, None), INVALID)
        lib.zoetrope_token_free(token)
        self.assertEqual(lib.zoetrope_plan(self.engine, b"{}", None, None), INVALID)
        self.assertEqual(self.refused(lib.zoetrope_open(b"/nowhere.zoe", None, byref(out)), "/nowhere.zoe"), NOT_FOUND)
        self.assertEqual(self.refused(lib.zoetrope_open(MODEL.encode(), b'{"gpu": 1}', byref(out)), "gpu"), INVALID)
        self.assertEqual(self.refused(lib.zoetrope_open(MODEL.encode(), b'{"place": "nose=cpu:"}', byref(out))), INVALID)
        self.assertEqual(lib.zoetrope_open(MODEL.encode(), None, None), INVALID)
        self.assertEqual(lib.zoetrope_token_create(None), INVALID)
        self.assertEqual(lib.zoetrope_devices(None), INVALID)
        budget = json.dumps({**REQUEST, "memory_budget": 1000}).encode()
        self.assertEqual(lib.zoetrope_plan(self.engine, budget, None, byref(out)), EXHAUSTED)
        self.assertIsNone(out.value)

    def test_a_child_process_is_told_to_open_its_own(self):
        child = os.fork()
        if child == 0:
            code = lib.zoetrope_plan(self.engine, json.dumps(REQUEST).encode(), None, byref(c_void_p()))
            os._exit(code if "fork()" in message() else 99)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), UNAVAILABLE)
        self.assertEqual(self.run_request()[0], OK)


class Tensors(Case):
    def component(self, inputs, options=None, name=b"text_encoder"):
        """Code and outputs of [(name, dtype, dims, bytes)]."""
        given = (Tensor * max(len(inputs), 1))()
        keep = []
        for slot, (tensor, dtype, dims, data) in zip(given, inputs):
            keep.append(ctypes.create_string_buffer(data, len(data)))
            slot.name, slot.dtype, slot.rank = tensor, dtype, len(dims)
            slot.dims[:min(len(dims), 6)] = dims[:6]
            slot.data = ctypes.cast(keep[-1], c_void_p)
        out = c_void_p()
        code = lib.zoetrope_run_component(self.engine, name, given, len(inputs), options, None, byref(out))
        if code != OK:
            self.assertIsNone(out.value)
            return code, None
        made = {}
        for i in range(lib.zoetrope_tensors_count(out)):
            t = Tensor()
            self.assertEqual(lib.zoetrope_tensors_get(out, i, byref(t)), OK)
            dims = list(t.dims[:t.rank])
            count = 1
            for dim in dims:
                count *= dim
            made[t.name.decode()] = (t.dtype.decode(), dims,
                                     ctypes.string_at(t.data, count * {"f32": 4, "f16": 2, "bf16": 2}[t.dtype.decode()]))
        self.assertEqual(lib.zoetrope_tensors_get(out, 99, byref(Tensor())), INVALID)
        self.assertEqual(lib.zoetrope_tensors_get(out, 0, None), INVALID)
        lib.zoetrope_tensors_free(out)
        self.assertEqual(lib.zoetrope_tensors_count(out), -1)
        return code, made

    def inputs_of(self, name):
        out = c_void_p()
        lib.zoetrope_inspect(self.engine, byref(out))
        return next(c for c in text(out)["components"] if c["name"] == name)

    def test_a_component_runs_as_the_command_runs_it(self):
        graph = self.inputs_of("text_encoder")
        self.assertEqual([(i["name"], i["dtype"]) for i in graph["inputs"]], [("ids", "i32"), ("lengths", "i32")])
        ids, lengths = struct.pack("<16i", *range(1, 17)), struct.pack("<i", 16)
        code, made = self.component([(b"ids", b"i32", [1, 16], ids), (b"lengths", b"i32", [1], lengths)])
        self.assertEqual(code, OK, message())
        self.assertEqual(list(made), ["text"])
        dtype, dims, values = made["text"]
        self.assertEqual((dtype, dims), ("f32", [1, 16, 192]))
        with tempfile.TemporaryDirectory() as folder:  # the command, on the same tensors
            source, out = Path(folder) / "in.safetensors", Path(folder) / "out.safetensors"
            entry = json.dumps({"ids": {"dtype": "I32", "shape": [1, 16], "data_offsets": [0, 64]},
                                "lengths": {"dtype": "I32", "shape": [1], "data_offsets": [64, 68]}}).encode()
            source.write_bytes(struct.pack("<Q", len(entry)) + entry + ids + lengths)
            command = Path(LIBRARY).parents[1] / "bin" / "zoetrope"
            done = subprocess.run([command, "run", MODEL, "text_encoder", "--input", source, "--output", out, "--device",
                                   "cpu", "--threads", "1"], capture_output=True, timeout=120)
            self.assertEqual(done.returncode, 0, done.stderr)
            raw = out.read_bytes()
            length = struct.unpack("<Q", raw[:8])[0]
            begin, end = json.loads(raw[8:8 + length])["text"]["data_offsets"]
            self.assertEqual(raw[8 + length:][begin:end], values)

    def test_wrong_tensors_are_named(self):
        name, data = b"ids", bytes(64)
        lengths = (b"lengths", b"i32", [1], bytes(4))
        for ids, options, component, words in (
                (None, None, b"text_encoder", ("ids", "missing")),
                ((name, b"f32", [1, 16], data), None, b"text_encoder", ("ids", "f32", "i32")),
                ((name, b"x9", [1, 16], data), None, b"text_encoder", ("ids", "x9")),
                ((name, b"i32", [1, -16], data), None, b"text_encoder", ("ids",)),
                ((name, b"i32", [1 << 40, 1 << 40], data), None, b"text_encoder", ("ids",)),
                ((name, b"i32", [1] * 7, data), None, b"text_encoder", ("rank 7",)),
                ((b"nose", b"i32", [1, 16], data), None, b"text_encoder", ("nose",)),
                ((name, b"i32", [1, 16], data), b'{"set": {"x": "y"}}', b"text_encoder", ("set.x",)),
                ((name, b"i32", [1, 16], data), b'{"dump": ["nose"]}', b"text_encoder", ("nose",)),
                ((name, b"i32", [1, 16], data), b'{"compute": "f8"}', b"text_encoder", ("compute",)),
                ((name, b"i32", [1, 16], data), None, b"nose", ("nose", "text_encoder"))):
            inputs = [lengths] if ids is None else [ids, lengths]
            if ids is not None and ids[0] == b"nose":
                inputs.append((name, b"i32", [1, 16], data))
            self.assertEqual(self.component(inputs, options, component)[0], INVALID, words)
            self.refused(INVALID, *words)
        self.assertEqual(lib.zoetrope_run_component(self.engine, None, None, 0, None, None, byref(c_void_p())), INVALID)
        self.assertEqual(lib.zoetrope_run_component(self.engine, b"text_encoder", None, 1, None, None, byref(c_void_p())),
                         INVALID)
        self.assertEqual(lib.zoetrope_run_component(self.engine, b"text_encoder", None, 0, None, None, None), INVALID)


if __name__ == "__main__":
    main()
