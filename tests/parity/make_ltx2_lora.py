#!/usr/bin/env python3
"""Writes tests/parity/data/ltx2_pipelines/lora: adapters of make_ltx2_pipelines.py's first pipeline in the layouts of
keys that LTX-2's have, and what the adapted transformer and text connectors compute from the same inputs: by diffusers'
own loader where it reads the layout whole, else by adding the differences to the weights (pip install torch diffusers
peft safetensors).
"""
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, LTX2Pipeline, LTX2VideoTransformer3DModel
from diffusers.pipelines.ltx2.connectors import LTX2TextConnectors
from safetensors.torch import save_file

from ltx2_original import NAMES, rename
from make_ltx2 import generator
from make_ltx2_pipelines import DATA

OUT = DATA / "lora"
RANK, ALPHA = 2, 3.0
FRAMES, HEIGHT, WIDTH, SOUND, TEXT = 2, 1, 2, 3, 8


def parts():
    folder = DATA / "t2v"
    return (LTX2VideoTransformer3DModel.from_pretrained(folder / "transformer").eval(),
            LTX2TextConnectors.from_pretrained(folder / "connectors").eval())


@torch.no_grad()
def outputs(transformer, connectors):
    g = generator(31)
    inputs = {"video": torch.randn(1, FRAMES, HEIGHT, WIDTH, 6, generator=g),
              "sound": torch.randn(1, SOUND, 6, generator=g), "text": torch.randn(1, TEXT, 32, generator=g),
              "time": torch.rand(1, generator=g), "states": torch.randn(1, TEXT, 16, 4, generator=g)}
    t = inputs["time"][:, None] * 1000
    video, sound = transformer(
        inputs["video"].reshape(1, -1, 6), inputs["sound"], inputs["text"][..., :16], inputs["text"][..., 16:],
        timestep=t, audio_timestep=t, sigma=t[:, 0], num_frames=FRAMES, height=HEIGHT, width=WIDTH, fps=24.0,
        audio_num_frames=SOUND, use_cross_timestep=False, return_dict=False)
    # Of the text the projection alone: what Gemma makes is another test's.
    projected = connectors.text_proj_in(inputs["states"].flatten(2))
    return inputs, {"video_velocity": video.reshape(inputs["video"].shape), "sound_velocity": sound,
                    "projected": projected}


def by_loader(path):
    transformer, connectors = parts()
    pipe = LTX2Pipeline(scheduler=FlowMatchEulerDiscreteScheduler(), vae=None, audio_vae=None, text_encoder=None,
                        tokenizer=None, connectors=connectors, transformer=transformer, vocoder=None)
    pipe.load_lora_weights(str(path))
    return outputs(pipe.transformer, pipe.connectors)[1]


@torch.no_grad()
def by_adding(differences):
    """`differences`: of parameters, by part and diffusers' name."""
    both = dict(zip(("transformer", "connectors"), parts()))
    for (part, key), value in differences.items():
        both[part].state_dict()[key].add_(value)
    return outputs(*both.values())[1]


def main():
    OUT.mkdir(exist_ok=True)
    g = generator(30)
    pairs = {}
    for part, model in zip(("transformer", "connectors"), parts()):
        for key, p in model.state_dict().items():
            if key.endswith(".weight") and p.ndim == 2:
                down = torch.randn(RANK, p.shape[1], generator=g) * p.shape[1] ** -0.5
                pairs[part, key.removesuffix(".weight")] = (down, 0.4 * torch.randn(p.shape[0], RANK, generator=g))
    plain, stored = by_adding({}), {}

    def keep(layout, tensors, differences=None):
        path = OUT / f"{layout}.safetensors"
        save_file({k: v.contiguous().clone() for k, v in tensors.items()}, path)
        got = by_loader(path) if differences is None else by_adding(differences)
        for key, value in got.items():
            changed = float((value - plain[key]).norm() / plain[key].norm())
            print(path.name, path.stat().st_size, f"changes {key} by {changed:.3f}")
            assert changed > 0.03
            stored[f"{layout}.{key}"] = value

    def original(part, module):
        """Lightricks' name of a module."""
        return rename(part, module + ".").removesuffix(".").removeprefix("model.")

    keep("diffusers", {f"{part}.{module}.lora_{ab}.weight": x for (part, module), pair in pairs.items()
                       for ab, x in zip("AB", pair)})
    # Of the connectors diffusers reads the projection in these keys, and no more.
    read = {(part, module): pair for (part, module), pair in pairs.items()
            if part == "transformer" or "text_proj_in" in module}
    keep("original", {f"{original(part, module)}.lora_{ab}.weight": x for (part, module), pair in read.items()
                      for ab, x in zip("AB", pair)})
    kohya = {}
    for (part, module), (down, up) in pairs.items():
        theirs = "lora_unet_" + original(part, module).removeprefix("diffusion_model.").replace(".", "_")
        kohya |= {f"{theirs}.lora_down.weight": down, f"{theirs}.lora_up.weight": up,
                  f"{theirs}.alpha": torch.tensor(ALPHA)}
    keep("kohya", kohya, {(part, module + ".weight"): ALPHA / RANK * up @ down
                          for (part, module), (down, up) in pairs.items()})
    inputs, _ = outputs(*parts())
    stored |= {f"in.{k}": v for k, v in inputs.items()} | {f"plain.{k}": v for k, v in plain.items()}
    save_file({k: v.contiguous().clone() for k, v in stored.items()}, DATA / "lora_io.safetensors")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
