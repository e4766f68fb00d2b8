"""toybox.safetensors: every network in f16 with the configuration in the header, and back.

usage: checkpoint.py pack FOLDER OUT.safetensors    joins FOLDER/{tae,codec,dit}.pt
       checkpoint.py unpack IN.safetensors FOLDER   writes them again, to train further from
"""
from __future__ import annotations

import json
import pathlib
import sys

import torch
from safetensors import safe_open
from safetensors.torch import save_file

import toydata
from config import ToyboxConfig
from networks import Toybox

PARTS = {"tae": ("tae",), "codec": ("codec",), "dit": ("text", "dit")}
STATISTICS = ("video_latent_mean", "video_latent_std", "audio_latent_mean", "audio_latent_std")


def pack(folder: pathlib.Path, path: pathlib.Path, recipe: dict | None = None) -> None:
    """recipe: fields of config.Recipe to set, such as guidance, chosen by evaluation."""
    config, tensors, training = ToyboxConfig(), {}, {}
    for part in PARTS:
        state = torch.load(folder / f"{part}.pt", map_location="cpu")
        prefix = "" if part == "dit" else f"{part}."
        tensors |= {prefix + k: v.half().contiguous() for k, v in state["model"].items()}
        training[part] = {k: state[k] for k in ("steps", "samples", "seconds", "clips") if k in state}
        if part == "dit":
            for name, value in zip(STATISTICS, state["statistics"]):
                setattr(config.recipe, name, [round(float(x), 6) for x in value])
    for k, v in (recipe or {}).items():
        setattr(config.recipe, k, v)
    expected = Toybox(config).state_dict()
    if {k: v.shape for k, v in expected.items()} != {k: v.shape for k, v in tensors.items()}:
        raise SystemExit(f"{folder}: the weights do not fit the configuration")
    if not all(v.isfinite().all() for v in tensors.values()):
        raise SystemExit(f"{folder}: a weight is not finite in f16")
    header = {"format": "pt", "family": "toybox", "config": json.dumps(config.to_dict()),
              "vocabulary": json.dumps(toydata.vocabulary()), "training": json.dumps(training),
              "licence": "Apache-2.0"}
    save_file(tensors, path, header)
    path.chmod(0o644)
    print(f"{path}: {path.stat().st_size / 2**20:.2f} MiB")


def load(path: str | pathlib.Path, device: str = "cpu") -> Toybox:
    """The networks in f32, with the values of the file."""
    with safe_open(str(path), "pt") as f:
        header = f.metadata()
        tensors = {k: f.get_tensor(k).float() for k in f.keys()}
    model = Toybox(ToyboxConfig.from_dict(json.loads(header["config"])))
    model.load_state_dict(tensors)
    return model.to(device).eval().requires_grad_(False)


def unpack(path: pathlib.Path, folder: pathlib.Path) -> None:
    model = load(path)
    folder.mkdir(parents=True, exist_ok=True)
    state, recipe = model.state_dict(), model.config.recipe
    for part, prefixes in PARTS.items():
        keep = {k: v for k, v in state.items() if k.split(".")[0] in prefixes}
        if part != "dit":
            keep = {k.split(".", 1)[1]: v for k, v in keep.items()}
        value = {"model": keep}
        if part == "dit":
            value["statistics"] = tuple(torch.tensor(getattr(recipe, n)) for n in STATISTICS)
        torch.save(value, folder / f"{part}.pt")


if __name__ == "__main__":
    if len(sys.argv) != 4 or sys.argv[1] not in ("pack", "unpack"):
        raise SystemExit(__doc__)
    {"pack": pack, "unpack": unpack}[sys.argv[1]](pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]))
