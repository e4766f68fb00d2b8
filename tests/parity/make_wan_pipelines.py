#!/usr/bin/env python3
"""Writes tests/parity/data/wan_pipelines: whole Wan pipelines of tiny uneven networks as diffusers saves them, and the
frames that diffusers makes with them from given noise (pip install torch diffusers transformers safetensors
sentencepiece ftfy pillow). The autoencoders and the picture tower are those of make_wan.py.

make_wan_pipelines.py [NAME...]: only these pipelines.
"""
import json
import shutil
import sys
from pathlib import Path

import diffusers
import numpy as np
import sentencepiece
import torch
from diffusers import (AutoencoderKLWan, UniPCMultistepScheduler, WanImageToVideoPipeline, WanPipeline,
                       WanTransformer3DModel, WanVideoToVideoPipeline)
from PIL import Image
from safetensors.torch import save_file
from transformers import BatchEncoding, BatchFeature, CLIPImageProcessor, CLIPVisionModel, UMT5Config, UMT5EncoderModel

from make_wan import DATA as PARTS
from make_wan import generator, last, randomise

DATA = Path(__file__).parent / "data" / "wan_pipelines"
TOKENIZER = Path(__file__).parents[1] / "text" / "data" / "identity.model"
IMAGE_PROCESSOR = dict(do_resize=True, size={"shortest_edge": 20}, resample=3, do_center_crop=True,
                       crop_size={"height": 20, "width": 20}, do_rescale=True, do_normalize=True,
                       image_mean=[0.48145466, 0.4578275, 0.40821073], image_std=[0.26862954, 0.26130258, 0.27577711],
                       do_convert_rgb=True)


class Tokenizer:
    """As T5's: the SentencePiece model, eos behind, padded to the length asked for."""

    def __init__(self, vocabulary):
        self.model = sentencepiece.SentencePieceProcessor(model_file=str(TOKENIZER))
        self.vocabulary = vocabulary

    def __call__(self, prompts, max_length, **_):
        rows = [self.model.encode(p)[:max_length - 1] + [1] for p in prompts]
        assert all(i < self.vocabulary for row in rows for i in row), "a piece that the tiny text encoder lacks"
        pad = [max_length - len(row) for row in rows]
        return BatchEncoding({"input_ids": torch.tensor([row + [0] * n for row, n in zip(rows, pad)]),
                              "attention_mask": torch.tensor([[1] * len(row) + [0] * n for row, n in zip(rows, pad)])})


def random_text_encoder(seed, **config):
    """As large as the tokenizer's vocabulary."""
    model = randomise(UMT5EncoderModel(UMT5Config(vocab_size=270, feed_forward_proj="gated-gelu", **config)), seed)
    model.shared.weight.copy_(torch.randn(model.shared.weight.shape, generator=generator(seed + 1)))
    return model


def text_encoder():
    """One for all pipelines."""
    folder = DATA / "text_encoder"
    if not folder.exists():
        random_text_encoder(60, d_model=11, d_kv=6, d_ff=20, num_layers=2, num_heads=2).save_pretrained(folder)
    return UMT5EncoderModel.from_pretrained(folder)


class Pipeline:
    """`transformer` and `second` are configurations; the other networks names of data/wan's folders, or models, which are
    then saved beside the transformer. `text` too; none: the one for all."""

    def __init__(self, name, kind, vae, transformer, second=None, vision=None, index=None, scheduler=None, text=None,
                 processor=None, root=None, seed=None):
        self.root = root or DATA
        self.name, self.folder = name, self.root / name
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        common = dict(text_dim=11, freq_dim=16, ffn_dim=30, num_layers=1, attention_head_dim=12, rope_max_seq_len=64,
                      num_attention_heads=2)
        self.index, self.parts = dict(index or {}), {}
        self.seed = len(name) if seed is None else seed

        def load(role, given, kind):
            if not isinstance(given, str):
                given.save_pretrained(self.folder / role)
                return kind.from_pretrained(self.folder / role)
            self.parts[role] = PARTS / given
            return kind.from_pretrained(PARTS / given)

        self.vae = load("vae", vae, AutoencoderKLWan)
        if isinstance(vision, str):
            transformer = transformer | dict(image_dim=24, added_kv_proj_dim=24)
        networks = {"transformer": transformer} | ({"transformer_2": second} if second else {})
        loaded = {}
        for seed, (role, config) in enumerate(networks.items()):
            model = randomise(WanTransformer3DModel(**(common | config)), 700 + 10 * self.seed + seed)
            loaded[role] = load(role, model, WanTransformer3DModel)
        if isinstance(scheduler, (dict, type(None))):
            scheduler = UniPCMultistepScheduler(
                **(dict(prediction_type="flow_prediction", use_flow_sigmas=True, num_train_timesteps=1000, flow_shift=3.0)
                   | (scheduler or {})))
        self.scheduler = scheduler
        self.scheduler.save_pretrained(self.folder / "scheduler")
        classes = {"vae": "AutoencoderKLWan", "text_encoder": "UMT5EncoderModel", "tokenizer": "T5TokenizerFast",
                   "scheduler": type(scheduler).__name__, "image_encoder": "CLIPVisionModel",
                   "image_processor": "CLIPImageProcessor"}
        said = ["vae", "text_encoder", "tokenizer", "scheduler"] + (["image_encoder", "image_processor"] if vision else [])
        everything = {"_class_name": kind.__name__, "_diffusers_version": "0.42.1"} | self.index
        for role in said:
            everything[role] = ["diffusers" if role in ("vae", "scheduler") else "transformers", classes[role]]
        for part in networks:
            everything[part] = ["diffusers", "WanTransformer3DModel"]
        for part in ({"transformer_2", "image_encoder", "image_processor"} - set(everything)):
            everything[part] = [None, None]
        (self.folder / "model_index.json").write_text(json.dumps(everything, indent=1) + "\n")
        # Which folder of data/wan stands in for a part.
        (self.folder / "parts.json").write_text(json.dumps({k: v.name for k, v in self.parts.items()}) + "\n")
        more = dict(image_encoder=None, image_processor=None) if kind is WanImageToVideoPipeline else {}
        if vision:
            processor = processor or IMAGE_PROCESSOR
            (self.folder / "image_processor").mkdir()
            (self.folder / "image_processor" / "preprocessor_config.json").write_text(
                json.dumps({"image_processor_type": "CLIPImageProcessor"} | processor, indent=1) + "\n")
            more = dict(image_encoder=load("image_encoder", vision, CLIPVisionModel),
                        image_processor=CLIPImageProcessor(**processor))
        text = load("text_encoder", text, UMT5EncoderModel) if text else text_encoder()
        self.pipe = kind(tokenizer=Tokenizer(text.config.vocab_size), text_encoder=text, vae=self.vae,
                         scheduler=self.scheduler, **loaded, **more, **self.index)
        self.pipe.set_progress_bar_config(disable=True)
        self.cases, self.tensors, self.check = [], {}, True

    def case(self, prompt, negative, width, height, frames, steps, guidance, guidance_2=None, pictures=(), strength=None):
        """One clip; `pictures`: of "image" and "last_image"."""
        i = len(self.cases)
        g = generator(900 + 37 * i + self.seed)
        config = self.vae.config
        z, space, time = config.z_dim, config.scale_factor_spatial, config.scale_factor_temporal
        noise = torch.randn(1, z, (frames - 1) // time + 1, height // space, width // space, generator=g)
        given = {}
        for k, what in enumerate(pictures):
            # Smooth, so that resizing means something, with a corner of noise.
            y, x = np.mgrid[0:height, 0:width]
            waves = [127 + 100 * np.sin(0.13 * (c + 1 + k) * x + 0.21 * (k + 1) * y + c) for c in range(3)]
            pixels = np.stack(waves, -1).clip(0, 255).astype(np.uint8)
            pixels[:5, :7] = torch.randint(0, 256, (5, 7, 3), generator=g).numpy()
            given[what] = Image.fromarray(pixels)
            self.tensors[f"{i}.in.{what}"] = torch.from_numpy(pixels.copy())
        latents, length = [], dict(num_frames=frames)
        if strength is not None:
            clip = torch.randint(0, 256, (frames, height // 4, width // 4, 3), generator=g, dtype=torch.uint8)
            clip = [Image.fromarray(c.numpy()).resize((width, height), Image.Resampling.BILINEAR) for c in clip]
            self.tensors[f"{i}.in.clip"] = torch.from_numpy(np.stack([np.array(c) for c in clip]))
            given, length = {"video": clip, "strength": strength}, {}
            # The pipeline takes noise as latents that it does not noise: its own noise is set instead.
            diffusers.pipelines.wan.pipeline_wan_video2video.randn_tensor = lambda *_, **__: noise
        latents_given = {} if strength is not None else {"latents": noise}

        def keep(pipe, step, t, values):
            latents.append(values["latents"].clone())
            return {}

        more = {} if guidance_2 is None else {"guidance_scale_2": guidance_2}
        out = self.pipe(prompt=prompt, negative_prompt=negative, width=width, height=height,
                        num_inference_steps=steps, guidance_scale=guidance, output_type="np",
                        callback_on_step_end=keep, **length, **latents_given, **given, **more).frames[0]
        self.tensors[f"{i}.in.noise"] = last(noise)
        self.tensors[f"{i}.out.latents"] = last(latents[-1])
        self.tensors[f"{i}.out.frames"] = torch.from_numpy(np.rint(out * 255).astype(np.uint8))
        self.cases.append(dict(prompt=prompt, negative=negative, width=width, height=height, frames=frames,
                               steps=steps, guidance=guidance) | ({"guidance_2": guidance_2} if guidance_2 else {})
                          | ({"strength": strength} if strength else {}))
        spread = out.std()
        clipped = ((out <= 0) | (out >= 1)).mean()
        assert not self.check or (spread > 0.05 and clipped < 0.3), (self.name, spread, clipped)
        print(self.name, i, out.shape, f"spread {spread:.3f}, clipped {clipped:.3f}")

    def save(self):
        path = self.root / f"{self.name}_io.safetensors"
        save_file({k: v.detach().contiguous().clone() for k, v in self.tensors.items()}, path,
                  {"cases": json.dumps(self.cases)})
        print(path.name, path.stat().st_size)


def t2v():
    p = Pipeline("t2v", WanPipeline, "vae_2_1", dict(in_channels=5, out_channels=5, num_layers=3))
    p.case("a b", "bad", 32, 48, 9, 3, 5.0)
    p.case("  one &amp; two ", "", 48, 16, 5, 4, 1.0)
    p.case("", None, 16, 16, 1, 2, 3.5)
    p.save()


def v2v():
    """From a clip: noise to a strength, then the steps that are left."""
    p = Pipeline("v2v", WanVideoToVideoPipeline, "vae_2_1", dict(in_channels=5, out_channels=5, num_layers=2))
    p.case("a b", "bad", 32, 48, 9, 5, 5.0, strength=0.7)
    p.case("one", "", 16, 32, 5, 4, 1.0, strength=1.0)
    p.save()


def t2v_experts():
    network = dict(in_channels=5, out_channels=5)
    p = Pipeline("t2v_experts", WanPipeline, "vae_2_1", network, second=network, index={"boundary_ratio": 0.875},
                 scheduler={"flow_shift": 12.0, "solver_order": 3})
    p.case("a b", "bad", 16, 32, 5, 6, 4.0, guidance_2=3.0)
    p.save()


def i2v():
    p = Pipeline("i2v", WanImageToVideoPipeline, "vae_2_1", dict(in_channels=14, out_channels=5, num_layers=2),
                 vision="clip")
    p.case("a b", "bad", 48, 32, 9, 3, 5.0, pictures=["image"])
    p.save()


def flf2v():
    p = Pipeline("flf2v", WanImageToVideoPipeline, "vae_2_1",
                 dict(in_channels=14, out_channels=5, pos_embed_seq_len=52), vision="clip")
    p.case("a b", "bad", 32, 32, 9, 3, 5.0, pictures=["image", "last_image"])
    p.save()


def i2v_experts():
    network = dict(in_channels=14, out_channels=5)
    p = Pipeline("i2v_experts", WanImageToVideoPipeline, "vae_2_1", network, second=network,
                 index={"boundary_ratio": 0.9}, scheduler={"flow_shift": 5.0})
    p.case("a b", "bad", 32, 32, 5, 4, 3.5, guidance_2=3.5, pictures=["image"])
    p.save()


def ti2v():
    for kind, name, pictures in ((WanPipeline, "ti2v", []), (WanImageToVideoPipeline, "ti2v_image", ["image"])):
        p = Pipeline(name, kind, "vae_2_2", dict(in_channels=6, out_channels=6), index={"expand_timesteps": True},
                     scheduler={"flow_shift": 5.0})
        p.case("a b", "bad", 64, 32, 9, 3, 5.0, pictures=pictures)
        p.save()


PIPELINES = {f.__name__: f for f in (t2v, v2v, t2v_experts, i2v, flf2v, i2v_experts, ti2v)}

if __name__ == "__main__":
    torch.set_num_threads(1)
    for name in sys.argv[1:] or PIPELINES:
        PIPELINES[name]()
