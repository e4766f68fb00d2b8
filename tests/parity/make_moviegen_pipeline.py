#!/usr/bin/env python3
"""Writes tests/parity/data/moviegen/pipeline: Movie Gen's whole pipeline of tiny networks, from a prompt over its three
text encoders, three guided steps and the autoencoder's tiles to frames; text encoders are transformers', the rest is
torch_models', written from the paper (pip install torch transformers safetensors).
"""
import json

import torch
from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

from make_moviegen import DATA, randomise, save
from torch_models.moviegen import MovieGenDit
from torch_models.moviegen_tae import Tae

DIT = {"width": 48, "heads": 2, "layers": 2, "ffn": 64, "eps": 1e-5, "rope": False, "max": [16, 5, 7],
       "text": [["ul2", 20], ["byt5", 12], ["metaclip", 16]]}
TAE = {"levels": [8, 12], "layers": 1, "latents": 16, "groups": 4}
T5 = dict(d_kv=6, num_heads=2, d_ff=24, num_layers=2, vocab_size=300, dropout_rate=0.0)
IDS, BEGIN, END = 48, 298, 299
PROMPT, NEGATIVE, GUIDANCE, STEPS, N = 'a sign says "Open" and “late”', "blurry", 4.0, 3, 50
FRAMES, HEIGHT, WIDTH = 21, 8, 12


def schedule(steps, n):
    """The first half are the first steps of n linear ones; the rest grows quadratically (section 3.4.2)."""
    half = steps // 2
    linear = [i / n for i in range(half)]
    # A parabola that goes on with the same value and slope at the joint and ends at 1.
    start, slope, rest = half / n, 1 / n, steps - half
    a = (1 - start - slope * rest) / rest ** 2
    told = linear + [start + slope * i + a * i * i for i in range(rest)]
    return [1 - t for t in told] + [0.0]


def texts(encoders, prompt, first):
    words = ("FPS-16 " if first else "") + prompt
    quoted = "Open late" if first else ""
    ids = {"ul2": [*words.encode(), 1], "byt5": [b + 3 for b in quoted.encode()] + [1],
           "metaclip": [BEGIN, *words.encode(), END]}
    return {k: v[:IDS] for k, v in ids.items()}


@torch.no_grad()
def encode(encoders, rows, ids_most=IDS):
    """Rows of the same length: T5's padding is not seen and becomes zero, CLIP's is more ends."""
    out = {}
    for name, model in encoders.items():
        longest = ids_most if name == "metaclip" else max(len(r[name]) for r in rows)
        fill = END if name == "metaclip" else 0
        ids = torch.tensor([r[name] + [fill] * (longest - len(r[name])) for r in rows])
        if name == "metaclip":
            out[name] = model(ids).last_hidden_state
            continue
        mask = torch.tensor([[1] * len(r[name]) + [0] * (longest - len(r[name])) for r in rows])
        out[name] = model(ids, attention_mask=mask).last_hidden_state * mask[..., None]
    return out


def tae_names(tae):
    """Weights as our graphs name them."""
    return {k.replace(".space.", ".").replace(".norm.norm.", ".norm.").replace("norm1.norm", "norm1")
            .replace("norm2.norm", "norm2").replace("norm_out.norm", "norm_out"): v for k, v in tae.state_dict().items()}


@torch.no_grad()
def decode(tae, latents):
    """Tiles of four latents that share two, blended linearly along time."""
    count, length, overlap, by = latents.shape[2], 4, 2, 2
    starts = []
    while not starts or starts[-1] + length < count:
        starts.append(min(starts[-1] + length - overlap, count - length) if starts else 0)
    out, covered = None, 0
    for start in starts:
        tile = tae.decode(latents[:, :, start:start + length])
        if out is None:
            out = tile
        else:
            shared = min(covered - start, overlap) * by
            whole = (covered - start) * by
            tile = tile[:, :, whole - shared:]
            weight = (torch.arange(shared) + 0.5) / shared
            weight = weight[None, None, :, None, None]
            joint = out[:, :, -shared:] * (1 - weight) + tile[:, :, :shared] * weight
            out = torch.cat([out[:, :, :-shared], joint, tile[:, :, shared:]], 2)
        covered = start + length
    return out


@torch.no_grad()
def main():
    dit, tae = randomise(MovieGenDit(DIT), 41), randomise(Tae(TAE), 42)
    encoders = {
        "ul2": randomise(T5EncoderModel(T5Config(d_model=20, feed_forward_proj="gated-silu", **T5)), 43),
        "byt5": randomise(T5EncoderModel(T5Config(d_model=12, feed_forward_proj="gated-gelu", **T5)), 44),
        "metaclip": randomise(CLIPTextModel(CLIPTextConfig(
            vocab_size=300, hidden_size=16, intermediate_size=20, num_hidden_layers=2, num_attention_heads=2,
            max_position_embeddings=IDS, hidden_act="gelu", eos_token_id=END, bos_token_id=BEGIN)), 45)}
    g = torch.Generator().manual_seed(46)
    frames = (FRAMES + 1) // 2
    x = noise = torch.randn(1, frames, HEIGHT // 2, WIDTH // 2, 16, generator=g)
    features = encode(encoders, [texts(encoders, PROMPT, True), texts(encoders, NEGATIVE, False)])
    sigmas = schedule(STEPS, N)
    for t, after in zip(sigmas, sigmas[1:]):
        wanted, unwanted = dit(torch.cat([x, x]), torch.full((2,), t), features).chunk(2)
        x = x + (after - t) * (unwanted + GUIDANCE * (wanted - unwanted))
    video = decode(tae, x.movedim(-1, 1))[:, :, :FRAMES]
    pixels = ((video.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).movedim(1, -1)[0]
    print("spread", pixels.float().std(), "sigmas", sigmas)
    weights = {f"dit/{k.replace('head_modulation', 'head.modulation')}": v for k, v in dit.state_dict().items()}
    weights |= {f"tae/{name}": v for name, v in tae_names(tae).items()}
    for name, model in encoders.items():
        for k, v in model.state_dict().items():
            if k.endswith(("embed_tokens.weight", "position_ids")) and name != "metaclip":
                continue  # the shared table again
            k = k.removeprefix("text_model.")
            if ".k_proj." in k or ".v_proj." in k:
                continue
            if ".q_proj." in k:  # our graphs have the three joined
                state = {n.removeprefix("text_model."): p for n, p in model.state_dict().items()}
                v = torch.cat([state[k.replace(".q_proj.", f".{x}_proj.")] for x in "qkv"])
                k = k.replace(".q_proj.", ".qkv.")
            weights[f"{name}/{k}"] = v
    config = {"dit": DIT, "tae": TAE, "t5": T5, "ids": IDS, "end": END, "prompt": PROMPT, "negative": NEGATIVE,
              "guidance": GUIDANCE, "steps": STEPS, "linear_steps": N, "frames": FRAMES, "height": HEIGHT,
              "width": WIDTH}
    save("pipeline", weights, {"in.noise": noise, "out.frames": pixels}, config)


if __name__ == "__main__":
    torch.set_num_threads(1)
    DATA.mkdir(exist_ok=True)
    main()
