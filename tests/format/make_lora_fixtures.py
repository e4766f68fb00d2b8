#!/usr/bin/env python3
"""Writes tests/format/data/lora/: adapters of the small Wan and DiT in data/, as PEFT and diffusers save them and as
kohya's trainer and the original repositories name them, and the weights that PEFT makes by fusing them.

Needs torch, diffusers 0.42.1 and peft."""
from pathlib import Path

import torch
from diffusers import DiTTransformer2DModel, WanTransformer3DModel
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

DATA = Path(__file__).parent / "data"
OUT = DATA / "lora"
# diffusers' modules → the original repository's
WAN_NAMES = {"attn1.to_q": "self_attn.q", "attn2.to_out.0": "cross_attn.o", "ffn.net.0.proj": "ffn.0",
             "patch_embedding": "patch_embedding"}


def adapt(model, name, targets, rank, alpha):
    """Gives the model an adapter of noise; saves it, and the targets' fused weights."""
    torch.manual_seed(rank)
    model.add_adapter(LoraConfig(r=rank, lora_alpha=alpha, target_modules=targets, init_lora_weights=False))
    model.save_lora_adapter(OUT, weight_name=f"{name}_peft.safetensors")
    model.fuse_lora()
    fused = {}
    for key, value in model.state_dict().items():
        if key.endswith("base_layer.weight"):
            fused[key.replace(".base_layer", "")] = value.detach().clone()
    save_file(fused, OUT / f"{name}_fused.safetensors")
    return load_file(OUT / f"{name}_peft.safetensors")


def original(key):
    for theirs, ours in WAN_NAMES.items():
        key = key.replace(theirs, ours)
    return key


def main():
    OUT.mkdir(exist_ok=True)
    wan = WanTransformer3DModel.from_pretrained(DATA / "wan_diffusers", torch_dtype=torch.float32)
    pairs = adapt(wan, "wan", list(WAN_NAMES), rank=3, alpha=5)
    kohya, named = {}, {}
    for key, value in pairs.items():
        module, part = original(key).rsplit(".lora_", 1)
        part = {"A.weight": "lora_down.weight", "B.weight": "lora_up.weight"}[part]
        kohya[f"lora_unet_{module.replace('.', '_')}.{part}"] = value.to(torch.bfloat16)
        kohya[f"lora_unet_{module.replace('.', '_')}.alpha"] = torch.tensor(5.0)
        named[f"diffusion_model.{module}.{part}"] = value
        named[f"diffusion_model.{module}.alpha"] = torch.tensor(5.0)
    save_file(kohya, OUT / "wan_kohya.safetensors")
    save_file(named, OUT / "wan_original.safetensors")
    dit = DiTTransformer2DModel.from_pretrained(DATA / "dit_diffusers", torch_dtype=torch.float32)
    torch.manual_seed(2)
    peft = get_peft_model(dit, LoraConfig(r=2, lora_alpha=7, use_rslora=True, init_lora_weights=False,
                                          target_modules=["to_q", "to_v", "ff.net.2"]))
    peft.save_pretrained(OUT / "dit_peft")  # with an adapter_config.json
    (OUT / "dit_peft" / "README.md").unlink()
    merged = peft.merge_and_unload().state_dict()
    save_file({key: value.clone() for key, value in merged.items()
               if key.endswith(("to_q.weight", "to_v.weight", "ff.net.2.weight"))}, OUT / "dit_fused.safetensors")


if __name__ == "__main__":
    main()
