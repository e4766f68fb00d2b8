#!/usr/bin/env python3
"""Writes tests/parity/data/wan/lora: adapters of make_wan.py's transformers in every layout of keys that Wan's have,
and what the adapted transformers compute from the same inputs: by diffusers' own loader where it reads the layout
whole, else by adding the differences to the weights (pip install torch diffusers peft safetensors).
"""
import copy
import json

import torch
from diffusers import UniPCMultistepScheduler, WanPipeline, WanTransformer3DModel
from safetensors.torch import load_file, save_file

from make_wan import DATA, DIT_KEYS, generator, last, renamed

OUT = DATA / "lora"
RANK, ALPHA = 2, 3.0
IMAGE_KEYS = [("add_k_proj", "k_img"), ("add_v_proj", "v_img"), ("condition_embedder.image_embedder.ff.net.0.proj", "img_emb.proj.1"),
              ("condition_embedder.image_embedder.ff.net.2", "img_emb.proj.3")]
# FastVideo's names of diffusers' modules.
FASTVIDEO = [("patch_embedding.", "patch_embedding.proj."), ("time_embedder.linear_1.", "time_embedder.mlp.fc_in."),
             ("time_embedder.linear_2.", "time_embedder.mlp.fc_out."), ("time_proj.", "time_modulation.linear."),
             ("text_embedder.linear_1.", "text_embedder.fc_in."), ("text_embedder.linear_2.", "text_embedder.fc_out."),
             ("attn1.", ""), ("to_out.0.", "to_out."), ("ffn.net.0.proj.", "ffn.fc_in."), ("ffn.net.2.", "ffn.fc_out."),
             ("norm2.", "self_attn_residual_norm.norm.")]


def velocity(model, name):
    """Of the first case of make_wan.py."""
    io = load_file(DATA / f"{name}_io.safetensors")
    x = {k: io[f"0.in.{k}"] for k in ("video", "known_mask", "known", "image", "text", "time") if f"0.in.{k}" in io}
    seen = torch.cat([x[k].movedim(-1, 1) for k in ("video", "known_mask", "known") if k in x], 1)
    return last(model(seen, timestep=1000 * x["time"], encoder_hidden_states=x["text"],
                      encoder_hidden_states_image=x.get("image")).sample)


def by_loader(name, path):
    pipe = WanPipeline(tokenizer=None, text_encoder=None, vae=None, scheduler=UniPCMultistepScheduler(),
                       transformer=WanTransformer3DModel.from_pretrained(DATA / name))
    pipe.load_lora_weights(path)
    with torch.no_grad():
        return velocity(pipe.transformer, name)


def by_adding(name, differences):
    """`differences`: of parameters, by diffusers' names."""
    model = WanTransformer3DModel.from_pretrained(DATA / name)
    state = model.state_dict()
    with torch.no_grad():
        for key, value in differences.items():
            state[key] += value.reshape(state[key].shape)
        return velocity(model, name)


def original(key):
    """The original repository's name of a parameter."""
    for theirs, ours in IMAGE_KEYS:
        key = key.replace(theirs, ours)
    new = next(iter(renamed({key: None}, DIT_KEYS)))
    return "head.modulation" if new == "scale_shift_table" else new.replace("scale_shift_table", "modulation")


def draw(name, seed):
    """A pair of factors of every matrix, and a difference of everything else."""
    g = generator(seed)
    pairs, differences = {}, {}
    for key, p in WanTransformer3DModel.from_pretrained(DATA / name).state_dict().items():
        if key.endswith(".weight") and p.ndim == 2:
            down = torch.randn(RANK, p.shape[1], generator=g) * p.shape[1] ** -0.5
            pairs[key.removesuffix(".weight")] = (down, 0.3 * torch.randn(p.shape[0], RANK, generator=g))
        else:
            differences[key] = 0.1 * torch.randn(p.shape, generator=g)
    return pairs, differences


def dense(pairs, scale):
    return {f"{m}.weight": scale * up @ down for m, (down, up) in pairs.items()}


def main():
    OUT.mkdir(exist_ok=True)
    outputs = {}

    def keep(layout, name, tensors, differences=None):
        path = OUT / f"{layout}.safetensors"
        save_file({k: v.contiguous().clone() for k, v in tensors.items()}, path)
        plain = by_adding(name, {})
        outputs[layout] = by_adding(name, differences) if differences is not None else by_loader(name, path)
        changed = float((outputs[layout] - plain).norm() / plain.norm())
        print(path.name, path.stat().st_size, f"changes the velocity by {changed:.3f}")
        assert changed > 0.05

    for name in ("t2v", "i2v"):
        pairs, rest = draw(name, 7 if name == "t2v" else 8)
        biases = {k: v for k, v in rest.items() if k.removesuffix(".bias") in pairs}
        # As ComfyUI's tools extract them: every linear layer with its bias.
        tensors = {}
        for module, (down, up) in pairs.items():
            theirs = "diffusion_model." + original(module + ".weight").removesuffix(".weight")
            tensors |= {f"{theirs}.lora_down.weight": down, f"{theirs}.lora_up.weight": up}
            # diffusers reads alphas of blocks alone.
            if module.startswith("blocks."):
                tensors[f"{theirs}.alpha"] = torch.tensor(ALPHA)
            tensors[f"{theirs}.diff_b"] = biases[module + ".bias"]
        # Biases that diffusers reads only where every matrix has one.
        keep(f"comfy_{name}", name, tensors)

    pairs, rest = draw("t2v", 9)
    blocks = {m: p for m, p in pairs.items() if m.startswith("blocks.")}
    kohya = {}
    for module, (down, up) in blocks.items():
        theirs = "lora_unet_" + original(module + ".weight").removesuffix(".weight").replace(".", "_")
        kohya |= {f"{theirs}.lora_down.weight": down, f"{theirs}.lora_up.weight": up,
                  f"{theirs}.alpha": torch.tensor(ALPHA)}
    keep("kohya", "t2v", kohya)
    keep("kohya_two_underscores", "t2v", {k.replace("lora_unet_", "lora_unet__"): v for k, v in kohya.items()},
         dense(blocks, ALPHA / RANK))
    keep("diffusers", "t2v", {f"transformer.{m}.lora_{ab}.weight": x for m, pair in pairs.items()
                              for ab, x in zip("AB", pair)})

    # lightx2v's distilled: factors without alphas, and everything else as differences: biases, norms, modulations
    # (diff_m), the head and the patch embedding whole.
    lightx2v, added = {}, {}
    for module, (down, up) in blocks.items():
        theirs = "diffusion_model." + original(module + ".weight").removesuffix(".weight")
        lightx2v |= {f"{theirs}.lora_A.weight": down.half(), f"{theirs}.lora_B.weight": up.half()}
        added[module + ".weight"] = up.half().float() @ down.half().float()
    whole = dict(rest)
    head_down, head_up = pairs["proj_out"]
    whole["proj_out.weight"] = head_up @ head_down
    for key, value in whole.items():
        theirs = "diffusion_model." + original(key)
        value = value.bfloat16()
        if theirs.endswith("modulation"):
            lightx2v[theirs.removesuffix("modulation") + "diff_m"] = value
        else:
            lightx2v[theirs.replace(".weight", ".diff").replace(".bias", ".diff_b")] = value
        added[key] = value.float()
    keep("lightx2v", "t2v", lightx2v, added)

    # FastVideo's: factors, and exact differences of what is no matrix.
    def fastvideo(key):
        for a, b in FASTVIDEO:
            key = key.replace(a, b)
        return key
    fast, added = {}, dense(pairs, 1) | rest
    for module, (down, up) in pairs.items():
        theirs = fastvideo(module + ".weight").removesuffix(".weight")
        fast |= {f"{theirs}.lora_A.weight": down, f"{theirs}.lora_B.weight": up}
    for key, value in rest.items():
        key = fastvideo(key)
        kind = ".diff" if key.endswith(".weight") else ".diff_b" if key.endswith(".bias") else ".diff_param"
        fast[key.removesuffix(".weight").removesuffix(".bias") + kind] = value
    keep("fastvideo", "t2v", fast, added)

    # ComfyUI's names of differences: norms, and parameters under their own names.
    comfy = {}
    norms = {k: v for k, v in rest.items() if "norm" in k or "table" in k}
    for key, value in norms.items():
        theirs = "diffusion_model." + original(key)
        kind = ".w_norm" if key.endswith(".weight") else ".b_norm" if key.endswith(".bias") else ".diff"
        comfy[theirs.removesuffix(".weight").removesuffix(".bias") + kind] = value
    keep("norms", "t2v", comfy, norms)

    # PEFT with a bias in lora_B, scaled as the pair is; saved by diffusers with its metadata.
    from peft import LoraConfig
    model = WanTransformer3DModel.from_pretrained(DATA / "t2v")
    torch.manual_seed(4)
    model.add_adapter(LoraConfig(r=RANK, lora_alpha=ALPHA, lora_bias=True, init_lora_weights=False,
                                 target_modules=["attn1.to_q", "attn2.to_out.0", "ffn.net.2", "patch_embedding"]))
    with torch.no_grad():
        for key, p in model.named_parameters():
            if "lora_B" in key and key.endswith("bias"):
                p.copy_(torch.randn(p.shape))
        outputs["peft_bias"] = velocity(model, "t2v")
    model.save_lora_adapter(OUT, weight_name="peft_bias.safetensors")
    save_file({f"{k}.out.video_velocity": v.contiguous() for k, v in outputs.items()}, DATA / "lora_io.safetensors")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
