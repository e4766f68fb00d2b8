#!/usr/bin/env python3
"""Writes tests/parity/data/moviegen/{upsampler,edit,personalised}: whole pipelines of tiny networks for the rest of
Movie Gen's video cast, three steps each, from a clip or pictures and a prompt to frames. Text and picture encoders are
transformers', resizing is PyTorch's and PIL's, the rest is torch_models', written from the paper (arXiv 2410.13720,
sections 3.1.5, 4.1.1, 5.1.1; pip install torch transformers safetensors pillow numpy).
"""
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from transformers import CLIPTextConfig, CLIPTextModel, CLIPVisionConfig, CLIPVisionModel, T5Config, T5EncoderModel

from make_moviegen import DATA, randomise, save
from make_moviegen_pipeline import BEGIN, END, N, T5, decode, encode, schedule, tae_names
from torch_models.moviegen import MovieGenDit
from torch_models.moviegen_tae import Tae

DIT = {"width": 36, "heads": 2, "layers": 2, "ffn": 40, "eps": 1e-5, "rope": False, "max": [16, 5, 7],
       "text": [["ul2", 12], ["byt5", 8], ["metaclip", 16]]}
TAE = {"levels": [8, 12], "layers": 1, "latents": 16, "groups": 4}
IDS = 40
VISION = {"hidden_size": 10, "intermediate_size": 14, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 12,
          "patch_size": 4, "hidden_act": "gelu"}


def encoders():
    return {
        "ul2": randomise(T5EncoderModel(T5Config(d_model=12, feed_forward_proj="gated-silu", **T5)), 63),
        "byt5": randomise(T5EncoderModel(T5Config(d_model=8, feed_forward_proj="gated-gelu", **T5)), 64),
        "metaclip": randomise(CLIPTextModel(CLIPTextConfig(
            vocab_size=300, hidden_size=16, intermediate_size=20, num_hidden_layers=2, num_attention_heads=2,
            max_position_embeddings=IDS, hidden_act="gelu", eos_token_id=END, bos_token_id=BEGIN)), 65)}


def rows(prompt, fps):
    """The prompt behind the clip's rate; what guidance moves away from has none."""
    words = (f"FPS-{fps} " if fps else "") + prompt
    ids = {"ul2": [*words.encode(), 1], "byt5": [1], "metaclip": [BEGIN, *words.encode(), END]}
    return {k: v[:IDS] for k, v in ids.items()}


def weights_of(dit, tae, texts, vision=None):
    weights = {"dit/" + k.replace("head_modulation", "head.modulation").replace("reference_order", "reference.order"): v
               for k, v in dit.state_dict().items()}
    weights |= {f"tae/{name}": v for name, v in tae_names(tae).items()}
    for name, model in [*texts.items(), *([("vision", vision)] if vision else [])]:
        state = {k.removeprefix("text_model.").removeprefix("vision_model."): v for k, v in model.state_dict().items()}
        for k, v in state.items():
            if k.endswith(("embed_tokens.weight", "position_ids")) and "clip" not in name or "post_layernorm" in k:
                continue
            if ".k_proj." in k or ".v_proj." in k:
                continue
            if ".q_proj." in k:  # our graphs have the three joined
                v, k = torch.cat([state[k.replace(".q_proj.", f".{x}_proj.")] for x in "qkv"]), k.replace(
                    ".q_proj.", ".qkv.")
            weights[f"{name}/{k}"] = v
    return weights


def pixels_of(video, frames):
    return ((video[:, :, :frames].clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).movedim(1, -1)[0]


def clip(frames, height, width, seed):
    g = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (frames, height, width, 3), generator=g, dtype=torch.uint8)


def signed(pixels):  # [T, H, W, 3] bytes to [1, 3, T, H, W]
    return (pixels.float() / 127.5 - 1).permute(3, 0, 1, 2)[None]


def finish(name, tensors, out, weights, config):
    print(name, "spread", out.float().std())
    save(name, weights, tensors | {"out.frames": out}, {"tae": TAE, "t5": T5, "ids": IDS, "end": END, "linear_steps": N,
                                                        "steps": 3} | config)


@torch.no_grad()
def upsampler():
    """Frames of a smaller clip, made larger between their pixels' centres, each through the autoencoder by itself;
    windows of 4 latents that share 2, averaged by ramps after every step."""
    config = DIT | {"source": True, "max": [4, 5, 7]}
    tae_config = TAE | {"alone": True}
    dit, tae, texts = randomise(MovieGenDit(config), 61), randomise(Tae(tae_config), 62), encoders()
    frames, height, width, fps = 9, 12, 16, 12
    small = clip(frames, height // 2, width // 2, 66)
    large = F.interpolate(signed(small)[0].transpose(0, 1), scale_factor=2, mode="bilinear", align_corners=False)
    source = torch.cat([tae.encode(f[None, :, None]) for f in large], 2).movedim(1, -1)
    features = encode(texts, [rows("sharper", fps)], IDS)
    x = noise = torch.randn(source.shape, generator=torch.Generator().manual_seed(67))
    length, shared, starts = 4, 2, [0, 2, 4, 5]
    ramp = torch.tensor([0.25, 0.75, 0.75, 0.25])  # centres of latents within the two that are shared
    for i in range(3):
        t, after = 1 - i / 3, 1 - (i + 1) / 3
        total, counts = torch.zeros_like(x), torch.zeros(frames)
        for start in starts:
            part = x[:, start:start + length]
            v = dit(part, torch.tensor([t]), features, source=source[:, start:start + length])
            weight = ramp.clone()
            if start == 0:
                weight[:shared] = 1
            if start + length == frames:
                weight[-shared:] = 1
            total[:, start:start + length] += weight[None, :, None, None, None] * (part + (after - t) * v)
            counts[start:start + length] += weight
        x = total / counts[None, :, None, None, None]
    video = torch.cat([tae.decode(x[:, f:f + 1].movedim(-1, 1)) for f in range(frames)], 2)
    finish("upsampler", {"in.noise": noise, "in.source": small}, pixels_of(video, frames),
           weights_of(dit, tae, texts),
           {"dit": config, "tae": tae_config, "window": length, "overlap": shared, "scale": 2, "fps": fps,
            "prompt": "sharper", "negative": "", "guidance": 1.0, "frames": frames, "height": height, "width": width})


@torch.no_grad()
def edit():
    """Tiles of four latents are encoded by themselves; three terms of guidance, as Emu Edit's."""
    config = DIT | {"source": True, "tasks": 3}
    dit, tae, texts = randomise(MovieGenDit(config), 71), randomise(Tae(TAE), 72), encoders()
    frames, height, width, fps, words, picture = 21, 8, 12, 10, 4.0, 1.5
    given = clip(frames, height, width, 73)
    latents = (frames + 1) // 2
    padded = torch.cat([given, given[-1:].expand(2 * latents - frames, -1, -1, -1)])

    def encode_tiles(video):
        parts = [tae.encode(video[:, :, 2 * s:2 * s + 8]) for s in (0, 4, 7)]
        return torch.cat([parts[0], parts[1], parts[2][:, :, 1:]], 2).movedim(1, -1)

    source, black = encode_tiles(signed(padded)), encode_tiles(torch.full((1, 3, 2 * latents, height, width), -1.0))
    features = encode(texts, [rows("make it blue", fps), rows("blurry", 0)], IDS)
    features = {k: torch.cat([v, v[1:]]) for k, v in features.items()}  # with words; without; without the clip too
    x = noise = torch.randn(source.shape, generator=torch.Generator().manual_seed(74))
    sigmas = schedule(3, N)
    for t, after in zip(sigmas, sigmas[1:]):
        both, clip_alone, nothing = dit(torch.cat([x] * 3), torch.full((3,), t), features, source=torch.cat(
            [source, source, black]), task=torch.tensor([2, 2, 2])).chunk(3)
        x = x + (after - t) * (nothing + picture * (clip_alone - nothing) + words * (both - clip_alone))
    video = decode(tae, x.movedim(-1, 1))
    finish("edit", {"in.noise": noise, "in.source": given}, pixels_of(video, frames), weights_of(dit, tae, texts),
           {"dit": config, "tasks": ["global", "add", "remove"], "task": "remove", "source_guidance": picture, "fps": fps,
            "prompt": "make it blue", "negative": "blurry", "guidance": words, "frames": frames, "height": height,
            "width": width})


@torch.no_grad()
def personalised():
    """Two pictures of uneven sizes, cut to squares as CLIP's processor does."""
    config = DIT | {"reference": 10, "references": 3}
    dit, tae, texts = randomise(MovieGenDit(config), 81), randomise(Tae(TAE), 82), encoders()
    vision = randomise(CLIPVisionModel(CLIPVisionConfig(**VISION)), 83)
    frames, height, width, fps, words = 6, 8, 12, 16, 3.0
    pictures = [clip(1, 30, 21, 84)[0], clip(1, 17, 44, 85)[0]]
    mean, deviation = torch.tensor([0.48145466, 0.4578275, 0.40821073]), torch.tensor([0.26862954, 0.26130258, 0.27577711])
    seen = []
    for picture in pictures:
        h, w, size = *picture.shape[:2], VISION["image_size"]
        to = (size * w // h, size) if w > h else (size, size * h // w)
        image = np.asarray(Image.fromarray(picture.numpy()).resize(to, Image.BICUBIC))
        top, left = (to[1] - size) // 2, (to[0] - size) // 2
        x = torch.from_numpy(image[top:top + size, left:left + size].copy()).float() / 255
        seen.append(((x - mean) / deviation).permute(2, 0, 1))
    reference = vision(torch.stack(seen), output_hidden_states=True).hidden_states[-1]
    features = encode(texts, [rows("she waves", fps), rows("", 0)], IDS)
    x = noise = torch.randn(1, frames // 2, height // 2, width // 2, 16, generator=torch.Generator().manual_seed(86))
    sigmas = schedule(3, N)
    for t, after in zip(sigmas, sigmas[1:]):
        wanted, unwanted = dit(torch.cat([x, x]), torch.full((2,), t), features, reference=reference).chunk(2)
        x = x + (after - t) * (unwanted + words * (wanted - unwanted))
    tensors = {"in.noise": noise} | {f"in.reference.{i}": p for i, p in enumerate(pictures)}
    finish("personalised", tensors, pixels_of(decode(tae, x.movedim(-1, 1)), frames),
           weights_of(dit, tae, texts, vision),
           {"dit": config, "vision": VISION, "fps": fps, "prompt": "she waves", "negative": "", "guidance": words,
            "frames": frames, "height": height, "width": width})


if __name__ == "__main__":
    torch.set_num_threads(1)
    DATA.mkdir(exist_ok=True)
    upsampler()
    edit()
    personalised()
