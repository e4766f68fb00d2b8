"""A model, a clip with sound from it, and a file: over ComfyUI's own IMAGE and AUDIO, so that other nodes fit between.

IMAGE: float32 tensor [frames, height, width, 3] in [0, 1]. AUDIO: {"waveform": float32 tensor [1, channels, samples],
"sample_rate"}.
"""
from __future__ import annotations

import os

import comfy.model_management
import comfy.utils
import folder_paths
import numpy as np
import torch
from PIL import Image

import zoetrope

FOLDER = "zoetrope"
OWN = "(the model of the package)"
folder_paths.folder_names_and_paths.setdefault(
    FOLDER, ([os.path.join(folder_paths.models_dir, FOLDER)], {".zoe"}))


def to_image(frames: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(frames.astype(np.float32) / 255)


def to_frames(image: torch.Tensor) -> np.ndarray:
    return (np.clip(image.cpu().numpy(), 0, 1) * 255).round().astype(np.uint8)


def to_audio(samples: np.ndarray, rate: int) -> dict:
    return {"waveform": torch.from_numpy(np.ascontiguousarray(samples.T)[None]), "sample_rate": rate}


def to_samples(audio: dict) -> np.ndarray:
    return np.ascontiguousarray(audio["waveform"].cpu().numpy()[0].T.astype(np.float32))


# A model without sound, for nodes that want some: one sample of silence, which Save takes for none.
SILENCE_RATE = 16000


def is_placeholder(audio: dict) -> bool:
    return audio["waveform"].shape[-1] <= 1


class Loader:
    """Opens a model file; weights are loaded when a clip is made, and stay."""

    CATEGORY = "zoetrope"
    RETURN_TYPES = ("ZOETROPE_ENGINE",)
    RETURN_NAMES = ("engine",)
    FUNCTION = "load"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        return {"required": {"model": ([OWN, *folder_paths.get_filename_list(FOLDER)],),
                             "device": ("STRING", {"default": "auto"})}}

    def load(self, model: str, device: str) -> tuple:
        path = None if model == OWN else folder_paths.get_full_path(FOLDER, model)
        if model != OWN and path is None:
            raise FileNotFoundError(f"{model}: there is no such model in models/{FOLDER}")
        return (zoetrope.Engine(path, device=device),)


class Sampler:
    """A clip from a prompt, and from frames and sound that it begins with, ends with or continues."""

    CATEGORY = "zoetrope"
    RETURN_TYPES = ("IMAGE", "AUDIO", "FLOAT", "ZOETROPE_CLIP")
    RETURN_NAMES = ("frames", "audio", "fps", "clip")
    FUNCTION = "sample"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        whole = {"min": 0, "max": 1 << 20, "tooltip": "0: what the model prefers"}
        return {
            "required": {"engine": ("ZOETROPE_ENGINE",), "prompt": ("STRING", {"multiline": True}),
                         "negative": ("STRING", {"multiline": True, "default": ""}),
                         "seed": ("INT", {"default": 0, "min": 0, "max": (1 << 64) - 1, "control_after_generate": True}),
                         "width": ("INT", {"default": 0, **whole}), "height": ("INT", {"default": 0, **whole}),
                         "frames": ("INT", {"default": 0, **whole}), "steps": ("INT", {"default": 0, **whole}),
                         "guidance": ("FLOAT", {"default": -1.0, "min": -1.0, "max": 100.0, "step": 0.1,
                                                "tooltip": "-1: what the model prefers"})},
            "optional": {"first": ("IMAGE",), "last": ("IMAGE",), "before": ("IMAGE",), "before_audio": ("AUDIO",),
                         "after": ("IMAGE",), "after_audio": ("AUDIO",), "audio": ("AUDIO",), "start": ("IMAGE",),
                         "source": ("IMAGE", {"tooltip": "for models that make a clip anew: editors, upsamplers"}),
                         "source_fps": ("INT", {"default": 0, "min": 0, "max": 1000, "tooltip": "0: the model's"}),
                         "references": ("IMAGE", {"tooltip": "a batch of pictures of who is to be shown again"}),
                         "strength": ("FLOAT", {"default": 0.8, "min": 0.01, "max": 1.0, "step": 0.01})},
        }

    def sample(self, engine, prompt, negative, seed, width, height, frames, steps, guidance, first=None, last=None,
               before=None, before_audio=None, after=None, after_audio=None, audio=None, start=None, strength=0.8,
               source=None, source_fps=0, references=None) -> tuple:
        given = {"width": width or None, "height": height or None, "frames": frames or None, "steps": steps or None,
                 "guidance": guidance if guidance >= 0 else None, "negative": negative, "seed": seed}
        for name, image in (("first", first), ("last", last)):
            if image is not None:
                given[name] = to_frames(image[:1])[0]
        for name, image in (("before", before), ("after", after), ("start", start), ("source", source),
                            ("references", references)):
            if image is not None:
                given[name] = to_frames(image)
        for name, sound in (("before_sound", before_audio), ("after_sound", after_audio), ("audio", audio)):
            if sound is not None:
                given[name] = to_samples(sound)
        if start is not None:
            given["strength"] = strength
        if source is not None:
            given["source_fps"] = source_fps or None
        clip = self.wait(engine.start(prompt, previews=1, **given))
        sound = clip.audio if clip.audio is not None else np.zeros((1, 1), np.float32)
        return to_image(clip.frames), to_audio(sound, clip.sample_rate or SILENCE_RATE), float(clip.fps), clip

    @staticmethod
    def wait(run: zoetrope.Run) -> zoetrope.Clip:
        """Its progress as ComfyUI's bar, with a preview; ComfyUI's interrupt ends it at its next step."""
        bar, total = None, 1
        try:
            for now in run:
                comfy.model_management.throw_exception_if_processing_interrupted()
                if now.task != "denoise":
                    continue
                total = int(now.total)
                bar = bar or comfy.utils.ProgressBar(total)
                look = None if now.preview is None else ("JPEG", Image.fromarray(now.preview[0]), 512)
                bar.update_absolute(int(now.done), total, look)
        except BaseException:
            run.cancel()
            raise
        if bar is not None:  # a slow reader misses some
            bar.update_absolute(total, total)
        for notice in run.notices:
            print(f"zoetrope: {notice}")
        return run.result()


class Save:
    """Frames and sound to a file in ComfyUI's output folder; with the sampler's clip its prompt, seed and receipt, too."""

    CATEGORY = "zoetrope"
    RETURN_TYPES = ()
    FUNCTION = "save"
    OUTPUT_NODE = True
    FORMATS = ("mp4", "webm", "mkv", "mov", "gif")

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        return {"required": {"frames": ("IMAGE",), "fps": ("FLOAT", {"default": 16.0, "min": 1.0, "max": 240.0}),
                             "filename_prefix": ("STRING", {"default": "zoetrope"}), "format": (cls.FORMATS,)},
                "optional": {"audio": ("AUDIO",), "clip": ("ZOETROPE_CLIP",)}}

    def save(self, frames, fps, filename_prefix, format, audio=None, clip=None) -> dict:
        if fps != round(fps):
            raise ValueError(f"fps is {fps}; files here have a whole number of frames a second, such as {round(fps)}")
        pixels = to_frames(frames)
        folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(
            filename_prefix, folder_paths.get_output_directory(), pixels.shape[2], pixels.shape[1])
        file = f"{name}_{counter:05}_.{format}"
        samples, rate = (None, 0) if audio is None or is_placeholder(audio) else (to_samples(audio), audio["sample_rate"])
        # Changed on the way, it is no longer what the receipt says.
        same = clip is not None and fps == clip.fps and np.array_equal(pixels, clip.frames) and (
            clip.audio is None if samples is None else np.array_equal(samples, clip.audio))
        made = clip if same else zoetrope.Clip(pixels, samples, int(fps), rate, clip.seed if clip else 0,
                                               clip.prompt if clip else "", None, {})
        made.save(os.path.join(folder, file))
        return {"ui": {"images": [{"filename": file, "subfolder": subfolder, "type": "output"}], "animated": (True,)}}


NODE_CLASS_MAPPINGS = {"ZoetropeLoader": Loader, "ZoetropeSampler": Sampler, "ZoetropeSave": Save}
NODE_DISPLAY_NAME_MAPPINGS = {"ZoetropeLoader": "Zoetrope model", "ZoetropeSampler": "Zoetrope clip",
                              "ZoetropeSave": "Save clip with sound"}
