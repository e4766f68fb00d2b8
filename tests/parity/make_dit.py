#!/usr/bin/env python3
"""Writes tests/parity/data/dit: tiny DiTs and their autoencoder as diffusers 0.42.1 publishes them, with inputs,
outputs, what every block gives, and whole pictures.

pip install torch diffusers safetensors. With the path of a checkout of facebookresearch/DiT (pip install timm) also
the original project's file.
"""
import copy
import json
import shutil
import sys
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, DDPMScheduler, DiTPipeline, DiTTransformer2DModel
from safetensors.torch import save_file

from make_fixtures import randomise

DATA = Path(__file__).parent / "data" / "dit"
LABELS = {0: "tench, Tinca tinca", 1: "goldfish", 2: "great white shark, white shark", 4: "tabby, tabby cat"}


def with_bf16(out, model, run):
    """Also what PyTorch makes of it in bf16: "0.bf16.output" beside "0.out.output"."""
    narrow = run(copy.deepcopy(model).bfloat16())
    return out | {k.replace(".out.", ".bf16."): v.float() for k, v in narrow.items() if ".out." in k}


def channels_last(x):
    return x.movedim(1, -1) if x.ndim == 4 else x


def save(name, tensors):
    tensors = {k: channels_last(v.detach().float()) if v.is_floating_point() else v.int() for k, v in tensors.items()}
    save_file({k: v.contiguous().clone() for k, v in tensors.items()}, DATA / f"{name}.safetensors")
    print(name, (DATA / f"{name}.safetensors").stat().st_size)


class Recorder:
    """What each chosen module gives, by name."""

    def __init__(self, modules):
        self.seen = {}
        self.hooks = [m.register_forward_hook(lambda _, __, out, name=name: self.seen.__setitem__(name, out))
                      for name, m in modules]

    def take(self, prefix):
        for hook in self.hooks:
            hook.remove()
        return {f"{prefix}{name}.output": out for name, out in self.seen.items()}


def forwards(model, blocks, sizes, classes, channels, call):
    """Case by case: 0.in.latents, ..., 0.out.output and 0.block.blocks.N.output."""
    out = {}
    for i, size in enumerate(sizes):
        g = torch.Generator().manual_seed(20 + i)
        x = torch.randn(2, channels, size, size, generator=g)
        time, labels = torch.tensor([17.0, 903.0]), torch.tensor([1, classes])  # the last is the null class
        recorder = Recorder([(f"blocks.{n}", block) for n, block in enumerate(blocks)])
        with torch.no_grad():
            y = call(model, x, time, labels)
        out |= {f"{i}.in.latents": x, f"{i}.in.time": time, f"{i}.in.labels": labels, f"{i}.out.output": y,
                **recorder.take(f"{i}.block.")}
    return out


def diffusers_call(model, x, time, labels):
    return model(x.to(model.dtype), timestep=time, class_labels=labels).sample


def make_transformer(seed, **options):
    config = {"num_attention_heads": 2, "attention_head_dim": 8, "in_channels": 4, "out_channels": 8, "num_layers": 1,
              "sample_size": 6, "patch_size": 2, "num_embeds_ada_norm": 5, **options}
    return randomise(DiTTransformer2DModel(**config), seed)


def share_embedders(model):
    for block in model.transformer_blocks[1:]:
        block.norm1.emb.load_state_dict(model.transformer_blocks[0].norm1.emb.state_dict())
    return model


def variants():
    """One thing each that a configuration may say."""
    cases = {
        "plain": {},
        "norm_eps": {"norm_eps": 0.3},
        "gelu": {"activation_fn": "gelu"},
        "geglu": {"activation_fn": "geglu"},
        "geglu_approximate": {"activation_fn": "geglu-approximate"},
        "swiglu": {"activation_fn": "swiglu"},
        "linear_silu": {"activation_fn": "linear-silu"},
        "no_bias": {"attention_bias": False},
        "affine": {"norm_elementwise_affine": True},
        "patch_1": {"patch_size": 1},
        "three_heads": {"num_attention_heads": 3, "attention_head_dim": 4},
        "own_embedders": {"num_layers": 2},
        "no_variance": {"out_channels": None},
    }
    for n, (name, options) in enumerate(cases.items()):
        model = make_transformer(40 + n, **options)
        model.save_pretrained(DATA / name)
        save(f"{name}_io", forwards(model, model.transformer_blocks, (6, 10), 5, 4, diffusers_call))


def make_vae(seed):
    return randomise(AutoencoderKL(
        block_out_channels=(8, 12, 16), down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3, layers_per_block=1, latent_channels=4, norm_num_groups=4,
        sample_size=24, scaling_factor=0.3), seed)


def vae_io(vae):
    chosen = lambda name, m: type(m).__name__ in ("ResnetBlock2D", "Attention") or name.endswith("samplers.0.conv")
    out = {}
    for i, (h, w) in enumerate(((16, 16), (8, 20))):
        g = torch.Generator().manual_seed(30 + i)
        image, latents = torch.rand(2, 3, h, w, generator=g) * 2 - 1, torch.randn(2, 4, h // 4, w // 4, generator=g)
        recorder = Recorder([(name, m) for name, m in vae.named_modules() if chosen(name, m)])
        with torch.no_grad():
            moments, decoded = vae._encode(image.to(vae.dtype)), vae.decode(latents.to(vae.dtype)).sample
        blocks = recorder.take(f"{i}.block.")
        out |= {f"{i}.in.image": image, f"{i}.in.latents": latents, f"{i}.out.image": decoded,
                f"{i}.out.mean": moments[:, :4], f"{i}.out.log_variance": moments[:, 4:], **blocks}
    return out


def decodings(vae):
    """Many draws, as roundings of the first blocks decide how far one is off in bf16: by 12% more or less."""
    out = {}
    for i in range(24):
        latents = torch.randn(2, 4, 4, 4, generator=torch.Generator().manual_seed(50 + i))
        with torch.no_grad():
            out |= {f"{i}.in.latents": latents, f"{i}.out.image": vae.decode(latents.to(vae.dtype)).sample}
    return out


def pictures(pipe, seed, steps, labels, guidance):
    """The noise that the pipeline draws first, and its pictures in [0, 1]."""
    size, channels = pipe.transformer.config.sample_size, pipe.transformer.config.in_channels
    noise = torch.randn(len(labels), channels, size, size, generator=torch.Generator().manual_seed(seed))
    # The pipeline's null class is 1000 whatever the table: the tiny one has its own.
    tensor = torch.tensor
    null = pipe.transformer.config.num_embeds_ada_norm
    torch.tensor = lambda data, *a, **k: tensor([null] * len(data) if data == [1000] * len(data) else data, *a, **k)
    try:
        images = pipe(labels, guidance_scale=guidance, generator=torch.Generator().manual_seed(seed),
                      num_inference_steps=steps, output_type="np").images
    finally:
        torch.tensor = tensor
    return {"noise": noise, "labels": torch.tensor(labels), "images": torch.from_numpy(images).permute(0, 3, 1, 2)}


def pipeline():
    transformer = share_embedders(make_transformer(60, num_layers=3, attention_head_dim=12))
    vae = make_vae(61)
    pipe = DiTPipeline(transformer, vae, DDIMScheduler(clip_sample=False), id2label=LABELS)
    pipe.register_to_config(id2label=LABELS)
    pipe.save_pretrained(DATA / "pipeline")
    pipe.set_progress_bar_config(disable=True)
    run = lambda m: forwards(m, m.transformer_blocks, (6, 4, 10), 5, 4, diffusers_call)
    save("pipeline_io", with_bf16(run(transformer), transformer, run))
    save("vae_io", with_bf16(vae_io(vae), vae, vae_io))
    save("decodings", with_bf16(decodings(vae), vae, decodings))
    save("pictures", pictures(pipe, 7, 12, [1, 4, 0], 4.0))


def original(checkout):
    sys.path.insert(0, checkout)
    from diffusion import create_diffusion
    from models import DiT
    model = DiT(input_size=6, patch_size=2, in_channels=4, hidden_size=24, depth=2, num_heads=3, num_classes=5)
    positions = model.pos_embed.data.clone()
    randomise(model, 70)
    model.pos_embed.data.copy_(positions)
    folder = DATA / "original"
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(model.state_dict(), folder / "dit.pt")
    (folder / "config.json").write_text(json.dumps({"num_heads": 3}) + "\n")
    call = lambda m, x, t, y: m(x, t, y)
    out = forwards(model, model.blocks, (6,), 5, 4, call)
    # A picture's latents, sampled as its sample.py does: guidance on three channels, learned variance.
    diffusion = create_diffusion("20")
    g = torch.Generator().manual_seed(71)
    z = torch.randn(2, 4, 6, 6, generator=g)
    noises = [torch.randn(2, 4, 6, 6, generator=g) for _ in range(20)]
    randn_like, queue = torch.randn_like, iter(noises)
    torch.randn_like = lambda x: torch.cat([next(queue)] * 2)
    y = torch.tensor([1, 4, 5, 5])
    with torch.no_grad():
        samples = diffusion.p_sample_loop(model.forward_with_cfg, (4, 4, 6, 6), torch.cat([z, z]), clip_denoised=False,
                                          model_kwargs={"y": y, "cfg_scale": 4.0}, device="cpu")
    torch.randn_like = randn_like
    out |= {"sample.noise": z, "sample.latents": samples[:2], "sample.labels": y[:2],
            **{f"sample.step.{i}": n for i, n in enumerate(noises)}}
    save("original_io", out)


if __name__ == "__main__":
    shutil.rmtree(DATA, ignore_errors=True)
    DATA.mkdir(parents=True)
    variants()
    pipeline()
    if len(sys.argv) > 1:
        original(sys.argv[1])
