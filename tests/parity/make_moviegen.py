#!/usr/bin/env python3
"""Writes tests/parity/data/moviegen: Movie Gen's autoencoder, its sound's transformer and codec at tiny uneven sizes,
and what torch_models' networks, written from the paper, compute with them (pip install torch safetensors).
"""
import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from torch_models.moviegen_audio import MovieGenAudioDit, MovieGenCodec
from torch_models.moviegen_tae import Tae

DATA = Path(__file__).parent / "data" / "moviegen"
AUDIO = {"width": 24, "heads": 2, "layers": 2, "ffn": 40, "channels": 5, "text": 7, "picture": 6, "eps": 1e-5}
CODEC = {"channels": 2, "latents": 5, "encoder": 4, "decoder": 16, "strides": [2, 4], "dilations": [1, 3, 9]}
TAE = {"levels": [8, 12, 16], "layers": 1, "latents": 5, "groups": 4}


def randomise(model, seed):
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            one = p.ndim == 1 and ("norm" in name and name.endswith("weight") or name.endswith("alpha"))
            p.copy_(torch.randn(p.shape, generator=g) * (0.2 if p.ndim < 2 or "modulation" in name
                                                         else p[0].numel() ** -0.5) + (1 if one else 0))
    return model.eval().requires_grad_(False)


def save(name, weights, tensors, config):
    DATA.mkdir(exist_ok=True)
    path = DATA / f"{name}.safetensors"
    save_file({k: v.detach().contiguous().clone() for k, v in {**weights, **tensors}.items()}, path,
              metadata={"config": json.dumps(config)})
    print(name, path.stat().st_size)


def watch(model, tensors, kinds, convert):
    for name, module in model.named_modules():
        if type(module).__name__ in kinds:
            def keep(_, __, out, name=name):
                tensors[f"out.block.{name}"] = convert(out)
            module.register_forward_hook(keep)


def audio():
    model = randomise(MovieGenAudioDit(AUDIO), 21)
    g = torch.Generator().manual_seed(22)
    x = {"sound": torch.randn(2, 9, 5, generator=g), "time": torch.tensor([0.3, 0.85]),
         "known": torch.randn(2, 9, 5, generator=g), "known_mask": torch.zeros(2, 9, 1),
         "text": torch.randn(2, 4, 7, generator=g), "pictures": torch.randn(2, 5, 6, generator=g)}
    x["known_mask"][:, :3] = 1
    x["known"] *= x["known_mask"]
    weights = {k.replace("head_modulation", "head.modulation"): v for k, v in model.state_dict().items()}
    save("audio", weights, {f"in.{k}": v for k, v in x.items()} | {"out.sound_velocity": model(**x)}, AUDIO)


def codec():
    model = randomise(MovieGenCodec(CODEC), 23)
    g = torch.Generator().manual_seed(24)
    sound, latents = torch.randn(2, 2, 40, generator=g) * 0.4, torch.randn(2, 5, 4, generator=g)
    save("codec", model.state_dict(), {
        "in.sound": sound.transpose(1, 2), "out.mean": model.encode(sound).transpose(1, 2),
        "in.latents": latents.transpose(1, 2), "out.sound": model.decode(latents).transpose(1, 2)}, CODEC)


def tae():
    model = randomise(Tae(TAE), 25)
    g = torch.Generator().manual_seed(26)
    video, latents = torch.rand(2, 3, 8, 8, 12, generator=g) * 2 - 1, torch.randn(1, 5, 3, 2, 3, generator=g)
    last = lambda x: x.movedim(1, -1)
    tensors = {}
    watch(model, tensors, ("Block", "Both"), last)
    tensors |= {"in.video": last(video), "out.mean": last(model.encode(video)), "in.latents": last(latents),
                "out.video": last(model.decode(latents))}
    rename = {k: k.replace(".space.", ".").replace(".norm.norm.", ".norm.").replace("norm1.norm", "norm1")
              .replace("norm2.norm", "norm2").replace("norm_out.norm", "norm_out") for k in model.state_dict()}
    save("tae", {rename[k]: v for k, v in model.state_dict().items()}, tensors, TAE)


if __name__ == "__main__":
    torch.set_num_threads(1)
    audio()
    codec()
    tae()
