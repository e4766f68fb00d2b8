#!/usr/bin/env python3
"""Writes the fixtures of DiT, Wan and Movie Gen under tests/parity/data: tiny random models, their weights
under the original checkpoints' names, inputs and outputs.

DiT and Wan are diffusers' own implementations (pip install torch diffusers safetensors), so that the truth
is somebody else's; Movie Gen has no public one: torch_models/moviegen.py is written from the paper.
"""
import json
from pathlib import Path

import torch
from diffusers import DiTTransformer2DModel, WanTransformer3DModel
from safetensors.torch import save_file

from torch_models.moviegen import MovieGenDit

DATA = Path(__file__).parent / "data"
# The same models as their projects would publish them, for the converters' tests.
PUBLISHED = Path(__file__).parents[1] / "format" / "data"


def randomise(model, seed):
    """Fresh values everywhere, biases and norms included, so that no term can hide behind a zero."""
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            norm = name.endswith("weight") and p.ndim == 1
            p.copy_(torch.randn(p.shape, generator=g) * (0.2 if norm or p.ndim < 2 else p[0].numel() ** -0.5)
                    + (1 if norm else 0))
    return model.eval()


def save(name, weights, tensors, config):
    save_file({k: v.detach().contiguous().clone() for k, v in {**weights, **tensors}.items()},
              DATA / f"{name}.safetensors", metadata={"config": json.dumps(config)})
    print(name, (DATA / f"{name}.safetensors").stat().st_size)


def publish(name, model, weights, heads_key, heads):
    """A diffusers folder, and the original project's file with a config.json that names its heads."""
    model.save_pretrained(PUBLISHED / f"{name}_diffusers")
    folder = PUBLISHED / f"{name}_original"
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(weights, folder / f"{name}.pt")
    (folder / "config.json").write_text(json.dumps({heads_key: heads}) + "\n")


def dit():
    width, heads, layers = 24, 2, 2
    model = randomise(DiTTransformer2DModel(
        num_attention_heads=heads, attention_head_dim=width // heads, in_channels=4, out_channels=8,
        num_layers=layers, sample_size=8, patch_size=2, activation_fn="gelu-approximate",
        num_embeds_ada_norm=10, norm_type="ada_norm_zero", norm_elementwise_affine=False, norm_eps=1e-5), 1)
    d = model.state_dict()
    # diffusers keeps a copy of the embedders in every block; checkpoints hold equal copies.
    for k in [k for k in d if k.startswith("transformer_blocks.0.norm1.emb.")]:
        for i in range(1, layers):
            d[k.replace(".0.", f".{i}.", 1)].copy_(d[k])
    w = {"x_embedder.proj": "pos_embed.proj", "final_layer.adaLN_modulation.1": "proj_out_1",
         "final_layer.linear": "proj_out_2",
         "t_embedder.mlp.0": "transformer_blocks.0.norm1.emb.timestep_embedder.linear_1",
         "t_embedder.mlp.2": "transformer_blocks.0.norm1.emb.timestep_embedder.linear_2"}
    for i in range(layers):
        for ours, theirs in (("attn.proj", "attn1.to_out.0"), ("mlp.fc1", "ff.net.0.proj"),
                             ("mlp.fc2", "ff.net.2"), ("adaLN_modulation.1", "norm1.linear")):
            w[f"blocks.{i}.{ours}"] = f"transformer_blocks.{i}.{theirs}"
    weights = {f"{a}.{p}": d[f"{b}.{p}"] for a, b in w.items() for p in ("weight", "bias")}
    for i in range(layers):
        for p in ("weight", "bias"):
            weights[f"blocks.{i}.attn.qkv.{p}"] = torch.cat(
                [d[f"transformer_blocks.{i}.attn1.to_{x}.{p}"] for x in "qkv"])
    weights["y_embedder.embedding_table.weight"] = d[
        "transformer_blocks.0.norm1.emb.class_embedder.embedding_table.weight"]
    publish("dit", model, {**{k: v.clone() for k, v in weights.items()}, "pos_embed": model.pos_embed.pos_embed},
            "num_attention_heads", heads)
    g = torch.Generator().manual_seed(2)
    latents, time = torch.randn(2, 8, 8, 4, generator=g), torch.tensor([17.0, 903.0])
    labels = torch.tensor([3, 10])
    with torch.no_grad():
        out = model(latents.permute(0, 3, 1, 2), timestep=time, class_labels=labels).sample
    save("dit", weights, {"in.latents": latents, "in.time": time, "in.labels": labels.int(),
                          "out.output": out.permute(0, 2, 3, 1)},
         {"width": width, "heads": heads, "layers": layers, "classes": 10})


def wan():
    width, heads, layers, ffn, text_width = 48, 2, 2, 80, 20
    model = randomise(WanTransformer3DModel(
        patch_size=(1, 2, 2), num_attention_heads=heads, attention_head_dim=width // heads, in_channels=16,
        out_channels=16, text_dim=text_width, freq_dim=256, ffn_dim=ffn, num_layers=layers,
        cross_attn_norm=True, qk_norm="rms_norm_across_heads", rope_max_seq_len=32), 3)
    d = model.state_dict()
    rename = [("condition_embedder.text_embedder.linear_1", "text_embedding.0"),
              ("condition_embedder.text_embedder.linear_2", "text_embedding.2"),
              ("condition_embedder.time_embedder.linear_1", "time_embedding.0"),
              ("condition_embedder.time_embedder.linear_2", "time_embedding.2"),
              ("condition_embedder.time_proj", "time_projection.1"), ("proj_out", "head.head"),
              ("attn1.", "self_attn."), ("attn2.", "cross_attn."), ("to_out.0", "o"), ("to_q", "q"),
              ("to_k", "k"), ("to_v", "v"), ("ffn.net.0.proj", "ffn.0"), ("ffn.net.2", "ffn.2"),
              ("norm2", "norm3")]
    weights = {}
    for key, value in d.items():
        for theirs, ours in rename:
            key = key.replace(theirs, ours)
        key = "head.modulation" if key == "scale_shift_table" else key.replace("scale_shift_table", "modulation")
        weights[key] = value
    publish("wan", model, {k: v.clone() for k, v in weights.items()}, "num_heads", heads)
    g = torch.Generator().manual_seed(4)
    video, time = torch.randn(2, 3, 4, 6, 16, generator=g), torch.tensor([0.25, 0.9])
    text = torch.randn(2, 7, text_width, generator=g)
    with torch.no_grad():
        out = model(video.permute(0, 4, 1, 2, 3), timestep=1000 * time, encoder_hidden_states=text).sample
    save("wan", weights, {"in.video": video, "in.time": time, "in.text": text,
                          "out.video_velocity": out.permute(0, 2, 3, 4, 1)},
         {"width": width, "heads": heads, "layers": layers, "ffn": ffn, "text_width": text_width})


def wan_plain():
    """What published ones do not have: no norm before cross-attention, another epsilon, other channels."""
    model = randomise(WanTransformer3DModel(
        patch_size=(1, 2, 2), num_attention_heads=2, attention_head_dim=12, in_channels=4, out_channels=4, text_dim=8,
        freq_dim=32, ffn_dim=40, num_layers=1, cross_attn_norm=False, eps=0.05, rope_max_seq_len=8), 8)
    model.save_pretrained(PUBLISHED / "wan_plain")
    g = torch.Generator().manual_seed(9)
    video, time = torch.randn(2, 2, 6, 4, 4, generator=g), torch.tensor([0.1, 0.7])
    text = torch.randn(2, 3, 8, generator=g)
    with torch.no_grad():
        out = model(video.permute(0, 4, 1, 2, 3), timestep=1000 * time, encoder_hidden_states=text).sample
    save("wan_plain", {}, {"in.video": video, "in.time": time, "in.text": text,
                           "out.video_velocity": out.permute(0, 2, 3, 4, 1)}, {})


def moviegen(rope):
    c = {"width": 48, "heads": 2, "layers": 2, "ffn": 64, "eps": 1e-5, "rope": rope, "max": [6, 5, 7],
         "text": [["ul2", 20], ["byt5", 12]]}
    model = randomise(MovieGenDit(c), 5)
    g = torch.Generator().manual_seed(6)
    video, time = torch.randn(2, 3, 4, 6, 16, generator=g), torch.tensor([0.25, 0.9])
    texts = {name: torch.randn(2, n, width, generator=g) for (name, width), n in zip(c["text"], (5, 3))}
    with torch.no_grad():
        out = model(video, time, texts)
    weights = {k.replace("head_modulation", "head.modulation"): v for k, v in model.state_dict().items()}
    save("moviegen_rope" if rope else "moviegen_tables", weights,
         {"in.video": video, "in.time": time, **{f"in.text_{k}": v for k, v in texts.items()},
          "out.video_velocity": out}, c)


if __name__ == "__main__":
    dit()
    wan()
    wan_plain()
    moviegen(False)
    moviegen(True)
