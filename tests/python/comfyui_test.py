"""ComfyUI's nodes, called as ComfyUI calls them, against stand-ins of its modules after its documentation of custom nodes."""
import dataclasses
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import types
import unittest
from pathlib import Path

import numpy as np

ROOT = Path(os.environ["ZOETROPE_TEST_SOURCE"])
MODEL = Path(os.environ["ZOETROPE_TEST_BUILD"]) / "share/zoetrope/toybox.zoe"


class Interrupted(Exception):
    pass


class State:
    """What the stand-ins were told."""
    interrupted, bars, folder = False, [], None


class Tensor(np.ndarray):
    """As much of torch.Tensor as the nodes use."""

    def cpu(self):
        return self

    def numpy(self):
        return np.asarray(self)


class Bar:
    def __init__(self, total):
        self.total, self.seen = total, []
        State.bars.append(self)

    def update_absolute(self, value, total=None, preview=None):
        self.seen.append((value, total, preview))


def stand_ins():
    """Modules that the nodes import; torch and Pillow themselves where they are installed."""
    def module(name, **content):
        made = types.ModuleType(name)
        made.__dict__.update(content)
        sys.modules[name] = made
        return made

    def throw():
        if State.interrupted:
            raise Interrupted

    utils = module("comfy.utils", ProgressBar=Bar)
    management = module("comfy.model_management", throw_exception_if_processing_interrupted=throw)
    module("comfy", utils=utils, model_management=management)
    models = Path(State.folder) / "models"
    registered = {}
    module("folder_paths", models_dir=str(models), folder_names_and_paths=registered,
           get_filename_list=lambda name: sorted(
               p.name for f in registered[name][0] for p in Path(f).glob("*") if p.suffix in registered[name][1]),
           get_full_path=lambda name, file: next(
               (str(Path(f) / file) for f in registered[name][0] if (Path(f) / file).exists()), None),
           get_output_directory=lambda: str(Path(State.folder) / "output"),
           get_save_image_path=lambda prefix, folder, width, height: (folder, prefix, 1, "", prefix))
    for name in ("torch", "PIL.Image"):
        if importlib.util.find_spec(name.split(".")[0]) is None:
            if name == "torch":
                module("torch", Tensor=Tensor, from_numpy=lambda array: array.view(Tensor))
            else:
                image = module("PIL.Image", fromarray=lambda array: array)
                module("PIL", Image=image)


class Nodes(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.root = tempfile.TemporaryDirectory(prefix="zoetrope comfy ")
        State.folder = cls.root.name
        (Path(State.folder) / "models/zoetrope").mkdir(parents=True)
        (Path(State.folder) / "output").mkdir()
        os.symlink(MODEL, Path(State.folder) / "models/zoetrope/toybox.zoe")
        stand_ins()
        spec = importlib.util.spec_from_file_location("zoetrope_nodes", ROOT / "integrations/comfyui/__init__.py",
                                                      submodule_search_locations=[str(ROOT / "integrations/comfyui")])
        cls.pack = importlib.util.module_from_spec(spec)
        sys.modules["zoetrope_nodes"] = cls.pack
        spec.loader.exec_module(cls.pack)

    @classmethod
    def tearDownClass(cls):
        cls.root.cleanup()

    def setUp(self):
        State.interrupted, State.bars = False, []

    def node(self, name, **inputs):
        """As ComfyUI's executor: every required input by its name and type, the rest from the node's defaults."""
        kind = self.pack.NODE_CLASS_MAPPINGS[name]
        declared = kind.INPUT_TYPES()
        for key, (type_, *options) in declared["required"].items():
            if key not in inputs:
                inputs[key] = options[0]["default"] if options else type_[0]
            if isinstance(type_, (list, tuple)):
                self.assertIn(inputs[key], type_)
        for key in inputs:
            self.assertIn(key, {**declared["required"], **declared.get("optional", {})})
        return getattr(kind(), kind.FUNCTION)(**inputs)

    def sample(self, **inputs):
        return self.node("ZoetropeSampler", engine=self.engine(), prompt="a red ball",
                         **{"width": 64, "height": 64, "frames": 8, "steps": 2, "seed": 3, **inputs})

    def engine(self):
        [engine] = self.node("ZoetropeLoader", model="toybox.zoe", device="cpu")
        return engine

    def test_the_pack_is_what_comfyui_looks_for(self):
        for name, kind in self.pack.NODE_CLASS_MAPPINGS.items():
            self.assertIn(name, self.pack.NODE_DISPLAY_NAME_MAPPINGS)
            self.assertTrue(callable(getattr(kind, kind.FUNCTION)))
            self.assertIsInstance(kind.RETURN_TYPES, tuple)
            self.assertEqual(kind.CATEGORY, "zoetrope")
        self.assertTrue(self.pack.NODE_CLASS_MAPPINGS["ZoetropeSave"].OUTPUT_NODE)

    def test_a_clip_with_sound_goes_to_a_file(self):
        frames, audio, fps, clip = self.sample(steps=40)  # enough for a slow reader to see some
        self.assertEqual((tuple(frames.shape), fps), ((8, 64, 64, 3), 16.0))
        self.assertTrue(0 <= float(frames.min()) and 0.5 < float(frames.max()) <= 1)
        self.assertEqual((tuple(audio["waveform"].shape), audio["sample_rate"]), ((1, 2, 8000), 16000))
        [bar] = State.bars
        self.assertEqual(bar.seen[-1][:2], (40, 40))
        self.assertTrue(any(look for _, _, look in bar.seen))
        shown = self.node("ZoetropeSave", frames=frames, audio=audio, fps=fps, clip=clip, format="mp4")
        [image] = shown["ui"]["images"]
        file = Path(State.folder) / "output" / image["filename"]
        probe = json.loads(subprocess.run(["ffprobe", "-v", "error", "-show_streams", "-show_format", "-of", "json", file],
                                          capture_output=True, check=True).stdout)
        self.assertEqual(sorted(s["codec_type"] for s in probe["streams"]), ["audio", "video"])
        self.assertIn("receipt", probe["format"]["tags"])
        changed = self.node("ZoetropeSave", frames=1 - frames, audio=audio, fps=fps, clip=clip, format="mkv",
                            filename_prefix="changed")["ui"]["images"][0]["filename"]
        tags = subprocess.run(["ffprobe", "-v", "error", "-show_entries", "format_tags", "-of", "json",
                               Path(State.folder) / "output" / changed], capture_output=True, check=True).stdout
        self.assertNotIn(b"receipt", tags.lower())

    def saved(self, prefix, **inputs):
        """What ffprobe says of the file."""
        [image] = self.node("ZoetropeSave", filename_prefix=prefix, **inputs)["ui"]["images"]
        return json.loads(subprocess.run(
            ["ffprobe", "-v", "error", "-show_streams", "-show_format", "-of", "json",
             Path(State.folder) / "output" / image["filename"]], capture_output=True, check=True).stdout)

    def test_a_model_without_sound_makes_files_without_sound(self):
        frames, _, fps, clip = self.sample()
        silent = dataclasses.replace(clip, audio=None, sample_rate=0)
        kind = self.pack.NODE_CLASS_MAPPINGS["ZoetropeSampler"]
        wait, kind.wait = kind.wait, staticmethod(lambda run: run.result() and silent)
        try:
            frames, audio, fps, clip = self.sample()
        finally:
            kind.wait = staticmethod(wait)
        made = self.saved("silent", frames=frames, audio=audio, fps=fps, clip=clip, format="mp4")
        self.assertEqual([s["codec_type"] for s in made["streams"]], ["video"])
        self.assertIn("receipt", made["format"]["tags"])  # it is the clip, unchanged

    def test_the_fps_that_is_asked_for_is_the_file_s(self):
        frames, audio, fps, clip = self.sample()
        made = self.saved("faster", frames=frames, audio=audio, fps=2 * fps, clip=clip, format="mp4")
        [video] = [s for s in made["streams"] if s["codec_type"] == "video"]
        self.assertEqual(video["avg_frame_rate"], "32/1")
        self.assertNotIn("receipt", made["format"]["tags"])
        with self.assertRaisesRegex(ValueError, "23.976"):
            self.saved("odd", frames=frames, fps=23.976, format="mp4")

    def test_frames_and_sound_of_other_nodes_are_kept(self):
        frames, audio, _, clip = self.sample()
        longer = self.sample(before=frames, before_audio=audio, frames=16)[0]
        self.assertEqual(tuple(longer.shape), (16, 64, 64, 3))
        other = self.sample(seed=9)[0]
        near, far = abs(longer[:8] - frames).mean(), abs(other - frames).mean()
        self.assertLess(3 * float(near), float(far))
        sounded = self.sample(audio=audio, seed=9)[1]
        self.assertEqual(tuple(sounded["waveform"].shape), (1, 2, 8000))
        first = self.sample(first=frames[:1], last=frames[-1:], seed=9)[0]
        self.assertLess(float(abs(first[0] - frames[0]).mean()), float(far))

    def test_comfyui_s_interrupt_ends_it(self):
        engine = self.engine()
        State.interrupted = True
        with self.assertRaises(Interrupted):
            self.node("ZoetropeSampler", engine=engine, prompt="a red ball", width=64, height=64, frames=8, steps=9000)
        State.interrupted = False
        self.node("ZoetropeSampler", engine=engine, prompt="a red ball", width=64, height=64, frames=8, steps=1)

    def test_the_package_s_own_model_is_there(self):
        models = self.pack.NODE_CLASS_MAPPINGS["ZoetropeLoader"].INPUT_TYPES()["required"]["model"][0]
        self.assertEqual(models[1:], ["toybox.zoe"])
        with self.assertRaises(FileNotFoundError):
            self.pack.NODE_CLASS_MAPPINGS["ZoetropeLoader"]().load("none.zoe", "cpu")


if __name__ == "__main__":
    unittest.main()
